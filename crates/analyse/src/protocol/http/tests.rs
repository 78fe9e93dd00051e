//! Tests of the parser and of the analyser as a whole.

use proptest::prelude::*;
use weir_record::Entry;

use super::event::{Event, Listener};
use super::parse::Parser;
use super::*;
use crate::context::Transport;
use crate::protocol::testing::Bench;

/// Writes down what it hears; bytes that follow each other become one line.
#[derive(Default)]
struct Notes {
    lines: Vec<String>,
    granted: usize,
}

impl Listener for Notes {
    fn hear(&mut self, event: Event<'_>) {
        let show = |bytes: &[u8]| bytes.escape_ascii().to_string();
        let side = |side: Side| if side.is_orig() { '>' } else { '<' };
        let line = match event {
            Event::Confirmed => "confirmed".to_owned(),
            Event::Violation(reason) => format!("violation {reason}"),
            Event::Weird { name, addl, .. } => {
                format!("weird {name} {}", show(&addl.unwrap_or_default())).trim_end().to_owned()
            }
            Event::Request { method, uri } => format!("request {} {}", show(method), show(uri)),
            Event::Reply { version, code, reason } => {
                format!("reply {version} {code} {}", show(reason.unwrap_or(b"?")))
            }
            Event::Begin { side: s } => format!("{} begin", side(s)),
            Event::Header { side: s, header } => {
                format!("{} {}: {}", side(s), show(header.name), show(header.value))
            }
            Event::Size { side: s, total } => format!("{} size {total}", side(s)),
            Event::Data { side: s, at, bytes } => {
                let start = format!("{} data", side(s));
                if let Some(last) = self.lines.last_mut().filter(|last| last.starts_with(&start)) {
                    last.push_str(&show(bytes));
                    return;
                }
                let at = at.map_or(String::new(), |at| format!(" at {at}"));
                format!("{start}{at} {}", show(bytes))
            }
            Event::Gap { side: s, len } => format!("{} gap {len}", side(s)),
            Event::End { side: s, partial } => {
                format!("{} end{}", side(s), if partial { " partial" } else { "" })
            }
            Event::Done { side: s, body_length } => format!("{} done {body_length}", side(s)),
            Event::HandOver { to, rest } => format!("hand over {to:?} {rest}"),
        };
        self.lines.push(line);
    }

    fn grant(&mut self, bytes: usize) -> bool {
        self.granted += bytes;
        true
    }

    fn release(&mut self, bytes: usize) {
        self.granted -= bytes;
    }
}

/// What is heard of `pieces`, each from one side, of which both then end.
fn parse(pieces: &[(Side, &[u8])]) -> Vec<String> {
    let (mut parser, mut notes) = (Parser::new(), Notes::default());
    for (side, bytes) in pieces {
        parser.data(*side, bytes, &mut notes);
    }
    parser.end(Side::Orig, &mut notes);
    parser.end(Side::Resp, &mut notes);
    parser.finish(&mut notes);
    assert_eq!(notes.granted, 0, "all decoder memory is given back");
    notes.lines
}

fn reply(bytes: &[u8]) -> Vec<String> {
    let heard = parse(&[(Side::Orig, b"GET / HTTP/1.1\r\n\r\n"), (Side::Resp, bytes)]);
    heard.into_iter().filter(|line| !line.starts_with('>') && line != "confirmed").skip(1).collect()
}

#[test]
fn a_request_and_its_reply_are_told_piece_by_piece() {
    let heard = parse(&[
        (Side::Orig, b"POST /a%20b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"),
        (Side::Resp, b"HTTP/1.1 201 Made it\r\nContent-Length: 2\r\n\r\nok"),
    ]);
    assert_eq!(
        heard,
        [
            "confirmed",
            "request POST /a b",
            "> begin",
            "> Host: h",
            "> Content-Length: 3",
            "> size 3",
            "> data abc",
            "> end",
            "> done 3",
            "confirmed",
            "reply 1.1 201 Made it",
            "< begin",
            "< Content-Length: 2",
            "< size 2",
            "< data ok",
            "< end",
            "< done 2",
        ]
    );
}

