//! weird.log, analyzer.log and reporter.log (Zeek: base/frameworks/notice/weird, base/frameworks/analyzer,
//! base/frameworks/reporter).

use weir_wire::{Address, ConnId, Time};

use crate::{ConnUid, FileUid, Name, Port, Record, Text};

/// Traffic that breaks the rules of its protocol.
#[derive(Clone, Debug, Record)]
#[record(path = "weird")]
pub struct Weird {
    /// When.
    pub ts: Time,
    /// The connection, where there is one.
    pub uid: Option<ConnUid>,
    /// The originator's address.
    #[record(name = "id.orig_h")]
    pub orig_h: Option<Address>,
    /// The originator's port.
    #[record(name = "id.orig_p")]
    pub orig_p: Option<Port>,
    /// The responder's address.
    #[record(name = "id.resp_h")]
    pub resp_h: Option<Address>,
    /// The responder's port.
    #[record(name = "id.resp_p")]
    pub resp_p: Option<Port>,
    /// What happened.
    pub name: Text,
    /// More about it.
    pub addl: Option<Text>,
    /// Whether it became a notice.
    pub notice: bool,
    /// Who saw it.
    pub peer: Text,
    /// The analyser that saw it.
    pub source: Option<Text>,
}

/// Weirds that Zeek's default policy makes a notice of.
const NOTICES: [&str; 3] = ["FIN_storm", "successful_RPC_reply_to_invalid_request", "SYN_after_partial"];

impl Weird {
    /// A weird of the connection or hosts `id`, or of none.
    pub fn new(
        ts: Time,
        uid: Option<ConnUid>,
        id: Option<ConnId>,
        name: &'static str,
        addl: Option<Text>,
        source: Option<&'static str>,
    ) -> Self {
        Self {
            ts,
            uid,
            orig_h: id.map(|i| i.orig_h),
            orig_p: id.map(|i| Port(i.orig_p)),
            resp_h: id.map(|i| i.resp_h),
            resp_p: id.map(|i| Port(i.resp_p)),
            name: name.into(),
            addl,
            notice: NOTICES.contains(&name),
            peer: "zeek".into(),
            source: source.map(Text::from),
        }
    }
}

/// Analysers that gave up on a connection or a file.
#[derive(Clone, Debug, Record)]
#[record(path = "analyzer")]
pub struct Analyzer {
    /// When.
    pub ts: Time,
    /// `protocol`, `packet` or `file`.
    pub analyzer_kind: Text,
    /// Its name, as `HTTP`.
    pub analyzer_name: Text,
    /// The connection.
    pub uid: Option<ConnUid>,
    /// The file.
    pub fuid: Option<FileUid>,
    /// The originator's address.
    #[record(name = "id.orig_h")]
    pub orig_h: Option<Address>,
    /// The originator's port.
    #[record(name = "id.orig_p")]
    pub orig_p: Option<Port>,
    /// The responder's address.
    #[record(name = "id.resp_h")]
    pub resp_h: Option<Address>,
    /// The responder's port.
    #[record(name = "id.resp_p")]
    pub resp_p: Option<Port>,
    /// The transport.
    pub proto: Option<Name>,
    /// Why.
    pub failure_reason: Text,
    /// The bytes that caused it.
    pub failure_data: Option<Text>,
}

/// Trouble of weir itself: what it could not do, and why.
#[derive(Clone, Debug, Record)]
#[record(path = "reporter")]
pub struct Reporter {
    /// When.
    pub ts: Time,
    /// `Reporter::INFO`, `Reporter::WARNING` or `Reporter::ERROR`.
    pub level: Name,
    /// What.
    pub message: Text,
    /// Where in weir or its configuration.
    pub location: Option<Text>,
}
