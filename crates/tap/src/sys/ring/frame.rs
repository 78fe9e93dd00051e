//! One frame of a ring's block: `struct tpacket3_hdr` and `struct sockaddr_ll` to a [`FrameMeta`], and the frame made what
//! it was on the wire.
//!
//! - A VLAN tag that the kernel keeps beside the frame is put back between addresses and type, for which the ring
//!   reserves room in front of each frame.
//! - Link layers: Ethernet and loopback as they are; 802.11 as it is; of all other hardware the network layer: raw IP, or a
//!   Linux cooked header (v2) in front of what is not IP.
//! - `struct virtio_net_hdr`, in front of the frame, tells super-frames and unfinished checksums.
//!
//! Source: linux/if_packet.h, linux/virtio_net.h, tcpdump.org/linktypes/LINKTYPE_LINUX_SLL2.html.

use weir_wire::{LinkType, Offload, Time};

use super::abi::{
    FRAME_HEADER, PACKET_OUTGOING, STATUS_CSUM_NOT_READY, STATUS_CSUM_VALID, STATUS_VLAN_TPID_VALID,
    STATUS_VLAN_VALID,
};
use crate::FrameMeta;

/// Room in front of each frame: for a VLAN tag (4) or a cooked header with one (24).
pub(super) const RESERVE: usize = 32;
/// The length of `struct virtio_net_hdr`.
const VNET_LEN: usize = 10;
/// Its flags: the transport checksum is to be filled in; it was found good.
const VNET_NEEDS_CSUM: u8 = 1;
const VNET_DATA_VALID: u8 = 2;
/// Its kind of segments: UDP datagrams, as opposed to TCP segments.
const VNET_UDP: u8 = 5;
const COOKED: usize = 20;
const TAG: usize = 4;
const ADDRESSES: usize = 12;
const VLAN: u16 = 0x8100;

/// Kinds of hardware (ARPHRD_ of linux/if_arp.h).
pub(super) const HW_ETHERNET: u16 = 1;
pub(super) const HW_LOOPBACK: u16 = 772;
const HW_WIRELESS: u16 = 801;
const HW_RADIOTAP: u16 = 803;

/// A frame found in a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Found {
    /// The frame; its sequence number and tap are left 0.
    pub meta: FrameMeta,
    /// Whether the kernel's filter could not judge it: it has a VLAN tag that the kernel did not see, or is no Ethernet.
    pub unjudged: bool,
    /// Where the next frame begins, from this one.
    pub next: usize,
}

/// The frame whose header begins at `at`, put right in place. `None` if the header makes no sense.
pub(super) fn take(block: &mut [u8], at: usize, vnet: bool) -> Option<Found> {
    let header = Header::read(block, at, vnet)?;
    let mut meta = FrameMeta {
        time: Time::from_parts(i64::from(header.seconds), i64::from(header.nanoseconds)),
        sequence: 0,
        offset: header.mac,
        len: header.captured,
        wire_len: header.len.max(header.captured),
        link: LinkType::ETHERNET,
        tap: 0,
        offload: header.offload(block),
    };
    let is_ethernet = matches!(header.hardware, HW_ETHERNET | HW_LOOPBACK);
    match header.hardware {
        HW_ETHERNET | HW_LOOPBACK => {
            if let Some(tag) = header.tag {
                untie(block, &mut meta, tag)?;
            }
        }
        HW_WIRELESS => meta.link = LinkType::IEEE802_11,
        HW_RADIOTAP => meta.link = LinkType::IEEE802_11_RADIO,
        _ => header.network(block, &mut meta)?,
    }
    Some(Found { meta, unjudged: header.tag.is_some() || !is_ethernet, next: header.next })
}

