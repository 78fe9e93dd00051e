//! Lines of columns separated by tabs, below a header that names them.
//!
//! Source: Zeek's `threading/formatters/Ascii`, `logging/writers/ascii`.

use std::fmt::Display;
use std::io::Write;

use weir_record::{LogKind, Visitor};
use weir_wire::{Address, Interval, Time};

use crate::Columns;
use crate::limit::{Cut, Limits};
use crate::number::{push_addr, push_f64, push_hex, push_i64, push_seconds, push_u64};

const UNSET: &[u8] = b"-";
const EMPTY: &[u8] = b"(empty)";

/// Appends the header of a log, with further `columns`, whose file was made at `open` (`YYYY-MM-DD-HH-MM-SS`).
pub fn tsv_header(kind: LogKind, columns: Option<&Columns>, open: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(
        b"#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\t",
    );
    out.extend_from_slice(kind.path().as_bytes());
    out.extend_from_slice(b"\n#open\t");
    out.extend_from_slice(open.as_bytes());
    let more = columns.into_iter().flat_map(|columns| columns.fields(kind));
    let fields = kind.fields().iter().copied().chain(more);
    out.extend_from_slice(b"\n#fields");
    for field in fields.clone() {
        out.push(b'\t');
        out.extend_from_slice(field.name.as_bytes());
    }
    out.extend_from_slice(b"\n#types");
    for field in fields {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "\t{}", field.kind);
    }
    out.push(b'\n');
}

/// Appends the last line of a log whose file was closed at `close`.
pub fn tsv_footer(close: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"#close\t");
    out.extend_from_slice(close.as_bytes());
    out.push(b'\n');
}

/// Writes the columns of one record.
pub(crate) struct Tsv<'a> {
    out: &'a mut Vec<u8>,
    limits: Limits,
    started: bool,
    /// Elements so far of the set or vector that is being written, and how many of them there may be.
    elements: Option<(usize, usize)>,
}

impl<'a> Tsv<'a> {
    /// Appends to `out`, no more than `limits` allow.
    pub(crate) fn new(out: &'a mut Vec<u8>, limits: Limits) -> Self {
        Self { out, limits, started: false, elements: None }
    }

    /// Ends the line.
    pub(crate) fn finish(self) -> Cut {
        self.out.push(b'\n');
        self.limits.cut()
    }

    /// Makes ready for a value: a comma between elements. `None` where the element is beyond the limit.
    fn value(&mut self) -> Option<&mut Vec<u8>> {
        if let Some((elements, limit)) = &mut self.elements {
            if elements >= limit {
                return None;
            }
            if *elements > 0 {
                self.out.push(b',');
            }
            *elements += 1;
        }
        Some(self.out)
    }
}

impl Visitor for Tsv<'_> {
    fn field(&mut self, _: &'static str) {
        if self.started {
            self.out.push(b'\t');
        }
        self.started = true;
    }

    fn unset(&mut self) {
        if let Some(out) = self.value() {
            out.extend_from_slice(UNSET);
        }
    }

    fn time(&mut self, value: Time) {
        if let Some(out) = self.value() {
            push_seconds(value.0, out);
        }
    }

    fn interval(&mut self, value: Interval) {
        if let Some(out) = self.value() {
            push_seconds(value.0, out);
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
            out.push(if value { b'T' } else { b'F' });
        }
    }

    fn addr(&mut self, value: Address) {
        if let Some(out) = self.value() {
            push_addr(value, out);
        }
    }

    fn port(&mut self, value: u16) {
        self.count(value.into());
    }

    fn name(&mut self, value: &'static str) {
        self.text(value.as_bytes());
    }

    fn text(&mut self, value: &[u8]) {
        let in_container = self.elements.is_some();
        if self.value().is_some() {
            push_text(self.limits.text(value), in_container, self.out);
        }
    }

    fn shown(&mut self, value: &dyn Display) {
        if let Some(out) = self.value() {
            let _ = write!(out, "{value}");
        }
    }

    fn begin(&mut self, len: usize) {
        let limit = self.limits.elements(len);
        if limit == 0 {
            self.out.extend_from_slice(EMPTY);
        }
        self.elements = Some((0, limit));
    }

    fn end(&mut self) {
        self.elements = None;
    }
}

/// Whether a byte stands for itself.
const fn is_plain(byte: u8, in_container: bool) -> bool {
    matches!(byte, 0x20..=0x7e) && byte != b'\\' && !(in_container && byte == b',')
}

fn push_text(text: &[u8], in_container: bool, out: &mut Vec<u8>) {
    match text {
        [] => out.extend_from_slice(EMPTY),
        // What would read as "unset" or "empty" says so by its first byte.
        UNSET => out.extend_from_slice(b"\\x2d"),
        EMPTY => out.extend_from_slice(b"\\x28empty)"),
        _ if text.iter().all(|&b| is_plain(b, in_container)) => out.extend_from_slice(text),
        _ => push_escaped(text, in_container, out),
    }
}

