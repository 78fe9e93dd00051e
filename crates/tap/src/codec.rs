//! Compression of captures, recognised by content: gzip (RFC 1952) and Zstandard (RFC 8878).

use std::fmt;
use std::io::{self, BufRead, Read};

use flate2::{Decompress, FlushDecompress, Status};

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
            Self::Gzip => Box::new(Gunzip::new(data)),
            Self::Zstd => Box::new(SmallSteps(zstd::stream::read::Decoder::with_buffer(data)?)),
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

/// The history that gzip data may refer to: 2 to the 15 bytes.
const WINDOW_BITS: u8 = 15;

/// Reads gzip data of any number of members. Unlike the readers of `flate2`, it gives all bytes up to damage or the end
/// of the data before it tells of that.
struct Gunzip<R> {
    data: R,
    inflate: Decompress,
    /// Whether nothing of the present member was read.
    between: bool,
    failed: Option<io::Error>,
}

impl<R: BufRead> Gunzip<R> {
    fn new(data: R) -> Self {
        Self { data, inflate: Decompress::new_gzip(WINDOW_BITS), between: true, failed: None }
    }

    /// One step: how many bytes it gave, and whether it can go on.
    fn step(&mut self, to: &mut [u8]) -> io::Result<(usize, bool)> {
        let input = self.data.fill_buf()?;
        let at_end = input.is_empty();
        if at_end && self.between {
            return Ok((0, false));
        }
        self.between = false;
        let before = (self.inflate.total_in(), self.inflate.total_out());
        let status = self.inflate.decompress(input, to, FlushDecompress::None);
        let used = (self.inflate.total_in() - before.0) as usize;
        let given = (self.inflate.total_out() - before.1) as usize;
        self.data.consume(used);
        match status {
            Ok(Status::StreamEnd) => {
                self.inflate = Decompress::new_gzip(WINDOW_BITS);
                self.between = true;
            }
            Ok(Status::Ok | Status::BufError) if used == 0 && given == 0 => {
                let kind = if at_end { io::ErrorKind::UnexpectedEof } else { io::ErrorKind::InvalidData };
                self.failed = Some(io::Error::new(kind, "the data end within a gzip member"));
            }
            Ok(Status::Ok | Status::BufError) => {}
            Err(e) => self.failed = Some(io::Error::new(io::ErrorKind::InvalidData, e)),
        }
        Ok((given, true))
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while !to.is_empty() {
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            match self.step(to)? {
                (0, true) => {}
                (given, _) => return Ok(given),
            }
        }
        Ok(0)
    }
}

/// A read that meets damage in Zstandard data loses what it had decompressed itself, so reads are kept small: no more
/// than this is missing before the damage.
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
    fn every_byte_before_damage_is_given() {
        use std::io::Write;
        let bytes: Vec<u8> = (0..100_000u32).map(|i| (i.wrapping_mul(i) >> 3) as u8).collect();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
        encoder.write_all(&bytes).unwrap();
        let whole = encoder.finish().unwrap();
        let given = |data: &[u8], step: usize| {
            let mut reader = Gunzip::new(data);
            let (mut out, mut piece) = (Vec::new(), vec![0; step]);
            loop {
                match reader.read(&mut piece) {
                    Ok(0) => return (out, None),
                    Ok(n) => out.extend_from_slice(&piece[..n]),
                    Err(e) => return (out, Some(e.kind())),
                }
            }
        };
        assert_eq!(given(&whole, 100), (bytes.clone(), None));
        assert_eq!(given(&[], 100), (Vec::new(), None));
        for at in [0, 5, 100, whole.len() / 2, whole.len() - 1] {
            let (out, error) = given(&whole[..at.max(1)], 1 << 20);
            assert_eq!(error, Some(io::ErrorKind::UnexpectedEof));
            assert!(bytes.starts_with(&out));
            let mut damaged = whole.clone();
            damaged[at] ^= 0x55;
            // However large the reads are, they give the same.
            let (out, error) = given(&damaged, 1 << 20);
            assert_eq!(given(&damaged, 7), (out, error));
        }
    }

    #[test]
    fn codecs_are_known_by_their_first_bytes() {
        assert_eq!(Codec::recognise(&[0x1f, 0x8b, 8, 0]), Some(Codec::Gzip));
        assert_eq!(Codec::recognise(&zstd::bulk::compress(b"x", 1).unwrap()), Some(Codec::Zstd));
        assert_eq!(Codec::recognise(&[0x53, 0x2a, 0x4d, 0x18]), Some(Codec::Zstd));
        assert_eq!(Codec::recognise(&[0xd4, 0xc3, 0xb2, 0xa1]), None);
        assert_eq!(Codec::recognise(&[]), None);
    }
}