/// Moves the addresses forward and puts the tag behind them.
fn untie(block: &mut [u8], meta: &mut FrameMeta, (tpid, tci): (u16, u16)) -> Option<()> {
    if (meta.len as usize) < ADDRESSES {
        return Some(());
    }
    let at = meta.offset.checked_sub(TAG)?;
    block.copy_within(meta.offset..meta.offset + ADDRESSES, at);
    let tag = [tpid.to_be_bytes(), tci.to_be_bytes()].concat();
    block.get_mut(at + ADDRESSES..at + ADDRESSES + TAG)?.copy_from_slice(&tag);
    meta.offset = at;
    meta.len += TAG as u32;
    meta.wire_len = meta.wire_len.saturating_add(TAG as u32);
    Some(())
}

/// What the kernel says of a frame.
struct Header {
    next: usize,
    seconds: u32,
    nanoseconds: u32,
    captured: u32,
    len: u32,
    status: u32,
    /// Where the link-layer header begins, and the network header.
    mac: usize,
    network: usize,
    /// Identifier and content of the tag.
    tag: Option<(u16, u16)>,
    protocol: u16,
    interface: u32,
    hardware: u16,
    kind: u8,
    address: [u8; 9],
    vnet: Option<[u8; VNET_LEN]>,
}

impl Header {
    fn read(block: &[u8], at: usize, vnet: bool) -> Option<Self> {
        let bytes: &[u8; FRAME_HEADER] = block.get(at..)?.first_chunk()?;
        let status = word(bytes, 20);
        let captured = word(bytes, 12);
        let mac = at.checked_add(usize::from(half(bytes, 24)))?;
        let network = at.checked_add(usize::from(half(bytes, 26)))?;
        // All that follows relies on this: the captured bytes are inside of the block.
        block.get(mac..mac.checked_add(captured as usize)?)?;
        let tpid = if status & STATUS_VLAN_TPID_VALID == 0 { VLAN } else { half(bytes, 36) };
        let mut address = [0; 9];
        address.copy_from_slice(bytes.get(59..68)?);
        Some(Self {
            next: word(bytes, 0) as usize,
            seconds: word(bytes, 4),
            nanoseconds: word(bytes, 8),
            captured,
            len: word(bytes, 16),
            status,
            mac,
            network,
            tag: (status & STATUS_VLAN_VALID != 0).then(|| (tpid, word(bytes, 32) as u16)),
            protocol: u16::from_be(half(bytes, 50)),
            interface: word(bytes, 52),
            hardware: half(bytes, 56),
            kind: bytes.get(58).copied()?,
            address,
            vnet: if vnet {
                block.get(mac.checked_sub(VNET_LEN)?..mac)?.first_chunk().copied()
            } else {
                None
            },
        })
    }

    fn offload(&self, block: &[u8]) -> Offload {
        let mut offload = Offload {
            segment_size: 0,
            checksum_void: self.status & (STATUS_CSUM_NOT_READY | STATUS_CSUM_VALID) != 0,
            outgoing: self.kind == PACKET_OUTGOING,
        };
        let Some(vnet) = self.vnet else { return offload };
        offload.checksum_void |= vnet[0] & (VNET_NEEDS_CSUM | VNET_DATA_VALID) != 0;
        let size = u32::from(half(&vnet, 4));
        let kind = vnet[1] & 0x7f;
        if kind == 0 || size == 0 {
            return offload;
        }
        let transport = usize::from(half(&vnet, 6));
        let headers = if vnet[0] & VNET_NEEDS_CSUM == 0 {
            // The kernel always leaves the checksum of a super-frame to be filled in; this is only for a kernel that does not.
            self.network.saturating_sub(self.mac) + 40
        } else if kind == VNET_UDP {
            transport + 8
        } else {
            let words = block.get(self.mac + transport + 12).map_or(5, |byte| usize::from(byte >> 4));
            transport + words * 4
        };
        if self.len.saturating_sub(headers as u32) > size {
            offload.segment_size = size as u16;
        }
        offload
    }

