//! Captures come in through every door the same: files, pipes, memory, compressed; whole, cut short or damaged.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::io::{self, Cursor, Read, Write};
use std::path::PathBuf;
use std::process::Stdio;

use common::{Got, Sample, captures, drain, gzip, pcap, pcapng, read, sample_strategy, samples};
use proptest::prelude::*;
use weir_tap::{
    Captures, Endian, ErrorKind, Flaw, FrameBatch, MAX_FRAMES, Options, Precision, Source, TapError,
};
use weir_wire::LinkType;

fn memory(bytes: Vec<u8>) -> Source {
    Source::Memory(PathBuf::from("memory"), bytes)
}

fn stream(bytes: Vec<u8>) -> Source {
    Source::Stream(PathBuf::from("stream"), Box::new(Cursor::new(bytes)))
}

/// A reader that gives a few bytes at a time, as a slow writer does.
struct Trickle(Cursor<Vec<u8>>, usize);

impl Read for Trickle {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let n = to.len().min(self.1);
        self.0.read(&mut to[..n])
    }
}

/// A reader that fails after its data.
struct Failing(Cursor<Vec<u8>>);

impl Read for Failing {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self.0.read(to)? {
            0 if !to.is_empty() => Err(io::Error::other("the disk is on fire")),
            n => Ok(n),
        }
    }
}

