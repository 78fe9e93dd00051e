//! Tests of detection with real analysers.

use weir_record::{Entry, LogKind};

use super::*;
use crate::protocol::testing::Bench;

impl Analyze for Detection {
    fn data(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]) {
        Self::data(self, cx, side, bytes);
    }
    fn gap(&mut self, cx: &mut Context<'_>, side: Side, len: u64) {
        Self::gap(self, cx, side, len);
    }
    fn end(&mut self, cx: &mut Context<'_>, side: Side) {
        Self::end(self, cx, side);
    }
    fn finish(&mut self, cx: &mut Context<'_>) {
        Self::finish(self, cx);
    }
}

fn bench(transport: Transport, port: u16) -> Bench<Detection> {
    let mut detection = Detection { probe: Probe::new(transport), ..Detection::default() };
    for kind in ports::expected(transport, port) {
        detection.attach(*kind);
    }
    Bench::new(detection, transport, port)
}

fn count(b: &Bench<Detection>, kind: LogKind) -> usize {
    b.entries.iter().filter(|entry| entry.kind() == kind).count()
}

#[test]
fn http_is_told_on_any_port_and_once() {
    for port in [80, 40000] {
        let mut b = bench(Transport::Tcp, port);
        b.data(Side::Orig, b"GE");
        b.data(Side::Orig, b"T / HTTP/1.1\r\nHost: a\r\n\r\n");
        b.data(Side::Resp, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        b.end(Side::Orig);
        b.end(Side::Resp);
        b.finish();
        assert_eq!(b.connection.services, ["http"]);
        assert_eq!(count(&b, LogKind::Http), 1);
        assert_eq!(count(&b, LogKind::Analyzer), 0);
    }
}

#[test]
fn a_violation_after_confirmation_is_logged_and_takes_the_service_back() {
    let mut b = bench(Transport::Tcp, 80);
    b.data(Side::Orig, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(b.connection.services, ["http"]);
    b.data(Side::Resp, b"this is not a reply\r\n");
    b.finish();
    assert!(b.connection.services.is_empty());
    assert_eq!(count(&b, LogKind::Http), 1);
    let Some(Entry::Analyzer(record)) = b.entries.iter().find(|e| e.kind() == LogKind::Analyzer) else {
        panic!("not logged");
    };
    assert_eq!(record.failure_reason.as_bytes(), b"not a http reply line");
}

#[test]
fn violations_far_into_a_connection_change_nothing() {
    let mut b = bench(Transport::Tcp, 80);
    let long = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(11_000));
    b.data(Side::Orig, long.as_bytes());
    b.data(Side::Resp, b"this is not a reply\r\n");
    b.finish();
    assert_eq!(b.connection.services, ["http"]);
    assert_eq!(count(&b, LogKind::Analyzer), 0);
}

#[test]
fn what_does_not_fit_its_port_is_told_by_its_bytes() {
    let mut b = bench(Transport::Tcp, 443);
    b.data(Side::Orig, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    b.data(Side::Resp, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    b.finish();
    assert_eq!(b.connection.services, ["http"]);
    assert_eq!(count(&b, LogKind::Ssl), 0);
    assert_eq!(count(&b, LogKind::Analyzer), 0);
}

#[test]
fn what_runs_through_a_proxy_is_told_by_its_bytes() {
    let mut b = bench(Transport::Tcp, 8080);
    b.data(Side::Orig, b"CONNECT b:80 HTTP/1.1\r\nHost: b\r\n\r\n");
    b.data(Side::Resp, b"HTTP/1.1 200 OK\r\n\r\n");
    b.data(Side::Orig, b"GET /inside HTTP/1.1\r\nHost: b\r\n\r\n");
    b.data(Side::Resp, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    b.finish();
    let inside =
        |entry: &Entry| matches!(entry, Entry::Http(http) if http.uri == Some(b"/inside".as_slice().into()));
    assert_eq!(b.entries.iter().filter(|entry| inside(entry)).count(), 1);
}

#[test]
fn nobody_wants_the_payload_of_what_nobody_knows() {
    let mut b = bench(Transport::Tcp, 40000);
    assert!(b.analyser.wants_payload());
    b.data(Side::Orig, b"blah blah");
    assert!(b.analyser.wants_payload());
    b.data(Side::Resp, b"\x01lah\nblah\n");
    assert!(!b.analyser.wants_payload());
    assert!(!bench(Transport::Icmp, 8).analyser.wants_payload());
}

#[test]
fn a_dns_reply_from_the_originator_exchanges_the_roles() {
    let mut b = bench(Transport::Udp, 53);
    let reply = b"\x12\x34\x81\x80\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01";
    b.data(Side::Orig, reply);
    assert_eq!(b.analyser.take_flags(), Flags { flipped: true, unknown_message: false });
    assert_eq!(b.analyser.take_flags(), Flags::default());
    b.finish();
    assert_eq!(b.connection.services, ["dns"]);
    assert_eq!(count(&b, LogKind::Dns), 1);
}

#[test]
fn a_tunnel_makes_no_record_of_its_own() {
    let mut b = bench(Transport::Tcp, 8080);
    b.data(Side::Orig, b"CONNECT b:443 HTTP/1.1\r\nHost: b\r\n\r\n");
    b.data(Side::Resp, b"HTTP/1.1 200 OK\r\n\r\n");
    b.data(Side::Orig, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03rest");
    b.data(Side::Resp, b"whatever");
    b.finish();
    assert_eq!(count(&b, LogKind::Http), 1);
}

#[test]
fn tls_may_begin_after_a_talk_in_the_clear() {
    let mut b = bench(Transport::Tcp, 143);
    for (side, bytes) in [
        (Side::Resp, b"* OK ready\r\n".as_slice()),
        (Side::Orig, b"a STARTTLS\r\n"),
        (Side::Resp, b"a OK\r\n".as_slice()),
    ] {
        b.data(side, bytes);
        assert!(b.analyser.wants_payload());
    }
    b.data(Side::Orig, CLIENT_HELLO);
    assert!(b.analyser.active.iter().any(|a| a.instance.kind() == Kind::Ssl));
}

#[test]
fn a_protocol_that_agrees_on_tls_hands_over_on_any_port() {
    let mut b = bench(Transport::Tcp, 40000);
    b.data(Side::Orig, b"\0\0\0\x08\x04\xd2\x16\x2f");
    b.data(Side::Resp, b"S");
    b.data(Side::Orig, CLIENT_HELLO);
    let kinds: Vec<Kind> = b.analyser.active.iter().map(|a| a.instance.kind()).collect();
    assert_eq!(kinds, [Kind::Ssl]);
    assert_eq!(b.connection.services, ["postgresql"]);
}

const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03rest";

proptest::proptest! {
    #[test]
    fn cuts_do_not_matter(cuts in proptest::collection::vec(1_usize..9, 0..30), port in 0_u16..2) {
        let mut b = bench(Transport::Tcp, if port == 0 { 40000 } else { 80 });
        let mut request: &[u8] = b"GET /a/b/c HTTP/1.1\r\nHost: example.org\r\n\r\n";
        for cut in cuts {
            let (piece, rest) = request.split_at(cut.min(request.len()));
            b.data(Side::Orig, piece);
            request = rest;
        }
        b.data(Side::Orig, request);
        b.data(Side::Resp, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        b.finish();
        proptest::prop_assert_eq!(&b.connection.services, &["http"]);
        proptest::prop_assert_eq!(count(&b, LogKind::Http), 1);
    }

    #[test]
    fn any_bytes_in_any_order_are_survived(
        events in proptest::collection::vec((proptest::bool::ANY, 0_u8..5, proptest::collection::vec(0_u8.., 0..60)), 0..60),
        transport in 0_u8..2,
        port in proptest::sample::select(vec![22_u16, 53, 80, 443, 40000]),
    ) {
        let mut b = bench(if transport == 0 { Transport::Tcp } else { Transport::Udp }, port);
        for (is_orig, what, bytes) in events {
            let side = Side::from_is_orig(is_orig);
            match what {
                0 => b.gap(side, bytes.len() as u64),
                1 => b.data(side, b"CONNECT a:1 HTTP/1.1\r\n\r\n"),
                2 => b.data(side, b"HTTP/1.1 200 OK\r\n\r\n"),
                _ => b.data(side, &bytes),
            }
        }
        b.end(Side::Orig);
        b.end(Side::Resp);
        b.finish();
    }
}

#[test]
fn what_was_announced_goes_before_what_a_port_says() {
    struct New;
    impl Analyze for New {
        fn data(&mut self, cx: &mut Context<'_>, _side: Side, _bytes: &[u8]) {
            let before = Detection::new(cx).active.iter().map(|a| a.instance.kind()).collect::<Vec<_>>();
            let id = cx.connection.id;
            cx.expected.announce(cx.now, &id, id.orig_h, (id.resp_h, id.resp_p), Kind::FtpData);
            let after = Detection::new(cx).active.iter().map(|a| a.instance.kind()).collect::<Vec<_>>();
            assert_eq!((before, after), (vec![Kind::Http], vec![Kind::FtpData]));
        }
        fn gap(&mut self, _cx: &mut Context<'_>, _side: Side, _len: u64) {}
        fn end(&mut self, _cx: &mut Context<'_>, _side: Side) {}
        fn finish(&mut self, _cx: &mut Context<'_>) {}
    }
    Bench::new(New, Transport::Tcp, 8080).data(Side::Orig, b"x");
}
