//! Outputs against sockets and files of this machine, without privileges. What needs a network is in the lab tests of `weir`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, reason = "tests")]

use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use weir_carry::{Outgoing, Output, OutputOptions, TooLong};
use weir_ledger::Reason;
use weir_wire::tunnel::{GeneveHeader, Origin, VxlanHeader};
use weir_wire::{Frame, LinkType, Offload, Time};

fn frame(data: &[u8], number: u64) -> Outgoing<'_> {
    let time = Time(1_700_000_000_000_000_001 + number as i64);
    let (link, offload) = (LinkType::ETHERNET, Offload::default());
    let frame = Frame { time, tap: 3, sequence: number, link, wire_len: data.len() as u32, offload, data };
    Outgoing::new(frame, number as u32)
}

fn bytes(number: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![number; len];
    bytes[12..14].copy_from_slice(&[0x88, 0xb5]);
    bytes
}

fn open(url: &str, options: &OutputOptions) -> Output {
    Output::open(&url.parse().unwrap(), options).unwrap()
}

/// Waits until `done` says so; a bound that only a hang reaches.
fn until(mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < end, "it does not come about");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn received(socket: &UdpSocket) -> (Vec<u8>, u16) {
    let mut buffer = vec![0; 70_000];
    let (len, from) = socket.recv_from(&mut buffer).unwrap();
    (buffer[..len].to_vec(), from.port())
}

#[test]
fn frames_arrive_in_vxlan_whole_and_those_of_a_flow_from_one_port() {
    for address in ["127.0.0.1", "[::1]"] {
        let Ok(receiver) = UdpSocket::bind(format!("{address}:0")) else { continue };
        receiver.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let port = receiver.local_addr().unwrap().port();
        let mut output = open(&format!("vxlan://{address}:{port}?vni=77"), &OutputOptions::default());
        let sent: Vec<_> = (0..40u8).map(|n| bytes(n, 60 + usize::from(n))).collect();
        output.send(sent.iter().enumerate().map(|(n, data)| frame(data, n as u64 % 20)));
        let mut got: Vec<_> = (0..40).map(|_| received(&receiver)).collect();
        got.sort_by_key(|(datagram, _)| datagram[8 + 20]);
        for (n, (datagram, _)) in got.iter().enumerate() {
            let header = VxlanHeader::parse(datagram).unwrap();
            assert_eq!((header.vni(), header.inner()), (77, &sent[n][..]));
        }
        assert!((0..20).all(|n| got[n].1 == got[n + 20].1));
        let ports: std::collections::HashSet<_> = got.iter().map(|(_, port)| *port).collect();
        assert_eq!(ports.len(), 16);
        assert_eq!((output.account().passed.frames, output.counts().packets), (40, 40));
        assert!(output.account().balances());
    }
}

#[test]
fn geneve_tells_tap_time_length_and_a_sequence_without_holes() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let port = receiver.local_addr().unwrap().port();
    // Loopback takes 64 KiB, so what is longer is cut.
    let options = OutputOptions { tap: 9, epoch: 5, too_long: TooLong::Truncate, ..OutputOptions::default() };
    let mut output = open(&format!("geneve://127.0.0.1:{port}?vni=7"), &options);
    let long = bytes(9, 65_500);
    let all = [bytes(0, 60), long, bytes(2, 61), bytes(3, 62)];
    let mut sequence = Vec::new();
    for n in 0..12u64 {
        if n % 4 == 0 {
            // All of a round, and then the next: a socket holds few datagrams of this length.
            output.send(all.iter().zip(n..).map(|(data, number)| frame(data, number)));
        }
        let (datagram, _) = received(&receiver);
        let header = GeneveHeader::parse(&datagram).unwrap();
        let origin = Origin::find(&header).unwrap();
        assert_eq!((header.vni(), header.protocol(), origin.tap), (7, 0x6558, 9));
        assert_eq!((origin.source, origin.epoch), (3, 5));
        let index = (origin.time.0 - 1_700_000_000_000_000_001) as usize % 4;
        assert_eq!(origin.wire_len as usize, all[index].len());
        assert!(all[index].starts_with(header.inner()));
        assert_eq!(header.inner().len() < all[index].len(), index == 1);
        sequence.push(origin.sequence);
    }
    sequence.sort_unstable();
    assert_eq!(sequence, (0..12).collect::<Vec<_>>());
    assert_eq!((output.counts().truncated, output.account().passed.frames), (3, 12));
}

#[test]
fn what_the_path_does_not_take_is_dropped_and_has_no_number() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = receiver.local_addr().unwrap().port();
    let mut output = open(&format!("geneve://127.0.0.1:{port}"), &OutputOptions::default());
    let (long, short) = (bytes(1, 65_530), bytes(2, 60));
    output.send([frame(&long, 0), frame(&short, 1)]);
    let (datagram, _) = received(&receiver);
    let origin = Origin::find(&GeneveHeader::parse(&datagram).unwrap()).unwrap();
    assert_eq!((origin.sequence, origin.wire_len), (0, 60));
    assert_eq!(output.account().dropped(Reason::FrameTooLong).frames, 1);
    assert!(output.account().balances());
}

