//! Tests of the state machine: when a SYN begins another connection.

use weir_wire::Interval;
use weir_wire::tcp::{Flags, TcpHeader};

use super::{Reuse, State, Tcp};
use crate::context::Side;
use crate::flow::History;

const SYN: u8 = 2;
const ACK: u8 = 0x10;

fn header(flags: u8, seq: u32, ack: u32) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[4..8].copy_from_slice(&seq.to_be_bytes());
    bytes[8..12].copy_from_slice(&ack.to_be_bytes());
    bytes[12] = 0x50;
    bytes[13] = flags;
    bytes
}

fn established() -> Tcp {
    let mut tcp = Tcp::default();
    let mut history = History::default();
    for (side, flags, seq, ack) in
        [(Side::Orig, SYN, 100, 0), (Side::Resp, SYN | ACK, 500, 101), (Side::Orig, ACK, 101, 501)]
    {
        let bytes = header(flags, seq, ack);
        tcp.segment(side, &TcpHeader::parse(&bytes).unwrap(), 0, &mut history);
    }
    tcp
}

fn reuse(tcp: &Tcp, flags: u8, seq: u32, seconds: i64) -> Reuse {
    let bytes = header(flags, seq, 0);
    let flags: Flags = TcpHeader::parse(&bytes).unwrap().flags();
    tcp.reuse(flags, seq, Interval::from_secs(seconds))
}

#[test]
fn another_number_begins_another_connection_and_is_weird_while_one_is_active() {
    let tcp = established();
    assert_eq!(reuse(&tcp, SYN, 100, 0), Reuse::No);
    assert_eq!(reuse(&tcp, ACK, 900, 0), Reuse::No);
    assert_eq!(reuse(&tcp, SYN | ACK, 900, 0), Reuse::No);
    assert_eq!(reuse(&tcp, SYN, 900, 0), Reuse::Weird("active_connection_reuse"));
}

#[test]
fn a_syn_that_was_not_answered_may_jump() {
    let mut tcp = Tcp::default();
    let bytes = header(SYN, 100, 0);
    tcp.segment(Side::Orig, &TcpHeader::parse(&bytes).unwrap(), 0, &mut History::default());
    assert_eq!(reuse(&tcp, SYN, 100, 0), Reuse::No);
    assert_eq!(reuse(&tcp, SYN, 101, 0), Reuse::Weird("SYN_seq_jump"));
}

#[test]
fn after_the_end_reuse_is_weird_only_when_it_is_early_and_nothing_was_reset() {
    let mut tcp = established();
    for end in &mut tcp.ends {
        end.closed = true;
        end.state = State::Closed;
    }
    assert_eq!(reuse(&tcp, SYN, 100, 1), Reuse::Weird("premature_connection_reuse"));
    assert_eq!(reuse(&tcp, SYN, 100, 60), Reuse::Yes);
    tcp.ends[1].state = State::Reset;
    assert_eq!(reuse(&tcp, SYN, 900, 1), Reuse::Yes);
}
