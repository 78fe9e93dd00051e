//! Programs in classic BPF that choose the lane of a frame by the innermost packet in it.
//!
//! Passed on the way: up to three VLAN tags (that beside the frame not counted), up to eight MPLS labels, PPPoE; IPv4 and
//! IPv6 with up to six extension headers; VXLAN, GENEVE with options, GRE with optional fields, ERSPAN I to III and IP in
//! IP, two of them in each other.
//!
//! Rules, which are those of [`hash`](crate::hash()) where packets are whole:
//! - Fragments, first ones too, are hashed by the addresses of the packet that is in pieces and not looked into: all pieces
//!   are on one lane. By [`SpreadBy::Pair`] that is also the lane of the whole; by [`SpreadBy::Flow`] it is not that of
//!   other packets of the flow. Of a tunnel's packet in pieces it is the lane of the outer hosts.
//! - By [`SpreadBy::Flow`], ICMP errors go with the flow that they quote.
//! - What is no IP has lane 0. A packet cut short inside of a header is hashed by what is around it.
//!
//! Where the program answers differently from the function on the innermost packet that decap finds (a reader that cares hands
//! such packets on): datagrams put together from fragments that were in a tunnel or had one inside; tunnels of other kinds
//! (Teredo, AYIYA, GTP, PPTP) or on other ports, or three in each other; link layers of other kinds (SNAP, provider
//! backbone, FabricPath); routing headers and home addresses of IPv6; tenants by a map. Of 154,912 answers for the captures of
//! Zeek's tests 632 differ (test `on_captures_of_all_kinds_the_program_and_the_lane_agree`). A datagram that is no tunnel, at
//! a socket of one, goes by the hosts around it alone.
//!
//! Source: linux/filter.h; net/packet/af_packet.c (`fanout_demux_bpf`) and net/core/sock_reuseport.c (`run_bpf_filter`).

mod assembler;
mod finish;
mod level;

use weir_wire::bpf::Instruction;
use weir_wire::tunnel::{geneve, vxlan};

use crate::SpreadBy;
use assembler::{Assembler, Label, When};

/// Which number around a packet is its tenant, by itself: a map of numbers to tenants is not for programs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum TenantNumber {
    /// None: all packets are of tenant 0.
    #[default]
    Nothing,
    /// The VNI of the innermost VXLAN or GENEVE tunnel.
    Vni,
    /// The outermost VLAN id.
    Vlan,
    /// The key of the innermost GRE tunnel.
    Key,
}

/// The tunnel that ends at a socket.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Tunnel {
    /// VXLAN.
    Vxlan,
    /// GENEVE.
    Geneve,
}

/// What a program is to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Steering {
    /// What stays together.
    pub by: SpreadBy,
    /// Whose packets are whose.
    pub tenant: TenantNumber,
    /// Among how many lanes. The answer is below this number; 0 counts as 1.
    pub lanes: u32,
    /// UDP ports of VXLAN, and of GENEVE. Each costs some instructions, so a handful at most.
    pub vxlan_ports: Vec<u16>,
    /// UDP ports of GENEVE.
    pub geneve_ports: Vec<u16>,
}

impl Steering {
    /// Among `lanes`, one tenant, usual ports.
    pub fn new(by: SpreadBy, lanes: u32) -> Self {
        let (vxlan_ports, geneve_ports) = (vec![vxlan::PORT], vec![geneve::PORT]);
        Self { by, tenant: TenantNumber::default(), lanes, vxlan_ports, geneve_ports }
    }

    /// For a fanout group of packet sockets (`PACKET_FANOUT_CBPF`). The kernel shows it received frames from the network
    /// header on, and sent ones from the link-layer header on; it tells the two apart.
    pub fn for_frames(&self) -> Vec<Instruction> {
        let mut generator = Generator::new(self, 0);
        generator.start();
        generator.finish()
    }

