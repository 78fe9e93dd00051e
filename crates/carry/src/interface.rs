//! Frames onto an Ethernet interface.
//!
//! Promise: a frame that is counted as passed was taken by the kernel; where its queue is full (ENOBUFS) it is asked again,
//! as long as the output was told to wait.

use std::time::Duration;

use weir_ledger::{Account, Count, Reason};
use weir_wire::Frame;

use crate::ethernet::Ethernet;
use crate::sys::{MESSAGES, PacketSocket, Patience};
use crate::{CarryError, TooLong};

/// How frames shall be sent.
#[derive(Clone, Debug)]
pub struct InterfaceOptions {
    /// The interface.
    pub name: String,
    /// What becomes of frames longer than its MTU.
    pub too_long: TooLong,
    /// Whether frames go past the queueing discipline (PACKET_QDISC_BYPASS): faster, without traffic control, and
    /// other taps on the interface do not see them.
    pub bypass_qdisc: bool,
    /// How long a full queue is waited for before a frame is dropped as `output_full`.
    pub patience: Duration,
}

impl InterfaceOptions {
    /// Frames that are too long are dropped; through the queueing discipline; no waiting.
    pub fn new(name: impl Into<String>) -> Self {
        let (too_long, patience) = (TooLong::Drop, Duration::ZERO);
        Self { name: name.into(), too_long, bypass_qdisc: false, patience }
    }
}

/// What is worth knowing beside the ledger.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct InterfaceCounts {
    /// Frames sent without their end, because they were too long.
    pub truncated: u64,
    /// Frames that were sent as short as they had been captured, although they were longer on the wire.
    pub captured_short: u64,
    /// Frames of another link type that were given an Ethernet header.
    pub wrapped: u64,
    /// How often the queue was full and asked again.
    pub retries: u64,
}

/// An interface that frames are sent to.
pub struct InterfaceOutput {
    options: InterfaceOptions,
    socket: PacketSocket,
    mtu: usize,
    account: Account,
    counts: InterfaceCounts,
}

impl InterfaceOutput {
    /// Opens the interface.
    ///
    /// # Errors
    /// There is none of that name, it is not Ethernet, or the process may not open packet sockets.
    pub fn open(options: InterfaceOptions) -> Result<Self, CarryError> {
        let socket = PacketSocket::open(&options.name, options.bypass_qdisc)?;
        let mtu = socket.mtu()?;
        let (account, counts) = (Account::default(), InterfaceCounts::default());
        Ok(Self { options, socket, mtu, account, counts })
    }

    /// Sends frames, in their order.
    ///
    /// # Errors
    /// The interface is down or gone; the frames that were not sent are counted as `send_failed`.
    pub fn send<'a>(&mut self, frames: impl IntoIterator<Item = Frame<'a>>) -> Result<(), CarryError> {
        let mut waiting = Vec::with_capacity(MESSAGES);
        let mut counts = Vec::with_capacity(MESSAGES);
        let mut result = Ok(());
        for frame in frames {
            let count = Count::one(u64::from(frame.wire_len));
            self.account.enter(count);
            if result.is_err() {
                self.account.drop(Reason::SendFailed, count);
                continue;
            }
            match self.fit(&frame) {
                Ok(ethernet) => {
                    waiting.push(ethernet);
                    counts.push(count);
                }
                Err(reason) => self.account.drop(reason, count),
            }
            if waiting.len() == MESSAGES {
                result = self.flush(&waiting, &counts);
                waiting.clear();
                counts.clear();
            }
        }
        result.and_then(|()| self.flush(&waiting, &counts))
    }

    /// The ledger.
    pub const fn account(&self) -> &Account {
        &self.account
    }

    /// What is worth knowing beside it.
    pub const fn counts(&self) -> InterfaceCounts {
        self.counts
    }

    /// The interface.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// The frame as the interface takes it.
    fn fit<'a>(&mut self, frame: &Frame<'a>) -> Result<Ethernet<'a>, Reason> {
        let mut ethernet = Ethernet::of(frame).ok_or(Reason::LinkNotCarried)?;
        let limit = ethernet.limit(self.mtu);
        if ethernet.len() > limit {
            if self.options.too_long != TooLong::Truncate {
                return Err(Reason::FrameTooLong);
            }
            ethernet.truncate(limit);
            self.counts.truncated += 1;
        }
        self.counts.captured_short += u64::from((frame.data.len() as u64) < u64::from(frame.wire_len));
        self.counts.wrapped += u64::from(frame.link != weir_wire::LinkType::ETHERNET);
        Ok(ethernet)
    }

    /// Has the kernel take `frames`.
    fn flush(&mut self, frames: &[Ethernet<'_>], counts: &[Count]) -> Result<(), CarryError> {
        let (mut frames, mut counts) = (frames, counts);
        let mut patience = None;
        let wait = !self.options.patience.is_zero();
        while !frames.is_empty() {
            let done = match self.socket.send(frames, wait) {
                Ok(sent) => {
                    patience = None;
                    counts.iter().take(sent).for_each(|count| self.account.pass(*count));
                    sent
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => 0,
                    Some(libc::ENOBUFS | libc::EAGAIN) => {
                        let patience = patience.get_or_insert_with(|| Patience::new(self.options.patience));
                        if patience.wait() {
                            self.counts.retries += 1;
                            0
                        } else {
                            self.drop_first(counts, Reason::OutputFull)
                        }
                    }
                    Some(libc::EMSGSIZE) => {
                        // The MTU has been made smaller.
                        self.mtu = self.socket.mtu().unwrap_or(self.mtu);
                        self.drop_first(counts, Reason::FrameTooLong)
                    }
                    Some(libc::ENETDOWN | libc::ENXIO | libc::ENODEV) => {
                        for count in counts {
                            self.account.drop(Reason::SendFailed, *count);
                        }
                        let (name, operation) = (self.options.name.clone(), "send");
                        return Err(CarryError::System { name, operation, source: error });
                    }
                    // A frame that this driver does not take, as one without an Ethernet header.
                    _ => self.drop_first(counts, Reason::SendFailed),
                },
            };
            frames = frames.get(done..).unwrap_or_default();
            counts = counts.get(done..).unwrap_or_default();
        }
        Ok(())
    }

    fn drop_first(&mut self, counts: &[Count], reason: Reason) -> usize {
        counts.iter().take(1).for_each(|count| self.account.drop(reason, *count));
        1
    }
}
