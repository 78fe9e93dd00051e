//! DNS messages: header, names, questions, and the frame of a resource record.
//!
//! A [`Reader`] walks a message in order and borrows from it. It reads on after everything that can be read on
//! after: what is odd is noted ([`Oddity`], in Zeek's words) and does not stop it; where the rest of the message
//! means nothing any more, it answers [`Stop`].
//!
//! Format: RFC 1035, 4; dynamic update: RFC 2136; NetBIOS name service: RFC 1002, 4.2. What is odd, and where reading
//! goes on after it: Zeek's src/analyzer/protocol/dns/DNS.cc. The data of records: [`super::rdata`].

use smallvec::SmallVec;
use weir_record::Text;
use weir_wire::bytes::{be16, be32};

pub use super::rdata::Rdata;

/// Most bytes of a name, dots included: names cannot be longer than 255 (RFC 1035, 3.1); twice that is read, so that
/// what is too long can be shown.
const MAX_NAME: usize = 512;

/// Most compression pointers in one name: one for each of the 127 labels that a name can have (RFC 1035, 3.1). Each
/// pointer leads strictly back, so a name ends anyway; this keeps a chain of pointers from costing more than a name.
const MAX_POINTERS: usize = 128;

/// Most oddities noted of one message; what is odd after them goes unnoted. A weird is sampled after 25 of a kind.
const MAX_ODDITIES: usize = 64;

/// A name as shown: labels with dots between them, without the dot of the root. Most names need no allocation.
pub type Name = SmallVec<[u8; 64]>;

/// The rest of the message means nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stop;

/// Something in a message that should not be so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Oddity {
    /// Zeek's name for it.
    pub name: &'static str,
    /// More about it.
    pub addl: Option<Text>,
}

/// The operation that a message asks for (header field OPCODE).
pub mod opcode {
    /// A standard query.
    pub const QUERY: u8 = 0;
    /// A zone has changed (RFC 1996).
    pub const NOTIFY: u8 = 4;
    /// A change of a zone (RFC 2136); in the NetBIOS name service: registration of a name.
    pub const UPDATE: u8 = 5;
}

/// The fixed part at the beginning of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// The identifier that the client chose.
    pub id: u16,
    /// QR, OPCODE, AA, TC, RD, RA, Z, RCODE.
    pub flags: u16,
    /// Entries in the first section: questions; zones, of an update.
    pub questions: u16,
    /// Entries in the second section: answers; prerequisites, of an update.
    pub answers: u16,
    /// Entries in the third section: authorities; updates, of an update.
    pub authorities: u16,
    /// Entries in the last section.
    pub additionals: u16,
}

impl Header {
    /// The length on the wire.
    pub const LEN: usize = 12;

    fn parse(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            id: be16(bytes, 0)?,
            flags: be16(bytes, 2)?,
            questions: be16(bytes, 4)?,
            answers: be16(bytes, 6)?,
            authorities: be16(bytes, 8)?,
            additionals: be16(bytes, 10)?,
        })
    }

    const fn bit(self, bit: u16) -> bool {
        self.flags & bit != 0
    }

    /// Whether it is a reply (QR).
    pub const fn is_reply(self) -> bool {
        self.bit(0x8000)
    }

    /// The operation; see [`opcode`].
    pub const fn opcode(self) -> u8 {
        ((self.flags >> 11) & 15) as u8
    }

    /// Authoritative answer (AA).
    pub const fn authoritative(self) -> bool {
        self.bit(0x0400)
    }

    /// Truncated (TC).
    pub const fn truncated(self) -> bool {
        self.bit(0x0200)
    }

    /// Recursion desired (RD).
    pub const fn recursion_desired(self) -> bool {
        self.bit(0x0100)
    }

    /// Recursion available (RA).
    pub const fn recursion_available(self) -> bool {
        self.bit(0x0080)
    }

    /// The three bits after RA: reserved, authentic data (AD), checking disabled (CD).
    pub const fn reserved(self) -> u16 {
        (self.flags >> 4) & 7
    }

    /// The response code.
    pub const fn rcode(self) -> u16 {
        self.flags & 15
    }
}

/// One entry of the question section.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    /// The name asked for, as written.
    pub name: Name,
    /// The type asked for.
    pub qtype: u16,
    /// The class asked for.
    pub qclass: u16,
}

/// Which section a record is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Section {
    /// What was asked for.
    Answer,
    /// Who is responsible for the name.
    Authority,
    /// What may help.
    Additional,
    /// What must be so before an update is made.
    Prerequisite,
    /// What is added to or deleted from a zone.
    Update,
}

