//! Several captures as one stream of frames.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

use weir_wire::capture::Precision;

use crate::block::Pool;
use crate::input::{Input, Stamp};
use crate::sys::{self, Opened};
use crate::{Block, FrameBatch, TapError};

/// Where a capture is.
pub enum Source {
    /// In a file, mapped; or in a device or named pipe, streamed.
    File(PathBuf),
    /// On standard input.
    Stdin,
    /// In memory, under a name for messages.
    Memory(PathBuf, Vec<u8>),
    /// In whatever can be read, under a name for messages.
    Stream(PathBuf, Box<dyn Read + Send>),
}

impl Source {
    /// The source that a command line names: `-` is standard input.
    pub fn from_argument(argument: impl Into<OsString>) -> Self {
        let argument = argument.into();
        if argument == "-" { Self::Stdin } else { Self::File(argument.into()) }
    }

    /// How messages call it.
    fn name(&self) -> &Path {
        match self {
            Self::File(path) | Self::Memory(path, _) | Self::Stream(path, _) => path,
            Self::Stdin => Path::new("standard input"),
        }
    }

    fn open(self) -> Result<Input, TapError> {
        let path = self.name().to_path_buf();
        let opened = match self {
            Self::File(path) => sys::open_file(&path)?,
            Self::Stdin => {
                sys::open_stdin().map_err(|source| TapError::Open { path: path.clone(), source })?
            }
            Self::Memory(_, bytes) => Opened::Whole(Block::from(bytes)),
            Self::Stream(_, reader) => Opened::Stream(reader),
        };
        Input::new(path, opened)
    }
}

/// How captures shall be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// The number that every frame gets as its tap.
    pub tap: u16,
    /// The precision of times.
    pub precision: Precision,
}

/// How far reading has come, in bytes of the files and streams as they are (compressed where they are compressed).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Bytes read.
    pub done: u64,
    /// Bytes in all captures together, where that is known.
    pub total: Option<u64>,
}

/// Captures that are read one after the other.
///
/// Call [`Captures::next_batch`] until it answers `false`. An error ends one capture: the next call goes on with the
/// capture behind it, if the caller wants that, and the numbers of frames go on without a hole.
pub struct Captures {
    sources: std::vec::IntoIter<Source>,
    current: Option<Input>,
    stamp: Stamp,
    pool: Pool,
    /// Bytes of the captures that have ended.
    done: u64,
    total: Option<u64>,
}

impl Captures {
    /// Makes ready to read `sources` in their order.
    ///
    /// # Errors
    /// Where a file does not exist, may not be opened or is a directory, whichever its place: before the first frame.
    pub fn open(sources: Vec<Source>, options: Options) -> Result<Self, TapError> {
        let mut total = Some(0u64);
        for source in &sources {
            let size = match source {
                Source::File(path) => sys::size_of_file(path)?,
                Source::Memory(_, bytes) => Some(bytes.len() as u64),
                Source::Stdin | Source::Stream(..) => None,
            };
            total = total.zip(size).map(|(sum, size)| sum.saturating_add(size));
        }
        let stamp = Stamp { tap: options.tap, precision: options.precision, sequence: 0 };
        let (sources, pool) = (sources.into_iter(), Pool::default());
        Ok(Self { sources, current: None, stamp, pool, done: 0, total })
    }

    /// Fills `batch` with the next frames, at least one and at most [`MAX_FRAMES`](crate::MAX_FRAMES), all of one block. What
    /// the batch held before is let go first. `false`: there are no more.
    ///
    /// # Errors
    /// Where a capture cannot be opened, is none, or is damaged. All frames before the damage have been delivered
    /// by earlier calls, and the batch is empty.
    pub fn next_batch(&mut self, batch: &mut FrameBatch) -> Result<bool, TapError> {
        batch.clear();
        loop {
            let input = match &mut self.current {
                Some(input) => input,
                none => match self.sources.next() {
                    Some(source) => none.insert(source.open()?),
                    None => return Ok(false),
                },
            };
            match input.fill(batch, &mut self.stamp, &mut self.pool) {
                Ok(true) => return Ok(true),
                Ok(false) => self.close(),
                Err(error) => {
                    self.close();
                    return Err(error);
                }
            }
        }
    }

    /// How far reading has come.
    pub fn progress(&self) -> Progress {
        let current = self.current.as_ref().map_or(0, Input::done);
        Progress { done: self.done.saturating_add(current), total: self.total }
    }

    /// The capture that is being read.
    pub fn current(&self) -> Option<&Path> {
        self.current.as_ref().map(Input::path)
    }

    /// Where the block of the batch that was delivered last begins in its capture, in bytes after decompression.
    pub fn base(&self) -> u64 {
        self.current.as_ref().map_or(0, Input::base)
    }

    /// How many frames have been delivered.
    pub const fn frames(&self) -> u64 {
        self.stamp.sequence
    }

    fn close(&mut self) {
        if let Some(input) = self.current.take() {
            self.done = self.done.saturating_add(input.done());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dash_is_standard_input() {
        assert!(matches!(Source::from_argument("-"), Source::Stdin));
        assert!(matches!(Source::from_argument("-x"), Source::File(_)));
    }
}
