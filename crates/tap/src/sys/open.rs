//! Opens captures: a plain file becomes a map, everything else a stream.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

use super::Map;
use crate::{Block, TapError};

/// A capture whose bytes can be had.
pub(crate) enum Opened {
    /// All bytes at once.
    Whole(Block),
    /// Bytes as they come.
    Stream(Box<dyn Read + Send>),
}

/// How large the file at `path` is, where that can be known, after making sure that it can be opened: a mistake in the last
/// of many names shall show before an hour of work, not after.
pub(crate) fn size_of_file(path: &Path) -> Result<Option<u64>, TapError> {
    let open = |source| TapError::Open { path: path.into(), source };
    let meta = fs::metadata(path).map_err(open)?;
    if meta.is_dir() {
        return Err(TapError::Directory { path: path.into() });
    }
    if !meta.is_file() {
        // Opening a named pipe would wait for its writer.
        return Ok(None);
    }
    File::open(path).map_err(open)?;
    Ok(Some(meta.len()))
}

/// Opens the file, device or named pipe at `path`.
pub(crate) fn open_file(path: &Path) -> Result<Opened, TapError> {
    let open = |source| TapError::Open { path: path.into(), source };
    let file = File::open(path).map_err(open)?;
    let meta = file.metadata().map_err(open)?;
    if meta.is_dir() {
        return Err(TapError::Directory { path: path.into() });
    }
    if meta.is_file()
        && let Ok(map) = Map::new(&file)
    {
        return Ok(Opened::Whole(Block::mapped(map)));
    }
    Ok(Opened::Stream(Box::new(file)))
}

/// Opens standard input, past the buffer of the standard library.
pub(crate) fn open_stdin() -> io::Result<Opened> {
    let fd = io::stdin().as_fd().try_clone_to_owned()?;
    Ok(Opened::Stream(Box::new(File::from(fd))))
}
