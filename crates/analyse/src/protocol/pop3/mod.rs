//! POP3: that it is spoken, the mails that are fetched, and TLS that begins after STLS.
//!
//! Port: 110/tcp. Signature: `+OK`, and USER, APOP, CAPA, AUTH or STLS. Confirmed when USER, CAPA or STLS is accepted; violated by a
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
/// Most commands that wait for their replies (Zeek: POP3::max_pending_commands); where there are more, the oldest is forgotten.
const MAX_PENDING: usize = 10;
/// Most commands that are not known before the analyser gives up (Zeek: POP3::max_unknown_client_commands).
const MAX_UNKNOWN: u32 = 10;

/// A command, or one of the two words of a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Command {
    Ok,
    Err,
    User,
    Pass,
    Apop,
    Auth,
    Stat,
    List,
    Retr,
    Dele,
    Rset,
    Noop,
    Last,
    Quit,
    Top,
    Capa,
    Uidl,
    Stls,
    Xsender,
}

impl Command {
    const ALL: [(&'static [u8], Self); 19] = [
        (b"OK", Self::Ok),
        (b"ERR", Self::Err),
        (b"USER", Self::User),
        (b"PASS", Self::Pass),
        (b"APOP", Self::Apop),
        (b"AUTH", Self::Auth),
        (b"STAT", Self::Stat),
        (b"LIST", Self::List),
        (b"RETR", Self::Retr),
        (b"DELE", Self::Dele),
        (b"RSET", Self::Rset),
        (b"NOOP", Self::Noop),
        (b"LAST", Self::Last),
        (b"QUIT", Self::Quit),
        (b"TOP", Self::Top),
        (b"CAPA", Self::Capa),
        (b"UIDL", Self::Uidl),
        (b"STLS", Self::Stls),
        (b"XSENDER", Self::Xsender),
    ];

    /// What `word` says, with or without a sign before it.
    fn parse(word: &[u8]) -> Option<Self> {
        let word = word.strip_prefix(b"+").or_else(|| word.strip_prefix(b"-")).unwrap_or(word);
        let all = Self::ALL.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        all.map(|(_, command)| *command)
    }
}

/// What a client sent: a command, or the first word of something else.
type Sent = Result<(Command, Argument), Box<[u8]>>;

/// What stands behind a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Argument {
    Nothing,
    Something,
    /// A mechanism by which all is told in one answer to a challenge (RFC 4616).
    Plain,
}

impl Argument {
    /// Of a whole line. The mechanism is searched anywhere in it, as Zeek does.
    fn of(line: &[u8]) -> Self {
        let names = |name| memchr::memmem::find(line, name).is_some();
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).skip(1);
        match words.next() {
            None => Self::Nothing,
            Some(_) if !names(b"LOGIN") && names(b"PLAIN") => Self::Plain,
            Some(_) => Self::Something,
        }
    }
}

/// Whether the answer to a challenge of PLAIN has all three parts, the last of them not empty.
fn is_whole(answer: &[u8]) -> bool {
    let mut parts = answer.splitn(3, |b| *b == 0);
    parts.nth(2).is_some_and(|password| !password.is_empty())
}

/// How far a client has got.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Phase {
    #[default]
    Start,
    Authorization,
    Transaction,
    Over,
}

