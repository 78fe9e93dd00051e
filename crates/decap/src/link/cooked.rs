//! Link layers that an operating system makes up: Linux cooked capture, BSD loopback, the log of OpenBSD's packet
//! filter; and FDDI, which is passed over in the same way.

use weir_ledger::Reason;
use weir_wire::bytes::{be16, be32};

use super::ethertype;
use crate::walk::{Layer, Step, Walk};

/// Linux cooked capture v1: the Ethertype ends the header. Kinds of hardware whose "Ethertype" is something else (netlink)
/// do not name IP there.
pub(super) fn sll<'a>(walk: &mut Walk<'_>, bytes: &'a [u8]) -> Step<'a> {
    match (be16(bytes, 14), bytes.get(16..)) {
        (Some(number), Some(rest)) if !rest.is_empty() => ethertype(number, rest),
        _ => walk.refuse("truncated_Linux_SLL_header", "LINUXSLL", Reason::TruncatedLink),
    }
}

/// Linux cooked capture v2: the Ethertype begins the header.
pub(super) fn sll2<'a>(walk: &mut Walk<'_>, bytes: &'a [u8]) -> Step<'a> {
    match (be16(bytes, 0), bytes.get(20..)) {
        (Some(number), Some(rest)) if !rest.is_empty() => ethertype(number, rest),
        _ => walk.refuse("truncated_Linux_SLL2_header", "LINUXSLL2", Reason::TruncatedLink),
    }
}

/// BSD loopback: an address family, in the order of the capturing machine (so either), in network order for LOOP.
/// Families of IPv6 differ between systems.
pub(super) fn null<'a>(walk: &mut Walk<'_>, bytes: &'a [u8]) -> Step<'a> {
    let (Some(family), Some(rest)) = (be32(bytes, 0), bytes.get(4..)) else {
        return walk.refuse("null_analyzer_failed", "NULL", Reason::TruncatedLink);
    };
    let family = if family > 0xffff { family.swap_bytes() } else { family };
    match family {
        _ if rest.is_empty() => walk.refuse("null_analyzer_failed", "NULL", Reason::TruncatedLink),
        2 | 10 | 24 | 28 | 30 => Step::Next(Layer::Ip, rest),
        _ => Step::Drop(Reason::NotIp),
    }
}

/// OpenBSD's packet filter log: a header that tells its own length, rounded up to four bytes, and the address family.
pub(super) fn pflog<'a>(walk: &mut Walk<'_>, bytes: &'a [u8]) -> Step<'a> {
    let Some(&[len, family, ..]) = bytes.first_chunk::<2>() else {
        return walk.refuse("truncated_pflog_header", "PFLOG", Reason::TruncatedLink);
    };
    match bytes.get(usize::from(len).next_multiple_of(4)..) {
        _ if len < 45 => Step::Drop(Reason::MalformedLink),
        Some([]) | None => walk.refuse("truncated_pflog_header", "PFLOG", Reason::TruncatedLink),
        Some(rest) if matches!(family, 2 | 10 | 24 | 28 | 30) => Step::Next(Layer::Ip, rest),
        Some(_) => Step::Drop(Reason::NotIp),
    }
}

/// FDDI: frame control, two addresses, and LLC with SNAP.
pub(super) fn fddi<'a>(walk: &mut Walk<'_>, bytes: &'a [u8]) -> Step<'a> {
    match bytes.get(13..) {
        Some(rest) if rest.len() > 8 => Step::Next(Layer::Llc, rest),
        _ => walk.refuse("FDDI_analyzer_failed", "FDDI", Reason::TruncatedLink),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{packet, walk};
    use weir_wire::LinkType;

    fn finds(link: LinkType, header: &[u8]) {
        assert_eq!(walk(link, &[header, &packet()].concat()).only(), packet());
        let cut = walk(link, header);
        assert_eq!((cut.dropped(Reason::TruncatedLink), cut.weirds.len()), (1, 1));
    }

    #[test]
    fn made_up_headers_are_passed() {
        let sll = [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0];
        finds(LinkType::LINUX_SLL, &sll);
        let sll2 = [8, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];
        finds(LinkType::LINUX_SLL2, &sll2);
        finds(LinkType::NULL, &[2, 0, 0, 0]);
        finds(LinkType::LOOP, &[0, 0, 0, 2]);
        let pflog = [&[61, 2][..], &[0; 62]].concat();
        finds(LinkType::PFLOG, &pflog);
        let fddi = [&[0x50][..], &[0; 12], &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0]].concat();
        finds(LinkType::FDDI, &fddi);
    }

    #[test]
    fn an_address_family_other_than_ip_is_not_ip() {
        assert_eq!(walk(LinkType::NULL, &[7, 0, 0, 0, 1]).dropped(Reason::NotIp), 1);
    }
}
