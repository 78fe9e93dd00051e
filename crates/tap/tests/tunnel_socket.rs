//! Tunnels that end at a socket, over loopback.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::panic,
    reason = "tests"
)]

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, SockaddrIn, SockaddrIn6, sendmsg, sendto,
    socket,
};
use weir_ledger::Reason;
use weir_tap::tunnel_socket::{TunnelProtocol, TunnelSocket, TunnelSocketOptions};
use weir_tap::{FrameBatch, LiveSource, Received};
use weir_wire::bpf::Instruction;
use weir_wire::{Ipv4Header, Ipv6Header, LinkType, UdpHeader};

fn options(protocol: TunnelProtocol, address: &str) -> TunnelSocketOptions {
    TunnelSocketOptions { address: address.parse().unwrap(), ..TunnelSocketOptions::new(protocol) }
}

/// A VXLAN datagram of network `vni` with something inside.
fn vxlan(vni: u8, inside: &[u8]) -> Vec<u8> {
    [&[8, 0, 0, 0, 0, 0, vni, 0], inside].concat()
}

/// What comes until nothing does for a while: time and bytes.
fn take(source: &mut TunnelSocket) -> Vec<(i64, u32, Vec<u8>)> {
    let (mut batch, mut got) = (FrameBatch::default(), Vec::new());
    while source.receive(&mut batch, Duration::from_millis(200)).unwrap() == Received::Frames {
        assert!(batch.iter().all(|f| f.link == LinkType::RAW && f.tap == 3 || f.tap == 0));
        got.extend(batch.iter().map(|f| (f.time.0, f.wire_len, f.data.to_vec())));
    }
    assert!(source.account().balances());
    got
}

#[test]
fn a_datagram_is_handed_on_as_the_packet_that_it_was_on_the_wire() {
    for (at, from) in [("127.0.0.1:0", "127.0.0.1:0"), ("[::]:0", "127.0.0.1:0"), ("[::]:0", "[::1]:0")] {
        let mut options = options(TunnelProtocol::Vxlan, at);
        options.tap = 3;
        let mut source = TunnelSocket::open(&options).unwrap();
        let sender = UdpSocket::bind(from).unwrap();
        let from = sender.local_addr().unwrap();
        let to = SocketAddr::new(from.ip(), source.local_address().port());
        let payload = vxlan(7, &[0x55; 100]);
        sender.send_to(&payload, to).unwrap();
        let got = take(&mut source);
        let (time, wire_len, data) = &got[0];
        assert_eq!((got.len(), *wire_len as usize), (1, data.len()));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
        assert!((now - time) < 10_000_000_000 && now >= *time);
        let (ends, ip_len) = if from.is_ipv4() {
            let ip = Ipv4Header::parse(data).unwrap();
            assert!(ip.checksum_is_valid() && usize::from(ip.total_len()) == data.len());
            ((ip.source(), ip.destination()), 20)
        } else {
            let ip = Ipv6Header::parse(data).unwrap();
            assert_eq!(usize::from(ip.payload_len()), data.len() - 40);
            ((ip.source(), ip.destination()), 40)
        };
        assert_eq!(ends, (from.ip().into(), from.ip().into()));
        let udp = UdpHeader::parse(&data[ip_len..]).unwrap();
        assert_eq!((udp.src_port(), udp.dst_port()), (from.port(), to.port()));
        assert_eq!((usize::from(udp.len()), udp.payload()), (8 + payload.len(), &payload[..]));
    }
}

#[test]
fn what_has_an_identifier_that_is_not_wanted_is_counted_under_its_reason() {
    let mut options = options(TunnelProtocol::Geneve, "127.0.0.1:0");
    options.identifiers = vec![5, 9];
    let mut source = TunnelSocket::open(&options).unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for datagram in [&[0, 0, 0x65, 0x58, 0, 0, 5, 0, 1][..], &[0, 0, 0x65, 0x58, 0, 0, 6, 0, 2], b"scan", b""]
    {
        sender.send_to(datagram, source.local_address()).unwrap();
    }
    let got = take(&mut source);
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].2.last(), Some(&1));
    assert_eq!(source.account().dropped(Reason::TunnelUnwanted).frames, 1);
    assert_eq!(source.account().dropped(Reason::MalformedTunnel).frames, 2);
    assert_eq!(source.account().entered.frames, 4);
}

