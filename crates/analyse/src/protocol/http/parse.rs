//! Both sides of a connection, as bytes, to messages.
//!
//! Promises: the messages do not depend on how the stream is cut into calls; memory is bounded by
//! [`MAX_LINE`], [`MAX_UNANSWERED`] and the bounds of [`super::message`] and [`super::decode`].
//!
//! ```text
//! request:  Line --request line--> Message --end of message--> Line
//! reply:    Line --status line---> Message --end of message--> Line
//! Nothing:  after a line that is none, a message that was cut short, or an upgrade
//! Raw:      the reply to a request of HTTP/0.9
//! ```
//!
//! Source: RFC 9112; Zeek `analyzer/protocol/http/HTTP.cc`.

use std::collections::VecDeque;

use super::entity::{Expect, weird};
use super::event::{Event, Facts, Listener, Successor};
use super::line::{self, RequestLine, Version};
use super::message::{Message, Scope};
use crate::context::Side;
use crate::protocol::content_line::{self, ContentLine, Piece};
use crate::protocol::uri;

/// Most bytes of a line; a longer one is cut off, with a weird. Zeek allows 16 MiB.
pub const MAX_LINE: usize = 1 << 20;

/// Requests without answer whose method is remembered; answers to those beyond are taken to have a body.
const MAX_UNANSWERED: usize = 4096;

/// What is to come on one side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Line,
    Message,
    Nothing,
    Raw,
}

/// One side.
struct Half {
    lines: ContentLine,
    message: Message,
    state: State,
    /// A message is in progress.
    ongoing: bool,
}

impl Half {
    fn new() -> Self {
        Self {
            lines: ContentLine::new(MAX_LINE),
            message: Message::default(),
            state: State::Line,
            ongoing: false,
        }
    }
}

/// The parser of one connection.
pub struct Parser {
    orig: Half,
    resp: Half,
    facts: Facts,
    /// There was a request.
    requested: bool,
    /// The last request asks for a tunnel.
    connect: bool,
    /// The requests without answer: whether the answer has no body whatever it says (HEAD).
    unanswered: VecDeque<bool>,
    /// What follows is no HTTP.
    over: bool,
}

impl Parser {
    /// A parser at the beginning of a connection.
    pub fn new() -> Self {
        Self {
            orig: Half::new(),
            resp: Half::new(),
            facts: Facts::default(),
            requested: false,
            connect: false,
            unanswered: VecDeque::new(),
            over: false,
        }
    }

    /// Whether anything more can come of the bytes.
    pub fn is_interested(&self) -> bool {
        let over = |half: &Half| half.state == State::Nothing && !half.ongoing;
        !(self.over || over(&self.orig) && over(&self.resp))
    }

    /// The next bytes of `side`.
    pub fn data<L: Listener>(&mut self, side: Side, bytes: &[u8], out: &mut L) {
        if self.over {
            return;
        }
        if !side.is_orig() && self.resp.state == State::Raw {
            return self.raw(bytes, out);
        }
        let mut rest = bytes;
        while let Some(piece) = self.half(side).lines.next(&mut rest, &mut |name| {
            out.hear(Event::Weird { name, addl: None, source: Some(content_line::SOURCE) });
        }) {
            match piece {
                Piece::Plain(bytes) => self.deliver(side, bytes, false, out),
                Piece::Line(line) => self.line(side, &line, rest.len(), out),
                Piece::Over => {
                    let (message, mut scope) = self.split(side, out);
                    message.finish(&mut scope);
                    self.check_finished(side, rest.len(), out);
                }
            }
            if self.over {
                return;
            }
        }
    }

    /// `len` bytes of `side` were lost.
    pub fn gap<L: Listener>(&mut self, side: Side, len: u64, out: &mut L) {
        if self.over {
            return;
        }
        let (message, mut scope) = self.split(side, out);
        if message.lost(len, &mut scope) {
            return self.check_finished(side, 0, out);
        }
        // Without the request it is not known whether its reply has a body.
        if side.is_orig() {
            self.made(Side::Orig, true, 0, out);
        }
        self.made(Side::Resp, true, 0, out);
        self.half(side).lines.stop();
    }

    /// `side` sends no more.
    pub fn end<L: Listener>(&mut self, side: Side, out: &mut L) {
        if !self.over
            && let Some(line) = self.half(side).lines.end()
        {
            self.line(side, &line, 0, out);
        }
        self.made(side, false, 0, out);
    }

    /// The connection is over.
    pub fn finish<L: Listener>(&mut self, out: &mut L) {
        self.made(Side::Orig, true, 0, out);
        self.made(Side::Resp, true, 0, out);
        self.orig.message.clear(out);
        self.resp.message.clear(out);
    }

