//! What a sensor tells of itself at one moment: for `weir ctl status`, `weir top` and metrics.
//!
//! Promises: made in one place ([`Snapshot::take`]), from what workers and the writer publish ten times and once a second, so
//! that asking costs the packet path nothing. Counters only grow as long as the sensor runs, for each worker number too.
//! Packets on their way between two hops are counted by the first and not yet by the second.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use weir_analyse::busiest::{Busiest, SECONDS};
use weir_ledger::{Account, Count, Reason, StreamAccount};

use super::super::carried::SenderView;
use super::status::{SourceStatus, Status};
use super::worker::Shared;

/// The transports that connections are counted by.
const TRANSPORTS: [&str; 4] = ["tcp", "udp", "icmp", "other"];

/// All that a sensor tells.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// The version of weir.
    pub version: String,
    /// The process.
    pub pid: u32,
    /// For how many seconds it has been listening.
    pub uptime: f64,
    /// How traffic is split, as `--balance` names it.
    pub balance: String,
    /// Each worker, by its number.
    pub workers: Vec<WorkerSnapshot>,
    /// Each ring, socket and stream.
    pub sources: Vec<SourceSnapshot>,
    /// The ledger over all workers, in the order in which a packet meets the hops.
    pub hops: Vec<HopSnapshot>,
    /// The ledger of TCP payload.
    pub tcp_payload: StreamAccount,
    /// Connections now.
    pub flows: usize,
    /// Connections that were ended early because a table was full.
    pub evicted: u64,
    /// How often analysis panicked and was begun anew.
    pub panics: u64,
    /// How often the clock of packets went back, over all workers.
    pub clock_steps: u64,
    /// Who numbers what he sends (ERSPAN, GRE, taps of weir), and what of it came.
    pub senders: Vec<SenderView>,
    /// Each log that was begun.
    pub logs: Vec<LogSnapshot>,
    /// Who and what has most of the traffic.
    pub busiest: BusiestSnapshot,
}

/// The busiest pairs of hosts and services of some seconds, busiest first; sampled where there is much traffic.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct BusiestSnapshot {
    /// Of so many seconds.
    pub seconds: u32,
    /// Pairs of hosts.
    pub pairs: Vec<PairSnapshot>,
    /// Services, as in conn.log; "" for what is not known.
    pub services: Vec<ServiceSnapshot>,
}

/// A pair of hosts.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct PairSnapshot {
    /// One host.
    pub low: String,
    /// The other.
    pub high: String,
    /// Packets in both directions.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A service.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceSnapshot {
    /// Its name.
    pub service: String,
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One worker.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerSnapshot {
    /// Its number.
    pub worker: usize,
    /// What it received from its sources.
    pub received: Count,
    /// What it analysed, from its own sources and from other workers.
    pub analysed: Count,
    /// Connections now.
    pub flows: usize,
    /// What the kernel dropped before its sources, in frames.
    pub kernel_dropped: u64,
    /// For how many seconds it was on a CPU.
    pub busy: f64,
    /// What it dropped at each hop: hop, then reason. Where there is nothing, nothing stands.
    pub dropped: BTreeMap<String, BTreeMap<String, Count>>,
    /// Connections that began, by transport.
    pub connections: BTreeMap<String, u64>,
    /// Acknowledgments that covered data for the first time.
    pub acks: u64,
    /// Those that covered data which was never seen.
    pub ack_gaps: u64,
    /// How many seconds ago it told this: less than one, while it makes progress.
    pub silent_for: f64,
}

/// One ring, socket or stream.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceSnapshot {
    /// Its number.
    pub source: u16,
    /// What a user calls it.
    pub name: String,
    /// Which worker reads it.
    pub worker: usize,
    /// What it handed over.
    pub received: Count,
    /// Frames that the kernel has counted for it, lost ones included; 0 where it does not say.
    pub kernel_seen: u64,
    /// Frames that the kernel dropped because its ring or buffer was full.
    pub kernel_dropped: u64,
    /// How often the ring was full.
    pub freezes: u64,
    /// How much of the ring is in use, 0 to 1; none where nobody knows.
    pub fill: Option<f64>,
}

/// One hop of the ledger.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct HopSnapshot {
    /// Its name.
    pub hop: String,
    /// What came in.
    pub entered: Count,
    /// What went on.
    pub passed: Count,
    /// What is inside.
    pub held: Count,
    /// What ended, by the label of the reason; reasons that did not occur are left out.
    pub dropped: BTreeMap<String, Count>,
}

