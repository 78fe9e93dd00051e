//! The numbers of one session from one start of its sender to the next.

use std::collections::BTreeMap;

use weir_wire::{Interval, Time};

use super::{AGAIN, BLOCK, Bits, CarriedCount, Channel, ENOUGH, FEW_BLOCKS, LATE, Run, Session, WINDOW};

/// Where numbers begin here, so that those before the first that came have room below it, also where 32 bits begin anew.
const ORIGIN: u64 = 1 << 40;
/// More packets do not go by in a millisecond: 100 Gbit/s of the smallest.
const FASTEST: u64 = 150_000;
/// Numbers below this are those of a sender that has just started.
const SMALL: u64 = 1024;

/// A block that may still get packets.
#[derive(Debug)]
enum Block {
    /// All came.
    Whole,
    /// Those came.
    Part(Box<Bits>),
}

/// What is known of a stretch.
#[derive(Debug)]
pub(super) struct Stretch {
    /// When its first packet came.
    pub begun: Time,
    /// When a packet came last, by the beginnings of runs.
    last: Time,
    first: u64,
    highest: u64,
    distinct: u64,
    packets: u64,
    reordered: u64,
    /// Blocks from here on are remembered.
    floor: u64,
    blocks: BTreeMap<u64, Block>,
    /// How many of them are no whole ones.
    parts: usize,
}

impl Stretch {
    /// Begins with `run`, which is still to be added.
    pub fn new(run: &Run) -> Self {
        let first = ORIGIN.wrapping_add(run.first);
        Self {
            begun: run.begun,
            last: run.begun,
            first,
            highest: first,
            distinct: 0,
            packets: 0,
            reordered: 0,
            floor: 0,
            blocks: BTreeMap::new(),
            parts: 0,
        }
    }

    /// The number here that `number` on the wire stands for: the nearest to the highest.
    fn unwrapped(&self, session: &Session, number: u64) -> u64 {
        let ahead = session.distance(number, self.highest.wrapping_sub(ORIGIN));
        self.highest.wrapping_add_signed(ahead)
    }

    /// Whether `run` goes on with it.
    pub fn goes_on(&self, session: &Session, run: &Run) -> bool {
        let lowest = session.distance(run.lowest, self.highest.wrapping_sub(ORIGIN));
        let highest = session.distance(run.highest, self.highest.wrapping_sub(ORIGIN));
        let quiet = run.begun.since(self.last).max(Interval(0)).0.unsigned_abs() / 1_000_000;
        let most = WINDOW.saturating_add(quiet.saturating_mul(FASTEST));
        if lowest < -WINDOW.cast_signed() || highest > most.min(i64::MAX as u64).cast_signed() {
            return false;
        }
        // Nobody gets numbers now that were sent before the stretch began.
        let first = session.distance(run.lowest, self.first.wrapping_sub(ORIGIN));
        if run.begun >= self.begun && first < -AGAIN {
            return false;
        }
        // Small numbers again, most of which were had already: the sender began anew soon after it began.
        if session.distance(run.first, 0).unsigned_abs() < SMALL && lowest < -AGAIN {
            let (mut had, mut of) = (0, 0);
            for (block, bits) in &run.blocks {
                let (more, more_of) = self.had(session, *block, bits);
                (had, of) = (had + more, of + more_of);
            }
            return had * 4 < of * 3;
        }
        true
    }

    /// Of the numbers in a block that are not above the highest, how many were had, and how many there are.
    fn had(&self, session: &Session, block: u64, bits: &Bits) -> (u64, u64) {
        let number = self.unwrapped(session, block.wrapping_mul(BLOCK)) / BLOCK;
        if number < self.floor {
            return (ones(bits), ones(bits));
        }
        let below = (self.highest + 1).saturating_sub(number * BLOCK).min(BLOCK);
        let kept = |word: usize| {
            let bits = below.saturating_sub(word as u64 * 64).min(64);
            u64::MAX.checked_shr(64 - bits as u32).unwrap_or(0)
        };
        let (mut had, mut of) = (0, 0);
        for (i, word) in bits.iter().enumerate() {
            let mine = match self.blocks.get(&number) {
                None => 0,
                Some(Block::Whole) => u64::MAX,
                Some(Block::Part(part)) => part.get(i).copied().unwrap_or(0),
            };
            had += u64::from((word & kept(i) & mine).count_ones());
            of += u64::from((word & kept(i)).count_ones());
        }
        (had, of)
    }

    /// Adds a run; where `few`, most blocks are forgotten afterwards.
    pub fn add(&mut self, session: &Session, run: &Run, few: bool) {
        let (lowest, highest) = (self.unwrapped(session, run.lowest), self.unwrapped(session, run.highest));
        for (block, bits) in &run.blocks {
            let number = self.unwrapped(session, block.wrapping_mul(BLOCK)) / BLOCK;
            if number >= self.floor {
                self.fill(number, bits);
            }
        }
        self.packets += run.packets;
        self.reordered += run.reordered;
        self.last = self.last.max(run.begun);
        self.highest = self.highest.max(highest);
        if lowest / BLOCK >= self.floor {
            self.first = self.first.min(lowest);
        }
        self.forget(if few { FEW_BLOCKS } else { WINDOW / BLOCK });
    }

    fn fill(&mut self, number: u64, bits: &Bits) {
        let block = self.blocks.entry(number).or_insert_with(|| {
            self.parts += 1;
            Block::Part(Box::new([0; 16]))
        });
        let Block::Part(part) = block else { return };
        for (mine, theirs) in part.iter_mut().zip(bits) {
            self.distinct += u64::from((theirs & !*mine).count_ones());
            *mine |= theirs;
        }
        if part.iter().all(|word| *word == u64::MAX) {
            *block = Block::Whole;
            self.parts -= 1;
        }
    }

    /// Forgets what is `window` blocks behind the highest.
    fn forget(&mut self, window: u64) {
        self.floor = self.floor.max((self.highest / BLOCK).saturating_sub(window));
        while let Some(entry) = self.blocks.first_entry().filter(|entry| *entry.key() < self.floor) {
            self.parts -= usize::from(matches!(entry.get(), Block::Part(_)));
            entry.remove();
        }
    }

    /// How many blocks are kept as bitmaps.
    pub const fn parts(&self) -> usize {
        self.parts
    }

    /// What became of its packets.
    pub fn count(&self, session: &Session) -> CarriedCount {
        // A tap of weir begins with 0, so that the first ones are missed, too.
        let from_the_start =
            matches!(session.channel, Channel::Tap { .. }) && (ORIGIN..ORIGIN + SMALL).contains(&self.first);
        let first = if from_the_start { ORIGIN } else { self.first };
        let sent = self.highest.saturating_sub(first) + 1;
        CarriedCount {
            received: self.distinct,
            lost: sent.saturating_sub(self.distinct),
            duplicate: self.packets.saturating_sub(self.distinct),
            reordered: self.reordered,
            restarts: 0,
        }
    }
}

/// Whether a run has enough packets to begin a stretch by itself.
pub(super) const fn is_enough(packets: u64) -> bool {
    packets >= ENOUGH
}

/// Whether `run` may follow `before` in one stretch.
pub(super) const fn follows(session: &Session, run: &Run, before: &Run) -> bool {
    session.distance(run.lowest, before.highest).unsigned_abs() <= LATE.unsigned_abs()
}

/// How many numbers a bitmap has.
fn ones(bits: &Bits) -> u64 {
    bits.iter().map(|word| u64::from(word.count_ones())).sum()
}
