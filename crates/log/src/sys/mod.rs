//! The files of the logs: the only place of this crate that touches the system.

mod directory;
mod error;

pub use directory::LogDirectory;
pub use error::{LogError, Trouble};
