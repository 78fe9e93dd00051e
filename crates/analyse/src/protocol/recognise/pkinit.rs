//! The certificates in Kerberos, where one shows who one is with them before a ticket is given.
//!
//! The first of those that a request, and those that an answer has. Source: RFC 4120, 5.4 (requests and answers);
//! RFC 4556, 3.2 (what is in them); RFC 5652, 5.1 (signed data); Zeek's krb-padata.pac.

use crate::x509::Role;
use crate::x509::der::{OCTET_STRING, OID, Reader, SEQUENCE, SET};

/// PA-PK-AS-REQ.
const REQUEST: i64 = 16;
/// PA-PK-AS-REP.
const ANSWER: i64 = 17;
/// Most data before authentication that is looked at, of one message.
const MAX_DATA: usize = 64;
/// The zeroth of a sequence's elements, and of a choice.
const ZEROTH: u8 = 0xa0;

/// A certificate, and whose it is.
pub type Shown<'a> = (&'a [u8], Role);

/// The certificates that a message of Kerberos shows.
pub fn certificates(message: &[u8]) -> impl Iterator<Item = Shown<'_>> {
    data(message).into_iter().flatten().filter_map(|(kind, value)| match kind {
        REQUEST => Some((request(value)?, Role { host: true, client: true })),
        ANSWER => Some((answer(value)?, Role { host: true, client: false })),
        _ => None,
    })
}

/// The data before authentication: what each is, and its value.
fn data(message: &[u8]) -> Option<impl Iterator<Item = (i64, &[u8])>> {
    let application = Reader::new(message).any()?;
    let place = match application.tag {
        // AS-REQ, TGS-REQ.
        0x6a | 0x6c => 0xa3,
        // AS-REP, TGS-REP.
        0x6b | 0x6d => 0xa2,
        _ => return None,
    };
    let mut parts = Reader::new(application.body).inside(SEQUENCE)?;
    while parts.peek()? < place {
        parts.any()?;
    }
    let mut all = parts.inside(place)?.inside(SEQUENCE)?;
    let one = move || {
        let mut one = all.inside(SEQUENCE)?;
        let kind = one.inside(0xa1)?.integer()?.small()?;
        Some((kind, one.inside(0xa2)?.expect(OCTET_STRING)?))
    };
    Some(std::iter::from_fn(one).take(MAX_DATA))
}

/// PA-PK-AS-REQ: signed data is its first element.
fn request(value: &[u8]) -> Option<&[u8]> {
    signed(Reader::new(value).inside(SEQUENCE)?.expect(0x80)?)
}

/// PA-PK-AS-REP, where a key was agreed on: signed data is the first element of that.
fn answer(value: &[u8]) -> Option<&[u8]> {
    signed(Reader::new(value).inside(ZEROTH)?.inside(SEQUENCE)?.expect(0x80)?)
}

/// The first certificate of signed data.
fn signed(value: &[u8]) -> Option<&[u8]> {
    let mut info = Reader::new(value).inside(SEQUENCE)?;
    info.expect(OID)?;
    let mut signed = info.inside(ZEROTH)?.inside(SEQUENCE)?;
    signed.integer()?;
    signed.expect(SET)?;
    signed.expect(SEQUENCE)?;
    signed.inside(ZEROTH)?.any().map(|certificate| certificate.whole)
}

#[cfg(test)]
mod tests {
    use weir_record::Entry;

    use super::super::{Datagrams, Framed, Kerberos, KerberosTcp};
    use crate::context::{Side, Transport};
    use crate::protocol::Analyze;
    use crate::protocol::testing::Bench;
    use crate::x509::testing::certificate;

    fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let body = parts.concat();
        let mut out = vec![tag, 0x82];
        out.extend((body.len() as u16).to_be_bytes());
        out.extend(body);
        out
    }

    /// Signed data with a certificate.
    fn signed() -> Vec<u8> {
        let content = element(0x30, &[&[6, 3, 0x2b, 6, 1]]);
        let certificates = element(0xa0, &[&certificate()]);
        let signed = element(0x30, &[&[2, 1, 3, 0x31, 0], &content, &certificates, &[0x31, 0]]);
        element(0x30, &[&[6, 3, 0x2a, 3, 4], &element(0xa0, &[&signed])])
    }

    /// Data before authentication: of no interest, then `value`.
    fn padata(kind: u8, value: &[u8]) -> Vec<u8> {
        let one = |kind: u8, value: &[u8]| {
            element(0x30, &[&[0xa1, 3, 2, 1, kind], &element(0xa2, &[&element(4, &[value])])])
        };
        element(0x30, &[&one(2, b"timestamp"), &one(kind, value)])
    }

    fn request() -> Vec<u8> {
        let value = element(0x30, &[&element(0x80, &[&signed()])]);
        let padata = element(0xa3, &[&padata(16, &value)]);
        let body = element(0x30, &[&[0xa1, 3, 2, 1, 5, 0xa2, 3, 2, 1, 10], &padata, &[0xa4, 2, 0x30, 0]]);
        element(0x6a, &[&body])
    }

    fn answer() -> Vec<u8> {
        let value = element(0xa0, &[&element(0x30, &[&element(0x80, &[&signed()])])]);
        let padata = element(0xa2, &[&padata(17, &value)]);
        let body = element(0x30, &[&[0xa0, 3, 2, 1, 5, 0xa1, 3, 2, 1, 11], &padata, &[0xa3, 3, 0x1b, 1, 65]]);
        element(0x6b, &[&body])
    }

    fn shown<A: Analyze>(bench: &Bench<A>) -> Vec<(bool, bool)> {
        let of = |entry: &Entry| {
            if let Entry::X509(x509) = entry { Some((x509.host_cert, x509.client_cert)) } else { None }
        };
        bench.entries.iter().filter_map(of).collect()
    }

    #[test]
    fn who_shows_a_certificate_is_seen_in_requests_and_answers() {
        let mut b = Bench::new(Datagrams::<Kerberos>::default(), Transport::Udp, 88);
        b.data(Side::Orig, &request());
        b.data(Side::Resp, &answer());
        assert_eq!(shown(&b), [(true, true), (true, false)]);
        let mut b = Bench::new(Framed::<KerberosTcp>::default(), Transport::Tcp, 88);
        for (side, message) in [(Side::Orig, request()), (Side::Resp, answer())] {
            b.data(side, &(message.len() as u32).to_be_bytes());
            for piece in message.chunks(100) {
                b.data(side, piece);
            }
        }
        assert!(b.verdict.confirmed && b.verdict.violation.is_none());
        assert_eq!(shown(&b), [(true, true), (true, false)]);
    }

    #[test]
    fn what_is_cut_or_of_another_kind_shows_none() {
        let whole = request();
        for end in 0..whole.len() {
            assert_eq!(super::certificates(&whole[..end]).count(), 0);
        }
        let mut error = whole;
        error[0] = 0x7e;
        assert_eq!(super::certificates(&error).count(), 0);
    }
}