#[test]
fn what_is_no_tunnel_is_counted_and_goes_no_further() {
    let mut source = TunnelSocket::open(&options(TunnelProtocol::Vxlan, "127.0.0.1:0")).unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for datagram in [&b""[..], &[0; 60], &[8, 0, 0, 0, 0, 0, 5, 0, 7]] {
        sender.send_to(datagram, source.local_address()).unwrap();
    }
    let got = take(&mut source);
    assert_eq!((got.len(), got[0].2.last()), (1, Some(&7)));
    assert_eq!(source.account().dropped(Reason::MalformedTunnel).frames, 2);
    assert!(source.account().balances());
}

#[test]
fn what_is_sent_is_what_came_and_what_the_kernel_dropped() {
    let mut options = options(TunnelProtocol::Vxlan, "127.0.0.1:0");
    options.receive_buffer = 64 << 10;
    let mut source = TunnelSocket::open(&options).unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..1_000 {
        sender.send_to(&vxlan(1, &[0; 1_000]), source.local_address()).unwrap();
    }
    let losses = source.losses();
    assert!(losses.dropped > 0, "the buffer was too small for all");
    let got = take(&mut source).len() as u64;
    let losses = source.losses();
    assert_eq!((got + losses.dropped, losses.seen), (1_000, 1_000));
}

/// Hands the kernel several datagrams of one length as one.
fn send_segments(sender: &UdpSocket, to: SocketAddr, bytes: &[u8], size: u16) {
    let SocketAddr::V4(to) = to else { panic!("over IPv4") };
    let (to, parts) = (SockaddrIn::from(to), [std::io::IoSlice::new(bytes)]);
    let segments = [ControlMessage::UdpGsoSegments(&size)];
    let sent = sendmsg(sender.as_raw_fd(), &parts, &segments, MsgFlags::empty(), Some(&to)).unwrap();
    assert_eq!(sent, bytes.len());
}

#[test]
fn datagrams_that_the_kernel_hands_over_as_one_are_frames_each_with_its_headers() {
    let mut source = TunnelSocket::open(&options(TunnelProtocol::Vxlan, "127.0.0.1:0")).unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let all: Vec<_> = (0..20u8).map(|n| vxlan(n, &[n; 92])).collect();
    let last = vxlan(20, &[20; 30]);
    send_segments(&sender, source.local_address(), &[all.concat(), last.clone()].concat(), 100);
    sender.send_to(b"scan", source.local_address()).unwrap();
    let got = take(&mut source);
    assert_eq!(got.len(), 21);
    for ((_, wire_len, data), sent) in got.iter().zip(all.iter().chain([&last])) {
        let ip = Ipv4Header::parse(data).unwrap();
        assert_eq!((usize::from(ip.total_len()), *wire_len as usize), (data.len(), data.len()));
        let udp = UdpHeader::parse(&data[20..]).unwrap();
        assert_eq!((usize::from(udp.len()), udp.payload()), (8 + sent.len(), &sent[..]));
    }
    assert_eq!(source.account().dropped(Reason::MalformedTunnel).frames, 1);
    assert_eq!(source.losses().seen, 22);
}

#[test]
fn a_datagram_that_is_too_long_is_cut_and_says_how_long_it_was() {
    let mut options = options(TunnelProtocol::Vxlan, "127.0.0.1:0");
    options.max_datagram = 500;
    let mut source = TunnelSocket::open(&options).unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(&vxlan(1, &[0; 1_000]), source.local_address()).unwrap();
    let got = take(&mut source);
    assert_eq!(got[0].1, 28 + 1_008);
    assert!((28 + 500..28 + 600).contains(&got[0].2.len()));
    assert_eq!(source.truncated(), 1);
}

