//! `weir sense`: live sources to logs, until told to end.
//!
//! ```text
//!   worker 0 ─┐
//!   worker 1 ─┼─► write        each worker: sources ─► decap ─► lane (worker.rs), packets of others' lanes by exchange.rs
//!   worker N ─┘
//! ```
//!
//! Promises: sources are opened, then root is dropped, then the first byte of traffic is looked at. SIGTERM and SIGINT end
//! all connections into the logs; a second one ends the process at once.

pub mod clock;
pub mod control;
mod exchange;
mod hops;
mod kernel;
mod meter;
mod metrics;
mod order;
pub mod privileges;
pub mod snapshot;
pub mod sources;
pub mod status;
mod worker;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use caps::Capability;
use clap::ValueEnum;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use weir_ledger::{Balance, Hop};
use weir_log::Columns;
use weir_tap::{Precision, interfaces};
use weir_wire::UidKey;

use super::carried::SenderView;
use super::deliver::Sender;
use super::identity::{Identity, secret};
use super::logs::Logs;
use super::read::write_ledger_into;
use super::summary::{Grouped, Line};
use super::worker::Worker;
use super::{Exit, complain};
use crate::cli::Checksums;
use crate::cli::sense::SenseArguments;
use crate::config::Config;
use crate::config::sense::{given, key_in};
use control::{Answer, Control, Job, Request};
use meter::Meter;
use metrics::Metrics;
use sources::Opened;
pub use sources::address_of;
use status::Status;
use worker::{Parts, Shared, Thread};
pub use writer::Rotation;
use writer::{Writer, Written};

/// Deliveries that wait before the writer, for each worker.
const DELIVERIES: usize = 16;
/// How often the main thread looks whether there is something to do.
const LOOK: Duration = Duration::from_millis(100);

/// Runs `weir sense`, and tells the user on standard error what is wrong.
pub fn run(arguments: &SenseArguments) -> Exit {
    match Sensor::prepare(arguments) {
        Ok(sensor) => sensor.run(arguments),
        Err((error, exit)) => {
            complain(&error);
            exit
        }
    }
}

/// All that is open before the first packet is looked at.
struct Sensor {
    config: Config,
    identity: Identity,
    key: UidKey,
    directory: PathBuf,
    logs: Logs,
    ledger: Option<Ledger>,
    control: Control,
    opened: Opened,
    signals: Signals,
    stop: Arc<AtomicBool>,
}

/// The file of the ledger, opened while we may, written at the end.
type Ledger = (PathBuf, std::fs::File);

