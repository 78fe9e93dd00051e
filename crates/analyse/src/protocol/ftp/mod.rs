//! FTP: that it is spoken, the connections for data that it announces, and TLS inside of it.
//!
//! AUTH TLS leaves the rest of the connection to TLS; AUTH GSSAPI carries TLS in base 64 (GridFTP), next to which FTP goes on.
//! Ports: 21, 2811/tcp. Signature: USER, and a greeting with an answer to it. Confirmed by the first command; violated by a reply
//! without a code. Lines are bounded ([`MAX_LINE`]).
//! Source: RFC 959, 2228, 2428, 4217; Zeek's src/analyzer/protocol/ftp and scripts/base/protocols/ftp.

mod gssapi;
pub mod parse;
mod pending;
mod telnet;
#[cfg(test)]
mod tests;

use self::gssapi::Gssapi;
use self::parse::{Command, Reply};
use self::pending::Pending;
use self::telnet::Telnet;
use super::announced::{Announced, Announcer};
use super::content_line::{ContentLine, Ends, Piece};
use crate::context::{Context, Side};
use crate::protocol::{Analyze, Kind};

/// The analyser of a connection that FTP announced.
pub type FtpData = Announced<FtpAnnounces>;

/// FTP, as the one who announces connections.
pub struct FtpAnnounces;

impl Announcer for FtpAnnounces {
    const SOURCE: &'static str = "FTP_DATA";
}

/// The analyser's name in weirds.
const SOURCE: Option<&str> = Some("FTP");
/// The name of what takes Telnet out of the stream.
const NVT: Option<&str> = Some("NVT");
/// Most bytes of a line.
const MAX_LINE: usize = 1 << 16;
/// Most bytes that are kept of what AUTH asks for.
const MAX_MECHANISM: usize = 64;
/// Most bytes of a command's name (Zeek: FTP::max_command_length).
const MAX_COMMAND: usize = 100;
/// Most bytes of a user's name, or a password (Zeek: FTP::max_user_length, FTP::max_password_length).
const MAX_LOGIN: usize = 128;
/// Most bytes of an argument, or a reply (Zeek: FTP::max_arg_length, FTP::max_reply_msg_length).
const MAX_TEXT: usize = 4096;

/// The lines of one side.
struct Half {
    telnet: Telnet,
    lines: ContentLine,
}

impl Half {
    fn new() -> Self {
        let mut lines = ContentLine::new(MAX_LINE);
        lines.set_ends(Ends { cr: false, lf: true });
        Self { telnet: Telnet::default(), lines }
    }
}

/// The analyser.
pub struct Ftp {
    halves: [Half; 2],
    confirmed: bool,
    /// What the client asked for by AUTH.
    auth: Vec<u8>,
    gssapi: Option<Box<Gssapi>>,
    pending: Pending,
    /// Bytes of the last reply.
    replied: usize,
    /// The code of a reply of several lines, until its last.
    continued: Option<u16>,
    nul_told: bool,
    over: bool,
}

impl Default for Ftp {
    fn default() -> Self {
        Self {
            halves: [Half::new(), Half::new()],
            confirmed: false,
            auth: Vec::new(),
            gssapi: None,
            pending: Pending::default(),
            replied: 0,
            continued: None,
            nul_told: false,
            over: false,
        }
    }
}

impl Ftp {
    /// Text of `side`, which `more` bytes follow.
    fn text(&mut self, cx: &mut Context<'_>, side: Side, mut text: &[u8], more: usize) {
        while !self.over {
            let Some(half) = self.halves.get_mut(side.index()) else { return };
            let mut odd = Vec::new();
            let piece = half.lines.next(&mut text, &mut |name| odd.push(name));
            for name in odd {
                cx.weird(name, None, NVT);
            }
            match piece {
                None => return,
                Some(Piece::Line(line)) => self.line(cx, side, &line, text.len() + more),
                Some(Piece::Plain(_) | Piece::Over) => {}
            }
        }
    }

    fn line(&mut self, cx: &mut Context<'_>, side: Side, line: &[u8], rest: usize) {
        if line.is_empty() {
            return;
        }
        let goes_on = if side.is_orig() { self.command(cx, line) } else { self.reply(cx, line, rest) };
        if goes_on
            && let Some(gssapi) = &mut self.gssapi
            && gssapi.line(cx, side, line)
            && let Some(mut gssapi) = self.gssapi.take()
        {
            gssapi.finish(cx);
        }
    }

