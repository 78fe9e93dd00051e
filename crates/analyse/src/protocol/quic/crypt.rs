//! The keys of Initial packets, which anyone can make who saw the client's first packet, and what they open.
//!
//! Promise: a packet is opened only where its tag is right; work is linear in its bytes.
//! Source: RFC 9001, 5 and appendix A; RFC 9369, 3.3; the drafts for their salts.

use aes_gcm::aead::AeadInPlace;
use aes_gcm::aes::Aes128;
use aes_gcm::aes::cipher::BlockEncrypt;
use aes_gcm::{Aes128Gcm, KeyInit, Nonce};
use hkdf::Hkdf;
use sha2::Sha256;

use super::parse::{V2, draft};

/// Bytes of the tag at the end of a packet.
const TAG: usize = 16;
/// The packet number is taken to be this long when the sample for header protection is found.
const MAX_NUMBER: usize = 4;
/// Bytes of the sample.
const SAMPLE: usize = 16;
/// What a packet must have behind its length field to be opened.
pub const MIN_PAYLOAD: usize = MAX_NUMBER + SAMPLE;

const SALT_V1: [u8; 20] = [
    0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc,
    0xbb, 0x7f, 0x0a,
];
const SALT_V2: [u8; 20] = [
    0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9,
    0xbd, 0x2e, 0xd9,
];
const SALT_DRAFT_22: [u8; 20] = [
    0x7f, 0xbc, 0xdb, 0x0e, 0x7c, 0x66, 0xbb, 0xe9, 0x19, 0x3a, 0x96, 0xcd, 0x21, 0x51, 0x9e, 0xbd, 0x7a,
    0x02, 0x64, 0x4a,
];
const SALT_DRAFT_23: [u8; 20] = [
    0xc3, 0xee, 0xf7, 0x12, 0xc7, 0x2e, 0xbb, 0x5a, 0x11, 0xa7, 0xd2, 0x43, 0x2b, 0xb4, 0x63, 0x65, 0xbe,
    0xf9, 0xf5, 0x02,
];
const SALT_DRAFT_29: [u8; 20] = [
    0xaf, 0xbf, 0xec, 0x28, 0x99, 0x93, 0xd2, 0x4c, 0x9e, 0x97, 0x86, 0xf1, 0x9c, 0x61, 0x11, 0xe0, 0x43,
    0x90, 0xa8, 0x99,
];

/// The keys of one direction.
struct Keys {
    key: [u8; 16],
    iv: [u8; 12],
    header: [u8; 16],
}

/// HKDF-Expand-Label with no context (RFC 8446, 7.1).
fn expand(secret: &Hkdf<Sha256>, label: &str, out: &mut [u8]) -> Option<()> {
    let mut info = Vec::with_capacity(32);
    info.extend((out.len() as u16).to_be_bytes());
    info.push(u8::try_from(label.len() + 6).ok()?);
    info.extend(b"tls13 ");
    info.extend(label.as_bytes());
    info.push(0);
    secret.expand(&info, out).ok()
}

fn keys(version: u32, connection_id: &[u8], from_client: bool) -> Option<Keys> {
    let salt = match draft(version) {
        _ if version == V2 => &SALT_V2,
        Some(..=22) => &SALT_DRAFT_22,
        Some(23..=28) => &SALT_DRAFT_23,
        Some(29..=32) => &SALT_DRAFT_29,
        _ => &SALT_V1,
    };
    let (_, initial) = Hkdf::<Sha256>::extract(Some(salt), connection_id);
    let mut secret = [0; 32];
    expand(&initial, if from_client { "client in" } else { "server in" }, &mut secret)?;
    let secret = Hkdf::<Sha256>::from_prk(&secret).ok()?;
    let [key, iv, header] = if version == V2 {
        ["quicv2 key", "quicv2 iv", "quicv2 hp"]
    } else {
        ["quic key", "quic iv", "quic hp"]
    };
    let mut keys = Keys { key: [0; 16], iv: [0; 12], header: [0; 16] };
    expand(&secret, key, &mut keys.key)?;
    expand(&secret, iv, &mut keys.iv)?;
    expand(&secret, header, &mut keys.header)?;
    Some(keys)
}

