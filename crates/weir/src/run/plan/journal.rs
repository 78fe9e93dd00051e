//! What was applied, written down before it is done, so that it can be taken back by a later run: one file for each plan.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::plan::{Action, Probe};

/// The journal of one plan.
#[derive(Serialize, Deserialize, Debug)]
pub struct Journal {
    /// The plan's name.
    pub name: String,
    /// Which plan of this name it was.
    pub digest: u64,
    /// What was made, in order.
    pub done: Vec<Done>,
    #[serde(skip)]
    path: PathBuf,
}

/// A step that was made, or was about to be made.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct Done {
    /// What it is.
    pub what: String,
    /// How to see that it is there.
    pub present: Option<Probe>,
    /// It is taken back only where this holds.
    pub undo_if: Option<Probe>,
    /// Takes it back.
    pub undo: Vec<Action>,
}

impl Journal {
    /// An empty one.
    pub fn new(directory: &Path, name: &str, digest: u64) -> Self {
        Self { name: name.to_owned(), digest, done: Vec::new(), path: path(directory, name) }
    }

    /// The one of `name`, if there is one.
    pub fn load(directory: &Path, name: &str) -> anyhow::Result<Option<Self>> {
        let path = path(directory, name);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let journal: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{} is no journal of weir plan", path.display()))?;
        Ok(Some(Self { path, ..journal }))
    }

    /// Writes it down; nobody else may read or write it, because what it says is run.
    pub fn save(&self) -> anyhow::Result<()> {
        let cannot = || format!("cannot write {}", self.path.display());
        let directory = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(directory).with_context(cannot)?;
        let mut file = tempfile::NamedTempFile::new_in(directory).with_context(cannot)?;
        file.write_all(&serde_json::to_vec_pretty(self)?).with_context(cannot)?;
        file.persist(&self.path).with_context(cannot)?;
        Ok(())
    }

    /// All is taken back: the file goes.
    pub fn close(&self) -> anyhow::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.path.display()))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn path(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.json"))
}
