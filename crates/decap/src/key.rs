//! From an IP packet to its flow.
//!
//! TCP and UDP have their ports. ICMP has the type as the source's "port" and the type of the matching answer as the
//! destination's, as Zeek has it (src/packet_analysis/protocol/icmp/ICMP.cc), so that question and answer are one
//! flow; messages without a counterpart have their code there, and a flow for each direction. All others have ports 0.

use weir_ledger::Reason;
use weir_wire::checksum::Sum;
use weir_wire::flow::protocol;
use weir_wire::{Direction, FlowKey, Head, IcmpHeader, Role, TcpHeader, UdpHeader};

use crate::ip::IpPacket;
use crate::walk::Walk;

/// How the ports of a packet are to be read.
struct Ports {
    source: u16,
    destination: u16,
    one_way: bool,
}

/// What is known of `packet`; it stands for no frame yet. An error where Zeek makes no connection of it either.
#[inline]
pub(crate) fn head(walk: &mut Walk<'_>, packet: &IpPacket<'_>) -> Result<Head, Reason> {
    let payload = packet.payload();
    let ports = match packet.protocol {
        protocol::TCP => {
            enough(walk, packet, weir_wire::tcp::MIN_LEN, "TCP")?;
            let tcp = TcpHeader::parse(payload).map_err(|_| Reason::TruncatedTransport)?;
            Ports { source: tcp.src_port(), destination: tcp.dst_port(), one_way: false }
        }
        protocol::UDP => {
            enough(walk, packet, weir_wire::udp::LEN, "UDP")?;
            let udp = UdpHeader::parse(payload).map_err(|_| Reason::TruncatedTransport)?;
            Ports { source: udp.src_port(), destination: udp.dst_port(), one_way: false }
        }
        protocol::ICMP | protocol::ICMPV6 => {
            enough(walk, packet, weir_wire::icmp::LEN, "ICMP")?;
            let icmp = IcmpHeader::parse(payload).map_err(|_| Reason::TruncatedTransport)?;
            icmp_ports(packet.protocol == protocol::ICMP, &icmp)
        }
        protocol::IGMP => return Err(igmp(walk, payload)),
        _ => Ports { source: 0, destination: 0, one_way: false },
    };
    if walk.config.verify_checksums {
        verify(walk, packet)?;
    }
    walk.ask();
    Ok(build(walk, packet, &ports))
}

#[inline]
fn build(walk: &Walk<'_>, packet: &IpPacket<'_>, ports: &Ports) -> Head {
    let source = (packet.source, ports.source);
    let destination = (packet.destination, ports.destination);
    let (key, direction) = if ports.one_way {
        (FlowKey::one_way(walk.tenant, packet.protocol, source, destination), Direction::Up)
    } else {
        FlowKey::new(walk.tenant, packet.protocol, source, destination)
    };
    Head {
        time: walk.time,
        sequence: walk.sequence,
        tap: walk.tap,
        frames: 0,
        frame_bytes: 0,
        key,
        direction,
        role: Role::Innermost,
        one_way: ports.one_way,
        ip_version: packet.version,
        ttl: packet.ttl,
        ip_len: packet.ip_len,
        transport_at: packet.transport_at as u16,
        link_len: link_len(walk, packet),
        depth: walk.depth,
        tunnel: walk.tunnel,
        parent: walk.parent,
        vlan: walk.vlan,
        inner_vlan: walk.inner_vlan,
        reassembled: walk.reassembled,
        truncated: packet.is_truncated(),
    }
}

/// See [`Head::link_len`].
fn link_len(walk: &Walk<'_>, packet: &IpPacket<'_>) -> u16 {
    match walk.ethernet_at {
        0 => 0,
        at => u16::try_from(packet.data.as_ptr().addr().wrapping_sub(at)).unwrap_or(0),
    }
}

/// Whether `min` bytes of transport header were sent, and captured.
fn enough(
    walk: &mut Walk<'_>,
    packet: &IpPacket<'_>,
    min: usize,
    source: &'static str,
) -> Result<(), Reason> {
    let name = if packet.payload_len() < min && packet.payload_len() > 0 {
        "truncated_header"
    } else if packet.payload().len() < min {
        "internally_truncated_header"
    } else {
        return Ok(());
    };
    walk.weird(name, None, Some(source));
    Err(Reason::TruncatedTransport)
}

/// IGMP is no connection. Zeek looks at its messages, and tells of a wrong checksum even where it ignores checksums.
fn igmp(walk: &mut Walk<'_>, message: &[u8]) -> Reason {
    if message.len() >= 8 && !Sum::default().with(message).is_valid() {
        walk.weird("igmp_invalid_checksum", None, Some("IGMP"));
    }
    Reason::Igmp
}

fn icmp_ports(is_v4: bool, icmp: &IcmpHeader<'_>) -> Ports {
    let counterpart = if is_v4 { counterpart_v4(icmp.kind()) } else { counterpart_v6(icmp.kind()) };
    Ports {
        source: u16::from(icmp.kind()),
        destination: u16::from(counterpart.unwrap_or_else(|| icmp.code())),
        one_way: counterpart.is_none(),
    }
}

/// The answer to an ICMP message, or the question that it answers: echo, router, timestamp, information, mask.
const fn counterpart_v4(kind: u8) -> Option<u8> {
    Some(match kind {
        8 => 0,
        0 => 8,
        9 => 10,
        10 => 9,
        13 => 14,
        14 => 13,
        15 => 16,
        16 => 15,
        17 => 18,
        18 => 17,
        _ => return None,
    })
}

