//! What `decap` hands to `spread` and `analyse`: one IP packet and what surrounded it.

use crate::{Direction, FlowKey, Time, Uid};

/// The kinds of tunnel that are told apart (Zeek's `Tunnel::Type`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum TunnelKind {
    /// Not in a tunnel.
    #[default]
    None,
    /// IP in IP, 6in4, 4in6.
    Ip,
    /// GRE, with ERSPAN.
    Gre,
    /// AYIYA (IPv6 over UDP, SixXS).
    Ayiya,
    /// Teredo (RFC 4380).
    Teredo,
    /// SOCKS (seen by its analyser, not by decap).
    Socks,
    /// GTPv1-U (3GPP TS 29.281).
    Gtpv1,
    /// HTTP CONNECT (seen by its analyser, not by decap).
    Http,
    /// VXLAN (RFC 7348).
    Vxlan,
    /// GENEVE (RFC 8926).
    Geneve,
}

/// What the engine shall do with a packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// The innermost packet of its frame: analyse its payload.
    Innermost,
    /// The UDP packet around a tunnelled packet: it counts for its own connection, whose service is the
    /// tunnel's protocol ([`TunnelKind::None`]: not confirmed yet); its payload is not analysed again. It stands for no
    /// frame of its own.
    Carrier(TunnelKind),
}

/// Everything known of a packet that is not its bytes. Plain data, so that it crosses threads by copy.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// When the frame was seen (of a reassembled packet: its last fragment).
    pub time: Time,
    /// [`crate::Frame::sequence`] of the frame (of a reassembled packet: of its last fragment).
    pub sequence: u64,
    /// Which tap saw it.
    pub tap: u16,
    /// How many frames this packet stands for in the ledger: 1, more if reassembled, 0 for a carrier.
    pub frames: u32,
    /// The wire bytes of those frames.
    pub frame_bytes: u64,
    /// The flow it belongs to.
    pub key: FlowKey,
    /// Which way it goes.
    pub direction: Direction,
    /// What to do with it.
    pub role: Role,
    /// Whether this flow can have packets of one direction only (an ICMP error).
    pub one_way: bool,
    /// 4 or 6.
    pub ip_version: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// The length that the IP header claims, header included (of a reassembled packet: of the whole). Where segmentation
    /// was left to the interface it is 0 (IPv4) or 40 (IPv6), and the packet has all captured bytes as its data.
    pub ip_len: u32,
    /// Where the transport header starts in the packet's data: the IP header and its extension headers.
    pub transport_at: u16,
    /// How many bytes before the IP header the innermost Ethernet header starts, in the frame that the packet was captured
    /// in; 0 where there is none between it and the next tunnel outwards, or the packet was put together.
    pub link_len: u16,
    /// How many tunnels are around it.
    pub depth: u8,
    /// The innermost tunnel around it.
    pub tunnel: TunnelKind,
    /// The uid of that tunnel's connection, or [`Uid::NONE`].
    pub parent: Uid,
    /// The outermost VLAN id, or 0.
    pub vlan: u16,
    /// The inner VLAN id, or 0.
    pub inner_vlan: u16,
    /// Whether this packet was put together from fragments.
    pub reassembled: bool,
    /// Whether Ethernet padding or a snap length makes the captured bytes differ from `ip_len` on purpose of the
    /// capture: set where fewer bytes were captured than `ip_len`.
    pub truncated: bool,
}

/// The bytes of a packet: in the frame where they were captured, or of their own where fragments were joined.
#[derive(Clone, Debug)]
pub enum Data<'a> {
    /// In the captured frame.
    Frame(&'a [u8]),
    /// Joined from fragments.
    Joined(Box<[u8]>),
}

impl Data<'_> {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Data::Frame(b) => b,
            Data::Joined(b) => b,
        }
    }
}

/// One IP packet.
#[derive(Clone, Debug)]
pub struct Packet<'a> {
    /// What is known of it.
    pub head: Head,
    /// From the first byte of the IP header to the end of what was captured or of what the header claims,
    /// whichever comes first.
    pub data: Data<'a>,
}

impl Packet<'_> {
    /// The captured part of the transport header and its payload.
    pub fn transport(&self) -> &[u8] {
        self.data.bytes().get(self.head.transport_at as usize..).unwrap_or_default()
    }

    /// From the innermost Ethernet header to the end of the packet, where there is one; `frame` is the data of the frame that the
    /// packet was found in.
    pub fn ethernet<'f>(&self, frame: &'f [u8]) -> Option<&'f [u8]> {
        let Data::Frame(ip) = &self.data else { return None };
        let ip_at = ip.as_ptr().addr().checked_sub(frame.as_ptr().addr())?;
        let start = ip_at.checked_sub(usize::from(self.head.link_len))?;
        frame.get(start..ip_at + ip.len()).filter(|_| self.head.link_len > 0)
    }

    /// The length of transport header and payload that the IP header claims, captured or not; where it does not say
    /// (see [`Head::ip_len`]), what was captured.
    pub fn transport_len(&self) -> u32 {
        let whole = self.head.ip_len.max(self.data.bytes().len() as u32);
        whole.saturating_sub(u32::from(self.head.transport_at))
    }
}
