//! Handshake messages in the bodies of records: a message may span records, a record may have several.
//!
//! Promise: a message that lies whole in one record is borrowed.

use super::records::Body;

/// Most bytes of one message. Chains of certificates stay far below; 2^24 is what the length could say.
pub const MAX_MESSAGE: usize = 1 << 20;

/// Bytes before a message's body.
const HEAD: usize = 4;

/// A message.
#[derive(Debug)]
pub struct Message<'a> {
    /// Its type.
    pub kind: u8,
    /// Its body.
    pub body: Body<'a>,
}

/// A message is longer than [`MAX_MESSAGE`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooLong;

/// One side's handshake messages.
#[derive(Debug, Default)]
pub struct Messages {
    held: Vec<u8>,
}

/// The type and whole length that the head of a message tells.
fn head(bytes: &[u8]) -> Option<(u8, usize)> {
    let [kind, a, b, c] = *bytes.first_chunk::<HEAD>()?;
    Some((kind, HEAD + u32::from_be_bytes([0, a, b, c]) as usize))
}

impl Messages {
    /// The next message that `bytes` complete; what is used is taken from them.
    pub fn pull<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Message<'a>>, TooLong> {
        if self.held.is_empty()
            && let Some((kind, length)) = head(bytes)
            && let Some((message, rest)) = bytes.split_at_checked(length)
        {
            *bytes = rest;
            let body = Body::Borrowed(message.get(HEAD..).unwrap_or_default());
            return if length > MAX_MESSAGE { Err(TooLong) } else { Ok(Some(Message { kind, body })) };
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        self.hold(bytes, HEAD);
        let Some((kind, length)) = head(&self.held) else { return Ok(None) };
        if length > MAX_MESSAGE {
            return Err(TooLong);
        }
        self.hold(bytes, length);
        if self.held.len() < length {
            return Ok(None);
        }
        let body = Body::Held { bytes: std::mem::take(&mut self.held), skip: HEAD };
        Ok(Some(Message { kind, body }))
    }

    /// Whether a message waits for its end.
    pub fn is_waiting(&self) -> bool {
        !self.held.is_empty()
    }

    /// Takes back the memory of a body.
    pub fn reuse(&mut self, body: Body<'_>) {
        if let Body::Held { mut bytes, .. } = body {
            bytes.clear();
            self.held = bytes;
        }
    }

    /// Copies until `length` bytes are held.
    fn hold(&mut self, bytes: &mut &[u8], length: usize) {
        let missing = length.saturating_sub(self.held.len()).min(bytes.len());
        if let Some((now, rest)) = bytes.split_at_checked(missing) {
            self.held.extend_from_slice(now);
            *bytes = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(chunks: &[&[u8]]) -> Vec<(u8, Vec<u8>)> {
        let mut messages = Messages::default();
        let mut out = Vec::new();
        for chunk in chunks {
            let mut bytes = *chunk;
            while let Some(message) = messages.pull(&mut bytes).unwrap() {
                out.push((message.kind, message.body.to_vec()));
                messages.reuse(message.body);
            }
        }
        out
    }

    #[test]
    fn a_message_that_is_too_long_is_refused_at_its_head() {
        let mut bytes = &[11, 0x7f, 0, 0, 1][..];
        assert_eq!(Messages::default().pull(&mut bytes).unwrap_err(), TooLong);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_messages(
            bodies in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..60)), 0..8),
            cuts in proptest::collection::vec(0..500_usize, 0..12),
        ) {
            let mut stream = Vec::new();
            for (kind, body) in &bodies {
                stream.extend([*kind, 0, 0, body.len() as u8]);
                stream.extend(body);
            }
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|w| &stream[w[0]..w[1]]).collect();
            prop_assert_eq!(all(&chunks), bodies);
        }

        #[test]
        fn any_bytes_are_survived(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..30), 0..9)) {
            let mut messages = Messages::default();
            for chunk in &chunks {
                let mut bytes = &chunk[..];
                while let Ok(Some(_)) = messages.pull(&mut bytes) {}
                prop_assert!(messages.held.len() <= 300);
            }
        }
    }
}
