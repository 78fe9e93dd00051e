//! The type of a file, told from its first bytes by the expressions of [`super::magic`], as lazily built automata.
//!
//! An expression that looks at a fixed place (`.{257}ustar`) or anywhere (`.*<\?php`) would keep an automaton for all
//! of them alive, and busy with ever new states, for as long as the file's beginning is. So there is one for each place
//! and byte that expressions begin with, which is built and asked only where a file has that byte there; one
//! for those that may begin with several bytes; and one for what may be anywhere, which is asked only where a part of it is
//! there ([`ANYWHERE`], [`is_digit_of_bitmap`]).
//!
//! Time is linear in the bytes, memory bounded by [`CACHE`]. Source: Zeek's rule matcher for `file-magic`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use memchr::memmem;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind, PatternID, PatternSet};

use super::magic::{BLANK, CONTAINERS, MEDIA, Magic, ODF, TEXTS, XML};

/// Most memory that the states of one automaton take in one lane; beyond, it starts anew. Of those with many states (text
/// in markup) there are four.
const CACHE: usize = 4 << 20;
/// The same where all expressions begin with the same byte: about a hundred, of few states.
const CACHE_OF_BYTE: usize = 128 << 10;

/// Expressions that begin with "anything" match only where one of these is, or a bitmap (test
/// `what_may_be_anywhere_is_looked_for_first`).
const ANYWHERE: [&[u8]; 2] = [b"<?php", b"@@"];

static GROUPS: OnceLock<Vec<Group>> = OnceLock::new();

/// The expressions that begin at the same place with the same byte.
struct Group {
    start: Start,
    lead: Lead,
    /// What each expression tells.
    tells: Vec<&'static Magic>,
    /// The expressions from `start` on.
    patterns: Vec<String>,
    automaton: OnceLock<Option<Automaton>>,
}

/// The automaton of a group.
struct Automaton {
    dfa: DFA,
    /// The first bytes, of 256, from which any of the expressions goes on.
    first: [bool; 256],
}

/// Where expressions begin.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Start {
    /// At this byte.
    At(usize),
    /// At the first byte, to skip any number.
    Anywhere,
}

/// With which byte expressions begin.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Lead {
    /// With this.
    Byte(u8),
    /// With any.
    Any,
    /// With one of several.
    Several,
}

impl Lead {
    /// Of an expression.
    fn of(pattern: &str) -> Self {
        let bytes = pattern.as_bytes();
        let (byte, rest) = match bytes {
            [b'.', ..] => return Self::Any,
            [b'\\', b'x', high, low, rest @ ..] => {
                let digit = |b: &u8| char::from(*b).to_digit(16);
                let Some((high, low)) = digit(high).zip(digit(low)) else { return Self::Several };
                ((high * 16 + low) as u8, rest)
            }
            [b'\\', byte, rest @ ..] if byte.is_ascii_punctuation() => (*byte, rest),
            [b'(' | b'[' | b'\\' | b'^', ..] | [] => return Self::Several,
            [byte, rest @ ..] => (*byte, rest),
        };
        match rest {
            [b'?' | b'*' | b'{' | b'|', ..] => Self::Several,
            _ => Self::Byte(byte),
        }
    }
}

fn table() -> impl Iterator<Item = &'static Magic> {
    TEXTS.iter().chain(CONTAINERS).chain(MEDIA)
}

/// Where a pattern begins, and what of it is left from there.
fn split(pattern: &str) -> (Start, &str) {
    if pattern.starts_with(".*") {
        return (Start::Anywhere, pattern);
    }
    let skip = pattern.strip_prefix(".{").and_then(|rest| rest.split_once('}'));
    match skip.and_then(|(skip, rest)| Some((skip.parse().ok()?, rest))) {
        Some((at, rest)) => (Start::At(at), rest),
        None => (Start::At(0), pattern),
    }
}

fn groups() -> Vec<Group> {
    let mut groups: BTreeMap<(Start, Lead), (Vec<_>, Vec<_>)> = BTreeMap::new();
    for magic in table() {
        let (start, pattern) = split(magic.pattern);
        let written = pattern.replace("@BLANK", BLANK).replace("@XML", XML).replace("@ODF", ODF);
        let (tells, patterns) = groups.entry((start, Lead::of(&written))).or_default();
        tells.push(magic);
        patterns.push(written);
    }
    let group = |((start, lead), (tells, patterns))| {
        let automaton = OnceLock::new();
        Group { start, lead, tells, patterns, automaton }
    };
    groups.into_iter().map(group).collect()
}

impl Automaton {
    /// The expressions are constants, so that all can be built is a matter of a test.
    fn new(patterns: &[String], capacity: usize) -> Option<Self> {
        let config = DFA::config().match_kind(MatchKind::All);
        let dfa = DFA::builder()
            .configure(config.cache_capacity(capacity).skip_cache_capacity_check(true))
            .syntax(syntax::Config::new().unicode(false).utf8(false).dot_matches_new_line(true))
            .thompson(thompson::Config::new().utf8(false))
            .build_many(patterns)
            .ok()?;
        let mut cache = dfa.create_cache();
        let begin = dfa.start_state_forward(&mut cache, &Input::new(b"").anchored(Anchored::Yes)).ok()?;
        let mut first = [true; 256];
        for (byte, goes_on) in (0..=u8::MAX).zip(&mut first) {
            *goes_on = !dfa.next_state(&mut cache, begin, byte).ok()?.is_dead();
        }
        Some(Self { dfa, first })
    }
}

