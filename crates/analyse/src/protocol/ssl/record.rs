//! The body of a record, once it is complete.
//!
//! Source: Zeek's src/analyzer/protocol/ssl/ssl-protocol.pac and ssl-dtls-protocol.pac.

use super::Head;
use super::handshake::Handshake;
use super::names::{SSL_V2, SSL_V3, TLS_V10, TLS_V11, TLS_V12};
use super::parse::content;
use super::parse::fields::{Fields, OutOfBound};
use super::parse::v2;
use crate::context::{Context, Side};

/// Most alerts of a record that are read (Zeek: SSL::max_alerts_per_record).
const MAX_ALERTS: usize = 10;

/// Whether application data in the clear is what it seems: TLS up to 1.2 announces encryption, later versions do not.
fn announces_encryption(version: Option<u16>) -> bool {
    version.is_some_and(|v| matches!(v, SSL_V2 | SSL_V3 | TLS_V10 | TLS_V11 | TLS_V12))
}

/// Whether a record from `side` is encrypted, now that it is complete.
fn is_encrypted(h: &mut Handshake, side: Side, kind: u16) -> bool {
    if !h.is_encrypted(side) && kind == content::APPLICATION_DATA && !announces_encryption(h.version()) {
        h.encrypt(side);
    }
    h.is_encrypted(side)
}

/// A record whose body was passed over: encrypted, or application data.
pub fn passed(h: &mut Handshake, cx: &mut Context<'_>, side: Side, kind: u16) {
    if is_encrypted(h, side, kind) {
        h.ciphertext(cx);
    } else {
        h.session.plaintext(cx, true);
    }
}

/// Reads a body that is at hand.
pub fn read(
    h: &mut Handshake,
    cx: &mut Context<'_>,
    side: Side,
    head: Head,
    body: &[u8],
) -> Result<(), OutOfBound> {
    let mut rest = body;
    while !rest.is_empty() {
        if is_encrypted(h, side, head.content) {
            h.ciphertext(cx);
            return Ok(());
        }
        let used = part(h, cx, side, head, rest)?;
        h.session.plaintext(cx, head.content == content::APPLICATION_DATA);
        rest = rest.get(used.max(1)..).unwrap_or_default();
    }
    Ok(())
}

/// Reads one message of a body in the clear; how many bytes it took.
fn part(
    h: &mut Handshake,
    cx: &mut Context<'_>,
    side: Side,
    head: Head,
    body: &[u8],
) -> Result<usize, OutOfBound> {
    match head.content {
        content::V2_ERROR => {
            let client = h.is_client(side);
            h.session.alert(cx, client, head.tail, h.source);
            Ok(body.len())
        }
        content::V2_CLIENT_HELLO => {
            let hello = v2::ClientHello::parse(body)?;
            h.confirm(cx);
            h.session.v2_client_hello(cx, hello.session_id, h.source);
            Ok(hello.length)
        }
        content::V2_SERVER_HELLO => v2_server_hello(h, cx, side, body),
        content::V2_CLIENT_MASTER_KEY => {
            let length = v2::client_master_key(body)?;
            h.encrypt(Side::Orig);
            h.encrypt(Side::Resp);
            h.establish(cx);
            Ok(length)
        }
        _ => plaintext(h, cx, side, head.content, body),
    }
}

fn v2_server_hello(
    h: &mut Handshake,
    cx: &mut Context<'_>,
    side: Side,
    body: &[u8],
) -> Result<usize, OutOfBound> {
    let hello = v2::ServerHello::parse(body)?;
    if hello.version == SSL_V2 {
        h.session.v2_server_hello(cx, hello.suite, h.source);
        let client = h.is_client(side);
        h.session.certificate(cx, client, 0, hello.certificate, h.source);
    } else {
        h.violate_and_skip(cx, format!("Invalid version in SSL server hello. Version: {}", hello.version));
    }
    Ok(hello.length)
}

/// Reads one message of a record in the clear, in a stream or a datagram; how many bytes it took.
pub fn plaintext(
    h: &mut Handshake,
    cx: &mut Context<'_>,
    side: Side,
    kind: u16,
    body: &[u8],
) -> Result<usize, OutOfBound> {
    let client = h.is_client(side);
    match kind {
        content::CHANGE_CIPHER_SPEC => {
            // TLS 1.3 sends it only for the eyes of others.
            if !h.is_tls13() {
                h.encrypt(side);
            }
            h.session.change_cipher_spec(cx, client, h.source);
            Ok(1)
        }
        content::ALERT => alerts(h, cx, client, body).map(|()| body.len()),
        content::HANDSHAKE => {
            h.data(cx, side, body);
            Ok(body.len())
        }
        content::APPLICATION_DATA => Ok(body.len()),
        content::HEARTBEAT => {
            let mut f = Fields::new(body);
            f.u8("Heartbeat:type")?;
            f.u16("Heartbeat:payload_length")?;
            h.session.heartbeat(cx, client, h.source);
            Ok(body.len())
        }
        unknown => {
            let from = if side.is_orig() { "originator" } else { "responder" };
            h.violate(cx, format!("unknown SSL record type ({unknown}) from {from}"));
            Ok(body.len())
        }
    }
}

fn alerts(h: &mut Handshake, cx: &mut Context<'_>, client: bool, body: &[u8]) -> Result<(), OutOfBound> {
    let most = if h.is_tls13() { 2 } else { MAX_ALERTS * 2 };
    if body.len() > most {
        let count = (body.len() / 2).to_string();
        cx.weird("SSL_excessive_alerts_in_record", Some(count.into()), Some(h.source));
    }
    let mut f = Fields::new(body.get(..most).unwrap_or(body));
    while !f.is_empty() {
        f.u8("Alert:level")?;
        let description = f.u8("Alert:description")?;
        h.session.alert(cx, client, u16::from(description), h.source);
    }
    Ok(())
}
