//! 802.11 data frames, with or without radiotap in front. Encrypted ones, and those that carry no data, end here.

use weir_ledger::Reason;
use weir_wire::{TenantId, TunnelKind, Uid};

use super::ethertype;
use crate::walk::{Layer, Step, Walk};

/// Frame control, duration, three addresses, sequence control.
const HEADER: usize = 24;
/// The fourth address, where a frame goes from one distribution system to another.
const ADDRESS: usize = 6;
/// Destination, source and length of a part of an aggregated frame.
const PART_HEADER: usize = 14;
/// LLC and SNAP.
const SNAP: usize = 8;
const SOURCE: &str = "IEEE802_11";

/// Radiotap: version, pad, length of the whole in little endian.
pub(super) fn radiotap<'a>(walk: &mut Walk<'_>, bytes: &'a [u8]) -> Step<'a> {
    let rest = bytes
        .first_chunk::<4>()
        .and_then(|[_, _, low, high]| bytes.get(usize::from(u16::from_le_bytes([*low, *high]))..));
    match rest {
        Some(rest) if !rest.is_empty() => Step::Next(Layer::Wireless, rest),
        _ => walk.refuse("truncated_radiotap_header", "IEEE802_11_RADIO", Reason::TruncatedLink),
    }
}

/// One frame.
pub(super) fn frame<'a>(walk: &mut Walk<'_>, bytes: &'a [u8]) -> Step<'a> {
    let truncated =
        |walk: &mut Walk<'_>| walk.refuse("truncated_802_11_header", SOURCE, Reason::TruncatedLink);
    let Some(&[control, flags]) = bytes.first_chunk::<2>() else { return truncated(walk) };
    if bytes.len() <= HEADER {
        return truncated(walk);
    }
    // Type 2 is data; bit 2 of its subtypes says "without data", bit 3 "with QoS".
    if control & 0x08 == 0 || control & 0x40 != 0 {
        return Step::Drop(Reason::WirelessNotData);
    }
    let has_quality = control & 0x80 != 0;
    let mut header = if flags & 0x03 == 0x03 { HEADER + ADDRESS } else { HEADER };
    let Some(&quality) = bytes.get(header) else { return truncated(walk) };
    if flags & 0x40 != 0 {
        return Step::Drop(Reason::WirelessNotData);
    }
    if has_quality {
        header += 2;
    }
    match bytes.get(header..) {
        Some([]) | None => truncated(walk),
        Some(rest) if has_quality && quality & 0x80 != 0 => Step::Next(Layer::WirelessParts, rest),
        Some(rest) => part(walk, rest),
    }
}

/// LLC and SNAP, and what they carry; other LLC carries nothing that is decoded.
pub(super) fn part<'a>(walk: &mut Walk<'_>, bytes: &'a [u8]) -> Step<'a> {
    match bytes.split_first_chunk::<SNAP>() {
        Some(([0xaa, 0xaa, 0x03, 0, 0, 0, a, b], rest)) => ethertype(u16::from_be_bytes([*a, *b]), rest),
        Some(_) => Step::Drop(Reason::WirelessNotData),
        None => walk.refuse("truncated_802_11_llc_header", SOURCE, Reason::TruncatedLink),
    }
}

/// The parts of an aggregated frame that have not been walked, and what the walk knew before the first.
///
/// Each part has a packet of its own; the first that is handed over stands for the frame.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Parts<'a> {
    rest: &'a [u8],
    beyond: usize,
    layers: u8,
    depth: u8,
    tunnel: TunnelKind,
    parent: Uid,
    tenant: TenantId,
}

