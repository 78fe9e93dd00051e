//! Programs run from the root of the repository; one that fails is an error that names it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// The root of the repository.
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// The cargo that runs us.
pub fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

/// Runs a program of the repository (where its name is a path) or of the system, and shows what it says.
pub fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let at = if program.contains('/') && !program.starts_with('/') {
        root().join(program).into_os_string()
    } else {
        program.into()
    };
    let status = Command::new(at)
        .args(arguments)
        .current_dir(root())
        .status()
        .with_context(|| format!("{program} does not start"))?;
    ensure!(status.success(), "{program} {}: {status}", arguments.join(" "));
    Ok(())
}

/// What a program writes to its standard output.
pub fn output(program: &str, arguments: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root())
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("{program} does not start"))?;
    ensure!(output.status.success(), "{program} {}: {}", arguments.join(" "), output.status);
    Ok(output.stdout)
}

/// Where cargo builds.
pub fn target_directory() -> Result<PathBuf> {
    #[derive(Deserialize)]
    struct Metadata {
        target_directory: PathBuf,
    }
    let text = output(&cargo(), &["metadata", "--no-deps", "--format-version", "1"])?;
    let metadata: Metadata = serde_json::from_slice(&text).context("reading cargo metadata")?;
    Ok(metadata.target_directory)
}
