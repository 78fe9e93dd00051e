//! What one side of a TCP connection has done so far.
//!
//! Sequence numbers are kept relative to the side's initial one, in 64 bits, so wrap-around needs no special case: 0 is
//! the SYN, 1 the first byte of payload. Where the SYN was not seen the numbering is as if it had been.

use std::num::NonZeroI64;

/// The state of one side (Zeek's endpoint states).
///
/// ```text
///   Inactive ──SYN──► SynSent ────┐
///      │  └─SYN,ACK─► SynAckSent ─┤ the other's SYN,ACK or our ACK
///      │ other packet             ▼
///      └────────────► Partial  Established ──FIN──► Closed ──RST──► Reset
///                        └──────────┴──────RST───────────────────────┘
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum State {
    /// Nothing was seen of it.
    #[default]
    Inactive,
    /// It sent a SYN.
    SynSent,
    /// It is the originator and sent a SYN with ACK.
    SynAckSent,
    /// It sent something, but no SYN.
    Partial,
    /// The handshake is done.
    Established,
    /// It sent a FIN.
    Closed,
    /// It sent a RST.
    Reset,
}

/// The bit of a SYN in [`Endpoint::seen`].
pub const SYN: u16 = 2;

/// One side of a connection.
#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    /// Where it is.
    pub state: State,
    /// Where it was before.
    pub previous: State,
    /// The initial sequence number.
    start: u32,
    /// One past the highest sequence number sent.
    pub last: i64,
    /// The highest acknowledgment by the other side.
    pub acked: i64,
    /// The window that it offers, scaled.
    pub window: u32,
    /// The shift of the window.
    pub scale: u8,
    /// Sequence number of the segment that told the window.
    pub window_seq: u32,
    /// Acknowledgment of that segment.
    pub window_ack: u32,
    /// FINs sent.
    pub fins: u16,
    /// RSTs sent.
    pub resets: u16,
    /// One past the FIN, relative. (One that is where the SYN was is as good as before it: 0 is not needed.)
    pub fin: Option<NonZeroI64>,
    /// Whether its end was told.
    pub closed: bool,
    /// Which letters of the history it has, as bits.
    pub seen: u16,
    /// Relative numbers of the last SYN, FIN and RST, the lower half.
    pub last_flags: [u32; 3],
    /// How often it sent again, offered no window, lost something: for letters on a logarithmic scale.
    pub scaled: [Scaled; 3],
}

/// A count that shows at 1, 10, 100 and so on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scaled {
    count: u32,
}

impl Scaled {
    /// Counts one; whether it shows.
    pub fn count(&mut self) -> bool {
        self.count = self.count.saturating_add(1);
        let mut threshold = 1u32;
        while threshold < self.count {
            threshold = threshold.saturating_mul(10);
        }
        threshold == self.count
    }
}

impl Endpoint {
    /// Whether the handshake has not got beyond this side's first packet.
    pub const fn is_inactive(&self) -> bool {
        matches!(self.state, State::Inactive)
    }

    /// The next state.
    pub fn enter(&mut self, state: State) {
        if self.state != state {
            self.previous = self.state;
            self.state = state;
        }
    }

    /// Begins the numbering: `start` is the number of the SYN, `last` one past the segment.
    pub fn begin(&mut self, start: u32, last: u32) {
        self.start = start;
        self.acked = 0;
        self.last = i64::from(last.wrapping_sub(start) as i32);
    }

    /// Whether `seq` is the initial sequence number.
    pub const fn starts_at(&self, seq: u32) -> bool {
        self.start == seq
    }

    /// Whether `ack` lies between the initial number and the last that was sent.
    pub const fn has_sent(&self, ack: u32) -> bool {
        ack.wrapping_sub(self.start) <= self.last as u32
    }

    /// Whether none of its payload was acknowledged.
    pub const fn is_unheard(&self) -> bool {
        matches!(self.acked, 0 | 1)
    }

    /// Whether a SYN of it was seen.
    pub const fn has_synchronised(&self) -> bool {
        self.seen & 1 << SYN != 0
    }

    /// Whether it has sent something and its end was not told.
    pub const fn is_active(&self) -> bool {
        !self.is_inactive() && !self.closed
    }

    /// Whether it will send no more: a FIN or a RST came.
    pub const fn is_over(&self) -> bool {
        self.fins > 0 || matches!(self.state, State::Closed | State::Reset)
    }

    /// `seq` relative to the start, near the relative number `reference`. Negative: before the start.
    pub fn relative(&self, seq: u32, reference: i64) -> i64 {
        let near = self.start.wrapping_add(reference as u32);
        reference.saturating_add(i64::from(seq.wrapping_sub(near) as i32))
    }

    /// The payload that it sent, by sequence numbers (conn.log `orig_bytes`).
    pub fn size(&self, peer: &Self) -> u64 {
        if self.previous == State::SynSent
            && self.state == State::Reset
            && peer.is_inactive()
            && !self.is_unheard()
        {
            return 0;
        }
        let mut size = self.last.max(self.acked).max(0) as u64;
        size = size.saturating_sub(1);
        if self.fins > 0 {
            size = size.saturating_sub(1);
        }
        size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_over_the_end_of_the_sequence_space() {
        let mut e = Endpoint::default();
        e.begin(0xffff_fff0, 0xffff_fff1);
        assert_eq!(e.relative(0x10, e.last), 32);
        e.last = 1 << 33;
        assert_eq!(e.relative(0xffff_fff0u32.wrapping_add(5), e.last), (1 << 33) + 5);
        assert!(e.relative(0xffff_ff00, 1) < 0);
    }

    #[test]
    fn a_scaled_count_shows_at_powers_of_ten() {
        let mut s = Scaled::default();
        let shown: Vec<u32> = (1..=1000).filter(|_| s.count()).collect();
        assert_eq!(shown, [1, 10, 100, 1000]);
    }
}
