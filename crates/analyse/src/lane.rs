//! One lane: the flows that one thread owns.

use std::sync::Arc;

use weir_ledger::{Account, Count, Reason, StreamAccount};
use weir_record::{Entries, Vantage};
use weir_wire::{FlowKey, Packet, Role, Shed, Time, UidKey};

use crate::busiest::{Busiest, Watch};
use crate::detect::Expected;
use crate::file::Files;
use crate::flow::{Ahead, Flow, Shared, Table};
use crate::{Config, Tally};

/// So many connections are ended at once: their records, less than a KiB each, wait in memory.
const PORTION: usize = 1024;

/// The flows of one thread and all that their analysis needs.
///
/// Call [`Lane::packet`] for each packet in order of time, [`Lane::advance`] now and then when no packet comes, and
/// [`Lane::finish`] at the end, until it has ended every connection into the logs. The records do not depend on how flows
/// are spread over lanes: a connection is timed out by its own deadline, which a later packet of the same flow
/// checks before it is counted, whenever the sweep comes.
pub struct Lane {
    flows: Table,
    shared: Shared,
    account: Account,
    /// The second of packet time in which the last sweep was.
    swept: i64,
    #[allow(clippy::vec_box, reason = "flows come boxed from the table")]
    over: Vec<Box<Flow>>,
    /// Connections that the end of the traffic ends.
    ending: Option<std::vec::IntoIter<Box<Flow>>>,
    evicted: u64,
    /// Who looks at who is busiest, where somebody does.
    watch: Option<Watch>,
    shed: Shed,
    ahead: Ahead,
}

impl Lane {
    /// A lane without flows.
    pub fn new(config: Arc<Config>, key: UidKey) -> Self {
        Self {
            flows: Table::default(),
            shared: Shared {
                config,
                key,
                files: Files::new(),
                expected: Expected::default(),
                streams: StreamAccount::default(),
                tally: Tally::default(),
            },
            account: Account::default(),
            swept: i64::MIN,
            over: Vec::new(),
            ending: None,
            evicted: 0,
            watch: None,
            shed: Shed::NOTHING,
            ahead: Ahead::default(),
        }
    }

    /// From now on leaves out the flows that `shed` names. One in progress that is among them is ended at its next packet: it is
    /// logged as far as it was seen, with a weird (`flow_shed`).
    pub const fn shed(&mut self, shed: Shed) {
        self.shed = shed;
    }

    /// This lane, which also counts who and what has most of the traffic ([`Lane::busiest`]).
    #[must_use]
    pub fn watching(mut self) -> Self {
        self.watch = Some(Watch::default());
        self
    }

