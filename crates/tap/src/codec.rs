//! Compression of captures, recognised by content: gzip (RFC 1952) and Zstandard (RFC 8878).

use std::fmt;
use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;

/// How a capture is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Codec {
    /// gzip, of one or several members.
    Gzip,
    /// Zstandard, of one or several frames.
    Zstd,
}

impl Codec {
    /// The codec of data that begin with `first`.
    pub(crate) const fn recognise(first: &[u8]) -> Option<Self> {
        match first {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            // A Zstandard frame, or a skippable frame before it.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    /// A reader of what `data` hold. Memory is bounded by the formats: 32 KiB of history in gzip, 128 MiB in
    /// Zstandard (its decoder refuses a larger window).
    pub(crate) fn decoder(self, data: impl BufRead + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Gzip => Box::new(SmallSteps(MultiGzDecoder::new(data))),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(data)?),
        })
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "Zstandard",
        })
    }
}

/// A read that meets damage loses what it had decompressed itself, so reads are kept small: no more than this is
/// missing before the damage.
const STEP: usize = 16 * 1024;

struct SmallSteps<R>(R);

impl<R: Read> Read for SmallSteps<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let step = to.len().min(STEP);
        self.0.read(to.get_mut(..step).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_are_known_by_their_first_bytes() {
        assert_eq!(Codec::recognise(&[0x1f, 0x8b, 8, 0]), Some(Codec::Gzip));
        assert_eq!(Codec::recognise(&zstd::bulk::compress(b"x", 1).unwrap()), Some(Codec::Zstd));
        assert_eq!(Codec::recognise(&[0x53, 0x2a, 0x4d, 0x18]), Some(Codec::Zstd));
        assert_eq!(Codec::recognise(&[0xd4, 0xc3, 0xb2, 0xa1]), None);
        assert_eq!(Codec::recognise(&[]), None);
    }
}
