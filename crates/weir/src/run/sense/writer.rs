//! The thread that writes the logs of a sensor: what cannot be written is counted, told of, and does not stop anything.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use weir_log::compress;
use weir_record::LogKind;

use super::super::complain;
use super::super::deliver::Delivery;
use super::super::logs::{Counts, Logs};
use super::super::merge::Merge;
use super::snapshot::LogSnapshot;
use super::tell;
use super::worker::Shared;

/// How long a line may wait before those who follow the log see it.
const FLUSH: Duration = Duration::from_secs(1);
/// Trouble with the logs is told of this often at most; lost lines are counted all the time.
const AGAIN: Duration = Duration::from_mins(1);

/// When logs are rotated, and what becomes of the old ones.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rotation {
    /// At whole multiples of this in UTC; never, where there is none.
    pub every: Option<Duration>,
    /// Whether old logs are compressed.
    pub compress: bool,
}

/// What the writer leaves behind.
pub struct Written {
    /// How many records each log has.
    pub counts: Counts,
    /// How many could not be written.
    pub lost: Counts,
}

/// Writes the logs, and knows when they are due.
pub struct Writer {
    logs: Logs,
    shared: Arc<Shared>,
    told: Option<Instant>,
    /// How many lines were lost and written when the user was told of trouble that is not over yet.
    trouble: Option<(u64, u64)>,
    rotation: Rotation,
    rotate_at: Option<SystemTime>,
    press: Option<Press>,
}

