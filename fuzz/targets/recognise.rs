//! Any bytes, gaps and ends as a connection of one of the protocols of which only is told that they are spoken.
#![no_main]

use weir_analyse::Transport::{Tcp, Udp};
use weir_analyse::protocol::Kind;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (first, data) = data.split_first().unwrap_or((&0, data));
    let kinds = [
        (Kind::Dhcp, Udp, 67),
        (Kind::Ntp, Udp, 123),
        (Kind::Snmp, Udp, 161),
        (Kind::Radius, Udp, 1812),
        (Kind::Syslog, Udp, 514),
        (Kind::Sip, Udp, 5060),
        (Kind::Kerberos, Udp, 88),
        (Kind::KerberosTcp, Tcp, 88),
        (Kind::LdapTcp, Tcp, 389),
        (Kind::MySql, Tcp, 3306),
        (Kind::Postgresql, Tcp, 5432),
        (Kind::Redis, Tcp, 6379),
        (Kind::Modbus, Tcp, 502),
        (Kind::Dnp3Tcp, Tcp, 20000),
        (Kind::Dnp3Udp, Udp, 20000),
        (Kind::Mqtt, Tcp, 1883),
        (Kind::Rfb, Tcp, 5900),
        (Kind::Finger, Tcp, 79),
        (Kind::Rdp, Tcp, 3389),
        (Kind::FtpData, Tcp, 5000),
        (Kind::Imap, Tcp, 143),
        (Kind::Xmpp, Tcp, 5222),
        (Kind::LdapUdp, Udp, 389),
        (Kind::RdpUdp, Udp, 3389),
        (Kind::WebSocket, Tcp, 80),
        (Kind::IrcData, Tcp, 5000),
    ];
    if let Some((kind, transport, port)) = kinds.get(usize::from(*first) % kinds.len()) {
        weir_fuzz::analyser::run(*kind, *transport, *port, data);
    }
});
