//! TLS that begins in the middle of a connection, after both sides agreed on it in the clear (STARTTLS).
//!
//! The protocols that do so have no analysers of their own here. But a client waits for the answer before it begins with
//! TLS, so its ClientHello stands at the beginning of a piece of the stream, and those eleven bytes are not to be
//! mistaken. Only the ports of these protocols are watched, for a while.
//! Source: RFC 2595, 6120; Zeek's analysers of IMAP, XMPP, IRC.

use super::signature;

/// Most pieces from the client that are looked at.
const MAX_PIECES: u8 = 64;

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
            143 | 5222 | 5269 | 6666..=6669 => Some(Self::NEW),
            _ => None,
        }
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
        assert!(Upgrade::at_port(143).is_some());
        assert!(Upgrade::at_port(80).is_none());
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
