//! Seeds of the header walk: a frame or two of each link layer and tunnel.

use weir_wire::LinkType;

use super::{Seed, join};
use crate::packets::{LINKS, ethernet, ipv4, ipv6, tcp, udp};

const ENDS: [[u8; 4]; 2] = [[10, 0, 0, 1], [10, 0, 0, 2]];
const MACS: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

/// A seed: frames of one link type.
fn seed(link: LinkType, frames: &[&[u8]]) -> Vec<u8> {
    let index = LINKS.iter().position(|l| *l == link).unwrap_or_default();
    let mut out = vec![index as u8];
    for frame in frames {
        out.extend((frame.len() as u16).to_le_bytes());
        out.extend(*frame);
    }
    out
}

fn syn() -> Vec<u8> {
    ipv4(6, 1, 0, ENDS, &tcp([4000, 80], 1, 0, 2, 1000, b""))
}

fn datagram(ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
    ipv4(17, 1, 0, ENDS, &udp(ports, payload))
}

/// Every seed.
pub fn seeds() -> Vec<Seed> {
    let mut seeds = link_layers();
    seeds.extend(network());
    seeds.extend(tunnels());
    seeds
}

fn link_layers() -> Vec<Seed> {
    let ip = syn();
    let vlan = join(&[&[0, 7, 0x88, 0xa8], &[0, 8, 8, 0], &ip]);
    let snap = join(&[&MACS, &(8 + ip.len() as u16).to_be_bytes(), &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &ip]);
    let pppoe = join(&[&[0x11, 0, 0, 1], &(2 + ip.len() as u16).to_be_bytes(), &[0, 0x21], &ip]);
    let backbone = join(&[&[0, 0, 0, 1], &ethernet(0x0800, &ip)]);
    let wireless = join(&[&[0x08, 1, 0, 0], &[2; 18], &[0, 0, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &ip]);
    let radiotap = join(&[&[0, 0, 8, 0, 0, 0, 0, 0], &wireless]);
    let arp = ethernet(0x0806, &join(&[&[0, 1, 8, 0, 6, 4, 0, 1], &[2; 20]]));
    let nflog = join(&[&[2, 0, 0, 0], &(4 + ip.len() as u16).to_le_bytes(), &[9, 0], &ip]);
    let pflog = join(&[&[61, 2, 0, 0], &[0; 60], &ip]);
    vec![
        ("ethernet_arp", seed(LinkType::ETHERNET, &[&arp, &ethernet(0x0800, &ip)])),
        ("ethernet_qinq", seed(LinkType::ETHERNET, &[&ethernet(0x8100, &vlan)])),
        (
            "ethernet_mpls",
            seed(LinkType::ETHERNET, &[&ethernet(0x8847, &join(&[&[0, 1, 0, 64, 0, 2, 1, 64], &ip]))]),
        ),
        ("ethernet_pppoe", seed(LinkType::ETHERNET, &[&ethernet(0x8864, &pppoe)])),
        ("ethernet_snap", seed(LinkType::ETHERNET, &[&snap])),
        ("ethernet_backbone", seed(LinkType::ETHERNET, &[&ethernet(0x88e7, &backbone)])),
        (
            "ethernet_vntag",
            seed(LinkType::ETHERNET, &[&ethernet(0x8926, &join(&[&[0, 1, 0, 2, 8, 0], &ip]))]),
        ),
        (
            "cooked",
            seed(LinkType::LINUX_SLL, &[&join(&[&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0], &ip])]),
        ),
        ("cooked2", seed(LinkType::LINUX_SLL2, &[&join(&[&[8, 0, 0, 0], &[0; 16], &ip])])),
        ("null", seed(LinkType::NULL, &[&join(&[&[2, 0, 0, 0], &ip])])),
        ("ppp", seed(LinkType::PPP_SERIAL, &[&join(&[&[0xff, 3, 0, 0x21], &ip])])),
        ("wireless", seed(LinkType::IEEE802_11, &[&wireless])),
        ("radiotap", seed(LinkType::IEEE802_11_RADIO, &[&radiotap])),
        ("nflog", seed(LinkType::NFLOG, &[&nflog])),
        ("pflog", seed(LinkType::PFLOG, &[&pflog])),
    ]
}

