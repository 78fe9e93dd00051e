//! Tunnels that end at a socket: VXLAN and GENEVE by UDP, which needs no privilege, and GRE with ERSPAN by a raw socket.
//!
//! Promise: every datagram that the socket got is handed on as the IP packet that it was on the wire (link type raw IP): the
//! outer IP and UDP headers are put back in front of it, so decap and tunnel.log know no difference from a capture.
//! What the kernel dropped because we were slow is in [`LiveSource::losses`], what has an identifier that is
//! not wanted is dropped under `tunnel_unwanted`.
//!
//! How: up to 64 messages by one recvmmsg, each a datagram or several of one length that the kernel (or the network card) has joined
//! (UDP_GRO). Each datagram is copied into a block, behind its headers. Blocks are shared with the readers of batches and
//! used again when those are done with them.
//!
//! Several sockets at one port ([`TunnelSocket::open_group`]) share what comes; a BPF program over the UDP payload can choose
//! the socket by what is inside the tunnel, which the kernel's own hash, of the outer header, cannot.

mod receive;
mod socket;

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{SockaddrStorage, getsockname, getsockopt, sockopt};
use weir_ledger::{Account, Count, Reason};
use weir_wire::tunnel::{GeneveHeader, GreHeader, VxlanHeader, gre};
use weir_wire::{Ipv4Header, LinkType, Offload, Time};

use crate::block::Pool;
use crate::outer::{Ends, ROOM};
use crate::{Block, FrameBatch, FrameMeta, LiveSource, Losses, Received, TapError};
use weir_wire::bpf::Instruction;

use receive::{Letter, MESSAGES, Mailbox};
pub use socket::{TunnelProtocol, TunnelSocketOptions};
use socket::{choose_by, drops};

/// Room for a message: an IP packet at most, and a little more, so that the first bytes of all do not share one place in the cache.
const SLOT: usize = 65_536 + 3 * 64;
/// Room for as many messages as are received at once, with headers in front of each datagram: 128 are in one message at most
/// (UDP_MAX_SEGMENTS of Linux). What is not used of it is no memory until it is.
const CAPACITY: usize = MESSAGES * (SLOT + 128 * ROOM);

/// A socket at which tunnels end.
pub struct TunnelSocket {
    options: TunnelSocketOptions,
    name: String,
    socket: OwnedFd,
    /// Where it is bound, with the port that the kernel chose for 0.
    bound: SocketAddr,
    mailbox: Mailbox,
    /// Where the kernel writes, a slot for each message.
    slots: Vec<u8>,
    block: Block,
    pool: Pool,
    account: Account,
    losses: Losses,
    /// The kernel's count of drops when it was last asked.
    last_drops: u32,
    truncated: u64,
}

impl TunnelSocket {
    /// Opens one socket.
    ///
    /// # Errors
    /// The address is taken or not ours; for GRE, the process may not open raw sockets.
    pub fn open(options: &TunnelSocketOptions) -> Result<Self, TapError> {
        Self::with(options.clone(), false)
    }

    /// Opens `count` sockets at the same UDP port, for one reader each. `program`, classic BPF over the UDP payload, answers
    /// with the index of the socket in the list; without one the kernel's hash of the outer header chooses.
    ///
    /// # Errors
    /// As [`TunnelSocket::open`]; the kernel does not take the program; GRE, whose raw sockets each get every packet.
    pub fn open_group(
        options: &TunnelSocketOptions,
        count: usize,
        program: Option<&[Instruction]>,
    ) -> Result<Vec<Self>, TapError> {
        let failed = |operation, source| TapError::Socket { name: options.name(), operation, source };
        if options.protocol == TunnelProtocol::Gre && count > 1 {
            let error = std::io::ErrorKind::Unsupported.into();
            return Err(failed("share a raw socket among several readers", error));
        }
        let mut options = options.clone();
        let mut group = Vec::with_capacity(count);
        for _ in 0..count {
            let socket = Self::with(options.clone(), true)?;
            options.address.set_port(socket.bound.port());
            group.push(socket);
        }
        if let Some((program, first)) = program.zip(group.first()) {
            choose_by(&first.socket, program).map_err(|e| failed("attach its program", e))?;
        }
        Ok(group)
    }

