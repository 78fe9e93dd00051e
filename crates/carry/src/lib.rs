//! Where frames go, when they are not analysed here: to an interface, through a tunnel, into a stream or a file.
//!
//! Promises: every frame that is handed over ends in the output's [`Account`](weir_ledger::Account), passed or dropped for a
//! Reason. An output never waits for a peer longer than it was told to; what does not fit meanwhile is dropped, and counted.
//!
//! System calls, and all that is `unsafe`, are in `sys`.
#![deny(unsafe_code)]

mod cut;
mod error;
mod ethernet;
mod file;
mod interface;
mod output;
mod stream;
mod sys;
mod target;
mod tunnel;
mod way;
mod work;

pub use error::CarryError;
pub use output::{Counts, Destination, Outgoing, Output, OutputOptions};
pub use target::{Kind, NotATarget, Place, Target};

/// How often what is gone is looked for again: an interface, a route.
const RETRY: std::time::Duration = std::time::Duration::from_millis(200);

/// What becomes of a frame that is longer than the way takes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum TooLong {
    /// It is dropped, as `frame_too_long`.
    #[default]
    Drop,
    /// Its end is cut off; headers are left as they are, as a capture with a snapshot length has them.
    Truncate,
    /// The IP packet that carries it is sent in fragments, where a tunnel carries it; an interface drops it.
    Fragment,
}