impl Sensor {
    /// Opens everything, then drops root.
    fn prepare(arguments: &SenseArguments) -> Result<Self, (anyhow::Error, Exit)> {
        let (mut config, key) = settings(arguments).map_err(|error| (error, Exit::Usage))?;
        let workers = match config.sense.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => usize::from(workers),
        };
        let account = privileges::is_root()
            .then(|| privileges::Account::choose(given(&config.sense.user)))
            .transpose()
            .map_err(|error| (error, Exit::Usage))?;
        let (stop, signals) = listen().context("cannot listen for signals").map_err(|e| (e, Exit::Bug))?;
        config.sense.ports(&mut config.decap);
        let mut opened =
            sources::open(&config.sense, &config.decap, workers).map_err(|e| (e, Exit::Capture))?;
        let names = std::mem::take(&mut opened.taps);
        let identity = Identity::new(&mut config, names).map_err(|error| (error, Exit::Usage))?;
        let (directory, control) = places(&config, account.is_some());
        let ledger = arguments.ledger.as_deref().map(open_ledger).transpose().map_err(|e| (e, Exit::Logs))?;
        let logs = make_logs(&directory, &config, identity.columns(), account.as_ref())
            .map_err(|error| (error, Exit::Logs))?;
        let control = Control::open(&control, account.as_ref()).map_err(|error| (error, Exit::Usage))?;
        settle(&directory, &config, account.as_ref()).map_err(|error| (error, Exit::Logs))?;
        Ok(Self { config, identity, key, directory, logs, ledger, control, opened, signals, stop })
    }

    /// Works until told to stop.
    fn run(self, arguments: &SenseArguments) -> Exit {
        let Self { config, identity, key, directory, logs, ledger, control, opened, mut signals, stop } =
            self;
        if !arguments.quiet {
            let (all, workers) = (opened.names.join(", "), opened.sources.len());
            tell(&format!("listening on {all} with {workers} workers, logs in {}", directory.display()));
        }
        if !arguments.quiet {
            let there: Vec<_> =
                opened.names.iter().filter(|name| interfaces().contains(name)).cloned().collect();
            for text in super::doctor::warnings(&config, &there, opened.sources.len()) {
                tell(&text);
            }
        }
        let metrics = given(&config.sense.metrics).map(Metrics::open);
        let started = start(config, key, logs, opened, Arc::clone(&stop));
        let desk = |(threads, shared)| Ok((control.serve(&shared)?, threads, shared));
        let (desk, threads, shared) = match started.and_then(desk) {
            Ok(started) => started,
            Err(error) => {
                complain(&error);
                return Exit::Bug;
            }
        };
        if let Some(Err(error)) = metrics.map(|opened| opened?.serve(&shared)) {
            tell(&format!("warning: {error:#}"));
        }
        // Without a service manager nobody is told.
        let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Ready]);
        while !stop.load(Ordering::Relaxed) && !threads.workers.iter().all(JoinHandle::is_finished) {
            for signal in signals.pending() {
                if signal == SIGHUP {
                    match identity.reload() {
                        Ok(true) => tell("the names of taps and tenants were read again"),
                        Ok(false) => tell("there is no file of tenants to be read again"),
                        Err(error) => complain(&error.context("the former names go on")),
                    }
                }
            }
            if shared.makes_progress(now()) {
                let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Watchdog]);
            }
            if let Some(job) = desk.wait(LOOK) {
                self::carry_out(job, &shared);
            }
        }
        let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Stopping]);
        stop.store(true, Ordering::Relaxed);
        let dead = threads.workers.into_iter().map(JoinHandle::join).filter(Result::is_err).count();
        let written = threads.writer.join();
        report(arguments.quiet, (&directory, ledger), &shared, dead, written.ok())
    }
}

/// Does what a client of the control socket asks.
fn carry_out(Job { request, answer }: Job, shared: &Shared) {
    let result = match request {
        Request::Status => Answer::Error("the status is not asked of the main thread".into()),
        Request::Stop => {
            shared.stop.store(true, Ordering::Relaxed);
            Answer::Ok("the sensor ends".into())
        }
        Request::Rotate => {
            shared.rotate.store(true, Ordering::Relaxed);
            Answer::Ok("the logs are moved aside within a second".into())
        }
    };
    // A client that is gone need not know.
    let _ = answer.send(result);
}

fn open_ledger(path: &Path) -> anyhow::Result<Ledger> {
    let file = std::fs::File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    Ok((path.to_owned(), file))
}

/// The configuration, changed by the command line, and the key.
fn settings(arguments: &SenseArguments) -> anyhow::Result<(Config, UidKey)> {
    let mut config = Config::usual(arguments.config.as_deref())?;
    config.verify_checksums(arguments.checksums == Some(Checksums::Verify));
    config.name_by(&arguments.names);
    config.sense.change(arguments);
    let key = given(&config.sense.key_file).map_or(Ok(UidKey::default()), key_in)?;
    Ok((config, key))
}

/// What SIGINT and SIGTERM set (the second one ends the process at once), and the signals to be looked at.
fn listen() -> std::io::Result<(Arc<AtomicBool>, Signals)> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok((stop, Signals::new([SIGHUP])?))
}

