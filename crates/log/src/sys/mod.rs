//! The files of the logs: the only place of this crate that touches the system.

mod aside;
mod directory;
mod error;

pub use aside::{compress, set_aside, uncompressed};
pub use directory::LogDirectory;
pub use error::{LogError, Trouble};
