//! The walk through one frame: a bounded loop from header to header.
//!
//! Each layer is a function that takes the bytes from its header on and answers a [`Step`]: which layer comes next and
//! where, or how the frame ends. Nothing recurses, so nesting costs no stack, and every layer counts against
//! [`Config::max_depth`].

use weir_ledger::{Count, Reason};
use weir_record::{Entries, Text, Vantage, Weird};
use weir_wire::tunnel::{GeneveHeader, Origin};
use weir_wire::{Address, ConnId, Frame, Interval, TenantId, Time, TunnelKind, Uid};

use crate::around::{Around, Known, Tunnelled};
use crate::carried::{Channel, Numbered, Session};
use crate::config::{Config, TenantBy};

/// Weirds of one frame that are reported at most. A fragment can overlap as many others as a datagram holds; a log that
/// tells of each name once per host loses nothing.
const MAX_WEIRDS: u8 = 32;

/// A tap's time that is further from ours is not believed: its clock is wrong, or it lies. Connections end by time.
const MAX_SKEW: Interval = Interval::from_secs(10);

/// A header that can come next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Layer {
    /// Ethernet, II or 802.3.
    Ethernet,
    /// A VLAN tag.
    Vlan,
    /// A VN-tag.
    VnTag,
    /// 802.1ah, provider backbone.
    Backbone,
    /// MPLS labels.
    Mpls,
    /// ARP or RARP.
    Arp,
    /// The payload of a frame with a length field: LLC, SNAP or Novell.
    Llc,
    /// PPP over Ethernet.
    PppOe,
    /// PPP in HDLC-like framing.
    PppSerial,
    /// PPP that begins with its protocol.
    PppRaw,
    /// 802.11.
    Wireless,
    /// The parts of an aggregated 802.11 frame.
    WirelessParts,
    /// LLC and SNAP as one part of an 802.11 frame.
    WirelessPart,
    /// Radiotap and then 802.11.
    Radiotap,
    /// Linux cooked capture v1.
    Cooked,
    /// Linux cooked capture v2.
    Cooked2,
    /// BSD loopback.
    Null,
    /// OpenBSD packet filter log.
    Pflog,
    /// FDDI.
    Fddi,
    /// Linux netfilter log.
    Nflog,
    /// IP of either version, by its version nibble.
    Ip,
}

/// What a layer answers.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// The next header is at the start of these bytes.
    Next(Layer, &'a [u8]),
    /// A datagram is complete: its bytes, IP header first, and what its other fragments stand for in the ledger.
    Joined(Box<[u8]>, Count),
    /// A packet was handed over.
    Done,
    /// The frame waits for others.
    Held,
    /// The frame ends here.
    Drop(Reason),
}

/// What is known on the way through one frame, and where its weirds go.
pub(crate) struct Walk<'c> {
    /// Bounds and habits.
    pub config: &'c Config,
    /// Where records go.
    pub entries: &'c mut Entries,
    /// The frame's time.
    pub time: Time,
    /// Its tap.
    pub tap: u16,
    /// Its number.
    pub sequence: u64,
    /// How many bytes there were on the wire behind the end of the bytes in work: cut off by the capture, or set aside
    /// as padding by a length field.
    pub beyond: usize,
    /// How many bytes of the frame the capture cut off.
    cut: usize,
    /// Headers passed so far.
    pub layers: u8,
    /// The outermost VLAN id, or 0.
    pub vlan: u16,
    /// The inner VLAN id, or 0.
    pub inner_vlan: u16,
    /// VLAN tags passed so far at this level of tunnels.
    pub tags: u8,
    /// The tenant, as far as the numbers passed so far tell.
    pub tenant: TenantId,
    /// Where in memory the innermost Ethernet header starts, to be compared with where the IP header does; 0: nowhere.
    pub ethernet_at: usize,
    /// How many tunnels are around the bytes in work.
    pub depth: u8,
    /// The innermost of them.
    pub tunnel: TunnelKind,
    /// The uid of its connection.
    pub parent: Uid,
    /// Whether the bytes in work were put together from fragments.
    pub reassembled: bool,
    /// Source and destination of the IP packet in work: whom a weird is about.
    pub hosts: Option<(Address, Address)>,
    /// The numbers passed so far, where somebody wants to know what they mean.
    around: Around,
    /// Who knows that.
    known: Option<&'c mut Known>,
    /// Whether whoever mirrored the frame may have cut its end off.
    pub is_mirrored: bool,
    /// What a tap of weir says of the frame in the tunnel that is about to be entered.
    pub origin: Option<Origin>,
    /// The number that the outermost tunnel gave the frame.
    pub numbered: Option<Numbered>,
    /// Weirds reported so far.
    weirds: u8,
    /// What the frame still stands for in the ledger: its first innermost packet takes it all.
    pub credit: Count,
}

