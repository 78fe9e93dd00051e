//! One file: what of it was seen, its beginning, and bytes that came before their turn.
//!
//! Memory is bounded: [`super::FileConfig::beginning`] bytes of the beginning, and of what is held `max_held` bytes in
//! at most [`MAX_BLOCKS`] pieces; the holes before them are then given up.
//!
//! Source: Zeek's src/file_analysis/{File,FileReassembler}.cc and base/frameworks/files/main.zeek.

use std::collections::BTreeMap;

use smallvec::SmallVec;
use weir_record::{ConnUid, Entries, FileUid, Files as Record, Set, Text, Vantage};
use weir_wire::{ConnId, Time, Uid};

use super::mime::Matcher;
use super::{FileHandle, FileInfo};
use crate::config::FileConfig;

/// Most connections that one file is logged for.
const MAX_CONNECTIONS: usize = 64;

/// Most pieces of one file that are held because they came out of order.
const MAX_BLOCKS: usize = 4096;

/// The analyser that Zeek attaches to files of the type.
fn analyzer(mime: &str) -> Option<&'static str> {
    match mime {
        "application/x-dosexec" => Some("PE"),
        "application/ocsp-response" => Some("OCSP_REPLY"),
        _ => None,
    }
}

/// A file of which something was seen.
#[derive(Debug)]
pub struct File {
    info: FileInfo,
    first: Time,
    last: Time,
    /// When it is looked at next whether it makes progress.
    due: Time,
    local_orig: bool,
    connections: SmallVec<[(Uid, ConnId, Vantage); 1]>,
    mime: Option<&'static str>,
    beginning: Vec<u8>,
    /// How many bytes the beginning has at most.
    beginning_len: usize,
    /// No more bytes are added to the beginning.
    full: bool,
    sniffed: bool,
    /// Where in the file the next byte in order belongs.
    offset: u64,
    seen: u64,
    missing: u64,
    overflow: u64,
    total: Option<u64>,
    /// Pieces beyond `offset`, by their place; they do not overlap.
    held: BTreeMap<u64, Vec<u8>>,
    held_bytes: usize,
}

impl File {
    /// A file that nothing was seen of yet.
    pub fn new(info: FileInfo, now: Time, config: &FileConfig) -> Self {
        Self {
            info,
            first: now,
            last: now,
            due: now + config.timeout,
            local_orig: false,
            connections: SmallVec::new(),
            mime: None,
            beginning: Vec::new(),
            beginning_len: config.beginning,
            full: false,
            sniffed: false,
            offset: 0,
            seen: 0,
            missing: 0,
            overflow: 0,
            total: None,
            held: BTreeMap::new(),
            held_bytes: 0,
        }
    }

    /// It was seen in the connection `uid`. Those beyond [`MAX_CONNECTIONS`] are not remembered.
    pub fn add_connection(
        &mut self,
        (uid, id): (Uid, ConnId),
        vantage: Vantage,
        local_orig: bool,
        filename: Option<Text>,
    ) {
        if self.knows(uid) {
            self.info.filename = self.info.filename.take().or(filename);
            return;
        }
        self.local_orig = local_orig;
        self.info.filename = filename.or_else(|| self.info.filename.take());
        if self.connections.len() < MAX_CONNECTIONS {
            self.connections.push((uid, id, vantage));
        }
    }

    /// Whether it was seen in the connection `uid`.
    pub fn knows(&self, uid: Uid) -> bool {
        self.connections.iter().any(|(known, ..)| *known == uid)
    }

    /// Something of it was seen.
    pub const fn touch(&mut self, now: Time) {
        self.last = now;
    }

    /// When it was seen first.
    pub const fn first(&self) -> Time {
        self.first
    }