fn network() -> Vec<Seed> {
    let options = join(&[&[6, 0, 1, 4, 0, 0, 0, 0], &tcp([1, 2], 0, 0, 2, 0, b"")]);
    let routing = join(&[&[17, 2, 0, 1, 0, 0, 0, 0], &[0x20; 16], &udp([5, 6], b"x")]);
    let error = join(&[&[3, 3, 0, 0, 0, 0, 0, 0], &datagram([5000, 53], b"quoted")]);
    let too_big = join(&[&[2, 0, 0, 0, 0, 0, 5, 0], &ipv6(17, [2, 1], &udp([5, 6], b"x"))]);
    vec![
        ("raw_tcp", seed(LinkType::RAW, &[&syn()])),
        ("raw_sctp", seed(LinkType::RAW, &[&ipv4(132, 1, 0, ENDS, &[0; 12])])),
        ("ipv6_hop_by_hop", seed(LinkType::IPV6, &[&ipv6(0, [1, 2], &options)])),
        ("ipv6_routing", seed(LinkType::RAW, &[&ipv6(43, [1, 2], &routing)])),
        ("icmp_error", seed(LinkType::RAW, &[&ipv4(1, 1, 0, ENDS, &error)])),
        ("icmp6_error", seed(LinkType::RAW, &[&ipv6(58, [1, 2], &too_big)])),
        (
            "fragments",
            seed(
                LinkType::IPV4,
                &[&ipv4(17, 9, 0x2000, ENDS, &udp([1, 2], &[0; 8])[..8]), &ipv4(17, 9, 1, ENDS, &[1; 8])],
            ),
        ),
    ]
}

fn tunnels() -> Vec<Seed> {
    let ip = syn();
    let inner = ethernet(0x0800, &ip);
    let raw = |protocol, pieces: &[&[u8]]| seed(LinkType::RAW, &[&ipv4(protocol, 1, 0, ENDS, &join(pieces))]);
    let over_udp = |ports, pieces: &[&[u8]]| seed(LinkType::RAW, &[&datagram(ports, &join(pieces))]);
    let six = ipv6(59, [1, 2], b"");
    let bubble = datagram([3544, 3544], &join(&[&[0, 0, 1, 2, 3, 4, 5, 6], &six]));
    let teredo_data = ipv6(17, [1, 2], &udp([1, 2], b"x"));
    vec![
        ("vxlan", over_udp([5000, 4789], &[&[8, 0, 0, 0, 0, 0, 7, 0], &inner])),
        ("geneve", over_udp([5000, 6081], &[&[1, 0, 0x65, 0x58, 0, 0, 7, 0, 0, 0, 1, 0], &inner])),
        ("gre", raw(47, &[&[0x20, 0, 8, 0, 0, 0, 0, 5], &ip])),
        ("gre_ppp", raw(47, &[&[0x30, 1, 0x88, 0x0b, 0, 60, 0, 1, 0, 0, 0, 0, 0xff, 3, 0, 0x21], &ip])),
        ("erspan_2", raw(47, &[&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 7, 0, 1, 0, 0, 0, 0], &inner])),
        ("erspan_3", raw(47, &[&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 7, 0, 1], &[0; 8], &inner])),
        ("ipip", raw(4, &[&ip])),
        ("sixinfour", raw(41, &[&six])),
        (
            "gtp",
            over_udp([2152, 2152], &[&[0x30, 0xff], &(ip.len() as u16).to_be_bytes(), &[0, 0, 0, 1], &ip]),
        ),
        (
            "gtp_options",
            over_udp([2152, 2152], &[&[0x36, 0xff, 0, 60, 0, 0, 0, 1, 0, 1, 0, 0x85, 1, 0, 0, 0], &ip]),
        ),
        ("ayiya", over_udp([5072, 5072], &[&[0x44, 0x52, 0x11, 41], &[0; 40], &six])),
        ("teredo", seed(LinkType::RAW, &[&bubble, &datagram([3544, 4000], &teredo_data)])),
    ]
}
