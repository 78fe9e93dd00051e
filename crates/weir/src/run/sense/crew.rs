//! All workers of a sensor, and how their number changes while they work.
//!
//! Promises: when the number changes, no connection is cut in two and no packet is lost. All workers pause: they take what is on
//! its way between them and give their intakes and lanes back as they are, which takes some milliseconds, while rings and
//! sockets collect frames. Then both are dealt to new threads. In the kernel nothing changes: rings stay, and move to other
//! threads with what they hold.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use anyhow::Context;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use weir_log::Style;
use weir_record::Entries;
use weir_spread::SpreadBy;
use weir_wire::UidKey;

use super::super::deliver::{Delivery, Sender};
use super::super::identity::secret;
use super::super::worker::Worker;
use super::clock::LaneClock;
use super::exchange::{self, Alarm, Inbox};
use super::fault::Fault;
use super::intake::Intake;
use super::lanes::Lanes;
use super::meter::Meter;
use super::order::Order;
use super::sources::lanes_by;
use super::worker::{Desk, Parts, Shared, Thread};
use crate::config::Config;
use crate::config::sense::SenseConfig;

/// Deliveries that wait before the writer, for each worker.
const DELIVERIES: usize = 16;

/// The workers, while they work.
pub struct Crew {
    shared: Arc<Shared>,
    /// The CPUs that workers are bound to; none where they are not.
    cpus: Vec<usize>,
    threads: Vec<JoinHandle<Parts>>,
    alarm: Option<Alarm>,
    /// Those of workers that do not work now, by their index.
    desks: Vec<Option<Desk>>,
    /// Whether packets of one flow may come from several sources.
    mixed: bool,
    /// By which hash a flow has its lane.
    by: SpreadBy,
}

/// What workers have, while none works.
pub struct Rest {
    /// All intakes.
    pub intakes: Vec<Intake>,
    /// All lanes, in the order of their numbers.
    pub lanes: Vec<Worker>,
    orders: Vec<Order>,
    clock: LaneClock,
}

/// What the writer needs: deliveries, and the ways back to each worker for what it has done with.
pub type Inlet = (Receiver<Delivery>, Vec<SyncSender<Delivery>>);

impl Rest {
    /// Before the first packet: `lanes` empty lanes.
    pub fn new(intakes: Vec<Intake>, lanes: usize, config: &Config, workers: usize, key: UidKey) -> Self {
        let limits = Arc::new(config.analyse.divided(lanes, workers));
        let secret = secret();
        let lane = || {
            let dedup = config.dedup.deduplicator(lanes, secret);
            let lane = Worker::new(Arc::clone(&limits), key).watched().without_duplicates(dedup);
            lane.panicking(Fault::of_lane())
        };
        Self {
            intakes,
            lanes: std::iter::repeat_with(lane).take(lanes).collect(),
            orders: Vec::new(),
            clock: LaneClock::default(),
        }
    }
}

impl Crew {
    /// Nobody works yet. At most as many workers as `shared` has room for; at first there will be `workers`, on these CPUs where
    /// all are known.
    pub fn new(
        shared: Arc<Shared>,
        workers: usize,
        config: &SenseConfig,
        (mixed, preferred): (bool, &[Option<usize>]),
        style: &Style,
    ) -> (Self, Inlet) {
        let most = shared.status.len();
        let (queue, deliveries) = sync_channel(DELIVERIES * workers.max(4));
        let (back, emptied): (Vec<_>, Vec<_>) = (0..most).map(|_| sync_channel(DELIVERIES)).unzip();
        let desk = |(index, emptied)| Desk {
            sender: Sender::new(index, style.clone(), queue.clone(), emptied),
            meter: Meter::new(index, config.stats, config.capture_loss, shared.start),
            shed_above: config.shed_above(),
        };
        let desks = emptied.into_iter().enumerate().map(desk).map(Some).collect();
        let cpus = if config.pin { cpus(preferred) } else { Vec::new() };
        let by = lanes_by(config.balance);
        (Self { shared, cpus, threads: Vec::new(), alarm: None, desks, mixed, by }, (deliveries, back))
    }

    /// How many work.
    pub const fn len(&self) -> usize {
        self.threads.len()
    }

