use weir_record::{Entry, Files};

use super::*;
use crate::context::Transport;
use crate::protocol::testing::Bench;

/// A message of SMB 2 in a session message.
fn v2(command: u16, number: u64, tree: u32, is_answer: bool, body: &[u8]) -> Vec<u8> {
    let mut bytes = b"\xfeSMB\x40\0\0\0\0\0\0\0".to_vec();
    bytes.extend(command.to_le_bytes());
    bytes.extend([0, 0, u8::from(is_answer), 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(number.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(tree.to_le_bytes());
    bytes.extend([0; 24]);
    bytes.extend(body);
    framed(&bytes)
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn create(number: u64, name: &str) -> Vec<u8> {
    let name = wide(name);
    let mut body = vec![57, 0];
    body.extend([0; 42]);
    body.extend(120_u16.to_le_bytes());
    body.extend((name.len() as u16).to_le_bytes());
    body.extend([0; 8]);
    body.extend(name);
    v2(5, number, 1, false, &body)
}

fn created(number: u64, file: u64, size: u64) -> Vec<u8> {
    let mut body = vec![89, 0];
    body.extend([0; 22]);
    body.extend(133_000_000_000_000_000_u64.to_le_bytes());
    body.extend([0; 16]);
    body.extend(size.to_le_bytes());
    body.extend([0; 8]);
    body.extend(file.to_le_bytes());
    body.extend([0; 16]);
    v2(5, number, 1, true, &body)
}

fn read(number: u64, file: u64, offset: u64) -> Vec<u8> {
    let mut body = vec![49, 0, 0, 0, 0, 0, 1, 0];
    body.extend(offset.to_le_bytes());
    body.extend(file.to_le_bytes());
    body.extend([0; 24]);
    v2(8, number, 1, false, &body)
}

fn answer(number: u64, data: &[u8]) -> Vec<u8> {
    let mut body = vec![17, 0, 80, 0];
    body.extend((data.len() as u32).to_le_bytes());
    body.extend([0; 8]);
    body.extend(data);
    v2(8, number, 1, true, &body)
}

fn close(number: u64, file: u64) -> Vec<u8> {
    let mut body = vec![24, 0, 0, 0, 0, 0, 0, 0];
    body.extend(file.to_le_bytes());
    body.extend([0; 8]);
    v2(6, number, 1, false, &body)
}

fn bench() -> Bench<Smb> {
    Bench::new(Smb::default(), Transport::Tcp, 445)
}

fn files(b: &Bench<Smb>) -> Vec<&Files> {
    b.entries
        .iter()
        .filter_map(|entry| if let Entry::Files(file) = entry { Some(&**file) } else { None })
        .collect()
}

#[test]
fn a_file_that_is_read_in_pieces_is_one_file_with_its_name_and_size() {
    let mut b = bench();
    b.data(Side::Orig, &create(1, "a\\b.txt"));
    b.data(Side::Resp, &created(1, 9, 20));
    assert!(!b.verdict.confirmed);
    b.data(Side::Orig, &[read(2, 9, 10), read(3, 9, 0)].concat());
    assert!(b.verdict.confirmed);
    b.data(Side::Resp, &answer(2, b"0123456789"));
    assert!(files(&b).is_empty());
    b.data(Side::Resp, &answer(3, b"hello worl"));
    let [file] = files(&b)[..] else { panic!("{:?}", b.entries) };
    assert_eq!(file.source, Some("SMB".into()));
    assert_eq!(file.filename, Some("a\\b.txt".into()));
    assert_eq!((file.seen_bytes, file.total_bytes, file.missing_bytes), (20, Some(20), 0));
    assert_eq!(file.mime_type, Some("text/plain".into()));
    assert_eq!(file.is_orig, Some(false));
}

#[test]
fn a_file_without_size_ends_when_it_is_closed() {
    let mut b = bench();
    b.data(Side::Orig, &create(1, "c"));
    b.data(Side::Resp, &created(1, 9, 0));
    b.data(Side::Orig, &read(2, 9, 0));
    b.data(Side::Resp, &answer(2, b"hello"));
    assert!(files(&b).is_empty());
    b.data(Side::Orig, &close(3, 9));
    let [file] = files(&b)[..] else { panic!("{:?}", b.entries) };
    assert_eq!((file.seen_bytes, file.total_bytes, file.timedout), (5, None, false));
}

#[test]
fn data_of_a_file_that_nobody_named_is_no_file() {
    let mut b = bench();
    b.data(Side::Orig, &read(2, 9, 0));
    b.data(Side::Resp, &answer(2, b"hello"));
    b.data(Side::Orig, &close(3, 9));
    b.finish();
    assert!(files(&b).is_empty());
}

#[test]
fn a_message_that_is_too_long_to_be_held_is_read_as_it_comes() {
    let mut b = bench();
    let data = vec![b'x'; 3 << 20];
    b.data(Side::Orig, &create(1, "big"));
    b.data(Side::Resp, &created(1, 9, data.len() as u64));
    b.data(Side::Orig, &read(2, 9, 0));
    for piece in answer(2, &data).chunks(1460) {
        b.data(Side::Resp, piece);
        assert!(b.analyser.halves[1].held.len() <= MAX_HELD);
    }
    let [file] = files(&b)[..] else { panic!("{:?}", b.entries) };
    assert_eq!((file.seen_bytes, file.missing_bytes), (data.len() as u64, 0));
    // The next message is in step again.
    b.data(Side::Orig, &create(4, "small"));
    b.data(Side::Resp, &created(4, 10, 5));
    b.data(Side::Orig, &read(5, 10, 0));
    b.data(Side::Resp, &answer(5, b"hello"));
    assert_eq!(files(&b).len(), 2);
}

#[test]
fn what_is_lost_is_waited_out_until_a_message_begins() {
    let mut b = bench();
    b.data(Side::Orig, &create(1, "c")[..50]);
    b.gap(Side::Orig, 1000);
    b.data(Side::Orig, b"the middle of something");
    assert!(b.verdict.violation.is_none());
    // As in Zeek, the first message goes with what was lost.
    b.data(Side::Orig, &create(1, "b"));
    b.data(Side::Orig, &create(1, "c"));
    b.data(Side::Resp, &created(1, 9, 2));
    b.data(Side::Orig, &read(2, 9, 0));
    b.data(Side::Resp, &answer(2, b"hi"));
    assert_eq!(files(&b).len(), 1);
}

#[test]
fn a_message_is_looked_for_at_the_beginning_of_each_piece_until_one_is_there_found_by_fuzzing() {
    let mut b = bench();
    // As in Zeek, less than its name does not begin a message; once in step, pieces may be as they like.
    for byte in chain(20) {
        b.data(Side::Orig, &[byte]);
    }
    assert!(b.weirds().is_empty());
    let chain = chain(20);
    let (begin, rest) = chain.split_at(8);
    b.data(Side::Orig, begin);
    for byte in rest {
        b.data(Side::Orig, &[*byte]);
    }
    assert_eq!(b.weirds(), [("smb_andx_depth_exceeded".into(), None)]);
}

/// A message of SMB 1 that chains `count` commands that do nothing.
fn chain(count: u8) -> Vec<u8> {
    let mut bytes = b"\xffSMB\x74".to_vec();
    bytes.extend([0; 27]);
    for n in 1..=count {
        bytes.extend([2, if n == count { 0xff } else { 0x74 }, 0, 32 + 7 * n, 0, 0, 0]);
    }
    framed(&bytes)
}

#[test]
fn a_chain_of_commands_ends_somewhere() {
    let mut b = bench();
    b.data(Side::Orig, &chain(5));
    assert!(b.weirds().is_empty());
    b.data(Side::Orig, &chain(20));
    assert_eq!(b.weirds(), [("smb_andx_depth_exceeded".into(), None)]);
    assert!(b.verdict.unknown_message);
}
