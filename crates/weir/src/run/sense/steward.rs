//! What the main thread does while workers work: signals, what clients ask, reloading, the number of workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use sd_notify::NotifyState;
use signal_hook::consts::SIGHUP;
use signal_hook::iterator::Signals;
use weir_tap::Filter;

use super::super::identity::Identity;
use super::control::{Answer, Desk, Job, Request};
use super::crew::{Crew, Rest};
use super::lanes;
use super::load::Load;
use super::sources::{Appeared, Later};
use super::worker::Shared;
use super::{complain, settings, tell};
use crate::cli::sense::SenseArguments;
use crate::config::Config;
use crate::config::sense::{SenseConfig, given};

/// How often the main thread looks whether there is something to do.
const LOOK: Duration = Duration::from_millis(100);
/// How often interfaces are looked for that were not there.
const APPEARANCE: Duration = Duration::from_secs(1);

/// Who looks after the workers.
pub struct Steward<'a> {
    /// The workers.
    pub crew: Crew,
    /// What they tell.
    pub shared: Arc<Shared>,
    /// What holds now.
    pub config: Config,
    /// Whose names stand in the logs.
    pub identity: Identity,
    /// The command line, which stands above the configuration.
    pub arguments: &'a SenseArguments,
    /// By which the number of workers follows the load; none where it does not.
    pub load: Option<Load>,
    /// Interfaces that may appear later.
    pub later: Later,
    /// When they were looked for last.
    pub looked: Instant,
    /// How often the service manager wants to hear that all is well; none where it does not.
    pub watchdog: Option<Duration>,
    /// When it was told last.
    pub fed: Option<Instant>,
}

impl Steward<'_> {
    /// Looks after them until the user wants an end, or nobody works any more. Answers how many workers panicked for good.
    pub fn run(mut self, stop: &AtomicBool, signals: &mut Signals, desk: &Desk) -> usize {
        notify(&[NotifyState::Ready]);
        while !stop.load(Ordering::Relaxed) && !self.crew.has_lost_one() {
            if signals.pending().any(|signal| signal == SIGHUP) {
                match self.reload() {
                    Ok(text) => tell(&text),
                    Err(error) => complain(&error.context("the configuration from before stays")),
                }
            }
            self.feed_watchdog();
            if let Some(job) = desk.wait(LOOK) {
                self.carry_out(job, stop);
            }
            self.follow_load();
            self.look_for_interfaces();
        }
        notify(&[NotifyState::Stopping]);
        self.crew.end()
    }

    /// Tells the service manager, where it wants to know, that every worker makes progress.
    fn feed_watchdog(&mut self) {
        let at = now();
        if let Some(every) = self.watchdog
            && self.fed.is_none_or(|fed| at.duration_since(fed) >= every)
            && self.shared.makes_progress(at)
        {
            self.fed = Some(at);
            notify(&[NotifyState::Watchdog]);
        }
    }

    /// Does what a client of the control socket asks.
    fn carry_out(&mut self, Job { request, answer }: Job, stop: &AtomicBool) {
        let result = match request {
            Request::Status => Err(anyhow::anyhow!("the status is not asked of the main thread")),
            Request::Stop => {
                stop.store(true, Ordering::Relaxed);
                Ok("the sensor ends".into())
            }
            Request::Rotate => {
                self.shared.rotate.store(true, Ordering::Relaxed);
                Ok("the logs are moved aside within a second".into())
            }
            Request::Reload => self.reload(),
            Request::Workers { count: Some(count) } => {
                self.load = None;
                self.hire(usize::from(count))
            }
            Request::Workers { count: None } => {
                self.load = Some(Load::default());
                Ok("the number of workers follows the load".into())
            }
        };
        let result = match result {
            Ok(text) => Answer::Ok(text.into()),
            Err(error) => Answer::Error(format!("{error:#}")),
        };
        // A client that is gone need not know.
        let _ = answer.send(result);
    }

    /// There shall be `count` workers.
    fn hire(&mut self, count: usize) -> anyhow::Result<String> {
        let most = self.shared.status.len();
        anyhow::ensure!(
            (1..=most).contains(&count),
            "there can be 1 to {most} workers, as there are {most} lanes"
        );
        let before = self.crew.len();
        if count != before {
            let config = self.config.analyse.clone();
            self.change(count, |rest| lanes::configure(&mut rest.lanes, &config, count))?;
            tell(&format!("{count} workers, where there were {before}"));
        }
        Ok(format!("{count} workers"))
    }

    /// Pauses all workers, changes what they have, and deals it to `workers`.
    fn change(&mut self, workers: usize, change: impl FnOnce(&mut Rest)) -> anyhow::Result<()> {
        let mut rest = self.crew.pause();
        change(&mut rest);
        self.crew.work(rest, workers).context("workers cannot go on")
    }

    fn follow_load(&mut self) {
        let Some(load) = &mut self.load else { return };
        let most = self.shared.status.len().min(std::thread::available_parallelism().map_or(1, usize::from));
        if let Some(count) = load.wanted(&self.shared, most)
            && let Err(error) = self.hire(count)
        {
            complain(&error);
        }
    }

    /// Interfaces that were not there and that are asked for by a pattern are listened on, too.
    fn look_for_interfaces(&mut self) {
        let at = now();
        if at.duration_since(self.looked) < APPEARANCE {
            return;
        }
        self.looked = at;
        match self.later.appeared(&self.config.sense, &self.config.decap) {
            Ok(None) => {}
            Ok(Some(Appeared { name, sources, taps })) => {
                self.identity.add(taps);
                self.crew.mix(true);
                let added = self.change(self.crew.len(), |rest| {
                    for (intake, sources) in rest.intakes.iter_mut().zip(sources) {
                        for (feed, reader) in sources {
                            intake.add(feed, reader);
                        }
                    }
                });
                match added {
                    Ok(()) => tell(&format!("listening on {name}, too")),
                    Err(error) => complain(&error),
                }
            }
            Err(error) => complain(&error.context("an interface that appeared is not listened on")),
        }
    }

    /// Reads the configuration again, and tells the service manager so, in the words that it wants (sd_notify(3)).
    fn reload(&mut self) -> anyhow::Result<String> {
        // The clock that is asked for is there wherever there is a service manager.
        let at = NotifyState::monotonic_usec_now().into_iter();
        notify(&[NotifyState::Reloading].into_iter().chain(at).collect::<Vec<_>>());
        let result = self.read_again();
        notify(&[NotifyState::Ready]);
        result
    }

    /// Reads the configuration again, and has what can change hold from the next frame on. Answers what was done.
    fn read_again(&mut self) -> anyhow::Result<String> {
        let (mut new, _) = settings(self.arguments)?;
        new.sense.ports(&mut new.decap);
        // A filter that is wrong must not be found when half of the rings have it.
        given(&new.sense.filter).map(Filter::new).transpose()?;
        self.identity.reload(&mut new)?;
        let workers = match new.sense.workers {
            same if same == self.config.sense.workers => self.crew.len(),
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => usize::from(workers),
        };
        let workers = workers.min(self.shared.status.len());
        let same_filter = new.sense.filter == self.config.sense.filter;
        let mut result = Ok(());
        self.change(workers, |rest| {
            lanes::configure(&mut rest.lanes, &new.analyse, workers);
            for intake in &mut rest.intakes {
                intake.walker.configure(&new.decap);
                if !same_filter {
                    let set = intake.filter(given(&new.sense.filter));
                    result = std::mem::replace(&mut result, Ok(())).and(set);
                }
            }
        })?;
        result?;
        *self.shared.rotation.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
            Some(new.sense.rotation());
        let fixed = fixed(&self.config.sense, &new.sense);
        self.config = new;
        let rest = if fixed.is_empty() {
            String::new()
        } else {
            format!("; only a restart changes {}", fixed.join(", "))
        };
        Ok(format!("the configuration was read again{rest}"))
    }
}

