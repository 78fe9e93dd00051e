//! The record layer of a stream: heads and bodies, however the stream was cut.
//!
//! Promise: a body that lies whole in the bytes at hand is borrowed; only one that is wanted and cut is copied,
//! one at a time for each side, of at most the 65,535 bytes that a record's length can say.

use std::ops::Deref;

/// Bytes of a record's head.
const HEAD: usize = 5;

/// Bytes that are borrowed where possible.
#[derive(Debug)]
pub enum Body<'a> {
    /// From the bytes at hand.
    Borrowed(&'a [u8]),
    /// Put together; the first `skip` bytes are no part of it.
    Held {
        /// The bytes.
        bytes: Vec<u8>,
        /// How many to pass over.
        skip: usize,
    },
}

impl Deref for Body<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Held { bytes, skip } => bytes.get(*skip..).unwrap_or_default(),
        }
    }
}

/// What comes next in the stream.
#[derive(Debug)]
pub enum Step<'a> {
    /// The head of a record: [`Records::begin`] is to be called.
    Head([u8; HEAD]),
    /// The body of a record that is wanted.
    Body(Body<'a>),
    /// The end of a record that is not.
    Skipped,
}

/// One side's records.
#[derive(Debug, Default)]
pub struct Records {
    head: [u8; HEAD],
    /// How much of the head is there.
    have: usize,
    /// Whether the head was given and the body is due.
    in_body: bool,
    /// How much of the body is due.
    due: usize,
    wanted: bool,
    held: Vec<u8>,
}

impl Records {
    /// The next step that `bytes` are enough for; what is used is taken from them.
    pub fn pull<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Step<'a>> {
        if self.in_body { self.body(bytes) } else { self.next_head(bytes).map(Step::Head) }
    }

    /// What to do with the body of the record whose head was given.
    pub fn begin(&mut self, length: u16, wanted: bool) {
        self.in_body = length > 0;
        self.due = usize::from(length);
        self.wanted = wanted;
    }

    /// Takes back the memory of a body.
    pub fn reuse(&mut self, body: Body<'_>) {
        if let Body::Held { mut bytes, .. } = body {
            bytes.clear();
            self.held = bytes;
        }
    }

    fn next_head(&mut self, bytes: &mut &[u8]) -> Option<[u8; HEAD]> {
        let missing = self.head.get_mut(self.have..)?;
        let (now, rest) = bytes.split_at_checked(missing.len().min(bytes.len()))?;
        missing.iter_mut().zip(now).for_each(|(to, from)| *to = *from);
        *bytes = rest;
        self.have += now.len();
        if self.have < HEAD {
            return None;
        }
        self.have = 0;
        Some(self.head)
    }

    fn body<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Step<'a>> {
        let (now, rest) = bytes.split_at_checked(self.due.min(bytes.len()))?;
        *bytes = rest;
        self.due -= now.len();
        self.in_body = self.due > 0;
        if !self.wanted {
            return (!self.in_body).then_some(Step::Skipped);
        }
        if self.in_body {
            self.held.extend_from_slice(now);
            return None;
        }
        if self.held.is_empty() {
            return Some(Step::Body(Body::Borrowed(now)));
        }
        self.held.extend_from_slice(now);
        Some(Step::Body(Body::Held { bytes: std::mem::take(&mut self.held), skip: 0 }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(chunks: &[&[u8]], wanted: impl Fn(u8) -> bool) -> Vec<(u8, Option<Vec<u8>>)> {
        let mut records = Records::default();
        let mut out = Vec::new();
        let mut kind = 0;
        for chunk in chunks {
            let mut bytes = *chunk;
            while let Some(step) = records.pull(&mut bytes) {
                match step {
                    Step::Head(head) => {
                        kind = head[0];
                        records.begin(u16::from_be_bytes([head[3], head[4]]), wanted(kind));
                    }
                    Step::Body(body) => {
                        out.push((kind, Some(body.to_vec())));
                        records.reuse(body);
                    }
                    Step::Skipped => out.push((kind, None)),
                }
            }
            assert!(bytes.is_empty());
        }
        out
    }

    #[test]
    fn a_record_that_is_whole_is_borrowed() {
        let mut records = Records::default();
        let mut bytes = &[22, 3, 1, 0, 2, 8, 9][..];
        assert!(matches!(records.pull(&mut bytes), Some(Step::Head([22, 3, 1, 0, 2]))));
        records.begin(2, true);
        assert!(matches!(records.pull(&mut bytes), Some(Step::Body(Body::Borrowed([8, 9])))));
        assert!(records.pull(&mut bytes).is_none());
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_records(
            bodies in proptest::collection::vec((20_u8..25, proptest::collection::vec(any::<u8>(), 0..40)), 0..8),
            cuts in proptest::collection::vec(0..300_usize, 0..12),
        ) {
            let mut stream = Vec::new();
            for (kind, body) in &bodies {
                stream.extend([*kind, 3, 3, 0, body.len() as u8]);
                stream.extend(body);
            }
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|w| &stream[w[0]..w[1]]).collect();
            let wanted = |kind: u8| kind != 23;
            prop_assert_eq!(all(&chunks, wanted), all(&[&stream[..]], wanted));
            prop_assert_eq!(all(&chunks, wanted).len(), bodies.iter().filter(|b| !b.1.is_empty()).count());
        }
    }
}