    /// Its type, once told.
    pub const fn mime(&self) -> Option<&'static str> {
        self.mime
    }

    /// Its protocol says its type.
    pub const fn set_mime(&mut self, mime: &'static str) {
        self.mime = Some(mime);
        self.sniffed = true;
    }

    /// How many bytes are held.
    pub const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Whether all of it was seen or lost.
    pub fn is_complete(&self) -> bool {
        self.total.is_some_and(|total| self.offset >= total)
    }

    /// Its length becomes known.
    pub const fn set_total(&mut self, total: u64) {
        self.total = Some(total);
    }

    /// Whether it made no progress for too long at `now`. It is looked at once per time-out, as Zeek does: the answer
    /// does not depend on how often this is asked.
    pub fn is_stale(&mut self, now: Time, config: &FileConfig) -> bool {
        if now < self.due {
            return false;
        }
        let timeout = config.timeout.0.max(1);
        if self.due.since(self.last).0 >= timeout {
            return true;
        }
        // The first look from which on it would be stale, or the first beyond now.
        let wanted = (self.last + config.timeout).since(self.due).0.max(1);
        let ahead = (wanted.saturating_sub(1) / timeout).saturating_add(1).saturating_mul(timeout);
        self.due = Time(self.due.0.saturating_add(ahead));
        now >= self.due
    }

    /// The next bytes in order.
    pub fn data(&mut self, bytes: &[u8], matcher: &mut Matcher) {
        if !self.full {
            let wanted = self.beginning_len.saturating_sub(self.beginning.len());
            self.beginning.extend_from_slice(bytes.get(..wanted).unwrap_or(bytes));
            self.full = bytes.len() >= wanted;
        }
        self.sniff(matcher);
        self.offset = self.offset.saturating_add(bytes.len() as u64);
        self.seen = self.seen.saturating_add(bytes.len() as u64);
    }

    fn sniff(&mut self, matcher: &mut Matcher) {
        if self.sniffed || !self.full || self.missing > 0 {
            return;
        }
        self.sniffed = true;
        self.mime = matcher.tell(&self.beginning);
        self.beginning = Vec::new();
    }

    /// Bytes that belong at `offset`; all that is held may take `room` more bytes.
    pub fn data_at(
        &mut self,
        offset: u64,
        bytes: &[u8],
        room: usize,
        config: &FileConfig,
        matcher: &mut Matcher,
    ) {
        if offset == self.offset && self.held.is_empty() {
            self.data(bytes, matcher);
            return;
        }
        let sum = self.held_bytes.saturating_add(bytes.len());
        if sum > config.max_held || bytes.len() > room || self.held.len() >= MAX_BLOCKS {
            let lost = self.flush(u64::MAX, matcher);
            self.overflow = self.overflow.saturating_add(lost);
        }
        if bytes.len() <= config.max_held {
            self.hold(offset, bytes);
        } else if let Some(known) = self.offset.checked_sub(offset) {
            let known = usize::try_from(known).unwrap_or(usize::MAX);
            self.data(bytes.get(known..).unwrap_or_default(), matcher);
        } else {
            self.overflow = self.overflow.saturating_add(bytes.len() as u64);
        }
        self.release(matcher);
    }

    /// Keeps the parts of `bytes` that are not known yet.
    fn hold(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset.saturating_add(bytes.len() as u64);
        let mut at = offset.max(self.offset);
        while at < end {
            let before = self.held.range(..=at).next_back();
            let covered = before.map_or(0, |(start, held)| start.saturating_add(held.len() as u64));
            if covered > at {
                at = covered;
                continue;
            }
            let next = self.held.range(at..).next().map_or(end, |(start, _)| (*start).min(end));
            let from = usize::try_from(at - offset).unwrap_or(usize::MAX);
            let to = usize::try_from(next - offset).unwrap_or(usize::MAX);
            let piece = bytes.get(from..to).unwrap_or_default();
            if piece.is_empty() {
                return;
            }
            self.held_bytes = self.held_bytes.saturating_add(piece.len());
            self.held.insert(at, piece.to_vec());
            at = next;
        }
    }

    /// Takes what is held and in order by now.
    fn release(&mut self, matcher: &mut Matcher) {
        while let Some(entry) = self.held.first_entry().filter(|entry| *entry.key() <= self.offset) {
            let held = entry.remove_entry();
            self.take(held, matcher);
        }
    }

    fn take(&mut self, (at, bytes): (u64, Vec<u8>), matcher: &mut Matcher) {
        self.held_bytes = self.held_bytes.saturating_sub(bytes.len());
        // Bytes in order may have come since without a place of their own.
        let known = usize::try_from(self.offset.saturating_sub(at)).unwrap_or(usize::MAX);
        self.data(bytes.get(known..).unwrap_or_default(), matcher);
    }

    /// Gives up the holes before what is held below `end`. Answers how many bytes were lost.
    fn flush(&mut self, end: u64, matcher: &mut Matcher) -> u64 {
        let mut lost = 0u64;
        while let Some(entry) = self.held.first_entry().filter(|entry| *entry.key() < end) {
            let (at, bytes) = entry.remove_entry();
            let hole = at.saturating_sub(self.offset);
            if hole > 0 {
                self.lose(hole, matcher);
                lost = lost.saturating_add(hole);
            }
            self.take((at, bytes), matcher);
        }
        lost
    }

    fn lose(&mut self, len: u64, matcher: &mut Matcher) {
        self.full = true;
        self.sniff(matcher);
        self.beginning = Vec::new();
        self.offset = self.offset.saturating_add(len);
        self.missing = self.missing.saturating_add(len);
    }

    /// The next `len` bytes in order were lost, but for those that are held.
    pub fn gap(&mut self, len: u64, matcher: &mut Matcher) {
        let end = self.offset.saturating_add(len);
        self.flush(end, matcher);
        if end > self.offset {
            self.lose(end - self.offset, matcher);
        }
        self.release(matcher);
    }

    /// There is no more of it: takes what is held.
    pub fn end(&mut self, matcher: &mut Matcher) {
        self.flush(u64::MAX, matcher);
        self.full = true;
        self.sniff(matcher);
    }

    /// Writes its records, one for each connection that it was seen in.
    pub fn log(self, handle: FileHandle, timedout: bool, out: &mut Entries) {
        let mut analyzers = Set::default();
        if let Some(name) = self.mime.and_then(analyzer) {
            analyzers.insert(Text::from(name));
        }
        let in_work = out.vantage;
        for (uid, id, vantage) in self.connections {
            out.vantage = vantage;
            out.push(Record {
                ts: self.first,
                fuid: FileUid(handle.0),
                uid: Some(ConnUid(uid)),
                id,
                source: Some(self.info.source.into()),
                depth: self.info.depth,
                analyzers: analyzers.clone(),
                mime_type: self.mime.map(Text::from),
                filename: self.info.filename.clone(),
                duration: self.last.since(self.first),
                local_orig: Some(self.local_orig),
                is_orig: Some(self.info.sender.is_orig()),
                seen_bytes: self.seen,
                total_bytes: self.total,
                missing_bytes: self.missing,
                overflow_bytes: self.overflow,
                timedout,
                parent_fuid: None,
                md5: None,
                sha1: None,
                sha256: None,
                extracted: None,
                extracted_cutoff: None,
                extracted_size: None,
            });
        }
        out.vantage = in_work;
    }
}
