//! DTLS: the heads of records in a datagram, and handshake messages from fragments.
//!
//! Promise: one message for each side is put together at a time, of at most [`MAX_FRAGMENTED`] bytes and 30 pieces.
//! Source: RFC 6347, RFC 9147; Zeek's src/analyzer/protocol/ssl/dtls-analyzer.pac for what is tolerated.

use super::fields::{Fields, OutOfBound};

/// Most bytes of a message that comes in fragments (Zeek: MAX_DTLS_HANDSHAKE_RECORD).
pub const MAX_FRAGMENTED: u32 = 15_000;
/// Most records from the first to the last fragment of a message.
const MAX_SPAN: u64 = 30;

/// The head of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// The type.
    pub content: u8,
    /// The version.
    pub version: u16,
    /// The epoch; from 1 on, records are encrypted.
    pub epoch: u16,
    /// The number in the epoch.
    pub sequence: u64,
    /// The length of the body.
    pub length: u16,
}

impl Head {
    /// Reads a head, the type included.
    pub fn parse(f: &mut Fields<'_>) -> Result<Self, OutOfBound> {
        let content = f.u8("SSLRecordSwitch:firstbyte")?;
        let version = f.u16("SSLRecord:version")?;
        let epoch = f.u16("SSLRecord:epoch")?;
        let high = f.u16("SSLRecord:sequence_number")?;
        let low = f.u32("SSLRecord:sequence_number")?;
        let length = f.u16("SSLRecord:length")?;
        Ok(Self { content, version, epoch, sequence: u64::from(high) << 32 | u64::from(low), length })
    }
}

/// Checks the head of a record of DTLS 1.3 whose first byte is `first`; the rest of the datagram belongs to it.
pub fn unified(f: &mut Fields<'_>) -> Result<(), OutOfBound> {
    let first = f.u8("SSLRecordSwitch:firstbyte")?;
    if first & 0x10 == 0 {
        f.take(if first & 8 == 0 { 1 } else { 2 }, "UnifiedRecord:sequence_number")?;
        if first & 4 != 0 {
            f.u16("UnifiedRecord:length")?;
        }
    }
    Ok(())
}

/// A fragment of a handshake message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fragment<'a> {
    /// The type of the message.
    pub kind: u8,
    /// The length of the message.
    pub length: u32,
    /// The number of the message.
    pub message: u16,
    /// Where the fragment begins.
    pub offset: u32,
    /// How long it says it is.
    pub here: u32,
    /// The bytes.
    pub data: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// Reads the body of a record.
    pub fn parse(body: &'a [u8]) -> Result<Self, OutOfBound> {
        let mut f = Fields::new(body);
        Ok(Self {
            kind: f.u8("Handshake:msg_type")?,
            length: f.u24("Handshake:length")?,
            message: f.u16("Handshake:message_seq")?,
            offset: f.u24("Handshake:fragment_offset")?,
            here: f.u24("Handshake:fragment_length")?,
            data: f.rest(),
        })
    }

    /// Whether the fragment is the message.
    pub const fn is_whole(&self) -> bool {
        self.offset == 0 && self.length == self.here
    }
}

/// Why a message cannot be put together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// It is too long.
    TooLong(u32),
    /// A second fragment claims to be the first.
    SecondFirst,
    /// A fragment is not as long as it says.
    Length,
    /// A fragment ends after the message.
    PastEnd,
    /// It has too many fragments.
    TooManyPieces,
}

impl Refusal {
    /// The reason of the violation, in Zeek's words.
    pub fn reason(self) -> weir_record::Text {
        match self {
            Self::TooLong(n) => {
                return format!("DTLS record length {n} larger than allowed maximum.").into();
            }
            Self::SecondFirst => "Saw second and different first message fragment for handshake.",
            Self::Length => "DTLS handshake record length does not match packet length",
            Self::PastEnd => "DTLS handshake fragment trying to write past end of buffer",
            Self::TooManyPieces => "DTLS Message fragmented over more than 30 pieces. Cannot reassemble.",
        }
        .into()
    }
}

/// One side's message that comes in fragments.
#[derive(Debug, Default)]
pub struct Assembly {
    message: u16,
    /// The lowest record number of its fragments so far.
    first: u64,
    first_seen: bool,
    /// The record number of its last fragment.
    last: u64,
    /// A bit for each record number from `first` on.
    seen: u32,
    bytes: Vec<u8>,
}

