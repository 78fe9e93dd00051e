//! How much of a record is written: texts, sets and vectors of untrusted size are cut.
//!
//! Source: Zeek 8.2's `Log::default_max_*`, with what `base/protocols/http` and `base/files/x509` set for theirs.

use weir_record::{LogKind, Weird};
use weir_wire::Time;

/// Bytes of one text.
const TEXT: usize = 4096;
/// Bytes of all texts of a record.
const ALL_TEXTS: usize = 256_000;
/// Elements of one set or vector.
const ELEMENTS: usize = 100;
/// Elements of all sets and vectors of a record.
const ALL_ELEMENTS: usize = 500;
/// The same for x509.log, where a certificate may have many names.
const X509_ELEMENTS: usize = 500;
const X509_ALL_ELEMENTS: usize = 1500;

/// What of a record did not fit its line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cut {
    /// A text was cut.
    pub text: bool,
    /// A set or vector was cut.
    pub elements: bool,
}

impl Cut {
    /// The weirds that tell of it, as Zeek's log framework does; mostly none.
    pub fn weirds(self, kind: LogKind, ts: Time) -> impl Iterator<Item = Weird> {
        let texts = self.text.then_some("log_string_field_truncated");
        let elements = self.elements.then_some("log_container_field_truncated");
        let weird = move |name| Weird::new(ts, None, None, name, Some(stream(kind).into()), None);
        texts.into_iter().chain(elements).map(weird)
    }
}

/// What is left for the record that is being written.
#[derive(Debug)]
pub(crate) struct Limits {
    text: usize,
    all_texts: usize,
    elements: usize,
    all_elements: usize,
    cut: Cut,
}

impl Limits {
    /// Those of a record of `kind`.
    pub(crate) const fn of(kind: LogKind) -> Self {
        // A URI may be as long as it is.
        let text = if matches!(kind, LogKind::Http) { ALL_TEXTS } else { TEXT };
        let (elements, all_elements) = if matches!(kind, LogKind::X509) {
            (X509_ELEMENTS, X509_ALL_ELEMENTS)
        } else {
            (ELEMENTS, ALL_ELEMENTS)
        };
        Self { text, all_texts: ALL_TEXTS, elements, all_elements, cut: Cut { text: false, elements: false } }
    }

    /// As much of `text` as is written.
    pub(crate) fn text<'t>(&mut self, text: &'t [u8]) -> &'t [u8] {
        let room = self.text.min(self.all_texts);
        let kept = if text.len() > room {
            self.cut.text = true;
            text.get(..room).unwrap_or_default()
        } else {
            text
        };
        self.all_texts -= kept.len();
        kept
    }

    /// How many of `len` elements are written.
    pub(crate) fn elements(&mut self, len: usize) -> usize {
        let kept = len.min(self.elements).min(self.all_elements);
        self.cut.elements |= kept < len;
        self.all_elements -= kept;
        kept
    }

    /// What did not fit so far.
    pub(crate) const fn cut(&self) -> Cut {
        self.cut
    }
}

/// What Zeek calls the log inside.
const fn stream(kind: LogKind) -> &'static str {
    match kind {
        LogKind::Conn => "Conn::LOG",
        LogKind::Dns => "DNS::LOG",
        LogKind::Http => "HTTP::LOG",
        LogKind::Ssl => "SSL::LOG",
        LogKind::X509 => "X509::LOG",
        LogKind::Files => "Files::LOG",
        LogKind::Ssh => "SSH::LOG",
        LogKind::Quic => "QUIC::LOG",
        LogKind::Tunnel => "Tunnel::LOG",
        LogKind::Weird => "Weird::LOG",
        LogKind::Analyzer => "Analyzer::Logging::LOG",
        LogKind::Reporter => "Reporter::LOG",
        LogKind::Stats => "Stats::LOG",
        LogKind::CaptureLoss => "CaptureLoss::LOG",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_and_all_texts_are_limited() {
        let mut limits = Limits::of(LogKind::Dns);
        let long = vec![b'a'; 5000];
        assert_eq!(limits.text(&long[..4096]).len(), 4096);
        assert_eq!(limits.cut(), Cut::default());
        let total = (0..100).map(|_| limits.text(&long).len()).sum::<usize>();
        assert_eq!(total, ALL_TEXTS - 4096);
        assert_eq!(limits.cut(), Cut { text: true, elements: false });
        assert_eq!(Limits::of(LogKind::Http).text(&long).len(), 5000);
    }

    #[test]
    fn one_container_and_all_containers_are_limited() {
        let mut limits = Limits::of(LogKind::Dns);
        let kept = [100, 101, 200, 99, 99, 99, 5].map(|len| limits.elements(len));
        assert_eq!(kept, [100, 100, 100, 99, 99, 2, 0]);
        assert!(limits.cut().elements);
        assert_eq!(Limits::of(LogKind::X509).elements(600), 500);
    }

    #[test]
    fn what_was_cut_is_told_by_weirds() {
        let cut = Cut { text: true, elements: true };
        let told = cut.weirds(LogKind::Http, Time(7)).map(|w| (w.name, w.addl)).collect::<Vec<_>>();
        let addl = Some("HTTP::LOG".into());
        let names = ["log_string_field_truncated", "log_container_field_truncated"];
        assert_eq!(told, names.map(|name| (name.into(), addl.clone())));
        assert_eq!(Cut::default().weirds(LogKind::Http, Time(7)).count(), 0);
    }
}
