//! One struct for each log, and nothing else: what the fields mean is filled in by `analyse`, how lines look is
//! decided by `log`.
//!
//! Names, order and types of the fields are those of Zeek 8.2; `docs/logs.md` is generated from here.
#![forbid(unsafe_code)]

// The derive names this crate from outside; this lets it do so from inside too.
extern crate self as weir_record;

mod entry;
mod logs;
mod value;
mod vantage;

pub use entry::{Entries, Entry, LogKind, Ordered};
pub use logs::*;
pub use value::{ConnUid, FileUid, Name, Port, Set, Text, Value};
pub use vantage::{MAX_TAPS, Taps, Vantage};
pub use weir_record_derive::Record;
use weir_wire::{Address, Interval, Time};

/// The type of a column, as in Zeek's `#types` line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Seconds since the epoch, six decimals.
    Time,
    /// Seconds, six decimals.
    Interval,
    /// Not negative.
    Count,
    /// Signed.
    Int,
    /// Real.
    Double,
    /// `T` or `F`.
    Bool,
    /// An IP address.
    Addr,
    /// A port number.
    Port,
    /// One of a closed list of names.
    Enum,
    /// Bytes, escaped where they are not printable.
    String,
    /// Values without order.
    Set(&'static Kind),
    /// Values in order.
    Vector(&'static Kind),
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self {
            Self::Time => "time",
            Self::Interval => "interval",
            Self::Count => "count",
            Self::Int => "int",
            Self::Double => "double",
            Self::Bool => "bool",
            Self::Addr => "addr",
            Self::Port => "port",
            Self::Enum => "enum",
            Self::String => "string",
            Self::Set(of) => return write!(f, "set[{of}]"),
            Self::Vector(of) => return write!(f, "vector[{of}]"),
        };
        f.write_str(name)
    }
}

/// One column of a log.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name in the `#fields` line.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// What it means.
    pub doc: &'static str,
}

/// A struct that is a log record; derived.
pub trait Record {
    /// The name of the log, without `.log`.
    const PATH: &'static str;
    /// What the log is about.
    const DOC: &'static str;
    /// Its columns, in order.
    const FIELDS: &'static [Field];

    /// Tells `visitor` each field in the order of [`Record::FIELDS`]: its name, then its value.
    fn visit<V: Visitor>(&self, visitor: &mut V);
}

/// Receives the fields of a record: for each `field`, then exactly one value; a set or a vector is `begin`, its
/// elements' values, `end`.
pub trait Visitor {
    /// The next value belongs to this column.
    fn field(&mut self, name: &'static str);
    /// There is no value.
    fn unset(&mut self);
    /// A point in time.
    fn time(&mut self, value: Time);
    /// A span of time.
    fn interval(&mut self, value: Interval);
    /// A count.
    fn count(&mut self, value: u64);
    /// A signed integer.
    fn int(&mut self, value: i64);
    /// A real number.
    fn double(&mut self, value: f64);
    /// A truth value.
    fn bool(&mut self, value: bool);
    /// An address.
    fn addr(&mut self, value: Address);
    /// A port.
    fn port(&mut self, value: u16);
    /// A name of a closed list.
    fn name(&mut self, value: &'static str);
    /// Bytes of text.
    fn text(&mut self, value: &[u8]);
    /// An identifier that is shown, not stored, as text.
    fn shown(&mut self, value: &dyn std::fmt::Display);
    /// A set or vector of `len` values begins.
    fn begin(&mut self, len: usize);
    /// It ends.
    fn end(&mut self);
}
