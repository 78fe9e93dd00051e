//! The binary as a user meets it: what it says, how it exits, and that every frame is accounted for.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use weir_tap::write::PcapWriter;
use weir_tap::{Endian, Precision};
use weir_wire::{LinkType, Time};

/// UDP from `host` to port 53 of `server`, as an Ethernet frame.
fn udp(host: u8, server: u8, port: u16) -> Vec<u8> {
    let mut frame = vec![2; 12];
    frame.extend([8, 0, 0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, host, 10, 0, 1, server]);
    frame.extend(port.to_be_bytes());
    frame.extend([0, 53, 0, 12, 0, 0, 1, 2, 3, 4]);
    frame
}

fn capture(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut writer =
        PcapWriter::new(Vec::new(), LinkType::ETHERNET, Precision::Micros, Endian::Little).unwrap();
    for (i, frame) in frames.iter().enumerate() {
        let time = Time::from_parts(1_000_000_000 + i as i64 / 100, (i as i64 % 100) * 10_000_000);
        writer.frame(time, frame.len() as u32, frame).unwrap();
    }
    writer.into_inner()
}

fn many() -> Vec<u8> {
    let frames: Vec<_> = (0..3_000u32)
        .map(|i| match i % 7 {
            0 => vec![0xff; 60],
            1 => udp((i / 9) as u8, (i / 5) as u8, 7)[..20].to_vec(),
            _ => udp((i / 11) as u8, (i / 13) as u8, 1_000 + (i % 50) as u16),
        })
        .collect();
    capture(&frames)
}

fn weir(home: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weir")).current_dir(home).args(arguments).output().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The records of each log, without their order.
fn records(directory: &Path) -> BTreeMap<String, Vec<String>> {
    let mut logs = BTreeMap::new();
    for file in fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let mut lines: Vec<_> = text.lines().filter(|l| !l.starts_with('#')).map(String::from).collect();
        lines.sort_unstable();
        logs.insert(path.file_name().unwrap().to_string_lossy().into_owned(), lines);
    }
    logs
}

#[test]
fn the_records_and_the_ledger_are_the_same_for_every_number_of_lanes() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("many.pcap"), many()).unwrap();
    let mut seen = Vec::new();
    for lanes in ["1", "2", "5"] {
        let (logs, ledger) = (format!("logs{lanes}"), format!("{lanes}.json"));
        let output = weir(home.path(), &["read", "-w", lanes, "-l", &logs, "--ledger", &ledger, "many.pcap"]);
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
        assert!(told(&output).contains("ledger: balances"), "{}", told(&output));
        seen.push((records(&home.path().join(logs)), fs::read_to_string(home.path().join(ledger)).unwrap()));
    }
    assert!(seen[0].0.get("conn.log").is_some_and(|lines| lines.len() > 100), "{:?}", seen[0]);
    assert!(seen.iter().all(|one| *one == seen[0]));
}

#[test]
fn a_capture_cut_short_is_named_with_its_byte_and_what_was_read_is_logged() {
    let home = TempDir::new().unwrap();
    let whole = capture(&[udp(1, 1, 1), udp(2, 1, 1)]);
    fs::write(home.path().join("cut.pcap"), &whole[..whole.len() - 5]).unwrap();
    fs::write(home.path().join("whole.pcap"), &whole).unwrap();
    let output = weir(home.path(), &["read", "-l", "logs", "cut.pcap", "whole.pcap"]);
    assert_eq!(output.status.code(), Some(3), "{}", told(&output));
    let at = 24 + (whole.len() - 24) / 2;
    assert!(
        told(&output).contains(&format!("weir: cut.pcap is damaged at byte {at}: truncated")),
        "{}",
        told(&output)
    );
    assert!(told(&output).contains("\n3 packets"), "{}", told(&output));
}

