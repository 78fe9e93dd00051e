//! Frames of an interface through AF_XDP: a program at the driver puts each into memory of ours, before the host's network
//! stack has seen it.
//!
//! Promises:
//! - A frame that is taken does not reach the host. So this is for interfaces that exist to be listened to: those of a mirror, or
//!   those where tunnels of taps arrive ([`XdpTake::Tunnels`], with which all else goes on to the host, ssh and ARP too).
//! - One socket for each queue, zero-copy where the driver can; the program is put into the driver, or where that cannot have
//!   one into the kernel's generic hook. It goes away with the last socket, also when the process is killed.
//! - Frames are as they were on the wire. VLAN tags, which an interface may take off before the program runs, are left in: that
//!   offload is switched off as long as the program is there. Frames longer than a chunk (4096 bytes with what is in
//!   front) lie in several, and are put together; kernels before 6.6 drop them, counted.
//! - `seen` of [`Losses`] = frames handed over + dropped by the kernel + still in the ring. Times are those at which the
//!   program ran.
//! - When the interface is gone, [`receive`](LiveSource::receive) says so once, and then that the source has ended: to load a
//!   program again takes rights that were dropped.
//!
//! Bytes are copied once from the chunks to a block, so that chunks go back to the kernel at once, whoever holds the block.
//!
//! Source: Documentation/networking/af_xdp.rst.

mod memory;
mod socket;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aya::maps::XskMap;
use aya::programs::{Xdp, XdpMode};
use aya::{Ebpf, EbpfLoader};
use weir_ledger::{Account, Count};
use weir_wire::{LinkType, Offload, Time};

use super::bpf::{self, FlowSettings};
use super::ring;
use crate::block::{Buffer, Pool};
use crate::{FrameBatch, FrameMeta, LiveSource, Losses, MAX_FRAMES, Received, TapError};
use memory::{CHUNK, Chunks, Fill, Receive};
use socket::Socket;

/// The program's map has so many places.
const MAX_QUEUES: u32 = 256;
/// A block is handed over when it has so many bytes.
const BLOCK: usize = 1 << 20;

/// Which frames the sockets take.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum XdpTake {
    /// All.
    #[default]
    All,
    /// Those with a tunnel in them: VXLAN and GENEVE on their ports, GRE, ERSPAN, IP in IP.
    Tunnels,
}

/// Where the program is put.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum XdpHook {
    /// Into the driver, and where that cannot have one into the generic hook.
    #[default]
    Best,
    /// Into the driver.
    Driver,
    /// Into the kernel's generic hook, which works with every interface and is slower.
    Generic,
}

/// Everything that [`XdpSocket::open_all`] wants to know.
#[derive(Clone, Debug)]
pub struct XdpOptions {
    /// The interface by name.
    pub interface: String,
    /// The tap number that its frames carry.
    pub tap: u16,
    /// Chunks of 4096 bytes for each queue, a power of two. Default 16384, which is 64 MiB.
    pub chunks: u32,
    /// Where the program is put.
    pub hook: XdpHook,
    /// Which frames are taken.
    pub take: XdpTake,
    /// Whether frames for other hosts are wanted.
    pub promiscuous: bool,
    /// The ports of tunnels.
    pub settings: FlowSettings,
}

impl XdpOptions {
    /// Bytes of a chunk.
    pub const CHUNK: usize = CHUNK;
    /// So many chunks at least has a socket: 256 KiB.
    pub const LEAST_CHUNKS: u32 = 64;
    /// And so many at most: 4 GiB.
    pub const MOST_CHUNKS: u32 = 1 << 20;

    /// All frames of `interface`, those for others too.
    pub fn new(interface: impl Into<String>) -> Self {
        Self {
            interface: interface.into(),
            tap: 0,
            chunks: 1 << 14,
            hook: XdpHook::default(),
            take: XdpTake::default(),
            promiscuous: true,
            settings: FlowSettings::new(1),
        }
    }

    fn failure(&self, operation: &'static str, source: io::Error) -> TapError {
        bpf::failure(operation, &self.interface, source)
    }

