//! The protocol analysers, and the one place that knows all of them.
//!
//! To add a protocol: a folder with `mod.rs` (the state machine, [`Analyze`]), `parse.rs` (bytes to messages) and
//! `log.rs` (messages to records); a line in [`protocols!`]; its ports and signatures in `detect`.

mod announced;
pub mod content_line;
pub mod dce_rpc;
pub mod dns;
pub mod ftp;
pub mod http;
pub mod irc;
pub mod little;
pub mod mime;
pub mod pop3;
pub mod quic;
pub mod rdp;
pub mod recognise;
pub mod security;
pub mod smb;
pub mod smtp;
pub mod socks;
pub mod ssh;
pub mod ssl;
#[cfg(test)]
pub(crate) mod testing;
pub mod uri;
pub mod websocket;

use crate::context::{Context, Side};

/// A protocol analyser: sans-IO, one per connection and protocol.
///
/// Calls come in this order: any number of `data` and `gap`, for each side in stream order (UDP: one datagram a
/// call); at most one `end` for a side, after which that side has no more data; one `finish`, the last call.
pub trait Analyze {
    /// The next bytes that `side` sent.
    fn data(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]);

    /// `len` bytes that `side` sent were never seen.
    fn gap(&mut self, cx: &mut Context<'_>, side: Side, len: u64);

    /// `side` will send no more.
    fn end(&mut self, cx: &mut Context<'_>, side: Side);

    /// The connection is over: log what is not logged yet.
    fn finish(&mut self, cx: &mut Context<'_>);

    /// Whether the analyser still wants the payload of this connection. Once false it stays false, and stream
    /// reassembly may stop; only `finish` is called then.
    fn wants_payload(&self) -> bool {
        true
    }
}

macro_rules! protocols {
    ($($(#[doc = $doc:literal])+ $kind:ident($state:ty) = $name:literal / $service:literal;)+) => {
        /// A protocol that has an analyser.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum Kind {
            $($(#[doc = $doc])+ $kind,)+
        }

        /// An analyser of any protocol, on one connection.
        pub enum Instance {
            $($(#[doc = $doc])+ $kind(Box<$state>),)+
        }

        impl Kind {
            /// Every protocol.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)+];

            /// The analyser's name, as analyzer.log shows it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)+ }
            }

            /// The service's name, as conn.log shows it.
            pub const fn service(self) -> &'static str {
                match self { $(Self::$kind => $service,)+ }
            }

            /// A new analyser.
            pub fn instantiate(self) -> Instance {
                match self { $(Self::$kind => Instance::$kind(Box::default()),)+ }
            }
        }

        impl Instance {
            /// Which protocol.
            pub const fn kind(&self) -> Kind {
                match self { $(Self::$kind(_) => Kind::$kind,)+ }
            }
        }

        impl Analyze for Instance {
            fn data(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]) {
                match self { $(Self::$kind(a) => a.data(cx, side, bytes),)+ }
            }
            fn gap(&mut self, cx: &mut Context<'_>, side: Side, len: u64) {
                match self { $(Self::$kind(a) => a.gap(cx, side, len),)+ }
            }
            fn end(&mut self, cx: &mut Context<'_>, side: Side) {
                match self { $(Self::$kind(a) => a.end(cx, side),)+ }
            }
            fn finish(&mut self, cx: &mut Context<'_>) {
                match self { $(Self::$kind(a) => a.finish(cx),)+ }
            }
            fn wants_payload(&self) -> bool {
                match self { $(Self::$kind(a) => a.wants_payload(),)+ }
            }
        }
    };
}

protocols! {
    /// DNS over UDP and TCP, mDNS, LLMNR, NetBIOS name service.
    Dns(dns::Dns) = "DNS" / "dns";
    /// HTTP/1.x.
    Http(http::Http) = "HTTP" / "http";
    /// TLS and SSL over TCP.
    Ssl(ssl::Ssl) = "SSL" / "ssl";
    /// DTLS over UDP.
    Dtls(ssl::Dtls) = "DTLS" / "dtls";
    /// QUIC.
    Quic(quic::Quic) = "QUIC" / "quic";
    /// SSH.
    Ssh(ssh::Ssh) = "SSH" / "ssh";
    /// FTP, its control connection.
    Ftp(ftp::Ftp) = "FTP" / "ftp";
    /// FTP, a connection for data.
    FtpData(ftp::FtpData) = "FTP_DATA" / "ftp-data";
    /// SMTP.
    Smtp(smtp::Smtp) = "SMTP" / "smtp";
    /// POP3.
    Pop3(pop3::Pop3) = "POP3" / "pop3";
    /// RDP over TCP.
    Rdp(rdp::Rdp) = "RDP" / "rdp";
    /// DHCP.
    Dhcp(recognise::Datagrams<recognise::Dhcp>) = "DHCP" / "dhcp";
    /// NTP.
    Ntp(recognise::Datagrams<recognise::Ntp>) = "NTP" / "ntp";
    /// SNMP.
    Snmp(recognise::Datagrams<recognise::Snmp>) = "SNMP" / "snmp";
    /// RADIUS.
    Radius(recognise::Datagrams<recognise::Radius>) = "RADIUS" / "radius";
    /// Syslog over UDP.
    Syslog(recognise::Datagrams<recognise::Syslog>) = "SYSLOG" / "syslog";
    /// SIP over UDP.
    Sip(recognise::Datagrams<recognise::Sip>) = "SIP" / "sip";
    /// Kerberos over UDP.
    Kerberos(recognise::Datagrams<recognise::Kerberos>) = "KRB" / "krb";
    /// Kerberos over TCP.
    KerberosTcp(recognise::Framed<recognise::KerberosTcp>) = "KRB_TCP" / "krb_tcp";
    /// LDAP over TCP.
    LdapTcp(recognise::Framed<recognise::LdapTcp>) = "LDAP_TCP" / "ldap_tcp";
    /// MySQL.
    MySql(recognise::Framed<recognise::MySql>) = "MYSQL" / "mysql";
    /// PostgreSQL.
    Postgresql(recognise::Framed<recognise::Postgresql>) = "POSTGRESQL" / "postgresql";
    /// Redis.
    Redis(recognise::Framed<recognise::Redis>) = "REDIS" / "redis";
    /// Modbus.
    Modbus(recognise::Framed<recognise::Modbus>) = "MODBUS" / "modbus";
    /// DNP3 over TCP.
    Dnp3Tcp(recognise::Framed<recognise::Dnp3Tcp>) = "DNP3_TCP" / "dnp3_tcp";
    /// DNP3 over UDP.
    Dnp3Udp(recognise::Datagrams<recognise::Dnp3Udp>) = "DNP3_UDP" / "dnp3_udp";
    /// MQTT.
    Mqtt(recognise::Framed<recognise::Mqtt>) = "MQTT" / "mqtt";
    /// RFB (VNC).
    Rfb(recognise::Framed<recognise::Rfb>) = "RFB" / "rfb";
    /// Finger.
    Finger(recognise::Framed<recognise::Finger>) = "FINGER" / "finger";
    /// SMB 1 to 3.
    Smb(smb::Smb) = "SMB" / "smb";
    /// DCE-RPC.
    DceRpc(dce_rpc::DceRpc) = "DCE_RPC" / "dce_rpc";
    /// IRC.
    Irc(irc::Irc) = "IRC" / "irc";
    /// IRC, a connection for a file.
    IrcData(irc::IrcData) = "IRC_DATA" / "irc-dcc-data";
    /// SOCKS 4 and 5.
    Socks(socks::Socks) = "SOCKS" / "socks";
    /// IMAP.
    Imap(recognise::Framed<recognise::Imap>) = "IMAP" / "imap";
    /// XMPP.
    Xmpp(recognise::Framed<recognise::Xmpp>) = "XMPP" / "xmpp";
    /// LDAP over UDP.
    LdapUdp(recognise::Datagrams<recognise::LdapUdp>) = "LDAP_UDP" / "ldap_udp";
    /// RDP over UDP.
    RdpUdp(recognise::Datagrams<recognise::RdpUdp>) = "RDPEUDP" / "rdpeudp";
    /// WebSocket.
    WebSocket(websocket::WebSocket) = "WEBSOCKET" / "websocket";
}
