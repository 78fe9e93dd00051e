//! A directory of logs: a file for each, made when its first line comes.
//!
//! Lines are written in large pieces. When a write fails, the lines of that piece are counted as lost, what was
//! written of them is taken back, and the next piece is tried anew: a full disk that is emptied goes on. A file that could not
//! be made is tried again, too.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use weir_record::{Entry, LogKind, Ordered};

use super::{LogError, aside};
use crate::{Cut, Format, Lines, Style, calendar, line, line_of, tsv_footer, tsv_header};

/// Lines are written once they are this many bytes together.
const PIECE: usize = 256 * 1024;

/// Log files in one directory.
#[derive(Debug)]
pub struct LogDirectory {
    directory: PathBuf,
    style: Style,
    /// One for each of [`LogKind::ALL`], in order.
    files: Vec<Option<LogFile>>,
}

#[derive(Debug)]
struct LogFile {
    kind: LogKind,
    style: Style,
    path: PathBuf,
    /// `None` where it could not be made, or was moved aside.
    file: Option<File>,
    /// When the file was begun, in seconds since 1970.
    begun: u64,
    /// Bytes that are in the file for good.
    length: u64,
    /// Lines to be written.
    pending: Vec<u8>,
    pending_records: u64,
    written: u64,
    lost: u64,
}

impl LogDirectory {
    /// Logs go to `directory`, which is made where it is missing.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn create(directory: &Path, style: impl Into<Style>) -> Result<Self, LogError> {
        fs::create_dir_all(directory).map_err(|e| LogError::new("create directory", directory, e))?;
        let files = LogKind::ALL.iter().map(|_| None).collect();
        Ok(Self { directory: directory.to_owned(), style: style.into(), files })
    }

    /// How lines look.
    pub const fn style(&self) -> &Style {
        &self.style
    }

    /// Adds a record, and answers what of it was too long. After an error, the records that could not be written are
    /// counted ([`Self::lost`]), and further ones may be added.
    ///
    /// # Errors
    /// The log's file cannot be made, or lines that waited cannot be written.
    pub fn write(&mut self, entry: &Entry) -> Result<Cut, LogError> {
        let (format, mut cut) = (self.style.format, Cut::default());
        self.add(entry.kind(), 1, |out| cut = line(format, entry, out))?;
        Ok(cut)
    }

    /// As [`Self::write`], with the further columns.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_ordered(&mut self, ordered: &Ordered) -> Result<Cut, LogError> {
        let (style, mut cut) = (self.style.clone(), Cut::default());
        self.add(ordered.entry.kind(), 1, |out| cut = line_of(&style, ordered, out))?;
        Ok(cut)
    }

    /// Adds lines that were made elsewhere, of the same format.
    ///
    /// # Errors
    /// As [`Self::write`]: the first error, after all logs were tried.
    pub fn append(&mut self, lines: &Lines) -> Result<(), LogError> {
        let mut result = Ok(());
        for (kind, text, records) in lines.iter() {
            result = result.and(self.add(kind, records, |out| out.extend_from_slice(text)));
        }
        result
    }

    fn add(&mut self, kind: LogKind, records: u64, push: impl FnOnce(&mut Vec<u8>)) -> Result<(), LogError> {
        // Every kind has a place.
        let Some(place) = self.files.get_mut(kind as usize) else { return Ok(()) };
        let mut opened = Ok(());
        let log = place.get_or_insert_with(|| {
            let (log, result) = LogFile::open(&self.directory, kind, &self.style);
            opened = result;
            log
        });
        push(&mut log.pending);
        log.pending_records += records;
        opened.and(if log.pending.len() >= PIECE { log.flush() } else { Ok(()) })
    }

    /// Writes what waits, so that readers see it.
    ///
    /// # Errors
    /// Lines cannot be written: the first error, after all files were tried.
    pub fn flush(&mut self) -> Result<(), LogError> {
        let mut result = Ok(());
        for log in self.files.iter_mut().flatten() {
            result = result.and(log.flush());
        }
        result
    }

    /// Ends all logs: nothing may be added afterwards.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub fn close(&mut self) -> Result<(), LogError> {
        let mut result = Ok(());
        for log in self.files.iter_mut().flatten() {
            result = result.and(log.end());
        }
        result
    }

    /// Ends all logs that have a file and moves the files aside, as Zeek names them: `conn.log` becomes
    /// `conn-2026-11-24-01-00-00.log`, by the time in UTC when it was begun. The next line begins a new file. Answers the new
    /// paths; counts go on.
    ///
    /// # Errors
    /// The first error, after all files were tried. A file that cannot be moved goes on.
    pub fn rotate(&mut self) -> (Vec<PathBuf>, Result<(), LogError>) {
        let (mut moved, mut result) = (Vec::new(), Ok(()));
        for log in self.files.iter_mut().flatten() {
            result = result.and(log.end());
            if log.file.is_some() {
                match aside::put(&log.path, log.begun) {
                    Ok(path) => {
                        moved.push(path);
                        (log.file, log.length) = (None, 0);
                    }
                    Err(e) => result = result.and(Err(LogError::new("move aside", &log.path, e))),
                }
            }
        }
        (moved, result)
    }

    /// How many records each log has that was begun, those that wait to be written included.
    pub fn counts(&self) -> Vec<(LogKind, u64)> {
        self.each(|log| log.written + log.pending_records)
    }

    /// How many records could not be written, for each log that was begun.
    pub fn lost(&self) -> Vec<(LogKind, u64)> {
        self.each(|log| log.lost)
    }

    fn each(&self, number: impl Fn(&LogFile) -> u64) -> Vec<(LogKind, u64)> {
        let logs = LogKind::ALL.iter().zip(&self.files);
        logs.filter_map(|(&kind, log)| log.as_ref().map(|log| (kind, number(log)))).collect()
    }
}

