//! Ethernet and what it can carry before IP: VLAN tags (802.1Q, 802.1ad), VN-tags (802.1Qbh), provider backbone
//! (802.1ah), MPLS (RFC 3032), LLC and SNAP (802.2), ARP (RFC 826).
//!
//! A tag of any depth is passed; Zeek reports the third and keeps the last two. The ids kept here are the
//! outermost and the last, as in Zeek.

use weir_ledger::Reason;
use weir_wire::bytes::be16;

use super::ethertype;
use crate::config::TenantBy;
use crate::walk::{Layer, Step, Walk};

/// Both addresses and the type.
const HEADER: usize = 14;
/// A Cisco FabricPath header, which has the place of an Ethernet header and another one behind it.
const FABRIC_PATH: usize = 16;
/// Service tag without type: the customer's frame follows.
const BACKBONE: usize = 4;
/// From here on the field behind the addresses is a type; up to 1500 it is a length.
const FIRST_TYPE: u16 = 1536;
const LAST_LENGTH: u16 = 1500;

/// An Ethernet frame.
pub(super) fn frame<'a>(walk: &mut Walk<'_>, bytes: &'a [u8]) -> Step<'a> {
    // Zeek wants three bytes behind the header; so do we, as the weirds are to be the same.
    if bytes.len() <= HEADER + 2 {
        return walk.refuse("truncated_ethernet_frame", "ETHERNET", Reason::TruncatedLink);
    }
    let mut bytes = bytes;
    if be16(bytes, 12) == Some(0x8903) {
        bytes = bytes.get(FABRIC_PATH..).unwrap_or_default();
        if bytes.len() <= HEADER {
            return walk.refuse("truncated_link_header_cfp", "ETHERNET", Reason::TruncatedLink);
        }
    }
    let (Some(number), Some(rest)) = (be16(bytes, 12), bytes.get(HEADER..)) else {
        return Step::Drop(Reason::TruncatedLink);
    };
    match number {
        FIRST_TYPE.. => ethertype(number, rest),
        ..=LAST_LENGTH if rest.len() < usize::from(number) => {
            walk.refuse("truncated_ethernet_frame", "ETHERNET", Reason::TruncatedLink)
        }
        ..=LAST_LENGTH => Step::Next(Layer::Llc, rest),
        _ => walk.refuse("undefined_ether_type", "ETHERNET", Reason::NotIp),
    }
}

/// One VLAN tag: what is behind the type that announced it.
pub(super) fn vlan<'a>(walk: &mut Walk<'_>, bytes: &'a [u8]) -> Step<'a> {
    let (Some(tag), Some(number), Some(rest)) = (be16(bytes, 0), be16(bytes, 2), bytes.get(4..)) else {
        return walk.refuse("truncated_VLAN_header", "VLAN", Reason::TruncatedLink);
    };
    if rest.is_empty() {
        return walk.refuse("truncated_VLAN_header", "VLAN", Reason::TruncatedLink);
    }
    let id = tag & 0x0fff;
    match walk.tags {
        0 => {
            walk.vlan = id;
            walk.inner_vlan = 0;
            walk.surrounded_by(TenantBy::Vlan, u32::from(id));
        }
        1 => walk.inner_vlan = id,
        _ => {
            let what = "inner VLAN tag overwritten";
            walk.weird("triple_tagged_vlan_unsupported", Some(what.into()), Some("VLAN"));
            walk.inner_vlan = id;
        }
    }
    walk.tags = walk.tags.saturating_add(1);
    match number {
        FIRST_TYPE.. => ethertype(number, rest),
        ..=LAST_LENGTH if rest.len() < 2 => {
            walk.refuse("truncated_VLAN_header", "VLAN", Reason::TruncatedLink)
        }
        ..=LAST_LENGTH => Step::Next(Layer::Llc, walk.trim(rest, usize::from(number))),
        _ => walk.refuse("undefined_vlan_protocol", "VLAN", Reason::NotIp),
    }
}

/// A VN-tag: four bytes between the addresses and the VLAN tag.
pub(super) fn vn_tag<'a>(walk: &mut Walk<'_>, bytes: &'a [u8]) -> Step<'a> {
    match (be16(bytes, 4), bytes.get(6..)) {
        (Some(number), Some(rest)) if !rest.is_empty() => ethertype(number, rest),
        _ => walk.refuse("truncated_vntag_header", "VNTAG", Reason::TruncatedLink),
    }
}

