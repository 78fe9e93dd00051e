//! Which lane analyses a flow.
//!
//! Promises: [`lane_of`] is pure and the same in every process; both directions of a flow are on one lane (test
//! `both_directions_of_a_flow_are_on_one_lane`), and so is everything else between the same two hosts of a tenant, because
//! the hash takes the pair of addresses and not the ports. An FTP data connection is then where its control connection
//! is, and an ICMP error where the packet that it quotes is, without a word between lanes. The price is that two hosts
//! which exchange most of all traffic load one lane.
#![forbid(unsafe_code)]

use weir_wire::{Address, FlowKey};

/// The lane, below `lanes`, of the flow with `key`. With no lanes or one it is 0.
pub fn lane_of(key: &FlowKey, lanes: usize) -> usize {
    let tenant = mix(u64::from(key.tenant.0));
    // A sum does not depend on its order, so that the key's own order (an ICMP error has none) does not matter.
    let pair = hash(&key.lower).wrapping_add(hash(&key.upper));
    // The upper half of a product spreads evenly without a division (Lemire, "Fast random integer generation").
    let spread = u128::from(mix(pair ^ tenant)) * (lanes as u128);
    (spread >> 64) as usize
}

fn hash(address: &Address) -> u64 {
    let bits = u128::from_be_bytes(address.0);
    mix(mix((bits >> 64) as u64) ^ bits as u64)
}

/// The finaliser of SplitMix64 (Steele et al. 2014): every bit of `x` changes every bit of the answer.
const fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weir_wire::TenantId;

    use super::*;

    proptest! {
        #[test]
        fn both_directions_of_a_flow_are_on_one_lane(
            a: [u8; 16], b: [u8; 16], ports: (u16, u16), others: (u16, u16), lanes in 1usize..64
        ) {
            let (a, b) = (Address(a), Address(b));
            let there = FlowKey::one_way(TenantId(1), 6, (a, ports.0), (b, ports.1));
            let back = FlowKey::one_way(TenantId(1), 1, (b, others.0), (a, others.1));
            prop_assert_eq!(lane_of(&there, lanes), lane_of(&back, lanes));
            prop_assert!(lane_of(&there, lanes) < lanes);
        }
    }

    #[test]
    fn hosts_of_one_network_are_spread_evenly() {
        let mut counts = [0; 4];
        for host in 0..=255 {
            for server in 0..16 {
                let (a, b) = (Address::v4([10, 0, 0, host]), Address::v4([10, 1, 0, server]));
                let (key, _) = FlowKey::new(TenantId(0), 6, (a, 1), (b, 80));
                counts[lane_of(&key, 4)] += 1;
            }
        }
        assert!(counts.iter().all(|n| (900..1150).contains(n)), "{counts:?}");
    }

    #[test]
    fn without_lanes_there_is_still_an_answer() {
        let (key, _) = FlowKey::new(TenantId(0), 6, (Address::default(), 1), (Address::default(), 80));
        assert_eq!((lane_of(&key, 0), lane_of(&key, 1)), (0, 0));
    }
}
