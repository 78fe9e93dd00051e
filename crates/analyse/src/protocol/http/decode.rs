//! Undoes content codings: gzip, deflate, br.
//!
//! Promises: a decoder holds at most [`Coding::memory`] bytes and hands out pieces of at most [`PIECE`] bytes; a body
//! that grows beyond [`MAX_FREE`] bytes and [`MAX_RATIO`] times its size is given up; any cut of the body gives the
//! same bytes.
//!
//! Source: RFC 9110, 8.4.1; RFC 1950 to 1952; RFC 7932; Zeek `analyzer/protocol/zip/ZIP.cc`. Zeek knows gzip and
//! deflate, and takes each for the other where the body says so; a body without either's header is raw deflate.
//! Brotli is ours.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::{Decompress, FlushDecompress, Status};

/// Most bytes of a decoded piece.
pub const PIECE: usize = 8192;

/// A body may grow to this size, whatever it was.
pub const MAX_FREE: u64 = 256 << 20;

/// Beyond [`MAX_FREE`], it may grow to this many times its size. Deflate reaches 1032, but only on bodies that say
/// nothing; text stays below 20.
pub const MAX_RATIO: u64 = 200;

/// Largest window of brotli that is decoded, in bits (4 MiB); the format knows 24 (16 MiB).
const MAX_WINDOW_BITS: u8 = 22;

/// How a body is coded.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Coding {
    /// Not at all, or in a way that is not known here.
    #[default]
    Identity,
    /// gzip or deflate.
    Deflate,
    /// Brotli.
    Brotli,
}

impl Coding {
    /// The coding that a Content-Encoding names.
    pub const fn named(name: &[u8]) -> Self {
        if name.eq_ignore_ascii_case(b"gzip")
            || name.eq_ignore_ascii_case(b"x-gzip")
            || name.eq_ignore_ascii_case(b"deflate")
        {
            Self::Deflate
        } else if name.eq_ignore_ascii_case(b"br") {
            Self::Brotli
        } else {
            Self::Identity
        }
    }

    /// Most memory that its decoder holds: the window, tables and the piece.
    pub const fn memory(self) -> usize {
        match self {
            Self::Identity => 0,
            // 32 KiB window (twice in zlib-rs), 16 KiB of tables, the piece.
            Self::Deflate => 96 << 10,
            // The window, 256 KiB of tables and literals, the piece.
            Self::Brotli => (1 << MAX_WINDOW_BITS) + (320 << 10),
        }
    }
}

/// What a step of decoding gave.
#[derive(PartialEq, Eq, Debug)]
pub enum Step<'a> {
    /// Decoded bytes, never none.
    Data(&'a [u8]),
    /// Nothing before more input comes.
    Done,
    /// The body is broken; the name of the weird, and who says it. Nothing more will come.
    Failed(&'static str, &'static str),
}

type Brotli = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

enum State {
    /// What it is shows in its first two bytes; the first is here if it came.
    Deflate(Option<u8>),
    Inflate(Decompress),
    /// The window shows in its first byte.
    BrotliBegins,
    Brotli(Box<Brotli>),
    /// The body is broken, and the bytes before that were handed out.
    Broken(&'static str, &'static str),
    /// The body has ended, or is broken and that was said.
    Over,
}

/// How one call of a decompressor ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// There may be more.
    Open,
    /// The body has ended.
    Over,
    /// The body is broken.
    Broken,
}

/// A decoder of one body.
///
/// Call [`Decoder::step`] with the same input until it answers [`Step::Done`].
pub struct Decoder {
    state: State,
    piece: Box<[u8]>,
    /// The piece was filled, so there may be more without more input.
    full: bool,
    given: u64,
    made: u64,
}

impl Decoder {
    /// A decoder of `coding`, which is not [`Coding::Identity`].
    pub fn new(coding: Coding) -> Self {
        let state = match coding {
            Coding::Deflate => State::Deflate(None),
            Coding::Brotli => State::BrotliBegins,
            Coding::Identity => State::Over,
        };
        Self { state, piece: vec![0; PIECE].into_boxed_slice(), full: false, given: 0, made: 0 }
    }

