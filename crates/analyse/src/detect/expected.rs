//! Connections that another one announced (Zeek: Analyzer::schedule_analyzer).
//!
//! Promise: at most [`MAX_EXPECTED`] are remembered, each for [`LIFETIME`]. Only connections between the two hosts of the one
//! that announces them count: all of these are on one lane, so that the records do not depend on the number of lanes.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use weir_record::Text;
use weir_wire::{Address, ConnId, Interval, Time};

use crate::protocol::Kind;

/// Most connections that are expected on a lane; further ones are not. Some 100 bytes each: less than 2 MiB.
const MAX_EXPECTED: usize = 16_384;
/// How long one is expected.
const LIFETIME: Interval = Interval::from_secs(300);
/// How long a tunnel through a proxy is remembered (Zeek: `Tunnel::expiration_interval`).
const TUNNEL_LIFETIME: Interval = Interval::from_secs(3600);

/// Who connects to whom: originator, responder and its port.
type Key = (Address, Address, u16);

/// The connections that are expected on a lane.
#[derive(Default)]
pub struct Expected {
    table: HashMap<Key, Announced, RandomState>,
    proxies: HashMap<(Key, Proxy), Time, RandomState>,
}

/// What was announced.
struct Announced {
    kind: Kind,
    until: Time,
    /// The name of the file that will come.
    name: Option<Text>,
}

/// What opens tunnels.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Proxy {
    /// HTTP's CONNECT.
    Http,
    /// SOCKS.
    Socks,
}

impl Expected {
    /// A connection that `by` announces at `now`: `from` will connect to `port` of `to`, for an analyser of `kind`.
    pub fn announce(&mut self, now: Time, by: &ConnId, from: Address, to: (Address, u16), kind: Kind) {
        self.insert(now, by, from, to, Announced { kind, until: now + LIFETIME, name: None });
    }

    /// The same, for a file of that name.
    pub fn announce_file(
        &mut self,
        now: Time,
        by: &ConnId,
        from: Address,
        to: (Address, u16),
        kind: Kind,
        name: Text,
    ) {
        self.insert(now, by, from, to, Announced { kind, until: now + LIFETIME, name: Some(name) });
    }

    fn insert(&mut self, now: Time, by: &ConnId, from: Address, to: (Address, u16), what: Announced) {
        let (to, port) = to;
        let hosts = [by.orig_h, by.resp_h];
        if !(hosts == [from, to] || hosts == [to, from]) {
            return;
        }
        if self.table.len() >= MAX_EXPECTED {
            self.table.retain(|_, known| known.until > now);
        }
        if self.table.len() < MAX_EXPECTED {
            self.table.insert((from, to, port), what);
        }
    }

    /// The analyser that was announced for the connection `id` that begins at `now`.
    pub fn find(&self, now: Time, id: &ConnId) -> Option<Kind> {
        let known = self.table.get(&(id.orig_h, id.resp_h, id.resp_p))?;
        (known.until > now).then_some(known.kind)
    }

    /// The name of the file that was announced for the connection `id`.
    pub fn file_name(&self, id: &ConnId) -> Option<Text> {
        self.table.get(&(id.orig_h, id.resp_h, id.resp_p))?.name.clone()
    }

    /// Whether the tunnel that the connection `id` opens at `now` is not known yet: all tunnels of one client through one proxy
    /// are one, as long as it is not idle for [`TUNNEL_LIFETIME`].
    pub fn tunnel_is_new(&mut self, now: Time, id: &ConnId, proxy: Proxy) -> bool {
        let key = ((id.orig_h, id.resp_h, id.resp_p), proxy);
        if self.proxies.len() >= MAX_EXPECTED && !self.proxies.contains_key(&key) {
            self.proxies.retain(|_, seen| now.since(*seen) < TUNNEL_LIFETIME);
            if self.proxies.len() >= MAX_EXPECTED {
                return true;
            }
        }
        let before = self.proxies.insert(key, now);
        before.is_none_or(|seen| now.since(seen) >= TUNNEL_LIFETIME)
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
