//! The Internet checksum (RFC 1071), with the pseudo headers of IPv4 and IPv6.
//!
//! A sum is built up with [`Sum::with`] in any number of parts and compared with [`Sum::is_valid`].

use crate::Address;

/// A ones' complement sum that is not folded yet.
///
/// 64 bits hold the carries of 2^48 words, which is more than any packet has.
#[derive(Clone, Copy, Default, Debug)]
pub struct Sum(u64);

impl Sum {
    /// The sum of the pseudo header that TCP, UDP and ICMPv6 prepend: `len` counts transport header and payload.
    /// The IPv6 form (RFC 8200, 8.1) of an IPv4 packet's fields adds up to the IPv4 form (RFC 793, 3.1).
    pub fn pseudo(source: &Address, destination: &Address, protocol: u8, len: u32) -> Self {
        let sum = Self(u64::from(protocol) + u64::from(len));
        match (source.as_v4(), destination.as_v4()) {
            (Some(s), Some(d)) => sum.with(&s).with(&d),
            _ => sum.with(&source.0).with(&destination.0),
        }
    }

    /// Adds `bytes`; a part of odd length counts as if a zero byte followed, so only the last part may be odd.
    pub fn with(mut self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<4>();
        for word in words {
            self.0 += u64::from(u32::from_be_bytes(*word));
        }
        let mut last = [0u8; 4];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        self.0 += u64::from(u32::from_be_bytes(last));
        self
    }

    /// The sum folded to 16 bits.
    pub const fn fold(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    /// Whether the bytes added, their checksum field among them, are as their sender made them.
    pub const fn is_valid(self) -> bool {
        self.fold() == 0xffff
    }
}

/// The checksum to put into a header whose checksum field is zero.
pub fn internet_checksum(bytes: &[u8]) -> u16 {
    !Sum::default().with(bytes).fold()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_example_of_rfc_1071_sums_up() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::default().with(&bytes).fold(), 0xddf2);
        assert_eq!(internet_checksum(&bytes), !0xddf2);
    }

    #[test]
    fn the_pseudo_header_of_ipv4_has_four_byte_addresses() {
        let (a, b) = (Address::v4([1, 2, 3, 4]), Address::v4([5, 6, 7, 8]));
        let by_hand = Sum::default().with(&[1, 2, 3, 4, 5, 6, 7, 8, 0, 17, 0, 9]);
        assert_eq!(Sum::pseudo(&a, &b, 17, 9).fold(), by_hand.fold());
    }

    proptest! {
        #[test]
        fn bytes_with_their_own_checksum_are_valid(mut bytes in prop::collection::vec(any::<u8>(), 2..100)) {
            bytes[0] = 0;
            bytes[1] = 0;
            let sum = internet_checksum(&bytes).to_be_bytes();
            bytes[..2].copy_from_slice(&sum);
            prop_assert!(Sum::default().with(&bytes).is_valid());
        }
    }
}
