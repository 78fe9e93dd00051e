//! TLS that FTP carries in base 64: AUTH GSSAPI with Globus' mechanism (GridFTP).
//!
//! Source: RFC 2228; Zeek's FTP_ADAT analyser.

use super::parse;
use crate::context::{Context, Side};
use crate::protocol::Analyze;
use crate::protocol::mime::base64::Decoder;
use crate::protocol::ssl::Ssl;

/// The name of the analyser in weirds.
const SOURCE: Option<&str> = Some("FTP_ADAT");

/// The exchange.
#[derive(Default)]
pub struct Gssapi {
    tls: Ssl,
    first_seen: bool,
}

impl Gssapi {
    /// A line of FTP; answers whether the exchange is over.
    pub fn line(&mut self, cx: &mut Context<'_>, side: Side, line: &[u8]) -> bool {
        let mut done = false;
        let encoded = if side.is_orig() {
            let command = parse::Command::parse(line);
            match command.map(|c| (c.name.to_ascii_uppercase(), c.argument)) {
                Some((name, argument)) if name == b"ADAT" => Some(argument),
                Some((name, _)) => {
                    // Security begins anew.
                    done = name == b"AUTH";
                    None
                }
                None => None,
            }
        } else {
            let code = parse::code(line);
            done = matches!(code, 232 | 234 | 235 | 421 | 431 | 500 | 501 | 503 | 535 | 631..=633);
            let text = line.get(3..).unwrap_or_default();
            let text = text.strip_prefix(b"-").unwrap_or(text).trim_ascii_start();
            if matches!(code, 235 | 334 | 335) { text.strip_prefix(b"ADAT=") } else { None }
        };
        let token = encoded.and_then(|encoded| decode(cx, encoded));
        if side.is_orig() && encoded.is_some() && !std::mem::replace(&mut self.first_seen, true) {
            if token.is_none() {
                cx.weird("ftp_adat_bad_first_token_encoding", None, SOURCE);
            }
            if !token.as_deref().is_some_and(is_record) {
                return true;
            }
        }
        if let Some(token) = token {
            self.tls.carried(cx, side, &token);
            if self.tls.is_established() {
                cx.connection.add_service("gridftp");
            }
        }
        done
    }

    /// The exchange is over.
    pub fn finish(&mut self, cx: &mut Context<'_>) {
        self.tls.finish(cx);
    }
}

/// Whether a token is a record of a TLS handshake, and nothing else.
fn is_record(token: &[u8]) -> bool {
    match token {
        [0x16, _, _, high, low, body @ ..] => body.len() == usize::from(u16::from_be_bytes([*high, *low])),
        _ => false,
    }
}

/// What base 64 says; nothing where it is none, which is weird.
fn decode(cx: &mut Context<'_>, encoded: &[u8]) -> Option<Vec<u8>> {
    let (mut decoder, mut out) = (Decoder::default(), Vec::new());
    decoder.decode(encoded, &mut out);
    let fault = decoder.fault().or_else(|| decoder.finish(&mut out));
    if let Some(fault) = fault {
        cx.weird("base64_illegal_encoding", Some(fault.to_string().into()), None);
        return None;
    }
    Some(out)
}
