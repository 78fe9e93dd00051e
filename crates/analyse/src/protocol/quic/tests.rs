//! Tests of the analyser with packets sealed by themselves.

use weir_record::{Entry, Quic as Record, Ssl};

use super::crypt::testing::seal;
use super::parse::{V1, V2};
use super::*;
use crate::context::Transport;
use crate::protocol::testing::Bench;

const ID: &[u8] = &[1, 2, 3, 4, 5, 6, 7, 8];

/// A ClientHello that asks for `weir.test` and offers h3.
fn client_hello() -> Vec<u8> {
    let mut extensions = vec![0, 0, 0, 14, 0, 12, 0, 0, 9];
    extensions.extend(b"weir.test");
    extensions.extend([0, 16, 0, 5, 0, 3, 2, b'h', b'3']);
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 1, 1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    message(1, &body)
}

fn server_hello() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([8; 32]);
    body.extend([0, 0x13, 1, 0, 0, 6, 0, 43, 0, 2, 3, 4]);
    message(2, &body)
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, 0];
    message.extend((body.len() as u16).to_be_bytes());
    message.extend(body);
    message
}

fn crypto(offset: u8, bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![6, offset, 0x40, bytes.len() as u8];
    frame.extend(bytes);
    frame.extend([0; 20]);
    frame
}

fn initial(version: u32, from_client: bool, source: &[u8], frames: &[u8]) -> Vec<u8> {
    let mut head = vec![if version == V2 { 0xd0 } else { 0xc0 }];
    head.extend(version.to_be_bytes());
    head.push(8);
    head.extend(ID);
    head.push(source.len() as u8);
    head.extend(source);
    head.push(0);
    head.extend((0x4000 | (frames.len() + 17) as u16).to_be_bytes());
    head.push(0);
    seal(version, ID, from_client, &head, frames)
}

fn records(b: &Bench<Quic>) -> (Vec<Record>, Vec<Ssl>) {
    let (mut quic, mut ssl) = (Vec::new(), Vec::new());
    for entry in &b.entries {
        if let Entry::Quic(record) = entry {
            quic.push(record.as_ref().clone());
        } else if let Entry::Ssl(record) = entry {
            ssl.push(record.as_ref().clone());
        }
    }
    (quic, ssl)
}

#[test]
fn hellos_in_pieces_and_out_of_order_become_a_session() {
    for version in [V1, V2] {
        let mut b = Bench::new(Quic::default(), Transport::Udp, 443);
        let hello = client_hello();
        let (first, second) = hello.split_at(30);
        b.data(Side::Orig, &initial(version, true, &[9], &crypto(30, second)));
        b.data(Side::Orig, &initial(version, true, &[9], &crypto(0, first)));
        b.data(Side::Resp, &initial(version, false, &[5, 6], &crypto(0, &server_hello())));
        for _ in 0..3 {
            b.data(Side::Orig, &[0x41; 30]);
        }
        b.finish();
        assert!(b.verdict.confirmed && b.verdict.violation.is_none());
        assert_eq!(b.connection.services, ["ssl"]);
        let (quic, ssl) = records(&b);
        assert_eq!(quic[0].history, "IISisOO".into());
        assert_eq!(quic[0].server_name, Some("weir.test".into()));
        assert_eq!(quic[0].client_protocol, Some("h3".into()));
        assert_eq!(quic[0].client_initial_dcid, Some("0102030405060708".into()));
        assert_eq!((&quic[0].client_scid, &quic[0].server_scid), (&Some("09".into()), &Some("0506".into())));
        assert_eq!(ssl[0].ssl_history, Some("Cs".into()));
        assert_eq!(ssl[0].server_name, Some("weir.test".into()));
    }
}

#[test]
fn a_packet_that_cannot_be_opened_is_a_violation() {
    let mut b = Bench::new(Quic::default(), Transport::Udp, 443);
    let mut packet = initial(V1, true, &[9], &crypto(0, &client_hello()));
    if let Some(last) = packet.last_mut() {
        *last ^= 1;
    }
    b.data(Side::Orig, &packet);
    b.finish();
    assert!(!b.verdict.confirmed && b.verdict.violation.is_some());
    assert_eq!(records(&b).0[0].history, "I".into());
}

#[test]
fn a_retry_begins_anew_and_a_close_ends_the_record() {
    let mut b = Bench::new(Quic::default(), Transport::Udp, 443);
    b.data(Side::Orig, &initial(V1, true, &[9], &crypto(0, &client_hello())));
    let mut retry = vec![0xf0, 0, 0, 0, 1, 0, 1, 4];
    retry.extend([0; 20]);
    b.data(Side::Resp, &retry);
    let mut frames = crypto(0, &client_hello());
    frames.extend([0x1c, 0, 0, 0]);
    b.data(Side::Orig, &initial(V1, true, &[9], &frames));
    b.finish();
    let (quic, ssl) = records(&b);
    let histories: Vec<_> = quic.iter().map(|q| q.history.clone()).collect();
    assert_eq!(histories, ["ISr".into(), "ISC".into()]);
    assert_eq!(ssl[0].ssl_history, Some("CC".into()));
}

#[test]
fn an_unknown_version_is_told_and_violates() {
    let mut b = Bench::new(Quic::default(), Transport::Udp, 443);
    b.data(Side::Orig, &[0xc0, 1, 2, 3, 4, 0, 0]);
    assert_eq!(records(&b).0[0].version, "unknown-1020304".into());
    assert!(b.verdict.violation.is_some());
}

#[test]
fn crypto_beyond_a_hello_is_refused() {
    let mut b = Bench::new(Quic::default(), Transport::Udp, 443);
    let mut frames = vec![6, 0x80, 1, 0, 0, 1, 7];
    frames.extend([0; 20]);
    b.data(Side::Orig, &initial(V1, true, &[9], &frames));
    assert!(b.verdict.violation.is_some());
}
