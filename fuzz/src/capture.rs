//! Captures for the capture reader.

use std::io::{self, Read};

use weir_tap::{Captures, ErrorKind, FrameBatch, MAX_FRAMES, Options, Source};

/// What a capture held.
pub struct Contents {
    /// Number, times, lengths and bytes of all frames, as one number.
    pub digest: u64,
    /// How it ended.
    pub error: Option<(ErrorKind, u64)>,
}

/// Reads a capture and checks what is promised of every frame.
pub fn read(source: Source) -> Contents {
    let mut contents = Contents { digest: 0xcbf2_9ce4_8422_2325, error: None };
    let mut captures = match Captures::open(vec![source], Options::default()) {
        Ok(captures) => captures,
        Err(error) => {
            contents.error = Some((error.kind(), error.offset()));
            return contents;
        }
    };
    let (mut batch, mut sequence) = (FrameBatch::default(), 0);
    loop {
        match captures.next_batch(&mut batch) {
            Ok(true) => check(&batch, &mut sequence, &mut contents),
            Ok(false) => return contents,
            Err(error) => {
                assert!(batch.is_empty());
                contents.error = Some((error.kind(), error.offset()));
                return contents;
            }
        }
    }
}

fn check(batch: &FrameBatch, sequence: &mut u64, contents: &mut Contents) {
    assert!(!batch.is_empty() && batch.len() <= MAX_FRAMES);
    let block = batch.block.len();
    for (meta, frame) in batch.frames.iter().zip(batch.iter()) {
        assert!(meta.offset + meta.len as usize <= block);
        assert_eq!(frame.data.len(), meta.len as usize);
        assert!(frame.wire_len >= meta.len);
        assert_eq!(frame.sequence, *sequence);
        *sequence += 1;
        let words =
            [frame.time.0 as u64, u64::from(frame.link.0), u64::from(meta.len), u64::from(frame.wire_len)];
        let bytes = frame.data.iter().map(|b| u64::from(*b));
        for word in words.into_iter().chain(bytes) {
            contents.digest = (contents.digest ^ word).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// A reader that gives a few bytes at a time, as a slow writer does.
pub struct Slow {
    bytes: Vec<u8>,
    at: usize,
    step: usize,
}

impl Slow {
    /// Gives at most `step` of `bytes` at a time.
    pub fn new(bytes: &[u8], step: usize) -> Self {
        Self { bytes: bytes.to_vec(), at: 0, step }
    }
}

impl Read for Slow {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let step = to.len().min(self.step);
        let n = self.bytes.get(self.at..).unwrap_or_default().read(to.get_mut(..step).unwrap_or_default())?;
        self.at += n;
        Ok(n)
    }
}

/// Whether `data` are taken for Zstandard.
pub fn is_zstd(data: &[u8]) -> bool {
    matches!(data, [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}
