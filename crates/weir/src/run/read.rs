//! `weir read`: captures to logs, in one process.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use weir_decap::{Decap, Output};
use weir_ledger::{Account, Balance, Count, Hop, Reason};
use weir_log::Columns;
use weir_record::Entries;
use weir_tap::{Captures, Filter, FrameBatch, FrameMeta, Options, Source};
use weir_wire::{LinkType, Packet, Time, UidKey};

use super::carried::{SenderView, Senders};
use super::identity::{Identity, secret};
use super::inline::Inline;
use super::lanes::Lanes;
use super::logs::{Logged, Logs};
use super::names::SourceNames;
use super::summary::Summary;
use super::worker::{Closed, Worker};
use super::{Exit, complain};
use crate::cli::{Checksums, ReadArguments, StopAfter};
use crate::config::{self, Config};

/// What the hops behind the tap leave behind.
pub struct Ended {
    /// Who numbers what he sends, and what of it was lost on the way.
    pub senders: Senders,
    /// The ledger of decap.
    pub decap: Account,
    /// The ledger of spread.
    pub spread: Account,
    /// The ledgers of the lanes.
    pub lanes: Closed,
    /// What became of the records.
    pub logged: Logged,
}

/// Runs `weir read`, and tells the user on standard error what is wrong.
pub fn run(arguments: &ReadArguments) -> Exit {
    let (config, key, columns) = match settings(arguments) {
        Ok(settings) => settings,
        Err(error) => return ended_by(&error, Exit::Usage),
    };
    let sources = arguments.captures.iter().map(Source::from_argument).collect();
    let captures = match Captures::open(sources, Options::default()) {
        Ok(captures) => captures,
        Err(error) => return ended_by(&error.into(), Exit::Capture),
    };
    let filter = match arguments.filter.as_deref().map(Filter::new).transpose() {
        Ok(filter) => filter,
        Err(error) => return ended_by(&error.into(), Exit::Usage),
    };
    let (mut reader, progress) = (Reader::new(captures, filter), progress_bar(arguments.quiet));
    let ended =
        Logs::create(&arguments.directory, arguments.format, columns).and_then(|logs| {
            match arguments.stop_after {
                Some(StopAfter::Decap) => run_decap(&mut reader, config, key, logs, &progress),
                None => run_hops(&mut reader, arguments.workers, config, key, logs, &progress),
            }
        });
    progress.finish_and_clear();
    match ended {
        Ok(ended) => report(arguments, &reader, &ended),
        Err(error) => ended_by(&error, Exit::Logs),
    }
}

fn ended_by(error: &anyhow::Error, exit: Exit) -> Exit {
    complain(error);
    exit
}

/// The configuration, changed by the command line, and the key.
fn settings(arguments: &ReadArguments) -> anyhow::Result<(Config, UidKey, Option<Arc<Columns>>)> {
    let mut config = Config::load(arguments.config.as_deref())?;
    config.verify_checksums(arguments.checksums == Some(Checksums::Verify));
    config.name_by(&arguments.names);
    let name =
        arguments.captures.first().map_or_else(String::new, |path| path.to_string_lossy().into_owned());
    let columns = Identity::new(&mut config, vec![SourceNames { first: 0, count: 1, name }])?.columns();
    Ok((config, arguments.key.as_deref().map_or(Ok(UidKey::default()), config::key)?, columns))
}

/// Takes all frames through all hops.
fn run_hops(
    reader: &mut Reader,
    workers: u16,
    config: Config,
    key: UidKey,
    logs: Logs,
    progress: &ProgressBar,
) -> anyhow::Result<Ended> {
    let decap = Decap::new(config.decap, key);
    let analyse = Arc::new(config.analyse);
    let dedup = || config.dedup.deduplicator(workers.into(), secret());
    let worker = || Worker::new(Arc::clone(&analyse), key).without_duplicates(dedup());
    let mut batch = FrameBatch::default();
    if workers <= 1 {
        let mut hops = Inline::new(decap, worker(), logs);
        while reader.next(&mut batch, progress) {
            hops.batch(&batch, reader.now)?;
        }
        hops.finish(reader.now, reader.captures.frames())
    } else {
        let workers = std::iter::repeat_with(worker).take(workers.into()).collect();
        let mut hops = Lanes::start(decap, workers, logs)?;
        while reader.next(&mut batch, progress) && hops.batch(&batch, reader.now) {}
        hops.finish(reader.captures.frames())
    }
}

