//! `weir tap`: frames of interfaces to outputs, until told to end.
//!
//! ```text
//!   rings ─► own, shed? ─► group of outputs (vxlan ...)
//!                      └─► group of outputs (pcap ...)      one thread; the kernel's rings hold what it is behind
//! ```
//!
//! Promises: what the tap sends is not tapped (`exclude.rs`). The workload comes first: one thread, rings of fixed size, and limits
//! beyond which whole flows are let go. Outputs and sources are opened, then root is dropped, then the first frame is read.

mod exclude;
mod outputs;
mod report;
mod sources;
mod told;

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use caps::Capability;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use weir_carry::{Outgoing, OutputOptions, Target};
use weir_ledger::{Account, Count, Hop, Reason};
use weir_spread::{Shed, SpreadBy, glance, hash};
use weir_tap::{FrameBatch, LiveSource, Received};
use weir_wire::{Interval, Time};

use super::sense::metrics::Metrics;
use super::sense::privileges;
use super::{Exit, complain};
use crate::cli::tap::{By, TapArguments, TooLong};
use crate::config::Config;
use crate::config::sense::given;
use crate::config::tap::TapConfig;
use exclude::Own;
use outputs::{Kept, Outputs};
use report::{Ledger, LedgerFile};
use sources::{Opened, Watcher};
use told::Told;

/// How often it is looked whether interfaces or namespaces have come or gone.
const WATCH: Duration = Duration::from_secs(1);
/// How often the load is looked at, and outputs are asked whether something is due.
const LOOK: Duration = Duration::from_millis(100);
/// Batches that are read from one ring before it is another's turn.
const TURN: usize = 16;
/// At the end: how long rings are read on while frames still come, how long they have to be silent, and how long outputs may send.
const DRAIN: Duration = Duration::from_secs(2);
const QUIET: Duration = Duration::from_millis(60);
const FINISH: Duration = Duration::from_secs(5);

/// Runs `weir tap`, and tells the user on standard error what is wrong.
pub fn run(arguments: &TapArguments) -> Exit {
    match Tap::prepare(arguments) {
        Ok(tap) => tap.run(arguments.quiet),
        Err((error, exit)) => {
            complain(&error);
            exit
        }
    }
}

/// A tap at work.
struct Tap {
    sources: Vec<Opened>,
    watcher: Watcher,
    outputs: Outputs,
    own: Own,
    shed: Shed,
    by: SpreadBy,
    /// The ledgers of rings that are closed, and of the way from rings to outputs.
    closed: Account,
    spread: Account,
    ledger: Option<LedgerFile>,
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicBool>,
    batch: FrameBatch,
    /// What Prometheus is told, where it is asked for.
    told: Option<Arc<Told>>,
}

impl Tap {
    /// Opens everything, then drops root.
    fn prepare(arguments: &TapArguments) -> Result<Self, (anyhow::Error, Exit)> {
        let usage = |error| (error, Exit::Usage);
        let mut config = Config::usual(arguments.config.as_deref()).map_err(usage)?.tap;
        config.change(arguments);
        let limits = config.limits().map_err(usage)?;
        let targets = targets(&config).map_err(usage)?;
        let options = output_options(&config).map_err(usage)?;
        let account = privileges::is_root()
            .then(|| privileges::Account::choose(given(&config.user)))
            .transpose()
            .map_err(usage)?;
        let (stop, asked) = listen().context("cannot listen for signals").map_err(|e| (e, Exit::Bug))?;
        let metrics = given(&config.metrics).map(|address| Metrics::open(address, "tap"));
        let metrics = metrics.transpose().map_err(|e| (e, Exit::Usage))?;
        let mut outputs = Outputs::open(&targets, &options).map_err(|e| (e.into(), Exit::Output))?;
        let own = Own::new(outputs.destinations());
        let interfaces = outputs.interfaces().collect();
        let mut watcher = Watcher::new(&config, own.program(), interfaces).map_err(usage)?;
        let ledger =
            arguments.ledger.clone().map(LedgerFile::create).transpose().map_err(|e| (e, Exit::Logs))?;
        let mut sources = watcher.open_named().map_err(|e| (e, Exit::Capture))?;
        let news = watcher.look();
        sources.extend(news.opened);
        if let Some(error) = news.troubles.into_iter().next() {
            return Err((error, Exit::Capture));
        }
        privileges::settle(account.as_ref(), &capabilities(&config)).map_err(usage)?;
        let told = metrics.map(serve).transpose().map_err(|e| (e, Exit::Bug))?;
        outputs.tick().into_iter().for_each(|error| complain(&error.into()));
        let by = match config.by {
            By::Pair => SpreadBy::Pair,
            By::Flow => SpreadBy::Flow,
        };
        let shed = Shed::new(limits, Interval(LOOK.as_nanos() as i64));
        let (closed, spread) = (Account::default(), Account::default());
        let batch = FrameBatch::default();
        Ok(Self {
            sources,
            watcher,
            outputs,
            own,
            shed,
            by,
            closed,
            spread,
            ledger,
            stop,
            asked,
            batch,
            told,
        })
    }