    /// A line of the client; answers whether it was understood.
    fn command(&mut self, cx: &mut Context<'_>, line: &[u8]) -> bool {
        let Some(command) = Command::parse(line) else {
            if self.confirmed {
                cx.weird("FTP_invalid_command", None, SOURCE);
            }
            return false;
        };
        if command.name.len() > MAX_COMMAND {
            if self.confirmed {
                tell(cx, "FTP_max_command_length_exceeded", command.name.len());
            }
            return false;
        }
        self.confirmed = true;
        cx.confirm();
        let id = cx.connection.id;
        let over = self.pending.settle();
        self.command_over(cx, over);
        if let Some(count) = self.pending.command(pending::shown_len(&command, id.resp_h)) {
            tell(cx, "FTP_too_many_pending_commands", count);
        }
        let len = command.argument.len();
        match command.name.to_ascii_uppercase().as_slice() {
            b"USER" if len > MAX_LOGIN => tell(cx, "FTP_user_too_long", len),
            b"PASS" if len > MAX_LOGIN => tell(cx, "FTP_password_too_long", len),
            b"AUTH" => {
                let len = len.min(MAX_MECHANISM);
                self.auth = command.argument.get(..len).unwrap_or_default().into();
            }
            b"PORT" => {
                if let Some(to) = parse::port(command.argument) {
                    cx.expected.announce(cx.now, &id, id.resp_h, to, Kind::FtpData);
                }
            }
            b"EPRT" => {
                if let Some(to) = parse::extended_port(command.argument) {
                    cx.expected.announce(cx.now, &id, id.resp_h, to, Kind::FtpData);
                }
            }
            _ => {}
        }
        true
    }

    /// A command whose argument has so many bytes is over.
    fn command_over(&self, cx: &mut Context<'_>, argument: Option<usize>) {
        let Some(argument) = argument else { return };
        if argument > MAX_TEXT {
            tell(cx, "FTP_arg_too_long", argument);
        }
        if self.replied > MAX_TEXT {
            tell(cx, "FTP_reply_msg_too_long", self.replied);
        }
    }

    /// A line of the server, followed by `rest` bytes; answers whether it was understood.
    fn reply(&mut self, cx: &mut Context<'_>, line: &[u8], rest: usize) -> bool {
        let reply = match Reply::parse(line, self.continued) {
            Ok(reply) => reply,
            Err(reason) => {
                cx.violate(reason, Some(line.into()));
                return false;
            }
        };
        self.continued = reply.continued;
        let code = reply.code;
        if code == 234 && self.auth == b"TLS" {
            cx.hand_over(Some(Kind::Ssl), rest);
            self.over = true;
            return false;
        }
        if code == 334 && self.auth == b"GSSAPI" && self.gssapi.is_none() {
            self.gssapi = Some(Box::default());
        }
        let intermediate = code == 0;
        if !intermediate {
            self.replied = reply.text.len();
        }
        if !intermediate && self.continued.is_none() {
            let over = self.pending.reply();
            self.command_over(cx, over);
        }
        let id = cx.connection.id;
        let to = match code {
            227 => parse::passive(reply.text),
            229 => parse::extended_passive(reply.text).map(|port| (id.resp_h, port)),
            _ => None,
        };
        if let Some(to) = to {
            cx.expected.announce(cx.now, &id, id.orig_h, to, Kind::FtpData);
        }
        true
    }
}

/// Reports what is too long or too many.
fn tell(cx: &mut Context<'_>, name: &'static str, how_much: usize) {
    cx.weird(name, Some(how_much.to_string().into()), SOURCE);
}

impl Analyze for Ftp {
    fn data(&mut self, cx: &mut Context<'_>, side: Side, mut bytes: &[u8]) {
        // Line by line, so that what follows a line is known in bytes as they came.
        while !bytes.is_empty() && !self.over {
            let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
            let line = bytes.get(..end).unwrap_or(bytes);
            let mut text = Vec::new();
            let Some(half) = self.halves.get_mut(side.index()) else { return };
            let left = half.telnet.strip(line, &mut text);
            let text = if half.telnet.changed() { text.as_slice() } else { line };
            bytes = bytes.get(end - left.map_or(0, <[u8]>::len)..).unwrap_or_default();
            self.text(cx, side, text, bytes.len());
            if left.is_some() && !self.over && !std::mem::replace(&mut self.nul_told, true) {
                cx.weird("NUL_in_line", None, NVT);
            }
        }
    }

    fn gap(&mut self, _cx: &mut Context<'_>, _side: Side, _len: u64) {}

    fn end(&mut self, cx: &mut Context<'_>, side: Side) {
        let line = self.halves.get_mut(side.index()).and_then(|half| half.lines.end());
        if let Some(line) = line.filter(|_| !self.over) {
            self.line(cx, side, &line, 0);
        }
    }

    fn finish(&mut self, cx: &mut Context<'_>) {
        if let Some(gssapi) = &mut self.gssapi {
            gssapi.finish(cx);
        }
        // Before the first command nothing was a session.
        while let Some(argument) = self.pending.leave().filter(|_| self.confirmed) {
            self.command_over(cx, Some(argument));
        }
    }

    fn wants_payload(&self) -> bool {
        !self.over
    }
}
