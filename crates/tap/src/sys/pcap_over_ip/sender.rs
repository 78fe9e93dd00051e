//! A sender of a stream, why one is let go, and how many were.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::incoming::{Damage, Incoming};

/// One place for a sender. Its index is that of its tap.
#[derive(Default)]
pub(super) struct Slot {
    /// Who has, or had, the place.
    pub peer: Option<SocketAddr>,
    pub name: String,
    pub line: Option<Sender>,
    /// When it became free.
    pub left: Option<Instant>,
}

/// A sender that is connected.
pub(super) struct Sender {
    pub socket: TcpStream,
    pub stream: Incoming,
    /// When it connected, or the last frame of it came.
    pub last_frame: Instant,
    /// Since when a record is not complete, or the format not known.
    pub unfinished: Option<Instant>,
    pub frames: u64,
}

impl Sender {
    pub fn new(socket: TcpStream, now: Instant) -> Self {
        Self { socket, stream: Incoming::default(), last_frame: now, unfinished: Some(now), frames: 0 }
    }

    /// Whether the sender has had its time.
    pub fn overdue(&self, times: &Times, now: Instant) -> Option<Ending> {
        let beyond = |since: Instant, limit: Duration| now.saturating_duration_since(since) > limit;
        let limit = if self.stream.is_recognised() { times.record } else { times.header };
        if self.unfinished.is_some_and(|since| beyond(since, limit)) {
            Some(Ending::Slow)
        } else if times.silence.is_some_and(|limit| beyond(self.last_frame, limit)) {
            Some(Ending::Silent)
        } else {
            None
        }
    }
}

/// How long senders may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Times {
    /// Until the format of the stream is known. Old versions of tcpdump keep their file header back until the first packet, so
    /// this is not short by default: 5 minutes.
    pub header: Duration,
    /// From the first byte of a record to its last: 30 s by default.
    pub record: Duration,
    /// Without a frame; `None`, the default: a quiet network is no fault. Peers that are gone are found by TCP's keep-alive.
    pub silence: Option<Duration>,
}

impl Default for Times {
    fn default() -> Self {
        Self { header: Duration::from_mins(5), record: Duration::from_secs(30), silence: None }
    }
}

/// Why a sender was let go.
#[derive(Debug)]
pub enum Ending {
    /// It closed the connection between two records.
    Ended,
    /// It closed the connection within a record.
    Cut,
    /// It sent what is no capture.
    Damaged(Damage),
    /// A header or record was not complete in time.
    Slow,
    /// No frame came in time.
    Silent,
    /// The connection failed.
    Failed(io::Error),
    /// There are as many senders as there may be.
    Refused,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("ended"),
            Self::Cut => f.write_str("ended within a record"),
            Self::Damaged(damage) => write!(f, "closed: {damage}"),
            Self::Slow => f.write_str("closed: a header or record was not complete in time"),
            Self::Silent => f.write_str("closed: no frame came in time"),
            Self::Failed(error) => write!(f, "failed: {error}"),
            Self::Refused => f.write_str("refused: there are as many senders as there may be"),
        }
    }
}

/// A sender that was let go, for who tells the user.
#[derive(Debug)]
pub struct Farewell {
    /// The sender.
    pub name: String,
    /// Why.
    pub why: Ending,
    /// How many frames it had brought.
    pub frames: u64,
}

/// How many senders there were, and how they ended. Each that was accepted ends in one of the others, or is connected.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SenderCounts {
    /// Connected at present.
    pub connected: u64,
    /// Connections that came about.
    pub accepted: u64,
    /// Ended by the sender, between two records.
    pub ended: u64,
    /// Ended by the sender within a record.
    pub cut: u64,
    /// Let go because they sent what is no capture.
    pub damaged: u64,
    /// Let go because they were slow or silent.
    pub timed_out: u64,
    /// Lost by an error of the connection.
    pub failed: u64,
    /// Refused because there were too many.
    pub refused: u64,
    /// Attempts to dial or to accept that failed; these were never accepted.
    pub attempts_failed: u64,
}

impl SenderCounts {
    pub(super) const fn end(&mut self, why: &Ending) {
        *match why {
            Ending::Ended => &mut self.ended,
            Ending::Cut => &mut self.cut,
            Ending::Damaged(_) => &mut self.damaged,
            Ending::Slow | Ending::Silent => &mut self.timed_out,
            Ending::Failed(_) => &mut self.failed,
            Ending::Refused => &mut self.refused,
        } += 1;
    }
}
