//! Records become lines, and lines become files.
//!
//! A line says exactly what Zeek 8.2 would write for the same record: [`line`] formats one record without
//! allocating per field, so that lanes can do it; [`Once`] decides which repeats are left out; [`LogDirectory`]
//! keeps a file for each log. Everything outside `sys/` is pure.
//!
//! Source: Zeek's `threading/formatters/Ascii` and `JSON`, `base/frameworks/logging`.
#![forbid(unsafe_code)]

mod calendar;
mod json;
mod number;
mod once;
mod sys;
mod tsv;

pub use once::Once;
pub use sys::{LogDirectory, LogError, Trouble};
pub use tsv::{tsv_footer, tsv_header};
use weir_record::{Entry, LogKind};

/// Texts are cut to this many bytes (Zeek: `Log::default_max_field_string_bytes`).
const TEXT_LIMIT: usize = 4096;
/// Sets and vectors are cut to this many elements (Zeek: `Log::default_max_field_container_elements`).
const ELEMENT_LIMIT: usize = 100;
/// Those of x509.log, where Zeek allows more names of a certificate.
const X509_ELEMENT_LIMIT: usize = 500;

/// How lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// Columns separated by tabs, below a header.
    #[default]
    Tsv,
    /// One JSON object a line.
    Json,
}

/// Formats one record as a line, with its end, appended to `out`.
pub fn line(format: Format, entry: &Entry, out: &mut Vec<u8>) {
    let limit = if entry.kind() == LogKind::X509 { X509_ELEMENT_LIMIT } else { ELEMENT_LIMIT };
    match format {
        Format::Tsv => {
            entry.visit(&mut tsv::Tsv::new(out, limit));
            out.push(b'\n');
        }
        Format::Json => {
            let mut json = json::Json::new(out, limit);
            entry.visit(&mut json);
            json.finish();
        }
    }
}

/// The first bytes of a text, as many as a field may have.
fn cut(text: &[u8]) -> &[u8] {
    text.get(..TEXT_LIMIT).unwrap_or(text)
}
