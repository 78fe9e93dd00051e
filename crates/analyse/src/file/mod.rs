//! Files that travel in connections: what type they are, how much of them was seen (files.log).
//!
//! An analyser names a file by a handle, made from whatever tells it apart (Zeek's get_file_handle), opens it once
//! for each connection and then gives bytes in order or by offset. The file's type is told from its beginning
//! ([`crate::config::FileConfig::beginning`]) as soon as that is complete, or at the end.

use weir_record::{FileUid, Text};
use weir_wire::{Time, Uid};

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

/// The files of one lane.
#[derive(Default)]
pub struct Files {
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
}

/// The file operations of an analyser.
impl Context<'_> {
    /// The handle of the file that `parts` name.
    pub fn file_handle(&self, parts: &[&[u8]]) -> FileHandle {
        FileHandle(self.key.of(parts))
    }

    /// Whether [`Context::file_open`] would show this connection the file for the first time (Zeek's
    /// `file_over_new_connection`): the file is not known, or was seen in other connections only.
    pub fn file_is_new(&self, _file: FileHandle) -> bool {
        true
    }

    /// The file is seen in this connection. Idempotent; later calls may add a name.
    pub fn file_open(&mut self, _file: FileHandle, _info: FileInfo) -> FileUid {
        FileUid(_file.0)
    }

    /// The next bytes in order.
    pub fn file_data(&mut self, _file: FileHandle, _bytes: &[u8]) {}

    /// Bytes at `offset`, in any order.
    pub fn file_data_at(&mut self, _file: FileHandle, _offset: u64, _bytes: &[u8]) {}

    /// The next `len` bytes in order were lost.
    pub fn file_gap(&mut self, _file: FileHandle, _len: u64) {}

    /// How long the file is, as its protocol says.
    pub fn file_size(&mut self, _file: FileHandle, _total: u64) {}

    /// The file is complete, or its carrier ended: it is logged.
    pub fn file_end(&mut self, _file: FileHandle) {}

    /// The type of the file, once told; also for a file that ended during this call into the analyser.
    pub fn file_mime(&self, _file: FileHandle) -> Option<&'static str> {
        None
    }
}

impl Files {
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

    /// Gives up files without progress until `now`.
    pub fn advance(&mut self, _now: Time) {}
}
