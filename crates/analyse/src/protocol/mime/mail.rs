//! A mail, line by line: its entities, and the files that they carry.
//!
//! Promises: at most [`super::MAX_DEPTH`] entities are open; header fields are bounded ([`super::header::MAX_HEADER_BYTES`]);
//! bodies are not kept. Source: RFC 5322, 2045, 2046; Zeek's analyzer/protocol/mime/MIME.cc.

use weir_record::Text;

use super::header::MAX_HEADER_BYTES;
use super::{Boundary, Content, Header, Kind, Line, MAX_DEPTH, Pending, Transfer, filename};
use crate::context::{Context, Side};
use crate::file::{FileHandle, FileInfo};

/// An entity: the mail itself, or a part of it.
#[derive(Debug, Default)]
struct Entity {
    content: Content,
    /// Its header is over.
    in_body: bool,
    pending: Pending,
    transfer: Transfer,
    filename: Option<Text>,
    /// How many entities of the connection began before it, and itself.
    number: u64,
    file: Option<FileHandle>,
}

/// A mail that is being sent.
#[derive(Debug)]
pub struct Mail {
    /// The entities that are open, the mail itself first.
    open: Vec<Entity>,
    begun: u64,
    /// The protocol, as files.log names it.
    source: &'static str,
    sender: Side,
    too_long_told: bool,
    tells_depth: bool,
    /// The last field of the mail's own header, until it is taken.
    field: Option<Vec<u8>>,
}

impl Mail {
    /// A mail, on a connection where `before` entities had begun. `tells_depth`: files.log says which entity a file is of.
    pub fn new(source: &'static str, sender: Side, before: u64, tells_depth: bool) -> Self {
        let begun = before.saturating_add(1);
        let top = Entity { number: begun, ..Entity::default() };
        Self { open: vec![top], begun, source, sender, too_long_told: false, tells_depth, field: None }
    }

    /// How many entities of the connection have begun.
    pub const fn begun(&self) -> u64 {
        self.begun
    }

    /// The field of the mail's own header that the last line completed.
    pub const fn take_field(&mut self) -> Option<Vec<u8>> {
        self.field.take()
    }

    /// The next line, without its end.
    pub fn line(&mut self, cx: &mut Context<'_>, line: &[u8]) {
        let mut level = 0;
        while let Some(entity) = self.open.get(level) {
            if !entity.in_body {
                self.header_line(cx, level, line);
                return;
            }
            match entity.content.kind {
                Kind::Leaf => return self.body_line(cx, level, line),
                Kind::Message => {}
                Kind::Multipart => match entity.content.boundary(line) {
                    Boundary::None => {}
                    Boundary::Part => {
                        self.close_above(cx, level);
                        self.begin_child();
                        return;
                    }
                    Boundary::Closing => return self.close_above(cx, level),
                },
            }
            if entity.content.kind == Kind::Message && level + 1 == self.open.len() {
                self.begin_child();
            }
            level += 1;
        }
    }

    /// `len` bytes of the mail were never seen.
    pub fn gap(&mut self, cx: &mut Context<'_>, len: u64) {
        if let Some(file) = self.open.last().and_then(|entity| entity.file) {
            cx.file_gap(file, len);
        }
    }

    /// The mail is over.
    pub fn end(&mut self, cx: &mut Context<'_>) {
        while let Some(mut entity) = self.open.pop() {
            self.close(cx, &mut entity);
        }
    }

    fn begin_child(&mut self) {
        if self.open.len() < MAX_DEPTH {
            self.begun += 1;
            self.open.push(Entity { number: self.begun, ..Entity::default() });
        }
    }

    fn close_above(&mut self, cx: &mut Context<'_>, level: usize) {
        while self.open.len() > level + 1 {
            if let Some(mut entity) = self.open.pop() {
                self.close(cx, &mut entity);
            }
        }
    }

    fn close(&self, cx: &mut Context<'_>, entity: &mut Entity) {
        let mut rest = Vec::new();
        let fault = entity.transfer.end(&mut |bytes| rest.extend_from_slice(bytes));
        if !rest.is_empty() {
            self.give(cx, entity, &rest);
        }
        if let Some(fault) = fault {
            cx.weird("base64_illegal_encoding", Some(fault.to_string().into()), None);
        }
        if let Some(file) = entity.file.take() {
            cx.file_end(file);
        }
    }

    fn header_line(&mut self, cx: &mut Context<'_>, level: usize, line: &[u8]) {
        let Some(entity) = self.open.get_mut(level) else { return };
        match Line::of(line) {
            Line::Fold => {
                if !entity.pending.fold(line) && !std::mem::replace(&mut self.too_long_told, true) {
                    let most = MAX_HEADER_BYTES.to_string();
                    cx.weird("exceeded_mime_max_header_bytes", Some(most.into()), Some(self.source));
                    cx.unknown_message();
                }
            }
            Line::Field => {
                let field = entity.note();
                self.field = field.filter(|_| level == 0);
                entity.pending.begin(line);
            }
            Line::End => {
                let field = entity.note();
                self.field = field.filter(|_| level == 0);
                entity.in_body = true;
            }
        }
    }

    fn body_line(&mut self, cx: &mut Context<'_>, level: usize, line: &[u8]) {
        let is_part = level
            .checked_sub(1)
            .and_then(|at| self.open.get(at))
            .is_some_and(|e| e.content.kind == Kind::Multipart);
        let Some(entity) = self.open.get_mut(level) else { return };
        let mut bytes = Vec::with_capacity(line.len() + 4);
        let encoding = entity.content.encoding;
        entity.transfer.line(encoding, line, true, is_part, &mut |piece| bytes.extend_from_slice(piece));
        if bytes.is_empty() {
            return;
        }
        if let Some(mut entity) = self.open.pop() {
            self.give(cx, &mut entity, &bytes);
            self.open.push(entity);
        }
    }

    fn give(&self, cx: &mut Context<'_>, entity: &mut Entity, bytes: &[u8]) {
        let file = *entity.file.get_or_insert_with(|| {
            let uid = cx.connection.uid.to_bytes();
            let handle = cx.file_handle(&[self.source.as_bytes(), &uid, &entity.number.to_be_bytes()]);
            let info = FileInfo {
                source: self.source,
                depth: if self.tells_depth { entity.number } else { 0 },
                filename: entity.filename.take(),
                sender: self.sender,
            };
            cx.file_open(handle, info);
            handle
        });
        cx.file_data(file, bytes);
    }
}

impl Entity {
    /// The field that was pending is complete: this.
    fn note(&mut self) -> Option<Vec<u8>> {
        let (field, _) = self.pending.take()?;
        if let Some(header) = Header::parse(&field) {
            self.content.note(&header);
            let name = match () {
                () if header.is("content-disposition") => filename::in_disposition(header.value),
                () if header.is("content-type") => filename::in_type(header.value),
                () => None,
            };
            if let Some(name) = name {
                self.filename = Some(name.into());
            }
        }
        Some(field)
    }
}
