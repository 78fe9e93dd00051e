//! A message: the stack of its open entities, and where its bytes go.
//!
//! Promises: at most [`MAX_DEPTH`] + 1 entities and [`MAX_DECODERS`] decoders at once; bytes of a body that need no
//! decoding are handed on, not copied. Source: RFC 9112, 6 and 7; Zeek `analyzer/protocol/http/HTTP.cc` and
//! `mime/MIME.cc`, whose order of steps this follows, because it shows in lengths, files and weirds.

use std::borrow::Cow;

use super::decode::{Coding, Decoder, Step};
use super::entity::{Chunk, Entity, Expect, weird};
use super::event::{Event, Facts, Listener};
use super::number;
use crate::context::Side;
use crate::protocol::content_line::{ContentLine, Ends};
use crate::protocol::mime::{Boundary, Header, Kind, Line, MAX_DEPTH, TransferEncoding};

/// Decoders of one message at once; bodies coded again inside that are taken as they are.
const MAX_DECODERS: u8 = 2;

/// A body without a length, in bytes as they are (Zeek: `INT_MAX`).
const UNTIL_CLOSE: i64 = i32::MAX as i64;

/// The surroundings of a message during one call.
pub struct Scope<'a, L> {
    /// Who sends it.
    pub side: Side,
    /// What cuts its bytes into lines.
    pub lines: &'a mut ContentLine,
    /// What is known of both sides.
    pub facts: &'a mut Facts,
    /// Who listens.
    pub out: &'a mut L,
}

impl<L: Listener> Scope<'_, L> {
    fn partial(&self) -> bool {
        !self.side.is_orig() && self.facts.reply_code == 206
    }

    fn set_plain(&mut self, len: i64) {
        self.lines.set_plain(u64::try_from(len).unwrap_or(0));
    }
}

/// A message; used again for the next one.
#[derive(Default)]
pub struct Message {
    /// The outermost entity first. An ended one stays until its parent drops it.
    entities: Vec<Entity>,
    finished: bool,
    decoders: u8,
}

impl Message {
    /// Whether a message was ever begun.
    pub fn exists(&self) -> bool {
        !self.entities.is_empty()
    }

    /// Whether all of it has come, or all that will.
    pub const fn is_finished(&self) -> bool {
        self.finished
    }

    /// Forgets it.
    pub fn clear<L: Listener>(&mut self, out: &mut L) {
        for entity in &mut self.entities {
            out.release(std::mem::take(&mut entity.granted));
        }
        self.entities.clear();
        self.decoders = 0;
    }

    /// Begins a message.
    pub fn begin<L: Listener>(&mut self, expect: Expect, s: &mut Scope<'_, L>) {
        self.clear(s.out);
        self.finished = false;
        self.entities.push(Entity::new(expect, TransferEncoding::Identity));
        s.out.hear(Event::Begin { side: s.side });
    }

    /// Takes a line, or bytes that are none.
    pub fn deliver<L: Listener>(&mut self, data: &[u8], is_line: bool, s: &mut Scope<'_, L>) {
        self.deliver_to(0, data, is_line, s);
    }

    /// The message is over, whether all of it came or not.
    pub fn finish<L: Listener>(&mut self, s: &mut Scope<'_, L>) {
        if !self.finished && self.exists() {
            self.end_of_data(0, s);
        }
    }

    /// `len` bytes were lost. False: not inside a body, so that nobody knows where they would have led.
    pub fn lost<L: Listener>(&mut self, len: u64, s: &mut Scope<'_, L>) -> bool {
        let level = self.entities.iter().rposition(|e| !e.ended).unwrap_or(0);
        let Some(entity) = self.entities.get_mut(level) else { return false };
        if entity.ended && entity.in_header || entity.body_length == 0 {
            return false;
        }
        s.out.hear(Event::Gap { side: s.side, len });
        entity.out.skip(len);
        let signed = i64::try_from(len).unwrap_or(i64::MAX);
        if entity.content.kind != Kind::Leaf {
            // The splitter counts the bytes of the outermost body.
            entity.due =
                s.lines.due().filter(|_| level == 0).and_then(|due| i64::try_from(due).ok()).unwrap_or(0);
        }
        let inside = if entity.chunk == Chunk::None {
            entity.content_length.is_some()
        } else {
            entity.chunk == Chunk::Data
        };
        if !inside || entity.due < signed {
            return false;
        }
        entity.body_length = entity.body_length.saturating_add(len);
        entity.due -= signed;
        s.set_plain(entity.due);
        if let Some(due) = s.lines.due() {
            s.lines.set_due(Some(due.saturating_sub(len)));
        }
        if entity.due == 0 && entity.chunk == Chunk::Data {
            entity.chunk = Chunk::DataEnd;
        } else if entity.due == 0 {
            self.end_of_data(level, s);
        }
        true
    }

