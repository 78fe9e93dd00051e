//! Splits a byte stream into lines, and lets bytes of announced length through uncut.
//!
//! Promises: the pieces do not depend on how the stream is cut into calls; a line that lies inside one call is borrowed,
//! not copied; at most [`ContentLine::new`]'s `max` bytes are held; the work is linear in the bytes given.
//!
//! A line ends with CR LF and, unless [`ContentLine::set_ends`] says otherwise, also with a CR or an LF alone.
//! Zeek: `analyzer/protocol/tcp/ContentLine.cc`, which HTTP, SMTP, FTP, POP3 and IRC share.

use std::borrow::Cow;

/// The analyser's name in weird.log.
pub const SOURCE: &str = "CONTENTLINE";

/// A part of the stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece<'a> {
    /// A line without its end.
    Line(Cow<'a, [u8]>),
    /// Bytes that are not cut into lines.
    Plain(&'a [u8]),
    /// The bytes that [`ContentLine::set_due`] announced are over. Told once.
    Over,
}

/// Which single characters end a line, next to CR LF.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ends {
    /// A CR alone.
    pub cr: bool,
    /// An LF alone.
    pub lf: bool,
}

impl Ends {
    /// CR LF, CR or LF.
    pub const ANY: Self = Self { cr: true, lf: true };
    /// CR LF only.
    pub const CRLF: Self = Self { cr: false, lf: false };
}

/// The splitter of one direction.
///
/// Call [`ContentLine::next`] until it answers `None`, then give it the next bytes; [`ContentLine::end`] once when
/// the stream ends. What the setters say holds from the next piece on.
#[derive(Clone, Debug)]
pub struct ContentLine {
    /// The beginning of a line whose end has not come.
    held: Vec<u8>,
    /// Most bytes of a line.
    max: usize,
    /// A CR has ended the last line: an LF that comes now belongs to it, whatever else was announced since.
    lf_owed: bool,
    ends: Ends,
    /// How many bytes to let through uncut.
    plain: u64,
    /// After how many bytes a line that has begun is over, whether its end came or not.
    due: Option<u64>,
    /// `due` was set while its line's LF may still be on the way.
    due_is_new: bool,
    stopped: bool,
    quiet: bool,
    told_cr: bool,
    told_lf: bool,
}

impl ContentLine {
    /// A splitter that cuts off lines of `max` bytes.
    pub const fn new(max: usize) -> Self {
        Self {
            held: Vec::new(),
            max,
            lf_owed: false,
            ends: Ends::ANY,
            plain: 0,
            due: None,
            due_is_new: false,
            stopped: false,
            quiet: false,
            told_cr: false,
            told_lf: false,
        }
    }

    /// Lets the next `len` bytes through uncut (0: cut into lines again).
    pub const fn set_plain(&mut self, len: u64) {
        self.plain = len;
    }

    /// After `len` bytes from here comes [`Piece::Over`], and before that a line that has begun, with or without its end
    /// (`None`: no such limit).
    pub const fn set_due(&mut self, len: Option<u64>) {
        self.due = len;
        self.due_is_new = true;
    }

    /// How many of those bytes are still to come.
    pub const fn due(&self) -> Option<u64> {
        self.due
    }

    /// Which single characters end a line.
    pub const fn set_ends(&mut self, ends: Ends) {
        self.ends = ends;
    }

    /// Whether to keep silent about single CR and LF.
    pub const fn set_quiet(&mut self, quiet: bool) {
        self.quiet = quiet;
    }

    /// Delivers nothing any more.
    pub fn stop(&mut self) {
        self.stopped = true;
        self.held = Vec::new();
    }

