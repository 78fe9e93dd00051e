//! Seeds of fragments and of TCP operations: what really happens, in the bytes of the targets.

use super::Seed;

/// `who, offset (two bytes), length, content, time`; `who`: more to come, id, 0x80 for IPv6.
pub fn fragments() -> Vec<Seed> {
    let op = |who: u8, at: u16, length: u8, content: u8| -> Vec<u8> {
        let [low, high] = at.to_le_bytes();
        vec![who, low, high, length, content, 0]
    };
    let seed = |settings: u8, ops: &[Vec<u8>]| [&[settings][..], &ops.concat()].concat();
    vec![
        ("in_order", seed(0, &[op(1, 0, 16, 0), op(1, 2, 16, 0), op(0, 4, 9, 0)])),
        ("out_of_order_v6", seed(0, &[op(0x80, 4, 9, 0), op(0x81, 2, 16, 0), op(0x81, 0, 16, 0)])),
        ("overlap", seed(0, &[op(1, 0, 24, 0), op(1, 1, 24, 1), op(0, 4, 8, 0)])),
        ("two_datagrams", seed(1, &[op(1, 0, 16, 0), op(3, 0, 16, 0), op(2, 2, 8, 0), op(0, 2, 8, 0)])),
        ("beyond_the_end", seed(0, &[op(0x41, 0, 8, 0), op(0x40, 0x1fff, 200, 0)])),
    ]
}

/// `connection and side, flags, sequence offset (two bytes), acknowledgement offset, length, content, time`.
pub fn segments() -> Vec<Seed> {
    const FIN: u8 = 1;
    const SYN: u8 = 2;
    const RST: u8 = 4;
    const ACK: u8 = 16;
    let op = |side: u8, flags: u8, seq: i16, length: u8| -> Vec<u8> {
        let [low, high] = seq.to_le_bytes();
        vec![side, flags, low, high, 0, length, 0, 0]
    };
    let open = [op(0, SYN, 0, 0), op(1, SYN | ACK, 0, 0), op(0, ACK, 0, 0)].concat();
    let close = [op(0, FIN | ACK, 0, 0), op(1, FIN | ACK, 0, 0), op(0, ACK, 0, 0)].concat();
    let seed = |settings: u8, ops: &[Vec<u8>]| [&[settings][..], &open, &ops.concat(), &close].concat();
    let changed = |mut op: Vec<u8>| {
        op[6] = 1;
        op
    };
    vec![
        ("in_order", seed(0, &[op(0, ACK, 0, 100), op(1, ACK, 0, 200), op(1, ACK, 0, 50)])),
        ("out_of_order", seed(0, &[op(0, ACK, 100, 100), op(0, ACK, 0, 100), op(1, ACK, 0, 0)])),
        ("retransmission", seed(2, &[op(0, ACK, 0, 100), op(0, ACK, -100, 100), op(0, ACK, -50, 100)])),
        ("inconsistent", seed(0, &[op(0, ACK, 0, 100), changed(op(0, ACK, -100, 100))])),
        ("gap", seed(1, &[op(0, ACK, 10, 100), op(1, ACK, 0, 10), op(0, ACK, 300, 10)])),
        ("reset", seed(0, &[op(0, ACK, 0, 10), op(1, RST, 0, 0), op(0, ACK, 0, 10)])),
        ("time_out", seed(0, &[vec![0, ACK, 0, 0, 0, 10, 0, 240], op(0, ACK, 0, 10)])),
        ("simultaneous", [&[0][..], &op(0, SYN, 0, 0), &op(1, SYN, 0, 0), &close].concat()),
        ("partial", [&[1][..], &op(3, ACK, 0, 30), &op(2, ACK, 0, 30), &op(5, SYN, 0, 0)].concat()),
    ]
}
