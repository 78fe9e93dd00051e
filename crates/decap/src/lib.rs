//! From a frame to its innermost packet: link layers, IP, fragments, tunnels.
//!
//! [`Decap::frame`] walks one frame and adds to an [`Output`] the packets found, at most one of which stands for the frame
//! in the ledger, and the weirds met on the way. Every frame that enters passes, is dropped for a [`Reason`], or is held
//! as a fragment; the account balances after each call (test `any_frames_balance`). What is weird about a header, and under which name it
//! is reported, follows Zeek (src/packet_analysis/protocol).
#![forbid(unsafe_code)]

mod around;
pub mod carried;
mod config;
mod fragment;
mod ip;
mod key;
mod link;
mod output;
mod round;
#[cfg(test)]
mod testing;
mod tunnel;
mod walk;

pub use around::{Around, Named, Naming, Tunnelled};
pub use config::{Config, TenantBy, Tenants};
pub use output::Output;

use weir_ledger::{Account, Reason};
use weir_wire::{Data, Frame, Packet, Time, UidKey};

use around::Known;
use carried::Arrivals;
use fragment::Fragments;
use round::{End, Round};
use tunnel::Tunnels;
use walk::{Layer, Walk};

/// The walk from frames to packets, with the datagrams and tunnels that it remembers.
///
/// Call [`Decap::frame`] for each frame in order of time, [`Decap::advance`] when time passes without frames, and
/// [`Decap::finish`] once at the end.
pub struct Decap {
    config: Config,
    account: Account,
    fragments: Fragments,
    tunnels: Tunnels,
    arrivals: Arrivals,
    known: Option<Known>,
}

/// Whether frames of `link` can be walked. Where not, IP is tried, and what is none is dropped as
/// [`Reason::UnknownLinkType`].
pub const fn knows(link: weir_wire::LinkType) -> bool {
    link::first(link).is_some()
}

impl Decap {
    /// Without memory of any frame. `key` makes the uids of the tunnels' connections.
    pub fn new(config: Config, key: UidKey) -> Self {
        let (fragments, tunnels) = (Fragments::new(&config), Tunnels::new(key));
        let (account, arrivals) = (Account::default(), Arrivals::default());
        let known = config.naming.clone().map(Known::new);
        Self { config, account, fragments, tunnels, arrivals, known }
    }

    /// Walks one frame; what is found is added to `out`.
    pub fn frame<'f>(&mut self, frame: &Frame<'f>, out: &mut Output<'f>) {
        let Output { packets, entries } = out;
        entries.sequence = frame.sequence;
        self.fragments.expire(frame.time);
        self.tunnels.advance(frame.time, entries);
        let mut walk = Walk::new(&self.config, entries, self.known.as_mut(), frame);
        self.account.enter(walk.credit);
        let mut round =
            Round { fragments: &mut self.fragments, tunnels: &mut self.tunnels, account: &mut self.account };
        // As Zeek does: where the link type is not known, IP is tried.
        let layer = link::first(frame.link);
        let mut end = round.run(&mut walk, layer.unwrap_or(Layer::Ip), frame.data, &mut |head, bytes| {
            packets.push(Packet { head, data: Data::Frame(bytes) });
        });
        // Each datagram put together has lost a header, which counts as a layer, so there is an end.
        while let End::Joined(datagram) = end {
            end = round.run(&mut walk, Layer::Ip, &datagram, &mut |head, bytes| {
                packets.push(Packet { head, data: Data::Joined(bytes.into()) });
            });
        }
        if let Some(numbered) = &walk.numbered {
            self.arrivals.note(numbered, frame.time);
        }
        if let End::Dropped(reason) = end {
            let unknown = layer.is_none() && reason == Reason::MalformedIp;
            let credit = walk.take_credit();
            self.account.drop(if unknown { Reason::UnknownLinkType } else { reason }, credit);
        }
        self.settle();
    }

    /// Time has come to `now` without a frame: what waits too long is given up.
    pub fn advance(&mut self, now: Time, out: &mut Output<'_>) {
        if let Some(known) = &mut self.known {
            known.refresh();
        }
        self.fragments.expire(now);
        self.settle();
        self.tunnels.advance(now, &mut out.entries);
    }

    /// The traffic has ended: nothing waits any longer.
    pub fn finish(&mut self, out: &mut Output<'_>) {
        self.fragments.clear();
        self.settle();
        self.tunnels.finish(&mut out.entries);
    }

    /// Which sequence numbers of tunnels came, to be handed over to [`carried::Carried`] now and then: when
    /// [`Arrivals::is_full`], and at the end.
    pub const fn arrivals(&mut self) -> &mut Arrivals {
        &mut self.arrivals
    }

    /// Other limits and habits hold from now on; what waits already goes on waiting.
    pub fn configure(&mut self, config: Config) {
        self.fragments.configure(&config);
        self.known = config.naming.clone().map(Known::new);
        self.config = config;
    }

    /// The ledger of the decap hop.
    pub const fn account(&self) -> &Account {
        &self.account
    }

    /// Memory of the fragments that wait for others, in bytes.
    pub const fn fragment_memory(&self) -> usize {
        self.fragments.memory()
    }

    /// Counts what the table of fragments gave up.
    fn settle(&mut self) {
        for (reason, count) in self.fragments.take_ended() {
            self.account.release(count);
            self.account.drop(reason, count);
        }
        debug_assert!(self.account.balances(), "decap does not balance");
    }
}
