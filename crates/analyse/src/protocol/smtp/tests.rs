//! Tests of the analyser, fed by hand.

use weir_record::{Entry, Text};

use super::*;
use crate::context::Transport;
use crate::protocol::testing::Bench;

fn bench() -> Bench<Smtp> {
    let mut b = Bench::new(Smtp::default(), Transport::Tcp, 25);
    b.data(Side::Resp, b"220 weir.test\r\n");
    b.data(Side::Orig, b"EHLO a\r\n");
    b.data(Side::Resp, b"250-weir.test\r\n250 PIPELINING\r\n");
    b
}

/// Depth, type, name and length of each file.
fn files(b: &Bench<Smtp>) -> Vec<(u64, Option<Text>, Option<Text>, u64)> {
    let mut all = Vec::new();
    for entry in &b.entries {
        if let Entry::Files(f) = entry {
            all.push((f.depth, f.mime_type.clone(), f.filename.clone(), f.seen_bytes));
        }
    }
    all
}

const MAIL: &[u8] = b"Subject: x\r\nContent-Type: multipart/mixed; boundary=\"b\"\r\n\r\npreamble\r\n--b\r\n\r\n\
hello, this is text\r\n--b\r\nContent-Type: image/gif; name=\"a.gif\"\r\nContent-Transfer-Encoding: base64\r\n\r\n\
R0lGODlhLi4uLg==\r\n--b--\r\n";

#[test]
fn the_parts_of_a_mail_are_files_however_the_stream_is_cut() {
    for piece in [1, 7, usize::MAX] {
        let mut b = bench();
        let mut stream = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n".to_vec();
        stream.extend(MAIL);
        stream.extend(b".\r\nQUIT\r\n");
        for bytes in stream.chunks(piece) {
            b.data(Side::Orig, bytes);
        }
        b.data(Side::Resp, b"250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n221 bye\r\n");
        b.finish();
        assert!(b.verdict.confirmed && b.weirds().is_empty());
        assert_eq!(
            files(&b),
            [
                (2, Some("text/plain".into()), None, 19),
                (3, Some("image/gif".into()), Some("a.gif".into()), 10),
            ]
        );
    }
}

#[test]
fn a_mail_in_chunks_is_the_same() {
    let mut b = bench();
    b.data(Side::Orig, b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n");
    let (first, second) = MAIL.split_at(100);
    b.data(Side::Orig, b"BDAT 100\r\n");
    b.data(Side::Orig, first);
    b.data(Side::Orig, format!("BDAT {} LAST\r\n", second.len()).as_bytes());
    b.data(Side::Orig, second);
    b.data(Side::Orig, b"QUIT\r\n");
    b.finish();
    assert_eq!(files(&b).len(), 2);
    assert!(b.weirds().is_empty());
}

#[test]
fn starttls_leaves_the_rest_to_tls() {
    let mut b = bench();
    b.data(Side::Orig, b"STARTTLS\r\n");
    b.data(Side::Resp, b"220 go ahead\r\n");
    assert_eq!(b.verdict.hand_over.map(|h| h.to), Some(Some(Kind::Ssl)));
    assert!(!b.analyser.wants_payload());
}

#[test]
fn a_reply_without_a_code_is_a_violation() {
    let mut b = bench();
    b.data(Side::Resp, b"what?\r\n");
    assert!(b.verdict.violation.is_some());
}

#[test]
fn after_a_gap_a_reply_tells_where_the_session_is() {
    let mut b = bench();
    b.gap(Side::Orig, 100);
    b.data(Side::Orig, b"DATA\r\n");
    b.data(Side::Resp, b"354 go\r\n");
    b.data(Side::Orig, b"\r\nhello, this is text\r\n.\r\n");
    b.finish();
    assert_eq!(files(&b).len(), 1);
}

#[test]
fn too_many_commands_out_of_order_are_the_end() {
    let mut b = bench();
    for _ in 0..25 {
        b.data(Side::Orig, b"RCPT TO:<a@b>\r\n");
    }
    assert!(b.analyser.wants_payload());
    b.data(Side::Orig, b"RCPT TO:<a@b>\r\n");
    assert!(!b.analyser.wants_payload());
    let (name, addl) = b.weirds().pop().unwrap();
    assert_eq!((name, addl), ("smtp_excessive_invalid_mail_transactions".into(), None));
}

#[test]
fn a_last_line_needs_no_end() {
    let mut b = bench();
    b.data(Side::Orig, b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n\r\nhello, this");
    b.end(Side::Orig);
    b.finish();
    assert_eq!(files(&b), [(1, Some("text/plain".into()), None, 13)]);
}

/// What weird.log tells of a mail with these lines, and how many are in the log's own name.
fn told(commands: &str, mail: &str) -> Vec<(Text, bool)> {
    let mut b = bench();
    b.data(Side::Orig, format!("MAIL FROM:<a@b>\r\n{commands}DATA\r\n").as_bytes());
    let replies = "250 ok\r\n".repeat(1 + commands.lines().count());
    b.data(Side::Resp, format!("{replies}354 go\r\n").as_bytes());
    b.data(Side::Orig, format!("{mail}\r\nhello\r\n.\r\n").as_bytes());
    b.data(Side::Resp, b"250 ok\r\n");
    b.finish();
    let log = Some(Text::from("SMTP::LOG"));
    b.weirds().into_iter().map(|(name, addl)| (name, addl == log)).collect()
}

#[test]
fn what_is_too_much_for_a_log_of_mails_is_told() {
    let receivers = |n: usize| (0..n).map(|n| format!("RCPT TO:<a{n}@b>\r\n")).collect::<String>();
    let (strings, lists) =
        (("log_string_field_truncated".into(), true), ("log_container_field_truncated".into(), true));
    assert!(told(&receivers(100), "To: a@b\r\n").is_empty());
    assert_eq!(told(&receivers(101), "To: a@b\r\n"), std::slice::from_ref(&lists));
    assert!(told(&receivers(1).repeat(200), "To: a@b\r\n").is_empty());
    let subject = format!("Subject: {}\r\n", "x".repeat(4097));
    assert_eq!(told(&receivers(1), &subject), [strings]);
    // Of a part, not of the mail.
    let part = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n{subject}");
    assert!(told(&receivers(1), &part).is_empty());
    let to = (0..1001).map(|n| format!("c{n}@d")).collect::<Vec<_>>().join(",\r\n ");
    assert_eq!(
        told(&receivers(1), &format!("To: {to}\r\n")),
        [("smtp_too_many_to_addresses".into(), false), lists.clone()]
    );
    let received = (0..99).map(|n| format!("Received: from x ([10.0.0.{n}])\r\n")).collect::<String>();
    assert_eq!(told(&receivers(1), &received), [lists]);
}
