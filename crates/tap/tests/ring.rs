//! Rings on real (virtual) wires: what is sent arrives, and what does not arrive is counted. Needs root, iproute2 and
//! tcpreplay.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod lab;

use std::time::Duration;

use lab::{alone, replay, run, wire};
use weir_tap::{FrameBatch, LiveSource, PacketRing, Received, RingDirection, RingOptions, TapError};
use weir_wire::Time;

/// What was received.
#[derive(Default)]
struct Got {
    frames: Vec<Vec<u8>>,
    times: Vec<Time>,
}

/// Everything that comes until nothing has come for a while.
fn drain(ring: &mut PacketRing) -> Got {
    let (mut got, mut batch) = (Got::default(), FrameBatch::default());
    while ring.receive(&mut batch, Duration::from_millis(300)).unwrap() == Received::Frames {
        assert!(!batch.is_empty() && batch.len() <= weir_tap::MAX_FRAMES);
        for frame in batch.iter() {
            assert!(frame.wire_len as usize >= frame.data.len());
            got.frames.push(frame.data.to_vec());
            got.times.push(frame.time);
        }
    }
    assert!(ring.account().balances());
    got
}

fn small(interface: &str) -> RingOptions {
    RingOptions { block_size: 1 << 18, blocks: 64, ..RingOptions::new(interface) }
}

