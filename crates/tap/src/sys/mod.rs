//! System calls: opening captures and mapping files. Nothing else in this crate touches the system.

mod map;
mod open;

pub(crate) use map::Map;
pub(crate) use open::{Opened, open_file, open_stdin, size_of_file};
