//! What is wrong with a configuration, and where: file, line, column, the line itself with a mark below it.
//!
//! ```text
//! weir.toml:2:1: in [flow]: there is no key max_flow
//!    │
//!  2 │ max_flow = 1
//!    │ ^^^^^^^^ did you mean max_flows?
//! ```
//!
//! Promises: every fault of the contents is told, not the first alone; where the text is no TOML at all, what breaks it.

use std::fmt;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// What names a value of the file: the table, the key, and for one element of a list its index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The table.
    pub section: &'static str,
    /// The key in it.
    pub key: &'static str,
    /// The element, where the value is a list and one element is wrong.
    pub index: Option<usize>,
}

/// The element of a list that is wrong: context of an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Element(pub usize);

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "element {}", self.0)
    }
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Where: bytes of the text; none where all of it is meant, or the value is not in the file.
    pub span: Option<Range<usize>>,
    /// What.
    pub message: String,
    /// What to write instead, where that can be told.
    pub help: Option<String>,
}

impl Fault {
    /// A fault of the value at `place`.
    pub fn at(place: &Place, text: &str, message: &str) -> Self {
        let Place { section, key, .. } = place;
        Self { span: span_of(text, place), message: format!("in [{section}]: {key}: {message}"), help: None }
    }

    /// A fault that the parser of TOML or of types found.
    pub fn of_toml(error: &toml::de::Error, text: &str) -> Self {
        let span = error.span();
        let table = span.as_ref().and_then(|span| table_around(text, span.start));
        let within = table.map(|name| format!("in [{name}]: ")).unwrap_or_default();
        let message = error.message().trim_end();
        let Some((unknown, known)) = unknown_key(message) else {
            return Self { span, message: format!("{within}{}", message.replace('\n', ", ")), help: None };
        };
        let near = known.iter().map(|key| (strsim::osa_distance(unknown, key), key)).min();
        let help = match near {
            Some((distance, key)) if distance <= (unknown.len() / 3).max(1) => {
                format!("did you mean {key}?")
            }
            Some(_) | None => format!("there are {}", known.join(", ")),
        };
        let what = if within.is_empty() { "table" } else { "key" };
        Self { span, message: format!("{within}there is no {what} {unknown}"), help: Some(help) }
    }
}

/// Everything that is wrong with one file.
#[derive(Debug)]
pub struct Faults {
    /// What the user calls it.
    pub name: String,
    /// Its text.
    pub text: String,
    /// What is wrong, in the order of the file.
    pub list: Vec<Fault>,
}

impl std::error::Error for Faults {}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            self.one(f, fault)?;
        }
        Ok(())
    }
}

impl Faults {
    fn one(&self, f: &mut fmt::Formatter<'_>, fault: &Fault) -> fmt::Result {
        let Fault { span, message, help } = fault;
        let Some(span) = span else {
            write!(f, "{}: {message}", self.name)?;
            return help.as_ref().map_or(Ok(()), |help| write!(f, " ({help})"));
        };
        let mark = Mark::new(&self.text, span);
        write!(f, "{}:{}:{}: {message}", self.name, mark.line, mark.column)?;
        let number = mark.line.to_string();
        let margin = " ".repeat(number.len());
        let help = help.as_deref().unwrap_or_default();
        write!(f, "\n  {margin} │\n  {number} │ {}\n  {margin} │ {}{}", mark.text, mark.pad, mark.carets)?;
        if help.is_empty() { Ok(()) } else { write!(f, " {help}") }
    }
}

/// A line of the text and what is marked in it.
struct Mark {
    line: usize,
    column: usize,
    text: String,
    pad: String,
    carets: String,
}

/// Of a long line so many characters before and behind the mark's beginning are shown.
const AROUND: usize = 60;