fn flaw(error: &TapError) -> Flaw {
    let TapError::Format { source, .. } = error else { panic!("{error:?}") };
    *source
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_written_is_read_back_through_every_door(
        frames in sample_strategy(),
        big: bool,
        nanos: bool,
        step in 1usize..200,
    ) {
        let endian = if big { Endian::Big } else { Endian::Little };
        let precision = if nanos { Precision::Nanos } else { Precision::Micros };
        let frames: Vec<Sample> = frames.into_iter().map(|f| f.in_precision(precision)).collect();
        for bytes in [pcap(&frames, precision, endian), pcapng(&frames, precision, endian)] {
            let doors = [
                memory(bytes.clone()),
                stream(bytes.clone()),
                Source::Stream("trickle".into(), Box::new(Trickle(Cursor::new(bytes.clone()), step))),
                memory(gzip(&bytes)),
                stream(gzip(&bytes)),
                memory(zstd::bulk::compress(&bytes, 1)?),
                stream(zstd::bulk::compress(&bytes, 1)?),
            ];
            for door in doors {
                let got = read(vec![door]);
                prop_assert!(got.error.is_none(), "{:?}", got.error);
                prop_assert_eq!(&got.frames, &frames);
            }
        }
    }

    #[test]
    fn a_capture_cut_anywhere_gives_the_frames_before_the_cut_and_says_where_it_was(
        frames in sample_strategy(),
        cut: prop::sample::Index,
        ng: bool,
    ) {
        let write = if ng { pcapng } else { pcap };
        let whole = write(&frames, Precision::Nanos, Endian::Little);
        // Where each record begins and the last one ends: the lengths of captures with fewer frames.
        let ends: Vec<usize> =
            (0..=frames.len()).map(|n| write(&frames[..n], Precision::Nanos, Endian::Little).len()).collect();
        let cut = cut.index(whole.len());
        for door in [memory(whole[..cut].to_vec()), stream(whole[..cut].to_vec())] {
            let got = read(vec![door]);
            let complete = ends.iter().filter(|end| **end <= cut).count().saturating_sub(1);
            prop_assert_eq!(&got.frames, &frames[..complete]);
            match got.error {
                None => prop_assert!(ends.contains(&cut) || common::between_headers(&whole, cut)),
                Some(error) if cut < 4 => prop_assert_eq!(error.kind(), ErrorKind::NotACapture),
                Some(error) => {
                    prop_assert_eq!(error.kind(), ErrorKind::Truncated);
                    let at = error.offset() as usize;
                    let Flaw::Truncated { wanted, got, .. } = flaw(&error) else { panic!("{error:?}") };
                    prop_assert_eq!(at + got as usize, cut);
                    prop_assert!(wanted > got);
                    prop_assert!(cut < ends[0] || ends.contains(&at), "{} of {:?}", at, ends);
                }
            }
        }
    }

    #[test]
    fn no_damage_makes_the_reader_panic_or_run_on(
        frames in sample_strategy(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        ng: bool,
        compressed in 0..3,
    ) {
        let mut bytes = if ng { pcapng } else { pcap }(&frames, Precision::Micros, Endian::Big);
        if compressed == 0 {
            bytes = gzip(&bytes);
        }
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let whole = read(vec![memory(bytes.clone())]);
        let streamed = read(vec![stream(bytes.clone())]);
        prop_assert!(whole.frames.len() <= bytes.len() * 100);
        prop_assert_eq!(whole.frames, streamed.frames);
    }

    #[test]
    fn garbage_behind_a_magic_number_is_survived(
        magic in prop::sample::select(vec![
            &[0xd4, 0xc3, 0xb2, 0xa1][..], &[0xa1, 0xb2, 0x3c, 0x4d], &[0x0a, 0x0d, 0x0d, 0x0a], &[0x1f, 0x8b, 8],
            &[0x28, 0xb5, 0x2f, 0xfd], &[],
        ]),
        garbage: Vec<u8>,
    ) {
        let bytes = [magic, &garbage].concat();
        let _ = read(vec![memory(bytes.clone()), stream(bytes)]);
    }
}

#[test]
fn several_captures_are_one_stream_numbered_without_holes() {
    let frames = samples(2500);
    let parts = [
        memory(pcap(&frames[..1], Precision::Nanos, Endian::Big)),
        memory(pcap(&[], Precision::Micros, Endian::Little)),
        stream(gzip(&pcapng(&frames[1..1200], Precision::Nanos, Endian::Little))),
        stream(pcap(&frames[1200..], Precision::Nanos, Endian::Little)),
    ];
    let mut captures = captures(Vec::from(parts));
    let (mut batch, mut seen) = (FrameBatch::default(), 0);
    while captures.next_batch(&mut batch).unwrap() {
        assert!(!batch.is_empty() && batch.len() <= MAX_FRAMES);
        for frame in batch.iter() {
            assert_eq!(frame.sequence, seen as u64);
            assert_eq!(frame.data, frames[seen].data);
            seen += 1;
        }
    }
    assert_eq!((seen, captures.frames()), (2500, 2500));
}

#[test]
fn a_file_is_mapped_and_all_its_frames_are_in_one_block() {
    let frames = samples(3000);
    let file = common::file(&pcap(&frames, Precision::Nanos, Endian::Little));
    let mut captures = captures(vec![Source::File(file.path().into())]);
    let (mut batch, mut first) = (FrameBatch::default(), None);
    while captures.next_batch(&mut batch).unwrap() {
        let at = batch.block.bytes().as_ptr();
        assert_eq!(*first.get_or_insert(at), at);
    }
    let size = file.path().metadata().unwrap().len();
    let progress = captures.progress();
    assert_eq!((progress.done, progress.total), (size, Some(size)));
    let got = read(vec![Source::File(file.path().into())]);
    assert_eq!(got.frames, frames);
}

#[test]
fn blocks_that_are_kept_stay_as_they_were_while_reading_goes_on() {
    let frames = samples(20_000);
    let mut captures = captures(vec![stream(pcap(&frames, Precision::Nanos, Endian::Little))]);
    let (mut batch, mut kept) = (FrameBatch::default(), Vec::new());
    while captures.next_batch(&mut batch).unwrap() {
        kept.push(batch.clone());
    }
    let data: Vec<Vec<u8>> =
        kept.iter().flat_map(|b| b.iter().map(|f| f.data.to_vec()).collect::<Vec<_>>()).collect();
    assert!(data.iter().eq(frames.iter().map(|f| &f.data)));
}

#[test]
fn a_stream_whose_blocks_are_let_go_is_read_into_one_buffer() {
    let frames = samples(20_000);
    let mut captures = captures(vec![stream(pcap(&frames, Precision::Nanos, Endian::Little))]);
    let (mut batch, mut buffers) = (FrameBatch::default(), std::collections::HashSet::new());
    while captures.next_batch(&mut batch).unwrap() {
        buffers.insert(batch.block.bytes().as_ptr());
    }
    assert_eq!(buffers.len(), 1);
}

#[test]
fn frames_of_a_slow_writer_are_delivered_before_it_has_written_a_whole_block() {
    let frames = samples(2);
    let whole = pcap(&frames, Precision::Nanos, Endian::Little);
    let one = pcap(&frames[..1], Precision::Nanos, Endian::Little).len();
    let (reader, mut writer) = io::pipe().unwrap();
    let mut captures = captures(vec![Source::Stream("pipe".into(), Box::new(reader))]);
    let mut batch = FrameBatch::default();
    writer.write_all(&whole[..one + 3]).unwrap();
    assert!(captures.next_batch(&mut batch).unwrap());
    assert_eq!(batch.len(), 1);
    writer.write_all(&whole[one + 3..]).unwrap();
    assert!(captures.next_batch(&mut batch).unwrap());
    assert_eq!(batch.iter().next().unwrap().data, frames[1].data);
    drop(writer);
    assert!(!captures.next_batch(&mut batch).unwrap());
}

#[test]
fn standard_input_is_read_like_any_pipe() {
    const CHILD: &str = "WEIR_TAP_TEST_READS_STANDARD_INPUT";
    if std::env::var_os(CHILD).is_some() {
        let got = read(vec![Source::from_argument("-")]);
        println!("{} frames, {:?}", got.frames.len(), got.error.map(|e| e.to_string()));
        return;
    }
    // This test again, as another process.
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "standard_input_is_read_like_any_pipe", "--nocapture"]).env(CHILD, "1");
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut bytes = pcap(&samples(10_000), Precision::Nanos, Endian::Little);
    bytes.pop();
    child.stdin.take().unwrap().write_all(&gzip(&bytes)).unwrap();
    let output = child.wait_with_output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    assert!(output.contains("9999 frames, Some(\"standard input is damaged at byte "), "{output}");
}

