//! What the first packet of a connection tells: its transport, and who began it where the beginning was not seen.

use weir_wire::Packet;
use weir_wire::flow::protocol;
use weir_wire::tcp::TcpHeader;

use crate::context::Transport;
use crate::detect;

/// Whether the sender of a connection's first packet is the responder in truth, judged by ports (Zeek's
/// likely_server_ports).
pub fn begins_with_responder(
    transport: Transport,
    packet: &Packet<'_>,
    source: u16,
    destination: u16,
) -> bool {
    let likely = |port| detect::is_likely_server_port(transport, port);
    match transport {
        Transport::Tcp => {
            let Ok(flags) = TcpHeader::parse(packet.transport()).map(|h| h.flags()) else { return false };
            // Where both ports are a server's, a SYN,ACK that comes first is the state machine's matter.
            let lower = !flags.syn() && source < destination;
            (!flags.syn() || flags.ack()) && likely(source) && (!likely(destination) || lower)
        }
        Transport::Udp => likely(source) && !likely(destination) && !to_many(packet),
        Transport::Icmp | Transport::Unknown => false,
    }
}

/// Whether a packet goes to a group or to everyone: such a packet is never an answer.
fn to_many(packet: &Packet<'_>) -> bool {
    let (_, (destination, _)) = packet.head.key.endpoints(packet.head.direction);
    match destination.as_v4() {
        Some([first, rest @ ..]) => (224..240).contains(&first) || (first == 255 && rest == [255; 3]),
        None => destination.0.starts_with(&[0xff]),
    }
}

/// The transport of an IP protocol number.
pub fn transport_of(number: u8) -> Transport {
    match number {
        protocol::TCP => Transport::Tcp,
        protocol::UDP => Transport::Udp,
        protocol::ICMP | protocol::ICMPV6 => Transport::Icmp,
        _ => Transport::Unknown,
    }
}