    /// Decodes some of `input`, which is moved on.
    pub fn step(&mut self, input: &mut &[u8]) -> Step<'_> {
        let before = input.len();
        let made = loop {
            match &mut self.state {
                State::Over => {
                    *input = &[];
                    return Step::Done;
                }
                State::Broken(name, source) => {
                    let (name, source) = (*name, *source);
                    *input = &[];
                    return self.fail(name, source);
                }
                _ if input.is_empty() && !self.full => return Step::Done,
                State::Deflate(first) => self.state = begin_deflate(*first, input),
                State::BrotliBegins => match begin_brotli(input) {
                    Some(state) => self.state = state,
                    None => return self.fail("brotli_failed", "HTTP"),
                },
                State::Inflate(inflate) => {
                    let (made, end) = run_inflate(inflate, input, &mut self.piece);
                    match end {
                        End::Over => self.state = State::Over,
                        End::Broken => self.state = State::Broken("inflate_failed", "ZIP"),
                        End::Open => {}
                    }
                    if made > 0 || (end == End::Open && input.is_empty()) {
                        break made;
                    }
                }
                State::Brotli(brotli) => {
                    let Some((made, more)) = run_brotli(brotli, input, &mut self.piece) else {
                        return self.fail("brotli_failed", "HTTP");
                    };
                    if made > 0 || !more {
                        break made;
                    }
                }
            }
        };
        self.full = made == self.piece.len();
        self.given = self.given.saturating_add((before - input.len()) as u64);
        self.made = self.made.saturating_add(made as u64);
        if self.made > MAX_FREE.saturating_add(self.given.saturating_mul(MAX_RATIO)) {
            return self.fail("HTTP_decoded_body_too_large", "HTTP");
        }
        match self.piece.get(..made) {
            Some(data) if made > 0 => Step::Data(data),
            _ => Step::Done,
        }
    }

    fn fail(&mut self, name: &'static str, source: &'static str) -> Step<'_> {
        self.state = State::Over;
        Step::Failed(name, source)
    }
}

/// Looks at the first two bytes, or keeps the first.
fn begin_deflate(first: Option<u8>, input: &mut &[u8]) -> State {
    let held = first.is_some();
    let Some((a, b)) = first.or(input.first().copied()).zip(input.get(usize::from(!held)).copied()) else {
        let first = input.first().copied();
        *input = &[];
        return State::Deflate(first);
    };
    let is_gzip = (a, b) == (0x1f, 0x8b);
    let is_zlib = a & 0x0f == 8 && a >> 4 <= 7 && (u16::from(a) << 8 | u16::from(b)) % 31 == 0;
    let mut inflate = match () {
        () if is_gzip => Decompress::new_gzip(15),
        () => Decompress::new(is_zlib),
    };
    if held {
        // One byte gives no output and breaks nothing that the next call would not find broken too.
        let _ = inflate.decompress(&[a], &mut [], FlushDecompress::None);
    }
    State::Inflate(inflate)
}

/// How many bytes were made, and how that ended. Where the body is broken, what came before the break was made.
fn run_inflate(inflate: &mut Decompress, input: &mut &[u8], piece: &mut [u8]) -> (usize, End) {
    let (read, wrote) = (inflate.total_in(), inflate.total_out());
    let status = inflate.decompress(input, piece, FlushDecompress::Sync);
    let used = inflate.total_in().wrapping_sub(read) as usize;
    let made = (inflate.total_out().wrapping_sub(wrote) as usize).min(piece.len());
    *input = input.get(used..).unwrap_or_default();
    // No progress with input left would be an endless loop.
    let stuck = used == 0 && made == 0 && !input.is_empty();
    let end = match status {
        Ok(Status::StreamEnd) => End::Over,
        Ok(Status::Ok | Status::BufError) if !stuck => End::Open,
        Ok(_) | Err(_) => End::Broken,
    };
    (made, end)
}

/// Checks the size of the window, which the first byte tells.
fn begin_brotli(input: &[u8]) -> Option<State> {
    let first = *input.first()?;
    let bits = match (first & 1, first >> 1 & 7, first >> 4 & 7) {
        (0, _, _) => 16,
        (_, 0, 0) => 17,
        (_, 0, 1) => return None,
        (_, 0, n) => 8 + n,
        (_, n, _) => 17 + n,
    };
    (bits <= MAX_WINDOW_BITS).then(|| {
        let alloc = StandardAlloc::default;
        State::Brotli(Box::new(BrotliState::new(alloc(), alloc(), alloc())))
    })
}

