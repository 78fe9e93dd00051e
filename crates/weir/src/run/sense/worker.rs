//! One worker: a thread with its own intakes (sources and decap) and its own lanes.
//!
//! ```text
//!   sources ─► decap ─► spread ──► own lanes ─► records
//!                          └─► other workers' lanes (exchange)
//! ```
//!
//! Promises: packets of a flow are analysed in one lane, whatever worker received them. Waiting costs nothing; work is
//! done in batches. When told to stop, the worker reads what the kernel has taken already, within [`DRAIN`], then what
//! other workers have for it, and ends all connections. When told to pause, it hands over and takes what is on its way
//! between workers, and gives intakes and lanes back as they are, while the kernel collects frames.

use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::time::{ClockId, clock_gettime};
use weir_decap::carried::{Arrivals, Carried};
use weir_ledger::Account;
use weir_record::Entries;
use weir_spread::Shedder;
use weir_tap::{FrameBatch, Precision};
use weir_wire::{Interval, Time};

use super::super::carried::Senders;
use super::super::complain;
use super::super::deliver::Sender;
use super::clock::LaneClock;
use super::exchange::{Inbox, Outbox};
use super::fault::Fault;
use super::hops::Hops;
use super::intake::Intake;
use super::lanes::Lanes;
use super::meter::{self, Meter, Readings};
use super::order::{HOLD, Order};
use super::snapshot::LogSnapshot;
use super::status::Status;
use super::writer::Rotation;

/// How often accounts are published, records delivered and time-outs looked at while nothing comes.
const TICK: Duration = Duration::from_millis(100);
/// How long sources are read on after the stop.
const DRAIN: Duration = Duration::from_secs(1);
/// When nothing came for this long after the stop, the sources are empty: longer than a ring keeps a block that is not full.
const QUIET: Duration = Duration::from_millis(60);
/// A worker that has told nothing for this long does not work any more: far longer than [`PATIENCE`](super::exchange::PATIENCE).
pub const STUCK: Duration = Duration::from_secs(10);

/// What is shared by all workers, the writer and those who ask.
pub struct Shared {
    /// Set when all shall end.
    pub stop: AtomicBool,
    /// Set when all workers shall give back what they have.
    pub pause: AtomicBool,
    /// How many workers there are now.
    pub workers: AtomicUsize,
    /// What each worker has published, by its index: those that were and those that may be, too.
    pub status: Vec<Mutex<Status>>,
    /// Times are cut to this.
    pub precision: Precision,
    /// Where time is counted from for the order of records.
    pub start: Instant,
    /// How traffic is split, as the user names it.
    pub balance: String,
    /// What the writer has published of each log.
    pub logged: Mutex<Vec<LogSnapshot>>,
    /// Set when logs shall be rotated now.
    pub rotate: AtomicBool,
    /// How logs shall be rotated from now on, when that was changed.
    pub rotation: Mutex<Option<Rotation>>,
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

    /// Whether every worker has told something lately. A worker tells ten times a second, also where nothing comes.
    pub fn makes_progress(&self, at: Instant) -> bool {
        self.status.iter().take(self.workers.load(Ordering::Relaxed)).all(|place| {
            let told = place.lock().unwrap_or_else(PoisonError::into_inner).told;
            at.saturating_duration_since(told.unwrap_or(self.start)) < STUCK
        })
    }

    /// Before anything was told, by so many workers at most.
    pub fn new(workers: usize, balance: String) -> Self {
        Self {
            stop: AtomicBool::default(),
            pause: AtomicBool::default(),
            workers: AtomicUsize::default(),
            status: std::iter::repeat_with(Mutex::default).take(workers).collect(),
            precision: Precision::Micros,
            start: now(),
            balance,
            logged: Mutex::default(),
            rotate: AtomicBool::default(),
            rotation: Mutex::default(),
            carried: Mutex::default(),
        }
    }
}

