//! files.log (Zeek: base/frameworks/files).

use weir_wire::{ConnId, Interval, Time};

use crate::{ConnUid, FileUid, Record, Set, Text};

/// Files seen in connections.
#[derive(Clone, Debug, Record)]
#[record(path = "files")]
pub struct Files {
    /// When it was first seen.
    pub ts: Time,
    /// Unique identifier of the file.
    pub fuid: FileUid,
    /// The connection that it was seen in.
    pub uid: Option<ConnUid>,
    /// The endpoints.
    #[record(id)]
    pub id: ConnId,
    /// The protocol that carried it.
    pub source: Option<Text>,
    /// How deep it was: which request, which part.
    pub depth: u64,
    /// The analysers attached.
    pub analyzers: Set<Text>,
    /// The type, by its first bytes.
    pub mime_type: Option<Text>,
    /// The name, where the protocol gives one.
    pub filename: Option<Text>,
    /// From its first byte to its last.
    pub duration: Interval,
    /// Whether the sender is in the local networks.
    pub local_orig: Option<bool>,
    /// Whether the originator of the connection sent it.
    pub is_orig: Option<bool>,
    /// Bytes seen.
    pub seen_bytes: u64,
    /// Bytes that it should have.
    pub total_bytes: Option<u64>,
    /// Bytes lost in gaps.
    pub missing_bytes: u64,
    /// Bytes that came out of order beyond what is buffered.
    pub overflow_bytes: u64,
    /// Whether it was given up for want of progress.
    pub timedout: bool,
    /// The file that it was in.
    pub parent_fuid: Option<FileUid>,
    /// MD5, where switched on.
    pub md5: Option<Text>,
    /// SHA-1, where switched on.
    pub sha1: Option<Text>,
    /// SHA-256, where switched on.
    pub sha256: Option<Text>,
    /// Where it was extracted to.
    pub extracted: Option<Text>,
    /// Whether the extraction was cut off.
    pub extracted_cutoff: Option<bool>,
    /// Bytes extracted.
    pub extracted_size: Option<u64>,
}
