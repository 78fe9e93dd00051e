//! The share of one of several workers that all see the same interface, in tcpdump's filter language: for programs that take a
//! filter and cannot be given a program (Zeek, Suricata, tcpdump).
//!
//! Promises: of N workers exactly one takes a frame, and the same takes both directions (test `weir/tests/filter.rs`). The split
//! is by pair of addresses: the sum of the lower words of both, modulo N, in the form that Zeek's packet filters have, which
//! old kernels without a modulo take too. Of IPv6 it is the same with the last words. What is neither, and what is too short
//! to have addresses, is the home worker's. Up to two VLAN tags are passed; below more of them all is the home worker's.
//!
//! Source: pcap-filter(7). `vlan` shifts the offsets of all that stands behind it, hence the nesting.

use std::fmt::Write;

/// Up to so many VLAN tags are passed.
const TAGS: u32 = 2;
/// An Ethernet header.
const ETHERNET: u32 = 14;
/// What else than IP a frame with tags can be: another tag.
const TAGGED: &str = "ether proto 0x8100 or ether proto 0x88a8 or ether proto 0x9100";

/// The filter of `worker` of `workers`, from 0 on; `home` takes what has no addresses. For Ethernet. With no or one worker it is
/// empty: everything.
pub fn filter_expression(worker: u32, workers: u32, home: u32) -> String {
    if workers <= 1 { String::new() } else { below(0, worker, workers, worker == home) }
}

/// The same behind `tags` tags.
fn below(tags: u32, worker: u32, workers: u32, is_home: bool) -> String {
    let mut text = String::new();
    for (ip, least, sum) in [("ip", 20, "(ip[14:2]+ip[18:2])"), ("ip6", 40, "(ip6[22:2]+ip6[38:2])")] {
        // Without the addresses the sum cannot be computed, and the frame would be nobody's.
        let short =
            if is_home { format!("len < {} or ", ETHERNET + 4 * tags + least) } else { String::new() };
        let separator = if text.is_empty() { "" } else { " or " };
        // Writing to a string does not fail.
        let _ =
            write!(text, "{separator}({ip} and ({short}({sum} - ({workers}*({sum}/{workers})) = {worker})))");
    }
    if is_home {
        let tagged = if tags < TAGS { format!(" and not ({TAGGED})") } else { String::new() };
        let _ = write!(text, " or (not ip and not ip6{tagged})");
    }
    if tags < TAGS {
        let _ = write!(text, " or (vlan and ({}))", below(tags + 1, worker, workers, is_home));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_is_that_of_zeeks_packet_filters() {
        let text = filter_expression(3, 8, 0);
        assert!(text.starts_with(
            "(ip and (((ip[14:2]+ip[18:2]) - (8*((ip[14:2]+ip[18:2])/8)) = 3))) or \
             (ip6 and (((ip6[22:2]+ip6[38:2]) - (8*((ip6[22:2]+ip6[38:2])/8)) = 3))) or (vlan and ("
        ));
        assert!(!text.contains("not ip") && !text.contains("len"));
        assert_eq!(text.matches("vlan").count(), 2);
    }

    #[test]
    fn only_the_home_takes_what_has_no_addresses() {
        let text = filter_expression(0, 8, 0);
        assert_eq!(text.matches("not ip and not ip6").count(), 3);
        assert_eq!(filter_expression(0, 1, 0), "");
    }
}
