//! Tunnels that UDP carries: VXLAN, GENEVE, Teredo, AYIYA, GTP.
//!
//! A connection whose datagrams are not what its port says is left alone from then on, which analyzer.log tells, except
//! GTP, whose ports also carry other versions of it (Zeek: src/packet_analysis/protocol).

use weir_ledger::Reason;
use weir_record::{Analyzer, ConnUid, Name, Port};
use weir_wire::flow::protocol;
use weir_wire::tunnel::{
    AyiyaHeader, GeneveHeader, GtpHeader, TeredoHeader, VxlanHeader, ayiya, gtp, teredo,
};
use weir_wire::{ConnId, Head, Malformed, TunnelKind, ipv6, udp};

use super::ip::check;
use super::table::Flow;
use super::{Inner, Over, Tunnels, is_too_deep};
use crate::around::Tunnelled;
use crate::config::{Config, TenantBy};
use crate::ip::IpPacket;
use crate::walk::{Layer, Step, Walk};

/// Ports at which other servers are likely, so that who asks them from a tunnel's port is no server (Zeek:
/// `likely_server_ports`).
const SERVERS: [u16; 16] =
    [53, 67, 88, 123, 137, 161, 162, 389, 443, 514, 1812, 3389, 5060, 5353, 5355, 20_000];
const ETHERNET: u16 = 0x6558;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// The tunnels over UDP.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Vxlan,
    Geneve,
    Teredo,
    Ayiya,
    Gtp,
}

impl Protocol {
    /// As the log tells tunnels apart.
    const fn kind(self) -> TunnelKind {
        match self {
            Self::Vxlan => TunnelKind::Vxlan,
            Self::Geneve => TunnelKind::Geneve,
            Self::Teredo => TunnelKind::Teredo,
            Self::Ayiya => TunnelKind::Ayiya,
            Self::Gtp => TunnelKind::Gtpv1,
        }
    }

    /// Zeek's name of its analyser.
    const fn name(self) -> &'static str {
        match self {
            Self::Vxlan => "VXLAN",
            Self::Geneve => "GENEVE",
            Self::Teredo => "TEREDO",
            Self::Ayiya => "AYIYA",
            Self::Gtp => "GTPV1",
        }
    }
}

