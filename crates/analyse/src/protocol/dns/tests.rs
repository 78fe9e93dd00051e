//! The analyser as a whole: messages in, records out.

use proptest::prelude::*;
use weir_record::{Dns as Logged, Entry, Text};
use weir_wire::Interval;

use super::Dns;
use crate::context::Side::{Orig, Resp};
use crate::context::Transport;
use crate::protocol::testing::Bench;

/// A message with one question `www.ex` of type `qtype`, and `answers` (already encoded, that many).
fn message(id: u16, flags: u16, qtype: u16, answers: &[&[u8]]) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend(flags.to_be_bytes());
    bytes.extend([0, 1]);
    bytes.extend((answers.len() as u16).to_be_bytes());
    bytes.extend([0, 0, 0, 0]);
    bytes.extend(b"\x03Www\x02eX\x00");
    bytes.extend(qtype.to_be_bytes());
    bytes.extend([0, 1]);
    bytes.extend(answers.concat());
    bytes
}

const QUERY: u16 = 0x0100;
const REPLY: u16 = 0x8180;
const A: &[u8] = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x00\x00\x09";
const CNAME: &[u8] = b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x05\x00\x04\x01B\xc0\x10";

fn udp(port: u16) -> Bench<Dns> {
    Bench::new(Dns::new(), Transport::Udp, port)
}

fn logged(bench: &Bench<Dns>) -> Vec<&Logged> {
    let mut records: Vec<&Logged> = Vec::new();
    for entry in &bench.entries {
        if let Entry::Dns(record) = entry {
            records.push(record);
        }
    }
    records
}

fn texts(texts: &[&'static str]) -> Vec<Text> {
    texts.iter().map(|t| Text::from(*t)).collect()
}

#[test]
fn a_reply_completes_the_record_of_its_query() {
    let mut bench = udp(53);
    bench.data(Orig, &message(7, QUERY, 1, &[]));
    assert!(logged(&bench).is_empty() && bench.verdict.confirmed);
    bench.wait(20);
    bench.data(Resp, &message(7, REPLY, 1, &[CNAME, A]));
    let records = logged(&bench);
    assert_eq!(records.len(), 1);
    let record = records[0];
    assert_eq!(record.ts, bench.connection.start);
    assert_eq!(record.query, Some(Text::from("www.ex")));
    assert_eq!(record.qtype_name, Some(Text::from("A")));
    assert_eq!(record.rtt, Some(Interval::from_millis(20)));
    assert_eq!(record.rcode_name, Some(Text::from("NOERROR")));
    assert_eq!((record.rd, record.ra, record.aa, record.rejected), (true, true, false, false));
    assert_eq!(record.answers, Some(texts(&["b.ex", "10.0.0.9"])));
    assert_eq!(record.ttls, Some(vec![Interval::from_secs(5), Interval::from_secs(60)]));
    assert_eq!(record.opcode_name, Some(Text::from("query")));
    bench.finish();
    assert_eq!(logged(&bench).len(), 1);
}

#[test]
fn a_query_without_reply_is_logged_at_the_end() {
    let mut bench = udp(53);
    bench.data(Orig, &message(7, QUERY, 28, &[]));
    bench.finish();
    let records = logged(&bench);
    assert_eq!((records.len(), records[0].rcode), (1, None));
    assert_eq!(records[0].qtype, Some(28));
}

#[test]
fn a_reply_without_query_is_logged_at_the_end_without_round_trip() {
    let mut bench = udp(53);
    bench.data(Orig, &message(1, QUERY, 1, &[]));
    bench.data(Resp, &message(2, REPLY, 1, &[A]));
    bench.finish();
    let records = logged(&bench);
    assert_eq!(records.len(), 2);
    let reply = records.iter().find(|r| r.trans_id == Some(2)).unwrap();
    assert_eq!((reply.rtt, reply.qtype, reply.rcode), (None, None, Some(0)));
    assert_eq!(reply.query, Some(Text::from("www.ex")));
}

#[test]
fn equal_identifiers_are_paired_in_order() {
    let mut bench = udp(53);
    for (id, qtype) in [(5, 1), (6, 15), (5, 28), (6, 16)] {
        bench.data(Orig, &message(id, QUERY, qtype, &[]));
    }
    for id in [6, 5, 5, 6] {
        bench.data(Resp, &message(id, REPLY, 1, &[]));
    }
    let paired: Vec<_> = logged(&bench).iter().map(|r| (r.trans_id.unwrap(), r.qtype.unwrap())).collect();
    assert_eq!(paired, [(6, 15), (5, 1), (5, 28), (6, 16)]);
}

#[test]
fn too_many_unanswered_queries_are_logged_early() {
    let mut bench = udp(53);
    for id in 0..60 {
        bench.data(Orig, &message(id, QUERY, 1, &[]));
    }
    assert_eq!(logged(&bench).len(), 51);
    bench.finish();
    assert_eq!(logged(&bench).len(), 60);
}

#[test]
fn a_reply_without_any_record_is_a_rejection() {
    let mut bench = udp(53);
    bench.data(Orig, &message(7, QUERY, 1, &[]));
    bench.data(Resp, &message(7, REPLY | 3, 1, &[]));
    let records = logged(&bench);
    assert!(records[0].rejected);
    assert_eq!(records[0].rcode_name, Some(Text::from("NXDOMAIN")));
    assert_eq!((&records[0].answers, records[0].rtt), (&None, None));
}

#[test]
fn a_connection_that_begins_with_a_reply_is_turned_round() {
    let mut bench = udp(4000);
    bench.data(Orig, &message(7, REPLY, 1, &[A]));
    assert!(bench.verdict.flipped);
    bench.finish();
    assert_eq!(logged(&bench)[0].id.orig_h, weir_wire::Address::v4([10, 0, 0, 2]));
    let mut multicast = udp(5353);
    multicast.connection.id.resp_h = weir_wire::Address::v4([224, 0, 0, 251]);
    multicast.data(Orig, &message(0, REPLY, 1, &[A]));
    assert!(!multicast.verdict.flipped);
}

#[test]
fn netbios_names_are_decoded_and_have_their_own_words() {
    let mut bench = udp(137);
    let mut bytes = vec![0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 32];
    bytes.extend(b"CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\x00\x00\x21\x00\x01");
    bench.data(Orig, &bytes);
    bench.finish();
    let record = logged(&bench)[0];
    assert_eq!(record.query, Some(Text::from("*")));
    assert_eq!(record.qtype_name, Some(Text::from("NBSTAT")));
    assert_eq!(record.opcode_name, Some(Text::from("netbios-query")));
}

#[test]
fn an_update_is_logged_with_what_it_requires_and_changes() {
    let mut bench = udp(53);
    let mut bytes = vec![0, 9, 0xa8, 0, 0, 1, 0, 1, 0, 3, 0, 0];
    bytes.extend(b"\x02ex\x00\x00\x06\x00\x01");
    bytes.extend(b"\x01n\xc0\x0c\x00\x05\x00\xfe\x00\x00\x00\x00\x00\x00");
    bytes.extend(b"\xc0\x14\x00\xff\x00\xff\x00\x00\x00\x00\x00\x00");
    bytes.extend(b"\xc0\x14\x00\x01\x00\xfe\x00\x00\x00\x00\x00\x04\x01\x02\x03\x04");
    bytes.extend(b"\xc0\x14\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x00\x00\x09");
    bench.data(Resp, &bytes);
    bench.finish();
    let record = logged(&bench)[0];
    let expected = ["pre: NoRRSet CNAME n.ex", "del: RRSet * n.ex", "del: RR A n.ex", "add: A n.ex 10.0.0.9"];
    assert_eq!(record.answers, Some(texts(&expected)));
    assert_eq!(record.opcode_name, Some(Text::from("dynamic-update")));
    assert_eq!((record.query.clone(), record.qtype), (Some(Text::from("n.ex")), None));
    assert!(bench.weirds().is_empty());
}

#[test]
fn an_unknown_operation_is_a_weird_once_and_no_record() {
    let mut bench = udp(53);
    bench.data(Orig, &message(7, 0x0800, 1, &[]));
    bench.data(Resp, &message(7, 0x8800, 1, &[]));
    bench.finish();
    assert_eq!(bench.weirds(), [(Text::from("DNS_unknown_opcode"), Some(Text::from("1")))]);
    assert!(logged(&bench).is_empty() && !bench.verdict.confirmed && bench.verdict.unknown_message);
}

#[test]
fn too_many_questions_violate_the_protocol() {
    let mut bench = udp(53);
    let mut bytes = message(7, QUERY, 1, &[]);
    bytes[5] = 26;
    bench.data(Orig, &bytes);
    assert!(bench.verdict.violation.is_some() && !bench.verdict.confirmed);
    bench.data(Orig, &[1, 2, 3]);
    let names: Vec<_> = bench.weirds().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [Text::from("DNS_Conn_count_too_large"), Text::from("DNS_truncated_len_lt_hdr_len")]);
}

