//! What can be wrong with a capture: one error that names the capture and the byte, and its classes.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::{Codec, FilterError};

/// Why a capture could not be read, or not to its end. Offsets count the bytes of the capture, which are those
/// after decompression where it is compressed.
#[derive(Debug, Error)]
pub enum TapError {
    /// The operating system does not let us open it.
    #[error("cannot open {}", .path.display())]
    Open {
        /// The capture.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The path leads to a directory.
    #[error("{} is a directory, not a capture", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
    },
    /// There is not one byte in it.
    #[error("{} is not a capture: it is empty", .path.display())]
    Empty {
        /// The capture.
        path: PathBuf,
    },
    /// Its first bytes are of no format that is known.
    #[error("{} is not a capture: it starts with {starts}", .path.display())]
    Unknown {
        /// The capture.
        path: PathBuf,
        /// Its first bytes.
        starts: Starts,
    },
    /// The operating system failed to read on.
    #[error("cannot read {} at byte {offset}", .path.display())]
    Read {
        /// The capture.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// The compressed data are damaged or end early.
    #[error("{}: the {codec} data are damaged or cut short after {offset} bytes of capture", .path.display())]
    Compressed {
        /// The capture.
        path: PathBuf,
        /// How it is compressed.
        codec: Codec,
        /// How many bytes were decompressed.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// An interface cannot be opened or read.
    #[error("cannot {operation} {interface}{hint}")]
    Interface {
        /// What was tried.
        operation: &'static str,
        /// The interface.
        interface: String,
        /// What may be done about it, after a colon; or nothing.
        hint: String,
        /// Why.
        source: io::Error,
    },
    /// The filter of an interface is not understood.
    #[error("cannot filter the frames of {interface}")]
    Filter {
        /// The interface.
        interface: String,
        /// Why.
        source: FilterError,
    },
    /// The capture contradicts its format.
    #[error("{} is damaged at byte {offset}", .path.display())]
    Format {
        /// The capture.
        path: PathBuf,
        /// Where the header, record or block begins that is wrong.
        offset: u64,
        /// What is wrong.
        source: Flaw,
    },
    /// A live source cannot be opened or read.
    #[error("{name}: cannot {operation}")]
    Socket {
        /// The source, as the user calls it.
        name: String,
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// What contradicts the format of a capture.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Flaw {
    /// The capture ends within something.
    #[error("truncated: {what} of {wanted} bytes, of which only {got} are there")]
    Truncated {
        /// Within what.
        what: &'static str,
        /// How long that is.
        wanted: u64,
        /// How much of it is there.
        got: u64,
    },
    /// A version that nobody has defined.
    #[error("{format} version {major}.{minor} is not known")]
    Version {
        /// "pcap" or "pcapng".
        format: &'static str,
        /// Its major number.
        major: u16,
        /// Its minor number.
        minor: u16,
    },
    /// A captured frame longer than a frame of its link type can be.
    #[error("a frame of {len} captured bytes, more than the {max} that its link type can have")]
    FrameLength {
        /// What the record says.
        len: u32,
        /// The bound.
        max: u32,
    },
    /// A pcapng section whose byte order is neither.
    #[error("a section header with byte-order magic {magic:#010x}")]
    ByteOrder {
        /// What stands in place of 0x1a2b3c4d.
        magic: u32,
    },
    /// A pcapng block length below the minimum, no multiple of four, or above the bound.
    #[error("a block of type {kind:#x} with the impossible length {length}")]
    BlockLength {
        /// The type of the block.
        kind: u32,
        /// The length that it gives.
        length: u32,
    },
    /// The lengths at the two ends of a pcapng block differ.
    #[error("a block of type {kind:#x} with length {head} at its start and {tail} at its end")]
    BlockEnds {
        /// The type of the block.
        kind: u32,
        /// The length at its start.
        head: u32,
        /// The length at its end.
        tail: u32,
    },
    /// A pcapng block or option is too short for what it says it holds.
    #[error("a block of type {kind:#x} too short for what it says it holds")]
    BlockContent {
        /// The type of the block.
        kind: u32,
    },
    /// A frame of an interface that its section has not described.
    #[error("a frame of interface {id}, but the section describes {known}")]
    Interface {
        /// The interface that the frame names.
        id: u32,
        /// How many there are.
        known: u32,
    },
    /// More interfaces in one section than the bound.
    #[error("more than {max} interfaces in one section")]
    Interfaces {
        /// The bound.
        max: u32,
    },
}

/// The classes of errors that a user or a script may want to tell apart, as by an exit code.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ErrorKind {
    /// There is no such file.
    NotFound,
    /// It may not be read.
    Permission,
    /// It is a directory.
    Directory,
    /// It is something else than a capture, or empty.
    NotACapture,
    /// It is a capture that ends too early; all before its end was delivered.
    Truncated,
    /// It is a capture with damage; all before the damage was delivered.
    Damaged,
    /// The operating system failed to read it.
    Io,
}

impl TapError {
    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Open { source, .. }
            | Self::Read { source, .. }
            | Self::Socket { source, .. }
            | Self::Interface { source, .. } => class(source.kind()),
            Self::Filter { .. } => ErrorKind::Io,
            Self::Directory { .. } => ErrorKind::Directory,
            Self::Empty { .. } | Self::Unknown { .. } => ErrorKind::NotACapture,
            Self::Compressed { source, .. } if source.kind() == io::ErrorKind::UnexpectedEof => {
                ErrorKind::Truncated
            }
            Self::Format { source: Flaw::Truncated { .. }, .. } => ErrorKind::Truncated,
            Self::Compressed { .. } | Self::Format { .. } => ErrorKind::Damaged,
        }
    }

