//! One entity: a header and the body below it. A message is one; so is each part of a multipart body.
//!
//! Here is what its header says about the body; [`super::message`] takes the body apart.
//! Source: RFC 9112, 6; Zeek `analyzer/protocol/http/HTTP.cc` (`HTTP_Entity`).

use std::borrow::Cow;

use super::decode::{Coding, Decoder};
use super::event::{Event, Facts, Listener};
use super::range::ContentRange;
use super::{number, range};
use crate::context::Side;
use crate::protocol::http::line::Version;
use crate::protocol::mime::{Content, Header, Pending, Transfer, TransferEncoding};

/// Most bytes of a header that a weird quotes.
const MAX_QUOTED: usize = 512;

/// Whether a body follows the header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    /// It does not, whatever the header says.
    Nothing,
    /// It does.
    Body,
    /// Only if the header says so.
    Maybe,
}

/// Where in a chunked body the next byte is.
///
/// ```text
/// Before --header--> Size --n--> Data --n bytes--> DataEnd --line--> Size
///                      \--0--> Trailer --empty line--> Over
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chunk {
    /// The body is not chunked.
    None,
    /// It will be, below this header.
    Before,
    /// A line with the size of a chunk.
    Size,
    /// In a chunk.
    Data,
    /// The line end behind a chunk.
    DataEnd,
    /// Header fields behind the last chunk.
    Trailer,
    /// Behind all.
    Over,
}

/// What goes out of an entity to the listener.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Where in the file the next byte belongs, if the entity is a part of it.
    pub offset: Option<u64>,
    /// The size of the file, to be told before its first byte.
    pub size: Option<u64>,
}

/// An entity.
pub struct Entity {
    /// The header field whose last line may not have come yet.
    pub pending: Pending,
    /// What the header says of the type.
    pub content: Content,
    /// Undoes the transfer encoding.
    pub transfer: Transfer,
    /// The next line belongs to a header (or trailer).
    pub in_header: bool,
    /// Nothing more belongs to it.
    pub ended: bool,
    /// Whether a body follows.
    pub expect: Expect,
    /// The place in a chunked body.
    pub chunk: Chunk,
    /// The length that the header says, not negative.
    pub content_length: Option<i64>,
    /// How many bytes of the body, or of the chunk, are still to come.
    pub due: i64,
    /// Bytes of the body, decoded, line ends included.
    pub body_length: u64,
    /// The content coding.
    pub coding: Coding,
    /// Its decoder, once there is a body.
    pub decoder: Option<Decoder>,
    /// The line end behind the last line has not been decoded.
    pub owes_line_end: bool,
    /// How much decoder memory was granted.
    pub granted: usize,
    /// The part of a file that it is.
    pub range: Option<ContentRange>,
    /// What goes out.
    pub out: Outgoing,
    expects_100: bool,
}

impl Entity {
    /// An entity whose header begins; `encoding` is that of what it is in.
    pub fn new(expect: Expect, encoding: TransferEncoding) -> Self {
        Self {
            pending: Pending::default(),
            content: Content::inherit(encoding),
            transfer: Transfer::default(),
            in_header: true,
            ended: false,
            expect,
            chunk: Chunk::None,
            content_length: None,
            due: 0,
            body_length: 0,
            coding: Coding::Identity,
            decoder: None,
            owes_line_end: false,
            granted: 0,
            range: None,
            out: Outgoing { offset: None, size: None },
            expects_100: false,
        }
    }

    /// Takes note of a header field, which was of `lines` lines; `top`: the entity is the message itself.
    pub fn header<L: Listener>(
        &mut self,
        header: &Header<'_>,
        lines: u32,
        top: bool,
        side: Side,
        facts: &mut Facts,
        out: &mut L,
    ) {
        if top && lines > 1 {
            weird(out, "HTTP_obsolete_line_folding", Some(header.name));
        }
        self.content.note(header);
        match header.name.len() {
            6 if header.is("expect") => self.note_expect(header, out),
            14 if header.is("content-length") => self.note_length(header, out),
            13 if header.is("content-range") && facts.reply_code == 206 => self.note_range(header, out),
            17 if header.is("transfer-encoding") => self.note_chunked(header, top, facts, out),
            16 if header.is("content-encoding") => {
                if let Some((name, _)) = header.token() {
                    let coding = Coding::named(name);
                    if coding != Coding::Identity {
                        self.coding = coding;
                    }
                }
            }
            10 if header.is("connection") => facts.note_connection(header, side),
            7 if !side.is_orig() && header.is("upgrade") => facts.note_upgrade(header),
            _ => {}
        }
        out.hear(Event::Header { side, header });
    }