#[test]
fn a_named_pipe_is_a_stream_and_its_size_is_not_known() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    if !std::process::Command::new("mkfifo").arg(&path).status().is_ok_and(|s| s.success()) {
        println!("skipped: no mkfifo");
        return;
    }
    let frames = samples(5000);
    let bytes = pcap(&frames, Precision::Nanos, Endian::Big);
    let mut captures = captures(vec![Source::File(path.clone())]);
    assert_eq!(captures.progress().total, None);
    let writer = std::thread::spawn(move || std::fs::write(path, bytes));
    let got = drain(&mut captures);
    writer.join().unwrap().unwrap();
    assert!(got.error.is_none());
    assert_eq!(got.frames, frames);
}

#[test]
fn frames_of_many_sections_and_interfaces_have_the_link_type_of_theirs() {
    let frames = samples(2);
    let mut bytes = Vec::new();
    for (endian, links) in [(Endian::Big, [1, 113]), (Endian::Little, [101, 276])] {
        let mut writer = weir_tap::write::PcapngWriter::new(&mut bytes, endian).unwrap();
        for link in links {
            let id = writer.interface(LinkType(link), Precision::Nanos).unwrap();
            writer.frame(id, frames[0].time, frames[0].wire_len, &frames[0].data).unwrap();
            writer.block(0x0bad, b"skipped").unwrap();
        }
    }
    let mut captures = captures(vec![stream(bytes)]);
    let mut batch = FrameBatch::default();
    assert!(captures.next_batch(&mut batch).unwrap());
    let links: Vec<_> = batch.iter().map(|f| f.link.0).collect();
    assert_eq!(links, [1, 113, 101, 276]);
}

#[test]
fn an_error_ends_one_capture_and_the_next_can_still_be_read() {
    let frames = samples(10);
    let mut cut = pcap(&frames[..6], Precision::Nanos, Endian::Little);
    cut.pop();
    let mut captures =
        captures(vec![stream(cut), memory(pcap(&frames[6..], Precision::Nanos, Endian::Little))]);
    let first = drain(&mut captures);
    assert_eq!(first.frames, frames[..5]);
    assert_eq!(first.error.unwrap().kind(), ErrorKind::Truncated);
    let rest = drain(&mut captures);
    assert_eq!(rest.frames, frames[6..]);
    assert!(rest.error.is_none());
}

#[test]
fn what_cannot_be_opened_is_known_before_the_first_frame() {
    let dir = tempfile::tempdir().unwrap();
    let good = common::file(&pcap(&samples(1), Precision::Nanos, Endian::Little));
    let open = |path: PathBuf| {
        let sources = vec![Source::File(good.path().into()), Source::File(path)];
        Captures::open(sources, Options::default()).err().unwrap()
    };
    let missing = open(dir.path().join("missing.pcap"));
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(missing.to_string().ends_with("missing.pcap"));
    assert_eq!(open(dir.path().into()).kind(), ErrorKind::Directory);
}

#[test]
fn what_is_no_capture_is_said_to_be_none() {
    let file = common::file(b"");
    let empty = read(vec![Source::File(file.path().into())]).error.unwrap();
    assert!(matches!(empty, TapError::Empty { .. }), "{empty:?}");
    for door in [memory(b"hello, world".to_vec()), stream(b"hello, world".to_vec())] {
        let error = read(vec![door]).error.unwrap();
        assert_eq!(error.kind(), ErrorKind::NotACapture);
        assert!(error.to_string().ends_with("is not a capture: it starts with 68 65 6c 6c"), "{error}");
    }
    for door in [memory(vec![0xd4, 0xc3]), stream(vec![0xd4, 0xc3]), stream(gzip(b"")), stream(Vec::new())] {
        assert_eq!(read(vec![door]).error.unwrap().kind(), ErrorKind::NotACapture);
    }
}

