//! The types that a column can have.

use std::borrow::Cow;
use std::fmt;

use weir_wire::{Address, Interval, Time, Uid};

use crate::{Kind, Visitor};

/// A Rust type that is a column's value.
pub trait Value {
    /// The column's type.
    const KIND: Kind;
    /// Tells `visitor` the value.
    fn visit<V: Visitor>(&self, visitor: &mut V);
}

/// Text as it came from the wire: bytes, not necessarily UTF-8. Static names cost no allocation.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text(pub Cow<'static, [u8]>);

impl Text {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&'static str> for Text {
    fn from(s: &'static str) -> Self {
        Self(Cow::Borrowed(s.as_bytes()))
    }
}

impl From<String> for Text {
    fn from(s: String) -> Self {
        Self(Cow::Owned(s.into_bytes()))
    }
}

impl From<Vec<u8>> for Text {
    fn from(b: Vec<u8>) -> Self {
        Self(Cow::Owned(b))
    }
}

impl From<&[u8]> for Text {
    fn from(b: &[u8]) -> Self {
        Self(Cow::Owned(b.to_vec()))
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// A port number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Port(pub u16);

/// A name of a closed list (Zeek's `enum`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Name(pub &'static str);

/// The uid of a connection, shown as `C...`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct ConnUid(pub Uid);

/// The id of a file, shown as `F...`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct FileUid(pub Uid);

/// Values without order (Zeek's `set`); whoever fills it keeps it free of duplicates.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Set<T>(pub Vec<T>);

impl<T> Default for Set<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: PartialEq> Set<T> {
    /// Puts `value` in unless it is there.
    pub fn insert(&mut self, value: T) {
        if !self.0.contains(&value) {
            self.0.push(value);
        }
    }
}

macro_rules! scalar {
    ($($t:ty, $kind:ident, |$s:ident, $v:ident| $say:expr;)*) => {$(
        impl Value for $t {
            const KIND: Kind = Kind::$kind;
            fn visit<V: Visitor>(&self, $v: &mut V) {
                let $s = self;
                $say
            }
        }
    )*};
}

scalar! {
    Time, Time, |s, v| v.time(*s);
    Interval, Interval, |s, v| v.interval(*s);
    u64, Count, |s, v| v.count(*s);
    i64, Int, |s, v| v.int(*s);
    f64, Double, |s, v| v.double(*s);
    bool, Bool, |s, v| v.bool(*s);
    Address, Addr, |s, v| v.addr(*s);
    Port, Port, |s, v| v.port(s.0);
    Name, Enum, |s, v| v.name(s.0);
    Text, String, |s, v| v.text(s.as_bytes());
    ConnUid, String, |s, v| v.shown(&s.0.with_prefix('C'));
    FileUid, String, |s, v| v.shown(&s.0.with_prefix('F'));
}

impl<T: Value> Value for Option<T> {
    const KIND: Kind = T::KIND;
    fn visit<V: Visitor>(&self, visitor: &mut V) {
        match self {
            Some(value) => value.visit(visitor),
            None => visitor.unset(),
        }
    }
}

fn visit_all<T: Value, V: Visitor>(values: &[T], visitor: &mut V) {
    visitor.begin(values.len());
    for value in values {
        value.visit(visitor);
    }
    visitor.end();
}

impl<T: Value> Value for Vec<T> {
    const KIND: Kind = Kind::Vector(&T::KIND);
    fn visit<V: Visitor>(&self, visitor: &mut V) {
        visit_all(self, visitor);
    }
}

impl<T: Value> Value for Set<T> {
    const KIND: Kind = Kind::Set(&T::KIND);
    fn visit<V: Visitor>(&self, visitor: &mut V) {
        visit_all(&self.0, visitor);
    }
}
