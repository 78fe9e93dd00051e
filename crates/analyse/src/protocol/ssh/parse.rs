//! What SSH says in the clear: version lines, negotiation, host keys, and when encryption begins.
//!
//! Formats: RFC 4253, 4.2 (versions), 6 (packets), 7.1 (SSH_MSG_KEXINIT), 8 (Diffie-Hellman); RFC 4419 (group exchange),
//! RFC 5656 (elliptic curves), RFC 4462 (GSS); SSH 1.5: draft-ylonen-ssh-protocol-00. A hybrid key exchange with a
//! post-quantum part has the messages of the elliptic curves.

use smallvec::SmallVec;
use weir_wire::{Cursor, Malformed};

/// Most bytes of a packet in the clear that is read (OpenSSH: PACKET_MAX_SIZE; RFC 4253 asks for 35,000).
pub const MAX_PACKET: usize = 256 * 1024;

/// The length of a packet from which on it is weird (Zeek: SSH::max_packet_length).
pub const WEIRD_PACKET: usize = 8 << 20;

/// The length of a string from which on it is weird (Zeek: SSH::max_string_length).
pub const WEIRD_STRING: u32 = 2 << 20;

/// Most names of a list that count. OpenSSH offers some 20; negotiation compares each with each, so 128 × 128 at most.
pub const MAX_NAMES: usize = 128;

/// Numbers of the messages that are told apart.
pub mod message {
    /// SSH 2: the algorithms that one side can do.
    pub const KEXINIT: u8 = 20;
    /// SSH 2: everything after this is encrypted.
    pub const NEWKEYS: u8 = 21;
    /// SSH 2: the server's part of a plain or elliptic Diffie-Hellman; the group, where groups are exchanged.
    pub const KEX_REPLY: u8 = 31;
    /// SSH 2: the server's part, where groups are exchanged.
    pub const KEX_GEX_REPLY: u8 = 33;
    /// SSH 2: the host key, where GSS authenticates the exchange.
    pub const KEX_GSS_HOSTKEY: u8 = 35;
    /// SSH 1: the server's keys.
    pub const V1_PUBLIC_KEY: u8 = 2;
    /// SSH 1: the client's session key; everything after this is encrypted.
    pub const V1_SESSION_KEY: u8 = 3;
}

/// The version that a side offers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Offer {
    /// 1.x.
    One,
    /// 2.x.
    Two,
    /// 1.99: either.
    Either,
}

impl Offer {
    /// From a version line (`SSH-2.0-OpenSSH_9.9`), by its position, as Zeek does; `None` where it names no version.
    pub fn from_line(line: &[u8]) -> Option<Self> {
        match line.get(4)? {
            b'2' => Some(Self::Two),
            b'1' if line.get(6..8) == Some(b"99") => Some(Self::Either),
            b'1' => Some(Self::One),
            _ => None,
        }
    }
}

/// The version that both sides speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// SSH 1.
    One,
    /// SSH 2.
    Two,
}

impl Version {
    /// What two offers come to (RFC 4253, 5); `None` where they have nothing in common.
    pub const fn agreed(client: Offer, server: Offer) -> Option<Self> {
        match (client, server) {
            (Offer::One, Offer::Two) | (Offer::Two, Offer::One) => None,
            (Offer::One, _) | (_, Offer::One) => Some(Self::One),
            _ => Some(Self::Two),
        }
    }
}

/// The first line of `bytes`, without its end, and how many bytes it takes with it; `None` until it is complete.
pub fn line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let at = bytes.iter().position(|b| matches!(b, b'\r' | b'\n'))?;
    let (line, rest) = bytes.split_at_checked(at)?;
    let end = if rest.starts_with(b"\r\n") { 2 } else { 1 };
    Some((line, at + end))
}

/// A packet in the clear.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet<'a> {
    /// The message's number.
    pub message: u8,
    /// What follows the number, without padding.
    pub payload: &'a [u8],
    /// How many bytes the packet takes.
    pub len: usize,
}

/// Why there is no packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// It is longer than what is read, by what it says.
    TooLong(usize),
    /// It cannot be one.
    Malformed,
}

