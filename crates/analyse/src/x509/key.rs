//! The public key of a certificate: its kind, its size.
//!
//! Promise: a key is described where OpenSSL can load it; the point of an EC key is not checked to be on its curve.
//! Source: RFC 3279, RFC 5480; Zeek's src/file_analysis/analyzer/x509/X509.cc.

use std::fmt::Write as _;

use super::der::{self, Reader};
use super::oid;
use super::parse::{Algorithm, Certificate};

/// Most bytes of an exponent that is shown in decimal; real ones have three.
const MAX_EXPONENT: usize = 512;

/// What logs show of a key.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Key {
    /// `rsa`, `dsa`, `ecdsa`; nothing for other kinds.
    pub kind: Option<&'static str>,
    /// Its size in bits.
    pub length: Option<u64>,
    /// The exponent of an RSA key, in decimal.
    pub exponent: Option<String>,
    /// The curve of an EC key.
    pub curve: Option<&'static str>,
}

impl Key {
    /// The key of a certificate; empty where it cannot be loaded or is of another kind.
    pub fn of(certificate: &Certificate<'_>) -> Self {
        let algorithm = &certificate.key_algorithm;
        let key = match oid::dotted(algorithm.oid).as_str() {
            "1.2.840.113549.1.1.1" | "2.5.8.1.1" => rsa(certificate.key),
            "1.2.840.10040.4.1" | "1.3.14.3.2.12" => dsa(algorithm, certificate.key),
            "1.2.840.10045.2.1" => ec(algorithm, certificate.key),
            _ => None,
        };
        key.unwrap_or_default()
    }
}

fn rsa(key: &[u8]) -> Option<Key> {
    let mut parts = Reader::new(key).inside(der::SEQUENCE)?;
    // Numbers of a key may be padded, and their sign does not count.
    let modulus = unsigned(parts.expect(der::INTEGER)?);
    let exponent = unsigned(parts.expect(der::INTEGER)?);
    parts.is_empty().then(|| Key {
        kind: Some("rsa"),
        length: size(modulus),
        exponent: decimal(exponent),
        curve: None,
    })
}

fn dsa(algorithm: &Algorithm<'_>, key: &[u8]) -> Option<Key> {
    Reader::new(key).integer()?;
    let p = match algorithm.parameters {
        Some(e) if e.tag == der::SEQUENCE => {
            let mut r = Reader::new(e.body);
            let p = r.expect(der::INTEGER)?;
            r.expect(der::INTEGER)?;
            r.expect(der::INTEGER)?;
            Some(unsigned(p))
        }
        _ => None,
    };
    Some(Key { kind: Some("dsa"), length: p.and_then(size), exponent: None, curve: None })
}

fn ec(algorithm: &Algorithm<'_>, key: &[u8]) -> Option<Key> {
    let parameters = algorithm.parameters?;
    let (curve, length, field) = match parameters.tag {
        der::OID => {
            let dotted = oid::dotted(parameters.body);
            let at = CURVES.binary_search_by(|c| c.0.cmp(dotted.as_str())).ok()?;
            let (_, name, bits, field) = CURVES.get(at)?;
            (Some(*name), Some(*bits), *field)
        }
        der::SEQUENCE => explicit(parameters.body)?,
        _ => return None,
    };
    is_point(key, field).then_some(Key { kind: Some("ecdsa"), length, exponent: None, curve })
}

/// Curve parameters written out: version, field, coefficients, base point, order.
fn explicit(body: &[u8]) -> Option<(Option<&'static str>, Option<u64>, usize)> {
    let mut r = Reader::new(body);
    r.integer()?;
    let mut field = r.inside(der::SEQUENCE)?;
    field.expect(der::OID)?;
    let prime = unsigned(field.expect(der::INTEGER)?);
    r.expect(der::SEQUENCE)?;
    r.expect(der::OCTET_STRING)?;
    let order = unsigned(r.expect(der::INTEGER)?);
    let bits = der::bit_length(order);
    let named = CURVES.iter().find(|c| c.2 == bits && c.3 == prime.len() && known_order(order, c.1));
    Some((named.map(|c| c.1), size(order), prime.len()))
}

/// Whether `order` is that of P-256, the only curve that is met in this form; OpenSSL then knows its name.
fn known_order(order: &[u8], name: &str) -> bool {
    name == "prime256v1" && order.starts_with(&[0xff; 4]) && order.ends_with(&[0xfc, 0x63, 0x25, 0x51])
}

/// Whether `key` has the form of a point: infinity, compressed, or with both coordinates.
fn is_point(key: &[u8], field: usize) -> bool {
    match key.split_first() {
        Some((2 | 3, rest)) => rest.len() == field,
        Some((4 | 6 | 7, rest)) => rest.len() == field.saturating_mul(2),
        _ => false,
    }
}

