//! Golden logs: what weir says of a capture is, byte for byte, what was accepted (`cargo xtask bless` accepts what it says
//! now). Only the lines with the time of the run are left out. And captures that once failed: what must hold of each.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod craft;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests").join(name)
}

/// Whether what is now shall be kept.
fn blessing() -> bool {
    std::env::var_os("WEIR_BLESS").is_some()
}

fn read(logs: &Path, options: &[&str], capture: &Path) -> Output {
    let ledger = logs.join("ledger.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    let command =
        command.arg("read").args(options).arg("-l").arg(logs).arg("--ledger").arg(&ledger).arg(capture);
    let output = command.output().unwrap();
    let balance: serde_json::Value = serde_json::from_slice(&fs::read(&ledger).unwrap()).unwrap();
    assert_eq!(balance["balances"], true, "{}", capture.display());
    fs::remove_file(ledger).unwrap();
    output
}

/// The files of a directory that are logs, without the lines that tell when they were written.
fn logs(directory: &Path) -> BTreeMap<String, String> {
    let mut logs = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let text = fs::read_to_string(&path).unwrap();
            let kept = text
                .split_inclusive('\n')
                .filter(|line| !line.starts_with("#open") && !line.starts_with("#close"));
            logs.insert(path.file_name().unwrap().to_string_lossy().into_owned(), kept.collect());
        }
    }
    logs
}

/// Compares, and shows the first line that differs.
fn compare(name: &str, kept: &BTreeMap<String, String>, got: &BTreeMap<String, String>) {
    let names = |logs: &BTreeMap<String, String>| logs.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(kept), names(got), "{name}: which logs there are");
    for (log, text) in kept {
        let (mut kept, mut got) = (text.lines(), got[log].lines());
        let mut number = 0;
        loop {
            let (old, new) = (kept.next(), got.next());
            number += 1;
            assert_eq!(
                old, new,
                "{name}/{log}, line {number}; `cargo xtask bless` accepts what weir says now"
            );
            if old.is_none() {
                break;
            }
        }
    }
}

#[test]
fn every_golden_capture_has_the_logs_that_were_accepted() {
    for (name, trace) in craft::captures::all() {
        let home = folder("golden").join(name);
        let capture = home.join("capture.pcap");
        if blessing() {
            let _ = fs::remove_dir_all(&home);
            fs::create_dir_all(&home).unwrap();
            fs::write(&capture, trace.capture()).unwrap();
        }
        assert!(fs::read(&capture).unwrap() == trace.capture(), "{name}: the capture is not as it is made");
        let got = TempDir::new().unwrap();
        let output = read(got.path(), &[], &capture);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let got = logs(got.path());
        if blessing() {
            for (log, text) in &got {
                fs::write(home.join(log), text).unwrap();
            }
        }
        compare(name, &logs(&home), &got);
    }
    let kept = fs::read_dir(folder("golden"))
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().is_dir())
        .count();
    assert_eq!(kept, craft::captures::all().len(), "there is a golden capture that nobody makes");
}

#[test]
fn the_sample_that_the_readme_reads_has_the_logs_that_were_accepted() {
    let home = folder("golden").join("first");
    let got = TempDir::new().unwrap();
    let output = read(got.path(), &["-f", "json"], &folder("../samples/first.pcapng"));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let got = logs(got.path());
    let home = home.with_file_name("first.json");
    // One file, as each log has a line or two.
    let all = got.iter().fold(String::new(), |all, (log, text)| all + "== " + log + "\n" + text);
    if blessing() {
        fs::write(&home, &all).unwrap();
    }
    let (kept, all) = (fs::read_to_string(home).unwrap(), all);
    let differs = kept.lines().zip(all.lines()).find(|(kept, got)| kept != got);
    assert!(kept == all, "first.json: {differs:#?}; `cargo xtask bless` accepts what weir says now");
}

#[test]
fn what_once_failed_is_read_with_a_ledger_that_balances_and_records_equal_on_any_lanes() {
    let mut count = 0;
    for entry in fs::read_dir(folder("regressions")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension == "md") {
            continue;
        }
        count += 1;
        let mut seen = Vec::new();
        for lanes in ["1", "3"] {
            let home = TempDir::new().unwrap();
            let output = read(home.path(), &["-w", lanes], &path);
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(matches!(output.status.code(), Some(0 | 3)), "{}: {text}", path.display());
            let sorted = logs(home.path()).into_iter().map(|(log, text)| {
                let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
                lines.sort_unstable();
                (log, lines)
            });
            seen.push(sorted.collect::<Vec<_>>());
        }
        assert!(seen[0] == seen[1], "{}", path.display());
    }
    assert!(count > 0, "tests/regressions is empty");
}
