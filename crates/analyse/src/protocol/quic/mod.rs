//! QUIC: the handshake in its Initial packets, which is TLS 1.3, and which packets came.
//!
//! Initial packets are encrypted with keys made from a connection id that they show. Their CRYPTO frames are put together
//! per side until one hello is complete, which goes to an analyser of TLS as a record. Everything later is only counted.
//!
//! ```text
//!   Initial ──opened──► CRYPTO frames ──one hello──► TLS
//!      ▲                                              │ after both hellos: headers only
//!      └───────────── Retry: from the beginning ◄─────┘
//! ```
//!
//! Ports: 443, 784, 853/udp. Signature: an Initial packet of version 1 or 2. Confirmed when an Initial packet was opened;
//! violated by what cannot be. Bounded: one hello of [`MAX_HELLO`] bytes for each side.
//! Source: RFC 9000, RFC 9001; Zeek's src/analyzer/protocol/quic.

mod crypt;
mod log;
mod parse;
#[cfg(test)]
mod tests;

use weir_ledger::StreamAccount;

use self::log::Log;
use self::parse::{Frame, Frames, Kind, Long, Malformed, Packet};
use super::ssl::{Hello, Ssl};
use crate::context::{Context, Side};
use crate::protocol::Analyze;
use crate::tcp::{Piece, Stream};

/// Most bytes of a hello with its head (RFC 8446, 5.2, as Zeek has it).
const MAX_HELLO: usize = (1 << 14) + 256 + 4;
/// Most discarded packets that the history tells (Zeek: QUIC::max_discarded_packet_events).
const MAX_DISCARDED: u64 = 100;

/// The handshake messages of one side.
#[derive(Default)]
struct Half {
    stream: Stream,
    account: StreamAccount,
    hello: Vec<u8>,
    /// Nothing more is wanted of this side.
    finished: bool,
    short_packets: u64,
}

/// The analyser.
#[derive(Default)]
pub struct Quic {
    halves: [Half; 2],
    /// The connection id that the keys are made from.
    initial_id: Option<Box<[u8]>>,
    client_id_len: usize,
    opened: u64,
    discarded: u64,
    tls: Ssl,
    log: Log,
    violated: bool,
}

impl Quic {
    fn half(&mut self, side: Side) -> &mut Half {
        let [orig, resp] = &mut self.halves;
        if side.is_orig() { orig } else { resp }
    }

    fn datagram(&mut self, cx: &mut Context<'_>, side: Side, mut datagram: &[u8]) -> Result<(), Malformed> {
        while !datagram.is_empty() {
            let (packet, rest) = Packet::parse(datagram, self.client_id_len)?;
            datagram = rest;
            match packet {
                Packet::Long(long) => self.long(cx, side, &long)?,
                Packet::Short => self.short(cx, side),
                Packet::Discarded => {
                    self.discarded = self.discarded.saturating_add(1);
                    if self.opened > 0 && self.discarded <= MAX_DISCARDED {
                        if !self.log.is_open() {
                            cx.weird("QUIC_spurious_discarded_packet", None, None);
                        }
                        self.log.letter(cx, side, b'x');
                    }
                }
            }
        }
        Ok(())
    }

    /// Short packets are told when there are one, two, four, eight and so on.
    fn short(&mut self, cx: &mut Context<'_>, side: Side) {
        let half = self.half(side);
        half.short_packets = half.short_packets.saturating_add(1);
        let count = half.short_packets;
        if !count.is_power_of_two() {
            return;
        }
        if !self.log.is_open() {
            let addl = Some(count.to_string().into());
            cx.weird("QUIC_spurious_short_packet_threshold_crossed", addl, None);
        }
        self.log.letter(cx, side, b'o');
    }

    fn long(&mut self, cx: &mut Context<'_>, side: Side, long: &Long<'_>) -> Result<(), Malformed> {
        match long.kind {
            Kind::Initial { number_at } => {
                self.log.packet(cx, side, long, b'i');
                self.initial(cx, side, long, number_at)?;
            }
            Kind::Handshake => self.log.packet(cx, side, long, b'h'),
            Kind::ZeroRtt => self.log.packet(cx, side, long, b'z'),
            Kind::Retry => {
                self.log.last_packet(cx, side, long, b'r');
                self.halves = <[Half; 2]>::default();
                self.initial_id = None;
                self.tls.begin_anew();
            }
            Kind::Unknown => {
                self.log.last_packet(cx, side, long, b'u');
                return Err(Malformed);
            }
        }
        Ok(())
    }

