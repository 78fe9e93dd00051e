//! Distinguished names, as text.
//!
//! Promise: the text is OpenSSL's `X509_NAME_print_ex` with `XN_FLAG_RFC2253`, cut where Zeek's buffer ends.
//! Source: RFC 2253, OpenSSL's crypto/asn1/a_strex.c and x_name.c.

use weir_record::Text;

use super::der::{self, Element, Reader};
use super::oid;

/// What Zeek's buffer of 2,048 bytes holds of a name.
const MAX_TEXT: usize = 2047;
/// Most attributes of a name that are shown.
const MAX_ATTRIBUTES: usize = 1024;

/// id-at-commonName.
const COMMON_NAME: &[u8] = &[0x55, 4, 3];

/// A distinguished name, checked.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    sets: Reader<'a>,
}

/// An attribute of a name.
#[derive(Clone, Copy, Debug)]
struct Attribute<'a> {
    oid: &'a [u8],
    value: Element<'a>,
    /// Which relative distinguished name it is in.
    set: usize,
}

/// The string types by their tag.
mod tag {
    pub const UTF8: u8 = 12;
    pub const NUMERIC: u8 = 18;
    pub const PRINTABLE: u8 = 19;
    pub const T61: u8 = 20;
    pub const IA5: u8 = 22;
    pub const VISIBLE: u8 = 26;
    pub const UNIVERSAL: u8 = 28;
    pub const BMP: u8 = 30;
}

impl<'a> Name<'a> {
    /// Reads a name, and checks what OpenSSL checks.
    pub(super) fn parse(r: &mut Reader<'a>) -> Option<Self> {
        let sets = r.inside(der::SEQUENCE)?;
        let mut rest = sets;
        while !rest.is_empty() {
            let mut set = rest.inside(der::SET)?;
            while !set.is_empty() {
                let (_, value) = attribute(&mut set)?;
                is_valid(&value).then_some(())?;
            }
        }
        Some(Self { sets })
    }

    fn attributes(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        let mut rest = self.sets;
        let mut set = Reader::new(&[]);
        let mut index = 0;
        std::iter::from_fn(move || {
            while set.is_empty() {
                set = rest.inside(der::SET)?;
                index += 1;
            }
            let (oid, value) = attribute(&mut set)?;
            Some(Attribute { oid, value, set: index })
        })
    }

    /// The common names, as UTF-8.
    pub(super) fn common_names(&self) -> impl Iterator<Item = Vec<u8>> + use<'a> {
        self.attributes().filter(|a| a.oid == COMMON_NAME).filter_map(|a| utf8(&a.value))
    }

    /// The name as text, the most specific part first.
    pub(super) fn text(&self) -> Text {
        let all: Vec<_> = self.attributes().take(MAX_ATTRIBUTES).collect();
        let mut out = Vec::with_capacity(96);
        let mut previous = None;
        for attribute in all.iter().rev() {
            match previous {
                Some(set) if set == attribute.set => out.push(b'+'),
                Some(_) => out.push(b','),
                None => {}
            }
            previous = Some(attribute.set);
            if !attribute.write(&mut out) {
                break;
            }
            if out.len() > MAX_TEXT {
                break;
            }
        }
        out.truncate(MAX_TEXT);
        Text::from(out)
    }
}

fn attribute<'a>(set: &mut Reader<'a>) -> Option<(&'a [u8], Element<'a>)> {
    let mut inner = set.inside(der::SEQUENCE)?;
    let oid = inner.expect(der::OID).filter(|o| oid::is_well_formed(o))?;
    let value = inner.any()?;
    inner.is_empty().then_some((oid, value))
}

/// Whether a value is of a type that a name may have, and its characters are such.
fn is_valid(value: &Element<'_>) -> bool {
    match value.tag {
        tag::UTF8 => std::str::from_utf8(value.body).is_ok(),
        tag::BMP => value.body.len().is_multiple_of(2),
        tag::UNIVERSAL => value.body.len().is_multiple_of(4),
        der::BIT_STRING => value.is_sound(),
        der::BOOLEAN
        | der::INTEGER
        | der::OCTET_STRING
        | der::NULL
        | der::OID
        | der::UTC_TIME
        | der::GENERALIZED_TIME => false,
        der::SEQUENCE => true,
        // What is left of the universal types, none of which is made of others.
        other => other < 0x20,
    }
}

/// How wide the characters of a string type are; 0 for UTF-8, `None` for what is no string.
const fn width(tag: u8) -> Option<usize> {
    match tag {
        tag::UTF8 => Some(0),
        tag::NUMERIC
        | tag::PRINTABLE
        | tag::T61
        | tag::IA5
        | der::UTC_TIME
        | der::GENERALIZED_TIME
        | tag::VISIBLE => Some(1),
        tag::BMP => Some(2),
        tag::UNIVERSAL => Some(4),
        _ => None,
    }
}

/// The characters of a string of wide characters.
fn characters(body: &[u8], width: usize) -> impl Iterator<Item = u32> + '_ {
    body.chunks_exact(width.max(1)).map(|c| c.iter().fold(0, |n, b| n << 8 | u32::from(*b)))
}

