//! The connections around tunnels: when each began, and what the log has been told of it.
//!
//! A connection that was quiet for the timeout has ended, as the connection table of `analyse` has it, so
//! that both give one uid. Bounds: [`MAX_FLOWS`] connections; where they are reached, the older half ends.

use hashbrown::HashMap;
use weir_record::{ConnUid, Entries, Name, Tunnel};
use weir_wire::{ConnId, FlowKey, Interval, Time, TunnelKind, Uid, UidKey};

/// Connections remembered at most.
const MAX_FLOWS: usize = 65_536;
/// How long a tunnel that does not end by itself stays registered without use (Zeek: `Tunnel::expiration_interval`).
const EXPIRATION: Interval = Interval::from_secs(60 * 60);
/// How long after a look for ended connections the next may follow: a look costs time in the number of connections.
const PAUSE: Interval = Interval::from_secs(1);

/// One connection, or one pair of hosts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    /// Its endpoints.
    pub id: ConnId,
    /// Its uid.
    pub uid: Uid,
    /// Which tunnel it is; of a UDP connection, [`TunnelKind::None`] until something tunnelled was found.
    pub kind: TunnelKind,
    /// Whether the log knows of the tunnel.
    pub registered: bool,
    /// Whether its datagrams are not looked at any more.
    pub violated: bool,
    /// Whether the originator, and whether the responder, sent what is a tunnel.
    pub valid: [bool; 2],
    last: Time,
}

/// The connections of one transport.
pub(super) struct Table {
    flows: HashMap<FlowKey, Flow, foldhash::fast::RandomState>,
    timeout: Interval,
    /// Whether their end is logged.
    closes: bool,
    next_look: Time,
}

impl Table {
    /// Connections that end after `timeout`; their end is logged if `closes`.
    pub fn new(timeout: Interval, closes: bool) -> Self {
        Self { flows: HashMap::default(), timeout, closes, next_look: Time(i64::MIN) }
    }

    /// The connection with `key`, of which there is a packet now; if it is new, its endpoints are `id`.
    pub fn touch(
        &mut self,
        key: &FlowKey,
        uids: &UidKey,
        id: ConnId,
        now: Time,
        out: &mut Entries,
    ) -> &mut Flow {
        if self.flows.len() >= MAX_FLOWS && !self.flows.contains_key(key) {
            self.make_room(now, out);
        }
        let fresh = || Flow {
            id,
            uid: uids.connection(key, now),
            kind: TunnelKind::None,
            registered: false,
            violated: false,
            valid: [false; 2],
            last: now,
        };
        let (timeout, closes) = (self.timeout, self.closes);
        let flow = self.flows.entry(*key).or_insert_with(fresh);
        if now.since(flow.last) >= timeout {
            if closes {
                close(flow, now, out);
            }
            *flow = fresh();
        }
        flow.last = flow.last.max(now);
        flow
    }

    /// The log shall know of the tunnel with `key`.
    pub fn register(&mut self, key: &FlowKey, now: Time, out: &mut Entries) {
        if let Some(flow) = self.flows.get_mut(key).filter(|flow| !flow.registered) {
            flow.registered = true;
            out.push(record(flow, now, "Tunnel::DISCOVER"));
        }
    }

    /// Ends the connections that have been quiet for too long.
    pub fn expire(&mut self, now: Time, out: &mut Entries) {
        if now < self.next_look {
            return;
        }
        let timeout = self.timeout;
        self.end(now, out, |flow| now.since(flow.last) >= timeout);
        let unused = if self.closes { Interval(i64::MAX) } else { EXPIRATION };
        let is_over = |flow: &Flow| flow.registered && now.since(flow.last) >= unused;
        let mut over: Vec<_> = self.flows.iter_mut().filter(|(_, flow)| is_over(flow)).collect();
        over.sort_unstable_by_key(|(key, _)| **key);
        for (_, flow) in over {
            flow.registered = false;
            out.push(record(flow, now, "Tunnel::EXPIRE"));
        }
        let oldest = self.flows.values().map(|flow| flow.last).min().unwrap_or(now);
        self.next_look = (oldest + timeout.min(unused)).max(now + PAUSE);
    }

    /// Ends all.
    pub fn finish(&mut self, now: Time, out: &mut Entries) {
        self.end(now, out, |_| true);
    }