impl LogFile {
    fn open(directory: &Path, kind: LogKind, style: &Style) -> (Self, Result<(), LogError>) {
        let path = directory.join(format!("{}.log", kind.path()));
        let pending = Vec::with_capacity(PIECE + PIECE / 8);
        let (begun, length) = (0, 0);
        let (pending_records, written, lost) = (0, 0, 0);
        let mut log = Self {
            kind,
            style: style.clone(),
            path,
            file: None,
            begun,
            length,
            pending,
            pending_records,
            written,
            lost,
        };
        let result = log.make();
        (log, result)
    }

    /// Makes the file, unless it is there.
    fn make(&mut self) -> Result<(), LogError> {
        if self.file.is_none() {
            let file = File::create(&self.path).map_err(|e| LogError::new("create", &self.path, e))?;
            (self.file, self.begun, self.length) = (Some(file), now(), 0);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LogError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let result = self.make().and_then(|()| self.write());
        match &result {
            Ok(()) => self.written += self.pending_records,
            Err(_) => self.lost += self.pending_records,
        }
        self.pending.clear();
        self.pending_records = 0;
        result
    }

    /// Writes what waits, below a header where it is the first.
    fn write(&mut self) -> Result<(), LogError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut header = Vec::new();
        if self.length == 0 && self.style.format == Format::Tsv {
            tsv_header(self.kind, self.style.columns.as_deref(), &calendar::stamp(self.begun), &mut header);
        }
        let written = file.write_all(&header).and_then(|()| file.write_all(&self.pending));
        match written {
            Ok(()) => self.length += (header.len() + self.pending.len()) as u64,
            Err(e) => {
                take_back(file, self.length);
                return Err(LogError::new("write", &self.path, e));
            }
        }
        Ok(())
    }

    /// Writes what waits, and the footer.
    fn end(&mut self) -> Result<(), LogError> {
        let result = self.flush();
        if self.style.format == Format::Tsv && self.length > 0 && self.file.is_some() {
            tsv_footer(&calendar::stamp(now()), &mut self.pending);
        }
        result.and(self.flush())
    }
}

/// Cuts off what was written beyond `length`, so that no line is torn. Where that fails too, as for a pipe, there
/// is nothing left to do.
fn take_back(file: &mut File, length: u64) {
    let _: io::Result<u64> = file.set_len(length).and_then(|()| file.seek(SeekFrom::Start(length)));
}

#[allow(clippy::disallowed_methods, reason = "the header tells the wall clock's time, as Zeek's does")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

#[cfg(test)]
mod tests {
    use weir_record::{Vantage, Weird};
    use weir_wire::Time;

    use super::*;
    use crate::Trouble;

