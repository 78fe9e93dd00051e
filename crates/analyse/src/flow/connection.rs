//! One connection of any transport: counts, state, streams and analysers, and its record.

use weir_ledger::{Reason, StreamAccount};
use weir_record::{Entries, Taps, Vantage};
use weir_wire::tcp::TcpHeader;
use weir_wire::udp::UdpHeader;
use weir_wire::{ConnId, Direction, FlowKey, Interval, Packet, Role, Time, TunnelKind, Uid, UidKey};

mod ahead;
mod closing;
mod record;

use super::History;
use super::roles::{begins_with_responder, transport_of};
use crate::Config;
use crate::context::{Connection, Context, Side, Transport, Verdict};
use crate::detect::{self, Detection, Expected};
use crate::file::Files;
use crate::tally::Tally;
use crate::tcp::{Piece, Reuse, Stream, Tcp};

/// How often a connection may move to another tunnel before Zeek says so.
const MAX_TUNNEL_CHANGES: u32 = 5;

/// So many FINs or RSTs of one side are a storm (Zeek: tcp_storm_thresh).
const STORM: u16 = 1000;
/// Those that are further apart are not (Zeek: tcp_storm_interarrival_thresh).
const STORM_PAUSE: Interval = Interval::from_secs(1);

/// What all flows of a lane share.
pub struct Shared {
    /// Bounds and habits.
    pub config: std::sync::Arc<Config>,
    /// The key of identifiers.
    pub key: UidKey,
    /// The files of the lane.
    pub files: Files,
    /// The connections that others of the lane announced.
    pub expected: Expected,
    /// The ledger of TCP payload.
    pub streams: StreamAccount,
    /// What was counted beside.
    pub tally: Tally,
}

/// What one packet added to the counts of its side.
#[derive(Clone, Copy)]
struct Taken {
    ip_bytes: u64,
    payload: u64,
}

/// The parts that only TCP has.
#[derive(Default)]
struct TcpFlow {
    machine: Tcp,
    streams: [Stream; 2],
    /// Sides whose end the analysers know of.
    ended: [bool; 2],
    skipping: bool,
    closing: closing::Closing,
}

/// One connection.
pub struct Flow {
    /// Its key.
    pub key: FlowKey,
    /// Sequence number of its first frame.
    pub first_sequence: u64,
    /// Time of its last packet.
    pub last: Time,
    /// The latest time of its packets: Zeek's clock does not go back where they do, but its durations do.
    clock: Time,
    connection: Connection,
    from_orig: Direction,
    packets: [u64; 2],
    ip_bytes: [u64; 2],
    payload: [u64; 2],
    active: [bool; 2],
    missed: u64,
    history: History,
    /// The tunnels that its packets came in; few connections have any.
    #[allow(
        clippy::box_collection,
        reason = "a list that is mostly missing takes a third of the room this way"
    )]
    parents: Option<Box<Vec<Uid>>>,
    /// The taps that saw it.
    taps: Taps,
    /// The tunnel that the last packet came in.
    parent: Uid,
    tunnel_changes: u32,
    tcp: Option<Box<TcpFlow>>,
    detection: Option<Box<Detection>>,
}

fn tunnel_service(kind: TunnelKind) -> Option<&'static str> {
    match kind {
        TunnelKind::Vxlan => Some("vxlan"),
        TunnelKind::Geneve => Some("geneve"),
        TunnelKind::Teredo => Some("teredo"),
        TunnelKind::Ayiya => Some("ayiya"),
        TunnelKind::Gtpv1 => Some("gtpv1"),
        TunnelKind::None | TunnelKind::Ip | TunnelKind::Gre | TunnelKind::Socks | TunnelKind::Http => None,
    }
}

