//! Records become lines, and lines become files.
//!
//! A line says exactly what Zeek 8.2 would write for the same record: [`line`] formats one record without
//! allocating per field, so that lanes can do it; [`Once`] decides which repeats are left out; [`LogDirectory`]
//! keeps a file for each log. Everything outside `sys/` is pure.
//!
//! Source: Zeek's `threading/formatters/Ascii` and `JSON`, `base/frameworks/logging`.
#![forbid(unsafe_code)]

mod calendar;
mod columns;
mod document;
mod json;
mod limit;
mod lines;
mod number;
mod once;
mod sys;
mod tsv;

pub use columns::{Columns, Names};
pub use document::documentation;
pub use limit::Cut;
use limit::Limits;
pub use lines::Lines;
pub use once::Once;
use std::sync::Arc;
pub use sys::{LogDirectory, LogError, Trouble, compress, set_aside, uncompressed};
pub use tsv::{tsv_footer, tsv_header};

use weir_record::{Entry, LogKind, Ordered, Vantage, Visitor};

/// How lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// Columns separated by tabs, below a header.
    #[default]
    Tsv,
    /// One JSON object a line.
    Json,
}

/// How lines look, and what stands in them beside Zeek's columns.
#[derive(Clone, Default, Debug)]
pub struct Style {
    /// How they look.
    pub format: Format,
    /// Further columns.
    pub columns: Option<Arc<Columns>>,
}

impl From<Format> for Style {
    fn from(format: Format) -> Self {
        Self { format, columns: None }
    }
}

/// As [`line()`], with the further columns of `style`.
pub fn line_of(style: &Style, ordered: &Ordered, out: &mut Vec<u8>) -> Cut {
    let Some(columns) = &style.columns else { return line(style.format, &ordered.entry, out) };
    write_line(style.format, &ordered.entry, Some((columns, &ordered.vantage)), out)
}

/// Formats one record as a line, with its end, appended to `out`. Answers what was too long for a line; its
/// [`Cut::weirds`] may be logged.
pub fn line(format: Format, entry: &Entry, out: &mut Vec<u8>) -> Cut {
    write_line(format, entry, None, out)
}

/// Further columns, and what goes in.
type More<'a> = Option<(&'a Columns, &'a Vantage)>;

#[inline]
fn write_line(format: Format, entry: &Entry, more: More<'_>, out: &mut Vec<u8>) -> Cut {
    let limits = Limits::of(entry.kind());
    match format {
        Format::Tsv => {
            let mut tsv = tsv::Tsv::new(out, limits);
            entry.visit(&mut tsv);
            add(entry.kind(), more, &mut tsv);
            tsv.finish()
        }
        Format::Json => {
            let mut json = json::Json::new(out, limits);
            entry.visit(&mut json);
            add(entry.kind(), more, &mut json);
            json.finish()
        }
    }
}

fn add<V: Visitor>(kind: LogKind, more: More<'_>, visitor: &mut V) {
    if let Some((columns, vantage)) = more {
        columns.visit(kind, vantage, visitor);
    }
}