    fn refuse(&self, hint: String) -> TapError {
        let (interface, source) = (self.interface.clone(), io::Error::from(io::ErrorKind::InvalidInput));
        TapError::Interface { operation: "make AF_XDP sockets for", interface, hint, source }
    }
}

/// The program at its interface, and what was changed for it; all ends with the last socket.
struct Attached {
    _program: Ebpf,
    _promiscuous: Option<ring::Promiscuous>,
    interface: String,
    has_kept_tags: bool,
}

impl Drop for Attached {
    fn drop(&mut self) {
        if self.has_kept_tags {
            socket::take_tags_off(&self.interface);
        }
    }
}

/// What the kernel puts frames of one queue into. Read by one thread; see the [module](self) for what it promises.
pub struct XdpSocket {
    name: String,
    interface: String,
    tap: u16,
    socket: Socket,
    chunks: Chunks,
    receive: Receive,
    fill: Fill,
    pool: Pool,
    account: Account,
    has_ended: bool,
    _attached: Arc<Attached>,
}

/// A socket that waits to be in the program's map.
struct Ready {
    socket: Socket,
    chunks: Chunks,
    receive: Receive,
    fill: Fill,
}

impl XdpSocket {
    /// Opens a socket for each queue of the interface, in the order of queues, then attaches the program.
    ///
    /// # Errors
    /// No permission, no such interface, another program is there, no memory: [`TapError::Interface`] says what to do.
    pub fn open_all(options: &XdpOptions) -> Result<Vec<Self>, TapError> {
        let (least, most) = (XdpOptions::LEAST_CHUNKS, XdpOptions::MOST_CHUNKS);
        if !options.chunks.is_power_of_two() || !(least..=most).contains(&options.chunks) {
            return Err(options.refuse(format!(
                ": {} chunks; there has to be a power of two from {least} to {most}",
                options.chunks
            )));
        }
        let index = ring::index_of(&options.interface).map_err(|source| {
            let hint = format!(": there is no such interface; there are {}", ring::interfaces().join(", "));
            let interface = options.interface.clone();
            TapError::Interface { operation: "listen on", interface, hint, source }
        })?;
        let queues = socket::queues(&options.interface);
        if queues > MAX_QUEUES {
            return Err(options.refuse(format!(
                ": it has {queues} queues; `ethtool -L {} combined {MAX_QUEUES}` makes them fewer",
                options.interface
            )));
        }
        let mut program = load(options)?;
        let mut ready = Vec::new();
        for queue in 0..queues {
            ready.push(Ready::new(options, index, queue).map_err(|source| occupied(options, source))?);
        }
        enter(&mut program, &ready).map_err(|source| options.failure("give AF_XDP sockets to", source))?;
        let attached = Arc::new(attach(program, options, index)?);
        let open = |(queue, ready): (usize, Ready)| {
            let Ready { socket, chunks, receive, fill } = ready;
            let way = if socket.is_zero_copy() { ", zero-copy" } else { "" };
            Self {
                name: format!("{} (XDP, queue {queue}{way})", options.interface),
                interface: options.interface.clone(),
                tap: options.tap,
                socket,
                chunks,
                receive,
                fill,
                pool: Pool::default(),
                account: Account::default(),
                has_ended: false,
                _attached: Arc::clone(&attached),
            }
        };
        Ok(ready.into_iter().enumerate().map(open).collect())
    }

