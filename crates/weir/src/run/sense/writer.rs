//! The thread that writes the logs of a sensor: what cannot be written is counted, told of, and does not stop anything.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use super::super::complain;
use super::super::deliver::Delivery;
use super::super::logs::{Counts, Logs};
use super::super::merge::Merge;

/// How long a line may wait before those who follow the log see it.
const FLUSH: Duration = Duration::from_secs(1);
/// Trouble with the logs is told of this often at most; lost lines are counted all the time.
const AGAIN: Duration = Duration::from_mins(1);

/// What the writer leaves behind.
pub struct Written {
    /// How many records each log has.
    pub counts: Counts,
    /// How many could not be written.
    pub lost: Counts,
}

struct Writer {
    logs: Logs,
    told: Option<Instant>,
}

/// Writes until all who deliver are gone. What is done with goes back to its source.
pub fn write(deliveries: &Receiver<Delivery>, sources: &[SyncSender<Delivery>], logs: Logs) -> Written {
    let mut merge = Merge::new(sources.len());
    let mut writer = Writer { logs, told: None };
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
            let result = writer.logs.flush();
            writer.tell(result);
        }
    }
    let _: Result<(), ()> = merge.finish(&mut |ordered| {
        let result = writer.logs.write(ordered);
        writer.tell(result);
        Ok(())
    });
    let (counts, lost, result) = writer.logs.end();
    if let Err(error) = result {
        complain(&error);
    }
    Written { counts, lost }
}

impl Writer {
    /// Tells the user of trouble, not more often than once a minute.
    fn tell(&mut self, result: anyhow::Result<()>) {
        let Err(error) = result else { return };
        let at = now();
        if self.told.is_none_or(|told| at.duration_since(told) > AGAIN) {
            self.told = Some(at);
            complain(&error.context("log lines are lost, and counted; capturing goes on"));
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "logs are flushed by the clock")]
fn now() -> Instant {
    Instant::now()
}
