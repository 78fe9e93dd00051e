//! The flow hash: 32 bits, made of what classic BPF can compute (no rotation, no 64-bit product, no loop).

use weir_wire::flow::protocol;
use weir_wire::{Address, FlowKey};

/// What stays together.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum SpreadBy {
    /// A connection: addresses and, of TCP and UDP, ports.
    Flow,
    /// All between two addresses.
    #[default]
    Pair,
    /// All of a tenant.
    Tenant,
    /// All between two addresses, by the sum of their last 16 bits: the formula of Zeek's packet filters, for those who count with
    /// it. Less even than `Pair`, as hosts have numbers in a row.
    Sum,
}

/// The factor by which an address is folded to a word, and those of ports and tenants. All are odd, so that no bit is lost;
/// they are the primes of xxHash32.
pub(crate) const FOLD: u32 = 0x9e37_79b1;
pub(crate) const PORT: u32 = 0x85eb_ca77;
pub(crate) const TENANT: u32 = 0xc2b2_ae3d;

/// The hash of the flow with `key`, which does not depend on the order of its endpoints.
pub fn hash(key: &FlowKey, by: SpreadBy) -> u32 {
    if by == SpreadBy::Sum {
        let last = |address: &Address| u128::from_be_bytes(address.0) as u32 & 0xffff;
        return (last(&key.lower) + last(&key.upper)).wrapping_add(key.tenant.0);
    }
    let tenant = key.tenant.0.wrapping_mul(TENANT);
    let has_ports = by == SpreadBy::Flow && matches!(key.protocol, protocol::TCP | protocol::UDP);
    let end = |address: &Address, port: u16| {
        let port = if has_ports { u32::from(port).wrapping_mul(PORT) } else { 0 };
        mix(fold(address).wrapping_add(port))
    };
    let ends = match by {
        SpreadBy::Tenant | SpreadBy::Sum => 0,
        SpreadBy::Flow | SpreadBy::Pair => {
            end(&key.lower, key.lower_port).wrapping_add(end(&key.upper, key.upper_port))
        }
    };
    mix(ends.wrapping_add(tenant))
}

/// The lane, below `lanes`, of the flow with `key`, by pair of addresses. With no lanes or one it is 0.
pub fn lane_of(key: &FlowKey, lanes: usize) -> usize {
    // The kernel takes the answer of a program modulo the number of rings, so it is a remainder here too.
    hash(key, SpreadBy::Pair) as usize % lanes.max(1)
}

/// An address as one word. IPv4 is its mapped form, so that an address has one hash in packets of either version.
fn fold(address: &Address) -> u32 {
    let words = u128::from_be_bytes(address.0);
    [96, 64, 32, 0]
        .iter()
        .fold(0u32, |sum, shift| sum.wrapping_mul(FOLD).wrapping_add((words >> shift) as u32))
}

/// The finaliser of MurmurHash3 (32 bits): every bit of `x` changes every bit of the answer with about even odds.
pub(crate) const fn mix(x: u32) -> u32 {
    let x = (x ^ (x >> 16)).wrapping_mul(MIX[0]);
    let x = (x ^ (x >> 13)).wrapping_mul(MIX[1]);
    x ^ (x >> 16)
}