impl<'c> Walk<'c> {
    /// At the start of `frame`.
    pub fn new(
        config: &'c Config,
        entries: &'c mut Entries,
        known: Option<&'c mut Known>,
        frame: &Frame<'_>,
    ) -> Self {
        let wire_len = (frame.wire_len as usize).max(frame.data.len());
        let mut walk = Self {
            config,
            entries,
            time: frame.time,
            tap: frame.tap,
            sequence: frame.sequence,
            beyond: wire_len - frame.data.len(),
            cut: wire_len - frame.data.len(),
            layers: 0,
            vlan: 0,
            inner_vlan: 0,
            tags: 0,
            tenant: TenantId::default(),
            ethernet_at: 0,
            depth: 0,
            tunnel: TunnelKind::None,
            parent: Uid::NONE,
            reassembled: false,
            hosts: None,
            around: Around { source: frame.tap, ..Around::default() },
            known,
            is_mirrored: false,
            origin: None,
            numbered: None,
            weirds: 0,
            credit: Count::one(wire_len as u64),
        };
        walk.surrounded_by(TenantBy::Tap, u32::from(frame.tap));
        walk.entries.vantage = Vantage::of(walk.tenant, walk.tap);
        walk
    }

    /// Finds out which tap saw the bytes in work and whose they are, by all numbers that are around them.
    #[inline]
    pub fn ask(&mut self) {
        let Some(known) = &mut self.known else { return };
        self.around.vlans = [self.vlan, self.inner_vlan];
        let named = known.named(&self.around);
        self.tap = named.tap;
        self.tenant = named.tenant.unwrap_or(self.tenant);
        self.entries.vantage = Vantage::of(self.tenant, self.tap);
    }

    /// The walk is about to enter a tunnel that is told apart by `channel`.
    pub fn surrounded(&mut self, channel: Option<Tunnelled>) {
        if self.known.is_some() {
            self.around.enter(self.depth, self.hosts.map(|(source, _)| source), channel);
        }
    }

    /// What a header of GENEVE says beside the network.
    pub fn said_by(&mut self, header: &GeneveHeader<'_>) {
        if let Some(origin) = Origin::find(header).filter(|_| self.depth == 0) {
            let channel = Channel::Tap { tap: origin.tap, start: u32::from(origin.epoch) };
            self.numbered_by(channel, origin.sequence);
            self.origin = Some(origin);
        }
        if self.known.is_some() {
            let balancer = header.balancer();
            self.around.endpoint = self.around.endpoint.or(balancer.endpoint);
            self.around.attachment = self.around.attachment.or(balancer.attachment);
        }
    }

    /// The walk has entered a tunnel in which there are `len` bytes of what `origin` tells of.
    pub fn seen_at(&mut self, origin: &Origin, len: usize) {
        self.cut_by((origin.wire_len as usize).saturating_sub(len));
        // Logs show microseconds, and so do captures, as a rule.
        let seen = Time(origin.time.0.div_euclid(1_000) * 1_000);
        if self.config.tap_times && seen.since(self.time).0.unsigned_abs() <= MAX_SKEW.0.unsigned_abs() {
            self.time = seen;
        }
    }

    /// There were `more` bytes behind those that are here, which whoever mirrored the frame cut off.
    pub fn cut_by(&mut self, more: usize) {
        self.beyond = self.beyond.saturating_add(more);
        self.cut = self.cut.saturating_add(more);
    }

    /// A number that may name the tenant was passed.
    pub fn surrounded_by(&mut self, what: TenantBy, number: u32) {
        if self.config.tenants.by == what {
            self.tenant = self.config.tenants.of(number);
        }
    }

    /// The tunnel that the walk is about to enter numbers its packets: it is what brought the frame here, if it is the outermost.
    pub fn numbered_by(&mut self, channel: Channel, number: u64) {
        if let (0, Some((source, destination))) = (self.depth, self.hosts) {
            let session = Session { source, destination, channel };
            self.numbered.get_or_insert(Numbered { session, number });
        }
    }

    /// The walk enters a tunnel: what follows has hosts and VLAN tags of its own, and what was set aside as padding outside
    /// is not behind it.
    pub fn enter_tunnel(&mut self, kind: TunnelKind, parent: Uid) {
        self.depth = self.depth.saturating_add(1);
        self.tunnel = kind;
        self.parent = parent;
        self.tags = 0;
        self.ethernet_at = 0;
        self.hosts = None;
        self.beyond = self.cut;
        self.is_mirrored = false;
    }

