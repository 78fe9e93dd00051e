//! The table by which hashes are given to targets (other sensors, interfaces): each has its share by weight, and when one goes
//! or comes, little else moves.
//!
//! Promises: the same targets give the same table on every machine, in whatever order they came. Equal weights have shares that
//! differ by one entry of 65,537. When one of N goes, what it had moves, and of the rest less than one in a hundred as long as
//! N is below about 300 (tests `what_a_target_had_moves_and_hardly_anything_else`, `many_targets_are_still_hardly_disturbed`).
//!
//! Source: Eisenbud et al., "Maglev" (NSDI 2016), 3.4; weights: a target of half the greatest weight has every second turn.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

/// Entries of the table: a prime, so that every step goes through all of them, and far more than targets.
pub const ENTRIES: usize = 65_537;
/// Targets at most: with more, shares would differ by a tenth.
pub const MAX_TARGETS: usize = 4_096;

/// Who is given a share.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// By what the user of the table knows it. Unique.
    pub id: u16,
    /// By what all machines know it: its place in the table depends on this alone. Of two with one name, the first has all.
    pub name: String,
    /// Its share, in proportion to those of others. With 0 it has none.
    pub weight: u32,
}

/// From hashes to targets.
#[derive(Clone, Debug, Default)]
pub struct Maglev {
    /// In order of their names.
    targets: Vec<Target>,
    /// The id of each entry's target; empty without targets.
    table: Vec<u16>,
    /// By id, who has a share.
    present: Vec<bool>,
}

impl Maglev {
    /// A table of `targets`. More than [`MAX_TARGETS`] are left out.
    pub fn new(targets: impl IntoIterator<Item = Target>) -> Self {
        let mut maglev = Self { targets: targets.into_iter().collect(), ..Self::default() };
        maglev.fill();
        maglev
    }

    /// The id of the target of `hash`; none without targets.
    pub fn pick(&self, hash: u32) -> Option<u16> {
        self.table.get(hash as usize % ENTRIES).copied()
    }

    /// Whether there is a target with this id that has a share.
    pub fn has(&self, id: u16) -> bool {
        self.present.get(usize::from(id)).is_some_and(|is| *is)
    }

    /// The targets, in order of their names.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Adds a target, or changes the one with its id.
    pub fn insert(&mut self, target: Target) {
        self.targets.retain(|other| other.id != target.id);
        self.targets.push(target);
        self.fill();
    }

    /// Takes a target away. Answers whether it was there.
    pub fn remove(&mut self, id: u16) -> bool {
        let before = self.targets.len();
        self.targets.retain(|target| target.id != id);
        if self.targets.len() < before {
            self.fill();
        }
        self.targets.len() < before
    }

    /// Lets each target in its turn take the next entry that it prefers and that is free.
    fn fill(&mut self) {
        self.targets.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        self.targets.dedup_by(|later, first| later.name == first.name);
        self.targets.truncate(MAX_TARGETS);
        self.table.clear();
        self.present.clear();
        for target in self.targets.iter().filter(|t| t.weight > 0) {
            let at = usize::from(target.id);
            self.present.resize(self.present.len().max(at + 1), false);
            if let Some(is) = self.present.get_mut(at) {
                *is = true;
            }
        }
        let mut turns: Vec<_> = self.targets.iter().filter(|t| t.weight > 0).map(Turns::new).collect();
        let Some(most) = turns.iter().map(|t| t.weight).max() else { return };
        let mut taken = vec![None; ENTRIES];
        let mut left = ENTRIES;
        // Each round the heaviest takes one entry, so there are 65,537 rounds at most; entries looked at: about n log n.
        while left > 0 {
            for turn in &mut turns {
                turn.credit += turn.weight;
                if turn.credit < most || left == 0 {
                    continue;
                }
                turn.credit -= most;
                turn.take(&mut taken);
                left -= 1;
            }
        }
        self.table.extend(taken.into_iter().flatten());
    }
}

/// A target's way through the table.
struct Turns {
    id: u16,
    weight: u64,
    credit: u64,
    next: usize,
    step: usize,
}

impl Turns {
    fn new(target: &Target) -> Self {
        let number = |salt: u64, below: usize| {
            let mut hasher = SipHasher24::new_with_keys(salt, 0);
            hasher.write(target.name.as_bytes());
            (hasher.finish() % below as u64) as usize
        };
        Self {
            id: target.id,
            weight: u64::from(target.weight),
            credit: 0,
            next: number(1, ENTRIES),
            step: number(2, ENTRIES - 1) + 1,
        }
    }