    fn deliver_to<L: Listener>(&mut self, level: usize, data: &[u8], is_line: bool, s: &mut Scope<'_, L>) {
        let Some(entity) = self.entities.get_mut(level) else { return };
        if entity.ended {
            return;
        }
        if entity.in_header {
            if !is_line {
                weird(s.out, "http_no_crlf_in_header_list", None);
            }
            self.header_line(level, data, s);
        } else if entity.content.kind != Kind::Leaf {
            self.body(level, data, is_line, s);
        } else if entity.chunk != Chunk::None {
            self.chunk(level, data, s);
        } else if entity.content_length.is_some() {
            self.body(level, data, false, s);
            self.count(level, data.len(), s);
        } else {
            self.body(level, data, is_line, s);
        }
    }

    /// `len` bytes of a body of known length have come.
    fn count<L: Listener>(&mut self, level: usize, len: usize, s: &mut Scope<'_, L>) {
        let Some(entity) = self.entities.get_mut(level) else { return };
        entity.due = entity.due.saturating_sub(len as i64);
        if entity.due <= 0 {
            s.set_plain(0);
            self.end_of_data(level, s);
        }
    }

    fn header_line<L: Listener>(&mut self, level: usize, line: &[u8], s: &mut Scope<'_, L>) {
        match Line::of(line) {
            Line::End => {
                self.finish_field(level, s);
                if let Some(entity) = self.entities.get_mut(level) {
                    entity.in_header = false;
                }
                self.header_over(level, s);
                let begins =
                    self.entities.get(level).is_some_and(|e| !e.ended && e.content.kind == Kind::Message);
                if begins {
                    self.begin_child(level, s);
                }
            }
            Line::Fold => {
                let Some(entity) = self.entities.get_mut(level) else { return };
                if !entity.pending.fold(line) {
                    let addl = Some(Cow::Owned(entity.pending.len().to_string().into_bytes()));
                    let name = "exceeded_mime_max_header_bytes";
                    s.out.hear(Event::Weird { name, addl, source: Some("HTTP") });
                }
            }
            Line::Field => {
                self.finish_field(level, s);
                if let Some(entity) = self.entities.get_mut(level) {
                    entity.pending.begin(line);
                }
            }
        }
    }

    /// The pending header field is complete.
    fn finish_field<L: Listener>(&mut self, level: usize, s: &mut Scope<'_, L>) {
        let Some(entity) = self.entities.get_mut(level) else { return };
        let Some((field, lines)) = entity.pending.take() else { return };
        if let Some(header) = Header::parse(&field) {
            entity.header(&header, lines, level == 0, s.side, s.facts, s.out);
        }
        entity.pending.recycle(field);
    }

    /// The header is over: what comes now?
    fn header_over<L: Listener>(&mut self, level: usize, s: &mut Scope<'_, L>) {
        if level > 0 && self.kind(level - 1) == Kind::Multipart {
            // The line ends of a part belong to it, so that only CR LF may be taken away and put back.
            s.lines.set_quiet(true);
            s.lines.set_ends(Ends::CRLF);
        }
        let Some(entity) = self.entities.get_mut(level) else { return };
        entity.settle_size();
        if entity.ended {
            // It ended in its header: what that announces will not come here. (Zeek would take what comes elsewhere for it.)
            return;
        }
        if entity.chunk == Chunk::Trailer {
            entity.chunk = Chunk::Over;
            return self.end_of_data(level, s);
        }
        if entity.expect == Expect::Nothing {
            return self.end_of_data(level, s);
        }
        match entity.content_length {
            _ if entity.content.kind != Kind::Leaf => self.composite_over(level, s),
            _ if entity.chunk != Chunk::None => entity.chunk = Chunk::Size,
            Some(0) => self.end_of_data(level, s),
            Some(length) => {
                entity.due = length;
                s.set_plain(length);
            }
            // Of a part, Zeek takes all that follows; then where it ends would depend on how the stream is cut.
            None if level == 0 && (s.facts.connection_close || entity.coding != Coding::Identity) => {
                entity.due = UNTIL_CLOSE;
                s.set_plain(UNTIL_CLOSE);
            }
            None if entity.expect != Expect::Body => self.end_of_data(level, s),
            None => {}
        }
    }

