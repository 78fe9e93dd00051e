//! SSH 1 and 2: versions, negotiated algorithms, host key, and how the login went.
//!
//! Each side says its version in a line, then exchanges keys in the clear, then everything is encrypted; from there
//! on only lengths count ([`auth`]). Once a login has succeeded, no payload is wanted any more.
//!
//! ```text
//!   Version ──line──► Exchange ──NEWKEYS (SSH 1: any message)──► Encrypted        (for each side)
//! ```
//!
//! Port: 22/tcp. Signature: both sides begin with `SSH-1.` or `SSH-2.`, in any case. Confirmed when a side says that
//! everything from here on is encrypted (NEWKEYS; SSH 1: the session key); violated by what is neither line nor packet.
//!
//! Source: Zeek's src/analyzer/protocol/ssh.

mod auth;
mod log;
pub mod parse;
#[cfg(test)]
mod tests;

use self::auth::Auth;
use self::log::Log;
use self::parse::{
    Kex, KexInit, MAX_PACKET, Offer, Packet, Refusal, Version, WEIRD_PACKET, WEIRD_STRING, message,
};
use crate::context::{Context, Side};
use crate::protocol::Analyze;

/// The name of the analyser where a weird has a source.
const SOURCE: Option<&str> = Some("SSH");

/// Most bytes of a version line, and of a line that a server says before it (RFC 4253, 4.2: 255); beyond, it is not
/// SSH.
const MAX_LINE: usize = 4096;

/// Most lines that a server may say before its version; beyond, it is not SSH.
const MAX_LINES_BEFORE: u8 = 64;

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    #[default]
    Version,
    Exchange,
    Encrypted,
}

/// What one side has said.
#[derive(Default)]
struct Half {
    phase: Phase,
    offer: Option<Offer>,
    lines_before: u8,
    /// A line ended with a carriage return, and its line feed may still come.
    after_return: bool,
    /// What has come and is not complete. At most [`MAX_PACKET`] and a segment.
    held: Vec<u8>,
}

/// The analyser.
#[derive(Default)]
pub struct Ssh {
    halves: [Half; 2],
    /// The first negotiation seen, and whose it was, until the other's comes.
    first_kexinit: Option<(Side, Box<[u8]>)>,
    kex: Option<Kex>,
    auth: Auth,
    log: Log,
    /// Nothing more can be understood: a hole, or a violation.
    lost: bool,
}

impl Ssh {
    /// A new analyser.
    pub fn new() -> Self {
        Self::default()
    }

    fn half(&mut self, side: Side) -> &mut Half {
        let [orig, resp] = &mut self.halves;
        if side.is_orig() { orig } else { resp }
    }

    /// The version that both sides speak, once both have said theirs and if they agree.
    fn version(&self) -> Option<Version> {
        let [client, server] = &self.halves;
        Version::agreed(client.offer?, server.offer?)
    }

    fn fail(&mut self, cx: &mut Context<'_>, reason: &'static str) {
        self.lost = true;
        self.halves = <[Half; 2]>::default();
        self.first_kexinit = None;
        cx.violate(reason, None);
    }

    /// A packet says that it has `len` bytes, more than are read: nobody waits for its end.
    fn too_long(&mut self, cx: &mut Context<'_>, len: usize) {
        if len > WEIRD_PACKET {
            odd_length(cx, "SSH_max_packet_length_exceeded", len, WEIRD_PACKET);
        }
        self.lost = true;
        self.halves = <[Half; 2]>::default();
        self.first_kexinit = None;
    }

