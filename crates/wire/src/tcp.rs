//! The TCP header (RFC 9293, 3.1) and its options.

use crate::Malformed;
use crate::checksum::Sum;
use crate::{Address, flow::protocol};

/// The length of a header without options.
pub const MIN_LEN: usize = 20;

/// The control bits of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Flags(pub u8);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgement field is meant.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer is meant.
    pub const URG: Self = Self(0x20);
    /// Congestion was experienced (RFC 3168).
    pub const ECE: Self = Self(0x40);
    /// The congestion window was reduced (RFC 3168).
    pub const CWR: Self = Self(0x80);

    /// Whether any bit of `other` is set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// FIN.
    pub const fn fin(self) -> bool {
        self.has(Self::FIN)
    }

    /// SYN.
    pub const fn syn(self) -> bool {
        self.has(Self::SYN)
    }

    /// RST.
    pub const fn rst(self) -> bool {
        self.has(Self::RST)
    }

    /// PSH.
    pub const fn psh(self) -> bool {
        self.has(Self::PSH)
    }

    /// ACK.
    pub const fn ack(self) -> bool {
        self.has(Self::ACK)
    }

    /// URG.
    pub const fn urg(self) -> bool {
        self.has(Self::URG)
    }
}

/// A TCP header: the fixed part was there in full.
#[derive(Clone, Copy, Debug)]
pub struct TcpHeader<'a> {
    fixed: &'a [u8; MIN_LEN],
    bytes: &'a [u8],
}

impl<'a> TcpHeader<'a> {
    /// A view of the segment in `bytes` (header and payload, as far as captured).
    ///
    /// # Errors
    /// [`Malformed::Truncated`] with fewer than 20 bytes. Whether [`Self::header_len`] fits is left to the caller, as the
    /// fixed fields mean something without it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let fixed = bytes.first_chunk().ok_or(Malformed::Truncated)?;
        Ok(Self { fixed, bytes })
    }

    /// The source port.
    pub const fn src_port(&self) -> u16 {
        u16::from_be_bytes([self.fixed[0], self.fixed[1]])
    }

    /// The destination port.
    pub const fn dst_port(&self) -> u16 {
        u16::from_be_bytes([self.fixed[2], self.fixed[3]])
    }

    /// The sequence number.
    pub const fn seq(&self) -> u32 {
        u32::from_be_bytes([self.fixed[4], self.fixed[5], self.fixed[6], self.fixed[7]])
    }

    /// The acknowledgement number, whether or not ACK is set.
    pub const fn ack(&self) -> u32 {
        u32::from_be_bytes([self.fixed[8], self.fixed[9], self.fixed[10], self.fixed[11]])
    }

    /// The length of the header with its options as the data offset claims: 0 to 60.
    pub const fn header_len(&self) -> usize {
        (self.fixed[12] >> 4) as usize * 4
    }

    /// The control bits.
    pub const fn flags(&self) -> Flags {
        Flags(self.fixed[13])
    }

    /// The window, without scale.
    pub const fn window(&self) -> u16 {
        u16::from_be_bytes([self.fixed[14], self.fixed[15]])
    }

    /// The checksum field.
    pub const fn checksum(&self) -> u16 {
        u16::from_be_bytes([self.fixed[16], self.fixed[17]])
    }

    /// The urgent pointer.
    pub const fn urgent(&self) -> u16 {
        u16::from_be_bytes([self.fixed[18], self.fixed[19]])
    }

    /// The options, as far as they were captured.
    pub fn options(&self) -> Options<'a> {
        let end = self.header_len().min(self.bytes.len());
        Options { rest: self.bytes.get(MIN_LEN..end).unwrap_or_default() }
    }

    /// The payload, as far as it was captured.
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(self.header_len().max(MIN_LEN)..).unwrap_or_default()
    }

    /// Whether the checksum is right; the segment must have been captured in full.
    pub fn checksum_is_valid(&self, source: &Address, destination: &Address) -> bool {
        Sum::pseudo(source, destination, protocol::TCP, self.bytes.len() as u32).with(self.bytes).is_valid()
    }
}

/// One option of a TCP header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TcpOption<'a> {
    /// The largest segment that the sender takes (RFC 9293).
    MaxSegment(u16),
    /// By how many bits the windows of this sender are to be shifted (RFC 7323).
    WindowScale(u8),
    /// Selective acknowledgements are understood (RFC 2018).
    SackPermitted,
    /// Time of the sender, and the time of the other that it echoes (RFC 7323).
    Timestamps(u32, u32),
    /// Any other: its kind and its data.
    Other(u8, &'a [u8]),
}

/// Goes over the options of a header; ends at the end-of-list option or at the first option that cannot be.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Options<'a> {
    type Item = TcpOption<'a>;

    fn next(&mut self) -> Option<TcpOption<'a>> {
        while let Some((1, rest)) = self.rest.split_first().map(|(k, r)| (*k, r)) {
            self.rest = rest;
        }
        let (kind, len) = match self.rest {
            [0, ..] | [] | [_] => return None,
            [kind, len, ..] => (*kind, usize::from(*len)),
        };
        let (whole, rest) = self.rest.split_at_checked(len)?;
        let data = whole.get(2..)?;
        self.rest = rest;
        Some(match (kind, data) {
            (2, [a, b]) => TcpOption::MaxSegment(u16::from_be_bytes([*a, *b])),
            (3, [shift]) => TcpOption::WindowScale(*shift),
            (4, []) => TcpOption::SackPermitted,
            (8, [a, b, c, d, e, f, g, h]) => TcpOption::Timestamps(
                u32::from_be_bytes([*a, *b, *c, *d]),
                u32::from_be_bytes([*e, *f, *g, *h]),
            ),
            _ => TcpOption::Other(kind, data),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYN: [u8; 34] = [
        0x9c, 0x40, 0x00, 0x50, 1, 2, 3, 4, 0, 0, 0, 0, 0x80, 0x02, 0xff, 0xff, 0, 0, 0, 0, // fixed
        2, 4, 0x05, 0xb4, 1, 3, 3, 7, 4, 2, 0, 0, // options
        b'h', b'i',
    ];

    #[test]
    fn every_field_is_where_the_rfc_puts_it() {
        let h = TcpHeader::parse(&SYN).unwrap();
        assert_eq!((h.src_port(), h.dst_port(), h.seq(), h.ack()), (40000, 80, 0x0102_0304, 0));
        assert!(h.flags().syn() && !h.flags().ack());
        assert_eq!((h.header_len(), h.window(), h.payload()), (32, 0xffff, &b"hi"[..]));
        let options: Vec<_> = h.options().collect();
        let expected = [TcpOption::MaxSegment(1460), TcpOption::WindowScale(7), TcpOption::SackPermitted];
        assert_eq!(options, expected);
    }

    #[test]
    fn an_option_that_claims_too_much_or_nothing_ends_the_list() {
        let mut bytes = SYN;
        bytes[21] = 40;
        assert_eq!(TcpHeader::parse(&bytes).unwrap().options().count(), 0);
        bytes[21] = 0;
        assert_eq!(TcpHeader::parse(&bytes).unwrap().options().count(), 0);
        assert!(TcpHeader::parse(&bytes[..19]).is_err());
    }
}
