//! The handshake of a connection: what the messages mean for those that follow, and who tells the log.
//!
//! Promise: events reach the log in Zeek's order: extensions, then their hello, then the message; whatever came before a
//! malformed part counts.
//! Source: Zeek's src/analyzer/protocol/ssl/tls-handshake-protocol.pac and tls-handshake-analyzer.pac.

use weir_record::Text;

use super::ciphers::{self, KeyExchange};
use super::log::Session;
use super::names::{self, DTLS_V10, DTLS_V12, DTLS_V13, SSL_V2, SSL_V3, TLS_V10, TLS_V11, TLS_V12, TLS_V13};
use super::parse::extension::{Extension, Extensions};
use super::parse::fields::OutOfBound;
use super::parse::handshake::{self, ClientHello, ServerHello, kind};
use super::parse::records::Body;
use super::parse::stream::{Message, Messages};
use crate::context::{Context, Side};
use crate::file::FileInfo;

/// The handshake of a connection and its log.
#[derive(Debug)]
pub struct Handshake {
    /// The analyser's name, as weirds show it.
    pub source: &'static str,
    /// The log.
    pub session: Session,
    /// The analyser has confirmed the protocol.
    pub confirmed: bool,
    /// It has given up on it.
    pub violated: bool,
    /// Nothing more is to be read.
    pub skip: bool,
    suite: Option<u16>,
    version: Option<u16>,
    flipped: bool,
    flip_reported: bool,
    encrypted: [bool; 2],
    established: bool,
    messages: [Messages; 2],
}

/// CertificateStatus: an OCSP response.
const STATUS_OCSP: u8 = 1;

/// A stapled OCSP response is a file of its own.
fn stapled(cx: &mut Context<'_>, source: &'static str, response: &[u8]) {
    let file = cx.file_handle(&[b"stapled", &cx.connection.uid.to_bytes(), &cx.now.0.to_be_bytes()]);
    let info = FileInfo { source, depth: 0, filename: None, sender: Side::Resp };
    cx.file_whole(file, info, "application/ocsp-response", response);
}

/// Whether a hello's version is one at all.
const fn is_version(version: u16) -> bool {
    matches!(
        version,
        SSL_V2 | SSL_V3 | TLS_V10 | TLS_V11 | TLS_V12 | TLS_V13 | DTLS_V10 | DTLS_V12 | DTLS_V13
    ) || names::is_draft(version)
}

impl Handshake {
    /// A handshake that has not begun.
    pub fn new(source: &'static str) -> Self {
        Self {
            source,
            session: Session::default(),
            confirmed: false,
            violated: false,
            skip: false,
            suite: None,
            version: None,
            flipped: false,
            flip_reported: false,
            encrypted: [false; 2],
            established: false,
            messages: <[Messages; 2]>::default(),
        }
    }

    /// Whether `side` acts as a client.
    pub const fn is_client(&self, side: Side) -> bool {
        side.is_orig() != self.flipped
    }

    /// The version that the server chose, as far as it is known.
    pub const fn version(&self) -> Option<u16> {
        self.version
    }

    /// Whether the server chose TLS 1.3 or a draft of it.
    pub fn is_tls13(&self) -> bool {
        self.version.is_some_and(|v| v == TLS_V13 || names::is_draft(v))
    }

    /// Whether what `side` sends is encrypted.
    pub fn is_encrypted(&self, side: Side) -> bool {
        self.encrypted.get(side.index()).is_some_and(|e| *e)
    }

    /// From here on, what `side` sends is encrypted.
    pub fn encrypt(&mut self, side: Side) {
        if let Some(encrypted) = self.encrypted.get_mut(side.index()) {
            *encrypted = true;
        }
    }

    /// An encrypted record was seen.
    pub fn ciphertext(&mut self, cx: &mut Context<'_>) {
        if self.encrypted == [true; 2] {
            self.establish(cx);
        }
    }

    /// The session is complete.
    pub fn establish(&mut self, cx: &mut Context<'_>) {
        if !self.established {
            self.established = true;
            self.session.establish(cx);
        }
    }

    /// Whether the session is complete.
    pub const fn is_established(&self) -> bool {
        self.established
    }

    /// Whether the analysis is over: Zeek takes a confirmed analyser out once the session is established.
    pub const fn is_over(&self) -> bool {
        self.violated || self.skip || self.established && self.confirmed
    }

    /// The bytes are of this protocol.
    pub fn confirm(&mut self, cx: &mut Context<'_>) {
        self.confirmed = true;
        self.session.start(cx.now);
        cx.confirm();
    }

    /// The bytes break the rules; what was seen so far is logged.
    pub fn violate(&mut self, cx: &mut Context<'_>, reason: impl Into<Text>) {
        self.violated = true;
        self.session.log(cx);
        cx.violate(reason, None);
    }

    /// As [`Self::violate`], and nothing more is read.
    pub fn violate_and_skip(&mut self, cx: &mut Context<'_>, reason: impl Into<Text>) {
        self.skip = true;
        self.violate(cx, reason);
    }

