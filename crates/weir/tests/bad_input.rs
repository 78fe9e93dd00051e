//! What is wrong with a capture, or with where the logs go, is said with the file and the byte; what had been read is logged
//! and counted, and the exit code tells which of them it was.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use weir_tap::write::{PcapWriter, PcapngWriter};
use weir_tap::{Endian, Precision};
use weir_wire::{LinkType, Time};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// Where the first record of a pcap file begins, and how long the header of a record is.
const FIRST: usize = 24;
const RECORD: usize = 16;

/// A datagram of one of 65,536 flows, as an Ethernet frame.
fn frame(flow: u16) -> Vec<u8> {
    let mut frame = vec![2; 12];
    frame.extend([8, 0, 0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 1, 1]);
    frame.extend(flow.to_be_bytes());
    frame.extend([17, 17, 0, 12, 0, 0, 1, 2, 3, 4]);
    frame
}

fn pcap(link: LinkType, flows: u16) -> Vec<u8> {
    let mut writer = PcapWriter::new(Vec::new(), link, Precision::Micros, Endian::Little).unwrap();
    for flow in 0..flows {
        let frame = frame(flow);
        writer.frame(Time::from_parts(1_000_000_000, 0), frame.len() as u32, &frame).unwrap();
    }
    writer.into_inner()
}

/// A pcapng file with two frames, and where the block of the second begins.
fn pcapng() -> (Vec<u8>, usize) {
    let mut writer = PcapngWriter::new(Vec::new(), Endian::Little).unwrap();
    let interface = writer.interface(LinkType::ETHERNET, Precision::Micros).unwrap();
    let frames = [frame(1), frame(2)];
    for frame in &frames {
        writer.frame(interface, Time::from_parts(1, 0), frame.len() as u32, frame).unwrap();
    }
    let bytes = writer.into_inner();
    // A block: type, length, interface, time, two lengths, the frame filled up to four bytes, and its length again.
    let block = 28 + frames[1].len().next_multiple_of(4) + 4;
    let at = bytes.len() - block;
    (bytes, at)
}

/// The lengths of the block at `at`, before and behind, changed.
fn lying(mut bytes: Vec<u8>, at: usize, head: u32, tail: u32) -> Vec<u8> {
    let end = bytes.len();
    bytes[at + 4..at + 8].copy_from_slice(&head.to_le_bytes());
    bytes[end - 4..].copy_from_slice(&tail.to_le_bytes());
    bytes
}

fn read(home: &Path, name: &str, capture: &[u8]) -> Output {
    fs::write(home.join(name), capture).unwrap();
    weir(home, &["read", "-l", "logs", "--ledger", "ledger.json", name])
}

