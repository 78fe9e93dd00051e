//! IP addresses of either version in one 16-byte form.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/// An IPv4 or IPv6 address. IPv4 is kept as its IPv4-mapped IPv6 form (RFC 4291, 2.5.5.2), as Zeek keeps it,
/// so that one comparison serves both.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Address(pub [u8; 16]);

impl Address {
    /// From the four bytes of an IPv4 header.
    pub const fn v4(b: [u8; 4]) -> Self {
        // As one number, so that it is made in registers: bytes put together in memory stall the load that follows.
        Self((0xffff_0000_0000 | u32::from_be_bytes(b) as u128).to_be_bytes())
    }

    /// From the sixteen bytes of an IPv6 header.
    pub const fn v6(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The four bytes, where this is an IPv4 address.
    pub fn as_v4(&self) -> Option<[u8; 4]> {
        match self.0 {
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d] => Some([a, b, c, d]),
            _ => None,
        }
    }

    /// Whether this is an IPv4 address.
    pub fn is_v4(&self) -> bool {
        self.0.starts_with(&MAPPED)
    }

    /// The standard library's form of the address.
    pub fn to_ip(self) -> IpAddr {
        match self.as_v4() {
            Some(b) => IpAddr::V4(Ipv4Addr::from(b)),
            None => IpAddr::V6(Ipv6Addr::from(self.0)),
        }
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(a) => Self::v4(a.octets()),
            IpAddr::V6(a) => Self::v6(a.octets()),
        }
    }
}

impl fmt::Display for Address {
    /// The form of `inet_ntop`, which Zeek prints: IPv4-compatible addresses end in dotted decimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.as_v4(), self.0) {
            (Some(b), _) => Ipv4Addr::from(b).fmt(f),
            (None, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]) if a != 0 || b != 0 => {
                write!(f, "::{}", Ipv4Addr::new(a, b, c, d))
            }
            (None, bytes) => Ipv6Addr::from(bytes).fmt(f),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_as_inet_ntop_shows_them() {
        let shown = |s: &str| Address::from(s.parse::<IpAddr>().unwrap()).to_string();
        for same in ["10.0.0.1", "2001:db8::1", "::1", "::", "ff02::fb", "::1.2.3.4"] {
            assert_eq!(shown(same), same);
        }
    }
}