/// The analyser.
pub struct Pop3 {
    lines: [ContentLine; 2],
    /// The commands without an answer.
    pending: VecDeque<Sent>,
    too_many_told: bool,
    phase: Phase,
    /// The command that the next answer is about, as far as its phase allows it.
    state: Option<Command>,
    /// A command that its phase does not allow: where it is accepted, no login was needed.
    guessed: Option<Command>,
    /// The client answers a challenge.
    login: bool,
    /// And it is to tell all at once.
    plain: bool,
    /// Where the command is accepted, lines up to one with a dot follow.
    lists: bool,
    /// They come.
    listing: bool,
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
            phase: Phase::Start,
            state: None,
            guessed: None,
            login: false,
            plain: false,
            lists: false,
            listing: false,
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
            // What comes after it is not looked at for that.
            self.pending.pop_front();
        }
        let sent = Command::parse(word(line)).map(|command| (command, Argument::of(line)));
        self.pending.push_back(sent.ok_or_else(|| Box::from(word(line))));
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
            Some(Ok((command, argument))) => self.command(cx, *command, *argument),
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

    fn command(&mut self, cx: &mut Context<'_>, command: Command, argument: Argument) {
        use Command as C;
        let alone = argument == Argument::Nothing;
        let (authorization, transaction) =
            (self.phase == Phase::Authorization, self.phase == Phase::Transaction);
        self.lists |= matches!(command, C::Retr | C::Top | C::Capa)
            || alone && (matches!(command, C::List | C::Uidl) || command == C::Auth && authorization);
        let allowed = match command {
            C::Ok | C::Err => return cx.weird("pop3_client_sending_server_commands", None, SOURCE),
            C::User | C::Apop | C::Auth => authorization,
            C::Pass => authorization && self.state == Some(C::User),
            C::Quit => self.phase != Phase::Over,
            C::Capa | C::Stls => true,
            C::Stat | C::List | C::Retr | C::Dele | C::Rset | C::Noop => transaction,
            C::Last | C::Top | C::Uidl | C::Xsender => transaction,
        };
        if allowed {
            self.state = Some(command);
            self.login |= command == C::Auth && !alone;
            self.plain = argument == Argument::Plain;
        } else if !matches!(command, C::User | C::Apop | C::Auth | C::Pass | C::Stat) {
            self.guessed = Some(if command == C::Quit { C::Last } else { command });
        }
    }

    /// A line of the server, followed by `rest` bytes.
    fn server(&mut self, cx: &mut Context<'_>, line: &[u8], rest: usize) {
        if self.listing {
            return self.listed(cx, line);
        }
        let status = word(line);
        match Command::parse(status) {
            Some(Command::Ok) => self.accepted(cx, rest),
            Some(Command::Err) => self.refused(cx),
            Some(_) => cx.weird("pop3_server_sending_client_commands", None, SOURCE),
            None if self.login => {}
            None => {
                let shown = if status.is_empty() { b"???" } else { status };
                let reason = [b"unknown server command (", shown, b")"].concat();
                cx.violate(Text::from(reason), Some(line.into()));
                cx.weird("pop3_server_command_unknown", Some(shown.into()), SOURCE);
            }
        }
    }

    fn accepted(&mut self, cx: &mut Context<'_>, rest: usize) {
        use Command as C;
        if let Some(guessed) = self.guessed.take() {
            self.phase = Phase::Transaction;
            self.state = Some(guessed);
        }
        match self.state {
            None | Some(C::Ok | C::Err) => self.phase = Phase::Authorization,
            Some(C::User) => {
                self.phase = Phase::Authorization;
                cx.confirm();
            }
            Some(C::Auth) => {
                self.listing = self.lists;
                if std::mem::take(&mut self.login) {
                    self.phase = Phase::Transaction;
                }
            }
            Some(C::Retr | C::Top) => {
                let entities = self.entities;
                self.mail.get_or_insert_with(|| Mail::new("POP3", Side::Resp, entities, false));
                self.listing = self.lists;
            }
            Some(C::Capa) => {
                cx.confirm();
                self.listing = self.lists;
            }
            Some(C::List | C::Uidl) => self.listing = self.lists,
            Some(C::Stls) => {
                cx.confirm();
                cx.hand_over(Some(Kind::Ssl), rest);
                self.over = true;
                return;
            }
            Some(C::Quit) => self.phase = Phase::Over,
            Some(_) => self.phase = Phase::Transaction,
        }
        if !self.listing {
            self.pending.pop_front();
            self.begin(cx);
        }
    }

    fn refused(&mut self, cx: &mut Context<'_>) {
        use Command as C;
        self.lists = false;
        self.guessed = None;
        self.login = false;
        match self.state {
            None | Some(C::Ok | C::Err | C::Capa | C::Stls) => {}
            Some(C::User | C::Pass | C::Apop | C::Auth) => {
                self.phase = Phase::Authorization;
                self.state = None;
            }
            Some(C::Quit) => self.phase = Phase::Over,
            Some(_) => self.phase = Phase::Transaction,
        }
        self.pending.pop_front();
        self.begin(cx);
    }

    /// A line of an answer in several.
    fn listed(&mut self, cx: &mut Context<'_>, line: &[u8]) {
        if line == b"." {
            self.listing = false;
            self.lists = false;
            self.end_mail(cx);
            self.pending.pop_front();
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
