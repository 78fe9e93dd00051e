//! The split of traffic by the kernel, on real (virtual) wires and sockets, against the lane that decap and spread give. Needs
//! root, iproute2 and tcpreplay; without them only what needs none is tested. Run with `--nocapture` it prints how even each
//! split is.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, reason = "tests")]

#[path = "../../tap/tests/lab/mod.rs"]
mod lab;
#[path = "../../spread/tests/machine/mod.rs"]
#[allow(dead_code, reason = "shared with another test")]
mod machine;

use std::collections::HashMap;
use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lab::{alone, replay, wire};
use machine::build::{ethernet, ip, kind_of, tcp, udp};
use weir_decap::{Config, Decap, Output};
use weir_ledger::Reason;
use weir_spread::{SpreadBy, Steering, Tunnel, flow_of, hash, lane_of};
use weir_tap::tunnel_socket::{TunnelProtocol, TunnelSocket, TunnelSocketOptions};
use weir_tap::{
    Captures, Fanout, FanoutMode, FrameBatch, LiveSource, Options, PacketRing, Received, RingDirection,
    RingOptions, Source,
};
use weir_wire::{Frame, LinkType, Offload, Role, UidKey};

const LANES: usize = 8;

/// A TCP segment of flow `i`, both of whose directions are between the same two hosts.
fn segment(i: u16, back: bool) -> Vec<u8> {
    let (a, b): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    if back { ip(6, b, a, &tcp(443, 20_000 + i)) } else { ip(6, a, b, &tcp(20_000 + i, 443)) }
}

/// As `segment`, but between `i` hosts and one.
fn segment_of_host(i: u16, back: bool) -> Vec<u8> {
    let [high, low] = i.to_be_bytes();
    let (a, b): (IpAddr, IpAddr) = ([10, 7, high, low].into(), [10, 0, 0, 2].into());
    if back { ip(6, b, a, &tcp(443, 40_000)) } else { ip(6, a, b, &tcp(40_000, 443)) }
}

fn outer(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &ip(protocol, [192, 0, 2, 1].into(), [192, 0, 2, 2].into(), payload))
}

fn in_vxlan(inner: &[u8]) -> Vec<u8> {
    let frame = ethernet(kind_of(inner), inner);
    udp(50_000, 4789, &[&[8, 0, 0, 0, 0, 0, 7, 0][..], &frame].concat())
}

fn in_geneve(inner: &[u8]) -> Vec<u8> {
    udp(50_000, 6081, &[&[2, 0, 8, 0, 0, 0, 7, 0][..], &[0; 8], inner].concat())
}

/// `inner` in one of many surroundings.
fn surround(which: u16, inner: &[u8]) -> Vec<u8> {
    let frame = ethernet(0x0800, inner);
    let tagged = |bytes: &[u8]| [&bytes[..12], &[0x81, 0, 0, 9], &bytes[12..]].concat();
    match which % 8 {
        0 => frame,
        1 => tagged(&frame),
        2 => outer(17, &in_vxlan(inner)),
        3 => tagged(&outer(17, &in_geneve(inner))),
        4 => outer(47, &[&[0x20, 0, 8, 0, 0, 0, 0, 9][..], inner].concat()),
        5 => outer(47, &[&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1][..], &[0x10; 8], &frame].concat()),
        6 => outer(4, inner),
        _ => outer(17, &in_geneve(&ip(17, [10, 9, 0, 1].into(), [10, 9, 0, 2].into(), &in_vxlan(inner)))),
    }
}

fn group(interface: &str, number: u16, mode: FanoutMode, direction: RingDirection) -> Vec<PacketRing> {
    let fanout = Fanout { group: number, mode, defragment: false, rollover: false };
    let options = RingOptions {
        // The rings are read when all has been sent, which may take long on a busy machine, and a block is closed that is not full.
        block_size: 1 << 16,
        blocks: 192,
        block_timeout_ms: 200,
        direction,
        fanout: Some(fanout),
        ..RingOptions::new(interface)
    };
    PacketRing::open_group(&options, LANES).unwrap()
}

