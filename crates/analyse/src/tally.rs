//! What a lane counts of its own work, for stats.log and capture_loss.log.
//!
//! What is counted is what Zeek counts (policy/misc/stats, policy/misc/capture-loss): an acknowledgment counts once for all
//! the data that it is the first to cover, of connections whose handshake was seen; it is a gap where some of that data was
//! never seen.

use crate::Transport;

/// Counts since the lane was made, and what there is now.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// Connections that began: TCP, UDP, ICMP, others.
    pub began: [u64; 4],
    /// Connections that ended, of the same kinds.
    pub ended: [u64; 4],
    /// Acknowledgments that covered data for the first time.
    pub acks: u64,
    /// Those that covered data which was never seen.
    pub gaps: u64,
    /// Files that were begun.
    pub files: u64,
    /// Files that are not complete.
    pub open_files: u64,
    /// Bytes that files hold because they came out of order.
    pub held_by_files: u64,
    /// Deadlines that were set.
    pub timers: u64,
    /// Deadlines that are waited for.
    pub waiting_timers: u64,
}

impl Tally {
    /// A connection began.
    pub(crate) fn begin(&mut self, transport: Transport) {
        count(&mut self.began, transport);
    }

    /// A connection ended.
    pub(crate) fn end(&mut self, transport: Transport) {
        count(&mut self.ended, transport);
    }

    /// An acknowledgment covered data for the first time; `gap`: some of it was never seen.
    pub(crate) fn ack(&mut self, gap: bool) {
        self.acks += 1;
        self.gaps += u64::from(gap);
    }

    /// Connections that there are now: TCP, UDP, ICMP, others.
    pub fn active(&self) -> [u64; 4] {
        let mut active = self.began;
        for (began, ended) in active.iter_mut().zip(self.ended) {
            *began = began.saturating_sub(ended);
        }
        active
    }

    /// The lane is gone, with all that it had.
    pub fn lost(&mut self) {
        self.ended = self.began;
        (self.open_files, self.held_by_files, self.waiting_timers) = (0, 0, 0);
    }

    /// What was counted since `before`, an earlier state of this one, and what there is now.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let less = |mut mine: [u64; 4], theirs: [u64; 4]| {
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine = mine.saturating_sub(theirs));
            mine
        };
        Self {
            began: less(self.began, before.began),
            ended: less(self.ended, before.ended),
            acks: self.acks.saturating_sub(before.acks),
            gaps: self.gaps.saturating_sub(before.gaps),
            files: self.files.saturating_sub(before.files),
            timers: self.timers.saturating_sub(before.timers),
            ..*self
        }
    }

    /// What was counted, without what there is now.
    #[must_use]
    pub const fn counted(&self) -> Self {
        Self { open_files: 0, held_by_files: 0, waiting_timers: 0, ..*self }
    }

    /// Adds what another lane counted.
    pub fn merge(&mut self, other: &Self) {
        let sums = [(&mut self.began, other.began), (&mut self.ended, other.ended)];
        for (mine, theirs) in sums.into_iter().flat_map(|(mine, theirs)| mine.iter_mut().zip(theirs)) {
            *mine += theirs;
        }
        self.acks += other.acks;
        self.gaps += other.gaps;
        self.files += other.files;
        self.open_files += other.open_files;
        self.held_by_files += other.held_by_files;
        self.timers += other.timers;
        self.waiting_timers += other.waiting_timers;
    }
}

fn count(counts: &mut [u64; 4], transport: Transport) {
    let place = match transport {
        Transport::Tcp => 0,
        Transport::Udp => 1,
        Transport::Icmp => 2,
        Transport::Unknown => 3,
    };
    if let Some(count) = counts.get_mut(place) {
        *count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_a_lane_that_is_lost_are_not_active_any_more() {
        let mut tally = Tally::default();
        tally.begin(Transport::Tcp);
        tally.begin(Transport::Tcp);
        tally.begin(Transport::Unknown);
        tally.end(Transport::Tcp);
        assert_eq!(tally.active(), [1, 0, 0, 1]);
        let mut sum = tally;
        sum.merge(&tally);
        assert_eq!((sum.active(), sum.began), ([2, 0, 0, 2], [4, 0, 0, 2]));
        tally.lost();
        assert_eq!((tally.active(), tally.began), ([0; 4], [2, 0, 0, 1]));
    }
}
