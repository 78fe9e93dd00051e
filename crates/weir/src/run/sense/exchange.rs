//! Packets on their way from the worker that received them to the worker whose lane has their flow.
//!
//! Promises: whatever way the kernel splits the traffic, all packets of a flow meet in one lane, in the order in which
//! their worker received them. Queues are bounded ([`PARCELS`] for each worker); a worker that waits for room in
//! another's queue empties its own meanwhile, so that two never wait for each other. What finds no room for
//! [`PATIENCE`] is dropped and counted.
//!
//! Bytes are copied here: the block of a ring has to go back to the kernel soon, whatever another worker does.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::time::Duration;

use anyhow::Context;
use nix::sys::eventfd::{EfdFlags, EventFd};
use weir_ledger::{Account, Count, Reason};
use weir_wire::{Data, Head, Packet};

/// Parcels that wait before a worker. Each has the packets of one batch, 1024 at most and some 60 KiB as a rule, so that
/// a queue holds about 4 MiB and, were all packets super-frames, 4 GiB would be its bound; [`PARCEL`] makes it 64 MiB.
const PARCELS: usize = 64;
/// A parcel with this many bytes is sent without waiting for the end of its batch.
const PARCEL: usize = 1 << 20;
/// How long a packet may wait for room in a queue.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Packets with their bytes.
#[derive(Default)]
pub struct Parcel {
    /// The number of the source that they came from.
    pub feed: u16,
    /// Each with where its bytes end.
    cargo: Vec<(Head, usize)>,
    bytes: Vec<u8>,
}

impl Parcel {
    /// Without packets yet, which will be of the source `feed`.
    pub fn of(feed: u16) -> Self {
        Self { feed, ..Self::default() }
    }

    /// Adds a copy of a packet.
    pub fn push(&mut self, packet: &Packet<'_>) {
        self.bytes.extend_from_slice(packet.data.bytes());
        self.cargo.push((packet.head, self.bytes.len()));
    }

    /// How many packets there are.
    pub fn len(&self) -> usize {
        self.cargo.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.cargo.is_empty()
    }

    /// The memory that it takes.
    pub fn size(&self) -> usize {
        self.bytes.len() + self.cargo.len() * size_of::<(Head, usize)>()
    }

    /// The packet at `index`.
    pub fn packet(&self, index: usize) -> Option<Packet<'_>> {
        let (head, end) = self.cargo.get(index)?;
        let start = index.checked_sub(1).and_then(|before| self.cargo.get(before)).map_or(0, |(_, end)| *end);
        Some(Packet { head: *head, data: Data::Frame(self.bytes.get(start..*end).unwrap_or_default()) })
    }

    /// The packets, numbered anew with `sequence`, which is that of whoever takes them.
    pub fn packets(&self, sequence: u64) -> impl Iterator<Item = Packet<'_>> {
        let all = (0..self.len()).filter_map(|index| self.packet(index));
        all.map(move |packet| Packet { head: Head { sequence, ..packet.head }, ..packet })
    }

    fn count(&self) -> Count {
        let mut count = Count::default();
        self.cargo.iter().for_each(|(head, _)| count += Count::new(u64::from(head.frames), head.frame_bytes));
        count
    }
}

/// What wakes a worker that sleeps at its sources.
struct Bell {
    asleep: AtomicBool,
    /// How many parcels wait.
    waiting: AtomicUsize,
    event: EventFd,
}

/// Wakes workers.
pub struct Alarm(Vec<Arc<Bell>>);

impl Alarm {
    /// Wakes all who sleep.
    pub fn ring(&self) {
        self.0.iter().for_each(|bell| bell.ring());
    }
}

