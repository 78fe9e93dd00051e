//! Frames on their way to the next hop: up to 1024 at a time, all in one block.

use weir_wire::{Frame, LinkType, Offload, Time};

use crate::Block;

/// At most this many frames in a batch: 40 KiB of [`FrameMeta`], which stay in a core's cache while they are worked
/// on, and enough that what is done once per batch costs nothing per frame.
pub const MAX_FRAMES: usize = 1024;

/// One frame, without its bytes: those are in the batch's block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameMeta {
    /// When it was captured.
    pub time: Time,
    /// Its place among all frames of all captures, from 0.
    pub sequence: u64,
    /// Where its bytes begin in the block.
    pub offset: usize,
    /// How many bytes were captured.
    pub len: u32,
    /// How many bytes it had on the wire; never less than `len`.
    pub wire_len: u32,
    /// What its first header is.
    pub link: LinkType,
    /// Which tap saw it.
    pub tap: u16,
    /// What was left to the network card.
    pub offload: Offload,
}

impl FrameMeta {
    /// The frame, its bytes taken from those of its block.
    pub fn frame<'a>(&self, block: &'a [u8]) -> Frame<'a> {
        let end = self.offset.saturating_add(self.len as usize);
        Frame {
            time: self.time,
            tap: self.tap,
            sequence: self.sequence,
            link: self.link,
            wire_len: self.wire_len,
            offload: self.offload,
            data: block.get(self.offset..end).unwrap_or_default(),
        }
    }
}

/// Up to [`MAX_FRAMES`] frames and the block that holds their bytes. Made once by the consumer and filled again
/// and again by [`Captures::next_batch`](crate::Captures::next_batch).
#[derive(Clone, Default, Debug)]
pub struct FrameBatch {
    /// The owner of the bytes. A clone of it keeps them.
    pub block: Block,
    /// The frames, in order.
    pub frames: Vec<FrameMeta>,
}

impl FrameBatch {
    /// The frames with their bytes.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Frame<'_>> {
        let bytes = self.block.bytes();
        self.frames.iter().map(move |meta| meta.frame(bytes))
    }

    /// How many frames there are.
    pub const fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Lets go of all frames and of the block; keeps the memory of the list.
    pub fn clear(&mut self) {
        self.frames.clear();
        self.block = Block::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_stays_small_enough_for_the_cache() {
        assert_eq!(size_of::<FrameMeta>(), 40);
    }

    #[test]
    fn a_frame_outlives_the_batch_it_came_in_by_a_clone_of_the_block() {
        let meta = FrameMeta {
            time: Time(1),
            sequence: 0,
            offset: 1,
            len: 2,
            wire_len: 9,
            link: LinkType::ETHERNET,
            tap: 0,
            offload: Offload::default(),
        };
        let mut batch = FrameBatch { block: Block::from(vec![1, 2, 3, 4]), frames: vec![meta] };
        let block = batch.block.clone();
        assert_eq!(batch.iter().next().unwrap().data, [2, 3]);
        batch.clear();
        assert_eq!(meta.frame(block.bytes()).data, [2, 3]);
        assert_eq!(meta.frame(&[]).data, [0u8; 0]);
    }
}
