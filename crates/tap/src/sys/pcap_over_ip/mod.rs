//! pcap over IP: captures that come by TCP, as from `tcpdump -U -w - | nc SENSOR 5555`.
//!
//! Promise: senders are independent. Each has a tap number and a name of its own; one that is slow, silent or speaks
//! garbage is let go, counted and told of, and the others notice nothing. A frame is handed over as soon as its last byte
//! has come. One thread serves all: sockets do not block, and epoll tells which have bytes.
//!
//! How: what is ready is read into one block, every sender's piece behind the beginning of the record that it left
//! unfinished, and the frames of all of them make up a batch. So a hundred slow senders cost one batch, not a hundred.
//!
//! What a stream ends with that is no whole record counts in the ledger as one frame: entered, and dropped as `stream_damaged` or
//! `stream_cut`. Memory: three blocks of 1 MiB, or as many as the readers of batches hold (16 are kept), and less than
//! [`MAX_RECORD`](crate::incoming::MAX_RECORD) for each sender.

mod door;
mod endpoint;
mod sender;

use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{setsockopt, sockopt};
use weir_ledger::{Account, Count, Reason};

use crate::block::Pool;
use crate::incoming::Piece;
use crate::input::BLOCK;
use crate::{Block, FrameBatch, LiveSource, Losses, Precision, Received, TapError};

use door::{DOOR, Door};
pub use endpoint::{Endpoint, NotAnEndpoint};
pub use sender::{Ending, Farewell, SenderCounts, Times};
use sender::{Sender, Slot};

/// What epoll calls the descriptor by which this source tells that it has frames although no socket has.
const MORE: u64 = DOOR - 1;
/// So many senders are read in one round. Epoll puts those behind all others, so that each has its turn.
const ROUND: usize = 16;
/// A sender is read only where at least this much room is left in the block.
const LEAST_ROOM: usize = 16 << 10;
/// How often time limits are looked at.
const TICK: Duration = Duration::from_millis(100);
/// So many senders that were let go are kept to be told of; the oldest are forgotten, but all are counted.
const MAX_FAREWELLS: usize = 64;

/// How streams shall be taken.
#[derive(Clone, Debug)]
pub struct PcapOverIpOptions {
    /// Where.
    pub endpoint: Endpoint,
    /// The tap number of the first sender; the others have those behind it.
    pub first_tap: u16,
    /// How many senders may be connected at once; each can cost 0.7 MiB. A dialler has one.
    pub max_senders: u16,
    /// The precision of times.
    pub precision: Precision,
    /// How long senders may take.
    pub times: Times,
}

impl PcapOverIpOptions {
    /// At most 128 senders, numbered from 0, times in microseconds, and the default patience.
    pub fn new(endpoint: Endpoint) -> Self {
        let (precision, times) = (Precision::default(), Times::default());
        Self { endpoint, first_tap: 0, max_senders: 128, precision, times }
    }
}

/// Streams of captures from any number of senders, as one source.
pub struct PcapOverIp {
    options: PcapOverIpOptions,
    name: String,
    epoll: Epoll,
    more: EventFd,
    door: Door,
    slots: Vec<Slot>,
    block: Block,
    pool: Pool,
    /// What was read into `block` and not looked at yet.
    pieces: VecDeque<Unread>,
    account: Account,
    counts: SenderCounts,
    farewells: VecDeque<Farewell>,
    next_tick: Instant,
}

/// A piece of a sender's stream, in the block.
struct Unread {
    slot: usize,
    at: usize,
    end: usize,
}

