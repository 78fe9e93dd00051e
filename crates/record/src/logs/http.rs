//! http.log (Zeek: base/protocols/http).

use weir_wire::{ConnId, Time};

use crate::{ConnUid, FileUid, Name, Record, Set, Text};

/// HTTP requests with their replies.
#[derive(Clone, Debug, Record)]
#[record(path = "http")]
pub struct Http {
    /// When the request was seen.
    pub ts: Time,
    /// The connection.
    pub uid: ConnUid,
    /// The endpoints.
    #[record(id)]
    pub id: ConnId,
    /// Which request of the connection this is, from 1.
    pub trans_depth: u64,
    /// The method.
    pub method: Option<Text>,
    /// The Host header.
    pub host: Option<Text>,
    /// The URI.
    pub uri: Option<Text>,
    /// The Referer header.
    pub referrer: Option<Text>,
    /// The version, of the reply where there is one.
    pub version: Option<Text>,
    /// The User-Agent header.
    pub user_agent: Option<Text>,
    /// The Origin header.
    pub origin: Option<Text>,
    /// Bytes of the request's body, after decoding.
    pub request_body_len: u64,
    /// Bytes of the reply's body, after decoding.
    pub response_body_len: u64,
    /// The status of the reply.
    pub status_code: Option<u64>,
    /// Its text.
    pub status_msg: Option<Text>,
    /// The last informational (1xx) status.
    pub info_code: Option<u64>,
    /// Its text.
    pub info_msg: Option<Text>,
    /// What detection scripts attached.
    pub tags: Set<Name>,
    /// The user name of basic authentication.
    pub username: Option<Text>,
    /// The password, where capturing it is switched on.
    pub password: Option<Text>,
    /// Headers that tell of a proxy, as `NAME -> value`.
    pub proxied: Option<Set<Text>>,
    /// The files of the request.
    pub orig_fuids: Option<Vec<FileUid>>,
    /// Their names.
    pub orig_filenames: Option<Vec<Text>>,
    /// Their MIME types.
    pub orig_mime_types: Option<Vec<Text>>,
    /// The files of the reply.
    pub resp_fuids: Option<Vec<FileUid>>,
    /// Their names.
    pub resp_filenames: Option<Vec<Text>>,
    /// Their MIME types.
    pub resp_mime_types: Option<Vec<Text>>,
}
