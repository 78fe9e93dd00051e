use weir_record::Entry;
use weir_wire::ConnId;

use super::*;
use crate::context::Transport;
use crate::protocol::testing::Bench;

fn names(b: &Bench<Irc>) -> Vec<String> {
    b.weirds().into_iter().map(|(name, _)| String::from_utf8_lossy(name.as_bytes()).into_owned()).collect()
}

#[test]
fn a_line_of_the_client_tells_irc_and_one_of_the_server_does_not() {
    let mut b = Bench::new(Irc::default(), Transport::Tcp, 6667);
    b.data(Side::Resp, b":irc.example 001 me :Welcome\r\n");
    assert!(!b.verdict.confirmed);
    b.data(Side::Orig, b"NICK me\r\n");
    assert!(b.verdict.confirmed && b.weirds().is_empty());
}

#[test]
fn a_file_is_announced_by_host_and_port() {
    let mut b = Bench::new(Irc::default(), Transport::Tcp, 6667);
    b.data(Side::Orig, b"PRIVMSG bob :\x01DCC SEND a.txt 167772161 5000 12\x01\r\n");
    assert!(b.weirds().is_empty());
    let by = b.connection.id;
    let data = ConnId { orig_h: by.resp_h, orig_p: 9, resp_h: by.orig_h, resp_p: 5000 };
    assert_eq!(b.expected.find(b.now, &data), Some(Kind::IrcData));
    assert_eq!(b.expected.file_name(&data), Some("a.txt".into()));
    b.data(Side::Orig, b"PRIVMSG bob :\x01DCC SEND a.txt here 5000 12\x01\r\n");
    b.data(Side::Orig, b"PRIVMSG bob :\x01DCC SEND a.txt\x01\r\n");
    assert_eq!(names(&b), ["irc_invalid_dcc_host", "irc_invalid_dcc_message_format"]);
}

#[test]
fn lines_that_break_the_rules_are_weird() {
    let mut b = Bench::new(Irc::default(), Transport::Tcp, 6667);
    b.data(Side::Orig, &[b"x".repeat(600).as_slice(), b"\r\n"].concat());
    b.data(Side::Orig, b"ab\r\n:prefix\r\nAVERYLONGCOMMANDTHATISNONE x\r\nJOIN :\r\n");
    b.data(Side::Resp, b"12x\r\n");
    let all = ["irc_line_size_exceeded", "irc_line_too_short", "irc_invalid_line", "irc_invalid_command"];
    let more = ["irc_invalid_join_line", "irc_invalid_reply_number"];
    assert_eq!(names(&b), [&all[..], &more[..]].concat());
    assert!(b.verdict.violation.is_some());
}

#[test]
fn tls_follows_the_answer_to_starttls() {
    let mut b = Bench::new(Irc::default(), Transport::Tcp, 6667);
    b.data(Side::Orig, b"STARTTLS\r\n");
    b.data(Side::Resp, b":irc.example 670 me :go\r\n");
    assert_eq!(b.verdict.hand_over.unwrap().to, Some(Kind::Ssl));
}

#[test]
fn each_direction_of_a_connection_for_files_is_a_file() {
    let mut b = Bench::new(IrcData::default(), Transport::Tcp, 5000);
    b.data(Side::Resp, b"hello world\n");
    b.data(Side::Orig, &[0, 0, 0, 12]);
    b.finish();
    let files = b.entries.iter().filter(|entry| matches!(entry, Entry::Files(_))).count();
    assert!(b.verdict.confirmed && files == 2);
}

#[test]
fn a_reply_from_the_client_tells_nothing_and_a_last_line_needs_no_end() {
    let mut b = Bench::new(Irc::default(), Transport::Tcp, 6667);
    b.data(Side::Orig, b"353 \n");
    assert!(!b.verdict.confirmed && b.weirds().is_empty());
    b.data(Side::Orig, b"JOIN");
    b.end(Side::Orig);
    assert_eq!(names(&b), ["irc_invalid_join_line"]);
    assert!(b.verdict.confirmed);
}
