//! Link layers: what is in front of the IP header.
//!
//! Format: LINKTYPE_ values of tcpdump.org/linktypes.html, Ethertypes of IEEE 802. Meaning and weirds: Zeek,
//! src/packet_analysis/protocol/*.

mod cooked;
mod ethernet;
mod nflog;
mod ppp;
mod wireless;

use weir_ledger::Reason;
use weir_wire::LinkType;

use crate::walk::{Layer, Step, Walk};

pub(crate) use wireless::Parts as WirelessParts;

/// The first layer of a frame of `link`; `None` where the link type is not known.
pub(crate) const fn first(link: LinkType) -> Option<Layer> {
    Some(match link {
        LinkType::ETHERNET => Layer::Ethernet,
        LinkType::NULL => Layer::Null,
        LinkType::LOOP => Layer::Null,
        LinkType::PPP => Layer::PppRaw,
        LinkType::PPP_SERIAL => Layer::PppSerial,
        LinkType::FDDI => Layer::Fddi,
        LinkType::IEEE802_11 => Layer::Wireless,
        LinkType::IEEE802_11_RADIO => Layer::Radiotap,
        LinkType::LINUX_SLL => Layer::Cooked,
        LinkType::LINUX_SLL2 => Layer::Cooked2,
        LinkType::NFLOG => Layer::Nflog,
        LinkType::PFLOG => Layer::Pflog,
        LinkType::RAW | LinkType::IPV4 | LinkType::IPV6 => Layer::Ip,
        _ => return None,
    })
}

/// Passes over one header of `layer` at the start of `bytes`.
pub(crate) fn step<'a>(walk: &mut Walk<'_>, layer: Layer, bytes: &'a [u8]) -> Step<'a> {
    match layer {
        Layer::Ethernet => ethernet::frame(walk, bytes),
        Layer::Vlan => ethernet::vlan(walk, bytes),
        Layer::VnTag => ethernet::vn_tag(walk, bytes),
        Layer::Backbone => ethernet::backbone(walk, bytes),
        Layer::Mpls => ethernet::mpls(walk, bytes),
        Layer::Arp => ethernet::arp(walk, bytes),
        Layer::Llc => ethernet::llc(walk, bytes),
        Layer::PppOe => ppp::over_ethernet(walk, bytes),
        Layer::PppSerial => ppp::serial(walk, bytes),
        Layer::PppRaw => ppp::raw(walk, bytes),
        Layer::Wireless => wireless::frame(walk, bytes),
        Layer::WirelessPart => wireless::part(walk, bytes),
        Layer::Radiotap => wireless::radiotap(walk, bytes),
        Layer::Cooked => cooked::sll(walk, bytes),
        Layer::Cooked2 => cooked::sll2(walk, bytes),
        Layer::Null => cooked::null(walk, bytes),
        Layer::Pflog => cooked::pflog(walk, bytes),
        Layer::Fddi => cooked::fddi(walk, bytes),
        Layer::Nflog => nflog::log(walk, bytes),
        // The walk itself goes over these two.
        Layer::WirelessParts | Layer::Ip => Step::Next(layer, bytes),
    }
}

/// The layer behind an Ethertype, whatever carried it.
pub(crate) const fn ethertype(number: u16, bytes: &[u8]) -> Step<'_> {
    let layer = match number {
        0x0800 | 0x86dd => Layer::Ip,
        0x8100 | 0x88a8 | 0x9100 | 0x9200 => Layer::Vlan,
        0x8847 | 0x8848 => Layer::Mpls,
        0x8864 => Layer::PppOe,
        0x88e7 => Layer::Backbone,
        0x8926 => Layer::VnTag,
        0x0806 | 0x8035 => Layer::Arp,
        _ => return Step::Drop(Reason::NotIp),
    };
    Step::Next(layer, bytes)
}

impl Layer {
    /// The name of Zeek's analyser, which is the source of the layer's weirds.
    pub const fn source(self) -> &'static str {
        match self {
            Self::Ethernet => "ETHERNET",
            Self::Vlan => "VLAN",
            Self::VnTag => "VNTAG",
            Self::Backbone => "PBB",
            Self::Mpls => "MPLS",
            Self::Arp => "ARP",
            Self::Llc => "LLC",
            Self::PppOe => "PPPOE",
            Self::PppSerial => "PPPSERIAL",
            Self::PppRaw => "PPP",
            Self::Wireless | Self::WirelessPart | Self::WirelessParts => "IEEE802_11",
            Self::Radiotap => "IEEE802_11_RADIO",
            Self::Cooked => "LINUXSLL",
            Self::Cooked2 => "LINUXSLL2",
            Self::Null => "NULL",
            Self::Pflog => "PFLOG",
            Self::Fddi => "FDDI",
            Self::Nflog => "NFLOG",
            Self::Ip => "IP",
        }
    }
}
