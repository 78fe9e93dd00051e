//! Frames of an interface, through a ring of blocks that the kernel fills (AF_PACKET, TPACKET_V3).
//!
//! Promises:
//! - Frames are as they were on the wire: VLAN tags are put back, whatever the kernel did with them.
//! - Nothing is copied: batches point into the ring, and the kernel gets a block back when the last clone of it is gone. Who
//!   holds blocks for long makes the ring smaller.
//! - `seen` of [`Losses`] = frames handed over + dropped by the kernel + filtered here + still in the ring.
//! - When the interface goes down or away, [`receive`](LiveSource::receive) says so once, and goes on by itself when the
//!   interface is there again: it has to be called for that.
//!
//! Super-frames (GSO, GRO) are taken whole; the size of the packets that they stand for is in [`weir_wire::Offload`], except SCTP's,
//! which the kernel counts as dropped.
//!
//! Source: packet(7), Documentation/networking/packet_mmap.rst.

mod abi;
mod frame;
mod gate;
mod memory;
mod options;
mod setup;
mod socket;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use weir_ledger::{Account, Count, Reason};

use crate::{Block, Filter, FrameBatch, FrameMeta, LiveSource, Losses, MAX_FRAMES, Received, TapError};
pub(crate) use memory::RingBlock;
pub use options::{Fanout, FanoutMode, RingClock, RingDirection, RingOptions};
use setup::{Ready, failure};
use socket::Waiter;
pub use socket::interfaces;
pub(super) use socket::{Promiscuous, index_of};

/// How often a vanished interface is looked for.
const RETRY: Duration = Duration::from_millis(200);

/// So many bytes of a block are fetched before they are read: two frames of the usual length or some more, less than the smallest cache has.
const AHEAD: usize = 4096;

/// The ring of one interface (or of `any`). Read by one thread; see the [module](self) for what it promises.
pub struct PacketRing {
    options: RingOptions,
    waiter: Waiter,
    live: Option<Live>,
    filter: Option<Filter>,
    account: Account,
    losses: Losses,
    /// Frames of `block` that do not fit in a batch, from `handed` on.
    waiting: Vec<FrameMeta>,
    handed: usize,
    block: Block,
    retry_at: Instant,
}

/// What there is only while the interface is.
struct Live {
    ready: Ready,
    /// The block that comes next, and the number of the last one that was taken from each place.
    next: usize,
    taken: Vec<u64>,
    /// The interface was said to be down; it may be gone.
    is_down: bool,
}

impl PacketRing {
    /// Opens a ring, which takes frames from now on.
    ///
    /// # Errors
    /// No permission, no such interface, no memory for the ring, a filter that is not understood: [`TapError::Interface`]
    /// and [`TapError::Filter`] say what to do.
    pub fn open(options: &RingOptions) -> Result<Self, TapError> {
        let ring = Self::prepare(options)?;
        ring.start()?;
        Ok(ring)
    }