/// A string as UTF-8.
fn utf8(value: &Element<'_>) -> Option<Vec<u8>> {
    let width = width(value.tag)?;
    if width == 0 {
        return Some(value.body.to_vec());
    }
    let text: Option<String> = characters(value.body, width).map(char::from_u32).collect();
    text.map(String::into_bytes)
}

impl Attribute<'_> {
    /// `CN=text`; false where OpenSSL gives up in the middle.
    fn write(&self, out: &mut Vec<u8>) -> bool {
        let dotted = oid::dotted(self.oid);
        let known = oid::attribute(&dotted);
        out.extend_from_slice(known.unwrap_or(&dotted).as_bytes());
        out.push(b'=');
        match width(self.value.tag).filter(|_| known.is_some()) {
            None => {
                out.push(b'#');
                self.value.whole.iter().take(MAX_TEXT).for_each(|b| push_hex(out, *b));
                true
            }
            Some(0) => {
                let length = self.value.body.len();
                for (at, byte) in self.value.body.iter().take(MAX_TEXT).enumerate() {
                    push_escaped(out, *byte, at == 0, at + 1 == length);
                }
                true
            }
            Some(width) => {
                let count = self.value.body.len() / width.max(1);
                for (at, number) in characters(self.value.body, width).take(MAX_TEXT).enumerate() {
                    let Some(character) = char::from_u32(number) else { return false };
                    let mut buffer = [0; 4];
                    for byte in character.encode_utf8(&mut buffer).as_bytes() {
                        push_escaped(out, *byte, at == 0, at + 1 == count);
                    }
                }
                true
            }
        }
    }
}

fn push_hex(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for digit in [byte >> 4, byte & 0xf] {
        out.extend(DIGITS.get(usize::from(digit)));
    }
}

fn push_escaped(out: &mut Vec<u8>, byte: u8, first: bool, last: bool) {
    match byte {
        b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => out.extend([b'\\', byte]),
        b' ' if first || last => out.extend([b'\\', byte]),
        b'#' if first => out.extend([b'\\', byte]),
        0..=0x1f | 0x7f..=0xff => {
            out.push(b'\\');
            push_hex(out, byte);
        }
        _ => out.push(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name of these sets of attributes: last arc under id-at, tag, value.
    fn name(sets: &[&[(u8, u8, &[u8])]]) -> Vec<u8> {
        let wrap = |tag: u8, body: Vec<u8>| {
            let mut out = vec![tag, 0x82, (body.len() >> 8) as u8, body.len() as u8];
            out.extend(body);
            out
        };
        let mut all = Vec::new();
        for set in sets {
            let mut members = Vec::new();
            for (arc, tag, value) in *set {
                let mut a = vec![6, 3, 0x55, 4, *arc];
                a.extend(wrap(*tag, value.to_vec()));
                members.extend(wrap(0x30, a));
            }
            all.extend(wrap(0x31, members));
        }
        wrap(0x30, all)
    }

    fn text(sets: &[&[(u8, u8, &[u8])]]) -> String {
        let bytes = name(sets);
        let name = Name::parse(&mut Reader::new(&bytes)).unwrap();
        String::from_utf8(name.text().as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn the_most_specific_part_comes_first() {
        assert_eq!(
            text(&[&[(6, 19, b"US")], &[(10, 19, b"A, Inc.")], &[(3, 12, b"x")]]),
            r"CN=x,O=A\, Inc.,C=US"
        );
        assert_eq!(text(&[]), "");
    }

    #[test]
    fn members_of_one_set_are_joined_by_a_plus() {
        assert_eq!(text(&[&[(3, 19, b"a"), (7, 19, b"b")], &[(10, 19, b"c")]]), "O=c,L=b+CN=a");
    }

    #[test]
    fn control_characters_and_bytes_above_ascii_are_escaped() {
        assert_eq!(text(&[&[(3, 12, "é\r".as_bytes())]]), r"CN=\C3\A9\0D");
        assert_eq!(text(&[&[(3, 20, b"\xe9")]]), r"CN=\C3\A9");
        assert_eq!(text(&[&[(3, 30, &[0, 0xe9, 0, b'#'])]]), r"CN=\C3\A9#");
        assert_eq!(text(&[&[(3, 19, b" # ")]]), r"CN=\ #\ ");
    }

    #[test]
    fn what_is_unknown_is_shown_in_hexadecimal() {
        assert_eq!(text(&[&[(0x7f, 19, b"x")]]), "2.5.4.127=#1382000178");
        assert_eq!(text(&[&[(45, 3, &[0, 1])]]), "x500UniqueIdentifier=#038200020001");
    }

    #[test]
    fn a_long_name_is_cut() {
        assert_eq!(text(&[&[(3, 19, &[b'a'; 5000])]]).len(), MAX_TEXT);
    }

    #[test]
    fn broken_characters_make_no_name() {
        let bytes = name(&[&[(3, 12, b"\xff")]]);
        assert!(Name::parse(&mut Reader::new(&bytes)).is_none());
        let bytes = name(&[&[(3, 4, b"a")]]);
        assert!(Name::parse(&mut Reader::new(&bytes)).is_none());
    }
}
