//! A stream of a capture over TCP, which is dialled: what `nc -l | tcpreplay -i IF -`, `nc -l | tcpdump -r -`, Wireshark and
//! `weir sense --pcap-over-ip` take.
//!
//! Promises: a frame is in the stream in whole or not at all; what waits is bounded; when the connection is lost it is dialled again, with
//! back-off, and the stream begins anew. `passed` means that the kernel took the frame's last byte: what it had taken when the
//! peer went is lost without a trace, which only an acknowledged stream could tell.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use weir_ledger::{Account, Count, Reason};
use weir_wire::LinkType;
use weir_wire::capture::{Endian, PcapWriter, Precision};
use weir_wire::flow::protocol;

use crate::sys::{Patience, connection, now};
use crate::work::{End, Work};
use crate::{CarryError, OutputOptions};

/// The wait before the first new attempt; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest wait between two attempts.
const LAST_WAIT: Duration = Duration::from_secs(5);
/// An attempt that takes longer has failed.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the first attempt is waited for, so that a stream begins with the first frame.
const FIRST_CONNECT: Duration = Duration::from_secs(2);
/// A record header of pcap.
const RECORD: usize = 16;

/// A stream's near end.
pub(crate) struct Stream {
    name: String,
    peers: Vec<SocketAddr>,
    options: OutputOptions,
    line: Line,
    tries: usize,
    wait: Duration,
    /// What waits: the stream from byte `written` on, behind `start` bytes that are done with.
    writer: Option<PcapWriter<Vec<u8>>>,
    start: usize,
    /// How much of the stream was taken by the kernel, and how much was made.
    written: u64,
    made: u64,
    /// Frames that wait, by where in the stream they end.
    held: VecDeque<(u64, Count)>,
    lost: Vec<Count>,
}

enum Line {
    Waiting(Instant),
    Dialling(TcpStream, Instant),
    Up(TcpStream),
}

impl Stream {
    /// Dials `peers`, the first of them at once; a peer that is not there is no error.
    pub fn open(name: String, peers: Vec<SocketAddr>, options: &OutputOptions) -> (Self, Option<CarryError>) {
        let mut stream = Self {
            name,
            peers,
            options: options.clone(),
            line: Line::Waiting(now()),
            tries: 0,
            wait: FIRST_WAIT,
            writer: None,
            start: 0,
            written: 0,
            made: 0,
            held: VecDeque::new(),
            lost: Vec::new(),
        };
        let mut trouble = stream.tick();
        let patience = Patience::new(FIRST_CONNECT);
        while trouble.is_none() && !stream.is_up() && patience.wait() {
            trouble = stream.tick();
        }
        (stream, trouble)
    }

    pub const fn is_up(&self) -> bool {
        matches!(self.line, Line::Up(_))
    }

    /// The peers, as filters have to know them.
    pub fn destinations(&self) -> impl Iterator<Item = (IpAddr, u8, Option<u16>)> {
        self.peers.iter().map(|peer| (peer.ip(), protocol::TCP, Some(peer.port())))
    }

    /// Dials where it is time, and sends what waits.
    pub fn tick(&mut self) -> Option<CarryError> {
        let result = match &self.line {
            Line::Waiting(until) if now() >= *until => self.dial(),
            Line::Dialling(socket, since) => match connection::state(socket) {
                Ok(true) => self.begin(),
                Ok(false) if now().duration_since(*since) > CONNECT => Err(io::ErrorKind::TimedOut.into()),
                Ok(false) => Ok(()),
                Err(error) => Err(error),
            },
            Line::Up(_) => self.flush(),
            Line::Waiting(_) => Ok(()),
        };
        result.err().map(|source| self.give_up(source))
    }

    fn dial(&mut self) -> io::Result<()> {
        let peer = self.peers.get(self.tries % self.peers.len().max(1)).ok_or(io::ErrorKind::NotFound)?;
        self.tries = self.tries.wrapping_add(1);
        self.line = Line::Dialling(connection::dial(*peer)?, now());
        Ok(())
    }

    /// The connection is there: the stream begins.
    fn begin(&mut self) -> io::Result<()> {
        let Line::Dialling(socket, _) = std::mem::replace(&mut self.line, Line::Waiting(now())) else {
            return Ok(());
        };
        let mut writer = PcapWriter::new(Vec::new(), LinkType::ETHERNET, Precision::Nanos, Endian::Little)?;
        (self.written, self.made, self.start) = (0, writer.get_mut().len() as u64, 0);
        self.writer = Some(writer);
        self.line = Line::Up(socket);
        self.flush()
    }

