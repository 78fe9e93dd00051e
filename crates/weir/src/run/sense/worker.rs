//! One worker: a thread with its own sources, its own decap and its own lane.
//!
//! ```text
//!   sources ─► decap ─► spread ──► own lane ─► records
//!                          └─► other workers' lanes (exchange)
//! ```
//!
//! Promises: packets of a flow are analysed in one lane, whatever worker received them. Waiting costs nothing; work is
//! done in batches. When told to stop, the worker reads what the kernel has taken already, within [`DRAIN`], then what
//! other workers have for it, and ends all connections.

use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use weir_decap::{Decap, Output};
use weir_ledger::{Account, Count, Hop, Reason};
use weir_record::Entries;
use weir_spread::lane_of;
use weir_tap::{FrameBatch, LiveSource, Losses, Precision, Received};
use weir_wire::UidKey;

use super::super::complain;
use super::super::deliver::Sender;
use super::super::worker::{Closed, Worker, close_after_panic};
use super::clock::LaneClock;
use super::exchange::{Inbox, Outbox, PATIENCE, Parcel};
use super::order::{HOLD, Order};

/// How often accounts are published, records delivered and time-outs looked at while nothing comes.
const TICK: Duration = Duration::from_millis(100);
/// How long sources are read on after the stop.
const DRAIN: Duration = Duration::from_secs(1);
/// When nothing came for this long after the stop, the sources are empty: longer than a ring keeps a block that is not full.
const QUIET: Duration = Duration::from_millis(60);
/// A source that failed is left alone for this long.
const REST: Duration = Duration::from_millis(100);

/// What is shared by all workers.
pub struct Shared {
    /// Set when all shall end.
    pub stop: Arc<AtomicBool>,
    /// What each worker has published, by its index.
    pub status: Vec<Mutex<Status>>,
    /// Times are cut to this.
    pub precision: Precision,
    /// Where time is counted from for the order of records.
    pub start: Instant,
    /// Whether a flow may come from several sources, so that its packets have to be put in order.
    pub mixed: bool,
}

/// What a worker tells of itself, ten times a second.
#[derive(Clone, Default, Debug)]
pub struct Status {
    /// The ledger of the tap hop of its sources, kernel's drops included.
    pub tap: Account,
    /// The ledger of its decap.
    pub decap: Account,
    /// The ledger of spread.
    pub spread: Account,
    /// The ledgers of its lane.
    pub closed: Closed,
    /// Connections in its lane now.
    pub flows: usize,
    /// What was lost before its sources, as the kernel says.
    pub losses: Losses,
}

/// One of the sources of a worker.
struct Source {
    reader: Box<dyn LiveSource>,
    /// Its number among the sources of all workers.
    feed: u16,
    rests_until: Option<Instant>,
}

/// A worker on its thread.
pub struct Thread {
    index: usize,
    sources: Vec<Source>,
    hops: Hops,
    inbox: Inbox,
    sender: Sender,
    shared: Arc<Shared>,
    batch: FrameBatch,
    tick_at: Instant,
}

/// What a batch goes through: apart from the sources, so that both can be borrowed at once.
struct Hops {
    decap: Decap,
    /// The accounts of those before it that panicked.
    decap_closed: Account,
    decap_given: Count,
    decap_panics: u64,
    config: weir_decap::Config,
    key: UidKey,
    spread: Account,
    worker: Worker,
    outbox: Option<Outbox>,
    entries: Entries,
    clock: LaneClock,
    /// Where packets wait for older ones; none where a flow comes from one source only.
    order: Option<Order>,
    index: usize,
    workers: usize,
    /// The largest sequence number that was given.
    sequence: u64,
}

/// What a [`Thread`] is made of.
pub struct Parts {
    /// Its index among the workers.
    pub index: usize,
    /// Whom it reads, with their numbers among the sources of all workers.
    pub sources: Vec<(u16, Box<dyn LiveSource>)>,
    /// For its decap.
    pub config: weir_decap::Config,
    /// Makes uids.
    pub key: UidKey,
    /// Its lane.
    pub worker: Worker,
    /// Its ends of the queues.
    pub ends: (Inbox, Outbox),
    /// Where records go.
    pub sender: Sender,
}

