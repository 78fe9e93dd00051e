//! A load of packets on its way out, and what became of the frames that they are of.

use weir_ledger::{Account, Count, Reason};
use weir_wire::Time;
use weir_wire::bytes::be16;

use crate::cut::Packet;
use crate::{Counts, TooLong};

/// A packet to be sent: a header in the buffer of headers, and bytes of the frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    pub packet: Packet<'a>,
    /// Whose fate it decides.
    pub owner: u32,
    pub hash: u32,
    pub time: Time,
    pub source: u16,
    pub outgoing: bool,
    /// It is not sent.
    pub skip: bool,
}

impl Piece<'_> {
    /// How many bytes there are to send.
    pub const fn len(&self) -> usize {
        self.packet.header + self.packet.data.len()
    }

    /// Cuts the packet to `len` bytes, but never into its header.
    pub fn truncate(&mut self, len: usize) {
        let len = len.saturating_sub(self.packet.header);
        self.packet.data = self.packet.data.get(..len).unwrap_or(self.packet.data);
    }

    /// The half-word at `at`.
    pub fn be16(&self, headers: &[u8], at: usize) -> Option<u16> {
        if at + 2 <= self.packet.header {
            be16(headers, self.packet.at + at)
        } else {
            be16(self.packet.data, at.checked_sub(self.packet.header)?)
        }
    }
}

/// What became of a frame. One of which any packet was not sent counts as dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Passed,
    /// It waits in a buffer, whose owner lets it go.
    Held,
    Dropped(Reason),
}

/// A frame in the ledger.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fate {
    pub count: Count,
    pub end: End,
}

/// What an output is given to do.
pub(crate) struct Work<'w, 'a> {
    pub pieces: &'w mut [Piece<'a>],
    pub headers: &'w mut [u8],
    pub fates: &'w mut [Fate],
    pub counts: &'w mut Counts,
}

impl<'a> Work<'_, 'a> {
    /// A packet will not be sent, and so its frame is dropped.
    pub fn drop(&mut self, index: usize, reason: Reason) {
        let Some(piece) = self.pieces.get_mut(index) else { return };
        piece.skip = true;
        if let Some(fate) = self.fates.get_mut(piece.owner as usize)
            && !matches!(fate.end, End::Dropped(_))
        {
            fate.end = End::Dropped(reason);
        }
    }

    /// Drops the packets at `order`.
    pub fn drop_all(&mut self, order: &[u32], reason: Reason) {
        for index in order {
            self.drop(*index as usize, reason);
        }
    }

    /// Makes every packet fit that is to be sent: `limit` tells how long it may be.
    pub fn fit(&mut self, policy: TooLong, limit: impl Fn(&Piece<'a>, &[u8]) -> usize) {
        for index in 0..self.pieces.len() {
            let Some(piece) = self.pieces.get_mut(index).filter(|piece| !piece.skip) else { continue };
            let limit = limit(piece, self.headers);
            if piece.len() <= limit {
                continue;
            }
            if policy == TooLong::Truncate && limit > piece.packet.header {
                piece.truncate(limit);
                self.counts.truncated += 1;
            } else {
                self.drop(index, Reason::FrameTooLong);
            }
        }
    }

    /// The bytes of a packet, in two parts.
    pub fn parts(&self, piece: &Piece<'a>) -> [&[u8]; 2] {
        let range = piece.packet.at..piece.packet.at + piece.packet.header;
        [self.headers.get(range).unwrap_or_default(), piece.packet.data]
    }
}

/// Writes what became of frames into the ledger.
pub(crate) fn settle(fates: &[Fate], account: &mut Account) {
    for fate in fates {
        match fate.end {
            End::Passed => account.pass(fate.count),
            End::Held => account.hold(fate.count),
            End::Dropped(reason) => account.drop(reason, fate.count),
        }
    }
}