/// A UDP datagram in Ethernet, `len` bytes long in all, between ports that `i` tells, with `tags` of VLANs.
fn frame(i: u16, len: usize, tags: &[[u8; 4]]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    frame.extend(tags.concat());
    let payload = len - frame.len() - 2 - 28;
    let [a, b] = (payload as u16 + 28).to_be_bytes();
    frame.extend([8, 0, 0x45, 0, a, b, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    let [c, d] = (payload as u16 + 8).to_be_bytes();
    let [p, q] = i.to_be_bytes();
    frame.extend([p, q, 0, 53, c, d, 0, 0]);
    frame.resize(len, i as u8);
    frame
}

#[test]
fn what_is_sent_arrives_byte_for_byte_in_order_of_time() {
    alone(|| {
        wire("near", "far");
        let mut ring = PacketRing::open(&small("far")).unwrap();
        let sent: Vec<_> = (0..5000).map(|i| frame(i, 60 + usize::from(i) % 1400, &[])).collect();
        replay("near", &sent, "--topspeed");
        let got = drain(&mut ring);
        let losses = ring.losses();
        assert_eq!((losses.seen, losses.dropped), (5000, 0));
        assert!(got.frames == sent, "{} of {} frames arrived", got.frames.len(), sent.len());
        assert!(got.times.is_sorted());
        let bytes: usize = sent.iter().map(Vec::len).sum();
        assert_eq!((ring.account().passed.frames, ring.account().passed.bytes), (5000, bytes as u64));
    });
}

#[test]
fn vlan_tags_are_where_they_were_on_the_wire() {
    alone(|| {
        wire("near", "far");
        let mut ring = PacketRing::open(&small("far")).unwrap();
        let tags: [&[[u8; 4]]; 4] =
            [&[], &[[0x81, 0, 0x20, 7]], &[[0x88, 0xa8, 0, 5], [0x81, 0, 0, 6]], &[[0x81, 0, 0, 0]]];
        let sent: Vec<_> = (0..40).map(|i| frame(i, 200, tags[usize::from(i) % 4])).collect();
        replay("near", &sent, "--topspeed");
        assert_eq!(drain(&mut ring).frames, sent);
    });
}

#[test]
fn a_filter_is_right_with_vlan_tags_and_without() {
    alone(|| {
        wire("near", "far");
        let open = |filter: &str| {
            PacketRing::open(&RingOptions { filter: Some(filter.into()), ..small("far") }).unwrap()
        };
        let plain: Vec<_> = (0..10).map(|i| frame(i, 100, &[])).collect();
        let seven: Vec<_> = (10..20).map(|i| frame(i, 100, &[[0x81, 0, 0, 7]])).collect();
        let eight: Vec<_> = (20..30).map(|i| frame(i, 100, &[[0x81, 0, 0, 8]])).collect();
        let twice: Vec<_> = (30..40).map(|i| frame(i, 100, &[[0x88, 0xa8, 0, 7], [0x81, 0, 0, 9]])).collect();
        let expected = [
            ("udp port 53", plain.clone()),
            ("vlan 7 and udp port 53", seven.clone()),
            ("vlan", [seven, eight.clone(), twice.clone()].concat()),
            ("not vlan", plain.clone()),
            ("vlan 7 and vlan 9 and udp", twice.clone()),
            ("udp port 53 or (vlan 8 and udp)", [plain.clone(), eight.clone()].concat()),
            ("tcp", Vec::new()),
        ];
        let mut rings: Vec<_> = expected.iter().map(|(filter, _)| open(filter)).collect();
        let seven: Vec<_> = (10..20).map(|i| frame(i, 100, &[[0x81, 0, 0, 7]])).collect();
        replay("near", &[plain, seven, eight, twice].concat(), "--topspeed");
        for (ring, (filter, frames)) in rings.iter_mut().zip(expected) {
            let got = drain(ring);
            assert_eq!(got.frames, frames, "{filter}");
            let (account, losses) = (ring.account().clone(), ring.losses());
            assert_eq!(account.entered.frames, losses.seen, "{filter}");
        }
    });
}

#[test]
fn a_direction_is_what_was_asked_for() {
    alone(|| {
        wire("near", "far");
        let open = |direction| PacketRing::open(&RingOptions { direction, ..small("far") }).unwrap();
        let all = [RingDirection::In, RingDirection::Out, RingDirection::Both];
        let mut rings: Vec<_> = all.into_iter().map(open).collect();
        let (there, back) = (vec![frame(1, 100, &[])], vec![frame(2, 100, &[[0x81, 0, 0, 3]])]);
        replay("near", &there, "--topspeed");
        replay("far", &back, "--topspeed");
        let got: Vec<_> = rings.iter_mut().map(|ring| drain(ring).frames).collect();
        assert_eq!(got, [there.clone(), back.clone(), [there, back].concat()]);
    });
}

#[test]
fn a_ring_that_overflows_counts_what_it_lost() {
    alone(|| {
        wire("near", "far");
        let options = RingOptions { block_size: 1 << 16, blocks: 2, ..small("far") };
        let mut ring = PacketRing::open(&options).unwrap();
        let sent: Vec<_> = (0..2000).map(|i| frame(i, 500, &[])).collect();
        replay("near", &sent, "--topspeed");
        let got = drain(&mut ring).frames;
        let losses = ring.losses();
        assert!(losses.dropped > 0 && losses.freezes > 0, "{losses:?}");
        assert_eq!((losses.seen, got.len() as u64), (2000, 2000 - losses.dropped));
        // Once there is room, capturing goes on.
        replay("near", &sent[..10], "--topspeed");
        assert_eq!(drain(&mut ring).frames, sent[..10]);
    });
}

#[test]
fn a_block_that_is_held_is_not_overwritten_and_outlives_the_ring() {
    alone(|| {
        wire("near", "far");
        let options = RingOptions { block_size: 1 << 16, blocks: 4, ..small("far") };
        let mut ring = PacketRing::open(&options).unwrap();
        let sent: Vec<_> = (0..2000).map(|i| frame(i, 500, &[])).collect();
        replay("near", &sent[..5], "--topspeed");
        let mut held = FrameBatch::default();
        assert_eq!(ring.receive(&mut held, Duration::from_secs(5)).unwrap(), Received::Frames);
        // Several times around the ring as far as it goes: the held block stays as it is and is not handed over again.
        replay("near", &sent[5..], "--topspeed");
        let got = drain(&mut ring).frames;
        assert!(!got.is_empty() && !got.contains(&sent[0]), "{}", got.len());
        drop(ring);
        assert!(held.iter().map(|f| f.data.to_vec()).eq(sent[..5].iter().cloned()));
    });
}

#[test]
fn an_interface_that_vanishes_is_told_of_once_and_read_again_when_it_is_back() {
    alone(|| {
        wire("near", "far");
        let mut ring = PacketRing::open(&small("far")).unwrap();
        replay("near", &[frame(1, 100, &[])], "--topspeed");
        assert_eq!(drain(&mut ring).frames.len(), 1);
        let mut batch = FrameBatch::default();
        let mut errors = Vec::new();
        for (change, back) in [
            ("ip link set far down", "ip link set far up"),
            ("ip link del far", "ip link add near type veth peer name far"),
        ] {
            run(change);
            for _ in 0..4 {
                match ring.receive(&mut batch, Duration::from_millis(100)) {
                    Ok(received) => assert_eq!(received, Received::Idle),
                    Err(error) => errors.push(error.to_string()),
                }
            }
            run(back);
            if back.contains("add") {
                run("ip link set near up");
                run("ip link set far up");
            }
            std::thread::sleep(Duration::from_millis(100));
            // Called, it finds the interface.
            let _ = ring.receive(&mut batch, Duration::from_millis(500));
            replay("near", &[frame(7, 333, &[])], "--topspeed");
            assert!(drain(&mut ring).frames.contains(&frame(7, 333, &[])), "after {back}");
        }
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert!(errors[0].contains("cannot read from far: it is down"), "{errors:?}");
        let losses = ring.losses();
        assert_eq!((losses.seen, losses.dropped), (ring.account().entered.frames, 0));
    });
}

#[test]
fn any_takes_all_interfaces_each_frame_once() {
    alone(|| {
        wire("near", "far");
        let mut ring = PacketRing::open(&small("any")).unwrap();
        replay("near", &[frame(1, 100, &[])], "--topspeed");
        replay("lo", &[frame(2, 100, &[[0x81, 0, 0, 3]])], "--topspeed");
        let got = drain(&mut ring).frames;
        // The wire has two ends here, one that sends and one that receives; loopback counts as received only.
        let count = |frame: &Vec<u8>| got.iter().filter(|f| *f == frame).count();
        assert_eq!((count(&frame(1, 100, &[])), count(&frame(2, 100, &[[0x81, 0, 0, 3]]))), (2, 1));
    });
}

#[test]
fn what_cannot_be_opened_is_said_with_what_to_do() {
    alone(|| {
        wire("near", "far");
        let error = |options: RingOptions| PacketRing::open(&options).err().map(|e| e.to_string()).unwrap();
        let text = error(small("fra"));
        assert!(text.contains("cannot listen on fra: there is no such interface; there are lo"), "{text}");
        assert!(text.contains("near") && text.contains("far"), "{text}");
        let text = error(RingOptions { block_size: 1000, ..small("far") });
        assert!(text.contains("the block size is 1000 and has to be a power of two"), "{text}");
        let text = error(RingOptions { block_size: 1 << 26, blocks: 1 << 14, ..small("far") });
        assert!(
            text.contains("16384 blocks of 65536 KiB are more than half of this machine's memory"),
            "{text}"
        );
        let options = RingOptions { filter: Some("prot 80".into()), ..small("far") };
        assert!(matches!(PacketRing::open(&options), Err(TapError::Filter { .. })));
    });
}
