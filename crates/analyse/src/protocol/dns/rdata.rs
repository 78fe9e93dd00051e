//! The data of resource records: what each type says.
//!
//! Formats: RFC 1035 (A, NS, CNAME, SOA, WKS, PTR, HINFO, MX, TXT), 3596 (AAAA), 2874 (A6), 2782 (SRV), 3403 (NAPTR),
//! 1876 (LOC), 4255 (SSHFP), 4034 (RRSIG, NSEC, DNSKEY, DS), 5155 (NSEC3, NSEC3PARAM), 8945 (TSIG), 2930 (TKEY), 6891
//! (OPT), 8659 (CAA), 9460 (SVCB, HTTPS), 7208 (SPF).
//!
//! Where reading goes on after a record is Zeek's choice and part of what is logged: after most types it is where
//! the data itself ends, not where its length field says that it ends.

use weir_record::Text;

use super::parse::{Case, Name, Reader, Stop};

/// What a record says.
#[derive(Clone, PartialEq, Debug)]
pub enum Rdata<'a> {
    /// An IPv4 address.
    A([u8; 4]),
    /// An IPv6 address.
    Aaaa([u8; 16]),
    /// An IPv6 address, the old way.
    A6([u8; 16]),
    /// The name of a name server.
    Ns(Name),
    /// The true name of an alias.
    Cname(Name),
    /// The name behind an address.
    Ptr(Name),
    /// The begin of a zone: its first name server. (Who is responsible and the five numbers are passed over.)
    Soa(Name),
    /// A mail server and its rank.
    Mx(u16, Name),
    /// A server: priority, weight, port, name.
    Srv(u16, u16, u16, Name),
    /// Texts, one after the other.
    Txt(Vec<&'a [u8]>),
    /// Texts of the Sender Policy Framework.
    Spf(Vec<&'a [u8]>),
    /// A rule to rewrite names.
    Naptr(Naptr<'a>),
    /// Services of a host.
    Wks,
    /// Size, horizontal and vertical precision of a place.
    Loc(u8, u8, u8),
    /// The fingerprint of an SSH host key: algorithm, hash, bytes.
    Sshfp(u8, u8, &'a [u8]),
    /// A signature: the type that it covers, and who signed.
    Rrsig(u16, Name),
    /// A key: its algorithm.
    Dnskey(u8),
    /// The digest of a key: algorithm and kind of digest.
    Ds(u8, u8),
    /// The next name of a zone.
    Nsec(Name),
    /// The next hashed name of a zone.
    Nsec3,
    /// How names are hashed.
    Nsec3Param,
    /// BIND's notes on signing (a private type).
    Binds,
    /// Options of the message (EDNS).
    Opt,
    /// A service binding: priority and target (`.` where it is the name itself).
    Svcb(u16, Name),
    /// A type that is read but says nothing more here (HINFO, CAA, TKEY, TSIG, names of NetBIOS).
    Opaque,
    /// A record that consists of its header: of an update.
    Named,
    /// A type that is not known.
    Unknown,
}

/// A rule to rewrite names (RFC 3403).
#[derive(Clone, PartialEq, Debug)]
pub struct Naptr<'a> {
    /// In which order rules are taken.
    pub order: u16,
    /// Which of equal order is preferred.
    pub preference: u16,
    /// What comes next.
    pub flags: &'a [u8],
    /// Which service.
    pub service: &'a [u8],
    /// How to rewrite.
    pub regexp: &'a [u8],
    /// What to look up next.
    pub replacement: Name,
}

/// Numbers of the types that are told apart here.
mod rtype {
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const CNAME: u16 = 5;
    pub const SOA: u16 = 6;
    pub const WKS: u16 = 11;
    pub const PTR: u16 = 12;
    pub const HINFO: u16 = 13;
    pub const MX: u16 = 15;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const LOC: u16 = 29;
    pub const NB: u16 = 32;
    pub const SRV: u16 = 33;
    pub const NAPTR: u16 = 35;
    pub const A6: u16 = 38;
    pub const OPT: u16 = 41;
    pub const DS: u16 = 43;
    pub const SSHFP: u16 = 44;
    pub const RRSIG: u16 = 46;
    pub const NSEC: u16 = 47;
    pub const DNSKEY: u16 = 48;
    pub const NSEC3: u16 = 50;
    pub const NSEC3PARAM: u16 = 51;
    pub const SVCB: u16 = 64;
    pub const HTTPS: u16 = 65;
    pub const SPF: u16 = 99;
    pub const TKEY: u16 = 249;
    pub const TSIG: u16 = 250;
    pub const CAA: u16 = 257;
    pub const BINDS: u16 = 65534;
}

impl<'a> Reader<'a> {
    /// The data of a record of type `number` that claims to be `length` bytes long.
    pub(super) fn rdata(&mut self, number: u16, length: usize) -> Result<Rdata<'a>, Stop> {
        match number {
            rtype::A if length == 4 => Ok(Rdata::A(self.u32().to_be_bytes())),
            rtype::A => self.stop("DNS_RR_bad_length"),
            rtype::AAAA => Ok(Rdata::Aaaa(self.address())),
            rtype::A6 => Ok(Rdata::A6(self.address())),
            rtype::NS => self.sole_name(length).map(Rdata::Ns),
            rtype::CNAME => self.sole_name(length).map(Rdata::Cname),
            rtype::PTR => self.sole_name(length).map(Rdata::Ptr),
            rtype::SOA => self.soa(length),
            rtype::MX => {
                let start = self.at();
                let preference = self.u16();
                let name = self.name(Case::Lower)?;
                self.check_length(start, length);
                Ok(Rdata::Mx(preference, name))
            }
            // Zeek goes on at the data itself, for these two.
            rtype::WKS => Ok(Rdata::Wks),
            rtype::SRV if self.is_netbios() => Ok(Rdata::Opaque),
            rtype::SRV => self.srv(length),
            rtype::NAPTR => self.naptr(length),
            rtype::TXT => Ok(Rdata::Txt(self.texts(length))),
            rtype::SPF => Ok(Rdata::Spf(self.texts(length))),
            rtype::HINFO | rtype::CAA | rtype::NB => {
                self.skip(length);
                Ok(Rdata::Opaque)
            }
            rtype::TKEY => self.tkey(),
            rtype::TSIG => self.tsig(),
            rtype::OPT => self.options().map(|()| Rdata::Opt),
            rtype::SVCB | rtype::HTTPS => self.svcb(length),
            rtype::SSHFP => self.sshfp(length),
            rtype::LOC => self.loc(),
            rtype::BINDS => self.binds(length),
            _ => self.signed(number, length),
        }
    }

    /// The types of DNSSEC.
    fn signed(&mut self, number: u16, length: usize) -> Result<Rdata<'a>, Stop> {
        match number {
            rtype::RRSIG => self.rrsig(length),
            rtype::DNSKEY => self.dnskey(length),
            rtype::DS => self.ds(length),
            rtype::NSEC => self.nsec(length),
            rtype::NSEC3 => self.nsec3(length),
            rtype::NSEC3PARAM => self.nsec3param(),
            _ => {
                self.odd("DNS_RR_unknown_type", Some(Text::from(number.to_string())));
                self.skip(length);
                Ok(Rdata::Unknown)
            }
        }
    }

    /// Fewer bytes left than a record of this type needs: the message ends.
    fn need(&self, n: usize) -> Result<(), Stop> {
        if self.left() < n { Err(Stop) } else { Ok(()) }
    }

    fn check_length(&mut self, start: usize, length: usize) {
        if self.at().saturating_sub(start) != length {
            self.odd("DNS_RR_length_mismatch", None);
        }
    }

    fn address(&mut self) -> [u8; 16] {
        let mut address = [0; 16];
        for part in address.chunks_exact_mut(4) {
            part.copy_from_slice(&self.u32().to_be_bytes());
        }
        address
    }

    fn sole_name(&mut self, length: usize) -> Result<Name, Stop> {
        let start = self.at();
        let name = self.name(Case::Lower)?;
        self.check_length(start, length);
        Ok(name)
    }

    fn soa(&mut self, length: usize) -> Result<Rdata<'a>, Stop> {
        let start = self.at();
        let server = self.name(Case::Lower)?;
        self.name(Case::Lower)?;
        self.need(20)?;
        self.skip(20);
        self.check_length(start, length);
        Ok(Rdata::Soa(server))
    }

    fn srv(&mut self, length: usize) -> Result<Rdata<'a>, Stop> {
        let start = self.at();
        let (priority, weight, port) = (self.u16(), self.u16(), self.u16());
        let name = self.name(Case::Lower)?;
        self.check_length(start, length);
        Ok(Rdata::Srv(priority, weight, port, name))
    }

    fn naptr(&mut self, length: usize) -> Result<Rdata<'a>, Stop> {
        let start = self.at();
        let (order, preference) = (self.u16(), self.u16());
        let mut rest = length.saturating_sub(4);
        let flags = self.text(&mut rest).ok_or(Stop)?;
        let service = self.text(&mut rest).ok_or(Stop)?;
        let regexp = self.text(&mut rest).ok_or(Stop)?;
        let replacement = self.name(Case::Lower)?;
        self.check_length(start, length);
        Ok(Rdata::Naptr(Naptr { order, preference, flags, service, regexp, replacement }))
    }

    /// The next character-string (RFC 1035, 3.3) of the `rest` bytes of a record.
    fn text(&mut self, rest: &mut usize) -> Option<&'a [u8]> {
        if *rest == 0 {
            return None;
        }
        let length = usize::from(self.u8()?);
        *rest -= 1;
        if length > *rest {
            self.odd("DNS_TXT_char_str_past_rdlen", None);
            return None;
        }
        *rest -= length;
        Some(self.take(length))
    }

    fn texts(&mut self, length: usize) -> Vec<&'a [u8]> {
        let mut rest = length;
        let mut texts = Vec::new();
        while let Some(text) = self.text(&mut rest) {
            texts.push(text);
        }
        // The texts before the broken one stand; the message ends with them.
        self.stopped |= rest != 0;
        texts
    }

    fn tkey(&mut self) -> Result<Rdata<'a>, Stop> {
        self.name(Case::Lower)?;
        // Inception, expiration, mode, error.
        self.skip(12);
        self.counted();
        self.counted();
        Ok(Rdata::Opaque)
    }

    fn tsig(&mut self) -> Result<Rdata<'a>, Stop> {
        self.name(Case::Lower)?;
        // Time (48 bits), fudge.
        self.skip(8);
        self.counted();
        // Original id, error.
        self.skip(4);
        self.counted();
        Ok(Rdata::Opaque)
    }

    /// Bytes after a 16-bit count of them.
    fn counted(&mut self) -> &'a [u8] {
        let n = self.u16();
        self.take(usize::from(n))
    }

    fn sshfp(&mut self, length: usize) -> Result<Rdata<'a>, Stop> {
        self.need(2)?;
        let [algorithm, hash] = self.u16().to_be_bytes();
        Ok(Rdata::Sshfp(algorithm, hash, self.take(length.saturating_sub(2))))
    }

    fn loc(&mut self) -> Result<Rdata<'a>, Stop> {
        self.need(15)?;
        let [version, size] = self.u16().to_be_bytes();
        let [horizontal, vertical] = self.u16().to_be_bytes();
        for _ in 0..3 {
            self.u32();
        }
        if version != 0 {
            self.odd("DNS_LOC_version_unrecognized", Some(Text::from(version.to_string())));
        }
        Ok(Rdata::Loc(size, horizontal, vertical))
    }

    fn binds(&mut self, length: usize) -> Result<Rdata<'a>, Stop> {
        self.need(5)?;
        self.u32();
        self.take(length.saturating_sub(4));
        Ok(Rdata::Binds)
    }

    fn rrsig(&mut self, length: usize) -> Result<Rdata<'a>, Stop> {
        self.need(18)?;
        let covered = self.u16();
        let [algorithm, _labels] = self.u16().to_be_bytes();
        // Original TTL, expiration, inception, key tag.
        self.skip(14);
        let start = self.at();
        let signer = self.name(Case::Lower)?;
        let name_len = self.at().saturating_sub(start);
        self.take(length.saturating_sub(name_len.saturating_add(18)));
        if let Some(odd) = signing_oddity(algorithm, &RRSIG_ODDITIES) {
            self.odd(odd, Some(Text::from(algorithm.to_string())));
        }
        Ok(Rdata::Rrsig(covered, signer))
    }

    fn dnskey(&mut self, length: usize) -> Result<Rdata<'a>, Stop> {
        /// Every bit but those of zone key, revoked and secure entry point.
        const UNASSIGNED: u16 = 0xfe7e;
        const REVOKED_ENTRY_POINT: u16 = 0x0181;
        self.need(4)?;
        let flags = self.u16();
        let [protocol, algorithm] = self.u16().to_be_bytes();
        self.take(length.saturating_sub(4));
        if flags & UNASSIGNED != 0 {
            self.odd("DNSSEC_DNSKEY_Invalid_Flag", Some(Text::from(flags.to_string())));
        }
        if flags & REVOKED_ENTRY_POINT == REVOKED_ENTRY_POINT {
            self.odd("DNSSEC_DNSKEY_Revoked_KSK", Some(Text::from(flags.to_string())));
        }
        if protocol != 3 {
            self.odd("DNSSEC_DNSKEY_Invalid_Protocol", Some(Text::from(protocol.to_string())));
        }
        if let Some(odd) = signing_oddity(algorithm, &DNSKEY_ODDITIES) {
            self.odd(odd, Some(Text::from(algorithm.to_string())));
        }
        Ok(Rdata::Dnskey(algorithm))
    }

    fn ds(&mut self, length: usize) -> Result<Rdata<'a>, Stop> {
        self.need(4)?;
        self.u16();
        let [algorithm, digest] = self.u16().to_be_bytes();
        self.take(length.saturating_sub(4));
        let odd = match digest {
            1..=4 => None,
            0 => Some("DNSSEC_DS_ReservedDigestType"),
            _ => Some("DNSSEC_DS_unknown_DigestType"),
        };
        if let Some(odd) = odd {
            self.odd(odd, Some(Text::from(digest.to_string())));
        }
        Ok(Rdata::Ds(algorithm, digest))
    }

    fn nsec(&mut self, length: usize) -> Result<Rdata<'a>, Stop> {
        let start = self.at();
        let next = self.name(Case::Lower)?;
        self.bitmaps(start, length, "DNSSEC_NSEC_bitmapLen0");
        Ok(Rdata::Nsec(next))
    }

    fn nsec3(&mut self, length: usize) -> Result<Rdata<'a>, Stop> {
        self.need(6)?;
        let start = self.at();
        // Hash, flags, iterations.
        self.u32();
        let salt = self.u8().unwrap_or(0);
        self.take(usize::from(salt));
        let hash = self.u8().unwrap_or(0);
        self.take(usize::from(hash));
        self.bitmaps(start, length, "DNSSEC_NSEC3_bitmapLen0");
        Ok(Rdata::Nsec3)
    }

    fn nsec3param(&mut self) -> Result<Rdata<'a>, Stop> {
        self.need(5)?;
        self.u32();
        let salt = self.u8().unwrap_or(0);
        self.take(usize::from(salt));
        Ok(Rdata::Nsec3Param)
    }

    /// The bitmaps of types (RFC 4034, 4.1.2) that end a record, which began at `start`.
    fn bitmaps(&mut self, start: usize, length: usize, empty: &'static str) {
        let mut rest = length.saturating_sub(self.at().saturating_sub(start));
        while rest > 0 && self.left() > 0 {
            // One odd byte cannot begin a block; Zeek does not move either, and sees a block without length.
            let [window, n] = self.u16().to_be_bytes();
            if n == 0 {
                self.odd(empty, Some(Text::from(window.to_string())));
                return;
            }
            self.take(usize::from(n));
            rest = rest.saturating_sub(2 + usize::from(n));
        }
    }
}

