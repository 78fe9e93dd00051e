//! AF_XDP on real (virtual) wires: what is sent arrives, what is not taken goes on to the host, and what does not arrive is
//! counted. Needs root, iproute2 and tcpreplay.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod lab;

use std::time::Duration;

use lab::{alone, replay, run, wire};
use weir_tap::xdp::{XdpHook, XdpOptions, XdpSocket, XdpTake};
use weir_tap::{FrameBatch, LiveSource, Losses, PacketRing, Received, RingDirection, RingOptions};
use weir_wire::Time;

/// Everything that comes until nothing has come for a while, and what was lost; every frame is somewhere.
fn drain(socket: &mut dyn LiveSource) -> (Vec<Vec<u8>>, Vec<Time>, Losses) {
    let (mut frames, mut times, mut batch) = (Vec::new(), Vec::new(), FrameBatch::default());
    while socket.receive(&mut batch, Duration::from_millis(300)).unwrap() == Received::Frames {
        assert!(!batch.is_empty() && batch.len() <= weir_tap::MAX_FRAMES);
        for frame in batch.iter() {
            frames.push(frame.data.to_vec());
            times.push(frame.time);
        }
    }
    let losses = socket.losses();
    let account = socket.account();
    assert!(account.balances());
    assert_eq!(losses.seen, account.entered.frames + losses.dropped);
    (frames, times, losses)
}

fn options(hook: XdpHook) -> XdpOptions {
    XdpOptions { hook, ..XdpOptions::new("far") }
}

/// A UDP datagram in Ethernet, `len` bytes long in all, to `port`.
fn frame(i: u16, len: usize, port: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    let size = len - 14;
    frame.extend([8, 0, 0x45, 0]);
    frame.extend((size as u16).to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, (i >> 8) as u8, i as u8]);
    frame.extend([0x99, 0x99]);
    frame.extend(port.to_be_bytes());
    frame.extend((size as u16 - 20).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    frame.resize(len, i as u8);
    frame
}

#[test]
fn what_is_sent_arrives_byte_for_byte_by_the_driver_and_by_the_generic_hook() {
    alone(|| {
        wire("near", "far");
        for hook in [XdpHook::Generic, XdpHook::Driver, XdpHook::Best] {
            let mut sockets = XdpSocket::open_all(&options(hook)).unwrap();
            assert_eq!(sockets.len(), 1);
            let before = now();
            let sent: Vec<_> = (0..3000).map(|i| frame(i, 60 + usize::from(i) % 1400, 53, &[])).collect();
            replay("near", &sent, "--topspeed");
            let (got, times, losses) = drain(&mut sockets[0]);
            assert_eq!(losses.dropped, 0);
            assert!(got == sent, "{hook:?}: {} of {} frames arrived", got.len(), sent.len());
            assert!(times.is_sorted() && times.iter().all(|time| (before..=now()).contains(time)));
        }
    });
}

#[allow(clippy::disallowed_methods, reason = "the time of day is what is tested")]
fn now() -> Time {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Time(now.as_nanos() as i64)
}

#[test]
fn each_queue_has_a_socket_and_frames_of_all_sizes_arrive_through_one_of_them() {
    alone(|| {
        run(
            "ip link add near numtxqueues 4 numrxqueues 4 type veth peer name far numtxqueues 4 numrxqueues 4",
        );
        for end in ["near", "far"] {
            let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{end}/disable_ipv6"), "1");
            run(&format!("ip link set {end} up mtu 9000"));
        }
        let mut sockets = XdpSocket::open_all(&options(XdpHook::Best)).unwrap();
        assert_eq!(sockets.len(), 4);
        let mut sent: Vec<_> = (0..400).map(|i| frame(i, 60 + usize::from(i) * 22, 53, &[])).collect();
        replay("near", &sent, "--topspeed");
        let (mut got, mut dropped) = (Vec::new(), 0);
        for socket in &mut sockets {
            let (frames, _, losses) = drain(socket);
            got.extend(frames);
            dropped += losses.dropped;
        }
        if dropped > 0 {
            // A kernel without frames in several chunks.
            sent.retain(|frame| got.contains(frame));
            assert!(sent.iter().any(|frame| frame.len() > 3000));
        }
        got.sort();
        sent.sort();
        assert!(got == sent, "{} of {} frames arrived", got.len(), sent.len());
    });
}

