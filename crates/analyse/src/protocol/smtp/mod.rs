//! SMTP: that it is spoken, the mails and what they carry, and TLS that begins after STARTTLS.
//!
//! The state follows commands as if they succeed, and replies where they do not, because clients send ahead (pipelining).
//!
//! ```text
//!   Command ──DATA──► Data ──"."──► Command ──BDAT n──► Chunk ──n bytes──► Command
//!      │ AUTH, 334 ▲ other replies                    Command ──STARTTLS, 220──► over to TLS
//!      └─► Login ──┘            any ──gap──► Lost ──reply──► Command (354: Data)
//! ```
//!
//! Ports: 25, 587/tcp. Signature: a greeting with 220 and HELO or EHLO. Confirmed by a command that is known; violated by a
//! reply without a code. Source: RFC 5321, 3207, 3030; Zeek's src/analyzer/protocol/smtp and scripts/base/protocols/smtp.

mod command;
mod summary;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use self::command::{Bdat, Command, Transaction};
use self::summary::Summary;
use super::content_line::{ContentLine, Ends, Piece};
use super::mime::Mail;
use crate::context::{Context, Side};
use crate::protocol::{Analyze, Kind};

/// The analyser's name in weirds.
const SOURCE: Option<&str> = Some("SMTP");
/// The name of what splits lines.
const LINES: Option<&str> = Some("CONTENTLINE");
/// Most bytes of a line (Zeek: the content line's).
const MAX_LINE: usize = 1 << 24;
/// Most bytes of a line in a chunk (Zeek: SMTP::bdat_max_line_length).
const MAX_CHUNK_LINE: usize = 4096;
/// Most commands out of order before the analyser gives up (Zeek: SMTP::max_invalid_mail_transactions).
const MAX_INVALID: u32 = 25;
/// Most commands that wait for their replies; further ones are not remembered.
const MAX_PENDING: usize = 1024;

/// What the client's next line is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    /// A command.
    #[default]
    Command,
    /// A line of a mail.
    Data,
    /// The answer to a challenge.
    Login,
    /// Something: lines were lost.
    Lost,
}

/// A mail in chunks.
struct Chunks {
    lines: ContentLine,
    last: bool,
    left: u64,
}

/// The analyser.
pub struct Smtp {
    lines: [ContentLine; 2],
    state: State,
    /// Commands without a reply; the greeting is the reply to the first, which nobody sent.
    pending: VecDeque<Command>,
    mail: Option<Mail>,
    /// How many entities the mails had so far.
    entities: u64,
    chunks: Option<Box<Chunks>>,
    transaction: Transaction,
    summary: Box<Summary>,
    /// Commands that came out of order.
    invalid: u32,
    /// The code of a reply that goes on.
    continued: Option<u16>,
    over: bool,
}

impl Default for Smtp {
    fn default() -> Self {
        Self {
            lines: [ContentLine::new(MAX_LINE), ContentLine::new(MAX_LINE)],
            state: State::Command,
            pending: VecDeque::from([Command::Greeting]),
            mail: None,
            entities: 0,
            chunks: None,
            transaction: Transaction::default(),
            summary: Box::default(),
            invalid: 0,
            continued: None,
            over: false,
        }
    }
}

impl Smtp {
    fn begin_mail(&mut self, cx: &mut Context<'_>) {
        if let Some(mut mail) = self.mail.take() {
            cx.weird("smtp_nested_mail_transaction", None, SOURCE);
            self.entities = mail.begun();
            mail.end(cx);
        }
        self.mail = Some(Mail::new("SMTP", Side::Orig, self.entities, true));
    }

    fn end_mail(&mut self, cx: &mut Context<'_>) {
        self.chunks = None;
        if let Some(mut mail) = self.mail.take() {
            self.entities = mail.begun();
            mail.end(cx);
        }
    }

    /// A line of `side`, followed by `rest` bytes.
    fn mail_line(&mut self, cx: &mut Context<'_>, line: &[u8]) {
        let Some(mail) = &mut self.mail else { return };
        mail.line(cx, line);
        if let Some(field) = mail.take_field() {
            self.summary.field(cx, &field);
        }
    }

    fn line(&mut self, cx: &mut Context<'_>, side: Side, line: &[u8], rest: usize) {
        let end = line.iter().rposition(|b| *b != b'\r').map_or(0, |at| at + 1);
        let line = line.get(..end).unwrap_or_default();
        if side.is_orig() {
            self.client(cx, line);
        } else {
            self.server(cx, line, rest);
        }
    }

    fn client(&mut self, cx: &mut Context<'_>, line: &[u8]) {
        match self.state {
            State::Lost => {}
            State::Data if line == b"." => {
                self.remember(Command::EndOfData);
                self.end_mail(cx);
                self.state = State::Command;
                self.transaction.end();
            }
            State::Data => {
                let line = line.strip_prefix(b".").unwrap_or(line);
                self.mail_line(cx, line);
            }
            State::Login => {
                self.remember(Command::Answer);
                cx.confirm();
            }
            State::Command => self.command(cx, line),
        }
    }

