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
    Ok(build(walk, packet, &ports))
}

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
        depth: walk.depth,
        tunnel: walk.tunnel,
        parent: walk.parent,
        vlan: walk.vlan,
        inner_vlan: walk.inner_vlan,
        reassembled: walk.reassembled,
        truncated: packet.is_truncated(),
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

    #[test]
    fn a_counterpart_of_a_counterpart_is_the_message_itself() {
        for kind in 0..=255 {
            for of in [counterpart_v4, counterpart_v6] {
                assert!(of(kind).is_none_or(|other| of(other) == Some(kind)), "{kind}");
            }
        }
    }
}