impl Flow {
    /// The flow that begins with `packet`.
    pub fn new(packet: &Packet<'_>, key: &UidKey) -> Self {
        let head = &packet.head;
        let transport = transport_of(head.key.protocol);
        let ((source, from), (destination, to)) = head.key.endpoints(head.direction);
        let id = ConnId { orig_h: source, orig_p: from, resp_h: destination, resp_p: to };
        let uid = key.connection(&head.key, head.time);
        let mut flow = Self {
            key: head.key,
            first_sequence: head.sequence,
            last: head.time,
            // Zeek's clock begins at one second.
            clock: head.time.max(Time::from_parts(1, 0)),
            connection: Connection::new(uid, id, transport, head.time, false),
            from_orig: head.direction,
            packets: [0; 2],
            ip_bytes: [0; 2],
            payload: [0; 2],
            active: [false; 2],
            missed: 0,
            history: History::default(),
            parents: None,
            taps: Taps::of(head.tap),
            parent: Uid::NONE,
            tunnel_changes: 0,
            tcp: (transport == Transport::Tcp).then(Box::default),
            detection: None,
        };
        if let Some(tcp) = &mut flow.tcp {
            let likely = |port| detect::is_likely_server_port(transport, port);
            tcp.machine.keeps_roles = likely(to) && !likely(from);
        }
        if begins_with_responder(transport, packet, from, to) {
            flow.flip();
        }
        flow
    }

    fn flip(&mut self) {
        self.exchange_counts();
        self.connection.id = self.connection.id.flip();
        self.from_orig = self.from_orig.flip();
        if let Some(tcp) = &mut self.tcp {
            tcp.machine.flip();
        }
        self.history.flip();
    }

    fn exchange_counts(&mut self) {
        self.packets.reverse();
        self.ip_bytes.reverse();
        self.payload.reverse();
        self.active.reverse();
        if let Some(tcp) = &mut self.tcp {
            tcp.streams.reverse();
            tcp.ended.reverse();
        }
    }

    /// When the connection is over if nothing more comes.
    pub fn deadline(&self, config: &Config) -> Time {
        let flow = &config.flow;
        let idle = match self.connection.transport {
            Transport::Tcp => return self.tcp_deadline(config),
            Transport::Udp => flow.udp_inactivity,
            Transport::Icmp => flow.icmp_inactivity,
            Transport::Unknown => flow.unknown_inactivity,
        };
        let idle_at = self.last + idle;
        let dns = matches!(self.connection.id.resp_p, 53 | 137 | 5353 | 5355) && self.detection.is_some();
        if self.connection.transport == Transport::Udp && dns {
            // Zeek looks every ten seconds whether a DNS connection is idle (dns_session_timeout).
            let period = Interval::from_secs(10).0;
            let quiet = self.last.since(self.connection.start).0.saturating_add(Interval::from_secs(9).0);
            let checks = quiet.max(1).saturating_add(period - 1) / period;
            let at = self.connection.start + Interval(checks.max(1).saturating_mul(period));
            return at.min(idle_at);
        }
        idle_at
    }

    /// Whether `packet` begins another connection between the same endpoints; if that is weird, it is told.
    pub fn is_reused_by(&self, packet: &Packet<'_>, out: &mut Entries) -> bool {
        let Some(tcp) = &self.tcp else { return false };
        let Ok(header) = TcpHeader::parse(packet.transport()) else { return false };
        let now = packet.head.time;
        match tcp.machine.reuse(header.flags(), header.seq(), now.since(self.last)) {
            Reuse::No => false,
            Reuse::Yes => true,
            Reuse::Weird(name) => {
                self.weird(self.clock.max(now), name, Some("TCP"), out);
                true
            }
        }
    }

    /// `tap` saw a packet of it.
    #[inline]
    pub fn seen_by(&mut self, tap: u16) {
        self.taps.add(tap);
    }

    fn side(&self, direction: Direction) -> Side {
        Side::from_is_orig(direction == self.from_orig)
    }

    /// Analyses one packet of the flow; `Err` where it could not be.
    pub fn packet(
        &mut self,
        packet: &Packet<'_>,
        shared: &mut Shared,
        out: &mut Entries,
    ) -> Result<(), Reason> {
        let head = &packet.head;
        let side = self.side(head.direction);
        self.taps.add(head.tap);
        self.tunnel(head.parent, side, head.time, out);
        let cut = head.truncated && self.connection.transport == Transport::Icmp;
        if let (Some(packets), Some(bytes)) =
            (self.packets.get_mut(side.index()), self.ip_bytes.get_mut(side.index()))
            && !cut
        {
            *packets += 1;
            *bytes += u64::from(head.ip_len);
        }
        match self.connection.transport {
            Transport::Tcp => self.tcp_packet(packet, side, shared, out),
            Transport::Udp => self.udp_packet(packet, side, shared, out),
            Transport::Icmp => {
                self.last = head.time;
                self.count_payload(side, u64::from(packet.transport_len()).saturating_sub(8));
                Ok(())
            }
            Transport::Unknown => {
                self.last = head.time;
                Ok(())
            }
        }
    }

