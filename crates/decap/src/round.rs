//! One round of the walk: from a first header to a packet, or to a datagram in which another round begins.

use weir_ledger::{Account, Reason};
use weir_wire::flow::protocol;
use weir_wire::{Head, Role};

use crate::fragment::Fragments;
use crate::ip::{self, IpPacket};
use crate::key;
use crate::link::{self, WirelessParts};
use crate::tunnel::{self, Tunnels};
use crate::walk::{Layer, Step, Walk};

/// How a round ends.
pub(crate) enum End {
    /// With a datagram put together, in which the walk goes on.
    Joined(Box<[u8]>),
    /// With the frame; what it still stands for in the ledger is dropped for the reason.
    Dropped(Reason),
    /// With the frame, which stands for nothing any more.
    Settled,
}

/// What a round needs beside the walk itself.
pub(crate) struct Round<'d> {
    /// Datagrams that wait.
    pub fragments: &'d mut Fragments,
    /// Tunnels seen.
    pub tunnels: &'d mut Tunnels,
    /// The ledger.
    pub account: &'d mut Account,
}

impl Round<'_> {
    /// From header to header, until the frame ends or a datagram is complete. Every turn of the loop takes a header off
    /// the bytes or a part off an aggregated frame, and headers are counted.
    pub fn run<'a>(
        &mut self,
        walk: &mut Walk<'_>,
        layer: Layer,
        bytes: &'a [u8],
        emit: &mut impl FnMut(Head, &'a [u8]),
    ) -> End {
        let mut step = Step::Next(layer, bytes);
        let mut parts = WirelessParts::default();
        let mut before = layer;
        loop {
            step = match step {
                Step::Next(layer, bytes) if walk.layers < walk.config.max_depth => {
                    walk.layers += 1;
                    before = layer;
                    if layer == Layer::Ethernet {
                        walk.ethernet_at = bytes.as_ptr().addr();
                    }
                    if layer == Layer::Ip {
                        match ip::parse(walk, self.fragments, bytes) {
                            Ok(packet) => self.transport(walk, &packet, emit),
                            Err(step) => step,
                        }
                    } else if layer == Layer::WirelessParts {
                        parts = WirelessParts::new(walk, bytes);
                        parts.next(walk).unwrap_or(Step::Drop(Reason::WirelessNotData))
                    } else {
                        link::step(walk, layer, bytes)
                    }
                }
                Step::Next(..) => {
                    walk.refuse("max_packet_analyzer_depth_exceeded", before.source(), Reason::TooDeep)
                }
                Step::Joined(bytes, held) => {
                    self.account.release(held);
                    walk.enter_joined(held);
                    return End::Joined(bytes);
                }
                Step::Held => {
                    let held = walk.take_credit();
                    self.account.hold(held);
                    Step::Done
                }
                Step::Done => match parts.next(walk) {
                    Some(next) => next,
                    None => return End::Settled,
                },
                Step::Drop(reason) => match parts.next_after(walk, reason) {
                    Some(next) => next,
                    None => return End::Dropped(reason),
                },
            };
        }
    }

    /// An IP packet: hands it over, or goes on in the tunnel that it carries.
    fn transport<'a>(
        &mut self,
        walk: &mut Walk<'_>,
        packet: &IpPacket<'a>,
        emit: &mut impl FnMut(Head, &'a [u8]),
    ) -> Step<'a> {
        if tunnel::is_over_ip(packet.protocol) {
            return self.tunnels.over_ip(walk, packet);
        }
        let mut head = match key::head(walk, packet) {
            Ok(head) => head,
            Err(reason) => return Step::Drop(reason),
        };
        if walk.depth > 0 {
            self.tunnels.register(walk);
        }
        if packet.protocol == protocol::UDP
            && let Some(inner) = self.tunnels.over_udp(walk, &head, packet)
        {
            head.role = Role::Carrier(inner.kind);
            emit(head, packet.data);
            return inner.step;
        }
        let credit = walk.take_credit();
        self.account.pass(credit);
        head.frames = credit.frames as u32;
        head.frame_bytes = credit.bytes;
        emit(head, packet.data);
        Step::Done
    }
}

#[cfg(test)]
mod tests {
    use weir_wire::{Frame, LinkType, Offload, Role, Time, UidKey};

    use crate::testing::{ethernet, packet, udp, v4, v4_fragment};
    use crate::{Config, Decap, Output};

    /// What [`weir_wire::Packet::ethernet`] says of the innermost packet of the last frame.
    fn innermost(frames: &[Vec<u8>]) -> Option<Vec<u8>> {
        let mut decap = Decap::new(Config::default(), UidKey::default());
        let mut last = None;
        for data in frames {
            let (link, wire_len) = (LinkType::ETHERNET, data.len() as u32);
            let frame = Frame {
                time: Time(1),
                tap: 0,
                sequence: 0,
                link,
                wire_len,
                offload: Offload::default(),
                data,
            };
            let mut out = Output::default();
            decap.frame(&frame, &mut out);
            let packet = out.packets.iter().find(|packet| packet.head.role == Role::Innermost);
            last = packet.and_then(|packet| packet.ethernet(data)).map(<[u8]>::to_vec);
        }
        last
    }

    #[test]
    fn the_innermost_ethernet_header_is_found_with_its_tags_and_without_padding() {
        let tagged = [&ethernet(0x8100, &[0, 9, 8, 0])[..], &packet()].concat();
        assert_eq!(innermost(&[[&tagged[..], &[0; 6]].concat()]).unwrap(), tagged);
        let vxlan = [&[8, 0, 0, 0, 0, 0, 7, 0][..], &tagged].concat();
        let mut carrier = udp(&vxlan);
        carrier[2..4].copy_from_slice(&4789u16.to_be_bytes());
        assert_eq!(innermost(&[ethernet(0x0800, &v4(17, &carrier))]).unwrap(), tagged);
    }

    #[test]
    fn ip_in_a_tunnel_has_no_ethernet_header_nor_has_what_was_put_together() {
        let gre = [&[0, 0, 8, 0][..], &packet()].concat();
        assert_eq!(innermost(&[ethernet(0x0800, &v4(47, &gre))]), None);
        let whole = udp(&[b'x'; 24]);
        let fragments = [(&whole[..16], 0, 0x2000), (&whole[16..], 2, 0)];
        let frames =
            fragments.map(|(part, units, flags)| ethernet(0x0800, &v4_fragment(17, part, units, flags)));
        assert_eq!(innermost(&frames), None);
    }
}