/// What a worker works with, and gives back.
pub struct Parts {
    /// Where its frames come in.
    pub intakes: Vec<Intake>,
    /// Its lanes.
    pub lanes: Lanes,
    /// What time it is in them.
    pub clock: LaneClock,
    /// Packets that wait for older ones, where a flow may come from several sources.
    pub order: Option<Order>,
    /// Where records go, and what is told in them of the worker.
    pub desk: Desk,
}

/// What belongs to the number of a worker, whoever has it.
pub struct Desk {
    /// Where records go.
    pub sender: Sender,
    /// What it tells of itself in logs.
    pub meter: Meter,
    /// How full a ring may be, 0 to 1, before flows are left out; 0: they never are.
    pub shed_above: f64,
}

/// A worker on its thread.
pub struct Thread {
    index: usize,
    intakes: Vec<Intake>,
    hops: Hops,
    inbox: Inbox,
    desk: Desk,
    /// Records that were made.
    records: u64,
    shedder: Shedder,
    shared: Arc<Shared>,
    batch: FrameBatch,
    tick_at: Instant,
    /// What had been counted when this thread began: by the workers of this index, and by its intakes and lanes.
    before: (Status, Status),
    fault: Fault,
}

impl Thread {
    /// A worker that has not begun.
    pub fn new(index: usize, parts: Parts, ends: (Inbox, Outbox), shared: Arc<Shared>) -> Self {
        let (inbox, outbox) = ends;
        let Parts { intakes, lanes, clock, order, desk } = parts;
        let place = shared.status.get(index);
        let told = place.map(|place| place.lock().unwrap_or_else(PoisonError::into_inner).counted());
        let mut thread = Self {
            index,
            intakes,
            hops: Hops::new(lanes, clock, order, outbox, shared.start),
            inbox,
            shedder: Shedder::new(desk.shed_above),
            desk,
            records: 0,
            tick_at: shared.start,
            shared,
            batch: FrameBatch::default(),
            before: (told.unwrap_or_default(), Status::default()),
            fault: Fault::of_worker(),
        };
        thread.before.1 = thread.status(false);
        // The thread is about to begin; its time is counted from 0.
        thread.before.1.busy = Duration::ZERO;
        thread
    }

    /// Works until told to stop, or to pause; gives back what it has. A panic, which is a bug of ours, costs the flows of its
    /// lanes.
    pub fn run(mut self) -> Parts {
        // From now on the writer waits for this one.
        let _ = self.desk.sender.send(&mut Entries::default(), self.hops.records().1);
        while catch_unwind(AssertUnwindSafe(|| self.work())).is_err() {
            let what = "analyses anew: its connections are lost, and counted. This is a bug of weir";
            complain(&anyhow!("worker {} panicked and {what}", self.index));
            self.recover();
        }
        if self.shared.stop.load(Ordering::Relaxed) {
            self.drain();
            self.finish();
        } else {
            self.hand_over();
        }
        let Self { intakes, hops: Hops { lanes, clock, order, .. }, desk, .. } = self;
        Parts { intakes, lanes, clock, order, desk }
    }

    fn work(&mut self) {
        while !self.shared.stop.load(Ordering::Relaxed) && !self.shared.pause.load(Ordering::Relaxed) {
            let busy = self.round();
            self.tick(now());
            if !busy {
                self.sleep();
            }
        }
    }

    /// Takes what is there, from sources and from others. Answers whether there was anything.
    fn round(&mut self) -> bool {
        let mut busy = false;
        let at = now();
        for intake in &mut self.intakes {
            for index in 0..intake.len() {
                let Some(feed) = intake.receive(index, &mut self.batch, at) else { continue };
                busy = true;
                self.fault.check(self.batch.len());
                self.hops.batch(&mut self.batch, feed, &mut intake.walker, &self.shared, &self.inbox);
                // The ring's block goes back to the kernel.
                self.batch.clear();
            }
        }
        while let Some(parcel) = self.inbox.take() {
            self.hops.parcel(parcel);
            busy = true;
        }
        self.hops.release(false);
        busy
    }

