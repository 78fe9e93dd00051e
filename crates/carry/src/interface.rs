//! Packets onto an Ethernet interface.
//!
//! Promise: what is counted as passed was taken by the kernel; where its queue is full (ENOBUFS) it is asked again, as long as
//! the output was told to wait. An interface that is gone is looked for again.

use std::time::Instant;

use weir_ledger::Reason;

use crate::ethernet::{HEADER, TAG};
use crate::sys::{PacketSocket, now};
use crate::way::{Way, Why};
use crate::work::Work;
use crate::{CarryError, OutputOptions, RETRY};

/// An interface that packets are sent to.
pub(crate) struct Interface {
    name: String,
    options: OutputOptions,
    /// `None` while there is no such interface.
    open: Option<(PacketSocket, Way)>,
    mtu: usize,
    retry_at: Instant,
    order: Vec<u32>,
}

impl Interface {
    /// Opens the interface.
    ///
    /// # Errors
    /// There is none of that name, it is not Ethernet, or the process may not open packet sockets.
    pub fn open(name: &str, options: &OutputOptions) -> Result<Self, CarryError> {
        let mut interface = Self {
            name: name.into(),
            options: options.clone(),
            open: None,
            mtu: 0,
            retry_at: now(),
            order: Vec::new(),
        };
        interface.try_open()?;
        Ok(interface)
    }

    fn try_open(&mut self) -> Result<(), CarryError> {
        let (socket, fd) = PacketSocket::open(&self.name, self.options.bypass_qdisc, self.options.patience)?;
        self.mtu = socket.mtu(&fd)?;
        self.open = Some((socket, Way::new(fd, self.options.patience)));
        Ok(())
    }

    /// Looks for an interface that is gone.
    pub fn tick(&mut self) {
        if self.open.is_none() && now() >= self.retry_at {
            self.retry_at = now() + RETRY;
            // It may be some time until it is back; who is interested was told when it went.
            let _ = self.try_open();
        }
    }

    pub const fn is_up(&self) -> bool {
        self.open.is_some()
    }

    /// Sends packets in their order.
    pub fn put(&mut self, work: &mut Work<'_, '_>) -> Option<CarryError> {
        self.tick();
        let mtu = self.mtu;
        // A tag does not count against the MTU (packet(7)).
        work.fit(self.options.too_long, |piece, headers| {
            let is_tagged = matches!(piece.be16(headers, 12), Some(0x8100 | 0x88a8));
            mtu + HEADER + if is_tagged { TAG } else { 0 }
        });
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        order.extend((0u32..).zip(work.pieces.iter()).filter(|(_, p)| !p.skip).map(|(index, _)| index));
        let trouble = self.deliver(work, &order);
        self.order = order;
        trouble
    }

    fn deliver(&mut self, work: &mut Work<'_, '_>, order: &[u32]) -> Option<CarryError> {
        let mut rest = order;
        while !rest.is_empty() {
            let Some((socket, way)) = &mut self.open else {
                work.drop_all(rest, Reason::OutputDown);
                return None;
            };
            let (done, taken, why) = way.deliver(work, rest, &|_, piece, _| piece.packet.at);
            work.counts.packets += taken;
            rest = rest.get(done..).unwrap_or_default();
            match why {
                Why::Done => {}
                Why::TooLong => {
                    // The MTU has been made smaller.
                    self.mtu = socket.mtu(way.socket()).unwrap_or(self.mtu);
                    work.drop_all(rest.get(..1).unwrap_or_default(), Reason::FrameTooLong);
                    rest = rest.get(1..).unwrap_or_default();
                }
                Why::Broken(source) => {
                    work.drop_all(rest, Reason::SendFailed);
                    if matches!(source.raw_os_error(), Some(libc::ENXIO | libc::ENODEV)) {
                        self.open = None;
                        self.retry_at = now() + RETRY;
                    }
                    return Some(CarryError::System { name: self.name.clone(), operation: "send", source });
                }
            }
        }
        None
    }
}
