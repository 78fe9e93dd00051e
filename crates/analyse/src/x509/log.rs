//! Certificates to x509.log.
//!
//! Promise: every certificate that is seen gives a candidate record; whoever writes the log in order drops repeats: the
//! key is fingerprint, `host_cert` and `client_cert`, and it is forgotten a day after it was logged
//! (`X509::relog_known_certificates_after`).
//! Source: Zeek's scripts/base/files/x509/main.zeek, src/file_analysis/analyzer/x509/X509.cc.

use sha2::{Digest, Sha256};
use weir_record::{Entries, Text, X509};
use weir_wire::{Address, Time};

use super::key::Key;
use super::parse::{self, BasicConstraints, Certificate, GeneralName};
use super::{oid, time};

/// Most elements of one list in a record (`X509::default_max_field_container_elements`).
const MAX_ELEMENTS: usize = 500;
/// Most elements of all lists in a record (`X509::default_max_total_container_elements`).
const MAX_ELEMENTS_TOTAL: usize = 1500;
/// Most bytes of one text in a record (`Log::default_max_field_string_bytes`).
const MAX_TEXT: usize = 4096;
/// After how many bytes OpenSSL breaks the line of a serial number.
const SERIAL_LINE: usize = 35;

/// The SHA-256 of a certificate in lower-case hexadecimal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fingerprint(pub Text);

impl Fingerprint {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digest = Sha256::digest(bytes);
        let mut text = Vec::with_capacity(64);
        for byte in digest {
            for digit in [byte >> 4, byte & 0xf] {
                text.extend(DIGITS.get(usize::from(digit)));
            }
        }
        Self(Text::from(text))
    }
}

/// Who showed a certificate, and as what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Role {
    /// Whether it was the first of a chain (or sent on its own).
    pub host: bool,
    /// Whether the client sent it.
    pub client: bool,
}

/// Logs the certificate in `bytes`; `None` where there is none, which a weird then says.
pub fn log<'a>(
    out: &mut Entries,
    now: Time,
    bytes: &'a [u8],
    role: Role,
) -> Option<(Fingerprint, Certificate<'a>)> {
    let (fingerprint, certificate, record) = read(out, now, bytes, role)?;
    out.push(record);
    Some((fingerprint, certificate))
}

/// Reads the certificate in `bytes`; what is odd about it is said, the record is not yet written.
pub(super) fn read<'a>(
    out: &mut Entries,
    now: Time,
    bytes: &'a [u8],
    role: Role,
) -> Option<(Fingerprint, Certificate<'a>, X509)> {
    let Some(certificate) = Certificate::parse(bytes) else {
        out.net_weird(now, "x509_cert_parse_error", None, None);
        return None;
    };
    let fingerprint = Fingerprint::of(certificate.whole);
    let recorder = Recorder { out, now, left: MAX_ELEMENTS_TOTAL, cut: false, cut_text: false };
    let record = recorder.record(&certificate, fingerprint.clone(), role);
    Some((fingerprint, certificate, record))
}

/// Makes one record and says what is odd on the way.
struct Recorder<'o> {
    out: &'o mut Entries,
    now: Time,
    /// How many more elements the lists may have.
    left: usize,
    /// Whether a list was cut.
    cut: bool,
    /// Whether a text was cut.
    cut_text: bool,
}

