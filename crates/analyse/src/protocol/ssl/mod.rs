//! TLS and DTLS: who talks to whom with which keys, as far as the handshake shows.
//!
//! Promise: ssl.log and x509.log as Zeek writes them. Once a session is established nothing more is read: payload is no
//! longer wanted. Encrypted bodies are passed over, never copied; what is held is bounded (see [`parse`]).
//! Source: RFC 6101, 5246, 8446 (TLS), 6347, 9147 (DTLS); Zeek's src/analyzer/protocol/ssl.

mod ciphers;
mod dtls;
mod handshake;
mod hello;
mod log;
mod names;
mod parse;
mod record;
#[cfg(test)]
mod tests;

pub use dtls::Dtls;
pub use hello::Hello;

use self::handshake::Handshake;
use self::names::{SSL_V2, SSL_V3, TLS_V10, TLS_V12};
use self::parse::content;
use self::parse::records::{Body, Records, Step};
use crate::context::{Context, Side};
use crate::protocol::Analyze;

/// TLS over a stream.
///
/// ```text
///             head                    body complete
///  ┌──────┐ ───────► ┌────────────┐ ───────────────► in the clear: CCS, alert, handshake, heartbeat ─┐
///  │ head │          │ body, kept │                                                                 │
///  │      │ ───────► │ or passed  │ ───────────────► encrypted: both sides so? ──► established      │
///  └──────┘          └────────────┘                                                                 │
///     ▲   └─ not TLS (any more): violated                                                            │
///     └──────────────────────────────────────────────────────────────────────────────────────────────┘
/// ```
#[derive(Debug)]
pub struct Ssl {
    handshake: Handshake,
    sides: [Stream; 2],
    /// The version that the first record's head named: later ones must have a version, too.
    layer: Option<u16>,
    /// Nothing more is read.
    done: bool,
}

/// One side of the stream.
#[derive(Debug, Default)]
struct Stream {
    records: Records,
    /// The record in work.
    head: Head,
}

/// What the head of a record says.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    content: u16,
    /// The last two bytes of the head, which belong to the body in SSL 2.0.
    tail: u16,
    length: u16,
}

/// Why a head is none.
enum Refused {
    /// In Zeek's words.
    Because(String),
}

impl Ssl {
    /// A new analyser.
    pub fn new() -> Self {
        Self { handshake: Handshake::new("SSL"), sides: <[Stream; 2]>::default(), layer: None, done: false }
    }

    /// What follows is another handshake, which the same record tells of (QUIC: after a retry).
    pub fn begin_anew(&mut self) {
        let session = std::mem::take(&mut self.handshake.session);
        *self = Self::new();
        self.handshake.session = session;
    }

