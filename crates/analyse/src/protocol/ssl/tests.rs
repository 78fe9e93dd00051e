//! The analysers on streams made by hand.

use proptest::prelude::*;
use weir_record::{Entry, Ssl as Logged, Text, X509};

use super::{Dtls, Ssl};
use crate::context::{Side, Transport};
use crate::protocol::Analyze;
use crate::protocol::testing::Bench;
use crate::x509::testing;

/// A structure after its length of `N` bytes.
fn vector<const N: usize>(body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u64).to_be_bytes();
    [&length[8 - N..], body].concat()
}

fn extension(code: u16, body: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes()[..], &vector::<2>(body)].concat()
}

fn server_name(name: &[u8]) -> Vec<u8> {
    extension(0, &vector::<2>(&[&[0][..], &vector::<2>(name)].concat()))
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &vector::<3>(body)].concat()
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3][..], &vector::<2>(body)].concat()
}

fn hello_body(version: u16, session: &[u8]) -> Vec<u8> {
    [&version.to_be_bytes()[..], &[7; 32], &vector::<1>(session)].concat()
}

fn client_hello(session: &[u8], extensions: &[u8]) -> Vec<u8> {
    let rest = [&vector::<2>(&[0xc0, 0x2f])[..], &vector::<1>(&[0]), &vector::<2>(extensions)].concat();
    message(1, &[hello_body(0x0303, session), rest].concat())
}

fn server_hello(suite: u16, session: &[u8], extensions: &[u8]) -> Vec<u8> {
    let rest = [&suite.to_be_bytes()[..], &[0], &vector::<2>(extensions)].concat();
    message(2, &[hello_body(0x0303, session), rest].concat())
}

fn certificate() -> Vec<u8> {
    message(11, &vector::<3>(&vector::<3>(&testing::certificate())))
}

/// The record layer of a TLS 1.2 session with a full handshake, by side.
fn full() -> Vec<(Side, Vec<u8>)> {
    let exchange = [&[3, 0, 23][..], &vector::<1>(&[4; 65]), &[4, 1], &vector::<2>(&[9; 70])].concat();
    let flight = [
        server_hello(0xc02f, &[1; 32], &extension(16, &vector::<2>(&vector::<1>(b"h2")))),
        certificate(),
        message(12, &exchange),
        message(14, &[]),
    ];
    vec![
        (Side::Orig, record(22, &client_hello(&[], &server_name(b"a.weir.test")))),
        (Side::Resp, record(22, &flight.concat())),
        (Side::Orig, record(22, &message(16, &[3; 66]))),
        (Side::Orig, record(20, &[1])),
        (Side::Orig, record(22, &[0xee; 40])),
        (Side::Resp, record(22, &message(4, &[0; 40]))),
        (Side::Resp, record(20, &[1])),
        (Side::Resp, record(22, &[0xee; 40])),
        (Side::Orig, record(23, &[0xee; 400])),
    ]
}

fn tls() -> Bench<Ssl> {
    Bench::new(Ssl::new(), Transport::Tcp, 443)
}

fn feed(bench: &mut Bench<Ssl>, records: &[(Side, Vec<u8>)]) {
    for (side, bytes) in records {
        bench.data(*side, bytes);
    }
}

fn logged<A: Analyze>(bench: &Bench<A>) -> Vec<Logged> {
    let mut all = Vec::new();
    for entry in &bench.entries {
        if let Entry::Ssl(record) = entry {
            all.push(record.as_ref().clone());
        }
    }
    all
}

fn certificates<A: Analyze>(bench: &Bench<A>) -> Vec<X509> {
    let mut all = Vec::new();
    for entry in &bench.entries {
        if let Entry::X509(record) = entry {
            all.push(record.as_ref().clone());
        }
    }
    all
}

/// A field that is set.
#[allow(clippy::unnecessary_wraps, reason = "what it is compared with is an Option")]
fn text(text: &'static str) -> Option<Text> {
    Some(Text::from(text))
}