#[test]
fn batches_that_are_kept_are_not_written_over() {
    let mut source = TunnelSocket::open(&options(TunnelProtocol::Vxlan, "127.0.0.1:0")).unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut kept = Vec::new();
    for i in 0..40u8 {
        sender.send_to(&vxlan(i, &[i; 20]), source.local_address()).unwrap();
        let mut batch = FrameBatch::default();
        assert_eq!(source.receive(&mut batch, Duration::from_secs(1)).unwrap(), Received::Frames);
        kept.push(batch);
    }
    for (i, batch) in kept.iter().enumerate() {
        assert_eq!(batch.iter().next().unwrap().data.last(), Some(&(i as u8)));
    }
}

#[test]
fn a_program_chooses_the_socket_by_what_is_inside_the_tunnel() {
    // The low two bits of byte 10 of the payload, which is byte 2 of the inner frame.
    let instruction = |code, k| Instruction { code, jt: 0, jf: 0, k };
    let program = [instruction(0x30, 10), instruction(0x54, 3), instruction(0x16, 0)];
    let options = options(TunnelProtocol::Vxlan, "[::]:0");
    let mut group = TunnelSocket::open_group(&options, 4, Some(&program)).unwrap();
    let port = group[0].local_address().port();
    assert!(group.iter().all(|s| s.local_address().port() == port));
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for i in 0..40u8 {
        sender.send_to(&vxlan(1, &[0, 0, i, 0]), ("127.0.0.1", port)).unwrap();
    }
    for (index, socket) in group.iter_mut().enumerate() {
        let got = take(socket);
        assert_eq!(got.len(), 10);
        assert!(got.iter().all(|(_, _, data)| usize::from(data[data.len() - 2]) % 4 == index));
    }
    let bad = [instruction(0x30, 10)];
    assert!(TunnelSocket::open_group(&options, 2, Some(&bad)).is_err(), "a program must end with an answer");
}

#[test]
fn a_port_that_is_taken_is_said_by_name() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let options = options(TunnelProtocol::Vxlan, &taken.local_addr().unwrap().to_string());
    let error = TunnelSocket::open(&options).err().unwrap().to_string();
    assert_eq!(error, format!("vxlan://{}: cannot receive at this address", taken.local_addr().unwrap()));
}

/// Needs CAP_NET_RAW: without it there is nothing to test.
#[test]
fn gre_comes_with_its_outer_header_over_either_version_of_ip() {
    const GRE: [u8; 9] = [0x20, 0, 0x65, 0x58, 0, 0, 0, 9, 0xaa];
    for at in ["127.0.0.1:0", "[::1]:0"] {
        let mut options = options(TunnelProtocol::Gre, at);
        options.identifiers = vec![9];
        let Ok(mut source) = TunnelSocket::open(&options) else { return };
        let is_v4 = options.address.is_ipv4();
        let family = if is_v4 { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let raw =
            socket(family, SockType::Raw, SockFlag::empty(), nix::sys::socket::SockProtocol::Raw).unwrap();
        let mut packet = vec![0x45, 0, 0, 29, 0, 0, 0, 0, 64, 47, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1];
        if !is_v4 {
            packet = [&[0x60, 0, 0, 0, 0, 9, 47, 64][..], &[0; 15], &[1], &[0; 15], &[1]].concat();
        }
        packet.extend(GRE);
        let sent = if is_v4 {
            let to = SockaddrIn::new(127, 0, 0, 1, 0);
            sendto(raw.as_raw_fd(), &packet, &to, MsgFlags::empty())
        } else {
            let to: SockaddrIn6 = "[::1]:0".parse::<std::net::SocketAddrV6>().unwrap().into();
            sendto(raw.as_raw_fd(), &packet, &to, MsgFlags::empty())
        };
        assert_eq!(sent, Ok(packet.len()));
        let got = take(&mut source);
        assert_eq!(got.len(), 1, "{at}");
        assert_eq!(got[0].2[got[0].2.len() - 9..], GRE);
        let next = if is_v4 { got[0].2[9] } else { got[0].2[6] };
        assert_eq!((next, got[0].2.len()), (47, packet.len()));
    }
}
