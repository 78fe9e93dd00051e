//! Super-frames cut into the packets that a network card would make of them, and checksums finished that were left to it.
//!
//! Promises: the payloads of the packets together are that of the super-frame, every header is right for its packet, and checksums are
//! valid (tests `the_packets_of_a_super_frame_carry_its_stream` and those against etherparse). Payload is not copied: a packet
//! is a header of its own and a part of the frame. What cannot be understood is left as it is.
//!
//! Tunnels around TCP (VXLAN, GENEVE, GRE, IP in IP), as overlay networks of containers have them, are passed: every header up to
//! the innermost is put right.
//!
//! Sources: RFC 9293, 791, 8200, 768; Linux Documentation/networking/segmentation-offloads.rst.

use weir_wire::bytes::be16;
use weir_wire::checksum::{Sum, internet_checksum};
use weir_wire::flow::protocol;
use weir_wire::{Address, Frame, Ipv4Header, Ipv6Header, tcp, udp};

use crate::ethernet::Ethernet;

/// Packets of one super-frame at most: 64 KiB in the least segments that TCP has (536) would be 122, those of BIG TCP (512 KiB)
/// 978. What would be more is not cut.
pub(crate) const MAX_PACKETS: usize = 1024;
/// Headers that are passed at most; each is one of [`Step`]'s.
const MAX_LAYERS: usize = 16;
/// The longest header that is copied in front of each packet.
const MAX_HEADER: usize = 512;

/// A packet: a header that was made for it, if any, and a part of the frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Packet<'a> {
    /// Where its header begins in the buffer of headers, and how long it is; it may be empty.
    pub at: usize,
    pub header: usize,
    /// What follows.
    pub data: &'a [u8],
    /// How long it is on the wire.
    pub wire_len: u32,
}

/// What was done to a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Done {
    /// Nothing: it is one packet.
    Nothing,
    /// A checksum was finished.
    Finished,
    /// It was cut.
    Cut,
    /// It is a super-frame and was left whole: what it carries cannot be cut.
    Whole,
}

/// A header in the way, by where it begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Layer {
    V4(usize),
    V6(usize),
    /// UDP around a tunnel.
    Udp(usize),
}

/// What is innermost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Transport {
    Tcp,
    Udp,
}

/// Where everything is.
#[derive(Clone, Copy, Debug)]
struct Layout {
    layers: [Option<Layer>; MAX_LAYERS],
    transport: Transport,
    /// Where the transport header begins, and where its payload does.
    at: usize,
    payload: usize,
}

/// Makes packets of `ethernet`, which is `frame` as an Ethernet frame. `room` bytes are left free in front of each header in
/// `headers`. `emit` is called for each packet, in order.
pub(crate) fn cut<'a>(
    frame: &Frame<'a>,
    ethernet: &Ethernet<'a>,
    room: usize,
    headers: &mut Vec<u8>,
    emit: &mut impl FnMut(Packet<'a>),
) -> Done {
    let ([wrapper, _], data) = (ethernet.parts(), ethernet.data());
    let begin = |headers: &mut Vec<u8>, copied: &[u8]| {
        headers.resize(headers.len() + room, 0);
        let at = headers.len();
        headers.extend_from_slice(wrapper);
        headers.extend_from_slice(copied);
        at
    };
    // What was cut off by the capture, or taken off with a cooked header, changes the length in the same way.
    let beyond = (frame.wire_len as usize).saturating_sub(frame.data.len());
    let whole = wrapper.len() + data.len() + beyond;
    let size = usize::from(frame.offload.segment_size);
    let layout = if size > 0 || frame.offload.checksum_void {
        let start = if wrapper.is_empty() { None } else { Some(0) };
        Layout::of(data, start).filter(|layout| layout.payload <= MAX_HEADER)
    } else {
        None
    };
    let as_it_is = |headers: &mut Vec<u8>| {
        let at = begin(headers, &[]);
        Packet { at, header: wrapper.len(), data, wire_len: whole as u32 }
    };
    let Some(layout) = layout else {
        emit(as_it_is(headers));
        return if size > 0 { Done::Whole } else { Done::Nothing };
    };
    let (fixed, payload) = data.split_at_checked(layout.payload).unwrap_or((data, &[]));
    if size == 0 {
        let Some(end) = layout.unfinished(data) else {
            emit(as_it_is(headers));
            return Done::Nothing;
        };
        let at = begin(headers, fixed);
        if let Some(header) = headers.get_mut(at + wrapper.len()..) {
            layout.finish(header, data.get(layout.payload..end).unwrap_or_default());
        }
        emit(Packet { at, header: wrapper.len() + fixed.len(), data: payload, wire_len: whole as u32 });
        return Done::Finished;
    }
    let total = payload.len() + beyond;
    let count = total.div_ceil(size);
    if !(1..=MAX_PACKETS).contains(&count) {
        emit(as_it_is(headers));
        return Done::Whole;
    }
    for index in 0..count {
        let offset = index * size;
        let len = size.min(total - offset);
        let captured = payload.len().min(offset)..payload.len().min(offset + len);
        let part = payload.get(captured).unwrap_or_default();
        let at = begin(headers, fixed);
        if let Some(header) = headers.get_mut(at + wrapper.len()..) {
            layout.adapt(header, (index, count), size, len);
            // Of a packet that is not all here no checksum can be made.
            if part.len() == len {
                layout.finish(header, part);
            }
            layout.finish_outer(header, part);
        }
        let header = wrapper.len() + fixed.len();
        emit(Packet { at, header, data: part, wire_len: (header + len) as u32 });
    }
    Done::Cut
}

