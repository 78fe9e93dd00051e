//! TCP conversations: what was said, as segments that may then be lost, repeated or put out of order.

use super::packet::{self, Ends, host};

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const PUSH: u8 = 8;
pub const ACK: u8 = 16;

/// A conversation between a client (side 0) and a server (side 1).
#[derive(Clone, Debug)]
pub struct Talk {
    ends: Ends,
    ports: [u16; 2],
    /// The next sequence number of each side.
    pub next: [u32; 2],
    /// The packets so far.
    pub packets: Vec<Vec<u8>>,
}

impl Talk {
    /// Nothing said yet; hosts `client` and 1.
    pub fn new(client: u8, ports: [u16; 2]) -> Self {
        Self::at(client, ports, [1000, 5000])
    }

    /// With first sequence numbers.
    pub fn at(client: u8, ports: [u16; 2], next: [u32; 2]) -> Self {
        Self { ends: [host(client), host(1)], ports, next, packets: Vec::new() }
    }

    /// With its handshake.
    pub fn open(client: u8, port: u16) -> Self {
        let mut talk = Self::new(client, [40_000 + u16::from(client), port]);
        talk.handshake();
        talk
    }

    /// SYN, SYN-ACK, ACK.
    pub fn handshake(&mut self) {
        self.flags(0, SYN);
        self.flags(1, SYN | ACK);
        self.flags(0, ACK);
    }

    /// A segment without payload.
    pub fn flags(&mut self, side: usize, flags: u8) {
        self.raw(side, self.next[side], flags, b"");
        self.next[side] = self.next[side].wrapping_add(u32::from(flags & (SYN | FIN) != 0));
    }

    /// Bytes in one segment, and the other side's acknowledgement.
    pub fn say(&mut self, side: usize, bytes: &[u8]) {
        self.data(side, bytes);
        self.flags(1 - side, ACK);
    }

    /// Bytes in one segment.
    pub fn data(&mut self, side: usize, bytes: &[u8]) {
        self.raw(side, self.next[side], PUSH | ACK, bytes);
        self.next[side] = self.next[side].wrapping_add(bytes.len() as u32);
    }

    /// Bytes that nobody captures.
    pub fn lose(&mut self, side: usize, bytes: u32) {
        self.next[side] = self.next[side].wrapping_add(bytes);
    }

    /// A segment anywhere.
    pub fn raw(&mut self, side: usize, seq: u32, flags: u8, bytes: &[u8]) {
        let (mut ends, mut ports) = (self.ends, self.ports);
        if side == 1 {
            ends.reverse();
            ports.reverse();
        }
        let ack = if flags & ACK == 0 { 0 } else { self.next[1 - side] };
        self.packets.push(packet::segment(ends, ports, seq, ack, flags, bytes));
    }

    /// Both sides end.
    pub fn close(mut self) -> Vec<Vec<u8>> {
        self.flags(0, FIN | ACK);
        self.flags(1, FIN | ACK);
        self.flags(0, ACK);
        self.packets
    }
}
