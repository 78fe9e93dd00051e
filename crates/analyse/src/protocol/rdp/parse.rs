//! Bytes to the few messages that matter, borrowed.

/// A message.
#[derive(Clone, Copy, Debug)]
pub enum Pdu<'a> {
    /// The server confirms the connection.
    Confirm {
        /// It chose TLS, or a protocol over it.
        tls: bool,
    },
    /// The client's settings (MCS Connect Initial).
    Client,
    /// The server's (MCS Connect Response).
    Server(ServerData<'a>),
    /// Any other.
    Other,
}

/// The server's settings: blocks of data.
#[derive(Clone, Copy, Debug)]
pub struct ServerData<'a>(&'a [u8]);

impl<'a> Pdu<'a> {
    /// Reads a TPKT; `None` where it is malformed.
    pub fn parse(message: &'a [u8]) -> Option<Self> {
        const CONFIRM: u8 = 0xd0;
        const DATA: u8 = 0xf0;
        const CLIENT: [u8; 2] = [0x7f, 0x65];
        const SERVER: [u8; 2] = [0x7f, 0x66];
        let cotp = message.get(4..)?;
        let (&kind, body) = cotp.get(1..)?.split_first()?;
        match kind {
            CONFIRM => {
                // References and class; then, where there is a negotiation, its type, flags and length, and the protocol.
                let tls = match body.get(5..) {
                    Some([2, _, _, _, protocol @ ..]) => protocol.iter().any(|b| *b != 0),
                    _ => false,
                };
                Some(Self::Confirm { tls })
            }
            DATA => {
                let mcs = body.get(1..)?;
                Some(match mcs.first_chunk::<2>() {
                    Some(&CLIENT) => Self::Client,
                    Some(&SERVER) => Self::Server(ServerData::find(mcs)?),
                    _ => Self::Other,
                })
            }
            _ => Some(Self::Other),
        }
    }
}

impl<'a> ServerData<'a> {
    /// The blocks are behind a key, and a length of one or two bytes (T.124, PER).
    fn find(mcs: &'a [u8]) -> Option<Self> {
        const KEY: &[u8] = b"McDn";
        let at = memchr::memmem::find(mcs, KEY)?;
        let after = mcs.get(at + KEY.len()..)?;
        let (first, rest) = after.split_first()?;
        let blocks = if first & 0x80 == 0 { rest } else { rest.get(1..)? };
        Some(Self(blocks))
    }

    /// The block of `kind`.
    fn block(&self, kind: u16) -> Option<&'a [u8]> {
        let mut rest = self.0;
        while let Some(([a, b, c, d], _)) = rest.split_first_chunk::<4>() {
            let length = usize::from(u16::from_le_bytes([*c, *d])).max(4);
            let (block, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            if u16::from_le_bytes([*a, *b]) == kind {
                return block.get(4..);
            }
            rest = after;
        }
        None
    }

    /// The server's certificates, where they are of X.509.
    pub fn certificates(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (mut left, mut rest) = self.chain().unwrap_or_default();
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let (length, after) = number(rest)?;
            let (certificate, after) = after.split_at_checked(length)?;
            rest = after;
            Some(certificate)
        })
    }

    /// How many certificates there are, and these.
    fn chain(&self) -> Option<(usize, &'a [u8])> {
        const SECURITY: u16 = 0x0c02;
        const X509: usize = 2;
        let (_, rest) = number(self.block(SECURITY)?)?;
        let (_, rest) = number(rest)?;
        let (random, rest) = number(rest)?;
        let (length, rest) = number(rest)?;
        let certificate = rest.get(random..)?;
        let certificate = certificate.get(..length).unwrap_or(certificate);
        let (version, chain) = number(certificate)?;
        let chain = number(chain)?;
        (version & 0x7fff_ffff == X509).then_some(chain)
    }
}

/// A number of four bytes, least first.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*number) as usize, rest))
}
