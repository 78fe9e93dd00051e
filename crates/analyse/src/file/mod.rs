//! Files that travel in connections: what type they are, how much of them was seen (files.log).
//!
//! An analyser names a file by a handle, made from whatever tells it apart (Zeek's get_file_handle), opens it once
//! for each connection and then gives bytes in order or by offset. The file's type is told from its beginning
//! ([`crate::config::FileConfig::beginning`]) as soon as that is complete, or at the end. A file that makes no progress
//! is given up after [`crate::config::FileConfig::timeout`].
//!
//! The table of files, the bytes that are held and the list of types of files that ended are bounded.
//!
//! Source: Zeek's src/file_analysis/Manager.cc and base/frameworks/files/main.zeek.

mod magic;
mod mime;
mod state;

use hashbrown::HashMap;
use weir_record::{Entries, FileUid, Text};
use weir_wire::{Interval, Time, Uid};

use self::mime::Matcher;
use self::state::File;
use crate::Config;
use crate::context::{Context, Side};
use crate::x509::Cache as Certificates;

/// What tells one file from another; also its id in the logs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileHandle(pub Uid);

/// What an analyser knows of a file when it opens it.
#[derive(Clone, Debug)]
pub struct FileInfo {
    /// The protocol that carries it, as files.log's `source` names it.
    pub source: &'static str,
    /// How deep it is: which request, which part.
    pub depth: u64,
    /// Its name, where the protocol gives one.
    pub filename: Option<Text>,
    /// Who sends it.
    pub sender: Side,
}

/// Most files that ended whose types are remembered until time goes on.
const MAX_ENDED: usize = 256;

/// How often stale files are looked for. What is logged does not depend on it.
const SWEEP: Interval = Interval::from_secs(1);

/// The files of one lane.
#[derive(Default)]
pub struct Files {
    table: HashMap<FileHandle, File, foldhash::fast::RandomState>,
    matcher: Matcher,
    /// Bytes that all files hold because they came out of order.
    held: usize,
    /// The types of files that ended lately.
    ended: Vec<(FileHandle, Option<&'static str>)>,
    swept: Time,
    /// Files that were begun.
    begun: u64,
    /// Memory that decoders of content codings hold, all connections of the lane together.
    decoders: usize,
    /// The certificates that were read lately: files to Zeek, but with a log of their own.
    pub(crate) certificates: Certificates,
}

impl Files {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Files that were begun, those that are not complete, and the bytes that they hold.
    pub(crate) fn tally(&self) -> [u64; 3] {
        [self.begun, self.table.len() as u64, self.held as u64]
    }

    /// Changes a file that is known; `what` learns how many bytes all files hold. Answers whether it is complete then.
    fn change(&mut self, handle: FileHandle, what: impl FnOnce(&mut File, usize, &mut Matcher)) -> bool {
        let Some(file) = self.table.get_mut(&handle) else {
            return false;
        };
        let before = file.held_bytes();
        what(file, self.held, &mut self.matcher);
        self.held = self.held.saturating_sub(before).saturating_add(file.held_bytes());
        file.is_complete()
    }

    fn end(&mut self, handle: FileHandle, timedout: bool, out: &mut Entries) {
        let Some(mut file) = self.table.remove(&handle) else {
            return;
        };
        self.held = self.held.saturating_sub(file.held_bytes());
        file.end(&mut self.matcher);
        if self.ended.len() >= MAX_ENDED {
            self.ended.clear();
        }
        self.ended.push((handle, file.mime()));
        file.log(handle, timedout, out);
    }

    /// Gives the file up if it made no progress for too long.
    fn expire(&mut self, handle: FileHandle, now: Time, out: &mut Entries, config: &Config) {
        let stale = self.table.get_mut(&handle).is_some_and(|file| file.is_stale(now, &config.file));
        if stale {
            self.end(handle, true, out);
        }
    }

    /// Gives up files without progress until `now`.
    pub fn advance(&mut self, now: Time, out: &mut Entries, config: &Config) {
        self.ended.clear();
        if now < self.swept + SWEEP && now >= self.swept {
            return;
        }
        self.swept = now;
        let stale = |(handle, file): (&FileHandle, &mut File)| {
            file.is_stale(now, &config.file).then_some((file.first(), *handle))
        };
        let over = self.table.iter_mut().filter_map(stale).collect();
        self.give_up(over, out);
    }

    /// The traffic has ended at `_now`: gives up every file, as Zeek does, however lately it made progress.
    pub fn finish(&mut self, _now: Time, out: &mut Entries) {
        let over = self.table.iter().map(|(handle, file)| (file.first(), *handle)).collect();
        self.give_up(over, out);
    }