/// One log.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct LogSnapshot {
    /// Its name, without `.log`.
    pub log: String,
    /// Records, those that wait to be written included.
    pub written: u64,
    /// Records that could not be written.
    pub lost: u64,
}

impl Snapshot {
    /// The present moment, from what is published in `shared`.
    pub fn take(shared: &Shared) -> Self {
        let (mut all, mut workers, mut sources) = (Status::default(), Vec::new(), Vec::new());
        let count = shared.workers.load(Ordering::Relaxed);
        for (worker, place) in shared.status.iter().enumerate() {
            let status = place.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if worker < count {
                sources.extend(status.sources.iter().map(|source| SourceSnapshot::of(source, worker)));
                let told = status.told.unwrap_or(shared.start);
                workers.push(WorkerSnapshot::of(worker, &status, since(told).as_secs_f64()));
            }
            all.merge(&status);
        }
        all.senders = shared.senders();
        sources.sort_by_key(|source| source.source);
        let logs = shared.logged.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime: since(shared.start).as_secs_f64(),
            balance: shared.balance.clone(),
            hops: all.balance().hops.iter().map(|h| HopSnapshot::of(h.hop.name(), &h.account)).collect(),
            tcp_payload: all.closed.streams,
            flows: all.flows,
            evicted: all.closed.evicted,
            panics: all.closed.panics,
            clock_steps: all.clock_steps,
            workers,
            sources,
            senders: all.senders.view(),
            logs,
            busiest: BusiestSnapshot::of(&all.busiest),
        }
    }
}

impl WorkerSnapshot {
    fn of(worker: usize, status: &Status, silent_for: f64) -> Self {
        let mut dropped = BTreeMap::new();
        for hop in status.balance().hops {
            let reasons = dropped_of(&hop.account);
            if !reasons.is_empty() {
                dropped.insert(hop.hop.name().to_owned(), reasons);
            }
        }
        let tally = &status.closed.tally;
        Self {
            worker,
            received: status.tap.passed,
            analysed: status.closed.account.entered,
            flows: status.flows,
            kernel_dropped: status.losses.dropped,
            busy: status.busy.as_secs_f64(),
            dropped,
            connections: TRANSPORTS.iter().map(|name| (*name).to_owned()).zip(tally.began).collect(),
            acks: tally.acks,
            ack_gaps: tally.gaps,
            silent_for,
        }
    }
}

impl BusiestSnapshot {
    fn of(busiest: &Busiest) -> Self {
        let mut pairs: Vec<_> = busiest
            .pairs
            .iter()
            .map(|((low, high), share)| PairSnapshot {
                low: low.to_string(),
                high: high.to_string(),
                packets: share.packets,
                bytes: share.bytes,
            })
            .collect();
        let mut services: Vec<_> = busiest
            .services
            .iter()
            .map(|(service, share)| ServiceSnapshot {
                service: (*service).to_owned(),
                packets: share.packets,
                bytes: share.bytes,
            })
            .collect();
        pairs.sort_by_key(|pair| std::cmp::Reverse(pair.bytes));
        services.sort_by_key(|service| std::cmp::Reverse(service.bytes));
        Self { seconds: SECONDS as u32, pairs, services }
    }
}

impl SourceSnapshot {
    fn of(source: &SourceStatus, worker: usize) -> Self {
        Self {
            source: source.number,
            name: source.name.clone(),
            worker,
            received: source.received,
            kernel_seen: source.losses.seen,
            kernel_dropped: source.losses.dropped,
            freezes: source.losses.freezes,
            fill: source.fill,
        }
    }
}

impl HopSnapshot {
    /// Of a hop's account.
    pub fn of(name: &str, account: &Account) -> Self {
        Self {
            hop: name.to_owned(),
            entered: account.entered,
            passed: account.passed,
            held: account.held,
            dropped: dropped_of(account),
        }
    }
}

fn dropped_of(account: &Account) -> BTreeMap<String, Count> {
    let all = Reason::ALL.iter().map(|reason| (reason.label().to_owned(), account.dropped(*reason)));
    all.filter(|(_, count)| *count != Count::default()).collect()
}

#[allow(clippy::disallowed_methods, reason = "the uptime is measured by the clock")]
fn since(start: Instant) -> Duration {
    start.elapsed()
}