    /// Bytes of handshake messages from a record that `side` sent.
    pub fn data(&mut self, cx: &mut Context<'_>, side: Side, mut bytes: &[u8]) {
        loop {
            let Some(messages) = self.messages.get_mut(side.index()) else { return };
            match messages.pull(&mut bytes) {
                Ok(Some(Message { kind, body })) => {
                    if let Err(e) = self.message(cx, side, kind, &body) {
                        self.violate(cx, e.reason());
                        return;
                    }
                    self.reuse(side, body);
                }
                Ok(None) => return,
                Err(_) => {
                    self.violate(cx, "Binpac exception: binpac exception: flow buffer exceeds its maximum");
                    return;
                }
            }
        }
    }

    /// A handshake message that came whole, without its head.
    pub fn whole(&mut self, cx: &mut Context<'_>, side: Side, message: u8, body: &[u8]) {
        if let Err(e) = self.message(cx, side, message, body) {
            self.violate(cx, e.reason());
        }
    }

    /// Whether a message of `side` waits for its end.
    pub fn is_waiting(&self, side: Side) -> bool {
        self.messages.get(side.index()).is_some_and(Messages::is_waiting)
    }

    /// Frees what only matters while messages are read.
    pub fn release(&mut self) {
        self.messages = <[Messages; 2]>::default();
    }

    fn reuse(&mut self, side: Side, body: Body<'_>) {
        if let Some(messages) = self.messages.get_mut(side.index()) {
            messages.reuse(body);
        }
    }

    fn message(
        &mut self,
        cx: &mut Context<'_>,
        side: Side,
        message: u8,
        body: &[u8],
    ) -> Result<(), OutOfBound> {
        match message {
            kind::HELLO_REQUEST => self.direct(cx, side, false),
            kind::CLIENT_HELLO => self.client_hello(cx, side, body)?,
            kind::SERVER_HELLO => self.server_hello(cx, side, body)?,
            kind::HELLO_VERIFY_REQUEST => handshake::hello_verify_request(body)?,
            kind::SESSION_TICKET => handshake::session_ticket(body)?,
            kind::CERTIFICATE => {
                let client = self.is_client(side);
                for (index, certificate) in handshake::certificates(body)?.enumerate() {
                    self.session.certificate(cx, client, index, certificate, self.source);
                }
            }
            kind::SERVER_KEY_EXCHANGE => {
                let exchange = self.suite.map_or(KeyExchange::Other, ciphers::key_exchange);
                let version = self.version.unwrap_or(0);
                if let Some(curve) = handshake::server_key_exchange(body, exchange, version)? {
                    self.session.curve(cx.now, curve);
                }
            }
            kind::CERTIFICATE_STATUS => {
                let (status, response) = handshake::certificate_status(body)?;
                if response.is_empty() {
                    cx.weird("SSL_zero_length_stapled_OCSP_message", None, Some(self.source));
                } else if status == STATUS_OCSP {
                    stapled(cx, self.source, response);
                }
            }
            kind::CERTIFICATE_REQUEST
            | kind::SERVER_HELLO_DONE
            | kind::CERTIFICATE_VERIFY
            | kind::CLIENT_KEY_EXCHANGE
            | kind::FINISHED
            | kind::CERTIFICATE_URL => {}
            unknown => {
                let from = if side.is_orig() { "originator" } else { "responder" };
                self.violate(cx, format!("unknown handshake message ({unknown}) from {from}"));
            }
        }
        self.session.handshake(cx, self.is_client(side), message, self.source);
        Ok(())
    }

    /// A message that only a client (or only a server) sends tells who is which.
    fn direct(&mut self, cx: &mut Context<'_>, side: Side, by_client: bool) {
        if self.is_client(side) == by_client {
            return;
        }
        if self.flipped && !self.flip_reported {
            self.flip_reported = true;
            cx.weird("SSL_unclear_connection_direction", None, Some(self.source));
        }
        self.flipped = !self.flipped;
        self.session.flipped(cx.now);
    }

    fn extensions(
        &mut self,
        cx: &mut Context<'_>,
        client: bool,
        extensions: Extensions<'_>,
    ) -> Result<(), OutOfBound> {
        for extension in extensions {
            let extension = extension?;
            if let Extension::Version(version) = extension {
                self.version.get_or_insert(version);
            }
            self.session.extension(cx, client, &extension, self.source);
        }
        Ok(())
    }

    fn client_hello(&mut self, cx: &mut Context<'_>, side: Side, body: &[u8]) -> Result<(), OutOfBound> {
        self.direct(cx, side, true);
        let hello = ClientHello::parse(body)?;
        let client = self.is_client(side);
        self.extensions(cx, client, hello.extensions(client))?;
        if is_version(hello.version) {
            self.confirm(cx);
        } else {
            self.violate_and_skip(cx, format!("unsupported client SSL version 0x{:04x}", hello.version));
        }
        self.session.client_hello(cx.now, hello.session_id);
        Ok(())
    }

    fn server_hello(&mut self, cx: &mut Context<'_>, side: Side, body: &[u8]) -> Result<(), OutOfBound> {
        self.direct(cx, side, false);
        let hello = ServerHello::parse(body)?;
        let client = self.is_client(side);
        self.extensions(cx, client, hello.extensions(client))?;
        self.suite = Some(hello.suite);
        if !is_version(hello.version) {
            self.violate_and_skip(cx, format!("unsupported server SSL version 0x{:04x}", hello.version));
        }
        self.version.get_or_insert(hello.version);
        self.session.server_hello(cx.now, &hello);
        Ok(())
    }
}
