//! Seeds of SMB, of DCE-RPC, and of the proxies and chats that hand connections on.

use weir_analyse::Side::{Orig, Resp};

use super::Seed;
use crate::analyser::SPLIT;
use crate::ops::{Op, script};

/// A session message with its length.
fn framed(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

/// A message of SMB 2 about the tree 1.
fn v2(command: u16, number: u64, is_answer: bool, body: &[u8]) -> Vec<u8> {
    let mut bytes = b"\xfeSMB\x40\0\0\0\0\0\0\0".to_vec();
    bytes.extend(command.to_le_bytes());
    bytes.extend([0, 0, u8::from(is_answer), 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(number.to_le_bytes());
    bytes.extend([0, 0, 0, 0, 1, 0, 0, 0]);
    bytes.extend([0; 24]);
    bytes.extend(body);
    bytes
}

/// A message of SMB 1: its words and its bytes, each behind their count.
fn v1(command: u8, is_answer: bool, words: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut message = b"\xffSMB".to_vec();
    message.extend([command, 0, 0, 0, 0, if is_answer { 0x98 } else { 0x18 }, 7, 0xc8]);
    message.extend([0; 12]);
    message.extend([1, 0, 2, 0, 3, 0, 4, 0]);
    message.push((words.len() / 2) as u8);
    message.extend(words);
    message.extend((bytes.len() as u16).to_le_bytes());
    message.extend(bytes);
    framed(&message)
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// A body: a place and a length of two bytes for what follows at the end, `before` and `between` zeros around them.
fn body(size: u16, before: usize, place: u16, tail: &[u8], between: usize) -> Vec<u8> {
    let mut out = size.to_le_bytes().to_vec();
    out.extend(vec![0; before]);
    out.extend(place.to_le_bytes());
    out.extend((tail.len() as u16).to_le_bytes());
    out.extend(vec![0; between]);
    out.extend(tail);
    out
}

fn created(file: u64, size: u64) -> Vec<u8> {
    let mut out = vec![89, 0];
    out.extend([0; 46]);
    out.extend(size.to_le_bytes());
    out.extend([0; 8]);
    out.extend(file.to_le_bytes());
    out.extend([0; 16]);
    out
}

fn read(file: u64, offset: u64) -> Vec<u8> {
    let mut out = vec![49, 0, 0, 0, 0, 0, 1, 0];
    out.extend(offset.to_le_bytes());
    out.extend(file.to_le_bytes());
    out.extend([0; 24]);
    out
}

fn data(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![17, 0, 80, 0];
    out.extend((bytes.len() as u32).to_le_bytes());
    out.extend([0; 8]);
    out.extend(bytes);
    out
}

fn write(file: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![49, 0, 112, 0];
    out.extend((bytes.len() as u32).to_le_bytes());
    out.extend([0; 8]);
    out.extend(file.to_le_bytes());
    out.extend([0; 24]);
    out.extend(bytes);
    out
}

/// NTLM's first message, alone.
const NTLM: &[u8] = b"NTLMSSP\0\x01\0\0\0\x07\x82\x08\xa2\0\0\0\0\x28\0\0\0\0\0\0\0\x28\0\0\0";

/// A binding of DCE-RPC, and one call in two fragments.
fn calls() -> Vec<u8> {
    let bind = b"\x05\0\x0b\x03\x10\0\0\0\x48\0\0\0\x01\0\0\0\xb8\x10\xb8\x10\0\0\0\0\x01\0\0\0\0\0\x01\0";
    let interface = [[0x6b; 16], [0; 16]].concat();
    let first = b"\x05\0\0\x01\x10\0\0\0\x1c\0\0\0\x02\0\0\0\x04\0\0\0\0\0\x05\0abcd";
    let last = b"\x05\0\0\x02\x10\0\0\0\x1c\0\0\0\x02\0\0\0\x04\0\0\0\0\0\x05\0efgh";
    [&bind[..], &interface, &[0; 8], first, last].concat()
}

/// Sessions of SMB 1 and 2: files read and written, a pipe.
pub fn smb() -> Vec<Seed> {
    let one = |message: Vec<u8>| framed(&message);
    let create = v2(5, 3, false, &body(57, 42, 120, &wide("a\\b.txt"), 8));
    let asks = [
        one(v2(0, 0, false, &[36, 0, 2, 0, 1, 0, 0, 0])),
        one(v2(1, 1, false, &body(25, 10, 88, NTLM, 8))),
        one(v2(3, 2, false, &body(9, 2, 72, &wide("\\\\h\\s"), 0))),
        one(create),
        one(v2(8, 4, false, &read(9, 0))),
        one(v2(9, 5, false, &write(9, b"hello, text"))),
        one(v2(6, 6, false, &[&[24, 0, 0, 0, 0, 0, 0, 0, 9][..], &[0; 15]].concat())),
    ]
    .concat();
    let answers = [
        one(v2(0, 0, true, &body(65, 52, 128, NTLM, 4))),
        one(v2(1, 1, true, &body(9, 2, 72, NTLM, 0))),
        one(v2(3, 2, true, &[16, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
        one(v2(5, 3, true, &created(9, 11))),
        one(v2(8, 4, true, &data(b"GIF89a data"))),
    ]
    .concat();
    let pipe = [
        one(v2(5, 1, false, &body(57, 42, 120, &wide("svcctl"), 8))),
        one(v2(9, 2, false, &write(9, &calls()))),
    ]
    .concat();
    let nothing = [0xff, 0, 0, 0];
    let old_asks = [
        v1(0x72, false, &[], b"\x02NT LM 0.12\0\x02SMB 2.002\0"),
        v1(0x75, false, &[&nothing[..], &[0, 0, 1, 0]].concat(), b"\0\\\\h\\s\0A:\0"),
        v1(0xa2, false, &[&nothing[..], &[0, 8, 0], &[0; 41]].concat(), &[&[0][..], &wide("a.txt")].concat()),
        v1(0x2e, false, &[&nothing[..], &[9, 0], &[0; 14]].concat(), b""),
        v1(0x2f, false, &[&nothing[..], &[9, 0], &[0; 14], &[5, 0, 64, 0, 0, 0, 0, 0]].concat(), b"\0hello"),
        v1(0x25, false, &[[0; 28], [2; 28]].concat()[..32], &[&wide("\\PIPE\\"), &calls()[..]].concat()),
        v1(0x04, false, &[9, 0, 0, 0, 0, 0], b""),
    ]
    .concat();
    let old_answers = [
        v1(0x72, true, &[0; 34], b""),
        v1(0xa2, true, &[&nothing[..], &[0, 9, 0], &[0; 61]].concat(), b""),
        v1(0x2e, true, &[&nothing[..], &[0; 6], &[5, 0, 60, 0], &[0; 10]].concat(), b"\0hello"),
    ]
    .concat();
    vec![
        ("version_2", script(SPLIT, &[Op::Data(Orig, &asks), Op::Data(Resp, &answers)])),
        ("pipe", script(SPLIT, &[Op::Data(Orig, &pipe), Op::Data(Resp, &v2(5, 1, true, &created(9, 0)))])),
        ("version_1", script(SPLIT, &[Op::Data(Orig, &old_asks), Op::Data(Resp, &old_answers)])),
        ("gap", script(0, &[Op::Data(Orig, &asks[..60]), Op::Gap(Orig, 300), Op::Data(Orig, &asks[..])])),
    ]
}

/// Streams of DCE-RPC.
pub fn dce_rpc() -> Vec<Seed> {
    let alter = b"\x05\0\x0e\x03\0\0\0\0\0\x20\0\x08\0\0\0\x03\0\0\0\0\0\0\0\0\x0a\x02\0\0\0\0\0\0";
    let calls = calls();
    vec![
        ("calls", script(SPLIT, &[Op::Data(Orig, &calls), Op::Data(Resp, alter)])),
        ("gap", script(0, &[Op::Data(Orig, &calls[..20]), Op::Gap(Orig, 52), Op::Data(Orig, &calls[72..])])),
    ]
}

/// Sessions of IRC.
pub fn irc() -> Vec<Seed> {
    let session = [
        Op::Data(Orig, b"NICK me\r\nUSER me 0 * :Me\r\nJOIN #a,#b key\r\nOPER me secret\r\nSQUIT h :bye\r\n"),
        Op::Data(
            Resp,
            b":h 001 me :Welcome\r\n:h 353 me = #a :me @you\r\n:h 319 me you :#a #b\r\n:h 252 me 3 :ops\r\n",
        ),
        Op::Data(Orig, b"PRIVMSG bob :\x01DCC SEND a.txt 167772161 5000 12\x01\r\nWHO a o\r\nMODE #a +o\r\n"),
        Op::Data(Resp, b":you!u@h PRIVMSG me :\x01DCC CHAT chat 167772161 5001\x01\r\nPING :x\r\n"),
    ];
    let tls = [
        Op::Data(Orig, b"STARTTLS\r\n"),
        Op::Data(Resp, b":h 670 me :go\r\n"),
        Op::Data(Orig, b"\x16\x03\x01\0\0"),
    ];
    vec![("session", script(SPLIT, &session)), ("tls", script(0, &tls))]
}

/// Requests to SOCKS 4 and 5, and what follows.
pub fn socks() -> Vec<Seed> {
    let five = [
        Op::Data(Orig, b"\x05\x02\0\x02"),
        Op::Data(Resp, b"\x05\x02"),
        Op::Data(Orig, b"\x01\x02me\x03key"),
        Op::Data(Resp, b"\x01\0"),
        Op::Data(Orig, b"\x05\x01\0\x03\x03a.b\0\x50"),
        Op::Data(Resp, b"\x05\0\0\x01\x0a\0\0\x01\0\x50"),
        Op::Data(Orig, b"GET / HTTP/1.1\r\n\r\n"),
    ];
    let four = [
        Op::Data(Orig, b"\x04\x01\0\x50\0\0\0\x01me\0a.b\0"),
        Op::Data(Resp, b"\0\x5a\0\x50\x0a\0\0\x01"),
        Op::Data(Resp, b"SSH-2.0-x\r\n"),
    ];
    vec![("version_5", script(0, &five)), ("version_4", script(0, &four))]
}
