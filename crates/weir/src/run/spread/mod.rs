//! `weir spread`: any source in, out of its tunnels, deduplicated, and by flow to one of several targets.
//!
//! ```text
//!   worker 0   sources ─► decap ─► spread (duplicates, table of targets) ─► outputs
//!   worker N      ...        each with outputs and a memory of flows of its own
//!   check      a thread for each target: is it alive?
//! ```
//!
//! Promises: a flow stays at its target as long as that is alive and the flow is not silent for `--idle`. When a target dies, its flows
//! and no others go elsewhere; when it is back, it gets new flows. ICMP errors go with the flow that they quote, and fragments with the
//! flow of their datagram, which leaves in fragments of [`worker::DATAGRAM`] bytes, as its sender may have cut it otherwise. All sources
//! are open before root is dropped and the first frame is looked at.

mod health;
mod report;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use weir_carry::{Output, OutputOptions, Target};
use weir_spread::SpreadBy;
use weir_wire::{Interval, UidKey};

use super::sense::{privileges, sources};
use super::signals::stop_by_signal;
use super::{Exit, complain};
use crate::cli::spread::{By, SpreadArguments, TooLong};
use crate::config::Config;
use crate::config::sense::{Every, given};
use health::{Alive, Check};
use worker::{Habits, Outlet, Thread};

/// How long the queue of an output may be full before a frame is dropped.
const PATIENCE: Duration = Duration::from_millis(20);

/// Runs `weir spread`, and tells the user on standard error what is wrong.
pub fn run(arguments: &SpreadArguments) -> Exit {
    match spread(arguments) {
        Ok(exit) => exit,
        Err((error, exit)) => {
            complain(&error);
            exit
        }
    }
}

/// What was wrong, and what that means for who started us.
type Failed = (anyhow::Error, Exit);

fn spread(arguments: &SpreadArguments) -> Result<Exit, Failed> {
    let usage = |error| (error, Exit::Usage);
    let config = settings(arguments).map_err(usage)?;
    let targets = targets(arguments).map_err(usage)?;
    let check: Check = arguments.check.parse().map_err(usage)?;
    let habits = habits(arguments, &config).map_err(usage)?;
    let account = privileges::is_root()
        .then(|| privileges::Account::choose(given(&config.sense.user)))
        .transpose()
        .map_err(usage)?;
    let stop = stop_by_signal().context("cannot listen for signals").map_err(|e| (e, Exit::Bug))?;
    let workers = usize::from(arguments.workers);
    let opened =
        sources::open(&config.sense, &config.decap, workers).map_err(|error| (error, Exit::Capture))?;
    let outputs = (0..workers).map(|_| open(&targets, arguments)).collect::<anyhow::Result<Vec<_>>>();
    let outputs = outputs.map_err(|error| (error, Exit::Output))?;
    let ledger = arguments.ledger.as_deref().map(report::create).transpose().map_err(|e| (e, Exit::Logs))?;
    // An interface that was gone has to be opened again.
    privileges::settle(account.as_ref(), &[caps::Capability::CAP_NET_RAW]).map_err(usage)?;
    let alive: Vec<Alive> = targets
        .iter()
        .map(|target| health::watch(target, &check, &stop))
        .collect::<anyhow::Result<_>>()
        .map_err(usage)?;
    if !arguments.quiet {
        report::tell(&format!("listening on {}, {} targets", opened.names.join(", "), targets.len()));
    }
    let start = worker::now();
    let threads: Vec<_> = opened
        .sources
        .into_iter()
        .zip(outputs)
        .enumerate()
        .map(|(index, (sources, outputs))| {
            let outlets = outputs.into_iter().zip(&targets).zip(&alive);
            let outlets = outlets.map(|((output, target), alive)| Outlet::new(output, target, alive));
            let thread = Thread::new(sources, outlets.collect(), &habits, start);
            let stop = Arc::clone(&stop);
            std::thread::Builder::new().name(format!("worker {index}")).spawn(move || thread.run(&stop))
        })
        .collect::<std::io::Result<_>>()
        .context("cannot start a thread")
        .map_err(|error| (error, Exit::Bug))?;
    let ended: Vec<_> = threads.into_iter().map(|thread| thread.join().ok()).collect();
    Ok(report::report(arguments.quiet, ledger, &targets, ended, start.elapsed()))
}

/// The configuration, changed by the command line.
fn settings(arguments: &SpreadArguments) -> anyhow::Result<Config> {
    let mut config = Config::load(arguments.config.as_deref())?;
    config.sense.listen_to(&arguments.sources);
    if let Some(user) = &arguments.user {
        config.sense.user.clone_from(user);
    }
    if let Some(by) = arguments.tenant_by {
        config.tenant_by(by);
    }
    Ok(config)
}

fn targets(arguments: &SpreadArguments) -> anyhow::Result<Vec<Target>> {
    let targets: Vec<Target> =
        arguments.targets.iter().map(|url| Ok(url.parse()?)).collect::<anyhow::Result<_>>()?;
    for (index, target) in targets.iter().enumerate() {
        let twice = targets.iter().skip(index + 1).any(|other| other.place == target.place);
        ensure!(!twice, "{target} is there twice: give it more with weight=N");
        let is_file = matches!(target.place, weir_carry::Place::File { .. });
        ensure!(!is_file || arguments.workers == 1, "{target}: workers cannot share a file: use -w 1");
    }
    ensure!(targets.len() <= weir_spread::MAX_TARGETS, "{} targets are the most", weir_spread::MAX_TARGETS);
    Ok(targets)
}

fn open(targets: &[Target], arguments: &SpreadArguments) -> anyhow::Result<Vec<Output>> {
    let mut options = OutputOptions { patience: PATIENCE, ..OutputOptions::default() };
    options.too_long = match arguments.too_long {
        TooLong::Drop => weir_carry::TooLong::Drop,
        TooLong::Truncate => weir_carry::TooLong::Truncate,
        TooLong::Fragment => weir_carry::TooLong::Fragment,
    };
    targets.iter().map(|target| Ok(Output::open(target, &options)?)).collect()
}

fn habits(arguments: &SpreadArguments, config: &Config) -> anyhow::Result<Habits> {
    let interval = |text: &str| {
        let Every(every) = text.parse()?;
        let every = every.with_context(|| format!("{text:?} is no time: 1s, 5min"))?;
        anyhow::Ok(Interval(i64::try_from(every.as_nanos()).unwrap_or(i64::MAX)))
    };
    Ok(Habits {
        by: match arguments.by {
            By::Flow => SpreadBy::Flow,
            By::Pair => SpreadBy::Pair,
            By::Tenant => SpreadBy::Tenant,
        },
        idle: interval(&arguments.idle)?,
        window: arguments.dedup.as_deref().map(interval).transpose()?,
        decap: config.decap.clone(),
        key: UidKey::default(),
        workers: usize::from(arguments.workers),
    })
}
