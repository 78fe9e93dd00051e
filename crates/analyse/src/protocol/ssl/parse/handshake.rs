//! Handshake messages, one function to each body.

use super::extension::Extensions;
use super::fields::{Fields, OutOfBound};
use crate::protocol::ssl::ciphers::KeyExchange;
use crate::protocol::ssl::names::{DTLS_V10, DTLS_V12, TLS_V11, TLS_V13};

/// Types of handshake messages.
pub mod kind {
    /// hello_request.
    pub const HELLO_REQUEST: u8 = 0;
    /// client_hello.
    pub const CLIENT_HELLO: u8 = 1;
    /// server_hello.
    pub const SERVER_HELLO: u8 = 2;
    /// hello_verify_request.
    pub const HELLO_VERIFY_REQUEST: u8 = 3;
    /// new_session_ticket.
    pub const SESSION_TICKET: u8 = 4;
    /// certificate.
    pub const CERTIFICATE: u8 = 11;
    /// server_key_exchange.
    pub const SERVER_KEY_EXCHANGE: u8 = 12;
    /// certificate_request.
    pub const CERTIFICATE_REQUEST: u8 = 13;
    /// server_hello_done.
    pub const SERVER_HELLO_DONE: u8 = 14;
    /// certificate_verify.
    pub const CERTIFICATE_VERIFY: u8 = 15;
    /// client_key_exchange.
    pub const CLIENT_KEY_EXCHANGE: u8 = 16;
    /// finished.
    pub const FINISHED: u8 = 20;
    /// certificate_url.
    pub const CERTIFICATE_URL: u8 = 21;
    /// certificate_status.
    pub const CERTIFICATE_STATUS: u8 = 22;
}

/// A client's hello.
#[derive(Clone, Copy, Debug)]
pub struct ClientHello<'a> {
    /// The version offered, before extensions.
    pub version: u16,
    /// The session to resume.
    pub session_id: &'a [u8],
    /// What follows the methods of compression.
    pub extensions: &'a [u8],
}

impl<'a> ClientHello<'a> {
    /// Reads the body.
    pub fn parse(body: &'a [u8]) -> Result<Self, OutOfBound> {
        let mut f = Fields::new(body);
        let version = f.u16("ClientHello:client_version")?;
        f.u32("ClientHello:gmt_unix_time")?;
        f.take(28, "ClientHello:random_bytes")?;
        let session_id = f.vector8("ClientHello:session_id")?;
        if matches!(version, DTLS_V10 | DTLS_V12) {
            f.vector8("ClientHelloCookie:cookie")?;
        }
        let suites = f.u16("ClientHello:csuit_len")?;
        f.take(usize::from(suites) / 2 * 2, "ClientHello:csuits")?;
        f.vector8("ClientHello:cmeths")?;
        Ok(Self { version, session_id, extensions: after_length(f, "ClientHello:ext_len")? })
    }

    /// The extensions; `client` is whether the sender acts as a client.
    pub fn extensions(&self, client: bool) -> Extensions<'a> {
        Extensions::new(self.extensions, true, client)
    }
}

/// A server's hello.
#[derive(Clone, Copy, Debug)]
pub struct ServerHello<'a> {
    /// The version chosen, before extensions.
    pub version: u16,
    /// The random bytes; a magic value makes the message a request to try again.
    pub random: &'a [u8],
    /// The session.
    pub session_id: &'a [u8],
    /// The suite chosen.
    pub suite: u16,
    /// What follows.
    pub extensions: &'a [u8],
}

/// The random bytes of a HelloRetryRequest (RFC 8446, 4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

impl<'a> ServerHello<'a> {
    /// Reads the body. Drafts of TLS 1.3 had neither session nor compression.
    pub fn parse(body: &'a [u8]) -> Result<Self, OutOfBound> {
        let mut outer = Fields::new(body);
        let version = outer.u16("ServerHelloChoice:server_version1")?;
        let mut f = Fields::new(outer.rest());
        let short = version == TLS_V13 || version >> 8 == 0x7f;
        let random = f.take(32, "ServerHello:random_bytes")?;
        let session_id = if short { &[] } else { f.vector8("ServerHello:session_id")? };
        let suite = f.u16("ServerHello:cipher_suite")?;
        if !short {
            f.u8("ServerHello:compression_method")?;
        }
        Ok(Self { version, random, session_id, suite, extensions: after_length(f, "ServerHello:ext_len")? })
    }

    /// Whether it asks for another hello.
    pub fn is_retry(&self) -> bool {
        self.random == RETRY
    }

    /// The extensions; `client` is whether the sender acts as a client.
    pub fn extensions(&self, client: bool) -> Extensions<'a> {
        Extensions::new(self.extensions, false, client)
    }
}

/// The extensions: a length, which Zeek does not hold against the bytes that follow, and these bytes.
fn after_length<'a>(mut f: Fields<'a>, what: &'static str) -> Result<&'a [u8], OutOfBound> {
    if !f.is_empty() {
        f.u16(what)?;
    }
    Ok(f.rest())
}

/// Checks a HelloVerifyRequest.
pub fn hello_verify_request(body: &[u8]) -> Result<(), OutOfBound> {
    let mut f = Fields::new(body);
    f.u16("HelloVerifyRequest:version")?;
    f.vector8("HelloVerifyRequest:cookie").map(|_| ())
}