/// The names of what is odd about a signing algorithm: not recommended, indirect, private by name, private by
/// object identifier, unknown.
type SigningOddities = [&'static str; 5];

const RRSIG_ODDITIES: SigningOddities = [
    "DNSSEC_RRSIG_NotRecommended_ZoneSignAlgo",
    "DNSSEC_RRSIG_Indirect_ZoneSignAlgo",
    "DNSSEC_RRSIG_PrivateDNS_ZoneSignAlgo",
    "DNSSEC_RRSIG_PrivateOID_ZoneSignAlgo",
    "DNSSEC_RRSIG_unknown_ZoneSignAlgo",
];

const DNSKEY_ODDITIES: SigningOddities = [
    "DNSSEC_DNSKEY_NotRecommended_ZoneSignAlgo",
    "DNSSEC_DNSKEY_Indirect_ZoneSignAlgo",
    "DNSSEC_DNSKEY_PrivateDNS_ZoneSignAlgo",
    "DNSSEC_DNSKEY_PrivateOID_ZoneSignAlgo",
    "DNSSEC_DNSKEY_unknown_ZoneSignAlgo",
];

fn signing_oddity(algorithm: u8, names: &SigningOddities) -> Option<&'static str> {
    let [not_recommended, indirect, private_name, private_oid, unknown] = names;
    match algorithm {
        1 => Some(not_recommended),
        2..=8 | 10 | 12..=16 => None,
        252 => Some(indirect),
        253 => Some(private_name),
        254 => Some(private_oid),
        _ => Some(unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::Section;
    use super::*;

    /// A reply with one answer record of `rtype` about the root, then four bytes that belong to nothing.
    fn answer(rtype: u16, data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 1, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0];
        bytes.extend(rtype.to_be_bytes());
        bytes.extend([0, 1, 0, 0, 0, 60]);
        bytes.extend((data.len() as u16).to_be_bytes());
        bytes.extend(data);
        bytes.extend([0xff; 4]);
        bytes
    }

    fn read(bytes: &[u8]) -> (Option<Rdata<'_>>, Vec<&'static str>, usize) {
        let (_, mut reader) = Reader::new(bytes, false).unwrap();
        let data = reader.record(Section::Answer).ok().map(|r| r.data);
        let odd = reader.oddities().map(|o| o.name).collect();
        (data, odd, reader.left())
    }

    fn check(rtype: u16, data: &[u8], expected: Rdata<'_>) {
        let bytes = answer(rtype, data);
        assert_eq!(read(&bytes), (Some(expected), vec![], 4), "type {rtype}");
    }

    #[test]
    fn each_type_is_read_to_its_end() {
        let name = |s: &str| Name::from_slice(s.as_bytes());
        check(rtype::A, &[10, 0, 0, 1], Rdata::A([10, 0, 0, 1]));
        check(rtype::AAAA, &[7; 16], Rdata::Aaaa([7; 16]));
        check(rtype::NS, b"\x02NS\x02ex\x00", Rdata::Ns(name("ns.ex")));
        check(rtype::MX, b"\x00\x0a\x01m\x00", Rdata::Mx(10, name("m")));
        check(rtype::SOA, &[b"\x01a\x00\x01b\x00".as_slice(), &[0; 20]].concat(), Rdata::Soa(name("a")));
        check(rtype::SRV, b"\x00\x01\x00\x02\x00\x50\x01s\x00", Rdata::Srv(1, 2, 80, name("s")));
        check(rtype::TXT, b"\x02hi\x00\x03you", Rdata::Txt(vec![b"hi", b"", b"you"]));
        check(rtype::SSHFP, &[1, 2, 0xab, 0xcd], Rdata::Sshfp(1, 2, &[0xab, 0xcd]));
        check(rtype::DS, &[0, 1, 5, 2, 9, 9], Rdata::Ds(5, 2));
        check(rtype::DNSKEY, &[1, 0, 3, 8, 1, 2, 3], Rdata::Dnskey(8));
        check(rtype::NSEC, b"\x01z\x00\x00\x01\x40", Rdata::Nsec(name("z")));
        check(rtype::LOC, &[&[0, 18, 22, 19][..], &[0; 12]].concat(), Rdata::Loc(18, 22, 19));
        check(rtype::CAA, b"\x00\x05issueca", Rdata::Opaque);
        let signature = [&[0, 1, 5, 2][..], &[0; 14], b"\x02ex\x00", &[1, 2, 3]].concat();
        check(rtype::RRSIG, &signature, Rdata::Rrsig(1, name("ex")));
        let rule = b"\x00\x64\x00\x0a\x01u\x07E2U+sip\x03!a!\x00";
        let (flags, service, regexp) = (&b"u"[..], &b"E2U+sip"[..], &b"!a!"[..]);
        let naptr = Naptr { order: 100, preference: 10, flags, service, regexp, replacement: Name::new() };
        check(rtype::NAPTR, rule, Rdata::Naptr(naptr));
    }

    #[test]
    fn an_address_of_the_wrong_length_ends_the_message() {
        let bytes = answer(rtype::A, &[10, 0, 0]);
        assert_eq!(read(&bytes).1, ["DNS_RR_bad_length"]);
        assert_eq!(read(&bytes).0, None);
    }

    #[test]
    fn a_text_past_the_record_keeps_those_before_and_ends_the_message() {
        let bytes = answer(rtype::TXT, b"\x02hi\x09x");
        let (_, mut reader) = Reader::new(&bytes, false).unwrap();
        assert_eq!(reader.record(Section::Answer).unwrap().data, Rdata::Txt(vec![b"hi"]));
        assert!(reader.is_stopped());
        assert_eq!(reader.record(Section::Answer), Err(Stop));
        assert_eq!(reader.oddities().map(|o| o.name).collect::<Vec<_>>(), ["DNS_TXT_char_str_past_rdlen"]);
    }

    #[test]
    fn an_unknown_type_is_passed_over_with_its_number() {
        let bytes = answer(17, &[1, 2, 3]);
        let (_, mut reader) = Reader::new(&bytes, false).unwrap();
        assert_eq!(reader.record(Section::Answer).unwrap().data, Rdata::Unknown);
        let odd: Vec<_> = reader.oddities().collect();
        assert_eq!(odd[0].name, "DNS_RR_unknown_type");
        assert_eq!(odd[0].addl, Some(Text::from("17")));
    }

    #[test]
    fn a_deletion_in_an_update_is_read_by_its_header_only() {
        let mut bytes = answer(rtype::A, &[]);
        bytes[16] = 255;
        let (_, mut reader) = Reader::new(&bytes, false).unwrap();
        let record = reader.record(Section::Update).unwrap();
        assert_eq!((record.data, record.class), (Rdata::Named, 255));
    }
}
