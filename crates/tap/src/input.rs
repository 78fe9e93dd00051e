//! One capture: its bytes, mapped or streamed, and the frames in them.
//!
//! A mapped file is one block that has all bytes. A stream is a block of about one MiB at a time: what a block ends
//! with that is no whole record is copied to the start of the next. Both are read by the same loop; a stream only
//! has somewhere to go when a record needs more bytes than are there.

use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use weir_wire::Offload;

use crate::block::{Buffer, Pool};
use crate::codec::Codec;
use crate::error::Starts;
use crate::format::{Format, Record, Step};
use crate::sys::Opened;
use crate::window::Window;
use crate::{Block, Flaw, FrameBatch, FrameMeta, MAX_FRAMES, Precision, TapError};

/// Streams are read in blocks of this many bytes: enough that their cost is spread over a thousand frames, and
/// small enough that the sixteen of the pool fit in the cache of a server.
pub(crate) const BLOCK: usize = 1 << 20;

/// A live stream hands over what it has once a read brings less than this: the writer is then slower than we are,
/// and its frames should not wait for a full block. Half of a pipe's usual 64 KiB.
const SHORT_READ: usize = 32 << 10;

/// What is done with each frame on its way into a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub tap: u16,
    pub precision: Precision,
    /// The number of the next frame.
    pub sequence: u64,
}

/// One capture being read.
pub(crate) struct Input {
    path: PathBuf,
    format: Option<Format>,
    codec: Option<Codec>,
    block: Block,
    /// Where the next record begins in `block`.
    at: usize,
    /// Where `block` begins in the capture.
    base: u64,
    feed: Option<Feed>,
    /// Why the feed ended, where that was not the end of its data.
    failed: Option<io::Error>,
    /// Bytes read from the outside, for a stream.
    meter: Arc<AtomicU64>,
    window: Window,
}

/// Where a stream's further bytes come from.
struct Feed {
    reader: Box<dyn Read + Send>,
    /// Whether someone may be writing at this moment, so that a read can take long.
    live: bool,
}