    /// The capture, source or interface that it is about.
    pub fn path(&self) -> &std::path::Path {
        match self {
            Self::Interface { interface, .. } | Self::Filter { interface, .. } => interface.as_ref(),
            Self::Open { path, .. }
            | Self::Directory { path }
            | Self::Empty { path }
            | Self::Unknown { path, .. }
            | Self::Read { path, .. }
            | Self::Compressed { path, .. }
            | Self::Format { path, .. } => path,
            Self::Socket { name, .. } => std::path::Path::new(name),
        }
    }

    /// The byte of the capture where reading ended; 0 where it never began.
    pub const fn offset(&self) -> u64 {
        match self {
            Self::Read { offset, .. } | Self::Compressed { offset, .. } | Self::Format { offset, .. } => {
                *offset
            }
            Self::Open { .. }
            | Self::Directory { .. }
            | Self::Empty { .. }
            | Self::Unknown { .. }
            | Self::Socket { .. }
            | Self::Interface { .. }
            | Self::Filter { .. } => 0,
        }
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "io::ErrorKind is open; what is not told apart is Io")]
const fn class(kind: io::ErrorKind) -> ErrorKind {
    match kind {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied => ErrorKind::Permission,
        io::ErrorKind::IsADirectory => ErrorKind::Directory,
        _ => ErrorKind::Io,
    }
}

/// The first bytes of something that is not a capture, shown in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Starts {
    bytes: [u8; 4],
    len: usize,
}

impl Starts {
    pub(crate) fn new(from: &[u8]) -> Self {
        let mut bytes = [0; 4];
        let len = bytes.iter_mut().zip(from).map(|(to, from)| *to = *from).count();
        Self { bytes, len }
    }
}

impl fmt::Display for Starts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.bytes.iter().take(self.len).enumerate() {
            write!(f, "{}{byte:02x}", if i == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_capture_the_byte_and_the_cause() {
        let flaw = Flaw::Truncated { what: "a pcap record", wanted: 76, got: 40 };
        let error = TapError::Format { path: "a.pcap".into(), offset: 124, source: flaw };
        assert_eq!(error.to_string(), "a.pcap is damaged at byte 124");
        assert_eq!(flaw.to_string(), "truncated: a pcap record of 76 bytes, of which only 40 are there");
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Truncated, 124));
    }

    #[test]
    fn what_is_no_capture_is_shown_by_its_first_bytes() {
        let error = TapError::Unknown { path: "x".into(), starts: Starts::new(b"PK\x03\x04more") };
        assert_eq!(error.to_string(), "x is not a capture: it starts with 50 4b 03 04");
        assert_eq!(Starts::new(b"\x7f").to_string(), "7f");
    }
}
