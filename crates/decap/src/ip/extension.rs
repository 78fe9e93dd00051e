//! The chain of IPv6 extension headers (RFC 8200, 4; RFC 4302 for AH), and the addresses that they exchange: the last
//! stop of a routing header, the home address of a mobile node (RFC 6275, 6.3 and 6.4). The length of a jumbogram (RFC
//! 2675), which Linux's BIG TCP uses too, is in an option.

use weir_wire::bytes::{be16, be32};
use weir_wire::ipv6::{LEN, extension as number};
use weir_wire::{Address, Ipv6Header};

use super::FragmentHeader;
use crate::walk::Walk;

/// Extension headers in one packet at most: RFC 8200 knows six, each of which belongs there once or twice.
const MAX_HEADERS: usize = 16;
/// Destination options looked at in one header at most.
const MAX_OPTIONS: usize = 64;
/// The destination option that tells a home address.
const HOME_ADDRESS: u8 = 201;
/// The hop-by-hop option that tells the length of a jumbogram.
const JUMBO: u8 = 194;

/// What a walk over the chain found.
pub(super) struct Chain {
    /// The length of the IPv6 header and of the extensions that were captured in full.
    pub len: usize,
    /// What follows. Of a chain cut short, or that ends in ESP or mobility, the number of the header at which it ended.
    pub protocol: u8,
    pub source: Address,
    pub destination: Address,
    /// The fragment header, which is always the last.
    pub fragment: Option<FragmentHeader>,
    /// The length of what follows the IPv6 header, where an option tells one.
    pub jumbo_len: Option<u32>,
    routed: bool,
    at_home: bool,
}

impl Chain {
    /// Goes over the extensions of `ip`, the packet at the start of `bytes`. `None` if there are too many.
    pub fn walk(walk: &mut Walk<'_>, ip: Ipv6Header<'_>, bytes: &[u8]) -> Option<Self> {
        let mut chain = Self {
            len: LEN,
            protocol: ip.next_header(),
            source: ip.source(),
            destination: ip.destination(),
            fragment: None,
            jumbo_len: None,
            routed: false,
            at_home: false,
        };
        let mut next_at = 6;
        for _ in 0..=MAX_HEADERS {
            let rest = bytes.get(chain.len..).unwrap_or_default();
            let [next, units, ..] = *rest else { return Some(chain) };
            let Some(len) = length(chain.protocol, units) else { return Some(chain) };
            let Some(header) = rest.get(..len) else { return Some(chain) };
            match chain.protocol {
                number::ROUTING => chain.route(walk, header),
                number::DESTINATION => chain.options(walk, header),
                number::HOP_BY_HOP => chain.jumbo_len = jumbo_len(header),
                number::FRAGMENT => chain.fragment = Some(fragment(header, next_at, chain.len)),
                _ => {}
            }
            next_at = chain.len;
            chain.len += len;
            chain.protocol = next;
            if chain.fragment.is_some() {
                return Some(chain);
            }
        }
        None
    }

    /// A weird about the hosts as far as they are known; the chain is not part of any analyser, so it has no source.
    fn weird(&self, walk: &mut Walk<'_>, name: &'static str, addl: Option<u8>) {
        walk.hosts = Some((self.source, self.destination));
        walk.weird(name, addl.map(|n| n.to_string().into()), None);
    }

    /// A routing header: the last 16 bytes are the last stop, where stops are left.
    fn route(&mut self, walk: &mut Walk<'_>, header: &[u8]) {
        if self.routed {
            return self.weird(walk, "multiple_routing_headers", None);
        }
        let Some(&[_, units, kind, left]) = header.first_chunk::<4>() else { return };
        let last = header.last_chunk::<16>().map(|b| Address::v6(*b));
        match (kind, last) {
            (0, last) => {
                match last {
                    Some(last) if left > 0 && units >= 2 && units % 2 == 0 => {
                        self.destination = last;
                        self.routed = true;
                    }
                    Some(_) if left > 0 && units >= 2 => self.weird(walk, "odd_routing0_len", None),
                    _ => {}
                }
                // RFC 5095 has banned this type.
                self.weird(walk, "routing0_hdr", None);
            }
            (2, Some(last)) if left > 0 && units == 2 => {
                self.destination = last;
                self.routed = true;
            }
            (2, _) if left > 0 => self.weird(walk, "bad_routing2_len", None),
            (2, _) => {}
            _ => self.weird(walk, "unknown_routing_type", Some(kind)),
        }
    }

    /// Destination options: only the home address matters. Stops at the first weird one.
    fn options(&mut self, walk: &mut Walk<'_>, header: &[u8]) {
        let mut rest = header.get(2..).unwrap_or_default();
        for _ in 0..MAX_OPTIONS {
            let (kind, len, behind) = match rest {
                [] => return,
                [0, behind @ ..] => {
                    rest = behind;
                    continue;
                }
                [kind, len, behind @ ..] => (*kind, usize::from(*len), behind),
                [_] => return self.weird(walk, "bad_ipv6_dest_opt_len", None),
            };
            let Some((data, behind)) = behind.split_at_checked(len) else {
                return self.weird(walk, "bad_ipv6_dest_opt_len", None);
            };
            rest = behind;
            if kind != HOME_ADDRESS {
                continue;
            }
            match <[u8; 16]>::try_from(data) {
                Err(_) => return self.weird(walk, "bad_home_addr_len", None),
                Ok(_) if self.at_home => return self.weird(walk, "multiple_home_addr_opts", None),
                Ok(home) => {
                    self.source = Address::v6(home);
                    self.at_home = true;
                }
            }
        }
    }
}

