//! POP3: that it is spoken, the mails that are fetched, and TLS that begins after STLS.
//!
//! Port: 110/tcp. Signature: `+OK`, and USER, APOP, CAPA or AUTH. Confirmed when USER, CAPA or STLS is accepted; violated by a
//! reply that is neither `+OK` nor `-ERR`.
//! Source: RFC 1939, 2449, 2595; Zeek's src/analyzer/protocol/pop3.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use weir_record::Text;

use super::content_line::{ContentLine, Piece};
use super::mime::Mail;
use super::mime::base64::Decoder;
use crate::context::{Context, Side};
use crate::protocol::{Analyze, Kind};

/// The analyser's name in weirds.
const SOURCE: Option<&str> = Some("POP3");
/// The name of what splits lines.
const LINES: Option<&str> = Some("CONTENTLINE");
/// Most bytes of a line.
const MAX_LINE: usize = 1 << 16;
/// Most commands that wait for their replies (Zeek: POP3::max_pending_commands); further ones are not remembered.
const MAX_PENDING: usize = 10;
/// Most commands that are not known before the analyser gives up (Zeek: POP3::max_unknown_client_commands).
const MAX_UNKNOWN: u32 = 10;

/// A command, as far as it matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Command {
    User,
    /// Lines follow where it is accepted.
    Listing,
    Capa,
    /// RETR or TOP: a mail follows.
    Mail,
    /// AUTH with a mechanism: challenges and their answers follow; `plain`: all is told in one answer (RFC 4616).
    Auth {
        plain: bool,
    },
    Stls,
    /// What only a server says.
    Status,
    Other,
}

impl Command {
    fn parse(line: &[u8]) -> Option<Self> {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let name = words.next()?.to_ascii_uppercase();
        let alone = words.next().is_none();
        Some(match name.as_slice() {
            b"USER" => Self::User,
            b"CAPA" => Self::Capa,
            b"RETR" | b"TOP" => Self::Mail,
            b"LIST" | b"UIDL" | b"AUTH" if alone => Self::Listing,
            b"AUTH" => Self::Auth { plain: is_plain(line) },
            b"OK" | b"+OK" | b"ERR" | b"-ERR" => Self::Status,
            b"STLS" => Self::Stls,
            b"LIST" | b"UIDL" | b"PASS" | b"APOP" | b"STAT" | b"DELE" | b"RSET" | b"NOOP" | b"LAST"
            | b"QUIT" | b"XSENDER" => Self::Other,
            _ => return None,
        })
    }
}

/// Whether the mechanism that AUTH names is PLAIN; as Zeek looks for it, anywhere in the line.
fn is_plain(line: &[u8]) -> bool {
    let names = |name| memchr::memmem::find(line, name).is_some();
    !names(b"LOGIN") && names(b"PLAIN")
}

/// Whether the answer to a challenge of PLAIN has all three parts, the last of them not empty.
fn is_whole(answer: &[u8]) -> bool {
    let mut parts = answer.splitn(3, |b| *b == 0);
    parts.nth(2).is_some_and(|password| !password.is_empty())
}

/// The analyser.
pub struct Pop3 {
    lines: [ContentLine; 2],
    /// The commands without an answer; of those that are not known, their first words.
    pending: VecDeque<Result<Command, Box<[u8]>>>,
    too_many_told: bool,
    /// The client answers a challenge.
    login: bool,
    /// And it is to tell all at once.
    plain: bool,
    /// The server's lines up to one with a dot are the answer to this.
    listing: Option<Command>,
    mail: Option<Mail>,
    /// How many entities the mails had so far.
    entities: u64,
    unknown: u32,
    over: bool,
}

impl Default for Pop3 {
    fn default() -> Self {
        Self {
            lines: [ContentLine::new(MAX_LINE), ContentLine::new(MAX_LINE)],
            pending: VecDeque::new(),
            too_many_told: false,
            login: false,
            plain: false,
            listing: None,
            mail: None,
            entities: 0,
            unknown: 0,
            over: false,
        }
    }
}

/// The first word of a line.
fn word(line: &[u8]) -> &[u8] {
    line.split(u8::is_ascii_whitespace).find(|word| !word.is_empty()).unwrap_or_default()
}

impl Pop3 {
    fn client(&mut self, cx: &mut Context<'_>, line: &[u8]) {
        if line.is_empty() {
            return;
        }
        if self.login {
            return self.answer(cx, line);
        }
        if self.pending.len() >= MAX_PENDING {
            if !std::mem::replace(&mut self.too_many_told, true) {
                cx.weird("pop3_client_too_many_pending_commands", None, SOURCE);
            }
            return;
        }
        let known = Command::parse(line).ok_or_else(|| Box::from(word(line)));
        self.pending.push_back(known);
        if self.pending.len() == 1 {
            self.begin(cx);
        }
    }

