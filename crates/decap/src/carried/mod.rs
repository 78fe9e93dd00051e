//! What was lost between senders and us, told by the sequence numbers of tunnels: ERSPAN and GRE (RFC 2890) have 32 bits,
//! weir's own option of GENEVE has 64.
//!
//! Packets of one session may arrive at several workers, as the kernel splits by what is inside. So each worker only notes which numbers
//! it got ([`Arrivals`]), as bitmaps, and hands its notes over every now and then to who counts for all ([`Carried`]). Once all notes are
//! handed over the counts are exact, in whatever order and whoever by they were noted:
//!
//! - lost: numbers between the lowest and the highest that nobody got. What was lost behind the last packet that came shows only
//!   when another comes.
//! - duplicate: packets whose number was had already. A packet that comes more than [`WINDOW`] numbers late counts as one, as
//!   nobody remembers whether it had come.
//! - reordered: packets that came behind one with a higher number, as the worker saw that got both. They are not lost.
//!
//! A sender that starts anew is told by its numbers: it begins with small ones again, or far from where it was; what it sent
//! before and after are two stretches, and the distance between them is no loss. A restart within the first 64 packets is taken for
//! duplicates, unless the sender tells when it started, as weir does.
//!
//! Bounds: [`MAX_NOTES`] for a worker, [`MAX_SESSIONS`] sessions (beyond, the one that was quiet longest is forgotten; its counts stay in
//! the sum), [`WINDOW`] numbers for each, [`MAX_BLOCKS`] blocks together.

mod arrivals;
mod merge;
mod stretch;

use weir_wire::{Address, Time};

pub use arrivals::Arrivals;
pub use merge::Carried;

/// Numbers of one block.
const BLOCK: u64 = 1024;
/// So many numbers behind the highest are remembered one by one.
pub const WINDOW: u64 = 1024 * BLOCK;
/// Blocks that a worker notes before it should hand them over: 2 MiB.
pub const MAX_NOTES: usize = 16_384;
/// Sessions at most: machines with a tap, times what each sends.
pub const MAX_SESSIONS: usize = 4_096;
/// Blocks that all sessions keep together: 9 MiB. Beyond, each keeps [`FEW_BLOCKS`].
pub const MAX_BLOCKS: usize = 65_536;
/// See [`MAX_BLOCKS`].
const FEW_BLOCKS: u64 = 16;
/// Nothing is late by more numbers than this without there being another reason.
const LATE: i64 = 1024;
/// A packet that is so far behind and was had already, or is below the first of all, may be of a sender that started anew.
const AGAIN: i64 = 64;
/// So many packets make a new stretch; fewer may be strays.
const ENOUGH: u64 = 16;

/// The numbers that make up the bitmap of a block.
type Bits = [u64; 16];

/// What numbers its packets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Channel {
    /// GRE without a key.
    Gre,
    /// The key of GRE.
    Key(u32),
    /// The session of ERSPAN.
    Erspan(u16),
    /// A tap of weir.
    Tap {
        /// Its number.
        tap: u32,
        /// When it was started: a number that no other start of it has.
        start: u32,
    },
}

/// One sequence of numbers: who sends what to whom.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Session {
    /// The sender, by the outer header.
    pub source: Address,
    /// To whom it sends.
    pub destination: Address,
    /// Which of its sequences.
    pub channel: Channel,
}

impl Session {
    /// How many bits its numbers have.
    const fn bits(&self) -> u32 {
        match self.channel {
            Channel::Tap { .. } => 64,
            Channel::Gre | Channel::Key(_) | Channel::Erspan(_) => 32,
        }
    }

    /// How far `number` is ahead of `from`; negative where it is behind.
    const fn distance(&self, number: u64, from: u64) -> i64 {
        let shift = 64 - self.bits();
        (number.wrapping_sub(from) << shift).cast_signed() >> shift
    }
}

/// A number that came with a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Numbered {
    /// Whose.
    pub session: Session,
    /// The number.
    pub number: u64,
}

/// What became of the packets of a session, or of all.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CarriedCount {
    /// Packets that came, without duplicates.
    pub received: u64,
    /// Packets that were sent and did not come.
    pub lost: u64,
    /// Packets that came again.
    pub duplicate: u64,
    /// Packets that came behind a later one.
    pub reordered: u64,
    /// How often the sender began anew.
    pub restarts: u64,
}

impl CarriedCount {
    /// Adds those of another session.
    pub const fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.lost += other.lost;
        self.duplicate += other.duplicate;
        self.reordered += other.reordered;
        self.restarts += other.restarts;
    }
}

/// Numbers that came in one go, in a worker's order: none is far behind the others.
#[derive(Clone, Debug)]
struct Run {
    /// When its first packet came.
    begun: Time,
    /// The number of the first packet.
    first: u64,
    lowest: u64,
    highest: u64,
    packets: u64,
    reordered: u64,
    /// By the number of their first bit over [`BLOCK`]; one may be there twice.
    blocks: Vec<(u64, Bits)>,
}

/// The word of a block's bitmap and the bit in it that stand for `number`.
const fn place(number: u64) -> (usize, u64) {
    let at = number % BLOCK;
    ((at / 64) as usize, 1 << (at % 64))
}