    /// The packet came in the tunnel `parent`; to change tunnels too often is weird, once.
    fn tunnel(&mut self, parent: Uid, side: Side, now: Time, out: &mut Entries) {
        let first = self.packets == [0, 0];
        if std::mem::replace(&mut self.parent, parent) != parent && !first {
            self.tunnel_changes = self.tunnel_changes.saturating_add(1);
            if self.tunnel_changes == MAX_TUNNEL_CHANGES + 1 {
                let of = Some((self.connection.uid, self.connection.id));
                out.weird(now, of, "tunnel_max_changes_per_connection_exceeded", Some("5".into()), None);
                self.history.add_once(side, b'X');
            }
        }
        if parent.is_some() && self.tunnel_changes <= MAX_TUNNEL_CHANGES {
            let parents = self.parents.get_or_insert_default();
            if !parents.contains(&parent) {
                parents.push(parent);
            }
        }
    }

    /// Takes a packet back that is not one of its transport.
    fn uncount(&mut self, side: Side, ip_len: u64) {
        if let (Some(packets), Some(bytes)) =
            (self.packets.get_mut(side.index()), self.ip_bytes.get_mut(side.index()))
        {
            *packets = packets.saturating_sub(1);
            *bytes = bytes.saturating_sub(ip_len);
        }
    }

    fn count_payload(&mut self, side: Side, len: u64) {
        if let (Some(sum), Some(active)) =
            (self.payload.get_mut(side.index()), self.active.get_mut(side.index()))
        {
            *sum += len;
            *active = true;
        }
    }

    /// A packet of `time` came: what the clock says.
    fn tick(&mut self, time: Time) -> Time {
        self.clock = self.clock.max(time);
        self.clock
    }

    fn weird(&self, now: Time, name: &'static str, source: Option<&'static str>, out: &mut Entries) {
        out.weird(now, Some((self.connection.uid, self.connection.id)), name, None, source);
    }

    fn udp_packet(
        &mut self,
        packet: &Packet<'_>,
        side: Side,
        shared: &mut Shared,
        out: &mut Entries,
    ) -> Result<(), Reason> {
        let now = self.tick(packet.head.time);
        let header = UdpHeader::parse(packet.transport()).map_err(|_| Reason::TruncatedTransport)?;
        if u32::from(header.len()) != packet.transport_len() {
            let of = Some((self.connection.uid, self.connection.id));
            let lengths = format!("{} != {}", header.len(), packet.transport_len());
            out.weird(now, of, "UDP_datagram_length_mismatch", Some(lengths.into()), Some("UDP"));
        }
        self.last = packet.head.time;
        self.history.add_once(side, b'D');
        // A length that is too short for the header makes no side active.
        let counted = u64::from(header.len()).checked_sub(8);
        if let Some(counted) = counted {
            self.count_payload(side, counted);
        }
        let counted = counted.unwrap_or_default();
        if let Role::Carrier(kind) = packet.head.role {
            if let Some(service) = tunnel_service(kind) {
                self.connection.add_service(service);
            }
            return Ok(());
        }
        let payload = header.payload();
        let detection = self.detection.get_or_insert_with(Box::default);
        if self.packets == [1, 0] || self.packets == [0, 1] {
            **detection = Detection::new(&context(&mut self.connection, shared, out, now));
        }
        detection.data(&mut context(&mut self.connection, shared, out, now), side, payload);
        self.take_flags(side, Taken { ip_bytes: u64::from(packet.head.ip_len), payload: counted });
        Ok(())
    }

    fn move_back(&mut self, side: Side, taken: Taken) {
        let shift = |counts: &mut [u64; 2], by: u64| {
            let [orig, resp] = counts;
            let (to, from) = if side.is_orig() { (orig, resp) } else { (resp, orig) };
            let by = by.min(*from);
            *from -= by;
            *to += by;
        };
        shift(&mut self.packets, 1);
        shift(&mut self.ip_bytes, taken.ip_bytes);
        shift(&mut self.payload, taken.payload);
        self.active = self.payload.map(|bytes| bytes > 0);
    }