/// Checks a NewSessionTicket.
pub fn session_ticket(body: &[u8]) -> Result<(), OutOfBound> {
    Fields::new(body).u32("SessionTicketHandshake:ticket_lifetime_hint").map(|_| ())
}

/// The certificates of a chain; the message is checked whole before the first is given.
pub fn certificates(body: &[u8]) -> Result<impl Iterator<Item = &[u8]>, OutOfBound> {
    let length = Fields::new(body).u24("Certificate:length")? as usize;
    let mut f = Fields::sized(body, length + 3, "Certificate")?;
    f.u24("Certificate:length")?;
    let list = f.rest();
    let mut check = Fields::new(list);
    while !check.is_empty() {
        let mut one = Fields::new(check.rest());
        let certificate = one.vector24("X509Certificate:certificate")?;
        check.take(certificate.len() + 3, "X509Certificate")?;
    }
    let mut rest = Fields::new(list);
    Ok(std::iter::from_fn(move || rest.vector24("X509Certificate:certificate").ok()))
}

/// The type of a CertificateStatus and the response in it.
pub fn certificate_status(body: &[u8]) -> Result<(u8, &[u8]), OutOfBound> {
    let mut f = Fields::new(body);
    let kind = f.u8("CertificateStatus:status_type")?;
    f.u24("CertificateStatus:length")?;
    Ok((kind, f.rest()))
}

/// Whether signatures of `version` name their algorithm.
const fn names_algorithm(version: u16) -> bool {
    version > TLS_V11 && version != DTLS_V10
}

/// The curve of a ServerKeyExchange, where there is a named one. What is inside depends on suite and version.
pub fn server_key_exchange(
    body: &[u8],
    exchange: KeyExchange,
    version: u16,
) -> Result<Option<u16>, OutOfBound> {
    const NAMED_CURVE: u8 = 3;
    let mut f = Fields::new(body);
    let curve = match exchange {
        KeyExchange::Ecdhe | KeyExchange::EcdhAnon => {
            if f.u8("EcdheServerKeyExchange:curve_type")? != NAMED_CURVE {
                return Ok(None);
            }
            let curve = f.u16("ServerECDHParamsAndSignature:curve")?;
            f.vector8("ServerECDHParamsAndSignature:point")?;
            Some(curve)
        }
        KeyExchange::Dhe | KeyExchange::DhAnon => {
            f.vector16("DheServerKeyExchange:dh_p")?;
            f.vector16("DheServerKeyExchange:dh_g")?;
            f.vector16("DheServerKeyExchange:dh_Ys")?;
            None
        }
        KeyExchange::Other => return Ok(None),
    };
    if matches!(exchange, KeyExchange::Ecdhe | KeyExchange::Dhe) {
        if names_algorithm(version) {
            f.u16("SignatureAndHashAlgorithm:SignatureAlgorithm")?;
        }
        f.vector16("ServerKeyExchangeSignature:signature")?;
    }
    Ok(curve)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ssl::names::TLS_V12;

    #[test]
    fn a_certificate_message_that_is_longer_than_its_body_says_by_how_much() {
        let mut body = vec![0, 0x0e, 0xec];
        body.resize(256, 0);
        let e = certificates(&body).err().unwrap();
        assert_eq!(e.to_string(), "binpac exception: out_of_bound: Certificate: 3823 > 256");
    }

    #[test]
    fn certificates_come_one_by_one() {
        let body = [0, 0, 9, 0, 0, 2, 1, 2, 0, 0, 1, 3, 0xff];
        let all: Vec<_> = certificates(&body).unwrap().collect();
        assert_eq!(all, [&[1, 2][..], &[3][..]]);
        assert_eq!(certificates(&[0, 0, 0]).unwrap().count(), 0);
    }

    #[test]
    fn the_key_exchange_names_a_curve() {
        let body = [3, 0, 29, 1, 9, 4, 3, 0, 1, 7];
        assert_eq!(server_key_exchange(&body, KeyExchange::Ecdhe, TLS_V12), Ok(Some(29)));
        assert!(server_key_exchange(&body[..9], KeyExchange::Ecdhe, TLS_V12).is_err());
        assert_eq!(server_key_exchange(&[1], KeyExchange::Ecdhe, TLS_V12), Ok(None));
        assert_eq!(server_key_exchange(&[], KeyExchange::Other, TLS_V12), Ok(None));
    }

    #[test]
    fn hellos_without_extensions_are_read() {
        let mut client = vec![3, 1];
        client.resize(34, 0);
        client.extend([2, 8, 9, 0, 2, 0, 5, 1, 0]);
        let hello = ClientHello::parse(&client).unwrap();
        assert_eq!((hello.version, hello.session_id, hello.extensions), (0x0301, &[8, 9][..], &[][..]));
        client.push(0);
        assert!(ClientHello::parse(&client).is_err());
        let mut server = vec![3, 3];
        server.extend(RETRY);
        server.extend([0, 0x13, 1, 0]);
        let hello = ServerHello::parse(&server).unwrap();
        assert!(hello.is_retry() && hello.suite == 0x1301);
    }
}