    /// The part of a packet socket's filter (`SO_ATTACH_FILTER`) that takes the frames of `lane` only: all others end in it,
    /// with 0, and those go on behind its last instruction. Where each lane has a socket of its own with its part, each frame
    /// is taken by exactly one. The kernel shows a filter all frames from the link-layer header on.
    pub fn for_filter(&self, lane: u32) -> Vec<Instruction> {
        let mut generator = Generator::new(self, 0);
        generator.only = Some(lane);
        generator.start();
        generator.finish()
    }

    /// For UDP sockets that share a port at which `tunnel` ends (`SO_ATTACH_REUSEPORT_CBPF`). The kernel shows it the UDP
    /// payload.
    pub fn for_datagrams(&self, tunnel: Tunnel) -> Vec<Instruction> {
        let mut generator = Generator::new(self, 1);
        generator.clear();
        generator.asm.set_x(0);
        match tunnel {
            Tunnel::Vxlan => generator.vxlan(0, 0),
            Tunnel::Geneve => generator.geneve(0, 0),
        }
        generator.finish()
    }
}

/// For a fanout group: the queue by which a frame came, or left, counted from 0.
pub fn queue_program() -> Vec<Instruction> {
    let mut asm = Assembler::default();
    let (sent, received) = (asm.label(), asm.label());
    asm.load((SKF_AD_OFF + SKF_AD_PKTTYPE) as u32);
    asm.branch(When::Is(PACKET_OUTGOING), sent);
    asm.load((SKF_AD_OFF + SKF_AD_QUEUE) as u32);
    // Of received frames 0 stands for no queue, and is taken for the first.
    asm.branch(When::IsNot(0), received);
    asm.answer();
    asm.bind(received);
    asm.with(assembler::Op::Sub, 1);
    asm.answer();
    asm.bind(sent);
    asm.load((SKF_AD_OFF + SKF_AD_QUEUE) as u32);
    asm.answer();
    asm.finish()
}

/// How many IP headers are looked at: that of a packet in a tunnel in a tunnel is the third.
const LEVELS: usize = 3;

/// Scratch words. `IP`: where the innermost IP header is that was found so far. `PORTS`: where its ports are, or 0. `TENANT`:
/// the tenant's number. The others are of passing use.
mod scratch {
    pub const IP: u32 = 0;
    pub const PORTS: u32 = 1;
    pub const TENANT: u32 = 2;
    pub const KEPT: u32 = 3;
    pub const KIND: u32 = 4;
    pub const SOURCE: u32 = 5;
    pub const DESTINATION: u32 = 6;
}

/// Where to go on at one level.
#[derive(Clone, Copy)]
struct Level {
    /// X is at an Ethernet header.
    link: Label,
    /// X is behind an Ethertype, which is in A.
    kind: Label,
    /// X is at an IP header.
    ip: Label,
}

struct Generator<'s> {
    asm: Assembler,
    steering: &'s Steering,
    levels: [Level; LEVELS],
    /// The level at which this program begins.
    first: usize,
    /// The lane that is asked for, where the program is a filter.
    only: Option<u32>,
    /// X is at an ICMP error of either version.
    quoted: [Label; 2],
    /// The innermost packet is the one at `IP`.
    found: Label,
    /// There is no packet but the one around what the program sees.
    around: Label,
    /// There is no packet.
    nothing: Label,
}

impl<'s> Generator<'s> {
    fn new(steering: &'s Steering, first: usize) -> Self {
        let mut asm = Assembler::default();
        let levels = [(); LEVELS].map(|()| Level { link: asm.label(), kind: asm.label(), ip: asm.label() });
        let quoted = [asm.label(), asm.label()];
        let (found, around, nothing) = (asm.label(), asm.label(), asm.label());
        Self { asm, steering, levels, first, only: None, quoted, found, around, nothing }
    }

