//! Bytes to a certificate: its parts, borrowed.
//!
//! Promise: what OpenSSL's `d2i_X509` takes as a certificate in DER is one here, and what it refuses is none. A part
//! that only matters when someone asks for it (the key, the value of an extension) is judged when it is asked for.
//! Source: RFC 5280.

use super::der::{self, Element, Integer, Reader};
use super::name::Name;
use super::oid;

/// A certificate, as it stands in the bytes.
#[derive(Clone, Debug)]
pub struct Certificate<'a> {
    /// All of its bytes.
    pub whole: &'a [u8],
    /// The version as logs count: 3 for X.509v3.
    pub version: u64,
    /// The serial number.
    pub serial: Integer<'a>,
    /// Who signed.
    pub issuer: Name<'a>,
    /// The first moment of validity: tag and contents.
    pub not_before: Element<'a>,
    /// The last moment of validity.
    pub not_after: Element<'a>,
    /// Whom it is for.
    pub subject: Name<'a>,
    /// The algorithm of the key.
    pub key_algorithm: Algorithm<'a>,
    /// The key, as its algorithm encodes it.
    pub key: &'a [u8],
    /// The algorithm of the signature.
    pub signature_algorithm: Algorithm<'a>,
    /// The extensions, checked.
    extensions: Reader<'a>,
}

/// An AlgorithmIdentifier.
#[derive(Clone, Copy, Debug)]
pub struct Algorithm<'a> {
    /// Which algorithm.
    pub oid: &'a [u8],
    /// Its parameters.
    pub parameters: Option<Element<'a>>,
}

/// An extension.
#[derive(Clone, Copy, Debug)]
pub struct Extension<'a> {
    /// Which.
    pub oid: &'a [u8],
    /// Its value: DER again.
    pub value: &'a [u8],
}

/// id-ce-subjectAltName.
pub const SUBJECT_ALT_NAME: &[u8] = &[0x55, 29, 17];
/// id-ce-basicConstraints.
pub const BASIC_CONSTRAINTS: &[u8] = &[0x55, 29, 19];

impl<'a> Certificate<'a> {
    /// Reads a certificate from the start of `bytes`; what follows it does not matter.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let whole = Reader::new(bytes).any().filter(|e| e.tag == der::SEQUENCE)?;
        let mut outer = Reader::new(whole.body);
        let mut tbs = outer.inside(der::SEQUENCE)?;
        let signature_algorithm = Algorithm::parse(&mut outer)?;
        outer.bits()?;
        let version = match tbs.optional(0xa0)? {
            Some(body) => version(body)?,
            None => 1,
        };
        let serial = tbs.integer()?;
        Algorithm::parse(&mut tbs)?;
        let issuer = Name::parse(&mut tbs)?;
        let mut validity = tbs.inside(der::SEQUENCE)?;
        let not_before = time(&mut validity)?;
        let not_after = time(&mut validity)?;
        let subject = Name::parse(&mut tbs)?;
        let mut key_info = tbs.inside(der::SEQUENCE)?;
        let key_algorithm = Algorithm::parse(&mut key_info)?;
        let key = key_info.bits()?;
        for unique_id in [0x81, 0x82] {
            if let Some(body) = tbs.optional(unique_id)? {
                body.first().filter(|unused| **unused <= 7)?;
            }
        }
        let extensions = extensions(&mut tbs)?;
        let ended = outer.is_empty() && tbs.is_empty() && validity.is_empty() && key_info.is_empty();
        ended.then_some(Self {
            whole: whole.whole,
            version,
            serial,
            issuer,
            not_before,
            not_after,
            subject,
            key_algorithm,
            key,
            signature_algorithm,
            extensions,
        })
    }

    /// The extensions, in order.
    pub fn extensions(&self) -> impl Iterator<Item = Extension<'a>> + use<'a> {
        let mut rest = self.extensions;
        std::iter::from_fn(move || extension(&mut rest))
    }
}

impl<'a> Algorithm<'a> {
    fn parse(r: &mut Reader<'a>) -> Option<Self> {
        let mut inner = r.inside(der::SEQUENCE)?;
        let oid = inner.expect(der::OID).filter(|o| oid::is_well_formed(o))?;
        let parameters = if inner.is_empty() { None } else { Some(inner.any().filter(Element::is_sound)?) };
        inner.is_empty().then_some(Self { oid, parameters })
    }
}

fn version(body: &[u8]) -> Option<u64> {
    let mut inner = Reader::new(body);
    let number = inner.integer()?.small()?;
    inner.is_empty().then_some(number.saturating_add(1).cast_unsigned())
}

fn time<'a>(r: &mut Reader<'a>) -> Option<Element<'a>> {
    r.any().filter(|e| e.tag == der::UTC_TIME || e.tag == der::GENERALIZED_TIME)
}

