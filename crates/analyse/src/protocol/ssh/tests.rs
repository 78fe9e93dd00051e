//! The analyser as a whole: streams in, a record out.

use proptest::prelude::*;
use weir_record::{Entry, Ssh as Logged, Text};

use super::Ssh;
use super::parse::message;
use crate::context::Side::{self, Orig, Resp};
use crate::context::Transport;
use crate::protocol::Analyze;
use crate::protocol::testing::Bench;

fn bench() -> Bench<Ssh> {
    Bench::new(Ssh::new(), Transport::Tcp, 22)
}

fn logged(bench: &Bench<Ssh>) -> Vec<&Logged> {
    let mut records: Vec<&Logged> = Vec::new();
    for entry in &bench.entries {
        if let Entry::Ssh(record) = entry {
            records.push(record);
        }
    }
    records
}

fn packet(message: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32 + 2 + 4).to_be_bytes().to_vec();
    bytes.extend([4, message]);
    bytes.extend(payload);
    bytes.extend([0; 4]);
    bytes
}

fn kexinit(kex: &str, cipher: &str, compression: &str) -> Vec<u8> {
    let mut payload = vec![0; 16];
    let lists = [kex, "ssh-ed25519,ssh-rsa", cipher, cipher, "hmac-a", "hmac-a", compression, compression];
    for list in lists.into_iter().chain(["", ""]) {
        payload.extend((list.len() as u32).to_be_bytes());
        payload.extend(list.as_bytes());
    }
    payload.extend([0; 5]);
    packet(message::KEXINIT, &payload)
}

fn reply(key: &[u8]) -> Vec<u8> {
    packet(message::KEX_REPLY, &[&(key.len() as u32).to_be_bytes()[..], key, &[0; 8]].concat())
}

/// Each piece is one delivery: lengths of what is encrypted count.
fn handshake(compression: &str) -> Vec<(Side, Vec<u8>)> {
    vec![
        (Orig, b"SSH-2.0-Client\r\n".to_vec()),
        (Resp, b"SSH-2.0-Server_1 x\r\n".to_vec()),
        (Orig, kexinit("curve25519-sha256,ecdh-sha2-nistp256", "aes-c,aes-b", compression)),
        (Resp, kexinit("ecdh-sha2-nistp256,curve25519-sha256", "aes-b", compression)),
        (Orig, packet(30, &[0; 36])),
        (Resp, [reply(b""), packet(message::NEWKEYS, &[])].concat()),
        (Orig, [packet(message::NEWKEYS, &[]), vec![9; 44]].concat()),
        (Resp, vec![9; 44]),
        (Orig, vec![9; 60]),
        (Resp, vec![9; 84]),
        (Orig, vec![9; 148]),
        (Resp, vec![9; 84]),
        (Orig, vec![9; 148]),
        (Resp, vec![9; 28]),
        (Orig, vec![9; 100]),
    ]
}

#[test]
fn a_login_is_logged_as_soon_as_it_succeeds() {
    let mut bench = bench();
    for (side, bytes) in handshake("none") {
        assert!(bench.analyser.wants_payload() || bytes.len() == 100);
        bench.wait(1);
        bench.data(side, &bytes);
    }
    assert!(bench.verdict.confirmed && !bench.analyser.wants_payload());
    let records = logged(&bench);
    assert_eq!(records.len(), 1);
    let record = records[0];
    assert_eq!(record.ts, bench.connection.start + weir_wire::Interval::from_millis(1));
    assert_eq!((record.version, record.auth_success, record.auth_attempts), (Some(2), Some(true), 2));
    assert_eq!(record.client, Some(Text::from("SSH-2.0-Client")));
    assert_eq!(record.server, Some(Text::from("SSH-2.0-Server_1 x")));
    assert_eq!(record.kex_alg, Some(Text::from("curve25519-sha256")));
    assert_eq!(record.cipher_alg, Some(Text::from("aes-b")));
    assert_eq!(record.host_key_alg, Some(Text::from("ssh-ed25519")));
    assert_eq!(record.host_key_fingerprint, Some(Text::from("SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NM")));
    bench.finish();
    assert_eq!(logged(&bench).len(), 1);
}

#[test]
fn with_compression_nothing_is_said_of_the_login() {
    let mut bench = bench();
    for (side, bytes) in handshake("zlib@openssh.com") {
        bench.data(side, &bytes);
    }
    bench.finish();
    let record = logged(&bench)[0];
    assert_eq!((record.auth_success, record.auth_attempts), (None, 0));
}

#[test]
fn a_connection_that_never_gets_through_is_logged_at_its_end() {
    let mut bench = bench();
    bench.data(Resp, b"Welcome\r\nSSH-1.5-Server\n");
    bench.data(Orig, b"SSH-1.99-Client\n");
    let public = [&[0, 0, 0, 6, 0, 0, message::V1_PUBLIC_KEY, 7][..], &[0; 4]].concat();
    bench.data(Resp, &public);
    assert!(!bench.verdict.confirmed);
    let session = [&[0, 0, 0, 6, 0, 0, message::V1_SESSION_KEY, 7][..], &[0; 4]].concat();
    bench.data(Orig, &session);
    assert!(bench.verdict.confirmed && !bench.analyser.wants_payload());
    bench.finish();
    let record = logged(&bench)[0];
    assert_eq!((record.version, record.auth_success), (Some(1), None));
    assert_eq!(record.server, Some(Text::from("SSH-1.5-Server")));
}