/// Where the logs go, and where the control socket is.
fn places(config: &Config, as_root: bool) -> (PathBuf, PathBuf) {
    let usual = PathBuf::from(if as_root { "/var/log/weir" } else { "logs" });
    let directory = given(&config.sense.logs).map_or_else(|| usual.clone(), PathBuf::from);
    let beside =
        || if as_root && directory == usual { control::SOCKET.into() } else { directory.join(control::NAME) };
    let control = given(&config.sense.control).map_or_else(beside, PathBuf::from);
    (directory, control)
}

/// Makes the directory of the logs where it is not there.
fn make_logs(
    directory: &Path,
    config: &Config,
    columns: Option<Arc<Columns>>,
    account: Option<&privileges::Account>,
) -> anyhow::Result<Logs> {
    let is_new = !directory.exists();
    let logs = Logs::create(directory, config.sense.format, columns)?.going_on();
    if let Some(account) = account.filter(|_| is_new) {
        account.own(directory)?;
    }
    Ok(logs)
}

/// Becomes `account`, who must be able to write the logs.
fn settle(directory: &Path, config: &Config, account: Option<&privileges::Account>) -> anyhow::Result<()> {
    if let Some(account) = account {
        let reopens = !config.sense.interfaces.is_empty();
        privileges::drop_root(account, if reopens { &[Capability::CAP_NET_RAW] } else { &[] })?;
    }
    privileges::may_write(directory)?;
    writer::set_aside(directory)?;
    Ok(())
}

struct Threads {
    workers: Vec<JoinHandle<()>>,
    writer: JoinHandle<Written>,
}

/// Starts all threads.
fn start(
    config: Config,
    key: UidKey,
    logs: Logs,
    Opened { sources, mixed, .. }: Opened,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<(Threads, Arc<Shared>)> {
    let count = sources.len();
    let status = std::iter::repeat_with(Mutex::<Status>::default).take(count).collect();
    let balance =
        config.sense.balance.to_possible_value().map_or_else(String::new, |v| v.get_name().to_owned());
    let shared = Arc::new(Shared {
        stop,
        status,
        precision: Precision::Micros,
        start: now(),
        mixed,
        balance,
        logged: Mutex::default(),
        rotate: AtomicBool::new(false),
        carried: Mutex::default(),
    });
    let (analyse, secret) = (Arc::new(config.analyse), secret());
    let (queue, deliveries) = sync_channel(DELIVERIES * count);
    let thread = |name: String| std::thread::Builder::new().name(name);
    let style = logs.style().clone();
    let rotation = config.sense.rotation();
    let (stats, capture_loss) = (config.sense.stats, config.sense.capture_loss);
    let (done, emptied): (Vec<_>, Vec<_>) = (0..count).map(|_| sync_channel(DELIVERIES)).unzip();
    let to_tell = Arc::clone(&shared);
    let write = move || writer::write(&deliveries, &done, Writer::new(logs, rotation, to_tell));
    let writer = thread("write".into()).spawn(write);
    let writer = writer.context("cannot start a thread")?;
    let cpus = if config.sense.pin { cpus() } else { Vec::new() };
    let shed_above = config.sense.shed_above();
    let mut workers = Vec::new();
    let ends = exchange::between(count)?;
    for (index, ((sources, ends), emptied)) in sources.into_iter().zip(ends).zip(emptied).enumerate() {
        let dedup = config.dedup.deduplicator(count, secret);
        let worker = Worker::new(Arc::clone(&analyse), key).without_duplicates(dedup);
        let (config, sender) =
            (config.decap.clone(), Sender::new(index, style.clone(), queue.clone(), emptied));
        let meter = Meter::new(index, stats, capture_loss, shared.start);
        let parts = Parts { index, sources, config, key, worker, ends, sender, meter, shed_above };
        let (shared, cpu) = (Arc::clone(&shared), pinned(index, count, &cpus));
        let run = move || {
            if let Some(cpu) = cpu {
                // A worker that cannot be bound works as well, if a bit slower.
                let _ = sched_setaffinity(Pid::from_raw(0), &cpu);
            }
            Thread::new(parts, shared).run();
        };
        workers.push(thread(format!("worker {index}")).spawn(run).context("cannot start a thread")?);
    }
    Ok((Threads { workers, writer }, shared))
}

/// The CPUs that this process may use.
fn cpus() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else { return Vec::new() };
    (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).collect()
}

