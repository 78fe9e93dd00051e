//! Cuts IP packets into fragments (RFC 791, 3.2; RFC 8200, 4.5), as the sender or a router would have.

use crate::checksum::internet_checksum;
use crate::{Ipv4Header, Ipv6Header, ipv4, ipv6};

/// The fragment header of IPv6.
const FRAGMENT_HEADER: usize = 8;

/// The fragments of an IP packet, each a whole IP packet of `mtu` bytes at most.
///
/// Of what is no fragment: a packet that fits is handed over as it is. IPv4 keeps its identification, and copies all options into each fragment; IPv6
/// gets `identification`, and its fragment header stands right behind the fixed header, as for a packet whose extension headers all are part
/// of what is fragmented. What is no IP packet, is a fragment already, or whose `mtu` leaves no room for payload gives nothing.
pub fn fragments(packet: &[u8], mtu: usize, identification: u32) -> impl Iterator<Item = Vec<u8>> {
    let plan = plan(packet, mtu);
    let (header, payload, step) = plan.unwrap_or_default();
    let is_v6 = packet.first().is_some_and(|first| first >> 4 == 6);
    let whole = plan.filter(|_| packet.len() <= mtu).map(|_| packet.to_vec());
    let parts = if whole.is_some() || step == 0 { [].chunks(1) } else { payload.chunks(step) };
    let last = parts.len().saturating_sub(1);
    let cut = parts.enumerate().map(move |(i, part)| {
        let (units, more) = ((i * step / 8) as u16, i < last);
        if is_v6 { v6(header, part, units, more, identification) } else { v4(header, part, units, more) }
    });
    whole.into_iter().chain(cut)
}

/// Header, payload, and how much of it a fragment has: a multiple of 8.
fn plan(packet: &[u8], mtu: usize) -> Option<(&[u8], &[u8], usize)> {
    let (header_len, overhead) = if packet.first()? >> 4 == 4 {
        let header = Ipv4Header::parse(packet).ok().filter(|header| !header.is_fragment())?;
        (header.header_len(), header.header_len())
    } else {
        let header = Ipv6Header::parse(packet).ok()?;
        if header.next_header() == ipv6::extension::FRAGMENT {
            return None;
        }
        (ipv6::LEN, ipv6::LEN + FRAGMENT_HEADER)
    };
    let (header, payload) = packet.split_at_checked(header_len.max(ipv4::MIN_LEN))?;
    let step = mtu.checked_sub(overhead)? / 8 * 8;
    (step > 0 && payload.len() <= 0xffff).then_some((header, payload, step))
}

fn v4(header: &[u8], part: &[u8], units: u16, more: bool) -> Vec<u8> {
    let mut packet = [header, part].concat();
    let total = (packet.len() as u16).to_be_bytes();
    let field = (units | if more { 0x2000 } else { 0 }).to_be_bytes();
    put(&mut packet, 2, &total);
    put(&mut packet, 6, &field);
    put(&mut packet, 10, &[0; 2]);
    let sum = packet.get(..header.len()).map_or(0, internet_checksum).to_be_bytes();
    put(&mut packet, 10, &sum);
    packet
}

fn v6(header: &[u8], part: &[u8], units: u16, more: bool, identification: u32) -> Vec<u8> {
    let next = header.get(6).copied().unwrap_or(ipv6::extension::NONE);
    let field = (units << 3 | u16::from(more)).to_be_bytes();
    let mut packet = [header, &[next, 0], &field, &identification.to_be_bytes(), part].concat();
    let payload = ((FRAGMENT_HEADER + part.len()) as u16).to_be_bytes();
    put(&mut packet, 4, &payload);
    put(&mut packet, 6, &[ipv6::extension::FRAGMENT]);
    packet
}

fn put(packet: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(field) = packet.get_mut(at..at + bytes.len()) {
        field.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet_v4(payload: usize) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 0, 0x12, 0x34, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        packet.extend((0..payload).map(|i| i as u8));
        let total = (packet.len() as u16).to_be_bytes();
        packet[2..4].copy_from_slice(&total);
        let sum = internet_checksum(&packet[..20]).to_be_bytes();
        packet[10..12].copy_from_slice(&sum);
        packet
    }

    #[test]
    fn fragments_of_ipv4_are_valid_and_together_the_packet() {
        let packet = packet_v4(3000);
        let parts: Vec<_> = fragments(&packet, 1500, 0).collect();
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [1500, 1500, 60]);
        let mut payload: Vec<u8> = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            let header = Ipv4Header::parse(part).unwrap();
            assert!(header.checksum_is_valid());
            assert_eq!((header.id(), usize::from(header.total_len())), (0x1234, part.len()));
            assert_eq!(
                (usize::from(header.fragment_offset()), header.more_fragments()),
                (payload.len(), i < 2)
            );
            payload.extend(&part[20..]);
        }
        assert_eq!(payload, packet[20..]);
    }

    #[test]
    fn fragments_of_ipv6_carry_the_fragment_header() {
        let mut packet = vec![0x60, 0, 0, 0, 0x0b, 0xb8, 17, 64];
        packet.extend([1; 16]);
        packet.extend([2; 16]);
        packet.extend([7; 3000]);
        let parts: Vec<_> = fragments(&packet, 1280, 99).collect();
        let payload: usize = parts.iter().map(|part| part.len() - 48).sum();
        assert_eq!((parts.len(), payload), (3, 3000));
        for (i, part) in parts.iter().enumerate() {
            let header = Ipv6Header::parse(part).unwrap();
            assert_eq!((header.next_header(), usize::from(header.payload_len())), (44, part.len() - 40));
            assert_eq!((part[40], &part[44..48]), (17, &[0, 0, 0, 99][..]));
            let field = u16::from_be_bytes([part[42], part[43]]);
            assert_eq!((usize::from(field >> 3) * 8, field & 1 == 1), (i * 1232, i < 2));
        }
    }

    #[test]
    fn what_fits_stays_whole_and_what_cannot_be_cut_gives_nothing() {
        let packet = packet_v4(100);
        assert_eq!(fragments(&packet, 1500, 0).collect::<Vec<_>>(), std::slice::from_ref(&packet));
        assert_eq!(fragments(&packet, 24, 0).count(), 0);
        assert_eq!(fragments(&[], 1500, 0).count(), 0);
        assert_eq!(fragments(&[0x45; 10], 1500, 0).count(), 0);
        assert_eq!(fragments(&[0x10; 100], 1500, 0).count(), 0);
        let part = fragments(&packet_v4(3000), 1500, 0).next().unwrap();
        assert_eq!(fragments(&part, 576, 0).count(), 0);
    }
}
