//! Logs that are done with: their names, and their compression.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use flate2::Compression;
use flate2::write::GzEncoder;
use weir_record::LogKind;

use super::LogError;
use crate::calendar;

/// Files of one name that may be there already; beyond, something else is wrong.
const NAMES: u32 = 1000;

/// Moves `path`, a log begun at `begun`, aside. Answers where it is now.
pub fn put(path: &Path, begun: u64) -> io::Result<PathBuf> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let stamp = calendar::stamp(begun);
    let free = |number: u32| {
        let again = if number > 1 { format!("-{number}") } else { String::new() };
        let to = path.with_file_name(format!("{name}-{stamp}{again}.log"));
        let taken = to.exists() || compressed(&to).exists();
        (!taken).then_some(to)
    };
    let to = (1..NAMES).find_map(free).ok_or(io::ErrorKind::AlreadyExists)?;
    fs::rename(path, &to)?;
    Ok(to)
}

/// Moves the logs aside that an earlier process left in `directory`, so that they are not overwritten. Answers where they
/// are now.
///
/// # Errors
/// One cannot be moved.
pub fn set_aside(directory: &Path) -> Result<Vec<PathBuf>, LogError> {
    let mut moved = Vec::new();
    for kind in LogKind::ALL {
        let path = directory.join(format!("{}.log", kind.path()));
        let Ok(meta) = fs::metadata(&path) else { continue };
        if meta.is_file() && meta.len() > 0 {
            let begun = meta.created().or_else(|_| meta.modified()).unwrap_or(UNIX_EPOCH);
            let begun = begun.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
            moved.push(put(&path, begun).map_err(|e| LogError::new("move aside", &path, e))?);
        }
    }
    Ok(moved)
}

/// The logs in `directory` that were moved aside and are not compressed: an earlier process did not come to it.
///
/// # Errors
/// The directory cannot be read.
pub fn uncompressed(directory: &Path) -> Result<Vec<PathBuf>, LogError> {
    let failed = |e| LogError::new("read directory", directory, e);
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_moved = |kind: &LogKind| {
            let stamp = name.strip_prefix(kind.path()).and_then(|rest| rest.strip_prefix('-'));
            let stamp = stamp.and_then(|stamp| stamp.strip_suffix(".log"));
            stamp.is_some_and(|stamp| stamp.starts_with("20"))
        };
        if LogKind::ALL.iter().any(is_moved) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Compresses a log that was moved aside: `x.log` becomes `x.log.gz`, of which nothing is seen before it is whole.
///
/// # Errors
/// It cannot be read or the other not be written; it is then left as it was.
pub fn compress(path: &Path) -> Result<PathBuf, LogError> {
    let (to, part) = (compressed(path), path.with_extension("log.gz.part"));
    let squeezed = squeeze(path, &part).and_then(|()| fs::rename(&part, &to));
    squeezed.map_err(|e| {
        // Where this fails too, the next run overwrites it.
        let _ = fs::remove_file(&part);
        LogError::new("compress", path, e)
    })?;
    fs::remove_file(path).map_err(|e| LogError::new("remove", path, e))?;
    Ok(to)
}

fn compressed(path: &Path) -> PathBuf {
    path.with_extension("log.gz")
}

fn squeeze(from: &Path, to: &Path) -> io::Result<()> {
    let mut from = BufReader::with_capacity(1 << 18, File::open(from)?);
    let mut to = GzEncoder::new(BufWriter::new(File::create(to)?), Compression::default());
    loop {
        let piece = from.fill_buf()?;
        if piece.is_empty() {
            break;
        }
        to.write_all(piece)?;
        let done = piece.len();
        from.consume(done);
    }
    // What was read is by now all that there was: nobody writes to a log that was moved aside.
    debug_assert_eq!(from.by_ref().read(&mut [0])?, 0);
    to.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_process_left_is_not_lost_nor_two_of_one_second() {
        let home = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            fs::write(home.path().join("conn.log"), "a line\n").unwrap();
            fs::write(home.path().join("other.log"), "not ours\n").unwrap();
            assert_eq!(set_aside(home.path()).unwrap().len(), 1);
        }
        let names = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        assert_eq!(names.iter().filter(|name| name.starts_with("conn-20")).count(), 2, "{names:?}");
        assert!(names.contains(&"other.log".to_owned()));
    }

    #[test]
    fn logs_that_were_moved_aside_and_not_compressed_are_found() {
        let home = tempfile::tempdir().unwrap();
        let stamp = "2026-11-24-01-00-00.log";
        let names = ["conn-", "http-"].map(|kind| format!("{kind}{stamp}"));
        let others = [
            "conn.log".into(),
            format!("conn-{stamp}.gz"),
            format!("conn-{stamp}.gz.part"),
            format!("mine-{stamp}"),
        ];
        for name in names.iter().chain(&others) {
            fs::write(home.path().join(name), "a line\n").unwrap();
        }
        assert_eq!(uncompressed(home.path()).unwrap(), names.map(|name| home.path().join(name)));
        assert!(uncompressed(&home.path().join("none")).is_err());
    }

    #[test]
    fn a_compressed_log_holds_what_the_log_held() {
        let home = tempfile::tempdir().unwrap();
        let log = home.path().join("conn-2026-11-24-01-00-00.log");
        let text = "10.0.0.1\t80\n".repeat(10_000);
        fs::write(&log, &text).unwrap();
        let to = compress(&log).unwrap();
        assert!(to.ends_with("conn-2026-11-24-01-00-00.log.gz") && !log.exists());
        let mut got = String::new();
        flate2::read::GzDecoder::new(File::open(&to).unwrap()).read_to_string(&mut got).unwrap();
        assert_eq!(got, text);
        assert!(compress(&log).is_err());
    }
}