#[test]
fn tunnels_are_taken_and_all_else_goes_on_to_the_host() {
    alone(|| {
        wire("near", "far");
        let taken = XdpOptions { take: XdpTake::Tunnels, ..options(XdpHook::Best) };
        let mut sockets = XdpSocket::open_all(&taken).unwrap();
        let host =
            RingOptions { direction: RingDirection::In, block_size: 1 << 18, ..RingOptions::new("far") };
        let mut host = PacketRing::open(&host).unwrap();
        let inner = frame(9, 80, 53, &[]);
        let vxlan = [&[8, 0, 0, 0, 0, 0, 7, 0][..], &inner].concat();
        let tunnels: Vec<_> = (0..50).map(|i| frame(i, 130, 4789, &vxlan)).collect();
        // ssh to the sensor, ARP, and what only looks like a tunnel.
        let mut others: Vec<_> = (0..50).map(|i| frame(i, 100, 22, &[])).collect();
        others.push([&[0xff; 6][..], &[2, 0, 0, 0, 0, 1, 8, 6], &[0; 46]].concat());
        others.push(frame(7, 130, 4789, &[0; 60]));
        replay("near", &[tunnels.clone(), others.clone()].concat(), "--topspeed");
        assert_eq!(drain(&mut sockets[0]).0, tunnels);
        let mut got = Vec::new();
        let mut batch = FrameBatch::default();
        while host.receive(&mut batch, Duration::from_millis(300)).unwrap() == Received::Frames {
            got.extend(batch.iter().map(|frame| frame.data.to_vec()));
        }
        assert_eq!(got, others);
    });
}

#[test]
fn a_socket_without_chunks_left_counts_what_it_lost_and_goes_on() {
    alone(|| {
        wire("near", "far");
        let few = XdpOptions { chunks: 64, ..options(XdpHook::Best) };
        let mut sockets = XdpSocket::open_all(&few).unwrap();
        let sent: Vec<_> = (0..500).map(|i| frame(i, 500, 53, &[])).collect();
        replay("near", &sent, "--topspeed");
        let (got, _, losses) = drain(&mut sockets[0]);
        assert_eq!((got.len() as u64, got.len()), (500 - losses.dropped, 64), "{losses:?}");
        assert!(losses.freezes > 0);
        replay("near", &sent[..10], "--topspeed");
        assert_eq!(drain(&mut sockets[0]).0, sent[..10]);
    });
}

#[test]
fn tags_stay_in_frames() {
    alone(|| {
        wire("near", "far");
        let mut sockets = XdpSocket::open_all(&options(XdpHook::Best)).unwrap();
        let tag = |frame: Vec<u8>| [&frame[..12], &[0x81, 0, 0, 7], &frame[12..]].concat();
        let sent: Vec<_> = (0..10).map(|i| tag(frame(i, 100, 53, &[]))).collect();
        replay("near", &sent, "--topspeed");
        assert_eq!(drain(&mut sockets[0]).0, sent);
    });
}

#[test]
fn the_program_goes_with_the_last_socket_and_what_is_in_the_way_is_told() {
    alone(|| {
        wire("near", "far");
        let sockets = XdpSocket::open_all(&options(XdpHook::Best)).unwrap();
        assert!(run("ip link show far").contains("prog/xdp"));
        let error = XdpSocket::open_all(&options(XdpHook::Best)).err().unwrap().to_string();
        assert!(error.contains("far") && !error.ends_with("far"), "{error}");
        drop(sockets);
        assert!(!run("ip link show far").contains("prog/xdp"));
        let none = XdpOptions::new("fra");
        let error = XdpSocket::open_all(&none).err().unwrap().to_string();
        assert!(error.contains("there is no such interface; there are lo"), "{error}");
        let odd = XdpOptions { chunks: 100, ..options(XdpHook::Best) };
        let error = XdpSocket::open_all(&odd).err().unwrap().to_string();
        assert!(error.contains("100 chunks; there has to be a power of two"), "{error}");
    });
}

#[test]
fn an_interface_that_vanishes_is_told_of_once() {
    alone(|| {
        wire("near", "far");
        let mut sockets = XdpSocket::open_all(&options(XdpHook::Best)).unwrap();
        replay("near", &[frame(1, 100, 53, &[])], "--topspeed");
        assert_eq!(drain(&mut sockets[0]).0.len(), 1);
        run("ip link del far");
        let mut batch = FrameBatch::default();
        let mut said = Vec::new();
        for _ in 0..3 {
            said.push(sockets[0].receive(&mut batch, Duration::from_millis(200)).map_err(|e| e.to_string()));
        }
        assert!(said.iter().filter(|said| said.is_err()).count() == 1, "{said:?}");
        assert_eq!(said[2], Ok(Received::Ended));
    });
}
