//! What a worker tells of itself.

use std::time::Instant;

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
    /// When it told this: a worker that makes progress tells ten times a second.
    pub told: Option<Instant>,
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
    /// Adds what another worker tells.
    pub fn merge(&mut self, other: &Self) {
        self.tap.merge(&other.tap);
        self.decap.merge(&other.decap);
        self.spread.merge(&other.spread);
        self.closed.merge(&other.closed);
        self.flows += other.flows;
        self.losses = self.losses.plus(other.losses);
        self.busiest.merge(&other.busiest);
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