/// What a datagram turned out to be.
enum Found<'a> {
    /// A tunnelled packet, in the network of the number.
    Inner(Option<u32>, Layer, &'a [u8]),
    /// The tunnel's, but with nothing to go on with; the weird about it.
    Empty(Option<&'static str>),
    /// None that is tunnelled.
    Nothing,
    /// Not what it should be, which is weird.
    Weird(&'static str, String),
    /// Not what it should be.
    Violation(&'static str),
}

impl Tunnels {
    /// Whether the UDP datagram in `packet`, whose flow `outer` tells, carries a tunnel.
    pub fn over_udp<'a>(
        &mut self,
        walk: &mut Walk<'_>,
        outer: &Head,
        packet: &IpPacket<'a>,
    ) -> Option<Inner<'a>> {
        let ((source, from), (destination, to)) = outer.key.endpoints(outer.direction);
        let payload = packet.payload().get(udp::LEN..).unwrap_or_default();
        // Most datagrams leave here, before any table is asked.
        let by_port = |port| by_port(walk.config, port);
        by_port(from).or_else(|| by_port(to)).or_else(|| by_payload(payload))?;
        let id = ConnId { orig_h: source, orig_p: from, resp_h: destination, resp_p: to };
        let is_answer = by_port(from).is_some() && by_port(to).is_none() && !SERVERS.contains(&to);
        let id = if is_answer { id.flip() } else { id };
        let flow = self.over_udp.touch(&outer.key, &self.key, id, walk.time, walk.entries);
        let tunnel = by_port(flow.id.resp_p).or_else(|| by_payload(payload))?;
        if (flow.violated && tunnel != Protocol::Gtp) || is_too_deep(walk, tunnel.name()) {
            return None;
        }
        let is_orig = (flow.id.orig_h, flow.id.orig_p) == (source, from);
        let (network, layer, bytes) = match find(walk, flow, tunnel, payload) {
            Found::Inner(network, layer, bytes) => (network, layer, bytes),
            Found::Nothing => return None,
            Found::Empty(weird) => {
                if let Some(weird) = weird {
                    walk.weird(weird, None, Some(tunnel.name()));
                }
                return Some(Inner { kind: tunnel.kind(), step: Step::Drop(Reason::TunnelNotIp) });
            }
            Found::Weird(weird, addl) => {
                walk.weird(weird, Some(addl.into()), Some(tunnel.name()));
                return None;
            }
            Found::Violation(reason) => {
                violate(walk, flow, tunnel, reason);
                return None;
            }
        };
        if let Some(side) = flow.valid.get_mut(usize::from(!is_orig)) {
            *side = true;
        }
        let kind = tunnel.kind();
        flow.kind = kind;
        let (uid, confirmed) = (flow.uid, tunnel != Protocol::Teredo || flow.valid == [true; 2]);
        if let Some(network) = network {
            walk.surrounded_by(TenantBy::Vni, network);
        }
        let origin = walk.origin.take();
        let tap = origin.map(|origin| Tunnelled::Tap(origin.tap, origin.source));
        walk.surrounded(network.map(Tunnelled::Vni));
        if tap.is_some() {
            walk.surrounded(tap);
        }
        let may_be_cut = network.is_some() && walk.depth <= 1 && walk.config.cut_mirrors;
        self.enter(walk, Over::Udp, outer.key, kind, uid);
        walk.is_mirrored = may_be_cut;
        if let Some(origin) = origin {
            walk.seen_at(&origin, bytes.len());
        }
        let kind = if confirmed { kind } else { TunnelKind::None };
        Some(Inner { kind, step: Step::Next(layer, bytes) })
    }
}

/// The tunnel of a responder's port.
fn by_port(config: &Config, port: u16) -> Option<Protocol> {
    Some(match port {
        port if config.vxlan_ports.contains(&port) => Protocol::Vxlan,
        port if config.geneve_ports.contains(&port) => Protocol::Geneve,
        teredo::PORT => Protocol::Teredo,
        ayiya::PORT => Protocol::Ayiya,
        port if port == gtp::PORTS[0] || port == gtp::PORTS[1] => Protocol::Gtp,
        _ => return None,
    })
}

/// The tunnel that a payload on another port looks like.
#[inline]
fn by_payload(payload: &[u8]) -> Option<Protocol> {
    if AyiyaHeader::is_likely(payload) {
        Some(Protocol::Ayiya)
    } else if TeredoHeader::is_likely(payload) {
        Some(Protocol::Teredo)
    } else {
        None
    }
}

fn find<'a>(walk: &mut Walk<'_>, flow: &Flow, tunnel: Protocol, payload: &'a [u8]) -> Found<'a> {
    match tunnel {
        Protocol::Vxlan => in_vxlan(payload),
        Protocol::Geneve => in_geneve(walk, payload),
        Protocol::Teredo => in_teredo(walk, flow, payload),
        Protocol::Ayiya => in_ayiya(payload),
        Protocol::Gtp => in_gtp(walk, payload),
    }
}

fn in_vxlan(payload: &[u8]) -> Found<'_> {
    match VxlanHeader::parse(payload) {
        Ok(header) if header.inner().is_empty() => Found::Empty(Some("vxlan_empty_packet")),
        Ok(header) => Found::Inner(Some(header.vni()), Layer::Ethernet, header.inner()),
        Err(Malformed::Value) => Found::Violation("VXLAN 'I' flag not set"),
        Err(_) => Found::Violation("VXLAN header truncation"),
    }
}

fn in_geneve<'a>(walk: &mut Walk<'_>, payload: &'a [u8]) -> Found<'a> {
    let header = match GeneveHeader::parse(payload) {
        Ok(header) => header,
        Err(Malformed::Version) => {
            let version = payload.first().map_or(0, |first| first >> 6);
            return Found::Weird("geneve_invalid_version", version.to_string());
        }
        Err(Malformed::Length) => return Found::Violation("Geneve option header truncation"),
        Err(_) => return Found::Violation("Geneve header truncation"),
    };
    walk.said_by(&header);
    if header.inner().is_empty() {
        return Found::Empty(Some("geneve_empty_packet"));
    }
    let layer = match header.protocol() {
        ETHERNET => Layer::Ethernet,
        IPV4 | IPV6 => Layer::Ip,
        _ => return Found::Empty(None),
    };
    Found::Inner(Some(header.vni()), layer, header.inner())
}

