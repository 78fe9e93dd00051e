//! Plain counters of one hop on one thread.

use std::ops::{AddAssign, SubAssign};

use serde::{Deserialize, Serialize};

use crate::Reason;

/// Frames and their wire bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Count {
    /// Frames.
    pub frames: u64,
    /// Bytes on the wire.
    pub bytes: u64,
}

impl Count {
    /// One frame of `bytes`.
    pub const fn one(bytes: u64) -> Self {
        Self { frames: 1, bytes }
    }

    /// `frames` frames of `bytes` together.
    pub const fn new(frames: u64, bytes: u64) -> Self {
        Self { frames, bytes }
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.frames += other.frames;
        self.bytes += other.bytes;
    }
}

impl SubAssign for Count {
    /// Taking out what was never put in is a bug of ours; it wraps, so that the balance shows it.
    fn sub_assign(&mut self, other: Self) {
        self.frames = self.frames.wrapping_sub(other.frames);
        self.bytes = self.bytes.wrapping_sub(other.bytes);
    }
}

/// The counters of one hop on one thread. `held` is counted apart, not computed, so that the equation can fail.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// What came in.
    pub entered: Count,
    /// What went on to the next hop.
    pub passed: Count,
    /// What is inside: fragments that wait for others, batches not yet sent.
    pub held: Count,
    dropped: [Count; Reason::COUNT],
}

impl Default for Account {
    fn default() -> Self {
        let zero = Count::default();
        Self { entered: zero, passed: zero, held: zero, dropped: [zero; Reason::COUNT] }
    }
}

impl Account {
    /// `count` came in.
    pub fn enter(&mut self, count: Count) {
        self.entered += count;
    }

    /// `count` went on.
    pub fn pass(&mut self, count: Count) {
        self.passed += count;
    }

    /// `count` ended for `reason`.
    pub fn drop(&mut self, reason: Reason, count: Count) {
        if let Some(c) = self.dropped.get_mut(reason as usize) {
            *c += count;
        }
    }

    /// `count` stays inside for now.
    pub fn hold(&mut self, count: Count) {
        self.held += count;
    }

    /// `count` that was held goes on, or is dropped next.
    pub fn release(&mut self, count: Count) {
        self.held -= count;
    }

    /// What ended for `reason`.
    pub fn dropped(&self, reason: Reason) -> Count {
        self.dropped.get(reason as usize).copied().unwrap_or_default()
    }

    /// What ended, for all reasons together.
    pub fn dropped_total(&self) -> Count {
        let mut sum = Count::default();
        self.dropped.iter().for_each(|c| sum += *c);
        sum
    }

    /// Adds what another thread counted for the same hop.
    pub fn merge(&mut self, other: &Self) {
        self.entered += other.entered;
        self.passed += other.passed;
        self.held += other.held;
        for (mine, theirs) in self.dropped.iter_mut().zip(&other.dropped) {
            *mine += *theirs;
        }
    }

    /// What was counted since `before`, an earlier state of this account. What is held is what is held now.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut since = self.clone();
        since.entered -= before.entered;
        since.passed -= before.passed;
        for (mine, theirs) in since.dropped.iter_mut().zip(&before.dropped) {
            *mine -= *theirs;
        }
        since
    }

    /// Whether `entered = passed + Σ dropped + held`, in frames and in bytes.
    pub fn balances(&self) -> bool {
        let mut out = self.dropped_total();
        out += self.passed;
        out += self.held;
        out == self.entered
    }
}

/// The equation of TCP payload, in bytes: `entered = delivered + duplicate + held + discarded`. Gaps are bytes that never
/// entered, so they stand apart.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct StreamAccount {
    /// Payload bytes of TCP segments.
    pub entered: u64,
    /// Bytes handed to the analysers, or known not to be wanted, in order.
    pub delivered: u64,
    /// Bytes seen before.
    pub duplicate: u64,
    /// Bytes that wait for a hole to be filled.
    pub held: u64,
    /// Bytes given up: outside the window, beyond the memory limit, after the end of the connection.
    pub discarded: u64,
    /// Bytes that the sender sent, by the receiver's word, and that were never seen.
    pub gap: u64,
}

impl StreamAccount {
    /// Whether the equation holds.
    pub const fn balances(&self) -> bool {
        self.entered == self.delivered + self.duplicate + self.held + self.discarded
    }

    /// What was counted since `before`, an earlier state of this account. What is held is what is held now.
    #[must_use]
    pub const fn since(&self, before: &Self) -> Self {
        Self {
            entered: self.entered.wrapping_sub(before.entered),
            delivered: self.delivered.wrapping_sub(before.delivered),
            duplicate: self.duplicate.wrapping_sub(before.duplicate),
            held: self.held,
            discarded: self.discarded.wrapping_sub(before.discarded),
            gap: self.gap.wrapping_sub(before.gap),
        }
    }

    /// Adds what another connection or thread counted.
    pub const fn merge(&mut self, other: &Self) {
        self.entered += other.entered;
        self.delivered += other.delivered;
        self.duplicate += other.duplicate;
        self.held += other.held;
        self.discarded += other.discarded;
        self.gap += other.gap;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_balances_only_when_every_frame_has_an_end() {
        let mut a = Account::default();
        a.enter(Count::new(3, 300));
        assert!(!a.balances());
        a.pass(Count::one(100));
        a.drop(Reason::Arp, Count::one(100));
        a.hold(Count::one(100));
        assert!(a.balances());
        a.release(Count::one(100));
        a.drop(Reason::FragmentTimeout, Count::one(100));
        assert!(a.balances());
        assert_eq!(a.dropped_total(), Count::new(2, 200));
    }

    #[test]
    fn what_was_counted_since_is_without_what_was_before_and_with_what_is_held_now() {
        let mut a = Account::default();
        a.enter(Count::new(2, 200));
        a.drop(Reason::Arp, Count::one(100));
        a.hold(Count::one(100));
        let before = a.clone();
        a.enter(Count::one(50));
        a.drop(Reason::Arp, Count::one(50));
        let since = a.since(&before);
        assert_eq!((since.entered, since.dropped(Reason::Arp)), (Count::one(50), Count::one(50)));
        assert_eq!(since.held, Count::one(100));
    }
}
