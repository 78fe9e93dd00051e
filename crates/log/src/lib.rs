//! Records become lines, and lines become files.
//!
//! A line says exactly what Zeek 8.2 would write for the same record: [`line`] formats one record without
//! allocating per field, so that lanes can do it; [`Once`] decides which repeats are left out; [`LogDirectory`]
//! keeps a file for each log. Everything outside `sys/` is pure.
//!
//! Source: Zeek's `threading/formatters/Ascii` and `JSON`, `base/frameworks/logging`.
#![forbid(unsafe_code)]

mod calendar;
mod document;
mod json;
mod limit;
mod lines;
mod number;
mod once;
mod sys;
mod tsv;

pub use document::documentation;
pub use limit::Cut;
use limit::Limits;
pub use lines::Lines;
pub use once::Once;
pub use sys::{LogDirectory, LogError, Trouble, compress, set_aside};
pub use tsv::{tsv_footer, tsv_header};
use weir_record::Entry;

/// How lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// Columns separated by tabs, below a header.
    #[default]
    Tsv,
    /// One JSON object a line.
    Json,
}

/// Formats one record as a line, with its end, appended to `out`. Answers what was too long for a line; its
/// [`Cut::weirds`] may be logged.
pub fn line(format: Format, entry: &Entry, out: &mut Vec<u8>) -> Cut {
    let limits = Limits::of(entry.kind());
    match format {
        Format::Tsv => {
            let mut tsv = tsv::Tsv::new(out, limits);
            entry.visit(&mut tsv);
            tsv.finish()
        }
        Format::Json => {
            let mut json = json::Json::new(out, limits);
            entry.visit(&mut json);
            json.finish()
        }
    }
}