fn in_teredo<'a>(walk: &mut Walk<'_>, flow: &Flow, payload: &'a [u8]) -> Found<'a> {
    let Ok(header) = TeredoHeader::parse(payload) else {
        return Found::Violation("Bad Teredo encapsulation");
    };
    let packet = header.inner();
    match check(6, packet) {
        Ok(()) => {}
        // A bubble (RFC 4380, 2.8) has no payload, but some come with one behind it.
        Err("inner_IP_payload_length_mismatch") if is_bubble(packet) => {
            let of = Some((flow.uid, flow.id));
            walk.entries.weird(walk.time, of, "Teredo_bubble_with_payload", None, Some("TEREDO"));
        }
        Err("inner_IP_payload_length_mismatch") => return Found::Violation("Teredo payload length"),
        Err(_) => return Found::Violation("Truncated Teredo or invalid inner IP version"),
    }
    Found::Inner(None, Layer::Ip, packet)
}

/// An IPv6 header that says that nothing follows.
fn is_bubble(packet: &[u8]) -> bool {
    matches!(packet, [_, _, _, _, 0, 0, ipv6::extension::NONE, ..])
}

fn in_ayiya(payload: &[u8]) -> Found<'_> {
    let Ok(header) = AyiyaHeader::parse(payload) else { return Found::Violation("Truncated AYIYA") };
    if header.operation() != ayiya::FORWARD {
        return Found::Nothing;
    }
    match header.next_header() {
        _ if header.inner().is_empty() => Found::Empty(Some("ayiya_empty_packet")),
        protocol::IPIP | protocol::IPV6 => Found::Inner(None, Layer::Ip, header.inner()),
        _ => Found::Empty(None),
    }
}

fn in_gtp<'a>(walk: &Walk<'_>, payload: &'a [u8]) -> Found<'a> {
    // What is cut short says nothing about who sends it: other protocols use these ports too.
    let Ok(header) = GtpHeader::parse(payload) else { return Found::Nothing };
    if walk.tunnel == TunnelKind::Gtpv1 {
        return Found::Violation("GTP-in-GTP");
    }
    if header.version() != 1 {
        return Found::Violation("GTPv1 bad Version");
    }
    if !header.is_gtp() || header.message() != gtp::G_PDU {
        return Found::Nothing;
    }
    let Ok(packet) = header.inner() else { return Found::Nothing };
    let version = match packet.first().map(|first| first >> 4) {
        _ if packet.len() < weir_wire::ipv4::MIN_LEN => return Found::Violation("Truncated GTPv1"),
        Some(version @ (4 | 6)) => version,
        _ => return Found::Violation("non-IP packet in GTPv1"),
    };
    match check(version, packet) {
        Ok(()) => Found::Inner(None, Layer::Ip, packet),
        Err("inner_IP_payload_length_mismatch") => Found::Violation("GTPv1 payload length"),
        Err(_) => Found::Violation("Truncated GTPv1"),
    }
}

