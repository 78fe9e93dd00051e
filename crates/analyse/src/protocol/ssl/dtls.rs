//! DTLS: TLS over datagrams.
//!
//! Promise: as for TLS. Datagrams of STUN on the same ports are passed over.
//! Source: RFC 6347, RFC 9147; Zeek's src/analyzer/protocol/ssl/dtls-protocol.pac and DTLS.cc.

use super::handshake::Handshake;
use super::names::{DTLS_V10, DTLS_V12, DTLS_V13};
use super::parse::content;
use super::parse::dtls::{self, Assembly, Fragment, Head};
use super::parse::fields::{Fields, OutOfBound};
use super::record;
use crate::context::{Context, Side};
use crate::protocol::Analyze;

/// Records of another version before the analyser gives up (Zeek: SSL::dtls_max_version_errors).
const MAX_VERSION_ERRORS: u32 = 10;
/// What marks STUN, at the fifth byte (RFC 8489).
const STUN: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// DTLS over UDP.
#[derive(Debug)]
pub struct Dtls {
    handshake: Handshake,
    assemblies: [Assembly; 2],
    version_errors: u32,
    version_error_reported: bool,
    /// Nothing more is read.
    done: bool,
}

impl Dtls {
    /// A new analyser.
    pub fn new() -> Self {
        Self {
            handshake: Handshake::new("DTLS"),
            assemblies: <[Assembly; 2]>::default(),
            version_errors: 0,
            version_error_reported: false,
            done: false,
        }
    }

    fn datagram(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]) -> Result<(), OutOfBound> {
        let mut f = Fields::new(bytes);
        while !f.is_empty() {
            let mut one = Fields::new(f.rest());
            if self.handshake.version() == Some(DTLS_V13)
                && one.rest().first().is_some_and(|b| b & 0xe0 == 0x20)
            {
                dtls::unified(&mut one)?;
                self.handshake.encrypt(side);
                self.handshake.ciphertext(cx);
                return Ok(());
            }
            let head = Head::parse(&mut one)?;
            if !self.is_version(cx, head.version) {
                return Ok(());
            }
            let body = one.take(usize::from(head.length), "SSLRecord:rec")?;
            self.record(cx, side, head, body)?;
            f.take(one.position(), "SSLRecordSwitch")?;
        }
        Ok(())
    }

    fn is_version(&mut self, cx: &mut Context<'_>, version: u16) -> bool {
        let confirmed = self.handshake.confirmed;
        if matches!(version, DTLS_V10 | DTLS_V12) {
            if confirmed {
                self.version_errors = 0;
            }
            return true;
        }
        self.version_errors += 1;
        if confirmed && !self.version_error_reported {
            self.version_error_reported = true;
            let reason = format!("Invalid version in DTLS connection. Packet reported version: {version}");
            self.handshake.violate(cx, reason);
        }
        if self.version_errors > MAX_VERSION_ERRORS {
            self.handshake.skip = true;
        }
        false
    }

    fn record(
        &mut self,
        cx: &mut Context<'_>,
        side: Side,
        head: Head,
        body: &[u8],
    ) -> Result<(), OutOfBound> {
        let kind = u16::from(head.content);
        let mut rest = body;
        while !rest.is_empty() {
            if head.epoch != 0 {
                self.handshake.ciphertext(cx);
                return Ok(());
            }
            let used = if kind == content::HANDSHAKE {
                self.fragment(cx, side, head.sequence, rest)?;
                rest.len()
            } else {
                record::plaintext(&mut self.handshake, cx, side, kind, rest)?
            };
            self.handshake.session.plaintext(cx, kind == content::APPLICATION_DATA);
            rest = rest.get(used.max(1)..).unwrap_or_default();
        }
        Ok(())
    }

    fn fragment(
        &mut self,
        cx: &mut Context<'_>,
        side: Side,
        sequence: u64,
        body: &[u8],
    ) -> Result<(), OutOfBound> {
        let fragment = Fragment::parse(body)?;
        let message = if fragment.is_whole() {
            Ok(Some(fragment.data))
        } else if let Some(assembly) = self.assemblies.get_mut(side.index()) {
            assembly.add(&fragment, sequence)
        } else {
            Ok(None)
        };
        match message {
            Ok(Some(message))
                if message.len() == fragment.length as usize && !self.handshake.is_waiting(side) =>
            {
                self.handshake.whole(cx, side, fragment.kind, message);
            }
            // The lengths do not agree: what is left over is taken for the next message, as Zeek does.
            Ok(Some(message)) => {
                let [_, a, b, c] = fragment.length.to_be_bytes();
                self.handshake.data(cx, side, &[fragment.kind, a, b, c]);
                self.handshake.data(cx, side, message);
            }
            Ok(None) => {}
            Err(refusal) => self.handshake.violate(cx, refusal.reason()),
        }
        Ok(())
    }
}

impl Default for Dtls {
    fn default() -> Self {
        Self::new()
    }
}

impl Analyze for Dtls {
    fn data(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]) {
        if self.done || bytes.len() > 20 && bytes.get(4..8) == Some(&STUN) {
            return;
        }
        if let Err(e) = self.datagram(cx, side, bytes) {
            self.handshake.violate(cx, e.reason());
        }
        if self.handshake.is_over() {
            self.done = true;
            if self.handshake.violated {
                self.handshake.session.log(cx);
            }
            self.assemblies = <[Assembly; 2]>::default();
            self.handshake.release();
        }
    }

    fn gap(&mut self, _cx: &mut Context<'_>, _side: Side, _len: u64) {}

    fn end(&mut self, _cx: &mut Context<'_>, _side: Side) {}

    fn finish(&mut self, cx: &mut Context<'_>) {
        self.handshake.session.log(cx);
    }

    fn wants_payload(&self) -> bool {
        !self.done
    }
}