impl Layout {
    /// Walks over `data`: from an IP header at `ip`, or else from Ethernet.
    fn of(data: &[u8], ip: Option<usize>) -> Option<Self> {
        let mut walk = Walk { data, layers: [None; MAX_LAYERS], used: 0 };
        let mut step = match ip {
            Some(at) => Step::Ip(at),
            None => Step::Ethernet(0),
        };
        // Every step takes a header off, so there is an end; the bound makes it a near one.
        for _ in 0..2 * MAX_LAYERS {
            step = match step {
                Step::Ethernet(at) => walk.ethernet(at)?,
                Step::Ip(at) => walk.ip(at)?,
                Step::Transport(number, at) => match walk.transport(number, at)? {
                    Ok(layout) => return Some(layout),
                    Err(next) => next,
                },
            };
        }
        None
    }

    /// The addresses and the length of the innermost IP header, of which `len` bytes of transport follow.
    fn pseudo(&self, data: &[u8], len: usize) -> Option<Sum> {
        let number = match self.transport {
            Transport::Tcp => protocol::TCP,
            Transport::Udp => protocol::UDP,
        };
        let (source, destination) = addresses(data, self.innermost()?)?;
        Some(Sum::pseudo(&source, &destination, number, len as u32))
    }

    /// Where the checksum is.
    const fn checksum_at(&self) -> usize {
        self.at
            + match self.transport {
                Transport::Tcp => 16,
                Transport::Udp => 6,
            }
    }

    /// Where the packet ends, if its checksum is only that of the pseudo header, as it is where a network card shall finish it.
    /// One valid checksum in 65,536 looks the same, and is then made anew.
    fn unfinished(&self, data: &[u8]) -> Option<usize> {
        let end = match self.innermost()? {
            Layer::V4(at) => at + usize::from(be16(data, at + 2)?),
            Layer::V6(at) => at + 40 + usize::from(be16(data, at + 4)?),
            Layer::Udp(_) => return None,
        };
        (end >= self.payload && end <= data.len()).then_some(())?;
        let sum = self.pseudo(data, end - self.at)?;
        (be16(data, self.checksum_at()) == Some(sum.fold())).then_some(end)
    }

    fn innermost(&self) -> Option<Layer> {
        self.layers.iter().flatten().rfind(|layer| !matches!(layer, Layer::Udp(_))).copied()
    }

