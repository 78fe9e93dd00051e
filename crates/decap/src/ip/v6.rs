//! IPv6 (RFC 8200).

use weir_ledger::Reason;
use weir_wire::checksum::Sum;
use weir_wire::ipv6::{LEN, extension as number};
use weir_wire::{Ipv6Header, TunnelKind};

use super::extension::Chain;
use super::{Header, SOURCE};
use crate::walk::{Step, Walk};

/// What the header and its extensions say.
pub(super) fn header<'a>(walk: &mut Walk<'_>, bytes: &[u8]) -> Result<Header, Step<'a>> {
    let Ok(ip) = Ipv6Header::parse(bytes) else {
        return Err(walk.refuse("truncated_IP", SOURCE, Reason::TruncatedIp));
    };
    let Some(chain) = Chain::walk(walk, ip, bytes) else {
        return Err(Step::Drop(Reason::TooDeep));
    };
    let jumbo_len = chain.jumbo_len.filter(|_| ip.payload_len() == 0);
    Ok(Header {
        version: 6,
        ttl: ip.hop_limit(),
        source: chain.source,
        destination: chain.destination,
        protocol: chain.protocol,
        ip_len: LEN.saturating_add(jumbo_len.map_or(usize::from(ip.payload_len()), |len| len as usize)),
        // A length of 0 without that option belongs to segments that the interface is to cut.
        to_the_end: ip.payload_len() == 0 && chain.len == LEN && chain.protocol != number::NONE,
        len: chain.len,
        fragment: chain.fragment,
    })
}

/// Headers that end the walk: behind ESP all is encrypted, mobility messages and "no next header" carry no transport.
pub(super) fn check_last<'a>(walk: &mut Walk<'_>, header: &Header, data: &[u8]) -> Result<(), Step<'a>> {
    match header.protocol {
        number::ESP => Err(Step::Drop(Reason::Encrypted)),
        number::MOBILITY => Err(mobility(walk, header, data)),
        number::NONE if walk.tunnel == TunnelKind::Teredo => Err(Step::Drop(Reason::NoTransport)),
        number::NONE => Err(walk.refuse("ipv6_no_next", SOURCE, Reason::NoTransport)),
        _ => Ok(()),
    }
}

/// A mobility header (RFC 6275, 6.1): next header, length, type, reserved, checksum.
fn mobility<'a>(walk: &mut Walk<'_>, header: &Header, data: &[u8]) -> Step<'a> {
    let whole = data.get(header.len..).unwrap_or_default();
    let [next, units, ..] = whole else { return Step::Drop(Reason::TruncatedTransport) };
    let message = whole.get(..8 + usize::from(*units) * 8);
    if let (true, Some(message)) = (walk.config.verify_checksums, message) {
        let sum = Sum::pseudo(&header.source, &header.destination, number::MOBILITY, message.len() as u32);
        if !sum.with(message).is_valid() {
            return walk.refuse("bad_MH_checksum", SOURCE, Reason::BadTransportChecksum);
        }
    }
    if *next != number::NONE {
        walk.weird("mobility_piggyback", None, Some(SOURCE));
    }
    Step::Drop(Reason::NoTransport)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::{udp, v6, walk, walk_all};
    use weir_wire::LinkType;

    #[test]
    fn a_packet_without_length_goes_to_the_end_of_the_capture() {
        let mut bytes = v6(17, &udp(b"hello"));
        bytes[4..6].fill(0);
        let found = walk(LinkType::IPV6, &bytes);
        assert_eq!((found.packets[0].head.ip_len, found.packets[0].transport_len()), (40, 13));
    }

    #[test]
    fn encrypted_mobile_and_empty_packets_are_no_flows() {
        let esp = walk(LinkType::IPV6, &v6(50, &[1; 20]));
        assert_eq!((esp.dropped(Reason::Encrypted), esp.weirds.len()), (1, 0));
        let mobile = |next| v6(135, &[next, 0, 5, 0, 0, 0, 0, 0]);
        assert_eq!(walk(LinkType::IPV6, &mobile(59)).weirds.len(), 0);
        assert_eq!(walk(LinkType::IPV6, &mobile(17)).weirds, ["mobility_piggyback IP fd00::1>fd00::2"]);
        let none = walk(LinkType::IPV6, &v6(59, &[]));
        assert_eq!(none.weirds, ["ipv6_no_next IP fd00::1>fd00::2"]);
        assert_eq!(none.dropped(Reason::NoTransport), 1);
    }

    #[test]
    fn a_wrong_checksum_of_a_mobility_message_is_seen_by_those_who_verify() {
        let config = Config { verify_checksums: true, ..Config::default() };
        let found = walk_all(config, LinkType::IPV6, &[v6(135, &[59, 0, 5, 0, 0, 0, 0, 0])]);
        assert_eq!(found.weirds, ["bad_MH_checksum IP fd00::1>fd00::2"]);
    }
}
