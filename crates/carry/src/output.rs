//! One type for all ways out, chosen by a [`Target`].

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use weir_ledger::{Account, Count, Reason};
use weir_wire::{Frame, LinkType};

use crate::cut::{Done, cut};
use crate::ethernet::Ethernet;
use crate::file::Files;
use crate::interface::Interface;
use crate::stream::Stream;
use crate::target::Place;
use crate::tunnel::{Around, Tunnel};
use crate::work::{End, Fate, Piece, Work, settle};
use crate::{CarryError, Target, TooLong};

/// Packets of one load: as many as two system calls take, and the super-frame that makes it full.
const LOAD: usize = 256;

/// How frames shall be sent.
#[derive(Clone, Debug)]
pub struct OutputOptions {
    /// What becomes of packets longer than the path takes.
    pub too_long: TooLong,
    /// How long a full queue is waited for before a frame is dropped as `output_full`.
    pub patience: Duration,
    /// Interfaces: whether frames go past the queueing discipline (PACKET_QDISC_BYPASS): faster, without traffic control, and
    /// other taps on the interface do not see them.
    pub bypass_qdisc: bool,
    /// Streams: how many bytes may wait.
    pub buffer: usize,
    /// GENEVE: the number of this tap.
    pub tap: u32,
    /// GENEVE: changes with every start of the tap.
    pub epoch: u16,
}

impl Default for OutputOptions {
    /// Frames that are too long are dropped; no waiting; 4 MiB.
    fn default() -> Self {
        let (too_long, patience) = (TooLong::Drop, Duration::ZERO);
        Self { too_long, patience, bypass_qdisc: false, buffer: 4 << 20, tap: 0, epoch: 0 }
    }
}

/// A frame to be sent, and the hash of its flow (`weir_spread::hash`): the same for both directions. Tunnels keep the order of
/// frames with the same hash, and give networks something to spread by.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The frame.
    pub frame: Frame<'a>,
    /// The hash of its flow.
    pub hash: u32,
    /// What it stands for in the ledger: itself, unless its tunnel was taken off or fragments were put together before.
    pub count: Count,
}

impl<'a> Outgoing<'a> {
    /// A frame that stands for itself.
    pub const fn new(frame: Frame<'a>, hash: u32) -> Self {
        Self { frame, hash, count: Count::one(frame.wire_len as u64) }
    }
}

/// What is worth knowing beside the ledger.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Packets that were sent: as many as frames passed, and more where super-frames were cut. A receiver that counts frames
    /// counts these.
    pub packets: u64,
    /// Super-frames that were cut into packets.
    pub cut: u64,
    /// Super-frames that could not be cut, as it is not understood what they carry.
    pub whole: u64,
    /// Frames whose checksum was left to the network card, and made here.
    pub checksums: u64,
    /// Packets sent without their end, because they were too long.
    pub truncated: u64,
    /// Frames that were sent as short as they had been captured, although they were longer on the wire.
    pub captured_short: u64,
    /// Frames of another link type that were given an Ethernet header.
    pub wrapped: u64,
    /// How often a queue was full and asked again.
    pub retries: u64,
    /// How often a peer answered that nobody listens at the port.
    pub refused: u64,
}

impl Counts {
    /// Adds what another output counted.
    pub const fn merge(&mut self, other: &Self) {
        self.packets += other.packets;
        self.cut += other.cut;
        self.whole += other.whole;
        self.checksums += other.checksums;
        self.truncated += other.truncated;
        self.captured_short += other.captured_short;
        self.wrapped += other.wrapped;
        self.retries += other.retries;
        self.refused += other.refused;
    }
}

/// A packet that this output sends looks like this on its way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Destination {
    /// Where to.
    pub address: IpAddr,
    /// TCP, UDP or GRE.
    pub protocol: u8,
    /// The port, of TCP and UDP.
    pub port: Option<u16>,
}

/// A way out. [`send`](Self::send) frames; call [`tick`](Self::tick) when there are none for a while, and
/// [`finish`](Self::finish) at the end.
///
/// The ledger counts frames as they were handed over. A super-frame is one frame: it is passed when all of its packets were
/// taken, and dropped for the first reason for which one was not.
pub struct Output {
    name: String,
    place: Place,
    way: Way,
    account: Account,
    counts: Counts,
    headers: Vec<u8>,
    fates: Vec<Fate>,
    trouble: Option<CarryError>,
}

/// The kinds of ways out.
enum Way {
    Interface(Box<Interface>),
    Tunnel(Box<Tunnel>),
    Stream(Box<Stream>),
    Files(Box<Files>),
}

impl Output {
    /// Opens a way to `target`. Names are looked up now, and only now.
    ///
    /// # Errors
    /// There is no such host, interface, route or directory, or the process may not. A peer of a stream that is not there is no
    /// error: it is dialled again, and [`Self::take_trouble`] tells.
    pub fn open(target: &Target, options: &OutputOptions) -> Result<Self, CarryError> {
        let name = target.to_string();
        let tunnel = |host: &str, port: u16, around| {
            let remote = lookup(&name, host, port)?.first().copied();
            let remote = remote.ok_or_else(|| unknown(&name))?;
            Tunnel::open(name.clone(), around, remote, options).map(|tunnel| Way::Tunnel(Box::new(tunnel)))
        };
        let mut trouble = None;
        let way = match &target.place {
            Place::Vxlan { host, port, vni } => tunnel(host, *port, Around::Vxlan { vni: *vni })?,
            Place::Geneve { host, port, vni } => tunnel(host, *port, Around::Geneve { vni: *vni })?,
            Place::Gre { host, key } => tunnel(host, 0, Around::Gre { key: *key })?,
            Place::Erspan { host, version, session } => {
                tunnel(host, 0, Around::Erspan { version: *version, session: *session })?
            }
            Place::Pcap { host, port } => {
                let (stream, said) = Stream::open(name.clone(), lookup(&name, host, *port)?, options);
                trouble = said;
                Way::Stream(Box::new(stream))
            }
            Place::File { path, rotate, keep } => Way::Files(Box::new(Files::create(path, *rotate, *keep)?)),
            Place::Interface { name } => Way::Interface(Box::new(Interface::open(name, options)?)),
        };
        let (account, counts) = (Account::default(), Counts::default());
        let place = target.place.clone();
        Ok(Self { name, place, way, account, counts, headers: Vec::new(), fates: Vec::new(), trouble })
    }