    /// Puts lengths, numbers and flags right for packet `index` of `count`, with `len` bytes of payload.
    fn adapt(&self, header: &mut [u8], (index, count): (usize, usize), size: usize, len: usize) {
        let all = header.len() + len;
        for layer in self.layers.iter().flatten() {
            match *layer {
                Layer::V4(at) => {
                    put(header, at + 2, &((all - at) as u16).to_be_bytes());
                    let id = be16(header, at + 4).unwrap_or(0).wrapping_add(index as u16);
                    put(header, at + 4, &id.to_be_bytes());
                }
                Layer::V6(at) => {
                    put(header, at + 4, &((all - at).saturating_sub(40) as u16).to_be_bytes());
                }
                Layer::Udp(at) => put(header, at + 4, &((all - at) as u16).to_be_bytes()),
            }
        }
        match self.transport {
            Transport::Udp => put(header, self.at + 4, &((all - self.at) as u16).to_be_bytes()),
            Transport::Tcp => {
                let sequence = header.get(self.at + 4..).and_then(<[u8]>::first_chunk);
                let sequence = sequence.map_or(0, |bytes| u32::from_be_bytes(*bytes));
                let sequence = sequence.wrapping_add((index * size) as u32);
                put(header, self.at + 4, &sequence.to_be_bytes());
                let mut gone = 0;
                if index + 1 < count {
                    gone |= tcp::Flags::FIN.0 | tcp::Flags::PSH.0;
                }
                if index > 0 {
                    gone |= tcp::Flags::CWR.0;
                }
                if let Some(flags) = header.get_mut(self.at + 13) {
                    *flags &= !gone;
                }
            }
        }
    }

    /// Makes the checksum of the innermost header.
    fn finish(&self, header: &mut [u8], payload: &[u8]) {
        put(header, self.checksum_at(), &[0, 0]);
        let len = header.len() - self.at + payload.len();
        if let Some(sum) = self.pseudo(header, len) {
            let sum = sum.with(header.get(self.at..).unwrap_or_default()).with(payload);
            put(header, self.checksum_at(), &checksum(sum, self.transport == Transport::Udp));
        }
    }

    /// Makes those of the headers around it.
    fn finish_outer(&self, header: &mut [u8], payload: &[u8]) {
        let mut before = None;
        for layer in self.layers.iter().flatten() {
            match *layer {
                Layer::V4(at) => {
                    put(header, at + 10, &[0, 0]);
                    let end = at + usize::from(header.get(at).copied().unwrap_or(0) & 0x0f) * 4;
                    let sum = internet_checksum(header.get(at..end).unwrap_or_default());
                    put(header, at + 10, &sum.to_be_bytes());
                }
                // The checksum of UDP around a tunnel may be left out over IPv4 only.
                Layer::Udp(at) => {
                    put(header, at + 6, &[0, 0]);
                    if let Some(Layer::V6(ip)) = before
                        && let Some((source, destination)) = addresses(header, Layer::V6(ip))
                    {
                        let len = header.len() - at + payload.len();
                        let inside = header.get(at..).unwrap_or_default();
                        // Headers of an odd length would put the payload on the wrong foot.
                        if inside.len().is_multiple_of(2) {
                            let sum = Sum::pseudo(&source, &destination, protocol::UDP, len as u32);
                            let sum = checksum(sum.with(inside).with(payload), true);
                            put(header, at + 6, &sum);
                        }
                    }
                }
                Layer::V6(_) => {}
            }
            before = Some(*layer);
        }
    }
}

/// As it stands in a header; a sum of 0 means "none" in UDP, and its other form is taken.
fn checksum(sum: Sum, is_udp: bool) -> [u8; 2] {
    match !sum.fold() {
        0 if is_udp => [0xff, 0xff],
        sum => sum.to_be_bytes(),
    }
}

fn addresses(data: &[u8], layer: Layer) -> Option<(Address, Address)> {
    match layer {
        Layer::V4(at) => Ipv4Header::parse(data.get(at..)?).ok().map(|ip| (ip.source(), ip.destination())),
        Layer::V6(at) => Ipv6Header::parse(data.get(at..)?).ok().map(|ip| (ip.source(), ip.destination())),
        Layer::Udp(_) => None,
    }
}

fn put(header: &mut [u8], at: usize, bytes: &[u8]) {
    header.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
}

/// What comes next, and where.
enum Step {
    Ethernet(usize),
    Ip(usize),
    Transport(u8, usize),
}

