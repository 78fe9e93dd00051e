//! Seeds of TLS and DTLS: handshakes as far as they are in the clear.

use weir_analyse::Side::{Orig, Resp};

use super::{Seed, certificate, counted, join};
use crate::analyser::SPLIT;
use crate::ops::{Op, script};

/// A TLS record.
fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    join(&[&[kind, 3, 3], &counted(2, body)])
}

/// A handshake message.
fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    join(&[&[kind], &counted(3, body)])
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    join(&[&kind.to_be_bytes(), &counted(2, body)])
}

fn hello_body(version: [u8; 2], cookie: &[u8]) -> Vec<u8> {
    let extensions = join(&[
        &extension(0, &counted(2, &join(&[&[0], &counted(2, b"www.example.com")]))),
        &extension(10, &counted(2, &[0x11, 0xec, 0, 29, 0, 23])),
        &extension(11, &counted(1, &[0])),
        &extension(13, &counted(2, &[4, 3, 8, 4])),
        &extension(16, &counted(2, &join(&[&counted(1, b"h2"), &counted(1, b"http/1.1")]))),
        &extension(43, &counted(1, &[3, 4, 3, 3])),
        &extension(51, &counted(2, &join(&[&[0, 29], &counted(2, &[8; 32])]))),
        &extension(
            41,
            &join(&[
                &counted(2, &join(&[&counted(2, b"ticket"), &[0; 4]])),
                &counted(2, &counted(1, &[7; 32])),
            ]),
        ),
    ]);
    let suites = counted(2, &[0x13, 1, 0xc0, 0x2f, 0, 0xff]);
    join(&[
        &version,
        &[1; 32],
        &counted(1, &[2; 32]),
        cookie,
        &suites,
        &counted(1, &[0]),
        &counted(2, &extensions),
    ])
}

/// A ClientHello in its record.
pub fn client_hello() -> Vec<u8> {
    record(22, &handshake(1, &hello_body([3, 3], &[])))
}

fn server_hello(suite: [u8; 2], extensions: &[u8]) -> Vec<u8> {
    handshake(2, &join(&[&[3, 3], &[3; 32], &counted(1, &[2; 32]), &suite, &[0], &counted(2, extensions)]))
}

fn certificates() -> Vec<u8> {
    let one = counted(3, &certificate::certificate());
    handshake(11, &counted(3, &join(&[&one, &one])))
}

/// TLS 1.2 whole, TLS 1.3 resumed, alerts, SSL 2.
pub fn ssl() -> Vec<Seed> {
    let hello = client_hello();
    let key_exchange =
        handshake(12, &join(&[&[3, 0, 29], &counted(1, &[4; 32]), &[4, 3], &counted(2, &[5; 70])]));
    let alpn = extension(16, &counted(2, &counted(1, b"h2")));
    let flight =
        join(&[&server_hello([0xc0, 0x2f], &alpn), &certificates(), &key_exchange, &handshake(14, &[])]);
    let change = record(20, &[1]);
    let client = join(&[&record(22, &handshake(16, &counted(1, &[4; 32]))), &change, &record(22, &[6; 40])]);
    let ticket = record(22, &handshake(4, &join(&[&[0, 0, 1, 0], &counted(2, b"ticket")])));
    let server = join(&[&ticket, &change, &record(22, &[6; 40])]);
    let data = record(23, &[9; 100]);
    let share = extension(51, &join(&[&[0, 29], &counted(2, &[8; 32])]));
    let thirteen = join(&[
        &server_hello([0x13, 1], &join(&[&extension(43, &[3, 4]), &share, &extension(41, &[0, 0])])),
        &[],
    ]);
    let v2 = join(&[&[0x80, 0x1c, 1, 3, 1], &[0, 3, 0, 0, 0, 16], &[0, 0, 5], &[7; 16]]);
    vec![
        (
            "tls_1_2",
            script(
                SPLIT,
                &[
                    Op::Data(Orig, &hello),
                    Op::Data(Resp, &record(22, &flight)),
                    Op::Data(Orig, &client),
                    Op::Data(Resp, &server),
                    Op::Data(Orig, &data),
                    Op::Data(Resp, &record(21, &[1, 0])),
                    Op::End(Orig),
                ],
            ),
        ),
        (
            "tls_1_3",
            script(
                SPLIT,
                &[
                    Op::Data(Orig, &hello),
                    Op::Data(Resp, &join(&[&record(22, &thirteen), &change, &data])),
                    Op::Data(Orig, &join(&[&change, &data])),
                    Op::End(Resp),
                ],
            ),
        ),
        ("alert", script(0, &[Op::Data(Orig, &hello), Op::Data(Resp, &record(21, &[2, 40])), Op::End(Resp)])),
        ("ssl_2_hello", script(0, &[Op::Data(Orig, &v2), Op::Data(Resp, &record(22, &flight))])),
        ("gap", script(1, &[Op::Data(Orig, &hello), Op::Gap(Resp, 99), Op::Data(Orig, &client)])),
    ]
}

/// A DTLS record.
fn datagram(kind: u8, epoch: u8, sequence: u8, body: &[u8]) -> Vec<u8> {
    join(&[&[kind, 254, 253, 0, epoch, 0, 0, 0, 0, 0, sequence], &counted(2, body)])
}

/// A handshake message of DTLS, or a fragment of one.
fn fragment(kind: u8, sequence: u8, total: usize, at: usize, body: &[u8]) -> Vec<u8> {
    let three = |n: usize| [(n >> 16) as u8, (n >> 8) as u8, n as u8];
    join(&[&[kind], &three(total), &[0, sequence], &three(at), &three(body.len()), body])
}

/// Cookie, fragments, and what follows.
pub fn dtls() -> Vec<Seed> {
    let first = hello_body([254, 253], &[0]);
    let second = hello_body([254, 253], &counted(1, &[9; 20]));
    let (head, tail) = second.split_at(60);
    let verify = join(&[&[254, 255], &counted(1, &[9; 20])]);
    let hello = server_hello([0xc0, 0x2b], &[]);
    let chain = certificates();
    let (hello, chain) = (hello.get(4..).unwrap_or_default(), chain.get(4..).unwrap_or_default());
    let server = join(&[
        &datagram(22, 0, 1, &fragment(2, 1, hello.len(), 0, hello)),
        &datagram(22, 0, 2, &fragment(11, 2, chain.len(), 0, chain)),
        &datagram(22, 0, 3, &fragment(14, 3, 0, 0, &[])),
    ]);
    let ops = [
        Op::Data(Orig, &datagram(22, 0, 0, &fragment(1, 0, first.len(), 0, &first))),
        Op::Data(Resp, &datagram(22, 0, 0, &fragment(3, 0, verify.len(), 0, &verify))),
        Op::Data(Orig, &datagram(22, 0, 1, &fragment(1, 1, second.len(), 60, tail))),
        Op::Data(Orig, &datagram(22, 0, 2, &fragment(1, 1, second.len(), 0, head))),
        Op::Data(Resp, &server),
        Op::Data(Orig, &join(&[&datagram(20, 0, 3, &[1]), &datagram(22, 1, 0, &[6; 48])])),
        Op::Data(Resp, &datagram(23, 1, 1, &[7; 30])),
        Op::Data(Resp, &datagram(21, 0, 9, &[2, 40])),
    ];
    vec![("whole", script(0, &ops)), ("server_alone", script(0, &[Op::Data(Resp, &server)]))]
}