/// A provider's backbone around a customer's whole Ethernet frame.
pub(super) fn backbone<'a>(walk: &mut Walk<'_>, bytes: &'a [u8]) -> Step<'a> {
    match bytes.get(BACKBONE..) {
        Some(inner) if inner.len() > HEADER => Step::Next(Layer::Ethernet, inner),
        _ => walk.refuse("truncated_PBB_header", "PBB", Reason::TruncatedLink),
    }
}

/// A stack of labels; each costs four bytes, so the loop ends with the frame. What is behind the last is not said:
/// IP is supposed, by its version nibble.
pub(super) fn mpls<'a>(walk: &mut Walk<'_>, bytes: &'a [u8]) -> Step<'a> {
    let mut rest = bytes;
    while let Some((label, behind)) = rest.split_first_chunk::<4>() {
        if behind.is_empty() {
            break;
        }
        rest = behind;
        if label[2] & 1 == 1 {
            return Step::Next(Layer::Ip, rest);
        }
    }
    walk.refuse("truncated_link_header", "MPLS", Reason::TruncatedLink)
}

/// ARP and RARP: two kinds of address, their lengths, and two of each.
pub(super) fn arp<'a>(walk: &mut Walk<'_>, bytes: &'a [u8]) -> Step<'a> {
    let whole = match bytes.first_chunk::<8>() {
        Some([_, _, _, _, hardware, protocol, _, _]) => {
            8 + 2 * (usize::from(*hardware) + usize::from(*protocol))
        }
        None => usize::MAX,
    };
    if bytes.len() < whole {
        return walk.refuse("truncated_ARP", "ARP", Reason::Arp);
    }
    Step::Drop(Reason::Arp)
}

