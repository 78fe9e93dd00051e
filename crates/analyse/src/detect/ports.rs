//! What is expected at which port of a responder: analysers to put in place, and the ports at which servers live.
//!
//! Source: the `ports` of each `scripts/base/protocols/*/main.zeek`, which also make up Zeek's `likely_server_ports`.

use crate::context::Transport;
use crate::protocol::Kind;

/// The analysers that connections to `port` get without a look at their bytes.
pub const fn expected(transport: Transport, port: u16) -> &'static [Kind] {
    match transport {
        Transport::Tcp => match port {
            21 | 2811 => &[Kind::Ftp],
            22 => &[Kind::Ssh],
            25 | 587 => &[Kind::Smtp],
            53 => &[Kind::Dns],
            79 => &[Kind::Finger],
            1080 => &[Kind::Http, Kind::Socks],
            143 => &[Kind::Imap],
            5222 | 5269 => &[Kind::Xmpp],
            6666..=6669 => &[Kind::Irc],
            80 | 81 | 631 | 3128 | 8000 | 8080 | 8888 => &[Kind::Http],
            88 => &[Kind::KerberosTcp],
            110 => &[Kind::Pop3],
            135 => &[Kind::DceRpc],
            139 | 445 => &[Kind::Smb],
            389 | 3268 => &[Kind::LdapTcp],
            502 => &[Kind::Modbus],
            1434 | 3306 => &[Kind::MySql],
            1883 => &[Kind::Mqtt],
            3389 => &[Kind::Rdp],
            5432 => &[Kind::Postgresql],
            6379 => &[Kind::Redis],
            20000 => &[Kind::Dnp3Tcp],
            443 | 563 | 585 | 614 | 636 | 989 | 990 | 992 | 993 | 995 | 5223 => &[Kind::Ssl],
            _ => &[],
        },
        Transport::Udp => match port {
            53 | 137 | 5353 | 5355 => &[Kind::Dns],
            67 | 68 | 4011 => &[Kind::Dhcp],
            88 => &[Kind::Kerberos],
            123 => &[Kind::Ntp],
            161 | 162 => &[Kind::Snmp],
            389 => &[Kind::LdapUdp],
            3389 => &[Kind::RdpUdp],
            443 => &[Kind::Dtls, Kind::Quic],
            514 => &[Kind::Syslog],
            1812 => &[Kind::Radius],
            5060 => &[Kind::Sip],
            20000 => &[Kind::Dnp3Udp],
            784 | 853 => &[Kind::Quic],
            _ => &[],
        },
        Transport::Icmp | Transport::Unknown => &[],
    }
}

/// Whether a server is likely at `port`, so that who talks from there is taken for the responder.
///
/// Zeek registers these, also for protocols that have no analyser here.
pub const fn is_likely_server_port(transport: Transport, port: u16) -> bool {
    // DHCP's clients and proxies have ports of their own; QUIC's are not in Zeek's list.
    let is_server = !matches!((transport, port), (Transport::Udp, 68 | 784 | 853 | 4011));
    if is_server && !expected(transport, port).is_empty() {
        return true;
    }
    match transport {
        // GTP, Teredo, VXLAN, AYIYA, Geneve.
        Transport::Udp => matches!(port, 2123 | 2152 | 3544 | 4789 | 5072 | 6081),
        Transport::Tcp | Transport::Icmp | Transport::Unknown => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_means_something_only_with_its_transport() {
        assert_eq!(expected(Transport::Tcp, 53), [Kind::Dns]);
        assert_eq!(expected(Transport::Tcp, 5353), []);
        assert_eq!(expected(Transport::Udp, 443), [Kind::Dtls, Kind::Quic]);
        assert_eq!(expected(Transport::Udp, 22), []);
        assert_eq!(expected(Transport::Icmp, 80), []);
    }

    #[test]
    fn servers_are_likely_also_where_no_analyser_is() {
        assert!(is_likely_server_port(Transport::Tcp, 3306));
        assert!(is_likely_server_port(Transport::Tcp, 443));
        assert!(is_likely_server_port(Transport::Udp, 123));
        assert!(!is_likely_server_port(Transport::Udp, 3306));
        assert!(!is_likely_server_port(Transport::Tcp, 40000));
        assert!(!is_likely_server_port(Transport::Icmp, 123));
    }
}
