//! The IP layer: checks in Zeek's order (src/packet_analysis/protocol/ip/IP.cc), under its names.

mod extension;
mod v4;
mod v6;

use weir_ledger::Reason;
use weir_wire::Address;

use crate::fragment::{Fragment, Fragments};
use crate::walk::{Step, Walk};

/// The source of this layer's weirds.
pub(crate) const SOURCE: &str = "IP";

/// An IP packet whose headers hold together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IpPacket<'a> {
    /// 4 or 6.
    pub version: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Who sent it: the home address where a destination option tells one.
    pub source: Address,
    /// Whom it is for: the last stop of a routing header where there is one.
    pub destination: Address,
    /// What follows the IP header and its extensions.
    pub protocol: u8,
    /// The length that the header claims; 0 where segmentation was left to the interface.
    pub ip_len: u32,
    /// Where the transport header starts in `data`.
    pub transport_at: usize,
    /// From the IP header to the end of the packet or of the capture.
    pub data: &'a [u8],
}

impl<'a> IpPacket<'a> {
    /// The captured part of what the packet carries.
    pub fn payload(&self) -> &'a [u8] {
        self.data.get(self.transport_at..).unwrap_or_default()
    }

    /// The length of what it carries by its header; by the capture where the header does not say.
    pub fn payload_len(&self) -> usize {
        (self.ip_len as usize).max(self.data.len()).saturating_sub(self.transport_at)
    }

    /// Whether less was captured than the header claims.
    pub fn is_truncated(&self) -> bool {
        self.data.len() < self.ip_len as usize
    }
}

/// What the headers of a packet said, before lengths are settled.
struct Header {
    version: u8,
    ttl: u8,
    source: Address,
    destination: Address,
    protocol: u8,
    /// The length that the header claims.
    ip_len: usize,
    /// Whether `ip_len` is to be taken as "to the end of the capture".
    to_the_end: bool,
    /// The length of the header, with options or extensions.
    len: usize,
    fragment: Option<FragmentHeader>,
}

/// Which part of which datagram a fragment is.
#[derive(Clone, Copy, Debug)]
struct FragmentHeader {
    id: u32,
    offset: usize,
    more: bool,
    dont: bool,
    /// Where the number that names the fragment's content is: the byte to be set when the datagram is put together.
    next_at: usize,
    /// The length of the headers that the datagram keeps.
    kept: usize,
}

/// The packet at the start of `bytes`, or how the frame goes on or ends without one.
#[inline]
pub(crate) fn parse<'a>(
    walk: &mut Walk<'_>,
    fragments: &mut Fragments,
    bytes: &'a [u8],
) -> Result<IpPacket<'a>, Step<'a>> {
    walk.hosts = None;
    let header = match bytes.first().map(|b| b >> 4) {
        _ if bytes.len() < weir_wire::ipv4::MIN_LEN => {
            return Err(walk.refuse("truncated_IP", SOURCE, Reason::TruncatedIp));
        }
        Some(4) => v4::header(walk, bytes)?,
        Some(6) => v6::header(walk, bytes)?,
        _ => return Err(walk.refuse("unknown_ip_version", SOURCE, Reason::MalformedIp)),
    };
    let total = if header.to_the_end { bytes.len() } else { header.ip_len };
    if std::mem::take(&mut walk.is_mirrored) && header.len <= bytes.len() {
        walk.cut_by(total.saturating_sub(bytes.len().saturating_add(walk.beyond)));
    }
    check_lengths(walk, &header, total, bytes)?;
    walk.hosts = Some((header.source, header.destination));
    if header.version == 4 && walk.config.verify_checksums && !v4::checksum_is_valid(bytes) {
        return Err(walk.refuse("bad_IP_checksum", SOURCE, Reason::BadIpChecksum));
    }
    let data = walk.trim(bytes, total);
    if let Some(fragment) = header.fragment {
        if data.len() < total {
            walk.weird("incompletely_captured_fragment", None, Some(SOURCE));
            // The first fragment still tells ports, the others tell nothing.
            if fragment.offset != 0 {
                return Err(Step::Drop(Reason::MalformedFragment));
            }
        } else {
            return Err(fragments.add(walk, &describe(&header, fragment, data)));
        }
    }
    if header.version == 6 {
        v6::check_last(walk, &header, data)?;
    }
    Ok(IpPacket {
        version: header.version,
        ttl: header.ttl,
        source: header.source,
        destination: header.destination,
        protocol: header.protocol,
        ip_len: header.ip_len as u32,
        transport_at: header.len,
        data,
    })
}