impl Thread {
    /// A worker that has not begun.
    pub fn new(parts: Parts, shared: Arc<Shared>) -> Self {
        let (inbox, outbox) = parts.ends;
        let source = |(feed, reader)| Source { reader, feed, rests_until: None };
        let hops = Hops {
            decap: Decap::new(parts.config.clone(), parts.key),
            decap_closed: Account::default(),
            decap_given: Count::default(),
            decap_panics: 0,
            config: parts.config,
            key: parts.key,
            spread: Account::default(),
            worker: parts.worker,
            outbox: Some(outbox),
            entries: Entries::default(),
            clock: LaneClock::default(),
            order: shared.mixed.then(Order::default),
            index: parts.index,
            workers: shared.status.len(),
            sequence: 0,
        };
        Self {
            index: parts.index,
            sources: parts.sources.into_iter().map(source).collect(),
            hops,
            inbox,
            sender: parts.sender,
            tick_at: shared.start,
            shared,
            batch: FrameBatch::default(),
        }
    }

    /// Works until told to stop.
    pub fn run(mut self) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            let busy = self.round();
            self.tick(now());
            if !busy {
                self.sleep();
            }
        }
        self.drain();
        self.finish();
    }

    /// Takes what is there, from sources and from others. Answers whether there was anything.
    fn round(&mut self) -> bool {
        let mut busy = false;
        for index in 0..self.sources.len() {
            busy |= self.receive(index);
        }
        while let Some(parcel) = self.inbox.take() {
            self.hops.parcel(parcel, self.shared.start);
            busy = true;
        }
        self.hops.release(false, self.shared.start);
        busy
    }

    /// Takes a batch from a source, without waiting.
    fn receive(&mut self, index: usize) -> bool {
        let Some(Source { reader, feed, rests_until }) = self.sources.get_mut(index) else { return false };
        if rests_until.is_some_and(|until| until > now()) {
            return false;
        }
        *rests_until = None;
        match reader.receive(&mut self.batch, Duration::ZERO) {
            Ok(Received::Frames) => {}
            Ok(Received::Idle) => return false,
            Ok(Received::Ended) => {
                *rests_until = Some(now() + REST);
                return false;
            }
            Err(error) => {
                complain(&error.into());
                *rests_until = Some(now() + REST);
                return false;
            }
        }
        self.hops.batch(&mut self.batch, *feed, &self.shared, &self.inbox);
        // The ring's block goes back to the kernel.
        self.batch.clear();
        true
    }

    /// Waits until there is something to do, a tick at most.
    fn sleep(&mut self) {
        if let Some(parcel) = self.inbox.fall_asleep() {
            self.hops.parcel(parcel, self.shared.start);
            return;
        }
        let at = now();
        let resting = |source: &&Source| source.rests_until.is_none_or(|until| until <= at);
        let sources = self.sources.iter().filter(resting).filter_map(|s| s.reader.descriptor());
        let descriptors: Vec<BorrowedFd<'_>> = sources.chain([self.inbox.descriptor()]).collect();
        let mut ready: Vec<_> =
            descriptors.iter().map(|d| PollFd::new(d.as_fd(), PollFlags::POLLIN)).collect();
        // What waits for older packets has to be looked at more often.
        let most = if self.shared.mixed { HOLD / 4 } else { TICK };
        let left = self.tick_at.saturating_duration_since(at).min(most).as_millis() as u16 + 1;
        // Interrupted or not, the next round finds out what there is.
        let _ = poll(&mut ready, PollTimeout::from(left));
        self.inbox.wake_up();
    }

    /// Does what is due by time.
    fn tick(&mut self, at: Instant) {
        if at < self.tick_at {
            return;
        }
        self.tick_at = at + TICK;
        self.hops.advance(at, self.shared.start);
        self.deliver(false);
        self.publish(false);
    }

    fn deliver(&mut self, last: bool) {
        let up_to = if last { u64::MAX } else { self.hops.sequence };
        // A writer that is gone has said why.
        let _ = self.sender.send(&mut self.hops.entries, up_to);
    }

    /// `last`: what the kernel still has will not be read.
    fn publish(&mut self, last: bool) {
        let mut status = Status::default();
        for Source { reader, .. } in &mut self.sources {
            let losses = reader.losses();
            let taken = losses.dropped.saturating_add(reader.account().entered.frames);
            let left = Count::new(losses.seen.saturating_sub(taken), 0);
            if last {
                status.tap.enter(left);
                status.tap.drop(Reason::LeftAtStop, left);
            }
            status.tap.merge(reader.account());
            status.losses = status.losses.plus(losses);
        }
        let lost = Count::new(status.losses.dropped, 0);
        status.tap.enter(lost);
        status.tap.drop(Reason::KernelDropped, lost);
        self.hops.status(&mut status);
        if let Some(place) = self.shared.status.get(self.index) {
            // Whoever panicked with the lock has left a status that is about to be replaced.
            *place.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = status;
        }
    }

    /// Reads what the kernel has taken before the stop.
    fn drain(&mut self) {
        let stopped = now();
        let mut last = stopped;
        loop {
            let at = now();
            if at.duration_since(stopped) > DRAIN || at.duration_since(last) > QUIET {
                break;
            }
            if self.round() {
                last = at;
            } else {
                std::thread::sleep(Duration::from_millis(2));
            }
            self.tick(at);
        }
    }

    /// Hands over what is left, takes what others have left, and ends all connections.
    fn finish(mut self) {
        self.hops.finish_decap();
        self.hops.send(u16::MAX, &self.inbox, self.shared.start);
        self.hops.outbox = None;
        while let Ok(parcel) = self.inbox.wait(TICK) {
            if let Some(parcel) = parcel {
                self.hops.parcel(parcel, self.shared.start);
            }
            self.hops.release(false, self.shared.start);
            self.tick(now());
        }
        self.hops.release(true, self.shared.start);
        while self.hops.finish_lane() {
            self.deliver(false);
        }
        self.deliver(true);
        self.publish(true);
    }
}

