//! Where frames come in: some sources and the decap that they share, which move between workers as one.
//!
//! Promises: every frame that a source handed over is given to decap, or counted as lost where something panicked. Fragments
//! and tunnels that decap remembers go with it wherever it goes.

use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use weir_decap::carried::Arrivals;
use weir_decap::{Decap, Output};
use weir_ledger::{Account, Count, Reason};
use weir_tap::{FrameBatch, LiveSource, Received};
use weir_wire::{Frame, Time, UidKey};

use super::super::complain;
use super::super::worker::close_after_panic;
use super::status::{SourceStatus, Status};

/// A source that failed is left alone for this long.
const REST: Duration = Duration::from_millis(100);

/// Sources with their decap.
pub struct Intake {
    sources: Vec<Source>,
    /// What their frames go through.
    pub walker: Walker,
}

struct Source {
    reader: Box<dyn LiveSource>,
    /// Its number among the sources of all workers.
    feed: u16,
    rests_until: Option<Instant>,
}

/// Decap, and a new one where it panics.
pub struct Walker {
    decap: Decap,
    /// The accounts of those before it that panicked.
    closed: Account,
    given: Count,
    panics: u64,
    config: weir_decap::Config,
    key: UidKey,
}

impl Intake {
    /// Of these sources, with their numbers.
    pub fn new(sources: Vec<(u16, Box<dyn LiveSource>)>, config: weir_decap::Config, key: UidKey) -> Self {
        let source = |(feed, reader)| Source { reader, feed, rests_until: None };
        Self { sources: sources.into_iter().map(source).collect(), walker: Walker::new(config, key) }
    }

    /// How many sources there are.
    pub const fn len(&self) -> usize {
        self.sources.len()
    }

    /// Takes another source in.
    pub fn add(&mut self, feed: u16, reader: Box<dyn LiveSource>) {
        self.sources.push(Source { reader, feed, rests_until: None });
    }

    /// Takes a batch from the source at `index`, without waiting; answers the number of the source, if there was one.
    pub fn receive(&mut self, index: usize, batch: &mut FrameBatch, at: Instant) -> Option<u16> {
        let source = self.sources.get_mut(index)?;
        if source.rests_until.is_some_and(|until| until > at) {
            return None;
        }
        source.rests_until = None;
        match source.reader.receive(batch, Duration::ZERO) {
            Ok(Received::Frames) => return Some(source.feed),
            Ok(Received::Idle) => {}
            Ok(Received::Ended) => source.rests_until = Some(at + REST),
            Err(error) => {
                complain(&error.into());
                source.rests_until = Some(at + REST);
            }
        }
        None
    }

    /// How full the fullest ring is, 0 to 1.
    pub fn fill(&self) -> f64 {
        self.sources.iter().filter_map(|source| source.reader.fill()).fold(0.0, f64::max)
    }

    /// What becomes readable when frames come to sources that do not rest.
    pub fn descriptors(&self, at: Instant) -> impl Iterator<Item = BorrowedFd<'_>> {
        let resting = move |source: &&Source| source.rests_until.is_none_or(|until| until <= at);
        self.sources.iter().filter(resting).filter_map(|source| source.reader.descriptor())
    }

    /// Only frames that `expression` selects are wanted from now on; `None`: all. Answers the names of sources that have no
    /// filter.
    ///
    /// # Errors
    /// The first that could not be set, after all were tried.
    pub fn filter(&mut self, expression: Option<&str>) -> anyhow::Result<()> {
        let mut result = Ok(());
        for source in &mut self.sources {
            let set = source.reader.set_filter(expression);
            result = result.and(set.map(drop).map_err(anyhow::Error::from));
        }
        result
    }

    /// Adds what was counted here to `status`. `last`: what the kernel still has will not be read.
    pub fn status(&mut self, status: &mut Status, last: bool) {
        for Source { reader, feed, .. } in &mut self.sources {
            let losses = reader.losses();
            if last {
                let taken = losses.dropped.saturating_add(reader.account().entered.frames);
                let left = Count::new(losses.seen.saturating_sub(taken), 0);
                status.tap.enter(left);
                status.tap.drop(Reason::LeftAtStop, left);
            }
            status.tap.merge(reader.account());
            let lost = Count::new(losses.dropped, 0);
            status.tap.enter(lost);
            status.tap.drop(Reason::KernelDropped, lost);
            status.losses = status.losses.plus(losses);
            status.sources.push(SourceStatus {
                number: *feed,
                name: reader.name().to_owned(),
                received: reader.account().passed,
                losses,
                fill: reader.fill(),
            });
        }
        status.decap.merge(&self.walker.closed);
        status.decap.merge(self.walker.decap.account());
        status.closed.panics += self.walker.panics;
        status.fragment_memory += self.walker.decap.fragment_memory();
    }

    /// The worker panicked: what the sources handed over and decap was not given is lost.
    pub fn recover(&mut self) {
        let mut handed = Count::default();
        self.sources.iter().for_each(|source| handed += source.reader.account().passed);
        let mut given = self.walker.closed.entered;
        given += self.walker.given;
        handed -= given;
        self.walker.given += handed;
        self.walker.replace();
    }
}

impl Walker {
    fn new(config: weir_decap::Config, key: UidKey) -> Self {
        Self {
            decap: Decap::new(config.clone(), key),
            closed: Account::default(),
            given: Count::default(),
            panics: 0,
            config,
            key,
        }
    }

    /// Which sequence numbers of tunnels came.
    pub const fn arrivals(&mut self) -> &mut Arrivals {
        self.decap.arrivals()
    }

    /// Walks one frame. May panic: [`replace`](Self::replace) then makes good what can be.
    pub fn frame<'f>(&mut self, frame: &Frame<'f>, out: &mut Output<'f>) {
        self.given += Count::one(u64::from(frame.wire_len));
        self.decap.frame(frame, out);
    }

    /// Lets time pass.
    pub fn advance(&mut self, now: Time, out: &mut Output<'_>) {
        if catch_unwind(AssertUnwindSafe(|| self.decap.advance(now, out))).is_err() {
            out.packets.clear();
            self.replace();
        }
    }

    /// No frame comes any more.
    pub fn finish(&mut self, out: &mut Output<'_>) {
        if catch_unwind(AssertUnwindSafe(|| self.decap.finish(out))).is_err() {
            out.packets.clear();
            self.replace();
        }
    }

    /// Other limits and habits hold from now on.
    pub fn configure(&mut self, config: &weir_decap::Config) {
        self.config = config.clone();
        self.decap.configure(config.clone());
    }

    /// Closes the account of a decap that panicked, and goes on with a new one. Packets that it had found are lost with it.
    pub fn replace(&mut self) {
        let mut account = self.decap.account().clone();
        close_after_panic(&mut account, self.given);
        self.closed.merge(&account);
        self.given = Count::default();
        self.panics += 1;
        let arrivals = std::mem::take(self.decap.arrivals());
        self.decap = Decap::new(self.config.clone(), self.key);
        *self.decap.arrivals() = arrivals;
    }
}