/// Sends frames, and waits until no block is open that has one.
fn send(frames: &[Vec<u8>]) {
    replay("near", frames, "--topspeed");
    std::thread::sleep(Duration::from_millis(500));
}

/// Every frame that waits in `source`.
fn drain(source: &mut dyn LiveSource, mut each: impl FnMut(&Frame<'_>)) -> usize {
    let (mut batch, mut frames) = (FrameBatch::default(), 0);
    while source.receive(&mut batch, Duration::from_millis(20)).unwrap() == Received::Frames {
        batch.iter().for_each(|frame| each(&frame));
        frames += batch.len();
    }
    assert_eq!(source.losses().dropped, 0);
    frames
}

/// The busiest lane against the mean.
fn imbalance(counts: &[usize]) -> f64 {
    let (most, sum) = (counts.iter().max().unwrap(), counts.iter().sum::<usize>());
    *most as f64 * counts.len() as f64 / sum as f64
}

/// The lanes, by pair, by flow and by sum, that the hash gives the innermost packet of `frame`, if there is one.
fn homes(decap: &mut Decap, frame: &Frame<'_>) -> Option<[usize; 3]> {
    let mut out = Output::default();
    decap.frame(frame, &mut out);
    let innermost = out.packets.iter().rfind(|packet| packet.head.role == Role::Innermost)?;
    let by_flow = hash(&flow_of(innermost), SpreadBy::Flow) as usize % LANES;
    let by_sum = hash(&innermost.head.key, SpreadBy::Sum) as usize % LANES;
    Some([lane_of(&innermost.head.key, LANES), by_flow, by_sum])
}

fn home(decap: &mut Decap, frame: &Frame<'_>, by: SpreadBy) -> Option<usize> {
    homes(decap, frame).map(|[pair, flow, sum]| match by {
        SpreadBy::Flow => flow,
        SpreadBy::Sum => sum,
        SpreadBy::Pair | SpreadBy::Tenant => pair,
    })
}

fn decap() -> Decap {
    Decap::new(Config::default(), UidKey([7; 16]))
}

#[test]
fn the_kernel_gives_each_frame_to_the_ring_of_its_lane_sent_or_received() {
    alone(|| {
        wire("near", "far");
        let program = |by| FanoutMode::Program(Steering::new(by, LANES as u32).for_frames());
        let mut groups = [
            (SpreadBy::Pair, group("far", 1, program(SpreadBy::Pair), RingDirection::Both)),
            (SpreadBy::Flow, group("far", 2, program(SpreadBy::Flow), RingDirection::Both)),
            (SpreadBy::Pair, group("near", 3, program(SpreadBy::Pair), RingDirection::Out)),
            (SpreadBy::Flow, group("near", 4, program(SpreadBy::Flow), RingDirection::Out)),
        ];
        let frames: Vec<_> = (0..2_000u16)
            .flat_map(|i| [false, true].map(|back| surround(i, &segment_of_host(i / 8, back))))
            .collect();
        send(&frames);
        for (by, rings) in &mut groups {
            let mut lanes = 0;
            for (lane, ring) in rings.iter_mut().enumerate() {
                let mut decap = decap();
                lanes += drain(ring, |frame| assert_eq!(home(&mut decap, frame, *by), Some(lane), "{by:?}"));
            }
            assert_eq!(lanes, frames.len());
        }
    });
}

#[test]
fn rings_with_a_filter_each_take_every_frame_exactly_once_and_both_directions_together() {
    alone(|| {
        wire("near", "far");
        let open = |by, interface, direction| {
            let steering = Steering::new(by, LANES as u32);
            let options = |lane| RingOptions {
                block_size: 1 << 16,
                direction,
                share: Some(steering.for_filter(lane)),
                ..RingOptions::new(interface)
            };
            let options: Vec<_> = (0..LANES as u32).map(options).collect();
            (by, PacketRing::open_all(&options).unwrap())
        };
        let mut groups = [SpreadBy::Pair, SpreadBy::Sum]
            .map(|by| [open(by, "far", RingDirection::Both), open(by, "near", RingDirection::Out)]);
        // Both directions of 250 pairs of hosts. What is no IP, and a packet without all of its header, are for lane 0.
        let mut frames: Vec<_> =
            (0..500).map(|i| surround(i / 2, &segment_of_host(i / 16, i % 2 == 1))).collect();
        let (a, b) = ("fd00::1:7".parse().unwrap(), "fd00::2:1".parse().unwrap());
        frames.extend([(a, b), (b, a)].map(|(a, b)| ethernet(0x86dd, &ip(6, a, b, &tcp(1, 2)))));
        frames.extend([ethernet(0x88cc, &[1; 60]), ethernet(0x0800, &[0x45; 10])]);
        send(&frames);
        for (by, rings) in groups.iter_mut().flatten() {
            let mut count = 0;
            for (lane, ring) in rings.iter_mut().enumerate() {
                let mut decap = decap();
                count += drain(ring, |frame| {
                    assert_eq!(home(&mut decap, frame, *by).unwrap_or(0), lane, "{by:?}");
                });
            }
            assert_eq!(count, frames.len(), "{by:?}");
        }
    });
}

#[test]
fn the_flows_of_one_tunnel_are_spread_evenly_and_both_directions_are_together() {
    alone(|| {
        wire("near", "far");
        for (what, by, segment) in [
            (
                "10,000 connections of two hosts in one VXLAN tunnel, by flow",
                SpreadBy::Flow,
                segment as fn(u16, bool) -> _,
            ),
            ("10,000 pairs of hosts in one VXLAN tunnel, by pair", SpreadBy::Pair, segment_of_host),
        ] {
            let program = FanoutMode::Program(Steering::new(by, LANES as u32).for_frames());
            let mut ours = group("far", 1, program, RingDirection::Both);
            let mut theirs = group("far", 2, FanoutMode::Hash, RingDirection::Both);
            let frames: Vec<_> =
                (0..20_000u16).map(|i| outer(17, &in_vxlan(&segment(i / 2, i % 2 == 1)))).collect();
            send(&frames);
            let mut found = Vec::new();
            for rings in [&mut ours, &mut theirs] {
                // Of each flow, by what both directions have in common, the lanes on which it was.
                let mut flows: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
                let mut counts = Vec::new();
                for (lane, ring) in rings.iter_mut().enumerate() {
                    counts.push(drain(ring, |frame| {
                        let inner = &frame.data[14 + 20 + 8 + 8 + 14..];
                        let mut ends = [
                            [&inner[12..16], &inner[20..22]].concat(),
                            [&inner[16..20], &inner[22..24]].concat(),
                        ];
                        ends.sort();
                        flows.entry(ends.concat()).or_default().push(lane);
                    }));
                }
                assert_eq!((flows.len(), counts.iter().sum::<usize>()), (10_000, 20_000));
                let cut = flows.values().filter(|lanes| lanes.iter().any(|lane| lane != &lanes[0])).count();
                found.push((imbalance(&counts), cut, counts));
            }
            for (name, (imbalance, cut, counts)) in ["program", "kernel's hash"].iter().zip(&found) {
                println!(
                    "{what}: {name}: busiest of {LANES} {imbalance:.2} x the mean, {cut} flows cut, {counts:?}"
                );
            }
            assert!(found[0].0 <= 1.15 && found[0].1 == 0, "{found:?}");
        }
    });
}

#[test]
fn the_kernel_gives_each_datagram_to_the_socket_of_its_lane() {
    for (protocol, tunnel) in
        [(TunnelProtocol::Vxlan, Tunnel::Vxlan), (TunnelProtocol::Geneve, Tunnel::Geneve)]
    {
        for (at, from) in [("127.0.0.1:0", "127.0.0.1:0"), ("[::1]:0", "[::1]:0")] {
            let port = if tunnel == Tunnel::Vxlan { 4789 } else { 6081 };
            for by in [SpreadBy::Pair, SpreadBy::Flow, SpreadBy::Sum] {
                let options = TunnelSocketOptions {
                    address: at.parse().unwrap(),
                    receive_buffer: 4 << 20,
                    ..TunnelSocketOptions::new(protocol)
                };
                let program = Steering::new(by, LANES as u32).for_datagrams(tunnel);
                let mut group = TunnelSocket::open_group(&options, LANES, Some(&program)).unwrap();
                let sender = UdpSocket::bind(from).unwrap();
                for i in 0..400u16 {
                    let inner = segment_of_host(i / 2, i % 2 == 1);
                    let datagram = if tunnel == Tunnel::Vxlan { in_vxlan(&inner) } else { in_geneve(&inner) };
                    sender.send_to(&datagram[8..], group[0].local_address()).unwrap();
                }
                // What is no tunnel goes no further than the socket, which counts it.
                let scans = u64::from(by == SpreadBy::Pair);
                if scans > 0 {
                    sender.send_to(b"\0scan", group[0].local_address()).unwrap();
                }
                let (mut frames, mut busy, mut refused) = (0, 0, 0);
                for (lane, socket) in group.iter_mut().enumerate() {
                    let mut decap = decap();
                    let got = drain(socket, |frame| {
                        // Decap tells a tunnel by its usual port, which the test does not use.
                        let mut data = frame.data.to_vec();
                        let destination = if data[0] >> 4 == 4 { 22 } else { 42 };
                        data[destination..destination + 2].copy_from_slice(&u16::to_be_bytes(port));
                        let frame = Frame { data: &data, ..*frame };
                        assert_eq!(home(&mut decap, &frame, by), Some(lane), "{tunnel:?} {by:?} {at}");
                    });
                    busy += usize::from(got > 0);
                    frames += got;
                    refused += socket.account().dropped(Reason::MalformedTunnel).frames;
                }
                assert_eq!((frames, busy, refused), (400, LANES, scans));
            }
        }
    }
}

/// All captures below a directory.
fn captures_below(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { captures_below(&path, found) } else { found.push(path) }
    }
}

