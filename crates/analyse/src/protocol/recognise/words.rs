//! Finger.
//!
//! Source: RFC 1288.

use super::{Judge, Judgement, Size};
use crate::context::Side;

/// Finger: spoken when a query was made.
#[derive(Default)]
pub struct Finger;

/// Most bytes of a query that are waited for.
const MAX_QUERY: usize = 1024;

impl Judge for Finger {
    fn size(&self, _side: Side, bytes: &[u8]) -> Size {
        match memchr::memchr(b'\n', bytes) {
            Some(at) => Size::Is(at + 1),
            None if bytes.len() > MAX_QUERY => Size::Is(bytes.len()),
            None => Size::More,
        }
    }

    fn judge(&mut self, side: Side, _message: &[u8]) -> Judgement {
        if side.is_orig() { Judgement::Settled } else { Judgement::Open }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Framed;
    use super::*;
    use crate::context::Transport;
    use crate::protocol::testing::Bench;

    #[test]
    fn finger_is_told_by_a_query() {
        let mut b = Bench::new(Framed::<Finger>::default(), Transport::Tcp, 79);
        b.data(Side::Orig, b"root");
        assert!(!b.verdict.confirmed);
        b.data(Side::Orig, b"\r\n");
        assert!(b.verdict.confirmed);
    }
}