    /// Gives up files, in an order that does not depend on the table's.
    fn give_up(&mut self, mut over: Vec<(Time, FileHandle)>, out: &mut Entries) {
        over.sort_unstable_by_key(|(first, handle)| (*first, handle.0));
        for (_, handle) in over {
            self.end(handle, true, out);
        }
    }

    /// Whether a decoder of a content coding may take `bytes` of memory, of which all together may hold `max`. Give them
    /// back with [`Files::release_decoder`].
    pub const fn grant_decoder(&mut self, bytes: usize, max: usize) -> bool {
        let sum = self.decoders.saturating_add(bytes);
        if sum <= max {
            self.decoders = sum;
        }
        sum <= max
    }

    /// A decoder that held `bytes` is gone.
    pub const fn release_decoder(&mut self, bytes: usize) {
        self.decoders = self.decoders.saturating_sub(bytes);
    }
}

/// The file operations of an analyser.
impl Context<'_> {
    /// The handle of the file that `parts` name.
    pub fn file_handle(&self, parts: &[&[u8]]) -> FileHandle {
        FileHandle(self.key.of(parts))
    }

    /// Whether [`Context::file_open`] would show this connection the file for the first time (Zeek's
    /// `file_over_new_connection`): the file is not known, or was seen in other connections only.
    pub fn file_is_new(&self, file: FileHandle) -> bool {
        self.files.table.get(&file).is_none_or(|file| !file.knows(self.connection.uid))
    }

    /// The file is seen in this connection. Idempotent; later calls may add a name. Beyond
    /// [`crate::config::FileConfig::max_files`] it stays unknown.
    pub fn file_open(&mut self, file: FileHandle, info: FileInfo) -> FileUid {
        self.files.expire(file, self.now, self.out, self.config);
        if !self.files.table.contains_key(&file) {
            if self.files.table.len() >= self.config.file.max_files {
                self.weird("too_many_files", None, None);
                return FileUid(file.0);
            }
            self.files.begun += 1;
            self.files.table.insert(file, File::new(info.clone(), self.now, &self.config.file));
        }
        let local_orig = self.is_local(info.sender);
        if let Some(known) = self.files.table.get_mut(&file) {
            known.touch(self.now);
            let of = (self.connection.uid, self.connection.id);
            known.add_connection(of, self.out.vantage, local_orig, info.filename);
        }
        FileUid(file.0)
    }

    /// A file that is seen all at once, whose type its protocol says.
    pub fn file_whole(&mut self, file: FileHandle, info: FileInfo, mime: &'static str, bytes: &[u8]) {
        self.file_open(file, info);
        self.files.change(file, |file, _, matcher| {
            file.set_mime(mime);
            file.data(bytes, matcher);
        });
        self.file_end(file);
    }

    /// The next bytes in order.
    pub fn file_data(&mut self, file: FileHandle, bytes: &[u8]) {
        let now = self.now;
        let complete = self.files.change(file, |file, _, matcher| {
            file.touch(now);
            file.data(bytes, matcher);
        });
        self.file_end_if(complete, file);
    }

    /// Bytes at `offset`, in any order.
    pub fn file_data_at(&mut self, file: FileHandle, offset: u64, bytes: &[u8]) {
        let (now, config) = (self.now, &self.config.file);
        let complete = self.files.change(file, |file, held, matcher| {
            let room = config.max_held_total.saturating_sub(held);
            file.touch(now);
            file.data_at(offset, bytes, room, config, matcher);
        });
        self.file_end_if(complete, file);
    }

    /// The next `len` bytes in order were lost. A file whose end is lost is not complete: its carrier is to end it.
    pub fn file_gap(&mut self, file: FileHandle, len: u64) {
        let now = self.now;
        self.files.change(file, |file, _, matcher| {
            file.touch(now);
            file.gap(len, matcher);
        });
    }

    /// How long the file is, as its protocol says.
    pub fn file_size(&mut self, file: FileHandle, total: u64) {
        let now = self.now;
        let complete = self.files.change(file, |file, _, _| {
            file.touch(now);
            file.set_total(total);
        });
        self.file_end_if(complete, file);
    }

    fn file_end_if(&mut self, complete: bool, file: FileHandle) {
        if complete {
            self.files.end(file, false, self.out);
        }
    }

    /// The file is complete, or its carrier ended: it is logged.
    pub fn file_end(&mut self, file: FileHandle) {
        self.files.expire(file, self.now, self.out, self.config);
        self.files.end(file, false, self.out);
    }

    /// The type of the file, once told; also for a file that ended during this call into the analyser.
    pub fn file_mime(&self, file: FileHandle) -> Option<&'static str> {
        match self.files.table.get(&file) {
            Some(file) => file.mime(),
            None => self.files.ended.iter().rev().find(|(ended, _)| *ended == file)?.1,
        }
    }
}

#[cfg(test)]
mod tests;
