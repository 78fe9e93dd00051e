//! The first bytes of both sides, kept until they tell a protocol.
//!
//! Promise: at most [`MAX_HELD`] bytes of a stream are kept, of datagrams none; once the answer is known, or never will
//! be, nothing is looked at any more. Source: Zeek's src/analyzer/protocol/pia (`dpd_buffer_size`,
//! `dpd_match_only_beginning`).

use super::signature::{self, Answer, RULES};
use crate::context::Side;
use crate::protocol::Kind;

/// Bytes of both sides together after which signatures are not tried any more (Zeek: dpd_buffer_size).
const MAX_HELD: usize = 1024;
/// Pieces and gaps after which signatures are not tried any more (Zeek: dpd_max_packets).
const MAX_EVENTS: usize = 100;

/// What one side did.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// It sent these bytes.
    Data(&'a [u8]),
    /// It sent so many bytes that were not seen.
    Gap(u64),
    /// It will send no more.
    End,
}

/// An event as it is kept: how many bytes of its side's buffer are its.
#[derive(Clone, Copy)]
enum Kept {
    Data(usize),
    Gap(u64),
    End,
}

/// What is known after an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The connection is of this protocol; the event itself is not part of what is to be replayed.
    Found(Kind),
    /// Not yet known.
    Open,
    /// No signature can match any more.
    Over,
}

/// What the bytes of one side say of each of [`RULES`], as bits.
#[derive(Clone, Copy, Default)]
struct Told {
    fits: u32,
    never: u32,
}

// A bit for each rule.
const _: () = assert!(RULES.len() <= u32::BITS as usize);

impl Told {
    fn look(&mut self, side: Side, bytes: &[u8]) {
        for (at, rule) in RULES.iter().enumerate() {
            let bit = 1 << at;
            if (self.fits | self.never) & bit != 0 {
                continue;
            }
            match rule.of(side).map(|matcher| matcher(bytes)) {
                None | Some(Answer::Yes) => self.fits |= bit,
                Some(Answer::No) => self.never |= bit,
                Some(Answer::More) => {}
            }
        }
    }

    /// Nothing follows: what does not fit will never.
    const fn close(&mut self) {
        self.never |= !self.fits;
    }
}

#[derive(Default)]
struct Half {
    bytes: Vec<u8>,
    told: Told,
    looked: bool,
}

/// The beginning of a stream.
#[derive(Default)]
pub struct Beginning {
    halves: [Half; 2],
    events: Vec<(Side, Kept)>,
    held: usize,
}

impl Beginning {
    /// `side` sent `bytes`.
    pub fn data(&mut self, side: Side, bytes: &[u8]) -> Outcome {
        let before = self.half(side).bytes.len();
        self.held = self.held.saturating_add(bytes.len());
        let full = self.held > MAX_HELD;
        let half = self.half(side);
        half.looked = true;
        if before == 0 {
            half.told.look(side, bytes);
        } else {
            half.bytes.extend_from_slice(bytes.get(..bytes.len().min(MAX_HELD)).unwrap_or_default());
            half.told.look(side, &half.bytes);
            half.bytes.truncate(before);
        }
        let outcome = self.outcome();
        if outcome != Outcome::Open {
            return outcome;
        }
        if full {
            return Outcome::Over;
        }
        self.half(side).bytes.extend_from_slice(bytes);
        self.keep(side, Kept::Data(bytes.len()))
    }

    /// Bytes of `side` are missing. Signatures do not notice, as in Zeek: analysers will.
    pub fn gap(&mut self, side: Side, len: u64) -> Outcome {
        if self.events.is_empty() { Outcome::Open } else { self.keep(side, Kept::Gap(len)) }
    }

    /// `side` will send no more.
    pub fn end(&mut self, side: Side) -> Outcome {
        let half = self.half(side);
        half.told.look(side, &[]);
        half.told.close();
        half.looked = true;
        let outcome = self.outcome();
        if outcome == Outcome::Open { self.keep(side, Kept::End) } else { outcome }
    }

    /// The roles were exchanged.
    pub fn flip(&mut self) {
        self.halves.reverse();
        for (side, _) in &mut self.events {
            *side = side.flip();
        }
    }

