//! What a tap tells: its summary, and its ledger.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::PathBuf;

use anyhow::Context;
use serde::Serialize;
use weir_ledger::{Account, Balance, Hop, Leak};

use super::outputs::Outputs;
use crate::run::read::write_ledger_into;
use crate::run::summary::{Grouped, Line};

/// The ledger of a tap: a balance for each group of outputs, all of which get the same frames.
#[derive(Serialize)]
pub struct Ledger {
    /// The first group's, with the hops before it.
    #[serde(flatten)]
    first: Balance,
    /// Those of the others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    copies: Vec<Balance>,
    /// Packets that were sent, over all outputs: what receivers count as frames.
    packets_sent: u64,
}

impl Ledger {
    /// Of the hops `tap` and `spread`, and of what the outputs count.
    pub fn new(tap: &Account, spread: &Account, outputs: &Outputs) -> Self {
        let balance = |carry: &Account| {
            let mut balance = Balance::default();
            balance.add(Hop::Tap, tap);
            balance.add(Hop::Spread, spread);
            balance.add(Hop::Carry, carry);
            balance
        };
        let mut all = outputs.accounts().iter().map(balance).collect::<Vec<_>>().into_iter();
        let first = all.next().unwrap_or_default();
        Self { first, copies: all.collect(), packets_sent: outputs.counts().packets }
    }

    /// Everything that does not add up.
    pub fn leaks(&self) -> Vec<Leak> {
        std::iter::once(&self.first).chain(&self.copies).flat_map(Balance::leaks).collect()
    }

    /// Whether frames were dropped on their way out.
    pub fn lost(&self) -> bool {
        let all = std::iter::once(&self.first).chain(&self.copies).flat_map(|balance| &balance.hops);
        all.filter(|hop| hop.hop == Hop::Carry).any(|hop| hop.account.dropped_total().frames > 0)
    }

    /// The summary.
    pub fn summary(&self, outputs: &Outputs) -> String {
        use std::fmt::Write;
        let mut text = String::new();
        // Writing to a string cannot fail.
        for output in outputs.all() {
            let passed = output.account().passed;
            let (frames, packets) = (Grouped(passed.frames), Grouped(output.counts().packets));
            let _ = writeln!(text, "{frames} frames as {packets} packets to {}", output.name());
        }
        let counts = outputs.counts();
        let beside = [
            (counts.cut, "super-frames cut into packets"),
            (counts.whole, "super-frames sent whole: what they carry cannot be cut"),
            (counts.checksums, "checksums made that were left to the network card"),
            (counts.truncated, "packets sent without their end: longer than the path takes"),
            (counts.captured_short, "frames sent as short as they had been captured"),
            (counts.wrapped, "frames given an Ethernet header"),
            (counts.retries, "times waited for a full queue"),
            (counts.refused, "times told that nobody listens at the target"),
        ];
        for (n, what) in beside.iter().filter(|(n, _)| *n > 0) {
            let _ = writeln!(text, "  {} {what}", Grouped(*n));
        }
        let balances = self.leaks().is_empty();
        let _ = writeln!(text, "ledger: {}", if balances { "balances" } else { "DOES NOT BALANCE" });
        for (index, balance) in std::iter::once(&self.first).chain(&self.copies).enumerate() {
            // The hops before the outputs are the same for all groups.
            let hops = balance.hops.iter().filter(|hop| index == 0 || hop.hop == Hop::Carry);
            for hop in hops {
                let _ = writeln!(text, "  {:8}{}", hop.hop.name(), Line(&hop.account));
            }
        }
        text.pop();
        text
    }
}

/// The file of the ledger, opened while we may, written whenever it is asked for.
pub struct LedgerFile {
    path: PathBuf,
    file: File,
}

impl LedgerFile {
    /// Makes the file.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(path: PathBuf) -> anyhow::Result<Self> {
        let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { path, file })
    }

    /// Writes the ledger in place of what was there.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&mut self, ledger: &Ledger) -> anyhow::Result<()> {
        let failed = || format!("cannot write the ledger to {}", self.path.display());
        self.file.set_len(0).with_context(failed)?;
        self.file.seek(SeekFrom::Start(0)).with_context(failed)?;
        write_ledger_into(self.file.try_clone().with_context(failed)?, &self.path, ledger)
    }
}
