//! Seeds of DNS, HTTP, SSH and of detection.

use std::io::Write;

use weir_analyse::Side::{Orig, Resp};

use super::{Seed, counted, join, tls};
use crate::analyser::SPLIT;
use crate::ops::{Op, script};

/// A name without compression.
fn name(labels: &[&str]) -> Vec<u8> {
    labels.iter().flat_map(|l| counted(1, l.as_bytes())).chain([0]).collect()
}

/// A DNS message: id, flags, the four counts, and the rest.
fn message(flags: u16, counts: [u16; 4], rest: &[u8]) -> Vec<u8> {
    let mut out = vec![0x12, 0x34];
    out.extend(flags.to_be_bytes());
    out.extend(counts.into_iter().flat_map(u16::to_be_bytes));
    out.extend(rest);
    out
}

/// A resource record of the name at offset 12.
fn answer(kind: u16, data: &[u8]) -> Vec<u8> {
    join(&[&[0xc0, 12], &kind.to_be_bytes(), &[0, 1, 0, 0, 1, 0], &counted(2, data)])
}

fn query(kind: u16) -> Vec<u8> {
    let question = join(&[&name(&["www", "example", "com"]), &kind.to_be_bytes(), &[0, 1]]);
    message(0x0100, [1, 0, 0, 1], &join(&[&question, &[0, 0, 41, 16, 0, 0, 0, 0x80, 0, 0, 4, 0, 10, 0, 0]]))
}

fn response(kind: u16, answers: &[Vec<u8>]) -> Vec<u8> {
    let question = join(&[&name(&["www", "example", "com"]), &kind.to_be_bytes(), &[0, 1]]);
    message(0x8180, [1, answers.len() as u16, 0, 0], &join(&[&question, &answers.concat()]))
}

/// Queries with their answers, of many record types.
fn exchanges() -> Vec<(&'static str, u16, Vec<Vec<u8>>)> {
    let soa = join(&[&name(&["ns"]), &[0xc0, 12], &[0; 20]]);
    let rrsig = join(&[&[0, 1, 8, 3, 0, 0, 1, 0], &[0x60; 8], &[0x12, 0x34], &name(&["example"]), &[9; 32]]);
    let svcb = join(&[&[0, 1, 0], &[0, 1, 0, 3, 2, b'h', b'2'], &[0, 4, 0, 4, 192, 0, 2, 1]]);
    vec![
        ("a", 1, vec![answer(5, &join(&[&[3, b'c', b'd', b'n'], &[0xc0, 16]])), answer(1, &[192, 0, 2, 1])]),
        ("aaaa", 28, vec![answer(28, &[0x20; 16])]),
        (
            "mx_txt",
            255,
            vec![answer(15, &join(&[&[0, 10], &name(&["mx"])])), answer(16, b"\x05hello\x00\x01x")],
        ),
        ("srv_soa", 33, vec![answer(33, &join(&[&[0, 1, 0, 2, 0, 53], &name(&["s"])])), answer(6, &soa)]),
        (
            "dnssec",
            48,
            vec![answer(46, &rrsig), answer(48, &[1, 0, 3, 8, 1, 2, 3]), answer(43, &[1, 2, 8, 2, 9, 9])],
        ),
        (
            "nsec",
            47,
            vec![
                answer(47, &join(&[&name(&["z"]), &[0, 2, 0x40, 1]])),
                answer(50, &[1, 0, 0, 5, 0, 1, 9, 0]),
            ],
        ),
        ("https", 65, vec![answer(65, &svcb), answer(257, b"\0\x05issueca.example")]),
        (
            "loc_sshfp",
            29,
            vec![
                answer(29, &[0; 16]),
                answer(44, &[4, 2, 1, 2, 3]),
                answer(35, b"\0\x01\0\x02\x01u\x01s\0\0"),
            ],
        ),
    ]
}