#[test]
fn a_full_handshake_is_one_record_and_then_payload_is_not_wanted() {
    let mut bench = tls();
    feed(&mut bench, &full());
    assert!(bench.verdict.confirmed && bench.verdict.violation.is_none());
    assert!(!bench.analyser.wants_payload());
    bench.finish();
    let [r] = &logged(&bench)[..] else { panic!("one record") };
    assert_eq!((r.version.clone(), r.curve.clone()), (text("TLSv12"), text("secp256r1")));
    assert_eq!(r.cipher, text("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"));
    assert_eq!((r.server_name.clone(), r.next_protocol.clone()), (text("a.weir.test"), text("h2")));
    assert_eq!(r.ssl_history, text("CsxknGIti"));
    assert!(r.established && !r.resumed);
    assert_eq!(r.sni_matches_cert, Some(true));
    let [certificate] = &certificates(&bench)[..] else { panic!("one certificate") };
    assert!(certificate.host_cert && !certificate.client_cert);
    assert_eq!(r.cert_chain_fps, Some(vec![certificate.fingerprint.clone()]));
    assert_eq!(r.client_cert_chain_fps, Some(vec![]));
}

#[test]
fn a_session_is_resumed_by_its_name_or_by_a_ticket() {
    for (offered, extensions) in [(vec![5; 32], vec![]), (vec![], extension(35, &[1; 9]))] {
        let mut bench = tls();
        let records = [
            (Side::Orig, record(22, &client_hello(&offered, &extensions))),
            (Side::Resp, record(22, &server_hello(0xc02f, &[5; 32], &[]))),
            (Side::Resp, record(20, &[1])),
            (Side::Orig, record(20, &[1])),
            (Side::Orig, record(22, &[0xee; 40])),
        ];
        feed(&mut bench, &records);
        let [r] = &logged(&bench)[..] else { panic!("one record") };
        assert!(r.resumed && r.established);
        assert_eq!(r.ssl_history, text("CsiI"));
        assert_eq!(r.cert_chain_fps, None);
    }
}

#[test]
fn tls_1_3_is_established_by_application_data_of_both_sides() {
    let chosen = [extension(43, &[3, 4]), extension(51, &[0x11, 0xec, 0, 1, 7])].concat();
    let mut retry = server_hello(0x1301, &[], &[extension(43, &[3, 4]), extension(51, &[0, 23])].concat());
    retry[6..38].copy_from_slice(&[
        0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
        0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
    ]);
    let psk = [vector::<2>(&[&vector::<2>(&[1])[..], &[0; 4]].concat()), vector::<2>(&vector::<1>(&[2]))];
    let mut bench = tls();
    let before = [
        (Side::Orig, record(22, &client_hello(&[9; 32], &extension(41, &psk.concat())))),
        (Side::Resp, record(22, &retry)),
        (Side::Resp, record(20, &[1])),
        (Side::Orig, record(22, &client_hello(&[9; 32], &extension(41, &psk.concat())))),
        (Side::Resp, record(22, &server_hello(0x1301, &[9; 32], &[chosen, extension(41, &[0, 0])].concat()))),
        (Side::Resp, record(23, &[0xee; 99])),
    ];
    feed(&mut bench, &before);
    assert!(bench.analyser.wants_payload() && logged(&bench).is_empty());
    bench.data(Side::Orig, &record(23, &[0xee; 9]));
    let [r] = &logged(&bench)[..] else { panic!("one record") };
    assert_eq!((r.version.clone(), r.curve.clone()), (text("TLSv13"), text("X25519MLKEM768")));
    assert_eq!(r.ssl_history, text("CjiCs"));
    assert!(r.resumed && r.established);
}

#[test]
fn an_alert_is_kept_and_logged_at_the_end() {
    let mut bench = tls();
    bench.data(Side::Orig, &record(22, &client_hello(&[], &[])));
    bench.data(Side::Resp, &record(21, &[2, 40]));
    assert!(logged(&bench).is_empty());
    bench.wait(700);
    bench.finish();
    let [r] = &logged(&bench)[..] else { panic!("one record") };
    assert_eq!((r.last_alert.clone(), r.ssl_history.clone()), (text("handshake_failure"), text("Cl")));
    assert_eq!(r.ts, bench.connection.start);
    assert!(!r.established);
}

#[test]
fn a_version_that_is_none_late_in_the_stream_is_a_violation() {
    let mut bench = tls();
    bench.data(Side::Orig, &record(22, &client_hello(&[], &[])));
    bench.data(Side::Resp, &[22, 0xff, 0xff, 0, 9]);
    let reason = bench.verdict.violation.clone().unwrap().reason;
    assert_eq!(reason, "Invalid version late in TLS connection. Packet reported version: 65535".into());
    assert_eq!(logged(&bench).len(), 1);
    assert!(!bench.analyser.wants_payload());
    bench.finish();
    assert_eq!(logged(&bench).len(), 1);
}