    /// The header of a multipart body, or of a message in a message, is over.
    fn composite_over<L: Listener>(&mut self, level: usize, s: &mut Scope<'_, L>) {
        let Some(entity) = self.entities.get_mut(level) else { return };
        if entity.chunk != Chunk::None {
            weird(s.out, "HTTP_chunked_transfer_for_multipart_message", None);
        }
        match entity.content_length {
            Some(0) if level == 0 => self.end_of_data(level, s),
            Some(length) if level == 0 => s.lines.set_due(u64::try_from(length).ok()),
            _ => {}
        }
    }

    fn chunk<L: Listener>(&mut self, level: usize, data: &[u8], s: &mut Scope<'_, L>) {
        let Some(entity) = self.entities.get_mut(level) else { return };
        match entity.chunk {
            Chunk::Size => {
                entity.due = number::read(data, 16).unwrap_or_else(|| {
                    weird(s.out, "HTTP_bad_chunk_size", Some(data));
                    0
                });
                if entity.due > 0 {
                    entity.chunk = Chunk::Data;
                    s.set_plain(entity.due);
                } else {
                    entity.in_header = true;
                    entity.chunk = Chunk::Trailer;
                }
            }
            Chunk::Data => {
                entity.due = entity.due.saturating_sub(data.len() as i64);
                if entity.due <= 0 {
                    s.set_plain(0);
                    entity.chunk = Chunk::DataEnd;
                }
                self.body(level, data, false, s);
            }
            Chunk::DataEnd => entity.chunk = Chunk::Size,
            Chunk::None | Chunk::Before | Chunk::Trailer | Chunk::Over => {}
        }
    }

    /// Bytes of a body, still coded.
    fn body<L: Listener>(&mut self, level: usize, data: &[u8], is_line: bool, s: &mut Scope<'_, L>) {
        if self.entities.get(level).is_none_or(|e| e.coding == Coding::Identity) {
            return self.body_clear(level, data, is_line, s);
        }
        let Some(mut decoder) = self.decoder(level, s.out) else {
            return self.body_clear(level, data, is_line, s);
        };
        // A line end between lines of a coded part belongs to it; the last one belongs to the boundary. Of a coded body that
        // itself has parts the line ends are lost, as in Zeek.
        let owed = self.entities.get_mut(level).is_some_and(|entity| {
            let owes = is_line && entity.content.kind == Kind::Leaf;
            std::mem::replace(&mut entity.owes_line_end, owes)
        });
        let end: &[u8] = if owed { b"\r\n" } else { b"" };
        for mut input in [end, data] {
            self.decode(level, &mut decoder, &mut input, s);
        }
        if let Some(entity) = self.entities.get_mut(level).filter(|e| !e.ended) {
            entity.decoder = Some(decoder);
        }
    }

    /// Decodes `input`.
    fn decode<L: Listener>(
        &mut self,
        level: usize,
        decoder: &mut Decoder,
        input: &mut &[u8],
        s: &mut Scope<'_, L>,
    ) {
        loop {
            match decoder.step(input) {
                Step::Data(piece) => self.body_clear(level, piece, false, s),
                Step::Done => break,
                Step::Failed(name, source) => {
                    s.out.hear(Event::Weird { name, addl: None, source: Some(source) });
                }
            }
        }
    }

    /// Takes the decoder of an entity, or makes it. `None`: there may not be one; the body is taken as it is.
    fn decoder<L: Listener>(&mut self, level: usize, out: &mut L) -> Option<Decoder> {
        let entity = self.entities.get_mut(level)?;
        if let Some(decoder) = entity.decoder.take() {
            return Some(decoder);
        }
        let memory = entity.coding.memory();
        if self.decoders >= MAX_DECODERS || !out.grant(memory) {
            entity.coding = Coding::Identity;
            weird(out, "HTTP_decoder_refused", None);
            return None;
        }
        self.decoders += 1;
        entity.granted = memory;
        Some(Decoder::new(entity.coding))
    }