/// The length of the extension header `kind`, whose length field is `units`; `None` where the chain ends.
const fn length(kind: u8, units: u8) -> Option<usize> {
    match kind {
        number::HOP_BY_HOP | number::ROUTING | number::DESTINATION => Some(8 + units as usize * 8),
        number::FRAGMENT => Some(8),
        number::AUTHENTICATION => Some(8 + units as usize * 4),
        _ => None,
    }
}

/// The jumbo payload option: it has to be aligned such that it is the first in the smallest header.
fn jumbo_len(header: &[u8]) -> Option<u32> {
    match header {
        [_, _, JUMBO, 4, ..] => be32(header, 4),
        _ => None,
    }
}

/// A fragment header of a packet whose headers before it take `kept` bytes; `next_at` is the byte that announced it.
fn fragment(header: &[u8], next_at: usize, kept: usize) -> FragmentHeader {
    let field = be16(header, 2).unwrap_or_default();
    FragmentHeader {
        id: be32(header, 4).unwrap_or_default(),
        offset: usize::from(field & 0xfff8),
        more: field & 1 == 1,
        dont: false,
        next_at,
        kept,
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Found, udp, v6, walk};
    use weir_ledger::Reason;
    use weir_wire::{Address, LinkType};

    /// A packet whose extension headers are `headers`, before a UDP datagram.
    fn with(first: u8, headers: &[u8]) -> Found {
        walk(LinkType::IPV6, &v6(first, &[headers, &udp(b"hello")].concat()))
    }

    fn routing(kind: u8, left: u8, stops: u8) -> Vec<u8> {
        [&[17, stops * 2, kind, left, 0, 0, 0, 0][..], &vec![9; usize::from(stops) * 16]].concat()
    }

    #[test]
    fn the_transport_is_found_behind_all_kinds_of_header() {
        let hop = [43, 0, 0, 0, 0, 0, 0, 0];
        let authentication = [60, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let destination = [17, 0, 1, 4, 0, 0, 0, 0];
        let routing = [51, 0, 4, 0, 0, 0, 0, 0];
        let found = with(0, &[&hop[..], &routing, &authentication, &destination].concat());
        assert_eq!(found.packets[0].head.transport_at, 40 + 8 + 8 + 12 + 8);
        assert_eq!(found.packets[0].head.key.protocol, 17);
        assert_eq!(found.weirds, ["unknown_routing_type(4) fd00::1>fd00::2"]);
    }

    #[test]
    fn the_last_stop_of_a_route_is_the_destination() {
        let found = with(43, &routing(0, 1, 2));
        let key = found.packets[0].head.key;
        assert!([key.lower, key.upper].contains(&Address::v6([9; 16])));
        assert_eq!(found.weirds, ["routing0_hdr fd00::1>909:909:909:909:909:909:909:909"]);
        let arrived = with(43, &routing(0, 0, 2));
        assert_eq!(arrived.weirds, ["routing0_hdr fd00::1>fd00::2"]);
        assert_eq!(with(43, &routing(2, 1, 1)).weirds.len(), 0);
        assert_eq!(with(43, &routing(2, 1, 2)).weirds, ["bad_routing2_len fd00::1>fd00::2"]);
    }

    #[test]
    fn a_home_address_is_the_source() {
        let home = [&[17, 2, 1, 2, 0, 0, 201, 16][..], &[7; 16]].concat();
        let key = with(60, &home).packets[0].head.key;
        assert!([key.lower, key.upper].contains(&Address::v6([7; 16])));
        let short = [17, 0, 201, 3, 1, 2, 3, 0];
        assert_eq!(with(60, &short).weirds, ["bad_home_addr_len fd00::1>fd00::2"]);
        let long = [17, 0, 5, 9, 1, 2, 3, 0];
        assert_eq!(with(60, &long).weirds, ["bad_ipv6_dest_opt_len fd00::1>fd00::2"]);
    }

    #[test]
    fn a_jumbogram_tells_its_length_in_an_option() {
        let mut bytes = v6(0, &[&[17, 0, 194, 4, 0, 0, 0, 21][..], &udp(b"hello"), &[0; 9]].concat());
        bytes[4..6].fill(0);
        let found = walk(LinkType::IPV6, &bytes);
        assert_eq!((found.packets[0].head.ip_len, found.only().len()), (61, 61));
        assert_eq!(found.packets[0].transport(), udp(b"hello"));
    }

    #[test]
    fn endless_headers_end_at_the_limit() {
        let found = with(60, &[60, 0, 1, 4, 0, 0, 0, 0].repeat(100));
        assert_eq!(found.dropped(Reason::TooDeep), 1);
    }

    #[test]
    fn a_header_that_was_cut_ends_the_chain_with_its_number() {
        let found = walk(LinkType::IPV6, &v6(60, &[17, 9, 1, 4]));
        assert_eq!(found.packets[0].head.key.protocol, 60);
    }
}