#[test]
fn what_is_no_tls_leaves_no_record() {
    let mut bench = tls();
    bench.data(Side::Orig, b"GET / HTTP/1.1\r\n");
    assert!(bench.verdict.violation.is_some() && !bench.verdict.confirmed);
    bench.finish();
    assert!(bench.entries.is_empty());
}

#[test]
fn what_comes_before_a_malformed_part_counts() {
    let mut bench = tls();
    let broken = [server_name(b"x.test"), vec![0, 16, 0, 9, 0]].concat();
    bench.data(Side::Orig, &record(22, &client_hello(&[], &broken)));
    bench.finish();
    assert!(bench.verdict.violation.is_some() && !bench.verdict.confirmed);
    let [r] = &logged(&bench)[..] else { panic!("one record") };
    assert_eq!((r.server_name.clone(), r.ssl_history.clone()), (text("x.test"), text("")));
}

#[test]
fn after_a_gap_nothing_is_read_and_the_end_logs_what_there_is() {
    let mut bench = tls();
    bench.data(Side::Orig, &record(22, &client_hello(&[], &[])));
    bench.gap(Side::Resp, 100);
    bench.data(Side::Resp, &record(21, &[2, 40]));
    bench.finish();
    assert_eq!(logged(&bench)[0].ssl_history, text("C"));
}

#[test]
fn a_partial_connection_is_left_alone() {
    let mut bench = tls();
    bench.connection.partial = true;
    feed(&mut bench, &full());
    bench.finish();
    assert!(bench.entries.is_empty() && !bench.verdict.confirmed);
}

#[test]
fn a_client_on_the_other_side_flips_the_direction() {
    let mut bench = tls();
    bench.data(Side::Resp, &record(22, &client_hello(&[], &server_name(b"x.test"))));
    bench.data(Side::Orig, &record(22, &server_hello(0xc02f, &[], &[])));
    bench.finish();
    let [r] = &logged(&bench)[..] else { panic!("one record") };
    assert_eq!((r.server_name.clone(), r.ssl_history.clone()), (text("x.test"), text("^Cs")));
}

#[test]
fn a_greeting_in_the_form_of_ssl_2_is_a_clients_hello() {
    let mut bench = tls();
    let hello = [&[1, 3, 1, 0, 3, 0, 0, 0, 16, 0, 0, 5][..], &[7; 16]].concat();
    bench.data(Side::Orig, &[&[0x80, hello.len() as u8][..], &hello].concat());
    bench.data(Side::Resp, &record(22, &server_hello(5, &[], &[])));
    bench.finish();
    assert!(bench.verdict.confirmed);
    assert_eq!(logged(&bench)[0].ssl_history, text("Cs"));
}

#[test]
fn a_history_ends_at_a_hundred_letters() {
    let mut bench = tls();
    for _ in 0..120 {
        bench.data(Side::Orig, &record(24, &[1, 0, 0]));
    }
    bench.finish();
    assert_eq!(logged(&bench)[0].ssl_history.as_ref().unwrap().as_bytes(), [b'B'; 100]);
    assert_eq!(bench.weirds().len(), 1);
}

/// A DTLS record with a fragment of a handshake message.
fn datagram(sequence: u8, message: &[u8], offset: usize, n: usize) -> Vec<u8> {
    let body = &message[4..];
    let (at, size) = ((offset as u32).to_be_bytes(), (n as u32).to_be_bytes());
    let head = [&message[..4], &[0, message[0]], &at[1..], &size[1..]].concat();
    let fragment = [&head[..], &body[offset..offset + n]].concat();
    [&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, sequence][..], &vector::<2>(&fragment)].concat()
}

fn dtls_hello() -> Vec<u8> {
    let rest = [&vector::<1>(&[])[..], &vector::<2>(&[0xc0, 0x2f]), &vector::<1>(&[0])].concat();
    message(1, &[hello_body(0xfefd, &[]), rest].concat())
}

