//! Seeds of protocols in lines that carry files, and of those that are only recognised.

use weir_analyse::Side::{Orig, Resp};

use super::Seed;
use crate::analyser::SPLIT;
use crate::ops::{Op, script};

const MAIL: &[u8] = b"Subject: x\r\nContent-Type: multipart/mixed;\r\n boundary=\"b\"\r\n\r\n--b\r\n\r\nhello, text\r\n\
--b\r\nContent-Type: image/gif; name=\"a.gif\"\r\nContent-Transfer-Encoding: base64\r\n\r\nR0lGODlhLi4uLg==\r\n\
--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\ninner=20text\r\n--b--\r\n.\r\n";

/// Sessions of SMTP.
pub fn smtp() -> Vec<Seed> {
    let hello = Op::Data(Orig, b"EHLO a\r\n");
    let data = [
        Op::Data(Resp, b"220 weir.test\r\n"),
        hello,
        Op::Data(Resp, b"250-weir.test\r\n250 PIPELINING\r\n"),
        Op::Data(Orig, b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"),
        Op::Data(Resp, b"250 ok\r\n250 ok\r\n354 go\r\n"),
        Op::Data(Orig, MAIL),
        Op::Data(Resp, b"250 ok\r\n"),
    ];
    let chunks = [
        hello,
        Op::Data(Orig, b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 12\r\nSubject: a\r\nBDAT 4 LAST\r\n\r\nab"),
        Op::Gap(Orig, 9),
        Op::Data(Resp, b"354 go\r\n"),
    ];
    let tls = [
        hello,
        Op::Data(Orig, b"AUTH PLAIN\r\nSTARTTLS\r\n"),
        Op::Data(Resp, b"220 a\r\n334 b\r\n220 c\r\n"),
    ];
    vec![("data", script(SPLIT, &data)), ("chunks", script(SPLIT, &chunks)), ("tls", script(SPLIT, &tls))]
}

/// Sessions of POP3.
pub fn pop3() -> Vec<Seed> {
    let mail = [
        Op::Data(Resp, b"+OK\r\n"),
        Op::Data(Orig, b"RETR 1\r\nLIST\r\n"),
        Op::Data(Resp, b"+OK\r\n"),
        Op::Data(Resp, MAIL),
    ];
    let login = [
        Op::Data(Resp, b"+OK\r\n"),
        Op::Data(Orig, b"USER a\r\nAUTH LOGIN\r\nFROB\r\nSTLS\r\n"),
        Op::Data(Resp, b"+OK\r\n+ abc\r\n-ERR\r\n+OK\r\n"),
    ];
    vec![("mail", script(SPLIT, &mail)), ("login", script(SPLIT, &login))]
}

/// Sessions of FTP.
pub fn ftp() -> Vec<Seed> {
    let session = [
        Op::Data(Resp, b"220-hello\r\n220 ready\r\n"),
        Op::Data(Orig, b"USER a\r\nPORT 10,0,0,1,1,2\r\nEPRT |1|10.0.0.1|99|\r\n\xff\xf4\xff\xf2ABOR\r\n"),
        Op::Data(Resp, b"331 pass\r\n227 Passive (10,0,0,2,1,2)\r\n229 Extended (|||99|)\r\n"),
    ];
    let gssapi = [
        Op::Data(Orig, b"AUTH GSSAPI\r\n"),
        Op::Data(Resp, b"334 go\r\n"),
        Op::Data(Orig, b"ADAT FgMBAAA=\r\nAUTH TLS\r\n"),
        Op::Data(Resp, b"335 ADAT=FgMBAAA=\r\n234 ok\r\n"),
    ];
    vec![("session", script(SPLIT, &session)), ("gssapi", script(SPLIT, &gssapi))]
}

/// The first message of some protocols, behind the number of each.
pub fn recognise() -> Vec<Seed> {
    let numbered = |number: u8, ops: &[Op<'_>]| [vec![number], script(SPLIT, ops)].concat();
    vec![
        ("ntp", numbered(1, &[Op::Data(Orig, &[0x1b; 48])])),
        ("snmp", numbered(2, &[Op::Data(Resp, &[0x30, 5, 2, 1, 1, 4, 0])])),
        ("sip", numbered(5, &[Op::Data(Orig, b"INVITE sip:a@b SIP/2.0\r\n")])),
        ("ldap", numbered(8, &[Op::Data(Orig, &[0x30, 12, 2, 1, 1, 0x60, 7, 2, 1, 3, 4, 0, 0x80, 0])])),
        (
            "mysql",
            numbered(9, &[Op::Data(Resp, &[3, 0, 0, 0, 10, b'8', 0]), Op::Data(Orig, &[2, 0, 0, 1, 5, 8])]),
        ),
        ("modbus", numbered(12, &[Op::Data(Orig, &[0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1])])),
        ("dnp3", numbered(13, &[Op::Data(Orig, &[5, 0x64, 5, 0xc9, 1, 0, 0, 4, 0, 0])])),
        ("rdp", numbered(18, &[Op::Data(Resp, &[3, 0, 0, 12, 2, 0xf0, 0x80, 0x7f, 0x66, b'M', b'c', b'D'])])),
        ("imap", numbered(20, &[Op::Data(Resp, b"* OK IMAP4rev1\r\n"), Op::Data(Orig, b"a STARTTLS\r\n")])),
        ("xmpp", numbered(21, &[Op::Data(Orig, b"<stream:stream to='a' xmlns='jabber:client'><starttls/>")])),
        ("rdpeudp", numbered(23, &[Op::Data(Orig, &[0xff, 0xff, 0xff, 0xff, 0, 64, 0, 1, 0, 0, 0, 0])])),
        ("websocket", numbered(24, &[Op::Data(Orig, &[0x81, 0x82, 1, 2, 3, 4, b'h', b'i'])])),
    ]
}
