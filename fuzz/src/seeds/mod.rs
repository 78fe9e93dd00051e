//! Seeds: small inputs from which the fuzzer starts, built here and kept under `seeds/`.

mod capture;
mod certificate;
mod datagrams;
mod frames;
mod mail;
mod tls;
mod transports;
mod windows;
mod words;

/// A seed's name and bytes.
pub type Seed = (&'static str, Vec<u8>);

/// Every target with its seeds.
pub fn all() -> Vec<(&'static str, Vec<Seed>)> {
    vec![
        ("capture_reader", capture::seeds()),
        ("header_walk", frames::seeds()),
        ("fragments", transports::fragments()),
        ("tcp_operations", transports::segments()),
        ("dns_udp", words::dns_udp()),
        ("dns_tcp", words::dns_tcp()),
        ("http", words::http()),
        ("ssh", words::ssh()),
        ("ftp", mail::ftp()),
        ("smtp", mail::smtp()),
        ("pop3", mail::pop3()),
        ("irc", windows::irc()),
        ("socks", windows::socks()),
        ("smb", windows::smb()),
        ("dce_rpc", windows::dce_rpc()),
        ("recognise", mail::recognise()),
        ("ssl", tls::ssl()),
        ("dtls", tls::dtls()),
        ("quic", datagrams::quic()),
        ("x509", vec![("rsa_with_extensions", certificate::certificate())]),
        ("detect", words::detect()),
    ]
}

/// Joins pieces of bytes.
fn join(pieces: &[&[u8]]) -> Vec<u8> {
    pieces.concat()
}

/// Bytes with their length before them, in `width` bytes, most significant first.
fn counted(width: usize, bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_be_bytes();
    [length.get(8 - width..).unwrap_or_default(), bytes].concat()
}
