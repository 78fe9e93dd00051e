//! Packets through a tunnel: VXLAN and GENEVE in UDP datagrams, GRE and ERSPAN by a raw socket.
//!
//! Promises: flows keep their order; the sequence number (where the tunnel has one) counts what the kernel took, so that every
//! number that does not arrive was lost on the way; both directions of a flow have one source port, of [`PORTS`].
//!
//! Path MTU: the sockets are connected, so that the kernel tells how much the path takes ([`TooLong`] says what becomes of the
//! rest); what has to be fragmented is fragmented by the kernel.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use weir_ledger::Reason;
use weir_wire::Time;
use weir_wire::flow::protocol;
use weir_wire::tunnel::{Mirrored, Origin, TunnelHead, gre};

use crate::sys::{datagram, now};
use crate::way::{Way, Why};
use crate::work::{Piece, Work};
use crate::{CarryError, OutputOptions, RETRY, TooLong};

/// Source ports of a UDP tunnel: networks and cards spread by them, and by 16 quite evenly; more would make the loads of
/// single system calls smaller.
const PORTS: usize = 16;
/// Ethertype of Ethernet itself (transparent bridging).
const ETHERNET: u16 = gre::protocol::ETHERNET;
/// The longest IP packet, without its header.
const LONGEST: usize = 65_535;

/// What is put around packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Around {
    Vxlan { vni: u32 },
    Geneve { vni: u32 },
    Gre { key: Option<u32> },
    Erspan { version: u8, session: u16 },
}

/// A tunnel's near end.
pub(crate) struct Tunnel {
    name: String,
    around: Around,
    remote: SocketAddr,
    options: OutputOptions,
    /// One for each source port; empty while there is no route.
    ways: Vec<Way>,
    /// How many bytes of a packet the path takes.
    room: usize,
    sequence: u64,
    epoch: u16,
    retry_at: Instant,
    order: Vec<u32>,
}

impl Around {
    const fn is_udp(self) -> bool {
        matches!(self, Self::Vxlan { .. } | Self::Geneve { .. })
    }

    /// The header in front of `piece`.
    fn head(self, piece: &Piece<'_>, headers: &[u8], sequence: u64, (tap, epoch): (u32, u16)) -> TunnelHead {
        match self {
            Self::Vxlan { vni } => TunnelHead::vxlan(vni),
            Self::Geneve { vni } => {
                let (source, wire_len, time) = (piece.source, piece.packet.wire_len, piece.time);
                let origin = Origin { tap, source, epoch, sequence, wire_len, time };
                TunnelHead::geneve(ETHERNET, vni, &origin.emit())
            }
            Self::Gre { key } => TunnelHead::gre(ETHERNET, key, Some(sequence as u32)),
            Self::Erspan { version, session } => {
                let is_tagged = matches!(piece.be16(headers, 12), Some(0x8100 | 0x88a8));
                let tag = if is_tagged { piece.be16(headers, 14) } else { None };
                let frame = Mirrored {
                    session,
                    tag,
                    truncated: piece.len() < piece.packet.wire_len as usize,
                    port: u32::from(piece.source),
                    egress: piece.outgoing,
                    time: piece.time,
                };
                match version {
                    1 => TunnelHead::erspan_1(),
                    2 => TunnelHead::erspan_2(sequence as u32, &frame),
                    _ => TunnelHead::erspan_3(sequence as u32, &frame),
                }
            }
        }
    }

    /// How long the headers in front of a packet are, from the IP header's end on.
    fn len(self) -> usize {
        let head = match self {
            Self::Vxlan { .. } => TunnelHead::vxlan(0),
            Self::Geneve { .. } => {
                let (sequence, wire_len, time) = (0, 0, Time(0));
                let origin = Origin { tap: 0, source: 0, epoch: 0, sequence, wire_len, time };
                TunnelHead::geneve(0, 0, &origin.emit())
            }
            Self::Gre { key } => TunnelHead::gre(0, key, Some(0)),
            Self::Erspan { version: 1, .. } => TunnelHead::erspan_1(),
            Self::Erspan { version: 2, .. } => TunnelHead::erspan_2(0, &Mirrored::default()),
            Self::Erspan { .. } => TunnelHead::erspan_3(0, &Mirrored::default()),
        };
        head.bytes().len() + if self.is_udp() { weir_wire::udp::LEN } else { 0 }
    }
}

impl Tunnel {
    /// Opens the sockets.
    ///
    /// # Errors
    /// There is no route to the target, or the process may not open raw sockets (GRE, ERSPAN).
    pub fn open(
        name: String,
        around: Around,
        remote: SocketAddr,
        options: &OutputOptions,
    ) -> Result<Self, CarryError> {
        let mut tunnel = Self {
            name,
            around,
            remote,
            options: options.clone(),
            ways: Vec::new(),
            room: 0,
            sequence: 0,
            epoch: options.epoch,
            retry_at: now(),
            order: Vec::new(),
        };
        tunnel.try_open()?;
        Ok(tunnel)
    }

