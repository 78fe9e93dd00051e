//! IRC: that it is spoken, lines that break its rules, the files that are announced (DCC), and TLS after STARTTLS.
//!
//! Ports: 6666 to 6669/tcp. Confirmed by a command of the client. Source: RFC 1459, 2812; Zeek's src/analyzer/protocol/irc.

#[cfg(test)]
mod tests;

use weir_record::Text;
use weir_wire::Address;

use super::announced::{Announced, Announcer};
use super::content_line::{ContentLine, Piece, SOURCE as LINES};
use crate::context::{Context, Side};
use crate::protocol::{Analyze, Kind};

/// The analyser of a connection that IRC announced.
pub type IrcData = Announced<IrcAnnounces>;

/// IRC, as the one who announces connections.
pub struct IrcAnnounces;

impl Announcer for IrcAnnounces {
    const SOURCE: &'static str = "IRC_DATA";
}

const SOURCE: Option<&str> = Some("IRC");
/// Where lines are cut off.
const MAX_LINE: usize = 1000;
/// Most bytes of a line that are read.
const MAX_READ: usize = 512;
/// Most bytes of a command.
const MAX_COMMAND: usize = 20;
/// Most lines with a longer one before the analyser gives up.
const MAX_INVALID: u32 = 20;
/// The reply to STARTTLS that accepts it.
const TLS_ACCEPTED: &[u8] = b"670";

/// The analyser.
pub struct Irc {
    lines: [ContentLine; 2],
    invalid: u32,
    over: bool,
}

impl Default for Irc {
    fn default() -> Self {
        Self { lines: [ContentLine::new(MAX_LINE), ContentLine::new(MAX_LINE)], invalid: 0, over: false }
    }
}

fn skip_spaces(line: &[u8]) -> &[u8] {
    let spaces = line.iter().take_while(|b| **b == b' ').count();
    line.get(spaces..).unwrap_or_default()
}

/// What stands before the first space, and what behind it.
fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b' ', line)?;
    Some((line.get(..at)?, line.get(at + 1..)?))
}

fn words(line: &[u8]) -> Vec<&[u8]> {
    line.split(|b| *b == b' ').filter(|word| !word.is_empty()).collect()
}

impl Irc {
    /// A line of `side`, followed by `rest` bytes.
    fn line(&mut self, cx: &mut Context<'_>, side: Side, line: &[u8], rest: usize) {
        let odd = |cx: &mut Context<'_>, name| cx.weird(name, None, SOURCE);
        if line.len() > MAX_READ {
            return odd(cx, "irc_line_size_exceeded");
        }
        let mut line = skip_spaces(line);
        if line.len() < 3 {
            return odd(cx, "irc_line_too_short");
        }
        if line.first() == Some(&b':') {
            let Some((_, behind)) = split(line) else { return odd(cx, "irc_invalid_line") };
            line = skip_spaces(behind);
        }
        if line.len() < 3 {
            odd(cx, "irc_invalid_line");
            return cx.violate("line too short", None);
        }
        if line.first().is_some_and(u8::is_ascii_digit) {
            return self.reply(cx, line, rest);
        }
        if side.is_orig() {
            cx.confirm();
        }
        let (command, parameters) = split(line).unwrap_or((line, &[]));
        self.command(cx, &command.to_ascii_uppercase(), skip_spaces(parameters));
    }

    fn reply(&mut self, cx: &mut Context<'_>, line: &[u8], rest: usize) {
        let Some((code, _)) =
            split(line).filter(|(code, _)| code.len() == 3 && code.iter().all(u8::is_ascii_digit))
        else {
            cx.weird("irc_invalid_reply_number", None, SOURCE);
            return cx.violate("invalid reply number", None);
        };
        if code == TLS_ACCEPTED {
            cx.hand_over(Some(Kind::Ssl), rest);
            self.over = true;
        }
    }

    fn command(&mut self, cx: &mut Context<'_>, command: &[u8], parameters: &[u8]) {
        if command == b"STARTTLS" {
            return;
        }
        if command.len() > MAX_COMMAND {
            cx.weird("irc_invalid_command", None, SOURCE);
            self.invalid += 1;
            if self.invalid > MAX_INVALID {
                cx.weird("irc_too_many_invalid", None, SOURCE);
                cx.violate("too many long lines", None);
            }
            return;
        }
        // Zeek looks into no other commands: nothing in its base listens to them.
        let odd = match command {
            b"PRIVMSG" if split(parameters).is_none() => Some("irc_invalid_privmsg_message_format"),
            b"PRIVMSG" => message(cx, parameters),
            b"JOIN" if words(parameters.strip_prefix(b":").unwrap_or(parameters)).is_empty() => {
                Some("irc_invalid_join_line")
            }
            b"NJOIN" if words(parameters).len() != 2 => Some("irc_invalid_njoin_line"),
            _ => None,
        };
        if let Some(name) = odd {
            cx.weird(name, None, SOURCE);
        }
    }
}

/// A message to somebody, which may announce a file; answers what is wrong with it.
fn message(cx: &mut Context<'_>, parameters: &[u8]) -> Option<&'static str> {
    const MARK: u8 = 1;
    let (_, text) = split(parameters)?;
    let text = skip_spaces(text);
    let text = text.strip_prefix(b":").unwrap_or(text);
    let text = text.strip_prefix(&[MARK]).unwrap_or(text);
    if text.len() <= 3 || !text.starts_with(b"DCC") {
        return None;
    }
    let parts = words(text.strip_suffix(&[MARK]).unwrap_or(text));
    let [_, kind, name, host, port, more @ ..] = parts.as_slice() else {
        return Some("irc_invalid_dcc_message_format");
    };
    if more.len() > 1 && !(more.len() == 2 && more.last() == Some(&b"T".as_slice())) {
        return Some("irc_invalid_dcc_message_format");
    }
    let Some(host) = number(host) else { return Some("irc_invalid_dcc_host") };
    if *kind == b"SEND"
        && let Some(port) = number(port).and_then(|port| u16::try_from(port).ok())
    {
        let to = Address::v4(host.to_be_bytes());
        let id = cx.connection.id;
        let from = if to == id.orig_h { id.resp_h } else { id.orig_h };
        cx.expected.announce_file(cx.now, &id, from, (to, port), Kind::IrcData, Text::from(*name));
    }
    None
}

fn number(digits: &[u8]) -> Option<u32> {
    std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
}

impl Analyze for Irc {
    fn data(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]) {
        let mut rest = bytes;
        while !self.over {
            let Some(lines) = self.lines.get_mut(side.index()) else { return };
            let mut odd = Vec::new();
            let piece = lines.next(&mut rest, &mut |name| odd.push(name));
            for name in odd {
                cx.weird(name, None, Some(LINES));
            }
            match piece {
                None => return,
                Some(Piece::Line(line)) => self.line(cx, side, &line, rest.len()),
                Some(Piece::Plain(_) | Piece::Over) => {}
            }
        }
    }

    fn gap(&mut self, _cx: &mut Context<'_>, _side: Side, _len: u64) {}

    fn end(&mut self, cx: &mut Context<'_>, side: Side) {
        let line = self.lines.get_mut(side.index()).and_then(ContentLine::end);
        if let Some(line) = line.filter(|_| !self.over) {
            self.line(cx, side, &line, 0);
        }
    }

    fn finish(&mut self, _cx: &mut Context<'_>) {}

    fn wants_payload(&self) -> bool {
        !self.over
    }
}
