//! `docs/logs.md`: every log and its columns, generated from the records themselves, so that it cannot be wrong.

use std::fmt::Write;

use weir_record::LogKind;

use crate::columns::{TAP, TAPS, TENANT};

/// The text of `docs/logs.md`.
pub fn documentation() -> String {
    let mut text = String::from(
        "# Logs\n\n<!-- Generated from crates/record; do not edit. -->\n\n\
         Names, order and types of the fields are those of Zeek 8.2. A field without a value is `-` in TSV and is\n\
         left out in JSON; an empty text, set or vector is `(empty)` in TSV.\n\n",
    );
    for kind in LogKind::ALL {
        let path = kind.path();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "- [{path}.log](#{path}log): {}", first_sentence(kind.doc()));
    }
    for kind in LogKind::ALL {
        let _ = write!(text, "\n## {}.log\n\n{}\n\n", kind.path(), kind.doc());
        text.push_str("| Field | Type | Meaning |\n|---|---|---|\n");
        for field in kind.fields() {
            let _ = writeln!(text, "| `{}` | {} | {} |", field.name, field.kind, cell(field.doc));
        }
    }
    text.push_str(
        "\n## Further columns\n\nBehind Zeek's, in every log with a `uid`, where they are switched on (`--with tap,tenant`, or \
         `[log]` in\n`weir.toml`).\n\n| Field | Type | Meaning |\n|---|---|---|\n",
    );
    for (field, place) in [(TAPS, " (conn.log)"), (TAP, " (other logs)"), (TENANT, "")] {
        let _ = writeln!(text, "| `{}`{place} | {} | {} |", field.name, field.kind, cell(field.doc));
    }
    text
}

fn first_sentence(text: &str) -> &str {
    text.split_inclusive(". ").next().unwrap_or(text).trim_end()
}

/// A text inside a table: bars would end it.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_of_every_log_has_a_row_and_a_meaning() {
        let text = documentation();
        for kind in LogKind::ALL {
            assert!(text.contains(&format!("\n## {}.log\n", kind.path())));
            for field in kind.fields() {
                assert!(text.contains(&format!("\n| `{}` | {} | ", field.name, field.kind)));
                assert!(!field.doc.is_empty(), "{} {}", kind.path(), field.name);
            }
        }
        let rows = text.lines().filter(|l| l.starts_with("| `")).count();
        assert_eq!(rows, 3 + LogKind::ALL.iter().map(|k| k.fields().len()).sum::<usize>());
    }
}