    /// Works until told to stop.
    fn run(mut self, quiet: bool) -> Exit {
        if !quiet {
            let names: Vec<_> = self.sources.iter().map(|source| source.name.as_str()).collect();
            let to: Vec<_> = self.outputs.all().map(weir_carry::Output::name).collect();
            tell(&format!("tapping {}, to {}", names.join(", "), to.join(", ")));
        }
        // Without a service manager nobody is told.
        let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Ready]);
        let (mut looked, mut watched) = (now(), now());
        while !self.stop.load(Ordering::Relaxed) {
            let busy = self.turn();
            if !busy {
                self.wait();
            }
            if looked.elapsed() >= LOOK {
                looked = now();
                self.look();
            }
            if watched.elapsed() >= WATCH {
                watched = now();
                self.watch();
            }
        }
        let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Stopping]);
        self.drain();
        self.outputs.finish(FINISH);
        self.report(quiet)
    }

    /// Reads from each ring what it has, up to a bound. Answers whether one may have more.
    fn turn(&mut self) -> bool {
        let mut batch = std::mem::take(&mut self.batch);
        let (mut busy, mut failed) = (false, Vec::new());
        for index in 0..self.sources.len() {
            for turn in 0..=TURN {
                if turn == TURN {
                    busy = true;
                    break;
                }
                let Some(source) = self.sources.get_mut(index) else { break };
                match source.ring.receive(&mut batch, Duration::ZERO) {
                    Ok(Received::Frames) => self.forward(&batch),
                    Ok(Received::Idle | Received::Ended) => break,
                    Err(error) => {
                        // A ring of another namespace would be opened again in this one.
                        let is_elsewhere = source.space.is_some();
                        if !is_elsewhere {
                            complain(&error.into());
                        }
                        if is_elsewhere {
                            failed.push(index);
                        }
                        break;
                    }
                }
            }
        }
        batch.clear();
        self.batch = batch;
        for index in failed.into_iter().rev() {
            let source = self.sources.swap_remove(index);
            self.watcher.forget(source.space, &source.name);
            self.close(source);
        }
        busy
    }

    /// Sends the frames of a batch, but for the tap's own and those of flows that are let go.
    fn forward(&mut self, batch: &FrameBatch) {
        let mut kept = Vec::with_capacity(batch.len());
        for frame in batch.iter() {
            let bytes = u64::from(frame.wire_len);
            let count = Count::one(bytes);
            self.spread.enter(count);
            let mut is_own = false;
            let key = glance(&frame, &mut |leg| is_own |= self.own.is_own(leg));
            if is_own {
                self.spread.drop(Reason::OwnOutput, count);
                continue;
            }
            self.shed.offer(bytes);
            let flow = key.map_or(0, |key| hash(&key, SpreadBy::Flow));
            if !self.shed.keeps(flow) {
                self.spread.drop(Reason::Shed, count);
                continue;
            }
            self.spread.pass(count);
            let place =
                if self.by == SpreadBy::Flow { flow } else { key.map_or(0, |key| hash(&key, self.by)) };
            kept.push(Kept { outgoing: Outgoing::new(frame, flow), place });
        }
        self.outputs.send(&kept);
    }

    /// Waits until a ring has something, or something else may be due.
    fn wait(&self) {
        let descriptors: Vec<BorrowedFd<'_>> =
            self.sources.iter().filter_map(|source| source.ring.descriptor()).collect();
        let mut waiting: Vec<_> =
            descriptors.into_iter().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let most = PollTimeout::try_from(LOOK).unwrap_or(PollTimeout::ZERO);
        // A signal ends the wait, and everything is looked at anyway.
        let _ = poll(&mut waiting, most);
    }

    /// What is due by time.
    fn look(&mut self) {
        self.shed.observe(clock(), cpu());
        self.outputs.tick().into_iter().for_each(|error| complain(&error.into()));
        self.tell();
        let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Watchdog]);
        if self.asked.swap(false, Ordering::Relaxed) {
            let ledger = self.ledger(false);
            if let Some(Err(error)) = self.ledger.as_mut().map(|file| file.write(&ledger)) {
                complain(&error);
            }
        }
    }

    /// Tells those who ask for metrics.
    fn tell(&mut self) {
        let Some(told) = self.told.clone() else { return };
        let mut tap = self.closed.clone();
        self.sources.iter_mut().for_each(|source| tap.merge(&account(&mut source.ring, false)));
        let mut carry = Account::default();
        self.outputs.accounts().iter().for_each(|account| carry.merge(account));
        let hops = [(Hop::Tap, &tap), (Hop::Spread, &self.spread), (Hop::Carry, &carry)];
        told.tell(&hops, &mut self.sources);
    }

    /// Interfaces and namespaces may have come or gone.
    fn watch(&mut self) {
        if !self.watcher.is_watching() {
            return;
        }
        let news = self.watcher.look();
        news.troubles.iter().for_each(complain);
        let (gone, here) = std::mem::take(&mut self.sources)
            .into_iter()
            .partition::<Vec<_>, _>(|source| source.space.is_some_and(|space| news.gone.contains(&space)));
        self.sources = here;
        self.sources.extend(news.opened);
        gone.into_iter().for_each(|source| self.close(source));
    }

    /// Takes the ledger of a ring that is closed.
    fn close(&mut self, mut source: Opened) {
        self.closed.merge(&account(&mut source.ring, true));
    }

    /// Reads what the kernel has taken before the stop.
    fn drain(&mut self) {
        let stopped = now();
        let mut last = (stopped, self.spread.entered.frames);
        while stopped.elapsed() < DRAIN && last.0.elapsed() < QUIET {
            self.turn();
            if self.spread.entered.frames > last.1 {
                last = (now(), self.spread.entered.frames);
            }
            std::thread::sleep(QUIET / 10);
        }
    }

    /// `last`: what the kernel still has will not be read.
    fn ledger(&mut self, last: bool) -> Ledger {
        let mut tap = self.closed.clone();
        self.sources.iter_mut().for_each(|source| tap.merge(&account(&mut source.ring, last)));
        Ledger::new(&tap, &self.spread, &self.outputs)
    }

    /// The summary, the ledger, and what they mean for the exit code.
    fn report(mut self, quiet: bool) -> Exit {
        let ledger = self.ledger(true);
        if !quiet {
            tell(&ledger.summary(&self.outputs));
        }
        if let Some(Err(error)) = self.ledger.as_mut().map(|file| file.write(&ledger)) {
            complain(&error);
            return Exit::Logs;
        }
        for leak in ledger.leaks() {
            complain(&anyhow!("the ledger does not add up: {leak}. This is a bug of weir"));
        }
        if !ledger.leaks().is_empty() {
            Exit::Bug
        } else if ledger.lost() {
            Exit::Output
        } else {
            Exit::Done
        }
    }
}