/// Writes until all who deliver are gone. What is done with goes back to its source.
pub fn write(
    deliveries: &Receiver<Delivery>,
    sources: &[SyncSender<Delivery>],
    mut writer: Writer,
) -> Written {
    let mut merge = Merge::new(sources.len());
    // Nobody waits for workers that have not begun.
    for source in 0..sources.len() {
        let _: Result<(), ()> = merge.take(source, u64::MAX, [], &mut |_| Ok(()));
    }
    let mut flush_at = now() + FLUSH;
    loop {
        match deliveries.recv_timeout(flush_at.saturating_duration_since(now())) {
            Ok(mut delivery) => {
                let appended = writer.logs.append(&delivery.lines);
                writer.tell(appended);
                let Delivery { source, up_to, ordered, .. } = &mut delivery;
                let _: Result<(), ()> = merge.take(*source, *up_to, ordered.drain(..), &mut |ordered| {
                    let result = writer.logs.write(ordered);
                    writer.tell(result);
                    Ok(())
                });
                if let Some(done) = sources.get(delivery.source) {
                    // Where there are enough, or nobody wants them, they are let go.
                    let _ = done.try_send(delivery);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if now() >= flush_at {
            flush_at = now() + FLUSH;
            writer.second();
        }
    }
    let _: Result<(), ()> = merge.finish(&mut |ordered| {
        let result = writer.logs.write(ordered);
        writer.tell(result);
        Ok(())
    });
    writer.end()
}

impl Writer {
    /// For `logs`; what it has written it publishes in `shared`.
    pub fn new(logs: Logs, rotation: Rotation, shared: Arc<Shared>) -> Self {
        let rotate_at = rotation.every.and_then(|every| next(every, wall()));
        Self { logs, shared, told: None, trouble: None, rotation, rotate_at, press: None }
    }

    /// Compresses what an earlier run moved aside and did not come to compress, where logs are rotated.
    pub fn take_up(&mut self, directory: &Path) {
        if self.rotation.every.is_some() && self.rotation.compress {
            match weir_log::uncompressed(directory) {
                Ok(left) => self.squeeze(left),
                Err(error) => complain(&error.into()),
            }
        }
    }

    /// Tells how many records each log has.
    fn publish(&self) {
        let (counts, lost) = self.logs.so_far();
        let one = |((kind, written), (_, lost)): (&(LogKind, u64), &(LogKind, u64))| LogSnapshot {
            log: kind.path().to_owned(),
            written: *written,
            lost: *lost,
        };
        let logged = counts.iter().zip(&lost).map(one).collect();
        *self.shared.logged.lock().unwrap_or_else(PoisonError::into_inner) = logged;
    }

    /// Does what is due once a second.
    fn second(&mut self) {
        let changed = self.shared.rotation.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(rotation) = changed {
            self.rotation = rotation;
            self.rotate_at = rotation.every.and_then(|every| next(every, wall()));
        }
        let asked = self.shared.rotate.swap(false, Ordering::Relaxed);
        if let (Some(at), Some(every)) = (self.rotate_at, self.rotation.every) {
            self.rotate_at = sane(at, every, wall());
        }
        if asked || self.rotate_at.is_some_and(|at| wall() >= at) {
            self.rotate_at = self.rotation.every.and_then(|every| next(every, wall()));
            let (moved, result) = self.logs.rotate();
            self.tell(result);
            self.squeeze(moved);
        } else {
            let result = self.logs.flush();
            self.tell(result);
        }
        self.recover();
        self.publish();
    }

    /// Tells the user that trouble is over: lines were written, and none was lost since the last look.
    fn recover(&mut self) {
        let Some((lost, written)) = self.trouble else { return };
        let now = self.sums();
        if now.0 > lost {
            self.trouble = Some(now);
        } else if now.1 > written {
            self.trouble = None;
            tell(&format!("log lines are written again; {} were lost since the start", now.0));
        }
    }

    /// How many lines were lost, and how many written.
    fn sums(&self) -> (u64, u64) {
        let (counts, lost) = self.logs.so_far();
        let sum = |counts: &Counts| counts.iter().map(|(_, count)| count).sum();
        (sum(&lost), sum(&counts))
    }

    /// Has old logs compressed, by a thread of its own.
    fn squeeze(&mut self, moved: Vec<PathBuf>) {
        if !self.rotation.compress || moved.is_empty() {
            return;
        }
        let press = self.press.take().map_or_else(Press::start, Ok);
        match press {
            Ok(press) => {
                for path in moved {
                    press.put(path);
                }
                self.press = Some(press);
            }
            Err(error) => complain(&error.into()),
        }
    }

    /// Tells the user of trouble, not more often than once a minute.
    fn tell(&mut self, result: anyhow::Result<()>) {
        let Err(error) = result else { return };
        let at = now();
        if self.told.is_none_or(|told| at.duration_since(told) > AGAIN) {
            self.told = Some(at);
            self.trouble = Some(self.sums());
            complain(&error.context("log lines are lost, and counted; capturing goes on"));
        }
    }

    /// Ends all logs; where they are rotated, the last ones too.
    fn end(mut self) -> Written {
        if self.rotation.every.is_some() {
            let (moved, result) = self.logs.rotate();
            self.tell(result);
            self.squeeze(moved);
        }
        let (counts, lost, result) = self.logs.end();
        if let Err(error) = result {
            complain(&error);
        }
        if let Some(press) = self.press {
            press.finish();
        }
        Written { counts, lost }
    }
}

/// The thread that compresses old logs.
struct Press {
    queue: Sender<PathBuf>,
    thread: JoinHandle<()>,
}

impl Press {
    fn start() -> std::io::Result<Self> {
        let (queue, paths) = channel::<PathBuf>();
        let thread = std::thread::Builder::new().name("compress".into()).spawn(move || {
            for path in paths {
                if let Err(error) = compress(&path) {
                    complain(&error.into());
                }
            }
        })?;
        Ok(Self { queue, thread })
    }

    fn put(&self, path: PathBuf) {
        // The thread ends only after this queue.
        let _ = self.queue.send(path);
    }

    fn finish(self) {
        drop(self.queue);
        // A panic has told of itself; the logs are there, not compressed.
        let _ = self.thread.join();
    }
}

/// Logs of an earlier process are moved aside before new ones are made.
///
/// # Errors
/// One cannot be moved.
pub fn set_aside(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    Ok(weir_log::set_aside(directory)?)
}

/// The next whole multiple of `every` after `at`, in UTC.
fn next(every: Duration, at: SystemTime) -> Option<SystemTime> {
    let every = every.as_secs().max(1);
    let since = at.duration_since(UNIX_EPOCH).ok()?.as_secs();
    UNIX_EPOCH.checked_add(Duration::from_secs((since / every).saturating_add(1).saturating_mul(every)))
}

/// When to rotate, which was to be `at`: where the clock was set back, not only when it has come there again.
fn sane(at: SystemTime, every: Duration, wall: SystemTime) -> Option<SystemTime> {
    let late = at.duration_since(wall).is_ok_and(|left| left > every);
    if late { next(every, wall) } else { Some(at) }
}

#[allow(clippy::disallowed_methods, reason = "logs are flushed by the clock")]
fn now() -> Instant {
    Instant::now()
}

#[allow(clippy::disallowed_methods, reason = "logs are rotated by the time of day")]
fn wall() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_rotated_at_whole_multiples_of_their_time() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let hour = Duration::from_hours(1);
        assert_eq!(next(hour, at(7199)), Some(at(7200)));
        assert_eq!(next(hour, at(7200)), Some(at(10_800)));
        assert_eq!(next(Duration::from_secs(10), at(5)), Some(at(10)));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_put_rotation_off() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let hour = Duration::from_hours(1);
        assert_eq!(sane(at(7200), hour, at(7100)), Some(at(7200)));
        assert_eq!(sane(at(7200), hour, at(3601)), Some(at(7200)));
        assert_eq!(sane(at(7200), hour, at(100)), Some(at(3600)));
    }
}
