//! The way of a batch through a worker: decap, spread, and one of its lanes or another worker's.
//!
//! Promises: every frame is counted by each hop that it comes to, also where a hop panics; packets that another worker has
//! the lane of are sent there, or counted as dropped.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use weir_decap::Output;
use weir_ledger::{Account, Count, Reason};
use weir_record::Entries;
use weir_tap::FrameBatch;
use weir_wire::{Shed, Time};

use super::clock::LaneClock;
use super::exchange::{Inbox, Outbox, PATIENCE, Parcel};
use super::intake::Walker;
use super::lanes::Lanes;
use super::order::Order;
use super::status::Status;
use super::tell;
use super::worker::Shared;

/// Of a clock that goes back again and again the user is told this often at most; it is counted all the time.
const AGAIN: Duration = Duration::from_mins(1);

/// What a batch goes through behind decap: apart from the intakes, so that both can be borrowed at once.
pub struct Hops {
    /// The lanes of this worker.
    pub lanes: Lanes,
    /// What time it is in them.
    pub clock: LaneClock,
    /// Where packets wait for older ones; none where a flow comes from one source only.
    pub order: Option<Order>,
    spread: Account,
    outbox: Option<Outbox>,
    entries: Entries,
    /// The largest sequence number that was given.
    sequence: u64,
    start: Instant,
    /// The time of the last frame, and when it came.
    last: Option<(Time, Instant)>,
    /// When the user was told last that the clock went back.
    complained: Option<Instant>,
}

impl Hops {
    /// Nothing has come yet; `start` is when the sensor began.
    pub fn new(lanes: Lanes, clock: LaneClock, order: Option<Order>, outbox: Outbox, start: Instant) -> Self {
        Self {
            lanes,
            clock,
            order,
            spread: Account::default(),
            outbox: Some(outbox),
            entries: Entries::default(),
            sequence: nanoseconds(start, now()),
            start,
            last: None,
            complained: None,
        }
    }

    /// The time of the last frame, and when it came.
    pub const fn last(&self) -> Option<(Time, Instant)> {
        self.last
    }

    /// Leaves out the flows that `shed` names, of the worker's own lanes.
    pub fn shed(&mut self, shed: Shed) {
        self.lanes.shed(shed);
    }

    /// Nothing more is sent to others.
    pub fn close_outbox(&mut self) {
        self.outbox = None;
    }

    /// The records so far, and up to which sequence number they are all, unless there will be more of it.
    pub const fn records(&mut self) -> (&mut Entries, u64) {
        (&mut self.entries, self.sequence)
    }

