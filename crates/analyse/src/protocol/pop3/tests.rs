//! Tests of the analyser, fed by hand.

use weir_record::Entry;

use super::*;
use crate::context::Transport;
use crate::protocol::testing::Bench;

fn bench() -> Bench<Pop3> {
    let mut b = Bench::new(Pop3::default(), Transport::Tcp, 110);
    b.data(Side::Resp, b"+OK ready\r\n");
    b
}

#[test]
fn a_mail_that_is_fetched_is_a_file() {
    let mut b = bench();
    b.data(Side::Orig, b"USER joe\r\n");
    assert!(!b.verdict.confirmed);
    b.data(Side::Resp, b"+OK\r\n");
    assert!(b.verdict.confirmed);
    b.data(Side::Orig, b"PASS x\r\nRETR 1\r\nLIST\r\n");
    b.data(
        Side::Resp,
        b"+OK\r\n+OK 20 octets\r\nSubject: x\r\n\r\n..this is some text\r\n.\r\n+OK\r\n1 20\r\n.\r\n",
    );
    b.finish();
    let mut seen = Vec::new();
    for entry in &b.entries {
        if let Entry::Files(f) = entry {
            seen.push((f.seen_bytes, f.depth, f.is_orig, f.source.clone()));
        }
    }
    assert_eq!(seen, [(21, 0, Some(false), Some("POP3".into()))]);
    assert!(b.weirds().is_empty());
}

#[test]
fn stls_leaves_the_rest_to_tls() {
    let mut b = bench();
    b.data(Side::Orig, b"STLS\r\n");
    b.data(Side::Resp, b"+OK begin\r\n");
    assert_eq!(b.verdict.hand_over.map(|h| h.to), Some(Some(Kind::Ssl)));
}

#[test]
fn what_is_not_known_is_weird_and_a_reply_that_is_none_a_violation() {
    let mut b = bench();
    b.data(Side::Orig, b"FROB x\r\n");
    b.data(Side::Resp, b"+ what\r\n");
    assert_eq!(
        b.verdict.violation.as_ref().map(|v| v.reason.clone()),
        Some("unknown server command (+)".into())
    );
    let names: Vec<_> = b.weirds().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["pop3_client_command_unknown".into(), "pop3_server_command_unknown".into()]);
}

#[test]
fn answers_to_challenges_are_no_commands() {
    let mut b = bench();
    b.data(Side::Orig, b"AUTH LOGIN\r\n");
    b.data(Side::Resp, b"+ VXNlcg==\r\n");
    b.data(Side::Orig, b"am9l\r\n");
    b.data(Side::Resp, b"+OK\r\n");
    assert!(b.weirds().is_empty() && b.verdict.violation.is_none());
}

#[test]
fn before_a_greeting_a_command_has_no_list_for_an_answer() {
    let mut b = Bench::new(Pop3::default(), Transport::Tcp, 110);
    b.data(Side::Orig, b"AUTH\r\n");
    b.data(Side::Resp, b"+OK\r\n+PONG\r\n");
    let names: Vec<_> = b.weirds().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["pop3_server_command_unknown".into()]);
}

#[test]
fn a_server_that_lets_one_in_without_login_is_believed() {
    let mut b = bench();
    b.data(Side::Orig, b"LIST\r\nSTAT\r\n");
    b.data(Side::Resp, b"+OK\r\n1 20\r\n.\r\n+OK 1 20\r\nSTAT\r\n");
    let names: Vec<_> = b.weirds().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["pop3_server_sending_client_commands".into()]);
}

fn names(b: &Bench<Pop3>) -> Vec<Text> {
    b.weirds().into_iter().map(|(name, _)| name).collect()
}

#[test]
fn an_answer_to_a_challenge_must_be_base_64_and_whole() {
    let mut b = bench();
    b.data(Side::Orig, b"AUTH PLAIN\r\n");
    b.data(Side::Resp, b"+ \r\n");
    b.data(Side::Orig, b"AGpvZQB4\r\n");
    assert!(b.weirds().is_empty());
    b.data(Side::Orig, b"AGpvZQ==\r\nAGpvZQA=\r\n");
    assert_eq!(names(&b), ["pop3_malformed_auth_plain".into(), "pop3_malformed_auth_plain".into()]);
    b.data(Side::Orig, b"*\r\n");
    assert_eq!(names(&b)[2..], ["base64_illegal_encoding".into(), "pop3_bad_base64_encoding".into()]);
}

#[test]
fn each_side_has_its_own_words() {
    let mut b = bench();
    b.data(Side::Orig, b"+OK\r\n");
    b.data(Side::Resp, b"USER joe\r\n");
    assert_eq!(
        names(&b),
        ["pop3_client_sending_server_commands".into(), "pop3_server_sending_client_commands".into()]
    );
    assert!(b.verdict.violation.is_none());
}

#[test]
fn a_last_line_needs_no_end() {
    let mut b = bench();
    b.data(Side::Orig, b"FROB");
    b.end(Side::Orig);
    b.data(Side::Resp, b"what");
    b.end(Side::Resp);
    assert_eq!(names(&b), ["pop3_client_command_unknown".into(), "pop3_server_command_unknown".into()]);
}

#[test]
fn of_too_many_commands_that_wait_the_oldest_is_forgotten() {
    let mut b = bench();
    b.data(Side::Orig, b"NOOP\r\n");
    for n in 0..MAX_PENDING {
        b.data(Side::Orig, format!("FROB{n}\r\n").as_bytes());
    }
    assert_eq!(names(&b), ["pop3_client_too_many_pending_commands".into()]);
    // It is taken for the answer to the first that is left, which was never looked at.
    b.data(Side::Resp, b"+OK\r\n");
    let told = b.weirds().into_iter().nth(1);
    assert_eq!(told, Some(("pop3_client_command_unknown".into(), Some("FROB1".into()))));
}
