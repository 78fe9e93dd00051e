//! IPv4 (RFC 791).

use weir_ledger::Reason;
use weir_wire::Ipv4Header;

use super::{FragmentHeader, Header, SOURCE};
use crate::walk::{Step, Walk};

/// What the header says.
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
        header_len,
        fragment,
    })
}

/// Whether the header's checksum is right.
pub(super) fn checksum_is_valid(bytes: &[u8]) -> bool {
    Ipv4Header::parse(bytes).is_ok_and(|ip| ip.checksum_is_valid())
}
