//! What the user of `weir spread` is told at the end.

use std::fmt::Write;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use weir_carry::Target;
use weir_ledger::{Account, Balance};

use super::worker::Ended;
use crate::run::read::write_ledger_into;
use crate::run::summary::{Grouped, Line};
use crate::run::{Exit, complain};

/// The file of the ledger, opened while we may, written at the end.
pub type Ledger = (PathBuf, File);

/// Makes the file.
///
/// # Errors
/// It cannot be made.
pub fn create(path: &Path) -> anyhow::Result<Ledger> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    Ok((path.to_owned(), file))
}

/// Tells the user something that is not wrong.
pub fn tell(text: &str) {
    // Where standard error is closed nobody can be told.
    let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("weir: {text}\n"));
}

/// The summary, the ledger, and what they mean for the exit code. `None` in `ended` is a worker that panicked.
pub fn report(
    quiet: bool,
    ledger: Option<Ledger>,
    targets: &[Target],
    ended: Vec<Option<Ended>>,
    took: Duration,
) -> Exit {
    let dead = ended.iter().filter(|worker| worker.is_none()).count();
    let ended: Vec<Ended> = ended.into_iter().flatten().collect();
    let mut balance = Balance::default();
    for worker in &ended {
        worker.balance.hops.iter().for_each(|hop| balance.add(hop.hop, &hop.account));
    }
    if !quiet {
        tell(&summary(targets, &ended, &balance, took));
    }
    if let Some(Err(error)) = ledger.map(|(path, file)| write_ledger_into(file, &path, &balance)) {
        complain(&error);
        return Exit::Logs;
    }
    for leak in balance.leaks() {
        complain(&anyhow!("the ledger does not add up: {leak}. This is a bug of weir"));
    }
    if dead > 0 {
        complain(&anyhow!("{dead} workers panicked. This is a bug of weir"));
    }
    if dead > 0 || !balance.leaks().is_empty() { Exit::Bug } else { Exit::Done }
}

fn summary(targets: &[Target], ended: &[Ended], balance: &Balance, took: Duration) -> String {
    let mut text = String::new();
    let entered = balance.hops.first().map(|hop| hop.account.entered).unwrap_or_default();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{} frames, {} bytes in {:.1} s",
        Grouped(entered.frames),
        Grouped(entered.bytes),
        took.as_secs_f64()
    );
    for (index, target) in targets.iter().enumerate() {
        let mut sent = Account::default();
        ended.iter().filter_map(|worker| worker.outputs.get(index)).for_each(|account| sent.merge(account));
        let _ = writeln!(text, "  {target}: {}", Line(&sent));
    }
    let flows: u64 = ended.iter().map(|worker| worker.forgotten_flows).sum();
    let packets: u64 = ended.iter().map(|worker| worker.forgotten_packets).sum();
    for (n, what) in [
        (flows, "flows forgotten before their time, which may have changed their target"),
        (packets, "packets forgotten before their time, whose copies may have been passed on"),
    ] {
        if n > 0 {
            let _ = writeln!(text, "  {} {what}", Grouped(n));
        }
    }
    let balances = balance.leaks().is_empty();
    let _ = writeln!(text, "ledger: {}", if balances { "balances" } else { "DOES NOT BALANCE" });
    for hop in &balance.hops {
        let _ = writeln!(text, "  {:8}{}", hop.hop.name(), Line(&hop.account));
    }
    text.pop();
    text
}
