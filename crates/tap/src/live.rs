//! Frames as they come: what every live source (a ring, a stream, a tunnel socket) promises to who reads it.
//!
//! A source is read by one thread. It hands over batches whose bytes stay where the source put them: a clone of
//! [`FrameBatch::block`] keeps them, and a ring gets its block back when the last clone is gone, so whoever needs
//! bytes for longer than the batch copies them.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::{FrameBatch, TapError};

/// What a wait for frames ended with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received {
    /// There are frames in the batch.
    Frames,
    /// The time is over and no frame came.
    Idle,
    /// The source has ended and gives nothing more.
    Ended,
}

/// What was lost before a source could hand it over. All numbers grow from 0 as long as the source lives, also where
/// the kernel's own counters are reset by reading them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Losses {
    /// Frames that the kernel has counted for this source, lost ones included. 0 where it does not say.
    pub seen: u64,
    /// Frames that the kernel dropped because we were too slow (ring or socket buffer full).
    pub dropped: u64,
    /// How often the ring was full (`tp_freeze_q_cnt`).
    pub freezes: u64,
}

impl Losses {
    /// The losses of two sources together.
    pub const fn plus(self, other: Self) -> Self {
        Self {
            seen: self.seen.saturating_add(other.seen),
            dropped: self.dropped.saturating_add(other.dropped),
            freezes: self.freezes.saturating_add(other.freezes),
        }
    }
}

/// A source of frames as they come.
///
/// Frames that a source itself discards (too short for its encapsulation, of a VNI that is not wanted) are counted
/// in its [`account`](LiveSource::account) under their Reason; nothing is discarded silently.
pub trait LiveSource: Send {
    /// Waits for frames, `timeout` at most, and puts them in `batch`, which is cleared first. Sequence numbers are left
    /// 0: the reader gives them. Times are those of the kernel or the hardware where it gives them.
    ///
    /// # Errors
    /// The source cannot be read: the interface is gone, the system call fails. The source may be asked again: one
    /// that can come back (an interface that appears again) does.
    fn receive(&mut self, batch: &mut FrameBatch, timeout: Duration) -> Result<Received, TapError>;

    /// What was lost so far.
    fn losses(&mut self) -> Losses;

    /// Only frames that `expression` selects (pcap-filter(7)) are wanted from now on; `None`: all. Answers whether the source
    /// has a filter; one that has none goes on as it was.
    ///
    /// # Errors
    /// The expression is not understood, or the kernel refuses its program. The filter from before goes on.
    fn set_filter(&mut self, expression: Option<&str>) -> Result<bool, TapError> {
        let _ = expression;
        Ok(false)
    }

    /// How much of its ring or buffer is in use, 0 to 1; none where it does not know.
    fn fill(&self) -> Option<f64> {
        None
    }

    /// The ledger of the tap hop of this source: frames entered, passed, and dropped by the source for a Reason.
    /// Losses in the kernel are not in it; the reader adds them.
    fn account(&self) -> &weir_ledger::Account;

    /// What a user calls it: "eth0", "tcp://0.0.0.0:5555 (10.0.0.7:41234)".
    fn name(&self) -> &str;

    /// A descriptor that is readable when frames wait, for who waits for several sources.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_of_several_sources_add_up_and_never_wrap() {
        let one = Losses { seen: 9, dropped: 2, freezes: 1 };
        assert_eq!(one.plus(one), Losses { seen: 18, dropped: 4, freezes: 2 });
        let most = Losses { seen: u64::MAX, ..one };
        assert_eq!(most.plus(one).seen, u64::MAX);
    }
}