impl Bell {
    /// A parcel waits no longer.
    fn taken(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// Wakes who sleeps.
    fn ring(&self) {
        if self.asleep.swap(false, Ordering::SeqCst) {
            // A bell that rings already is loud enough.
            let _ = self.event.write(1);
        }
    }
}

/// Where a worker takes parcels from.
pub struct Inbox {
    parcels: Receiver<Parcel>,
    bell: Arc<Bell>,
}

/// Where a worker sends parcels to.
pub struct Outbox {
    doors: Vec<Door>,
    /// This worker, to whom nothing is sent.
    own: usize,
}

struct Door {
    queue: SyncSender<Parcel>,
    bell: Arc<Bell>,
    load: Parcel,
}

/// The ends of the queues between `workers` workers.
///
/// # Errors
/// The kernel has no more descriptors.
pub fn between(workers: usize) -> anyhow::Result<Vec<(Inbox, Outbox)>> {
    let (mut inboxes, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..workers {
        let (queue, parcels) = sync_channel(PARCELS);
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
        let event = event.context("cannot make a queue between workers")?;
        let bell = Arc::new(Bell { asleep: AtomicBool::new(false), waiting: AtomicUsize::new(0), event });
        ends.push((queue, Arc::clone(&bell)));
        inboxes.push(Inbox { parcels, bell });
    }
    let doors = || {
        let door = |(queue, bell): &(SyncSender<Parcel>, Arc<Bell>)| Door {
            queue: queue.clone(),
            bell: Arc::clone(bell),
            load: Parcel::default(),
        };
        ends.iter().map(door).collect()
    };
    Ok(inboxes.into_iter().enumerate().map(|(own, inbox)| (inbox, Outbox { doors: doors(), own })).collect())
}

impl Inbox {
    /// What wakes the workers with these inboxes.
    pub fn alarm<'a>(inboxes: impl Iterator<Item = &'a Self>) -> Alarm {
        Alarm(inboxes.map(|inbox| Arc::clone(&inbox.bell)).collect())
    }

    /// A parcel, if there is one.
    pub fn take(&self) -> Option<Parcel> {
        self.parcels.try_recv().ok().inspect(|_| self.bell.taken())
    }

    /// How full the queue is, 0 to 1.
    pub fn fill(&self) -> f64 {
        self.bell.waiting.load(Ordering::Relaxed) as f64 / PARCELS as f64
    }

    /// Waits for a parcel. `Err`: none will come any more.
    pub fn wait(&self, timeout: Duration) -> Result<Option<Parcel>, ()> {
        match self.parcels.recv_timeout(timeout) {
            Ok(parcel) => {
                self.bell.taken();
                Ok(Some(parcel))
            }
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(()),
        }
    }

    /// What becomes readable when a parcel comes to who sleeps.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.bell.event.as_fd()
    }

    /// Tells the others that this worker sleeps from now on. Answers a parcel that came just before.
    pub fn fall_asleep(&self) -> Option<Parcel> {
        self.bell.asleep.store(true, Ordering::SeqCst);
        match self.parcels.try_recv() {
            Ok(parcel) => {
                self.bell.taken();
                self.wake_up();
                Some(parcel)
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
        }
    }

    /// This worker sleeps no longer.
    pub fn wake_up(&self) {
        if !self.bell.asleep.swap(false, Ordering::SeqCst) {
            // Somebody has rung; where the bell was not rung after all there is nothing to read.
            let _ = self.bell.event.read();
        }
    }
}

impl Outbox {
    /// Loads a packet for `worker`. Answers whether that parcel is so large that it should be sent now.
    pub fn load(&mut self, worker: usize, packet: &Packet<'_>) -> bool {
        let Some(door) = self.doors.get_mut(worker) else { return false };
        door.load.push(packet);
        door.load.bytes.len() >= PARCEL
    }

    /// What is loaded for the worker itself, from the source `feed`.
    pub fn take_own(&mut self, feed: u16) -> Parcel {
        let own = self.doors.get_mut(self.own).map(|door| std::mem::take(&mut door.load));
        Parcel { feed, ..own.unwrap_or_default() }
    }