/// Tells the service manager, where there is one.
fn notify(states: &[NotifyState<'_>]) {
    // One that is gone need not know.
    let _ = sd_notify::notify(false, states);
}

/// How often the service manager is told that all is well: four times in the span after which it would end us (`WatchdogSec`).
pub fn watchdog() -> Option<Duration> {
    let mut span = 0;
    sd_notify::watchdog_enabled(false, &mut span).then(|| Duration::from_micros(span / 4))
}

/// The keys that differ and that only a restart can change.
fn fixed(old: &SenseConfig, new: &SenseConfig) -> Vec<&'static str> {
    let same = [
        ("interfaces", old.interfaces == new.interfaces),
        ("pcap_over_ip", old.pcap_over_ip == new.pcap_over_ip),
        ("vxlan", old.vxlan == new.vxlan),
        ("geneve", old.geneve == new.geneve),
        ("gre", old.gre == new.gre),
        ("identifiers", old.identifiers == new.identifiers),
        ("logs", old.logs == new.logs),
        ("format", old.format == new.format),
        ("balance", old.balance == new.balance),
        ("keep_rss", old.keep_rss == new.keep_rss),
        ("direction", old.direction == new.direction),
        ("promiscuous", old.promiscuous == new.promiscuous),
        ("timestamps", old.timestamps == new.timestamps),
        ("control", old.control == new.control),
        ("pin", old.pin == new.pin),
        ("user", old.user == new.user),
        ("key_file", old.key_file == new.key_file),
        ("block_size", old.block_size == new.block_size),
        ("blocks", old.blocks == new.blocks),
        ("block_timeout", old.block_timeout == new.block_timeout),
        ("snap_length", old.snap_length == new.snap_length),
    ];
    same.iter().filter(|(_, same)| !same).map(|(key, _)| *key).collect()
}

/// The clock of the main thread.
#[allow(clippy::disallowed_methods, reason = "a sensor lives by the clock")]
pub fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_a_restart_changes_is_named() {
        let (old, mut new) = (SenseConfig::default(), SenseConfig::default());
        new.filter = "tcp".into();
        new.workers = 3;
        assert!(fixed(&old, &new).is_empty());
        new.blocks = 7;
        new.gre = true;
        assert_eq!(fixed(&old, &new), ["gre", "blocks"]);
    }
}