/// The extensions, each checked for its form.
fn extensions<'a>(tbs: &mut Reader<'a>) -> Option<Reader<'a>> {
    let Some(body) = tbs.optional(0xa3)? else { return Some(Reader::new(&[])) };
    let mut outer = Reader::new(body);
    let all = outer.inside(der::SEQUENCE)?;
    let mut rest = all;
    while !rest.is_empty() {
        extension(&mut rest)?;
    }
    outer.is_empty().then_some(all)
}

fn extension<'a>(r: &mut Reader<'a>) -> Option<Extension<'a>> {
    let mut inner = r.inside(der::SEQUENCE)?;
    let oid = inner.expect(der::OID).filter(|o| oid::is_well_formed(o))?;
    if let Some(critical) = inner.optional(der::BOOLEAN)? {
        (critical.len() == 1).then_some(())?;
    }
    let value = inner.expect(der::OCTET_STRING)?;
    inner.is_empty().then_some(Extension { oid, value })
}

/// A name of the subject alternative name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GeneralName<'a> {
    /// dNSName.
    Dns(&'a [u8]),
    /// uniformResourceIdentifier.
    Uri(&'a [u8]),
    /// rfc822Name.
    Email(&'a [u8]),
    /// iPAddress.
    Ip(&'a [u8]),
    /// A kind that no log shows.
    Other,
}

/// The names in the value of a subject alternative name; `None` where it is malformed.
pub fn general_names(value: &[u8]) -> Option<Vec<GeneralName<'_>>> {
    let mut all = Reader::new(value).inside(der::SEQUENCE)?;
    let mut names = Vec::new();
    while !all.is_empty() {
        let e = all.any()?;
        names.push(match e.tag {
            0x81 => GeneralName::Email(e.body),
            0x82 => GeneralName::Dns(e.body),
            0x86 => GeneralName::Uri(e.body),
            0x87 => GeneralName::Ip(e.body),
            // otherName, x400Address, directoryName, ediPartyName.
            0xa0 | 0xa3..=0xa5 => GeneralName::Other,
            0x88 if oid::is_well_formed(e.body) => GeneralName::Other,
            _ => return None,
        });
    }
    Some(names)
}

/// The value of basic constraints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BasicConstraints {
    /// Whether it is of a certificate authority.
    pub ca: bool,
    /// How long a path below it may be.
    pub path_len: Option<u64>,
}

impl BasicConstraints {
    /// Reads the value of the extension.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut inner = Reader::new(value).inside(der::SEQUENCE)?;
        let ca = match inner.optional(der::BOOLEAN)? {
            Some([byte]) => *byte != 0,
            Some(_) => return None,
            None => false,
        };
        // Zeek narrows to 32 bits with a sign and shows the result as a count.
        let path_len = match inner.peek() {
            Some(der::INTEGER) => {
                let wide = inner.integer()?.small().unwrap_or(-1);
                Some(i64::from(wide as i32).cast_unsigned())
            }
            _ => None,
        };
        inner.is_empty().then_some(Self { ca, path_len })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn a_certificate_gives_its_parts() {
        let bytes = testing::certificate();
        let c = Certificate::parse(&bytes).unwrap();
        assert_eq!(c.version, 3);
        assert_eq!(c.extensions().count(), 4);
        assert_eq!(oid::dotted(c.key_algorithm.oid), "1.2.840.10045.2.1");
    }

    #[test]
    fn what_follows_a_certificate_does_not_matter_but_a_cut_one_is_none() {
        let mut bytes = testing::certificate();
        bytes.push(0);
        assert!(Certificate::parse(&bytes).is_some());
        for cut in 0..bytes.len() - 1 {
            assert!(Certificate::parse(&bytes[..cut]).is_none(), "{cut}");
        }
    }

    #[test]
    fn basic_constraints_may_be_empty() {
        let parse = BasicConstraints::parse;
        assert_eq!(parse(&[0x30, 0]), Some(BasicConstraints { ca: false, path_len: None }));
        assert_eq!(
            parse(&[0x30, 6, 1, 1, 0xff, 2, 1, 3]),
            Some(BasicConstraints { ca: true, path_len: Some(3) })
        );
        assert_eq!(parse(&[0x30, 1, 1]), None);
    }

    #[test]
    fn general_names_are_told_apart() {
        let value = [0x30, 10, 0x82, 1, b'a', 0x87, 4, 10, 0, 0, 1, 0xa0];
        assert_eq!(
            general_names(&value[..11]),
            None,
            "the sequence says ten bytes, which ends inside the address' successor"
        );
        let value = [0x30, 9, 0x82, 1, b'a', 0x87, 4, 10, 0, 0, 1];
        assert_eq!(general_names(&value).unwrap(), [GeneralName::Dns(b"a"), GeneralName::Ip(&[10, 0, 0, 1])]);
    }
}
