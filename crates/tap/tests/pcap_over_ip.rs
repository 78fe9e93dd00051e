//! Streams of captures over TCP, as senders and attackers make them, over loopback.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, reason = "tests")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use weir_ledger::Reason;
use weir_tap::pcap_over_ip::{Ending, Endpoint, PcapOverIp, PcapOverIpOptions};
use weir_tap::write::{PcapWriter, PcapngWriter};
use weir_tap::{Endian, FrameBatch, LiveSource, Precision, Received};
use weir_wire::{LinkType, Time};

fn listen(change: impl FnOnce(&mut PcapOverIpOptions)) -> PcapOverIp {
    let mut options = PcapOverIpOptions::new("tcp://127.0.0.1:0?listen".parse().unwrap());
    change(&mut options);
    PcapOverIp::open(options).unwrap()
}

fn connect(source: &PcapOverIp) -> TcpStream {
    let stream = TcpStream::connect(source.local_address().unwrap()).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn pcap(precision: Precision, endian: Endian, frames: &[&[u8]]) -> Vec<u8> {
    let mut writer = PcapWriter::new(Vec::new(), LinkType::ETHERNET, precision, endian).unwrap();
    for (i, data) in frames.iter().enumerate() {
        writer.frame(Time::from_parts(i as i64, 1_001), data.len() as u32, data).unwrap();
    }
    writer.into_inner()
}

/// A frame: its tap, its time, its bytes.
type Got = (u16, i64, Vec<u8>);

/// What comes until there are `n` frames, or nothing more within a second.
fn take(source: &mut PcapOverIp, n: usize) -> Vec<Got> {
    let (mut batch, mut got) = (FrameBatch::default(), Vec::new());
    while got.len() < n {
        match source.receive(&mut batch, Duration::from_secs(1)).unwrap() {
            Received::Frames => got.extend(batch.iter().map(|f| (f.tap, f.time.0, f.data.to_vec()))),
            Received::Idle => break,
            Received::Ended => unreachable!("there may always be another sender"),
        }
    }
    assert!(source.account().balances());
    got
}

/// Serves the source until `done` says so.
fn serve_until(source: &mut PcapOverIp, done: impl Fn(&PcapOverIp) -> bool) -> Vec<Got> {
    let (mut batch, mut got) = (FrameBatch::default(), Vec::new());
    let end = Instant::now() + Duration::from_secs(10);
    while !done(source) {
        assert!(Instant::now() < end, "{:?}", source.counts());
        source.receive(&mut batch, Duration::from_millis(5)).unwrap();
        got.extend(batch.iter().map(|f| (f.tap, f.time.0, f.data.to_vec())));
    }
    assert!(source.account().balances());
    got
}

#[test]
fn every_sender_has_a_tap_of_its_own_and_any_format() {
    let mut source = listen(|o| (o.first_tap, o.precision) = (10, Precision::Nanos));
    let mut ng = PcapngWriter::new(Vec::new(), Endian::Big).unwrap();
    let id = ng.interface(LinkType::ETHERNET, Precision::Nanos).unwrap();
    ng.frame(id, Time(5), 1, b"n").unwrap();
    let streams = [
        pcap(Precision::Micros, Endian::Little, &[b"a"]),
        pcap(Precision::Nanos, Endian::Big, &[b"b"]),
        ng.into_inner(),
    ];
    let mut lines = Vec::new();
    for (i, stream) in streams.iter().enumerate() {
        let mut line = connect(&source);
        line.write_all(stream).unwrap();
        let got = take(&mut source, 1);
        let time = [1_000, 1_001, 5][i];
        assert_eq!(got, [(10 + i as u16, time, vec![b"abn"[i]])]);
        lines.push(line);
    }
    let taps: Vec<_> = source.taps().map(|(tap, name)| (tap, name.to_owned())).collect();
    for (line, (tap, name)) in lines.iter().zip(&taps) {
        let peer = line.local_addr().unwrap();
        assert!(name.ends_with(&format!("({peer})")), "{tap} {name}");
    }
    assert_eq!(source.counts().connected, 3);
    assert_eq!(source.account().passed.frames, 3);
}

#[test]
fn a_sender_that_pauses_within_a_record_does_not_hold_back_the_frames_before() {
    let mut source = listen(|_| {});
    let stream = pcap(Precision::Micros, Endian::Little, &[b"first", b"second"]);
    let mut line = connect(&source);
    line.write_all(&stream[..stream.len() - 1]).unwrap();
    assert_eq!(take(&mut source, 1).len(), 1);
    let began = Instant::now();
    assert_eq!(
        source.receive(&mut FrameBatch::default(), Duration::from_millis(50)).unwrap(),
        Received::Idle
    );
    assert!(began.elapsed() >= Duration::from_millis(50), "it waits, and does not spin");
    line.write_all(&stream[stream.len() - 1..]).unwrap();
    assert_eq!(take(&mut source, 1)[0].2, b"second");
}

#[test]
fn more_frames_than_a_batch_holds_all_come_and_the_descriptor_tells_of_them() {
    let mut source = listen(|_| {});
    let frames: Vec<_> = (0..5_000u32).map(u32::to_be_bytes).collect();
    let frames: Vec<&[u8]> = frames.iter().map(|f| &f[..]).collect();
    let mut line = connect(&source);
    line.write_all(&pcap(Precision::Micros, Endian::Little, &frames)).unwrap();
    let mut got = Vec::new();
    while got.len() < frames.len() {
        let mut wait = [nix::poll::PollFd::new(source.descriptor().unwrap(), nix::poll::PollFlags::POLLIN)];
        assert_eq!(nix::poll::poll(&mut wait, 1_000u16), Ok(1), "after {}", got.len());
        let mut batch = FrameBatch::default();
        source.receive(&mut batch, Duration::ZERO).unwrap();
        got.extend(batch.iter().map(|f| f.data.to_vec()));
    }
    assert!(got.iter().zip(&frames).all(|(got, sent)| got == sent));
    assert_eq!(source.account().passed.frames, 5_000);
}

#[test]
fn garbage_is_closed_and_counted_and_others_are_not_disturbed() {
    let mut source = listen(|_| {});
    let stream = pcap(Precision::Micros, Endian::Little, &[b"one", b"two"]);
    let mut honest = connect(&source);
    honest.write_all(&stream[..stream.len() - 10]).unwrap();
    assert_eq!(take(&mut source, 1).len(), 1);

    let endless = [&b"\n\r\r\n\xff\xff\xff\x7f\x4d\x3c\x2b\x1a"[..], &[0; 1000]].concat();
    let damaged = [&stream[..], &[0xff; 100]].concat();
    let garbage: [&[u8]; 4] = [b"GET / HTTP/1.1\r\n\r\n", &vec![0x77; 70_000], &endless, &damaged];
    let mut bytes = Vec::new();
    for (i, garbage) in garbage.iter().enumerate() {
        let mut line = connect(&source);
        let _ = line.write_all(garbage);
        bytes.extend(serve_until(&mut source, |s| s.counts().damaged == i as u64 + 1));
        line.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        assert!(matches!(line.read(&mut [0]), Ok(0) | Err(_)), "closed");
    }
    assert_eq!(bytes.len(), 2, "the frames before the damage were taken");
    // A port scanner connects and goes; another goes in the middle of the header.
    drop(connect(&source));
    serve_until(&mut source, |s| s.counts().ended == 1);
    connect(&source).write_all(&stream[..10]).unwrap();
    serve_until(&mut source, |s| s.counts().cut == 1);

    honest.write_all(&stream[stream.len() - 10..]).unwrap();
    assert_eq!(take(&mut source, 1)[0].2, b"two");
    let counts = source.counts();
    assert_eq!((counts.accepted, counts.connected), (7, 1));
    assert_eq!(source.account().dropped(Reason::StreamDamaged).frames, 4);
    assert_eq!(source.account().dropped(Reason::StreamCut).bytes, 10);
    let told: Vec<_> = source.farewells().map(|f| f.why.to_string()).collect();
    assert_eq!(told[0], "closed: it is no capture: it starts with 47 45 54 20");
    assert_eq!(told.len(), 6);
}

#[test]
fn slow_and_silent_senders_have_their_time_and_no_more() {
    let mut source = listen(|o| {
        o.times.header = Duration::from_millis(150);
        o.times.record = Duration::from_millis(150);
        o.times.silence = Some(Duration::from_millis(900));
    });
    let stream = pcap(Precision::Micros, Endian::Little, &[b"one"]);
    let (_mute, mut slow, mut quiet) = (connect(&source), connect(&source), connect(&source));
    slow.write_all(&stream[..stream.len() - 1]).unwrap();
    quiet.write_all(&stream).unwrap();
    let got = serve_until(&mut source, |s| s.counts().timed_out == 2);
    assert_eq!(got.len(), 1);
    assert_eq!(source.counts().connected, 1, "the quiet one is still there");
    serve_until(&mut source, |s| s.counts().timed_out == 3);
    let why: Vec<_> = source.farewells().map(|f| (f.frames, matches!(f.why, Ending::Silent))).collect();
    assert_eq!(why, [(0, false), (0, false), (1, true)]);
}

#[test]
fn senders_beyond_the_bound_are_refused_and_a_place_is_free_again() {
    let mut source = listen(|o| o.max_senders = 2);
    let stream = pcap(Precision::Micros, Endian::Little, &[b"x"]);
    let mut lines: Vec<_> = (0..3).map(|_| connect(&source)).collect();
    serve_until(&mut source, |s| s.counts().refused == 1);
    assert!(matches!(lines[2].read(&mut [0]), Ok(0) | Err(_)), "closed at once");
    lines.truncate(1);
    serve_until(&mut source, |s| s.counts().ended == 1);
    let mut again = connect(&source);
    again.write_all(&stream).unwrap();
    assert_eq!(take(&mut source, 1)[0].0, 1, "the tap of the one that left");
    assert_eq!(source.taps().count(), 2);
}

#[test]
fn a_dialler_comes_back_when_the_sender_does() {
    let stream = pcap(Precision::Micros, Endian::Little, &[b"x"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let endpoint: Endpoint = format!("tcp://{address}").parse().unwrap();
    let mut source = PcapOverIp::open(PcapOverIpOptions::new(endpoint)).unwrap();
    serve_until(&mut source, |s| s.counts().attempts_failed == 1);
    let listener = TcpListener::bind(address).unwrap();
    for round in 1..=2 {
        let peer = std::thread::spawn({
            let (listener, stream) = (listener.try_clone().unwrap(), stream.clone());
            move || listener.accept().unwrap().0.write_all(&stream).unwrap()
        });
        let got = serve_until(&mut source, |s| s.counts().ended == round);
        peer.join().unwrap();
        assert_eq!(got, [(0, 1_000, b"x".to_vec())]);
    }
    assert_eq!(source.taps().collect::<Vec<_>>(), [(0, &*format!("tcp://{address}"))]);
}

#[test]
fn a_port_that_is_taken_is_said_by_name() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = format!("tcp://{}?listen", taken.local_addr().unwrap());
    let error = PcapOverIp::open(PcapOverIpOptions::new(place.parse().unwrap())).err().unwrap();
    assert_eq!(error.to_string(), format!("tcp://{}: cannot listen", taken.local_addr().unwrap()));
}
