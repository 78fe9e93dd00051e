//! One lane in its thread: what it was given is accounted for even where it panics.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use weir_analyse::{Busiest, Lane, Tally};
use weir_ledger::{Account, Count, Reason, StreamAccount};
use weir_record::Entries;
use weir_spread::Deduplicator;
use weir_wire::{FlowKey, Packet, Role, Shed, Time, UidKey};

/// Packets whose flows are looked up before the first of them is analysed: enough that looking up can overlap
/// ([`Worker::expect`]), few enough that packets stay in the innermost cache.
pub const AHEAD: usize = 32;

/// A lane, and the accounts of those before it that panicked.
pub struct Worker {
    lane: Lane,
    config: Arc<weir_analyse::Config>,
    key: UidKey,
    /// What this lane was given since it was made.
    given: Count,
    closed: Closed,
    /// Leaves out copies of packets that other taps saw, where that is wanted.
    dedup: Option<Deduplicator>,
    /// Somebody wants to know who is busiest.
    watched: bool,
    /// After so many frames it panics, for tests.
    panics_at: u64,
}

/// What a worker leaves behind.
#[derive(Clone, Default, Debug)]
pub struct Closed {
    /// The ledger of the analyse hop.
    pub account: Account,
    /// The ledger of TCP payload.
    pub streams: StreamAccount,
    /// How often a lane panicked.
    pub panics: u64,
    /// How many connections were ended early because the flow table was full.
    pub evicted: u64,
    /// What was counted beside.
    pub tally: Tally,
}

impl Closed {
    /// Adds what another worker left behind.
    pub fn merge(&mut self, other: &Self) {
        self.account.merge(&other.account);
        self.streams.merge(&other.streams);
        self.panics += other.panics;
        self.evicted += other.evicted;
        self.tally.merge(&other.tally);
    }
}

impl Worker {
    /// With an empty lane.
    pub fn new(config: Arc<weir_analyse::Config>, key: UidKey) -> Self {
        let lane = Lane::new(Arc::clone(&config), key);
        let (given, closed) = (Count::default(), Closed::default());
        Self { lane, config, key, given, closed, dedup: None, watched: false, panics_at: u64::MAX }
    }

    /// This worker, which counts who and what has most of the traffic.
    #[must_use]
    pub fn watched(self) -> Self {
        Self { lane: self.lane.watching(), watched: true, ..self }
    }

    /// This worker, which leaves out copies by `dedup`.
    #[must_use]
    pub fn without_duplicates(self, dedup: Option<Deduplicator>) -> Self {
        Self { dedup, ..self }
    }

    /// This one, which panics once after so many frames: for tests of what becomes of them.
    #[must_use]
    pub const fn panicking(mut self, at: u64) -> Self {
        self.panics_at = at;
        self
    }

    /// Other limits hold from now on.
    pub fn configure(&mut self, config: Arc<weir_analyse::Config>) {
        self.lane.configure(Arc::clone(&config));
        self.config = config;
    }

    /// The limits that hold.
    #[cfg(test)]
    pub fn config(&self) -> &weir_analyse::Config {
        &self.config
    }

    /// Packets with `keys` come next ([`Lane::expect`]).
    pub fn expect<'a>(&mut self, keys: impl Iterator<Item = &'a FlowKey>) {
        self.lane.expect(keys);
    }

    /// Analyses `packets`, all of them: one at which the lane panics is lost with the flows of the lane, the rest goes
    /// to a new lane.
    pub fn packets<'a>(&mut self, mut packets: impl Iterator<Item = Packet<'a>>, out: &mut Entries) {
        loop {
            let (lane, given, dedup) = (&mut self.lane, &mut self.given, &mut self.dedup);
            let panics_at = self.panics_at;
            let work = AssertUnwindSafe(|| {
                for packet in packets.by_ref() {
                    *given += Count::new(u64::from(packet.head.frames), packet.head.frame_bytes);
                    assert!(given.frames < panics_at, "by WEIR_TEST_PANIC");
                    if dedup.as_mut().is_some_and(|dedup| is_copy(dedup, &packet)) {
                        lane.duplicate(&packet);
                    } else {
                        lane.packet(&packet, out);
                    }
                }
            });
            match catch_unwind(work) {
                Ok(()) => return,
                Err(_) => self.replace(),
            }
        }
    }

    /// The clock was set back to `now`.
    pub fn set_back(&mut self, now: Time) {
        let lane = &mut self.lane;
        if catch_unwind(AssertUnwindSafe(|| lane.set_back(now))).is_err() {
            self.replace();
        }
    }

    /// Time has come to `now`.
    pub fn advance(&mut self, now: Time, out: &mut Entries) {
        let lane = &mut self.lane;
        if catch_unwind(AssertUnwindSafe(|| lane.advance(now, out))).is_err() {
            self.replace();
        }
    }

    /// The traffic has ended: ends connections, so many that their records take little memory. Answers whether there are
    /// more, for another call.
    pub fn finish(&mut self, now: Time, out: &mut Entries) -> bool {
        let lane = &mut self.lane;
        catch_unwind(AssertUnwindSafe(|| lane.finish(now, out))).unwrap_or_else(|_| {
            self.replace();
            false
        })
    }

    /// What is left behind, after [`Worker::finish`]; before it, what would be left behind now.
    pub fn so_far(&self) -> Closed {
        let mut closed = self.closed.clone();
        let (account, streams) = (self.lane.account().clone(), *self.lane.streams());
        let (evicted, tally) = (self.lane.evicted(), self.lane.tally());
        closed.merge(&Closed { account, streams, panics: 0, evicted, tally });
        closed
    }

    /// Who and what has most of the traffic, where that is [watched](Worker::watched).
    pub fn busiest(&self) -> Option<&Busiest> {
        self.lane.busiest()
    }

    /// Leaves out the flows that `shed` names.
    pub const fn shed(&mut self, shed: Shed) {
        self.lane.shed(shed);
    }

    /// How many connections the lane has.
    pub fn flows(&self) -> usize {
        self.lane.flows()
    }

    /// Closes the accounts of a lane that panicked, and goes on with a new one.
    pub fn replace(&mut self) {
        let mut account = self.lane.account().clone();
        let mut streams = *self.lane.streams();
        book_panic(&mut account, &mut streams, self.given);
        let (evicted, mut tally) = (self.lane.evicted(), self.lane.tally());
        tally.lost();
        self.closed.merge(&Closed { account, streams, panics: 1, evicted, tally });
        let lane = Lane::new(Arc::clone(&self.config), self.key);
        self.lane = if self.watched { lane.watching() } else { lane };
        self.given = Count::default();
        self.panics_at = u64::MAX;
    }
}