/// The same for ICMPv6: echo, multicast listener, router, neighbour, node information, home agent discovery.
const fn counterpart_v6(kind: u8) -> Option<u8> {
    Some(match kind {
        128 => 129,
        129 => 128,
        130 => 131,
        131 => 130,
        133 => 134,
        134 => 133,
        135 => 136,
        136 => 135,
        139 => 140,
        140 => 139,
        144 => 145,
        145 => 144,
        _ => return None,
    })
}

/// Whether the transport checksum is right, where the packet was captured in full.
fn verify(walk: &mut Walk<'_>, packet: &IpPacket<'_>) -> Result<(), Reason> {
    let payload = packet.payload();
    if packet.is_truncated() {
        return Ok(());
    }
    let (source, destination) = (&packet.source, &packet.destination);
    let sum = Sum::pseudo(source, destination, packet.protocol, payload.len() as u32);
    let (name, is_valid) = match packet.protocol {
        protocol::TCP => ("bad_TCP_checksum", sum.with(payload).is_valid()),
        protocol::UDP => {
            let udp = UdpHeader::parse(payload);
            ("bad_UDP_checksum", udp.is_ok_and(|udp| udp.checksum_is_valid(source, destination)))
        }
        protocol::ICMP => ("bad_ICMP_checksum", Sum::default().with(payload).is_valid()),
        protocol::ICMPV6 => ("bad_ICMP_checksum", sum.with(payload).is_valid()),
        _ => return Ok(()),
    };
    if is_valid {
        return Ok(());
    }
    walk.weird(name, None, None);
    Err(Reason::BadTransportChecksum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::{Found, udp, v4, v6, walk, walk_all};
    use weir_wire::LinkType;

    /// The flows of two packets from and to the same hosts.
    fn heads(protocol: u8, there: &[u8], back: &[u8]) -> (Head, Head) {
        let mut reply = v4(protocol, back);
        reply[15] = 2;
        reply[19] = 1;
        let found = walk_all(Config::default(), LinkType::RAW, &[v4(protocol, there), reply]);
        (found.packets[0].head, found.packets[1].head)
    }

    #[test]
    fn a_counterpart_of_a_counterpart_is_the_message_itself() {
        for kind in 0..=255 {
            for of in [counterpart_v4, counterpart_v6] {
                assert!(of(kind).is_none_or(|other| of(other) == Some(kind)), "{kind}");
            }
        }
    }

    #[test]
    fn an_echo_and_its_reply_are_one_flow() {
        let (echo, reply) = heads(1, &[8, 0, 0, 0, 0, 0, 0, 0], &[0; 8]);
        assert_eq!(echo.key, reply.key);
        assert_ne!(echo.direction, reply.direction);
        let ((_, source), (_, destination)) = echo.key.endpoints(echo.direction);
        assert_eq!((source, destination, echo.one_way), (8, 0, false));
    }

    #[test]
    fn errors_of_both_hosts_are_two_flows() {
        let (a, b) = heads(1, &[3, 1, 0, 0, 0, 0, 0, 0], &[3, 1, 0, 0, 0, 0, 0, 0]);
        assert!(a.one_way && a.key != b.key);
        assert_eq!((b.key.lower_port, b.key.upper_port, b.direction), (3, 1, Direction::Up));
    }

    #[test]
    fn protocols_without_ports_are_flows_by_their_number() {
        let (a, b) = heads(132, &[1, 2, 3, 4], &[]);
        assert_eq!((a.key, a.key.protocol, a.key.lower_port), (b.key, 132, 0));
        let found = walk_all(Config::default(), LinkType::RAW, &[v4(132, &[]), v4(133, &[])]);
        assert_ne!(found.packets[0].head.key, found.packets[1].head.key);
    }

    #[test]
    fn a_transport_header_that_is_too_short_is_no_flow() {
        let found = walk(LinkType::RAW, &v4(6, &[0; 19]));
        assert_eq!(found.weirds, ["truncated_header TCP 10.0.0.1>10.0.0.2"]);
        assert_eq!(found.dropped(Reason::TruncatedTransport), 1);
        assert_eq!(walk(LinkType::RAW, &v6(58, &[128, 0, 0, 0])).weirds.len(), 1);
    }

    #[test]
    fn igmp_is_seen_but_no_flow() {
        let found = walk(LinkType::RAW, &v4(2, &[0x11, 0, 0xee, 0xff, 0, 0, 0, 0]));
        assert_eq!((found.dropped(Reason::Igmp), found.weirds.len()), (1, 0));
        let found = walk(LinkType::RAW, &v4(2, &[0x11, 0, 0, 0, 0, 0, 0, 0]));
        assert_eq!(found.weirds, ["igmp_invalid_checksum IGMP 10.0.0.1>10.0.0.2"]);
    }

    #[test]
    fn wrong_transport_checksums_matter_only_to_those_who_verify() {
        let verified = |packet: Vec<u8>| -> Found {
            walk_all(Config { verify_checksums: true, ..Config::default() }, LinkType::RAW, &[packet])
        };
        assert_eq!(verified(v4(17, &udp(b"none"))).packets.len(), 1);
        let mut wrong = udp(b"hello");
        wrong[7] = 1;
        for (protocol, name, payload) in [
            (6, "bad_TCP_checksum", vec![1; 20]),
            (17, "bad_UDP_checksum", wrong),
            (1, "bad_ICMP_checksum", vec![8; 8]),
        ] {
            let found = verified(v4(protocol, &payload));
            assert_eq!(found.weirds, [format!("{name} 10.0.0.1>10.0.0.2")]);
            assert_eq!(found.dropped(Reason::BadTransportChecksum), 1);
        }
        assert_eq!(verified(v4(1, &[8, 0, 0xf7, 0xff, 0, 0, 0, 0])).packets.len(), 1);
    }
}
