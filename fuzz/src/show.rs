//! Records as text, by the visitor that every log writer uses, so that every field of every record is looked at.

use std::fmt::{Display, Write};

use weir_record::{Entries, Visitor};
use weir_wire::{Address, Interval, Time};

/// All records that wait, one a line.
pub fn entries(entries: &mut Entries) -> String {
    let mut text = Shown::default();
    for ordered in entries.drain() {
        text.put(&ordered.entry.kind().path());
        ordered.entry.visit(&mut text);
        text.0.push('\n');
    }
    text.0
}

#[derive(Default)]
struct Shown(String);

impl Shown {
    fn put(&mut self, value: &dyn Display) {
        let _ = write!(self.0, "{value} ");
    }
}

impl Visitor for Shown {
    fn field(&mut self, name: &'static str) {
        self.put(&name);
    }
    fn unset(&mut self) {
        self.put(&'-');
    }
    fn time(&mut self, value: Time) {
        self.put(&value);
    }
    fn interval(&mut self, value: Interval) {
        self.put(&value);
    }
    fn count(&mut self, value: u64) {
        self.put(&value);
    }
    fn int(&mut self, value: i64) {
        self.put(&value);
    }
    fn double(&mut self, value: f64) {
        self.put(&value);
    }
    fn bool(&mut self, value: bool) {
        self.put(&value);
    }
    fn addr(&mut self, value: Address) {
        self.put(&value);
    }
    fn port(&mut self, value: u16) {
        self.put(&value);
    }
    fn name(&mut self, value: &'static str) {
        self.put(&value);
    }
    fn text(&mut self, value: &[u8]) {
        let _ = write!(self.0, "{} ", value.escape_ascii());
    }
    fn shown(&mut self, value: &dyn Display) {
        self.put(value);
    }
    fn begin(&mut self, len: usize) {
        self.put(&len);
        self.0.push('[');
    }
    fn end(&mut self) {
        self.0.push(']');
    }
}