impl From<Malformed> for Refusal {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl<'a> Packet<'a> {
    /// The packet at the beginning of `bytes`, or `None` until it is complete.
    ///
    /// # Errors
    /// A [`Refusal`] where it cannot be one, or is too long to be read.
    pub fn parse(version: Version, bytes: &'a [u8]) -> Result<Option<Self>, Refusal> {
        let mut c = Cursor::new(bytes);
        let Ok(claimed) = c.u32() else { return Ok(None) };
        let claimed = claimed as usize;
        if claimed > MAX_PACKET {
            return Err(Refusal::TooLong(claimed));
        }
        // SSH 1 counts message and checksum; padding to a multiple of eight comes before them.
        let padded = if version == Version::One { claimed + 8 - claimed % 8 } else { claimed };
        let Ok(mut body) = c.sub(padded) else { return Ok(None) };
        let payload = match version {
            Version::One => {
                body.skip(8 - claimed % 8)?;
                claimed.checked_sub(4)
            }
            Version::Two => {
                let padding = usize::from(body.u8()?);
                body.len().checked_sub(padding)
            }
        };
        let mut payload = body.sub(payload.ok_or(Malformed::Length)?)?;
        let message = payload.u8()?;
        Ok(Some(Self { message, payload: payload.rest(), len: 4 + padded }))
    }
}

/// A comma-separated list of names, first choice first. Empty names do not count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NameList<'a>(pub &'a [u8]);

impl<'a> NameList<'a> {
    /// The names.
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        self.0.split(|b| *b == b',').filter(|name| !name.is_empty()).take(MAX_NAMES)
    }

    /// The first of these names that `other` has too: what is agreed on if these are the client's.
    pub fn first_in(self, other: NameList<'_>) -> Option<&'a [u8]> {
        let known: SmallVec<[&[u8]; 32]> = other.iter().collect();
        self.iter().find(|name| known.contains(name))
    }
}

/// What one side can do (SSH_MSG_KEXINIT), most wanted first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KexInit<'a> {
    /// Key exchange.
    pub kex: NameList<'a>,
    /// Host keys.
    pub host_key: NameList<'a>,
    /// Ciphers: to the server, to the client.
    pub cipher: [NameList<'a>; 2],
    /// Message authentication: to the server, to the client.
    pub mac: [NameList<'a>; 2],
    /// Compression: to the server, to the client.
    pub compression: [NameList<'a>; 2],
}

impl<'a> KexInit<'a> {
    /// From the payload of a packet.
    ///
    /// # Errors
    /// [`Malformed`] where a list is not all there.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut c = Cursor::new(payload);
        // A cookie.
        c.skip(16)?;
        let mut list = || string(&mut c).map(NameList);
        Ok(Self {
            kex: list()?,
            host_key: list()?,
            cipher: [list()?, list()?],
            mac: [list()?, list()?],
            compression: [list()?, list()?],
        })
    }
}

fn string<'a>(c: &mut Cursor<'a>) -> Result<&'a [u8], Malformed> {
    let length = c.u32()?;
    c.take(length as usize)
}

/// The length of the first string of a negotiation that is weirdly long, by what it says.
pub fn weird_string(payload: &[u8]) -> Option<u32> {
    let mut c = Cursor::new(payload);
    c.skip(16).ok()?;
    for _ in 0..10 {
        let length = c.u32().ok()?;
        if length > WEIRD_STRING {
            return Some(length);
        }
        c.take(length as usize).ok()?;
    }
    None
}

/// How keys are exchanged, as far as the messages differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kex {
    /// Diffie-Hellman in a fixed group, elliptic curves, hybrids.
    DiffieHellman,
    /// Diffie-Hellman in a group that the server chooses.
    GroupExchange,
    /// Authenticated by GSS.
    Gss,
    /// The client's secret under a key of the server's.
    Rsa,
}