/// Whether another tap's copy of `packet` was analysed. Tunnels around packets are each tap's own.
fn is_copy(dedup: &mut Deduplicator, packet: &Packet<'_>) -> bool {
    packet.head.role == Role::Innermost && dedup.is_duplicate(packet, packet.head.time)
}

/// What a lane was given and did not account for before it panicked ends as [`Reason::WorkerPanic`], and the payload in
/// its hands is discarded.
fn book_panic(account: &mut Account, streams: &mut StreamAccount, given: Count) {
    close_after_panic(account, given);
    let ended = streams.delivered.saturating_add(streams.duplicate).saturating_add(streams.discarded);
    streams.held = 0;
    streams.discarded = streams.discarded.saturating_add(streams.entered.saturating_sub(ended));
}

/// Closes the account of a hop that panicked after it was given so much: what it did not account for, and what it held, has
/// ended.
pub fn close_after_panic(account: &mut Account, given: Count) {
    account.enter(rest(given, account.entered));
    account.release(account.held);
    let mut ended = account.dropped_total();
    ended += account.passed;
    account.drop(Reason::WorkerPanic, rest(account.entered, ended));
}

fn rest(whole: Count, part: Count) -> Count {
    let (frames, bytes) = (whole.frames.saturating_sub(part.frames), whole.bytes.saturating_sub(part.bytes));
    Count::new(frames, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_panic_every_frame_and_byte_is_still_accounted_for() {
        let mut account = Account::default();
        account.enter(Count::new(4, 400));
        account.pass(Count::new(1, 100));
        account.hold(Count::new(2, 200));
        let mut streams = StreamAccount { entered: 90, delivered: 40, held: 20, ..StreamAccount::default() };
        book_panic(&mut account, &mut streams, Count::new(5, 500));
        assert!(account.balances() && streams.balances());
        assert_eq!(account.entered, Count::new(5, 500));
        assert_eq!(account.dropped(Reason::WorkerPanic), Count::new(4, 400));
        assert_eq!(streams.discarded, 50);
    }

    /// Gives `worker` a datagram between two hosts, of the flow that `port` tells.
    fn datagram(worker: &mut Worker, port: u8, out: &mut Entries) {
        let mut data = vec![0x45, 0, 0, 30, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        data.extend([4, port, 0x56, 0x78, 0, 10, 0, 0, b'h', b'i']);
        let frame = weir_wire::Frame {
            time: Time(1_000_000_000),
            tap: 0,
            sequence: 0,
            link: weir_wire::LinkType::RAW,
            wire_len: 30,
            offload: weir_wire::Offload::default(),
            data: &data,
        };
        let mut found = weir_decap::Output::default();
        weir_decap::Decap::new(weir_decap::Config::default(), UidKey::default()).frame(&frame, &mut found);
        worker.packets(found.packets.into_iter(), out);
    }

    #[test]
    fn flows_that_are_shed_are_left_out_by_their_slots_and_those_in_progress_end_with_a_word() {
        let mut worker = Worker::new(Arc::new(weir_analyse::Config::default()), UidKey::default());
        let mut out = Entries::default();
        for port in 0..100 {
            datagram(&mut worker, port, &mut out);
        }
        worker.shed(Shed { beginning: 128, running: 0 });
        for port in 0..200 {
            datagram(&mut worker, port, &mut out);
        }
        // Those in progress went on; of the others about half was let in.
        let (begun, account) = (worker.flows(), worker.so_far().account);
        assert!((120..180).contains(&begun), "{begun}");
        assert_eq!(account.dropped(Reason::Shed).frames, 200 - begun as u64);
        worker.shed(Shed { beginning: 128, running: 128 });
        for port in 0..200 {
            datagram(&mut worker, port, &mut out);
        }
        let ended = begun - worker.flows();
        let weirds = out.drain().filter(|entry| {
            matches!(&entry.entry, weir_record::Entry::Weird(weird) if weird.name.as_bytes() == b"flow_shed")
        });
        assert_eq!((weirds.count(), ended > 20), (ended, true));
        assert!(worker.so_far().account.balances());
    }
}