    /// Opens `count` rings of one fanout group, which take frames only when all of them are there, so that no flow changes
    /// its ring while they are opened.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_group(options: &RingOptions, count: usize) -> Result<Vec<Self>, TapError> {
        Self::open_all((0..count).map(|_| options))
    }

    /// Opens rings that belong together, one for each of the options, such as have a [`share`](RingOptions::share) each: they take
    /// frames only when all of them are there.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_all<'o>(options: impl IntoIterator<Item = &'o RingOptions>) -> Result<Vec<Self>, TapError> {
        let rings: Vec<_> = options.into_iter().map(Self::prepare).collect::<Result<_, _>>()?;
        rings.iter().try_for_each(Self::start)?;
        Ok(rings)
    }

    fn prepare(options: &RingOptions) -> Result<Self, TapError> {
        let filter = options.filter.as_deref().map(Filter::new).transpose();
        let filter =
            filter.map_err(|source| TapError::Filter { interface: options.interface.clone(), source })?;
        let waiter = Waiter::new().map_err(|source| failure("wait for", options, source))?;
        let live = Live::open(options, filter.as_ref(), &waiter)?;
        Ok(Self {
            options: options.clone(),
            waiter,
            live: Some(live),
            filter,
            account: Account::default(),
            losses: Losses::default(),
            waiting: Vec::with_capacity(MAX_FRAMES),
            handed: 0,
            block: Block::default(),
            retry_at: now(),
        })
    }

    fn start(&self) -> Result<(), TapError> {
        self.live.as_ref().map_or(Ok(()), |live| live.ready.start(&self.options))
    }

    /// Hands over what waits, as much as fits. Answers whether there was anything.
    fn hand_over(&mut self, batch: &mut FrameBatch) -> bool {
        if self.handed >= self.waiting.len() {
            return false;
        }
        batch.block = self.block.clone();
        if self.handed == 0 && self.waiting.len() <= MAX_FRAMES {
            std::mem::swap(&mut batch.frames, &mut self.waiting);
        } else {
            let end = self.waiting.len().min(self.handed + MAX_FRAMES);
            batch.frames.extend_from_slice(self.waiting.get(self.handed..end).unwrap_or_default());
            self.handed = end;
        }
        if self.handed >= self.waiting.len() {
            self.waiting.clear();
            self.handed = 0;
            self.block = Block::default();
        }
        let bytes = batch.frames.iter().map(|frame| u64::from(frame.wire_len)).sum();
        let count = Count::new(batch.frames.len() as u64, bytes);
        self.account.release(count);
        self.account.pass(count);
        true
    }

    /// Takes the next block of the ring, if it is ours. Answers whether it was.
    fn take_block(&mut self) -> bool {
        let Some(live) = &mut self.live else { return false };
        let Some(mut block) = live.take() else { return false };
        live.is_down = false;
        let (frames, mut at) = block.frames();
        let vnet = live.ready.vnet;
        let (mut count, mut fetched) = (Count::default(), at);
        for _ in 0..frames {
            // The kernel does not lie about its own structure; if it did, the rest of the block is missing from `passed`,
            // and `seen` tells.
            block.fetch(fetched.max(at), at.saturating_add(AHEAD));
            fetched = fetched.max(at.saturating_add(AHEAD));
            let Some(found) = frame::take(block.bytes_mut(), at, vnet) else { break };
            at = at.saturating_add(found.next);
            let meta = FrameMeta { tap: self.options.tap, ..found.meta };
            let wire = Count::one(u64::from(meta.wire_len));
            self.account.enter(wire);
            if found.unjudged && !self.is_wanted(&block, &meta) {
                self.account.drop(Reason::Filtered, wire);
                continue;
            }
            count += wire;
            self.waiting.push(meta);
        }
        self.account.hold(count);
        self.block = Block::ring(block);
        true
    }

    /// What the expression says of a frame that the kernel could not judge. Where it cannot be said of the link type (no
    /// addresses of Ethernet in raw IP), the frame is not what it asks for.
    fn is_wanted(&mut self, block: &RingBlock, meta: &FrameMeta) -> bool {
        let frame = meta.frame(block.bytes());
        self.filter.as_mut().is_none_or(|filter| filter.matches(&frame).unwrap_or(false))
    }

    /// Waits until `deadline` or until something has happened; an error of the interface is answered once.
    fn wait(&mut self, deadline: Instant) -> Result<(), TapError> {
        if self.live.as_ref().is_some_and(|live| live.is_down && live.ready.socket.is_orphan()) {
            self.close();
        }
        let now = now();
        if self.live.is_none() {
            if self.retry_at > now {
                std::thread::sleep(self.retry_at.min(deadline).saturating_duration_since(now));
                return Ok(());
            }
            self.retry_at = now + RETRY;
            if let Ok(live) = Live::open(&self.options, self.filter.as_ref(), &self.waiter) {
                live.ready.start(&self.options)?;
                self.live = Some(live);
            }
            return Ok(());
        }
        // A bit longer rather than a bit shorter, as the wait is in whole milliseconds.
        let left = deadline.saturating_duration_since(now).as_micros().div_ceil(1000);
        // Whether the interface is gone shows only when it is looked at.
        let most = if self.live.as_ref().is_some_and(|live| live.is_down) {
            RETRY.as_millis()
        } else {
            i32::MAX as u128
        };
        let failed = self
            .waiter
            .wait(left.min(most) as i32)
            .map_err(|source| failure("wait for", &self.options, source))?;
        if failed { self.trouble() } else { Ok(()) }
    }

    /// What has happened to the interface.
    fn trouble(&mut self) -> Result<(), TapError> {
        let Some(live) = &mut self.live else { return Ok(()) };
        let error = live.ready.socket.take_error().unwrap_or_else(Some);
        let Some(source) = error else { return Ok(()) };
        live.is_down = true;
        let is_gone = live.ready.socket.is_orphan();
        if is_gone {
            self.close();
        }
        let what = if is_gone { "gone" } else { "down" };
        let hint = format!(": it is {what}; capturing goes on when it is back");
        let interface = self.options.interface.clone();
        Err(TapError::Interface { operation: "read from", interface, hint, source })
    }

    /// Lets go of the socket of an interface that is gone, after its last counts.
    fn close(&mut self) {
        self.count();
        if let Some(live) = self.live.take() {
            self.waiter.remove(&live.ready.socket);
        }
        self.retry_at = now();
    }

    fn count(&mut self) {
        let Some(live) = &self.live else { return };
        if let Ok(new) = live.ready.socket.statistics() {
            self.losses = self.losses.plus(Losses {
                seen: u64::from(new.packets),
                dropped: u64::from(new.drops),
                freezes: u64::from(new.freezes),
            });
        }
    }
}