impl Recorder<'_> {
    fn weird(&mut self, name: &'static str, addl: Option<Text>) {
        self.out.net_weird(self.now, name, addl, None);
    }

    fn record(mut self, c: &Certificate<'_>, fingerprint: Fingerprint, role: Role) -> X509 {
        let key = Key::of(c);
        let key_alg = oid::dotted(c.key_algorithm.oid);
        let key_alg = oid::algorithm(&key_alg).map_or_else(|| Text::from(key_alg), Text::from);
        let sig_alg = oid::dotted(c.signature_algorithm.oid);
        let mut record = X509 {
            ts: self.now,
            fingerprint: fingerprint.0,
            version: c.version,
            serial: serial(c),
            subject: c.subject.text(),
            issuer: c.issuer.text(),
            not_valid_before: self.moment(&c.not_before),
            not_valid_after: self.moment(&c.not_after),
            key_alg,
            // OpenSSL has no number for what it does not know here.
            sig_alg: oid::algorithm(&sig_alg).unwrap_or_default().into(),
            key_type: key.kind.map(Text::from),
            key_length: key.length,
            exponent: key.exponent.map(Text::from),
            curve: key.curve.map(Text::from),
            san_dns: None,
            san_uri: None,
            san_email: None,
            san_ip: None,
            ca: None,
            path_len: None,
            host_cert: role.host,
            client_cert: role.client,
        };
        for extension in c.extensions() {
            match extension.oid {
                parse::SUBJECT_ALT_NAME => self.names(extension.value, &mut record),
                parse::BASIC_CONSTRAINTS => match BasicConstraints::parse(extension.value) {
                    Some(constraints) => {
                        record.ca = Some(constraints.ca);
                        record.path_len = constraints.path_len;
                    }
                    None => self.weird("x509_invalid_basic_constraint", None),
                },
                _ => {}
            }
        }
        self.bound(&mut record);
        record
    }

    fn moment(&mut self, element: &super::der::Element<'_>) -> Time {
        time::moment(element).unwrap_or_else(|name| {
            self.weird(name, None);
            Time::default()
        })
    }

    fn names(&mut self, value: &[u8], record: &mut X509) {
        let Some(names) = parse::general_names(value) else {
            self.weird("x509_san_parse_error", None);
            return;
        };
        (record.san_dns, record.san_uri, record.san_email, record.san_ip) = (None, None, None, None);
        for name in names {
            match name {
                GeneralName::Dns(n) => add(&mut record.san_dns, self.text(n)),
                GeneralName::Uri(n) => add(&mut record.san_uri, self.text(n)),
                GeneralName::Email(n) => add(&mut record.san_email, self.text(n)),
                GeneralName::Ip(n) => match address(n) {
                    Some(address) => add(&mut record.san_ip, address),
                    None => self.weird("x509_san_ip_length", Some(n.len().to_string().into())),
                },
                GeneralName::Other => {}
            }
        }
    }

    /// A text, cut where it is longer than a record may show.
    fn text(&mut self, bytes: &[u8]) -> Text {
        self.cut_text |= bytes.len() > MAX_TEXT;
        Text::from(bytes.get(..MAX_TEXT).unwrap_or(bytes))
    }

    /// Cuts lists that are longer than a record may be.
    fn bound(&mut self, record: &mut X509) {
        self.cut_list(&mut record.san_dns);
        self.cut_list(&mut record.san_uri);
        self.cut_list(&mut record.san_email);
        self.cut_list(&mut record.san_ip);
        if self.cut {
            self.weird("log_container_field_truncated", Some("X509::LOG".into()));
        }
        if self.cut_text {
            self.weird("log_string_field_truncated", Some("X509::LOG".into()));
        }
    }

    fn cut_list<T>(&mut self, list: &mut Option<Vec<T>>) {
        let Some(list) = list else { return };
        let most = MAX_ELEMENTS.min(self.left);
        if list.len() > most {
            list.truncate(most);
            self.cut = true;
        }
        self.left -= list.len();
    }
}

fn add<T>(list: &mut Option<Vec<T>>, value: T) {
    list.get_or_insert_default().push(value);
}

fn address(bytes: &[u8]) -> Option<Address> {
    if let Some(v4) = bytes.as_array::<4>() {
        return Some(Address::v4(*v4));
    }
    bytes.as_array::<16>().map(|v6| Address::v6(*v6))
}

