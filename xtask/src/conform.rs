//! The score against Zeek's own logs, and the ratchet that holds it.
//!
//! `conform.ratchet.json` has a score for each log, in percent; a log that falls more than [`TOLERANCE`] below its score
//! fails. The captures lie beside the repository (`../shared/corpus/zeek`); where they are missing, nothing is scored.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::shell;

/// How far a log may fall below the ratchet, in percent: what rounding does, and no more.
const TOLERANCE: f64 = 0.05;
/// How many captures are read at once.
const PARALLEL: usize = 2;
/// How long one capture may take, in steps of [`STEP`]: 60 s. The longest takes less than 1 s.
const STEPS: u32 = 6000;
const STEP: Duration = Duration::from_millis(10);

type Scores = BTreeMap<String, f64>;

#[derive(Deserialize)]
struct Report {
    captures: u32,
    perfect: u32,
    fields: f64,
    logs: f64,
    by_log: Scores,
}

/// Reads every capture with the debug build of weir, scores the logs, and compares or blesses.
pub fn run(bless: bool) -> Result<()> {
    let shared = shell::root().join("../shared");
    let (corpus, tool) = (shared.join("corpus/zeek"), shared.join("tools/conform"));
    if !corpus.join("truth").is_dir() || !tool.is_file() {
        eprintln!("conform: skipped, there is no ../shared/corpus/zeek");
        return Ok(());
    }
    shell::run(&shell::cargo(), &["build", "--quiet", "--package", "weir"])?;
    let target = shell::target_directory()?;
    let logs = target.join("conform");
    remove(&logs)?;
    read_all(&target.join("debug/weir"), &corpus, &logs)?;
    let text = shell::output(
        "python3",
        &[&text_of(&tool)?, &text_of(&corpus.join("truth"))?, &text_of(&logs)?, "--json"],
    )?;
    let report: Report = serde_json::from_slice(&text).context("reading the score")?;
    eprintln!(
        "conform: {} captures, {} perfect; fields {:.2}%, mean over logs {:.2}%",
        report.captures, report.perfect, report.fields, report.logs
    );
    let ratchet = shell::root().join("conform.ratchet.json");
    if bless { write(&ratchet, &report.by_log) } else { compare(&ratchet, &report.by_log) }
}

fn text_of(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).with_context(|| format!("{} is not UTF-8", path.display()))
}

fn remove(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", directory.display()))
        }
        _ => Ok(()),
    }
}

/// A few captures are damaged on purpose, so an exit code that says so is no failure; a crash or a hang is.
fn read_all(weir: &Path, corpus: &Path, logs: &Path) -> Result<()> {
    let traces = corpus.join("traces");
    let mut captures = Vec::new();
    list(&traces, &mut captures)?;
    captures.sort();
    let (todo, failures) = (Mutex::new(captures), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..PARALLEL {
            scope.spawn(|| {
                while let Some(capture) = todo.lock().ok().and_then(|mut left| left.pop()) {
                    let name = capture.strip_prefix(&traces).unwrap_or(&capture);
                    if let Err(error) = read(weir, &capture, &logs.join(name))
                        && let Ok(mut failures) = failures.lock()
                    {
                        failures.push(format!("{}: {error:#}", name.display()));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_default();
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

fn list(directory: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("listing {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

fn read(weir: &Path, capture: &Path, logs: &Path) -> Result<()> {
    fs::create_dir_all(logs).with_context(|| format!("making {}", logs.display()))?;
    let child = Command::new(weir)
        .args(["read", "--quiet", "--checksums", "ignore", "--logs"])
        .arg(logs)
        .arg(capture)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("{} does not start", weir.display()))?;
    match wait(child)? {
        Some(0 | 3) => Ok(()),
        Some(code) => bail!("weir ended with {code}"),
        None => bail!("weir was ended by a signal"),
    }
}

/// The exit code, or an error after the longest time that one capture may take.
fn wait(mut child: Child) -> Result<Option<i32>> {
    for _ in 0..STEPS {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code());
        }
        thread::sleep(STEP);
    }
    child.kill().context("ending weir")?;
    child.wait()?;
    bail!("weir took longer than {} s", (STEP * STEPS).as_secs())
}

fn write(ratchet: &Path, scores: &Scores) -> Result<()> {
    let text = serde_json::to_string_pretty(&blessed(scores))? + "\n";
    fs::write(ratchet, text).with_context(|| format!("writing {}", ratchet.display()))
}

/// Whole percents, with at least half a percent of play: a change that makes one log better by much may cost another a
/// field. Logs that weir does not write have nothing to hold.
fn blessed(scores: &Scores) -> Scores {
    let rounded = scores.iter().map(|(log, score)| (log.clone(), (score - 0.5).floor()));
    rounded.filter(|(_, score)| *score > 0.0).collect()
}

fn compare(ratchet: &Path, scores: &Scores) -> Result<()> {
    let text = fs::read(ratchet).with_context(|| format!("reading {}", ratchet.display()))?;
    let held: Scores =
        serde_json::from_slice(&text).with_context(|| format!("reading {}", ratchet.display()))?;
    let worse = worse(&held, scores);
    ensure!(worse.is_empty(), "logs that became worse: {}", worse.join(", "));
    Ok(())
}

/// The logs that lie below the score they must hold.
fn worse(held: &Scores, scores: &Scores) -> Vec<String> {
    held.iter()
        .filter_map(|(log, held)| {
            let got = scores.get(log).copied().unwrap_or(0.0);
            (got < held - TOLERANCE).then(|| format!("{log} {got:.2}% (was {held:.2}%)"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(of: &[(&str, f64)]) -> Scores {
        of.iter().map(|(log, score)| ((*log).to_owned(), *score)).collect()
    }

    #[test]
    fn a_log_that_falls_or_is_missing_is_named() {
        let held = scores(&[("conn", 90.0), ("dns", 80.0)]);
        assert_eq!(
            worse(&held, &scores(&[("conn", 89.0)])),
            ["conn 89.00% (was 90.00%)", "dns 0.00% (was 80.00%)"]
        );
    }

    #[test]
    fn blessing_leaves_play_and_forgets_logs_that_are_not_written() {
        let got = blessed(&scores(&[("conn", 98.67), ("dns", 100.0), ("smtp", 0.0)]));
        assert_eq!(got, scores(&[("conn", 98.0), ("dns", 99.0)]));
    }

    #[test]
    fn rounding_and_new_logs_are_no_fall() {
        let held = scores(&[("conn", 90.0)]);
        assert!(worse(&held, &scores(&[("conn", 89.96), ("ssh", 1.0)])).is_empty());
    }
}
