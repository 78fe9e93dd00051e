//! Tunnels that IP carries: IP in IP of either version, and GRE. Both ways between two hosts are one tunnel
//! (Zeek: src/packet_analysis/protocol/iptunnel/IPTunnel.cc).

use weir_ledger::Reason;
use weir_wire::bytes::be16;
use weir_wire::flow::protocol;
use weir_wire::{ConnId, FlowKey, TunnelKind, ipv4, ipv6};

use super::gre::{self, Content};
use super::{Over, Tunnels, is_too_deep};
use crate::ip::IpPacket;
use crate::walk::{Layer, Step, Walk};

const SOURCE: &str = "IPTUNNEL";

impl Tunnels {
    /// What a packet with one of the protocols of [`super::is_over_ip`] carries.
    pub fn over_ip<'a>(&mut self, walk: &mut Walk<'_>, packet: &IpPacket<'a>) -> Step<'a> {
        let outer_tenant = walk.tenant;
        let (kind, content) = match packet.protocol {
            protocol::GRE => match gre::content(walk, packet.payload()) {
                Ok(content) => (TunnelKind::Gre, content),
                Err(step) => return step,
            },
            protocol::IPIP => (TunnelKind::Ip, Content::Ip(4, packet.payload())),
            _ => (TunnelKind::Ip, Content::Ip(6, packet.payload())),
        };
        if is_too_deep(walk, SOURCE) {
            return Step::Drop(Reason::TooDeep);
        }
        let (layer, bytes) = match content {
            Content::Any(layer, bytes) => (layer, bytes),
            Content::Ip(version, bytes) => {
                if let Err(name) = check(version, bytes) {
                    return walk.refuse(name, SOURCE, Reason::MalformedTunnel);
                }
                (Layer::Ip, bytes)
            }
        };
        // Zeek tells tunnels of one pair of hosts apart by nothing else.
        let (key, _) = FlowKey::new(outer_tenant, 0, (packet.source, 0), (packet.destination, 0));
        let id = ConnId { orig_h: packet.source, orig_p: 0, resp_h: packet.destination, resp_p: 0 };
        let flow = self.over_ip.touch(&key, &self.key, id, walk.time, walk.entries);
        if flow.kind == TunnelKind::None {
            flow.kind = kind;
        }
        let (kind, uid) = (flow.kind, flow.uid);
        if kind == TunnelKind::Ip {
            walk.surrounded(None);
        }
        let may_be_cut =
            walk.is_mirrored || (layer == Layer::Ethernet && walk.depth == 0 && walk.config.cut_mirrors);
        self.enter(walk, Over::Ip, key, kind, uid);
        walk.is_mirrored = may_be_cut;
        Step::Next(layer, bytes)
    }
}

/// Whether `bytes` are an IP packet of `version` and nothing else, or the name of what is wrong.
pub(super) fn check(version: u8, bytes: &[u8]) -> Result<(), &'static str> {
    let (min, total) = if version == 6 {
        (ipv6::LEN, be16(bytes, 4).map(|payload| usize::from(payload) + ipv6::LEN))
    } else {
        (ipv4::MIN_LEN, be16(bytes, 2).map(usize::from))
    };
    match (bytes.first(), total) {
        (Some(first), Some(_)) if bytes.len() >= min && first >> 4 != version => {
            Err("invalid_inner_IP_version")
        }
        (_, Some(total)) if bytes.len() >= min && bytes.len() == total => Ok(()),
        (_, Some(total)) if bytes.len() >= min && bytes.len() > total => {
            Err("inner_IP_payload_length_mismatch")
        }
        _ => Err("truncated_inner_IP"),
    }
}

#[cfg(test)]
mod tests {
    use crate::Config;
    use crate::testing::{packet, udp, v4, v6, walk, walk_all};
    use weir_ledger::Reason;
    use weir_wire::{LinkType, TunnelKind};

    #[test]
    fn either_version_in_either_version_is_found() {
        for (outer, inner) in [
            (v4(4, &packet()), packet()),
            (v4(41, &v6(17, &udp(b"x"))), v6(17, &udp(b"x"))),
            (v6(4, &packet()), packet()),
            (v6(41, &v6(17, &udp(b"x"))), v6(17, &udp(b"x"))),
        ] {
            let found = walk(LinkType::RAW, &outer);
            assert_eq!((found.only(), found.packets[0].head.tunnel), (&inner[..], TunnelKind::Ip));
        }
    }

    #[test]
    fn a_tunnel_has_one_uid_both_ways_and_is_discovered_once() {
        let there = v4(4, &packet());
        let mut back = there.clone();
        back[12..20].copy_from_slice(&[10, 0, 0, 2, 10, 0, 0, 1]);
        let found = walk_all(Config::default(), LinkType::RAW, &[there.clone(), back, there]);
        assert!(found.packets.iter().all(|p| p.head.parent == found.packets[0].head.parent));
        assert_eq!(found.tunnels, ["0.000000 10.0.0.1:0>10.0.0.2:0 Tunnel::IP Tunnel::DISCOVER"]);
    }

    #[test]
    fn an_inner_packet_has_to_be_what_the_outer_one_announced() {
        let long = [packet(), vec![0; 3]].concat();
        for (protocol, inner, weird) in [
            (41, packet(), "truncated_inner_IP"),
            (41, [packet(), packet()].concat(), "invalid_inner_IP_version"),
            (4, packet()[..30].to_vec(), "truncated_inner_IP"),
            (4, long, "inner_IP_payload_length_mismatch"),
        ] {
            let found = walk(LinkType::RAW, &v4(protocol, &inner));
            assert_eq!(found.weirds, [format!("{weird} IPTUNNEL 10.0.0.1>10.0.0.2")]);
            assert_eq!((found.dropped(Reason::MalformedTunnel), found.tunnels.len()), (1, 0));
        }
    }

    #[test]
    fn tunnels_in_tunnels_end_at_the_limit() {
        let deep = (0..6).fold(packet(), |inner, _| v4(4, &inner));
        let found = walk(LinkType::RAW, &deep);
        assert_eq!(found.weirds, ["exceeded_tunnel_max_depth_in_tunnel IPTUNNEL 10.0.0.1>10.0.0.2"]);
        assert_eq!(found.dropped(Reason::TooDeep), 1);
        let lawful = (0..4).fold(packet(), |inner, _| v4(4, &inner));
        assert_eq!(walk(LinkType::RAW, &lawful).packets[0].head.depth, 4);
    }
}