/// The serial number in hexadecimal, a line break after every 35 bytes.
fn serial(certificate: &Certificate<'_>) -> Text {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let magnitude = certificate.serial.magnitude();
    let mut text = Vec::with_capacity(magnitude.len() * 2 + 1);
    if certificate.serial.is_negative() {
        text.push(b'-');
    }
    for (at, byte) in magnitude.iter().enumerate().take(1024) {
        if at > 0 && at % SERIAL_LINE == 0 {
            text.extend(b"\\\n");
        }
        for digit in [byte >> 4, byte & 0xf] {
            text.extend(DIGITS.get(usize::from(digit)));
        }
    }
    Text::from(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weir_record::Entry;

    use super::super::testing;
    use super::*;

    fn logged(bytes: &[u8]) -> (Vec<X509>, Vec<String>) {
        let mut out = Entries::default();
        log(&mut out, Time(0), bytes, Role { host: true, client: false });
        let (mut records, mut weirds) = (Vec::new(), Vec::new());
        for entry in out.drain() {
            if let Entry::X509(record) = &entry.entry {
                records.push(record.as_ref().clone());
            } else if let Entry::Weird(weird) = &entry.entry {
                weirds.push(String::from_utf8_lossy(weird.name.as_bytes()).into_owned());
            }
        }
        (records, weirds)
    }

    #[test]
    fn a_certificate_becomes_a_record() {
        let (records, weirds) = logged(&testing::certificate());
        let r = &records[0];
        assert!(weirds.is_empty());
        assert_eq!(r.fingerprint, "a98e5a61bcdb99531535847bb368f2c7c77915ef926e28b122db4f55d26323b6".into());
        assert_eq!(r.serial, "E8E48E456C32945F".into());
        assert_eq!(r.subject, r"CN=common.weir.test,O=Weir\, Test,C=DE".into());
        assert_eq!(r.not_valid_before, Time::from_parts(1_795_407_012, 0));
        assert_eq!(
            (r.key_alg.clone(), r.sig_alg.clone()),
            ("id-ecPublicKey".into(), "ecdsa-with-SHA256".into())
        );
        assert_eq!(r.san_dns, Some(vec!["a.weir.test".into(), "*.b.weir.test".into()]));
        assert_eq!(r.san_uri, Some(vec!["https://weir.test/".into()]));
        assert_eq!(r.san_email, Some(vec!["x@weir.test".into()]));
        assert_eq!(r.san_ip.as_ref().map(Vec::len), Some(2));
        assert_eq!((r.ca, r.path_len), (Some(true), Some(3)));
        assert!(r.host_cert && !r.client_cert);
    }

    #[test]
    fn what_follows_a_certificate_is_no_part_of_its_fingerprint() {
        let mut bytes = testing::certificate();
        let (alone, _) = logged(&bytes);
        bytes.extend([0; 9]);
        let (followed, _) = logged(&bytes);
        assert_eq!(alone[0].fingerprint, followed[0].fingerprint);
    }

    #[test]
    fn what_is_no_certificate_is_a_weird() {
        let (records, weirds) = logged(b"\x30\x03abc");
        assert!(records.is_empty());
        assert_eq!(weirds, ["x509_cert_parse_error"]);
    }

    proptest! {
        #[test]
        fn a_damaged_certificate_is_one_record_or_none(
            at in 0..558_usize, byte in any::<u8>(), more in any::<(usize, u8)>(), cut in 0..558_usize
        ) {
            let mut bytes = testing::certificate();
            bytes[at] = byte;
            bytes[more.0 % 558] = more.1;
            let (records, weirds) = logged(&bytes);
            prop_assert!(records.len() <= 1 && weirds.len() <= 3);
            let _ = logged(&bytes[cut..]);
            if let Some(certificate) = Certificate::parse(&bytes) {
                let _ = super::super::matches(&certificate, b"a.weir.test");
            }
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = logged(&bytes);
        }
    }
}
