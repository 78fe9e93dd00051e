//! The way of a batch through a worker: decap, spread, and its own lane or another worker's.
//!
//! Promises: every frame is counted by each hop that it comes to, also where a hop panics; packets that another worker has
//! the lane of are sent there, or counted as dropped.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use weir_decap::carried::Arrivals;
use weir_decap::{Decap, Output};
use weir_ledger::{Account, Count};
use weir_record::Entries;
use weir_spread::lane_of;
use weir_tap::FrameBatch;
use weir_wire::{Shed, Time, UidKey};

use super::super::worker::{Worker, close_after_panic};
use super::clock::LaneClock;
use super::exchange::{Inbox, Outbox, PATIENCE, Parcel};
use super::order::Order;
use super::status::Status;
use super::worker::Shared;

/// What a batch goes through: apart from the sources, so that both can be borrowed at once.
pub struct Hops {
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
    /// The time of the last frame, and when it came.
    last: Option<(Time, Instant)>,
}

/// What [`Hops`] are made of.
pub struct HopParts {
    /// The worker's index.
    pub index: usize,
    /// For its decap.
    pub config: weir_decap::Config,
    /// Makes uids.
    pub key: UidKey,
    /// Its lane.
    pub worker: Worker,
    /// Its way to other workers.
    pub outbox: Outbox,
}

impl Hops {
    /// Nothing has come yet.
    pub fn new(parts: HopParts, shared: &Shared) -> Self {
        Self {
            decap: Decap::new(parts.config.clone(), parts.key),
            decap_closed: Account::default(),
            decap_given: Count::default(),
            decap_panics: 0,
            config: parts.config,
            key: parts.key,
            spread: Account::default(),
            worker: parts.worker,
            outbox: Some(parts.outbox),
            entries: Entries::default(),
            clock: LaneClock::default(),
            order: shared.mixed.then(Order::default),
            index: parts.index,
            workers: shared.status.len(),
            sequence: 0,
            last: None,
        }
    }

    /// The time of the last frame, and when it came.
    pub const fn last(&self) -> Option<(Time, Instant)> {
        self.last
    }

    /// Leaves out the flows that `shed` names, of the worker's own lane.
    pub const fn shed(&mut self, shed: Shed) {
        self.worker.shed(shed);
    }

    /// Nothing more is sent to others.
    pub fn close_outbox(&mut self) {
        self.outbox = None;
    }

    /// Which sequence numbers of tunnels came.
    pub const fn arrivals(&mut self) -> &mut Arrivals {
        self.decap.arrivals()
    }

    /// The records so far, and up to which sequence number they are all, unless there will be more of it.
    pub fn records(&mut self) -> (&mut Entries, u64) {
        (&mut self.entries, self.sequence)
    }

    /// Takes a batch of frames to the lanes of their flows.
    pub fn batch(&mut self, batch: &mut FrameBatch, feed: u16, shared: &Shared, inbox: &Inbox) {
        let at = now();
        self.sequence = self.sequence.max(nanoseconds(shared.start, at));
        for frame in &mut batch.frames {
            self.sequence += 1;
            frame.sequence = self.sequence;
            frame.time = shared.precision.of(frame.time);
        }
        self.last = batch.frames.last().map(|frame| (frame.time, at)).or(self.last);
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
        if self.decap.arrivals().is_full() {
            shared.carried(self.decap.arrivals());
        }
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
    pub fn send(&mut self, feed: u16, inbox: &Inbox, start: Instant) {
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
    pub fn parcel(&mut self, parcel: Parcel, start: Instant) {
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
    pub fn release(&mut self, all: bool, start: Instant) {
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
    pub fn advance(&mut self, at: Instant, start: Instant) {
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
    pub fn finish_decap(&mut self) {
        let mut out = Output { packets: Vec::new(), entries: std::mem::take(&mut self.entries) };
        if catch_unwind(AssertUnwindSafe(|| self.decap.finish(&mut out))).is_err() {
            self.replace_decap(&mut out);
        }
        self.entries = out.entries;
    }

    /// No packet comes any more: ends connections, so many at a time. Answers whether there are more.
    pub fn finish_lane(&mut self) -> bool {
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
        let arrivals = std::mem::take(self.decap.arrivals());
        self.decap = Decap::new(self.config.clone(), self.key);
        *self.decap.arrivals() = arrivals;
    }

    /// What it counted.
    pub fn status(&self, status: &mut Status) {
        status.decap = self.decap_closed.clone();
        status.decap.merge(self.decap.account());
        status.spread = self.spread.clone();
        status.closed = self.worker.so_far();
        status.closed.panics += self.decap_panics;
        status.flows = self.worker.flows();
        status.busiest.clone_from(self.worker.busiest());
        status.fragment_memory = self.decap.fragment_memory();
    }
}

fn nanoseconds(start: Instant, at: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(start).as_nanos()).unwrap_or(u64::MAX)
}

#[allow(clippy::disallowed_methods, reason = "a worker lives by the clock")]
fn now() -> Instant {
    Instant::now()
}