    /// What the analysers said of the connection as a whole.
    fn take_flags(&mut self, side: Side, taken: Taken) {
        let Some(detection) = &mut self.detection else { return };
        let flags = detection.take_flags();
        if flags.unknown_message {
            self.history.add_once(side, b'X');
        }
        if flags.flipped {
            // What was counted before goes with its side; the packet in work stays where it was taken for.
            self.exchange_counts();
            self.move_back(side, taken);
            self.from_orig = self.from_orig.flip();
            if let Some(tcp) = &mut self.tcp {
                tcp.machine.flip();
            }
            self.history.flip();
        }
    }

    fn tcp_packet(
        &mut self,
        packet: &Packet<'_>,
        side: Side,
        shared: &mut Shared,
        out: &mut Entries,
    ) -> Result<(), Reason> {
        let now = self.tick(packet.head.time);
        let transport = packet.transport();
        let header = TcpHeader::parse(transport).map_err(|_| Reason::TruncatedTransport)?;
        let claimed = packet.transport_len();
        let header_len = header.header_len();
        let cut = header_len > transport.len() || header_len as u64 > u64::from(claimed);
        if header_len < weir_wire::tcp::MIN_LEN || cut {
            let (name, reason) = if cut {
                ("truncated_header", Reason::TruncatedTransport)
            } else {
                ("bad_TCP_header_len", Reason::MalformedTransport)
            };
            self.weird(now, name, Some("TCP"), out);
            self.uncount(side, u64::from(packet.head.ip_len));
            return Err(reason);
        }
        let len = claimed - header_len as u32;
        let captured = transport.get(header_len..).unwrap_or_default();
        let Some(tcp) = &mut self.tcp else { return Ok(()) };
        let idle = packet.head.time.since(self.last);
        if !(tcp.machine.orig().closed && tcp.machine.resp().closed) {
            self.last = packet.head.time;
        }
        let told = tcp.machine.segment(side, &header, len, &mut self.history);
        tcp.closing.reset |= told.reset;
        self.connection.partial = tcp.machine.partial;
        for (name, source) in told.weirds {
            out.weird(now, Some((self.connection.uid, self.connection.id)), name, None, source);
        }
        self.storm(side, &header, idle, now, out);
        let mut side = side;
        if told.flipped {
            self.exchange_counts();
            self.connection.id = self.connection.id.flip();
            self.from_orig = self.from_orig.flip();
            side = side.flip();
        }
        if let Some(to) = told.acked {
            self.acknowledged(side.flip(), to, now, shared, out);
            self.check_end(side.flip(), now, shared, out);
        }
        if let Some(at) = told.payload_at {
            if captured.len() < len as usize {
                self.weird(now, "truncated_tcp_payload", Some("TCP"), out);
            } else {
                let payload = captured.get(..len as usize).unwrap_or_default();
                self.payload_segment(side, at, payload, now, shared, out);
            }
        }
        self.take_flags(side, Taken { ip_bytes: u64::from(packet.head.ip_len), payload: 0 });
        self.check_end(side, now, shared, out);
        if told.close {
            self.close(side, shared.config.flow.tcp_close_delay);
        }
        Ok(())
    }

    /// Very many FINs or RSTs that follow each other at once are weird.
    fn storm(&self, side: Side, header: &TcpHeader<'_>, idle: Interval, now: Time, out: &mut Entries) {
        let Some(end) = self.tcp.as_ref().and_then(|tcp| tcp.machine.ends.get(side.index())) else { return };
        if idle >= STORM_PAUSE {
            return;
        }
        let flags = header.flags();
        for (is, count, name) in
            [(flags.fin(), end.fins, "FIN_storm"), (flags.rst(), end.resets, "RST_storm")]
        {
            if is && count >= STORM {
                self.weird(now, name, Some("TCP"), out);
            }
        }
    }

    fn acknowledged(&mut self, side: Side, to: u64, now: Time, shared: &mut Shared, out: &mut Entries) {
        let Some(tcp) = &mut self.tcp else { return };
        let [orig, resp] = &tcp.machine.ends;
        let end = if side.is_orig() { orig } else { resp };
        let to = end.fin.map_or(to, |fin| to.min((fin.get() - 1).max(0) as u64));
        let Some(stream) = tcp.streams.get_mut(side.index()) else { return };
        if tcp.machine.partial && to <= 2 {
            stream.begin_at(to);
            return;
        }
        let gap = to > stream.next();
        if stream.acknowledged(to) && tcp.machine.is_established() {
            shared.tally.ack(gap);
        }
        if gap {
            self.drain(side, now, shared, out);
        }
    }