    /// What was kept, in the order in which it came.
    pub fn replay(&self, mut each: impl FnMut(Side, Event<'_>)) {
        let mut at = [0_usize; 2];
        for &(side, kept) in &self.events {
            match kept {
                Kept::Gap(len) => each(side, Event::Gap(len)),
                Kept::End => each(side, Event::End),
                Kept::Data(len) => {
                    let (Some(half), Some(at)) = (self.halves.get(side.index()), at.get_mut(side.index()))
                    else {
                        continue;
                    };
                    let from = *at;
                    *at = from.saturating_add(len);
                    each(side, Event::Data(half.bytes.get(from..*at).unwrap_or_default()));
                }
            }
        }
    }

    fn keep(&mut self, side: Side, kept: Kept) -> Outcome {
        if self.events.len() >= MAX_EVENTS {
            return Outcome::Over;
        }
        self.events.push((side, kept));
        Outcome::Open
    }

    fn half(&mut self, side: Side) -> &mut Half {
        let [orig, resp] = &mut self.halves;
        if side.is_orig() { orig } else { resp }
    }

    /// Found is the first rule that fits on all sides that it is about; over it is when none can any more.
    fn outcome(&self) -> Outcome {
        let [orig, resp] = &self.halves;
        // A side that sent nothing yet fits where it does not matter.
        let fits = |half: &Half, side| if half.looked { half.told.fits } else { unconcerned(side) };
        let found = fits(orig, Side::Orig) & fits(resp, Side::Resp);
        if let Some(rule) = RULES.get(found.trailing_zeros() as usize) {
            return Outcome::Found(rule.kind);
        }
        let never = orig.told.never | resp.told.never;
        let all = (1_u32 << RULES.len()) - 1;
        if never & all == all { Outcome::Over } else { Outcome::Open }
    }
}

/// The rules that `side` does not matter for, as bits.
fn unconcerned(side: Side) -> u32 {
    RULES
        .iter()
        .enumerate()
        .filter(|(_, rule)| rule.of(side).is_none())
        .fold(0, |bits, (at, _)| bits | 1 << at)
}

/// The beginning of a flow of datagrams, each of which is looked at for itself.
#[derive(Clone, Copy, Default)]
pub struct Datagrams {
    seen: usize,
    count: usize,
}

impl Datagrams {
    /// None came yet.
    pub const fn new() -> Self {
        Self { seen: 0, count: 0 }
    }

    /// A datagram came.
    pub fn data(&mut self, datagram: &[u8]) -> Outcome {
        self.seen = self.seen.saturating_add(datagram.len());
        self.count = self.count.saturating_add(1);
        if let Some(kind) = signature::datagram(datagram) {
            Outcome::Found(kind)
        } else if self.seen > MAX_HELD || self.count > MAX_EVENTS {
            Outcome::Over
        } else {
            Outcome::Open
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replayed(beginning: &Beginning) -> Vec<(Side, Vec<u8>)> {
        let mut all = Vec::new();
        beginning.replay(|side, event| {
            let bytes = match event {
                Event::Data(bytes) => bytes.to_vec(),
                Event::Gap(len) => format!("<{len}>").into_bytes(),
                Event::End => b"<end>".to_vec(),
            };
            all.push((side, bytes));
        });
        all
    }

    #[test]
    fn what_came_before_the_match_is_replayed_as_it_came() {
        let mut b = Beginning::default();
        assert_eq!(b.data(Side::Orig, b"SSH-"), Outcome::Open);
        assert_eq!(b.data(Side::Resp, b"SS"), Outcome::Open);
        assert_eq!(b.data(Side::Orig, b"2.0-x\r\n"), Outcome::Open);
        assert_eq!(b.end(Side::Orig), Outcome::Open);
        assert_eq!(b.data(Side::Resp, b"H-2.0-y\r\n"), Outcome::Found(Kind::Ssh));
        let all =
            [(Side::Orig, "SSH-"), (Side::Resp, "SS"), (Side::Orig, "2.0-x\r\n"), (Side::Orig, "<end>")];
        assert_eq!(replayed(&b), all.map(|(side, s)| (side, s.as_bytes().to_vec())));
    }

    #[test]
    fn ssh_on_one_side_only_is_not_ssh() {
        let mut b = Beginning::default();
        assert_eq!(b.data(Side::Orig, b"SSH-2.0-x\r\n"), Outcome::Open);
        assert_eq!(b.data(Side::Resp, b"\x01go away\r\nnow\r\n"), Outcome::Over);
    }

    #[test]
    fn the_other_side_alone_may_tell() {
        let mut b = Beginning::default();
        assert_eq!(b.data(Side::Orig, b"FROB /\r\n"), Outcome::Open);
        assert_eq!(b.data(Side::Resp, b"HTTP/1.0 400 what?\r\n"), Outcome::Found(Kind::Http));
    }

    #[test]
    fn a_gap_is_replayed_and_not_noticed() {
        let mut b = Beginning::default();
        assert_eq!(b.gap(Side::Resp, 10), Outcome::Open);
        assert_eq!(b.data(Side::Orig, b"GE"), Outcome::Open);
        assert_eq!(b.gap(Side::Orig, 7), Outcome::Open);
        assert_eq!(b.data(Side::Orig, b"T / HTTP/1.0\r\n"), Outcome::Found(Kind::Http));
        assert_eq!(replayed(&b), [(Side::Orig, b"GE".to_vec()), (Side::Orig, b"<7>".to_vec())]);
    }

    #[test]
    fn many_small_pieces_are_not_waited_for() {
        let mut b = Beginning::default();
        let mut pieces = 0;
        while b.data(Side::Orig, b" ") == Outcome::Open {
            pieces += 1;
            assert!(pieces <= MAX_EVENTS);
        }
        assert_eq!(pieces, MAX_EVENTS);
    }

    #[test]
    fn little_is_kept() {
        let mut b = Beginning::default();
        assert_eq!(b.data(Side::Orig, &[b'x'; MAX_HELD]), Outcome::Open);
        assert_eq!(b.data(Side::Resp, b"H"), Outcome::Over);
        let mut d = Datagrams::new();
        assert_eq!(d.data(&[0; MAX_HELD]), Outcome::Open);
        assert_eq!(d.data(&[0]), Outcome::Over);
    }
}