/// Takes all frames through decap, and writes what that has to say.
fn run_decap(
    reader: &mut Reader,
    config: Config,
    key: UidKey,
    mut logs: Logs,
    progress: &ProgressBar,
) -> anyhow::Result<Ended> {
    let mut decap = Decap::new(config.decap, key);
    let (mut batch, mut entries) = (FrameBatch::default(), Entries::default());
    while reader.next(&mut batch, progress) {
        let mut out = Output { packets: Vec::new(), entries };
        for frame in batch.iter() {
            decap.frame(&frame, &mut out);
            out.packets.clear();
        }
        decap.advance(reader.now, &mut out);
        entries = out.entries;
        entries.drain().try_for_each(|ordered| logs.write(&ordered))?;
    }
    let mut out = Output { packets: Vec::new(), entries };
    decap.finish(&mut out);
    out.entries.drain().try_for_each(|ordered| logs.write(&ordered))?;
    let decap = decap.account().clone();
    let senders = Senders::default();
    Ok(Ended { senders, decap, spread: Account::default(), lanes: Closed::default(), logged: logs.close()? })
}

/// Counts what goes through spread: everything, at once.
pub fn count_spread(account: &mut Account, packets: &[Packet<'_>]) {
    for packet in packets {
        let count = Count::new(u64::from(packet.head.frames), packet.head.frame_bytes);
        account.enter(count);
        account.pass(count);
    }
}

/// The captures, with the ledger of the tap.
pub struct Reader {
    captures: Captures,
    filter: Option<Filter>,
    /// The ledger of the tap.
    pub account: Account,
    /// The earliest time of a frame.
    pub first: Option<Time>,
    /// The latest time of a frame so far: the time that drives time-outs.
    pub now: Time,
    /// How many captures could not be read to their end.
    pub damaged: usize,
    /// The link type of the last frame.
    link: Option<LinkType>,
    /// Link types that decap does not know.
    strange: Vec<Strange>,
}

/// A link type that decap does not know, and where it was met first.
struct Strange {
    link: LinkType,
    capture: PathBuf,
    offset: u64,
}

/// So many of those are named; a capture may have thousands.
const MAX_STRANGE: usize = 8;

impl Reader {
    fn new(captures: Captures, filter: Option<Filter>) -> Self {
        Self {
            captures,
            filter,
            account: Account::default(),
            first: None,
            now: Time(0),
            damaged: 0,
            link: None,
            strange: Vec::new(),
        }
    }

    /// Fills `batch`; `false` where there are no more frames. A capture that is damaged is told of and ends there.
    fn next(&mut self, batch: &mut FrameBatch, progress: &ProgressBar) -> bool {
        loop {
            match self.captures.next_batch(batch) {
                Ok(false) => return false,
                Ok(true) => break,
                Err(error) => {
                    self.damaged += 1;
                    progress.suspend(|| complain(&error.into()));
                }
            }
        }
        self.select(batch);
        for frame in &batch.frames {
            if self.link != Some(frame.link) {
                self.link = Some(frame.link);
                self.meet(frame);
            }
            let earliest = self.first.map_or(frame.time, |first| first.min(frame.time));
            self.now = if self.first.is_none() { frame.time } else { self.now.max(frame.time) };
            self.first = Some(earliest);
            self.account.pass(Count::one(u64::from(frame.wire_len)));
        }
        let done = self.captures.progress();
        progress.set_length(done.total.unwrap_or(done.done));
        progress.set_position(done.done);
        true
    }

    /// A frame of another link type than the one before it.
    fn meet(&mut self, frame: &FrameMeta) {
        let met = self.strange.iter().any(|strange| strange.link == frame.link);
        if !weir_decap::knows(frame.link) && !met && self.strange.len() < MAX_STRANGE {
            let capture = self.captures.current().unwrap_or(Path::new("a capture")).to_path_buf();
            let offset = self.captures.base().saturating_add(frame.offset as u64);
            self.strange.push(Strange { link: frame.link, capture, offset });
        }
    }

    /// Counts the frames of `batch`, and drops those that the filter does not select. Where it cannot be said of a link
    /// type, as "tcp" of Bluetooth, none of those frames is selected.
    fn select(&mut self, batch: &mut FrameBatch) {
        let FrameBatch { block, frames } = batch;
        let (account, filter) = (&mut self.account, &mut self.filter);
        frames.retain(|meta| {
            let count = Count::one(u64::from(meta.wire_len));
            account.enter(count);
            let Some(filter) = filter else { return true };
            let wanted = filter.matches(&meta.frame(block.bytes())).unwrap_or(false);
            if !wanted {
                account.drop(Reason::Filtered, count);
            }
            wanted
        });
    }
}

/// A bar for those who watch; not drawn where standard error is no terminal.
fn progress_bar(quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
    match ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// The summary, the ledger, and what they mean for the exit code.
fn report(arguments: &ReadArguments, reader: &Reader, ended: &Ended) -> Exit {
    let mut balance = Balance::default();
    if let Some(carried) = ended.senders.account(&reader.account) {
        balance.add(Hop::Carried, &carried);
    }
    balance.add(Hop::Tap, &reader.account);
    balance.add(Hop::Decap, &ended.decap);
    if arguments.stop_after.is_none() {
        balance.add(Hop::Spread, &ended.spread);
        balance.add(Hop::Analyse, &ended.lanes.account);
        balance.streams = ended.lanes.streams;
    }
    if !arguments.quiet {
        let span = reader.first.map(|first| (first, reader.now));
        let (directory, logged, lanes) = (arguments.directory.as_path(), &ended.logged, &ended.lanes);
        let summary = Summary { span, directory, logged, lanes, balance: &balance, senders: &ended.senders };
        // Where standard error is closed nobody wants the summary.
        let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{summary}"));
    }
    if let Some(Err(error)) =
        arguments.ledger.as_deref().map(|path| write_ledger(path, &Ledger::new(&balance, ended)))
    {
        return ended_by(&error, Exit::Logs);
    }
    exit_of(reader, ended, &balance)
}

fn exit_of(reader: &Reader, ended: &Ended, balance: &Balance) -> Exit {
    let strange = ended.decap.dropped(Reason::UnknownLinkType).frames;
    if strange > 0 {
        for Strange { link, capture, offset } in &reader.strange {
            let (capture, link) = (capture.display(), link.0);
            complain(&anyhow::anyhow!(
                "{capture} has frames of link type {link}, the first at byte {offset}, which weir does not know: \
                 what is no IP is dropped as unknown_link_type"
            ));
        }
    }
    for leak in balance.leaks() {
        complain(&anyhow::anyhow!("the ledger does not add up: {leak}. This is a bug of weir"));
    }
    if ended.lanes.panics > 0 {
        let panics = ended.lanes.panics;
        complain(&anyhow::anyhow!(
            "a lane panicked {panics} times and lost its flows. This is a bug of weir"
        ));
    }
    if ended.lanes.panics > 0 || !balance.leaks().is_empty() {
        Exit::Bug
    } else if reader.damaged > 0 || strange > 0 {
        Exit::Capture
    } else {
        Exit::Done
    }
}

/// The ledger's file.
#[derive(Serialize)]
struct Ledger<'a> {
    #[serde(flatten)]
    balance: &'a Balance,
    limits: Limits,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    senders: Vec<SenderView>,
}

/// How often bounds were reached that frames and bytes do not show.
#[derive(Serialize)]
struct Limits {
    connections_ended_early: u64,
    records_not_written: u64,
    repeats_forgotten: u64,
}

impl<'a> Ledger<'a> {
    fn new(balance: &'a Balance, ended: &Ended) -> Self {
        let limits = Limits {
            connections_ended_early: ended.lanes.evicted,
            records_not_written: ended.logged.lost,
            repeats_forgotten: ended.logged.emptied,
        };
        Self { balance, limits, senders: ended.senders.view() }
    }
}

/// Writes the balance as JSON.
pub fn write_ledger(path: &Path, balance: &impl Serialize) -> anyhow::Result<()> {
    let file = std::fs::File::create(path);
    write_ledger_into(file.with_context(|| format!("cannot create {}", path.display()))?, path, balance)
}

/// Writes the balance as JSON into a file that was opened earlier.
pub fn write_ledger_into(
    mut file: std::fs::File,
    path: &Path,
    balance: &impl Serialize,
) -> anyhow::Result<()> {
    let mut text = serde_json::to_vec_pretty(balance)?;
    text.push(b'\n');
    let written = std::io::Write::write_all(&mut file, &text);
    written.with_context(|| format!("cannot write the ledger to {}", path.display()))
}