impl LiveSource for PacketRing {
    fn receive(&mut self, batch: &mut FrameBatch, timeout: Duration) -> Result<Received, TapError> {
        batch.clear();
        if self.hand_over(batch) {
            return Ok(Received::Frames);
        }
        let deadline = now() + timeout;
        loop {
            if self.take_block() {
                if self.hand_over(batch) {
                    return Ok(Received::Frames);
                }
                self.block = Block::default();
            } else {
                self.wait(deadline)?;
                // What came while waiting is taken before the time is looked at.
                if now() >= deadline && !self.take_block() {
                    return Ok(Received::Idle);
                }
                if self.hand_over(batch) {
                    return Ok(Received::Frames);
                }
            }
        }
    }

    fn losses(&mut self) -> Losses {
        self.count();
        self.losses
    }

    fn set_filter(&mut self, expression: Option<&str>) -> Result<bool, TapError> {
        let filter = expression.map(Filter::new).transpose();
        let filter = filter
            .map_err(|source| TapError::Filter { interface: self.options.interface.clone(), source })?;
        if let Some(live) = &mut self.live {
            live.ready.set_filter(&self.options, filter.as_ref())?;
        }
        self.options.filter = expression.map(str::to_owned);
        self.filter = filter;
        Ok(true)
    }

    fn fill(&self) -> Option<f64> {
        let used = self.live.as_ref()?.ready.memory.used();
        Some(used as f64 / self.options.blocks.max(1) as f64)
    }

    fn account(&self) -> &Account {
        &self.account
    }

    fn name(&self) -> &str {
        &self.options.interface
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.waiter.as_fd())
    }
}

impl Live {
    fn open(options: &RingOptions, filter: Option<&Filter>, waiter: &Waiter) -> Result<Self, TapError> {
        let ready = Ready::new(options, filter)?;
        waiter.add(&ready.socket).map_err(|source: io::Error| failure("wait for", options, source))?;
        Ok(Self { ready, next: 0, taken: vec![0; options.blocks], is_down: false })
    }

    fn take(&mut self) -> Option<RingBlock> {
        let last = self.taken.get_mut(self.next)?;
        let block = self.ready.memory.take(self.next, *last)?;
        *last = block.number();
        self.next = (self.next + 1) % self.taken.len().max(1);
        Some(block)
    }
}

#[allow(clippy::disallowed_methods, reason = "how long to wait is measured where the waiting is")]
fn now() -> Instant {
    Instant::now()
}
