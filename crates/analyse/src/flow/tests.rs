//! Tests of whole TCP connections: packets in, conn.log and weird.log out.

use std::sync::Arc;

use weir_record::{Conn, Entries, Entry};
use weir_wire::{Address, Data, FlowKey, Head, Packet, Role, TenantId, Time, TunnelKind, Uid, UidKey};

use crate::{Config, Lane};

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const ACK: u8 = 0x10;

/// A lane, and a clock.
struct Wire {
    lane: Lane,
    out: Entries,
    sequence: u64,
    port: u16,
}

impl Wire {
    fn new(port: u16) -> Self {
        let lane = Lane::new(Arc::new(Config::default()), UidKey::default());
        Self { lane, out: Entries::default(), sequence: 0, port }
    }

    /// A segment of the client (or the server) at `at` milliseconds.
    fn send(&mut self, at: i64, from_client: bool, flags: u8, numbers: [u32; 2], payload: &[u8]) {
        let (client, server) = ((Address::v4([10, 0, 0, 1]), 4000), (Address::v4([10, 0, 0, 2]), self.port));
        let (from, to) = if from_client { (client, server) } else { (server, client) };
        let mut bytes = vec![0x45; 20];
        bytes.extend(from.1.to_be_bytes());
        bytes.extend(to.1.to_be_bytes());
        bytes.extend(numbers.iter().flat_map(|n| n.to_be_bytes()));
        bytes.extend([0x50, flags, 0x10, 0, 0, 0, 0, 0]);
        bytes.extend(payload);
        let (key, direction) = FlowKey::new(TenantId(0), 6, from, to);
        self.sequence += 1;
        let head = Head {
            time: Time::from_parts(1_000_000 + at / 1000, at % 1000 * 1_000_000),
            sequence: self.sequence,
            tap: 0,
            frames: 1,
            frame_bytes: bytes.len() as u64,
            key,
            direction,
            role: Role::Innermost,
            one_way: false,
            ip_version: 4,
            ttl: 64,
            ip_len: bytes.len() as u32,
            transport_at: 20,
            link_len: 0,
            depth: 0,
            tunnel: TunnelKind::None,
            parent: Uid::NONE,
            vlan: 0,
            inner_vlan: 0,
            reassembled: false,
            truncated: false,
        };
        self.lane.packet(&Packet { head, data: Data::Frame(&bytes) }, &mut self.out);
    }

    fn client(&mut self, at: i64, flags: u8, numbers: [u32; 2], payload: &[u8]) {
        self.send(at, true, flags, numbers, payload);
    }

    fn server(&mut self, at: i64, flags: u8, numbers: [u32; 2], payload: &[u8]) {
        self.send(at, false, flags, numbers, payload);
    }

    /// A handshake at 0 ms; the client's next number is 101, the server's 501.
    fn shake(&mut self) {
        self.client(0, SYN, [100, 0], b"");
        self.server(1, SYN | ACK, [500, 101], b"");
        self.client(2, ACK, [101, 501], b"");
    }

    /// The records of connections, and the names of weirds.
    fn end(mut self) -> (Vec<Conn>, Vec<String>) {
        while self.lane.finish(Time::from_parts(2_000_000, 0), &mut self.out) {}
        let (mut connections, mut weirds) = (Vec::new(), Vec::new());
        for entry in self.out.drain() {
            if let Entry::Conn(conn) = entry.entry {
                connections.push(*conn);
            } else if let Entry::Weird(weird) = entry.entry {
                weirds.push(String::from_utf8_lossy(weird.name.as_bytes()).into_owned());
            }
        }
        connections.sort_by_key(|conn| conn.ts);
        (connections, weirds)
    }
}

fn history(conn: &Conn) -> String {
    conn.history
        .as_ref()
        .map(|text| String::from_utf8_lossy(text.as_bytes()).into_owned())
        .unwrap_or_default()
}

fn state(conn: &Conn) -> &'static str {
    conn.conn_state.as_ref().map_or("", |state| state.0)
}

