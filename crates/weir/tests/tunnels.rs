//! What goes into a tunnel comes out of it: every output that has one, against the sockets at which tunnels end, and decap.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, reason = "tests")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use weir_carry::{Outgoing, Output, OutputOptions};
use weir_decap::Decap;
use weir_lab::Namespace;
use weir_tap::tunnel_socket::{TunnelProtocol, TunnelSocket, TunnelSocketOptions};
use weir_tap::{FrameBatch, LiveSource};
use weir_wire::{Frame, LinkType, Offload, Role, Time, UidKey};

/// A frame around a datagram of IPv4 or IPv6, tagged or not.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![
        // Several of one length, which are sent as one.
        Just(vec![7; 300]),
        prop::collection::vec(any::<u8>(), 0..60),
        prop::collection::vec(any::<u8>(), 0..1500),
    ];
    (any::<bool>(), prop::option::of(1u16..4095), 0u8..4, 1024u16..1028, payload).prop_map(
        |(six, tag, host, port, payload)| {
            let mut udp = [port.to_be_bytes(), 9u16.to_be_bytes()].concat();
            udp.extend((8 + payload.len() as u16).to_be_bytes());
            udp.extend([0, 0]);
            udp.extend(payload);
            let mut frame = vec![2, 0, 0, 0, 0, host, 2, 0, 0, 0, 0, 9];
            if let Some(tag) = tag {
                frame.extend([0x81, 0]);
                frame.extend(tag.to_be_bytes());
            }
            if six {
                frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
                frame.extend((udp.len() as u16).to_be_bytes());
                frame.extend([17, 64]);
                for end in [host, 9] {
                    frame.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, end]);
                }
            } else {
                frame.extend([8, 0, 0x45, 0]);
                frame.extend((20 + udp.len() as u16).to_be_bytes());
                frame.extend([0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, host, 192, 0, 2, 9]);
            }
            frame.extend(udp);
            frame
        },
    )
}

/// The ends of a packet, its bytes, and its time.
type Found = (Vec<u8>, Vec<u8>, i64);

/// The innermost packets of frames, those of a flow in their order. Of a tunnel, its port is told.
fn innermost<'a>(
    frames: impl Iterator<Item = Frame<'a>>,
    tunnel: Option<(TunnelProtocol, u16)>,
) -> Vec<Found> {
    let mut config = weir_decap::Config::default();
    match tunnel {
        Some((TunnelProtocol::Vxlan, port)) => config.vxlan_ports.push(port),
        Some((TunnelProtocol::Geneve, port)) => config.geneve_ports.push(port),
        Some((TunnelProtocol::Gre, _)) | None => {}
    }
    let mut decap = Decap::new(config, UidKey([7; 16]));
    let mut found = Vec::new();
    for frame in frames {
        let mut out = weir_decap::Output::default();
        decap.frame(&frame, &mut out);
        let packets = out.packets.iter().filter(|packet| packet.head.role == Role::Innermost);
        found.extend(packets.map(|packet| {
            let bytes = packet.data.bytes().to_vec();
            // Addresses and ports.
            let (from, header) = if bytes[0] >> 4 == 4 { (12, 20) } else { (8, 40) };
            (bytes[from..header + 4].to_vec(), bytes, packet.head.time.0)
        }));
    }
    assert!(decap.account().balances());
    found.sort_by(|one, other| one.0.cmp(&other.0));
    found
}

/// Sends frames to a target of this machine, and takes them from the socket where they end.
fn carried(target: &str, protocol: TunnelProtocol, frames: &[Frame<'_>]) -> Option<(Vec<FrameBatch>, u16)> {
    let options =
        TunnelSocketOptions { address: "127.0.0.1:0".parse().unwrap(), ..TunnelSocketOptions::new(protocol) };
    // Raw sockets need a privilege.
    let mut socket = TunnelSocket::open(&options).ok()?;
    let port = socket.local_address().port();
    let target = target.replace("PORT", &port.to_string());
    let mut output = Output::open(&target.parse().unwrap(), &OutputOptions::default()).ok()?;
    output.send(frames.iter().zip(0u32..).map(|(frame, n)| Outgoing::new(*frame, n % 3)));
    assert!(output.account().balances());
    assert_eq!(output.account().passed.frames, frames.len() as u64);
    let (mut batches, mut count) = (Vec::new(), 0);
    let end = Instant::now() + Duration::from_secs(20);
    while count < frames.len() && Instant::now() < end {
        let mut batch = FrameBatch::default();
        socket.receive(&mut batch, Duration::from_millis(100)).unwrap();
        count += batch.len();
        batches.push(batch);
    }
    assert_eq!(count, frames.len(), "{target}");
    Some((batches, port))
}

/// Frames of the bytes, a millisecond and a little apart.
fn frames(all: &[Vec<u8>]) -> Vec<Frame<'_>> {
    // Times that are far from those of the receiver would not be believed; sockets tell them in microseconds.
    let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64 * 1_000;
    let mut frames = Vec::new();
    for (data, sequence) in all.iter().zip(0u64..) {
        let (time, wire_len) = (Time(start + sequence as i64 * 1_003_000), data.len() as u32);
        let (link, offload) = (LinkType::ETHERNET, Offload::default());
        frames.push(Frame { time, tap: 3, sequence, link, wire_len, offload, data });
    }
    frames
}

fn check(all: &[Vec<u8>]) {
    let frames = frames(all);
    let wanted = innermost(frames.iter().copied(), None);
    assert_eq!(wanted.len(), frames.len());
    // Flows may overtake each other, and the times are those of the frames only where the tunnel tells them.
    let sorted = |found: &[Found], has_time: bool| {
        let mut found: Vec<_> =
            found.iter().map(|(_, bytes, time)| (bytes.clone(), if has_time { *time } else { 0 })).collect();
        found.sort();
        found
    };
    for (target, protocol) in [
        ("vxlan://127.0.0.1:PORT?vni=7", TunnelProtocol::Vxlan),
        ("geneve://127.0.0.1:PORT?vni=7", TunnelProtocol::Geneve),
        ("gre://127.0.0.1", TunnelProtocol::Gre),
        ("gre://127.0.0.1?key=9", TunnelProtocol::Gre),
        ("erspan://127.0.0.1?version=1", TunnelProtocol::Gre),
        ("erspan://127.0.0.1?version=2&id=9", TunnelProtocol::Gre),
        ("erspan://127.0.0.1?version=3&id=9", TunnelProtocol::Gre),
    ] {
        let Some((batches, port)) = carried(target, protocol, &frames) else { continue };
        let got = innermost(batches.iter().flat_map(FrameBatch::iter), Some((protocol, port)));
        let has_time = protocol == TunnelProtocol::Geneve;
        assert_eq!(sorted(&got, has_time), sorted(&wanted, has_time), "{target}");
    }
}

#[test]
fn what_goes_into_a_tunnel_comes_out_of_it() {
    // Raw sockets get the packets of everybody on this machine's loopback. Without root there are none, and UDP is enough.
    let namespace = weir_lab::ready(&[]).then(Namespace::new);
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    let work = |all: Vec<Vec<u8>>| {
        match &namespace {
            Some(namespace) => namespace.inside(|| check(&all)),
            None => check(&all),
        }
        Ok(())
    };
    runner.run(&prop::collection::vec(frame(), 1..40), work).unwrap();
}
