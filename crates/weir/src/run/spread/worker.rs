//! One worker of `weir spread`: its sources, its decap, its table of flows, its outputs.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use weir_carry::{Outgoing, Output, Target};
use weir_decap::Decap;
use weir_ledger::{Account, Balance, Count, Hop, Reason};
use weir_spread::{Balancer, Deduplicator, PINS, SpreadBy, flow_of, hash};
use weir_tap::{FrameBatch, LiveSource, Received};
use weir_wire::fragment::fragments;
use weir_wire::{Data, Frame, Interval, LinkType, Offload, Packet, Role, Time, UidKey};

use super::health::Alive;
use crate::run::complain;
use crate::run::sense::clock::LaneClock;

/// Datagrams that were put together leave in fragments of this many bytes: what an Ethernet carries.
pub const DATAGRAM: usize = 1500;
/// How often targets, time-outs and the stop are looked at while nothing comes: several times within the second in which a dead
/// target's flows have to be elsewhere.
const TICK: Duration = Duration::from_millis(50);
/// How long sources are read on after the stop; and when nothing came for [`QUIET`], they are empty.
const DRAIN: Duration = Duration::from_secs(1);
const QUIET: Duration = Duration::from_millis(60);
/// A source that failed is left alone for this long.
const REST: Duration = Duration::from_millis(100);
/// Between two words about the same target.
const SILENCE: Duration = Duration::from_secs(5);
/// What the deduplicators of all workers take together: copies of a million packets.
const DEDUP_MEMORY: usize = 64 << 20;

/// How flows are spread.
#[derive(Clone, Debug)]
pub struct Habits {
    /// What stays together.
    pub by: SpreadBy,
    /// How long silent flows are remembered.
    pub idle: Interval,
    /// How far copies of a packet may be apart; duplicates are let through, where there is none.
    pub window: Option<Interval>,
    /// For decap.
    pub decap: weir_decap::Config,
    /// Makes the uids of tunnels, which nobody sees here.
    pub key: UidKey,
    /// How many workers share the memory.
    pub workers: usize,
}

/// A target of one worker.
pub struct Outlet {
    output: Output,
    target: weir_spread::Target,
    alive: Alive,
    /// Whether the table has it.
    is_in_table: bool,
    /// The user is not told of trouble again before.
    silent_until: Option<Instant>,
}

impl Outlet {
    /// A target that is alive as long as `alive` says so. Its number is given when it is put with others.
    pub fn new(output: Output, target: &Target, alive: &Alive) -> Self {
        let target = weir_spread::Target { id: 0, name: target.to_string(), weight: target.weight };
        Self { output, target, alive: Arc::clone(alive), is_in_table: false, silent_until: None }
    }

    /// Tells the user what went wrong, once in a while.
    fn complain(&mut self) {
        if let Some(trouble) = self.output.take_trouble()
            && self.silent_until.is_none_or(|until| until <= now())
        {
            self.silent_until = Some(now() + SILENCE);
            complain(&trouble.into());
        }
    }
}

/// A worker on its thread.
pub struct Thread {
    sources: Vec<Source>,
    hops: Hops,
    start: Instant,
}

struct Source {
    reader: Box<dyn LiveSource>,
    rests_until: Option<Instant>,
}

/// What frames go through.
struct Hops {
    decap: Decap,
    dedup: Option<Deduplicator>,
    by: SpreadBy,
    balancer: Balancer,
    outlets: Vec<Outlet>,
    spread: Account,
    /// The time of packets, for time-outs while none come.
    clock: LaneClock,
    /// Numbers for fragments of IPv6.
    datagrams: u32,
    sequence: u64,
}

/// What a worker leaves behind.
pub struct Ended {
    /// Its ledger.
    pub balance: Balance,
    /// Of each target: what was sent to it, what was not, and for what reasons.
    pub outputs: Vec<Account>,
    /// Flows that were forgotten before their time.
    pub forgotten_flows: u64,
    /// Packets that were forgotten before their time, so that copies may have been let through.
    pub forgotten_packets: u64,
}

