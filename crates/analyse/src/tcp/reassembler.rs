//! A stream of bytes from segments in any order: pulled, never calls out.
//!
//! Payload that comes in order is passed through where it lies ([`Stream::segment`]); what comes early is held until
//! the hole before it is filled or acknowledged, and is then taken by [`Stream::take`]. Of bytes that come twice the
//! first stand. In bytes: entered = delivered + duplicate + held + discarded; gaps never entered.

use std::collections::BTreeMap;

use weir_ledger::StreamAccount;

/// What comes next in a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece {
    /// Bytes that had been held.
    Data(Box<[u8]>),
    /// So many bytes were never seen.
    Gap(u64),
}

/// Bytes above a hole; once nobody wants them, only how many.
#[derive(Clone, Debug)]
struct Held {
    len: u64,
    bytes: Box<[u8]>,
}

/// What is held above holes.
#[derive(Clone, Debug, Default)]
struct Waiting {
    held: BTreeMap<u64, Held>,
    bytes: usize,
}

/// One direction of a connection.
#[derive(Clone, Debug)]
pub struct Stream {
    /// The relative sequence number of the next byte: 1 is the first.
    next: u64,
    /// Below this, holes are gaps: the receiver has said that it has the bytes.
    acked: u64,
    /// Few streams ever hold anything.
    waiting: Option<Box<Waiting>>,
    /// Nobody wants payload any more: numbers go on, bytes are not held.
    skipping: bool,
    /// The stream was given up: what comes is dropped, and what does not come is no gap.
    given_up: bool,
}

impl Default for Stream {
    fn default() -> Self {
        Self { next: 1, acked: 1, waiting: None, skipping: false, given_up: false }
    }
}

impl Stream {
    /// The relative sequence number of the next byte.
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// How many bytes are held.
    pub fn held(&self) -> usize {
        self.waiting.as_ref().map_or(0, |waiting| waiting.bytes)
    }

    /// Where the first held bytes are.
    fn first_held(&self) -> Option<u64> {
        self.waiting.as_ref()?.held.first_key_value().map(|(start, _)| *start)
    }

    /// Whether nothing waits: no byte is held and no hole is known.
    pub fn is_settled(&self) -> bool {
        self.acked <= self.next && self.first_held().is_none()
    }

    /// Whether the stream was given up.
    pub const fn is_given_up(&self) -> bool {
        self.given_up
    }

    /// How many bytes lie between the next one and the end of what is held.
    pub fn above_hole(&self) -> u64 {
        let last = self.waiting.as_ref().and_then(|waiting| waiting.held.last_key_value());
        last.map_or(0, |(start, held)| start.saturating_add(held.len).saturating_sub(self.next))
    }

    /// How many bytes the receiver has not said to have.
    pub fn unacknowledged(&self) -> u64 {
        self.next.saturating_sub(self.acked).saturating_add(self.held() as u64)
    }

    /// Drops what is held, and all that comes.
    pub fn give_up(&mut self, account: &mut StreamAccount) {
        self.discard(account);
        self.given_up = true;
    }

    /// The stream begins at `at`: nothing before it is missed (a connection whose beginning was not seen).
    pub fn begin_at(&mut self, at: u64) {
        self.next = self.next.max(at);
        self.acked = self.acked.max(at);
    }

    /// From now on nobody wants the bytes: what is held counts as delivered when its turn comes, but is not kept.
    pub fn skip(&mut self, account: &mut StreamAccount) {
        self.skipping = true;
        let Some(waiting) = &mut self.waiting else { return };
        for held in waiting.held.values_mut() {
            account.held -= held.bytes.len() as u64;
            account.delivered += held.bytes.len() as u64;
            held.bytes = Box::default();
        }
        waiting.bytes = 0;
    }

