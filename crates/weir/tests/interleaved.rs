//! Whatever the order in which packets of many conversations come, repeated, lost or out of order: the records are the same
//! on any number of lanes, uids included, and the ledger balances; and streams that are whole give the same records however
//! they are cut into segments.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod craft;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use craft::Trace;
use craft::tcp::Talk;
use proptest::prelude::*;
use tempfile::TempDir;

/// The sorted records of each log, and the ledger.
fn records(home: &Path, lanes: &str) -> (BTreeMap<String, Vec<String>>, String) {
    let (logs, ledger) = (home.join(format!("logs{lanes}")), home.join(format!("{lanes}.json")));
    let output = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["read", "-q", "-w", lanes, "-l"])
        .arg(&logs)
        .arg("--ledger")
        .arg(&ledger)
        .arg(home.join("capture.pcap"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(&logs).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let mut lines: Vec<String> =
            text.lines().filter(|l| !l.starts_with('#')).map(str::to_owned).collect();
        lines.sort_unstable();
        all.insert(path.file_name().unwrap().to_string_lossy().into_owned(), lines);
    }
    (all, fs::read_to_string(ledger).unwrap())
}

/// A generator that gives the same numbers for the same seed (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % bound.max(1) as u64) as usize
    }
}

/// All golden captures of Ethernet at once, their frames drawn in a random order that keeps that of each capture but for some
/// that are repeated, lost or late.
fn interleaved(seed: u64) -> Trace {
    let mut numbers = Numbers(seed);
    let traces =
        craft::captures::all().into_iter().filter(|(name, _)| *name != "links" && !name.contains("mixed"));
    let mut queues: Vec<_> = traces
        .map(|(_, trace)| trace.frames.into_iter().collect::<std::collections::VecDeque<_>>())
        .collect();
    let mut all = Trace::default();
    while let Some(which) = (!queues.is_empty()).then(|| numbers.below(queues.len())) {
        let queue = &mut queues[which];
        match queue.pop_front() {
            None => drop(queues.swap_remove(which)),
            Some((_, _, frame)) => match numbers.below(20) {
                0 => {}
                1 => (0..2).for_each(|_| all.ethernet(&frame)),
                2 => {
                    let at = numbers.below(queue.len().min(3) + 1);
                    queue.insert(at, (0, weir_wire::LinkType::ETHERNET, frame));
                }
                _ => all.ethernet(&frame),
            },
        }
    }
    all
}

const REQUEST: &[u8] = b"GET /file HTTP/1.1\r\nHost: www.example.test\r\nUser-Agent: weir-test\r\n\r\n";

fn reply() -> Vec<u8> {
    let body: Vec<u8> = (0..3000u32).map(|i| (i * 7 % 251) as u8).collect();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-test\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

/// One request and its reply, the reply in segments of all sizes, some sent twice or in other pieces, and up to four of them out of
/// order.
fn cut(seed: u64, most: usize) -> Trace {
    let (mut numbers, reply) = (Numbers(seed), reply());
    let mut talk = Talk::at(2, [40_000, 80], [u32::MAX - 30, u32::MAX - 700]);
    talk.handshake();
    talk.say(0, REQUEST);
    let (begin, mut at) = (talk.next[1], 0);
    let from = talk.packets.len();
    while at < reply.len() {
        let end = reply.len().min(at + 1 + numbers.below(most));
        let start = at.saturating_sub(if numbers.below(4) == 0 { numbers.below(200) } else { 0 });
        for _ in 0..=usize::from(numbers.below(5) == 0) {
            talk.raw(1, begin.wrapping_add(start as u32), craft::tcp::ACK, &reply[start..end]);
        }
        at = end;
    }
    for i in from..talk.packets.len() {
        let other = i + numbers.below(4);
        if other < talk.packets.len() {
            talk.packets.swap(i, other);
        }
    }
    talk.next[1] = begin.wrapping_add(reply.len() as u32);
    talk.flags(0, craft::tcp::ACK);
    let mut trace = Trace::default();
    trace.all(talk.close());
    // When what came is not what is compared.
    trace.frames.iter_mut().for_each(|frame| frame.0 = 0);
    trace
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn records_are_the_same_on_any_number_of_lanes(seed: u64) {
        let home = TempDir::new().unwrap();
        fs::write(home.path().join("capture.pcap"), interleaved(seed).capture()).unwrap();
        let one = records(home.path(), "1");
        prop_assert!(one.0["conn.log"].len() > 50);
        for lanes in ["2", "3", "7"] {
            let (logs, ledger) = records(home.path(), lanes);
            prop_assert_eq!(&logs, &one.0, "{} lanes", lanes);
            prop_assert_eq!(&ledger, &one.1, "{} lanes", lanes);
        }
    }

    #[test]
    fn a_stream_gives_the_same_records_however_it_is_cut(seed: u64, most in prop::sample::select(vec![1usize, 7, 100, 1460])) {
        let home = TempDir::new().unwrap();
        fs::write(home.path().join("capture.pcap"), cut(seed, most.max(20)).capture()).unwrap();
        let (cut_up, _) = records(home.path(), "1");
        let whole = TempDir::new().unwrap();
        fs::write(whole.path().join("capture.pcap"), cut(0, 1 << 16).capture()).unwrap();
        let (whole, _) = records(whole.path(), "1");
        for log in ["http.log", "files.log"] {
            prop_assert_eq!(&cut_up[log], &whole[log], "{}", log);
        }
        prop_assert!(!cut_up.contains_key("weird.log"), "{:?}", cut_up["weird.log"]);
    }
}