    const fn half(&mut self, side: Side) -> &mut Half {
        match side {
            Side::Orig => &mut self.orig,
            Side::Resp => &mut self.resp,
        }
    }

    /// One side's message, and what it needs.
    fn split<'a, L: Listener>(&'a mut self, side: Side, out: &'a mut L) -> (&'a mut Message, Scope<'a, L>) {
        let Self { orig, resp, facts, .. } = self;
        let half = if side.is_orig() { orig } else { resp };
        (&mut half.message, Scope { side, lines: &mut half.lines, facts, out })
    }

    /// Bytes or a line of a message; `rest` bytes of this call come behind it.
    fn deliver<L: Listener>(&mut self, side: Side, bytes: &[u8], is_line: bool, out: &mut L) {
        let (message, mut scope) = self.split(side, out);
        if message.exists() {
            message.deliver(bytes, is_line, &mut scope);
            return self.check_finished(side, 0, out);
        }
        let name = if side.is_orig() { "unexpected_client_HTTP_data" } else { "unexpected_server_HTTP_data" };
        weird(out, name, None);
    }

    /// The message may just have ended.
    fn check_finished<L: Listener>(&mut self, side: Side, rest: usize, out: &mut L) {
        let half = self.half(side);
        if half.ongoing && half.message.is_finished() {
            self.made(side, false, rest, out);
        }
    }

    /// A line of `side`; `rest` bytes of this call come behind it.
    fn line<L: Listener>(&mut self, side: Side, line: &[u8], rest: usize, out: &mut L) {
        match (self.half(side).state, side) {
            (State::Line, Side::Orig) => self.request_line(line, out),
            (State::Line, Side::Resp) => self.status_line(line, out),
            (State::Message, _) => {
                let (message, mut scope) = self.split(side, out);
                message.deliver(line, true, &mut scope);
                self.check_finished(side, rest, out);
                if side == Side::Resp && self.connect && line.is_empty() && !self.over {
                    self.tunnel(rest, out);
                }
            }
            (State::Nothing | State::Raw, _) => {}
        }
    }

    /// The reply that opens the tunnel is complete: what follows in both directions is not HTTP.
    fn tunnel<L: Listener>(&mut self, rest: usize, out: &mut L) {
        self.over = true;
        if rest > 0 {
            weird(out, "protocol_data_with_HTTP_CONNECT_reply", Some(rest.to_string().as_bytes()));
        }
        out.hear(Event::HandOver { to: Successor::Unknown, rest });
    }

    fn request_line<L: Listener>(&mut self, line: &[u8], out: &mut L) {
        let request = match line::request(line, &mut |name| weird(out, name, None)) {
            Ok(request) => request,
            Err(name) => {
                weird(out, name, None);
                return self.not_a_request(line, out);
            }
        };
        if let Some(version) = request.version {
            set_version(&mut self.facts.request_version, version, &mut self.facts.keep_alive, out);
        }
        let uri = uri::unescape(request.uri, &mut |name| weird(out, name, None));
        let is_0_9 = self.facts.request_version == Version::V0_9;
        if is_0_9 && (request.method.len() < 3 || request.uri.is_empty()) {
            weird(out, "bad_HTTP_request", None);
            return self.not_a_request(line, out);
        }
        if std::mem::replace(&mut self.requested, true) && !self.facts.keep_alive {
            weird(out, "unexpected_multiple_HTTP_requests", None);
        }
        self.begin_request(&request, &uri, out);
        if is_0_9 {
            self.expect_raw(request.method, out);
        }
    }

    fn begin_request<L: Listener>(&mut self, request: &RequestLine<'_>, uri: &[u8], out: &mut L) {
        self.orig.state = State::Message;
        self.orig.ongoing = true;
        self.facts.request_ongoing = true;
        if self.unanswered.len() < MAX_UNANSWERED {
            self.unanswered.push_back(line::method_is(request.method, b"HEAD"));
        }
        out.hear(Event::Confirmed);
        self.connect |= line::method_is(request.method, b"CONNECT");
        out.hear(Event::Request { method: request.method, uri });
        self.begin_message(Side::Orig, Expect::Maybe, out);
    }

    /// A request of HTTP/0.9: its reply is a body, from the first byte to the last.
    fn expect_raw<L: Listener>(&mut self, method: &[u8], out: &mut L) {
        if method != b"GET" {
            weird(out, "invalid_http_09_request_method", Some(method));
        }
        if self.resp.message.exists() {
            weird(out, "http_09_reply_before_request", None);
            let (message, mut scope) = self.split(Side::Resp, out);
            message.finish(&mut scope);
            self.check_finished(Side::Resp, 0, out);
            self.resp.message.clear(out);
        }
        self.resp.state = State::Raw;
    }

    fn not_a_request<L: Listener>(&mut self, line: &[u8], out: &mut L) {
        if self.requested && !self.facts.keep_alive {
            return;
        }
        // Some clients send a line end too much behind a body.
        if line.is_empty() {
            return weird(out, "empty_http_request", None);
        }
        out.hear(Event::Violation("not a http request line"));
        self.orig.state = State::Nothing;
    }

    fn status_line<L: Listener>(&mut self, line: &[u8], out: &mut L) {
        let status = line::status(line, &mut |name| weird(out, name, None));
        if let Some(status) = &status {
            set_version(&mut self.facts.reply_version, status.version, &mut self.facts.keep_alive, out);
        }
        let Some((code, reason)) = status.and_then(|status| status.status) else {
            if !line.is_empty() {
                out.hear(Event::Violation("not a http reply line"));
                self.resp.state = State::Nothing;
            }
            return;
        };
        if !self.unanswered.is_empty() {
            out.hear(Event::Confirmed);
        }
        self.facts.reply_code = code;
        self.begin_reply(reason, out);
        self.resp.state = State::Message;
        if code != 200 {
            self.connect = false;
        }
        self.begin_message(Side::Resp, self.expect_body(), out);
    }

    fn begin_reply<L: Listener>(&mut self, reason: Option<&[u8]>, out: &mut L) {
        self.resp.ongoing = true;
        let (version, code) = (self.facts.reply_version, self.facts.reply_code);
        out.hear(Event::Reply { version, code, reason });
    }

    /// Whether a body follows the header of the reply.
    fn expect_body(&self) -> Expect {
        let to_head = self.unanswered.front().copied().unwrap_or(false);
        if to_head || matches!(self.facts.reply_code, 100..=199 | 204 | 304) {
            Expect::Nothing
        } else {
            Expect::Body
        }
    }

    fn begin_message<L: Listener>(&mut self, side: Side, expect: Expect, out: &mut L) {
        let (message, mut scope) = self.split(side, out);
        if message.exists() && !message.is_finished() {
            weird(scope.out, "HTTP_overlapping_messages", None);
        }
        message.begin(expect, &mut scope);
    }

    /// Bytes of a reply of HTTP/0.9.
    fn raw<L: Listener>(&mut self, bytes: &[u8], out: &mut L) {
        if !self.resp.message.exists() {
            set_version(&mut self.facts.reply_version, Version::V0_9, &mut self.facts.keep_alive, out);
            if self.unanswered.pop_front().is_some() {
                out.hear(Event::Confirmed);
            }
            // It ends with the connection.
            self.facts.connection_close = true;
            self.begin_reply(None, out);
            self.begin_message(Side::Resp, self.expect_body(), out);
            self.deliver(Side::Resp, &[], true, out);
            if self.resp.state != State::Raw {
                // It has no body (another request, HEAD, came meanwhile): the bytes are of something else.
                return self.data(Side::Resp, bytes, out);
            }
        }
        self.deliver(Side::Resp, bytes, false, out);
    }

    /// The message of `side` is over: as it should (`interrupted` false), or because nothing more can be made of it.
    fn made<L: Listener>(&mut self, side: Side, interrupted: bool, rest: usize, out: &mut L) {
        if !std::mem::replace(&mut self.half(side).ongoing, false) {
            return;
        }
        if side.is_orig() {
            self.facts.request_ongoing = false;
        }
        let (message, mut scope) = self.split(side, out);
        message.finish(&mut scope);
        if !side.is_orig() {
            self.reply_made(rest, out);
        }
        self.half(side).state = if interrupted || self.over { State::Nothing } else { State::Line };
    }

    fn reply_made<L: Listener>(&mut self, rest: usize, out: &mut L) {
        let code = std::mem::take(&mut self.facts.reply_code);
        if !matches!(code, 100..=199) {
            self.unanswered.pop_front();
        }
        let upgrades = std::mem::take(&mut self.facts.upgrades);
        let to =
            self.facts.upgrade_to.take().filter(|_| upgrades && code == 101 && self.unanswered.len() == 1);
        let Some(to) = to else { return };
        self.over = true;
        if rest > 0 {
            weird(out, "protocol_data_with_HTTP_upgrade_reply", Some(rest.to_string().as_bytes()));
        }
        out.hear(Event::HandOver { to, rest });
    }
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

/// Takes note of the version of a message; a connection should not change it.
fn set_version<L: Listener>(known: &mut Version, version: Version, keep_alive: &mut bool, out: &mut L) {
    if *known != Version::NONE && *known != version {
        weird(out, "HTTP_version_mismatch", None);
    }
    *known = version;
    *keep_alive |= version > Version { major: 1, minor: 0 };
}