    fn note_length<L: Listener>(&mut self, header: &Header<'_>, out: &mut L) {
        if self.chunk != Chunk::None {
            weird(out, "HTTP_content_length_and_chunked", None);
        }
        let Some((text, _)) = header.token() else { return };
        let Some(length) = number::read(text, 10).filter(|n| *n >= 0) else {
            weird(out, "HTTP_bad_content_length", Some(text));
            self.content_length = Some(0);
            return;
        };
        if length > 0 && text.first() == Some(&b'0') {
            weird(out, "HTTP_content_length_leading_zeros", Some(text));
        }
        self.content_length = Some(match self.range {
            Some(range) if range.len != length => {
                weird(out, "HTTP_range_not_matching_len", None);
                // The larger of the two, so that nobody hides a message behind the smaller one.
                length.max(range.len)
            }
            _ => length,
        });
        self.check_expect(out);
    }

    fn note_range<L: Listener>(&mut self, header: &Header<'_>, out: &mut L) {
        if self.chunk != Chunk::None {
            weird(out, "HTTP_content_range_and_chunked", None);
        }
        let Some(range) = range::read(header, &mut |name, addl| weird(out, name, addl)) else { return };
        self.range = Some(range);
        self.out.offset = Some(range.first);
        self.content_length = Some(match self.content_length {
            Some(length) if length > 0 && length != range.len => {
                weird(out, "HTTP_range_not_matching_len", None);
                length.max(range.len)
            }
            _ => range.len,
        });
    }

    fn note_chunked<L: Listener>(&mut self, header: &Header<'_>, top: bool, facts: &Facts, out: &mut L) {
        if !top {
            weird(out, "HTTP_nested_transfer_encoding_header", None);
            return;
        }
        if !header.token_is("chunked") || facts.version_of_chunks() != Version::V1_1 {
            return;
        }
        self.chunk = Chunk::Before;
        if let Some((_, rest)) = header.token().filter(|(_, rest)| !rest.is_empty()) {
            weird(out, "HTTP_chunked_multi", Some(rest));
        }
        if self.content_length.is_some() {
            weird(out, "HTTP_content_length_and_chunked", None);
        }
    }

    fn note_expect<L: Listener>(&mut self, header: &Header<'_>, out: &mut L) {
        if !header.token_is("100-continue") {
            let word = header.token().map_or(&b""[..], |(word, _)| word);
            weird(out, "HTTP_expect_not_100_continue", Some(word));
        }
        self.expects_100 = true;
        self.check_expect(out);
    }

    /// A body of no bytes that waits for permission to be sent.
    fn check_expect<L: Listener>(&self, out: &mut L) {
        if self.expects_100 && self.content_length == Some(0) {
            weird(out, "HTTP_content_length_0_and_expect_100_cont", None);
        }
    }

    /// The header is over: what its file's size is, where that is known. A size that the body need not keep to would end
    /// the file wherever a segment happens to end: one beside chunks (RFC 9112, 6.3), or one below the range's end.
    pub fn settle_size(&mut self) {
        let size = match (self.coding, self.range) {
            (Coding::Identity, Some(range)) => {
                let longest = range.len.max(self.content_length.unwrap_or(0));
                let end = range.first.saturating_add_signed(longest);
                range.instance.filter(|instance| end <= *instance)
            }
            (Coding::Identity, None) if self.chunk != Chunk::None => None,
            (Coding::Identity, None) => self.content_length.and_then(|n| u64::try_from(n).ok()),
            _ => None,
        };
        self.out.size = size.filter(|size| *size > 0);
    }
}

impl Outgoing {
    /// Tells the listener of bytes of the body.
    pub fn send<L: Listener>(&mut self, side: Side, bytes: &[u8], out: &mut L) {
        if bytes.is_empty() {
            return;
        }
        if let Some(total) = self.size.take() {
            out.hear(Event::Size { side, total });
        }
        out.hear(Event::Data { side, at: self.offset, bytes });
        self.skip(bytes.len() as u64);
    }

    /// Moves on by bytes that are not told.
    pub const fn skip(&mut self, len: u64) {
        if let Some(offset) = &mut self.offset {
            *offset = offset.saturating_add(len);
        }
    }
}

/// Reports a weird of the HTTP analyser.
pub fn weird<L: Listener>(out: &mut L, name: &'static str, addl: Option<&[u8]>) {
    let addl = addl.map(|text| Cow::Owned(text.get(..MAX_QUOTED).unwrap_or(text).to_vec()));
    out.hear(Event::Weird { name, addl, source: Some("HTTP") });
}
