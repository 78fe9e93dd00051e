//! quic.log (Zeek: base/protocols/quic).

use weir_wire::{ConnId, Time};

use crate::{ConnUid, Record, Text};

/// QUIC connections, as far as their first packets show.
#[derive(Clone, Debug, Record)]
#[record(path = "quic")]
pub struct Quic {
    /// When the first packet came.
    pub ts: Time,
    /// The connection.
    pub uid: ConnUid,
    /// The endpoints.
    #[record(id)]
    pub id: ConnId,
    /// The version of the first packet.
    pub version: Text,
    /// The connection id that the client first sent to, in hexadecimal: the keys of the first packets are made from it.
    pub client_initial_dcid: Option<Text>,
    /// The client's own connection id.
    pub client_scid: Option<Text>,
    /// The server's own connection id.
    pub server_scid: Option<Text>,
    /// The server name that the client asked for.
    pub server_name: Option<Text>,
    /// The first protocol that the client offered.
    pub client_protocol: Option<Text>,
    /// The packets, a letter each; capitals by the client.
    pub history: Text,
}