    /// Cuts `bytes` to `len`, if they are longer; what is cut off still counts as seen on the wire.
    pub fn trim<'a>(&mut self, bytes: &'a [u8], len: usize) -> &'a [u8] {
        match bytes.split_at_checked(len) {
            Some((kept, padding)) => {
                self.beyond = self.beyond.saturating_add(padding.len());
                kept
            }
            None => bytes,
        }
    }

    /// Reports what is wrong with the frame: about the hosts of the IP packet in work where there is one (Zeek's
    /// `flow_weird`), about nobody otherwise (`net_weird`).
    pub fn weird(&mut self, name: &'static str, addl: Option<Text>, source: Option<&'static str>) {
        if self.weirds >= MAX_WEIRDS {
            return;
        }
        self.weirds += 1;
        let id = self.hosts.map(|(orig_h, resp_h)| ConnId { orig_h, orig_p: 0, resp_h, resp_p: 0 });
        // Zeek's clock begins at one second.
        let time = self.time.max(Time::from_parts(1, 0));
        let mut weird = Weird::new(time, None, id, name, addl, source);
        if self.depth > 0 && source.is_some() {
            weird.name = Text::from(format!("{name}_in_tunnel"));
        }
        self.entries.push(weird);
    }

    /// Reports a weird and ends the frame for `reason`.
    pub fn refuse<'a>(&mut self, name: &'static str, source: &'static str, reason: Reason) -> Step<'a> {
        self.weird(name, None, Some(source));
        Step::Drop(reason)
    }

    /// The walk goes on in a datagram put together, whose other fragments stand for `held` in the ledger.
    pub fn enter_joined(&mut self, held: Count) {
        self.credit += held;
        self.beyond = 0;
        self.cut = 0;
        self.ethernet_at = 0;
        self.reassembled = true;
    }

    /// Takes what the frame stands for in the ledger; nothing is left afterwards.
    pub fn take_credit(&mut self) -> Count {
        std::mem::take(&mut self.credit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Tenants;
    use weir_record::Entry;
    use weir_wire::{LinkType, Offload};

    fn frame(data: &[u8], wire_len: u32) -> Frame<'_> {
        Frame {
            time: Time(7),
            tap: 3,
            sequence: 0,
            link: LinkType::RAW,
            wire_len,
            offload: Offload::default(),
            data,
        }
    }

    #[test]
    fn what_is_cut_off_still_counts_as_seen_on_the_wire() {
        let (config, mut entries) = (Config::default(), Entries::default());
        let mut walk = Walk::new(&config, &mut entries, None, &frame(&[1, 2, 3, 4, 5], 9));
        assert_eq!(walk.credit, Count::one(9));
        assert_eq!(walk.trim(&[3, 4, 5], 1), [3]);
        assert_eq!(walk.beyond, 4 + 2);
        assert_eq!(walk.trim(&[3, 4, 5], 8), [3, 4, 5]);
        walk.enter_tunnel(TunnelKind::Ip, Uid::NONE);
        assert_eq!(walk.beyond, 4);
    }

    #[test]
    fn a_wire_length_below_what_was_captured_is_not_believed() {
        let (config, mut entries) = (Config::default(), Entries::default());
        let walk = Walk::new(&config, &mut entries, None, &frame(&[0; 60], 0));
        assert_eq!((walk.beyond, walk.credit), (0, Count::one(60)));
    }

    #[test]
    fn a_frame_cannot_flood_the_log() {
        let (config, mut entries) = (Config::default(), Entries::default());
        let mut walk = Walk::new(&config, &mut entries, None, &frame(&[], 0));
        (0..1000).for_each(|_| walk.weird("fragment_overlap", None, None));
        assert_eq!(entries.len(), usize::from(MAX_WEIRDS));
    }

    #[test]
    fn only_the_configured_number_names_the_tenant() {
        let mut entries = Entries::default();
        let config =
            Config { tenants: Tenants { by: TenantBy::Vni, ..Tenants::default() }, ..Config::default() };
        let mut walk = Walk::new(&config, &mut entries, None, &frame(&[], 0));
        walk.surrounded_by(TenantBy::Vlan, 5);
        assert_eq!(walk.tenant, TenantId(0));
        walk.surrounded_by(TenantBy::Vni, 6);
        assert_eq!(walk.tenant, TenantId(6));
    }

    #[test]
    fn a_weird_of_an_analyser_tells_that_it_is_in_a_tunnel() {
        let (config, mut entries) = (Config::default(), Entries::default());
        let mut walk = Walk::new(&config, &mut entries, None, &frame(&[], 0));
        walk.enter_tunnel(TunnelKind::Vxlan, Uid::NONE);
        walk.weird("truncated_IP", None, Some("IP"));
        walk.weird("fragment_overlap", None, None);
        let names: Vec<_> = entries
            .drain()
            .filter_map(|e| if let Entry::Weird(w) = e.entry { Some(w.name) } else { None })
            .collect();
        assert_eq!(names, [Text::from("truncated_IP_in_tunnel"), Text::from("fragment_overlap")]);
    }
}
