//! Bytes to messages: records, handshake messages across records and DTLS fragments, extensions.
//!
//! Promise: messages borrow from the bytes; any split of a stream gives the same messages; what is held is bounded
//! (one record, one message, and one DTLS message in fragments for each side).
//! Source: RFC 6101, 5246, 8446, 6347, 9147; Zeek's src/analyzer/protocol/ssl/*.pac for what is tolerated.

pub mod dtls;
pub mod extension;
pub mod fields;
pub mod handshake;
pub mod records;
pub mod stream;
pub mod v2;

/// Types of records.
pub mod content {
    /// change_cipher_spec.
    pub const CHANGE_CIPHER_SPEC: u16 = 20;
    /// alert.
    pub const ALERT: u16 = 21;
    /// handshake.
    pub const HANDSHAKE: u16 = 22;
    /// application_data.
    pub const APPLICATION_DATA: u16 = 23;
    /// heartbeat.
    pub const HEARTBEAT: u16 = 24;
    /// What is added to a type of SSLv2, so that it is none of the above.
    pub const V2: u16 = 300;
    /// An error of SSLv2.
    pub const V2_ERROR: u16 = V2;
    /// The client's hello of SSLv2.
    pub const V2_CLIENT_HELLO: u16 = V2 + 1;
    /// The client's key of SSLv2.
    pub const V2_CLIENT_MASTER_KEY: u16 = V2 + 2;
    /// The server's hello of SSLv2.
    pub const V2_SERVER_HELLO: u16 = V2 + 4;
}