    fn weird(name: &'static str) -> Entry {
        Weird::new(Time(0), None, None, name, None, None).into()
    }

    #[test]
    fn a_file_is_made_with_the_first_line_and_ends_with_a_footer() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("a/b");
        let mut logs = LogDirectory::create(&directory, Format::Tsv).unwrap();
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
        logs.write(&weird("one")).unwrap();
        let mut lines = Lines::new(Format::Tsv.into());
        for name in ["two", "three"] {
            lines.add(&Ordered { sequence: 0, vantage: Vantage::default(), entry: weird(name) });
        }
        logs.append(&lines).unwrap();
        logs.close().unwrap();
        assert_eq!(logs.counts(), [(LogKind::Weird, 3)]);
        let text = fs::read_to_string(directory.join("weird.log")).unwrap();
        let lines = text.lines().collect::<Vec<_>>();
        assert_eq!(lines.len(), 12);
        assert_eq!(lines[0], "#separator \\x09");
        assert_eq!(lines[8], "0.000000\t-\t-\t-\t-\t-\tone\t-\tF\tzeek\t-");
        assert!(lines[9].contains("two") && lines[10].contains("three"));
        assert!(
            lines[11].starts_with("#close\t20") && lines[11].len() == "#close\t2026-11-23-01-29-35".len()
        );
    }

    #[test]
    fn json_has_neither_header_nor_footer() {
        let home = tempfile::tempdir().unwrap();
        let mut logs = LogDirectory::create(home.path(), Format::Json).unwrap();
        logs.write(&weird("one")).unwrap();
        logs.close().unwrap();
        let text = fs::read_to_string(home.path().join("weird.log")).unwrap();
        assert_eq!(text, "{\"ts\":0.0,\"name\":\"one\",\"notice\":false,\"peer\":\"zeek\"}\n");
    }

    #[test]
    fn a_full_disk_is_told_and_its_lines_are_counted_as_lost() {
        let home = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", home.path().join("weird.log")).unwrap();
        let mut logs = LogDirectory::create(home.path(), Format::Tsv).unwrap();
        logs.write(&weird("one")).unwrap();
        assert_eq!(logs.flush().unwrap_err().kind(), Trouble::DiskFull);
        logs.write(&weird("two")).unwrap();
        assert_eq!((logs.counts(), logs.lost()), (vec![(LogKind::Weird, 1)], vec![(LogKind::Weird, 1)]));
        assert!(logs.close().is_err());
    }

    #[test]
    fn a_file_that_cannot_be_made_is_made_when_it_can_be_and_has_its_header_then() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("weird.log")).unwrap();
        let mut logs = LogDirectory::create(home.path(), Format::Tsv).unwrap();
        let error = logs.write(&weird("one")).unwrap_err();
        assert!(error.to_string().contains("weird.log"), "{error}");
        assert!(logs.flush().is_err());
        fs::remove_dir(home.path().join("weird.log")).unwrap();
        logs.write(&weird("two")).unwrap();
        logs.close().unwrap();
        assert_eq!((logs.counts(), logs.lost()), (vec![(LogKind::Weird, 1)], vec![(LogKind::Weird, 1)]));
        let text = fs::read_to_string(home.path().join("weird.log")).unwrap();
        assert!(text.starts_with("#separator") && text.contains("two") && !text.contains("one"));
    }

    #[test]
    fn rotated_logs_are_whole_and_new_ones_begin_with_the_next_line() {
        let home = tempfile::tempdir().unwrap();
        let mut logs = LogDirectory::create(home.path(), Format::Tsv).unwrap();
        logs.write(&weird("one")).unwrap();
        let (moved, result) = logs.rotate();
        result.unwrap();
        let text = fs::read_to_string(&moved[0]).unwrap();
        assert!(text.contains("one") && text.lines().last().unwrap().starts_with("#close"));
        assert!(!home.path().join("weird.log").exists());
        assert_eq!(logs.rotate().0, Vec::<PathBuf>::new());
        logs.write(&weird("two")).unwrap();
        let (again, _) = logs.rotate();
        assert_ne!(again, moved);
        assert!(fs::read_to_string(&again[0]).unwrap().starts_with("#separator"));
        assert_eq!(logs.counts(), [(LogKind::Weird, 2)]);
    }
}
