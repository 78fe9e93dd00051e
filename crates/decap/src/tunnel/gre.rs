//! What GRE carries: packets, frames, and mirrored frames (ERSPAN). Checks in the order of Zeek
//! (src/packet_analysis/protocol/gre/GRE.cc).

use weir_ledger::Reason;
use weir_wire::tunnel::{ErspanHeader, GreHeader, gre::protocol};

use crate::around::Tunnelled;
use crate::carried::Channel;
use crate::config::TenantBy;
use crate::walk::{Layer, Step, Walk};

const SOURCE: &str = "GRE";
/// An Ethernet header.
const ETHERNET: usize = 14;
/// Address, control and protocol of PPP.
const PPP: usize = 4;

/// What is behind a GRE header.
pub(super) enum Content<'a> {
    /// A header of this layer; nothing is known of it.
    Any(Layer, &'a [u8]),
    /// An IP packet of this version.
    Ip(u8, &'a [u8]),
}

/// What the GRE packet in `bytes` carries.
pub(super) fn content<'a>(walk: &mut Walk<'_>, bytes: &'a [u8]) -> Result<Content<'a>, Step<'a>> {
    let Ok(gre) = GreHeader::parse(bytes) else { return Err(truncated(walk)) };
    let inner = gre.inner().unwrap_or_default();
    number(walk, &gre, inner);
    let version = gre.version();
    let found = match (version, gre.protocol()) {
        (0, protocol::ETHERNET) => ethernet(inner),
        (0, protocol::ERSPAN | protocol::ERSPAN3) => match mirrored(&gre, inner) {
            Some(header) => ethernet(header.inner()),
            None if gre.protocol() == protocol::ERSPAN && !gre.has_sequence() => ethernet(inner),
            None => None,
        },
        (0, number) if is_wireless(number) => {
            if inner.is_empty() {
                None
            } else {
                Some(Content::Any(Layer::Wireless, inner))
            }
        }
        (0, _) => gre.inner().map(|inner| Content::Any(Layer::Ip, inner)),
        (1, protocol::PPP) => Some(Content::Ip(0, inner)),
        (1, other) => return Err(refuse(walk, "egre_protocol_type", Some(format!("proto={other}")))),
        _ => return Err(refuse(walk, "unknown_gre_version", Some(format!("version={version}")))),
    };
    let Some(found) = found else { return Err(truncated(walk)) };
    if gre.has_routing() {
        return Err(refuse(walk, "gre_routing", None));
    }
    if gre.has_reserved() {
        return Err(refuse(walk, "unknown_gre_flags", None));
    }
    if let Some(key) = gre.key() {
        walk.surrounded_by(TenantBy::Key, key);
    }
    let header = mirrored(&gre, inner);
    walk.is_mirrored = header.is_some_and(|header| header.is_truncated());
    let session = header.map(|header| Tunnelled::Session(header.session()));
    walk.surrounded(session.or_else(|| gre.key().filter(|_| version == 0).map(Tunnelled::Key)));
    match found {
        Content::Ip(_, ppp) => point_to_point(walk, ppp),
        any @ Content::Any(..) => Ok(any),
    }
}

/// The header of ERSPAN types II and III.
fn mirrored<'a>(gre: &GreHeader<'_>, inner: &'a [u8]) -> Option<ErspanHeader<'a>> {
    match gre.protocol() {
        protocol::ERSPAN if gre.has_sequence() => ErspanHeader::parse_2(inner).ok(),
        protocol::ERSPAN3 => ErspanHeader::parse_3(inner).ok(),
        _ => None,
    }
}

/// The sequence number of version 0 tells what was lost on the way. That of PPTP counts otherwise.
fn number(walk: &mut Walk<'_>, gre: &GreHeader<'_>, inner: &[u8]) {
    let Some(number) = gre.sequence().filter(|_| gre.version() == 0) else { return };
    let channel = match (mirrored(gre, inner), gre.key()) {
        (Some(header), _) => Channel::Erspan(header.session()),
        (None, Some(key)) => Channel::Key(key),
        (None, None) => Channel::Gre,
    };
    walk.numbered_by(channel, u64::from(number));
}