/// One resource record.
#[derive(Clone, PartialEq, Debug)]
pub struct Record<'a> {
    /// Its section.
    pub section: Section,
    /// The name that it is about, in lower case.
    pub name: Name,
    /// Its type.
    pub rtype: u16,
    /// Its class.
    pub class: u16,
    /// How long it holds, in seconds.
    pub ttl: u32,
    /// What it says.
    pub data: Rdata<'a>,
}

/// Walks one message: [`Reader::question`] as often as the header says, then [`Reader::record`].
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    netbios: bool,
    pub(super) stopped: bool,
    oddities: Vec<Oddity>,
    /// The name of the first question, as most pointers lead to it: where it begins, and what it is.
    first_name: Option<(usize, Name)>,
}

/// Classes with a meaning of their own in updates.
const CLASS_NONE: u16 = 254;
const CLASS_ANY: u16 = 255;

impl<'a> Reader<'a> {
    /// The header of the message `bytes`, and what reads on after it; `None` where it is too short to have one.
    /// `netbios`: it is of the NetBIOS name service.
    pub fn new(bytes: &'a [u8], netbios: bool) -> Option<(Header, Self)> {
        let header = Header::parse(bytes)?;
        let reader =
            Self { bytes, at: Header::LEN, netbios, stopped: false, oddities: Vec::new(), first_name: None };
        Some((header, reader))
    }

    /// What was odd so far; each is handed out once.
    pub fn oddities(&mut self) -> std::vec::Drain<'_, Oddity> {
        self.oddities.drain(..)
    }

    /// The next question.
    ///
    /// # Errors
    /// [`Stop`] where there is none.
    pub fn question(&mut self) -> Result<Question, Stop> {
        let start = self.at;
        let name = self.name(Case::Keep)?;
        if self.left() < 4 {
            return self.stop("DNS_truncated_quest_too_short");
        }
        if start == Header::LEN && self.oddities.is_empty() {
            self.first_name = Some((start, Name::from_slice(&name)));
        }
        Ok(Question { name, qtype: self.u16(), qclass: self.u16() })
    }

    /// The next record, which the header says is in `section`.
    ///
    /// # Errors
    /// [`Stop`] where there is none, or where the record before was the last that could be read.
    pub fn record(&mut self, section: Section) -> Result<Record<'a>, Stop> {
        if self.stopped {
            return Err(Stop);
        }
        let name = self.name(Case::Lower)?;
        if self.left() < 4 {
            return self.stop("DNS_truncated_ans_too_short");
        }
        let (rtype, class, ttl) = (self.u16(), self.u16(), self.u32());
        let length = usize::from(self.u16());
        if length > self.left() {
            return self.stop("DNS_truncated_RR_rdlength_lt_len");
        }
        let deletes = section == Section::Update && matches!(class, CLASS_ANY | CLASS_NONE);
        let data = if deletes || section == Section::Prerequisite {
            // These say what must be or shall no longer be there; only their header counts.
            self.skip(length);
            Rdata::Named
        } else if length == 0 && self.left() > 0 {
            return self.stop("DNS_zero_rdlength");
        } else {
            self.rdata(rtype, length)?
        };
        Ok(Record { section, name, rtype, class, ttl, data })
    }

    /// Whether nothing can be read after the records so far.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }
}

/// What happens to upper case letters in a name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    /// They stay.
    Keep,
    /// They become lower case.
    Lower,
}

/// Where reading a name goes on.
enum Step {
    /// At the next label.
    Label(usize),
    /// Nowhere; the bytes up to here are used up.
    Done(usize),
    /// Back at `to`; the pointer itself ends at `after`.
    Pointer { to: usize, after: usize },
}

/// The steps that records are read with. A number that is not all there is 0 and takes no bytes, as in Zeek.
impl<'a> Reader<'a> {
    pub(super) const fn is_netbios(&self) -> bool {
        self.netbios
    }

    pub(super) const fn at(&self) -> usize {
        self.at
    }

    pub(super) const fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    pub(super) fn skip(&mut self, n: usize) {
        self.at = self.at.saturating_add(n).min(self.bytes.len());
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied()?;
        self.at += 1;
        Some(byte)
    }

    pub(super) fn u16(&mut self) -> u16 {
        be16(self.bytes, self.at).inspect(|_| self.at += 2).unwrap_or(0)
    }

    pub(super) fn u32(&mut self) -> u32 {
        be32(self.bytes, self.at).inspect(|_| self.at += 4).unwrap_or(0)
    }

