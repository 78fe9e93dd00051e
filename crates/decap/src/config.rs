//! What the user may decide about decap, and the bounds of everything that untrusted packets can make grow.

use std::collections::HashMap;
use std::sync::Arc;

use weir_wire::tunnel::{geneve, vxlan};
use weir_wire::{Interval, TenantId};

use crate::around::Naming;

/// Which number around a packet names its tenant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TenantBy {
    /// None: all packets are of tenant 0, as in Zeek.
    #[default]
    Nothing,
    /// The VNI of the innermost VXLAN or GENEVE tunnel.
    Vni,
    /// The outermost VLAN id.
    Vlan,
    /// The key of the innermost GRE tunnel.
    Key,
    /// The tap.
    Tap,
}

/// From the number that names a tenant to the tenant.
#[derive(Clone, Debug, Default)]
pub struct Tenants {
    /// Which number.
    pub by: TenantBy,
    /// The tenants of the numbers listed. While empty, every number is a tenant of its own; otherwise numbers that are
    /// not listed are of tenant 0, so that a mirror's stray numbers do not split flows.
    pub map: HashMap<u32, TenantId>,
}

impl Tenants {
    /// The tenant of `number`.
    pub fn of(&self, number: u32) -> TenantId {
        if self.map.is_empty() {
            TenantId(number)
        } else {
            self.map.get(&number).copied().unwrap_or_default()
        }
    }
}

/// Bounds and habits of decap.
#[derive(Clone, Debug)]
pub struct Config {
    /// Headers, from the link layer to the innermost transport, that are walked at most (Zeek:
    /// `PacketAnalyzer::max_depth`, 25). A fragment's datagram goes on counting where its last fragment was.
    pub max_depth: u8,
    /// Tunnels in tunnels at most (Zeek: `Tunnel::max_depth`, 4).
    pub max_tunnels: u8,
    /// How long a datagram waits for its missing fragments (Zeek: `frag_timeout`, which is off; RFC 8200, 4.5 says 60 s).
    pub fragment_timeout: Interval,
    /// Bytes of fragments held at most, for all datagrams together, with the bookkeeping of each fragment.
    pub fragment_memory: usize,
    /// Datagrams that wait for fragments at most.
    pub max_datagrams: usize,
    /// Fragments that wait at most in one datagram: 64 KiB in the 8-byte steps of an attacker would be 8192, in those
    /// of the smallest lawful MTU (68 bytes, RFC 791) 1366; real ones are tens.
    pub max_fragments: usize,
    /// Whether IP and transport checksums are verified. Off, as captures on end hosts hold unfinished ones.
    pub verify_checksums: bool,
    /// UDP ports of VXLAN (Zeek: `PacketAnalyzer::VXLAN::vxlan_ports`).
    pub vxlan_ports: Vec<u16>,
    /// UDP ports of GENEVE (Zeek: `PacketAnalyzer::Geneve::geneve_ports`).
    pub geneve_ports: Vec<u16>,
    /// Whether a mirrored packet that ends before its IP header says so was cut by whoever mirrored it, as clouds do where the
    /// tunnel's header makes it too long. Zeek takes it for broken. Where the tunnel says that it was cut it always is.
    pub cut_mirrors: bool,
    /// Whether packets have the time at which a tap of weir saw them; otherwise that at which they came here.
    pub tap_times: bool,
    /// Whose packets are whose.
    pub tenants: Tenants,
    /// Who knows the names of taps and tenants, where there are some.
    pub naming: Option<Arc<dyn Naming>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_depth: 25,
            max_tunnels: 4,
            fragment_timeout: Interval::from_secs(60),
            fragment_memory: 16 << 20,
            max_datagrams: 16_384,
            max_fragments: 1_024,
            verify_checksums: false,
            vxlan_ports: vec![vxlan::PORT],
            geneve_ports: vec![geneve::PORT],
            cut_mirrors: true,
            tap_times: true,
            tenants: Tenants::default(),
            naming: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_map_every_number_is_a_tenant_and_with_one_only_those_listed() {
        let mut tenants = Tenants { by: TenantBy::Vni, map: HashMap::new() };
        assert_eq!(tenants.of(7), TenantId(7));
        tenants.map.insert(7, TenantId(1));
        assert_eq!((tenants.of(7), tenants.of(8)), (TenantId(1), TenantId(0)));
    }
}