    /// The frame from its network header on: as raw IP, or behind a cooked header.
    fn network(&self, block: &mut [u8], meta: &mut FrameMeta) -> Option<()> {
        let skipped = self.network.checked_sub(self.mac)? as u32;
        block.get(self.network..)?;
        meta.offset = self.network;
        meta.len = meta.len.saturating_sub(skipped);
        meta.wire_len = meta.wire_len.saturating_sub(skipped).max(meta.len);
        if matches!(self.protocol, 0x0800 | 0x86dd) && self.tag.is_none() {
            meta.link = LinkType::RAW;
            return Some(());
        }
        let mut cooked = [0; COOKED + TAG];
        let (protocol, len) = self.tag.map_or((self.protocol, COOKED), |(tpid, _)| (tpid, COOKED + TAG));
        let fields = [&protocol.to_be_bytes()[..], &[0; 2], &self.interface.to_be_bytes()];
        let more = [&self.hardware.to_be_bytes()[..], &[self.kind], &self.address];
        let tag = self.tag.map_or([0; TAG], |(_, tci)| {
            let ([a, b], [c, d]) = (tci.to_be_bytes(), self.protocol.to_be_bytes());
            [a, b, c, d]
        });
        let whole = fields.iter().chain(&more).copied().flatten().chain(&tag);
        cooked.iter_mut().zip(whole).for_each(|(to, from)| *to = *from);
        let at = self.network.checked_sub(len)?;
        block.get_mut(at..self.network)?.copy_from_slice(cooked.get(..len)?);
        meta.link = LinkType::LINUX_SLL2;
        meta.offset = at;
        meta.len += len as u32;
        meta.wire_len = meta.wire_len.saturating_add(len as u32);
        Some(())
    }
}

/// A word in the machine's order; 0 where it is not there.
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk);
    found.map_or(0, |b| u32::from_ne_bytes(*b))
}

