//! Made-up frames for the test of the split: both directions of flows, plain and in tunnels. Each ends in the number of its
//! flow, by which it is known again.

use weir_wire::tcp;

/// What is around a flow.
pub const SURROUNDINGS: [&str; 6] = ["plain", "VLAN", "VXLAN", "GENEVE", "GRE", "IP in IP"];

/// Hosts of the outer packet: always the same two, so that only what is inside tells flows apart.
const OUTER: [[u8; 4]; 2] = [[192, 0, 2, 1], [192, 0, 2, 2]];
const IPV4: [u8; 2] = [0x08, 0];
/// A port from which tunnels are sent.
const TUNNEL_FROM: u16 = 50_000;

/// The frame of flow `number`, back or forth, in one of [`SURROUNDINGS`].
pub fn frame(surrounding: usize, number: u16, back: bool) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    let (client, server) = (([10, 7, high, low], 40_000), ([10, 8, 0, 1], 443));
    let (from, to) = if back { (server, client) } else { (client, server) };
    let inner = ip(6, from.0, to.0, &segment(from.1, to.1, number));
    let inside = ethernet(&inner);
    let outer = |protocol, payload: &[u8]| ethernet(&ip(protocol, OUTER[0], OUTER[1], payload));
    match surrounding {
        0 => inside,
        1 => {
            let (addresses, rest) = inside.split_at(12);
            [addresses, &[0x81, 0, 0, 7], rest].concat()
        }
        2 => outer(17, &datagram(4789, &[&[8, 0, 0, 0, 0, 0, 7, 0], inside.as_slice()].concat())),
        3 => outer(17, &datagram(6081, &[&[0, 0, 0x65, 0x58, 0, 0, 7, 0], inside.as_slice()].concat())),
        4 => outer(47, &[&[0, 0, 0x65, 0x58], inside.as_slice()].concat()),
        _ => outer(4, &inner),
    }
}

/// The number of the flow of a frame of ours.
pub fn number(frame: &[u8]) -> Option<u16> {
    let (_, mark) = frame.split_last_chunk::<6>()?;
    let [b'w', b'e', b'i', b'r', high, low] = mark else { return None };
    Some(u16::from_be_bytes([*high, *low]))
}

fn ethernet(packet: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2], IPV4.as_slice(), packet].concat()
}

/// Checksums stay 0: nobody who splits looks at them.
fn ip(protocol: u8, from: [u8; 4], to: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let [high, low] = (payload.len() as u16 + 20).to_be_bytes();
    let head = [0x45, 0, high, low, 0, 9, 0, 0, 64, protocol, 0, 0];
    [head.as_slice(), &from, &to, payload].concat()
}

fn datagram(port: u16, payload: &[u8]) -> Vec<u8> {
    let len = payload.len() as u16 + 8;
    let head = [TUNNEL_FROM.to_be_bytes(), port.to_be_bytes(), len.to_be_bytes(), [0; 2]].concat();
    [head.as_slice(), payload].concat()
}

fn segment(from: u16, to: u16, number: u16) -> Vec<u8> {
    let offset_and_flags = [(tcp::MIN_LEN as u8 / 4) << 4, 0x10, 1, 0, 0, 0, 0, 0];
    let ports = [from.to_be_bytes(), to.to_be_bytes()].concat();
    [ports.as_slice(), &[0; 8], &offset_and_flags, b"weir", &number.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_decap::{Config, Decap, Output};
    use weir_wire::{Frame, LinkType, Offload, Role, Time, UidKey};

    #[test]
    fn decap_finds_the_same_flow_in_all_surroundings_and_both_directions() {
        for (surrounding, name) in SURROUNDINGS.iter().enumerate() {
            let keys = [false, true].map(|back| {
                let data = frame(surrounding, 513, back);
                assert_eq!(number(&data), Some(513));
                let frame = Frame {
                    time: Time(0),
                    sequence: 1,
                    tap: 0,
                    link: LinkType::ETHERNET,
                    wire_len: data.len() as u32,
                    data: &data,
                    offload: Offload::default(),
                };
                let mut out = Output::default();
                Decap::new(Config::default(), UidKey::default()).frame(&frame, &mut out);
                let innermost =
                    out.packets.iter().find(|packet| packet.head.role == Role::Innermost).unwrap();
                innermost.head.key
            });
            assert_eq!(keys[0], keys[1], "{name}");
            assert_eq!(keys[0].lower.to_string(), "10.7.2.1");
        }
    }
}