/// The ledger of a ring with what the kernel says was lost.
fn account(ring: &mut impl LiveSource, last: bool) -> Account {
    let losses = ring.losses();
    let mut account = ring.account().clone();
    if last {
        let taken = losses.dropped.saturating_add(account.entered.frames);
        let left = Count::new(losses.seen.saturating_sub(taken), 0);
        account.enter(left);
        account.drop(Reason::LeftAtStop, left);
    }
    let lost = Count::new(losses.dropped, 0);
    account.enter(lost);
    account.drop(Reason::KernelDropped, lost);
    account
}

fn targets(config: &TapConfig) -> anyhow::Result<Vec<Target>> {
    anyhow::ensure!(
        !config.to.is_empty(),
        "there is no target: name one, as --to 'geneve://10.0.0.9?vni=7', or write it into /etc/weir/weir.toml"
    );
    config.to.iter().map(|text| Ok(text.parse::<Target>()?)).collect()
}

fn output_options(config: &TapConfig) -> anyhow::Result<OutputOptions> {
    Ok(OutputOptions {
        too_long: match config.too_long {
            TooLong::Fragment => weir_carry::TooLong::Fragment,
            TooLong::Truncate => weir_carry::TooLong::Truncate,
            TooLong::Drop => weir_carry::TooLong::Drop,
        },
        patience: Duration::from_nanos(config.patience.0.unsigned_abs()),
        buffer: config.stream_buffer,
        tap: config.id()?,
        // Another one with every start, but for one start in 65,536.
        epoch: (clock().0 / 1_000_000_000) as u16,
        ..OutputOptions::default()
    })
}

fn serve(metrics: Metrics) -> anyhow::Result<Arc<Told>> {
    let told = Arc::new(Told::new());
    metrics.serve(&told)?;
    Ok(told)
}

/// What is needed after root is dropped: interfaces and sockets may have to be opened again, and namespaces to be entered.
fn capabilities(config: &TapConfig) -> Vec<Capability> {
    let mut kept = vec![Capability::CAP_NET_RAW];
    if config.containers || !config.netns.is_empty() {
        kept.extend([Capability::CAP_SYS_ADMIN, Capability::CAP_SYS_PTRACE]);
    }
    kept
}

/// What SIGINT and SIGTERM set (the second one ends the process at once), and what SIGUSR1 does.
fn listen() -> std::io::Result<(Arc<AtomicBool>, Arc<AtomicBool>)> {
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    signal_hook::flag::register(SIGUSR1, Arc::clone(&asked))?;
    Ok((stop, asked))
}

/// Tells the user something that is not wrong.
fn tell(text: &str) {
    // Where standard error is closed nobody can be told.
    let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("weir: {text}\n"));
}

/// CPU time of this thread, which does all the work, in nanoseconds; 0 where the system does not tell.
fn cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[allow(clippy::disallowed_methods, reason = "a tap lives by the clock")]
fn now() -> Instant {
    Instant::now()
}

#[allow(clippy::disallowed_methods, reason = "a tap lives by the clock")]
fn clock() -> Time {
    Time(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as i64)
}
