//! Which packets belong together.

use std::hash::{Hash, Hasher};

use crate::Address;

/// A tenant: a network whose addresses mean something of their own. 0 where no map of tenants is configured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct TenantId(pub u32);

/// Which way a packet goes, relative to the canonical order of its [`FlowKey`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// From the lower to the upper endpoint.
    Up,
    /// From the upper to the lower endpoint.
    Down,
}

impl Direction {
    /// The other way.
    pub const fn flip(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

/// The identity of a flow: both directions have one key.
///
/// The endpoints are in canonical order (lower address first, then lower port), except where a flow has one
/// direction only by its nature (an ICMP error, see [`FlowKey::one_way`]).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FlowKey {
    /// The tenant that the addresses belong to.
    pub tenant: TenantId,
    /// The IP protocol number (IPv6: of the header after the extension headers).
    pub protocol: u8,
    /// The lower endpoint's port; 0 where the protocol has none; for ICMP see `weir-decap`.
    pub lower_port: u16,
    /// The upper endpoint's port.
    pub upper_port: u16,
    /// The lower endpoint's address.
    pub lower: Address,
    /// The upper endpoint's address.
    pub upper: Address,
}

/// In few words, as every packet's key is hashed.
impl Hash for FlowKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let ports = u64::from(self.lower_port) << 16 | u64::from(self.upper_port);
        state.write_u64(u64::from(self.tenant.0) << 32 | ports);
        state.write_u8(self.protocol);
        state.write_u128(u128::from_ne_bytes(self.lower.0));
        state.write_u128(u128::from_ne_bytes(self.upper.0));
    }
}

impl FlowKey {
    /// The key of a packet from `source` to `destination`, and which way the packet goes.
    pub fn new(
        tenant: TenantId,
        protocol: u8,
        source: (Address, u16),
        destination: (Address, u16),
    ) -> (Self, Direction) {
        // Numbers compare faster than byte strings, and in the same order.
        let rank = |(address, port): (Address, u16)| (u128::from_be_bytes(address.0), port);
        if rank(source) <= rank(destination) {
            (Self::one_way(tenant, protocol, source, destination), Direction::Up)
        } else {
            (Self::one_way(tenant, protocol, destination, source), Direction::Down)
        }
    }

    /// The key of a flow whose packets go one way only: no reordering of the endpoints.
    pub const fn one_way(
        tenant: TenantId,
        protocol: u8,
        source: (Address, u16),
        destination: (Address, u16),
    ) -> Self {
        Self {
            tenant,
            protocol,
            lower_port: source.1,
            upper_port: destination.1,
            lower: source.0,
            upper: destination.0,
        }
    }

    /// The endpoints as `(source, destination)` of a packet that goes `direction`.
    pub const fn endpoints(&self, direction: Direction) -> ((Address, u16), (Address, u16)) {
        let (lower, upper) = ((self.lower, self.lower_port), (self.upper, self.upper_port));
        match direction {
            Direction::Up => (lower, upper),
            Direction::Down => (upper, lower),
        }
    }
}

/// The endpoints of a connection by role, as logs show them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct ConnId {
    /// The originator's address.
    pub orig_h: Address,
    /// The originator's port.
    pub orig_p: u16,
    /// The responder's address.
    pub resp_h: Address,
    /// The responder's port.
    pub resp_p: u16,
}

impl ConnId {
    /// The same connection with the roles exchanged.
    pub const fn flip(self) -> Self {
        Self { orig_h: self.resp_h, orig_p: self.resp_p, resp_h: self.orig_h, resp_p: self.orig_p }
    }
}

/// IP protocol numbers that the engine tells apart (IANA "protocol-numbers").
pub mod protocol {
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// Internet Group Management Protocol.
    pub const IGMP: u8 = 2;
    /// IPv4 encapsulation.
    pub const IPIP: u8 = 4;
    /// Transmission Control Protocol.
    pub const TCP: u8 = 6;
    /// User Datagram Protocol.
    pub const UDP: u8 = 17;
    /// IPv6 encapsulation.
    pub const IPV6: u8 = 41;
    /// Generic Routing Encapsulation.
    pub const GRE: u8 = 47;
    /// Encapsulating Security Payload.
    pub const ESP: u8 = 50;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
    /// Stream Control Transmission Protocol.
    pub const SCTP: u8 = 132;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_have_one_key() {
        let a = (Address::v4([10, 0, 0, 1]), 40000);
        let b = (Address::v4([10, 0, 0, 2]), 80);
        let (there, up) = FlowKey::new(TenantId(7), protocol::TCP, a, b);
        let (back, down) = FlowKey::new(TenantId(7), protocol::TCP, b, a);
        assert_eq!(there, back);
        assert_eq!((up, down), (Direction::Up, Direction::Down));
        assert_eq!(there.endpoints(up), (a, b));
        assert_eq!(back.endpoints(down), (b, a));
    }
}