fn weir(home: &Path, arguments: &[&str]) -> Output {
    Command::new(WEIR).current_dir(home).args(arguments).output().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The records of a log, each a whole line with as many fields as the header says.
fn records(log: &Path) -> usize {
    let text = fs::read_to_string(log).unwrap();
    let fields =
        text.lines().find(|line| line.starts_with("#fields")).map(|line| line.split('\t').count() - 1);
    let rows: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(rows.iter().all(|row| Some(row.split('\t').count()) == fields), "{rows:?}");
    rows.len()
}

/// The run says `says`, ends with 3, and has `flows` in its log and as many frames in a ledger that balances.
#[track_caller]
fn ends_early(home: &Path, output: &Output, says: &str, flows: usize) {
    let text = told(output);
    assert!(output.status.code() == Some(3) && text.contains(says), "{says}: {} {text}", output.status);
    assert_eq!(records(&home.join("logs/conn.log")), flows, "{text}");
    let ledger: serde_json::Value =
        serde_json::from_slice(&fs::read(home.join("ledger.json")).unwrap()).unwrap();
    assert_eq!(ledger["balances"], true);
    assert_eq!(ledger["hops"][0]["passed"]["frames"], flows, "{text}");
}

#[test]
fn garbage_behind_frames_is_told_with_its_byte() {
    let home = TempDir::new().unwrap();
    let mut bytes = pcap(LinkType::ETHERNET, 3);
    let at = bytes.len();
    bytes.extend([0xff; 100]);
    let output = read(home.path(), "garbage.pcap", &bytes);
    ends_early(
        home.path(),
        &output,
        &format!("weir: garbage.pcap is damaged at byte {at}: a frame of 4294967295"),
        3,
    );
}

#[test]
fn a_pcapng_block_that_lies_about_its_length_is_told_with_its_byte() {
    let (bytes, at) = pcapng();
    let whole = (bytes.len() - at) as u32;
    let lies = [
        (whole + 8, whole, "truncated: a pcapng block"),
        (whole, whole + 4, "at its start and"),
        (3, whole, "impossible length 3"),
        (u32::MAX - 3, whole, "impossible length"),
        (whole - 8, whole, "at its start and"),
    ];
    for (head, tail, says) in lies {
        let home = TempDir::new().unwrap();
        let output = read(home.path(), "lie.pcapng", &lying(bytes.clone(), at, head, tail));
        ends_early(home.path(), &output, &format!("weir: lie.pcapng is damaged at byte {at}: "), 1);
        assert!(told(&output).contains(says), "{says}: {}", told(&output));
    }
}

#[test]
fn a_frame_longer_than_its_block_is_told_with_its_byte() {
    let home = TempDir::new().unwrap();
    let (mut bytes, at) = pcapng();
    bytes[at + 20..at + 24].copy_from_slice(&5000u32.to_le_bytes());
    let output = read(home.path(), "lie.pcapng", &bytes);
    ends_early(
        home.path(),
        &output,
        &format!("weir: lie.pcapng is damaged at byte {at}: a block of type 0x6 too short"),
        1,
    );
}

#[test]
fn frames_of_an_unknown_link_type_are_told_with_file_and_byte_and_counted() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("good.pcap"), pcap(LinkType::ETHERNET, 4)).unwrap();
    fs::write(home.path().join("strange.pcap"), pcap(LinkType(147), 5)).unwrap();
    let output = weir(home.path(), &["read", "-l", "logs", "good.pcap", "strange.pcap"]);
    let (at, text) = (FIRST + RECORD, told(&output));
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(
        text.contains(&format!("weir: strange.pcap has frames of link type 147, the first at byte {at},")),
        "{text}"
    );
    assert!(text.contains("decap   entered 9, passed 4, dropped unknown_link_type 5\n"), "{text}");
    assert_eq!(records(&home.path().join("logs/conn.log")), 4);
}

#[test]
fn ip_behind_an_unknown_link_type_is_read_as_zeek_reads_it() {
    let home = TempDir::new().unwrap();
    let mut writer = PcapWriter::new(Vec::new(), LinkType(147), Precision::Micros, Endian::Big).unwrap();
    let frame = frame(1);
    writer.frame(Time::from_parts(1, 0), frame.len() as u32 - 14, &frame[14..]).unwrap();
    let output = read(home.path(), "ip.pcap", &writer.into_inner());
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert_eq!(records(&home.path().join("logs/conn.log")), 1);
}

#[test]
fn compressed_data_cut_short_are_told_with_their_byte_and_what_came_before_is_logged() {
    let home = TempDir::new().unwrap();
    let gzip = |bytes: &[u8]| {
        let mut child =
            Command::new("gzip").arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut to, bytes) = (child.stdin.take().unwrap(), bytes.to_vec());
        let writer = std::thread::spawn(move || to.write_all(&bytes).unwrap());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        output.stdout
    };
    let whole = gzip(&pcap(LinkType::ETHERNET, 3000));
    let output = read(home.path(), "cut.pcap.gz", &whole[..whole.len() / 2]);
    let text = told(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("weir: cut.pcap.gz") && text.contains(" bytes"), "{text}");
    let logged = records(&home.path().join("logs/conn.log"));
    assert!((100..3000).contains(&logged), "{logged}");
}

