//! Who may use whom, read from `cargo metadata`, so that it stays true (DESIGN, "Folders").
//!
//! `wire`, `ledger` and `record` use none of ours, except that `record` uses `wire` and its own derive. A hop uses those
//! three and no other hop. Only `weir` and the benchmarks see every hop. Pure crates forbid unsafe code. `lab` is for tests alone.
//! No file of Rust is longer than a sitting.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::shell;

const LEAVES: &[&str] = &["weir-wire", "weir-ledger", "weir-record"];

/// What every crate may use for its tests, and none for anything else.
const LAB: &str = "weir-lab";

/// Most lines of a file of Rust (DESIGN, "Rules of the house").
const MAX_LINES: usize = 600;

/// Crates whose `lib.rs` must forbid unsafe code.
const PURE: &[&str] = &["wire", "ledger", "record", "decap", "spread", "analyse", "log"];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    path: Option<String>,
    kind: Option<String>,
}

/// Checks all rules, and names every breach.
pub fn run() -> Result<()> {
    let text = shell::output(&shell::cargo(), &["metadata", "--no-deps", "--format-version", "1"])?;
    let metadata: Metadata = serde_json::from_slice(&text).context("reading cargo metadata")?;
    let mut breaches: Vec<String> = metadata.packages.iter().flat_map(forbidden).collect();
    for name in PURE {
        let path = shell::root().join("crates").join(name).join("src/lib.rs");
        let source = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        if !source.lines().any(|line| line == "#![forbid(unsafe_code)]") {
            breaches.push(format!("crates/{name}/src/lib.rs does not forbid unsafe code"));
        }
    }
    for path in sources()? {
        let text =
            fs::read_to_string(shell::root().join(&path)).with_context(|| format!("reading {path}"))?;
        breaches.extend(too_long(&path, &text));
    }
    ensure!(breaches.is_empty(), "{}", breaches.join("\n"));
    Ok(())
}

/// Every file of Rust that git keeps and that is still there.
fn sources() -> Result<Vec<String>> {
    let text = shell::output("git", &["ls-files", "*.rs"])?;
    let text = String::from_utf8(text).context("reading the names that git keeps")?;
    Ok(text.lines().filter(|path| shell::root().join(path).exists()).map(str::to_owned).collect())
}

fn too_long(path: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > MAX_LINES)
        .then(|| format!("{path} has {lines} lines, of {MAX_LINES} at most: look for its seam"))
}

fn forbidden(package: &Package) -> Vec<String> {
    let Some(allowed) = allowed(&package.name) else { return Vec::new() };
    package
        .dependencies
        .iter()
        .filter(|used| used.path.is_some() && !allowed.contains(&used.name.as_str()))
        .filter(|used| used.name != LAB || used.kind.as_deref() != Some("dev"))
        .map(|used| format!("{} may not use {}", package.name, used.name))
        .collect()
}

/// What of ours a crate may use; `None` where it may use all.
fn allowed(name: &str) -> Option<&'static [&'static str]> {
    match name {
        "weir" | "weir-benches" | "xtask" => None,
        "weir-wire" | "weir-ledger" | "weir-record-derive" | LAB => Some(&[]),
        "weir-record" => Some(&["weir-wire", "weir-record-derive"]),
        _ => Some(LEAVES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, uses: &str) -> Package {
        let used = Dependency { name: uses.to_owned(), path: Some(String::new()), kind: None };
        Package { name: name.to_owned(), dependencies: vec![used] }
    }

    #[test]
    fn a_hop_may_use_the_leaves_and_no_other_hop() {
        assert!(forbidden(&package("weir-analyse", "weir-wire")).is_empty());
        assert_eq!(
            forbidden(&package("weir-analyse", "weir-decap")),
            ["weir-analyse may not use weir-decap"]
        );
        assert!(forbidden(&package("weir", "weir-decap")).is_empty());
    }

    #[test]
    fn the_lab_is_for_tests_alone() {
        let mut tap = package("weir-tap", LAB);
        assert_eq!(forbidden(&tap).len(), 1);
        tap.dependencies.iter_mut().for_each(|used| used.kind = Some("dev".to_owned()));
        assert!(forbidden(&tap).is_empty());
    }

    #[test]
    fn a_file_is_no_longer_than_a_sitting() {
        assert_eq!(too_long("a.rs", &"\n".repeat(MAX_LINES)), None);
        assert!(too_long("a.rs", &"\n".repeat(MAX_LINES + 1)).is_some());
    }

    #[test]
    fn a_leaf_uses_none_of_ours() {
        assert_eq!(forbidden(&package("weir-wire", "weir-ledger")).len(), 1);
        assert!(forbidden(&package("weir-record", "weir-record-derive")).is_empty());
    }
}