    /// An answer to a challenge.
    fn answer(&mut self, cx: &mut Context<'_>, line: &[u8]) {
        let (mut decoder, mut answer) = (Decoder::default(), Vec::new());
        decoder.decode(line, &mut answer);
        let fault = decoder.fault().or_else(|| decoder.finish(&mut answer));
        if let Some(fault) = fault {
            cx.weird("base64_illegal_encoding", Some(fault.to_string().into()), None);
            cx.weird("pop3_bad_base64_encoding", None, SOURCE);
        } else if self.plain && !is_whole(&answer) {
            cx.weird("pop3_malformed_auth_plain", None, SOURCE);
        }
    }

    /// The first of the commands that wait is the one that the server answers next. One that is not known waits like others.
    fn begin(&mut self, cx: &mut Context<'_>) {
        match self.pending.front() {
            Some(Ok(Command::Auth { plain })) => (self.login, self.plain) = (true, *plain),
            Some(Ok(Command::Status)) => {
                self.login = false;
                cx.weird("pop3_client_sending_server_commands", None, SOURCE);
            }
            Some(Ok(_)) => self.login = false,
            Some(Err(word)) => {
                cx.weird("pop3_client_command_unknown", Some(word.as_ref().into()), SOURCE);
                self.unknown += 1;
                if self.unknown > MAX_UNKNOWN {
                    cx.violate("excessive unknown client commands", None);
                    self.over = true;
                }
            }
            None => {}
        }
    }

    /// A line of the server, followed by `rest` bytes.
    fn server(&mut self, cx: &mut Context<'_>, line: &[u8], rest: usize) {
        if self.listing.is_some() {
            return self.listed(cx, line);
        }
        let status = word(line);
        // Zeek does not look which sign it is.
        let plain = status.strip_prefix(b"+").or_else(|| status.strip_prefix(b"-")).unwrap_or(status);
        if plain.eq_ignore_ascii_case(b"OK") {
            self.accepted(cx, rest);
        } else if plain.eq_ignore_ascii_case(b"ERR") {
            self.login = false;
            self.pending.pop_front();
            self.begin(cx);
        } else if Command::parse(plain).is_some() {
            cx.weird("pop3_server_sending_client_commands", None, SOURCE);
        } else if !self.login {
            let shown = if status.is_empty() { b"???" } else { status };
            let reason = [b"unknown server command (", shown, b")"].concat();
            cx.violate(Text::from(reason), Some(line.into()));
            cx.weird("pop3_server_command_unknown", Some(shown.into()), SOURCE);
        }
    }

    fn accepted(&mut self, cx: &mut Context<'_>, rest: usize) {
        self.login = false;
        let command = self.pending.pop_front().and_then(Result::ok);
        match command {
            Some(Command::User) => cx.confirm(),
            Some(Command::Capa) => {
                cx.confirm();
                self.listing = command;
            }
            Some(Command::Listing) => self.listing = command,
            Some(Command::Mail) => {
                self.mail = Some(Mail::new("POP3", Side::Resp, self.entities, false));
                self.listing = command;
            }
            Some(Command::Stls) => {
                cx.confirm();
                cx.hand_over(Some(Kind::Ssl), rest);
                self.over = true;
            }
            Some(Command::Auth { .. } | Command::Status | Command::Other) | None => {}
        }
        if self.listing.is_none() && !self.over {
            self.begin(cx);
        }
    }

    /// A line of an answer in several.
    fn listed(&mut self, cx: &mut Context<'_>, line: &[u8]) {
        if line == b"." {
            self.listing = None;
            self.end_mail(cx);
            self.begin(cx);
        } else if let Some(mail) = &mut self.mail {
            // Zeek leaves the dot in place that is put before one.
            mail.line(cx, line);
        }
    }

    fn end_mail(&mut self, cx: &mut Context<'_>) {
        if let Some(mut mail) = self.mail.take() {
            self.entities = mail.begun();
            mail.end(cx);
        }
    }
}

impl Analyze for Pop3 {
    fn data(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]) {
        if cx.connection.partial {
            self.over = true;
        }
        let mut rest = bytes;
        while !self.over {
            let Some(lines) = self.lines.get_mut(side.index()) else { return };
            let mut odd = Vec::new();
            let piece = lines.next(&mut rest, &mut |name| odd.push(name));
            for name in odd {
                cx.weird(name, None, LINES);
            }
            match piece {
                None => return,
                Some(Piece::Line(line)) if side.is_orig() => self.client(cx, &line),
                Some(Piece::Line(line)) => self.server(cx, &line, rest.len()),
                Some(Piece::Plain(_) | Piece::Over) => {}
            }
        }
    }

    fn gap(&mut self, cx: &mut Context<'_>, _side: Side, len: u64) {
        if let Some(mail) = &mut self.mail {
            mail.gap(cx, len);
        }
    }

    fn end(&mut self, cx: &mut Context<'_>, side: Side) {
        match self.lines.get_mut(side.index()).and_then(ContentLine::end) {
            Some(line) if !self.over && side.is_orig() => self.client(cx, &line),
            Some(line) if !self.over => self.server(cx, &line, 0),
            _ => {}
        }
    }

    fn finish(&mut self, cx: &mut Context<'_>) {
        self.end_mail(cx);
    }

    fn wants_payload(&self) -> bool {
        !self.over
    }
}
