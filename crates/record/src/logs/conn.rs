//! conn.log and tunnel.log (Zeek: base/protocols/conn, base/frameworks/tunnels).

use weir_wire::{ConnId, Interval, Time};

use crate::{ConnUid, Name, Record, Set, Text};

/// Connections of every IP protocol: who, when, how much, and how it ended.
#[derive(Clone, Debug, Record)]
#[record(path = "conn")]
pub struct Conn {
    /// Time of the first packet.
    pub ts: Time,
    /// Unique identifier of the connection; the other logs refer to it.
    pub uid: ConnUid,
    /// The endpoints.
    #[record(id)]
    pub id: ConnId,
    /// The transport: `tcp`, `udp`, `icmp` or `unknown_transport`.
    pub proto: Name,
    /// The application protocols that were confirmed, separated by commas.
    pub service: Option<Text>,
    /// From the first packet to the last.
    pub duration: Option<Interval>,
    /// Payload bytes that the originator sent: by sequence numbers for TCP, by length fields for others.
    pub orig_bytes: Option<u64>,
    /// Payload bytes that the responder sent.
    pub resp_bytes: Option<u64>,
    /// How the connection began and ended: S0, S1, SF, REJ, S2, S3, RSTO, RSTR, RSTOS0, RSTRH, SH, SHR, OTH.
    #[record(string)]
    pub conn_state: Option<Name>,
    /// Whether the originator's address is in the configured local networks.
    pub local_orig: Option<bool>,
    /// Whether the responder's address is in the configured local networks.
    pub local_resp: Option<bool>,
    /// Bytes missing in content gaps.
    pub missed_bytes: u64,
    /// What happened, a letter an event; capitals by the originator.
    pub history: Option<Text>,
    /// Packets that the originator sent.
    pub orig_pkts: Option<u64>,
    /// Bytes that the originator sent, by the IP headers' total length.
    pub orig_ip_bytes: Option<u64>,
    /// Packets that the responder sent.
    pub resp_pkts: Option<u64>,
    /// Bytes that the responder sent, by the IP headers' total length.
    pub resp_ip_bytes: Option<u64>,
    /// The uid of the tunnel's connection around this one.
    pub tunnel_parents: Option<Set<ConnUid>>,
    /// The IP protocol number.
    pub ip_proto: Option<u64>,
}

/// Tunnels as they are found and as they end.
#[derive(Clone, Debug, Record)]
#[record(path = "tunnel")]
pub struct Tunnel {
    /// When it happened.
    pub ts: Time,
    /// Unique identifier of the tunnel; that of its connection where it has one.
    pub uid: Option<ConnUid>,
    /// The tunnel's endpoints.
    #[record(id)]
    pub id: ConnId,
    /// `Tunnel::IP`, `Tunnel::GRE`, `Tunnel::VXLAN` ...
    pub tunnel_type: Name,
    /// `Tunnel::DISCOVER`, `Tunnel::CLOSE` or `Tunnel::EXPIRE`.
    pub action: Name,
}
