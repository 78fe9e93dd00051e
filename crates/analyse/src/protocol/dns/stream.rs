//! Messages of DNS over TCP: each has its length before it (RFC 1035, 4.2.2; RFC 7766, 8).

/// One direction of a TCP connection, cut into messages.
///
/// Call [`Framer::next`] until it answers `None` for each piece of the stream, [`Framer::gap`] for what was lost and
/// [`Framer::rest`] at the end. A message that lies in one piece is not copied.
#[derive(Default)]
pub struct Framer {
    /// The first byte of a length whose second has not come.
    high: Option<u8>,
    /// Bytes of the message in work that have not come; `None` between messages. At most 65,535, and so is `held`.
    missing: Option<usize>,
    /// The bytes that have come.
    held: Vec<u8>,
    /// The message in work has a hole: it is passed over.
    broken: bool,
    /// Where messages begin is not known any more.
    lost: bool,
}

/// A message: where it lay whole, or put together.
pub enum Framed<'a> {
    /// In the piece of stream given.
    Whole(&'a [u8]),
    /// Over several pieces.
    Joined(Vec<u8>),
}

impl Framed<'_> {
    /// The message.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Joined(bytes) => bytes,
        }
    }
}

impl Framer {
    /// The next message that ends in `piece`, which is left behind it.
    pub fn next<'a>(&mut self, piece: &mut &'a [u8]) -> Option<Framed<'a>> {
        loop {
            if self.lost {
                return None;
            }
            let missing = self.length(piece)?;
            let (now, after) = piece.split_at_checked(missing).unwrap_or((piece, &[]));
            *piece = after;
            if now.len() < missing {
                self.missing = Some(missing - now.len());
                if !self.broken {
                    self.held.extend_from_slice(now);
                }
                return None;
            }
            self.missing = None;
            if std::mem::take(&mut self.broken) {
                continue;
            }
            if self.held.is_empty() {
                return Some(Framed::Whole(now));
            }
            let mut message = std::mem::take(&mut self.held);
            message.extend_from_slice(now);
            return Some(Framed::Joined(message));
        }
    }

    /// How many bytes the message in work misses; reads its length if that has not been done.
    fn length(&mut self, piece: &mut &[u8]) -> Option<usize> {
        if let Some(missing) = self.missing {
            return Some(missing);
        }
        let (byte, after) = piece.split_first()?;
        *piece = after;
        let Some(high) = self.high.take() else {
            self.high = Some(*byte);
            return self.length(piece);
        };
        Some(usize::from(u16::from_be_bytes([high, *byte])))
    }

    /// `len` bytes of the stream were lost.
    pub fn gap(&mut self, len: u64) {
        match self.missing {
            Some(missing) if len <= missing as u64 => {
                self.missing = Some(missing - len as usize);
                self.broken = true;
            }
            _ => self.lost = true,
        }
        self.held = Vec::new();
    }

    /// The stream has ended: the beginning of a message that was cut off.
    pub fn rest(&mut self) -> Option<Vec<u8>> {
        self.missing = None;
        let rest = std::mem::take(&mut self.held);
        (!rest.is_empty()).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn feed(framer: &mut Framer, mut piece: &[u8]) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| framer.next(&mut piece).map(|m| m.bytes().to_vec())).collect()
    }

    #[test]
    fn the_rest_of_a_cut_message_is_kept_for_the_end() {
        let mut framer = Framer::default();
        assert_eq!(feed(&mut framer, &[0, 3, 1, 2]), Vec::<Vec<u8>>::new());
        assert_eq!(framer.rest(), Some(vec![1, 2]));
        assert_eq!(framer.rest(), None);
    }

    #[test]
    fn a_hole_costs_one_message_where_it_stays_inside() {
        let mut framer = Framer::default();
        assert!(feed(&mut framer, &[0, 5, 1]).is_empty());
        framer.gap(3);
        assert_eq!(feed(&mut framer, &[9, 0, 1, 7]), [[7]]);
        framer.gap(1);
        assert!(feed(&mut framer, &[0, 1, 7]).is_empty());
    }

    proptest! {
        #[test]
        fn any_cut_of_the_stream_gives_the_same_messages(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..6),
            cuts in prop::collection::vec(1usize..9, 0..80),
        ) {
            let mut stream = Vec::new();
            for message in &messages {
                stream.extend((message.len() as u16).to_be_bytes());
                stream.extend(message);
            }
            let (mut framer, mut seen, mut rest) = (Framer::default(), Vec::new(), &stream[..]);
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                seen.extend(feed(&mut framer, piece));
                rest = after;
            }
            prop_assert_eq!(seen, messages);
        }
    }
}
