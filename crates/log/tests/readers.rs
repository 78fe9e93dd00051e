//! What weir writes is what other programs read: serde_json and, where they are there, Python with its own `json`, with
//! `zat` and with `parsezeeklogs` (`cargo xtask test` installs both); and what was escaped can be told again.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, reason = "tests may fail")]

use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use weir_log::{Format, LogDirectory, line};
use weir_record::{Entry, Text, Weird};
use weir_wire::{Address, ConnId, Time, UidKey};

fn weird(name: &[u8], addl: &[u8]) -> Entry {
    let mut weird = Weird::new(Time(1_500_000_000), None, None, "", Some(Text::from(addl)), None);
    weird.name = Text::from(name);
    weird.into()
}

fn formatted(format: Format, entry: &Entry) -> String {
    let mut out = Vec::new();
    line(format, entry, &mut out);
    String::from_utf8(out).expect("lines are UTF-8")
}

/// Takes `\xhh` and `\\` back.
fn unescaped(field: &str) -> Vec<u8> {
    let mut bytes = field.bytes();
    let mut text = Vec::new();
    while let Some(byte) = bytes.next() {
        match (byte, byte == b'\\') {
            (_, false) => text.push(byte),
            (_, true) => match bytes.next() {
                Some(b'x') => {
                    let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                    text.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
                }
                other => text.push(other.unwrap()),
            },
        }
    }
    text
}

proptest! {
    #[test]
    fn a_tsv_field_can_be_told_again(text in prop::collection::vec(any::<u8>(), 1..80)) {
        let row = formatted(Format::Tsv, &weird(b"name", &text));
        let fields = row.strip_suffix('\n').unwrap().split('\t').collect::<Vec<_>>();
        prop_assert_eq!(fields.len(), 11);
        prop_assert!(!row.trim_end().contains('\n'));
        prop_assert_eq!(unescaped(fields[7]), text);
    }

    #[test]
    fn a_json_line_is_an_object_with_the_text(text in ".{0,60}") {
        let row = formatted(Format::Json, &weird(b"name", text.as_bytes()));
        let value: serde_json::Value = serde_json::from_str(&row).unwrap();
        prop_assert_eq!(value["addl"].as_str().unwrap(), text);
    }

    #[test]
    fn a_json_line_is_an_object_whatever_the_bytes(text in prop::collection::vec(any::<u8>(), 0..80)) {
        let row = formatted(Format::Json, &weird(&text, &text));
        prop_assert!(serde_json::from_str::<serde_json::Value>(&row).unwrap().is_object());
        prop_assert_eq!(row.matches('\n').count(), 1);
    }
}

/// Some weirds and a connection's, with names that are hard to read.
fn write(directory: &Path, format: Format) {
    let mut logs = LogDirectory::create(directory, format).unwrap();
    let id = ConnId {
        orig_h: Address::v4([192, 0, 2, 1]),
        orig_p: 40000,
        resp_h: "2001:db8::1".parse::<std::net::IpAddr>().unwrap().into(),
        resp_p: 443,
    };
    let uid = weir_record::ConnUid(UidKey([0; 16]).of(&[b"reader"]));
    let bound = Weird::new(Time(2_500_000_000), Some(uid), Some(id), "bad", Some("\t\"\\".into()), None);
    for entry in [weird(b"one", b"\xff\n"), weird("zwei_ä".as_bytes(), b"-"), bound.into()] {
        logs.write(&entry).unwrap();
    }
    logs.close().unwrap();
}

/// Runs Python on the log in `directory`; `None`, which is said, where there is no Python or `module` is missing.
fn python(directory: &Path, module: &str, script: &str) -> Option<String> {
    let python = std::env::var_os("WEIR_PYTHON").unwrap_or_else(|| "python3".into());
    let has = Command::new(&python).args(["-c", &format!("import {module}")]).output();
    if !has.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: needs Python with {module}");
        return None;
    }
    let run = Command::new(&python).arg("-c").arg(script).arg(directory.join("weird.log")).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    Some(String::from_utf8(run.stdout).unwrap())
}

#[test]
fn python_reads_json_lines() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), Format::Json);
    let script = "import sys, json\n\
        rows = [json.loads(line) for line in open(sys.argv[1], encoding='utf-8')]\n\
        print([(r['ts'], r['name'], r['addl'], r.get('id.resp_h'), r.get('id.orig_p')) for r in rows] == [\n\
        (1.5, 'one', '\\\\xff\\n', None, None), (1.5, 'zwei_ä', '-', None, None),\n\
        (2.5, 'bad', '\\t\"\\\\', '2001:db8::1', 40000)])";
    if let Some(answer) = python(home.path(), "json", script) {
        assert_eq!(answer.trim(), "True");
    }
}

#[test]
fn python_reads_columns_by_the_header() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), Format::Tsv);
    let script = "import sys\n\
        lines = open(sys.argv[1], encoding='utf-8').read().splitlines()\n\
        fields = [l for l in lines if l.startswith('#fields')][0].split('\\t')[1:]\n\
        rows = [dict(zip(fields, l.split('\\t'), strict=True)) for l in lines if not l.startswith('#')]\n\
        print([(r['ts'], r['name'], r['addl'], r['id.resp_h'], r['id.orig_p']) for r in rows] == [\n\
        ('1.500000', 'one', r'\\xff\\x0a', '-', '-'), ('1.500000', 'zwei_ä', r'\\x2d', '-', '-'),\n\
        ('2.500000', 'bad', r'\\x09\"\\\\', '2001:db8::1', '40000')])";
    if let Some(answer) = python(home.path(), "sys", script) {
        assert_eq!(answer.trim(), "True");
    }
}

#[test]
fn zat_reads_a_log() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), Format::Tsv);
    let script = "import sys\nfrom zat.zeek_log_reader import ZeekLogReader\n\
        print([(r['name'], r['id.orig_p']) for r in ZeekLogReader(sys.argv[1]).readrows()][2])";
    if let Some(answer) = python(home.path(), "zat.zeek_log_reader", script) {
        // Before that it says which file it reads.
        assert_eq!(answer.lines().last(), Some("('bad', 40000)"), "{answer}");
    }
}

#[test]
fn parsezeeklogs_reads_both_formats() {
    for format in [Format::Tsv, Format::Json] {
        let home = tempfile::tempdir().unwrap();
        write(home.path(), format);
        let script = "import sys\nfrom parsezeeklogs import ParseZeekLogs\n\
            rows = list(ParseZeekLogs(sys.argv[1], output_format='json', safe_headers=False))\n\
            print(len([row for row in rows if row]), '2001:db8::1' in str(rows[2]))";
        if let Some(answer) = python(home.path(), "parsezeeklogs", script) {
            assert_eq!(answer.trim(), "3 True", "{format:?}");
        }
    }
}
