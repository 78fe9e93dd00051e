//! TLS that begins in the middle of a connection, after both sides agreed on it in the clear (STARTTLS).
//!
//! The protocols that do so have no analysers of their own here. But a client waits for the answer before it begins with
//! TLS, so its ClientHello stands at the beginning of a piece of the stream, and those eleven bytes are not to be
//! mistaken. Only the ports of these protocols are watched, for a while; and where a client asks as PostgreSQL's do.
//! Source: RFC 3207, 2595, 6120, 4513; Zeek's analysers of SMTP, POP3, IMAP, XMPP, LDAP, IRC, FTP, MySQL, RDP, PostgreSQL.

use super::signature;

/// Most pieces from the client that are looked at.
const MAX_PIECES: u8 = 64;
/// A client of PostgreSQL asks for TLS with its first bytes.
const POSTGRESQL: &[u8] = &[0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f];

/// The watch over one connection.
#[derive(Clone, Copy)]
pub struct Upgrade {
    pieces_left: u8,
}

impl Upgrade {
    const NEW: Self = Self { pieces_left: MAX_PIECES };

    /// A watch where `port` calls for one.
    pub const fn at_port(port: u16) -> Option<Self> {
        match port {
            21
            | 25
            | 110
            | 143
            | 389
            | 587
            | 1434
            | 3268
            | 3306
            | 3389
            | 5222
            | 5269
            | 5432
            | 6666..=6669 => Some(Self::NEW),
            _ => None,
        }
    }

    /// A watch where the client's bytes call for one.
    pub fn asked_for(bytes: &[u8]) -> Option<Self> {
        (bytes == POSTGRESQL).then_some(Self::NEW)
    }

    /// Whether TLS begins with this piece from the client; `None`: no more is to be looked at.
    pub fn look(&mut self, bytes: &[u8]) -> Option<bool> {
        if signature::is_tls_client(bytes) {
            return Some(true);
        }
        self.pieces_left = self.pieces_left.checked_sub(1)?;
        Some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_some_ports_are_watched() {
        assert!(Upgrade::at_port(25).is_some());
        assert!(Upgrade::at_port(80).is_none());
        assert!(Upgrade::asked_for(POSTGRESQL).is_some());
        assert!(Upgrade::asked_for(b"EHLO a\r\n").is_none());
    }

    #[test]
    fn a_watch_ends() {
        let mut watch = Upgrade::NEW;
        for _ in 0..MAX_PIECES {
            assert_eq!(watch.look(b"EHLO a\r\n"), Some(false));
        }
        assert_eq!(watch.look(b"EHLO a\r\n"), None);
    }
}
