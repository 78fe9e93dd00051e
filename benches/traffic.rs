//! Traffic for the benchmarks, and what it goes through.

use std::path::Path;
use std::sync::Arc;

use etherparse::PacketBuilder;
use weir_analyse::Lane;
use weir_decap::{Decap, Output};
use weir_log::{Format, Lines};
use weir_record::Entries;
use weir_tap::{Captures, FrameBatch, Options, Source};
use weir_wire::{Frame, Interval, LinkType, Offload, Packet, Time, UidKey};

/// How many packets every benchmark takes.
pub const PACKETS: usize = 10_000;

/// A capture that is repeated begins again so long after it began: all time-outs of what had ended by then are over, and few
/// others have come.
const ROUND: Interval = Interval(300_000_000_000);
const START: Time = Time::from_parts(1_700_000_000, 0);

/// Frames before decap.
pub struct Walk {
    decap: Decap,
    frames: Vec<Frame<'static>>,
    out: Output<'static>,
}

impl Walk {
    /// Takes all frames through decap.
    pub fn run(mut self) -> Self {
        for frame in &self.frames {
            self.decap.frame(frame, &mut self.out);
            self.out.packets.clear();
        }
        self
    }
}

/// Packets before a lane.
pub struct Analysis {
    lane: Lane,
    entries: Entries,
    lines: Lines,
    packets: Vec<Packet<'static>>,
}

impl Analysis {
    /// A lane that has seen `before`, and has `packets` to see.
    fn new(before: &[Packet<'static>], packets: Vec<Packet<'static>>) -> Self {
        let lane = Lane::new(Arc::default(), UidKey::default());
        let lines = Lines::new(Format::Tsv.into());
        let mut analysis = Self { lane, entries: Entries::default(), lines, packets: before.to_vec() };
        analysis = analysis.run();
        Self { packets, ..analysis }
    }

    /// Analyses all packets, and makes lines of the records as a lane does: a batch at a time.
    pub fn run(mut self) -> Self {
        for batch in self.packets.chunks(1024) {
            for packet in batch {
                self.lane.packet(packet, &mut self.entries);
            }
            self.lines.clear();
            for record in self.entries.drain() {
                self.lines.add(&record);
            }
        }
        self
    }
}

/// Frames with an empty datagram each, in a tunnel or not.
pub fn walk(vxlan: bool) -> Walk {
    let frames: Vec<_> = (0..PACKETS as u32)
        .map(|number| {
            let inner = datagram(number % 1000, 53, &[]);
            // RFC 7348: the flag that there is a VNI, and the VNI.
            let vxlan = vxlan.then(|| datagram(0, 4789, &[&[8, 0, 0, 0, 0, 0, 42, 0], &inner[..]].concat()));
            frame(number, vxlan.unwrap_or(inner))
        })
        .collect();
    let decap = || Decap::new(weir_decap::Config::default(), UidKey::default());
    let known = Walk { decap: decap(), frames: frames.clone(), out: Output::default() }.run();
    Walk { frames, ..known }
}

/// Empty datagrams of so many flows in turn, all of which are known.
pub fn look_up(flows: u32) -> Analysis {
    let mut packets =
        decapped((0..flows + PACKETS as u32).map(|number| frame(number, datagram(number % flows, 9, &[]))));
    let rest = packets.split_off(flows as usize);
    Analysis::new(&packets, rest)
}

/// One long stream of segments of so many bytes, which has gone on for a while.
pub fn in_order(segment: usize) -> Analysis {
    let builder = || PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, 0, 0, 1], [192, 0, 2, 1], 64);
    let answers = || PacketBuilder::ethernet2([4; 6], [2; 6]).ipv4([192, 0, 2, 1], [10, 0, 0, 1], 64);
    let data = vec![0xa5; segment];
    let mut at = 1001u32;
    let mut frames = vec![
        built(builder().tcp(50_000, 9, 1000, 65_535).syn(), &[]),
        built(answers().tcp(9, 50_000, 5000, 65_535).syn().ack(1001), &[]),
        built(builder().tcp(50_000, 9, 1001, 65_535).ack(5001), &[]),
    ];
    let before = frames.len() + PACKETS;
    while frames.len() < before + PACKETS {
        frames.push(built(builder().tcp(50_000, 9, at, 65_535).ack(5001), &data));
        at = at.wrapping_add(segment as u32);
        // As receivers do, every second segment is acknowledged.
        if frames.len() % 3 == 0 {
            frames.push(built(answers().tcp(9, 50_000, 5001, 65_535).ack(at), &[]));
        }
    }
    frames.truncate(before + PACKETS);
    let mut packets = decapped((0..).zip(frames).map(|(number, bytes)| frame(number, bytes)));
    let rest = packets.split_off(before);
    Analysis::new(&packets, rest)
}

/// The connections of `samples/first.pcapng` with a server at `port`, again and again.
pub fn sample(port: u16) -> Analysis {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/first.pcapng");
    let mut captures = Captures::open(vec![Source::File(path)], Options::default()).unwrap();
    let (mut batch, mut once) = (FrameBatch::default(), Vec::new());
    while captures.next_batch(&mut batch).unwrap() {
        for frame in batch.iter() {
            once.push(Frame { data: Vec::leak(frame.data.to_vec()), ..frame });
        }
    }
    let of_port = |packet: &Packet<'_>| {
        let ((_, from), (_, to)) = packet.head.key.endpoints(packet.head.direction);
        from == port || to == port
    };
    let mut before = Vec::new();
    let mut packets = Vec::new();
    for round in 0.. {
        let shift = Interval(ROUND.0 * round);
        let frames = once.iter().map(|frame| Frame { time: frame.time + shift, ..*frame });
        let chosen = decapped(frames).into_iter().filter(of_port);
        assert!(round < 2 || !packets.is_empty(), "the sample has nothing at port {port}");
        if round == 0 { &mut before } else { &mut packets }.extend(chosen);
        if packets.len() >= PACKETS {
            break;
        }
    }
    packets.truncate(PACKETS);
    Analysis::new(&before, packets)
}

/// The innermost packets of frames.
fn decapped(frames: impl Iterator<Item = Frame<'static>>) -> Vec<Packet<'static>> {
    let mut decap = Decap::new(weir_decap::Config::default(), UidKey::default());
    let mut out = Output::default();
    frames.for_each(|frame| decap.frame(&frame, &mut out));
    out.packets
}

/// A datagram from one of many hosts.
fn datagram(host: u32, port: u16, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = host.to_be_bytes();
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, a, b, c], [192, 0, 2, 1], 64);
    let mut bytes = Vec::new();
    builder.udp(50_000, port).write(&mut bytes, payload).unwrap();
    bytes
}

fn built(builder: etherparse::PacketBuilderStep<etherparse::TcpHeader>, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    builder.write(&mut bytes, payload).unwrap();
    bytes
}

/// The frame with `number`, a microsecond after the one before it.
fn frame(number: u32, bytes: Vec<u8>) -> Frame<'static> {
    Frame {
        time: START + Interval(i64::from(number) * 1000),
        tap: 0,
        sequence: u64::from(number),
        link: LinkType::ETHERNET,
        wire_len: bytes.len() as u32,
        offload: Offload::default(),
        data: Vec::leak(bytes),
    }
}