/// Its factors.
pub(crate) const MIX: [u32; 2] = [0x85eb_ca6b, 0xc2b2_ae35];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weir_wire::TenantId;

    use super::*;

    proptest! {
        #[test]
        fn both_directions_have_one_hash(a: [u8; 16], b: [u8; 16], ports: (u16, u16), protocol: u8, tenant: u32) {
            let (a, b) = ((Address(a), ports.0), (Address(b), ports.1));
            let there = FlowKey::one_way(TenantId(tenant), protocol, a, b);
            let back = FlowKey::one_way(TenantId(tenant), protocol, b, a);
            for by in [SpreadBy::Flow, SpreadBy::Pair, SpreadBy::Tenant, SpreadBy::Sum] {
                prop_assert_eq!(hash(&there, by), hash(&back, by));
            }
        }

        #[test]
        fn everything_between_two_hosts_is_on_one_lane(
            a: [u8; 16], b: [u8; 16], ports: (u16, u16), others: (u16, u16), lanes in 1usize..64
        ) {
            let (a, b) = (Address(a), Address(b));
            let there = FlowKey::one_way(TenantId(1), 6, (a, ports.0), (b, ports.1));
            let back = FlowKey::one_way(TenantId(1), 1, (b, others.0), (a, others.1));
            prop_assert_eq!(lane_of(&there, lanes), lane_of(&back, lanes));
            prop_assert!(lane_of(&there, lanes) < lanes);
        }
    }

    /// How much more than the mean the busiest of `lanes` has.
    fn imbalance(hashes: impl Iterator<Item = u32>, lanes: u32) -> f64 {
        let mut counts = vec![0u32; lanes as usize];
        for hash in hashes {
            counts[(hash % lanes) as usize] += 1;
        }
        let most = counts.iter().max().copied().unwrap_or_default();
        f64::from(most) * f64::from(lanes) / f64::from(counts.iter().sum::<u32>())
    }

    fn key(a: [u8; 4], b: [u8; 4], ports: (u16, u16)) -> FlowKey {
        FlowKey::new(TenantId(0), 6, (Address::v4(a), ports.0), (Address::v4(b), ports.1)).0
    }

    #[test]
    fn hosts_of_one_network_are_spread_evenly() {
        let pairs =
            (0..=255).flat_map(|host| (0..16).map(move |server| ([10, 0, 0, host], [10, 1, 0, server])));
        for lanes in [2, 3, 4, 7, 8, 16] {
            let hashes = pairs.clone().map(|(a, b)| hash(&key(a, b, (1, 80)), SpreadBy::Pair));
            assert!(imbalance(hashes, lanes) < 1.2, "{lanes}");
        }
        let v6 = (0..4096u32).map(|i| {
            let mut host = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            host[6..8].copy_from_slice(&((i >> 8) as u16).to_be_bytes());
            host[15] = i as u8;
            let server = Address::v6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
            hash(&FlowKey::new(TenantId(0), 6, (Address::v6(host), 1), (server, 80)).0, SpreadBy::Pair)
        });
        assert!(imbalance(v6, 8) < 1.15);
    }

    #[test]
    fn the_connections_of_two_hosts_are_spread_evenly_by_flow() {
        let hashes =
            (0..10_000).map(|i| hash(&key([10, 0, 0, 1], [10, 0, 0, 2], (i + 1024, 443)), SpreadBy::Flow));
        let imbalance = imbalance(hashes, 8);
        assert!(imbalance < 1.1, "{imbalance}");
    }

    #[test]
    fn a_tenants_flows_have_a_hash_of_their_own_and_by_tenant_one_for_all() {
        let one = key([10, 0, 0, 1], [10, 0, 0, 2], (1, 2));
        let other = FlowKey { tenant: TenantId(1), ..one };
        assert_ne!(hash(&one, SpreadBy::Pair), hash(&other, SpreadBy::Pair));
        let else_there = FlowKey { tenant: TenantId(1), ..key([1, 1, 1, 1], [2, 2, 2, 2], (3, 4)) };
        assert_eq!(hash(&other, SpreadBy::Tenant), hash(&else_there, SpreadBy::Tenant));
    }

    #[test]
    fn the_sum_is_the_formula_of_zeeks_packet_filters() {
        let key = key([10, 0, 1, 7], [10, 9, 2, 250], (1, 80));
        assert_eq!(hash(&key, SpreadBy::Sum), 0x0107 + 0x02fa);
    }

    #[test]
    fn without_lanes_there_is_still_an_answer() {
        let key = key([0; 4], [0; 4], (1, 80));
        assert_eq!((lane_of(&key, 0), lane_of(&key, 1)), (0, 0));
    }
}