/// The CPU of a worker; none where there are more workers than CPUs, which the kernel then spreads better.
fn pinned(index: usize, workers: usize, cpus: &[usize]) -> Option<CpuSet> {
    let cpu = *cpus.get(index).filter(|_| workers <= cpus.len())?;
    let mut set = CpuSet::new();
    set.set(cpu).ok().map(|()| set)
}

/// The ledger's file.
#[derive(serde::Serialize)]
struct Full<'a> {
    #[serde(flatten)]
    balance: &'a Balance,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    senders: Vec<SenderView>,
}

/// The summary, the ledger, and what they mean for the exit code.
fn report(
    quiet: bool,
    (directory, ledger): (&Path, Option<Ledger>),
    shared: &Shared,
    dead: usize,
    written: Option<Written>,
) -> Exit {
    let mut status = Status::default();
    for place in &shared.status {
        status.merge(&place.lock().unwrap_or_else(PoisonError::into_inner));
    }
    status.senders = shared.senders();
    let balance = status.balance();
    let full = Full { balance: &balance, senders: status.senders.view() };
    if !quiet {
        tell(&summary(directory, &status, written.as_ref()));
    }
    if let Some(Err(error)) = ledger.map(|(path, file)| write_ledger_into(file, &path, &full)) {
        complain(&error);
        return Exit::Logs;
    }
    for leak in balance.leaks() {
        complain(&anyhow!("the ledger does not add up: {leak}. This is a bug of weir"));
    }
    let panics = status.closed.panics + dead as u64;
    if panics > 0 {
        complain(&anyhow!("workers panicked {panics} times and lost their flows. This is a bug of weir"));
    }
    if panics > 0 || !balance.leaks().is_empty() {
        Exit::Bug
    } else if written.is_none_or(|written| written.lost.iter().any(|(_, lost)| *lost > 0)) {
        Exit::Logs
    } else {
        Exit::Done
    }
}

fn summary(directory: &Path, status: &Status, written: Option<&Written>) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    let entered = status.tap.entered;
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{} packets, {} bytes", Grouped(entered.frames), Grouped(entered.bytes));
    let _ = write!(text, "logs in {}:", directory.display());
    for (kind, count) in written.iter().flat_map(|w| &w.counts).filter(|(_, n)| *n > 0) {
        let _ = write!(text, " {} {}", kind.path(), Grouped(*count));
    }
    for (kind, lost) in written.iter().flat_map(|w| &w.lost).filter(|(_, n)| *n > 0) {
        let _ = write!(text, ", lost {} lines of {}", Grouped(*lost), kind.path());
    }
    let balance = status.balance();
    let balances = balance.leaks().is_empty();
    let _ = writeln!(text, "\nledger: {}", if balances { "balances" } else { "DOES NOT BALANCE" });
    for hop in &balance.hops {
        let _ = writeln!(text, "  {:8}{}", hop.hop.name(), Line(&hop.account));
        if hop.hop == Hop::Carried {
            let _ = write!(text, "{}", status.senders);
        }
    }
    text.pop();
    text
}

/// Tells the user something that is not wrong.
fn tell(text: &str) {
    // Where standard error is closed nobody can be told.
    let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("weir: {text}\n"));
}

#[allow(clippy::disallowed_methods, reason = "a sensor lives by the clock")]
fn now() -> Instant {
    Instant::now()
}