impl<'a> Parts<'a> {
    /// The parts in `bytes`.
    pub fn new(walk: &Walk<'_>, bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            beyond: walk.beyond,
            layers: walk.layers,
            depth: walk.depth,
            tunnel: walk.tunnel,
            parent: walk.parent,
            tenant: walk.tenant,
        }
    }

    /// The next part; each takes 14 bytes at least, so there is an end.
    pub fn next(&mut self, walk: &mut Walk<'_>) -> Option<Step<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let refuse = |parts: &mut Self, walk: &mut Walk<'_>, name| {
            parts.rest = &[];
            Some(walk.refuse(name, SOURCE, Reason::TruncatedLink))
        };
        let Some((header, behind)) = self.rest.split_first_chunk::<PART_HEADER>() else {
            return refuse(self, walk, "truncated_802_11_amsdu_header");
        };
        let len = usize::from(u16::from_be_bytes([header[12], header[13]]));
        let Some((part, behind)) = behind.split_at_checked(len) else {
            return refuse(self, walk, "truncated_802_11_amsdu_packet");
        };
        // All parts but the last are padded to four bytes; Zeek's way of finding the padding is kept.
        self.rest = behind.get(len % 4..).unwrap_or(behind);
        walk.hosts = None;
        walk.layers = self.layers;
        (walk.depth, walk.tunnel, walk.parent) = (self.depth, self.tunnel, self.parent);
        walk.tenant = self.tenant;
        walk.beyond = self.beyond.saturating_add(behind.len());
        Some(Step::Next(Layer::WirelessPart, part))
    }

    /// The next part, after one that ended for `reason`: unless that was ARP, the rest is given up.
    pub fn next_after(&mut self, walk: &mut Walk<'_>, reason: Reason) -> Option<Step<'a>> {
        if reason != Reason::Arp && !std::mem::take(&mut self.rest).is_empty() {
            walk.weird("invalid_802_11_amsdu_inner_packet", None, Some(SOURCE));
        }
        self.next(walk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{packet, v4, walk};
    use weir_wire::LinkType;

    fn snap(packet: &[u8]) -> Vec<u8> {
        [&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], packet].concat()
    }

    fn data(control: u8, flags: u8, more: &[u8], payload: &[u8]) -> Vec<u8> {
        [&[control, flags], &[0; 22][..], more, payload].concat()
    }

    #[test]
    fn data_frames_of_all_shapes_are_passed() {
        for frame in [
            data(0x08, 0x01, &[], &snap(&packet())),
            data(0x08, 0x03, &[0; 6], &snap(&packet())),
            data(0x88, 0x02, &[0, 0], &snap(&packet())),
        ] {
            assert_eq!(walk(LinkType::IEEE802_11, &frame).only(), packet());
            let with_radio = [&[0, 0, 8, 0, 1, 2, 3, 4][..], &frame].concat();
            assert_eq!(walk(LinkType::IEEE802_11_RADIO, &with_radio).only(), packet());
        }
    }

    #[test]
    fn beacons_empty_and_encrypted_frames_are_not_data() {
        for frame in [
            data(0x80, 0, &[], &[1; 20]),
            data(0x48, 0, &[], &[1; 20]),
            data(0x88, 0x41, &[0, 0], &snap(&packet())),
        ] {
            let found = walk(LinkType::IEEE802_11, &frame);
            assert_eq!((found.dropped(Reason::WirelessNotData), found.weirds.len()), (1, 0));
        }
    }

    #[test]
    fn of_an_aggregated_frame_all_packets_come_and_the_first_stands_for_the_frame() {
        let part = |packet: &[u8]| {
            let snap = snap(packet);
            [&[0; 13][..], &[snap.len() as u8], &snap, &vec![0; snap.len() % 4]].concat()
        };
        let other = v4(99, b"other");
        let frame = data(0x88, 0x02, &[0x80, 0], &[part(&packet()), part(&other)].concat());
        let found = walk(LinkType::IEEE802_11, &frame);
        let frames: Vec<_> = found.packets.iter().map(|p| p.head.frames).collect();
        assert_eq!(frames, [1, 0]);
        assert_eq!(found.packets[1].data.bytes(), other);
    }

    #[test]
    fn a_bad_part_ends_an_aggregated_frame() {
        let bad = [&[0; 13][..], &[8], &[1; 8], &[0; 30]].concat();
        let found = walk(LinkType::IEEE802_11, &data(0x88, 0x02, &[0x80, 0], &bad));
        assert_eq!(found.weirds, ["invalid_802_11_amsdu_inner_packet IEEE802_11"]);
        assert_eq!(found.dropped(Reason::WirelessNotData), 1);
    }
}