impl Kex {
    /// From its name; `None` where it is not known.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        const FAMILIES: [(&str, Kex); 11] = [
            ("diffie-hellman-group-exchange-", Kex::GroupExchange),
            ("diffie-hellman-group", Kex::DiffieHellman),
            ("ecdh-sha2-", Kex::DiffieHellman),
            ("ecmqv-sha2", Kex::DiffieHellman),
            ("curve25519-", Kex::DiffieHellman),
            ("curve448-", Kex::DiffieHellman),
            ("sntrup", Kex::DiffieHellman),
            ("mlkem", Kex::DiffieHellman),
            ("gss-", Kex::Gss),
            ("rsa1024-sha1", Kex::Rsa),
            ("rsa2048-sha256", Kex::Rsa),
        ];
        FAMILIES.iter().find(|(family, _)| name.starts_with(family.as_bytes())).map(|(_, kex)| *kex)
    }

    /// The host key, where `packet` brings it in this exchange.
    pub fn host_key<'a>(self, packet: &Packet<'a>) -> Option<&'a [u8]> {
        let brings = match self {
            Self::DiffieHellman => message::KEX_REPLY,
            Self::GroupExchange => message::KEX_GEX_REPLY,
            Self::Gss => message::KEX_GSS_HOSTKEY,
            Self::Rsa => return None,
        };
        (packet.message == brings).then(|| string(&mut Cursor::new(packet.payload)).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_agree_as_the_rfc_says() {
        let agreed = |client: &str, server: &str| {
            let offer = |line: &str| Offer::from_line(line.as_bytes()).unwrap();
            Version::agreed(offer(client), offer(server))
        };
        assert_eq!(agreed("SSH-2.0-a", "SSH-2.0-b"), Some(Version::Two));
        assert_eq!(agreed("SSH-1.99-a", "SSH-2.0-b"), Some(Version::Two));
        assert_eq!(agreed("SSH-1.99-a", "SSH-1.99-b"), Some(Version::Two));
        assert_eq!(agreed("SSH-1.5-a", "SSH-1.99-b"), Some(Version::One));
        assert_eq!(agreed("SSH-1.5-a", "SSH-2.0-b"), None);
        assert_eq!(Offer::from_line(b"SSH-x"), None);
        assert_eq!(Offer::from_line(b"SSH"), None);
    }

    #[test]
    fn a_line_ends_with_any_line_end() {
        assert_eq!(line(b"SSH-2.0-a\r\nrest"), Some((&b"SSH-2.0-a"[..], 11)));
        assert_eq!(line(b"SSH-2.0-a\nrest"), Some((&b"SSH-2.0-a"[..], 10)));
        assert_eq!(line(b"SSH-2.0-a"), None);
    }

    #[test]
    fn a_packet_of_either_version_is_opened() {
        let two = [0, 0, 0, 12, 10, 21, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 99];
        let packet = Packet { message: 21, payload: &[], len: 16 };
        assert_eq!(Packet::parse(Version::Two, &two), Ok(Some(packet)));
        assert_eq!(Packet::parse(Version::Two, &two[..15]), Ok(None));
        let one = [0, 0, 0, 7, 0, 3, 8, 9, 0xc, 0xc, 0xc, 0xc, 99];
        let packet = Packet { message: 3, payload: &[8, 9], len: 12 };
        assert_eq!(Packet::parse(Version::One, &one), Ok(Some(packet)));
        assert_eq!(Packet::parse(Version::Two, &[0xff; 16]), Err(Refusal::TooLong(0xffff_ffff)));
        assert_eq!(Packet::parse(Version::Two, &[0, 0, 0, 2, 9, 0]), Err(Refusal::Malformed));
    }

    #[test]
    fn the_first_name_of_the_client_that_the_server_knows_is_chosen() {
        let client = NameList(b",a,,b,c");
        assert_eq!(client.first_in(NameList(b"c,b")), Some(&b"b"[..]));
        assert_eq!(client.first_in(NameList(b"d")), None);
        assert_eq!(NameList(b"").iter().count(), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), one: bool) {
            let version = if one { Version::One } else { Version::Two };
            if let Ok(Some(packet)) = Packet::parse(version, &bytes) {
                prop_assert!(packet.len <= bytes.len());
                let _ = (KexInit::parse(packet.payload), Kex::GroupExchange.host_key(&packet));
            }
            let _ = (line(&bytes), KexInit::parse(&bytes), Offer::from_line(&bytes));
        }
    }
}