    /// Takes a batch of frames of the source `feed` to the lanes of their flows.
    pub fn batch(
        &mut self,
        batch: &mut FrameBatch,
        feed: u16,
        walker: &mut Walker,
        shared: &Shared,
        inbox: &Inbox,
    ) {
        let at = now();
        self.sequence = self.sequence.max(nanoseconds(self.start, at));
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
                    walker.frame(&frame, &mut out);
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
                    self.send(feed, inbox);
                    out.entries = std::mem::take(&mut self.entries);
                }
                Err(_) => {
                    out.packets.clear();
                    walker.replace();
                }
            }
        }
        self.entries = out.entries;
        self.send(feed, inbox);
        if walker.arrivals().is_full() {
            shared.carried(walker.arrivals());
        }
    }

    /// Takes the packets of a frame to their lanes; answers whether a load is large enough to go.
    fn packets(&mut self, out: &mut Output<'_>) -> bool {
        let Output { packets, entries } = out;
        let mut full = false;
        for packet in packets.drain(..) {
            let count = Count::new(u64::from(packet.head.frames), packet.head.frame_bytes);
            self.spread.enter(count);
            let lane = self.lanes.lane(&packet.head.key);
            let home = self.lanes.worker_of(lane);
            match &mut self.outbox {
                Some(outbox) if !self.lanes.is_own(home) => full |= outbox.load(home, &packet),
                Some(outbox) if self.order.is_some() => {
                    self.spread.pass(count);
                    full |= outbox.load(home, &packet);
                }
                Some(_) | None => {
                    self.spread.pass(count);
                    self.lanes.packet_of(lane, packet, entries);
                }
            }
        }
        full
    }

    /// Sends what is loaded for others. While there is no room, the own parcels are worked on.
    pub fn send(&mut self, feed: u16, inbox: &Inbox) {
        let Some(mut outbox) = self.outbox.take() else { return };
        let mut spread = std::mem::take(&mut self.spread);
        let mut since = None;
        outbox.send(feed, &mut spread, || {
            if let Some(parcel) = inbox.take() {
                self.parcel(parcel);
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
    pub fn parcel(&mut self, parcel: Parcel) {
        let at = now();
        if let Some(order) = &mut self.order {
            order.put(parcel, at);
            return;
        }
        self.sequence = self.sequence.max(nanoseconds(self.start, at)) + 1;
        for packet in parcel.packets(self.sequence) {
            self.clock.packet(packet.head.time, at);
            self.lanes.packet(packet, &mut self.entries);
        }
    }

    /// Analyses what need not wait for older packets any longer.
    pub fn release(&mut self, all: bool) {
        let Some(order) = &mut self.order else { return };
        let at = now();
        self.sequence = self.sequence.max(nanoseconds(self.start, at)) + 1;
        let (sequence, clock, lanes, entries) =
            (self.sequence, &mut self.clock, &mut self.lanes, &mut self.entries);
        order.release(at, all, |mut packet| {
            packet.head.sequence = sequence;
            clock.packet(packet.head.time, at);
            lanes.packet(packet, entries);
        });
    }

    /// Lets time pass.
    pub fn advance<'a>(&mut self, at: Instant, walkers: impl Iterator<Item = &'a mut Walker>) {
        self.sequence = self.sequence.max(nanoseconds(self.start, at));
        self.entries.sequence = self.sequence;
        let Some(now) = self.clock.now(at) else { return };
        if let Some(step) = self.clock.take_step() {
            if self.complained.is_none_or(|before| at.duration_since(before) > AGAIN) {
                self.complained = Some(at);
                let text = "the clock of packets went back by";
                tell(&format!(
                    "warning: {text} {:.0} s: connections go on, with times as they came",
                    step.as_secs_f64()
                ));
            }
            self.lanes.set_back(now);
        }
        self.walk(walkers, |walker, out| walker.advance(now, out));
        self.lanes.advance(now, &mut self.entries);
    }

    /// No frame comes any more.
    pub fn finish_decap<'a>(&mut self, walkers: impl Iterator<Item = &'a mut Walker>) {
        self.walk(walkers, Walker::finish);
    }

    fn walk<'a>(
        &mut self,
        walkers: impl Iterator<Item = &'a mut Walker>,
        mut what: impl FnMut(&mut Walker, &mut Output<'_>),
    ) {
        let mut out = Output { packets: Vec::new(), entries: std::mem::take(&mut self.entries) };
        walkers.for_each(|walker| what(walker, &mut out));
        self.entries = out.entries;
    }

    /// No packet comes any more: ends connections, so many at a time. Answers whether there are more.
    pub fn finish_lane(&mut self) -> bool {
        self.sequence += 1;
        self.entries.sequence = self.sequence;
        self.clock.now(now()).is_some_and(|now| self.lanes.finish(now, &mut self.entries))
    }

    /// The worker panicked: its lanes begin anew, and what decap passed (`given`) and spread did not take is lost.
    pub fn recover(&mut self, mut given: Count) {
        self.lanes.replace();
        given -= self.spread.entered;
        self.spread.enter(given);
        self.spread.drop(Reason::WorkerPanic, given);
    }

    /// Adds what was counted here to `status`.
    pub fn status(&self, status: &mut Status) {
        status.spread.merge(&self.spread);
        status.clock_steps += self.clock.steps();
        self.lanes.status(status);
    }
}

fn nanoseconds(start: Instant, at: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(start).as_nanos()).unwrap_or(u64::MAX)
}

#[allow(clippy::disallowed_methods, reason = "a worker lives by the clock")]
fn now() -> Instant {
    Instant::now()
}