/// Over UDP: a datagram a message.
pub fn dns_udp() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (label, kind, answers) in exchanges() {
        let (query, response) = (query(kind), response(kind, &answers));
        seeds.push((label, script(0, &[Op::Data(Orig, &query), Op::Wait(20), Op::Data(Resp, &response)])));
    }
    let netbios = message(
        0x0110,
        [1, 0, 0, 0],
        &join(&[&counted(1, b"CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), &[0, 0, 33, 0, 1]]),
    );
    let alone = response(1, &[answer(1, &[192, 0, 2, 1])]);
    seeds.push(("netbios", script(0, &[Op::Data(Orig, &netbios)])));
    seeds.push((
        "reply_alone",
        script(0, &[Op::Data(Resp, &alone), Op::Wait(60_000), Op::Data(Orig, &query(1))]),
    ));
    seeds
}

/// Over TCP: messages with their length.
pub fn dns_tcp() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (label, kind, answers) in exchanges() {
        let (query, response) = (counted(2, &query(kind)), counted(2, &response(kind, &answers)));
        let (head, tail) = response.split_at(5);
        let ops = [
            Op::Data(Orig, &query),
            Op::Data(Resp, head),
            Op::Data(Resp, tail),
            Op::End(Orig),
            Op::End(Resp),
        ];
        seeds.push((label, script(SPLIT, &ops)));
    }
    seeds
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const GET: &[u8] =
    b"GET /a?b=%20c HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: weir\r\nReferer: http://x/\r\n\
    Authorization: Basic dTpw\r\nX-Forwarded-For: 10.9.8.7\r\n\r\n";

/// Requests and responses of many kinds.
pub fn http() -> Vec<Seed> {
    let body = gzip(b"<html><body>hello</body></html>");
    let packed = join(&[
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
        format!("{:x};ext=1\r\n", body.len()).as_bytes(),
        &body,
        b"\r\n0\r\nTrailer: x\r\n\r\n",
    ]);
    let pipelined = [GET, GET].concat();
    let two = b"HTTP/1.1 304 Not Modified\r\n\r\nHTTP/1.1 206 Partial\r\nContent-Range: bytes 2-5/10\r\nContent-Length: 4\r\n\r\nabcd";
    let post = b"POST /up HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 118\r\n\
        Content-Type: multipart/form-data; boundary=\"b\"\r\n\r\n";
    let form = b"--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\n\
        hello\r\n--b--\r\n";
    let connect = b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n";
    let upgrade = b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    vec![
        ("chunked_gzip", script(SPLIT, &[Op::Data(Orig, GET), Op::Data(Resp, &packed), Op::End(Resp)])),
        ("pipelined", script(SPLIT, &[Op::Data(Orig, &pipelined), Op::Data(Resp, two), Op::End(Orig)])),
        (
            "multipart_continue",
            script(
                SPLIT,
                &[
                    Op::Data(Orig, post),
                    Op::Data(Resp, b"HTTP/1.1 100 Continue\r\n\r\n"),
                    Op::Data(Orig, form),
                    Op::Data(Resp, b"HTTP/1.0 201 Made\r\n\r\nuntil the end"),
                    Op::End(Resp),
                ],
            ),
        ),
        (
            "connect",
            script(
                0,
                &[
                    Op::Data(Orig, connect),
                    Op::Data(Resp, b"HTTP/1.1 200 Connection established\r\n\r\n"),
                    Op::Data(Orig, &tls::client_hello()),
                ],
            ),
        ),
        (
            "upgrade",
            script(
                0,
                &[
                    Op::Data(Orig, upgrade),
                    Op::Data(Resp, b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
                    Op::Data(Resp, &[0x81, 2, b'h', b'i']),
                ],
            ),
        ),
        (
            "gap",
            script(
                0,
                &[
                    Op::Data(Orig, b"HEAD / HTTP/1.0\r\n\r\nPUT /x HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc"),
                    Op::Gap(Orig, 7),
                    Op::Data(Resp, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n1"),
                    Op::Gap(Resp, 30),
                    Op::End(Resp),
                ],
            ),
        ),
        ("response_alone", script(1, &[Op::Data(Resp, two)])),
    ]
}

/// An SSH packet without encryption.
fn ssh_packet(payload: &[u8]) -> Vec<u8> {
    let padding = 8 - (payload.len() + 5) % 8 + 4;
    counted(4, &join(&[&[padding as u8], payload, &vec![0; padding]]))
}

fn key_exchange(lists: [&str; 10]) -> Vec<u8> {
    let lists: Vec<u8> = lists.iter().flat_map(|l| counted(4, l.as_bytes())).collect();
    ssh_packet(&join(&[&[20], &[7; 16], &lists, &[0; 5]]))
}

/// Version, algorithms, key exchange, and packets that are encrypted.
pub fn ssh() -> Vec<Seed> {
    let lists = [
        "curve25519-sha256,ext-info-c",
        "ssh-ed25519,rsa-sha2-512",
        "aes128-ctr",
        "aes128-ctr",
        "hmac-sha2-256",
        "hmac-sha2-256",
        "none,zlib@openssh.com",
        "none",
        "",
        "",
    ];
    let algorithms = key_exchange(lists);
    let mut reply = Vec::from([31]);
    reply.extend(counted(4, &join(&[&counted(4, b"ssh-ed25519"), &counted(4, &[9; 32])])));
    reply.extend(counted(4, &[5; 32]));
    reply.extend(counted(4, &[6; 64]));
    let from_client = join(&[
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
        &algorithms,
        &ssh_packet(&join(&[&[30], &counted(4, &[5; 32])])),
    ]);
    let from_server = join(&[b"SSH-2.0-weir\r\n", &algorithms, &ssh_packet(&reply), &ssh_packet(&[21])]);
    let secret = [0x5a; 64];
    let whole = [
        Op::Data(Resp, &from_server),
        Op::Data(Orig, &from_client),
        Op::Data(Orig, &secret),
        Op::Data(Resp, &secret[..40]),
        Op::Data(Orig, &secret[..48]),
        Op::Data(Resp, &secret[..28]),
        Op::End(Orig),
        Op::End(Resp),
    ];
    let one = [Op::Data(Resp, b"SSH-1.5-old\n"), Op::Data(Orig, b"SSH-1.5-new\n"), Op::Data(Resp, &[0; 40])];
    vec![
        ("version_2", script(SPLIT, &whole)),
        ("version_1", script(0, &one)),
        ("gap", script(0, &[Op::Gap(Resp, 9), whole[0]])),
    ]
}

/// The beginning of each protocol, on any port; the first byte chooses transport and port.
pub fn detect() -> Vec<Seed> {
    let beginnings: [(&'static str, u8, &[Seed]); 6] = [
        ("http_anywhere", 0, &http()),
        ("ssh_anywhere", 0, &ssh()),
        ("ssl_anywhere", 0, &tls::ssl()),
        ("dtls_anywhere", 1, &tls::dtls()),
        ("dns_by_port", 1 | 1 << 1, &dns_udp()),
        ("http_on_ssh_port", 4 << 1, &http()),
    ];
    beginnings
        .into_iter()
        .filter_map(|(label, first, seeds)| {
            let (_, input) = seeds.first()?;
            // The flags of the analysers' inputs are not there in this target.
            Some((label, [&[first][..], input.get(1..)?].concat()))
        })
        .collect()
}