    /// Sends frames. Every one is in the ledger when this returns: passed, dropped for a Reason, or (in a stream) held until
    /// the kernel takes it.
    pub fn send<'a>(&mut self, frames: impl IntoIterator<Item = Outgoing<'a>>) {
        let mut pieces = Vec::with_capacity(LOAD);
        for outgoing in frames {
            self.take(&outgoing, &mut pieces);
            if pieces.len() >= LOAD {
                self.flush(&mut pieces);
            }
        }
        self.flush(&mut pieces);
        debug_assert!(self.account.balances(), "carry does not balance");
    }

    /// Makes packets of a frame.
    fn take<'a>(&mut self, outgoing: &Outgoing<'a>, pieces: &mut Vec<Piece<'a>>) {
        let frame = &outgoing.frame;
        let count = outgoing.count;
        self.account.enter(count);
        let Some(ethernet) = Ethernet::of(frame) else {
            self.account.drop(Reason::LinkNotCarried, count);
            return;
        };
        let owner = self.fates.len() as u32;
        let done = cut(frame, &ethernet, weir_wire::tunnel::emit::ROOM, &mut self.headers, &mut |packet| {
            let (time, source, outgoing_) = (frame.time, frame.tap, frame.offload.outgoing);
            let (hash, skip) = (outgoing.hash, false);
            pieces.push(Piece { packet, owner, hash, time, source, outgoing: outgoing_, skip });
        });
        self.fates.push(Fate { count, end: End::Passed });
        self.counts.cut += u64::from(done == Done::Cut);
        self.counts.whole += u64::from(done == Done::Whole);
        self.counts.checksums += u64::from(done == Done::Finished);
        self.counts.captured_short += u64::from((frame.data.len() as u64) < u64::from(frame.wire_len));
        self.counts.wrapped += u64::from(frame.link != LinkType::ETHERNET);
    }

    fn flush(&mut self, pieces: &mut Vec<Piece<'_>>) {
        let mut work =
            Work { pieces, headers: &mut self.headers, fates: &mut self.fates, counts: &mut self.counts };
        let trouble = match &mut self.way {
            Way::Interface(interface) => interface.put(&mut work),
            Way::Tunnel(tunnel) => tunnel.put(&mut work),
            Way::Stream(stream) => stream.put(&mut work),
            Way::Files(files) => files.put(&mut work),
        };
        self.trouble = trouble.or(self.trouble.take());
        settle(&self.fates, &mut self.account);
        self.release();
        pieces.clear();
        self.headers.clear();
        self.fates.clear();
    }

    /// Does what is due by time: connects again, sends what waits.
    pub fn tick(&mut self) {
        match &mut self.way {
            Way::Interface(interface) => interface.tick(),
            Way::Tunnel(tunnel) => tunnel.tick(),
            Way::Stream(stream) => self.trouble = stream.tick().or(self.trouble.take()),
            Way::Files(_) => {}
        }
        self.release();
    }

    /// Sends what waits, for `within` at most; after that nothing is held.
    pub fn finish(&mut self, within: Duration) {
        if let Way::Stream(stream) = &mut self.way {
            stream.finish(within);
        }
        self.release();
    }

    fn release(&mut self) {
        if let Way::Stream(stream) = &mut self.way {
            stream.settle(&mut self.account);
        }
    }

    /// Whether frames can be sent at present, as far as is known here: an interface is there, a stream is connected.
    pub const fn is_up(&self) -> bool {
        match &self.way {
            Way::Interface(interface) => interface.is_up(),
            Way::Tunnel(tunnel) => tunnel.is_up(),
            Way::Stream(stream) => stream.is_up(),
            Way::Files(_) => true,
        }
    }

    /// What went wrong last, told once. The output goes on by itself.
    pub const fn take_trouble(&mut self) -> Option<CarryError> {
        self.trouble.take()
    }

    /// The ledger.
    pub const fn account(&self) -> &Account {
        &self.account
    }

    /// What is worth knowing beside it.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// The target, as it is shown.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it goes.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// What its own packets look like, so that a tap can leave them out; empty where it sends none by IP.
    pub fn destinations(&self) -> Vec<Destination> {
        let one = |(address, protocol, port)| Destination { address, protocol, port };
        match &self.way {
            Way::Tunnel(tunnel) => vec![one(tunnel.destination())],
            Way::Stream(stream) => stream.destinations().map(one).collect(),
            Way::Interface(_) | Way::Files(_) => Vec::new(),
        }
    }
}

fn lookup(name: &str, host: &str, port: u16) -> Result<Vec<SocketAddr>, CarryError> {
    let failed = |source| CarryError::System { name: name.into(), operation: "look up the host", source };
    (host.trim_matches(['[', ']']), port).to_socket_addrs().map(Iterator::collect).map_err(failed)
}

fn unknown(name: &str) -> CarryError {
    let source = std::io::ErrorKind::NotFound.into();
    CarryError::System { name: name.into(), operation: "look up the host", source }
}
