//! Tests of the file operations.

use weir_record::{Entry, Files as Record};
use weir_wire::{Address, ConnId, UidKey};

use super::*;
use crate::context::{Connection, Transport, Verdict};
use crate::detect::Expected;

struct Bench {
    files: Files,
    config: Config,
    connection: Connection,
    now: Time,
    out: Entries,
}

fn connection(port: u16) -> Connection {
    let id = ConnId {
        orig_h: Address::v4([10, 0, 0, 1]),
        orig_p: port,
        resp_h: Address::v4([8, 8, 8, 8]),
        resp_p: 80,
    };
    let uid = UidKey::default().of(&[&port.to_be_bytes()]);
    Connection::new(uid, id, Transport::Tcp, Time(0), false)
}

fn info(name: Option<&'static str>) -> FileInfo {
    FileInfo { source: "HTTP", depth: 0, filename: name.map(Text::from), sender: Side::Resp }
}

impl Bench {
    fn new() -> Self {
        Self {
            files: Files::new(),
            config: Config::default(),
            connection: connection(4000),
            now: Time::from_parts(1000, 0),
            out: Entries::default(),
        }
    }

    fn with<T>(&mut self, what: impl FnOnce(&mut Context<'_>, FileHandle) -> T) -> T {
        let key = UidKey::default();
        let mut expected = Expected::default();
        let mut cx = Context {
            now: self.now,
            connection: &mut self.connection,
            files: &mut self.files,
            expected: &mut expected,
            out: &mut self.out,
            config: &self.config,
            key: &key,
            verdict: Verdict::default(),
        };
        let handle = cx.file_handle(&[b"a file"]);
        what(&mut cx, handle)
    }

    fn opened() -> Self {
        let mut bench = Self::new();
        bench.with(|cx, file| cx.file_open(file, info(None)));
        bench
    }

    fn wait(&mut self, seconds: i64) {
        self.now = self.now + Interval::from_secs(seconds);
    }

    fn records(&mut self) -> Vec<Record> {
        let record = |entry| if let Entry::Files(record) = entry { Some(*record) } else { None };
        self.out.drain().filter_map(|ordered| record(ordered.entry)).collect()
    }

    fn record(&mut self) -> Record {
        let mut records = self.records();
        assert_eq!(records.len(), 1);
        records.remove(0)
    }
}

#[test]
fn a_file_is_logged_when_its_carrier_ends_it() {
    let mut bench = Bench::opened();
    bench.with(|cx, file| cx.file_data(file, b"Hello, "));
    bench.wait(2);
    bench.with(|cx, file| cx.file_data(file, b"world."));
    assert!(bench.records().is_empty());
    bench.wait(1);
    bench.with(|cx, file| {
        cx.file_end(file);
        assert_eq!(cx.file_mime(file), Some("text/plain"));
    });
    let record = bench.record();
    assert_eq!((record.seen_bytes, record.total_bytes, record.missing_bytes), (13, None, 0));
    assert_eq!(record.duration, Interval::from_secs(2));
    assert_eq!((record.is_orig, record.local_orig), (Some(false), Some(false)));
    assert_eq!(record.mime_type, Some("text/plain".into()));
    assert!(!record.timedout);
}

#[test]
fn a_file_is_logged_when_as_many_bytes_as_announced_were_seen() {
    let mut bench = Bench::opened();
    bench.with(|cx, file| {
        cx.file_size(file, 6);
        cx.file_data(file, b"GIF89a");
        assert_eq!(cx.file_mime(file), Some("image/gif"));
        cx.file_end(file);
    });
    let record = bench.record();
    assert_eq!((record.seen_bytes, record.total_bytes), (6, Some(6)));
}

#[test]
fn the_type_is_told_as_soon_as_the_beginning_is_complete() {
    let mut bench = Bench::opened();
    bench.with(|cx, file| {
        cx.file_data(file, &[b'a'; 4095]);
        assert_eq!(cx.file_mime(file), None);
        cx.file_data(file, b"a");
        assert_eq!(cx.file_mime(file), Some("text/plain"));
    });
}

#[test]
fn the_type_is_told_by_what_precedes_a_gap_and_not_at_all_without_a_beginning() {
    let mut bench = Bench::opened();
    bench.with(|cx, file| {
        cx.file_data(file, b"0123456789");
        cx.file_gap(file, 100);
        assert_eq!(cx.file_mime(file), Some("text/plain"));
        cx.file_end(file);
        cx.file_open(file, info(None));
        cx.file_gap(file, 5);
        cx.file_data(file, b"0123456789");
        cx.file_end(file);
    });
    let records = bench.records();
    assert_eq!(records.len(), 2);
    assert_eq!((records[0].seen_bytes, records[0].missing_bytes), (10, 100));
    assert_eq!(records[1].mime_type, None);
}

#[test]
fn parts_out_of_order_are_put_in_order_and_known_bytes_count_once() {
    let mut bench = Bench::opened();
    bench.with(|cx, file| {
        cx.file_size(file, 12);
        cx.file_data_at(file, 8, b"world");
        cx.file_data_at(file, 4, b"o, wo");
        cx.file_data_at(file, 0, b"Hell");
    });
    let record = bench.record();
    assert_eq!((record.seen_bytes, record.missing_bytes), (13, 0));
    assert_eq!(record.mime_type, Some("text/plain".into()));
}

#[test]
fn holes_that_stay_are_missing() {
    let mut bench = Bench::opened();
    bench.with(|cx, file| {
        cx.file_data_at(file, 0, b"0123456789");
        cx.file_data_at(file, 20, b"0123456789");
        cx.file_end(file);
    });
    let record = bench.record();
    assert_eq!((record.seen_bytes, record.missing_bytes, record.overflow_bytes), (20, 10, 0));
}

#[test]
fn what_is_held_is_bounded_and_the_hole_before_it_overflows() {
    let mut bench = Bench::opened();
    bench.config.file.max_held = 100;
    bench.with(|cx, file| {
        cx.file_data_at(file, 10, &[1; 60]);
        cx.file_data_at(file, 100, &[1; 60]);
        cx.file_end(file);
    });
    let record = bench.record();
    assert_eq!((record.seen_bytes, record.missing_bytes, record.overflow_bytes), (120, 40, 10));
    assert_eq!(bench.files.held, 0);
}

#[test]
fn a_file_in_two_connections_has_two_records() {
    let mut bench = Bench::opened();
    let first = bench.connection.uid;
    bench.with(|cx, file| cx.file_data_at(file, 0, b"0123456789"));
    bench.connection = connection(4001);
    bench.with(|cx, file| {
        assert!(cx.file_is_new(file));
        cx.file_open(file, info(Some("name.txt")));
        assert!(!cx.file_is_new(file));
        cx.file_data_at(file, 10, b"0123456789");
        cx.file_end(file);
    });
    let records = bench.records();
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].uid.map(|uid| uid.0), Some(first));
    assert_eq!(records[1].id.orig_p, 4001);
    assert!(records.iter().all(|r| r.seen_bytes == 20 && r.filename == Some("name.txt".into())));
}

