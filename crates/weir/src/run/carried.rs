//! What was lost between senders and this machine, as the sequence numbers of their tunnels tell: a hop of its own in front of
//! the tap.

use std::fmt;

use serde::{Deserialize, Serialize};
use weir_decap::carried::{Carried, CarriedCount, Channel, Session};
use weir_ledger::{Account, Count, Reason};

use super::summary::Grouped;

/// Sessions that are shown one by one in the summary, those with most loss first.
const SHOWN: usize = 8;

/// What is known at one moment of those who number what they send.
#[derive(Clone, Default, Debug)]
pub struct Senders {
    /// Each with its counts.
    pub sessions: Vec<(Session, CarriedCount)>,
    /// All together, forgotten ones included.
    pub total: CarriedCount,
    /// How many were forgotten, as there were too many.
    pub forgotten: u64,
}

impl From<&Carried> for Senders {
    fn from(carried: &Carried) -> Self {
        Self { sessions: carried.sessions(), total: carried.total(), forgotten: carried.sessions_forgotten() }
    }
}

impl Senders {
    /// The hop in front of the tap, whose ledger is `tap`; none where nobody numbers what he sends. A frame that the own kernel
    /// dropped is a gap in the numbers, too, and is counted there, not here.
    pub fn account(&self, tap: &Account) -> Option<Account> {
        if self.total == CarriedCount::default() {
            return None;
        }
        let own = [Reason::KernelDropped, Reason::LeftAtStop].map(|reason| tap.dropped(reason).frames);
        let lost = Count::new(self.total.lost.saturating_sub(own.iter().sum()), 0);
        let mut account = Account::default();
        account.enter(tap.entered);
        account.pass(tap.entered);
        account.enter(lost);
        account.drop(Reason::LostOnWay, lost);
        Some(account)
    }

    /// For the ledger's file.
    pub fn view(&self) -> Vec<SenderView> {
        self.sessions.iter().map(|(session, count)| SenderView::new(session, count)).collect()
    }
}

/// One sender, as the ledger's JSON and the control socket show it.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize, Debug)]
#[serde(default)]
pub struct SenderView {
    /// Its address, by the outer header.
    pub source: String,
    /// To which address it sends.
    pub destination: String,
    /// Which of its sequences: "gre", "key 7", "erspan 3", "tap 1".
    pub channel: String,
    /// Packets that came, without duplicates.
    pub received: u64,
    /// Packets that were sent and did not come.
    pub lost: u64,
    /// Packets that came again.
    pub duplicate: u64,
    /// Packets that came behind a later one.
    pub reordered: u64,
    /// How often the sender began anew.
    pub restarts: u64,
}

impl SenderView {
    fn new(session: &Session, count: &CarriedCount) -> Self {
        let CarriedCount { received, lost, duplicate, reordered, restarts } = *count;
        let channel = match session.channel {
            Channel::Gre => "gre".to_owned(),
            Channel::Key(key) => format!("key {key}"),
            Channel::Erspan(session) => format!("erspan {session}"),
            Channel::Tap { tap, start } => format!("tap {tap} start {start}"),
        };
        let (source, destination) = (session.source.to_string(), session.destination.to_string());
        Self { source, destination, channel, received, lost, duplicate, reordered, restarts }
    }
}

/// A line for each sender; nothing where nobody numbers what he sends.
impl fmt::Display for Senders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = self.view();
        all.sort_by_key(|sender| std::cmp::Reverse(sender.lost));
        for sender in all.iter().take(SHOWN) {
            let [received, lost, duplicate, reordered] =
                [sender.received, sender.lost, sender.duplicate, sender.reordered].map(Grouped);
            writeln!(
                f,
                "  {} > {} {}: received {received}, lost {lost}, duplicate {duplicate}, reordered {reordered}, restarts {}",
                sender.source, sender.destination, sender.channel, sender.restarts
            )?;
        }
        let more = all.len().saturating_sub(SHOWN) as u64 + self.forgotten;
        if more > 0 { writeln!(f, "  and {} senders more", Grouped(more)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use weir_wire::Address;

    use super::*;

    #[test]
    fn what_was_lost_on_the_way_is_a_hop_that_balances_without_what_the_own_kernel_dropped() {
        let session = Session {
            source: Address::v4([10, 8, 0, 1]),
            destination: Address::v4([10, 8, 0, 2]),
            channel: Channel::Erspan(3),
        };
        let total = CarriedCount { received: 90, lost: 10, ..CarriedCount::default() };
        let senders = Senders { sessions: vec![(session, total)], total, forgotten: 0 };
        let mut tap = Account::default();
        tap.enter(Count::new(94, 9_000));
        tap.drop(Reason::KernelDropped, Count::new(4, 0));
        tap.pass(Count::new(90, 9_000));
        let account = senders.account(&tap).unwrap();
        assert!(account.balances());
        assert_eq!((account.entered, account.passed), (Count::new(100, 9_000), tap.entered));
        assert_eq!(account.dropped(Reason::LostOnWay), Count::new(6, 0));
        assert_eq!(Senders::default().account(&tap), None);
        let text = senders.to_string();
        assert!(text.starts_with("  10.8.0.1 > 10.8.0.2 erspan 3: received 90, lost 10, "), "{text}");
    }
}
