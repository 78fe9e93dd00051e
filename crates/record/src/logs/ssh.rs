//! ssh.log (Zeek: base/protocols/ssh).

use weir_wire::{ConnId, Time};

use crate::{ConnUid, Name, Record, Text};

/// SSH handshakes and how authentication went.
#[derive(Clone, Debug, Record)]
#[record(path = "ssh")]
pub struct Ssh {
    /// When the connection was found to be SSH.
    pub ts: Time,
    /// The connection.
    pub uid: ConnUid,
    /// The endpoints.
    #[record(id)]
    pub id: ConnId,
    /// 1 or 2.
    pub version: Option<u64>,
    /// Whether authentication succeeded, judged by packet lengths.
    pub auth_success: Option<bool>,
    /// How many attempts were seen.
    pub auth_attempts: u64,
    /// `INBOUND` or `OUTBOUND`, where exactly one side is local.
    pub direction: Option<Name>,
    /// The client's version string.
    pub client: Option<Text>,
    /// The server's version string.
    pub server: Option<Text>,
    /// The cipher that the server will use.
    pub cipher_alg: Option<Text>,
    /// The message authentication code.
    pub mac_alg: Option<Text>,
    /// The compression.
    pub compression_alg: Option<Text>,
    /// The key exchange.
    pub kex_alg: Option<Text>,
    /// The host key's algorithm.
    pub host_key_alg: Option<Text>,
    /// The host key's fingerprint.
    pub host_key_fingerprint: Option<Text>,
}
