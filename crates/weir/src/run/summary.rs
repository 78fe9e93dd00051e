//! What the user is told at the end: traffic, logs, and the ledger hop by hop.

use std::fmt;
use std::path::Path;

use weir_ledger::{Account, Balance, Count, Hop, Reason};
use weir_record::LogKind;
use weir_wire::Time;

use super::carried::Senders;
use super::logs::Logged;
use super::worker::Closed;

/// The end of a run, in words.
pub struct Summary<'a> {
    /// The times of the earliest and the latest frame.
    pub span: Option<(Time, Time)>,
    /// Where the logs are.
    pub directory: &'a Path,
    /// What is in them.
    pub logged: &'a Logged,
    /// What the lanes left behind.
    pub lanes: &'a Closed,
    /// Whether all is accounted for.
    pub balance: &'a Balance,
    /// Who numbers what he sends.
    pub senders: &'a Senders,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tap = self.balance.hops.iter().find(|hop| hop.hop == Hop::Tap);
        let read = tap.map(|hop| hop.account.entered).unwrap_or_default();
        let count = |kind| self.logged.counts.iter().find(|(k, _)| *k == kind).map_or(0, |(_, n)| *n);
        let flows = Grouped(count(LogKind::Conn));
        writeln!(f, "{} packets, {} bytes, {} flows", Grouped(read.frames), Grouped(read.bytes), flows)?;
        if let Some((first, last)) = self.span {
            writeln!(f, "from {first} to {last}: {} s", last.since(first))?;
        }
        write!(f, "logs in {}:", self.directory.display())?;
        let full = self.logged.counts.iter().filter(|(_, n)| *n > 0);
        full.clone().try_for_each(|(kind, n)| write!(f, " {} {}", kind.path(), Grouped(*n)))?;
        writeln!(f, "{}", if full.count() == 0 { " none" } else { "" })?;
        self.limits(f)?;
        let leaks = self.balance.leaks();
        writeln!(f, "ledger: {}", if leaks.is_empty() { "balances" } else { "DOES NOT BALANCE" })?;
        leaks.iter().try_for_each(|leak| writeln!(f, "  {leak}"))?;
        for hop in &self.balance.hops {
            writeln!(f, "  {:8}{}", hop.hop.name(), Line(&hop.account))?;
            if hop.hop == Hop::Carried {
                write!(f, "{}", self.senders)?;
            }
        }
        let s = &self.balance.streams;
        write!(f, "  TCP     payload bytes {}: delivered {}", Grouped(s.entered), Grouped(s.delivered))?;
        writeln!(
            f,
            ", duplicate {}, held {}, discarded {}; missing {}",
            Grouped(s.duplicate),
            Grouped(s.held),
            Grouped(s.discarded),
            Grouped(s.gap)
        )
    }
}

impl Summary<'_> {
    /// Which bounds were reached; nothing where none was.
    fn limits(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits = [
            (self.lanes.evicted, "connections ended early: the flow table was full (flow.max_flows)"),
            (self.logged.lost, "records could not be written"),
            (
                self.logged.emptied,
                "times the memory of what was logged already was full: there may be repeats",
            ),
        ];
        let reached = limits.iter().filter(|(number, _)| *number > 0);
        reached.into_iter().try_for_each(|(number, what)| writeln!(f, "{} {what}", Grouped(*number)))
    }
}

/// One hop: frames only, as bytes follow them; the JSON has both.
pub struct Line<'a>(pub &'a Account);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let account = self.0;
        write!(f, "entered {}, passed {}", Grouped(account.entered.frames), Grouped(account.passed.frames))?;
        if account.held != Count::default() {
            write!(f, ", held {}", Grouped(account.held.frames))?;
        }
        let dropped = Reason::ALL.iter().map(|reason| (reason.label(), account.dropped(*reason).frames));
        let dropped = dropped.filter(|(_, frames)| *frames > 0);
        if dropped.clone().next().is_some() {
            write!(f, ", dropped")?;
        }
        dropped.enumerate().try_for_each(|(i, (label, frames))| {
            write!(f, "{} {label} {}", if i == 0 { "" } else { "," }, Grouped(frames))
        })
    }
}

/// A number in groups of three digits.
pub struct Grouped(pub u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        digits.chars().enumerate().try_for_each(|(i, digit)| {
            let left = digits.len() - i;
            if i > 0 && left.is_multiple_of(3) { write!(f, " {digit}") } else { write!(f, "{digit}") }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_what_was_read_what_was_logged_and_why_frames_ended() {
        let (mut tap, mut decap) = (Account::default(), Account::default());
        tap.enter(Count::new(12_345, 1_000_000));
        tap.pass(Count::new(12_345, 1_000_000));
        decap.enter(Count::new(12_345, 1_000_000));
        decap.drop(Reason::Arp, Count::new(12_345, 1_000_000));
        let mut balance = Balance::default();
        balance.add(Hop::Tap, &tap);
        balance.add(Hop::Decap, &decap);
        let counts = vec![(LogKind::Conn, 1_234), (LogKind::Dns, 0)];
        let logged = Logged { counts, lost: 0, emptied: 2 };
        let lanes = Closed { evicted: 1_000, ..Closed::default() };
        let summary = Summary {
            span: Some((Time::from_parts(1, 0), Time::from_parts(3, 500_000_000))),
            directory: Path::new("logs"),
            logged: &logged,
            lanes: &lanes,
            balance: &balance,
            senders: &Senders::default(),
        };
        let text = summary.to_string();
        assert!(text.contains("12 345 packets, 1 000 000 bytes, 1 234 flows\n"), "{text}");
        assert!(
            text.contains("to 3.500000: 2.500000 s\nlogs in logs: conn 1 234\n1 000 connections ended"),
            "{text}"
        );
        assert!(text.contains("\n2 times the memory") && !text.contains("could not be written"), "{text}");
        assert!(text.contains("ledger: balances\n"), "{text}");
        assert!(text.contains("decap   entered 12 345, passed 0, dropped arp 12 345\n"), "{text}");
    }
}