    /// Bytes of a body, decoded.
    fn body_clear<L: Listener>(&mut self, level: usize, data: &[u8], is_line: bool, s: &mut Scope<'_, L>) {
        let parent_is_multipart = level > 0 && self.kind(level - 1) == Kind::Multipart;
        let Some(entity) = self.entities.get_mut(level) else { return };
        let len = data.len() as u64 + if is_line { 2 } else { 0 };
        entity.body_length = entity.body_length.saturating_add(len);
        if entity.ended {
            return;
        }
        // A boundary is a line. Zeek takes any bytes that a call begins with for one; and so do we where a coded body has
        // parts, because what is decoded has no lines.
        let may_bound = is_line || entity.coding != Coding::Identity;
        let boundary = if may_bound { entity.content.boundary(data) } else { Boundary::None };
        match boundary {
            Boundary::Part => {
                self.end_child(level, s);
                return self.begin_child(level, s);
            }
            Boundary::Closing => {
                self.end_child(level, s);
                return self.end_of_data(level, s);
            }
            Boundary::None => {}
        }
        if entity.content.kind != Kind::Leaf {
            return self.deliver_to(level + 1, data, is_line, s);
        }
        let Entity { transfer, content, out, .. } = entity;
        transfer.line(content.encoding, data, is_line, parent_is_multipart, &mut |bytes| {
            out.send(s.side, bytes, s.out);
        });
    }

    fn begin_child<L: Listener>(&mut self, level: usize, s: &mut Scope<'_, L>) {
        if level >= MAX_DEPTH {
            let addl = Some(Cow::Owned(level.to_string().into_bytes()));
            s.out.hear(Event::Weird { name: "exceeded_mime_max_depth", addl, source: Some("HTTP") });
            return;
        }
        let encoding = self.entities.get(level).map(|e| e.content.encoding).unwrap_or_default();
        self.entities.truncate(level + 1);
        self.entities.push(Entity::new(Expect::Body, encoding));
        s.out.hear(Event::Begin { side: s.side });
    }

    /// Ends the entity inside that of `level`, if there is one.
    fn end_child<L: Listener>(&mut self, level: usize, s: &mut Scope<'_, L>) {
        if self.entities.len() > level + 1 {
            self.end_of_data(level + 1, s);
            self.entities.truncate(level + 1);
        }
    }

    fn end_of_data<L: Listener>(&mut self, level: usize, s: &mut Scope<'_, L>) {
        let Some(entity) = self.entities.get_mut(level) else { return };
        if entity.ended {
            return;
        }
        entity.ended = true;
        entity.decoder = None;
        if entity.granted > 0 {
            s.out.release(std::mem::take(&mut entity.granted));
            self.decoders = self.decoders.saturating_sub(1);
        }
        if entity.in_header {
            self.finish_field(level, s);
            if let Some(entity) = self.entities.get_mut(level) {
                entity.in_header = false;
            }
            self.header_over(level, s);
        } else {
            self.end_child(level, s);
            self.end_transfer(level, s);
        }
        self.end_entity(level, s);
    }

    fn end_transfer<L: Listener>(&mut self, level: usize, s: &mut Scope<'_, L>) {
        let Some(Entity { transfer, out, .. }) = self.entities.get_mut(level) else { return };
        let fault = transfer.end(&mut |bytes| out.send(s.side, bytes, s.out));
        if let Some(fault) = fault {
            let addl = Some(Cow::Owned(fault.to_string().into_bytes()));
            s.out.hear(Event::Weird { name: "base64_illegal_encoding", addl, source: None });
        }
    }

    fn end_entity<L: Listener>(&mut self, level: usize, s: &mut Scope<'_, L>) {
        s.out.hear(Event::End { side: s.side, partial: s.partial() });
        if level > 0 {
            if self.kind(level - 1) == Kind::Multipart {
                s.lines.set_quiet(false);
                s.lines.set_ends(Ends::ANY);
            }
            return;
        }
        s.lines.set_due(None);
        s.set_plain(0);
        self.finished = true;
        let body_length = self.entities.first().map_or(0, |e| e.body_length);
        s.out.hear(Event::Done { side: s.side, body_length });
    }

    fn kind(&self, level: usize) -> Kind {
        self.entities.get(level).map(|e| e.content.kind).unwrap_or_default()
    }
}