#[test]
fn what_cannot_be_read_at_all_is_said_before_anything_is_done() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("text"), "this is no capture, it is prose").unwrap();
    for (name, says) in
        [("none", "cannot open none: "), (".", "is a directory"), ("text", "is not a capture")]
    {
        let output = weir(home.path(), &["read", "-l", "logs", name]);
        assert_eq!(output.status.code(), Some(3), "{name}");
        assert!(told(&output).contains(says), "{}", told(&output));
    }
}

#[test]
fn logs_that_cannot_be_written_end_the_run_with_a_code_of_their_own() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("many.pcap"), many()).unwrap();
    fs::write(home.path().join("file"), "").unwrap();
    let output = weir(home.path(), &["read", "-l", "file/logs", "many.pcap"]);
    assert_eq!(output.status.code(), Some(4), "{}", told(&output));
    for lanes in ["1", "3"] {
        let logs = home.path().join(lanes);
        fs::create_dir(&logs).unwrap();
        std::os::unix::fs::symlink("/dev/full", logs.join("conn.log")).unwrap();
        let output = weir(home.path(), &["read", "-w", lanes, "-l", lanes, "many.pcap"]);
        assert_eq!(output.status.code(), Some(4), "{}", told(&output));
        assert!(told(&output).contains("conn.log: No space left"), "{}", told(&output));
    }
}

#[test]
fn a_wrong_command_line_or_configuration_is_told_from_a_wrong_capture() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("weir.toml"), "[flow]\nmax_flow = 1\n").unwrap();
    for arguments in [
        &["read"][..],
        &["read", "--key", "x", "a.pcap"],
        &["read", "--config", "weir.toml", "a.pcap"],
        &["read", "--config", "none.toml", "a.pcap"],
    ] {
        let output = weir(home.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?} {}", told(&output));
    }
}

#[test]
fn a_capture_may_come_from_standard_input() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("many.pcap"), many()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_weir"))
        .current_dir(home.path())
        .args(["read", "-l", "logs", "-"])
        .stdin(Stdio::from(fs::File::open(home.path().join("many.pcap")).unwrap()))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(told(&output).starts_with("3 000 packets"), "{}", told(&output));
}

#[test]
fn what_a_filter_takes_out_stands_in_the_ledger() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("two.pcap"), capture(&[udp(1, 1, 1), udp(2, 1, 1)])).unwrap();
    let output = weir(home.path(), &["read", "-l", "logs", "--filter", "host 10.0.0.1", "two.pcap"]);
    if told(&output).contains("needs libpcap") {
        return;
    }
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(told(&output).contains("entered 2, passed 1, dropped filtered 1\n"), "{}", told(&output));
    let output = weir(home.path(), &["read", "-l", "logs", "--filter", "hots 10.0.0.1", "two.pcap"]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
}

#[test]
fn each_command_has_a_page_whose_examples_keep_their_lines() {
    let home = TempDir::new().unwrap();
    assert_eq!(weir(home.path(), &["man", "pages"]).status.code(), Some(0));
    let page = |name: &str| fs::read_to_string(home.path().join("pages").join(name)).unwrap();
    assert!(page("weir.1").contains("weir\\-read(1)") && !page("weir.1").contains("EXTRA"));
    let read = page("weir-read.1");
    let line = "\\&  weir read \\-l logs \\-f json a.pcap b.pcap.gz       two captures as one stream, logs as JSON lines\n";
    assert!(
        read.contains(".SH \"EXAMPLES\"\n.nf\n")
            && read.contains(line)
            && read.contains(".SH \"EXIT STATUS\"\n"),
        "{read}"
    );
    assert!(page("weir-sense.1").contains(".SH OPTIONS") && page("weir-plan-nft.1").contains("nft"));
}

#[test]
fn completions_manual_and_configuration_are_printed() {
    let home = TempDir::new().unwrap();
    for (arguments, says) in [
        (&["completions", "bash"][..], "complete -F"),
        (&["man"], ".TH weir"),
        (&["config"], "[decap]"),
        (&["--help"], "Exit codes"),
        (&["--version"], "weir 0."),
    ] {
        let output = weir(home.path(), arguments);
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&output.stdout).contains(says), "{arguments:?}");
    }
}
