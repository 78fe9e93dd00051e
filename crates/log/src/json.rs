//! One JSON object a line; fields without a value are left out.
//!
//! Source: Zeek's `threading/formatters/JSON`, RFC 8259.

use std::fmt::Display;
use std::io::Write;

use weir_record::Visitor;
use weir_wire::{Address, Interval, Time};

use crate::limit::{Cut, Limits};
use crate::number::{hex_digit, push_addr, push_f64, push_hex, push_i64, push_short_seconds, push_u64};

/// Writes the fields of one record.
pub(crate) struct Json<'a> {
    out: &'a mut Vec<u8>,
    limits: Limits,
    started: bool,
    name: &'static str,
    /// Elements so far of the set or vector that is being written, and how many of them there may be.
    elements: Option<(usize, usize)>,
}

impl<'a> Json<'a> {
    /// Appends to `out`, no more than `limits` allow.
    pub(crate) fn new(out: &'a mut Vec<u8>, limits: Limits) -> Self {
        Self { out, limits, started: false, name: "", elements: None }
    }

    /// Ends the line.
    pub(crate) fn finish(self) -> Cut {
        self.out.extend_from_slice(if self.started { b"}\n" } else { b"{}\n" });
        self.limits.cut()
    }

    /// Makes ready for a value: the field's name, or a comma between elements. `None` where the element is beyond
    /// the limit.
    fn value(&mut self) -> Option<&mut Vec<u8>> {
        if let Some((elements, limit)) = &mut self.elements {
            if elements >= limit {
                return None;
            }
            if *elements > 0 {
                self.out.push(b',');
            }
            *elements += 1;
        } else {
            self.out.extend_from_slice(if self.started { b",\"" } else { b"{\"" });
            self.started = true;
            // Names of columns are plain words.
            self.out.extend_from_slice(self.name.as_bytes());
            self.out.extend_from_slice(b"\":");
        }
        Some(self.out)
    }
}

impl Visitor for Json<'_> {
    fn field(&mut self, name: &'static str) {
        self.name = name;
    }

    fn unset(&mut self) {
        if self.elements.is_some()
            && let Some(out) = self.value()
        {
            out.extend_from_slice(b"null");
        }
    }

    fn time(&mut self, value: Time) {
        if let Some(out) = self.value() {
            push_short_seconds(value.0, out);
        }
    }

    fn interval(&mut self, value: Interval) {
        if let Some(out) = self.value() {
            push_short_seconds(value.0, out);
        }
    }

    fn count(&mut self, value: u64) {
        if let Some(out) = self.value() {
            push_u64(value, out);
        }
    }

    fn int(&mut self, value: i64) {
        if let Some(out) = self.value() {
            push_i64(value, out);
        }
    }

    fn double(&mut self, value: f64) {
        if let Some(out) = self.value() {
            push_f64(value, out);
        }
    }

    fn bool(&mut self, value: bool) {
        if let Some(out) = self.value() {
            out.extend_from_slice(if value { b"true" } else { b"false" });
        }
    }

    fn addr(&mut self, value: Address) {
        if let Some(out) = self.value() {
            out.push(b'"');
            push_addr(value, out);
            out.push(b'"');
        }
    }

    fn port(&mut self, value: u16) {
        self.count(value.into());
    }

    fn name(&mut self, value: &'static str) {
        self.text(value.as_bytes());
    }

    fn text(&mut self, value: &[u8]) {
        if self.value().is_some() {
            push_text(self.limits.text(value), self.out);
        }
    }

    fn shown(&mut self, value: &dyn Display) {
        if let Some(out) = self.value() {
            // Identifiers are letters and digits. Writing to a Vec cannot fail.
            let _ = write!(out, "\"{value}\"");
        }
    }

    fn begin(&mut self, len: usize) {
        if let Some(out) = self.value() {
            out.push(b'[');
        }
        self.elements = Some((0, self.limits.elements(len)));
    }

    fn end(&mut self) {
        self.out.push(b']');
        self.elements = None;
    }
}

/// Whether a byte stands for itself.
const fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e) && byte != b'\\' && byte != b'"'
}

fn push_text(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    if text.iter().all(|&b| is_plain(b)) {
        out.extend_from_slice(text);
    } else {
        for chunk in text.utf8_chunks() {
            for &byte in chunk.valid().as_bytes() {
                push_escaped(byte, out);
            }
            for &byte in chunk.invalid() {
                push_hex(byte, b"\\\\", out);
            }
        }
    }
    out.push(b'"');
}

fn push_escaped(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        8 => b'b',
        12 => b'f',
        0..0x20 => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 15)]);
            return;
        }
        _ => {
            out.push(byte);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use weir_record::{LogKind, Text, Value, Weird};

    use super::*;
    use crate::{Format, line};

    fn visited(visit: impl Fn(&mut Json)) -> String {
        let mut out = Vec::new();
        let mut json = Json::new(&mut out, Limits::of(LogKind::Dns));
        json.field("f");
        visit(&mut json);
        json.finish();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_record_is_an_object_of_the_fields_that_are_set() {
        let weird = Weird::new(Time(1_463_559_982_617_310_000), None, None, "bad", None, Some("IP"));
        let mut out = Vec::new();
        line(Format::Json, &weird.into(), &mut out);
        let expected = "{\"ts\":1463559982.61731,\"name\":\"bad\",\"notice\":false,\"peer\":\"zeek\",\"source\":\"IP\"}\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn text_is_escaped_and_wrong_utf8_is_shown_in_hexadecimal() {
        let text = |bytes: &[u8]| visited(|v| v.text(bytes));
        assert_eq!(text(b"a\"\\\n\x01\x1f"), "{\"f\":\"a\\\"\\\\\\n\\u0001\\u001f\"}\n");
        assert_eq!(text("é😀".as_bytes()), "{\"f\":\"é😀\"}\n");
        assert_eq!(text(b"\xff"), "{\"f\":\"\\\\xff\"}\n");
        assert_eq!(text(b""), "{\"f\":\"\"}\n");
    }

    #[test]
    #[allow(
        clippy::redundant_closure_for_method_calls,
        reason = "the path is not general enough over lifetimes"
    )]
    fn containers_are_arrays_and_are_cut() {
        assert_eq!(visited(|v| vec![1u64, 2, 3].visit(v)), "{\"f\":[1,2,3]}\n");
        assert!(visited(|v| (0..200u64).collect::<Vec<_>>().visit(v)).ends_with(",98,99]}\n"));
        assert_eq!(visited(|v| Vec::<u64>::new().visit(v)), "{\"f\":[]}\n");
        assert_eq!(visited(|v| vec![Some(Text::from("a")), None].visit(v)), "{\"f\":[\"a\",null]}\n");
        assert_eq!(visited(|v| v.unset()), "{}\n");
    }

    #[test]
    fn numbers_are_numbers() {
        assert_eq!(visited(|v| v.interval(Interval(0))), "{\"f\":0.0}\n");
        assert_eq!(visited(|v| v.port(53)), "{\"f\":53}\n");
        assert_eq!(visited(|v| v.int(-1)), "{\"f\":-1}\n");
        assert_eq!(visited(|v| v.addr(Address::v4([1, 2, 3, 4]))), "{\"f\":\"1.2.3.4\"}\n");
    }
}
