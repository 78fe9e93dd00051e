//! Packets into a socket, many by one system call.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use weir_ledger::Reason;

use crate::sys::{MESSAGES, Messages, Patience};
use crate::work::{Piece, Work};

/// A socket that takes packets, each by itself.
pub(crate) struct Way {
    socket: OwnedFd,
    messages: Messages,
    patience: Duration,
    /// How long packets may be that are handed over several at once for the kernel to cut; 0: none.
    longest: usize,
}

/// Why no more packets were sent.
pub(crate) enum Why {
    /// There are no more.
    Done,
    /// The first that was not sent is longer than the path takes.
    TooLong,
    /// Nothing can be sent at present.
    Broken(io::Error),
}

/// Writes what stands in front of a packet, the how manieth that is sent; answers where it begins in the buffer of headers.
pub(crate) type Front<'f> = &'f dyn Fn(&mut [u8], &Piece<'_>, u64) -> usize;

/// So many packets in a row are sent into what a peer refuses, before one is given up: each answer of the peer's costs one
/// attempt, and says nothing of the packet at hand.
const REFUSALS: u32 = 4;
/// In place of a length: this socket does not take several packets at once.
const REFUSED: usize = usize::MAX;

impl Way {
    pub fn new(socket: OwnedFd, patience: Duration) -> Self {
        Self { socket, messages: Messages::new(), patience, longest: 0 }
    }

    /// Packets up to this length may be handed over several at once. A socket that has refused it once is not asked again.
    pub const fn join(&mut self, longest: usize) {
        if self.longest != REFUSED {
            self.longest = longest;
        }
    }

    pub fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Sends the packets at `order`. How many of `order` are done with (sent or given up), how many were taken by the kernel, and
    /// why it ended.
    pub fn deliver(&mut self, work: &mut Work<'_, '_>, order: &[u32], front: Front<'_>) -> (usize, u64, Why) {
        let (mut done, mut taken) = (0, 0);
        let (mut patience, mut refusals) = (None, 0);
        while done < order.len() {
            let rest = order.get(done..).unwrap_or_default();
            let load = rest.get(..MESSAGES).unwrap_or(rest);
            match self.send(work, load, front, taken) {
                Ok(sent) => {
                    (patience, refusals) = (None, 0);
                    done += sent;
                    taken += sent as u64;
                    continue;
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => continue,
                    Some(libc::ECONNREFUSED) if refusals < REFUSALS => {
                        work.counts.refused += 1;
                        refusals += 1;
                        continue;
                    }
                    Some(libc::ENOBUFS | libc::EAGAIN) => {
                        let patience = patience.get_or_insert_with(|| Patience::new(self.patience));
                        if patience.wait() {
                            work.counts.retries += 1;
                            continue;
                        }
                        work.drop(first(rest), Reason::OutputFull);
                    }
                    // The way there takes no segments: a device without checksums, a transformation (IPsec).
                    Some(libc::EINVAL | libc::EIO | libc::EOPNOTSUPP) if self.messages.first() > 1 => {
                        self.longest = REFUSED;
                        continue;
                    }
                    Some(libc::EMSGSIZE) if self.messages.first() > 1 => {
                        self.longest = 0;
                        continue;
                    }
                    Some(libc::EMSGSIZE) => return (done, taken, Why::TooLong),
                    Some(code) if is_broken(code) => return (done, taken, Why::Broken(error)),
                    // A packet that this driver or a filter does not take.
                    _ => work.drop(first(rest), Reason::SendFailed),
                },
            }
            done += 1;
        }
        (done, taken, Why::Done)
    }

    fn send(
        &mut self,
        work: &mut Work<'_, '_>,
        load: &[u32],
        front: Front<'_>,
        taken: u64,
    ) -> io::Result<usize> {
        let mut starts = [0; MESSAGES];
        for ((index, start), number) in load.iter().zip(&mut starts).zip(taken..) {
            let Some(piece) = work.pieces.get(*index as usize) else { continue };
            *start = front(work.headers, piece, number);
        }
        let (pieces, headers) = (&*work.pieces, &*work.headers);
        let parts = load.iter().zip(&starts).map(|(index, start)| {
            pieces.get(*index as usize).map_or([&[][..]; 2], |piece| {
                let end = piece.packet.at + piece.packet.header;
                [headers.get(*start..end).unwrap_or_default(), piece.packet.data]
            })
        });
        let flags = if self.patience.is_zero() { libc::MSG_DONTWAIT } else { 0 };
        let longest = if self.longest == REFUSED { 0 } else { self.longest };
        self.messages.send(self.socket.as_fd(), parts, flags, longest)
    }
}

fn first(rest: &[u32]) -> usize {
    rest.first().map_or(usize::MAX, |index| *index as usize)
}

/// Errors that the next packet would meet as well.
const fn is_broken(code: i32) -> bool {
    matches!(
        code,
        libc::ENETDOWN
            | libc::ENXIO
            | libc::ENODEV
            | libc::ENETUNREACH
            | libc::EHOSTUNREACH
            | libc::EADDRNOTAVAIL
            | libc::EPERM
            | libc::EACCES
            | libc::EBADF
    )
}
