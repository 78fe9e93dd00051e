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
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use weir_decap::carried::{Arrivals, Carried};
use weir_ledger::{Count, Reason};
use weir_spread::Shedder;
use weir_tap::{FrameBatch, LiveSource, Precision, Received};
use weir_wire::{Interval, Time, UidKey};

use super::super::carried::Senders;
use super::super::complain;
use super::super::deliver::Sender;
use super::super::worker::Worker;
use super::exchange::{Inbox, Outbox};
use super::hops::{HopParts, Hops};
use super::meter::{self, Meter, Readings};
use super::order::HOLD;
use super::snapshot::LogSnapshot;
use super::status::{SourceStatus, Status};

/// How often accounts are published, records delivered and time-outs looked at while nothing comes.
const TICK: Duration = Duration::from_millis(100);
/// How long sources are read on after the stop.
const DRAIN: Duration = Duration::from_secs(1);
/// When nothing came for this long after the stop, the sources are empty: longer than a ring keeps a block that is not full.
const QUIET: Duration = Duration::from_millis(60);
/// A worker that has told nothing for this long does not work any more: far longer than [`PATIENCE`](super::exchange::PATIENCE).
pub const STUCK: Duration = Duration::from_secs(10);
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
    /// How traffic is split, as the user names it.
    pub balance: String,
    /// What the writer has published of each log.
    pub logged: Mutex<Vec<LogSnapshot>>,
    /// Set when logs shall be rotated now.
    pub rotate: AtomicBool,
    /// Which sequence numbers of tunnels came, to all workers.
    pub carried: Mutex<Carried>,
}

impl Shared {
    /// Who numbers what he sends, and what of it was lost on the way.
    pub fn senders(&self) -> Senders {
        Senders::from(&*self.carried.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes over what a worker noted.
    pub fn carried(&self, arrivals: &mut Arrivals) {
        if !arrivals.is_empty() {
            self.carried.lock().unwrap_or_else(PoisonError::into_inner).merge(arrivals);
        }
    }
}

impl Shared {
    /// Whether every worker has told something lately. A worker tells ten times a second, also where nothing comes.
    pub fn makes_progress(&self, at: Instant) -> bool {
        self.status.iter().all(|place| {
            let told = place.lock().unwrap_or_else(std::sync::PoisonError::into_inner).told;
            at.saturating_duration_since(told.unwrap_or(self.start)) < STUCK
        })
    }
}

#[cfg(test)]
impl Shared {
    /// Of workers that have not told anything yet.
    pub fn for_tests(workers: usize) -> Self {
        Self {
            stop: Arc::default(),
            status: std::iter::repeat_with(Mutex::default).take(workers).collect(),
            precision: Precision::Micros,
            start: now(),
            mixed: false,
            balance: String::new(),
            logged: Mutex::default(),
            rotate: AtomicBool::new(false),
            carried: Mutex::default(),
        }
    }
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
    meter: Meter,
    /// Records that were made.
    records: u64,
    shedder: Shedder,
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
    /// What it tells of itself in logs.
    pub meter: Meter,
    /// How full a ring may be, 0 to 1, before flows are left out; 0: they never are.
    pub shed_above: f64,
}

impl Thread {
    /// A worker that has not begun.
    pub fn new(parts: Parts, shared: Arc<Shared>) -> Self {
        let (inbox, outbox) = parts.ends;
        let source = |(feed, reader)| Source { reader, feed, rests_until: None };
        let Parts { index, config, key, worker, .. } = parts;
        let hops = Hops::new(HopParts { index, config, key, worker, outbox }, &shared);
        Self {
            index,
            sources: parts.sources.into_iter().map(source).collect(),
            hops,
            inbox,
            sender: parts.sender,
            tick_at: shared.start,
            shedder: Shedder::new(parts.shed_above),
            shared,
            batch: FrameBatch::default(),
            meter: parts.meter,
            records: 0,
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
        let fills = self.sources.iter().filter_map(|source| source.reader.fill());
        let shed = self.shedder.look(fills.fold(self.inbox.fill(), f64::max));
        self.hops.shed(shed);
        self.hops.advance(at, self.shared.start);
        self.deliver(false);
        let status = self.publish(false);
        self.measure(at, &status);
    }

    /// Adds the records about this worker that are due.
    fn measure(&mut self, at: Instant, status: &Status) {
        if !self.meter.is_due(at) {
            return;
        }
        let wall = meter::wall();
        // What the clock said when the last frame came.
        let lag = |(time, came): (Time, Instant)| wall.since(time + span(at.saturating_duration_since(came)));
        let readings = Readings {
            tap: &status.tap,
            losses: status.losses,
            tally: status.closed.tally,
            streams: &status.closed.streams,
            fragment_memory: status.fragment_memory,
            records: self.records,
            lag: self.hops.last().map(lag),
        };
        let records = self.meter.records(at, wall, meter::resident_memory(), &readings);
        let (entries, _) = self.hops.records();
        for record in records {
            entries.push(record);
        }
    }

    fn deliver(&mut self, last: bool) {
        let (entries, sequence) = self.hops.records();
        self.records += entries.len() as u64;
        // A writer that is gone has said why.
        let _ = self.sender.send(entries, if last { u64::MAX } else { sequence });
    }

    /// `last`: what the kernel still has will not be read.
    fn publish(&mut self, last: bool) -> Status {
        let mut status = Status { told: Some(now()), ..Status::default() };
        for Source { reader, feed, .. } in &mut self.sources {
            let losses = reader.losses();
            let taken = losses.dropped.saturating_add(reader.account().entered.frames);
            let left = Count::new(losses.seen.saturating_sub(taken), 0);
            if last {
                status.tap.enter(left);
                status.tap.drop(Reason::LeftAtStop, left);
            }
            status.tap.merge(reader.account());
            status.losses = status.losses.plus(losses);
            status.sources.push(SourceStatus {
                number: *feed,
                name: reader.name().to_owned(),
                received: reader.account().passed,
                losses,
                fill: reader.fill(),
            });
        }
        let lost = Count::new(status.losses.dropped, 0);
        status.tap.enter(lost);
        status.tap.drop(Reason::KernelDropped, lost);
        self.hops.status(&mut status);
        self.shared.carried(self.hops.arrivals());
        if let Some(place) = self.shared.status.get(self.index) {
            // Whoever panicked with the lock has left a status that is about to be replaced.
            place.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone_from(&status);
        }
        status
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
        self.hops.close_outbox();
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

fn span(span: Duration) -> Interval {
    Interval(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX))
}

#[allow(clippy::disallowed_methods, reason = "a worker lives by the clock")]
fn now() -> Instant {
    Instant::now()
}