#[test]
fn a_file_without_progress_is_given_up_and_later_bytes_are_another() {
    let mut bench = Bench::opened();
    bench.with(|cx, file| cx.file_data(file, b"0123456789"));
    bench.wait(119);
    bench.files.advance(bench.now, &mut bench.out, &bench.config);
    assert!(bench.records().is_empty());
    bench.wait(1);
    bench.with(|cx, file| cx.file_open(file, info(None)));
    let record = bench.record();
    assert!(record.timedout);
    assert_eq!(record.mime_type, Some("text/plain".into()));
    bench.wait(500);
    bench.files.advance(bench.now, &mut bench.out, &bench.config);
    assert_eq!(bench.record().seen_bytes, 0);
}

#[test]
fn progress_is_looked_at_once_per_timeout_however_often_time_advances() {
    for step in [1, 60, 239] {
        let mut bench = Bench::opened();
        bench.wait(1);
        bench.with(|cx, file| cx.file_data(file, b"a"));
        for _ in 0..(238 / step) {
            bench.wait(step);
            bench.files.advance(bench.now, &mut bench.out, &bench.config);
        }
        // Idle for more than 120 s, but the second look is at 240 s.
        assert!(bench.records().is_empty());
        bench.now = Time::from_parts(1240, 0);
        bench.files.advance(bench.now, &mut bench.out, &bench.config);
        assert!(bench.record().timedout);
    }
}

#[test]
fn files_that_are_open_at_the_end_are_given_up() {
    let mut bench = Bench::opened();
    bench.with(|cx, file| cx.file_data(file, b"a"));
    bench.files.finish(bench.now, &mut bench.out);
    assert!(bench.record().timedout);
}

#[test]
fn files_beyond_the_bound_stay_unknown() {
    let mut bench = Bench::opened();
    bench.config.file.max_files = 1;
    bench.with(|cx, _| {
        let other = cx.file_handle(&[b"another"]);
        cx.file_open(other, info(None));
        cx.file_data(other, b"0123456789");
        cx.file_end(other);
    });
    assert!(bench.records().is_empty());
}

proptest::proptest! {
    #[test]
    fn every_byte_of_a_file_is_seen_once_in_whatever_order_its_parts_come(
        cuts in proptest::collection::vec((0u64..3000, 1usize..400), 0..40),
    ) {
        let whole: Vec<u8> = (0..3400usize).map(|n| b'a' + u8::try_from(n % 26).unwrap_or(0)).collect();
        let mut bench = Bench::opened();
        bench.config.file.beginning = 1 << 20;
        bench.with(|cx, file| {
            for (at, len) in cuts {
                let from = usize::try_from(at).unwrap_or(0);
                cx.file_data_at(file, at, &whole[from..from + len]);
            }
            cx.file_data_at(file, 0, &whole);
            cx.file_end(file);
        });
        let record = bench.record();
        proptest::prop_assert_eq!((record.seen_bytes, record.missing_bytes), (3400, 0));
        proptest::prop_assert_eq!(bench.files.held, 0);
    }

    #[test]
    fn no_order_of_events_breaks_the_account_of_held_bytes(
        events in proptest::collection::vec((0u8..6, proptest::num::u64::ANY, 0usize..300), 0..60),
    ) {
        let mut bench = Bench::opened();
        bench.config.file.max_held = 500;
        let bytes = [b'x'; 300];
        for (kind, number, len) in events {
            let near = number % 2000;
            bench.with(|cx, file| match kind {
                0 => cx.file_data(file, &bytes[..len]),
                1 => cx.file_data_at(file, near, &bytes[..len]),
                2 => cx.file_data_at(file, number, &bytes[..len]),
                3 => cx.file_gap(file, if len % 7 == 0 { number } else { near }),
                4 => cx.file_size(file, near),
                _ => {
                    cx.file_open(file, info(None));
                }
            });
            proptest::prop_assert!(bench.files.held <= 500);
        }
        bench.files.finish(bench.now, &mut bench.out);
        proptest::prop_assert_eq!(bench.files.held, 0);
    }
}