/// Found by the fuzz target `capture_reader`: the reader asked a full block for the bytes that it had.
#[test]
fn a_stream_without_end_that_is_no_capture_is_given_up_at_its_first_bytes() {
    for door in [
        Source::Stream("zeros".into(), Box::new(io::repeat(0))),
        Source::Stream("text".into(), Box::new(Cursor::new(b"no capture ".repeat(300_000)))),
        stream(zstd::bulk::compress(&vec![7; 3 << 20], 1).unwrap()),
    ] {
        let error = read(vec![door]).error.unwrap();
        assert_eq!(error.kind(), ErrorKind::NotACapture);
    }
}

#[test]
fn a_capture_with_a_header_and_no_frames_is_fine() {
    for bytes in [pcap(&[], Precision::Micros, Endian::Big), pcapng(&[], Precision::Micros, Endian::Big)] {
        for door in [memory(bytes.clone()), stream(bytes.clone()), stream(gzip(&bytes))] {
            let Got { frames, error } = read(vec![door]);
            assert!(frames.is_empty() && error.is_none(), "{error:?}");
        }
    }
}

#[test]
fn compressed_data_cut_short_give_their_frames_and_the_offset_in_the_capture() {
    let frames = samples(4000);
    let bytes = pcap(&frames, Precision::Nanos, Endian::Little);
    for mut packed in [gzip(&bytes), zstd::bulk::compress(&bytes, 1).unwrap()] {
        packed.truncate(packed.len() / 2);
        for door in [memory(packed.clone()), stream(packed.clone())] {
            let Got { frames: got, error } = read(vec![door]);
            let error = error.unwrap();
            assert!(matches!(error, TapError::Compressed { .. }), "{error:?}");
            assert_eq!(error.kind(), ErrorKind::Truncated);
            assert_eq!(got, frames[..got.len()]);
            assert!(error.offset() as usize <= bytes.len() && error.offset() > 1000);
            let before = pcap(&got, Precision::Nanos, Endian::Little).len();
            assert!(error.offset() as usize >= before, "all frames before the cut are delivered");
            assert!(!got.is_empty());
        }
    }
}

#[test]
fn damage_in_compressed_data_is_told_from_their_early_end() {
    let bytes = pcap(&samples(4000), Precision::Nanos, Endian::Little);
    let mut packed = gzip(&bytes);
    let crc = packed.len() - 8;
    packed[crc] ^= 1;
    let Got { frames, error } = read(vec![stream(packed)]);
    assert_eq!(error.unwrap().kind(), ErrorKind::Damaged);
    assert_eq!(frames.len(), 4000, "all frames came before the checksum");
}

#[test]
fn a_capture_of_several_gzip_members_or_zstandard_frames_is_read_to_its_end() {
    let frames = samples(100);
    let bytes = pcap(&frames, Precision::Nanos, Endian::Little);
    let (a, b) = bytes.split_at(777);
    let compress = |part: &[u8]| zstd::bulk::compress(part, 1).unwrap();
    for packed in [[gzip(a), gzip(b)].concat(), [compress(a), compress(b)].concat()] {
        assert_eq!(read(vec![stream(packed)]).frames, frames);
    }
}

#[test]
fn a_reader_that_fails_is_an_error_after_the_frames_that_came_before() {
    let frames = samples(100);
    let bytes = pcap(&frames, Precision::Nanos, Endian::Little);
    let len = bytes.len() as u64;
    let failing = Source::Stream("burning".into(), Box::new(Failing(Cursor::new(bytes))));
    let Got { frames: got, error } = read(vec![failing]);
    assert_eq!(got, frames);
    let error = error.unwrap();
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Io, len));
}

#[test]
fn the_obsolete_and_the_longest_records_cross_block_boundaries() {
    let mut frames = samples(9);
    for (i, frame) in frames.iter_mut().enumerate() {
        frame.data = vec![i as u8; 262_144];
        frame.wire_len = 262_144;
    }
    for write in [pcap, pcapng] {
        let bytes = write(&frames, Precision::Nanos, Endian::Little);
        assert_eq!(read(vec![stream(bytes)]).frames, frames);
    }
}

#[test]
fn nanoseconds_are_kept_when_asked_for_and_cut_to_what_zeek_sees_otherwise() {
    let mut frame = samples(1).remove(0);
    frame.time = weir_wire::Time(1_681_280_715_783_285_526);
    let bytes = pcapng(&[frame], Precision::Nanos, Endian::Little);
    let time = |precision| {
        let options = Options { precision, ..Options::default() };
        let mut captures = Captures::open(vec![memory(bytes.clone())], options).unwrap();
        let mut batch = FrameBatch::default();
        captures.next_batch(&mut batch).unwrap();
        batch.frames[0].time.0
    };
    assert_eq!(time(Precision::Nanos), 1_681_280_715_783_285_526);
    assert_eq!(time(Precision::Micros), 1_681_280_715_783_285_000);
}
