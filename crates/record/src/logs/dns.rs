//! dns.log (Zeek: base/protocols/dns).

use weir_wire::{ConnId, Interval, Time};

use crate::{ConnUid, Name, Record, Text};

/// DNS queries with their answers.
#[derive(Clone, Debug, Record)]
#[record(path = "dns")]
pub struct Dns {
    /// The first message of the query or its reply.
    pub ts: Time,
    /// The connection.
    pub uid: ConnUid,
    /// The endpoints.
    #[record(id)]
    pub id: ConnId,
    /// The transport.
    pub proto: Name,
    /// The identifier that the client chose.
    pub trans_id: Option<u64>,
    /// From the query to the first reply that answers it.
    pub rtt: Option<Interval>,
    /// The name asked for.
    pub query: Option<Text>,
    /// The class asked for.
    pub qclass: Option<u64>,
    /// Its name.
    pub qclass_name: Option<Text>,
    /// The type asked for.
    pub qtype: Option<u64>,
    /// Its name.
    pub qtype_name: Option<Text>,
    /// The response code.
    pub rcode: Option<u64>,
    /// Its name.
    pub rcode_name: Option<Text>,
    /// Authoritative answer.
    #[record(name = "AA")]
    pub aa: bool,
    /// Truncated.
    #[record(name = "TC")]
    pub tc: bool,
    /// Recursion desired.
    #[record(name = "RD")]
    pub rd: bool,
    /// Recursion available.
    #[record(name = "RA")]
    pub ra: bool,
    /// The reserved bits.
    #[record(name = "Z")]
    pub z: u64,
    /// The answers, each as text.
    pub answers: Option<Vec<Text>>,
    /// Their times to live.
    #[record(name = "TTLs")]
    pub ttls: Option<Vec<Interval>>,
    /// Whether the server refused.
    pub rejected: bool,
    /// The operation code.
    pub opcode: Option<u64>,
    /// Its name.
    pub opcode_name: Option<Text>,
}
