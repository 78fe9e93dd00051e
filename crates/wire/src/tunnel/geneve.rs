//! GENEVE (RFC 8926): any Ethertype behind eight bytes and options.
//!
//! Options are of a class, which the IANA gives to an organisation, and of a type within it. A monitor reads on behind options that
//! it does not know, the critical ones too (RFC 8926, 3.5 wants endpoints to drop such packets; we are none).

use crate::Malformed;

/// The length of the header without options.
pub const MIN_LEN: usize = 8;
/// The UDP port.
pub const PORT: u16 = 6081;
/// The length of an option without its data.
pub const OPTION_LEN: usize = 4;

/// Classes of options that clouds use.
pub mod class {
    /// Amazon Web Services: Gateway Load Balancer.
    pub const AWS: u16 = 0x0108;
    /// Tencent Cloud: the same types as of [`AWS`].
    pub const TENCENT: u16 = 0x0167;
}

/// Types of options of the classes [`class::AWS`] and [`class::TENCENT`], without the critical bit.
pub mod balancer {
    /// The endpoint that the packet came through: 8 bytes.
    pub const ENDPOINT: u8 = 1;
    /// The attachment: 8 bytes.
    pub const ATTACHMENT: u8 = 2;
    /// The flow, the same for both directions: 4 bytes.
    pub const FLOW_COOKIE: u8 = 3;
}

/// A GENEVE header of version 0 that was there in full.
#[derive(Clone, Copy, Debug)]
pub struct GeneveHeader<'a> {
    fixed: &'a [u8; MIN_LEN],
    options: &'a [u8],
    inner: &'a [u8],
}

impl<'a> GeneveHeader<'a> {
    /// A view of the UDP payload in `bytes`.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] with fewer than 8 bytes, [`Malformed::Version`] where the version is not 0,
    /// [`Malformed::Length`] where the options do not fit.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (fixed, rest) = bytes.split_first_chunk::<MIN_LEN>().ok_or(Malformed::Truncated)?;
        if fixed[0] >> 6 != 0 {
            return Err(Malformed::Version);
        }
        let options = usize::from(fixed[0] & 0x3f) * 4;
        let (options, inner) = rest.split_at_checked(options).ok_or(Malformed::Length)?;
        Ok(Self { fixed, options, inner })
    }

    /// Whether this is a message of the tunnel's own management (O).
    pub const fn is_control(&self) -> bool {
        self.fixed[1] & 0x80 != 0
    }

    /// Whether there are options that endpoints have to know (C).
    pub const fn has_critical_options(&self) -> bool {
        self.fixed[1] & 0x40 != 0
    }

    /// The options, in order.
    pub const fn options(&self) -> Options<'a> {
        Options { rest: self.options }
    }

    /// What a load balancer of Amazon or Tencent says of the packet.
    pub fn balancer(&self) -> Balancer {
        let mut found = Balancer::default();
        for option in self.options().map_while(Result::ok) {
            if option.class != class::AWS && option.class != class::TENCENT {
                continue;
            }
            match option.kind() {
                balancer::ENDPOINT => found.endpoint = found.endpoint.or(option.u64()),
                balancer::ATTACHMENT => found.attachment = found.attachment.or(option.u64()),
                balancer::FLOW_COOKIE => found.flow_cookie = found.flow_cookie.or(option.u32()),
                _ => {}
            }
        }
        found
    }

    /// The Ethertype of what is inside.
    pub const fn protocol(&self) -> u16 {
        u16::from_be_bytes([self.fixed[2], self.fixed[3]])
    }

    /// The network identifier.
    pub const fn vni(&self) -> u32 {
        u32::from_be_bytes([0, self.fixed[4], self.fixed[5], self.fixed[6]])
    }

    /// What is inside.
    pub const fn inner(&self) -> &'a [u8] {
        self.inner
    }
}

/// One option.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GeneveOption<'a> {
    /// Whose types these are.
    pub class: u16,
    /// The type as it stands, with the critical bit (0x80).
    pub raw_kind: u8,
    /// The data: a multiple of 4 bytes, at most 124.
    pub data: &'a [u8],
}

