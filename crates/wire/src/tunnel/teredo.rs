//! Teredo (RFC 4380, 5.1): IPv6 behind an optional authentication and an optional origin.

use crate::bytes::be16;
use crate::{Malformed, ipv6};

/// The UDP port of a server.
pub const PORT: u16 = 3544;
/// The prefix of Teredo addresses.
const PREFIX: [u8; 4] = [0x20, 0x01, 0, 0];
/// Tag, port and address.
const ORIGIN: usize = 8;
/// Tag and two lengths before, nonce and confirmation behind identifier and value.
const AUTHENTICATION: usize = 4 + 9;

/// What comes before the IPv6 packet, passed over.
#[derive(Clone, Copy, Debug)]
pub struct TeredoHeader<'a> {
    inner: &'a [u8],
}

impl<'a> TeredoHeader<'a> {
    /// A view of the UDP payload in `bytes`.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] where a header or the IPv6 header was cut, [`Malformed::Value`] where something else
    /// or a second header of a kind comes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut rest = bytes;
        if be16(rest, 0) == Some(1) {
            rest = authenticated(rest).ok_or(Malformed::Truncated)?;
        }
        if be16(rest, 0) == Some(0) {
            rest = rest.get(ORIGIN..).ok_or(Malformed::Truncated)?;
        }
        match rest.first() {
            None => Err(Malformed::Truncated),
            Some(first) if first >> 4 != 6 => Err(Malformed::Value),
            Some(_) if rest.len() < ipv6::LEN => Err(Malformed::Truncated),
            Some(_) => Ok(Self { inner: rest }),
        }
    }

    /// The IPv6 packet: 40 bytes at least, of version 6.
    pub const fn inner(&self) -> &'a [u8] {
        self.inner
    }

    /// Whether `bytes` look like Teredo on any port: an IPv6 packet with a Teredo address, or one behind an origin.
    pub fn is_likely(bytes: &[u8]) -> bool {
        if bytes.len() < ipv6::LEN {
            return false;
        }
        let has_prefix = |at: usize| bytes.get(at..).is_some_and(|b| b.starts_with(&PREFIX));
        let behind = match *bytes {
            [0x60..=0x6f, ..] => return has_prefix(8) || has_prefix(24),
            [0, 0, ..] => Some(bytes),
            [0, 1, ..] => authenticated(bytes).filter(|rest| be16(rest, 0) == Some(0)),
            _ => None,
        };
        let inner = behind.and_then(|b| b.get(ORIGIN..)).unwrap_or_default();
        inner.len() >= ipv6::LEN && inner.first().is_some_and(|first| first >> 4 == 6)
    }
}

/// What is behind the authentication.
fn authenticated(bytes: &[u8]) -> Option<&[u8]> {
    let &[_, _, identifier, value] = bytes.first_chunk::<4>()?;
    bytes.get(AUTHENTICATION + usize::from(identifier) + usize::from(value)..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet() -> Vec<u8> {
        [&[0x60, 0, 0, 0, 0, 0, 59, 1][..], &PREFIX, &[0; 28]].concat()
    }

    #[test]
    fn authentication_and_origin_are_passed_over() {
        let origin = [0; 8];
        let authentication = [&[0, 1, 2, 1][..], &[7; 3 + 9]].concat();
        for before in
            [vec![], origin.to_vec(), authentication.clone(), [&authentication[..], &origin].concat()]
        {
            let bytes = [before, packet()].concat();
            assert_eq!(TeredoHeader::parse(&bytes).unwrap().inner(), packet());
            assert!(TeredoHeader::parse(&bytes[..bytes.len() - 1]).is_err());
        }
        let twice = [&origin[..], &origin, &packet()].concat();
        assert_eq!(TeredoHeader::parse(&twice).unwrap_err(), Malformed::Value);
        assert_eq!(TeredoHeader::parse(&[]).unwrap_err(), Malformed::Truncated);
    }

    #[test]
    fn teredo_on_any_port_is_told_by_an_address_or_an_origin() {
        assert!(TeredoHeader::is_likely(&packet()));
        assert!(TeredoHeader::is_likely(&[&[0; 8][..], &packet()].concat()));
        assert!(!TeredoHeader::is_likely(&packet()[..39]));
        assert!(!TeredoHeader::is_likely(&[&[0x60][..], &[0; 50]].concat()));
        assert!(!TeredoHeader::is_likely(&[0; 60]));
    }
}
