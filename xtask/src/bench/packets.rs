//! Instructions for each packet, part by part: what `benches/packets.rs` measures under valgrind, by gungraun.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{Bench, Row};
use crate::shell;

/// As in `benches/traffic.rs`.
const PACKETS: f64 = 10_000.0;

/// What is measured, in the order of the way that a packet goes: the folder of gungraun's results, and what it is.
const PARTS: [(&str, &str); 7] = [
    ("decap.plain", "decap, Ethernet and IPv4"),
    ("decap.vxlan", "decap, the same in VXLAN"),
    ("analyse.look_up", "flow look-up"),
    ("analyse.in_order", "TCP in order"),
    ("analyse.dns", "DNS, to the line"),
    ("analyse.http", "HTTP, to the line"),
    ("analyse.tls", "TLS, to the line"),
];

/// The benchmarks of the parts. Nothing is promised of them: they are there to be driven down.
pub fn packets(_: &Bench) -> Result<Vec<Row>> {
    let target = shell::target_directory()?;
    let runner = runner(&target.join("tools"))?;
    let results = target.join("gungraun");
    let output = Command::new(shell::cargo())
        .args(["bench", "--quiet", "--package", "weir-benches", "--bench", "packets"])
        .env("GUNGRAUN_RUNNER", &runner)
        .env("GUNGRAUN_HOME", &results)
        .current_dir(shell::root())
        .output()
        .context("cargo does not start")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo bench: {}; is valgrind installed?\n{told}", output.status);
    let found = find(&results)?;
    let row = |(folder, what): &(&str, &str)| {
        let path = found.iter().find(|path| path.parent().is_some_and(|parent| parent.ends_with(folder)));
        let path = path.with_context(|| format!("gungraun has left nothing of {folder}"))?;
        let counted = instructions(&fs::read_to_string(path)?);
        let each = counted.with_context(|| format!("{} counts nothing", path.display()))? / PACKETS;
        let (what, measured) = (format!("instructions for each packet: {what}"), format!("{each:.0}"));
        Ok(Row { what, measured, needed: String::new(), met: true })
    };
    PARTS.iter().map(row).collect()
}

/// The program that runs benchmarks under valgrind, of the very version of the library; built where it is not there.
fn runner(tools: &Path) -> Result<PathBuf> {
    let lock = fs::read_to_string(shell::root().join("Cargo.lock")).context("reading Cargo.lock")?;
    let version = version(&lock, "gungraun-runner").context("Cargo.lock has no gungraun-runner")?;
    let root = tools.join(format!("gungraun-runner-{version}"));
    let program = root.join("bin/gungraun-runner");
    if !program.exists() {
        let root = root.to_str().context("the target directory is not UTF-8")?;
        let install =
            ["install", "--quiet", "--locked", "--root", root, "--version", version, "gungraun-runner"];
        shell::run(&shell::cargo(), &install).context("building gungraun-runner, which needs crates.io")?;
    }
    Ok(program)
}

/// The version of a package in a Cargo.lock.
fn version<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    rest.split_once('"').map(|(version, _)| version)
}

/// What callgrind wrote last of each benchmark, below `directory`.
fn find(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(find(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "out") {
            found.push(path);
        }
    }
    Ok(found)
}

/// The instructions in all that callgrind wrote of a run (its format's `totals` line, with the events of its `events` line).
fn instructions(text: &str) -> Option<f64> {
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let place = line("events:")?.split_whitespace().position(|event| event == "Ir")?;
    line("totals:").or_else(|| line("summary:"))?.split_whitespace().nth(place)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_found_in_what_callgrind_writes() {
        let text = "version: 1\ncreator: callgrind\npositions: line\nevents: Dr Ir\nsummary: 1 2\n\nfn=(1)\n0 4 7\ntotals: 4 70000\n";
        assert_eq!(instructions(text), Some(70_000.0));
        assert_eq!(instructions("events: Ir\n"), None);
    }

    #[test]
    fn the_runner_has_the_version_of_the_lock() {
        let lock = "[[package]]\nname = \"gungraun\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"gungraun-runner\"\nversion = \"2.3.4\"\n";
        assert_eq!(version(lock, "gungraun-runner"), Some("2.3.4"));
        assert_eq!(version(lock, "valgrind"), None);
    }
}