    fn payload_segment(
        &mut self,
        side: Side,
        at: u64,
        payload: &[u8],
        now: Time,
        shared: &mut Shared,
        out: &mut Entries,
    ) {
        let bounds = &shared.config.tcp;
        let room = bounds.max_held_total.saturating_sub(shared.streams.held as usize);
        let Some(tcp) = &mut self.tcp else { return };
        let Some(stream) = tcp.streams.get_mut(side.index()) else { return };
        let limit = bounds.max_held_per_side.min(stream.held().saturating_add(room));
        let bytes = stream.segment(at, payload, limit, &mut shared.streams);
        if !bytes.is_empty() && !tcp.skipping {
            if self.detection.is_none() {
                let new = Detection::new(&context(&mut self.connection, shared, out, now));
                self.detection = Some(Box::new(new));
            }
            if let Some(detection) = &mut self.detection {
                detection.data(&mut context(&mut self.connection, shared, out, now), side, bytes);
            }
        }
        if self.tcp.as_ref().and_then(|t| t.streams.get(side.index())).is_some_and(|s| !s.is_settled()) {
            self.drain(side, now, shared, out);
        }
        self.give_up(side, now, shared, out);
        self.note_wishes(shared);
    }

    /// Hands on whatever the stream of `side` has ready.
    fn drain(&mut self, side: Side, now: Time, shared: &mut Shared, out: &mut Entries) {
        while let Some(tcp) = &mut self.tcp {
            let reports = tcp.machine.reports_gaps();
            let skipping = tcp.skipping;
            let Some(stream) = tcp.streams.get_mut(side.index()) else { return };
            let Some(piece) = stream.take(&mut shared.streams) else { return };
            if let (Piece::Gap(len), true) = (&piece, reports) {
                self.missed += len;
                if let Some(end) = tcp.machine.ends.get_mut(side.index()) {
                    let [_, _, gaps] = &mut end.scaled;
                    if gaps.count() {
                        self.history.add(side, b'G');
                    }
                }
            }
            if skipping {
                continue;
            }
            let Some(detection) = &mut self.detection else { continue };
            let mut cx = context(&mut self.connection, shared, out, now);
            match &piece {
                Piece::Data(bytes) => detection.data(&mut cx, side, bytes),
                Piece::Gap(len) => detection.gap(&mut cx, side, *len),
            }
        }
    }

    /// Stops keeping payload once nobody wants it.
    fn note_wishes(&mut self, shared: &mut Shared) {
        let Some(tcp) = &mut self.tcp else { return };
        if !tcp.skipping && self.detection.as_ref().is_some_and(|d| !d.wants_payload()) {
            tcp.skipping = true;
            for stream in &mut tcp.streams {
                stream.skip(&mut shared.streams);
            }
        }
    }

    /// The connection is over at `now`: its analysers end, its record is written.
    pub fn finish(mut self, now: Time, shared: &mut Shared, out: &mut Entries) {
        let vantage = Vantage { tenant: self.key.tenant, taps: self.taps };
        let in_work = std::mem::replace(&mut out.vantage, vantage);
        if let Some(mut detection) = self.detection.take() {
            detection.finish(&mut context(&mut self.connection, shared, out, now));
        }
        if let Some(tcp) = &mut self.tcp {
            for stream in &mut tcp.streams {
                stream.discard(&mut shared.streams);
            }
        }
        shared.tally.end(self.connection.transport);
        out.push(self.record(&shared.config));
        out.vantage = in_work;
    }

    /// Its transport.
    pub const fn transport(&self) -> Transport {
        self.connection.transport
    }

    /// The first service that was confirmed; "" while there is none.
    pub fn service(&self) -> &'static str {
        self.connection.services.first().copied().unwrap_or_default()
    }
}

/// The surroundings of a call into the analysers of `connection`.
fn context<'a>(
    connection: &'a mut Connection,
    shared: &'a mut Shared,
    out: &'a mut Entries,
    now: Time,
) -> Context<'a> {
    Context {
        now,
        connection,
        files: &mut shared.files,
        expected: &mut shared.expected,
        out,
        config: &shared.config,
        key: &shared.key,
        verdict: Verdict::default(),
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_without_payload_is_small() {
        // There are millions of them in a flood; an allocator rounds up to these.
        assert!(size_of::<Flow>() <= 320 && size_of::<TcpFlow>() <= 256);
    }
}
