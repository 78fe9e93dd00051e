//! MIME: header fields, types of content, parts and their boundaries, transfer encodings, file names.
//!
//! The pieces that HTTP (multipart bodies) and mail protocols put a message together from. They hold no tree: who
//! analyses a protocol keeps the stack of its open parts, one [`Content`], [`Pending`] and [`Transfer`] for each, and
//! bounds it by [`MAX_DEPTH`].

pub mod base64;
pub mod content;
pub mod filename;
pub mod header;
pub mod mail;
pub mod token;
pub mod transfer;

pub use content::{Boundary, Content, Kind, TransferEncoding};
pub use header::{Header, Line, Pending};
pub use mail::Mail;
pub use transfer::Transfer;

/// Parts may be nested this deep (Zeek: `MIME::max_depth`); deeper ones are not taken apart.
pub const MAX_DEPTH: usize = 100;