    fn try_open(&mut self) -> Result<(), CarryError> {
        let name = self.name.clone();
        let failed = |operation| {
            let name = name.clone();
            move |source| CarryError::System { name, operation, source }
        };
        let count = if self.around.is_udp() { PORTS } else { 1 };
        let fragment = self.options.too_long == TooLong::Fragment;
        let mut ways = Vec::with_capacity(count);
        for _ in 0..count {
            let socket = if self.around.is_udp() {
                datagram::udp(self.remote, fragment).map_err(failed("open a socket"))?
            } else {
                datagram::raw(self.remote, i32::from(protocol::GRE), fragment)
                    .map_err(failed("open a raw socket (it needs CAP_NET_RAW)"))?
            };
            datagram::patience(&socket, self.options.patience).map_err(failed("set the patience of"))?;
            ways.push(Way::new(socket, self.options.patience));
        }
        self.ways = ways;
        self.measure();
        Ok(())
    }

    /// Asks how much the path takes.
    fn measure(&mut self) {
        let ip = if self.remote.is_ipv4() { 20 } else { 40 };
        let path = self.ways.first().and_then(|way| datagram::path_mtu(way.socket(), self.remote).ok());
        if self.around.is_udp() {
            // What has to be fragmented cannot be cut as well.
            let longest = path.unwrap_or(0).saturating_sub(ip + weir_wire::udp::LEN);
            self.ways.iter_mut().for_each(|way| way.join(longest));
        }
        let path = if self.options.too_long == TooLong::Fragment { None } else { path };
        let whole = path.unwrap_or(LONGEST).min(LONGEST);
        self.room = whole.saturating_sub(ip + self.around.len());
    }

    /// Opens sockets again that had no way.
    pub fn tick(&mut self) {
        if self.ways.is_empty() && now() >= self.retry_at {
            self.retry_at = now() + RETRY;
            // There may be no route for some time; who is interested was told when it went.
            let _ = self.try_open();
        }
    }

    pub const fn is_up(&self) -> bool {
        !self.ways.is_empty()
    }

    /// Where packets go: address, protocol and port.
    pub fn destination(&self) -> (IpAddr, u8, Option<u16>) {
        let (number, port) = if self.around.is_udp() {
            (protocol::UDP, Some(self.remote.port()))
        } else {
            (protocol::GRE, None)
        };
        (self.remote.ip(), number, port)
    }

    /// Sends packets, those of each flow in their order.
    pub fn put(&mut self, work: &mut Work<'_, '_>) -> Option<CarryError> {
        self.tick();
        self.measure();
        let room = self.room;
        work.fit(self.options.too_long, |_, _| room);
        let (mut order, lanes) = (std::mem::take(&mut self.order), self.ways.len().max(1));
        let mut trouble = None;
        for lane in 0..lanes {
            order.clear();
            let of_lane = |piece: &Piece<'_>| !piece.skip && piece.hash as usize % lanes == lane;
            order
                .extend((0u32..).zip(work.pieces.iter()).filter(|(_, p)| of_lane(p)).map(|(index, _)| index));
            trouble = self.deliver(lane, work, &order).or(trouble);
        }
        self.order = order;
        trouble
    }

    fn deliver(&mut self, lane: usize, work: &mut Work<'_, '_>, order: &[u32]) -> Option<CarryError> {
        let mut rest = order;
        while !rest.is_empty() {
            let Some(way) = self.ways.get_mut(lane) else {
                work.drop_all(rest, Reason::OutputDown);
                return None;
            };
            let (around, first, of) = (self.around, self.sequence, (self.options.tap, self.epoch));
            let front = move |headers: &mut [u8], piece: &Piece<'_>, number: u64| {
                let head = around.head(piece, headers, first.wrapping_add(number), of);
                let start = piece.packet.at.saturating_sub(head.bytes().len());
                if let Some(room) = headers.get_mut(start..piece.packet.at) {
                    room.copy_from_slice(head.bytes());
                }
                start
            };
            let (done, taken, why) = way.deliver(work, rest, &front);
            self.sequence = first.wrapping_add(taken);
            work.counts.packets += taken;
            rest = rest.get(done..).unwrap_or_default();
            match why {
                Why::Done => {}
                Why::TooLong => rest = self.shrink(work, rest),
                Why::Broken(source) => {
                    work.drop_all(rest, Reason::SendFailed);
                    // The local address may be gone: other sockets, with another address.
                    self.ways.clear();
                    self.retry_at = now() + RETRY;
                    let (name, operation) = (self.name.clone(), "send");
                    return Some(CarryError::System { name, operation, source });
                }
            }
        }
        None
    }

    /// The path takes less than before: the rest is made to fit. What fits and is still refused is given up, so that there is an end.
    fn shrink<'o>(&mut self, work: &mut Work<'_, '_>, rest: &'o [u32]) -> &'o [u32] {
        let before = self.room;
        self.measure();
        let room = self.room;
        if room < before {
            work.fit(self.options.too_long, |_, _| room);
        }
        let first = rest.first().and_then(|index| work.pieces.get(*index as usize));
        if room >= before || first.is_some_and(|piece| piece.skip) {
            work.drop_all(rest.get(..1).unwrap_or_default(), Reason::FrameTooLong);
            // Others that no longer fit would be refused in their turn, and are then given up in the same way.
            return rest.get(1..).unwrap_or_default();
        }
        rest
    }
}
