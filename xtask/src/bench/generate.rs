//! Captures too large to keep, written to standard output: floods, idle connections, and a capture again and again.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use weir_tap::write::PcapWriter;
use weir_tap::{Captures, Endian, FrameBatch, Options, Precision, Source};
use weir_wire::{Interval, LinkType, Time};

/// What to write.
#[derive(clap::Subcommand, Debug)]
pub enum Kind {
    /// A flood of SYNs, each of a connection of its own, a million a second
    Syn {
        /// How many
        flows: u32,
    },
    /// Connections that all are open at once and have nothing to analyse: half-open in one and in both directions, begun in
    /// the middle, UDP
    Idle {
        /// How many
        flows: u32,
    },
    /// Flows inside one VXLAN tunnel, whose outer addresses and ports are always the same: both directions of each
    Tunnel {
        /// How many
        flows: u32,
    },
    /// A capture again and again, with the times going on
    Repeat {
        /// How often
        copies: u32,
        /// Which
        capture: PathBuf,
    },
}

const START: Time = Time::from_parts(1_700_000_000, 0);
const SYN: u8 = 2;
const SYN_ACK: u8 = 0x12;
const ACK: u8 = 0x10;

/// Writes `kind`. That the reader goes away is no error.
pub fn generate(kind: &Kind) -> Result<()> {
    write(kind, io::stdout().lock())
}

/// Writes `kind` to wherever it shall be.
pub fn write(kind: &Kind, out: impl Write) -> Result<()> {
    let out = BufWriter::with_capacity(1 << 16, out);
    let mut out = PcapWriter::new(out, LinkType::ETHERNET, Precision::Nanos, Endian::Little)?;
    let written = match kind {
        Kind::Syn { flows } => (0..*flows).try_for_each(|i| {
            let time = START + Interval(i64::from(i) * 1000);
            send(&mut out, time, &tcp(i, SYN, false))
        }),
        Kind::Idle { flows } => (0..*flows).try_for_each(|i| {
            let time = START + Interval(i64::from(i) * 1000);
            match i % 4 {
                0 => send(&mut out, time, &tcp(i, SYN, false)),
                1 => {
                    send(&mut out, time, &tcp(i, SYN, false))?;
                    send(&mut out, time, &tcp(i, SYN_ACK, true))
                }
                2 => send(&mut out, time, &tcp(i, ACK, false)),
                _ => send(&mut out, time, &udp(i)),
            }
        }),
        Kind::Tunnel { flows } => (0..*flows).try_for_each(|i| {
            let time = START + Interval(i64::from(i) * 1000);
            send(&mut out, time, &tunnelled(&tcp(i, SYN, false)))?;
            send(&mut out, time, &tunnelled(&tcp(i, SYN_ACK, true)))
        }),
        Kind::Repeat { copies, capture } => return repeat(*copies, capture, out),
    };
    match written.and_then(|()| out.into_inner().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn repeat(copies: u32, capture: &Path, mut out: PcapWriter<impl Write>) -> Result<()> {
    let (mut shift, mut last) = (Interval(0), None::<Time>);
    for _ in 0..copies {
        let mut captures = Captures::open(vec![Source::File(capture.to_owned())], Options::default())?;
        let mut batch = FrameBatch::default();
        let mut first = None;
        while captures.next_batch(&mut batch)? {
            for frame in batch.iter() {
                if first.is_none() {
                    first = Some(frame.time);
                    shift = last.map_or(Interval(0), |last| last.since(frame.time));
                }
                let time = frame.time + shift;
                out.frame(time, frame.wire_len, frame.data)?;
                last = Some(last.map_or(time, |last| last.max(time)));
            }
        }
    }
    out.into_inner().flush()?;
    Ok(())
}

fn send(out: &mut PcapWriter<impl Write>, time: Time, frame: &[u8]) -> io::Result<()> {
    out.frame(time, frame.len() as u32, frame)
}

/// One segment of connection `number`, without payload.
fn tcp(number: u32, flags: u8, answer: bool) -> Vec<u8> {
    let (client, server) = ((number >> 24) as u16 + 1024, 80u16);
    let (from, to) = if answer { (server, client) } else { (client, server) };
    let (seq, ack) = if answer { (900u32, 101u32) } else { (100, 0) };
    let mut segment = [from.to_be_bytes(), to.to_be_bytes()].concat();
    segment.extend(seq.to_be_bytes());
    segment.extend(ack.to_be_bytes());
    segment.extend([0x50, flags, 0x20, 0, 0, 0, 0, 0]);
    ipv4(number, 6, answer, &segment)
}

/// A datagram of 16 bytes to a port that nothing is known of.
fn udp(number: u32) -> Vec<u8> {
    let (client, server) = ((number >> 24) as u16 + 1024, 9u16);
    let mut datagram = [client.to_be_bytes(), server.to_be_bytes(), 24u16.to_be_bytes(), [0, 0]].concat();
    datagram.extend([0xa5; 16]);
    ipv4(number, 17, false, &datagram)
}

/// A frame inside VXLAN (RFC 7348).
fn tunnelled(frame: &[u8]) -> Vec<u8> {
    let mut datagram = [50_000u16.to_be_bytes(), 4789u16.to_be_bytes()].concat();
    datagram.extend((16 + frame.len() as u16).to_be_bytes());
    datagram.extend([0, 0, 8, 0, 0, 0, 0, 0, 42, 0]);
    datagram.extend(frame);
    ipv4(1, 17, false, &datagram)
}

/// In Ethernet, from or to the host of 10.0.0.0/8 that has `number`.
fn ipv4(number: u32, protocol: u8, answer: bool, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = number.to_be_bytes();
    let (client, server) = ([10, a, b, c], [192, 0, 2, 1]);
    let mut frame = [&[2, 0, 0, 0, 0, 1][..], &[2, 0, 0, 0, 0, 2], &[8, 0]].concat();
    let length = (20 + payload.len() as u16).to_be_bytes();
    frame.extend([0x45, 0]);
    frame.extend(length);
    frame.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    frame.extend(if answer { [server, client].concat() } else { [client, server].concat() });
    frame.extend(payload);
    frame
}