#[test]
fn messages_over_tcp_are_found_wherever_segments_end() {
    let mut bench = Bench::new(Dns::new(), Transport::Tcp, 53);
    let framed = |m: Vec<u8>| [&(m.len() as u16).to_be_bytes()[..], &m].concat();
    let queries = [framed(message(1, QUERY, 1, &[])), framed(message(2, QUERY, 15, &[]))].concat();
    for piece in queries.chunks(5) {
        bench.data(Orig, piece);
    }
    let replies = [framed(message(2, REPLY, 15, &[])), framed(message(1, REPLY, 1, &[A]))].concat();
    bench.data(Resp, &replies[..replies.len() - 3]);
    bench.end(Resp);
    bench.finish();
    let records = logged(&bench);
    assert_eq!(records.len(), 2);
    assert_eq!(records[1].answers, None);
    assert_eq!(bench.weirds()[0].0, Text::from("DNS_truncated_RR_rdlength_lt_len"));
}

proptest! {
    #[test]
    fn every_message_ends_in_one_record_or_half_of_one(ids in prop::collection::vec((0u16..4, any::<bool>()), 0..300)) {
        let mut bench = udp(53);
        bench.data(Orig, &message(99, QUERY, 1, &[]));
        for (id, reply) in &ids {
            let (side, flags) = if *reply { (Resp, REPLY) } else { (Orig, QUERY) };
            bench.data(side, &message(*id, flags, 1, &[]));
        }
        bench.finish();
        let halves: usize =
            logged(&bench).iter().map(|r| usize::from(r.qtype.is_some()) + usize::from(r.rcode.is_some())).sum();
        prop_assert_eq!(halves, ids.len() + 1);
    }

    #[test]
    fn any_bytes_on_any_transport_do_no_harm(
        pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..80)), 0..20),
        tcp: bool,
        netbios: bool,
    ) {
        let transport = if tcp { Transport::Tcp } else { Transport::Udp };
        let mut bench = Bench::new(Dns::new(), transport, if netbios { 137 } else { 53 });
        for (orig, bytes) in &pieces {
            let side = if *orig { Orig } else { Resp };
            bench.data(side, bytes);
            if bytes.len() == 7 {
                bench.gap(side, 7);
            }
        }
        bench.end(Orig);
        bench.end(Resp);
        bench.finish();
    }
}
