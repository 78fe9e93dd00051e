//! Messages to ssl.log and x509.log.
//!
//! Promise: one record for a connection, with what was seen until the session was established, the analyser gave up, or
//! the connection ended, whichever came first; its time is that of the first message.
//! Source: Zeek's scripts/base/protocols/ssl/main.zeek and files.zeek.

use weir_record::{ConnUid, Ssl, Text};
use weir_wire::Time;

use super::ciphers;
use super::names::{self, SSL_V2, TLS_V13};
use super::parse::extension::{Extension, ServerName, ServerNames};
use super::parse::handshake::{ServerHello, kind};
use crate::context::Context;
use crate::x509::{self, Fingerprint, Role};

/// Most letters of the history (Zeek: SSL::max_ssl_history_length).
const MAX_HISTORY: usize = 100;
/// Most fingerprints of a chain that a record shows (Zeek: Log::default_max_field_container_elements).
const MAX_FINGERPRINTS: usize = 100;
/// Most bytes of a text that a record shows (Zeek: Log::default_max_field_string_bytes).
const MAX_TEXT: usize = 4096;
/// Most certificates of a session that are looked at; the record shows fewer.
const MAX_CERTIFICATES: usize = 256;
/// Bytes of a session's name; Zeek pads shorter ones and takes longer ones as absent.
const SESSION_ID: usize = 32;

/// What the log will show of a session.
#[derive(Debug, Default)]
pub struct Session {
    /// When the first message was seen; no record without one.
    start: Option<Time>,
    logged: bool,
    version: Option<u16>,
    cipher: Option<u32>,
    curve: Option<u16>,
    server_name: Option<Box<[u8]>>,
    /// The session that the client wants to resume.
    offered: Option<[u8; SESSION_ID]>,
    resumed: bool,
    /// The client showed a ticket, and no session.
    ticket_seen: bool,
    key_exchange_seen: bool,
    psk_seen: bool,
    retry_seen: bool,
    last_alert: Option<u16>,
    next_protocol: Option<Box<[u8]>>,
    established: bool,
    history: Vec<u8>,
    chains: Option<Box<Chains>>,
}

/// The certificates of both sides.
#[derive(Debug, Default)]
struct Chains {
    server: Vec<Fingerprint>,
    client: Vec<Fingerprint>,
    /// How many there were, readable or not.
    count: usize,
    server_count: usize,
    /// The server's first certificate, where it is readable.
    first: Option<Box<[u8]>>,
}

impl Session {
    /// A message was seen.
    pub fn start(&mut self, now: Time) {
        self.start.get_or_insert(now);
    }

    fn letter(&mut self, cx: &mut Context<'_>, client: bool, letter: u8, source: &'static str) {
        if self.history.len() == MAX_HISTORY {
            return;
        }
        self.history.push(if client { letter.to_ascii_uppercase() } else { letter });
        if self.history.len() == MAX_HISTORY && !self.logged {
            cx.weird("SSL_max_ssl_history_length_reached", None, Some(source));
        }
    }

    /// The client turned out to be the other side.
    pub fn flipped(&mut self, now: Time) {
        self.start(now);
        self.history.push(b'^');
        self.history.truncate(MAX_HISTORY);
    }

    /// A handshake message was seen; all that is in it was told before.
    pub fn handshake(&mut self, cx: &mut Context<'_>, client: bool, message: u8, source: &'static str) {
        self.start(cx.now);
        if client && message == kind::CLIENT_KEY_EXCHANGE {
            self.key_exchange_seen = true;
        }
        let letter = match message {
            kind::HELLO_REQUEST => b'h',
            kind::CLIENT_HELLO => b'c',
            kind::SERVER_HELLO if std::mem::take(&mut self.retry_seen) => b'j',
            kind::SERVER_HELLO => b's',
            kind::HELLO_VERIFY_REQUEST => b'v',
            kind::SESSION_TICKET => b't',
            kind::CERTIFICATE => b'x',
            kind::SERVER_KEY_EXCHANGE => b'k',
            kind::CERTIFICATE_REQUEST => b'r',
            kind::SERVER_HELLO_DONE => b'n',
            kind::CERTIFICATE_VERIFY => b'y',
            kind::CLIENT_KEY_EXCHANGE => b'g',
            kind::FINISHED => b'f',
            kind::CERTIFICATE_URL => b'w',
            kind::CERTIFICATE_STATUS => b'u',
            5 => b'e',
            6 => b'j',
            8 => b'o',
            23 => b'a',
            24 => b'p',
            254 => b'm',
            _ => b'z',
        };
        self.letter(cx, client, letter, source);
    }

