//! PPP (RFC 1661): in HDLC-like framing (RFC 1662), by itself, and over Ethernet (RFC 2516).

use weir_ledger::Reason;
use weir_wire::bytes::be16;

use crate::walk::{Layer, Step, Walk};

/// The layer behind a PPP protocol number.
const fn protocol(number: u16, bytes: &[u8]) -> Step<'_> {
    match number {
        0x0021 | 0x0057 => Step::Next(Layer::Ip, bytes),
        0x0281 => Step::Next(Layer::Mpls, bytes),
        _ => Step::Drop(Reason::NotIp),
    }
}

/// Address, control, protocol.
pub(super) fn serial<'a>(walk: &mut Walk<'_>, bytes: &'a [u8]) -> Step<'a> {
    match (be16(bytes, 2), bytes.get(4..)) {
        (Some(number), Some(rest)) if !rest.is_empty() => protocol(number, rest),
        _ => walk.refuse("truncated_ppp_serial_header", "PPPSERIAL", Reason::TruncatedLink),
    }
}

/// Address and control may have been left out (RFC 1661, 6.6), and the protocol cut to one byte (6.5): even numbers
/// have a second byte.
pub(super) fn raw<'a>(walk: &mut Walk<'_>, bytes: &'a [u8]) -> Step<'a> {
    let bytes = bytes.strip_prefix(&[0xff, 0x03]).unwrap_or(bytes);
    match bytes {
        [odd, rest @ ..] if odd & 1 == 1 && !rest.is_empty() => protocol(u16::from(*odd), rest),
        [a, b, rest @ ..] if a & 1 == 0 && !rest.is_empty() => protocol(u16::from_be_bytes([*a, *b]), rest),
        _ => walk.refuse("truncated_ppp_header", "PPP", Reason::TruncatedLink),
    }
}

/// Version and type, code, session, length, and the protocol, which the length counts.
pub(super) fn over_ethernet<'a>(walk: &mut Walk<'_>, bytes: &'a [u8]) -> Step<'a> {
    let (Some(len), Some(number), Some(rest)) = (be16(bytes, 4), be16(bytes, 6), bytes.get(8..)) else {
        return walk.refuse("truncated_pppoe_header", "PPPOE", Reason::TruncatedLink);
    };
    if rest.is_empty() {
        return walk.refuse("truncated_pppoe_header", "PPPOE", Reason::TruncatedLink);
    }
    let claimed = usize::from(len);
    if claimed < rest.len() + 2 {
        walk.weird("pppoe_extra_data_after_payload", None, Some("PPPOE"));
    } else if claimed > rest.len() + 2 {
        walk.weird("pppoe_truncated_payload", None, Some("PPPOE"));
    }
    protocol(number, walk.trim(rest, claimed.saturating_sub(2)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ethernet, packet, v6, walk};
    use weir_wire::LinkType;

    #[test]
    fn every_form_of_the_header_is_passed() {
        for header in [&[0xff, 3, 0, 0x21][..], &[0, 0x21], &[0x21], &[0xff, 3, 0x21]] {
            assert_eq!(walk(LinkType::PPP, &[header, &packet()].concat()).only(), packet());
        }
        let serial = [&[0x0f, 0, 0, 0x57][..], &v6(17, &crate::testing::udp(b""))].concat();
        assert_eq!(walk(LinkType::PPP_SERIAL, &serial).packets.len(), 1);
        assert_eq!(walk(LinkType::PPP_SERIAL, &[0xff, 3, 0xc0, 0x21, 1]).dropped(Reason::NotIp), 1);
    }

    #[test]
    fn a_session_over_ethernet_tells_how_long_it_is() {
        let with_len = |len: usize, more: &[u8]| {
            let header = [0x11, 0, 0, 1, 0, len as u8, 0, 0x21];
            walk(LinkType::ETHERNET, &ethernet(0x8864, &[&header, &packet()[..], more].concat()))
        };
        let len = packet().len() + 2;
        assert_eq!(with_len(len, &[]).only(), packet());
        let padded = with_len(len, &[0; 5]);
        assert_eq!(padded.only(), packet());
        assert_eq!(padded.weirds, ["pppoe_extra_data_after_payload PPPOE"]);
        assert_eq!(with_len(len + 1, &[]).weirds, ["pppoe_truncated_payload PPPOE"]);
    }
}