    /// Payload `bytes` at relative sequence number `at`; the part that continues the stream comes back. At most `limit`
    /// bytes are held.
    pub fn segment<'a>(
        &mut self,
        at: u64,
        bytes: &'a [u8],
        limit: usize,
        account: &mut StreamAccount,
    ) -> &'a [u8] {
        account.entered += bytes.len() as u64;
        if self.given_up {
            account.discarded += bytes.len() as u64;
            return &[];
        }
        let known = self.next.saturating_sub(at).min(bytes.len() as u64) as usize;
        account.duplicate += known as u64;
        let rest = bytes.get(known..).unwrap_or_default();
        if rest.is_empty() {
            return rest;
        }
        let at = at.max(self.next);
        if at > self.next {
            self.hold(at, rest, limit, account);
            return &[];
        }
        let free = match self.first_held() {
            Some(first) => first.saturating_sub(at).min(rest.len() as u64) as usize,
            None => rest.len(),
        };
        let (now, beyond) = rest.split_at_checked(free).unwrap_or((rest, &[]));
        self.next += now.len() as u64;
        account.delivered += now.len() as u64;
        if !beyond.is_empty() {
            self.hold(at + now.len() as u64, beyond, limit, account);
        }
        now
    }

    /// Keeps the parts of `bytes` that are not held yet.
    fn hold(&mut self, mut at: u64, mut bytes: &[u8], limit: usize, account: &mut StreamAccount) {
        while !bytes.is_empty() {
            let held = &self.waiting.get_or_insert_default().held;
            let before = held.range(..=at).next_back().map(|(start, held)| start + held.len);
            let covered = before.unwrap_or(0).saturating_sub(at).min(bytes.len() as u64) as usize;
            account.duplicate += covered as u64;
            at += covered as u64;
            bytes = bytes.get(covered..).unwrap_or_default();
            let until = held.range(at..).next().map_or(u64::MAX, |(start, _)| *start);
            let free = until.saturating_sub(at).min(bytes.len() as u64) as usize;
            let (new, rest) = bytes.split_at_checked(free).unwrap_or((bytes, &[]));
            if !new.is_empty() {
                self.keep(at, new, limit, account);
            }
            at += new.len() as u64;
            bytes = rest;
        }
    }

    fn keep(&mut self, at: u64, bytes: &[u8], limit: usize, account: &mut StreamAccount) {
        let waiting = self.waiting.get_or_insert_default();
        let len = bytes.len() as u64;
        if self.skipping {
            account.delivered += len;
            waiting.held.insert(at, Held { len, bytes: Box::default() });
            self.merge_skipped();
        } else if waiting.bytes + bytes.len() > limit {
            account.discarded += len;
        } else {
            waiting.bytes += bytes.len();
            account.held += len;
            waiting.held.insert(at, Held { len, bytes: bytes.into() });
        }
    }

    /// Bounds what is remembered of bytes that nobody wants: above this many pieces, the oldest hole is given up.
    fn merge_skipped(&mut self) {
        const MAX_PIECES: usize = 1024;
        if self.waiting.as_ref().is_some_and(|waiting| waiting.held.len() > MAX_PIECES)
            && let Some(first) = self.first_held()
        {
            self.acked = self.acked.max(first);
        }
    }

    /// The receiver has everything below `to`: a hole below it will not be filled. Whether that is news.
    pub fn acknowledged(&mut self, to: u64) -> bool {
        let news = to > self.acked;
        self.acked = self.acked.max(to);
        news
    }

    /// What comes next, if it is there: held bytes whose turn has come, or a gap.
    pub fn take(&mut self, account: &mut StreamAccount) -> Option<Piece> {
        let first = self.first_held();
        match first {
            Some(start) if start <= self.next => {
                let waiting = self.waiting.as_mut()?;
                let (_, Held { len, bytes }) = waiting.held.pop_first()?;
                waiting.bytes -= bytes.len();
                self.next = self.next.max(start.saturating_add(len));
                account.held -= bytes.len() as u64;
                account.delivered += bytes.len() as u64;
                Some(Piece::Data(bytes))
            }
            _ => {
                let to = first.map_or(self.acked, |start| start.min(self.acked));
                let len = to.checked_sub(self.next).filter(|len| *len > 0)?;
                self.next = to;
                if self.given_up {
                    return None;
                }
                account.gap += len;
                Some(Piece::Gap(len))
            }
        }
    }

    /// The connection is over: what is held is given up.
    pub fn discard(&mut self, account: &mut StreamAccount) {
        for held in self.waiting.take().into_iter().flat_map(|waiting| waiting.held.into_values()) {
            account.held -= held.bytes.len() as u64;
            account.discarded += held.bytes.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drain(stream: &mut Stream, account: &mut StreamAccount, out: &mut Vec<u8>) {
        while let Some(piece) = stream.take(account) {
            match piece {
                Piece::Data(bytes) => out.extend_from_slice(&bytes),
                Piece::Gap(len) => out.extend(std::iter::repeat_n(b'?', len as usize)),
            }
        }
    }

    #[test]
    fn a_hole_that_is_acknowledged_is_a_gap() {
        let (mut s, mut a, mut out) = (Stream::default(), StreamAccount::default(), Vec::new());
        assert_eq!(s.segment(1, b"ab", 100, &mut a), b"ab");
        assert_eq!(s.segment(5, b"ef", 100, &mut a), b"");
        assert_eq!(s.take(&mut a), None);
        s.acknowledged(7);
        drain(&mut s, &mut a, &mut out);
        assert_eq!(out, b"??ef");
        assert!(a.balances() && a.gap == 2 && a.held == 0);
    }

    proptest! {
        #[test]
        fn any_split_order_and_repetition_of_segments_yields_the_same_stream(
            bytes in proptest::collection::vec(any::<u8>(), 1..300),
            cuts in proptest::collection::vec((0usize..300, 1usize..60), 0..80),
        ) {
            let (mut s, mut a, mut out) = (Stream::default(), StreamAccount::default(), Vec::new());
            let whole = (0..bytes.len()).step_by(7).map(|at| (at, 7)).collect::<Vec<_>>();
            for (at, len) in cuts.into_iter().chain(whole.into_iter().rev()) {
                let Some(piece) = bytes.get(at..(at + len).min(bytes.len())) else { continue };
                out.extend_from_slice(s.segment(at as u64 + 1, piece, 1 << 20, &mut a));
                drain(&mut s, &mut a, &mut out);
                prop_assert!(a.balances());
            }
            prop_assert_eq!(out, bytes);
            prop_assert_eq!(a.held, 0);
        }

        #[test]
        fn the_bytes_balance_after_any_sequence_of_operations(
            ops in proptest::collection::vec((0u8..6, 0u64..400, 0usize..50), 0..100),
        ) {
            let (mut s, mut a) = (Stream::default(), StreamAccount::default());
            for (op, at, len) in ops {
                match op {
                    0..=2 => { s.segment(at, &vec![1; len], 200, &mut a); }
                    3 => { s.acknowledged(at); }
                    4 => { s.take(&mut a); }
                    _ => if len == 0 { s.skip(&mut a) },
                }
                prop_assert!(a.balances(), "{a:?}");
            }
            s.discard(&mut a);
            prop_assert!(a.balances() && a.held == 0, "{a:?}");
        }
    }
}