impl Feed {
    /// Reads until `buffer` is full, or has `total` bytes and a live writer has no more for now; `false` at the end of the data.
    fn read(&mut self, buffer: &mut Buffer, total: usize) -> io::Result<bool> {
        while !buffer.room().is_empty() {
            match self.reader.read(buffer.room()) {
                Ok(0) => return Ok(false),
                Ok(n) => {
                    buffer.extend(n);
                    if self.live && n < SHORT_READ && buffer.filled().len() >= total {
                        break;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }
}

/// Why the parser stopped.
enum Stop {
    BatchFull,
    NotACapture,
    Need { total: usize, what: &'static str },
    Flaw(Flaw),
}

impl Input {
    /// Looks at the first bytes of what was opened, and decompresses where they say so.
    pub fn new(path: PathBuf, opened: Opened) -> Result<Self, TapError> {
        let mut input = Self {
            path,
            format: None,
            codec: None,
            block: Block::default(),
            at: 0,
            base: 0,
            feed: None,
            failed: None,
            meter: Arc::default(),
            window: Window::default(),
        };
        match opened {
            Opened::Whole(block) => input.set_whole(block)?,
            Opened::Stream(reader) => input.set_stream(reader)?,
        }
        Ok(input)
    }

    /// The next frames, up to the end of the batch or of the block; `false` at the end of the capture.
    ///
    /// An error is found again by the call after the one that delivered the frames before it.
    pub fn fill(
        &mut self,
        batch: &mut FrameBatch,
        stamp: &mut Stamp,
        pool: &mut Pool,
    ) -> Result<bool, TapError> {
        self.window.follow(&self.block, self.at);
        loop {
            let stop = self.parse(&mut batch.frames, stamp);
            if !batch.frames.is_empty() {
                batch.block = self.block.clone();
                return Ok(true);
            }
            match stop {
                Stop::BatchFull => {}
                Stop::NotACapture => return Err(self.not_a_capture()),
                Stop::Flaw(flaw) => return Err(self.flaw(flaw)),
                Stop::Need { total, .. } if self.feed.is_some() => self.refill(total, pool),
                Stop::Need { total, what } => return self.end(total, what),
            }
        }
    }

    /// Where the block of the last batch begins in the capture.
    pub const fn base(&self) -> u64 {
        self.base
    }

    /// How many bytes of the outside have been read.
    pub fn done(&self) -> u64 {
        match self.meter.load(Ordering::Relaxed) {
            0 => self.at as u64,
            streamed => streamed,
        }
    }

    /// The name of the capture.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn set_whole(&mut self, block: Block) -> Result<(), TapError> {
        self.codec = Codec::recognise(block.bytes());
        match self.codec {
            None => self.block = block,
            Some(codec) => {
                let data = Metered { inner: Blocks::new(block), meter: self.meter.clone() };
                self.set_decoder(codec, data, false)?;
            }
        }
        Ok(())
    }

    fn set_stream(&mut self, reader: Box<dyn Read + Send>) -> Result<(), TapError> {
        let mut data = Metered { inner: reader, meter: self.meter.clone() };
        let mut first = Vec::with_capacity(4);
        // A writer may send its first bytes one by one.
        let read = data.by_ref().take(4).read_to_end(&mut first);
        read.map_err(|source| TapError::Read { path: self.path.clone(), offset: 0, source })?;
        self.codec = Codec::recognise(&first);
        let data = Cursor::new(first).chain(data);
        match self.codec {
            None => self.feed = Some(Feed { reader: Box::new(data), live: true }),
            Some(codec) => self.set_decoder(codec, data, true)?,
        }
        Ok(())
    }

    fn set_decoder(
        &mut self,
        codec: Codec,
        data: impl Read + Send + 'static,
        live: bool,
    ) -> Result<(), TapError> {
        /// The decoders are handed compressed data in pieces of this size.
        const PIECE: usize = 64 << 10;
        let reader = codec.decoder(BufReader::with_capacity(PIECE, data));
        let reader =
            reader.map_err(|source| TapError::Read { path: self.path.clone(), offset: 0, source })?;
        self.feed = Some(Feed { reader, live });
        Ok(())
    }

    /// Takes frames out of the block until the batch is full or the block has no more.
    fn parse(&mut self, frames: &mut Vec<FrameMeta>, stamp: &mut Stamp) -> Stop {
        let bytes = self.block.bytes();
        let rest = bytes.get(self.at..).unwrap_or_default();
        let format = match &mut self.format {
            Some(format) => format,
            none => match Format::recognise(rest) {
                Some(format) => none.insert(format),
                None if rest.len() < MAGIC => return Stop::Need { total: MAGIC, what: "the first bytes" },
                None => return Stop::NotACapture,
            },
        };
        let is_mapped = self.block.map().is_some();
        while frames.len() < MAX_FRAMES {
            if is_mapped {
                self.window.touch(bytes, self.at);
            }
            match format.next(bytes.get(self.at..).unwrap_or_default()) {
                Ok(Step::Frame(record)) => {
                    frames.push(stamp.meta(&record, self.at));
                    self.at += record.used;
                }
                Ok(Step::Skip { used }) => self.at += used,
                Ok(Step::Need { total, what }) => return Stop::Need { total, what },
                Err(flaw) => return Stop::Flaw(flaw),
            }
        }
        Stop::BatchFull
    }

    /// Moves what is left of the block to the start of one that has room for `total` bytes, and reads on until they are there
    /// or the stream has ended. Called only while no batch is being filled.
    fn refill(&mut self, total: usize, pool: &mut Pool) {
        debug_assert!(total > self.block.len().saturating_sub(self.at), "a parser wants what it has");
        self.base = self.base.saturating_add(self.at as u64);
        let capacity = total.max(BLOCK);
        if let Some(buffer) = self.block.buffer_mut() {
            buffer.discard(self.at);
            buffer.grow(capacity);
        } else {
            let mut fresh = pool.take(capacity);
            if let Some(buffer) = fresh.buffer_mut() {
                let tail = self.block.bytes().get(self.at..).unwrap_or_default();
                buffer.append(tail);
            }
            pool.put(std::mem::replace(&mut self.block, fresh), 2 * BLOCK);
        }
        self.at = 0;
        if let Some(feed) = &mut self.feed
            && let Some(buffer) = self.block.buffer_mut()
        {
            match feed.read(buffer, total) {
                Ok(true) => {}
                Ok(false) => self.feed = None,
                Err(e) => (self.feed, self.failed) = (None, Some(e)),
            }
        }
    }

    /// There are no more bytes, and the parser wants `total` for the next record.
    fn end(&mut self, total: usize, what: &'static str) -> Result<bool, TapError> {
        let rest = self.block.bytes().get(self.at..).unwrap_or_default();
        let (path, got) = (self.path.clone(), rest.len() as u64);
        let offset = self.base.saturating_add(self.at as u64);
        if let Some(source) = self.failed.take() {
            let offset = offset.saturating_add(got);
            return Err(match self.codec {
                Some(codec) => TapError::Compressed { path, codec, offset, source },
                None => TapError::Read { path, offset, source },
            });
        }
        match (&self.format, rest) {
            (None, []) => Err(TapError::Empty { path }),
            (None, _) => Err(self.not_a_capture()),
            (Some(_), []) => Ok(false),
            (Some(_), _) => Err(self.flaw(Flaw::Truncated { what, wanted: total as u64, got })),
        }
    }

    fn not_a_capture(&self) -> TapError {
        TapError::Unknown { path: self.path.clone(), starts: Starts::new(self.block.bytes()) }
    }

    fn flaw(&self, source: Flaw) -> TapError {
        TapError::Format { path: self.path.clone(), offset: self.base.saturating_add(self.at as u64), source }
    }
}

/// So many bytes tell the format.
const MAGIC: usize = 4;

impl Stamp {
    pub(crate) fn meta(&mut self, record: &Record, at: usize) -> FrameMeta {
        let sequence = self.sequence;
        self.sequence += 1;
        FrameMeta {
            time: self.precision.of(record.time),
            sequence,
            offset: at + record.start,
            len: record.len,
            wire_len: record.wire_len,
            link: record.link,
            tap: self.tap,
            offload: Offload::default(),
        }
    }
}

/// Reads from a block.
struct Blocks {
    block: Block,
    at: usize,
    window: Window,
}

impl Blocks {
    fn new(block: Block) -> Self {
        Self { block, at: 0, window: Window::default() }
    }
}

impl Read for Blocks {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.window.follow(&self.block, self.at);
        let n = self.block.bytes().get(self.at..).unwrap_or_default().read(to)?;
        self.at += n;
        Ok(n)
    }
}

/// Counts what is read.
struct Metered<R> {
    inner: R,
    meter: Arc<AtomicU64>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(to)?;
        self.meter.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}
