//! The part of a map that is in memory: it moves with the reader, so that a process that reads a capture of any size
//! stays small.

use std::hint::black_box;

use crate::Block;

/// Pages are given back in pieces of 8 MiB, so that it costs nothing by the frame.
const PIECE: usize = 8 << 20;

/// Pages are given back this far behind the reader, where batches may still be on their way. Who holds one for longer
/// reads it from the file again.
const BEHIND: usize = 16 << 20;

/// So many bytes are read before the reader comes to them, and again where it has come to half of them. They fit into the second
/// cache of a core with all that analysis needs.
const AHEAD: usize = 128 << 10;

/// What a cache fetches at once, on the processors that we know of.
const LINE: usize = 64;

/// What was read ahead of a map, and what was given back.
#[derive(Default, Debug)]
pub(crate) struct Window {
    touched: usize,
    released: usize,
}

impl Window {
    /// The reader of a map's `bytes` is at `at`: reads a byte of each line that comes next. Headers are far apart, and where each
    /// begins is known only from the one before it, so that to jump from one to the next waits for memory every time;
    /// memory that is read in order comes many times as fast.
    #[inline]
    pub fn touch(&mut self, bytes: &[u8], at: usize) {
        if at.saturating_add(AHEAD / 2) > self.touched {
            self.touched = self.touch_from(bytes, at);
        }
    }

    #[cold]
    fn touch_from(&self, bytes: &[u8], at: usize) -> usize {
        let end = at.saturating_add(AHEAD).min(bytes.len());
        let lines = bytes.get(self.touched.max(at)..end).unwrap_or_default().iter().step_by(LINE);
        black_box(lines.fold(0, |sum, byte| sum ^ byte));
        // Beyond the end there is nothing to come back for.
        if end < bytes.len() { end } else { usize::MAX }
    }

    /// The reader of `block` has come to `at`. Nothing happens where the block is no map.
    pub fn follow(&mut self, block: &Block, at: usize) {
        let behind = at.saturating_sub(BEHIND);
        if behind.saturating_sub(self.released) < PIECE {
            return;
        }
        if let Some(map) = block.map() {
            let end = behind - behind % PIECE;
            map.release(self.released..end);
            self.released = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_in_whole_pieces_well_behind_the_reader() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(64 << 20).unwrap();
        let block = Block::mapped(crate::sys::Map::new(&file).unwrap());
        let mut window = Window::default();
        for (at, released) in [(0, 0), (23 << 20, 0), (25 << 20, 8 << 20), (47 << 20, 24 << 20)] {
            window.follow(&block, at);
            assert_eq!(window.released, released);
        }
        assert!(block.bytes().iter().all(|b| *b == 0));
        window.follow(&Block::from(vec![0]), usize::MAX);
    }

    #[test]
    fn what_is_read_ahead_stays_ahead_of_the_reader_and_ends_with_the_map() {
        let (bytes, mut window) = (vec![7; 2 * AHEAD + 5], Window::default());
        window.touch(&bytes, 0);
        assert_eq!(window.touched, AHEAD);
        window.touch(&bytes, AHEAD / 2);
        assert_eq!(window.touched, AHEAD);
        window.touch(&bytes, AHEAD / 2 + 1);
        assert_eq!(window.touched, AHEAD + AHEAD / 2 + 1);
        // A frame may be longer than what is read ahead, and a capture may lie about its length.
        window.touch(&bytes, usize::MAX);
        assert_eq!(window.touched, usize::MAX);
        window.touch(&bytes, 2 * AHEAD);
    }
}
