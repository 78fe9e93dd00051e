//! ssl.log and x509.log (Zeek: base/protocols/ssl, base/files/x509).

use weir_wire::{Address, ConnId, Time};

use crate::{ConnUid, Record, Text};

/// TLS and DTLS handshakes.
#[derive(Clone, Debug, Record)]
#[record(path = "ssl")]
pub struct Ssl {
    /// When the connection was found to be TLS.
    pub ts: Time,
    /// The connection.
    pub uid: ConnUid,
    /// The endpoints.
    #[record(id)]
    pub id: ConnId,
    /// The version that the server chose.
    pub version: Option<Text>,
    /// The cipher suite that the server chose.
    pub cipher: Option<Text>,
    /// The group of the key exchange.
    pub curve: Option<Text>,
    /// The Server Name Indication.
    pub server_name: Option<Text>,
    /// Whether a session was resumed.
    pub resumed: bool,
    /// The last alert.
    pub last_alert: Option<Text>,
    /// The protocol chosen by ALPN.
    pub next_protocol: Option<Text>,
    /// Whether the handshake was completed.
    pub established: bool,
    /// The handshake, a letter a message; capitals by the client.
    pub ssl_history: Option<Text>,
    /// SHA-256 of each certificate of the server.
    pub cert_chain_fps: Option<Vec<Text>>,
    /// SHA-256 of each certificate of the client.
    pub client_cert_chain_fps: Option<Vec<Text>>,
    /// Whether the server's certificate is for the name asked for.
    pub sni_matches_cert: Option<bool>,
}

/// X.509 certificates, each once a day.
#[derive(Clone, Debug, Record)]
#[record(path = "x509")]
pub struct X509 {
    /// When it was seen.
    pub ts: Time,
    /// SHA-256 of the certificate.
    pub fingerprint: Text,
    /// The version, 3 for X.509v3.
    #[record(name = "certificate.version")]
    pub version: u64,
    /// The serial number in hexadecimal.
    #[record(name = "certificate.serial")]
    pub serial: Text,
    /// The subject.
    #[record(name = "certificate.subject")]
    pub subject: Text,
    /// The issuer.
    #[record(name = "certificate.issuer")]
    pub issuer: Text,
    /// Not valid before.
    #[record(name = "certificate.not_valid_before")]
    pub not_valid_before: Time,
    /// Not valid after.
    #[record(name = "certificate.not_valid_after")]
    pub not_valid_after: Time,
    /// The algorithm of the key.
    #[record(name = "certificate.key_alg")]
    pub key_alg: Text,
    /// The algorithm of the signature.
    #[record(name = "certificate.sig_alg")]
    pub sig_alg: Text,
    /// The kind of key: rsa, dsa, ecdsa or the like.
    #[record(name = "certificate.key_type")]
    pub key_type: Option<Text>,
    /// Bits of the key.
    #[record(name = "certificate.key_length")]
    pub key_length: Option<u64>,
    /// The public exponent of an RSA key.
    #[record(name = "certificate.exponent")]
    pub exponent: Option<Text>,
    /// The curve of an EC key.
    #[record(name = "certificate.curve")]
    pub curve: Option<Text>,
    /// DNS names of the subject alternative name.
    #[record(name = "san.dns")]
    pub san_dns: Option<Vec<Text>>,
    /// URIs of the subject alternative name.
    #[record(name = "san.uri")]
    pub san_uri: Option<Vec<Text>>,
    /// Mail addresses of the subject alternative name.
    #[record(name = "san.email")]
    pub san_email: Option<Vec<Text>>,
    /// IP addresses of the subject alternative name.
    #[record(name = "san.ip")]
    pub san_ip: Option<Vec<Address>>,
    /// Whether it is of a certificate authority.
    #[record(name = "basic_constraints.ca")]
    pub ca: Option<bool>,
    /// How long a path below it may be.
    #[record(name = "basic_constraints.path_len")]
    pub path_len: Option<u64>,
    /// Whether it was the first that a server sent.
    pub host_cert: bool,
    /// Whether it was the first that a client sent.
    pub client_cert: bool,
}
