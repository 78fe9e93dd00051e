//! Flows looked up before their packets are analysed.
//!
//! A lane has more flows than the processor's cache holds, and to look one up waits for memory three or four times in a row: for
//! the index, the slot, the flow, its TCP state. Looked up one after the other for a few dozen packets, with nothing in between that depends
//! on the result, these waits overlap.

use weir_wire::FlowKey;

use super::Table;

/// What was found for the packets that come next.
#[derive(Default)]
pub struct Ahead {
    found: Vec<Found>,
    next: usize,
}

#[derive(Clone, Copy)]
struct Found {
    hash: u64,
    index: Option<u32>,
    key: FlowKey,
}

impl Ahead {
    /// Looks up `keys`; what is left of those before is forgotten.
    pub fn fill<'a>(&mut self, flows: &Table, keys: impl Iterator<Item = &'a FlowKey>) {
        self.found.clear();
        self.next = 0;
        self.found.extend(keys.map(|key| {
            let hash = flows.hash(key);
            Found { hash, index: flows.find(hash, key), key: *key }
        }));
        for index in self.found.iter().filter_map(|found| found.index) {
            if let Some(flow) = flows.get(index) {
                flow.reach();
            }
        }
    }

    /// The hash of `key`, and where its flow is now: flows have come and gone since they were looked up.
    pub fn look_up(&mut self, flows: &Table, key: &FlowKey) -> (u64, Option<u32>) {
        let ahead = self.found.get(self.next).filter(|found| found.key == *key);
        self.next += 1;
        let hash = ahead.map_or_else(|| flows.hash(key), |found| found.hash);
        let still = ahead.and_then(|found| found.index);
        let still = still.filter(|index| flows.get(*index).is_some_and(|flow| flow.key == *key));
        (hash, still.or_else(|| flows.find(hash, key)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_wire::{Address, TenantId};

    #[test]
    fn a_packet_that_was_not_the_one_expected_is_looked_up_by_its_own_key() {
        let key = |port| FlowKey::one_way(TenantId(0), 17, (Address([1; 16]), port), (Address([2; 16]), 53));
        let (flows, mut ahead) = (Table::default(), Ahead::default());
        ahead.fill(&flows, [key(1), key(2)].iter());
        for port in [1, 3, 2, 2] {
            assert_eq!(ahead.look_up(&flows, &key(port)), (flows.hash(&key(port)), None));
        }
    }
}
