//! `weir replay`: captures, or a stream of one, onto an interface, by their times.

pub mod pace;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use weir_carry::{Outgoing, Output, OutputOptions, Place, Target};
use weir_ledger::{Account, Balance, Count, Hop};
use weir_tap::{Captures, FrameBatch, Options, Precision, Source};

use super::read::write_ledger;
use super::signals::stop_by_signal;
use super::summary::{Grouped, Line};
use super::{Exit, complain};
use crate::cli::{ReplayArguments, TooLong};
use pace::{Pace, Speed};

/// A full queue is waited for this long before a frame is given up: a link that is down for less loses nothing.
const PATIENCE: Duration = Duration::from_secs(1);
/// Sleeping ends this long before a frame is due, and spinning does the rest: the kernel wakes a thread up to 50 µs late.
const SPIN: Duration = Duration::from_micros(80);
/// How often a sleeper looks whether it was told to stop.
const LOOK: Duration = Duration::from_millis(100);

/// Runs `weir replay`, and tells the user on standard error what is wrong.
pub fn run(arguments: &ReplayArguments) -> Exit {
    let speed = match check(arguments) {
        Ok(speed) => speed,
        Err(error) => return ended_by(&error, Exit::Usage),
    };
    let stop = match stop_by_signal().context("cannot listen for signals") {
        Ok(stop) => stop,
        Err(error) => return ended_by(&error, Exit::Output),
    };
    let options = OutputOptions {
        bypass_qdisc: arguments.bypass_qdisc,
        patience: PATIENCE,
        too_long: match arguments.too_long {
            TooLong::Drop => weir_carry::TooLong::Drop,
            TooLong::Truncate => weir_carry::TooLong::Truncate,
        },
        ..OutputOptions::default()
    };
    let target = Target { place: Place::Interface { name: arguments.interface.clone() }, weight: 1 };
    let output = match Output::open(&target, &options) {
        Ok(output) => output,
        Err(error) => return ended_by(&error.into(), Exit::Output),
    };
    let start = now();
    let left = arguments.limit.unwrap_or(u64::MAX);
    let mut player = Player { output, speed, stop, left, read: Account::default(), damaged: false };
    let mut exit = Exit::Done;
    let mut round = 0;
    while !player.is_over() && (arguments.rounds == 0 || round < arguments.rounds) && exit == Exit::Done {
        let before = player.read.entered.frames;
        exit = player.round(arguments);
        round += 1;
        if player.read.entered.frames == before {
            break; // Captures without a frame could be played without end.
        }
    }
    player.report(arguments, start.elapsed(), exit)
}

fn ended_by(error: &anyhow::Error, exit: Exit) -> Exit {
    complain(error);
    exit
}

fn check(arguments: &ReplayArguments) -> anyhow::Result<Speed> {
    let from_stdin = arguments.captures.iter().any(|capture| capture == "-");
    anyhow::ensure!(arguments.rounds == 1 || !from_stdin, "standard input can be played only once");
    arguments.speed.parse()
}

struct Player {
    output: Output,
    speed: Speed,
    stop: Arc<AtomicBool>,
    /// Frames that may still be read.
    left: u64,
    /// The ledger of the tap.
    read: Account,
    /// Whether a capture could not be read to its end.
    damaged: bool,
}

impl Player {
    fn is_over(&self) -> bool {
        self.left == 0 || self.stop.load(Ordering::Relaxed)
    }