    fn with(mut options: TunnelSocketOptions, shared: bool) -> Result<Self, TapError> {
        options.max_datagram = options.max_datagram.clamp(64, 65_535);
        let socket = options.open(shared)?;
        let bound = getsockname::<SockaddrStorage>(socket.as_raw_fd()).ok().and_then(|a| standard(&a));
        options.address = bound.unwrap_or(options.address);
        Ok(Self {
            name: options.name(),
            bound: options.address,
            slots: vec![0; SLOT * MESSAGES],
            options,
            socket,
            mailbox: Mailbox::new(),
            block: Block::default(),
            pool: Pool::default(),
            account: Account::default(),
            losses: Losses::default(),
            last_drops: 0,
            truncated: 0,
        })
    }

    /// Where the socket is bound: decap has to know a port that is not the protocol's usual one.
    pub const fn local_address(&self) -> SocketAddr {
        self.bound
    }

    /// The bytes that the kernel really holds for us, which may be fewer than were asked for (net.core.rmem_max). The
    /// kernel doubles what is asked, for its own bookkeeping; this is the undoubled number.
    pub fn receive_buffer(&self) -> usize {
        getsockopt(&self.socket, sockopt::RcvBuf).map_or(0, |doubled| doubled / 2)
    }

    /// How many datagrams were cut because they were longer than `max_datagram`; they are handed on.
    pub const fn truncated(&self) -> u64 {
        self.truncated
    }

    /// Receives what waits.
    fn take(&mut self, batch: &mut FrameBatch) -> Result<(), TapError> {
        if self.block.buffer_mut().is_none() {
            let fresh = self.pool.take(CAPACITY);
            self.pool.put(std::mem::replace(&mut self.block, fresh), CAPACITY);
        }
        let got = self.mailbox.receive(self.socket.as_fd(), &mut self.slots, SLOT);
        let got =
            got.map_err(|source| TapError::Socket { name: self.name.clone(), operation: "receive", source })?;
        let Some(buffer) = self.block.buffer_mut().filter(|_| got > 0) else { return Ok(()) };
        buffer.truncate(0);
        for (letter, slot) in self.mailbox.letters().zip(self.slots.chunks_exact(SLOT)) {
            for (at, len) in letter.datagrams() {
                let there = len.min(self.options.max_datagram);
                let bytes = slot.get(at..at + there).unwrap_or_default();
                self.truncated += u64::from(bytes.len() < len);
                self.losses.seen += 1;
                let mut headers = [0; ROOM];
                let head = self.options.put_back(&mut headers, (&letter, len), self.bound);
                let wire_len = (head + len) as u32;
                let count = Count::one(u64::from(wire_len));
                self.account.enter(count);
                if let Some(reason) = self.options.refuses(bytes) {
                    self.account.drop(reason, count);
                    continue;
                }
                self.account.pass(count);
                let offset = buffer.filled().len();
                buffer.append(headers.get(ROOM - head..).unwrap_or_default());
                buffer.append(bytes);
                batch.frames.push(FrameMeta {
                    time: self.options.precision.of(letter.time.unwrap_or_else(now)),
                    sequence: 0,
                    offset,
                    len: (head + bytes.len()) as u32,
                    wire_len,
                    link: LinkType::RAW,
                    tap: self.options.tap,
                    offload: Offload::default(),
                });
            }
        }
        if !batch.frames.is_empty() {
            batch.block = self.block.clone();
        }
        Ok(())
    }
}

impl TunnelSocketOptions {
    /// Writes the headers that the socket took off a datagram of `len` bytes; how long they are.
    fn put_back(&self, room: &mut [u8; ROOM], (letter, len): (&Letter, usize), bound: SocketAddr) -> usize {
        let to = SocketAddr::new(letter.to.unwrap_or(bound.ip()), bound.port());
        let ends = Ends { from: letter.from, to };
        match (self.protocol, self.address.ip()) {
            (TunnelProtocol::Vxlan | TunnelProtocol::Geneve, _) => ends.write_udp(room, len),
            // A raw socket of IPv4 hands over the header, one of IPv6 does not (raw(7), ipv6(7)).
            (TunnelProtocol::Gre, IpAddr::V4(_)) => 0,
            (TunnelProtocol::Gre, IpAddr::V6(_)) => ends.write_ip(room, libc::IPPROTO_GRE as u8, len),
        }
    }

    /// Why a datagram goes no further, if so.
    fn refuses(&self, bytes: &[u8]) -> Option<Reason> {
        if !self.is_tunnel(bytes) {
            Some(Reason::MalformedTunnel)
        } else if !self.wants(bytes) {
            Some(Reason::TunnelUnwanted)
        } else {
            None
        }
    }