fn push_escaped(text: &[u8], in_container: bool, out: &mut Vec<u8>) {
    for chunk in text.utf8_chunks() {
        for &byte in chunk.valid().as_bytes() {
            match byte {
                b'\\' => out.extend_from_slice(b"\\\\"),
                0x80.. => out.push(byte),
                _ if is_plain(byte, in_container) => out.push(byte),
                _ => push_hex(byte, b"\\", out),
            }
        }
        for &byte in chunk.invalid() {
            push_hex(byte, b"\\", out);
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_record::{ConnUid, Entry, Name, Set, Text, Tunnel, Weird};
    use weir_wire::ConnId;

    use super::*;
    use crate::{Format, line};

    fn text(bytes: &[u8], in_container: bool) -> String {
        let mut out = Vec::new();
        push_text(bytes, in_container, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn printable_text_and_utf8_stand_for_themselves() {
        assert_eq!(text(b"Mozilla/5.0 (X11), a", false), "Mozilla/5.0 (X11), a");
        assert_eq!(text("/printable_😀".as_bytes(), false), "/printable_😀");
    }

    #[test]
    fn what_is_not_printable_is_escaped() {
        assert_eq!(text(b"a\tb\n\x7f\xff\\", false), r"a\x09b\x0a\x7f\xff\\");
        // A sequence that ends too early, and one that encodes a surrogate.
        assert_eq!(text(b"\xf0\x9f\x98", false), r"\xf0\x9f\x98");
        assert_eq!(text(b"\xed\xa0\x80", false), r"\xed\xa0\x80");
    }

    #[test]
    fn text_that_reads_as_unset_or_empty_is_escaped() {
        assert_eq!(text(b"", false), "(empty)");
        assert_eq!(text(b"-", false), r"\x2d");
        assert_eq!(text(b"(empty)", true), r"\x28empty)");
        assert_eq!(text(b"--", false), "--");
    }

    #[test]
    fn commas_are_escaped_in_containers_only() {
        assert_eq!(text(b"a,b", true), r"a\x2cb");
        assert_eq!(text(b"a,b", false), "a,b");
    }

    fn visited(visit: impl Fn(&mut Tsv)) -> String {
        let mut out = Vec::new();
        visit(&mut Tsv::new(&mut out, Limits::of(LogKind::Dns)));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn containers_are_joined_by_commas_and_cut() {
        use weir_record::Value;
        let set = |n: u64| visited(|v| Set((0..n).collect()).visit(v));
        assert_eq!((set(0), set(1), set(3)), ("(empty)".into(), "0".into(), "0,1,2".into()));
        assert_eq!(set(101), set(100));
        assert!(set(100).ends_with(",98,99"));
        assert_eq!(visited(|v| vec![Text::from(""), Text::from("-")].visit(v)), r"(empty),\x2d");
    }

    #[test]
    fn a_long_text_is_cut() {
        let long = "a".repeat(5000);
        assert_eq!(visited(|v| v.text(long.as_bytes())).len(), 4096);
    }

    #[test]
    fn a_record_is_a_line_of_all_its_columns() {
        let weird = Weird::new(Time(1_463_559_982_617_313_000), None, None, "bad", None, Some("IP"));
        let mut out = Vec::new();
        line(Format::Tsv, &weird.into(), &mut out);
        assert_eq!(out, b"1463559982.617313\t-\t-\t-\t-\t-\tbad\t-\tF\tzeek\tIP\n");
    }

    #[test]
    fn a_tunnel_shows_its_uid_and_endpoints() {
        let uid = weir_wire::UidKey([0; 16]).of(&[b"x"]);
        let (orig_h, resp_h) = (Address::v4([1, 2, 3, 4]), Address::v4([5, 6, 7, 8]));
        let tunnel = Tunnel {
            ts: Time(0),
            uid: Some(ConnUid(uid)),
            id: ConnId { orig_h, orig_p: 9, resp_h, resp_p: 65535 },
            tunnel_type: Name("Tunnel::GRE"),
            action: Name("Tunnel::DISCOVER"),
        };
        let mut out = Vec::new();
        line(Format::Tsv, &Entry::from(tunnel), &mut out);
        let uid = uid.with_prefix('C');
        let expected =
            format!("0.000000\t{uid}\t1.2.3.4\t9\t5.6.7.8\t65535\tTunnel::GRE\tTunnel::DISCOVER\n");
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn the_state_of_a_connection_is_a_string_in_the_header() {
        let mut out = Vec::new();
        tsv_header(LogKind::Conn, None, "2026-11-23-01-29-34", &mut out);
        let types = "#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\tinterval\tcount\tcount\tstring\tbool\tbool\t\
            count\tstring\tcount\tcount\tcount\tcount\tset[string]\tcount\n";
        assert!(String::from_utf8(out).unwrap().ends_with(types));
    }

    #[test]
    fn the_header_is_that_of_zeek() {
        let mut out = Vec::new();
        tsv_header(LogKind::Tunnel, None, "2026-11-23-01-29-34", &mut out);
        tsv_footer("2026-11-23-01-29-35", &mut out);
        let expected = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\ttunnel\n\
            #open\t2026-11-23-01-29-34\n\
            #fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\ttunnel_type\taction\n\
            #types\ttime\tstring\taddr\tport\taddr\tport\tenum\tenum\n#close\t2026-11-23-01-29-35\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