/// The connection is not what its port says: told once.
fn violate(walk: &mut Walk<'_>, flow: &mut Flow, tunnel: Protocol, reason: &'static str) {
    if std::mem::replace(&mut flow.violated, true) {
        return;
    }
    walk.entries.push(Analyzer {
        ts: walk.time,
        analyzer_kind: "packet".into(),
        analyzer_name: tunnel.name().into(),
        uid: Some(ConnUid(flow.uid)),
        fuid: None,
        orig_h: Some(flow.id.orig_h),
        orig_p: Some(Port(flow.id.orig_p)),
        resp_h: Some(flow.id.resp_h),
        resp_p: Some(Port(flow.id.resp_p)),
        proto: Some(Name("udp")),
        failure_reason: reason.into(),
        failure_data: None,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Found, ethernet, packet, udp as datagram, v4, v6, walk, walk_all};
    use crate::{Config, Tenants};
    use weir_wire::tunnel::{Origin, TunnelHead};
    use weir_wire::{LinkType, Role, TenantId, Time};

    /// A datagram from port 4000 to `port`.
    fn to(port: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = datagram(payload);
        bytes[..2].copy_from_slice(&4000_u16.to_be_bytes());
        bytes[2..4].copy_from_slice(&port.to_be_bytes());
        v4(17, &bytes)
    }

    /// The same the other way.
    fn from(port: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = to(port, payload);
        bytes[20..22].copy_from_slice(&port.to_be_bytes());
        bytes[22..24].copy_from_slice(&4000_u16.to_be_bytes());
        bytes[12..20].copy_from_slice(&[10, 0, 0, 2, 10, 0, 0, 1]);
        bytes
    }

    fn vxlan(vni: u8) -> Vec<u8> {
        [&[8, 0, 0, 0, 0, 0, vni, 0][..], &ethernet(0x0800, &packet())].concat()
    }

    fn gtp(inner: &[u8]) -> Vec<u8> {
        [&[0x30, 255, 0, 0, 0, 0, 0, 1][..], inner].concat()
    }

    fn bubble() -> Vec<u8> {
        v6(59, &[])
    }

    fn shape(found: &Found) -> Vec<(Role, u8, u32)> {
        found.packets.iter().map(|p| (p.head.role, p.head.depth, p.head.frames)).collect()
    }

    #[test]
    fn what_each_tunnel_carries_comes_after_its_carrier() {
        let inner = v6(17, &datagram(b"x"));
        let frame = ethernet(0x86dd, &inner);
        let ayiya = [&[0x41, 0x52, 0x11, 41][..], &[0; 4 + 16 + 20], &inner].concat();
        for (port, payload, kind) in [
            (4789, [&[8, 0, 0, 0, 0, 0, 1, 0][..], &frame].concat(), TunnelKind::Vxlan),
            (6081, [&[1, 0, 0x65, 0x58, 0, 0, 1, 0, 0, 0, 0, 0][..], &frame].concat(), TunnelKind::Geneve),
            (6081, [&[0, 0, 0x86, 0xdd, 0, 0, 1, 0][..], &inner].concat(), TunnelKind::Geneve),
            (5072, ayiya.clone(), TunnelKind::Ayiya),
            (999, ayiya, TunnelKind::Ayiya),
            (2152, gtp(&inner), TunnelKind::Gtpv1),
        ] {
            let found = walk(LinkType::RAW, &to(port, &payload));
            assert_eq!(shape(&found), [(Role::Carrier(kind), 0, 0), (Role::Innermost, 1, 1)], "{kind:?}");
            assert_eq!(found.packets[1].data.bytes(), inner);
            assert_eq!(found.packets[1].head.tunnel, kind);
            assert!(found.packets[1].head.parent.is_some());
            assert_eq!(found.tunnels.len(), 2);
        }
    }

    #[test]
    fn a_tunnel_is_told_of_when_found_and_when_it_ends() {
        let found = walk_all(Config::default(), LinkType::RAW, &[from(4789, &vxlan(1)), to(4789, &vxlan(1))]);
        assert_eq!(found.packets[1].head.parent, found.packets[3].head.parent);
        assert_eq!(
            found.tunnels,
            [
                "0.000000 10.0.0.1:4000>10.0.0.2:4789 Tunnel::VXLAN Tunnel::DISCOVER",
                "1.000000 10.0.0.1:4000>10.0.0.2:4789 Tunnel::VXLAN Tunnel::CLOSE",
            ]
        );
    }

    #[test]
    fn teredo_is_confirmed_by_both_sides_and_a_bubble_alone_is_no_tunnel() {
        let alone = walk(LinkType::RAW, &to(3544, &bubble()));
        assert_eq!((shape(&alone).len(), alone.tunnels.len(), alone.weirds.len()), (1, 0, 0));
        let inner = v6(17, &datagram(b"x"));
        let frames = [to(3544, &inner), from(3544, &inner)];
        let found = walk_all(Config::default(), LinkType::RAW, &frames);
        assert_eq!(found.packets[0].head.role, Role::Carrier(TunnelKind::None));
        assert_eq!(found.packets[2].head.role, Role::Carrier(TunnelKind::Teredo));
        let padded = walk(LinkType::RAW, &to(3544, &[bubble(), vec![1; 4]].concat()));
        assert_eq!(padded.weirds, ["Teredo_bubble_with_payload TEREDO 10.0.0.1>10.0.0.2"]);
    }

    #[test]
    fn what_is_no_tunnel_is_a_datagram_like_any_other() {
        for (port, payload) in [
            (4789, vec![0; 60]),
            (4789, vec![8; 7]),
            (6081, vec![0x80; 60]),
            (6081, vec![0x3f; 60]),
            (3544, vec![1; 60]),
            (5072, vec![0xff; 60]),
            (2152, vec![0x30, 16, 0, 0, 0, 0, 0, 0]),
            (2152, gtp(&packet()[..30])),
            (2152, vec![0x48; 60]),
            (2152, vec![]),
            (53, gtp(&packet())),
        ] {
            let found = walk(LinkType::RAW, &to(port, &payload));
            assert_eq!(shape(&found), [(Role::Innermost, 0, 1)]);
        }
        let frames = [to(4789, &[0; 8]), to(4789, &vxlan(1))];
        assert_eq!(walk_all(Config::default(), LinkType::RAW, &frames).packets.len(), 2);
    }

    #[test]
    fn a_tunnel_around_nothing_is_weird_and_its_frame_is_accounted() {
        let found = walk(LinkType::RAW, &to(6081, &[0, 0, 0x65, 0x58, 0, 0, 1, 0]));
        assert_eq!(found.weirds, ["geneve_empty_packet GENEVE 10.0.0.1>10.0.0.2"]);
        assert_eq!(shape(&found), [(Role::Carrier(TunnelKind::Geneve), 0, 0)]);
        assert_eq!(found.dropped(Reason::TunnelNotIp), 1);
    }

    #[test]
    fn gtp_in_gtp_is_not_a_tunnel() {
        let found = walk(LinkType::RAW, &to(2152, &gtp(&to(2152, &gtp(&packet())))));
        let roles = [(Role::Carrier(TunnelKind::Gtpv1), 0, 0), (Role::Innermost, 1, 1)];
        assert_eq!(shape(&found), roles);
    }

    #[test]
    fn networks_may_be_tenants() {
        let tenants = Tenants { by: TenantBy::Vni, ..Tenants::default() };
        let config = Config { tenants, ..Config::default() };
        let found = walk_all(config, LinkType::RAW, &[to(4789, &vxlan(7)), to(4789, &vxlan(8))]);
        let tenants: Vec<_> = found.packets.iter().map(|p| p.head.key.tenant).collect();
        assert_eq!(tenants, [TenantId(0), TenantId(7), TenantId(0), TenantId(8)]);
        assert_eq!(found.packets[1].head.parent, found.packets[3].head.parent);
    }

    /// A frame of 1000 bytes of which the tap sent the first 200, as number `sequence`, seen 3 s before it came.
    fn from_tap(sequence: u64, arrival: i64) -> Vec<u8> {
        let whole = ethernet(0x0800, &v4(17, &datagram(&[7; 958])));
        let time = Time::from_parts(arrival - 3, 123_456_789);
        let origin = Origin { tap: 9, source: 1, epoch: 5, sequence, wire_len: whole.len() as u32, time };
        let head = TunnelHead::geneve(ETHERNET, 7, &origin.emit());
        to(6081, &[head.bytes(), &whole[..200]].concat())
    }

    #[test]
    fn a_tap_tells_when_it_saw_a_packet_and_how_long_that_was() {
        let found = walk(LinkType::RAW, &from_tap(0, 0));
        assert!(found.weirds.is_empty(), "{:?}", found.weirds);
        let head = &found.packets[1].head;
        assert_eq!(head.time, Time::from_parts(-3, 123_456_000));
        assert!(head.truncated && found.packets[1].transport_len() == 966);
        let off = Config { tap_times: false, ..Config::default() };
        assert_eq!(walk_all(off, LinkType::RAW, &[from_tap(0, 0)]).packets[1].head.time, Time(0));
        let wrong_clock = walk(LinkType::RAW, &from_tap(0, 60));
        assert_eq!(wrong_clock.packets[1].head.time, Time(0));
    }

    #[test]
    fn what_taps_number_and_do_not_come_is_counted() {
        let mut decap = crate::Decap::new(Config::default(), weir_wire::UidKey::default());
        for sequence in [0, 1, 4, 3] {
            let data = from_tap(sequence, 0);
            let frame = weir_wire::Frame {
                time: Time(0),
                tap: 0,
                sequence,
                link: LinkType::RAW,
                wire_len: data.len() as u32,
                offload: weir_wire::Offload::default(),
                data: &data,
            };
            decap.frame(&frame, &mut crate::Output::default());
        }
        let mut carried = crate::carried::Carried::default();
        carried.merge(decap.arrivals());
        let total = carried.total();
        assert_eq!((total.received, total.lost, total.reordered), (4, 1, 1));
    }

    #[test]
    fn a_packet_that_a_cloud_cut_to_fit_its_tunnel_is_a_truncated_packet() {
        let whole = ethernet(0x0800, &v4(17, &datagram(&[7; 958])));
        let mirrored = to(4789, &[&[8, 0, 0, 0, 0, 0, 7, 0][..], &whole[..200]].concat());
        let found = walk(LinkType::RAW, &mirrored);
        assert!(found.weirds.is_empty() && found.packets[1].head.truncated, "{:?}", found.weirds);
        assert_eq!(found.packets[1].head.ip_len, 986);
        let as_zeek = Config { cut_mirrors: false, ..Config::default() };
        let found = walk_all(as_zeek, LinkType::RAW, &[mirrored]);
        assert_eq!(found.weirds, ["truncated_IP_len_in_tunnel IP"]);
    }

    #[test]
    fn tunnels_may_have_other_ports() {
        let config = Config { vxlan_ports: vec![4789, 5000], geneve_ports: vec![7000], ..Config::default() };
        let found = walk_all(config, LinkType::RAW, &[to(5000, &vxlan(1)), to(6081, &[0; 8])]);
        assert_eq!(shape(&found).len(), 3);
        assert_eq!(found.packets[1].head.tunnel, TunnelKind::Vxlan);
    }

    #[test]
    fn a_packet_that_was_mirrored_to_a_gateway_load_balancer_is_found_in_both_tunnels() {
        let options =
            [&[1, 8, 1, 2][..], &[0, 0, 0, 0, 0, 0, 0xab, 1], &[1, 8, 2, 2], &[9; 8], &[1, 8, 3, 1], &[1; 4]]
                .concat();
        let head = TunnelHead::geneve(IPV4, 0, &options);
        let found = walk(LinkType::RAW, &to(6081, &[head.bytes(), &to(4789, &vxlan(7))[..]].concat()));
        let roles: Vec<_> = found.packets.iter().map(|p| p.head.role).collect();
        let carriers = [TunnelKind::Geneve, TunnelKind::Vxlan].map(Role::Carrier);
        assert_eq!(roles, [carriers[0], carriers[1], Role::Innermost]);
        assert_eq!(found.packets[2].data.bytes(), packet());
    }

    proptest::proptest! {
        #[test]
        fn hostile_bytes_in_any_tunnel_leave_the_ledger_in_balance(
            first in proptest::array::uniform8(proptest::prelude::any::<u8>()),
            flags in proptest::sample::select(vec![0u8, 1, 8, 0x30, 0x34, 0x36, 0x41, 0x60]),
            rest in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..120),
            inner in proptest::sample::select(vec![vec![], packet(), ethernet(0x0800, &packet())]),
        ) {
            let payload = [&[flags][..], &first, &rest, &inner].concat();
            let frames = [4789, 6081, 3544, 5072, 2152, 999].map(|port| to(port, &payload));
            let over_ip = [4, 41, 47].map(|protocol| v4(protocol, &payload));
            // The walk itself asserts the balance.
            walk_all(Config::default(), LinkType::RAW, &[&frames[..], &over_ip].concat());
        }
    }
}