struct Walk<'a> {
    data: &'a [u8],
    layers: [Option<Layer>; MAX_LAYERS],
    used: usize,
}

impl Walk<'_> {
    fn push(&mut self, layer: Layer) -> Option<()> {
        *self.layers.get_mut(self.used)? = Some(layer);
        self.used += 1;
        Some(())
    }

    fn ethernet(&self, at: usize) -> Option<Step> {
        /// Tags in a row at most.
        const TAGS: usize = 4;
        (0..=TAGS).map(|tags| at + 12 + tags * 4).find_map(|at| match be16(self.data, at) {
            Some(0x8100 | 0x88a8 | 0x9100) => None,
            Some(0x0800 | 0x86dd) => Some(Some(Step::Ip(at + 2))),
            _ => Some(None),
        })?
    }

    fn ip(&mut self, at: usize) -> Option<Step> {
        let bytes = self.data.get(at..)?;
        if let Ok(ip) = Ipv4Header::parse(bytes) {
            if ip.is_fragment() || ip.header_len() < 20 {
                return None;
            }
            self.push(Layer::V4(at))?;
            return Some(Step::Transport(ip.protocol(), at + ip.header_len()));
        }
        let ip = Ipv6Header::parse(bytes).ok()?;
        self.push(Layer::V6(at))?;
        let (mut next, mut at) = (ip.next_header(), at + 40);
        // Hop-by-hop, routing, destination; each is 8 bytes at least, and with a few more it is no traffic of a host.
        for _ in 0..4 {
            if !matches!(next, 0 | 43 | 60) {
                break;
            }
            next = *self.data.get(at)?;
            at += (usize::from(*self.data.get(at + 1)?) + 1) * 8;
        }
        Some(Step::Transport(next, at))
    }

    /// The end of the walk, or what comes in a tunnel.
    fn transport(&mut self, number: u8, at: usize) -> Option<Result<Layout, Step>> {
        /// VXLAN, and as Linux had it before the number was given; GENEVE.
        const TUNNELS: [u16; 3] = [4789, 8472, 6081];
        let bytes = self.data.get(at..)?;
        match number {
            protocol::TCP => {
                let len = tcp::TcpHeader::parse(bytes).ok()?.header_len();
                (len >= tcp::MIN_LEN && len <= bytes.len()).then_some(())?;
                Some(Ok(self.end(Transport::Tcp, at, at + len)))
            }
            protocol::UDP => {
                let header = udp::UdpHeader::parse(bytes).ok()?;
                let inside = at + udp::LEN;
                if TUNNELS.contains(&header.dst_port())
                    && let Some(step) = self.tunnel(header.dst_port(), inside)
                {
                    self.push(Layer::Udp(at))?;
                    return Some(Err(step));
                }
                Some(Ok(self.end(Transport::Udp, at, inside)))
            }
            protocol::IPIP | protocol::IPV6 => Some(Err(Step::Ip(at))),
            protocol::GRE => {
                let gre = weir_wire::tunnel::GreHeader::parse(bytes).ok()?;
                // A checksum or a sequence number would have to be made for each packet.
                (be16(bytes, 0)? & !0x2000 == 0).then_some(())?;
                let inside = at + gre.header_len();
                match gre.protocol() {
                    0x6558 => Some(Err(Step::Ethernet(inside))),
                    0x0800 | 0x86dd => Some(Err(Step::Ip(inside))),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn tunnel(&self, port: u16, at: usize) -> Option<Step> {
        let bytes = self.data.get(at..)?;
        if port == 6081 {
            let header = weir_wire::tunnel::GeneveHeader::parse(bytes).ok()?;
            let inside = self.data.len() - header.inner().len();
            return match header.protocol() {
                0x6558 => Some(Step::Ethernet(inside)),
                0x0800 | 0x86dd => Some(Step::Ip(inside)),
                _ => None,
            };
        }
        let header = weir_wire::tunnel::VxlanHeader::parse(bytes).ok()?;
        Some(Step::Ethernet(self.data.len() - header.inner().len()))
    }

    const fn end(&self, transport: Transport, at: usize, payload: usize) -> Layout {
        Layout { layers: self.layers, transport, at, payload }
    }
}

#[cfg(test)]
mod tests;
