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
