//! Messages of protocols.

/// Bytes behind their length in `width` bytes.
pub fn counted(width: usize, bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u64).to_be_bytes()[8 - width..], bytes].concat()
}

/// A domain name.
pub fn name(labels: &str) -> Vec<u8> {
    labels.split('.').flat_map(|label| counted(1, label.as_bytes())).chain([0]).collect()
}

/// A DNS query.
pub fn query(id: u16, labels: &str, kind: u16) -> Vec<u8> {
    message(id, 0x0100, labels, kind, &[])
}

/// A DNS message with one question and answers made by [`answer`].
pub fn message(id: u16, flags: u16, labels: &str, kind: u16, answers: &[Vec<u8>]) -> Vec<u8> {
    let counts = [1, answers.len() as u16, 0, 0].map(u16::to_be_bytes).concat();
    let question = [name(labels), kind.to_be_bytes().to_vec(), vec![0, 1]].concat();
    [&id.to_be_bytes()[..], &flags.to_be_bytes(), &counts, &question, &answers.concat()].concat()
}

/// A resource record of the name that was asked for.
pub fn answer(kind: u16, data: &[u8]) -> Vec<u8> {
    [&[0xc0, 12][..], &kind.to_be_bytes(), &[0, 1, 0, 0, 1, 0], &counted(2, data)].concat()
}

/// Bytes as gzip without compression (RFC 1952, RFC 1951 3.2.4).
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
        }
    }
    let len = bytes.len() as u16;
    let head =
        [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1][..], &len.to_le_bytes(), &(!len).to_le_bytes()].concat();
    [&head[..], bytes, &(!crc).to_le_bytes(), &u32::from(len).to_le_bytes()].concat()
}

/// A TLS record.
pub fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3][..], &counted(2, body)].concat()
}

/// A TLS handshake message in its record.
pub fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    record(22, &[&[kind][..], &counted(3, body)].concat())
}

/// A TLS extension.
pub fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &counted(2, body)].concat()
}

/// A ClientHello: the session that it would resume, and further extensions.
pub fn client_hello(host: &str, session: &[u8], extensions: &[u8]) -> Vec<u8> {
    let host = counted(2, &[&[0][..], &counted(2, host.as_bytes())].concat());
    let all = [&extension(0, &host)[..], &extension(10, &counted(2, &[0, 29, 0, 23])), extensions].concat();
    let suites = counted(2, &[0x13, 1, 0xc0, 0x2f]);
    let parts = [&[3, 3][..], &[1; 32], &counted(1, session), &suites, &[1, 0], &counted(2, &all)];
    handshake(1, &parts.concat())
}

/// A ServerHello.
pub fn server_hello(session: &[u8], suite: [u8; 2], extensions: &[u8]) -> Vec<u8> {
    let parts = [&[3, 3][..], &[3; 32], &counted(1, session), &suite, &[0], &counted(2, extensions)];
    handshake(2, &parts.concat())
}