    /// Scratch words that may be read before they are set.
    fn clear(&mut self) {
        self.asm.set(0);
        for word in [scratch::IP, scratch::PORTS, scratch::TENANT] {
            self.asm.store(word);
        }
    }

    /// From the start of what the kernel shows to the first level.
    fn start(&mut self) {
        const fn beside(what: i32) -> u32 {
            (SKF_AD_OFF + what) as u32
        }
        self.clear();
        let (sent, ethernet) = (self.asm.label(), self.asm.label());
        let Some(Level { link, kind, .. }) = self.levels.first().copied() else { return };
        if self.steering.tenant == TenantNumber::Vlan {
            let untagged = self.asm.label();
            self.asm.load(beside(SKF_AD_VLAN_TAG_PRESENT));
            self.asm.branch(When::Is(0), untagged);
            self.asm.load(beside(SKF_AD_VLAN_TAG));
            self.asm.with(assembler::Op::And, 0xfff);
            self.asm.store(scratch::TENANT);
            self.asm.bind(untagged);
        }
        self.asm.set_x(0);
        if self.only.is_none() {
            self.asm.load(beside(SKF_AD_PKTTYPE));
            self.asm.branch(When::Is(PACKET_OUTGOING), sent);
            self.asm.load(beside(SKF_AD_PROTOCOL));
            self.asm.jump(kind);
        }
        self.asm.bind(sent);
        self.asm.load(beside(SKF_AD_HATYPE));
        self.asm.branch(When::Is(ARPHRD_ETHER), ethernet);
        self.asm.branch(When::Is(ARPHRD_LOOPBACK), ethernet);
        // Other hardware is supposed to have no link-layer header, as tunnel devices have none.
        self.asm.load(beside(SKF_AD_PROTOCOL));
        self.asm.jump(kind);
        self.asm.bind(ethernet);
        self.asm.jump(link);
    }

    fn finish(mut self) -> Vec<Instruction> {
        for at in self.first..LEVELS {
            self.level(at);
        }
        self.end();
        self.asm.finish()
    }
}

/// What the kernel knows beside a packet (linux/filter.h), and the values that matter (linux/if_packet.h, linux/if_arp.h).
const SKF_AD_OFF: i32 = -0x1000;
const SKF_AD_PROTOCOL: i32 = 0;
const SKF_AD_PKTTYPE: i32 = 4;
const SKF_AD_QUEUE: i32 = 24;
const SKF_AD_HATYPE: i32 = 28;
const SKF_AD_VLAN_TAG: i32 = 44;
const SKF_AD_VLAN_TAG_PRESENT: i32 = 48;
const PACKET_OUTGOING: u32 = 4;
const ARPHRD_ETHER: u32 = 1;
const ARPHRD_LOOPBACK: u32 = 772;
/// The network header, wherever the data begins.
const SKF_NET_OFF: i32 = -0x10_0000;

#[cfg(test)]
mod tests {
    use weir_wire::bpf::MAX_INSTRUCTIONS;

    use super::*;

    #[test]
    fn programs_are_well_below_the_kernels_limit() {
        let ports = |first| (first..first + 4).collect();
        for by in [SpreadBy::Flow, SpreadBy::Pair, SpreadBy::Tenant, SpreadBy::Sum] {
            for tenant in [TenantNumber::Nothing, TenantNumber::Vni, TenantNumber::Vlan, TenantNumber::Key] {
                let steering = Steering {
                    tenant,
                    vxlan_ports: ports(1),
                    geneve_ports: ports(9),
                    ..Steering::new(by, 8)
                };
                let programs = [
                    steering.for_frames(),
                    steering.for_filter(7),
                    steering.for_datagrams(Tunnel::Vxlan),
                    steering.for_datagrams(Tunnel::Geneve),
                ];
                for program in programs {
                    assert!(program.len() < MAX_INSTRUCTIONS / 4 * 3, "{}", program.len());
                }
            }
        }
    }
}