    /// The connection is lost or could not be made.
    fn give_up(&mut self, source: io::Error) -> CarryError {
        let operation = if self.is_up() { "send" } else { "connect" };
        if self.written > 0 {
            self.wait = FIRST_WAIT;
        }
        self.line = Line::Waiting(now() + self.wait);
        self.wait = (self.wait * 2).min(LAST_WAIT);
        (self.writer, self.written) = (None, 0);
        self.lost.extend(self.held.drain(..).map(|(_, count)| count));
        CarryError::System { name: self.name.clone(), operation, source }
    }

    /// Sends as much as the kernel takes now.
    fn flush(&mut self) -> io::Result<()> {
        let (Line::Up(socket), Some(writer)) = (&mut self.line, &mut self.writer) else { return Ok(()) };
        let buffer = writer.get_mut();
        loop {
            let rest = buffer.get(self.start..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            match socket.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.start += n;
                    self.written += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        // Moved to the front rarely enough that a byte is moved once on average.
        if self.start * 2 >= buffer.len() {
            buffer.drain(..self.start);
            self.start = 0;
        }
        Ok(())
    }

    /// How much waits.
    fn waiting(&mut self) -> usize {
        let start = self.start;
        self.writer.as_mut().map_or(0, |writer| writer.get_mut().len() - start)
    }

    /// Puts frames into the stream. Those that it takes are held.
    pub fn put(&mut self, work: &mut Work<'_, '_>) -> Option<CarryError> {
        let mut trouble = self.tick();
        let mut at = 0;
        while let Some(owner) = work.pieces.get(at).map(|piece| piece.owner) {
            let of_frame = work.pieces.get(at..).unwrap_or_default();
            let count = of_frame.iter().take_while(|piece| piece.owner == owner).count();
            let len = of_frame.iter().take(count).map(|piece| RECORD + piece.len()).sum();
            let mut room = Ok(());
            if self.is_up() && self.waiting() + len > self.options.buffer {
                room = self.make_room(len, work);
            }
            if let Err(source) = room {
                trouble = Some(self.give_up(source));
            }
            if !self.is_up() {
                (at..at + count).for_each(|index| work.drop(index, Reason::OutputDown));
            } else if self.waiting() + len > self.options.buffer {
                (at..at + count).for_each(|index| work.drop(index, Reason::OutputFull));
            } else if let Err(source) = self.append(work, at..at + count) {
                (at..at + count).for_each(|index| work.drop(index, Reason::SendFailed));
                trouble = Some(self.give_up(source));
            }
            at += count;
        }
        if self.is_up() { self.tick().or(trouble) } else { trouble }
    }

    /// Waits for `len` bytes of room, as long as it may.
    fn make_room(&mut self, len: usize, work: &mut Work<'_, '_>) -> io::Result<()> {
        let patience = Patience::new(self.options.patience);
        loop {
            self.flush()?;
            if self.waiting() + len <= self.options.buffer || !patience.wait() {
                return Ok(());
            }
            work.counts.retries += 1;
        }
    }

    fn append(&mut self, work: &mut Work<'_, '_>, range: std::ops::Range<usize>) -> io::Result<()> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let mut owner = None;
        for piece in work.pieces.get(range).unwrap_or_default() {
            let parts = work.parts(piece);
            writer.frame_of(piece.time, piece.packet.wire_len, &parts)?;
            self.made += (RECORD + piece.len()) as u64;
            work.counts.packets += 1;
            owner = Some(piece.owner);
        }
        if let Some(fate) = owner.and_then(|owner| work.fates.get_mut(owner as usize)) {
            fate.end = End::Held;
            self.held.push_back((self.made, fate.count));
        }
        Ok(())
    }

    /// Tells the ledger what became of frames that were held.
    pub fn settle(&mut self, account: &mut Account) {
        while let Some((_, count)) = self.held.front().filter(|(end, _)| *end <= self.written) {
            account.release(*count);
            account.pass(*count);
            self.held.pop_front();
        }
        for count in self.lost.drain(..) {
            account.release(count);
            account.drop(Reason::OutputDown, count);
        }
    }

    /// Sends what waits, as long as it may take; what is left is lost.
    pub fn finish(&mut self, within: Duration) {
        let patience = Patience::new(within);
        while self.is_up() && self.waiting() > 0 {
            if let Some(_trouble) = self.tick() {
                return;
            }
            if self.waiting() > 0 && !patience.wait() {
                break;
            }
        }
        let written = self.written;
        self.lost.extend(self.held.iter().filter(|(end, _)| *end > written).map(|(_, count)| *count));
        self.held.retain(|(end, _)| *end <= written);
        if let Line::Up(socket) = &self.line {
            // The end of the stream; a peer that is gone needs none.
            let _ = socket.shutdown(std::net::Shutdown::Write);
        }
    }
}
