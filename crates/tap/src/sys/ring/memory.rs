//! The memory that a ring shares with the kernel, block by block.
//!
//! A block belongs to the kernel or to us, by its status word. [`Memory::take`] takes one that is ours; when the last clone
//! of the [`Block`](crate::Block) made of it is dropped, on whatever thread, the kernel gets it back. The memory stays
//! mapped as long as any block of it is held, also when the ring is gone.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::abi::{
    BLOCK_FIRST, BLOCK_FRAMES, BLOCK_HEADER, BLOCK_SEQUENCE, BLOCK_STATUS, STATUS_KERNEL, STATUS_USER,
};
use super::frame::word;

/// Bytes that a processor fetches at once.
const LINE: usize = 64;

/// The mapped ring.
#[derive(Debug)]
pub(super) struct Memory {
    base: NonNull<u8>,
    block_size: usize,
    blocks: usize,
}

// SAFETY: the memory is shared by nature. Its status words are accessed as atomics only; the bytes of a block are accessed
// only through its one `RingBlock`, which Rust's own rules guard.
#[allow(unsafe_code, reason = "a pointer to mapped memory, with access as described")]
unsafe impl Send for Memory {}
// SAFETY: as above.
#[allow(unsafe_code, reason = "as above")]
unsafe impl Sync for Memory {}

impl Memory {
    /// Maps the ring of `socket`, which was made with these sizes.
    #[allow(unsafe_code, reason = "mmap")]
    pub fn map(socket: BorrowedFd<'_>, block_size: usize, blocks: usize) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let len = block_size * blocks;
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let base = unsafe {
            libc::mmap(std::ptr::null_mut(), len, protection, libc::MAP_SHARED, socket.as_raw_fd(), 0)
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self { base, block_size, blocks })
    }

    /// Block `index`, if it is ours and its number is not `last`, that of the block which was taken from here before: while
    /// somebody still holds that one, it still looks like ours.
    pub fn take(self: &Arc<Self>, index: usize, last: u64) -> Option<RingBlock> {
        if self.status(index)?.load(Ordering::Acquire) & STATUS_USER == 0 || self.number(index) == last {
            return None;
        }
        Some(RingBlock { memory: Arc::clone(self), index, number: self.number(index) })
    }

    /// How many blocks are not the kernel's.
    pub fn used(&self) -> usize {
        let is_used = |index: &usize| {
            self.status(*index).is_some_and(|status| status.load(Ordering::Relaxed) & STATUS_USER != 0)
        };
        (0..self.blocks).filter(is_used).count()
    }

    #[allow(unsafe_code, reason = "memory that the kernel writes")]
    fn status(&self, index: usize) -> Option<&AtomicU32> {
        (index < self.blocks).then(|| {
            // SAFETY: inside of the mapping, which lives as long as `self`; aligned, as blocks are whole pages; and never part
            // of a slice, as those begin behind the block's header.
            unsafe {
                AtomicU32::from_ptr(self.base.as_ptr().add(index * self.block_size + BLOCK_STATUS).cast())
            }
        })
    }

    /// The number of a block that is ours.
    #[allow(unsafe_code, reason = "memory that the kernel writes")]
    fn number(&self, index: usize) -> u64 {
        // SAFETY: inside of the mapping, as above, `index` having been checked by `status`. The kernel writes it only while the
        // block is its own.
        let bytes = unsafe {
            let at = self.base.as_ptr().add(index * self.block_size + BLOCK_SEQUENCE);
            at.cast::<[u8; 8]>().read_volatile()
        };
        u64::from_ne_bytes(bytes)
    }
}

impl Drop for Memory {
    #[allow(unsafe_code, reason = "munmap")]
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nobody holds a block of it, as every block holds the memory.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.block_size * self.blocks) };
    }
}

/// A block that is ours, and the kernel's again when this is dropped.
#[derive(Debug)]
pub(crate) struct RingBlock {
    memory: Arc<Memory>,
    index: usize,
    number: u64,
}

impl RingBlock {
    /// The block's number, from 1 without holes.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// How many frames are in the block, and where in [`bytes`](Self::bytes) the first begins.
    #[allow(unsafe_code, reason = "memory that the kernel writes")]
    pub(super) fn frames(&self) -> (usize, usize) {
        let mut header = [0u8; BLOCK_HEADER];
        // SAFETY: the header of a block that is ours is inside of the mapping and does not change.
        unsafe { std::ptr::copy_nonoverlapping(self.start(), header.as_mut_ptr(), BLOCK_HEADER) };
        let first = (word(&header, BLOCK_FIRST) as usize).saturating_sub(BLOCK_HEADER);
        (word(&header, BLOCK_FRAMES) as usize, first)
    }

    /// All bytes behind the block's header.
    #[allow(unsafe_code, reason = "memory that the kernel has written")]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: inside of the mapping; the kernel does not write to a block that is ours, and others only with `&mut self`.
        unsafe {
            std::slice::from_raw_parts(self.start().add(BLOCK_HEADER), self.memory.block_size - BLOCK_HEADER)
        }
    }

    /// The same bytes, to be changed.
    #[allow(unsafe_code, reason = "memory that the kernel has written")]
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and there is one `RingBlock` for each block that is ours.
        unsafe {
            std::slice::from_raw_parts_mut(
                self.start().add(BLOCK_HEADER),
                self.memory.block_size - BLOCK_HEADER,
            )
        }
    }

    /// Tells the processor that the bytes of [`bytes`](Self::bytes) from `from` to `to` will be read soon. The kernel has written
    /// them on another processor as a rule, and frames are too far from each other for this one to see a pattern.
    #[allow(unsafe_code, reason = "a hint to the processor")]
    pub(super) fn fetch(&self, from: usize, to: usize) {
        let bytes = self.bytes();
        for line in (from..to.min(bytes.len())).step_by(LINE) {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a hint that reads nothing; the address is inside of the slice.
            unsafe {
                use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
                _mm_prefetch::<_MM_HINT_T0>(bytes.as_ptr().add(line).cast());
            }
            #[cfg(not(target_arch = "x86_64"))]
            let _ = line;
        }
    }

    #[allow(unsafe_code, reason = "arithmetic on a pointer")]
    fn start(&self) -> *mut u8 {
        // SAFETY: `index` was checked when the block was taken.
        unsafe { self.memory.base.as_ptr().add(self.index * self.memory.block_size) }
    }
}

impl Drop for RingBlock {
    fn drop(&mut self) {
        if let Some(status) = self.memory.status(self.index) {
            // All reads of the block's bytes happen before the kernel sees that it may write.
            status.store(STATUS_KERNEL, Ordering::Release);
        }
    }
}