    fn command(&mut self, cx: &mut Context<'_>, line: &[u8]) {
        let Some((command, argument)) = command::parse(line) else { return };
        cx.confirm();
        self.remember(command);
        let begins = |word: &[u8]| argument.get(..word.len()).is_some_and(|a| a.eq_ignore_ascii_case(word));
        if command == Command::Hello {
            self.summary.greeting(argument);
        } else if command == Command::Mail && begins(b"FROM:") {
            self.summary.sender(cx, argument);
        } else if command == Command::Rcpt && begins(b"TO:") {
            self.summary.receiver(cx, argument);
        }
        if let Some(what) = self.transaction.command(command, argument) {
            cx.weird("smtp_mail_transaction_invalid", Some(what.into()), SOURCE);
            self.invalid += 1;
            if self.invalid > MAX_INVALID {
                cx.weird("smtp_excessive_invalid_mail_transactions", None, SOURCE);
                self.over = true;
            }
        }
        if command == Command::Bdat {
            self.chunk(cx, argument);
            return;
        }
        if self.chunks.is_some() {
            cx.weird("smtp_missing_bdat_last_chunk", None, SOURCE);
            self.end_mail(cx);
        }
        if command == Command::Data {
            self.begin_mail(cx);
            self.state = State::Data;
        }
    }

    fn chunk(&mut self, cx: &mut Context<'_>, argument: &[u8]) {
        let Bdat { size, last } = match Bdat::parse(argument) {
            Ok(chunk) => chunk,
            Err(what) => return cx.weird("smtp_invalid_bdat_command", Some(what.into()), SOURCE),
        };
        if size > i64::MAX as u64 {
            cx.weird("smtp_huge_bdat_chunk", Some(size.to_string().into()), SOURCE);
            return;
        }
        if self.chunks.is_none() {
            self.begin_mail(cx);
            let mut lines = ContentLine::new(MAX_CHUNK_LINE);
            lines.set_ends(Ends { cr: false, lf: true });
            lines.set_quiet(true);
            self.chunks = Some(Box::new(Chunks { lines, last, left: size }));
        }
        if let Some(chunks) = &mut self.chunks {
            (chunks.last, chunks.left) = (last, size);
        }
        if let Some(lines) = self.lines.first_mut() {
            lines.set_plain(size);
        }
        if size == 0 {
            self.chunk_data(cx, &[]);
        }
    }

    /// Bytes of a chunk.
    fn chunk_data(&mut self, cx: &mut Context<'_>, bytes: &[u8]) {
        let Some(chunks) = &mut self.chunks else { return };
        chunks.left = chunks.left.saturating_sub(bytes.len() as u64);
        let mut rest = bytes;
        while let Some(piece) = chunks.lines.next(&mut rest, &mut |_| {}) {
            if let (Piece::Line(line), Some(mail)) = (piece, &mut self.mail) {
                mail.line(cx, &line);
                if let Some(field) = mail.take_field() {
                    self.summary.field(cx, &field);
                }
            }
        }
        if chunks.left == 0 && chunks.last {
            if let Some(line) = chunks.lines.end() {
                self.mail_line(cx, &line);
            }
            self.end_mail(cx);
        }
    }

    fn remember(&mut self, command: Command) {
        if self.pending.len() < MAX_PENDING {
            self.pending.push_back(command);
        }
    }

    /// A line of the server, followed by `rest` bytes.
    fn server(&mut self, cx: &mut Context<'_>, line: &[u8], rest: usize) {
        let code = super::ftp::parse::code(line);
        if !(100..=599).contains(&code) {
            cx.violate("reply code -1 out of range", Some(line.into()));
            return;
        }
        let goes_on = line.get(3) == Some(&b'-');
        let is_new = self.continued != Some(code);
        self.continued = goes_on.then_some(code);
        if is_new {
            self.summary.reply(line);
            self.reply(cx, code, rest);
        }
    }

    fn reply(&mut self, cx: &mut Context<'_>, code: u16, rest: usize) {
        let command = self.pending.pop_front();
        if self.state == State::Lost {
            self.state = State::Command;
            cx.confirm();
            if code == 354 {
                self.begin_mail(cx);
                self.state = State::Data;
            }
        }
        match (command, code) {
            (Some(Command::StartTls), 220) => {
                cx.hand_over(Some(Kind::Ssl), rest);
                self.over = true;
            }
            (Some(Command::Auth | Command::Answer), 334) => self.state = State::Login,
            (Some(Command::Auth | Command::Answer), _) if self.state == State::Login => {
                self.state = State::Command;
            }
            (Some(Command::EndOfData), _) => self.summary.log(cx),
            (Some(Command::Bdat), _) if self.chunks.is_none() => self.summary.log(cx),
            (Some(Command::Data), 354) => {}
            (Some(Command::Data), _) if self.state == State::Data => {
                self.end_mail(cx);
                self.state = State::Command;
            }
            _ => {}
        }
    }
}

impl Analyze for Smtp {
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
                Some(Piece::Over) => {}
                Some(Piece::Plain(bytes)) => self.chunk_data(cx, bytes),
                Some(Piece::Line(line)) => self.line(cx, side, &line, rest.len()),
            }
        }
    }

    fn gap(&mut self, cx: &mut Context<'_>, _side: Side, len: u64) {
        if let Some(mail) = &mut self.mail {
            mail.gap(cx, len);
        }
        self.end_mail(cx);
        self.pending.clear();
        self.state = State::Lost;
    }

    fn end(&mut self, cx: &mut Context<'_>, side: Side) {
        let line = self.lines.get_mut(side.index()).and_then(ContentLine::end);
        if let Some(line) = line.filter(|_| !self.over) {
            self.line(cx, side, &line, 0);
        }
    }

    fn finish(&mut self, cx: &mut Context<'_>) {
        self.end_mail(cx);
        self.summary.log(cx);
    }

    fn wants_payload(&self) -> bool {
        !self.over
    }
}
