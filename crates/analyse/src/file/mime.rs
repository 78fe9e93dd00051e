//! The type of a file, told from its first bytes: all of [`super::magic`] at once, by one lazily built automaton.
//!
//! Time is linear in the bytes, memory bounded by [`CACHE`]. Source: Zeek's rule matcher for `file-magic`.

use std::sync::OnceLock;

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind, PatternSet};

use super::magic::{BLANK, CONTAINERS, MEDIA, Magic, ODF, TEXTS, XML};

/// Most memory that the automaton's states take in one lane; beyond, it starts anew.
const CACHE: usize = 4 << 20;

static AUTOMATON: OnceLock<Option<DFA>> = OnceLock::new();

fn table() -> impl Iterator<Item = &'static Magic> {
    TEXTS.iter().chain(CONTAINERS).chain(MEDIA)
}

/// The expressions are constants, so that it can be built at all is a matter of a test.
fn build() -> Option<DFA> {
    let written =
        |magic: &Magic| magic.pattern.replace("@BLANK", BLANK).replace("@XML", XML).replace("@ODF", ODF);
    let patterns: Vec<String> = table().map(written).collect();
    DFA::builder()
        .configure(
            DFA::config().match_kind(MatchKind::All).cache_capacity(CACHE).skip_cache_capacity_check(true),
        )
        .syntax(syntax::Config::new().unicode(false).utf8(false).dot_matches_new_line(true))
        .thompson(thompson::Config::new().utf8(false))
        .build_many(&patterns)
        .ok()
}

/// What one lane needs to tell types.
#[derive(Default)]
pub struct Matcher {
    state: Option<(Box<Cache>, PatternSet)>,
}

impl Matcher {
    /// The type of a file that begins with `bytes`: of those that fit, the strongest; of these, the first by name.
    pub fn tell(&mut self, bytes: &[u8]) -> Option<&'static str> {
        let automaton = AUTOMATON.get_or_init(build).as_ref()?;
        let (cache, found) = self.state.get_or_insert_with(|| {
            (Box::new(automaton.create_cache()), PatternSet::new(automaton.pattern_len()))
        });
        found.clear();
        let input = Input::new(bytes).anchored(Anchored::Yes);
        automaton.try_which_overlapping_matches(cache, &input, found).ok()?;
        table()
            .zip(0usize..)
            .filter(|(_, at)| {
                regex_automata::PatternID::new(*at).is_ok_and(|pattern| found.contains(pattern))
            })
            .map(|(magic, _)| magic)
            .max_by(|a, b| a.strength.cmp(&b.strength).then_with(|| b.mime.cmp(a.mime)))
            .map(|magic| magic.mime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell(bytes: &[u8]) -> Option<&'static str> {
        Matcher::default().tell(bytes)
    }

    #[test]
    fn the_table_is_a_valid_automaton() {
        assert!(build().is_some());
    }

    #[test]
    fn text_is_ten_printable_characters() {
        assert_eq!(tell(b"0123456789"), Some("text/plain"));
        assert_eq!(tell(b"012345678"), None);
        assert_eq!(tell(b"\xef\xbb\xbf0123456\n\t9"), Some("text/plain"));
        assert_eq!(tell(b"01234\x0056789"), None);
        assert_eq!(tell(b""), None);
    }

    #[test]
    fn markup_is_told_behind_blanks_comments_and_a_declaration() {
        assert_eq!(tell(b"<!DOCTYPE HTML PUBLIC>"), Some("text/html"));
        assert_eq!(tell(b"\r\n  <!-- a -->\n<HtMl><head>"), Some("text/html"));
        assert_eq!(tell(b"<?xml version=\"1.0\"?>\n<data>"), Some("application/xml"));
        assert_eq!(tell(b"<?xml version=\"1.0\"?>\n<rss version=\"2.0\">"), Some("text/rss"));
        assert_eq!(tell(b"<?xml version=\"1.0\"?>\n<!-- x --> <svg width"), Some("image/svg+xml"));
        assert_eq!(tell(b"<?xml version=\"1.0\"?><SOAP-ENV:Envelope>"), Some("application/soap+xml"));
        assert_eq!(tell(b"<p>some text</p>"), Some("text/plain"));
    }

    #[test]
    fn json_is_an_object_or_an_array() {
        assert_eq!(tell(b"{\"a\": 1}"), Some("text/json"));
        assert_eq!(tell(b"  [1, 2]"), Some("text/json"));
        assert_eq!(tell(b"{}"), Some("text/json"));
        assert_eq!(tell(b"{a sentence in braces}"), Some("text/plain"));
    }

    #[test]
    fn binary_types_are_told_by_their_first_bytes() {
        assert_eq!(tell(b"GIF89a...."), Some("image/gif"));
        assert_eq!(tell(b"\x89PNG\r\n\x1a\n"), Some("image/png"));
        assert_eq!(tell(b"\xff\xd8\xff\xe0"), Some("image/jpeg"));
        assert_eq!(tell(b"\0\0\x01\0\x01"), Some("image/x-icon"));
        assert_eq!(tell(b"%PDF-1.4\n"), Some("application/pdf"));
        assert_eq!(tell(b"\x1f\x8b\x08\0"), Some("application/x-gzip"));
        assert_eq!(tell(b"MZ\x90\0"), Some("application/x-dosexec"));
        assert_eq!(tell(b"PK\x03\x04\x0a\0"), Some("application/zip"));
        assert_eq!(tell(b"MSCF\0\0\0\0"), Some("application/vnd.ms-cab-compressed"));
    }

    #[test]
    fn scripts_are_told_by_their_interpreter() {
        assert_eq!(tell(b"#!/bin/sh\necho"), Some("text/x-shellscript"));
        assert_eq!(tell(b"#!/usr/bin/env python3\n"), Some("text/x-python"));
        assert_eq!(tell(b"\n<script type=\"text/javascript\">"), Some("application/javascript"));
        assert_eq!(tell(b"some text <?php echo"), Some("text/x-php"));
    }
}
