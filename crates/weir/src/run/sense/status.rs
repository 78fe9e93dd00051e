//! What a worker tells of itself.

use std::time::{Duration, Instant};

use weir_analyse::Busiest;
use weir_ledger::{Account, Balance, Count, Hop};
use weir_tap::Losses;

use super::super::carried::Senders;
use super::super::worker::Closed;

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
    /// Of all workers together: who numbers what he sends.
    pub senders: Senders,
    /// Each of its sources.
    pub sources: Vec<SourceStatus>,
    /// Who and what has most of the traffic of its lane.
    pub busiest: Busiest,
    /// Memory of the fragments that wait for others, in bytes.
    pub fragment_memory: usize,
    /// How often the clock of packets went back.
    pub clock_steps: u64,
    /// When it told this: a worker that makes progress tells ten times a second.
    pub told: Option<Instant>,
    /// For how long its thread was on a CPU.
    pub busy: Duration,
}

/// What is to be told of a source.
#[derive(Clone, Debug)]
pub struct SourceStatus {
    /// Its number among the sources of all workers.
    pub number: u16,
    /// What a user calls it.
    pub name: String,
    /// What it handed over.
    pub received: Count,
    /// What was lost before it.
    pub losses: Losses,
    /// How much of its ring is in use.
    pub fill: Option<f64>,
}

impl Status {
    /// What was counted, without what is there now: held, flows, sources.
    pub fn counted(&self) -> Self {
        let mut counted = Self { flows: 0, sources: Vec::new(), ..self.clone() };
        for account in
            [&mut counted.tap, &mut counted.decap, &mut counted.spread, &mut counted.closed.account]
        {
            account.held = Count::default();
        }
        counted.closed.streams.held = 0;
        counted.closed.tally = counted.closed.tally.counted();
        (counted.busiest, counted.fragment_memory, counted.told) = (Busiest::default(), 0, None);
        counted
    }

    /// What was counted since `before`, and what is there now.
    pub fn since(&self, before: &Self) -> Self {
        let closed = Closed {
            account: self.closed.account.since(&before.closed.account),
            streams: self.closed.streams.since(&before.closed.streams),
            panics: self.closed.panics.saturating_sub(before.closed.panics),
            evicted: self.closed.evicted.saturating_sub(before.closed.evicted),
            tally: self.closed.tally.since(&before.closed.tally),
        };
        Self {
            tap: self.tap.since(&before.tap),
            decap: self.decap.since(&before.decap),
            spread: self.spread.since(&before.spread),
            closed,
            flows: self.flows,
            losses: Losses {
                seen: self.losses.seen.saturating_sub(before.losses.seen),
                dropped: self.losses.dropped.saturating_sub(before.losses.dropped),
                freezes: self.losses.freezes.saturating_sub(before.losses.freezes),
            },
            senders: self.senders.clone(),
            sources: self.sources.clone(),
            busiest: self.busiest.clone(),
            fragment_memory: self.fragment_memory,
            clock_steps: self.clock_steps.saturating_sub(before.clock_steps),
            told: self.told,
            busy: self.busy.saturating_sub(before.busy),
        }
    }

    /// This and `more`.
    #[must_use]
    pub fn plus(&self, more: Self) -> Self {
        let mut sum = more;
        sum.merge(self);
        sum
    }

    /// Adds what another worker tells.
    pub fn merge(&mut self, other: &Self) {
        self.tap.merge(&other.tap);
        self.decap.merge(&other.decap);
        self.spread.merge(&other.spread);
        self.closed.merge(&other.closed);
        self.flows += other.flows;
        self.losses = self.losses.plus(other.losses);
        self.busiest.merge(&other.busiest);
        self.busy += other.busy;
        self.clock_steps += other.clock_steps;
        self.sources.extend_from_slice(&other.sources);
    }

    /// The ledger, hop by hop.
    pub fn balance(&self) -> Balance {
        let mut balance = Balance::default();
        if let Some(carried) = self.senders.account(&self.tap) {
            balance.add(Hop::Carried, &carried);
        }
        balance.add(Hop::Tap, &self.tap);
        balance.add(Hop::Decap, &self.decap);
        balance.add(Hop::Spread, &self.spread);
        balance.add(Hop::Analyse, &self.closed.account);
        balance.streams = self.closed.streams;
        balance
    }
}
