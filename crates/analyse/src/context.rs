//! What an analyser knows of its connection, and where it says what it found.

use weir_record::{Entries, Entry, Name, Text, Tunnel};
use weir_wire::{ConnId, Time, Uid, UidKey};

use crate::Config;
use crate::detect::{Expected, Proxy};
use crate::file::Files;
use crate::protocol::{Kind, http};

/// Which endpoint of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Side {
    /// Whoever began the connection.
    Orig,
    /// The other.
    Resp,
}

impl Side {
    /// The other side.
    pub const fn flip(self) -> Self {
        match self {
            Self::Orig => Self::Resp,
            Self::Resp => Self::Orig,
        }
    }

    /// Whether it is the originator.
    pub const fn is_orig(self) -> bool {
        matches!(self, Self::Orig)
    }

    /// 0 for the originator, 1 for the responder: to index a pair.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The side that `is_orig` names.
    pub const fn from_is_orig(is_orig: bool) -> Self {
        if is_orig { Self::Orig } else { Self::Resp }
    }
}

/// The transport of a connection, as conn.log's `proto` names it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP and ICMPv6.
    Icmp,
    /// Every other IP protocol.
    Unknown,
}

impl Transport {
    /// The name in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
            Self::Unknown => "unknown_transport",
        }
    }
}

/// The facts of a connection that analysers may read, and what they say of it as a whole.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Its identifier.
    pub uid: Uid,
    /// Its endpoints by role. Roles may be exchanged early in a connection (Zeek's flip); they are settled before the
    /// first byte reaches an analyser.
    pub id: ConnId,
    /// Its transport.
    pub transport: Transport,
    /// Time of its first packet.
    pub start: Time,
    /// Whether its beginning was not seen (TCP: no SYN); analysers of text protocols leave such a connection alone.
    pub partial: bool,
    /// The services confirmed so far, in the order of confirmation (conn.log `service`).
    pub services: Vec<&'static str>,
    /// How often analysers have left its stream, or one inside of it, to others; bounded by `detect`.
    pub hand_overs: u8,
    /// What its HTTP analysers share: one inside of another's tunnel goes on with the same numbers and records.
    pub http: Option<Box<http::Log>>,
}

impl Connection {
    /// A connection that nothing is known of yet but who talks.
    pub const fn new(uid: Uid, id: ConnId, transport: Transport, start: Time, partial: bool) -> Self {
        Self { uid, id, transport, start, partial, services: Vec::new(), hand_overs: 0, http: None }
    }

    /// Adds a service unless it is there.
    pub fn add_service(&mut self, service: &'static str) {
        if !self.services.contains(&service) {
            self.services.push(service);
        }
    }
}

/// Why an analyser gives up: Zeek's `analyzer_violation` (analyzer.log).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// What is wrong, in Zeek's words where Zeek has some (`not a http request line`).
    pub reason: Text,
    /// The bytes that show it, where Zeek logs them.
    pub data: Option<Text>,
}

/// What an analyser has said of itself during one call; collected and cleared by `detect`.
#[derive(Clone, Default, Debug)]
pub struct Verdict {
    /// The bytes are of this protocol.
    pub confirmed: bool,
    /// They are not, or not any more.
    pub violation: Option<Violation>,
    /// Payload from here on belongs to another protocol on the same connection: an analyser of this kind is put in
    /// place next to this one and gets what follows (STARTTLS).
    pub hand_over: Option<HandOver>,
    /// The roles were exchanged during this call ([`Context::flip_roles`]): the sides of later packets, and `^` in the
    /// history.
    pub flipped: bool,
    /// A message that the analyser knows no meaning for: `X` in the history, once (Zeek's HIST_UNKNOWN_PKT).
    pub unknown_message: bool,
}

/// To whom an analyser leaves the rest of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HandOver {
    /// The analyser that takes over; `None`: detection starts anew on what follows.
    pub to: Option<Kind>,
    /// How many of the last bytes of this very call belong to what follows already.
    pub rest: usize,
}

/// The surroundings of one call into an analyser: the time, its connection, and where results go.
pub struct Context<'a> {
    /// The packet's time; when a connection ends by time-out, the moment of that time-out.
    pub now: Time,
    /// The connection.
    pub connection: &'a mut Connection,
    /// The files of this lane.
    pub files: &'a mut Files,
    /// The connections that others of this lane announced.
    pub expected: &'a mut Expected,
    /// Where records go.
    pub out: &'a mut Entries,
    /// Bounds and habits.
    pub config: &'a Config,
    /// The key of identifiers.
    pub key: &'a UidKey,
    /// What the analyser says of itself.
    pub verdict: Verdict,
}

impl Context<'_> {
    /// Writes a record.
    pub fn emit(&mut self, record: impl Into<Entry>) {
        self.out.push(record);
    }

    /// Reports that the connection breaks the rules; `source` is the analyser's name where Zeek logs one.
    pub fn weird(&mut self, name: &'static str, addl: Option<Text>, source: Option<&'static str>) {
        let of = (self.connection.uid, self.connection.id);
        self.out.weird(self.now, Some(of), name, addl, source);
    }

    /// The analyser is sure that the bytes are of its protocol.
    pub fn confirm(&mut self) {
        self.verdict.confirmed = true;
    }

    /// The bytes are not of the analyser's protocol, or break it so that analysis cannot go on. The first reason stands.
    pub fn violate(&mut self, reason: impl Into<Text>, data: Option<Text>) {
        if self.verdict.violation.is_none() {
            self.verdict.violation = Some(Violation { reason: reason.into(), data });
        }
    }

    /// The originator is the responder in truth: exchanges their roles, from this call on.
    pub fn flip_roles(&mut self) {
        self.connection.id = self.connection.id.flip();
        self.verdict.flipped = !self.verdict.flipped;
    }

    /// The bytes are of the analyser's protocol but mean nothing that it knows.
    pub fn unknown_message(&mut self) {
        self.verdict.unknown_message = true;
    }

    /// What follows on this connection belongs to another protocol (`None`: to be detected), beginning with the last
    /// `rest` bytes of this call.
    pub fn hand_over(&mut self, to: Option<Kind>, rest: usize) {
        self.verdict.hand_over = Some(HandOver { to, rest });
    }

    /// The client opens a tunnel through the responder. All of its tunnels through that are one: hence no port.
    pub fn tunnel_through(&mut self, proxy: Proxy) {
        if !self.expected.tunnel_is_new(self.now, &self.connection.id, proxy) {
            return;
        }
        let id = ConnId { orig_p: 0, ..self.connection.id };
        let tunnel_type = Name(match proxy {
            Proxy::Http => "Tunnel::HTTP",
            Proxy::Socks => "Tunnel::SOCKS",
        });
        self.emit(Tunnel { ts: self.now, uid: None, id, tunnel_type, action: Name("Tunnel::DISCOVER") });
    }

    /// Whether the address of `side` is in the local networks.
    pub fn is_local(&self, side: Side) -> bool {
        let id = &self.connection.id;
        self.config.is_local(if side.is_orig() { &id.orig_h } else { &id.resp_h })
    }
}