    /// Ends the older half, so that the work is shared by as many connections as it makes room for.
    fn make_room(&mut self, now: Time, out: &mut Entries) {
        let mut times: Vec<Time> = self.flows.values().map(|flow| flow.last).collect();
        let middle = times.len() / 2;
        let median = *times.select_nth_unstable(middle).1;
        self.end(now, out, |flow| flow.last <= median);
    }

    /// Ends those of which `is_over` holds, in the order of their keys.
    fn end(&mut self, now: Time, out: &mut Entries, is_over: impl Fn(&Flow) -> bool) {
        let mut ended: Vec<(FlowKey, Flow)> = self.flows.extract_if(|_, flow| is_over(flow)).collect();
        ended.sort_unstable_by_key(|(key, _)| *key);
        if self.closes {
            for (_, flow) in &ended {
                close(flow, now, out);
            }
        }
    }
}

fn close(flow: &Flow, now: Time, out: &mut Entries) {
    if flow.registered {
        out.push(record(flow, now, "Tunnel::CLOSE"));
    }
}

fn record(flow: &Flow, now: Time, action: &'static str) -> Tunnel {
    Tunnel {
        ts: now,
        uid: Some(ConnUid(flow.uid)),
        id: flow.id,
        tunnel_type: Name(name(flow.kind)),
        action: Name(action),
    }
}

/// Zeek's name of a kind of tunnel.
const fn name(kind: TunnelKind) -> &'static str {
    match kind {
        TunnelKind::None => "Tunnel::NONE",
        TunnelKind::Ip => "Tunnel::IP",
        TunnelKind::Gre => "Tunnel::GRE",
        TunnelKind::Ayiya => "Tunnel::AYIYA",
        TunnelKind::Teredo => "Tunnel::TEREDO",
        TunnelKind::Socks => "Tunnel::SOCKS",
        TunnelKind::Gtpv1 => "Tunnel::GTPv1",
        TunnelKind::Http => "Tunnel::HTTP",
        TunnelKind::Vxlan => "Tunnel::VXLAN",
        TunnelKind::Geneve => "Tunnel::GENEVE",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_wire::{Address, TenantId};

    fn key(n: u32) -> FlowKey {
        let [a, b, c, d] = n.to_be_bytes();
        let there = (Address::v4([10, b, c, d]), u16::from(a));
        FlowKey::new(TenantId(0), 17, there, (Address::v4([11, 0, 0, 0]), 4789)).0
    }

    #[test]
    fn a_connection_begins_anew_after_the_timeout_and_only_then() {
        let (mut table, mut out) = (Table::new(Interval::from_secs(60), true), Entries::default());
        let uids = UidKey::default();
        let mut uid = |seconds, out: &mut Entries| {
            let now = Time::from_parts(seconds, 0);
            let uid = table.touch(&key(1), &uids, ConnId::default(), now, out).uid;
            table.register(&key(1), now, out);
            uid
        };
        let first = uid(0, &mut out);
        assert_eq!(uid(59, &mut out), first);
        assert_eq!(out.len(), 1);
        assert_ne!(uid(119, &mut out), first);
        assert_eq!(out.len(), 3);
    }

    #[test]
    fn a_pair_of_hosts_is_forgotten_by_the_log_before_its_uid_is() {
        let (mut table, mut out) = (Table::new(Interval::from_secs(86_400), false), Entries::default());
        let uids = UidKey::default();
        let mut at = |seconds, out: &mut Entries| {
            let now = Time::from_parts(seconds, 0);
            table.expire(now, out);
            let uid = table.touch(&key(1), &uids, ConnId::default(), now, out).uid;
            table.register(&key(1), now, out);
            (uid, out.len())
        };
        let (uid, one) = at(0, &mut out);
        assert_eq!(at(3_599, &mut out), (uid, one));
        assert_eq!(at(7_199, &mut out), (uid, 3));
        assert_ne!(at(100_000, &mut out).0, uid);
    }

    #[test]
    fn many_connections_do_not_take_more_than_their_room() {
        let (mut table, mut out) = (Table::new(Interval::from_secs(60), true), Entries::default());
        for n in 0..200_000 {
            let now = Time(i64::from(n));
            table.touch(&key(n), &UidKey::default(), ConnId::default(), now, &mut out);
            assert!(table.flows.len() <= MAX_FLOWS);
        }
        table.register(&key(199_999), Time(0), &mut out);
        table.expire(Time::from_parts(100, 0), &mut out);
        assert!(table.flows.is_empty() && out.len() == 2);
    }
}