    /// As [`Analyze::data`], for a protocol that carries TLS and has a verdict of its own.
    pub fn carried(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]) {
        let own = std::mem::take(&mut cx.verdict);
        self.data(cx, side, bytes);
        let said = std::mem::replace(&mut cx.verdict, own);
        if said.confirmed {
            cx.connection.add_service("ssl");
        }
    }

    /// Whether the session is complete as far as it can be seen.
    pub const fn is_established(&self) -> bool {
        self.handshake.is_established()
    }

    /// Makes the record layer out of five bytes.
    fn head(&mut self, side: Side, [h0, h1, h2, h3, h4]: [u8; 5]) -> Result<Head, Refused> {
        let version = u16::from_be_bytes([h1, h2]);
        let tail = u16::from_be_bytes([h3, h4]);
        let tls = Head { content: u16::from(h0), tail, length: tail };
        let because = |reason| Err(Refused::Because(reason));
        match self.layer {
            Some(SSL_V2) => return v2_head([h0, h1, h2], tail),
            Some(_) if is_record_version(version) => return Ok(tls),
            Some(_) => {
                return because(format!(
                    "Invalid version late in TLS connection. Packet reported version: {version}"
                ));
            }
            None => {}
        }
        if h0 & 0x80 != 0 {
            if h2 == 1 && side.is_orig() {
                if tail != SSL_V2 && !is_record_version(tail) {
                    return because(format!("Invalid version in SSL client hello. Version: {tail}"));
                }
                return v2_head([h0, h1, h2], tail);
            }
            if h2 == 4 && h4 < 2 && !side.is_orig() {
                self.layer = Some(SSL_V2);
                return v2_head([h0, h1, h2], tail);
            }
            return because(format!(
                "Invalid headers in SSL connection. Head1: {h1}, head2: {h2}, head3: {h3}"
            ));
        }
        if !is_record_version(version) {
            return because(format!("Invalid version in TLS connection. Version: {version}"));
        }
        if !(20..=30).contains(&h0) {
            return because(format!("Invalid type in TLS connection. Version: {version}, Type: {h0}"));
        }
        self.layer = Some(version);
        Ok(tls)
    }

    /// Whether a body must be at hand to be understood.
    fn is_wanted(&self, side: Side, head: Head) -> bool {
        head.content != content::APPLICATION_DATA && !self.handshake.is_encrypted(side)
    }

    fn read(&mut self, cx: &mut Context<'_>, side: Side, mut bytes: &[u8]) {
        // Zeek reads on to the end of a packet; here a record is the end, so that packets do not matter.
        while !self.handshake.is_over() {
            let Some(stream) = self.sides.get_mut(side.index()) else { return };
            match stream.records.pull(&mut bytes) {
                None => return,
                Some(Step::Head(head)) => match self.head(side, head) {
                    Ok(head) => self.begin(side, head),
                    Err(Refused::Because(reason)) => self.handshake.violate_and_skip(cx, reason),
                },
                Some(Step::Skipped) => self.record(cx, side, None),
                Some(Step::Body(body)) => self.record(cx, side, Some(body)),
            }
        }
    }

    fn begin(&mut self, side: Side, head: Head) {
        let wanted = self.is_wanted(side, head);
        if let Some(stream) = self.sides.get_mut(side.index()) {
            stream.head = head;
            stream.records.begin(head.length, wanted);
        }
    }

    fn record(&mut self, cx: &mut Context<'_>, side: Side, body: Option<Body<'_>>) {
        let Some(head) = self.sides.get(side.index()).map(|s| s.head) else { return };
        let Some(body) = body else {
            record::passed(&mut self.handshake, cx, side, head.content);
            return;
        };
        if let Err(e) = record::read(&mut self.handshake, cx, side, head, &body) {
            self.handshake.violate(cx, e.reason());
            self.handshake.skip = true;
        }
        if let Some(stream) = self.sides.get_mut(side.index()) {
            stream.records.reuse(body);
        }
    }
}

const fn is_record_version(version: u16) -> bool {
    version == SSL_V3 || TLS_V10 <= version && version <= TLS_V12
}

/// The head of a record of SSL 2.0: two bytes of length, and three of the message already.
fn v2_head([h0, h1, h2]: [u8; 3], tail: u16) -> Result<Head, Refused> {
    let whole = u16::from_be_bytes([h0 & 0x7f, h1]);
    match whole.checked_sub(3) {
        Some(length) => Ok(Head { content: content::V2 + u16::from(h2), tail, length }),
        None => Err(Refused::Because(format!(
            "Binpac exception: binpac exception: out_of_bound: SSLRecord:head4: 5 > {}",
            whole + 2
        ))),
    }
}

impl Default for Ssl {
    fn default() -> Self {
        Self::new()
    }
}

impl Analyze for Ssl {
    fn data(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]) {
        if self.done {
            return;
        }
        if cx.connection.partial {
            self.done = true;
            return;
        }
        self.read(cx, side, bytes);
        if self.handshake.is_over() {
            self.done = true;
            self.handshake.session.log(cx);
            self.sides = <[Stream; 2]>::default();
            self.handshake.release();
        }
    }

    fn gap(&mut self, _cx: &mut Context<'_>, _side: Side, _len: u64) {
        // Nothing tells where the next record begins.
        self.done = true;
    }

    fn end(&mut self, _cx: &mut Context<'_>, _side: Side) {}

    fn finish(&mut self, cx: &mut Context<'_>) {
        self.handshake.session.log(cx);
    }

    fn wants_payload(&self) -> bool {
        !self.done
    }
}
