//! Connections that another one announced (Zeek: Analyzer::schedule_analyzer).
//!
//! Promise: at most [`MAX_EXPECTED`] are remembered, each for [`LIFETIME`]. Only connections between the two hosts of the one
//! that announces them count: all of these are on one lane, so that the records do not depend on the number of lanes.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use weir_wire::{Address, ConnId, Interval, Time};

use crate::protocol::Kind;

/// Most connections that are expected on a lane; further ones are not.
const MAX_EXPECTED: usize = 65_536;
/// How long one is expected.
const LIFETIME: Interval = Interval::from_secs(300);

/// Who connects to whom: originator, responder and its port.
type Key = (Address, Address, u16);

/// The connections that are expected on a lane.
#[derive(Default)]
pub struct Expected {
    table: HashMap<Key, (Kind, Time), RandomState>,
}

impl Expected {
    /// A connection that `by` announces at `now`: `from` will connect to `port` of `to`, for an analyser of `kind`.
    pub fn announce(&mut self, now: Time, by: &ConnId, from: Address, to: (Address, u16), kind: Kind) {
        let (to, port) = to;
        let hosts = [by.orig_h, by.resp_h];
        if !(hosts == [from, to] || hosts == [to, from]) {
            return;
        }
        if self.table.len() >= MAX_EXPECTED {
            self.table.retain(|_, (_, until)| *until > now);
        }
        if self.table.len() < MAX_EXPECTED {
            self.table.insert((from, to, port), (kind, now + LIFETIME));
        }
    }

    /// The analyser that was announced for the connection `id` that begins at `now`.
    pub fn find(&self, now: Time, id: &ConnId) -> Option<Kind> {
        let (kind, until) = self.table.get(&(id.orig_h, id.resp_h, id.resp_p))?;
        (*until > now).then_some(*kind)
    }

    /// The connection `id` is over: no other is expected in its place.
    pub fn fulfilled(&mut self, id: &ConnId) {
        self.table.remove(&(id.orig_h, id.resp_h, id.resp_p));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_expected_for_a_while_and_only_between_the_same_hosts() {
        let [a, b, c] = [1, 2, 3].map(|n| Address::v4([10, 0, 0, n]));
        let by = ConnId { orig_h: a, orig_p: 4000, resp_h: b, resp_p: 21 };
        let data = ConnId { orig_h: b, orig_p: 20, resp_h: a, resp_p: 5000 };
        let now = Time::from_parts(100, 0);
        let mut expected = Expected::default();
        expected.announce(now, &by, b, (c, 5000), Kind::FtpData);
        assert!(expected.table.is_empty());
        expected.announce(now, &by, b, (a, 5000), Kind::FtpData);
        assert_eq!(expected.find(now, &data), Some(Kind::FtpData));
        assert_eq!(expected.find(now, &by), None);
        assert_eq!(expected.find(now + LIFETIME, &data), None);
        expected.fulfilled(&data);
        assert_eq!(expected.find(now, &data), None);
    }
}