fn unsigned(body: &[u8]) -> &[u8] {
    let zeros = body.iter().take_while(|b| **b == 0).count();
    body.get(zeros..).unwrap_or_default()
}

fn size(number: &[u8]) -> Option<u64> {
    Some(der::bit_length(number)).filter(|n| *n > 0)
}

/// A big-endian number in decimal.
fn decimal(number: &[u8]) -> Option<String> {
    if number.len() > MAX_EXPONENT {
        return None;
    }
    // Nine digits to a limb, the lowest first.
    let mut limbs: Vec<u64> = vec![0];
    for byte in number {
        let mut carry = u64::from(*byte);
        for limb in &mut limbs {
            let value = *limb * 256 + carry;
            *limb = value % 1_000_000_000;
            carry = value / 1_000_000_000;
        }
        if carry > 0 {
            limbs.push(carry);
        }
    }
    let mut text = limbs.pop().unwrap_or(0).to_string();
    for limb in limbs.iter().rev() {
        let _ = write!(text, "{limb:09}");
    }
    Some(text)
}

/// The curves that OpenSSL knows: identifier, name, bits of the order, bytes of a coordinate. In the order of text.
const CURVES: &[(&str, &str, u64, usize)] = &[
    ("1.2.156.10197.1.301", "SM2", 256, 32),
    ("1.2.840.10045.3.0.1", "c2pnb163v1", 163, 21),
    ("1.2.840.10045.3.0.10", "c2pnb208w1", 193, 26),
    ("1.2.840.10045.3.0.11", "c2tnb239v1", 238, 30),
    ("1.2.840.10045.3.0.12", "c2tnb239v2", 237, 30),
    ("1.2.840.10045.3.0.13", "c2tnb239v3", 236, 30),
    ("1.2.840.10045.3.0.16", "c2pnb272w1", 257, 34),
    ("1.2.840.10045.3.0.17", "c2pnb304w1", 289, 38),
    ("1.2.840.10045.3.0.18", "c2tnb359v1", 353, 45),
    ("1.2.840.10045.3.0.19", "c2pnb368w1", 353, 46),
    ("1.2.840.10045.3.0.2", "c2pnb163v2", 162, 21),
    ("1.2.840.10045.3.0.20", "c2tnb431r1", 418, 54),
    ("1.2.840.10045.3.0.3", "c2pnb163v3", 162, 21),
    ("1.2.840.10045.3.0.4", "c2pnb176v1", 161, 22),
    ("1.2.840.10045.3.0.5", "c2tnb191v1", 191, 24),
    ("1.2.840.10045.3.0.6", "c2tnb191v2", 190, 24),
    ("1.2.840.10045.3.0.7", "c2tnb191v3", 189, 24),
    ("1.2.840.10045.3.1.1", "prime192v1", 192, 24),
    ("1.2.840.10045.3.1.2", "prime192v2", 192, 24),
    ("1.2.840.10045.3.1.3", "prime192v3", 192, 24),
    ("1.2.840.10045.3.1.4", "prime239v1", 239, 30),
    ("1.2.840.10045.3.1.5", "prime239v2", 239, 30),
    ("1.2.840.10045.3.1.6", "prime239v3", 239, 30),
    ("1.2.840.10045.3.1.7", "prime256v1", 256, 32),
    ("1.3.132.0.1", "sect163k1", 163, 21),
    ("1.3.132.0.10", "secp256k1", 256, 32),
    ("1.3.132.0.15", "sect163r2", 163, 21),
    ("1.3.132.0.16", "sect283k1", 281, 36),
    ("1.3.132.0.17", "sect283r1", 282, 36),
    ("1.3.132.0.2", "sect163r1", 162, 21),
    ("1.3.132.0.22", "sect131r1", 131, 17),
    ("1.3.132.0.23", "sect131r2", 131, 17),
    ("1.3.132.0.24", "sect193r1", 193, 25),
    ("1.3.132.0.25", "sect193r2", 193, 25),
    ("1.3.132.0.26", "sect233k1", 232, 30),
    ("1.3.132.0.27", "sect233r1", 233, 30),
    ("1.3.132.0.28", "secp128r1", 128, 16),
    ("1.3.132.0.29", "secp128r2", 126, 16),
    ("1.3.132.0.3", "sect239k1", 238, 30),
    ("1.3.132.0.30", "secp160r2", 161, 20),
    ("1.3.132.0.31", "secp192k1", 192, 24),
    ("1.3.132.0.32", "secp224k1", 225, 28),
    ("1.3.132.0.33", "secp224r1", 224, 28),
    ("1.3.132.0.34", "secp384r1", 384, 48),
    ("1.3.132.0.35", "secp521r1", 521, 66),
    ("1.3.132.0.36", "sect409k1", 407, 52),
    ("1.3.132.0.37", "sect409r1", 409, 52),
    ("1.3.132.0.38", "sect571k1", 570, 72),
    ("1.3.132.0.39", "sect571r1", 570, 72),
    ("1.3.132.0.4", "sect113r1", 113, 15),
    ("1.3.132.0.5", "sect113r2", 113, 15),
    ("1.3.132.0.6", "secp112r1", 112, 14),
    ("1.3.132.0.7", "secp112r2", 110, 14),
    ("1.3.132.0.8", "secp160r1", 161, 20),
    ("1.3.132.0.9", "secp160k1", 161, 20),
    ("1.3.36.3.3.2.8.1.1.1", "brainpoolP160r1", 160, 20),
    ("1.3.36.3.3.2.8.1.1.10", "brainpoolP320t1", 320, 40),
    ("1.3.36.3.3.2.8.1.1.11", "brainpoolP384r1", 384, 48),
    ("1.3.36.3.3.2.8.1.1.12", "brainpoolP384t1", 384, 48),
    ("1.3.36.3.3.2.8.1.1.13", "brainpoolP512r1", 512, 64),
    ("1.3.36.3.3.2.8.1.1.14", "brainpoolP512t1", 512, 64),
    ("1.3.36.3.3.2.8.1.1.2", "brainpoolP160t1", 160, 20),
    ("1.3.36.3.3.2.8.1.1.3", "brainpoolP192r1", 192, 24),
    ("1.3.36.3.3.2.8.1.1.4", "brainpoolP192t1", 192, 24),
    ("1.3.36.3.3.2.8.1.1.5", "brainpoolP224r1", 224, 28),
    ("1.3.36.3.3.2.8.1.1.6", "brainpoolP224t1", 224, 28),
    ("1.3.36.3.3.2.8.1.1.7", "brainpoolP256r1", 256, 32),
    ("1.3.36.3.3.2.8.1.1.8", "brainpoolP256t1", 256, 32),
    ("1.3.36.3.3.2.8.1.1.9", "brainpoolP320r1", 320, 40),
    ("2.23.43.1.4.1", "wap-wsg-idm-ecid-wtls1", 112, 15),
    ("2.23.43.1.4.10", "wap-wsg-idm-ecid-wtls10", 232, 30),
    ("2.23.43.1.4.11", "wap-wsg-idm-ecid-wtls11", 233, 30),
    ("2.23.43.1.4.12", "wap-wsg-idm-ecid-wtls12", 224, 28),
    ("2.23.43.1.4.3", "wap-wsg-idm-ecid-wtls3", 163, 21),
    ("2.23.43.1.4.4", "wap-wsg-idm-ecid-wtls4", 113, 15),
    ("2.23.43.1.4.5", "wap-wsg-idm-ecid-wtls5", 163, 21),
    ("2.23.43.1.4.6", "wap-wsg-idm-ecid-wtls6", 112, 14),
    ("2.23.43.1.4.7", "wap-wsg-idm-ecid-wtls7", 161, 20),
    ("2.23.43.1.4.8", "wap-wsg-idm-ecid-wtls8", 113, 14),
    ("2.23.43.1.4.9", "wap-wsg-idm-ecid-wtls9", 161, 20),
];

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn the_curves_are_in_order() {
        assert!(CURVES.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn an_ec_key_has_the_name_of_its_curve_and_the_size_of_its_order() {
        let bytes = testing::certificate();
        let key = Key::of(&Certificate::parse(&bytes).unwrap());
        assert_eq!((key.kind, key.length, key.curve), (Some("ecdsa"), Some(256), Some("prime256v1")));
    }

    #[test]
    fn an_rsa_key_has_an_exponent() {
        let key = rsa(&[0x30, 9, 2, 2, 0, 0xff, 2, 3, 1, 0, 1]).unwrap();
        assert_eq!((key.kind, key.length, key.exponent.as_deref()), (Some("rsa"), Some(8), Some("65537")));
        assert_eq!(rsa(&[0x30, 3, 2, 1, 5]), None);
    }

    #[test]
    fn large_numbers_are_shown_in_decimal() {
        assert_eq!(decimal(&[]).as_deref(), Some("0"));
        assert_eq!(decimal(&[0xff; 8]).as_deref(), Some("18446744073709551615"));
        assert_eq!(decimal(&[1, 0, 0, 0, 0, 0, 0, 0, 0]).as_deref(), Some("18446744073709551616"));
        assert_eq!(decimal(&[1; 600]), None);
    }
}
