//! Tunnels over IP and UDP: what is inside, and which connection is around it.
//!
//! Tunnels are told by IP protocol number ([`is_over_ip`]), by the responder's UDP port, or by the UDP payload. A UDP
//! connection on the port of a tunnel is followed from its first packet, so that its uid is the one that `analyse` gives
//! it. A tunnel is logged when a connection is found inside, and a UDP tunnel again when it ends, as in Zeek
//! (scripts/base/frameworks/tunnels). [`IpPacket::payload`] ends where the packet ends, so padding is never part of what
//! is inside.

mod gre;
mod ip;
mod table;
mod udp;

use weir_record::Entries;
use weir_wire::flow::protocol;
use weir_wire::{FlowKey, Interval, Time, TunnelKind, Uid, UidKey};

use crate::walk::{Step, Walk};
use table::Table;

/// How long a UDP connection is remembered (Zeek: `udp_inactivity_timeout`).
const UDP_TIMEOUT: Interval = Interval::from_secs(60);
/// How long a pair of hosts is remembered (Zeek: `Tunnel::ip_tunnel_timeout`).
const IP_TIMEOUT: Interval = Interval::from_secs(24 * 60 * 60);

/// What a UDP datagram carries.
pub(crate) struct Inner<'a> {
    /// Which tunnel it is; [`TunnelKind::None`] until it is confirmed (Teredo: from both sides).
    pub kind: TunnelKind,
    /// What comes next.
    pub step: Step<'a>,
}

/// Which table a tunnel is in.
#[derive(Clone, Copy)]
enum Over {
    Ip,
    Udp,
}

/// The tunnels seen.
pub(crate) struct Tunnels {
    key: UidKey,
    over_ip: Table,
    over_udp: Table,
    /// The tunnels around the bytes in work, from the outside in.
    around: Vec<(Over, FlowKey)>,
    now: Time,
}

impl Tunnels {
    /// None yet; `key` makes the uids of their connections.
    pub fn new(key: UidKey) -> Self {
        Self {
            key,
            over_ip: Table::new(IP_TIMEOUT, false),
            over_udp: Table::new(UDP_TIMEOUT, true),
            around: Vec::new(),
            now: Time::default(),
        }
    }

    /// The walk goes into the tunnel that `over` has as `key`.
    fn enter(&mut self, walk: &mut Walk<'_>, over: Over, key: FlowKey, kind: TunnelKind, parent: Uid) {
        // There are as many entries as there are tunnels around, which the configuration limits.
        self.around.truncate(usize::from(walk.depth));
        self.around.push((over, key));
        walk.enter_tunnel(kind, parent);
    }

    /// A packet of a connection was found inside all tunnels around.
    pub fn register(&mut self, walk: &mut Walk<'_>) {
        for (over, key) in self.around.iter().take(usize::from(walk.depth)) {
            let table = match over {
                Over::Ip => &mut self.over_ip,
                Over::Udp => &mut self.over_udp,
            };
            table.register(key, walk.time, walk.entries);
        }
    }

    /// Time has come to `now`.
    pub fn advance(&mut self, now: Time, out: &mut Entries) {
        self.now = self.now.max(now);
        self.over_ip.expire(now, out);
        self.over_udp.expire(now, out);
    }

    /// The traffic has ended.
    pub fn finish(&mut self, out: &mut Entries) {
        self.over_ip.finish(self.now, out);
        self.over_udp.finish(self.now, out);
    }
}

/// Whether packets of IP protocol `number` are tunnels, not connections.
pub(crate) const fn is_over_ip(number: u8) -> bool {
    matches!(number, protocol::IPIP | protocol::IPV6 | protocol::GRE)
}

/// Whether another tunnel would be too deep, which is reported.
fn is_too_deep(walk: &mut Walk<'_>, source: &'static str) -> bool {
    let is = walk.depth >= walk.config.max_tunnels;
    if is {
        walk.weird("exceeded_tunnel_max_depth", None, Some(source));
    }
    is
}
