//! What a tap hands over.

use crate::Time;

/// A link-layer type as in pcap files (LINKTYPE_ values, tcpdump.org/linktypes.html). Unknown numbers stay numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: a 4-byte address family in host order.
    pub const NULL: Self = Self(0);
    /// Ethernet.
    pub const ETHERNET: Self = Self(1);
    /// PPP without framing.
    pub const PPP: Self = Self(9);
    /// FDDI.
    pub const FDDI: Self = Self(10);
    /// PPP in HDLC-like framing.
    pub const PPP_SERIAL: Self = Self(50);
    /// Raw IP, by its version nibble (the value that pcap files carry).
    pub const RAW: Self = Self(101);
    /// IEEE 802.11 without a radio header.
    pub const IEEE802_11: Self = Self(105);
    /// OpenBSD loopback: a 4-byte address family in network order.
    pub const LOOP: Self = Self(108);
    /// Linux cooked capture v1.
    pub const LINUX_SLL: Self = Self(113);
    /// OpenBSD packet filter log.
    pub const PFLOG: Self = Self(117);
    /// IEEE 802.11 with a radiotap header.
    pub const IEEE802_11_RADIO: Self = Self(127);
    /// Raw IPv4.
    pub const IPV4: Self = Self(228);
    /// Raw IPv6.
    pub const IPV6: Self = Self(229);
    /// Linux netfilter log.
    pub const NFLOG: Self = Self(239);
    /// Linux cooked capture v2.
    pub const LINUX_SLL2: Self = Self(276);
}

/// What a network card or a virtual one has not done yet, or has done, with a frame that a live tap hands over. All zero
/// for a frame as it is on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Offload {
    /// How many bytes of payload each packet has into which the card will cut this super-frame, or out of which it made it,
    /// but for the last, which may have fewer; 0 where the frame is one packet.
    pub segment_size: u16,
    /// The transport checksum is known to be good, or is not filled in yet: it says nothing and must not be checked.
    pub checksum_void: bool,
    /// This host sent the frame (`PACKET_OUTGOING`).
    pub outgoing: bool,
}

/// One captured frame.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// When the tap saw it.
    pub time: Time,
    /// Which tap saw it (a number that the process gives).
    pub tap: u16,
    /// Its place in the stream of this process, from 0, without holes: the order in which records are told.
    pub sequence: u64,
    /// What its first header is.
    pub link: LinkType,
    /// Its length on the wire; never less than `data.len()`.
    pub wire_len: u32,
    /// What was left to the network card.
    pub offload: Offload,
    /// The captured bytes.
    pub data: &'a [u8],
}
