//! `weir sense`: live sources to logs, until told to end.
//!
//! ```text
//!   worker 0 ─┐
//!   worker 1 ─┼─► write        each worker: sources ─► decap ─► lanes (worker.rs), packets of others' lanes by exchange.rs
//!   worker N ─┘                who works with what: crew.rs; the main thread: steward.rs
//! ```
//!
//! Promises: sources are opened, then root is dropped, then the first byte of traffic is looked at. SIGTERM and SIGINT end
//! all connections into the logs; a second one ends the process at once.

pub mod clock;
pub mod control;
mod crew;
mod exchange;
mod fault;
mod hops;
mod intake;
mod kernel;
mod lanes;
mod load;
mod meter;
pub mod metrics;
mod order;
pub mod privileges;
mod rss;
pub mod snapshot;
pub mod sources;
pub mod status;
mod steward;
mod worker;
mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;

use anyhow::{Context, anyhow};
use caps::Capability;
use clap::ValueEnum;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use weir_ledger::{Balance, Hop};
use weir_log::Columns;
use weir_tap::interfaces;
use weir_wire::UidKey;

use super::carried::SenderView;
use super::identity::Identity;
use super::logs::Logs;
use super::read::write_ledger_into;
use super::summary::{Grouped, Line};
use super::{Exit, complain};
use crate::cli::Checksums;
use crate::cli::sense::SenseArguments;
use crate::config::Config;
use crate::config::sense::{given, key_in};
use control::Control;
use crew::{Crew, Rest};
use intake::Intake;
use load::Load;
use metrics::Metrics;
use sources::Opened;
pub use sources::address_of;
use status::Status;
use steward::Steward;
use worker::Shared;
pub use writer::Rotation;
use writer::{Writer, Written};

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
            0 => sources::usual_workers(&config.sense).map_err(|error| (error, Exit::Capture))?,
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
        let workers = opened.sources.len();
        if !arguments.quiet {
            let all = opened.names.join(", ");
            tell(&format!("listening on {all} with {workers} workers, logs in {}", directory.display()));
        }
        if !arguments.quiet {
            let there: Vec<_> =
                opened.names.iter().filter(|name| interfaces().contains(name)).cloned().collect();
            for text in super::doctor::warnings(&config, &there, workers) {
                tell(&text);
            }
            for finding in opened.later.findings() {
                tell(&format!("warning: {finding}"));
            }
        }
        let metrics = given(&config.sense.metrics).map(|address| Metrics::open(address, "sense"));
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let lanes = lanes::lanes_for(workers, cpus);
        let way = config.sense.balance.to_possible_value();
        let shared = Arc::new(Shared::new(lanes, way.map_or_else(String::new, |v| v.get_name().to_owned())));
        let intake = |sources| Intake::new(sources, config.decap.clone(), key);
        let intakes = opened.sources.into_iter().map(intake).collect();
        let rest = Rest::new(intakes, lanes, &config, workers, key);
        let (mut crew, inlet) = Crew::new(
            Arc::clone(&shared),
            workers,
            &config.sense,
            (opened.mixed, &opened.cpus),
            logs.style(),
        );
        let mut writer = Writer::new(logs, config.sense.rotation(), Arc::clone(&shared));
        writer.take_up(&directory);
        let writer = start_writer(writer, inlet);
        let started = writer.and_then(|writer| {
            crew.work(rest, workers)?;
            Ok((writer, control.serve(&shared)?))
        });
        let (writer, desk) = match started {
            Ok(started) => started,
            Err(error) => {
                complain(&error);
                return Exit::Bug;
            }
        };
        if let Some(Err(error)) = metrics.map(|opened| opened?.serve(&shared)) {
            tell(&format!("warning: {error:#}"));
        }
        let load = config.sense.follow_load.then(Load::default);
        let (total, later) = (Arc::clone(&shared), opened.later);
        let (looked, watchdog) = (steward::now(), steward::watchdog());
        let steward =
            Steward { crew, shared, config, identity, arguments, load, later, looked, watchdog, fed: None };
        let dead = steward.run(&stop, &mut signals, &desk);
        report(arguments.quiet, (&directory, ledger), &crew::total(&total), dead, writer.join().ok())
    }
}

fn start_writer(writer: Writer, (deliveries, back): crew::Inlet) -> anyhow::Result<JoinHandle<Written>> {
    let write = move || writer::write(&deliveries, &back, writer);
    std::thread::Builder::new().name("write".into()).spawn(write).context("cannot start a thread")
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

/// Gives away what is not needed any more; becomes `account`, who must be able to write the logs.
fn settle(directory: &Path, config: &Config, account: Option<&privileges::Account>) -> anyhow::Result<()> {
    let sets_back = config.sense.balance == crate::cli::sense::Balance::Rss && !config.sense.keep_rss;
    // Interfaces that come back, and those that appear later, are opened as the first ones were.
    let kept = [
        (Capability::CAP_NET_RAW, !config.sense.interfaces.is_empty()),
        (Capability::CAP_NET_ADMIN, sets_back),
    ];
    let kept: Vec<_> = kept.iter().filter(|(_, is)| *is).map(|(capability, _)| *capability).collect();
    privileges::settle(account, &kept)?;
    privileges::may_write(directory)?;
    let left = writer::set_aside(directory)?;
    if !left.is_empty() {
        tell(&format!(
            "an earlier run left {} logs in {}: they were moved aside, as rotated logs are",
            left.len(),
            directory.display()
        ));
    }
    Ok(())
}

/// The ledger's file.
#[derive(serde::Serialize)]
struct Full<'a> {
    #[serde(flatten)]
    balance: &'a Balance,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    senders: Vec<SenderView>,
    /// Lines that could not be written, by log.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    lost_lines: BTreeMap<&'static str, u64>,
}

/// The summary, the ledger, and what they mean for the exit code.
fn report(
    quiet: bool,
    (directory, ledger): (&Path, Option<Ledger>),
    status: &Status,
    dead: usize,
    written: Option<Written>,
) -> Exit {
    let balance = status.balance();
    let lost = written.iter().flat_map(|written| &written.lost).filter(|(_, lost)| *lost > 0);
    let lost_lines = lost.map(|(kind, lost)| (kind.path(), *lost)).collect();
    let full = Full { balance: &balance, senders: status.senders.view(), lost_lines };
    if !quiet {
        tell(&summary(directory, status, written.as_ref()));
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