#[test]
fn a_chunked_body_is_put_together() {
    let heard = reply(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nTrail: er\r\n\r\n",
    );
    let body = ["< data hello!", "< Trail: er", "< end", "< done 6"];
    assert_eq!(heard.get(3..).unwrap(), body);
}

#[test]
fn chunk_sizes_that_make_no_sense_end_the_body() {
    let heard = reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\nx\r\n\r\n");
    assert!(heard.contains(&"weird HTTP_bad_chunk_size 10000000000000000".to_owned()));
    assert_eq!(heard.last().unwrap(), "< done 0");
}

#[test]
fn a_reply_to_head_has_no_body() {
    let heard = parse(&[
        (Side::Orig, b"HEAD / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
        (
            Side::Resp,
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
        ),
    ]);
    let done: Vec<_> = heard.iter().filter(|line| line.starts_with("< done")).collect();
    assert_eq!(done, ["< done 0", "< done 1"]);
}

#[test]
fn a_body_without_length_ends_with_the_connection() {
    let heard = reply(b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\na\nb\r");
    assert_eq!(heard.get(3..).unwrap(), ["< data a\\nb\\r", "< end", "< done 4"]);
}

#[test]
fn parts_of_a_multipart_body_are_entities_of_their_own() {
    let heard = parse(&[(
        Side::Orig,
        b"POST / HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 53\r\n\r\n\
          --b\r\nX: 1\r\n\r\na\nb\r\nc\r\n--b\r\n\r\n\r\nd\r\n--b\r\nY: 2\r\n\r\n\r\n--b--",
    )]);
    let parts = [
        "> begin",
        "> X: 1",
        "> data a\\nb\\r\\nc",
        "> end",
        "> begin",
        "> data \\r\\nd",
        "> end",
        "> begin",
        "> Y: 2",
        "weird line_terminated_without_CRLF",
        "> end",
        "> end",
        // A line end is counted behind the closing boundary, though none came: as Zeek counts.
        "> done 55",
    ];
    assert_eq!(heard.get(5..).unwrap(), parts);
}

/// Found by the fuzz target `http`: the length that such a header announced was taken off the next part.
#[test]
fn a_part_that_ends_in_its_header_has_no_body() {
    let heard = parse(&[(
        Side::Orig,
        b"POST / HTTP/1.1\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Length: 99\r\n\r\n\
          --b\r\nContent-Length: 50\r\n--b\r\nX: 1\r\n\r\ntext\r\n--b--\r\n",
    )]);
    let parts =
        ["> begin", "> Content-Length: 50", "> end", "> begin", "> X: 1", "> data text", "> end", "> end"];
    assert_eq!(heard.get(5..13).unwrap(), parts);
}

#[test]
fn coded_bodies_are_decoded() {
    use std::io::Write;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(b"the text").unwrap();
    let packed = gzip.finish().unwrap();
    let mut bytes = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n".to_vec();
    bytes.extend_from_slice(&packed);
    let heard = reply(&bytes);
    assert_eq!(heard.get(3..).unwrap(), ["< data the text", "< end", "< done 8"]);
}

#[test]
fn a_part_of_a_file_says_where_it_belongs() {
    let heard = reply(
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-7/100\r\nContent-Length: 3\r\n\r\nabc",
    );
    assert_eq!(heard.get(4..).unwrap(), ["< size 100", "< data at 5 abc", "< end partial", "< done 3"]);
}

#[test]
fn a_gap_inside_a_body_is_passed_over() {
    let (mut parser, mut notes) = (Parser::new(), Notes::default());
    parser.data(Side::Orig, b"GET / HTTP/1.1\r\n\r\n", &mut notes);
    parser.data(Side::Resp, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", &mut notes);
    parser.gap(Side::Resp, 4, &mut notes);
    parser.data(Side::Resp, b"xyzHTTP/1.1 404 Gone\r\nContent-Length: 0\r\n\r\n", &mut notes);
    let heard: Vec<_> = notes.lines.iter().filter(|line| line.starts_with("< ")).collect();
    let body = ["< size 9", "< data ab", "< gap 4", "< data xyz", "< end", "< done 9"];
    assert_eq!(heard.get(2..8).unwrap(), &body.iter().collect::<Vec<_>>()[..]);
    assert_eq!(*heard.last().unwrap(), "< done 0");
}

#[test]
fn a_gap_outside_a_body_ends_the_side() {
    let (mut parser, mut notes) = (Parser::new(), Notes::default());
    parser.data(Side::Orig, b"GET / HTTP/1.1\r\n\r\n", &mut notes);
    parser.data(Side::Resp, b"HTTP/1.1 200 OK\r\nContent-", &mut notes);
    parser.gap(Side::Resp, 4, &mut notes);
    parser.data(Side::Resp, b": 3\r\n\r\nabc", &mut notes);
    assert_eq!(notes.lines.last().unwrap(), "< done 0");
}

#[test]
fn what_follows_connect_is_handed_over() {
    let heard = parse(&[
        (Side::Orig, b"CONNECT h:25 HTTP/1.1\r\n\r\n"),
        (Side::Resp, b"HTTP/1.1 200 OK\r\n\r\n220 mail"),
        (Side::Orig, b"EHLO x\r\n"),
    ]);
    assert!(heard.contains(&"hand over Unknown 8".to_owned()));
    assert!(heard.contains(&"weird protocol_data_with_HTTP_CONNECT_reply 8".to_owned()));
    assert!(!heard.iter().any(|line| line.contains("violation")));
}

#[test]
fn what_follows_an_upgrade_is_handed_over() {
    let heard = parse(&[
        (Side::Orig, b"GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n"),
        (Side::Resp, b"HTTP/1.1 101 Switch\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"),
        (Side::Resp, b"\x00\x01"),
    ]);
    assert_eq!(heard.last().unwrap(), "hand over Unknown 0");
}

#[test]
fn what_is_no_http_is_a_violation() {
    assert_eq!(
        parse(&[(Side::Orig, b"\x16\x03\x01\r\n")]),
        ["weird bad_HTTP_request", "violation not a http request line"]
    );
    assert_eq!(parse(&[(Side::Resp, b"SSH-2.0-x\r\n")]), ["violation not a http reply line"]);
}

/// Found by a property: where the call ended decided whether the bytes were looked at.
#[test]
fn bytes_behind_a_0_9_reply_without_body_are_looked_at() {
    let heard = parse(&[
        (Side::Orig, b"GET /old\r\n\r\nHEAD / HTTP/1.0\r\n"),
        (Side::Resp, b"neither header nor body\r\n"),
    ]);
    assert!(heard.contains(&"violation not a http reply line".to_owned()));
}

#[test]
fn nested_parts_are_bounded() {
    let mut bytes =
        b"POST / HTTP/1.1\r\nContent-Type: multipart/mixed; boundary=<0>\r\nContent-Length: 999999\r\n\r\n"
            .to_vec();
    for depth in 0..200 {
        let part = format!("--<{depth}>\r\nContent-Type: multipart/mixed; boundary=<{}>\r\n\r\n", depth + 1);
        bytes.extend_from_slice(part.as_bytes());
    }
    let heard = parse(&[(Side::Orig, &bytes)]);
    assert_eq!(heard.iter().filter(|line| *line == "> begin").count(), 101);
    assert!(heard.contains(&"weird exceeded_mime_max_depth 100".to_owned()));
}

fn bench() -> Bench<Http> {
    Bench::new(Http::new(), Transport::Tcp, 8080)
}

fn records(bench: &Bench<Http>) -> Vec<&weir_record::Http> {
    fn http(entry: &Entry) -> Option<&weir_record::Http> {
        if let Entry::Http(record) = entry { Some(record) } else { None }
    }
    bench.entries.iter().filter_map(http).collect()
}

#[test]
fn a_record_has_what_the_headers_say() {
    let mut bench = bench();
    let request = b"GET /x HTTP/1.1\r\nhost: H\r\nUser-Agent: U\r\nReferer: R\r\nOrigin: O\r\n\
        Via: a\r\nvia: b\r\nAuthorization: Basic  dXNlcjpwYXNz\r\n\r\n";
    bench.data(Side::Orig, request);
    bench.data(Side::Resp, b"HTTP/1.0 304 \r\n\r\n");
    let record = *records(&bench).first().unwrap();
    let text = |text: &Option<weir_record::Text>| {
        text.as_ref().map(|text| String::from_utf8(text.as_bytes().to_vec()).unwrap())
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(text(&record.host), some("H"));
    assert_eq!(text(&record.user_agent), some("U"));
    assert_eq!(text(&record.referrer), some("R"));
    assert_eq!(text(&record.origin), some("O"));
    assert_eq!(text(&record.username), some("user"));
    assert_eq!(record.password, None);
    assert_eq!(text(&record.version), some("1.0"));
    assert_eq!(text(&record.status_msg), some(""));
    assert_eq!(record.proxied.as_ref().unwrap().0, vec!["VIA -> a".into(), "VIA -> b".into()]);
    assert_eq!((record.trans_depth, record.status_code), (1, Some(304)));
}

#[test]
fn an_informational_reply_is_not_the_reply() {
    let mut bench = bench();
    bench.data(Side::Orig, b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n");
    bench.data(Side::Resp, b"HTTP/1.1 100 Continue\r\n\r\n");
    bench.data(Side::Orig, b"x");
    bench.data(Side::Resp, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let all = records(&bench);
    assert_eq!(all.len(), 1);
    let record = all[0];
    assert_eq!((record.status_code, record.info_code, record.request_body_len), (Some(200), Some(100), 1));
}

#[test]
fn requests_without_reply_are_logged_at_the_end() {
    let mut bench = bench();
    bench.data(Side::Orig, b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n");
    assert!(records(&bench).is_empty());
    bench.end(Side::Orig);
    bench.finish();
    assert_eq!(records(&bench).iter().map(|r| r.trans_depth).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn waiting_requests_are_bounded() {
    let mut bench = bench();
    for _ in 0..1000 {
        bench.data(Side::Orig, b"GET / HTTP/1.1\r\n\r\n");
    }
    let waiting = 1000 - records(&bench).len();
    assert!((1..=101).contains(&waiting), "{waiting}");
    assert!(bench.weirds().iter().any(|(name, _)| *name == "HTTP_excessive_pipelining".into()));
    bench.finish();
    assert_eq!(records(&bench).len(), 1000);
}

#[test]
fn a_request_that_ends_behind_its_reply_makes_a_record_of_its_own() {
    let mut bench = bench();
    bench.data(Side::Orig, b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nab");
    bench.data(Side::Resp, b"HTTP/1.1 413 Too much\r\nContent-Length: 0\r\n\r\n");
    bench.data(Side::Orig, b"cd");
    bench.finish();
    let all = records(&bench);
    let seen: Vec<_> = all.iter().map(|r| (r.trans_depth, r.status_code, r.request_body_len)).collect();
    assert_eq!(seen, [(1, Some(413), 0), (2, None, 4)]);
}

#[test]
fn what_a_tunnel_carries_is_counted_on() {
    let mut outer = bench();
    outer.data(Side::Orig, b"CONNECT h:80 HTTP/1.1\r\n\r\n");
    outer.data(Side::Resp, b"HTTP/1.1 200 OK\r\n\r\n");
    let tunnel = std::mem::take(&mut outer.analyser);
    outer.data(Side::Orig, b"GET / HTTP/1.1\r\n\r\n");
    outer.data(Side::Resp, b"HTTP/1.1 204 None\r\n\r\n");
    let seen: Vec<_> = records(&outer).iter().map(|r| (r.trans_depth, r.status_code)).collect();
    assert_eq!(seen, [(2, Some(204))]);
    outer.finish();
    assert!(outer.connection.http.is_some(), "the tunnel's own analyser still writes to the log");
    outer.analyser = tunnel;
    outer.finish();
    assert!(outer.connection.http.is_none());
    assert!(records(&outer).iter().any(|r| r.trans_depth == 1 && r.status_code == Some(200)));
}

#[test]
fn a_connection_whose_beginning_is_missing_is_left_alone() {
    let mut bench = bench();
    bench.connection.partial = true;
    bench.data(Side::Orig, b"GET / HTTP/1.1\r\n\r\n");
    assert!(!bench.analyser.wants_payload());
    bench.finish();
    assert!(bench.entries.is_empty() && !bench.verdict.confirmed);
}

/// Something like HTTP, from words that mean something to the parser.
fn dialogue() -> impl Strategy<Value = Vec<(Side, Vec<u8>)>> {
    let words: Vec<&'static [u8]> = vec![
        b"GET /a HTTP/1.1\r\n",
        b"POST / HTTP/1.1\r\n",
        b"HEAD / HTTP/1.0\r\n",
        b"GET /old\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 101 Up\r\n",
        b"HTTP/1.1 206 Part\r\n",
        b"Content-Length: 12\r\n",
        b"Content-Length: 40\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Type: multipart/mixed; boundary=x\r\n",
        b"Content-Type: message/rfc822\r\n",
        b"Content-Encoding: gzip\r\n",
        b"Content-Range: bytes 3-9/20\r\n",
        b"Connection: close\r\n",
        b"Connection: upgrade\r\n",
        b"Upgrade: tcp\r\n",
        b" folded\r\n",
        b"--x\r\n",
        b"Expect: 100-continue\r\n",
        b"HTTP/1.0 100 Go on\r\n\r\n",
        b"\0\n",
        b"--x--",
        b"--x--\r\n",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"\r",
        b"text",
        b"\x1f\x8b\x08\0",
    ];
    let side = prop_oneof![Just(Side::Orig), Just(Side::Resp)];
    let text = proptest::collection::vec(proptest::sample::select(words), 1..12).prop_map(|w| w.concat());
    proptest::collection::vec((side, text), 1..5)
}

proptest! {
    #[test]
    fn any_cut_of_the_stream_gives_the_same_messages(
        dialogue in dialogue(),
        cuts in proptest::collection::vec(1usize..30, 1..8),
    ) {
        let whole: Vec<(Side, &[u8])> = dialogue.iter().map(|(side, bytes)| (*side, &bytes[..])).collect();
        let mut cut = Vec::new();
        for (side, bytes) in &dialogue {
            let (mut rest, mut sizes) = (&bytes[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (head, tail) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
                cut.push((*side, head));
                rest = tail;
            }
        }
        let told = |pieces: &[(Side, &[u8])]| {
            // How much of a call follows a hand-over depends on the call.
            let is_of_call = |line: &String| line.contains("hand over") || line.contains("protocol_data_with");
            parse(pieces).into_iter().filter(|line| !is_of_call(line)).collect::<Vec<_>>()
        };
        prop_assert_eq!(told(&whole), told(&cut));
    }

    #[test]
    fn no_bytes_make_it_panic(
        pieces in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..80), 0u64..50), 0..12),
        start in dialogue(),
    ) {
        let mut bench = bench();
        for (side, bytes) in &start {
            bench.data(*side, bytes);
        }
        for (is_orig, bytes, gap) in &pieces {
            let side = Side::from_is_orig(*is_orig);
            bench.data(side, bytes);
            if *gap > 40 {
                bench.gap(side, *gap);
            }
        }
        bench.end(Side::Orig);
        bench.end(Side::Resp);
        bench.finish();
    }
}

#[test]
fn a_length_beside_chunks_or_below_a_range_is_no_size_of_the_file_found_by_fuzzing() {
    // The file ended at that size, if a segment ended there, and else had more bytes than its size.
    let sizes = |head: &str, body: &str| {
        let reply = format!("HTTP/1.1 206 Partial Content\r\n{head}\r\n\r\n{body}");
        let heard = self::reply(reply.as_bytes());
        heard.into_iter().filter(|line| line.contains(" size ")).collect::<Vec<_>>()
    };
    let chunked = "Content-Length: 1\r\nTransfer-Encoding: chunked";
    assert!(sizes(chunked, "2\r\nab\r\n0\r\n\r\n").is_empty());
    assert!(sizes("Content-Range: bytes 0-9/5\r\nContent-Length: 10", "0123456789").is_empty());
    assert!(sizes("Content-Range: bytes 0-1/5\r\nContent-Length: 10", "0123456789").is_empty());
    assert_eq!(sizes("Content-Range: bytes 0-1/5\r\nContent-Length: 2", "ab"), ["< size 5"]);
    assert_eq!(sizes("Content-Length: 2", "ab"), ["< size 2"]);
}
