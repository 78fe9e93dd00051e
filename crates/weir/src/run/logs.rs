//! Where records end: repeats are left out, the rest is written.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::anyhow;
use weir_log::{Columns, Format, Lines, LogDirectory, LogError, Once, Style};
use weir_record::{LogKind, Ordered};

use crate::cli::LogFormat;

/// A number for each log that was begun.
pub type Counts = Vec<(LogKind, u64)>;

/// What became of the records of a run.
#[derive(Clone, Default, Debug)]
pub struct Logged {
    /// How many records each log has.
    pub counts: Counts,
    /// How many could not be written.
    pub lost: u64,
    /// How often the memory of what was logged already was full and emptied, so that repeats may have been logged.
    pub emptied: u64,
}

/// The logs of a run.
pub struct Logs {
    once: Once,
    directory: LogDirectory,
    /// Nothing is written any more.
    failed: bool,
    /// What cannot be written is lost, and writing goes on.
    goes_on: bool,
}

impl Logs {
    /// Logs in `directory`, which is made where it is not there.
    pub fn create(
        directory: &Path,
        format: LogFormat,
        columns: Option<Arc<Columns>>,
    ) -> anyhow::Result<Self> {
        let format = match format {
            LogFormat::Tsv => Format::Tsv,
            LogFormat::Json => Format::Json,
        };
        let directory =
            LogDirectory::create(directory, Style { format, columns }).map_err(|error| told(&error))?;
        Ok(Self { once: Once::new(), directory, failed: false, goes_on: false })
    }

    /// These logs, of which one that cannot be written does not end the others: its lines are counted as lost.
    #[must_use]
    pub fn going_on(mut self) -> Self {
        self.goes_on = true;
        self
    }

    /// How lines look.
    pub const fn style(&self) -> &Style {
        self.directory.style()
    }

    /// Writes a record, unless it is a repeat. Records come in the order of their frames, where that matters
    /// ([`Once::concerns`]).
    pub fn write(&mut self, ordered: &Ordered) -> anyhow::Result<()> {
        let entry = &ordered.entry;
        if self.failed || !self.once.admits(entry) {
            return Ok(());
        }
        let mut written =
            self.directory.write_ordered(ordered).map(|cut| cut.weirds(entry.kind(), entry.ts()));
        if let Ok(weirds) = &mut written {
            for weird in weirds {
                let weird = Ordered { entry: weird.into(), ..*ordered };
                if self.once.admits(&weird.entry)
                    && let Err(error) = self.directory.write_ordered(&weird)
                {
                    return Err(self.fail(&error));
                }
            }
        }
        written.map(drop).map_err(|error| self.fail(&error))
    }

    /// Writes what was formatted elsewhere: no log that has repeats.
    pub fn append(&mut self, lines: &Lines) -> anyhow::Result<()> {
        if self.failed {
            return Ok(());
        }
        self.directory.append(lines).map_err(|error| self.fail(&error))
    }

    /// Writes what waits, so that readers see it.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        self.directory.flush().map_err(|error| self.fail(&error))
    }

    /// Ends all logs and moves them aside; the next line begins new ones. Answers where they are.
    pub fn rotate(&mut self) -> (Vec<PathBuf>, anyhow::Result<()>) {
        let (moved, result) = self.directory.rotate();
        (moved, result.map_err(|error| self.fail(&error)))
    }

    /// How many records each log has, and how many each lost, up to now.
    pub fn so_far(&self) -> (Counts, Counts) {
        (self.directory.counts(), self.directory.lost())
    }

    /// Ends all logs. Answers how many records each has, how many each lost, and what went wrong with the last lines.
    pub fn end(mut self) -> (Counts, Counts, anyhow::Result<()>) {
        let result = self.directory.close().map_err(|error| anyhow!("{error}"));
        (self.directory.counts(), self.directory.lost(), result)
    }

    /// Ends all logs.
    pub fn close(mut self) -> anyhow::Result<Logged> {
        if !self.failed {
            self.directory.close().map_err(|error| self.fail(&error))?;
        }
        Ok(Logged { counts: self.directory.counts(), lost: self.lost(), emptied: self.once.emptied() })
    }

    /// The other logs keep what they were given; of two errors the first is the cause.
    fn fail(&mut self, error: &LogError) -> anyhow::Error {
        if self.goes_on {
            return told(error);
        }
        self.failed = true;
        let _ = self.directory.close();
        anyhow!("{error}; {} records could not be written", self.lost())
    }

    fn lost(&self) -> u64 {
        self.directory.lost().iter().map(|(_, lost)| lost).sum()
    }
}

/// The error as it stands: its text names its cause already.
fn told(error: &LogError) -> anyhow::Error {
    anyhow!("{error}")
}