    /// Packets with `keys` come next, in this order, a few dozen at most: their flows are looked up now, one after the other, so that
    /// the processor fetches several from memory at once. Changes no result, and need not be called.
    pub fn expect<'a>(&mut self, keys: impl Iterator<Item = &'a FlowKey>) {
        self.ahead.fill(&self.flows, keys);
    }

    /// Analyses one packet; what it causes is added to `out`.
    pub fn packet(&mut self, packet: &Packet<'_>, out: &mut Entries) {
        let head = &packet.head;
        out.sequence = head.sequence;
        let count = match head.role {
            Role::Innermost => Count::new(u64::from(head.frames), head.frame_bytes),
            Role::Carrier(_) => Count::default(),
        };
        self.account.enter(count);
        self.advance(head.time, out);
        out.vantage = Vantage::of(head.key.tenant, head.tap);
        if self.shed.beginning > 0 && self.is_shed(packet, out) {
            self.account.drop(Reason::Shed, count);
            return;
        }
        let (index, before) = self.current(packet, out);
        let Some(flow) = self.flows.touch(index, head.time) else { return };
        if let Some(watch) = &mut self.watch
            && let Some(times) = watch.wants()
        {
            watch.count(&flow.key, flow.service(), u64::from(head.ip_len), times);
        }
        let outcome = flow.packet(packet, &mut self.shared, out);
        let after = flow.deadline(&self.shared.config);
        if after < before {
            self.flows.watch(index, after);
        }
        match outcome {
            Ok(()) => self.account.pass(count),
            Err(reason) => self.account.drop(reason, count),
        }
    }

    /// Whether the flow of `packet` is left out; ends it where it has begun. The tunnels around other packets are let in.
    fn is_shed(&mut self, packet: &Packet<'_>, out: &mut Entries) -> bool {
        let slot = u16::from(self.shared.key.slot(&packet.head.key));
        if slot >= self.shed.beginning || packet.head.role != Role::Innermost {
            return false;
        }
        let Some(index) = self.flows.find(self.flows.hash(&packet.head.key), &packet.head.key) else {
            return true;
        };
        if slot >= self.shed.running {
            return false;
        }
        if let Some(flow) = self.flows.remove(index) {
            flow.shed(packet.head.time, &mut self.shared, out);
        }
        true
    }

    /// A copy of a packet came, by another tap: it is not analysed, but its connection knows who saw it.
    pub fn duplicate(&mut self, packet: &Packet<'_>) {
        let head = &packet.head;
        let count = Count::new(u64::from(head.frames), head.frame_bytes);
        self.account.enter(count);
        self.account.drop(Reason::Duplicate, count);
        if let Some(index) = self.flows.find(self.flows.hash(&head.key), &head.key)
            && let Some(flow) = self.flows.touch(index, head.time)
        {
            flow.seen_by(head.tap);
        }
    }

    /// The flow that `packet` belongs to, and its deadline: the one with its key unless that is over, else a new one.
    fn current(&mut self, packet: &Packet<'_>, out: &mut Entries) -> (u32, Time) {
        let now = packet.head.time;
        let (hash, found) = self.ahead.look_up(&self.flows, &packet.head.key);
        if let Some(index) = found
            && let Some(flow) = self.flows.get(index)
        {
            let deadline = flow.deadline(&self.shared.config);
            let timed_out = deadline <= now;
            if !timed_out && !flow.is_reused_by(packet, out) {
                return (index, deadline);
            }
            if let Some(flow) = self.flows.remove(index) {
                flow.finish(deadline.min(now), &mut self.shared, out);
            }
        }
        if self.flows.len() >= self.shared.config.flow.max_flows
            && let Some(index) = self.flows.idlest(now)
            && let Some(flow) = self.flows.remove(index)
        {
            self.evicted += 1;
            flow.finish(now, &mut self.shared, out);
        }
        let flow = Box::new(Flow::new(packet, &self.shared.key));
        self.shared.tally.begin(flow.transport());
        let deadline = flow.deadline(&self.shared.config);
        (self.flows.insert(hash, flow, deadline), deadline)
    }

    /// The clock was set back to `now`: what comes from there on is timed out by it, though time came further before. Flows
    /// that are there stay; those that get no more packets are ended when their old time comes, or when there are too many.
    pub fn set_back(&mut self, now: Time) {
        let second = now.0.div_euclid(1_000_000_000) - 1;
        if second < self.swept {
            self.swept = second;
            self.flows.set_back(Time(second.saturating_mul(1_000_000_000)));
        }
    }

    /// Time has come to `now`: ends what is over by then.
    pub fn advance(&mut self, now: Time, out: &mut Entries) {
        let second = now.0.div_euclid(1_000_000_000);
        if second <= self.swept {
            return;
        }
        self.swept = second;
        if let Some(watch) = &mut self.watch {
            watch.second(second);
        }
        let mut over = std::mem::take(&mut self.over);
        let config = Arc::clone(&self.shared.config);
        self.flows.expire(now, |flow| flow.deadline(&config), &mut over);
        for flow in over.drain(..) {
            let deadline = flow.deadline(&config);
            flow.finish(deadline, &mut self.shared, out);
        }
        self.over = over;
        self.shared.files.advance(now, out, &config);
    }

    /// The traffic has ended at `now`: ends the connections, in the order in which they began, [`PORTION`] with each call.
    /// Answers whether there are more.
    pub fn finish(&mut self, now: Time, out: &mut Entries) -> bool {
        if self.ending.is_none() {
            self.advance(now, out);
        }
        let ending = self.ending.get_or_insert_with(|| self.flows.drain().into_iter());
        for flow in ending.take(PORTION) {
            flow.finish(now, &mut self.shared, out);
        }
        let more = ending.len() > 0;
        if !more {
            self.shared.files.finish(now, out);
        }
        more
    }

    /// Other limits and habits hold from now on, for connections that are there, too.
    pub fn configure(&mut self, config: Arc<Config>) {
        self.shared.config = config;
    }

    /// The ledger of the analyse hop.
    pub const fn account(&self) -> &Account {
        &self.account
    }

    /// The ledger of TCP payload.
    pub const fn streams(&self) -> &StreamAccount {
        &self.shared.streams
    }

    /// What was counted beside.
    pub fn tally(&self) -> Tally {
        let [timers, waiting_timers] = self.flows.timers();
        let [files, open_files, held_by_files] = self.shared.files.tally();
        Tally { files, open_files, held_by_files, timers, waiting_timers, ..self.shared.tally }
    }

    /// Who and what has most of the traffic, where this lane is [`Lane::watching`].
    pub fn busiest(&self) -> Option<&Busiest> {
        self.watch.as_ref().map(Watch::busiest)
    }

    /// How many connections there are now.
    pub fn flows(&self) -> usize {
        self.flows.len()
    }

    /// How many connections were ended early because the table was full.
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }
}