fn half(bytes: &[u8], at: usize) -> u16 {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk);
    found.map_or(0, |b| u16::from_ne_bytes(*b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Where the test's frames begin.
    const MAC: usize = 128;

    /// What the kernel writes for `frame`, whose network header is 14 bytes behind its start.
    fn block(frame: &[u8], hardware: u16, protocol: u16, change: impl Fn(&mut [u8])) -> Vec<u8> {
        let mut block = vec![0; MAC + frame.len()];
        let len = frame.len() as u32;
        for (at, n) in [(4, 7), (8, 9), (12, len), (16, len), (20, 1)] {
            set(&mut block, at, n);
        }
        block[24..26].copy_from_slice(&(MAC as u16).to_ne_bytes());
        block[26..28].copy_from_slice(&(MAC as u16 + 14).to_ne_bytes());
        block[50..52].copy_from_slice(&protocol.to_be_bytes());
        block[52..56].copy_from_slice(&3u32.to_ne_bytes());
        block[56..58].copy_from_slice(&hardware.to_ne_bytes());
        block[59..68].copy_from_slice(&[6, 2, 0, 0, 0, 0, 1, 0, 0]);
        block[MAC..].copy_from_slice(frame);
        change(&mut block);
        block
    }

    fn ethernet() -> Vec<u8> {
        [&[1u8; 6][..], &[2; 6], &[8, 0], &[0x45; 40]].concat()
    }

    fn set(block: &mut [u8], at: usize, word: u32) {
        block[at..at + 4].copy_from_slice(&word.to_ne_bytes());
    }

    #[test]
    fn a_frame_is_what_the_kernel_put_there() {
        let mut block = block(&ethernet(), HW_ETHERNET, 0x0800, |_| ());
        let found = take(&mut block, 0, false).unwrap();
        assert_eq!(found.meta.frame(&block).data, ethernet());
        assert_eq!((found.meta.time, found.meta.wire_len, found.unjudged), (Time(7_000_000_009), 54, false));
    }

    #[test]
    fn a_vlan_tag_is_put_back_between_addresses_and_type() {
        let tagged = |status: u32| {
            let mut block = block(&ethernet(), HW_ETHERNET, 0x0800, |block| {
                set(block, 20, status);
                set(block, 32, 0x2007);
                block[36..38].copy_from_slice(&0x88a8u16.to_ne_bytes());
            });
            let found = take(&mut block, 0, false).unwrap();
            assert!(found.unjudged);
            assert_eq!(found.meta.wire_len, 58);
            found.meta.frame(&block).data.to_vec()
        };
        let with = |tag: &[u8]| [&ethernet()[..12], tag, &ethernet()[12..]].concat();
        assert_eq!(tagged(0x11), with(&[0x81, 0, 0x20, 7]));
        assert_eq!(tagged(0x51), with(&[0x88, 0xa8, 0x20, 7]));
    }

    #[test]
    fn hardware_without_addresses_gives_raw_ip_and_a_cooked_header_before_all_else() {
        let frame = [&[9u8; 14][..], &[0x45; 20]].concat();
        let mut ip = block(&frame, 0xfffe, 0x0800, |_| ());
        let meta = take(&mut ip, 0, false).unwrap().meta;
        assert_eq!((meta.link, meta.frame(&ip).data), (LinkType::RAW, &[0x45; 20][..]));
        let mut other = block(&frame, 824, 0x1234, |_| ());
        let meta = take(&mut other, 0, false).unwrap().meta;
        let cooked = [0x12, 0x34, 0, 0, 0, 0, 0, 3, 3, 56, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];
        assert_eq!(
            (meta.link, meta.frame(&other).data),
            (LinkType::LINUX_SLL2, &[&cooked[..], &[0x45; 20]].concat()[..])
        );
        assert_eq!((meta.len, meta.wire_len), (40, 40));
        let mut tagged = block(&frame, 824, 0x1234, |block| {
            set(block, 20, 0x11);
            set(block, 32, 5);
        });
        let meta = take(&mut tagged, 0, false).unwrap().meta;
        let data = meta.frame(&tagged).data;
        assert_eq!((&data[..2], &data[20..24], data.len()), (&[0x81, 0][..], &[0, 5, 0x12, 0x34][..], 44));
    }

    #[test]
    fn a_super_frame_tells_the_size_of_its_segments() {
        let frame = [&ethernet()[..14], &[0x45; 20], &[0; 12], &[0x50], &[0; 7], &[0; 3001]].concat();
        let mut block = block(&frame, HW_ETHERNET, 0x0800, |block| {
            block[MAC - 10..MAC - 8].copy_from_slice(&[VNET_NEEDS_CSUM, 1]);
            block[MAC - 6..MAC - 4].copy_from_slice(&1000u16.to_ne_bytes());
            block[MAC - 4..MAC - 2].copy_from_slice(&34u16.to_ne_bytes());
            block[58] = PACKET_OUTGOING;
        });
        let meta = take(&mut block, 0, true).unwrap().meta;
        assert_eq!(meta.offload, Offload { segment_size: 1000, checksum_void: true, outgoing: true });
        assert_eq!(take(&mut block, 0, false).unwrap().meta.offload.segment_size, 0);
    }

    proptest! {
        #[test]
        fn no_header_makes_a_frame_leave_its_block(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..400), at in 0usize..500, vnet: bool,
            mac in 0u16..300, len in 0u32..400, hardware in proptest::sample::select(vec![1u16, 772, 801, 803, 9]),
        ) {
            if bytes.len() > 70 {
                bytes[24..26].copy_from_slice(&mac.to_ne_bytes());
                bytes[12..16].copy_from_slice(&len.to_ne_bytes());
                bytes[56..58].copy_from_slice(&hardware.to_ne_bytes());
            }
            if let Some(found) = take(&mut bytes, at, vnet) {
                prop_assert!(found.meta.offset + found.meta.len as usize <= bytes.len());
                prop_assert!(found.meta.wire_len >= found.meta.len);
            }
        }
    }
}