/// The frames in `packet`, an Initial packet whose number begins at `number_at`; `None` where the keys do not fit.
pub fn open(
    version: u32,
    connection_id: &[u8],
    from_client: bool,
    packet: &[u8],
    number_at: usize,
) -> Option<Vec<u8>> {
    let keys = keys(version, connection_id, from_client)?;
    let sample = packet.get(number_at.checked_add(MAX_NUMBER)?..)?.get(..SAMPLE)?;
    let mut mask = aes_gcm::aes::Block::clone_from_slice(sample);
    Aes128::new(&keys.header.into()).encrypt_block(&mut mask);
    let [first_mask, number_mask @ ..] = <[u8; 16]>::from(mask);
    let first = packet.first()? ^ (first_mask & 0x0f);
    let number_len = usize::from(first & 3) + 1;
    let (head, body) = packet.split_at_checked(number_at + number_len)?;
    let mut head = head.to_vec();
    *head.first_mut()? = first;
    let mut nonce = keys.iv;
    let number = head.get_mut(number_at..)?;
    for (byte, mask) in number.iter_mut().zip(number_mask) {
        *byte ^= mask;
    }
    for (into, byte) in nonce.iter_mut().rev().zip(number.iter().rev()) {
        *into ^= byte;
    }
    let (sealed, tag) = body.split_at_checked(body.len().checked_sub(TAG)?)?;
    let mut plain = sealed.to_vec();
    Aes128Gcm::new(&keys.key.into())
        .decrypt_in_place_detached(Nonce::from_slice(&nonce), &head, &mut plain, tag.into())
        .ok()?;
    Some(plain)
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// The inverse of [`open`] for a packet number of one byte: `head` ends with the number.
    pub fn seal(
        version: u32,
        connection_id: &[u8],
        from_client: bool,
        head: &[u8],
        frames: &[u8],
    ) -> Vec<u8> {
        let keys = keys(version, connection_id, from_client).unwrap();
        let mut nonce = keys.iv;
        nonce[11] ^= head[head.len() - 1];
        let mut body = frames.to_vec();
        let tag = Aes128Gcm::new(&keys.key.into())
            .encrypt_in_place_detached(Nonce::from_slice(&nonce), head, &mut body)
            .unwrap();
        let mut packet = [head, &body, &tag].concat();
        let at = head.len() - 1;
        let mut mask = aes_gcm::aes::Block::clone_from_slice(&packet[at + 4..at + 20]);
        Aes128::new(&keys.header.into()).encrypt_block(&mut mask);
        packet[0] ^= mask[0] & 0x0f;
        packet[at] ^= mask[1];
        packet
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::V1;
    use super::*;

    #[test]
    fn the_keys_are_those_of_the_appendix_of_the_rfc() {
        let id = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
        let client = keys(V1, &id, true).unwrap();
        assert_eq!(client.key[..4], [0x1f, 0x36, 0x96, 0x13]);
        assert_eq!(client.iv[..4], [0xfa, 0x04, 0x4b, 0x2f]);
        assert_eq!(client.header[..4], [0x9f, 0x50, 0x44, 0x9e]);
        let server = keys(V1, &id, false).unwrap();
        assert_eq!(server.key[..4], [0xcf, 0x3a, 0x53, 0x31]);
        // RFC 9369, appendix A.
        let second = keys(V2, &id, true).unwrap();
        assert_eq!(second.key[..4], [0x8b, 0x1a, 0x0b, 0xc1]);
    }

    #[test]
    fn only_a_whole_packet_with_its_tag_is_opened() {
        let head = [0xc0, 0, 0, 0, 1, 0, 0, 0, 0x40, 0x20, 7];
        let sealed = testing::seal(V1, b"id", true, &head, &[1; 20]);
        assert_eq!(open(V1, b"id", true, &sealed, 10), Some(vec![1; 20]));
        assert_eq!(open(V1, b"id", false, &sealed, 10), None);
        assert_eq!(open(V2, b"id", true, &sealed, 10), None);
        for cut in 0..sealed.len() {
            assert_eq!(open(V1, b"id", true, &sealed[..cut], 10), None);
        }
    }
}