/// An Ethernet frame with more than its header.
fn ethernet(frame: &[u8]) -> Option<Content<'_>> {
    (frame.len() > ETHERNET).then_some(Content::Any(Layer::Ethernet, frame))
}

/// The packet in a PPP frame, whose address and control are there but may be anything.
fn point_to_point<'a>(walk: &mut Walk<'_>, ppp: &'a [u8]) -> Result<Content<'a>, Step<'a>> {
    match ppp.split_first_chunk::<PPP>() {
        Some(([_, _, 0, 0x21], packet)) => Ok(Content::Ip(4, packet)),
        Some(([_, _, 0, 0x57], packet)) => Ok(Content::Ip(6, packet)),
        Some(_) => {
            walk.weird("non_ip_packet_in_encap", None, Some(SOURCE));
            Err(Step::Drop(Reason::TunnelNotIp))
        }
        None => Err(truncated(walk)),
    }
}

/// The protocol types of Aruba's access points.
const fn is_wireless(number: u16) -> bool {
    number == 0x9000 || (number & 0x8200 == 0x8200 && number.is_multiple_of(16))
}

fn truncated<'a>(walk: &mut Walk<'_>) -> Step<'a> {
    refuse(walk, "truncated_GRE", None)
}

fn refuse<'a>(walk: &mut Walk<'_>, name: &'static str, addl: Option<String>) -> Step<'a> {
    walk.weird(name, addl.map(Into::into), Some(SOURCE));
    Step::Drop(Reason::MalformedTunnel)
}

#[cfg(test)]
mod tests {
    use crate::testing::{Found, ethernet, packet, v4, walk};
    use weir_wire::{LinkType, TunnelKind};

    fn over(header: &[u8], inner: &[u8]) -> Found {
        walk(LinkType::RAW, &v4(47, &[header, inner].concat()))
    }

    #[test]
    fn packets_and_frames_of_all_kinds_are_found() {
        let frame = ethernet(0x0800, &packet());
        let mirrored = |header: usize| [vec![0; header], frame.clone()].concat();
        let mut optional = mirrored(20);
        optional[11] = 1;
        let wireless = [&[0x08, 0x01][..], &[0; 22], &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &packet()].concat();
        for (header, inner) in [
            (&[0, 0, 8, 0][..], packet()),
            (&[0xb0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1], packet()),
            (&[0, 0, 0x65, 0x58], frame.clone()),
            (&[0, 0, 0x88, 0xbe], frame.clone()),
            (&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1], mirrored(8)),
            (&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1], mirrored(12)),
            (&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1], optional),
            (&[0x30, 0x81, 0x88, 0x0b, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xff, 3, 0, 0x21], packet()),
            (&[0, 0, 0x83, 0x10], wireless),
        ] {
            let found = over(header, &inner);
            assert_eq!(found.only(), packet());
            let head = found.packets[0].head;
            assert_eq!((head.depth, head.tunnel, head.frames), (1, TunnelKind::Gre, 1));
            assert!(head.parent.is_some());
        }
    }

    #[test]
    fn what_is_wrong_is_said_by_name() {
        let frame = ethernet(0x0800, &packet());
        for (header, inner, weird) in [
            (&[0, 0, 8][..], &[][..], "truncated_GRE"),
            (&[0x80, 0, 8, 0, 0], &[], "truncated_GRE"),
            (&[0, 0, 0x65, 0x58], &frame[..14], "truncated_GRE"),
            (&[0, 0, 0x22, 0xeb], &frame[..20], "truncated_GRE"),
            (&[0, 2, 8, 0], &[], "unknown_gre_version(version=2)"),
            (&[0, 1, 8, 0], &[], "egre_protocol_type(proto=2048)"),
            (&[0x40, 0, 8, 0], &frame, "gre_routing"),
            (&[0, 8, 8, 0], &frame, "unknown_gre_flags"),
            (&[0, 1, 0x88, 0x0b], &[0xff, 3, 0xc0, 0x21], "non_ip_packet_in_encap"),
        ] {
            assert_eq!(over(header, inner).weirds, [format!("{weird} GRE 10.0.0.1>10.0.0.2")]);
        }
    }
}