    /// Plays all captures once.
    fn round(&mut self, arguments: &ReplayArguments) -> Exit {
        let sources = arguments.captures.iter().map(Source::from_argument).collect();
        let options = Options { precision: Precision::Nanos, ..Options::default() };
        let mut captures = match Captures::open(sources, options) {
            Ok(captures) => captures,
            Err(error) => return ended_by(&error.into(), Exit::Capture),
        };
        let (mut batch, mut pace, mut start) = (FrameBatch::default(), Pace::new(self.speed), None);
        while !self.is_over() {
            match captures.next_batch(&mut batch) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    self.damaged = true;
                    complain(&error.into());
                    continue;
                }
            }
            batch.frames.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
            // The clock starts with the first frame: a stream may have to be waited for.
            let start = *start.get_or_insert_with(now);
            if let Err(error) = self.play(&batch, &mut pace, start) {
                return ended_by(&error.into(), Exit::Output);
            }
        }
        Exit::Done
    }

    /// Sends a batch, each frame when it is due; what is due together is sent together.
    fn play(
        &mut self,
        batch: &FrameBatch,
        pace: &mut Pace,
        start: Instant,
    ) -> Result<(), weir_carry::CarryError> {
        let bytes = batch.block.bytes();
        let mut due = batch.frames.as_slice();
        let mut clock = now();
        for index in 0..batch.frames.len() {
            let Some(meta) = batch.frames.get(index) else { break };
            let time = start + pace.due(meta.time, meta.len as usize);
            if time > clock {
                clock = now();
            }
            if time > clock {
                let (run, rest) = due.split_at(due.len() - (batch.frames.len() - index));
                due = rest;
                self.send(run.iter().map(|meta| meta.frame(bytes)))?;
                clock = self.wait_until(time);
                if self.stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
            }
        }
        self.send(due.iter().map(|meta| meta.frame(bytes)))
    }

    fn send<'a>(
        &mut self,
        frames: impl Iterator<Item = weir_wire::Frame<'a>> + Clone,
    ) -> Result<(), weir_carry::CarryError> {
        for frame in frames.clone() {
            let count = Count::one(u64::from(frame.wire_len));
            self.read.enter(count);
            self.read.pass(count);
            self.left -= 1;
        }
        self.output.send(frames.map(|frame| Outgoing::new(frame, 0)));
        self.output.take_trouble().map_or(Ok(()), Err)
    }

    /// Waits until `time` or until told to stop; what time it is then.
    fn wait_until(&self, time: Instant) -> Instant {
        loop {
            let clock = now();
            let left = time.saturating_duration_since(clock);
            if left.is_zero() || self.stop.load(Ordering::Relaxed) {
                return clock;
            }
            match left.checked_sub(SPIN) {
                Some(sleep) if !sleep.is_zero() => std::thread::sleep(sleep.min(LOOK)),
                _ => std::hint::spin_loop(),
            }
        }
    }

    /// The summary, the ledger, and what they mean for the exit code.
    fn report(&self, arguments: &ReplayArguments, took: Duration, exit: Exit) -> Exit {
        let mut balance = Balance::default();
        balance.add(Hop::Tap, &self.read);
        balance.add(Hop::Carry, self.output.account());
        if !arguments.quiet {
            // Where standard error is closed nobody wants the summary.
            let _ = self.summary(&balance, took);
        }
        if let Some(Err(error)) = arguments.ledger.as_deref().map(|path| write_ledger(path, &balance)) {
            return ended_by(&error, Exit::Logs);
        }
        for leak in balance.leaks() {
            complain(&anyhow::anyhow!("the ledger does not add up: {leak}. This is a bug of weir"));
        }
        if !balance.leaks().is_empty() {
            Exit::Bug
        } else if exit == Exit::Done && self.damaged {
            Exit::Capture
        } else if exit == Exit::Done && self.output.account().dropped_total().frames > 0 {
            Exit::Output
        } else {
            exit
        }
    }

    fn summary(&self, balance: &Balance, took: Duration) -> io::Result<()> {
        let (sent, counts) = (self.output.account().passed, self.output.counts());
        let seconds = took.as_secs_f64().max(1e-9);
        let rate = |n: u64| Grouped((n as f64 / seconds) as u64);
        let mut text = Vec::new();
        write!(text, "sent {} frames, {} bytes", Grouped(sent.frames), Grouped(sent.bytes))?;
        let name = self.output.name().trim_start_matches("interface://");
        write!(text, " to {name} in {seconds:.3} s: ")?;
        writeln!(text, "{} frames/s, {} bit/s", rate(sent.frames), rate(sent.bytes.saturating_mul(8)))?;
        let beside = [
            (counts.truncated, "sent without their end: longer than the MTU"),
            (counts.captured_short, "sent as short as they had been captured"),
            (counts.wrapped, "given an Ethernet header"),
            (counts.retries, "times waited for a full queue"),
        ];
        for (n, what) in beside.iter().filter(|(n, _)| *n > 0) {
            writeln!(text, "  {} {what}", Grouped(*n))?;
        }
        let balances = balance.leaks().is_empty();
        writeln!(text, "ledger: {}", if balances { "balances" } else { "DOES NOT BALANCE" })?;
        for hop in &balance.hops {
            writeln!(text, "  {:8}{}", hop.hop.name(), Line(&hop.account))?;
        }
        io::stderr().write_all(&text)
    }
}

#[allow(clippy::disallowed_methods, reason = "frames are sent by the clock")]
fn now() -> Instant {
    Instant::now()
}