    /// Copies what has been received, as much as fits in a batch. Answers whether there was anything.
    fn take(&mut self, batch: &mut FrameBatch) -> bool {
        let waiting = self.receive.waiting();
        if waiting == 0 {
            return false;
        }
        let mut block = self.pool.take(BLOCK);
        let Some(buffer) = block.buffer_mut() else { return false };
        let (mut seen, mut done, clock) = (0, 0, Clock::now());
        let mut next = Piece::default();
        while seen < waiting && batch.frames.len() < MAX_FRAMES && buffer.filled().len() < BLOCK {
            let descriptor = self.receive.peek(seen);
            seen += 1;
            let stamp = self.chunks.take_stamp(descriptor.addr);
            // The kernel does not lie about its own structure; if it did, the frame would be too short, and no more.
            self.chunks.append_to(buffer, descriptor.addr, descriptor.len);
            next.time = next.time.or(stamp);
            if descriptor.options & libc::XDP_PKT_CONTD != 0 {
                continue;
            }
            done = seen;
            batch.frames.push(next.frame(buffer, self.tap, &clock));
            next = Piece { start: buffer.filled().len(), time: None };
        }
        // Of a frame in several chunks whose end is not there yet nothing is taken.
        buffer.truncate(next.start);
        (0..done).for_each(|ahead| self.fill.give(self.receive.peek(ahead).addr));
        self.receive.done(done);
        self.fill.publish();
        if self.fill.needs_wakeup() {
            self.socket.wake();
        }
        batch.block = block.clone();
        self.pool.put(block, 2 * BLOCK);
        let bytes = batch.frames.iter().map(|frame| u64::from(frame.wire_len)).sum();
        let count = Count::new(batch.frames.len() as u64, bytes);
        self.account.enter(count);
        self.account.pass(count);
        !batch.frames.is_empty()
    }

    /// What has happened to the interface.
    fn trouble(&mut self) -> Result<(), TapError> {
        let error = self.socket.take_error().unwrap_or_else(Some);
        let Some(source) = error else { return Ok(()) };
        self.has_ended = true;
        let hint = ": it is gone; start weir again when it is back".to_owned();
        Err(TapError::Interface { operation: "read from", interface: self.interface.clone(), hint, source })
    }
}

/// A frame that has been begun.
#[derive(Default)]
struct Piece {
    start: usize,
    time: Option<u64>,
}

impl Piece {
    fn frame(&self, buffer: &Buffer, tap: u16, clock: &Clock) -> FrameMeta {
        let len = buffer.filled().len().saturating_sub(self.start) as u32;
        FrameMeta {
            time: self.time.map_or(clock.now, |monotonic| clock.at(monotonic)),
            sequence: 0,
            offset: self.start,
            len,
            wire_len: len,
            link: LinkType::ETHERNET,
            tap,
            // XDP does not say which checksums are unfinished, as those on virtual wires are: none is judged.
            offload: Offload { checksum_void: true, ..Offload::default() },
        }
    }
}

/// The time of day, and how far the clock that programs read is behind it.
struct Clock {
    now: Time,
    offset: i64,
}

impl Clock {
    fn now() -> Self {
        let (now, monotonic) = (read_clock(libc::CLOCK_REALTIME), read_clock(libc::CLOCK_MONOTONIC));
        Self { now: Time(now), offset: now.saturating_sub(monotonic) }
    }

    fn at(&self, monotonic: u64) -> Time {
        Time(i64::try_from(monotonic).unwrap_or(i64::MAX).saturating_add(self.offset))
    }
}