impl Hops {
    /// Takes a batch of frames to the lanes of their flows.
    fn batch(&mut self, batch: &mut FrameBatch, feed: u16, shared: &Shared, inbox: &Inbox) {
        let at = now();
        self.sequence = self.sequence.max(nanoseconds(shared.start, at));
        for frame in &mut batch.frames {
            self.sequence += 1;
            frame.sequence = self.sequence;
            frame.time = shared.precision.of(frame.time);
        }
        if let Some(latest) =
            batch.frames.iter().map(|frame| frame.time).max().filter(|_| self.order.is_none())
        {
            self.clock.packet(latest, at);
        }
        let mut out = Output { packets: Vec::new(), entries: std::mem::take(&mut self.entries) };
        let mut frames = batch.iter();
        loop {
            let work = AssertUnwindSafe(|| {
                let mut full = false;
                for frame in frames.by_ref() {
                    self.decap_given += Count::one(u64::from(frame.wire_len));
                    self.decap.frame(&frame, &mut out);
                    full |= self.packets(&mut out);
                    if full {
                        return true;
                    }
                }
                false
            });
            match catch_unwind(work) {
                Ok(false) => break,
                Ok(true) => {
                    self.entries = std::mem::take(&mut out.entries);
                    self.send(feed, inbox, shared.start);
                    out.entries = std::mem::take(&mut self.entries);
                }
                Err(_) => self.replace_decap(&mut out),
            }
        }
        self.entries = out.entries;
        self.send(feed, inbox, shared.start);
    }

    /// Takes the packets of a frame to their lanes; answers whether a load is large enough to go.
    fn packets(&mut self, out: &mut Output<'_>) -> bool {
        let Output { packets, entries } = out;
        let mut full = false;
        let (spread, outbox) = (&mut self.spread, &mut self.outbox);
        let (index, workers, ordered) = (self.index, self.workers, self.order.is_some());
        let own = packets.drain(..).filter(|packet| {
            let count = Count::new(u64::from(packet.head.frames), packet.head.frame_bytes);
            spread.enter(count);
            let home = lane_of(&packet.head.key, workers);
            match outbox {
                Some(outbox) if home != index => {
                    full |= outbox.load(home, packet);
                    false
                }
                Some(outbox) if ordered => {
                    spread.pass(count);
                    full |= outbox.load(home, packet);
                    false
                }
                Some(_) | None => {
                    spread.pass(count);
                    true
                }
            }
        });
        self.worker.packets(own, entries);
        full
    }

    /// Sends what is loaded for others. While there is no room, the own parcels are worked on.
    fn send(&mut self, feed: u16, inbox: &Inbox, start: Instant) {
        let Some(mut outbox) = self.outbox.take() else { return };
        let mut spread = std::mem::take(&mut self.spread);
        let mut since = None;
        outbox.send(feed, &mut spread, || {
            if let Some(parcel) = inbox.take() {
                self.parcel(parcel, start);
            } else {
                std::thread::sleep(Duration::from_micros(200));
            }
            now().duration_since(*since.get_or_insert_with(now)) < PATIENCE
        });
        self.spread = spread;
        if let Some(order) = &mut self.order {
            order.put(outbox.take_own(feed), now());
        }
        self.outbox = Some(outbox);
    }

