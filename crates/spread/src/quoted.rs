//! The flow that a packet belongs to: its own, or, of an ICMP error, that of the packet which it quotes.
//!
//! Source: RFC 792; RFC 4443, 2.4 and 3. Extension headers of a quoted IPv6 packet are not passed.

use weir_wire::bytes::be16;
use weir_wire::flow::protocol;
use weir_wire::{Address, FlowKey, Ipv4Header, Ipv6Header, Packet, ipv4, ipv6};

/// The length of an error's own header.
const HEADER: usize = 8;
/// The ports of a quoted packet.
const PORTS: usize = 4;

/// Which flow goes where this packet goes: that of an ICMP error is the flow in which the error is about a packet, so that a
/// router's message is with the connection that it concerns.
pub fn flow_of(packet: &Packet<'_>) -> FlowKey {
    let key = packet.head.key;
    let transport = packet.transport();
    let kind = transport.first().copied().unwrap_or_default();
    let quote = transport.get(HEADER..).unwrap_or_default();
    let found = match (key.protocol, kind) {
        // Unreachable, source quench, redirect, time exceeded, parameter problem.
        (protocol::ICMP, 3 | 4 | 5 | 11 | 12) => quoted_v4(quote),
        // Unreachable, packet too big, time exceeded, parameter problem.
        (protocol::ICMPV6, 1..=4) => quoted_v6(quote),
        _ => None,
    };
    let Some((number, source, destination)) = found else { return key };
    FlowKey::new(key.tenant, number, source, destination).0
}

pub(crate) type Quoted = (u8, (Address, u16), (Address, u16));

/// The packet at the start of `quote`: its protocol, source and destination.
pub(crate) fn quoted_v4(quote: &[u8]) -> Option<Quoted> {
    let ip = Ipv4Header::parse(quote).ok().filter(|_| quote.len() >= ipv4::MIN_LEN + PORTS)?;
    let transport = if ip.fragment_offset() == 0 { quote.get(ip.header_len()..) } else { None };
    let (number, ports) = ports(ip.protocol(), transport);
    Some((number, (ip.source(), ports[0]), (ip.destination(), ports[1])))
}

/// The same for IPv6.
pub(crate) fn quoted_v6(quote: &[u8]) -> Option<Quoted> {
    let ip = Ipv6Header::parse(quote).ok().filter(|_| quote.len() >= ipv6::LEN + PORTS)?;
    let (number, ports) = ports(ip.next_header(), quote.get(ipv6::LEN..));
    Some((number, (ip.source(), ports[0]), (ip.destination(), ports[1])))
}

/// The ports at the start of `transport`; where there are none, protocol 0, so that none are hashed.
fn ports(number: u8, transport: Option<&[u8]>) -> (u8, [u16; 2]) {
    let ports = transport.and_then(|bytes| Some([be16(bytes, 0)?, be16(bytes, 2)?]));
    match (number, ports) {
        (protocol::TCP | protocol::UDP, Some(ports)) => (number, ports),
        (protocol::TCP | protocol::UDP, None) => (0, [0; 2]),
        _ => (number, [0; 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_wire::{Data, Direction, Head, Role, TenantId, Time, TunnelKind, Uid};

    fn packet(protocol: u8, bytes: &[u8]) -> Packet<'_> {
        let ends = ((Address::v4([9, 9, 9, 9]), 1), (Address::v4([10, 0, 0, 1]), 0));
        let head = Head {
            time: Time(0),
            sequence: 0,
            tap: 0,
            frames: 1,
            frame_bytes: 0,
            key: FlowKey::one_way(TenantId(3), protocol, ends.0, ends.1),
            direction: Direction::Up,
            role: Role::Innermost,
            one_way: true,
            ip_version: 4,
            ttl: 1,
            ip_len: 0,
            transport_at: 0,
            link_len: 0,
            depth: 0,
            tunnel: TunnelKind::None,
            parent: Uid::NONE,
            vlan: 0,
            inner_vlan: 0,
            reassembled: false,
            truncated: false,
        };
        Packet { head, data: Data::Frame(bytes) }
    }

    fn v4(protocol: u8, offset: u8) -> Vec<u8> {
        let ip = [0x45, 0, 0, 40, 0, 0, 0, offset, 1, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        [&[3, 1, 0, 0, 0, 0, 0, 0][..], &ip, &[0, 7, 0, 80, 0, 0, 0, 0]].concat()
    }

    #[test]
    fn an_error_goes_with_the_flow_that_it_quotes() {
        let (a, b) = (Address::v4([10, 0, 0, 1]), Address::v4([10, 0, 0, 2]));
        let expected =
            |number, ports: (u16, u16)| FlowKey::new(TenantId(3), number, (b, ports.1), (a, ports.0)).0;
        assert_eq!(flow_of(&packet(1, &v4(6, 0))), expected(6, (7, 80)));
        assert_eq!(flow_of(&packet(1, &v4(17, 0))), expected(17, (7, 80)));
        assert_eq!(flow_of(&packet(1, &v4(50, 0))), expected(50, (0, 0)));
        // A later fragment has no ports.
        assert_eq!(flow_of(&packet(1, &v4(6, 9))), expected(0, (0, 0)));
    }

    #[test]
    fn an_error_over_ipv6_does_too() {
        let quote =
            [&[1, 4, 0, 0, 0, 0, 0, 0, 0x60, 0, 0, 0, 0, 8, 6, 1][..], &[1; 16], &[2; 16], &[0, 7, 0, 80]];
        let quote = quote.concat();
        let (a, b) = ((Address::v6([1; 16]), 7), (Address::v6([2; 16]), 80));
        assert_eq!(flow_of(&packet(58, &quote)), FlowKey::new(TenantId(3), 6, a, b).0);
        let own = packet(58, &quote[..50]);
        assert_eq!(flow_of(&own), own.head.key, "a quote cut short tells nothing");
    }

    #[test]
    fn what_is_no_error_goes_its_own_way() {
        let mut echo = v4(6, 0);
        echo[0] = 8;
        for own in [packet(1, &echo), packet(6, &v4(6, 0)), packet(1, &v4(6, 0)[..30]), packet(1, &[])] {
            assert_eq!(flow_of(&own), own.head.key);
        }
    }
}
