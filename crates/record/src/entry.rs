//! Any record, and the list in which a hop hands its records over.

use weir_wire::{ConnId, Time, Uid};

use crate::{
    Analyzer, CaptureLoss, Conn, ConnUid, Dns, Field, Files, Http, Quic, Record, Reporter, Ssh, Ssl, Text,
};
use crate::{Stats, Tunnel, Vantage, Visitor, Weird, X509};

macro_rules! entries {
    ($($kind:ident($held:ty),)+) => {
        /// Which log.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum LogKind {
            $(
                #[doc = concat!("[`", stringify!($kind), "`]")]
                $kind,
            )+
        }

        /// Any record. Large ones are boxed, so that a list of entries stays small.
        #[derive(Clone, Debug)]
        pub enum Entry {
            $(
                #[doc = concat!("A record of [`", stringify!($kind), "`].")]
                $kind($held),
            )+
        }

        impl LogKind {
            /// Every log.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)+];

            /// The name of the log, without `.log`.
            pub const fn path(self) -> &'static str {
                match self { $(Self::$kind => $kind::PATH,)+ }
            }

            /// What the log is about.
            pub const fn doc(self) -> &'static str {
                match self { $(Self::$kind => $kind::DOC,)+ }
            }

            /// The columns, in order.
            pub const fn fields(self) -> &'static [Field] {
                match self { $(Self::$kind => $kind::FIELDS,)+ }
            }
        }

        impl Entry {
            /// Which log the record belongs to.
            pub const fn kind(&self) -> LogKind {
                match self { $(Self::$kind(_) => LogKind::$kind,)+ }
            }

            /// Its time.
            pub fn ts(&self) -> Time {
                match self { $(Self::$kind(record) => record.ts,)+ }
            }

            /// Tells `visitor` the fields.
            pub fn visit<V: Visitor>(&self, visitor: &mut V) {
                match self { $(Self::$kind(record) => record.visit(visitor),)+ }
            }
        }

        $(entries!(@from $kind $held);)+
    };
    (@from $kind:ident Box<$record:ty>) => {
        impl From<$record> for Entry {
            fn from(record: $record) -> Self { Self::$kind(Box::new(record)) }
        }
    };
    (@from $kind:ident $held:ty) => {
        impl From<$kind> for Entry {
            fn from(record: $kind) -> Self { Self::$kind(record.into()) }
        }
    };
}

entries! {
    Conn(Box<Conn>),
    Dns(Box<Dns>),
    Http(Box<Http>),
    Ssl(Box<Ssl>),
    X509(Box<X509>),
    Files(Box<Files>),
    Ssh(Box<Ssh>),
    Quic(Box<Quic>),
    Tunnel(Box<Tunnel>),
    Weird(Box<Weird>),
    Analyzer(Box<Analyzer>),
    Reporter(Box<Reporter>),
    Stats(Box<Stats>),
    CaptureLoss(Box<CaptureLoss>),
}

/// A record and its place: by the frame that caused it. Entries of one lane are in this order; across lanes, the
/// writer puts those logs in order that depend on it (weird sampling, certificates logged once).
#[derive(Clone, Debug)]
pub struct Ordered {
    /// [`weir_wire::Frame::sequence`] of the frame that caused it.
    pub sequence: u64,
    /// Whose traffic it tells of, and which taps saw that.
    pub vantage: Vantage,
    /// The record.
    pub entry: Entry,
}

/// Where a hop puts its records; drained by whoever runs the hop.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    /// The sequence number of the frame in work; set by whoever runs the hop.
    pub sequence: u64,
    /// Who saw what is in work; set by the hop.
    pub vantage: Vantage,
    list: Vec<Ordered>,
}

impl Entries {
    /// Adds a record, caused by the frame in work.
    pub fn push(&mut self, record: impl Into<Entry>) {
        self.list.push(Ordered { sequence: self.sequence, vantage: self.vantage, entry: record.into() });
    }

    /// Adds a weird that belongs to no connection (Zeek's `net_weird`).
    pub fn net_weird(
        &mut self,
        ts: Time,
        name: &'static str,
        addl: Option<Text>,
        source: Option<&'static str>,
    ) {
        self.weird(ts, None, name, addl, source);
    }

    /// Adds a weird; `of` are uid and endpoints of the connection, or of two hosts without uid (Zeek's
    /// `flow_weird`, with ports 0).
    pub fn weird(
        &mut self,
        ts: Time,
        of: Option<(Uid, ConnId)>,
        name: &'static str,
        addl: Option<Text>,
        source: Option<&'static str>,
    ) {
        let uid = of.map(|(uid, _)| uid).filter(|uid| uid.is_some()).map(ConnUid);
        let id = of.map(|(_, id)| id);
        self.push(Weird::new(ts, uid, id, name, addl, source));
    }

    /// The records so far, in order; the list is empty afterwards and keeps its memory.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Ordered> {
        self.list.drain(..)
    }

    /// Puts the records from the one with number `from` on in the order of their frames; of the same frame, those that came
    /// first stay first.
    pub fn put_in_order(&mut self, from: usize) {
        if let Some(list) = self.list.get_mut(from..) {
            list.sort_by_key(|ordered| ordered.sequence);
        }
    }

    /// Whether there is nothing to drain.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many records wait.
    pub fn len(&self) -> usize {
        self.list.len()
    }
}
