//! Where records end: repeats are left out, the rest is written.

use std::path::Path;

use anyhow::anyhow;
use weir_log::{Format, LogDirectory, LogError, Once};
use weir_record::{LogKind, Ordered};

use crate::cli::LogFormat;

/// How many records each log has.
pub type Counts = Vec<(LogKind, u64)>;

/// The logs of a run.
pub struct Logs {
    once: Once,
    /// `None` after it failed.
    directory: Option<LogDirectory>,
}

impl Logs {
    /// Logs in `directory`, which is made where it is not there.
    pub fn create(directory: &Path, format: LogFormat) -> anyhow::Result<Self> {
        let format = match format {
            LogFormat::Tsv => Format::Tsv,
            LogFormat::Json => Format::Json,
        };
        let directory = LogDirectory::create(directory, format).map_err(|error| told(&error))?;
        Ok(Self { once: Once::new(), directory: Some(directory) })
    }

    /// Writes a record, unless it is a repeat. Records come in the order of their frames, where that matters.
    pub fn write(&mut self, ordered: &Ordered) -> anyhow::Result<()> {
        if !self.once.admits(&ordered.entry) {
            return Ok(());
        }
        let Some(directory) = &mut self.directory else { return Ok(()) };
        directory.write(ordered).map_err(|error| {
            // The other logs keep what they were given; of two errors the first is the cause.
            let _ = self.directory.take().map(LogDirectory::close);
            told(&error)
        })
    }

    /// Ends all logs.
    pub fn close(self) -> anyhow::Result<Counts> {
        self.directory.map_or(Ok(Counts::new()), LogDirectory::close).map_err(|error| told(&error))
    }
}

/// The error as it stands: its text names its cause already.
fn told(error: &LogError) -> anyhow::Error {
    anyhow!("{error}")
}
