//! What one worker got.

use hashbrown::HashMap;
use weir_wire::Time;

use super::{AGAIN, BLOCK, Bits, LATE, MAX_NOTES, Numbered, Run, Session, WINDOW, place};

/// Blocks that are searched for one that is there already, from the last on: enough for what comes out of order.
const SEARCHED: usize = 4;
/// Which numbers came, since the notes were handed over last.
#[derive(Default, Debug)]
pub struct Arrivals {
    sessions: HashMap<Session, Vec<Run>, foldhash::fast::RandomState>,
    blocks: usize,
}

impl Arrivals {
    /// A packet came at `time`.
    pub fn note(&mut self, numbered: &Numbered, time: Time) {
        let Numbered { session, number } = *numbered;
        let runs = self.sessions.entry(session).or_default();
        let goes_on = runs.last().is_some_and(|run| run.goes_on(&session, number));
        if !goes_on {
            runs.push(Run::new(number, time));
        }
        if let Some(run) = runs.last_mut() {
            let before = run.blocks.len();
            run.note(&session, number);
            self.blocks += run.blocks.len() - before;
        }
    }

    /// Whether there are so many notes that they should be handed over.
    pub const fn is_full(&self) -> bool {
        self.blocks >= MAX_NOTES
    }

    /// Whether there is nothing to hand over.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// The notes, which begin anew.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (Session, Vec<Run>)> {
        self.blocks = 0;
        self.sessions.drain()
    }
}

impl Run {
    const fn new(number: u64, begun: Time) -> Self {
        Self {
            begun,
            first: number,
            lowest: number,
            highest: number,
            packets: 0,
            reordered: 0,
            blocks: Vec::new(),
        }
    }

    /// Whether `number` is of the same stretch as what came before.
    fn goes_on(&self, session: &Session, number: u64) -> bool {
        let ahead = session.distance(number, self.highest);
        if ahead < -LATE || ahead > WINDOW.cast_signed() {
            return false;
        }
        ahead >= -AGAIN || (session.distance(number, self.first) >= -AGAIN && !self.has(number))
    }

    fn has(&self, number: u64) -> bool {
        let (word, bit) = place(number);
        let blocks = self.blocks.iter().filter(|(block, _)| *block == number / BLOCK);
        blocks.into_iter().any(|(_, bits)| bits.get(word).is_some_and(|word| word & bit != 0))
    }

    fn note(&mut self, session: &Session, number: u64) {
        self.packets += 1;
        let (block, (word, bit)) = (number / BLOCK, place(number));
        let recent = self.blocks.iter_mut().rev().take(SEARCHED).find(|(is, _)| *is == block);
        let had = if let Some((_, bits)) = recent {
            set(bits, word, bit)
        } else {
            let mut bits = [0; 16];
            set(&mut bits, word, bit);
            self.blocks.push((block, bits));
            false
        };
        if session.distance(number, self.highest) >= 0 {
            self.highest = number;
        } else if !had {
            self.reordered += 1;
        }
        if session.distance(number, self.lowest) < 0 {
            self.lowest = number;
        }
    }
}

/// Sets a bit; whether it was set.
fn set(bits: &mut Bits, word: usize, bit: u64) -> bool {
    let Some(word) = bits.get_mut(word) else { return false };
    let had = *word & bit != 0;
    *word |= bit;
    had
}