/// The payload of a frame with a length field: SNAP carries Ethertypes, Novell's raw 802.3 and other service access
/// points carry nothing that is decoded.
pub(super) fn llc<'a>(walk: &mut Walk<'_>, bytes: &'a [u8]) -> Step<'a> {
    let Some(&[destination, source, ..]) = bytes.first_chunk::<2>() else {
        return walk.refuse("truncated_llc_header", "LLC", Reason::TruncatedLink);
    };
    if (destination, source) == (0xff, 0xff) {
        return Step::Drop(Reason::NotIp);
    }
    let is_snap = (destination, source) == (0xaa, 0xaa);
    // Unnumbered frames have one byte of control, others two.
    let header = match bytes.get(2) {
        Some(control) if control & 0x03 == 0x03 => 3,
        _ => 4,
    };
    if bytes.len() < 3 || (!is_snap && bytes.len() < header) {
        let name = if is_snap { "truncated_snap_llc_header" } else { "truncated_llc_header" };
        return walk.refuse(name, if is_snap { "SNAP" } else { "LLC" }, Reason::TruncatedLink);
    }
    if !is_snap {
        return Step::Drop(Reason::NotIp);
    }
    match bytes.get(header..).and_then(<[u8]>::split_first_chunk::<5>) {
        Some(([0, 0, 0, a, b], rest)) => ethertype(u16::from_be_bytes([*a, *b]), rest),
        Some(_) => Step::Drop(Reason::NotIp),
        None => walk.refuse("truncated_snap_header", "SNAP", Reason::TruncatedLink),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ethernet, packet, walk, walk_all};
    use crate::{Config, Tenants};
    use weir_wire::{LinkType, TenantId};

    fn on_ethernet(kind: u16, payload: &[u8]) -> crate::testing::Found {
        walk(LinkType::ETHERNET, &ethernet(kind, payload))
    }

    #[test]
    fn padding_is_not_part_of_the_packet() {
        let padded = [packet(), vec![0; 13]].concat();
        assert_eq!(on_ethernet(0x0800, &padded).only(), packet());
    }

    #[test]
    fn a_short_frame_is_truncated_and_an_unknown_type_is_not_ip() {
        let found = walk(LinkType::ETHERNET, &ethernet(0x0800, &[1, 2]));
        assert_eq!(found.weirds, ["truncated_ethernet_frame ETHERNET"]);
        assert_eq!(found.dropped(Reason::TruncatedLink), 1);
        assert_eq!(on_ethernet(0x88cc, &[0; 50]).dropped(Reason::NotIp), 1);
        assert_eq!(on_ethernet(1510, &[0; 50]).weirds, ["undefined_ether_type ETHERNET"]);
    }

    #[test]
    fn fabric_path_is_passed_over() {
        let inner = ethernet(0x0800, &packet());
        let outer = [ethernet(0x8903, &[0, 0]), inner].concat();
        assert_eq!(walk(LinkType::ETHERNET, &outer).only(), packet());
    }

    #[test]
    fn tags_of_any_depth_are_passed_and_the_third_is_weird() {
        let tagged = [&[0, 1, 0x88, 0xa8, 0, 2, 0x81, 0, 0, 3, 0x08, 0][..], &packet()].concat();
        let found = on_ethernet(0x9100, &tagged);
        assert_eq!(found.only(), packet());
        let head = found.packets[0].head;
        assert_eq!((head.vlan, head.inner_vlan), (1, 3));
        assert_eq!(found.weirds, ["triple_tagged_vlan_unsupported(inner VLAN tag overwritten) VLAN"]);
    }

    #[test]
    fn endless_tags_end_at_the_limit() {
        let tags = [0, 1, 0x81, 0].repeat(200);
        let found = on_ethernet(0x8100, &tags);
        assert_eq!(found.dropped(Reason::TooDeep), 1);
        assert_eq!(found.weirds.last().unwrap(), "max_packet_analyzer_depth_exceeded VLAN");
    }

    #[test]
    fn the_outermost_tag_names_the_tenant() {
        let tenants = Tenants { by: TenantBy::Vlan, ..Tenants::default() };
        let config = Config { tenants, ..Config::default() };
        let tagged = [&[0, 5, 0x81, 0, 0, 6, 0x08, 0][..], &packet()].concat();
        let found = walk_all(config, LinkType::ETHERNET, &[ethernet(0x8100, &tagged)]);
        assert_eq!(found.packets[0].head.key.tenant, TenantId(5));
    }

    #[test]
    fn a_vn_tag_a_backbone_and_labels_are_passed() {
        let vn_tag = [&[0, 0, 0, 0, 0x81, 0, 0, 9, 0x08, 0][..], &packet()].concat();
        assert_eq!(on_ethernet(0x8926, &vn_tag).only(), packet());
        let backbone = [vec![0; 4], ethernet(0x0800, &packet())].concat();
        assert_eq!(on_ethernet(0x88e7, &backbone).only(), packet());
        let labels = [&[0, 1, 0, 9, 0, 2, 1, 9][..], &packet()].concat();
        assert_eq!(on_ethernet(0x8847, &labels).only(), packet());
        assert_eq!(on_ethernet(0x8847, &[0, 1, 0, 9, 0, 2, 1, 9]).weirds, ["truncated_link_header MPLS"]);
    }

    #[test]
    fn snap_carries_ethertypes_and_other_llc_nothing() {
        let snap = [&[0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0][..], &packet()].concat();
        assert_eq!(on_ethernet(snap.len() as u16, &snap).only(), packet());
        for other in [[0xff, 0xff, 0, 0], [0x42, 0x42, 3, 0], [0xaa, 0xaa, 3, 0]] {
            let found = on_ethernet(46, &[&other[..], &[1; 50]].concat());
            assert_eq!(found.dropped(Reason::NotIp), 1);
        }
        assert_eq!(on_ethernet(60, &[0x42; 46]).weirds, ["truncated_ethernet_frame ETHERNET"]);
    }

    #[test]
    fn a_length_behind_a_tag_cuts_what_is_behind() {
        let snap = [&[0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0][..], &packet()].concat();
        let mut tagged = vec![0, 7, 0, snap.len() as u8];
        tagged.extend(&snap);
        tagged.extend([0xee; 9]);
        assert_eq!(on_ethernet(0x8100, &tagged).only(), packet());
    }

    #[test]
    fn arp_is_told_from_half_an_arp() {
        let whole = [&[0, 1, 8, 0, 6, 4, 0, 1][..], &[0; 20]].concat();
        let found = on_ethernet(0x0806, &whole);
        assert_eq!((found.dropped(Reason::Arp), found.weirds.len()), (1, 0));
        assert_eq!(on_ethernet(0x0806, &whole[..20]).weirds, ["truncated_ARP ARP"]);
    }
}
