//! The filters of N workers: every frame of every capture is taken by exactly one, and both directions by the same. Skipped, with
//! a word, where libpcap or the corpus is missing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use weir_spread::filter_expression;
use weir_tap::{Captures, Filter, FilterError, FrameBatch, Options, Source};
use weir_wire::{Frame, LinkType, Offload, Time};

fn weir(arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_weir")).arg("filter").args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

/// The filters of `workers`; none where libpcap is missing.
fn filters(workers: u32, home: u32) -> Option<Vec<Filter>> {
    let made = (0..workers).map(|i| Filter::new(&filter_expression(i, workers, home)));
    match made.collect() {
        Err(FilterError::Library(why)) => {
            eprintln!("skipped: {why}");
            None
        }
        made => Some(made.unwrap()),
    }
}

/// Who takes a frame.
fn takers(filters: &mut [Filter], frame: &Frame<'_>) -> Vec<usize> {
    let taken = filters.iter_mut().map(|filter| filter.matches(frame).unwrap());
    taken.enumerate().filter(|(_, takes)| *takes).map(|(i, _)| i).collect()
}

fn captures_below(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { captures_below(&path, found) } else { found.push(path) }
    }
}

#[test]
fn every_frame_is_taken_by_exactly_one_and_both_directions_by_the_same() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = here.ancestors().map(|dir| dir.join("shared/corpus/zeek/traces")).find(|dir| dir.is_dir());
    let Some(corpus) = corpus else {
        eprintln!("skipped: there is no corpus");
        return;
    };
    let Some(mut filters) = filters(5, 2) else { return };
    let mut captures = Vec::new();
    captures_below(&corpus, &mut captures);
    let mut counts = [0u32; 5];
    for path in captures {
        let Ok(mut captures) = Captures::open(vec![Source::File(path.clone())], Options::default()) else {
            continue;
        };
        // Of each pair of untagged IPv4 hosts, who takes its frames.
        let mut pairs: HashMap<[Vec<u8>; 2], usize> = HashMap::new();
        let mut batch = FrameBatch::default();
        while captures.next_batch(&mut batch).unwrap_or(false) {
            // A frame of which the capture has less than its addresses cannot be given to anyone.
            for frame in batch
                .iter()
                .filter(|f| f.link == LinkType::ETHERNET && f.data.len() >= 62.min(f.wire_len as usize))
            {
                let takers = takers(&mut filters, &frame);
                assert_eq!(takers.len(), 1, "{takers:?} take frame {} of {}", frame.sequence, path.display());
                counts[takers[0]] += 1;
                if frame.data.len() >= 34 && frame.data[12..14] == [8, 0] {
                    let mut pair = [frame.data[26..30].to_vec(), frame.data[30..34].to_vec()];
                    pair.sort();
                    assert_eq!(*pairs.entry(pair).or_insert(takers[0]), takers[0], "{}", path.display());
                }
            }
        }
    }
    println!("frames of each worker: {counts:?}");
    assert!(counts.iter().all(|n| *n > 1_000), "{counts:?}");
}

#[test]
fn tags_are_passed_and_what_has_no_addresses_is_at_home() {
    let Some(mut filters) = filters(3, 1) else { return };
    let mut taker = |bytes: &[u8]| {
        let frame = Frame {
            time: Time(0),
            tap: 0,
            sequence: 0,
            link: LinkType::ETHERNET,
            wire_len: bytes.len() as u32,
            offload: Offload::default(),
            data: bytes,
        };
        let takers = takers(&mut filters, &frame);
        assert_eq!(takers.len(), 1, "{bytes:x?}");
        takers[0]
    };
    let packet = |a: u8, b: u8| {
        [&[0x45, 0, 0x81, 0, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, a, 10, 0, 0, b][..], &[0; 20]].concat()
    };
    let v6 = |a: u8, b: u8| {
        [&[0x60, 0, 0x81, 0, 0, 20, 6, 64][..], &[0; 15], &[a], &[0; 15], &[b], &[0; 20]].concat()
    };
    let tags: [&[u8]; 4] = [
        &[],
        &[0x81, 0, 0, 5],
        &[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6],
        &[0x91, 0, 0, 5, 0x81, 0, 0, 6, 0x81, 0, 0, 7],
    ];
    for (depth, tags) in tags.iter().enumerate() {
        let frame = |kind: [u8; 2], payload: &[u8]| [&[2; 12][..], tags, &kind, payload].concat();
        for (a, b) in [(1, 2), (2, 1), (1, 4), (9, 1), (7, 7)] {
            let expected = if depth < 3 { usize::from(a + b) % 3 } else { 1 };
            assert_eq!(taker(&frame([8, 0], &packet(a, b))), expected);
            assert_eq!(taker(&frame([0x86, 0xdd], &v6(a, b))), expected);
        }
        assert_eq!(taker(&frame([8, 6], &[0; 28])), 1);
        assert_eq!(taker(&frame([8, 0], &packet(1, 1)[..19])), 1);
        assert_eq!(taker(&frame([0x86, 0xdd], &v6(1, 1)[..39])), 1);
    }
}

#[test]
fn the_command_prints_text_that_tcpdump_takes_and_its_code() {
    let (ok, text, _) = weir(&["1/3", "--home", "1"]);
    assert!(ok && text == filter_expression(1, 3, 1) + "\n");
    let (ok, code, error) = weir(&["1/3", "-ddd"]);
    if error.contains("libpcap") {
        eprintln!("skipped: {error}");
        return;
    }
    assert!(ok, "{error}");
    let (first, _) = code.split_once('\n').unwrap();
    assert_eq!(first.parse::<usize>().unwrap(), code.lines().count() - 1);
    if let Ok(tcpdump) = Command::new("tcpdump").args(["-y", "EN10MB", "-ddd", text.trim()]).output() {
        let own = weir(&["1/3", "--home", "1", "-ddd"]).1;
        assert_eq!(
            String::from_utf8_lossy(&tcpdump.stdout),
            own,
            "{}",
            String::from_utf8_lossy(&tcpdump.stderr)
        );
    }
    let (ok, listing, _) = weir(&["1/3", "--inner", "-d"]);
    assert!(ok && listing.starts_with("(000) ld"), "{listing}");
    for (wrong, why) in [(vec!["3/3"], "the last of 3 is 2"), (vec!["0/3", "--home", "3"], "the last is 2")] {
        let (ok, _, error) = weir(&wrong);
        assert!(!ok && error.contains(why), "{error}");
    }
}