/// Skipped, with a word, where the corpus (`shared/corpus/zeek/traces` beside or above the workspace) is missing.
#[test]
fn on_captures_of_all_kinds_the_program_and_the_lane_agree() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = here.ancestors().map(|dir| dir.join("shared/corpus/zeek/traces")).find(|dir| dir.is_dir());
    let Some(corpus) = corpus else {
        eprintln!("skipped: there is no corpus");
        return;
    };
    let mut captures = Vec::new();
    captures_below(&corpus, &mut captures);
    let (mut agree, mut differ) = (0u64, 0u64);
    let mut by_capture = Vec::new();
    let programs = [SpreadBy::Pair, SpreadBy::Flow, SpreadBy::Sum]
        .map(|by| Steering::new(by, LANES as u32).for_frames());
    for path in captures {
        let Ok(mut captures) = Captures::open(vec![Source::File(path.clone())], Options::default()) else {
            continue;
        };
        let (mut batch, mut decap, mut wrong) = (FrameBatch::default(), decap(), 0);
        while captures.next_batch(&mut batch).unwrap_or(false) {
            for frame in batch.iter().filter(|f| f.link == LinkType::ETHERNET && f.data.len() >= 18) {
                let Some(homes) = homes(&mut decap, &Frame { offload: Offload::default(), ..frame }) else {
                    continue;
                };
                let (beside, data) = machine::received(frame.data);
                for (program, home) in programs.iter().zip(homes) {
                    if machine::run(program, data, &beside) as usize == home {
                        agree += 1;
                    } else {
                        wrong += 1;
                    }
                }
            }
        }
        differ += wrong;
        if wrong > 0 {
            by_capture.push((wrong, path));
        }
    }
    by_capture.sort();
    for (wrong, path) in &by_capture {
        println!("{wrong} frames of {} are not on their lane", path.strip_prefix(&corpus).unwrap().display());
    }
    println!("{agree} answers agree, {differ} do not");
    assert!(differ * 200 < agree, "{agree} agree, {differ} differ");
}