impl Group {
    /// Its automaton, where any of the expressions can match.
    fn automaton(&self, bytes: &[u8]) -> Option<&Automaton> {
        let at = match self.start {
            Start::Anywhere if !has_part(bytes) => return None,
            Start::Anywhere => 0,
            Start::At(at) => at,
        };
        let byte = *bytes.get(at)?;
        match self.lead {
            Lead::Byte(lead) if lead != byte => return None,
            Lead::Byte(_) | Lead::Any | Lead::Several => {}
        }
        let capacity = if let Lead::Byte(_) = self.lead { CACHE_OF_BYTE } else { CACHE };
        let automaton = self.automaton.get_or_init(|| Automaton::new(&self.patterns, capacity)).as_ref()?;
        automaton.first.get(usize::from(byte)).is_some_and(|goes_on| *goes_on).then_some(automaton)
    }
}

/// Whether an expression that begins with "anything" may match.
fn has_part(bytes: &[u8]) -> bool {
    ANYWHERE.iter().any(|part| memmem::find(bytes, part).is_some())
        || memchr::memchr_iter(b'P', bytes).any(|at| bytes.get(at + 1..).is_some_and(is_digit_of_bitmap))
}

/// What comes behind the P of a portable bitmap: its kind, and the first digit of its width.
const fn is_digit_of_bitmap(bytes: &[u8]) -> bool {
    matches!(bytes, [b'1'..=b'3', b'0'..=b'9', ..])
}

/// What one lane needs to tell types: for each automaton its states so far, and the expressions that match.
#[derive(Default)]
pub struct Matcher {
    states: Vec<Option<(Cache, PatternSet)>>,
}

impl Matcher {
    /// The type of a file that begins with `bytes`: of those that fit, the strongest; of these, the first by name.
    pub fn tell(&mut self, bytes: &[u8]) -> Option<&'static str> {
        let groups = GROUPS.get_or_init(groups);
        self.states.resize_with(groups.len(), || None);
        let mut best: Option<&Magic> = None;
        for (group, state) in groups.iter().zip(&mut self.states) {
            let Some(automaton) = group.automaton(bytes) else { continue };
            let new = || (automaton.dfa.create_cache(), PatternSet::new(group.tells.len()));
            let (cache, found) = state.get_or_insert_with(new);
            found.clear();
            let from = if let Start::At(at) = group.start { at } else { 0 };
            let input = Input::new(bytes.get(from..).unwrap_or_default()).anchored(Anchored::Yes);
            automaton.dfa.try_which_overlapping_matches(cache, &input, found).ok()?;
            let fitting = found.iter().filter_map(|id: PatternID| group.tells.get(id.as_usize()));
            best = fitting.copied().chain(best).max_by(|a, b| by_rank(a, b));
        }
        best.map(|magic| magic.mime)
    }
}

fn by_rank(a: &Magic, b: &Magic) -> std::cmp::Ordering {
    a.strength.cmp(&b.strength).then_with(|| b.mime.cmp(a.mime))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell(bytes: &[u8]) -> Option<&'static str> {
        Matcher::default().tell(bytes)
    }

    #[test]
    fn every_expression_of_the_table_is_part_of_an_automaton() {
        let groups = groups();
        assert_eq!(groups.iter().map(|group| group.tells.len()).sum::<usize>(), table().count());
        for group in &groups {
            assert!(Automaton::new(&group.patterns, CACHE).is_some(), "{:?}", group.patterns);
        }
        let open = groups.iter().filter(|group| !matches!(group.lead, Lead::Byte(_)));
        assert!(open.count() <= 8 && groups.len() < 200, "{}", groups.len());
    }

    #[test]
    fn what_a_group_begins_with_is_what_its_automaton_goes_on_from() {
        for group in groups() {
            let first = Automaton::new(&group.patterns, CACHE).unwrap().first;
            let goes_on = (0..=u8::MAX).zip(first).filter(|(_, goes_on)| *goes_on).map(|(byte, _)| byte);
            match group.lead {
                Lead::Byte(byte) => assert!(goes_on.eq([byte]), "{:?}", group.patterns),
                Lead::Any => assert_eq!(goes_on.count(), 256, "{:?}", group.patterns),
                Lead::Several => {}
            }
        }
    }

    #[test]
    fn what_may_be_anywhere_is_looked_for_first() {
        let anywhere = table().filter(|magic| split(magic.pattern).0 == Start::Anywhere);
        let plain = anywhere.map(|magic| magic.pattern.replace('\\', "")).collect::<Vec<_>>();
        let is_bitmap = |p: &str| p.strip_prefix(".*P").is_some_and(|p| p.ends_with("[0-9]{1,50}  [0-9]"));
        let has_part = |p: &String| is_bitmap(p) || ANYWHERE.iter().any(|part| p.as_bytes().ends_with(part));
        assert!(!plain.is_empty() && plain.iter().all(has_part), "{plain:?}");
        assert_eq!(tell(b"\0 some text P315  1"), Some("image/x-portable-pixmap"));
        assert_eq!(tell(b"P5 315  1"), Some("image/x-portable-greymap"));
        assert_eq!(tell(b"--- a/x\n+++ b/x\n@@ -1 +1 @@"), Some("text/x-diff"));
    }

    #[test]
    fn a_type_is_told_by_bytes_at_a_fixed_place() {
        let behind = |n: usize, what: &[u8]| [&vec![b'\0'; n], what].concat();
        assert_eq!(tell(&behind(128, b"DICM")), Some("application/dicom"));
        assert_eq!(tell(&behind(127, b"DICM")), None);
        assert_eq!(tell(&behind(4, b"ftypisom")), Some("video/mp4"));
        assert_eq!(tell(&behind(2, b"-lh5-")), Some("application/x-lzh"));
        assert_eq!(tell(&behind(2, b"")), None);
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
