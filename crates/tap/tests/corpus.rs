//! Every capture of the shared corpus is read, and has as many frames as tcpdump says.
//!
//! Skipped, with a word, where the corpus (`shared/corpus/zeek/traces` beside or above the workspace) or tcpdump is missing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use weir_tap::{Captures, FrameBatch, Options, Source};

/// Captures that libpcap gives up on: it wants all interfaces of a file to have one snapshot length.
const BEYOND_LIBPCAP: [(&str, usize); 2] =
    [("ldap/gap-data-missing.pcapng", 18), ("ldap/modify-request.pcapng", 17)];

fn corpus() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().map(|dir| dir.join("shared/corpus/zeek/traces")).find(|dir| dir.is_dir())
}

fn captures_below(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            captures_below(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn frames(source: Source) -> usize {
    let mut captures = Captures::open(vec![source], Options::default()).unwrap();
    let (mut batch, mut n) = (FrameBatch::default(), 0);
    while captures.next_batch(&mut batch).unwrap() {
        for frame in batch.iter() {
            assert_eq!(frame.sequence, n as u64);
            assert!(frame.wire_len as usize >= frame.data.len());
            n += 1;
        }
    }
    n
}

/// What tcpdump counts in `bytes`.
fn tcpdump_count(bytes: &[u8]) -> Option<usize> {
    let mut command = Command::new("tcpdump");
    command.args(["-r", "-", "--count"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().ok()?;
    let mut stdin = child.stdin.take()?;
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().ok()?;
    let _ = writer.join();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    text.lines().find_map(|line| line.strip_suffix(" packets").or(line.strip_suffix(" packet"))?.parse().ok())
}

fn decompressed(bytes: Vec<u8>) -> Vec<u8> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return bytes;
    }
    let mut out = Vec::new();
    std::io::copy(&mut flate2::read::MultiGzDecoder::new(&bytes[..]), &mut out).unwrap();
    out
}

#[test]
fn every_capture_of_the_corpus_has_the_frames_that_tcpdump_counts() {
    let Some(corpus) = corpus() else {
        println!("skipped: no corpus");
        return;
    };
    if tcpdump_count(&[]).is_none() && Command::new("tcpdump").arg("--version").output().is_err() {
        println!("skipped: no tcpdump");
        return;
    }
    let mut paths = Vec::new();
    captures_below(&corpus, &mut paths);
    assert!(paths.len() > 100, "a corpus of {} captures", paths.len());
    for path in paths {
        let known = BEYOND_LIBPCAP.iter().find(|(name, _)| path.ends_with(name)).map(|(_, n)| *n);
        let bytes = decompressed(std::fs::read(&path).unwrap());
        let expected = known.or_else(|| tcpdump_count(&bytes));
        assert_eq!(Some(frames(Source::File(path.clone()))), expected, "{}", path.display());
        let stream = Source::Stream(path.clone(), Box::new(std::io::Cursor::new(bytes)));
        assert_eq!(Some(frames(stream)), expected, "{} as a stream", path.display());
    }
}