    /// A client's hello was seen, its extensions before it.
    pub fn client_hello(&mut self, now: Time, session_id: &[u8]) {
        self.start(now);
        if let Some(id) = padded(session_id) {
            self.offered = Some(id);
            self.ticket_seen = false;
        }
    }

    /// A client's hello in the form of SSL 2.0.
    pub fn v2_client_hello(&mut self, cx: &mut Context<'_>, session_id: &[u8], source: &'static str) {
        self.client_hello(cx.now, session_id);
        self.letter(cx, true, b'c', source);
    }

    /// A server's hello was seen, its extensions before it.
    pub fn server_hello(&mut self, now: Time, hello: &ServerHello<'_>) {
        self.start(now);
        let version = *self.version.get_or_insert(hello.version);
        self.cipher = Some(u32::from(hello.suite));
        self.retry_seen |= hello.is_retry();
        let same = self.offered.is_some() && self.offered == padded(hello.session_id);
        if same && !names::is_draft(version) && version != TLS_V13 {
            self.resumed = true;
        }
    }

    /// A server's hello of SSL 2.0.
    pub fn v2_server_hello(&mut self, cx: &mut Context<'_>, suite: u32, source: &'static str) {
        self.start(cx.now);
        self.version.get_or_insert(SSL_V2);
        self.cipher = Some(suite);
        self.letter(cx, false, b's', source);
    }

    /// An extension of a hello; `client` is whether the sender acts as a client.
    pub fn extension(
        &mut self,
        cx: &mut Context<'_>,
        client: bool,
        extension: &Extension<'_>,
        source: &'static str,
    ) {
        self.start(cx.now);
        match extension {
            Extension::ServerName(names) => self.names(cx, client, names, source),
            Extension::Alpn(Some(protocol)) if !client => self.next_protocol = Some((*protocol).into()),
            Extension::Group(group) => self.curve = Some(*group),
            Extension::Version(version) => self.version = Some(*version),
            Extension::SessionTicket(true) if client => self.ticket_seen = true,
            Extension::PreSharedKey if client => self.psk_seen = true,
            Extension::PreSharedKey if self.psk_seen => self.resumed = true,
            Extension::SessionTicket(_) | Extension::Alpn(_) | Extension::PreSharedKey | Extension::Other => {
            }
        }
    }

    fn names(&mut self, cx: &mut Context<'_>, client: bool, names: &ServerNames<'_>, source: &'static str) {
        let mut hosts: Vec<&[u8]> = Vec::new();
        for name in names.iter() {
            match name {
                ServerName::Host(host) => hosts.push(host),
                ServerName::Unknown(n) => {
                    let addl = Some(n.to_string().into());
                    cx.weird("ssl_ext_unknown_server_name_type", addl, Some(source));
                }
            }
        }
        let Some(first) = hosts.first().filter(|_| client) else { return };
        self.server_name = Some((*first).into());
        if hosts.len() > 1 {
            let all = format!(
                "[{}]",
                hosts.iter().map(|h| String::from_utf8_lossy(h)).collect::<Vec<_>>().join(", ")
            );
            cx.weird("SSL_many_server_names", Some(all.into()), None);
        }
    }

    /// The curve of a key exchange.
    pub fn curve(&mut self, now: Time, curve: u16) {
        self.start(now);
        self.curve = Some(curve);
    }

    /// A side announces encryption.
    pub fn change_cipher_spec(&mut self, cx: &mut Context<'_>, client: bool, source: &'static str) {
        self.start(cx.now);
        self.letter(cx, client, b'i', source);
        if client && self.ticket_seen && !self.key_exchange_seen {
            self.resumed = true;
        }
    }

    /// An alert in the clear.
    pub fn alert(&mut self, cx: &mut Context<'_>, client: bool, description: u16, source: &'static str) {
        self.start(cx.now);
        self.letter(cx, client, b'l', source);
        self.last_alert = Some(description);
    }

