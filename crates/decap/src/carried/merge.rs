//! What all workers got, put together.

use hashbrown::HashMap;
use weir_wire::{Interval, Time};

use super::stretch::{Stretch, follows, is_enough};
use super::{Arrivals, CarriedCount, MAX_BLOCKS, MAX_SESSIONS, Run, Session};

/// Runs that wait to be understood, of one session.
const MAX_WAITING: usize = 16;
/// They have been understood by then: ten times as long as workers take to hand over their notes.
const WAIT: Interval = Interval::from_secs(1);

/// The counts of all sessions. Workers hand their notes over by [`Carried::merge`], in any order.
#[derive(Debug, Default)]
pub struct Carried {
    sessions: HashMap<Session, Line, foldhash::fast::RandomState>,
    /// Those of sessions that were forgotten.
    forgotten: CarriedCount,
    sessions_forgotten: u64,
    /// Blocks that are kept as bitmaps.
    parts: usize,
}

/// What is known of a session.
#[derive(Debug)]
struct Line {
    current: Stretch,
    /// The one before, which may still get what other workers had before the restart.
    previous: Option<Stretch>,
    /// Those of older ones.
    closed: CarriedCount,
    restarts: u64,
    /// Runs of too few packets to tell what they are.
    waiting: Vec<Run>,
    last: Time,
}

impl Carried {
    /// Takes over a worker's notes, which begin anew.
    pub fn merge(&mut self, arrivals: &mut Arrivals) {
        for (session, runs) in arrivals.take() {
            for run in runs {
                self.run(session, run);
            }
        }
    }

    fn run(&mut self, session: Session, run: Run) {
        if self.sessions.len() >= MAX_SESSIONS && !self.sessions.contains_key(&session) {
            self.forget_one();
        }
        let few = self.parts > MAX_BLOCKS;
        let line = self.sessions.entry(session).or_insert_with(|| Line::new(&run));
        let before = line.parts();
        line.run(&session, run, few);
        self.parts = (self.parts + line.parts()).saturating_sub(before);
    }

    /// Forgets the session that was quiet longest.
    fn forget_one(&mut self) {
        let quietest = self.sessions.iter().min_by_key(|(session, line)| (line.last, **session));
        if let Some(session) = quietest.map(|(session, _)| *session)
            && let Some(line) = self.sessions.remove(&session)
        {
            self.forgotten.add(&line.count(&session));
            self.sessions_forgotten += 1;
            self.parts = self.parts.saturating_sub(line.parts());
        }
    }

    /// The counts of each session that is remembered, in the order of senders.
    pub fn sessions(&self) -> Vec<(Session, CarriedCount)> {
        let mut all: Vec<_> =
            self.sessions.iter().map(|(session, line)| (*session, line.count(session))).collect();
        all.sort_unstable_by_key(|(session, _)| *session);
        all
    }

    /// The counts of all sessions together, forgotten ones included.
    pub fn total(&self) -> CarriedCount {
        let mut sum = self.forgotten;
        self.sessions.iter().for_each(|(session, line)| sum.add(&line.count(session)));
        sum
    }

    /// How many sessions were forgotten.
    pub const fn sessions_forgotten(&self) -> u64 {
        self.sessions_forgotten
    }
}

impl Line {
    fn new(run: &Run) -> Self {
        Self {
            current: Stretch::new(run),
            previous: None,
            closed: CarriedCount::default(),
            restarts: 0,
            waiting: Vec::new(),
            last: run.begun,
        }
    }

    /// Puts a run where it belongs.
    fn run(&mut self, session: &Session, run: Run, few: bool) {
        self.last = self.last.max(run.begun);
        if let Some(previous) = &mut self.previous
            && run.begun < self.current.begun
            && previous.goes_on(session, &run)
        {
            previous.add(session, &run, few);
            return;
        }
        if self.current.goes_on(session, &run) {
            let waited = |first: &Run| run.begun.since(first.begun) > WAIT;
            if self.waiting.first().is_some_and(waited) {
                self.settle();
            }
            self.current.add(session, &run, few);
            return;
        }
        if self.waiting.last().is_some_and(|before| !follows(session, &run, before)) {
            self.settle();
        }
        self.waiting.push(run);
        let packets = self.waiting.iter().map(|run| run.packets).sum();
        if is_enough(packets) {
            self.begin_anew(session, few);
        } else if self.waiting.len() >= MAX_WAITING {
            self.settle();
        }
    }