    /// Reads as much of `bytes` as is complete; answers how much that is.
    fn read(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]) -> usize {
        let mut done = 0;
        while !self.lost {
            let rest = bytes.get(done..).unwrap_or_default();
            let half = self.half(side);
            if half.after_return && !rest.is_empty() {
                half.after_return = false;
                done += usize::from(rest.starts_with(b"\n"));
                continue;
            }
            let step = match half.phase {
                Phase::Version => self.line(cx, side, rest),
                Phase::Exchange => self.packet(cx, side, rest),
                Phase::Encrypted => {
                    self.encrypted(cx, side, rest.len());
                    return bytes.len();
                }
            };
            let Some(step) = step else { break };
            done += step;
        }
        done
    }

    fn line(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]) -> Option<usize> {
        let Some((line, len)) = parse::line(bytes) else {
            if bytes.len() > MAX_LINE {
                self.fail(cx, "SSH version line too long");
            }
            return None;
        };
        let half = self.half(side);
        half.after_return = bytes.get(..len).is_some_and(|taken| taken.ends_with(b"\r"));
        let is_version = line.get(..4).is_some_and(|begin| begin.eq_ignore_ascii_case(b"SSH-"));
        if !is_version {
            // A server may say other things first (RFC 4253, 4.2), a client may not.
            half.lines_before += 1;
            if side == Side::Orig || half.lines_before > MAX_LINES_BEFORE {
                self.fail(cx, "not an SSH version line");
            }
            return Some(len);
        }
        half.phase = Phase::Exchange;
        half.offer = Offer::from_line(line);
        self.log.version(cx, side, line);
        Some(len)
    }

    fn packet(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]) -> Option<usize> {
        if bytes.is_empty() {
            return None;
        }
        // Who goes on before the other has said its version cannot be understood: Zeek gives up here, too.
        let Some(version) = self.version() else {
            self.fail(cx, "SSH packet before an agreed version");
            return None;
        };
        let packet = match Packet::parse(version, bytes) {
            Ok(packet) => packet?,
            Err(Refusal::TooLong(len)) => {
                self.too_long(cx, len);
                return None;
            }
            Err(Refusal::Malformed) => {
                self.fail(cx, "malformed SSH packet");
                return None;
            }
        };
        match (version, packet.message) {
            (Version::One, message) => {
                self.half(side).phase = Phase::Encrypted;
                match message {
                    message::V1_SESSION_KEY => self.confirmed(cx),
                    message::V1_PUBLIC_KEY => {}
                    _ => self.fail(cx, "unexpected SSH 1 message"),
                }
            }
            (Version::Two, message::NEWKEYS) => {
                self.half(side).phase = Phase::Encrypted;
                self.confirmed(cx);
            }
            (Version::Two, message::KEXINIT) => self.kexinit(cx, side, packet.payload),
            (Version::Two, _) => {
                if let Some(key) = self.kex.and_then(|kex| kex.host_key(&packet)) {
                    self.log.host_key(key);
                }
            }
        }
        Some(packet.len)
    }

    fn confirmed(&mut self, cx: &mut Context<'_>) {
        cx.confirm();
        self.log.encrypted(cx);
    }

    fn kexinit(&mut self, cx: &mut Context<'_>, side: Side, payload: &[u8]) {
        let Ok(this) = KexInit::parse(payload) else {
            if let Some(len) = parse::weird_string(payload) {
                odd_length(cx, "SSH_max_string_length_exceeded", len as usize, WEIRD_STRING as usize);
            }
            return self.fail(cx, "malformed SSH key exchange");
        };
        let Some((first, other)) = self.first_kexinit.as_ref().filter(|(first, _)| *first != side) else {
            self.first_kexinit.get_or_insert_with(|| (side, payload.into()));
            return;
        };
        // It was read once already.
        let Ok(other) = KexInit::parse(other) else { return };
        let (client, server) = if first.is_orig() { (other, this) } else { (this, other) };
        self.log.negotiated(&client, &server);
        if let Some(name) = client.kex.first_in(server.kex) {
            self.kex = Kex::from_name(name);
            if self.kex.is_none() {
                cx.weird("ssh_unknown_kex_algorithm", Some(name.into()), SOURCE);
            }
        }
    }

    fn encrypted(&mut self, cx: &mut Context<'_>, side: Side, len: usize) {
        if len == 0 || self.version() != Some(Version::Two) {
            return;
        }
        if side.is_orig() {
            self.auth.client();
        } else if let Some(attempt) = self.auth.server(len) {
            self.log.attempt(cx, attempt);
        }
    }

    /// Reads on in what was held.
    fn resume(&mut self, cx: &mut Context<'_>, side: Side) {
        let mut held = std::mem::take(&mut self.half(side).held);
        let done = self.read(cx, side, &held);
        held.drain(..done.min(held.len()));
        self.hold(cx, side, held);
    }

    fn hold(&mut self, cx: &mut Context<'_>, side: Side, rest: Vec<u8>) {
        if self.lost || rest.is_empty() {
            return;
        }
        if rest.len() > MAX_PACKET + 4 + 8 {
            return self.fail(cx, "malformed SSH packet");
        }
        self.half(side).held = rest;
    }
}

/// Something says that it is longer than it may be.
fn odd_length(cx: &mut Context<'_>, name: &'static str, len: usize, most: usize) {
    cx.unknown_message();
    cx.weird(name, Some(format!("{len} > {most}").into()), SOURCE);
}

impl Analyze for Ssh {
    fn data(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]) {
        if self.lost || cx.connection.partial {
            return;
        }
        if self.half(side).held.is_empty() {
            let done = self.read(cx, side, bytes);
            let rest = bytes.get(done..).unwrap_or_default();
            self.hold(cx, side, rest.to_vec());
        } else {
            self.half(side).held.extend_from_slice(bytes);
            self.resume(cx, side);
        }
    }

    fn gap(&mut self, _cx: &mut Context<'_>, _side: Side, _len: u64) {
        // Lengths of encrypted packets mean nothing without those that are missing.
        self.lost = true;
        self.halves = <[Half; 2]>::default();
    }

    fn end(&mut self, _cx: &mut Context<'_>, _side: Side) {}

    fn finish(&mut self, cx: &mut Context<'_>) {
        self.log.write(cx);
    }

    fn wants_payload(&self) -> bool {
        // Of SSH 1, nothing is told by lengths.
        let [orig, resp] = &self.halves;
        let silent = orig.phase == Phase::Encrypted
            && resp.phase == Phase::Encrypted
            && self.version() == Some(Version::One);
        !self.lost && !silent && !self.auth.is_decided() && !self.log.is_written()
    }
}
