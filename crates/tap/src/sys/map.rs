//! A file mapped into memory, given back behind the reader.

use std::fs::File;
use std::io;
use std::ops::Range;

use memmap2::{Advice, Mmap, UncheckedAdvice};

/// A read-only map of a whole file.
#[derive(Debug)]
pub(crate) struct Map(Mmap);

impl Map {
    /// Maps `file`. Fails where the file system cannot map, and for an empty file.
    #[allow(unsafe_code, reason = "mapping a file cannot be made safe: see the comment")]
    pub fn new(file: &File) -> io::Result<Self> {
        // SAFETY: the map is read-only and private. What Rust cannot know is whether another process changes the
        // file while we read. A capture being appended to is fine: we see the length of now. One whose bytes change
        // in place makes us parse bytes that change between two looks; every look is bounds-checked against the
        // length of the map, never against a length read before, so that is wrong output, not wrong memory. One that
        // is truncated meanwhile ends the process with SIGBUS; the README says so, and `weir read - < FILE` avoids it.
        let map = unsafe { Mmap::map(file)? };
        // Read ahead, and prefer to forget what is behind. Only speed is lost where the kernel declines.
        let _ = map.advise(Advice::Sequential);
        Ok(Self(map))
    }

    /// The bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes `range` out of the resident memory of the process; it comes back from the file if someone looks.
    #[allow(unsafe_code, reason = "the kind of advice that can lose data, which it cannot do here")]
    pub fn release(&self, range: Range<usize>) {
        // SAFETY: MADV_DONTNEED loses what was written to private memory. The map is of a file and nobody can write to
        // it, so the same bytes are read from the file again.
        let _ = unsafe { self.0.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_released_is_still_there() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
        io::Write::write_all(&mut file, &bytes).unwrap();
        let map = Map::new(&file).unwrap();
        assert_eq!(map.bytes(), bytes);
        map.release(0..65536);
        assert_eq!(map.bytes(), bytes);
    }
}
