//! Tunnels over IP and UDP: what is inside, and which connection is around it.
//!
//! Tunnels are told by IP protocol number ([`is_over_ip`]) or by the UDP payload ([`Tunnels::over_udp`]). What recognises
//! one looks up or begins its connection, calls [`Walk::surrounded_by`] with the number that may name a tenant and then
//! [`Walk::enter_tunnel`], and answers [`Step::Next`] with the layer inside. At [`Walk::depth`] equal to
//! [`crate::Config::max_tunnels`] it reports that instead. [`IpPacket::payload`] ends where the packet ends, so padding
//! is never part of what is inside.

use weir_ledger::Reason;
use weir_record::Entries;
use weir_wire::flow::protocol;
use weir_wire::{Head, Time, TunnelKind, UidKey};

use crate::ip::IpPacket;
use crate::walk::{Step, Walk};

/// What a UDP datagram carries.
pub(crate) struct Inner<'a> {
    /// Which tunnel it is.
    pub kind: TunnelKind,
    /// What comes next.
    pub step: Step<'a>,
}

/// The tunnels seen.
pub(crate) struct Tunnels {
    key: UidKey,
}

#[allow(clippy::unused_self, reason = "no tunnel is recognised yet")]
impl Tunnels {
    /// None yet; `key` makes the uids of their connections.
    pub fn new(key: UidKey) -> Self {
        Self { key }
    }

    /// Whether the UDP datagram in `packet`, whose flow `outer` tells, carries a tunnel. What it finds calls
    /// [`Walk::enter_tunnel`].
    pub fn over_udp<'a>(
        &mut self,
        _walk: &mut Walk<'_>,
        _outer: &Head,
        _packet: &IpPacket<'a>,
    ) -> Option<Inner<'a>> {
        let _ = self.key;
        None
    }

    /// What a packet with one of the protocols of [`is_over_ip`] carries.
    pub fn over_ip<'a>(&mut self, _walk: &mut Walk<'_>, _packet: &IpPacket<'a>) -> Step<'a> {
        Step::Drop(Reason::TunnelNotIp)
    }

    /// Time has come to `now` without a frame.
    pub fn advance(&mut self, _now: Time, _out: &mut Entries) {}

    /// The traffic has ended.
    pub fn finish(&mut self, _out: &mut Entries) {}
}

/// Whether packets of IP protocol `number` are tunnels, not connections.
pub(crate) const fn is_over_ip(number: u8) -> bool {
    matches!(number, protocol::IPIP | protocol::IPV6 | protocol::GRE)
}