    /// Up to `n` bytes: fewer where the message ends.
    pub(super) fn take(&mut self, n: usize) -> &'a [u8] {
        let bytes = self.bytes;
        let from = self.at;
        self.skip(n);
        bytes.get(from..self.at).unwrap_or_default()
    }

    pub(super) fn odd(&mut self, name: &'static str, addl: Option<Text>) {
        if self.oddities.len() < MAX_ODDITIES {
            self.oddities.push(Oddity { name, addl });
        }
    }

    pub(super) fn stop<T>(&mut self, name: &'static str) -> Result<T, Stop> {
        self.odd(name, None);
        Err(Stop)
    }

    /// A name, its compression undone.
    pub(super) fn name(&mut self, case: Case) -> Result<Name, Stop> {
        let mut name = match self.name_seen_before() {
            Some(name) => name,
            None => self.new_name()?,
        };
        if case == Case::Lower {
            name.make_ascii_lowercase();
        }
        Ok(name)
    }

    /// The name of the first question, if the name here is a pointer to it and nothing else.
    fn name_seen_before(&mut self) -> Option<Name> {
        let (start, name) = self.first_name.as_ref()?;
        let pointer = be16(self.bytes, self.at)?;
        let name = (usize::from(pointer) == *start | 0xc000).then(|| Name::from_slice(name))?;
        self.at += 2;
        Some(name)
    }

    fn new_name(&mut self) -> Result<Name, Stop> {
        let mut name = Name::new();
        // Where in `name` each pointer began: what a pointer led to is a name of its own, with its own end.
        let mut parts: SmallVec<[usize; 4]> = SmallVec::new();
        parts.push(0);
        let (mut at, mut end) = (self.at, self.bytes.len());
        let mut resume = None;
        loop {
            match self.label(&mut name, at, end) {
                Step::Label(next) => at = next,
                Step::Pointer { to, after } => {
                    resume = resume.or(Some(after));
                    if parts.len() >= MAX_POINTERS {
                        return self.stop("DNS_label_too_many_pointers");
                    }
                    parts.push(name.len());
                    // What a pointer leads to ends before the pointer at the latest.
                    (at, end) = (to, after.saturating_sub(2));
                }
                Step::Done(after) => {
                    self.at = resume.unwrap_or(after);
                    break;
                }
            }
        }
        for start in parts.into_iter().rev() {
            let length = name.len().saturating_sub(start);
            if length >= 255 {
                self.odd("DNS_NAME_too_long", None);
            }
            if length >= 2 && name.last() == Some(&b'.') {
                name.pop();
            }
        }
        Ok(name)
    }

    /// Adds the label at `at` to `name`; nothing at or after `end` belongs to the name.
    fn label(&mut self, name: &mut Name, at: usize, end: usize) -> Step {
        let within = self.bytes.get(..end).unwrap_or_default();
        let Some(length) = within.get(at).copied() else { return Step::Done(at) };
        let start = at + 1;
        let Some(next) = within.get(start).copied() else { return Step::Done(start) };
        if length == 0 {
            return Step::Done(start);
        }
        if length & 0xc0 == 0xc0 {
            let (to, after) = (usize::from(u16::from_be_bytes([length & 0x3f, next])), start + 1);
            if to >= at {
                self.odd("DNS_label_forward_compress_offset", None);
                return Step::Done(after);
            }
            return Step::Pointer { to, after };
        }
        let Some(label) = within.get(start..start + usize::from(length)) else {
            self.odd("DNS_label_len_gt_pkt", None);
            return Step::Done(end);
        };
        if length > 63 && !self.netbios {
            self.odd("DNS_label_too_long", None);
            return Step::Done(start);
        }
        if name.len() + label.len() >= MAX_NAME {
            self.odd("DNS_label_len_gt_name_len", None);
            return Step::Done(start);
        }
        name.extend_from_slice(label);
        name.push(b'.');
        Step::Label(start + label.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        bytes.extend_from_slice(body);
        bytes
    }

    fn name_at(body: &[u8], at: usize) -> (String, Vec<&'static str>) {
        let bytes = message(body);
        let (_, mut reader) = Reader::new(&bytes, false).unwrap();
        reader.at = at;
        let name = reader.name(Case::Lower).unwrap();
        (String::from_utf8(name.to_vec()).unwrap(), reader.oddities().map(|o| o.name).collect())
    }

    #[test]
    fn the_header_is_read_bit_by_bit() {
        let bytes = [0xbe, 0xef, 0x85, 0xb3, 0, 1, 0, 2, 0, 3, 0, 4];
        let (header, _) = Reader::new(&bytes, false).unwrap();
        assert_eq!((header.id, header.questions, header.answers), (0xbeef, 1, 2));
        assert_eq!((header.authorities, header.additionals), (3, 4));
        assert!(header.is_reply() && header.authoritative() && !header.truncated());
        assert!(header.recursion_desired() && header.recursion_available());
        assert_eq!((header.opcode(), header.reserved(), header.rcode()), (0, 3, 3));
        assert!(Reader::new(&bytes[..11], false).is_none());
    }

    #[test]
    fn a_compressed_name_is_put_together() {
        let body = b"\x07Example\x03com\x00\x03www\xc0\x0c\x00\x00";
        assert_eq!(name_at(body, 12), ("example.com".into(), vec![]));
        assert_eq!(name_at(body, 25), ("www.example.com".into(), vec![]));
    }

    #[test]
    fn a_pointer_forward_ends_the_name_and_is_odd() {
        let (name, odd) = name_at(b"\x01a\xc0\x40\x00\x00", 12);
        assert_eq!((name.as_str(), odd), ("a", vec!["DNS_label_forward_compress_offset"]));
        let (_, odd) = name_at(b"\xc0\x0c\x00\x00", 12);
        assert_eq!(odd, ["DNS_label_forward_compress_offset"]);
    }

    #[test]
    fn a_long_chain_of_pointers_is_given_up() {
        let mut body = vec![1, b'a'];
        for i in 0..400usize {
            let to = if i == 0 { 12 } else { 12 + 2 * i };
            body.extend_from_slice(&[0xc0 | (to >> 8) as u8, to as u8]);
        }
        body.push(0);
        let bytes = message(&body);
        let (_, mut reader) = Reader::new(&bytes, false).unwrap();
        reader.at = 12 + 2 + 2 * 399;
        assert_eq!(reader.name(Case::Keep), Err(Stop));
    }

    #[test]
    fn a_label_longer_than_the_message_is_odd() {
        assert_eq!(name_at(b"\x3fabc", 12), (String::new(), vec!["DNS_label_len_gt_pkt"]));
        let mut body = vec![70];
        body.extend([b'x'; 90]);
        assert_eq!(name_at(&body, 12), (String::new(), vec!["DNS_label_too_long"]));
    }

    #[test]
    fn a_name_longer_than_the_limit_is_odd_and_shown() {
        let mut body = Vec::new();
        for _ in 0..5 {
            body.push(60);
            body.extend([b'y'; 60]);
        }
        body.extend([0, 0]);
        let (name, odd) = name_at(&body, 12);
        assert_eq!((name.len(), odd), (304, vec!["DNS_NAME_too_long"]));
    }

    #[test]
    fn a_pointer_to_the_question_gives_the_same_name_as_reading_it_again() {
        let bytes = message(b"\x03WWW\x02ex\x00\x00\x01\x00\x01\xc0\x0c\x02\x61\x62\xc0\x10\x00");
        let (_, mut reader) = Reader::new(&bytes, false).unwrap();
        assert_eq!(reader.question().unwrap().name.as_slice(), b"WWW.ex");
        let mut again = Reader::new(&bytes, false).unwrap().1;
        again.at = reader.at;
        for case in [Case::Lower, Case::Keep] {
            assert_eq!(reader.name(case), again.name(case));
            assert_eq!(reader.at, again.at);
        }
    }

    fn walk(bytes: &[u8], netbios: bool) {
        let Some((header, mut reader)) = Reader::new(bytes, netbios) else { return };
        for _ in 0..header.questions {
            if reader.question().is_err() {
                return;
            }
        }
        let sections = [
            (Section::Answer, header.answers),
            (Section::Update, header.authorities),
            (Section::Additional, header.additionals),
        ];
        for (section, count) in sections {
            for _ in 0..count {
                if reader.record(section).is_err() {
                    return;
                }
            }
        }
        assert!(reader.oddities().count() <= MAX_ODDITIES);
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), n: bool) {
            walk(&bytes, n);
        }

        #[test]
        fn any_records_are_walked_without_a_panic(
            records in prop::collection::vec((0u16..260, prop::collection::vec(any::<u8>(), 0..40)), 0..12),
            cut in 0usize..400,
        ) {
            let mut bytes = vec![0, 0, 0x84, 0, 0, 0, 0, records.len() as u8, 0, 0, 0, 0];
            for (rtype, data) in &records {
                bytes.extend([0]);
                bytes.extend(rtype.to_be_bytes());
                bytes.extend([0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
                bytes.extend(data);
            }
            bytes.truncate(cut.max(12));
            walk(&bytes, false);
        }

        #[test]
        fn a_written_name_is_read_back(labels in prop::collection::vec("[a-z0-9]{1,20}", 1..8)) {
            let mut body = Vec::new();
            for label in &labels {
                body.push(label.len() as u8);
                body.extend(label.as_bytes());
            }
            body.extend([0, 0]);
            prop_assert_eq!(name_at(&body, 12), (labels.join("."), vec![]));
        }
    }
}