    /// Takes the next free entry; there is one.
    fn take(&mut self, taken: &mut [Option<u16>]) {
        for _ in 0..ENTRIES {
            let at = self.next;
            self.next = (at + self.step) % ENTRIES;
            if let Some(entry @ None) = taken.get_mut(at) {
                *entry = Some(self.id);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hash::mix;

    fn target(id: u16, weight: u32) -> Target {
        Target { id, name: format!("vxlan://10.0.{}.{}:4789", id >> 8, id & 255), weight }
    }

    fn equal(n: u16) -> Maglev {
        Maglev::new((0..n).map(|id| target(id, 1)))
    }

    /// Of 100,000 flows, how many each id has.
    fn flows(maglev: &Maglev) -> Vec<u32> {
        let mut counts = vec![0; 1 + maglev.targets().iter().map(|t| usize::from(t.id)).max().unwrap()];
        (0..100_000).for_each(|flow| counts[usize::from(maglev.pick(mix(flow)).unwrap())] += 1);
        counts
    }

    /// How much of all hashes moves, and how much of what the other targets had.
    fn moved(before: &Maglev, after: &Maglev, gone: u16) -> (f64, f64) {
        let pairs = || before.table.iter().zip(&after.table);
        let share = |n: usize| n as f64 / ENTRIES as f64;
        let all = pairs().filter(|(a, b)| a != b).count();
        (share(all), share(pairs().filter(|(a, b)| a != b && **a != gone).count()))
    }

    #[test]
    fn equal_weights_are_even() {
        let counts = flows(&equal(16));
        let most = f64::from(*counts.iter().max().unwrap());
        println!("busiest of 16 targets, 100,000 flows: {:.3} x the mean", most / 6_250.0);
        assert!(most / 6_250.0 <= 1.05, "{counts:?}");
    }

    #[test]
    fn weights_are_shares() {
        let maglev = Maglev::new([target(0, 1), target(1, 3), target(2, 0), target(3, 4)]);
        let counts = flows(&maglev);
        assert_eq!(counts[2], 0);
        for (count, share) in [(counts[0], 12_500), (counts[1], 37_500), (counts[3], 50_000)] {
            assert!(count.abs_diff(share) < share / 20, "{counts:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn what_a_target_had_moves_and_hardly_anything_else(n in 2u16..40, gone: prop::sample::Index) {
            let (before, gone) = (equal(n), gone.index(usize::from(n)) as u16);
            let mut after = before.clone();
            prop_assert!(after.remove(gone) && !after.remove(gone));
            let (all, others) = moved(&before, &after, gone);
            prop_assert!(all <= 1.0 / f64::from(n) + 0.01, "{} of {}", all, n);
            prop_assert!(others <= 0.01);
            after.insert(target(gone, 1));
            prop_assert_eq!(after.table, before.table);
        }

        #[test]
        fn the_table_does_not_depend_on_the_order(
            weights in proptest::collection::vec(0u32..9, 1..20), rotate: prop::sample::Index
        ) {
            let targets: Vec<_> = weights.iter().zip(0..).map(|(weight, id)| target(id, *weight)).collect();
            let mut other = targets.clone();
            other.rotate_left(rotate.index(targets.len()));
            let (one, other) = (Maglev::new(targets), Maglev::new(other));
            prop_assert_eq!(&one.table, &other.table);
            let has_any = weights.iter().any(|weight| *weight > 0);
            prop_assert_eq!(one.table.len(), if has_any { ENTRIES } else { 0 });
        }
    }

    #[test]
    fn many_targets_are_still_hardly_disturbed() {
        let before = equal(300);
        let mut after = before.clone();
        after.remove(77);
        let (_, others) = moved(&before, &after, 77);
        assert!(others < 0.01, "{others}");
    }

    #[test]
    fn without_targets_there_is_none() {
        assert_eq!(Maglev::default().pick(7), None);
        assert_eq!(Maglev::new([target(1, 0)]).pick(7), None);
        let one = Maglev::new([target(9, 5)]);
        assert!((0..1000).all(|hash| one.pick(mix(hash)) == Some(9)));
    }

    #[test]
    fn of_two_with_one_name_the_first_has_all() {
        let twin = Target { id: 2, ..target(1, 1) };
        let maglev = Maglev::new([twin, target(1, 1)]);
        assert_eq!((maglev.targets().len(), maglev.pick(3)), (1, Some(1)));
    }
}
