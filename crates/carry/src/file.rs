//! Capture files: pcapng, or pcap where the name ends in `.pcap`, with nanoseconds; several one after the other by size.
//!
//! Promise: a file holds whole records only. What a full disk does not take is cut off again, and dropped.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use weir_ledger::Reason;
use weir_wire::LinkType;
use weir_wire::capture::{Endian, PcapWriter, PcapngWriter, Precision};

use crate::CarryError;
use crate::work::{Piece, Work};

/// A row of capture files.
pub(crate) struct Files {
    path: PathBuf,
    rotate: Option<u64>,
    keep: Option<usize>,
    number: u32,
    /// The files that there are, by age.
    kept: VecDeque<PathBuf>,
    file: File,
    /// Makes records; they go to the file when a load is complete.
    format: Format,
    /// How much the file holds.
    len: u64,
}

enum Format {
    Pcap(PcapWriter<Vec<u8>>),
    Pcapng(PcapngWriter<Vec<u8>>),
}

impl Format {
    fn new(path: &Path) -> io::Result<Self> {
        if path.extension().is_some_and(|extension| extension == "pcap") {
            let writer = PcapWriter::new(Vec::new(), LinkType::ETHERNET, Precision::Nanos, Endian::Little);
            return writer.map(Self::Pcap);
        }
        let mut writer = PcapngWriter::new(Vec::new(), Endian::Little)?;
        writer.interface(LinkType::ETHERNET, Precision::Nanos)?;
        Ok(Self::Pcapng(writer))
    }

    fn record(&mut self, piece: &Piece<'_>, parts: &[&[u8]]) -> io::Result<()> {
        match self {
            Self::Pcap(writer) => writer.frame_of(piece.time, piece.packet.wire_len, parts),
            Self::Pcapng(writer) => writer.frame_of(0, piece.time, piece.packet.wire_len, parts),
        }
    }

    const fn buffer(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Pcap(writer) => writer.get_mut(),
            Self::Pcapng(writer) => writer.get_mut(),
        }
    }
}

impl Files {
    /// Makes the first file; one that is there is written over.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(path: &Path, rotate: Option<u64>, keep: Option<usize>) -> Result<Self, CarryError> {
        let first = if rotate.is_some() { numbered(path, 1) } else { path.to_owned() };
        let failed = |source| system(&first, "create the file", source);
        let file = File::create(&first).map_err(failed)?;
        let format = Format::new(path).map_err(failed)?;
        let kept = VecDeque::from([first.clone()]);
        let mut files = Self { path: path.to_owned(), rotate, keep, number: 1, kept, file, format, len: 0 };
        files.flush().map_err(failed)?;
        Ok(files)
    }

    /// Writes packets.
    pub fn put(&mut self, work: &mut Work<'_, '_>) -> Option<CarryError> {
        let mut result = Ok(());
        for piece in work.pieces.iter() {
            result = result.and_then(|()| self.format.record(piece, &work.parts(piece)));
        }
        let result = result.and_then(|()| self.flush());
        if let Err(source) = result {
            self.format.buffer().clear();
            (0..work.pieces.len()).for_each(|index| work.drop(index, Reason::SendFailed));
            return Some(system(self.current(), "write", source));
        }
        work.counts.packets += work.pieces.len() as u64;
        if self.rotate.is_some_and(|most| self.len >= most) {
            return self.next().err().map(|source| system(self.current(), "begin the file after", source));
        }
        None
    }

    fn current(&self) -> &Path {
        self.kept.back().map_or(&self.path, PathBuf::as_path)
    }

    /// Hands the records to the file, all or none.
    fn flush(&mut self) -> io::Result<()> {
        let buffer = self.format.buffer();
        let len = buffer.len() as u64;
        if let Err(error) = self.file.write_all(buffer) {
            self.file.set_len(self.len)?;
            self.file.seek(SeekFrom::Start(self.len))?;
            return Err(error);
        }
        buffer.clear();
        self.len += len;
        Ok(())
    }

    /// Begins another file and removes one too many.
    fn next(&mut self) -> io::Result<()> {
        let path = numbered(&self.path, self.number + 1);
        self.file = File::create(&path)?;
        self.format = Format::new(&self.path)?;
        self.number += 1;
        self.len = 0;
        self.kept.push_back(path);
        while self.keep.is_some_and(|keep| self.kept.len() > keep)
            && let Some(oldest) = self.kept.pop_front()
        {
            std::fs::remove_file(oldest)?;
        }
        self.flush()
    }
}

fn system(path: &Path, operation: &'static str, source: io::Error) -> CarryError {
    CarryError::System { name: path.display().to_string(), operation, source }
}

/// `trace.pcapng` as `trace-00007.pcapng`.
fn numbered(path: &Path, number: u32) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
    path.with_file_name(format!("{stem}-{number:05}{extension}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_numbered_before_their_extension() {
        assert_eq!(numbered(Path::new("/a/b.c/t.pcapng"), 7), Path::new("/a/b.c/t-00007.pcapng"));
        assert_eq!(numbered(Path::new("t"), 123_456), Path::new("t-123456"));
    }
}