/// How many bytes were made, and whether it is worth to go on; `None`: the body is broken.
fn run_brotli(brotli: &mut Brotli, input: &mut &[u8], piece: &mut [u8]) -> Option<(usize, bool)> {
    let (mut left, mut used) = (input.len(), 0);
    let (mut room, mut made, mut total) = (piece.len(), 0, 0);
    let result =
        BrotliDecompressStream(&mut left, &mut used, input, &mut room, &mut made, piece, &mut total, brotli);
    *input = input.get(used..).unwrap_or_default();
    match result {
        BrotliResult::ResultSuccess => {
            *input = &[];
            Some((made, false))
        }
        BrotliResult::NeedsMoreOutput => Some((made, used > 0)),
        BrotliResult::NeedsMoreInput => Some((made, used > 0 && !input.is_empty())),
        BrotliResult::ResultFailure => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    fn decode(coding: Coding, chunks: &[&[u8]]) -> (Vec<u8>, Option<&'static str>) {
        let (mut decoder, mut out, mut failed) = (Decoder::new(coding), Vec::new(), None);
        for chunk in chunks {
            let mut input = *chunk;
            loop {
                match decoder.step(&mut input) {
                    Step::Data(data) => out.extend_from_slice(data),
                    Step::Done => break,
                    Step::Failed(name, _) => failed = Some(name),
                }
            }
            assert!(input.is_empty());
        }
        (out, failed)
    }

    fn packed(text: &[u8]) -> [Vec<u8>; 3] {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(text).unwrap();
        zlib.write_all(text).unwrap();
        raw.write_all(text).unwrap();
        [gzip.finish().unwrap(), zlib.finish().unwrap(), raw.finish().unwrap()]
    }

    /// "hello hello hello hello\n" as `brotli -q 9` packs it, but stored: a metablock without compression.
    fn stored_brotli(text: &[u8]) -> Vec<u8> {
        // WBITS 16; ISLAST 0, MNIBBLES 4, MLEN-1 in 16 bits, ISUNCOMPRESSED 1; then ISLAST 1, ISEMPTY 1.
        let len = (text.len() - 1) as u32;
        let bits: u32 = len << 4 | 1 << 20;
        let mut out = bits.to_le_bytes()[..3].to_vec();
        out.extend_from_slice(text);
        out.push(0b11);
        out
    }

    #[test]
    fn gzip_zlib_and_raw_deflate_are_told_apart() {
        for body in packed(b"what the body says") {
            assert_eq!(decode(Coding::Deflate, &[&body]), (b"what the body says".to_vec(), None));
        }
    }

    #[test]
    fn brotli_is_decoded() {
        let body = stored_brotli(b"what the body says");
        let (head, tail) = body.split_at(9);
        assert_eq!(decode(Coding::Brotli, &[head, tail]), (b"what the body says".to_vec(), None));
    }

    #[test]
    fn what_follows_the_end_is_ignored() {
        let [mut body, ..] = packed(b"x");
        body.extend_from_slice(b"trailing rubbish");
        assert_eq!(decode(Coding::Deflate, &[&body, b"more"]), (b"x".to_vec(), None));
    }

    #[test]
    fn a_broken_body_fails_once() {
        let [mut body, ..] = packed(&b"0123456789abcdef".repeat(50));
        body[12] ^= 0xff;
        let (_, failed) = decode(Coding::Deflate, &[&body, b"more"]);
        assert_eq!(failed, Some("inflate_failed"));
        assert_eq!(decode(Coding::Brotli, &[&[0xff; 99]]).1, Some("brotli_failed"));
    }

    /// Found by the fuzz target `http`: how much came before the break depended on how the body was cut.
    #[test]
    fn all_bytes_before_a_break_are_decoded_however_the_body_is_cut() {
        for at in 0..60 {
            for mut body in packed(&b"0123456789abcdef, and a little more that does not repeat".repeat(3)) {
                let at = at % body.len();
                body[at] ^= 0x55;
                let bytes: Vec<&[u8]> = body.chunks(1).collect();
                assert_eq!(
                    decode(Coding::Deflate, &[&body]),
                    decode(Coding::Deflate, &bytes),
                    "broken at {at}"
                );
            }
        }
    }

    #[test]
    fn a_bomb_is_given_up() {
        let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
        let zeros = vec![0; 1 << 20];
        for _ in 0..600 {
            bomb.write_all(&zeros).unwrap();
        }
        let bomb = bomb.finish().unwrap();
        let (mut decoder, mut made, mut input) = (Decoder::new(Coding::Deflate), 0u64, &bomb[..]);
        let failed = loop {
            match decoder.step(&mut input) {
                Step::Data(data) => made += data.len() as u64,
                Step::Done => break None,
                Step::Failed(name, _) => break Some(name),
            }
        };
        assert_eq!(failed, Some("HTTP_decoded_body_too_large"));
        assert!(made <= MAX_FREE + bomb.len() as u64 * MAX_RATIO);
    }

    proptest! {
        #[test]
        fn any_cut_of_a_body_gives_the_same_bytes(
            text in proptest::collection::vec(0u8..4, 1..20_000),
            cut in 0usize..20_000, which in 0usize..4,
        ) {
            let [gzip, zlib, raw] = packed(&text);
            let (coding, body) = match which {
                0 => (Coding::Deflate, gzip),
                1 => (Coding::Deflate, zlib),
                2 => (Coding::Deflate, raw),
                _ => (Coding::Brotli, stored_brotli(&text)),
            };
            let (head, tail) = body.split_at(cut.min(body.len()));
            prop_assert_eq!(decode(coding, &[head, tail]), (text.clone(), None));
            let bytes: Vec<&[u8]> = body.chunks(1).collect();
            prop_assert_eq!(decode(coding, &bytes), (text, None));
        }

        #[test]
        fn rubbish_never_panics(body in proptest::collection::vec(any::<u8>(), 0..400), br in any::<bool>()) {
            decode(if br { Coding::Brotli } else { Coding::Deflate }, &[&body]);
        }
    }
}
