//! What is expected at which port of a responder: analysers to put in place, and the ports at which servers live.
//!
//! Source: the `ports` of each `scripts/base/protocols/*/main.zeek`, which also make up Zeek's `likely_server_ports`.

use crate::context::Transport;
use crate::protocol::Kind;

/// The analysers that connections to `port` get without a look at their bytes.
pub const fn expected(transport: Transport, port: u16) -> &'static [Kind] {
    match transport {
        Transport::Tcp => match port {
            22 => &[Kind::Ssh],
            53 => &[Kind::Dns],
            80 | 81 | 631 | 1080 | 3128 | 8000 | 8080 | 8888 => &[Kind::Http],
            443 | 563 | 585 | 614 | 636 | 989 | 990 | 992 | 993 | 995 | 5223 => &[Kind::Ssl],
            _ => &[],
        },
        Transport::Udp => match port {
            53 | 137 | 5353 | 5355 => &[Kind::Dns],
            443 => &[Kind::Dtls, Kind::Quic],
            784 | 853 => &[Kind::Quic],
            _ => &[],
        },
        Transport::Icmp | Transport::Unknown => &[],
    }
}

/// Whether a server is likely at `port`, so that who talks from there is taken for the responder.
///
/// All ports that Zeek registers, also those of protocols that have no analyser here.
pub const fn is_likely_server_port(transport: Transport, port: u16) -> bool {
    if !expected(transport, port).is_empty() {
        return true;
    }
    match transport {
        // FTP, SMTP, finger, Kerberos, POP3, DCE-RPC, NetBIOS, IMAP, LDAP, SMB, Modbus, MySQL, MQTT, RDP, XMPP, PostgreSQL,
        // Redis, IRC, DNP3.
        Transport::Tcp => matches!(
            port,
            21 | 25
                | 79
                | 88
                | 110
                | 135
                | 139
                | 143
                | 389
                | 445
                | 502
                | 587
                | 1434
                | 1883
                | 2811
                | 3268
                | 3306
                | 3389
                | 5222
                | 5269
                | 5432
                | 6379
                | 6666..=6669 | 20000
        ),
        // DHCP (the server's), Kerberos, NTP, SNMP, LDAP, syslog, RADIUS, GTP, RDP, Teredo, VXLAN, SIP, AYIYA, Geneve, DNP3.
        Transport::Udp => matches!(
            port,
            67 | 88
                | 123
                | 161
                | 162
                | 389
                | 514
                | 1812
                | 2123
                | 2152
                | 3389
                | 3544
                | 4789
                | 5060
                | 5072
                | 6081
                | 20000
        ),
        Transport::Icmp | Transport::Unknown => false,
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