#[test]
fn dtls_messages_come_in_fragments_among_stun() {
    let mut bench = Bench::new(Dtls::new(), Transport::Udp, 443);
    let hello = dtls_hello();
    bench.data(Side::Orig, &[&[0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42][..], &[0; 20]].concat());
    bench.data(Side::Orig, &datagram(0, &hello, 0, hello.len() - 4));
    let mut answer = server_hello(0xc02f, &[], &[]);
    answer[4..6].copy_from_slice(&[0xfe, 0xfd]);
    bench.data(Side::Resp, &datagram(0, &answer, 20, answer.len() - 24));
    bench.data(Side::Resp, &datagram(1, &answer, 0, 20));
    bench.finish();
    // The fragments' record numbers run against their order: Zeek never completes such a message.
    assert_eq!(logged(&bench)[0].ssl_history, text("C"));
    let mut bench = Bench::new(Dtls::new(), Transport::Udp, 443);
    bench.data(Side::Orig, &datagram(0, &hello, 0, hello.len() - 4));
    bench.data(Side::Resp, &datagram(1, &answer, 20, answer.len() - 24));
    bench.data(Side::Resp, &datagram(0, &answer, 0, 20));
    let encrypted = [&[22, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 0][..], &vector::<2>(&[0xee; 30])].concat();
    for side in [Side::Orig, Side::Resp] {
        let change = [&[20, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 5][..], &vector::<2>(&[1])].concat();
        bench.data(side, &[change, encrypted.clone()].concat());
    }
    assert!(bench.verdict.confirmed && !bench.analyser.wants_payload());
    let [r] = &logged(&bench)[..] else { panic!("one record") };
    assert_eq!((r.version.clone(), r.ssl_history.clone()), (text("DTLSv12"), text("CsIi")));
    assert!(r.established);
}

#[test]
fn datagrams_of_another_protocol_end_the_analysis_in_silence() {
    let mut bench = Bench::new(Dtls::new(), Transport::Udp, 443);
    for _ in 0..11 {
        assert!(bench.analyser.wants_payload());
        bench.data(Side::Orig, &[0xc3; 200]);
    }
    assert!(!bench.analyser.wants_payload() && bench.verdict.violation.is_none());
    bench.finish();
    assert!(bench.entries.is_empty());
}

fn shown(bench: &Bench<Ssl>) -> String {
    format!("{:?} {:?} {:?}", logged(bench), certificates(bench), bench.verdict)
}

proptest! {
    #[test]
    fn any_split_of_the_stream_gives_the_same_records(sizes in proptest::collection::vec(1..200_usize, 1..60)) {
        let mut whole = tls();
        feed(&mut whole, &full());
        let mut split = tls();
        let mut sizes = sizes.iter().cycle();
        for (side, bytes) in full() {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let n = (*sizes.next().unwrap()).min(rest.len());
                split.data(side, &rest[..n]);
                rest = &rest[n..];
            }
        }
        prop_assert_eq!(shown(&whole), shown(&split));
    }

    #[test]
    fn damaged_streams_are_survived(at in 0..9_usize, offset in any::<usize>(), byte in any::<u8>(), cut in any::<usize>()) {
        let mut records = full();
        let target = &mut records[at].1;
        let n = target.len();
        target[offset % n] = byte;
        target.truncate(1 + cut % n);
        let mut bench = tls();
        feed(&mut bench, &records);
        bench.finish();
        prop_assert!(logged(&bench).len() <= 1);
    }

    #[test]
    fn any_bytes_are_survived(chunks in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..60)), 0..9)) {
        let mut stream = tls();
        let mut datagrams = Bench::new(Dtls::new(), Transport::Udp, 443);
        for (orig, mut bytes) in chunks {
            stream.data(Side::from_is_orig(orig), &bytes);
            bytes.splice(0..0, [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40, 1]);
            datagrams.data(Side::from_is_orig(orig), &bytes);
        }
        stream.finish();
        datagrams.finish();
        prop_assert!(logged(&stream).len() <= 1 && logged(&datagrams).len() <= 1);
    }
}

#[test]
fn a_name_that_is_too_long_is_cut_and_that_is_said() {
    let mut bench = tls();
    bench.data(Side::Orig, &record(22, &client_hello(&[], &server_name(&[b'a'; 5000]))));
    bench.finish();
    assert_eq!(logged(&bench)[0].server_name.as_ref().unwrap().as_bytes().len(), 4096);
    assert_eq!(bench.weirds(), [("log_string_field_truncated".into(), text("SSL::LOG"))]);
}