    /// A heartbeat in the clear.
    pub fn heartbeat(&mut self, cx: &mut Context<'_>, client: bool, source: &'static str) {
        self.start(cx.now);
        self.letter(cx, client, b'b', source);
    }

    /// Data in the clear; `is_application` where encryption was due.
    pub fn plaintext(&mut self, cx: &mut Context<'_>, is_application: bool) {
        self.start(cx.now);
        if is_application && self.version.is_some() && !self.established {
            cx.weird("ssl_early_application_data", None, None);
        }
    }

    /// A certificate, number `index` of its chain.
    pub fn certificate(
        &mut self,
        cx: &mut Context<'_>,
        client: bool,
        index: usize,
        bytes: &[u8],
        source: &'static str,
    ) {
        if bytes.is_empty() {
            cx.weird("zero_length_certificate", None, Some(source));
            return;
        }
        // Certificates before any other message count for x509.log, but not for this one.
        let chains = self.start.map(|_| self.chains.get_or_insert_default());
        if chains.as_ref().is_some_and(|c| c.count >= MAX_CERTIFICATES) {
            return;
        }
        let role = Role { host: index == 0, client };
        let seen = cx.files.certificates.log(cx.out, cx.now, bytes, role);
        let Some(chains) = chains else { return };
        chains.count += 1;
        if !client {
            chains.server_count += 1;
            if chains.server_count == 1 {
                chains.first = seen.is_some().then(|| bytes.into());
            }
        }
        (if client { &mut chains.client } else { &mut chains.server }).extend(seen);
    }

    /// Both sides are encrypted: the session is complete as far as it can be seen.
    pub fn establish(&mut self, cx: &mut Context<'_>) {
        self.start(cx.now);
        self.established = true;
        self.log(cx);
    }

    /// Writes the record, once, where there is something to tell.
    pub fn log(&mut self, cx: &mut Context<'_>) {
        let Some(ts) = self.start.filter(|_| !self.logged) else { return };
        self.logged = true;
        let sni_matches_cert = self.matches();
        let (server, client) = match self.chains.take() {
            Some(chains) => (Some(shown(cx, chains.server)), Some(shown(cx, chains.client))),
            None => (None, None),
        };
        let mut server_name = self.server_name.take().map(<[u8]>::into_vec);
        if let Some(name) = server_name.as_mut().filter(|name| name.len() > MAX_TEXT) {
            name.truncate(MAX_TEXT);
            cx.out.net_weird(cx.now, "log_string_field_truncated", Some("SSL::LOG".into()), None);
        }
        cx.emit(Ssl {
            ts,
            uid: ConnUid(cx.connection.uid),
            id: cx.connection.id,
            version: self.version.map(names::version),
            cipher: self.cipher.map(ciphers::name),
            curve: self.curve.map(names::group),
            server_name: server_name.map(Text::from),
            resumed: self.resumed,
            last_alert: self.last_alert.map(names::alert),
            next_protocol: self.next_protocol.take().map(|n| Text::from(n.into_vec())),
            established: self.established,
            ssl_history: Some(Text::from(std::mem::take(&mut self.history))),
            cert_chain_fps: server,
            client_cert_chain_fps: client,
            sni_matches_cert,
        });
    }

    /// Whether the server's first certificate is for the name that the client asked for.
    fn matches(&self) -> Option<bool> {
        let first = self.chains.as_ref()?.first.as_ref()?;
        let name = self.server_name.as_ref()?;
        Some(x509::Certificate::parse(first).is_some_and(|c| x509::matches(&c, name)))
    }
}

/// A session's name as Zeek compares it; one of zeros is none.
fn padded(id: &[u8]) -> Option<[u8; SESSION_ID]> {
    let mut out = [0; SESSION_ID];
    out.get_mut(..id.len())?.copy_from_slice(id);
    out.iter().any(|b| *b != 0).then_some(out)
}

fn shown(cx: &mut Context<'_>, chain: Vec<Fingerprint>) -> Vec<Text> {
    if chain.len() > MAX_FINGERPRINTS {
        cx.out.net_weird(cx.now, "log_container_field_truncated", Some("SSL::LOG".into()), None);
    }
    chain.into_iter().take(MAX_FINGERPRINTS).map(|f| f.0).collect()
}
