//! From what was heard of a connection to its record of ssh.log.
//!
//! Promise: one record for each connection on which a version line was seen: at once when a login succeeds, else
//! at the end.
//!
//! Source: Zeek's scripts/base/protocols/ssh/main.zeek.

use sha2::{Digest, Sha256};
use weir_record::{ConnUid, Entry, Name, Ssh, Text};

use super::auth::Attempt;
use super::parse::{KexInit, NameList, Offer, Version};
use crate::context::{Context, Side};

/// The record in the making.
#[derive(Default)]
pub struct Log {
    record: Option<Box<Ssh>>,
    logged: bool,
}

impl Log {
    fn open(&mut self, cx: &Context<'_>) -> &mut Ssh {
        self.record.get_or_insert_with(|| {
            let direction = match (cx.is_local(Side::Orig), cx.is_local(Side::Resp)) {
                (true, false) => Some(Name("OUTBOUND")),
                (false, true) => Some(Name("INBOUND")),
                _ => None,
            };
            Box::new(Ssh {
                ts: cx.now,
                uid: ConnUid(cx.connection.uid),
                id: cx.connection.id,
                version: None,
                auth_success: None,
                auth_attempts: 0,
                direction,
                client: None,
                server: None,
                cipher_alg: None,
                mac_alg: None,
                compression_alg: None,
                kex_alg: None,
                host_key_alg: None,
                host_key_fingerprint: None,
            })
        })
    }

    /// A side has said its version.
    pub fn version(&mut self, cx: &mut Context<'_>, side: Side, line: &[u8]) {
        let record = self.open(cx);
        let place = if side.is_orig() { &mut record.client } else { &mut record.server };
        *place = Some(Text::from(line));
        record.version = None;
        let (Some(client), Some(server)) = (&record.client, &record.server) else { return };
        let (client, server) = (client.as_bytes(), server.as_bytes());
        if client.is_empty() || server.is_empty() {
            return;
        }
        let weird = match (Offer::from_line(client), Offer::from_line(server)) {
            (Some(c), Some(s)) => match Version::agreed(c, s) {
                Some(version) => {
                    record.version = Some(if version == Version::One { 1 } else { 2 });
                    return;
                }
                None => "SSH_version_mismatch",
            },
            _ if client.len() > 4 && server.len() > 4 => return,
            _ => "SSH_cannot_determine_version",
        };
        let addl = [server, b" vs ", client].concat();
        cx.weird(weird, Some(addl.into()), None);
    }

    /// Both sides have said what they can do.
    pub fn negotiated<'a>(&mut self, client: &KexInit<'a>, server: &KexInit<'a>) {
        let Some(record) = &mut self.record else { return };
        record.cipher_alg = Some(both_ways(client.cipher, server.cipher));
        record.mac_alg = Some(both_ways(client.mac, server.mac));
        record.compression_alg = Some(both_ways(client.compression, server.compression));
        record.kex_alg = Some(chosen(client.kex, server.kex).into());
        record.host_key_alg = Some(chosen(client.host_key, server.host_key).into());
    }

    /// The server has shown its key.
    pub fn host_key(&mut self, key: &[u8]) {
        if let Some(record) = &mut self.record {
            record.host_key_fingerprint = Some(fingerprint(key));
        }
    }

    /// Encryption has begun: if nothing was heard before, the record begins here.
    pub fn encrypted(&mut self, cx: &Context<'_>) {
        self.open(cx);
    }

    /// Someone tried to log in.
    pub fn attempt(&mut self, cx: &mut Context<'_>, attempt: Attempt) {
        let Some(record) = &mut self.record else { return };
        let succeeded = attempt == Attempt::Succeeded;
        let compression = record.compression_alg.as_ref().map(Text::as_bytes);
        let is_compressed = matches!(compression, Some(b"zlib" | b"zlib@openssh.com"));
        if !is_compressed && record.auth_success != Some(true) {
            record.auth_success = Some(succeeded);
            record.auth_attempts += 1;
        }
        if succeeded {
            self.write(cx);
        }
    }

    /// Nothing more will be heard.
    pub fn write(&mut self, cx: &mut Context<'_>) {
        if let Some(record) = self.record.take().filter(|_| !self.logged) {
            self.logged = true;
            cx.emit(Entry::Ssh(record));
        }
    }

    /// Whether the record is out.
    pub const fn is_written(&self) -> bool {
        self.logged
    }
}

fn chosen<'a>(client: NameList<'a>, server: NameList<'a>) -> &'a [u8] {
    client.first_in(server).unwrap_or(b"Algorithm negotiation failed")
}

fn both_ways<'a>(client: [NameList<'a>; 2], server: [NameList<'a>; 2]) -> Text {
    let ([to_server, to_client], [known_to_server, known_to_client]) = (client, server);
    let up = chosen(to_server, known_to_server);
    let down = chosen(to_client, known_to_client);
    if up == down {
        return up.into();
    }
    [b"To server: ", up, b", to client: ", down].concat().into()
}

/// The fingerprint of a host key, as Zeek shows it: SHA-256 in base 64.
fn fingerprint(key: &[u8]) -> Text {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    /// Zeek shows this many digits of 43.
    const SHOWN: usize = 32;
    let mut text = b"SHA256:".to_vec();
    for three in Sha256::digest(key).chunks_exact(3).take(SHOWN / 4) {
        let [a, b, c] = three else { break };
        let bits = u32::from_be_bytes([0, *a, *b, *c]);
        let digit = |shift: u32| DIGITS.get((bits >> shift) as usize & 63).copied().unwrap_or(b'A');
        text.extend([digit(18), digit(12), digit(6), digit(0)]);
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_the_beginning_of_the_hash_in_base_64() {
        // SHA-256 of nothing: 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU
        assert_eq!(fingerprint(b""), Text::from("SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NM"));
    }

    #[test]
    fn different_choices_for_each_way_are_both_shown() {
        let list = |s: &'static str| NameList(s.as_bytes());
        assert_eq!(both_ways([list("a,b"), list("a")], [list("b,a"), list("a")]), Text::from("a"));
        let expected = Text::from("To server: a, to client: Algorithm negotiation failed");
        assert_eq!(both_ways([list("a"), list("b")], [list("a"), list("c")]), expected);
    }
}