impl Assembly {
    /// Adds a fragment that came in record `sequence`; the message, where it is complete.
    pub fn add(&mut self, fragment: &Fragment<'_>, sequence: u64) -> Result<Option<&[u8]>, Refusal> {
        if fragment.length > MAX_FRAGMENTED {
            return Err(Refusal::TooLong(fragment.length));
        }
        let length = fragment.length as usize;
        if self.message != fragment.message || self.bytes.len() != length {
            let mut bytes = std::mem::take(&mut self.bytes);
            bytes.clear();
            bytes.resize(length, 0);
            *self = Self { message: fragment.message, first: sequence, bytes, ..Self::default() };
        }
        if self.first > sequence {
            if self.first_seen {
                return Err(Refusal::SecondFirst);
            }
            let by = span(sequence, self.first)?;
            self.seen = self.seen.checked_shl(by).unwrap_or(0);
            self.first = sequence;
        }
        if fragment.offset == 0 {
            self.first_seen = true;
        }
        let bit = 1_u32.checked_shl(span(self.first, sequence)?).unwrap_or(0);
        if self.seen & bit != 0 {
            return Ok(None);
        }
        if fragment.data.len() != fragment.here as usize {
            return Err(Refusal::Length);
        }
        let end = fragment.offset as usize + fragment.data.len();
        let place = self.bytes.get_mut(fragment.offset as usize..end).ok_or(Refusal::PastEnd)?;
        place.copy_from_slice(fragment.data);
        self.seen |= bit;
        if end == length {
            self.last = sequence;
        }
        if self.last == 0 || !self.first_seen {
            return Ok(None);
        }
        let all = (1_u64 << (span(self.first, self.last)? + 1)) - 1;
        Ok((u64::from(self.seen) & all == all).then_some(&self.bytes))
    }
}

/// From one record to another, where that is not too far.
fn span(from: u64, to: u64) -> Result<u32, Refusal> {
    let span = to.saturating_sub(from);
    if span > MAX_SPAN { Err(Refusal::TooManyPieces) } else { Ok(span as u32) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fragment(length: u32, offset: u32, data: &[u8]) -> Fragment<'_> {
        Fragment { kind: 11, length, message: 1, offset, here: data.len() as u32, data }
    }

    #[test]
    fn a_head_is_read() {
        let bytes = [22, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 1, 2, 0, 9];
        let head = Head::parse(&mut Fields::new(&bytes)).unwrap();
        assert_eq!(
            (head.content, head.version, head.epoch, head.sequence, head.length),
            (22, 0xfefd, 1, 0x102, 9)
        );
        assert!(Head::parse(&mut Fields::new(&bytes[..12])).is_err());
    }

    #[test]
    fn fragments_may_come_in_any_order() {
        let mut a = Assembly::default();
        assert_eq!(a.add(&fragment(4, 2, b"cd"), 8), Ok(None));
        assert_eq!(a.add(&fragment(4, 2, b"cd"), 8), Ok(None));
        assert_eq!(a.add(&fragment(4, 0, b"ab"), 7), Ok(Some(&b"abcd"[..])));
    }

    #[test]
    fn records_too_far_apart_are_no_message() {
        let mut a = Assembly::default();
        assert_eq!(a.add(&fragment(4, 0, b"ab"), 0), Ok(None));
        assert_eq!(a.add(&fragment(4, 2, b"cd"), 128), Err(Refusal::TooManyPieces));
    }

    #[test]
    fn lies_about_lengths_are_refused() {
        let mut a = Assembly::default();
        assert_eq!(a.add(&fragment(20_000, 0, b"ab"), 0), Err(Refusal::TooLong(20_000)));
        assert_eq!(a.add(&fragment(4, 3, b"ab"), 0), Err(Refusal::PastEnd));
        let lie = Fragment { here: 3, ..fragment(4, 0, b"ab") };
        assert_eq!(a.add(&lie, 1), Err(Refusal::Length));
    }

    proptest! {
        #[test]
        fn any_fragments_are_survived(
            all in proptest::collection::vec((any::<u16>(), 0..20_u32, 0..24_u32, 0..6_usize, 0..40_u64), 0..30)
        ) {
            let mut a = Assembly::default();
            for (message, length, offset, n, sequence) in all {
                let data = [7; 6];
                let f = Fragment { message: message & 1, ..fragment(length, offset, &data[..n]) };
                let _ = a.add(&f, sequence);
            }
        }
    }
}
