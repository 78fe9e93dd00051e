//! Tests of the analyser, fed by hand.

use super::*;
use crate::context::Transport;
use crate::protocol::testing::Bench;
use weir_record::Entry;
use weir_wire::{Address, ConnId};

fn bench() -> Bench<Ftp> {
    Bench::new(Ftp::default(), Transport::Tcp, 21)
}

#[test]
fn a_session_is_confirmed_by_its_first_command_and_announces_its_data() {
    let mut b = bench();
    b.data(Side::Resp, b"220-welcome\r\n220 ready\r\n");
    assert!(!b.verdict.confirmed);
    b.data(Side::Orig, b"USER anonymous\r\nPOR");
    assert!(b.verdict.confirmed);
    b.data(Side::Orig, b"T 10,0,0,1,1,2\r\n\xff\xf4\xff\xf2ABOR\r\n");
    b.data(Side::Resp, b"229 Entering Extended Passive Mode (|||5000|)\r\n");
    let [a, s] = [1, 2].map(|n| Address::v4([10, 0, 0, n]));
    let active = ConnId { orig_h: s, orig_p: 20, resp_h: a, resp_p: 258 };
    let passive = ConnId { orig_h: a, orig_p: 4001, resp_h: s, resp_p: 5000 };
    assert_eq!(b.expected.find(b.now, &active), Some(Kind::FtpData));
    assert_eq!(b.expected.find(b.now, &passive), Some(Kind::FtpData));
    assert!(b.weirds().is_empty() && b.verdict.violation.is_none());
}

#[test]
fn auth_tls_leaves_the_rest_to_tls() {
    let mut b = bench();
    b.data(Side::Orig, b"AUTH TLS\r\n");
    b.data(Side::Resp, b"234 go ahead\r\nxyz");
    let hand_over = b.verdict.hand_over.unwrap();
    assert_eq!((hand_over.to, hand_over.rest), (Some(Kind::Ssl), 3));
    assert!(!b.analyser.wants_payload());
}

#[test]
fn a_reply_without_a_code_is_a_violation() {
    let mut b = bench();
    b.data(Side::Orig, b"USER a\r\n");
    b.data(Side::Resp, b"SSH-2.0-mod_sftp\r\n");
    let violation = b.verdict.violation.unwrap();
    assert_eq!(violation.reason, "non-numeric reply code".into());
    assert_eq!(violation.data, Some("SSH-2.0-mod_sftp".into()));
}

#[test]
fn tls_in_base_64_must_be_a_record() {
    let mut b = bench();
    b.data(Side::Orig, b"AUTH GSSAPI\r\n");
    b.data(Side::Resp, b"334 go\r\n");
    b.data(Side::Orig, b"ADAT AB CD\r\n");
    b.finish();
    let names: Vec<_> = b.weirds().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["base64_illegal_encoding".into(), "ftp_adat_bad_first_token_encoding".into()]);
}

#[test]
fn each_direction_of_a_data_connection_is_a_file() {
    let mut b = Bench::new(FtpData::default(), Transport::Tcp, 5000);
    b.data(Side::Resp, b"hello wor");
    b.data(Side::Resp, b"ld, hello\n");
    b.data(Side::Orig, b"x");
    b.finish();
    let mut seen = Vec::new();
    for entry in &b.entries {
        if let Entry::Files(file) = entry {
            seen.push((file.seen_bytes, file.is_orig, file.mime_type.clone()));
        }
    }
    seen.sort_by_key(|s| s.0);
    assert_eq!(seen, [(1, Some(true), None), (19, Some(false), Some("text/plain".into()))]);
}

// Found by fuzzing.
#[test]
fn a_nul_is_told_in_its_place_however_the_stream_is_cut() {
    let stream = b"USER a\r\nxy\r\nUS\0ER b\rc\r\nz\0\r\n";
    let told = |piece| {
        let mut b = bench();
        for bytes in stream.chunks(piece) {
            b.data(Side::Orig, bytes);
        }
        b.weirds().into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    let whole = told(usize::MAX);
    assert_eq!(whole.first(), Some(&"FTP_invalid_command".into()));
    assert_eq!(whole.get(1), Some(&"NUL_in_line".into()));
    for piece in 1..stream.len() {
        assert_eq!(told(piece), whole, "{piece}");
    }
}

// Found by fuzzing.
#[test]
fn what_was_left_to_tls_is_no_text_any_more() {
    let mut b = bench();
    b.data(Side::Orig, b"AUTH TLS\r\n");
    b.data(Side::Resp, b"234 go ahead\r\n\x16\0\xff\xfb");
    assert!(b.weirds().is_empty());
    assert_eq!(b.verdict.hand_over.map(|h| h.rest), Some(4));
}

#[test]
fn what_is_too_long_is_told_when_its_command_is_over() {
    let mut b = bench();
    let line = |word: &str, n: usize| format!("{word} {}\r\n", "x".repeat(n)).into_bytes();
    b.data(Side::Resp, b"220 ready\r\n");
    b.data(Side::Orig, &line("USER", 129));
    b.data(Side::Resp, b"331 who\r\n");
    b.data(Side::Orig, &line("PASS", 200));
    assert_eq!(
        b.weirds(),
        [
            ("FTP_user_too_long".into(), Some("129".into())),
            ("FTP_password_too_long".into(), Some("200".into()))
        ]
    );
    b.data(Side::Resp, b"230 in\r\n");
    b.data(Side::Orig, &line("SITE", 5000));
    b.data(Side::Resp, &line("200", 4097));
    assert_eq!(b.weirds().len(), 2);
    b.data(Side::Orig, &line("RETR", 4096));
    b.finish();
    let names: Vec<_> = b.weirds().into_iter().skip(2).collect();
    let arg = |n: &'static str| ("FTP_arg_too_long".into(), Some(n.into()));
    let reply = || ("FTP_reply_msg_too_long".into(), Some("4097".into()));
    assert_eq!(names, [arg("5000"), reply(), arg("4113"), reply()]);
}

#[test]
fn a_last_line_needs_no_end() {
    let mut b = bench();
    b.data(Side::Orig, b"USER joe");
    assert!(!b.verdict.confirmed);
    b.end(Side::Orig);
    assert!(b.verdict.confirmed && b.weirds().is_empty());
}
