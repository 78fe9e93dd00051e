//! One lane: everything on the thread that reads.

use weir_decap::carried::Carried;
use weir_decap::{Decap, Output};
use weir_ledger::Account;
use weir_record::Entries;
use weir_tap::FrameBatch;
use weir_wire::Time;

use super::carried::Senders;
use super::logs::Logs;
use super::read::{Ended, count_spread};
use super::worker::{AHEAD, Worker};

/// Decap and one lane.
pub struct Inline {
    decap: Decap,
    carried: Carried,
    spread: Account,
    worker: Worker,
    entries: Entries,
    logs: Logs,
}

impl Inline {
    /// Without memory of any frame.
    pub fn new(decap: Decap, worker: Worker, logs: Logs) -> Self {
        Self {
            decap,
            carried: Carried::default(),
            spread: Account::default(),
            worker,
            entries: Entries::default(),
            logs,
        }
    }

    /// Takes a batch of frames all the way into the logs.
    pub fn batch(&mut self, batch: &FrameBatch, now: Time) -> anyhow::Result<()> {
        let mut out = Output { packets: Vec::new(), entries: std::mem::take(&mut self.entries) };
        let mut frames = batch.iter();
        while frames.len() > 0 {
            let before = out.entries.len();
            for frame in frames.by_ref().take(AHEAD) {
                self.decap.frame(&frame, &mut out);
            }
            let Output { packets, entries } = &mut out;
            let told = entries.len();
            count_spread(&mut self.spread, packets);
            self.worker.expect(packets.iter().map(|packet| &packet.head.key));
            self.worker.packets(packets.drain(..), entries);
            if told > before {
                entries.put_in_order(before);
            }
        }
        self.decap.advance(now, &mut out);
        self.worker.advance(now, &mut out.entries);
        self.entries = out.entries;
        if self.decap.arrivals().is_full() {
            self.carried.merge(self.decap.arrivals());
        }
        self.write()
    }

    /// The traffic has ended at `now`, with `frames` frames.
    pub fn finish(mut self, now: Time, frames: u64) -> anyhow::Result<Ended> {
        let mut out = Output { packets: Vec::new(), entries: std::mem::take(&mut self.entries) };
        out.entries.sequence = frames;
        self.decap.finish(&mut out);
        self.carried.merge(self.decap.arrivals());
        self.entries = out.entries;
        self.write()?;
        self.entries.sequence = frames;
        while self.worker.finish(now, &mut self.entries) {
            self.write()?;
        }
        self.write()?;
        Ok(Ended {
            senders: Senders::from(&self.carried),
            decap: self.decap.account().clone(),
            spread: self.spread,
            lanes: self.worker.so_far(),
            logged: self.logs.close()?,
        })
    }

    fn write(&mut self) -> anyhow::Result<()> {
        self.entries.drain().try_for_each(|ordered| self.logs.write(&ordered))
    }
}