    fn initial(
        &mut self,
        cx: &mut Context<'_>,
        side: Side,
        long: &Long<'_>,
        number_at: usize,
    ) -> Result<(), Malformed> {
        if self.half(side).finished {
            return Ok(());
        }
        if self.initial_id.is_none() && side.is_orig() {
            self.initial_id = Some(long.destination.into());
        }
        let Some(id) = &self.initial_id else { return Ok(()) };
        let client = if side.is_orig() { long.source } else { long.destination };
        self.client_id_len = client.len();
        let plain = crypt::open(long.version, id, side.is_orig(), long.whole, number_at);
        let plain = plain.filter(|plain| !plain.is_empty()).ok_or(Malformed)?;
        self.opened = self.opened.saturating_add(1);
        cx.confirm();
        for frame in Frames::new(&plain) {
            match frame? {
                Frame::Crypto(offset, bytes) => self.crypto(cx, side, offset, bytes)?,
                Frame::Close => {
                    self.log.letter(cx, side, b'c');
                    self.log.end(cx);
                }
                Frame::Other => {}
            }
        }
        Ok(())
    }

    /// A piece of the handshake.
    fn crypto(
        &mut self,
        cx: &mut Context<'_>,
        side: Side,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), Malformed> {
        let half = self.half(side);
        if offset.saturating_add(bytes.len() as u64) > MAX_HELLO as u64 {
            return Err(Malformed);
        }
        if half.finished {
            return Ok(());
        }
        half.hello.extend(half.stream.segment(offset + 1, bytes, MAX_HELLO, &mut half.account));
        while let Some(Piece::Data(bytes)) = half.stream.take(&mut half.account) {
            half.hello.extend(bytes);
        }
        let Some(&[kind, a, b, c]) = half.hello.first_chunk::<4>() else { return Ok(()) };
        let whole = u32::from_be_bytes([0, a, b, c]) as usize + 4;
        if whole > MAX_HELLO {
            half.finished = true;
            return Err(Malformed);
        }
        if half.hello.len() < whole {
            return Ok(());
        }
        half.finished = true;
        half.stream = Stream::default();
        let mut hello = std::mem::take(&mut half.hello);
        hello.truncate(whole);
        self.hello(cx, side, kind, &hello);
        Ok(())
    }

    /// A hello is complete: to TLS it is a record.
    fn hello(&mut self, cx: &mut Context<'_>, side: Side, kind: u8, message: &[u8]) {
        const CLIENT_HELLO: u8 = 1;
        const SERVER_HELLO: u8 = 2;
        let mut record = vec![0x16, 3, 3];
        record.extend((message.len() as u16).to_be_bytes());
        record.extend(message);
        self.tls.carried(cx, side, &record);
        let body = message.get(4..).unwrap_or_default();
        match kind {
            CLIENT_HELLO => {
                let Some(hello) = Hello::parse(body) else { return };
                if let Some(name) = hello.server_name {
                    self.log.server_name(name);
                }
                if !hello.protocols.is_empty() {
                    self.log.protocols(cx, &hello.protocols);
                }
                self.log.letter(cx, Side::Orig, b's');
            }
            SERVER_HELLO => self.log.letter(cx, Side::Resp, b's'),
            _ => {}
        }
    }
}

impl Analyze for Quic {
    fn data(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]) {
        if self.violated {
            return;
        }
        if self.datagram(cx, side, bytes).is_err() {
            self.violated = self.opened == 0;
            cx.violate("malformed QUIC packet", None);
        }
    }

    fn gap(&mut self, _cx: &mut Context<'_>, _side: Side, _len: u64) {}

    fn end(&mut self, _cx: &mut Context<'_>, _side: Side) {}

    fn finish(&mut self, cx: &mut Context<'_>) {
        self.tls.finish(cx);
        self.log.end(cx);
    }

    fn wants_payload(&self) -> bool {
        !self.violated
    }
}
