//! Bytes with a shared owner: a mapped file, a buffer that a stream was read into, or a block of a ring.

use std::sync::Arc;

use crate::sys::{Map, RingBlock};

/// A region of bytes that lives as long as anyone holds a clone of it. Cloning costs one reference count, so a
/// block may be sent to other threads with the frames that point into it.
#[derive(Clone, Default, Debug)]
pub struct Block(Option<Arc<Region>>);

#[derive(Debug)]
enum Region {
    Mapped(Map),
    Owned(Buffer),
    Ring(RingBlock),
}

/// A buffer of fixed size of which the first `filled` bytes are valid.
#[derive(Default, Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    filled: usize,
}

impl Block {
    /// All bytes of the block.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match self.0.as_deref() {
            Some(Region::Mapped(map)) => map.bytes(),
            Some(Region::Owned(buffer)) => buffer.filled(),
            Some(Region::Ring(block)) => block.bytes(),
            None => &[],
        }
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.bytes().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    pub(crate) fn mapped(map: Map) -> Self {
        Self(Some(Arc::new(Region::Mapped(map))))
    }

    /// A block of a ring, which the kernel gets back with the last clone.
    pub(crate) fn ring(block: RingBlock) -> Self {
        Self(Some(Arc::new(Region::Ring(block))))
    }

    fn with_capacity(capacity: usize) -> Self {
        Self(Some(Arc::new(Region::Owned(Buffer { bytes: vec![0; capacity], filled: 0 }))))
    }

    /// The map, where the block is one.
    pub(crate) fn map(&self) -> Option<&Map> {
        match self.0.as_deref() {
            Some(Region::Mapped(map)) => Some(map),
            Some(Region::Owned(_) | Region::Ring(_)) | None => None,
        }
    }

    /// The buffer, to be changed: only while nobody else holds the block.
    pub(crate) fn buffer_mut(&mut self) -> Option<&mut Buffer> {
        match Arc::get_mut(self.0.as_mut()?)? {
            Region::Owned(buffer) => Some(buffer),
            Region::Mapped(_) | Region::Ring(_) => None,
        }
    }
}

impl From<Vec<u8>> for Block {
    fn from(bytes: Vec<u8>) -> Self {
        let filled = bytes.len();
        Self(Some(Arc::new(Region::Owned(Buffer { bytes, filled }))))
    }
}

impl Buffer {
    /// The bytes that are valid.
    pub fn filled(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }

    /// The room behind them.
    pub fn room(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.filled..).unwrap_or_default()
    }

    /// `n` bytes of the room have been written.
    pub fn extend(&mut self, n: usize) {
        self.filled = self.filled.saturating_add(n).min(self.bytes.len());
    }

    /// Copies `bytes` behind those that are valid, growing where there is no room.
    pub fn append(&mut self, bytes: &[u8]) {
        self.grow(self.filled.saturating_add(bytes.len()));
        if let Some(room) = self.room().get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
            self.extend(bytes.len());
        }
    }

    /// Forgets all bytes behind the first `n`.
    pub fn truncate(&mut self, n: usize) {
        self.filled = self.filled.min(n);
    }

    /// Drops the first `n` bytes and moves the rest to the front.
    pub fn discard(&mut self, n: usize) {
        let n = n.min(self.filled);
        self.bytes.copy_within(n..self.filled, 0);
        self.filled -= n;
    }

    /// Makes the buffer at least `capacity` bytes long.
    pub fn grow(&mut self, capacity: usize) {
        if self.bytes.len() < capacity {
            self.bytes.resize(capacity, 0);
        }
    }
}

/// Buffers to be used again once nobody holds them.
#[derive(Default, Debug)]
pub(crate) struct Pool {
    blocks: Vec<Block>,
}

impl Pool {
    /// At most 16 buffers of 1 to 2 MiB wait to be used again: as many as batches of a stream are on their way.
    const MAX_BLOCKS: usize = 16;

    /// An empty buffer of at least `capacity` bytes that nobody else holds.
    pub fn take(&mut self, capacity: usize) -> Block {
        let free = self.blocks.iter_mut().position(|b| b.buffer_mut().is_some());
        let mut block = free.map_or_else(|| Block::with_capacity(capacity), |i| self.blocks.swap_remove(i));
        if let Some(buffer) = block.buffer_mut() {
            buffer.discard(usize::MAX);
            buffer.grow(capacity);
        }
        block
    }

    /// Keeps `block` until it is free, unless it is larger than `max` bytes or there are enough.
    pub fn put(&mut self, block: Block, max: usize) {
        let fits = match block.0.as_deref() {
            Some(Region::Owned(buffer)) => buffer.bytes.len() <= max,
            Some(Region::Mapped(_) | Region::Ring(_)) | None => false,
        };
        if fits && self.blocks.len() < Self::MAX_BLOCKS {
            self.blocks.push(block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_someone_holds_is_never_written_to() {
        let mut block = Block::from(vec![1, 2, 3]);
        let held = block.clone();
        assert!(block.buffer_mut().is_none());
        drop(held);
        assert!(block.buffer_mut().is_some());
    }

    #[test]
    fn the_pool_gives_a_buffer_again_only_when_it_is_free() {
        let mut pool = Pool::default();
        let first = pool.take(100);
        let at = first.0.as_ref().map(Arc::as_ptr);
        let held = first.clone();
        pool.put(first, 1000);
        assert_ne!(pool.take(100).0.as_ref().map(Arc::as_ptr), at);
        drop(held);
        assert_eq!(pool.take(200).0.as_ref().map(Arc::as_ptr), at);
    }

    #[test]
    fn the_pool_is_bounded() {
        let mut pool = Pool::default();
        (0..100).for_each(|_| pool.put(Block::with_capacity(10), 1000));
        assert_eq!(pool.blocks.len(), Pool::MAX_BLOCKS);
        let mut pool = Pool::default();
        pool.put(Block::with_capacity(1001), 1000);
        assert!(pool.blocks.is_empty());
    }
}