impl Thread {
    /// A worker that has not begun.
    pub fn new(
        sources: Vec<(u16, Box<dyn LiveSource>)>,
        mut outlets: Vec<Outlet>,
        habits: &Habits,
        start: Instant,
    ) -> Self {
        (0u16..).zip(&mut outlets).for_each(|(id, outlet)| outlet.target.id = id);
        let memory = DEDUP_MEMORY / habits.workers.max(1);
        let random = || RandomState::new().build_hasher().finish();
        let hops = Hops {
            decap: Decap::new(habits.decap.clone(), habits.key),
            dedup: habits.window.map(|window| Deduplicator::new(memory, window, [random(), random()])),
            by: habits.by,
            balancer: Balancer::new(PINS / habits.workers.max(1), habits.idle),
            outlets,
            spread: Account::default(),
            clock: LaneClock::default(),
            datagrams: random() as u32,
            sequence: 0,
        };
        let source = |(_, reader)| Source { reader, rests_until: None };
        Self { sources: sources.into_iter().map(source).collect(), hops, start }
    }

    /// Works until told to stop.
    pub fn run(mut self, stop: &AtomicBool) -> Ended {
        while !stop.load(Ordering::Relaxed) {
            self.hops.look_at_targets();
            if !self.round() {
                self.sleep();
                self.hops.advance();
            }
        }
        let stopped = now();
        let mut last = stopped;
        while now().duration_since(stopped) < DRAIN && now().duration_since(last) < QUIET {
            if self.round() {
                last = now();
            } else {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        self.end()
    }

    /// Takes a batch from each source. Answers whether there was anything.
    fn round(&mut self) -> bool {
        let time = self.time();
        let mut busy = false;
        let mut batch = FrameBatch::default();
        for Source { reader, rests_until } in &mut self.sources {
            if rests_until.is_some_and(|until| until > now()) {
                continue;
            }
            match reader.receive(&mut batch, Duration::ZERO) {
                Ok(Received::Frames) => {
                    busy = true;
                    self.hops.batch(&batch, time);
                    // The ring's block goes back to the kernel.
                    batch.clear();
                    *rests_until = None;
                }
                Ok(Received::Idle) => *rests_until = None,
                Ok(Received::Ended) => *rests_until = Some(now() + REST),
                Err(error) => {
                    complain(&error.into());
                    *rests_until = Some(now() + REST);
                }
            }
        }
        busy
    }

    /// Time since the start, on a clock that never steps.
    fn time(&self) -> Time {
        Time(i64::try_from(self.start.elapsed().as_nanos()).unwrap_or(i64::MAX))
    }

    fn sleep(&self) {
        let awake = self.sources.iter().filter(|source| source.rests_until.is_none());
        let descriptors: Vec<_> = awake.filter_map(|source| source.reader.descriptor()).collect();
        let mut ready: Vec<_> =
            descriptors.iter().map(|d| PollFd::new(d.as_fd(), PollFlags::POLLIN)).collect();
        // Interrupted or not, the next round finds out what there is.
        let _ = poll(&mut ready, PollTimeout::from(TICK.as_millis() as u16));
    }

    /// Closes all accounts.
    fn end(mut self) -> Ended {
        let mut tap = Account::default();
        for Source { reader, .. } in &mut self.sources {
            let losses = reader.losses();
            let taken = losses.dropped.saturating_add(reader.account().entered.frames);
            let (lost, left) =
                (Count::new(losses.dropped, 0), Count::new(losses.seen.saturating_sub(taken), 0));
            for (reason, count) in [(Reason::KernelDropped, lost), (Reason::LeftAtStop, left)] {
                tap.enter(count);
                tap.drop(reason, count);
            }
            tap.merge(reader.account());
        }
        let mut hops = self.hops;
        hops.finish();
        let mut balance = Balance::default();
        balance.add(Hop::Tap, &tap);
        balance.add(Hop::Decap, hops.decap.account());
        balance.add(Hop::Spread, &hops.spread);
        let outputs: Vec<_> = hops.outlets.iter().map(|outlet| outlet.output.account().clone()).collect();
        for account in &outputs {
            balance.add(Hop::Carry, account);
        }
        let forgotten_packets = hops.dedup.as_ref().map_or(0, Deduplicator::forgotten);
        Ended { balance, outputs, forgotten_flows: hops.balancer.forgotten(), forgotten_packets }
    }
}

impl Hops {
    /// Takes the frames of a batch to their targets.
    fn batch(&mut self, batch: &FrameBatch, now: Time) {
        if let Some(latest) = batch.frames.iter().map(|frame| frame.time).max() {
            self.clock.packet(latest, self::now());
        }
        let mut loads: Vec<Vec<Outgoing<'_>>> = vec![Vec::new(); self.outlets.len()];
        let mut out = weir_decap::Output::default();
        for mut frame in batch.iter() {
            self.sequence += 1;
            frame.sequence = self.sequence;
            self.decap.frame(&frame, &mut out);
            for packet in out.packets.drain(..) {
                self.packet(&frame, packet, now, &mut loads);
            }
            out.entries.drain().for_each(drop);
        }
        for (target, load) in (0u16..).zip(loads) {
            self.send(target, load);
        }
    }

    /// Finds the target of a packet that was found in `frame`.
    fn packet<'f>(
        &mut self,
        frame: &Frame<'f>,
        packet: Packet<'f>,
        now: Time,
        loads: &mut [Vec<Outgoing<'f>>],
    ) {
        if packet.head.role != Role::Innermost {
            return;
        }
        let count = Count::new(u64::from(packet.head.frames), packet.head.frame_bytes);
        self.spread.enter(count);
        if self.dedup.as_mut().is_some_and(|dedup| dedup.is_duplicate(&packet, now)) {
            self.spread.drop(Reason::Duplicate, count);
            return;
        }
        let hash = hash(&flow_of(&packet), self.by);
        let Some(target) = self.balancer.pick(hash, now) else {
            self.spread.drop(Reason::NoTarget, count);
            return;
        };
        self.spread.pass(count);
        let ethernet = packet.ethernet(frame.data);
        match (packet.data, ethernet) {
            (Data::Frame(ip), ethernet) => {
                let link = if ethernet.is_some() { LinkType::ETHERNET } else { LinkType::RAW };
                let data = ethernet.unwrap_or(ip);
                let cut =
                    u32::from(packet.head.truncated) * packet.head.ip_len.saturating_sub(ip.len() as u32);
                let wire_len = data.len() as u32 + cut;
                if let Some(load) = loads.get_mut(usize::from(target)) {
                    let frame = Frame { link, data, wire_len, ..*frame };
                    load.push(Outgoing { frame, hash, count });
                }
            }
            (Data::Joined(datagram), _) => {
                let before = loads.get_mut(usize::from(target)).map(std::mem::take).unwrap_or_default();
                self.send(target, before);
                self.datagrams = self.datagrams.wrapping_add(1);
                // The first stands for all frames in the ledger.
                let mut count = count;
                for part in fragments(&datagram, DATAGRAM, self.datagrams) {
                    let (wire_len, offload) = (part.len() as u32, Offload::default());
                    let frame = Frame { link: LinkType::RAW, data: &part, wire_len, offload, ..*frame };
                    let count = std::mem::take(&mut count);
                    self.send(target, vec![Outgoing { frame, hash, count }]);
                }
            }
        }
    }

    fn send(&mut self, target: u16, load: Vec<Outgoing<'_>>) {
        if let Some(outlet) = self.outlets.get_mut(usize::from(target)).filter(|_| !load.is_empty()) {
            outlet.output.send(load);
            outlet.complain();
        }
    }

    /// Puts targets that are alive into the table, and takes those that are not out of it.
    fn look_at_targets(&mut self) {
        for outlet in &mut self.outlets {
            outlet.output.tick();
            outlet.complain();
            let is_alive = outlet.alive.load(Ordering::Relaxed) && outlet.output.is_up();
            if is_alive == outlet.is_in_table {
                continue;
            }
            if is_alive {
                self.balancer.insert(outlet.target.clone());
            } else {
                self.balancer.remove(outlet.target.id);
            }
            outlet.is_in_table = is_alive;
        }
    }

    /// Lets time pass.
    fn advance(&mut self) {
        let mut out = weir_decap::Output::default();
        if let Some(time) = self.clock.now(self::now()) {
            self.decap.advance(time, &mut out);
        }
    }

    /// No frame comes any more.
    fn finish(&mut self) {
        let mut out = weir_decap::Output::default();
        self.decap.finish(&mut out);
        for outlet in &mut self.outlets {
            outlet.output.finish(DRAIN);
            outlet.complain();
        }
    }
}

/// The clock of this command.
#[allow(clippy::disallowed_methods, reason = "packets are spread as they come")]
pub fn now() -> Instant {
    Instant::now()
}