#[test]
fn a_capture_that_may_not_be_read_is_told_from_one_that_is_not_there() {
    let home = TempDir::new().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(home.path().join("secret.pcap"), pcap(LinkType::ETHERNET, 1)).unwrap();
    fs::set_permissions(home.path().join("secret.pcap"), fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = Command::new(WEIR);
    command.args(["read", "-l", "/nonexistent", "secret.pcap"]).current_dir(home.path());
    if Command::new("id").arg("-u").output().unwrap().stdout == b"0\n" {
        // Nobody, by the number that Debian gives it.
        command.uid(65534).gid(65534);
    } else {
        fs::set_permissions(home.path().join("secret.pcap"), fs::Permissions::from_mode(0o000)).unwrap();
    }
    let Ok(output) = command.output() else {
        eprintln!("skipped: needs a target directory that other users may enter");
        return;
    };
    let text = told(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("weir: cannot open secret.pcap: Permission denied"), "{text}");
}

#[test]
fn a_disk_that_fills_up_keeps_whole_lines_and_tells_how_many_records_are_lost() {
    let home = TempDir::new().unwrap();
    let flows = 4000;
    fs::write(home.path().join("many.pcap"), pcap(LinkType::ETHERNET, flows)).unwrap();
    for lanes in ["1", "2"] {
        let script = format!(
            "mkdir -p logs kept && mount -t tmpfs -o size=300k none logs || exit 77
             {WEIR} read -w {lanes} -l logs many.pcap; code=$?
             cp logs/conn.log kept/conn.log; exit $code"
        );
        let output =
            Command::new("unshare").args(["-m", "sh", "-c", &script]).current_dir(home.path()).output();
        let output = match output {
            Ok(output) if output.status.code() == Some(4) => output,
            Ok(output) if output.status.code() != Some(77) && told(&output).contains("weir: ") => {
                panic!("{} {}", output.status, told(&output))
            }
            Ok(_) | Err(_) => {
                eprintln!("skipped: needs root, who may mount");
                return;
            }
        };
        let text = told(&output);
        assert!(text.contains("conn.log: No space left on device"), "{text}");
        let lost: usize = text
            .split("; ")
            .find_map(|part| part.split_once(" records could not be written")?.0.parse().ok())
            .unwrap_or_else(|| panic!("{text}"));
        let kept = records(&home.path().join("kept/conn.log"));
        assert!(lost > 0 && kept + lost <= usize::from(flows), "{kept} kept, {lost} lost");
    }
}

#[test]
fn a_pipe_that_breaks_off_is_told_with_its_byte_and_what_had_come_is_logged() {
    let home = TempDir::new().unwrap();
    let bytes = pcap(LinkType::ETHERNET, 10);
    let at = bytes.len() - RECORD - frame(0).len();
    let mut child = Command::new(WEIR)
        .args(["read", "-l", "logs", "--ledger", "ledger.json", "-"])
        .current_dir(home.path())
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&bytes[..bytes.len() - 1]).unwrap();
    let output = child.wait_with_output().unwrap();
    ends_early(home.path(), &output, &format!("weir: standard input is damaged at byte {at}: truncated"), 9);
}

#[test]
fn nobody_who_listens_is_no_trouble() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("some.pcap"), pcap(LinkType::ETHERNET, 20)).unwrap();
    // What is said goes to a pipe whose reader is gone.
    let script = format!(
        "{{ {WEIR} read -l logs some.pcap; echo $? > code; }} 2>&1 | true; {WEIR} config | true; {WEIR} man | true"
    );
    assert!(Command::new("sh").args(["-c", &script]).current_dir(home.path()).status().unwrap().success());
    assert_eq!(fs::read_to_string(home.path().join("code")).unwrap().trim(), "0");
    assert_eq!(records(&home.path().join("logs/conn.log")), 20);
}

#[test]
fn a_ledger_that_cannot_be_written_is_told() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("some.pcap"), pcap(LinkType::ETHERNET, 2)).unwrap();
    let output = weir(home.path(), &["read", "-l", "logs", "--ledger", "none/ledger.json", "some.pcap"]);
    assert_eq!(output.status.code(), Some(4), "{}", told(&output));
    assert!(
        told(&output).contains("weir: cannot create none/ledger.json: No such file"),
        "{}",
        told(&output)
    );
}
