//! One level: from a link layer or an Ethertype over IP to the tunnel that leads to the next level.

use weir_wire::flow::protocol;
use weir_wire::ipv6::extension;
use weir_wire::tunnel::gre;

use super::assembler::{Label, Op, When};
use super::{Generator, LEVELS, Level, TenantNumber, scratch};
use crate::SpreadBy;

/// An Ethernet header and behind it the least that IP has.
const ETHERNET: u32 = 14;
const LEAST_IP: u32 = 20;
const TAGS: usize = 3;
const LABELS: usize = 8;
const EXTENSIONS: usize = 6;
const IPV4: u32 = 0x0800;
const IPV6: u32 = 0x86dd;

impl Generator<'_> {
    pub(super) fn level(&mut self, at: usize) {
        let Some(Level { link, kind, ip }) = self.levels.get(at).copied() else { return };
        let lost = self.lost(at);
        self.asm.bind(link);
        self.enough(ETHERNET + LEAST_IP, lost);
        self.asm.half(12);
        self.asm.store(scratch::KIND);
        self.asm.skip(ETHERNET);
        self.asm.recall(scratch::KIND);
        self.asm.bind(kind);
        self.tags(at);
        let (labels, ppp) = (self.asm.label(), self.asm.label());
        for (number, to) in [(IPV4, ip), (IPV6, ip), (0x8847, labels), (0x8848, labels), (0x8864, ppp)] {
            self.asm.branch(When::Is(number), to);
        }
        self.asm.jump(lost);
        self.asm.bind(labels);
        for _ in 0..LABELS {
            self.enough(4, lost);
            self.asm.byte(2);
            self.asm.store(scratch::KEPT);
            self.asm.skip(4);
            self.asm.recall(scratch::KEPT);
            self.asm.branch(When::Has(1), ip);
        }
        self.asm.jump(lost);
        self.asm.bind(ppp);
        self.enough(8, lost);
        self.asm.half(6);
        self.asm.store(scratch::KEPT);
        self.asm.skip(8);
        self.asm.recall(scratch::KEPT);
        self.asm.branch(When::Is(0x21), ip);
        self.asm.branch(When::Is(0x57), ip);
        self.asm.jump(lost);
        self.asm.bind(ip);
        self.ip(at);
    }

    /// Where to go when there is no IP packet at this level.
    fn lost(&self, at: usize) -> Label {
        match (at == self.first, at) {
            (true, 0) => self.nothing,
            (true, _) => self.around,
            (false, _) => self.found,
        }
    }

    /// Goes on only where there are `bytes` from X on, as a load beyond the end would end the program. A is lost.
    pub(super) fn enough(&mut self, bytes: u32, otherwise: Label) {
        self.asm.len();
        self.asm.with_x(Op::Sub);
        self.asm.unless_between(bytes, 1 << 31, otherwise);
    }

    /// VLAN tags, of which the first names the tenant.
    fn tags(&mut self, at: usize) {
        let (untagged, lost) = (self.asm.label(), self.lost(at));
        for i in 0..TAGS {
            let tag = self.asm.label();
            for number in [0x8100, 0x88a8, 0x9100, 0x9200] {
                self.asm.branch(When::Is(number), tag);
            }
            self.asm.jump(untagged);
            self.asm.bind(tag);
            self.enough(4, lost);
            if i == 0 && self.steering.tenant == TenantNumber::Vlan {
                let has_one = self.asm.label();
                if at == 0 {
                    // The tag beside the frame was in front of this one.
                    self.asm.recall(scratch::TENANT);
                    self.asm.branch(When::IsNot(0), has_one);
                }
                self.asm.half(0);
                self.asm.with(Op::And, 0xfff);
                self.asm.store(scratch::TENANT);
                self.asm.bind(has_one);
            }
            self.asm.half(2);
            self.asm.store(scratch::KIND);
            self.asm.skip(4);
            self.asm.recall(scratch::KIND);
        }
        self.asm.bind(untagged);
    }

    fn ip(&mut self, at: usize) {
        let (v4, v6, content) = (self.asm.label(), self.asm.label(), self.asm.label());
        let lost = self.lost(at);
        self.enough(LEAST_IP, lost);
        self.asm.byte(0);
        self.asm.with(Op::Right, 4);
        self.asm.branch(When::Is(4), v4);
        self.asm.branch(When::Is(6), v6);
        self.asm.jump(lost);
        self.asm.bind(v4);
        self.here();
        // More fragments, or not the first.
        self.asm.half(6);
        self.asm.branch(When::Has(0x3fff), self.found);
        self.asm.byte(9);
        self.asm.store(scratch::KIND);
        self.asm.byte(0);
        self.asm.with(Op::And, 0xf);
        self.asm.with(Op::Left, 2);
        self.asm.skip_a();
        self.asm.recall(scratch::KIND);
        self.asm.jump(content);
        self.asm.bind(v6);
        self.enough(40, lost);
        self.here();
        self.asm.byte(6);
        self.asm.store(scratch::KIND);
        self.asm.skip(40);
        self.extensions(content);
        self.asm.bind(content);
        self.content(at);
    }

    /// The innermost packet known is the one at X.
    fn here(&mut self) {
        self.asm.store_x(scratch::IP);
        self.asm.set(0);
        self.asm.store(scratch::PORTS);
    }

    /// Over extension headers to `content`, with its number in A.
    fn extensions(&mut self, content: Label) {
        for _ in 0..EXTENSIONS {
            let (plain, authentic, fragment, next) =
                (self.asm.label(), self.asm.label(), self.asm.label(), self.asm.label());
            self.asm.recall(scratch::KIND);
            for number in [extension::HOP_BY_HOP, extension::ROUTING, extension::DESTINATION] {
                self.asm.branch(When::Is(u32::from(number)), plain);
            }
            self.asm.branch(When::Is(u32::from(extension::AUTHENTICATION)), authentic);
            self.asm.branch(When::Is(u32::from(extension::FRAGMENT)), fragment);
            self.asm.jump(content);
            self.asm.bind(fragment);
            self.enough(8, self.found);
            // A fragment that is the whole packet is passed (RFC 6946).
            self.asm.half(2);
            self.asm.branch(When::Has(0xfff9), self.found);
            self.asm.byte(0);
            self.asm.store(scratch::KIND);
            self.asm.set(8);
            self.asm.jump(next);
            self.asm.bind(authentic);
            self.length(2, 2);
            self.asm.jump(next);
            self.asm.bind(plain);
            self.length(1, 3);
            self.asm.bind(next);
            self.asm.skip_a();
        }
        self.asm.recall(scratch::KIND);
    }

    /// A = the length of the extension header at X, and `KIND` what is next.
    fn length(&mut self, more: u32, shift: u32) {
        self.enough(2, self.found);
        self.asm.byte(0);
        self.asm.store(scratch::KIND);
        self.asm.byte(1);
        self.asm.with(Op::Add, more);
        self.asm.with(Op::Left, shift);
    }

    /// What the packet carries, by its number in A.
    fn content(&mut self, at: usize) {
        let is_by_flow = self.steering.by == SpreadBy::Flow;
        let (udp, gre) = (self.asm.label(), self.asm.label());
        let next = self.levels.get(at + 1).copied();
        self.asm.branch(When::Is(u32::from(protocol::UDP)), udp);
        if is_by_flow {
            let tcp = self.asm.label();
            self.asm.branch(When::IsNot(u32::from(protocol::TCP)), tcp);
            self.enough(4, self.found);
            self.asm.store_x(scratch::PORTS);
            self.asm.jump(self.found);
            self.asm.bind(tcp);
            let [v4, v6] = self.quoted;
            self.asm.branch(When::Is(u32::from(protocol::ICMP)), v4);
            self.asm.branch(When::Is(u32::from(protocol::ICMPV6)), v6);
        }
        if let Some(next) = next {
            self.asm.branch(When::Is(u32::from(protocol::IPIP)), next.ip);
            self.asm.branch(When::Is(u32::from(protocol::IPV6)), next.ip);
            self.asm.branch(When::Is(u32::from(protocol::GRE)), gre);
        }
        self.asm.jump(self.found);
        self.asm.bind(udp);
        if is_by_flow {
            self.enough(4, self.found);
            self.asm.store_x(scratch::PORTS);
        }
        if next.is_some() {
            self.udp(at);
        }
        self.asm.jump(self.found);
        self.asm.bind(gre);
        if next.is_some() {
            self.gre(at);
        }
    }

    /// A tunnel over UDP, told by its port: the receiver's first.
    fn udp(&mut self, at: usize) {
        let (vxlan, geneve) = (self.asm.label(), self.asm.label());
        let steering = self.steering;
        // The header of UDP and that of the tunnel.
        self.enough(16, self.found);
        for field in [2, 0] {
            self.asm.half(field);
            for port in &steering.vxlan_ports {
                self.asm.branch(When::Is(u32::from(*port)), vxlan);
            }
            for port in &steering.geneve_ports {
                self.asm.branch(When::Is(u32::from(*port)), geneve);
            }
        }
        self.asm.jump(self.found);
        self.asm.bind(vxlan);
        self.vxlan(at, 8);
        self.asm.bind(geneve);
        self.geneve(at, 8);
    }

    /// A VXLAN header `header` bytes behind X, in a packet of level `at`.
    pub(super) fn vxlan(&mut self, at: usize, header: u32) {
        let Some(Level { link, .. }) = self.levels.get(at + 1).copied() else { return };
        let none = self.not_a_tunnel(at, header);
        self.asm.byte(header);
        self.asm.branch(When::HasNot(8), none);
        self.vni(header);
        self.asm.skip(header + 8);
        self.asm.jump(link);
    }

    /// The same of GENEVE.
    pub(super) fn geneve(&mut self, at: usize, header: u32) {
        let Some(Level { link, ip, .. }) = self.levels.get(at + 1).copied() else { return };
        let none = self.not_a_tunnel(at, header);
        self.asm.byte(header);
        self.asm.branch(When::Has(0xc0), none);
        self.vni(header);
        self.asm.half(header + 2);
        self.asm.store(scratch::KIND);
        self.asm.byte(header);
        self.asm.with(Op::And, 0x3f);
        self.asm.with(Op::Left, 2);
        self.asm.with(Op::Add, header + 8);
        self.asm.skip_a();
        self.asm.recall(scratch::KIND);
        self.asm.branch(When::Is(u32::from(gre::protocol::ETHERNET)), link);
        self.asm.branch(When::Is(IPV4), ip);
        self.asm.branch(When::Is(IPV6), ip);
        self.asm.jump(none);
    }

    /// Where to go when a datagram is not what its port says. At a socket it may also be shorter than the header.
    fn not_a_tunnel(&mut self, at: usize, header: u32) -> Label {
        if header != 0 {
            return self.found;
        }
        let none = self.lost(at + 1);
        self.asm.len();
        self.asm.branch(When::Below(8), none);
        none
    }

    fn vni(&mut self, header: u32) {
        if self.steering.tenant == TenantNumber::Vni {
            self.asm.word(header + 4);
            self.asm.with(Op::Right, 8);
            self.asm.store(scratch::TENANT);
        }
    }

    /// A GRE header at X, in a packet of level `at`.
    fn gre(&mut self, at: usize) {
        debug_assert!(at + 1 < LEVELS);
        let Some(Level { link, kind, .. }) = self.levels.get(at + 1).copied() else { return };
        self.enough(4, self.found);
        self.asm.half(2);
        self.asm.store(scratch::KIND);
        self.asm.half(0);
        // Version 1 is PPTP's; a routing field would have to be walked over, and no RFC defines the other flags.
        self.asm.branch(When::Has(0x407f), self.found);
        self.asm.store(scratch::KEPT);
        self.asm.skip(4);
        for flag in [0x8000, 0x2000, 0x1000, 0x0080] {
            let absent = self.asm.label();
            self.asm.recall(scratch::KEPT);
            self.asm.branch(When::HasNot(flag), absent);
            if flag == 0x2000 && self.steering.tenant == TenantNumber::Key {
                self.enough(4, self.found);
                self.asm.word(0);
                self.asm.store(scratch::TENANT);
            }
            self.asm.skip(4);
            self.asm.bind(absent);
        }
        let (erspan, third, more) = (self.asm.label(), self.asm.label(), self.asm.label());
        self.asm.recall(scratch::KIND);
        self.asm.branch(When::Is(u32::from(gre::protocol::ETHERNET)), link);
        self.asm.branch(When::Is(u32::from(gre::protocol::ERSPAN)), erspan);
        self.asm.branch(When::Is(u32::from(gre::protocol::ERSPAN3)), third);
        self.asm.jump(kind);
        self.asm.bind(erspan);
        // Type I has no header and no sequence number.
        self.asm.recall(scratch::KEPT);
        self.asm.branch(When::HasNot(0x1000), link);
        self.asm.skip(8);
        self.asm.jump(link);
        self.asm.bind(third);
        self.enough(12, self.found);
        self.asm.byte(11);
        self.asm.branch(When::Has(1), more);
        self.asm.skip(12);
        self.asm.jump(link);
        self.asm.bind(more);
        self.asm.skip(20);
        self.asm.jump(link);
    }
}