    /// Waits until there is something to do, a tick at most.
    fn sleep(&mut self) {
        if let Some(parcel) = self.inbox.fall_asleep() {
            self.hops.parcel(parcel);
            return;
        }
        let at = now();
        let sources = self.intakes.iter().flat_map(|intake| intake.descriptors(at));
        let descriptors: Vec<BorrowedFd<'_>> = sources.chain([self.inbox.descriptor()]).collect();
        let mut ready: Vec<_> =
            descriptors.iter().map(|d| PollFd::new(d.as_fd(), PollFlags::POLLIN)).collect();
        // What waits for older packets has to be looked at more often.
        let most = if self.hops.order.is_some() { HOLD / 4 } else { TICK };
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
        let fills = self.intakes.iter().map(Intake::fill);
        let shed = self.shedder.look(fills.fold(self.inbox.fill(), f64::max));
        self.hops.shed(shed);
        self.hops.advance(at, self.intakes.iter_mut().map(|intake| &mut intake.walker));
        self.deliver(false);
        let status = self.publish(false);
        self.measure(at, &status);
    }

    /// Adds the records about this worker that are due.
    fn measure(&mut self, at: Instant, status: &Status) {
        if !self.desk.meter.is_due(at) {
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
        let records = self.desk.meter.records(at, wall, meter::resident_memory(), &readings);
        let (entries, _) = self.hops.records();
        for record in records {
            entries.push(record);
        }
    }

    fn deliver(&mut self, last: bool) {
        let (entries, sequence) = self.hops.records();
        self.records += entries.len() as u64;
        // A writer that is gone has said why.
        let _ = self.desk.sender.send(entries, if last { u64::MAX } else { sequence });
    }

    /// What intakes and lanes have counted. `last`: what the kernel still has will not be read.
    fn status(&mut self, last: bool) -> Status {
        let mut status = Status { told: Some(now()), ..Status::default() };
        self.intakes.iter_mut().for_each(|intake| intake.status(&mut status, last));
        self.hops.status(&mut status);
        for intake in &mut self.intakes {
            self.shared.carried(intake.walker.arrivals());
        }
        // A system without such a clock has no load to follow.
        status.busy = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default();
        status
    }

    fn publish(&mut self, last: bool) -> Status {
        let status = self.status(last);
        let (told, begun) = &self.before;
        let status = told.plus(status.since(begun));
        if let Some(place) = self.shared.status.get(self.index) {
            // Whoever panicked with the lock has left a status that is about to be replaced.
            place.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&status);
        }
        status
    }

    /// After a panic: nothing that was in the making is trusted, and everything is accounted for.
    fn recover(&mut self) {
        self.batch.clear();
        self.intakes.iter_mut().for_each(Intake::recover);
        let mut passed = Account::default().passed;
        passed += self.status(false).decap.passed;
        passed -= self.before.1.decap.passed;
        self.hops.recover(passed);
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

    /// Hands over what is on its way to others, and takes what others have, until none has anything any more.
    fn exchange(&mut self) {
        self.hops.send(u16::MAX, &self.inbox);
        self.hops.close_outbox();
        while let Ok(parcel) = self.inbox.wait(TICK) {
            if let Some(parcel) = parcel {
                self.hops.parcel(parcel);
            }
            self.hops.release(false);
            self.tick(now());
        }
    }

    fn hand_over(&mut self) {
        self.exchange();
        self.deliver(false);
        self.publish(false);
    }

    /// Hands over what is left, takes what others have left, and ends all connections.
    fn finish(&mut self) {
        self.hops.finish_decap(self.intakes.iter_mut().map(|intake| &mut intake.walker));
        self.exchange();
        self.hops.release(true);
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