    /// Takes what another worker received.
    fn parcel(&mut self, parcel: Parcel, start: Instant) {
        let at = now();
        if let Some(order) = &mut self.order {
            order.put(parcel, at);
            return;
        }
        self.sequence = self.sequence.max(nanoseconds(start, at)) + 1;
        let clock = &mut self.clock;
        let packets = parcel.packets(self.sequence).inspect(|packet| clock.packet(packet.head.time, at));
        self.worker.packets(packets, &mut self.entries);
    }

    /// Analyses what need not wait for older packets any longer.
    fn release(&mut self, all: bool, start: Instant) {
        let Some(order) = &mut self.order else { return };
        let at = now();
        self.sequence = self.sequence.max(nanoseconds(start, at)) + 1;
        let (sequence, clock, worker, entries) =
            (self.sequence, &mut self.clock, &mut self.worker, &mut self.entries);
        order.release(at, all, |mut packet| {
            packet.head.sequence = sequence;
            clock.packet(packet.head.time, at);
            worker.packets(std::iter::once(packet), entries);
        });
    }

    /// Lets time pass.
    fn advance(&mut self, at: Instant, start: Instant) {
        self.sequence = self.sequence.max(nanoseconds(start, at));
        self.entries.sequence = self.sequence;
        let Some(now) = self.clock.now(at) else { return };
        let mut out = Output { packets: Vec::new(), entries: std::mem::take(&mut self.entries) };
        if catch_unwind(AssertUnwindSafe(|| self.decap.advance(now, &mut out))).is_err() {
            self.replace_decap(&mut out);
        }
        self.entries = out.entries;
        self.worker.advance(now, &mut self.entries);
    }

    /// No frame comes any more.
    fn finish_decap(&mut self) {
        let mut out = Output { packets: Vec::new(), entries: std::mem::take(&mut self.entries) };
        if catch_unwind(AssertUnwindSafe(|| self.decap.finish(&mut out))).is_err() {
            self.replace_decap(&mut out);
        }
        self.entries = out.entries;
    }

    /// No packet comes any more: ends connections, so many at a time. Answers whether there are more.
    fn finish_lane(&mut self) -> bool {
        self.sequence += 1;
        self.entries.sequence = self.sequence;
        self.clock.now(now()).is_some_and(|now| self.worker.finish(now, &mut self.entries))
    }

    /// Closes the account of a decap that panicked, and goes on with a new one. Packets that it had found are lost with it.
    fn replace_decap(&mut self, out: &mut Output<'_>) {
        out.packets.clear();
        let mut account = self.decap.account().clone();
        close_after_panic(&mut account, self.decap_given);
        self.decap_closed.merge(&account);
        self.decap_given = Count::default();
        self.decap_panics += 1;
        self.decap = Decap::new(self.config.clone(), self.key);
    }

    fn status(&self, status: &mut Status) {
        status.decap = self.decap_closed.clone();
        status.decap.merge(self.decap.account());
        status.spread = self.spread.clone();
        status.closed = self.worker.so_far();
        status.closed.panics += self.decap_panics;
        status.flows = self.worker.flows();
    }
}

impl Status {
    /// Adds what another worker tells.
    pub fn merge(&mut self, other: &Self) {
        self.tap.merge(&other.tap);
        self.decap.merge(&other.decap);
        self.spread.merge(&other.spread);
        self.closed.merge(&other.closed);
        self.flows += other.flows;
        self.losses = self.losses.plus(other.losses);
    }

    /// The ledger, hop by hop.
    pub fn balance(&self) -> weir_ledger::Balance {
        let mut balance = weir_ledger::Balance::default();
        balance.add(Hop::Tap, &self.tap);
        balance.add(Hop::Decap, &self.decap);
        balance.add(Hop::Spread, &self.spread);
        balance.add(Hop::Analyse, &self.closed.account);
        balance.streams = self.closed.streams;
        balance
    }
}

fn nanoseconds(start: Instant, at: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(start).as_nanos()).unwrap_or(u64::MAX)
}

#[allow(clippy::disallowed_methods, reason = "a worker lives by the clock")]
fn now() -> Instant {
    Instant::now()
}