    /// Whether a datagram has a header of the tunnel at all: what scanners send has not, and shall neither become a connection nor
    /// spoil that of a tunnel.
    fn is_tunnel(&self, bytes: &[u8]) -> bool {
        match self.protocol {
            TunnelProtocol::Vxlan => VxlanHeader::parse(bytes).is_ok(),
            TunnelProtocol::Geneve => GeneveHeader::parse(bytes).is_ok(),
            TunnelProtocol::Gre => true,
        }
    }

    /// Whether the identifier of a datagram is among those that are wanted.
    fn wants(&self, bytes: &[u8]) -> bool {
        self.identifiers.is_empty() || self.identifier(bytes).is_some_and(|id| self.identifiers.contains(&id))
    }

    fn identifier(&self, bytes: &[u8]) -> Option<u32> {
        match (self.protocol, self.address.ip()) {
            (TunnelProtocol::Vxlan, _) => VxlanHeader::parse(bytes).ok().map(|h| h.vni()),
            (TunnelProtocol::Geneve, _) => GeneveHeader::parse(bytes).ok().map(|h| h.vni()),
            (TunnelProtocol::Gre, IpAddr::V4(_)) => {
                let ip = Ipv4Header::parse(bytes).ok()?;
                key_or_session(bytes.get(ip.header_len()..)?)
            }
            (TunnelProtocol::Gre, IpAddr::V6(_)) => key_or_session(bytes),
        }
    }
}

/// The key of a GRE packet; else ERSPAN's session, the lower ten bits of the second half-word in both types that have a
/// header (draft-foschiano-erspan, 4.2 and 4.3).
fn key_or_session(bytes: &[u8]) -> Option<u32> {
    let header = GreHeader::parse(bytes).ok()?;
    if let Some(key) = header.key() {
        return Some(key);
    }
    match (header.protocol(), header.has_sequence()) {
        (gre::protocol::ERSPAN, true) | (gre::protocol::ERSPAN3, _) => {
            let &[_, _, high, low] = header.inner()?.first_chunk()?;
            Some(u32::from(u16::from_be_bytes([high & 3, low])))
        }
        _ => None,
    }
}

impl LiveSource for TunnelSocket {
    fn receive(&mut self, batch: &mut FrameBatch, timeout: Duration) -> Result<Received, TapError> {
        batch.clear();
        self.take(batch)?;
        if batch.is_empty() && !timeout.is_zero() {
            let mut wait = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            let millis = timeout.as_micros().div_ceil(1000).min(i32::MAX as u128) as i32;
            match poll(&mut wait, PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)) {
                Ok(0) | Err(nix::Error::EINTR) => return Ok(Received::Idle),
                // What is wrong with the socket is said by the call that follows.
                Ok(_) | Err(_) => self.take(batch)?,
            }
        }
        Ok(if batch.is_empty() { Received::Idle } else { Received::Frames })
    }

    fn losses(&mut self) -> Losses {
        if let Some(drops) = drops(&self.socket) {
            let new = u64::from(drops.wrapping_sub(self.last_drops));
            self.last_drops = drops;
            self.losses.dropped += new;
            self.losses.seen += new;
        }
        self.losses
    }

    fn account(&self) -> &Account {
        &self.account
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }
}

/// The standard library's form of an address.
fn standard(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|a| SocketAddr::from((a.ip(), a.port())));
    v4.or_else(|| address.as_sockaddr_in6().map(|a| SocketAddr::from((a.ip(), a.port()))))
}

/// The time of a datagram that the kernel gave none.
#[allow(clippy::disallowed_methods, reason = "the time of a frame, where the kernel does not tell it")]
fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(since.as_nanos() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identifier_of_gre_is_its_key_or_else_the_session_of_erspan() {
        let keyed = [0x20, 0, 0x65, 0x58, 0, 0, 1, 2];
        assert_eq!(key_or_session(&keyed), Some(0x102));
        let second = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 9, 0x10, 0x05, 0xfd, 0x03, 0, 0, 0, 0];
        assert_eq!(key_or_session(&second), Some(0x103), "what stands above the ten bits is something else");
        let first = [0, 0, 0x88, 0xbe, 0x10, 0x05, 0xfd, 0x03];
        assert_eq!(key_or_session(&first), None, "type I has no header");
        assert_eq!(key_or_session(&second[..10]), None);
    }
}