impl PcapOverIp {
    /// Listens, or makes ready to dial.
    ///
    /// # Errors
    /// The address is taken or not ours, or the kernel has no more descriptors. That nobody answers a dialler is no
    /// error: it tries again.
    pub fn open(options: PcapOverIpOptions) -> Result<Self, TapError> {
        let named = options.endpoint.to_string();
        let failed = |error: nix::Error| TapError::Socket {
            name: named.clone(),
            operation: "wait for senders",
            source: error.into(),
        };
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed)?;
        let more = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).map_err(failed)?;
        epoll.add(&more, EpollEvent::new(EpollFlags::EPOLLIN, MORE)).map_err(failed)?;
        let now = now();
        let door = Door::open(&options.endpoint, &epoll, now)?;
        let name = door.local_address().map_or(named, |address| format!("tcp://{address}"));
        Ok(Self {
            options,
            name,
            epoll,
            more,
            door,
            slots: Vec::new(),
            block: Block::default(),
            pool: Pool::default(),
            pieces: VecDeque::new(),
            account: Account::default(),
            counts: SenderCounts::default(),
            farewells: VecDeque::new(),
            next_tick: now,
        })
    }

    /// The address that is listened at.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.door.local_address()
    }

    /// The taps, connected or not: number, and name with the sender's address. A sender that comes again from the
    /// same address gets the tap that it had, unless another connection of it is still there.
    pub fn taps(&self) -> impl Iterator<Item = (u16, &str)> {
        (self.options.first_tap..).zip(self.slots.iter().map(|slot| slot.name.as_str()))
    }

    /// How many senders there were, and how they ended.
    pub const fn counts(&self) -> SenderCounts {
        self.counts
    }

    /// The senders that were let go since the last call, 64 at most.
    pub fn farewells(&mut self) -> impl Iterator<Item = Farewell> {
        self.farewells.drain(..)
    }

    fn wait(&self, timeout: Duration) -> Result<Vec<u64>, TapError> {
        let mut events = [EpollEvent::empty(); ROUND];
        // Rounded up, so that a wait for the last microsecond does not spin; never longer than a tick.
        let millis = timeout.min(TICK).as_micros().div_ceil(1000) as u16;
        match self.epoll.wait(&mut events, EpollTimeout::from(millis)) {
            Ok(n) => Ok(events.iter().take(n).map(EpollEvent::data).collect()),
            Err(nix::Error::EINTR) => Ok(Vec::new()),
            Err(error) => Err(TapError::Socket {
                name: self.name.clone(),
                operation: "wait for senders",
                source: error.into(),
            }),
        }
    }

    /// Reads what is ready into a fresh block.
    fn read(&mut self, ready: &[u64], now: Instant) {
        let full = std::mem::replace(&mut self.block, self.pool.take(BLOCK));
        self.pool.put(full, 2 * BLOCK);
        for (i, token) in ready.iter().enumerate() {
            match *token {
                MORE => {}
                DOOR => self.let_in(now),
                slot => self.read_sender(slot as usize, ready.len() - i, now),
            }
        }
    }

    /// Reads a piece from one sender; `turns` senders have to share what room there is.
    fn read_sender(&mut self, slot: usize, turns: usize, now: Instant) {
        let Some(sender) = self.slots.get_mut(slot).and_then(|slot| slot.line.as_mut()) else { return };
        let Some(buffer) = self.block.buffer_mut() else { return };
        let (at, rest) = (buffer.filled().len(), sender.stream.rest());
        if buffer.room().len() < rest.len() + LEAST_ROOM {
            return;
        }
        buffer.append(rest);
        let room = buffer.room();
        let share = (room.len() / turns.max(1)).max(LEAST_ROOM).min(room.len());
        let ending = match sender.socket.read(room.get_mut(..share).unwrap_or_default()) {
            Ok(0) if rest.is_empty() => Ending::Ended,
            Ok(0) => Ending::Cut,
            Ok(n) => {
                buffer.extend(n);
                sender.unfinished.get_or_insert(now);
                self.pieces.push_back(Unread { slot, at, end: at + rest.len() + n });
                return;
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                buffer.truncate(at);
                return;
            }
            Err(error) => Ending::Failed(error),
        };
        let unread = rest.len();
        buffer.truncate(at);
        self.let_go(slot, ending, unread, now);
    }

    /// Takes frames out of what was read, until the batch is full or there is no more.
    fn parse(&mut self, batch: &mut FrameBatch, now: Instant) {
        let had_more = !self.pieces.is_empty();
        let block = self.block.clone();
        while let Some(Unread { slot, at, end }) = self.pieces.front_mut() {
            let (slot, before, end) = (*slot, *at, *end);
            let Some(sender) = self.slots.get_mut(slot).and_then(|slot| slot.line.as_mut()) else {
                self.pieces.pop_front();
                continue;
            };
            let piece = block.bytes().get(..end).unwrap_or_default();
            let stamp = (self.options.first_tap.saturating_add(slot as u16), self.options.precision);
            let first = batch.frames.len();
            let answer = sender.stream.frames(piece, at, &mut batch.frames, stamp);
            let (at, new) = (*at, batch.frames.get(first..).unwrap_or_default());
            for frame in new {
                let count = Count::one(u64::from(frame.wire_len));
                self.account.enter(count);
                self.account.pass(count);
            }
            if !new.is_empty() {
                sender.last_frame = now;
                sender.frames += new.len() as u64;
            }
            if at > before {
                sender.unfinished = (at < end).then_some(now);
            }
            match answer {
                Ok(Piece::Full) => break,
                Ok(Piece::Rest) => sender.stream.keep(piece.get(at..).unwrap_or_default()),
                Err(damage) => self.let_go(slot, Ending::Damaged(damage), end.saturating_sub(at), now),
            }
            self.pieces.pop_front();
        }
        if !batch.frames.is_empty() {
            batch.block = block;
        }
        self.tell_of_more(had_more);
    }

    /// Keeps the descriptor readable as long as there are frames that were read and not handed over.
    fn tell_of_more(&self, had_more: bool) {
        // Neither can fail but for a counter that is full or empty already, which is what is wanted.
        let _ = match (had_more, self.pieces.is_empty()) {
            (_, false) => self.more.write(1).map(drop),
            (true, true) => self.more.read().map(drop),
            (false, true) => Ok(()),
        };
    }

    /// Lets in who is at the door.
    fn let_in(&mut self, now: Instant) {
        for _ in 0..ROUND {
            match self.door.connection(&self.epoll, now) {
                Ok(Some((socket, peer))) => {
                    if let Err(error) = self.settle(socket, peer, now) {
                        self.turn_away(peer, Ending::Failed(error));
                    }
                }
                Ok(None) => return,
                Err(_) => {
                    self.counts.attempts_failed += 1;
                    self.door.lost(false, now);
                    return;
                }
            }
        }
    }

    /// Gives a new sender a place.
    fn settle(&mut self, socket: TcpStream, peer: SocketAddr, now: Instant) -> io::Result<()> {
        self.counts.accepted += 1;
        socket.set_nonblocking(true)?;
        setsockopt(&socket, sockopt::KeepAlive, &true)?;
        setsockopt(&socket, sockopt::TcpKeepIdle, &60)?;
        let Some(index) = self.place(peer) else {
            self.turn_away(peer, Ending::Refused);
            return Ok(());
        };
        self.epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, index as u64))?;
        let name = match self.options.endpoint {
            Endpoint::Listen(_) => format!("{} ({peer})", self.name),
            Endpoint::Dial(_) => self.name.clone(),
        };
        let line = Some(Sender::new(socket, now));
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = Slot { peer: Some(peer), name, line, left: None };
            self.counts.connected += 1;
        }
        Ok(())
    }

    /// A free place: the one that the same address had before, else a new one, else the one that is free for longest.
    fn place(&mut self, peer: SocketAddr) -> Option<usize> {
        let free = || self.slots.iter().enumerate().filter(|(_, slot)| slot.line.is_none());
        let same = free().find(|(_, slot)| slot.peer.is_some_and(|p| p.ip() == peer.ip()));
        if let Some((index, _)) = same {
            return Some(index);
        }
        if self.slots.len() < usize::from(self.options.max_senders.max(1)) {
            self.slots.push(Slot::default());
            return Some(self.slots.len() - 1);
        }
        free().min_by_key(|(_, slot)| slot.left).map(|(index, _)| index)
    }

    fn turn_away(&mut self, peer: SocketAddr, why: Ending) {
        self.counts.end(&why);
        self.door.lost(false, now());
        self.remember(Farewell { name: format!("{} ({peer})", self.name), why, frames: 0 });
    }

    /// Lets a sender go; `unread` bytes of it end here.
    fn let_go(&mut self, slot: usize, why: Ending, unread: usize, now: Instant) {
        let Some(slot) = self.slots.get_mut(slot) else { return };
        let Some(sender) = slot.line.take() else { return };
        slot.left = Some(now);
        let (name, frames) = (slot.name.clone(), sender.frames);
        if unread > 0 {
            let reason =
                if matches!(why, Ending::Damaged(_)) { Reason::StreamDamaged } else { Reason::StreamCut };
            let count = Count::one(unread as u64);
            self.account.enter(count);
            self.account.drop(reason, count);
        }
        self.counts.connected = self.counts.connected.saturating_sub(1);
        self.counts.end(&why);
        self.door.lost(frames > 0, now);
        self.remember(Farewell { name, why, frames });
    }

    fn remember(&mut self, farewell: Farewell) {
        if self.farewells.len() >= MAX_FAREWELLS {
            self.farewells.pop_front();
        }
        self.farewells.push_back(farewell);
    }

    /// Does what is due by time.
    fn tick(&mut self, now: Instant) {
        self.next_tick = now + TICK;
        if self.door.tick(&self.epoll, now).is_err() {
            self.counts.attempts_failed += 1;
            self.door.lost(false, now);
        }
        for index in 0..self.slots.len() {
            let line = self.slots.get(index).and_then(|slot| slot.line.as_ref());
            let overdue = line.and_then(|sender| sender.overdue(&self.options.times, now));
            if let Some((sender, why)) = line.zip(overdue) {
                let unread = sender.stream.rest().len();
                self.let_go(index, why, unread, now);
            }
        }
    }
}

impl LiveSource for PcapOverIp {
    /// A source of this kind does not end: there may always be another sender. It does not fail with one either.
    fn receive(&mut self, batch: &mut FrameBatch, timeout: Duration) -> Result<Received, TapError> {
        batch.clear();
        let mut now = now();
        let end = now + timeout.min(Duration::from_hours(1));
        loop {
            if !self.pieces.is_empty() {
                self.parse(batch, now);
                if !batch.is_empty() {
                    return Ok(Received::Frames);
                }
            }
            if now >= self.next_tick {
                self.tick(now);
            }
            let ready = self.wait(end.min(self.next_tick).saturating_duration_since(now))?;
            now = self::now();
            if !ready.is_empty() {
                self.read(&ready, now);
            } else if now >= end {
                return Ok(Received::Idle);
            }
        }
    }

    /// TCP loses nothing: what we do not take the sender has to keep.
    fn losses(&mut self) -> Losses {
        Losses::default()
    }

    fn account(&self) -> &Account {
        &self.account
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.epoll.0.as_fd())
    }
}

#[allow(clippy::disallowed_methods, reason = "time limits of connections go by a clock that never steps")]
fn now() -> Instant {
    Instant::now()
}