    /// Whether one has ended that was not told to, or none could begin.
    pub fn has_lost_one(&self) -> bool {
        self.threads.is_empty() || self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Whether packets of one flow may come from several sources from now on.
    pub const fn mix(&mut self, mixed: bool) {
        self.mixed = mixed;
    }

    /// Deals what there is to `workers` workers, who begin.
    ///
    /// # Errors
    /// The system has no more threads or descriptors. Then nobody works.
    pub fn work(&mut self, rest: Rest, workers: usize) -> anyhow::Result<()> {
        let Rest { intakes, lanes, orders, clock } = rest;
        let workers = workers.clamp(1, self.shared.status.len().max(1));
        let ends = exchange::between(workers)?;
        self.alarm = Some(Inbox::alarm(ends.iter().map(|(inbox, _)| inbox)));
        let hands = Lanes::deal(lanes, workers, self.by);
        let home = |key: &_| hands.first().map_or(0, |hand| hand.home(key));
        let mut orders = Order::deal(orders, workers, home).into_iter().map(Some).collect::<Vec<_>>();
        let mut seats: Vec<_> = std::iter::repeat_with(Vec::new).take(workers).collect();
        for (number, intake) in intakes.into_iter().enumerate() {
            if let Some(seat) = seats.get_mut(number % workers) {
                seat.push(intake);
            }
        }
        self.shared.pause.store(false, Ordering::Relaxed);
        self.shared.workers.store(workers, Ordering::Relaxed);
        for (index, ((lanes, ends), intakes)) in hands.into_iter().zip(ends).zip(seats).enumerate() {
            let order = orders.get_mut(index).and_then(Option::take).filter(|_| self.mixed);
            let desk =
                self.desks.get_mut(index).and_then(Option::take).context("a worker has two threads")?;
            let parts = Parts { intakes, lanes, clock, order, desk };
            let (shared, cpu) = (Arc::clone(&self.shared), pinned(index, workers, &self.cpus));
            let run = move || {
                if let Some(cpu) = cpu {
                    // A worker that cannot be bound works as well, if a bit slower.
                    let _ = sched_setaffinity(Pid::from_raw(0), &cpu);
                }
                Thread::new(index, parts, ends, shared).run()
            };
            let thread = std::thread::Builder::new().name(format!("worker {index}")).spawn(run);
            self.threads.push(thread.context("cannot start a thread")?);
        }
        Ok(())
    }

    /// Has all workers give back what they have; until they work again, kernel and senders wait.
    pub fn pause(&mut self) -> Rest {
        self.shared.pause.store(true, Ordering::Relaxed);
        if let Some(alarm) = self.alarm.take() {
            alarm.ring();
        }
        let mut rest =
            Rest { intakes: Vec::new(), lanes: Vec::new(), orders: Vec::new(), clock: LaneClock::default() };
        let (mut hands, mut seats) = (Vec::new(), Vec::new());
        for (index, thread) in std::mem::take(&mut self.threads).into_iter().enumerate() {
            // Panics are caught inside, so that there is nothing to give back only where catching one panics.
            let Ok(Parts { intakes, lanes, clock, order, desk }) = thread.join() else { continue };
            seats.push(intakes.into_iter());
            hands.push(lanes);
            rest.orders.extend(order);
            rest.clock = rest.clock.later(clock);
            // Nobody waits for who may not come back.
            let _ = desk.sender.send(&mut Entries::default(), u64::MAX);
            if let Some(place) = self.desks.get_mut(index) {
                *place = Some(desk);
            }
        }
        // In the order in which they were dealt.
        while let Some(before) = Some(rest.intakes.len()) {
            rest.intakes.extend(seats.iter_mut().filter_map(Iterator::next));
            if rest.intakes.len() == before {
                break;
            }
        }
        rest.lanes = Lanes::gather(hands);
        rest
    }

    /// Tells all workers to end, and waits for them. Answers how many panicked for good.
    pub fn end(mut self) -> usize {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(alarm) = self.alarm.take() {
            alarm.ring();
        }
        self.threads.into_iter().map(JoinHandle::join).filter(Result::is_err).count()
    }
}

/// The CPUs that this process may use; where all of `preferred` are known and among them, those, in their order.
fn cpus(preferred: &[Option<usize>]) -> Vec<usize> {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else { return Vec::new() };
    let may = |cpu: &usize| set.is_set(*cpu).unwrap_or(false);
    let wanted: Option<Vec<_>> = preferred.iter().map(|cpu| cpu.filter(may)).collect();
    wanted.filter(|cpus| !cpus.is_empty()).unwrap_or_else(|| (0..CpuSet::count()).filter(may).collect())
}

/// The CPU of a worker; none where there are more workers than CPUs, which the kernel then spreads better.
fn pinned(index: usize, workers: usize, cpus: &[usize]) -> Option<CpuSet> {
    let cpu = *cpus.get(index).filter(|_| workers <= cpus.len())?;
    let mut set = CpuSet::new();
    set.set(cpu).ok().map(|()| set)
}

/// What all workers have published, those that were included.
pub fn total(shared: &Shared) -> super::status::Status {
    let mut status = super::status::Status::default();
    for place in &shared.status {
        status.merge(&place.lock().unwrap_or_else(PoisonError::into_inner));
    }
    status.senders = shared.senders();
    status
}
