//! The part of a map that is in memory: it moves with the reader, so that a process that reads a capture of any size
//! stays small.

use crate::Block;

/// Pages are given back in pieces of 8 MiB, so that it costs nothing by the frame.
const PIECE: usize = 8 << 20;

/// Pages are given back this far behind the reader, where batches may still be on their way. Who holds one for longer
/// reads it from the file again.
const BEHIND: usize = 16 << 20;

/// What was given back of a map.
#[derive(Default, Debug)]
pub(crate) struct Window {
    released: usize,
}

impl Window {
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
}