    /// Sends what is loaded, which came from the source `feed`; counts it in `spread`. While a queue is full, `meanwhile` is called, which empties the own
    /// one; when it answers `false`, time is up.
    pub fn send(&mut self, feed: u16, spread: &mut Account, mut meanwhile: impl FnMut() -> bool) {
        for (index, door) in self.doors.iter_mut().enumerate() {
            if index == self.own || door.load.cargo.is_empty() {
                continue;
            }
            let count = door.load.count();
            let mut parcel = Parcel { feed, ..std::mem::take(&mut door.load) };
            loop {
                // Counted before it is there to be taken, so that the count never goes below 0.
                door.bell.waiting.fetch_add(1, Ordering::Relaxed);
                let sent = door.queue.try_send(parcel);
                if sent.is_err() {
                    door.bell.taken();
                }
                match sent {
                    Ok(()) => {
                        spread.pass(count);
                        door.bell.ring();
                        break;
                    }
                    Err(TrySendError::Full(back)) => {
                        door.bell.ring();
                        parcel = back;
                        if !meanwhile() {
                            spread.drop(Reason::WorkerQueueFull, count);
                            break;
                        }
                    }
                    Err(TrySendError::Disconnected(_)) => {
                        spread.drop(Reason::WorkerPanic, count);
                        break;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
pub mod tests {
    use weir_decap::{Config, Decap, Output};
    use weir_wire::{Frame, LinkType, Offload, Time, UidKey};

    use super::*;

    pub fn with_packet(check: impl FnOnce(&Packet<'_>)) {
        let mut data = vec![0x45, 0, 0, 30, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        data.extend([0x12, 0x34, 0x56, 0x78, 0, 10, 0, 0, b'h', b'i']);
        let frame = Frame {
            time: Time(5),
            tap: 0,
            sequence: 7,
            link: LinkType::RAW,
            wire_len: 30,
            offload: Offload::default(),
            data: &data,
        };
        let mut out = Output::default();
        Decap::new(Config::default(), UidKey::default()).frame(&frame, &mut out);
        check(&out.packets[0]);
    }

    #[test]
    fn a_packet_arrives_as_it_was_with_the_number_of_who_takes_it() {
        let mut ends = between(2).unwrap();
        let (inbox, _) = ends.pop().unwrap();
        let (_, mut outbox) = ends.pop().unwrap();
        let mut spread = Account::default();
        with_packet(|packet| {
            assert!(!outbox.load(1, packet) && !outbox.load(1, packet));
            outbox.send(0, &mut spread, || unreachable!());
            let parcel = inbox.take().unwrap();
            let got: Vec<_> = parcel.packets(99).collect();
            assert_eq!((got.len(), got[1].head.sequence, got[1].head.time), (2, 99, Time(5)));
            assert_eq!(got[1].data.bytes(), packet.data.bytes());
        });
        assert_eq!(spread.passed, Count::new(2, 60));
    }

    #[test]
    fn what_finds_no_room_is_counted_and_what_has_no_taker_too() {
        let mut ends = between(2).unwrap();
        let (inbox, _) = ends.pop().unwrap();
        let (_, mut outbox) = ends.pop().unwrap();
        let mut spread = Account::default();
        with_packet(|packet| {
            for _ in 0..=PARCELS {
                outbox.load(1, packet);
                outbox.send(0, &mut spread, || false);
            }
            drop(inbox);
            outbox.load(1, packet);
            outbox.send(0, &mut spread, || true);
        });
        assert_eq!(spread.passed.frames, PARCELS as u64);
        assert_eq!(spread.dropped(Reason::WorkerQueueFull).frames, 1);
        assert_eq!(spread.dropped(Reason::WorkerPanic).frames, 1);
    }

    #[test]
    fn a_queue_tells_how_full_it_is() {
        let mut ends = between(2).unwrap();
        let (inbox, _) = ends.pop().unwrap();
        let (_, mut outbox) = ends.pop().unwrap();
        with_packet(|packet| {
            for _ in 0..PARCELS + 9 {
                outbox.load(1, packet);
                outbox.send(0, &mut Account::default(), || false);
            }
        });
        assert!((inbox.fill() - 1.0).abs() < 1e-9);
        while inbox.take().is_some() {}
        assert!(inbox.fill().abs() < 1e-9);
    }

    #[test]
    fn who_sleeps_is_woken_and_a_parcel_that_came_just_before_is_not_slept_over() {
        let mut ends = between(2).unwrap();
        let (inbox, _) = ends.pop().unwrap();
        let (_, mut outbox) = ends.pop().unwrap();
        let mut spread = Account::default();
        with_packet(|packet| {
            outbox.load(1, packet);
            outbox.send(0, &mut spread, || true);
            assert!(inbox.fall_asleep().is_some());
            assert!(inbox.fall_asleep().is_none());
            outbox.load(1, packet);
            outbox.send(0, &mut spread, || true);
            assert_eq!(inbox.bell.event.read(), Ok(1));
            inbox.wake_up();
            assert!(inbox.take().is_some());
        });
    }
}
