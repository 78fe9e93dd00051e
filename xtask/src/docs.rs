//! `docs/logs.md`, written from the records themselves.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::shell;

/// Writes the page, or fails where it is not what the records say.
pub fn run(check: bool) -> Result<()> {
    let path = shell::root().join("docs/logs.md");
    let text = weir_log::documentation();
    if check {
        let present = fs::read_to_string(&path).unwrap_or_default();
        ensure!(present == text, "docs/logs.md is not what the records say: run `cargo xtask docs`");
        return Ok(());
    }
    fs::create_dir_all(shell::root().join("docs")).context("making docs/")?;
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
}