    /// What waits is the beginning of a new stretch.
    fn begin_anew(&mut self, session: &Session, few: bool) {
        let waiting = std::mem::take(&mut self.waiting);
        let Some(first) = waiting.iter().min_by_key(|run| run.begun) else { return };
        let old = std::mem::replace(&mut self.current, Stretch::new(first));
        if let Some(older) = self.previous.replace(old) {
            self.closed.add(&older.count(session));
        }
        self.restarts += 1;
        for run in waiting {
            self.current.add(session, &run, few);
        }
    }

    /// What waits was no beginning: packets that came very late, or from somebody else.
    fn settle(&mut self) {
        for run in self.waiting.drain(..) {
            self.closed.duplicate += run.packets;
        }
    }

    fn parts(&self) -> usize {
        self.current.parts() + self.previous.as_ref().map_or(0, Stretch::parts)
    }

    fn count(&self, session: &Session) -> CarriedCount {
        let mut count = self.closed;
        count.add(&self.current.count(session));
        if let Some(previous) = &self.previous {
            count.add(&previous.count(session));
        }
        count.restarts += self.restarts;
        count.duplicate += self.waiting.iter().map(|run| run.packets).sum::<u64>();
        count
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weir_wire::Address;

    use super::super::{Channel, Numbered};
    use super::*;

    fn session(channel: Channel) -> Session {
        Session { source: Address::v4([10, 8, 0, 1]), destination: Address::v4([10, 8, 0, 2]), channel }
    }

    /// Hands numbers over that workers got, each list a worker's, a microsecond between packets.
    fn counted(channel: Channel, workers: &[&[u64]]) -> CarriedCount {
        let mut carried = Carried::default();
        for numbers in workers {
            let mut arrivals = Arrivals::default();
            for (i, number) in numbers.iter().enumerate() {
                arrivals
                    .note(&Numbered { session: session(channel), number: *number }, Time(i as i64 * 1_000));
            }
            carried.merge(&mut arrivals);
            assert!(arrivals.is_empty());
        }
        carried.total()
    }

    fn count(received: u64, lost: u64, duplicate: u64, reordered: u64, restarts: u64) -> CarriedCount {
        CarriedCount { received, lost, duplicate, reordered, restarts }
    }

    const KEY: Channel = Channel::Key(7);

    #[test]
    fn gaps_are_loss_and_reordering_is_none() {
        assert_eq!(counted(KEY, &[&[5, 6, 7, 8]]), count(4, 0, 0, 0, 0));
        assert_eq!(counted(KEY, &[&[5, 8, 6, 7, 10]]), count(5, 1, 0, 2, 0));
        assert_eq!(counted(KEY, &[&[5, 5, 6, 6, 9, 5]]), count(3, 2, 3, 0, 0));
        assert_eq!(counted(KEY, &[&[9, 8, 7]]), count(3, 0, 0, 2, 0));
        let tap = Channel::Tap { tap: 1, start: 2 };
        assert_eq!(counted(tap, &[&[3, 4]]), count(2, 3, 0, 0, 0), "a tap begins with 0");
        assert_eq!(counted(tap, &[&[5_000, 5_001]]).lost, 0, "who comes late has lost nothing");
    }

    #[test]
    fn what_several_workers_got_is_one_sequence() {
        let (even, odd): (Vec<u64>, Vec<u64>) = (0..10_000).partition(|n| n % 2 == 0);
        assert_eq!(counted(KEY, &[&even, &odd]), count(10_000, 0, 0, 0, 0));
        assert_eq!(counted(KEY, &[&odd, &even]), count(10_000, 0, 0, 0, 0));
        assert_eq!(counted(KEY, &[&odd[..100], &[9_999]]).lost, 9_999 - 101);
    }

    #[test]
    fn numbers_of_32_bits_go_on_behind_their_end() {
        let numbers: Vec<u64> = (0..5_000).map(|n| u64::from((u32::MAX - 2_500).wrapping_add(n))).collect();
        assert_eq!(counted(KEY, &[&numbers]), count(5_000, 0, 0, 0, 0));
        let (left, right): (Vec<u64>, Vec<u64>) = numbers.iter().partition(|n| **n % 3 == 0);
        assert_eq!(counted(KEY, &[&left, &right]), count(5_000, 0, 0, 0, 0));
        let tap = Channel::Tap { tap: 1, start: 2 };
        let numbers: Vec<u64> = (0..2_000).map(|n| (u64::MAX - 1_000).wrapping_add(n)).collect();
        assert_eq!(counted(tap, &[&numbers]), count(2_000, 0, 0, 0, 0));
    }

    #[test]
    fn a_sender_that_starts_anew_has_lost_nothing() {
        for (before, after) in
            [(5_000_000, 3_000), (5_000, 3_000), (500, 300), (500, 20_000), (5_000, 20_000)]
        {
            let numbers: Vec<u64> = (before / 10 * 9..before).chain(0..after).collect();
            let many = numbers.len() as u64;
            assert_eq!(counted(KEY, &[&numbers]), count(many, 0, 0, 0, 1), "{before} {after}");
            let twice: Vec<u64> = (0..before.min(5_000)).chain(0..after).chain(0..400).collect();
            assert_eq!(counted(KEY, &[&twice]).restarts, 2, "{before} {after}");
        }
    }

    #[test]
    fn a_restart_that_a_worker_hears_of_late_is_the_same_restart() {
        let numbered = |number| Numbered { session: session(KEY), number };
        let (mut one, mut other, mut carried) =
            (Arrivals::default(), Arrivals::default(), Carried::default());
        for n in 0..20_000_u64 {
            let worker = if n % 2 == 0 { &mut one } else { &mut other };
            worker.note(&numbered(if n < 15_000 { n } else { n - 15_000 }), Time(n as i64));
        }
        // One hands over all, then the other what it had before the restart and behind.
        carried.merge(&mut one);
        carried.merge(&mut other);
        assert_eq!(carried.total(), count(20_000, 0, 0, 0, 1));
    }

    #[test]
    fn a_long_cut_is_loss_and_a_number_from_nowhere_is_not() {
        let mut carried = Carried::default();
        let mut arrivals = Arrivals::default();
        let mut note = |numbers: std::ops::Range<u64>, millis: i64, carried: &mut Carried| {
            for number in numbers {
                arrivals.note(&Numbered { session: session(KEY), number }, Time(millis * 1_000_000));
            }
            carried.merge(&mut arrivals);
        };
        note(0..100, 0, &mut carried);
        note(8_000_000..8_000_100, 10_000, &mut carried);
        assert_eq!(carried.total(), count(200, 7_999_900, 0, 0, 0));
        note(3_000_000_000..3_000_000_003, 10_001, &mut carried);
        note(8_000_100..8_000_200, 20_000, &mut carried);
        assert_eq!(carried.total(), count(300, 7_999_900, 3, 0, 0));
    }

    #[test]
    fn many_senders_and_wild_numbers_take_bounded_memory_and_keep_the_sum() {
        let (mut carried, mut arrivals) = (Carried::default(), Arrivals::default());
        for n in 0..20_000_u32 {
            let numbered = Numbered { session: session(Channel::Key(n % 6_000)), number: u64::from(n) };
            arrivals.note(&numbered, Time(i64::from(n)));
            let wild = u64::from(n.wrapping_mul(0x9e37_79b9));
            arrivals.note(&Numbered { session: session(Channel::Gre), number: wild }, Time(i64::from(n)));
            if arrivals.is_full() {
                carried.merge(&mut arrivals);
            }
        }
        carried.merge(&mut arrivals);
        assert!(carried.sessions().len() <= MAX_SESSIONS && carried.sessions_forgotten() > 0);
        let total = carried.total();
        assert_eq!(total.received + total.duplicate, 40_000);
        assert!(carried.parts <= MAX_BLOCKS + MAX_SESSIONS * 16);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Whoever gets which packet, and in whatever order notes are handed over: received and lost are exact.
        #[test]
        fn counts_are_exact_for_any_loss_duplication_and_split(
            start in any::<u32>(),
            fates in prop::collection::vec((0u8..8, 0usize..4, 0u8..10), 2..3_000),
            order in prop::sample::select(vec![[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]]),
            every in 1usize..500,
        ) {
            let (mut carried, mut workers) = (Carried::default(), [(); 4].map(|()| Arrivals::default()));
            let last = fates.len() - 1;
            let (mut received, mut duplicate) = (0, 0);
            for (i, (fate, worker, again)) in fates.iter().enumerate() {
                // The first and the last come, as loss beyond them cannot show.
                let lost = *fate == 0 && i != 0 && i != last;
                let numbered = Numbered {
                    session: session(KEY),
                    number: u64::from(start.wrapping_add(i as u32)),
                };
                if !lost {
                    received += 1;
                    workers[*worker].note(&numbered, Time(i as i64));
                    if *again == 0 {
                        duplicate += 1;
                        workers[(*worker + 1) % 4].note(&numbered, Time(i as i64));
                    }
                }
                if i % every == 0 {
                    for w in &order {
                        carried.merge(&mut workers[*w]);
                    }
                }
            }
            for w in &order {
                        carried.merge(&mut workers[*w]);
                    }
            let total = carried.total();
            prop_assert_eq!((total.received, total.duplicate), (received, duplicate));
            prop_assert_eq!(total.lost, fates.len() as u64 - received);
            prop_assert_eq!(total.restarts, 0);
        }
    }
}
