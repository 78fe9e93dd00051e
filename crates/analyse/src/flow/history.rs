//! The letters of conn.log's `history`.

use smallvec::SmallVec;

use crate::context::Side;

/// What happened on a connection, a letter an event; capitals by the originator.
#[derive(Clone, Debug, Default)]
pub struct History(SmallVec<[u8; 16]>);

/// Longest history that is kept; SYNs with ever new numbers could make it grow without end.
const MAX_LETTERS: usize = 256;

impl History {
    /// Adds `letter` (a capital) by `side`.
    pub fn add(&mut self, side: Side, letter: u8) {
        self.push(if side.is_orig() { letter } else { letter.to_ascii_lowercase() });
    }

    /// The roles were exchanged.
    pub fn flip(&mut self) {
        self.push(b'^');
    }

    fn push(&mut self, letter: u8) {
        if self.0.len() < MAX_LETTERS {
            self.0.push(letter);
        }
    }

    /// Adds `letter` unless `side` has it already.
    pub fn add_once(&mut self, side: Side, letter: u8) {
        let own = if side.is_orig() { letter } else { letter.to_ascii_lowercase() };
        if !self.0.contains(&own) {
            self.push(own);
        }
    }

    /// The letters.
    pub fn letters(&self) -> &[u8] {
        &self.0
    }
}