#[test]
fn a_peer_that_refuses_is_counted_and_nothing_is_lost_from_the_ledger() {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut output = open(&format!("vxlan://127.0.0.1:{port}"), &OutputOptions::default());
    let data = bytes(1, 100);
    until(|| {
        output.send((0..50).map(|n| frame(&data, n)));
        output.counts().refused > 0
    });
    assert!(output.account().balances() && output.is_up());
    assert_eq!(
        output.account().dropped_total().frames,
        0,
        "each refusal is of a packet that was sent before"
    );
}

/// The frames of a pcap stream with nanoseconds: times and data.
fn pcap(stream: &[u8]) -> Vec<(i64, Vec<u8>)> {
    let word = |at: usize| u32::from_le_bytes(stream[at..at + 4].try_into().unwrap());
    assert_eq!((word(0), word(20)), (0xa1b2_3c4d, 1));
    let (mut at, mut frames) = (24, Vec::new());
    while at < stream.len() {
        let len = word(at + 8) as usize;
        let time = i64::from(word(at)) * 1_000_000_000 + i64::from(word(at + 4));
        frames.push((time, stream[at + 16..at + 16 + len].to_vec()));
        at += 16 + len;
    }
    frames
}

#[test]
fn a_stream_is_dialled_again_and_begins_anew_with_a_header_and_whole_frames() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let options = OutputOptions { buffer: 1 << 20, ..OutputOptions::default() };
    let mut output = open(&format!("pcap://{address}"), &options);
    let data = bytes(1, 1000);
    output.send((0..10).map(|n| frame(&data, n)));
    let (mut first, _) = listener.accept().unwrap();
    drop(listener);
    output.finish(Duration::from_secs(10));
    let mut got = Vec::new();
    first.read_to_end(&mut got).unwrap();
    assert_eq!(pcap(&got).len(), 10);
    assert_eq!(pcap(&got)[9], (1_700_000_000_000_000_010, data.clone()));
    drop(first);
    // The peer is gone, nobody listens: frames are dropped, and the reason is told.
    until(|| {
        output.send((0..10).map(|n| frame(&data, n)));
        !output.is_up()
    });
    assert!(output.take_trouble().is_some());
    output.send([frame(&data, 0)]);
    assert!(output.account().dropped(Reason::OutputDown).frames > 0 && output.account().balances());
    assert_eq!(output.account().held.frames, 0);
    // It comes back, and the stream begins anew.
    let listener = TcpListener::bind(address).unwrap();
    until(|| {
        output.tick();
        output.is_up()
    });
    let (mut second, _) = listener.accept().unwrap();
    output.send((0..3).map(|n| frame(&data, n)));
    output.finish(Duration::from_secs(10));
    let mut got = Vec::new();
    second.read_to_end(&mut got).unwrap();
    assert_eq!(pcap(&got).len(), 3);
    assert!(output.account().balances());
}

#[test]
fn a_stream_whose_peer_does_not_read_holds_no_more_than_it_may() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = OutputOptions { buffer: 100_000, ..OutputOptions::default() };
    let mut output = open(&format!("pcap://{}", listener.local_addr().unwrap()), &options);
    let (mut peer, _) = listener.accept().unwrap();
    let data = bytes(1, 1000);
    until(|| {
        output.send((0..500).map(|n| frame(&data, n)));
        output.account().dropped(Reason::OutputFull).frames > 0
    });
    assert!((1..=100).contains(&output.account().held.frames));
    assert!(output.account().balances());
    let reader = std::thread::spawn(move || {
        let mut got = Vec::new();
        peer.read_to_end(&mut got).map(|_| got)
    });
    output.finish(Duration::from_secs(20));
    let (passed, held) = (output.account().passed.frames, output.account().held.frames);
    drop(output);
    let got = reader.join().unwrap().unwrap();
    assert_eq!((pcap(&got).len() as u64, held), (passed, 0));
}

#[test]
fn files_are_rotated_by_size_and_the_oldest_removed() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("t.pcap");
    let mut output = open(&format!("file://{}?rotate=5kb&keep=2", path.display()), &OutputOptions::default());
    let data = bytes(1, 1000);
    (0..20).for_each(|n| output.send([frame(&data, n)]));
    output.finish(Duration::ZERO);
    let mut names: Vec<_> =
        std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["t-00004.pcap", "t-00005.pcap"]);
    let last = pcap(&std::fs::read(home.path().join("t-00004.pcap")).unwrap());
    assert_eq!((last.len(), &last[4].1), (5, &data));
    assert_eq!(output.account().passed.frames, 20);
}

#[test]
fn a_target_that_cannot_be_is_an_error_that_names_it() {
    let refused = |url: &str| Output::open(&url.parse().unwrap(), &OutputOptions::default()).err().unwrap();
    assert!(refused("vxlan://no-such-host.invalid").to_string().contains("no-such-host.invalid"));
    assert!(refused("interface://nothing0").to_string().contains("nothing0"));
    assert!(refused("file:///nowhere/at/all.pcap").to_string().contains("/nowhere/at/all.pcap"));
}