impl Mark {
    /// The first line of `span`; it may lie beyond the end of the text.
    fn new(text: &str, span: &Range<usize>) -> Self {
        let start = floor(text, span.start);
        let (before, after) = text.split_at(start);
        let line = before.matches('\n').count() + 1;
        let head = before.rsplit('\n').next().unwrap_or_default();
        let tail = after.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let column = head.chars().count() + 1;
        let marked = text.get(start..floor(text, span.end).max(start)).unwrap_or_default();
        let marked = marked.split('\n').next().unwrap_or_default().chars().count();
        let shown: String = head.chars().skip(column.saturating_sub(AROUND + 1)).collect();
        // What is no letter would move the mark.
        let shown = shown.replace(|c: char| c.is_control(), " ");
        let rest: String = tail.chars().take(AROUND).map(|c| if c.is_control() { ' ' } else { c }).collect();
        let carets = "^".repeat(marked.clamp(1, rest.chars().count().max(1)));
        Self { line, column, pad: " ".repeat(shown.chars().count()), text: shown + &rest, carets }
    }
}

/// `at`, or where the character around it begins.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default()
}

/// The key and those that there are, from "unknown field `a`, expected one of `b`, `c`".
fn unknown_key(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.strip_prefix("unknown field `")?;
    let (unknown, rest) = rest.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2).collect();
    Some((unknown, known))
}

/// The name of the table whose value or key is at `at`.
fn table_around(text: &str, at: usize) -> Option<String> {
    let root = DeTable::parse(text).ok()?;
    let inside = |span: Range<usize>| span.contains(&at);
    root.get_ref().iter().find_map(|(name, value)| {
        let DeValue::Table(table) = value.get_ref() else { return None };
        let holds = table.iter().any(|(key, value)| inside(key.span()) || inside(value.span()));
        holds.then(|| name.get_ref().to_string())
    })
}

/// Where in the text the value at `place` is.
fn span_of(text: &str, place: &Place) -> Option<Range<usize>> {
    let root = DeTable::parse(text).ok()?;
    let section = root.get_ref().iter().find(|(name, _)| name.get_ref() == place.section)?.1;
    let DeValue::Table(table) = section.get_ref() else { return None };
    let value = table.iter().find(|(key, _)| key.get_ref() == place.key)?.1;
    let element = match (value.get_ref(), place.index) {
        (DeValue::Array(list), Some(index)) => list.get(index),
        _ => None,
    };
    Some(element.unwrap_or(value).span())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, span: Range<usize>) -> String {
        let fault = Fault { span: Some(span), message: "wrong".into(), help: Some("like this".into()) };
        Faults { name: "f".into(), text: text.into(), list: vec![fault] }.to_string()
    }

    #[test]
    fn the_mark_stands_below_what_is_meant() {
        assert_eq!(
            shown("a = 1\nbcd = 2\n", 6..9),
            "f:2:1: wrong\n    │\n  2 │ bcd = 2\n    │ ^^^ like this"
        );
        assert_eq!(shown("ä\t= 1", 3..4), "f:1:3: wrong\n    │\n  1 │ ä = 1\n    │   ^ like this");
    }

    #[test]
    fn a_mark_at_the_end_over_several_lines_or_within_a_letter_is_shown() {
        assert!(shown("a = ", 4..4).ends_with("a = \n    │     ^ like this"));
        assert!(shown("a = [\n1,\n]", 4..9).ends_with("a = [\n    │     ^ like this"));
        assert!(shown("ä", 1..90).starts_with("f:1:1"));
        let long = format!("{}= 1", "k".repeat(500));
        assert!(shown(&long, 500..501).lines().all(|line| line.chars().count() < 140));
    }

    #[test]
    fn a_value_is_found_by_its_place_also_within_a_list() {
        let text = "[sense]\nvxlan = [\"a\", \"b\"]\n";
        let place = |index| Place { section: "sense", key: "vxlan", index };
        assert_eq!(&text[span_of(text, &place(Some(1))).unwrap()], "\"b\"");
        assert_eq!(&text[span_of(text, &place(None)).unwrap()], "[\"a\", \"b\"]");
        assert_eq!(span_of("[sense]\n", &place(None)), None);
    }
}