#[allow(unsafe_code, reason = "clock_gettime")]
fn read_clock(which: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a whole structure to be written to. Both clocks exist on every system.
    unsafe { libc::clock_gettime(which, &raw mut time) };
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

impl Ready {
    fn new(options: &XdpOptions, interface: u32, queue: u32) -> io::Result<Self> {
        let (socket, chunks) = (Socket::new()?, Chunks::new(options.chunks as usize)?);
        socket.register(&chunks, options.chunks)?;
        let offsets = socket.offsets()?;
        let receive = Receive::new(socket.as_fd(), offsets.rx, options.chunks)?;
        let mut fill = Fill::new(socket.as_fd(), offsets.fr, options.chunks)?;
        (0..u64::from(options.chunks)).for_each(|chunk| fill.give(chunk * CHUNK as u64));
        fill.publish();
        socket.bind(interface, queue)?;
        Ok(Self { socket, chunks, receive, fill })
    }
}

fn load(options: &XdpOptions) -> Result<Ebpf, TapError> {
    let object = aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/bpf/xdp.o"));
    let settings = options.settings.words(options.take == XdpTake::Tunnels);
    let loaded = EbpfLoader::new().override_global("SETTINGS", &settings[..], true).load(object);
    loaded.map_err(|error| options.failure("load an XDP program for", io::Error::other(error)))
}

/// Puts the sockets into the program's map.
fn enter(program: &mut Ebpf, ready: &[Ready]) -> io::Result<()> {
    let map = program.map_mut("SOCKETS").ok_or_else(|| io::Error::other("the program has no map"))?;
    let mut map = XskMap::try_from(map).map_err(io::Error::other)?;
    for (queue, ready) in (0..).zip(ready) {
        map.set(queue, ready.socket.as_fd().as_raw_fd(), 0).map_err(io::Error::other)?;
    }
    Ok(())
}

fn attach(mut ebpf: Ebpf, options: &XdpOptions, index: u32) -> Result<Attached, TapError> {
    let missing = || io::Error::other("the object has no such program");
    let program = ebpf.program_mut("frames").ok_or_else(missing);
    let program = program.and_then(|program| <&mut Xdp>::try_from(program).map_err(bpf::cause));
    let program = program.map_err(|source| options.failure("load an XDP program for", source))?;
    program.load().map_err(|error| options.failure("load an XDP program for", bpf::cause(error)))?;
    let modes: &[_] = match options.hook {
        XdpHook::Best => &[XdpMode::Driver, XdpMode::Skb],
        XdpHook::Driver => &[XdpMode::Driver],
        XdpHook::Generic => &[XdpMode::Skb],
    };
    let mut last = io::Error::other("no hook");
    let mut is_attached = false;
    for mode in modes {
        match program.attach_to_if_index(index, *mode).map_err(bpf::cause) {
            Ok(_) => is_attached = true,
            Err(error) => last = error,
        }
        if is_attached || last.raw_os_error() == Some(libc::EBUSY) {
            break;
        }
    }
    if !is_attached {
        return Err(occupied(options, last));
    }
    let promiscuous = options.promiscuous.then(|| ring::Promiscuous::new(index)).transpose();
    let promiscuous = promiscuous.map_err(|source| options.failure("set promiscuous mode of", source))?;
    Ok(Attached {
        _program: ebpf,
        _promiscuous: promiscuous,
        interface: options.interface.clone(),
        has_kept_tags: socket::keep_tags(&options.interface),
    })
}

fn occupied(options: &XdpOptions, source: io::Error) -> TapError {
    let operation = "take frames by XDP from";
    match source.raw_os_error() {
        Some(libc::EBUSY | libc::EEXIST) => TapError::Interface {
            operation,
            interface: options.interface.clone(),
            hint: format!(
                ": another program is there, or has its queues; `ip link show {0}` tells which, `ip link set {0} xdp off` \
                 removes it",
                options.interface
            ),
            source,
        },
        _ => options.failure(operation, source),
    }
}

impl LiveSource for XdpSocket {
    fn receive(&mut self, batch: &mut FrameBatch, timeout: Duration) -> Result<Received, TapError> {
        batch.clear();
        let deadline = now() + timeout;
        loop {
            if self.take(batch) {
                return Ok(Received::Frames);
            }
            if self.has_ended {
                return Ok(Received::Ended);
            }
            let left = deadline.saturating_duration_since(now());
            let failed = self.socket.wait(left).map_err(|source| {
                let (interface, hint) = (self.interface.clone(), String::new());
                TapError::Interface { operation: "wait for", interface, hint, source }
            })?;
            if (failed || now() >= deadline) && self.receive.waiting() == 0 {
                // That the interface is gone shows only where it is asked for.
                self.trouble()?;
                return Ok(Received::Idle);
            }
        }
    }

    fn losses(&mut self) -> Losses {
        let Ok(lost) = self.socket.statistics() else { return Losses::default() };
        let dropped = lost.rx_dropped.saturating_add(lost.rx_ring_full);
        let here = self.account.entered.frames.saturating_add(u64::from(self.receive.waiting()));
        Losses { seen: here.saturating_add(dropped), dropped, freezes: lost.rx_fill_ring_empty_descs }
    }

    fn fill(&self) -> Option<f64> {
        Some(f64::from(self.receive.waiting()) / f64::from(self.receive.size()))
    }

    fn account(&self) -> &Account {
        &self.account
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }
}

#[allow(clippy::disallowed_methods, reason = "how long to wait is measured where the waiting is")]
fn now() -> Instant {
    Instant::now()
}
