//! The memory of one AF_XDP socket: where the kernel puts frames (UMEM), and the rings by which chunks of it go to and fro.
//!
//! A chunk is the kernel's from when its address is in the fill ring until its descriptor is in the receive ring; between
//! [`Receive::next`] and [`Fill::give`] it is ours. All access to bytes that the kernel writes is a copy within that time.
//!
//! Source: Documentation/networking/af_xdp.rst.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use libc::{xdp_desc, xdp_ring_offset};

use crate::block::Buffer;

/// Bytes of a chunk: a page, as the kernel wants it. Longer frames lie in several.
pub(super) const CHUNK: usize = 4096;

/// A mapping that ends with this.
#[derive(Debug)]
struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: memory that is shared with the kernel anyway; it does not matter which thread has it.
#[allow(unsafe_code, reason = "a pointer to a mapping of our own")]
unsafe impl Send for Mapping {}

impl Mapping {
    #[allow(unsafe_code, reason = "mmap")]
    fn new(len: usize, socket: Option<(BorrowedFd<'_>, i64)>) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let (flags, descriptor, offset) = match socket {
            None => (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0),
            Some((socket, offset)) => (libc::MAP_SHARED, socket.as_raw_fd(), offset),
        };
        let flags = flags | libc::MAP_POPULATE;
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, descriptor, offset) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self { base, len })
    }
}

impl Drop for Mapping {
    #[allow(unsafe_code, reason = "munmap")]
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nothing outlives it that points into it.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// The chunks.
#[derive(Debug)]
pub(super) struct Chunks(Mapping);

impl Chunks {
    pub fn new(count: usize) -> io::Result<Self> {
        Mapping::new(count * CHUNK, None).map(Self)
    }

    /// Where they are, and how many bytes they have.
    pub fn place(&self) -> (u64, u64) {
        (self.0.base.as_ptr() as u64, self.0.len as u64)
    }

    /// Copies `len` bytes at `at` behind those of `to`. Answers whether they are inside of the chunks.
    #[allow(unsafe_code, reason = "memory that the kernel has written")]
    pub fn append_to(&self, to: &mut Buffer, at: u64, len: u32) -> bool {
        let (Ok(at), len) = (usize::try_from(at), len as usize) else { return false };
        if at.checked_add(len).is_none_or(|end| end > self.0.len) {
            return false;
        }
        // SAFETY: inside of the mapping, as was just checked; the descriptor that named it makes it ours, and the slice ends with
        // this function.
        to.append(unsafe { std::slice::from_raw_parts(self.0.base.as_ptr().add(at), len) });
        true
    }

    /// The time that the program has put in front of the frame at `at`, if it has; the mark is taken away, so that it is not found
    /// in front of a later frame.
    #[allow(unsafe_code, reason = "memory that the kernel has written")]
    pub fn take_stamp(&self, at: u64) -> Option<u64> {
        let stamp = usize::try_from(at).ok()?.checked_sub(STAMP)?;
        if at as usize % CHUNK < STAMP || stamp + STAMP > self.0.len {
            return None;
        }
        // SAFETY: inside of the mapping, as was just checked, and of the chunk that is ours.
        let bytes = unsafe { self.0.base.as_ptr().add(stamp).cast::<[u8; STAMP]>() };
        // SAFETY: as above; arrays of bytes need no alignment.
        let read = unsafe { bytes.read() };
        let (mark, time) = read.split_at(size_of::<u64>());
        if mark != MARK.to_ne_bytes() {
            return None;
        }
        // SAFETY: as above.
        unsafe { bytes.write([0; STAMP]) };
        time.try_into().ok().map(u64::from_ne_bytes)
    }
}

/// `struct stamp` of `xdp.c`.
const STAMP: usize = 16;
const MARK: u64 = 0x7765_6972_2078_64d0;

/// A ring of `size` entries, a power of two, each of type `T`.
#[derive(Debug)]
struct Ring<T> {
    mapping: Mapping,
    offsets: xdp_ring_offset,
    size: u32,
    /// Our own end of it.
    at: u32,
    entry: std::marker::PhantomData<T>,
}

impl<T: Copy> Ring<T> {
    fn new(socket: BorrowedFd<'_>, place: i64, offsets: xdp_ring_offset, size: u32) -> io::Result<Self> {
        let len = offsets.desc as usize + size as usize * size_of::<T>();
        let word = size_of::<u32>() as u64;
        // The words have to lie in front of the entries, which the kernel lets us rely on.
        let inside = [offsets.producer, offsets.consumer, offsets.flags];
        if !size.is_power_of_two() || inside.iter().any(|at| at % word != 0 || at + word > offsets.desc) {
            return Err(io::Error::other("the kernel has laid out a ring in an unknown way"));
        }
        let mapping = Mapping::new(len, Some((socket, place)))?;
        Ok(Self { mapping, offsets, size, at: 0, entry: std::marker::PhantomData })
    }