    /// The next piece of what was held and `rest`; `rest` is moved on. `odd` is told the names of weirds.
    pub fn next<'a>(&mut self, rest: &mut &'a [u8], odd: &mut impl FnMut(&'static str)) -> Option<Piece<'a>> {
        loop {
            if let Some(piece) = self.over(odd) {
                return Some(piece);
            }
            if self.stopped {
                *rest = &[];
            }
            let first = *rest.first()?;
            if std::mem::take(&mut self.lf_owed) {
                if first == b'\n' {
                    self.pass_line_feed(rest);
                    continue;
                }
                if self.plain == 0 && !(self.ends.cr && first == b'\r') {
                    self.tell_cr(odd);
                }
            }
            let limit = self.due.map_or(rest.len(), |due| to_usize(due).min(rest.len()));
            let window = rest.get(..limit)?;
            if self.plain > 0 {
                let (piece, _) = window.split_at_checked(to_usize(self.plain)).unwrap_or((window, &[]));
                self.plain -= piece.len() as u64;
                self.advance(rest, piece.len());
                return Some(Piece::Plain(piece));
            }
            let (line, used) = self.scan(window, odd);
            self.advance(rest, used);
            if let Some(line) = line {
                return Some(Piece::Line(line));
            }
        }
    }

    /// The stream has ended: the line that has begun, if any.
    pub fn end(&mut self) -> Option<Vec<u8>> {
        let mut line = std::mem::take(&mut self.held);
        let begun = !line.is_empty();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        begun.then_some(line)
    }

    /// Passes over an LF whose CR has ended the line; it is not part of what may have been announced since.
    fn pass_line_feed(&mut self, rest: &mut &[u8]) {
        let due_is_new = self.due_is_new;
        self.advance(rest, 1);
        if due_is_new {
            self.due = self.due.map(|due| due.saturating_add(1));
        }
    }

    /// Moves `rest` on by `used` bytes.
    fn advance(&mut self, rest: &mut &[u8], used: usize) {
        *rest = rest.get(used..).unwrap_or_default();
        if let Some(due) = &mut self.due {
            *due = due.saturating_sub(used as u64);
        }
        self.due_is_new = false;
    }

    /// What comes when the announced bytes are over: the line that has begun, then word of it.
    fn over<'a>(&mut self, odd: &mut impl FnMut(&'static str)) -> Option<Piece<'a>> {
        if self.due != Some(0) || self.due_is_new && self.lf_owed {
            return None;
        }
        if self.held.is_empty() {
            self.due = None;
            return Some(Piece::Over);
        }
        odd("line_terminated_without_CRLF");
        Some(Piece::Line(Cow::Owned(std::mem::take(&mut self.held))))
    }

    /// The line that ends in `window`, or `None` if all of it was put aside; and how many bytes were used.
    fn scan<'a>(
        &mut self,
        window: &'a [u8],
        odd: &mut impl FnMut(&'static str),
    ) -> (Option<Cow<'a, [u8]>>, usize) {
        let room = self.max.saturating_sub(self.held.len());
        if self.held.last() == Some(&b'\r') {
            if window.first() == Some(&b'\n') {
                self.held.pop();
                return (Some(Cow::Owned(std::mem::take(&mut self.held))), 1);
            }
            if room > 0 {
                self.tell_cr(odd);
            }
        }
        let fits = window.get(..room).unwrap_or(window);
        let mut from = 0;
        while let Some(found) = memchr::memchr2(b'\r', b'\n', fits.get(from..).unwrap_or_default()) {
            let at = from + found;
            let (byte, next) = (window.get(at).copied(), window.get(at + 1).copied());
            let used = match (byte, next) {
                (Some(b'\r'), Some(b'\n')) => 2,
                (Some(b'\r'), _) if self.ends.cr => 1,
                (Some(b'\n'), _) if self.ends.lf => 1,
                _ => 0,
            };
            if used > 0 {
                self.lf_owed = used == 1 && byte == Some(b'\r');
                return (Some(self.join(window.get(..at).unwrap_or_default())), at + used);
            }
            match byte {
                Some(b'\n') => self.tell_lf(odd),
                _ if next.is_some() && at + 1 < room => self.tell_cr(odd),
                _ => {}
            }
            from = at + 1;
        }
        if window.len() > room {
            return self.overlong(window, room, odd);
        }
        self.held.extend_from_slice(window);
        (None, window.len())
    }

    /// Cuts off a line that is too long, as Zeek does: its last byte and the one that was too many are lost.
    fn overlong<'a>(
        &mut self,
        window: &'a [u8],
        room: usize,
        odd: &mut impl FnMut(&'static str),
    ) -> (Option<Cow<'a, [u8]>>, usize) {
        odd("contentline_size_exceeded");
        self.lf_owed = window.get(room) == Some(&b'\r');
        self.held.truncate(self.max.saturating_sub(1));
        let kept = (self.max.saturating_sub(1)).saturating_sub(self.held.len());
        (Some(self.join(window.get(..kept).unwrap_or(window))), room + 1)
    }

    /// What was held and `tail`, as one.
    fn join<'a>(&mut self, tail: &'a [u8]) -> Cow<'a, [u8]> {
        if self.held.is_empty() {
            return Cow::Borrowed(tail);
        }
        self.held.extend_from_slice(tail);
        Cow::Owned(std::mem::take(&mut self.held))
    }

    fn tell_cr(&mut self, odd: &mut impl FnMut(&'static str)) {
        if !self.quiet && !std::mem::replace(&mut self.told_cr, true) {
            odd("line_terminated_with_single_CR");
        }
    }

    fn tell_lf(&mut self, odd: &mut impl FnMut(&'static str)) {
        if !self.quiet && !std::mem::replace(&mut self.told_lf, true) {
            odd("line_terminated_with_single_LF");
        }
    }
}

/// A length as an index, cut off where it is larger than any slice.
fn to_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(splitter: &mut ContentLine, chunks: &[&[u8]]) -> (Vec<Vec<u8>>, Vec<&'static str>) {
        let (mut lines, mut odd) = (Vec::new(), Vec::new());
        for chunk in chunks {
            let mut rest = *chunk;
            while let Some(piece) = splitter.next(&mut rest, &mut |name| odd.push(name)) {
                lines.push(match piece {
                    Piece::Line(line) => line.into_owned(),
                    Piece::Plain(bytes) => [b"plain:", bytes].concat(),
                    Piece::Over => b"over".to_vec(),
                });
            }
            assert!(rest.is_empty());
        }
        (lines, odd)
    }

    #[test]
    fn every_kind_of_line_end_ends_a_line() {
        let (got, odd) = lines(&mut ContentLine::new(99), &[b"a\r\nb\nc\rd", b"e\r", b"\nf\r\n\r\n"]);
        assert_eq!(got, [&b"a"[..], b"b", b"c", b"de", b"f", b""]);
        assert_eq!(odd, ["line_terminated_with_single_CR"]);
    }

    #[test]
    fn a_whole_line_is_borrowed() {
        let mut splitter = ContentLine::new(99);
        let mut rest: &[u8] = b"GET / HTTP/1.1\r\n";
        let piece = splitter.next(&mut rest, &mut |_| {});
        assert!(matches!(piece, Some(Piece::Line(Cow::Borrowed(b"GET / HTTP/1.1")))));
    }

    #[test]
    fn only_crlf_ends_a_line_when_told_so() {
        let mut splitter = ContentLine::new(99);
        splitter.set_ends(Ends::CRLF);
        let (got, odd) = lines(&mut splitter, &[b"a\rb\nc\r", b"\nd\r\n"]);
        assert_eq!(got, [&b"a\rb\nc"[..], b"d"]);
        assert_eq!(odd, ["line_terminated_with_single_CR", "line_terminated_with_single_LF"]);
    }

    #[test]
    fn plain_bytes_begin_after_the_line_feed_of_the_line_before() {
        let mut splitter = ContentLine::new(99);
        let (got, _) = lines(&mut splitter, &[b"head\r"]);
        assert_eq!(got, [b"head"]);
        splitter.set_plain(3);
        let (got, _) = lines(&mut splitter, &[b"\na\nbtail\n"]);
        assert_eq!(got, [&b"plain:a\nb"[..], b"tail"]);
    }

    /// Found by the fuzz target `http`: the LF was taken for a byte of the body.
    #[test]
    fn a_line_feed_belongs_to_its_line_even_where_cr_ends_no_line_any_more() {
        let mut splitter = ContentLine::new(99);
        lines(&mut splitter, &[b"head\r"]);
        splitter.set_ends(Ends::CRLF);
        splitter.set_plain(2);
        assert_eq!(lines(&mut splitter, &[b"\nab"]).0, [b"plain:ab"]);
    }

    /// Found by a property: a line that was cut off, seen whole or in two pieces.
    #[test]
    fn a_line_that_is_too_long_is_cut_off_at_the_same_place_in_any_pieces() {
        let text = b"x\rxx\rxx\rxx\r\r\rx\n";
        let run = |chunks: &[&[u8]]| {
            let mut splitter = ContentLine::new(4);
            splitter.set_ends(Ends::CRLF);
            lines(&mut splitter, chunks)
        };
        assert_eq!(run(&[text]), run(&[&text[..14], &text[14..]]));
    }

    #[test]
    fn a_line_is_over_when_its_announced_bytes_are() {
        let mut splitter = ContentLine::new(99);
        splitter.set_due(Some(5));
        let (got, odd) = lines(&mut splitter, &[b"--x", b"--GET /\r\n"]);
        assert_eq!(got, [&b"--x--"[..], b"over", b"GET /"]);
        assert_eq!(odd, ["line_terminated_without_CRLF"]);
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_off() {
        let (got, odd) = lines(&mut ContentLine::new(4), &[b"abcdefgh\n"]);
        assert_eq!(got, [&b"abc"[..], b"fgh"]);
        assert_eq!(odd, ["contentline_size_exceeded"]);
        let mut splitter = ContentLine::new(8);
        for _ in 0..100 {
            lines(&mut splitter, &[b"xyz"]);
            assert!(splitter.held.len() <= 8);
        }
    }

    #[test]
    fn the_end_of_the_stream_ends_a_line() {
        let mut splitter = ContentLine::new(99);
        lines(&mut splitter, &[b"half"]);
        assert_eq!(splitter.end().as_deref(), Some(&b"half"[..]));
        assert_eq!(splitter.end(), None);
    }

    proptest! {
        #[test]
        fn any_cut_of_the_stream_gives_the_same_lines(
            text in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'x')], 0..60),
            cuts in proptest::collection::vec(0usize..60, 0..6),
            ends in (any::<bool>(), any::<bool>()).prop_map(|(cr, lf)| Ends { cr, lf }),
            max in 4usize..40,
            due in proptest::option::of(0u64..50),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(text.len())).collect();
            cuts.push(0);
            cuts.push(text.len());
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|w| &text[w[0]..w[1]]).collect();
            let run = |chunks: &[&[u8]]| {
                let mut splitter = ContentLine::new(max);
                splitter.set_ends(ends);
                splitter.set_due(due);
                let (mut all, odd) = lines(&mut splitter, chunks);
                all.extend(splitter.end());
                (all, odd)
            };
            prop_assert_eq!(run(&[&text]), run(&chunks));
        }
    }
}