/// The lengths that headers claim, against each other, the wire, and the capture.
fn check_lengths<'a>(
    walk: &mut Walk<'_>,
    header: &Header,
    total: usize,
    bytes: &[u8],
) -> Result<(), Step<'a>> {
    let (name, reason) = if bytes.len().saturating_add(walk.beyond) < total {
        ("truncated_IP_len", Reason::MalformedIp)
    } else if header.len > total {
        ("invalid_IP_header_size", Reason::MalformedIp)
    } else if header.len > bytes.len() {
        ("internally_truncated_header", Reason::TruncatedIp)
    } else if header.version == 4 && header.len < weir_wire::ipv4::MIN_LEN {
        ("IPv4_min_header_size", Reason::MalformedIp)
    } else {
        return Ok(());
    };
    Err(walk.refuse(name, SOURCE, reason))
}

/// A fragment as the table of datagrams wants it.
fn describe<'a>(header: &Header, fragment: FragmentHeader, data: &'a [u8]) -> Fragment<'a> {
    Fragment {
        version: header.version,
        source: header.source,
        destination: header.destination,
        protocol: header.protocol,
        id: fragment.id,
        offset: fragment.offset,
        more: fragment.more,
        dont: fragment.dont,
        header: data.get(..fragment.kept).unwrap_or_default(),
        next_at: fragment.next_at,
        payload: data.get(header.len..).unwrap_or_default(),
        ip_len: header.ip_len,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::{packet, v6, walk, walk_cut};
    use weir_wire::LinkType;

    fn weirds_of(bytes: &[u8]) -> Vec<String> {
        let found = walk(LinkType::RAW, bytes);
        assert!(found.packets.is_empty());
        found.weirds
    }

    #[test]
    fn packets_that_contradict_themselves_are_refused_by_name() {
        assert_eq!(weirds_of(&packet()[..19]), ["truncated_IP IP"]);
        assert_eq!(weirds_of(&v6(17, &[])[..39]), ["truncated_IP IP"]);
        let with = |at: usize, value: u8| {
            let mut bytes = packet();
            bytes[at] = value;
            weirds_of(&bytes)
        };
        assert_eq!(with(0, 0x55), ["unknown_ip_version IP"]);
        assert_eq!(with(3, 200), ["truncated_IP_len IP"]);
        assert_eq!(with(3, 19), ["invalid_IP_header_size IP"]);
        assert_eq!(with(0, 0x44), ["IPv4_min_header_size IP"]);
    }

    #[test]
    fn what_the_capture_cut_off_is_not_what_the_packet_lacks() {
        let whole = packet();
        let cut = |len: usize| {
            walk_cut(Config::default(), LinkType::RAW, &[(whole[..len].to_vec(), whole.len() as u32)])
        };
        let found = cut(28);
        assert!(found.packets[0].head.truncated);
        assert_eq!((found.only().len(), found.packets[0].transport_len()), (28, 13));
        assert_eq!(cut(27).weirds, ["internally_truncated_header UDP 10.0.0.1>10.0.0.2"]);
        let mut options = packet();
        options[0] = 0x48;
        let found = walk_cut(Config::default(), LinkType::RAW, &[(options[..30].to_vec(), 33)]);
        assert_eq!(found.weirds, ["internally_truncated_header IP"]);
        assert_eq!(found.dropped(Reason::TruncatedIp), 1);
    }

    #[test]
    fn an_unknown_link_type_is_tried_as_ip() {
        assert_eq!(walk(LinkType(999), &packet()).only(), packet());
        assert_eq!(walk(LinkType(999), &[0; 40]).dropped(Reason::UnknownLinkType), 1);
    }
}