#[test]
fn a_retransmitted_syn_after_the_end_of_one_side_begins_another_connection() {
    let mut w = Wire::new(9999);
    w.shake();
    w.client(10, FIN | ACK, [101, 501], b"");
    w.server(11, ACK, [501, 102], b"");
    w.client(20, SYN, [100, 0], b"");
    let (all, weirds) = w.end();
    assert_eq!(all.iter().map(state).collect::<Vec<_>>(), ["S2", "S0"]);
    assert_eq!(weirds, ["active_connection_reuse"]);
}

#[test]
fn a_server_that_acknowledges_what_was_not_sent_is_weird() {
    let mut w = Wire::new(9999);
    w.client(0, SYN, [100, 0], b"");
    w.server(1, SYN | ACK, [500, 77_777], b"");
    let (all, weirds) = w.end();
    assert_eq!((weirds, all.len()), (vec!["bad_SYN_ack".to_owned()], 1));
}

#[test]
fn the_end_waits_until_what_the_other_side_sent_is_acknowledged() {
    let mut w = Wire::new(9999);
    w.shake();
    w.server(10, ACK, [501, 101], b"hello");
    // The client ends without having seen the greeting, and acknowledges it a second later.
    w.client(20, FIN | ACK, [101, 501], b"");
    w.server(30, FIN | ACK, [506, 102], b"");
    w.client(1030, ACK, [102, 507], b"");
    let (all, _) = w.end();
    assert_eq!((state(&all[0]), all[0].duration.unwrap().0), ("SF", 1_030_000_000));
}

#[test]
fn a_connection_that_is_reset_after_its_fin_is_forgotten_after_a_while() {
    let mut w = Wire::new(9999);
    w.shake();
    w.client(10, FIN | ACK, [101, 501], b"");
    w.client(20, RST, [102, 0], b"");
    w.server(4000, ACK, [501, 102], b"");
    w.server(60_000, ACK, [501, 102], b"");
    let (all, _) = w.end();
    assert_eq!(all.iter().map(state).collect::<Vec<_>>(), ["RSTO", "OTH"]);
    assert_eq!(history(&all[0]), "ShAFRa");
}

#[test]
fn what_lies_above_a_hole_is_not_waited_for_where_nothing_is_acknowledged() {
    let mut w = Wire::new(9999);
    w.client(0, SYN, [100, 0], b"");
    for (n, at) in (0..20).filter(|n| *n != 3).zip(1..) {
        w.client(at, ACK, [101 + n * 1000, 501], &[b'x'; 1000]);
    }
    let (all, weirds) = w.end();
    assert!(weirds.iter().any(|name| name == "above_hole_data_without_any_acks"));
    assert_eq!((all[0].missed_bytes, all[0].orig_bytes), (0, Some(20_000)));
}

#[test]
fn one_side_alone_is_put_together_without_end() {
    let mut w = Wire::new(9999);
    w.client(0, SYN, [100, 0], b"");
    for n in 0..12_000 {
        w.client(1 + i64::from(n) / 10, ACK, [101 + n * 1000, 501], &[b'x'; 1000]);
    }
    let (_, weirds) = w.end();
    assert!(!weirds.iter().any(|name| name.starts_with("excessive")), "{weirds:?}");
}

#[test]
fn very_much_that_is_not_acknowledged_is_given_up() {
    let mut w = Wire::new(9999);
    w.shake();
    w.client(3, ACK, [101, 501], b"hello");
    w.server(4, ACK, [501, 106], b"");
    for n in 0..11_000 {
        w.client(5 + i64::from(n) / 10, ACK, [106 + n * 1000, 501], &[b'x'; 1000]);
    }
    let (all, weirds) = w.end();
    assert_eq!((weirds, all[0].missed_bytes), (vec!["excessive_data_without_further_acks".to_owned()], 0));
}

#[test]
fn people_who_type_are_waited_for() {
    for (port, connections) in [(23, 1), (9999, 2)] {
        let mut w = Wire::new(port);
        w.shake();
        w.client(1_000_000, ACK, [101, 501], b"x");
        let (all, _) = w.end();
        assert_eq!(all.len(), connections, "{port}");
    }
}
