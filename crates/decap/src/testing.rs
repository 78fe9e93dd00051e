//! What the unit tests of this crate share.

use weir_ledger::{Account, Reason};
use weir_record::Entry;
use weir_wire::{Frame, LinkType, Offload, Packet, Time, UidKey};

use crate::{Config, Decap, Output};

/// What a walk gave.
pub(crate) struct Found {
    /// For each packet, its bytes from the IP header on.
    pub packets: Vec<Packet<'static>>,
    /// `NAME`, or `NAME(ADDL)`, and ` SOURCE`, and ` SOURCE_ADDRESS>DESTINATION_ADDRESS`, as far as each is there.
    pub weirds: Vec<String>,
    /// `TIME ORIGINATOR>RESPONDER TYPE ACTION` of each tunnel's record.
    pub tunnels: Vec<String>,
    /// The ledger.
    pub account: Account,
}

impl Found {
    /// How many frames ended for `reason`.
    pub fn dropped(&self, reason: Reason) -> u64 {
        self.account.dropped(reason).frames
    }

    fn take(&mut self, out: &mut Output<'_>) {
        for ordered in out.entries.drain() {
            if let Entry::Tunnel(tunnel) = &ordered.entry {
                let (id, kind, action) = (tunnel.id, tunnel.tunnel_type.0, tunnel.action.0);
                let ends = format!("{}:{}>{}:{}", id.orig_h, id.orig_p, id.resp_h, id.resp_p);
                self.tunnels.push(format!("{} {ends} {kind} {action}", tunnel.ts));
            }
            self.weirds.extend(shown(&ordered.entry));
        }
    }

    /// The bytes of the only packet.
    pub fn only(&self) -> &[u8] {
        assert_eq!(self.packets.len(), 1, "{:?} {:?}", self.weirds, self.account);
        self.packets[0].data.bytes()
    }
}

/// Walks `frames`, a second between each, all of `link` and captured in full.
pub(crate) fn walk_all(config: Config, link: LinkType, frames: &[Vec<u8>]) -> Found {
    let frames: Vec<_> = frames.iter().map(|f| (f.clone(), f.len() as u32)).collect();
    walk_cut(config, link, &frames)
}

/// Walks one frame of `link`.
pub(crate) fn walk(link: LinkType, frame: &[u8]) -> Found {
    walk_all(Config::default(), link, &[frame.to_vec()])
}

/// Walks frames with their lengths on the wire.
pub(crate) fn walk_cut(config: Config, link: LinkType, frames: &[(Vec<u8>, u32)]) -> Found {
    let mut decap = Decap::new(config, UidKey::default());
    let mut found =
        Found { packets: Vec::new(), weirds: Vec::new(), tunnels: Vec::new(), account: Account::default() };
    for (i, (data, wire_len)) in frames.iter().enumerate() {
        // The packets of a test live as long as the test run; that keeps lifetimes out of the tests.
        let data: &'static [u8] = data.clone().leak();
        let time = Time::from_parts(i as i64, 0);
        let frame = Frame {
            time,
            tap: 3,
            sequence: i as u64,
            link,
            wire_len: *wire_len,
            offload: Offload::default(),
            data,
        };
        let mut out = Output::default();
        decap.frame(&frame, &mut out);
        assert!(decap.account().balances());
        found.packets.append(&mut out.packets);
        found.take(&mut out);
    }
    // What waits at the end is held, not dropped, in the account that the tests see.
    found.account = decap.account().clone();
    let mut out = Output::default();
    decap.finish(&mut out);
    found.take(&mut out);
    found
}

fn shown(entry: &Entry) -> Option<String> {
    let Entry::Weird(weird) = entry else { return None };
    let text = |t: &weir_record::Text| String::from_utf8_lossy(t.as_bytes()).into_owned();
    let addl = weird.addl.as_ref().map(|t| format!("({})", text(t)));
    let source = weird.source.as_ref().map(|t| format!(" {}", text(t)));
    let hosts = weird.orig_h.zip(weird.resp_h).map(|(a, b)| format!(" {a}>{b}"));
    let rest = [addl, source, hosts].into_iter().flatten();
    Some(rest.fold(text(&weird.name), |all, part| all + &part))
}

/// An IPv4 packet of `protocol` from 10.0.0.1 to 10.0.0.2.
pub(crate) fn v4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    v4_fragment(protocol, payload, 0, 0)
}

/// The same with the field of flags and fragment offset as given; the identification is 9.
pub(crate) fn v4_fragment(protocol: u8, payload: &[u8], units: u16, flags: u16) -> Vec<u8> {
    let [a, b] = (20 + payload.len() as u16).to_be_bytes();
    let [f, g] = (flags | units).to_be_bytes();
    let mut packet = vec![0x45, 0, a, b, 0, 9, f, g, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    let sum = weir_wire::checksum::internet_checksum(&packet).to_be_bytes();
    packet[10..12].copy_from_slice(&sum);
    packet.extend(payload);
    packet
}

/// An IPv6 packet from fd00::1 to fd00::2 whose headers behind the first are part of `payload`.
pub(crate) fn v6(next: u8, payload: &[u8]) -> Vec<u8> {
    let [a, b] = (payload.len() as u16).to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, a, b, next, 63];
    for last in 1..=2 {
        packet.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    packet.extend(payload);
    packet
}

/// A UDP datagram from port 1000 to 2000 without checksum.
pub(crate) fn udp(payload: &[u8]) -> Vec<u8> {
    let [a, b] = (8 + payload.len() as u16).to_be_bytes();
    [&[0x03, 0xe8, 0x07, 0xd0, a, b, 0, 0], payload].concat()
}

/// A whole small IPv4 packet.
pub(crate) fn packet() -> Vec<u8> {
    v4(17, &udp(b"hello"))
}

/// `payload` behind Ethernet addresses and `kind`.
pub(crate) fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    frame.extend(kind.to_be_bytes());
    frame.extend(payload);
    frame
}