    #[allow(unsafe_code, reason = "memory that the kernel writes")]
    fn word(&self, offset: u64) -> &AtomicU32 {
        // SAFETY: inside of the mapping and aligned, as `new` has checked; accessed as an atomic only.
        unsafe { AtomicU32::from_ptr(self.mapping.base.as_ptr().add(offset as usize).cast()) }
    }

    #[allow(unsafe_code, reason = "arithmetic on a pointer")]
    fn entry(&self, index: u32) -> *mut T {
        let offset = self.offsets.desc as usize + (index & (self.size - 1)) as usize * size_of::<T>();
        // SAFETY: inside of the mapping, whose length `new` has computed.
        unsafe { self.mapping.base.as_ptr().add(offset).cast() }
    }
}

/// The ring of what was received.
#[derive(Debug)]
pub(super) struct Receive(Ring<xdp_desc>);

impl Receive {
    pub fn new(socket: BorrowedFd<'_>, offsets: xdp_ring_offset, size: u32) -> io::Result<Self> {
        Ring::new(socket, libc::XDP_PGOFF_RX_RING, offsets, size).map(Self)
    }

    /// How many descriptors wait.
    pub fn waiting(&self) -> u32 {
        let producer = self.0.word(self.0.offsets.producer).load(Ordering::Acquire);
        producer.wrapping_sub(self.0.at).min(self.0.size)
    }

    /// How many there is room for.
    pub const fn size(&self) -> u32 {
        self.0.size
    }

    /// The descriptor `ahead` of the next one, where at least so many wait.
    #[allow(unsafe_code, reason = "memory that the kernel has written")]
    pub fn peek(&self, ahead: u32) -> xdp_desc {
        // SAFETY: inside of the mapping; the kernel does not write to an entry that waits.
        unsafe { self.0.entry(self.0.at.wrapping_add(ahead)).read() }
    }

    /// So many descriptors are done with.
    pub fn done(&mut self, count: u32) {
        self.0.at = self.0.at.wrapping_add(count);
        self.0.word(self.0.offsets.consumer).store(self.0.at, Ordering::Release);
    }
}

/// The ring by which the kernel gets chunks. It has as many entries as there are chunks, so it is never too full.
#[derive(Debug)]
pub(super) struct Fill(Ring<u64>);

impl Fill {
    pub fn new(socket: BorrowedFd<'_>, offsets: xdp_ring_offset, size: u32) -> io::Result<Self> {
        Ring::new(socket, libc::XDP_UMEM_PGOFF_FILL_RING as i64, offsets, size).map(Self)
    }

    /// Adds the chunk with the byte at `address`; the kernel sees it with the next [`publish`](Self::publish).
    #[allow(unsafe_code, reason = "memory that the kernel reads")]
    pub fn give(&mut self, address: u64) {
        // SAFETY: inside of the mapping; the kernel does not read an entry before it is published.
        unsafe { self.0.entry(self.0.at).write(address & !(CHUNK as u64 - 1)) };
        self.0.at = self.0.at.wrapping_add(1);
    }

    pub fn publish(&self) {
        self.0.word(self.0.offsets.producer).store(self.0.at, Ordering::Release);
    }

    /// Whether the kernel waits to be told that there are chunks.
    pub fn needs_wakeup(&self) -> bool {
        self.0.word(self.0.offsets.flags).load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_found_once_and_only_in_the_chunk_of_its_frame() {
        let chunks = Chunks::new(2).unwrap();
        assert_eq!(chunks.take_stamp(256), None);
        let stamp = [MARK.to_ne_bytes(), 7u64.to_ne_bytes()].concat();
        #[allow(unsafe_code, reason = "writes as the kernel does")]
        // SAFETY: the second half of the second chunk.
        unsafe {
            let at = chunks.0.base.as_ptr().add(CHUNK + 256 - STAMP);
            std::ptr::copy_nonoverlapping(stamp.as_ptr(), at, STAMP);
        }
        let at = (CHUNK + 256) as u64;
        assert_eq!((chunks.take_stamp(at), chunks.take_stamp(at)), (Some(7), None));
        for at in [0, 15, CHUNK as u64 + 3, 3 * CHUNK as u64, u64::MAX] {
            assert_eq!(chunks.take_stamp(at), None, "{at}");
        }
    }

    #[test]
    fn nothing_is_copied_from_beyond_the_chunks() {
        let chunks = Chunks::new(1).unwrap();
        let mut buffer = Buffer::default();
        assert!(chunks.append_to(&mut buffer, 4000, 96) && !chunks.append_to(&mut buffer, 4000, 97));
        assert!(!chunks.append_to(&mut buffer, u64::MAX, 1));
        assert_eq!(buffer.filled().len(), 96);
    }
}