#[test]
fn a_hybrid_key_exchange_shows_the_host_key() {
    let mut bench = bench();
    let kexinit = kexinit("mlkem768x25519-sha256", "a", "none");
    bench.data(Resp, b"SSH-2.0-S\r\n");
    bench.data(Orig, &[b"SSH-2.0-C\r\n", &kexinit[..]].concat());
    bench.data(Resp, &kexinit);
    bench.data(Resp, &reply(b"key"));
    bench.finish();
    let record = logged(&bench)[0];
    assert_eq!(record.kex_alg, Some(Text::from("mlkem768x25519-sha256")));
    assert!(record.host_key_fingerprint.is_some() && bench.verdict.violation.is_none());
}

#[test]
fn who_does_not_wait_for_the_other_sides_version_is_not_understood() {
    let mut bench = bench();
    bench.data(Resp, &[b"SSH-2.0-S\r\n", &kexinit("a", "a", "none")[..]].concat());
    assert!(bench.verdict.violation.is_some());
    bench.data(Orig, b"SSH-2.0-C\r\n");
    bench.finish();
    let record = logged(&bench)[0];
    assert_eq!((record.server.clone(), &record.client), (Some(Text::from("SSH-2.0-S")), &None));
}

#[test]
fn versions_without_agreement_are_a_weird_and_then_a_violation() {
    let mut bench = bench();
    bench.data(Orig, b"SSH-2.0-C\r\n");
    bench.data(Resp, b"SSH-1.5-S\r\n");
    let addl = Text::from("SSH-1.5-S vs SSH-2.0-C");
    assert_eq!(bench.weirds(), [(Text::from("SSH_version_mismatch"), Some(addl))]);
    bench.data(Orig, &kexinit("a", "a", "none"));
    assert!(bench.verdict.violation.is_some());
}

#[test]
fn a_client_that_says_something_else_violates_the_protocol() {
    let mut bench = bench();
    bench.data(Orig, b"GET / HTTP/1.1\r\n");
    bench.data(Resp, b"SSH-2.0-S\r\n");
    bench.finish();
    assert!(bench.verdict.violation.is_some() && logged(&bench).is_empty());
}

#[test]
fn a_line_end_may_be_cut_in_two() {
    let mut bench = bench();
    for (side, bytes) in handshake("none") {
        match bytes.strip_suffix(b"\n") {
            Some(line) => {
                bench.data(side, line);
                bench.data(side, b"\n");
            }
            None => bench.data(side, &bytes),
        }
    }
    assert_eq!(logged(&bench)[0].auth_success, Some(true));
}

#[test]
fn after_a_hole_nothing_more_is_concluded() {
    let mut bench = bench();
    for (side, bytes) in handshake("none").into_iter().take(9) {
        bench.data(side, &bytes);
    }
    bench.gap(Resp, 10);
    bench.data(Resp, &[9; 28]);
    bench.finish();
    assert_eq!(logged(&bench)[0].auth_success, None);
}

proptest! {
    #[test]
    fn the_clear_part_may_come_in_any_pieces(cuts in prop::collection::vec(1usize..40, 0..60)) {
        let mut bench = bench();
        let mut cuts = cuts.into_iter().chain(std::iter::repeat(7));
        for (at, (side, bytes)) in handshake("none").into_iter().enumerate() {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let n = if at < 5 { cuts.next().unwrap().min(rest.len()) } else { rest.len() };
                bench.data(side, &rest[..n]);
                rest = &rest[n..];
            }
        }
        bench.finish();
        let record = logged(&bench)[0];
        prop_assert_eq!((record.auth_success, record.auth_attempts), (Some(true), 2));
        prop_assert!(record.host_key_fingerprint.is_some());
    }

    #[test]
    fn any_bytes_do_no_harm(
        pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..60)), 0..20),
        greeted: bool,
    ) {
        let mut bench = bench();
        if greeted {
            bench.data(Orig, b"SSH-2.0-C\r\n");
            bench.data(Resp, b"SSH-1.99-S\r\n");
        }
        for (orig, bytes) in &pieces {
            bench.data(Side::from_is_orig(*orig), bytes);
        }
        bench.finish();
    }
}

#[test]
fn lengths_beyond_all_measure_are_weird() {
    let versions = |b: &mut Bench<Ssh>| {
        b.data(Orig, b"SSH-2.0-a\r\n");
        b.data(Resp, b"SSH-2.0-b\r\n");
    };
    let mut b = bench();
    versions(&mut b);
    b.data(Orig, b"GET / HTTP/1.0");
    assert_eq!(b.weirds(), [("SSH_max_packet_length_exceeded".into(), Some("1195725856 > 8388608".into()))]);
    assert!(b.verdict.unknown_message && b.verdict.violation.is_none() && !b.analyser.wants_payload());

    let mut b = bench();
    versions(&mut b);
    let mut payload = vec![0; 16];
    payload.extend(0x20_0001_u32.to_be_bytes());
    b.data(Orig, &packet(message::KEXINIT, &payload));
    assert_eq!(b.weirds(), [("SSH_max_string_length_exceeded".into(), Some("2097153 > 2097152".into()))]);
    assert!(b.verdict.violation.is_some());

    let mut b = bench();
    versions(&mut b);
    b.data(Orig, &[0, 0x40, 0, 0, 1, 2]);
    assert!(b.weirds().is_empty() && b.verdict.violation.is_none() && !b.analyser.wants_payload());
}