impl GeneveOption<'_> {
    /// The type without the critical bit.
    pub const fn kind(&self) -> u8 {
        self.raw_kind & 0x7f
    }

    /// Whether endpoints have to know it.
    pub const fn is_critical(&self) -> bool {
        self.raw_kind & 0x80 != 0
    }

    /// The data as a number, where they are 4 bytes.
    pub fn u32(&self) -> Option<u32> {
        self.data.try_into().ok().map(u32::from_be_bytes)
    }

    /// The data as a number, where they are 8 bytes.
    pub fn u64(&self) -> Option<u64> {
        self.data.try_into().ok().map(u64::from_be_bytes)
    }
}

/// The options of a header. One whose length goes beyond the last is [`Malformed::Length`] and ends the list.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<GeneveOption<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        // The whole is a multiple of 4 bytes, so there is a header or nothing.
        let (&[c0, c1, raw_kind, len], rest) = self.rest.split_first_chunk::<OPTION_LEN>()?;
        let found = rest.split_at_checked(usize::from(len & 0x1f) * 4);
        self.rest = found.map_or(&[], |(_, rest)| rest);
        let data = found.map(|(data, _)| data).ok_or(Malformed::Length);
        Some(data.map(|data| GeneveOption { class: u16::from_be_bytes([c0, c1]), raw_kind, data }))
    }
}

/// What a load balancer says of a packet; `None` where it does not, or where the length is not the one documented.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Balancer {
    /// The endpoint.
    pub endpoint: Option<u64>,
    /// The attachment.
    pub attachment: Option<u64>,
    /// The flow.
    pub flow_cookie: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a Gateway Load Balancer sends it: 32 bytes of options in front of an IPv4 packet.
    fn balanced(class: u16) -> Vec<u8> {
        let [c0, c1] = class.to_be_bytes();
        let mut bytes = vec![8, 0, 8, 0, 0, 0, 0, 0];
        bytes.extend([c0, c1, 1, 2, 0, 0, 0, 0, 0, 0, 0xab, 1]);
        bytes.extend([c0, c1, 2, 2, 0, 0, 0, 0, 0, 0, 0xcd, 2]);
        bytes.extend([c0, c1, 3, 1, 9, 8, 7, 6]);
        bytes.push(0x45);
        bytes
    }

    #[test]
    fn what_load_balancers_say_is_found_among_options_of_others() {
        let want =
            Balancer { endpoint: Some(0xab01), attachment: Some(0xcd02), flow_cookie: Some(0x0908_0706) };
        for class in [class::AWS, class::TENCENT] {
            let bytes = balanced(class);
            let header = GeneveHeader::parse(&bytes).unwrap();
            assert_eq!((header.balancer(), header.inner()), (want, &[0x45][..]));
            assert_eq!(header.options().count(), 3);
        }
        let bytes = balanced(0xffff);
        assert_eq!(GeneveHeader::parse(&bytes).unwrap().balancer(), Balancer::default());
    }

    #[test]
    fn an_unknown_critical_option_is_passed_and_one_that_is_too_long_ends_the_list() {
        let bytes = [3, 0x40, 8, 0, 0, 0, 0, 0, 1, 2, 0x85, 0, 1, 8, 1, 3, 0, 0, 0, 0];
        let header = GeneveHeader::parse(&bytes).unwrap();
        assert!(header.has_critical_options() && !header.is_control());
        let options: Vec<_> = header.options().collect();
        let first = options[0].unwrap();
        assert_eq!((first.class, first.kind(), first.is_critical(), first.data), (0x0102, 5, true, &[][..]));
        assert_eq!(options[1..], [Err(Malformed::Length)]);
        assert_eq!(header.balancer(), Balancer::default());
    }

    #[test]
    fn every_field_is_where_the_rfc_puts_it() {
        let bytes = [1, 0, 0x65, 0x58, 1, 2, 3, 0, 5, 5, 5, 5, 9];
        let header = GeneveHeader::parse(&bytes).unwrap();
        assert_eq!((header.protocol(), header.vni(), header.inner()), (0x6558, 0x01_02_03, &[9][..]));
        assert_eq!(GeneveHeader::parse(&bytes[..11]).unwrap_err(), Malformed::Length);
        assert_eq!(GeneveHeader::parse(&bytes[..7]).unwrap_err(), Malformed::Truncated);
        assert_eq!(GeneveHeader::parse(&[0x40; 8]).unwrap_err(), Malformed::Version);
    }
}
