//! IPv4 (RFC 791).

use weir_ledger::Reason;
use weir_wire::Ipv4Header;

use super::{FragmentHeader, Header, SOURCE};
use crate::walk::{Step, Walk};

/// What the header says.
#[inline]
pub(super) fn header<'a>(walk: &mut Walk<'_>, bytes: &[u8]) -> Result<Header, Step<'a>> {
    let Ok(ip) = Ipv4Header::parse(bytes) else {
        return Err(walk.refuse("truncated_IP", SOURCE, Reason::TruncatedIp));
    };
    let ip_len = usize::from(ip.total_len());
    if ip_len == 0 {
        // Interfaces that cut segments themselves are handed packets without a length. Its checksum is not made yet
        // either, so whoever verifies checksums does not want it.
        walk.weird("ip_hdr_len_zero", None, Some(SOURCE));
        if walk.config.verify_checksums {
            return Err(Step::Drop(Reason::MalformedIp));
        }
    }
    let header_len = ip.header_len();
    let fragment = ip.is_fragment().then(|| FragmentHeader {
        id: u32::from(ip.id()),
        offset: usize::from(ip.fragment_offset()),
        more: ip.more_fragments(),
        dont: ip.dont_fragment(),
        next_at: 9,
        kept: header_len,
    });
    Ok(Header {
        version: 4,
        ttl: ip.ttl(),
        source: ip.source(),
        destination: ip.destination(),
        protocol: ip.protocol(),
        ip_len,
        to_the_end: ip_len == 0,
        len: header_len,
        fragment,
    })
}

/// Whether the header's checksum is right.
pub(super) fn checksum_is_valid(bytes: &[u8]) -> bool {
    Ipv4Header::parse(bytes).is_ok_and(|ip| ip.checksum_is_valid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::{packet, walk_all};
    use weir_wire::LinkType;

    fn verified(verify_checksums: bool, bytes: Vec<u8>) -> crate::testing::Found {
        walk_all(Config { verify_checksums, ..Config::default() }, LinkType::IPV4, &[bytes])
    }

    #[test]
    fn a_packet_without_length_goes_to_the_end_of_the_capture() {
        let mut bytes = packet();
        bytes[2..4].fill(0);
        let found = verified(false, bytes.clone());
        assert_eq!(found.weirds, ["ip_hdr_len_zero IP"]);
        assert_eq!((found.packets[0].head.ip_len, found.packets[0].transport_len()), (0, 13));
        assert_eq!(verified(true, bytes).dropped(Reason::MalformedIp), 1);
    }

    #[test]
    fn a_wrong_checksum_matters_only_to_those_who_verify() {
        let mut bytes = packet();
        bytes[8] = 1;
        assert_eq!(verified(false, bytes.clone()).packets.len(), 1);
        let found = verified(true, bytes);
        assert_eq!(found.weirds, ["bad_IP_checksum IP 10.0.0.1>10.0.0.2"]);
        assert_eq!(found.dropped(Reason::BadIpChecksum), 1);
        assert_eq!(verified(true, packet()).packets.len(), 1);
    }
}
