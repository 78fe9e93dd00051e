//! The sum over all hops, and which of them leaks.

use std::fmt;

use serde::Serialize;
use serde::ser::SerializeMap;

use crate::{Account, Count, Reason, StreamAccount};

/// The hops of one process, in the order in which a packet meets them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Hop {
    /// What senders say they sent here, by the sequence numbers of their tunnels; all else stands in it as if it had come for
    /// sure.
    Carried,
    /// Frames read from captures or interfaces.
    Tap,
    /// From a frame to its innermost packet.
    Decap,
    /// To the lane of its flow.
    Spread,
    /// Into records.
    Analyse,
    /// Out: onto an interface, through a tunnel, into a stream or file.
    Carry,
}

impl Hop {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Carried => "carried",
            Self::Tap => "tap",
            Self::Decap => "decap",
            Self::Spread => "spread",
            Self::Analyse => "analyse",
            Self::Carry => "carry",
        }
    }
}

/// One hop and what it counted, over all its threads.
#[derive(Clone, Debug)]
pub struct HopBalance {
    /// Which hop.
    pub hop: Hop,
    /// What it counted.
    pub account: Account,
}

/// What does not add up, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Leak {
    /// A hop's own equation fails.
    Within(Hop),
    /// What one hop passed is not what the next took in.
    Between(Hop, Hop),
    /// The bytes of TCP payload do not add up.
    Stream,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Within(hop) => write!(f, "{} does not balance", hop.name()),
            Self::Between(a, b) => write!(f, "{} passed on more or less than {} took in", a.name(), b.name()),
            Self::Stream => write!(f, "TCP payload bytes do not balance"),
        }
    }
}

/// The accounts of all hops, in order, and of the TCP streams.
#[derive(Clone, Debug, Default)]
pub struct Balance {
    /// The hops, in the order in which a packet meets them.
    pub hops: Vec<HopBalance>,
    /// TCP payload.
    pub streams: StreamAccount,
}

impl Balance {
    /// Adds `account` under `hop`, merging it where the hop is there already.
    pub fn add(&mut self, hop: Hop, account: &Account) {
        match self.hops.iter_mut().find(|h| h.hop == hop) {
            Some(h) => h.account.merge(account),
            None => self.hops.push(HopBalance { hop, account: account.clone() }),
        }
        self.hops.sort_by_key(|h| h.hop);
    }

    /// Everything that does not add up; empty when all is well.
    pub fn leaks(&self) -> Vec<Leak> {
        let within = self.hops.iter().filter(|h| !h.account.balances()).map(|h| Leak::Within(h.hop));
        let between = self.hops.iter().zip(self.hops.iter().skip(1));
        let between = between
            .filter(|(a, b)| a.account.passed != b.account.entered)
            .map(|(a, b)| Leak::Between(a.hop, b.hop));
        let stream = (!self.streams.balances()).then_some(Leak::Stream);
        within.chain(between).chain(stream).collect()
    }
}

struct Dropped<'a>(&'a Account);

impl Serialize for Dropped<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(Reason::COUNT))?;
        for reason in Reason::ALL {
            map.serialize_entry(reason.label(), &self.0.dropped(*reason))?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct HopView<'a> {
    hop: Hop,
    entered: Count,
    passed: Count,
    held: Count,
    dropped: Dropped<'a>,
    balances: bool,
}

#[derive(Serialize)]
struct View<'a> {
    balances: bool,
    leaks: Vec<String>,
    hops: Vec<HopView<'a>>,
    tcp_payload: StreamAccount,
}

impl Serialize for Balance {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let leaks = self.leaks();
        let hops = self.hops.iter().map(|h| HopView {
            hop: h.hop,
            entered: h.account.entered,
            passed: h.account.passed,
            held: h.account.held,
            dropped: Dropped(&h.account),
            balances: h.account.balances(),
        });
        View {
            balances: leaks.is_empty(),
            leaks: leaks.iter().map(Leak::to_string).collect(),
            hops: hops.collect(),
            tcp_payload: self.streams,
        }
        .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_lost_between_two_hops_is_named() {
        let mut tap = Account::default();
        tap.enter(Count::new(2, 20));
        tap.pass(Count::new(2, 20));
        let mut decap = Account::default();
        decap.enter(Count::one(10));
        decap.pass(Count::one(10));
        let mut balance = Balance::default();
        balance.add(Hop::Decap, &decap);
        balance.add(Hop::Tap, &tap);
        assert_eq!(balance.leaks(), [Leak::Between(Hop::Tap, Hop::Decap)]);
    }
}
