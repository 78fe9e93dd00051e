//! Several lanes: the reading thread does tap, decap and spread, each lane is a thread, and a thread writes the logs.
//!
//! ```text
//!            ┌► lane 0 ─┐
//! read ──────┼► lane 1 ─┼─► write
//!   └────────┴──────────┘
//! ```
//!
//! Every arrow is a bounded queue of batches: who is fast waits for who is slow, so memory is bounded by
//! [`BATCHES`]. Bytes do not travel: a batch holds its block, and packets say where in it they are.

use std::mem;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use anyhow::{Context, anyhow};
use weir_decap::carried::Carried;
use weir_decap::{Decap, Output};
use weir_ledger::Account;
use weir_record::Entries;
use weir_spread::lane_of;
use weir_tap::{Block, FrameBatch};
use weir_wire::{Data, Head, Packet, Time};

use super::carried::Senders;
use super::deliver::{Delivery, Sender};
use super::logs::{Logged, Logs};
use super::merge::Merge;
use super::read::{Ended, count_spread};
use super::worker::{AHEAD, Closed, Worker};

/// Batches of up to 1024 frames that wait before a lane: enough that a lane does not starve while another is slow, and
/// little memory (200 KiB each, without the blocks).
const BATCHES: usize = 16;

/// The packets of one batch that belong to one lane.
struct Parcel {
    block: Block,
    cargo: Vec<Cargo>,
    now: Time,
    up_to: u64,
}

/// One packet on its way.
struct Cargo {
    head: Head,
    bytes: Bytes,
}

enum Bytes {
    /// In the block: from where, how many.
    Block(usize, usize),
    /// Its own.
    Joined(Box<[u8]>),
}

/// Decap, the queues and the threads.
pub struct Lanes {
    decap: Decap,
    carried: Carried,
    spread: Account,
    entries: Entries,
    loads: Vec<Vec<Cargo>>,
    queues: Vec<SyncSender<Parcel>>,
    /// Lists that lanes have emptied, to be filled again: fresh memory would cost more than the packets in it.
    empties: Receiver<Vec<Cargo>>,
    sender: Sender,
    lane_threads: Vec<JoinHandle<Closed>>,
    write_thread: JoinHandle<anyhow::Result<Logged>>,
}

impl Lanes {
    /// A thread for each of `workers`, and one for `logs`.
    pub fn start(decap: Decap, workers: Vec<Worker>, logs: Logs) -> anyhow::Result<Self> {
        let (lanes, style) = (workers.len(), logs.style().clone());
        let (writer, deliveries) = sync_channel(BATCHES * (lanes + 1));
        let mut done_with = Vec::new();
        let mut sender = |source| {
            let (done, emptied) = sync_channel(BATCHES);
            done_with.push(done);
            Sender::new(source, style.clone(), writer.clone(), emptied)
        };
        let own_sender = sender(0);
        let (emptied, empties) = sync_channel(BATCHES * lanes);
        let (mut queues, mut lane_threads) = (Vec::new(), Vec::new());
        let thread = |name: String| std::thread::Builder::new().name(name);
        for (i, worker) in workers.into_iter().enumerate() {
            let (queue, parcels) = sync_channel(BATCHES);
            let ends = Ends { parcels, sender: sender(i + 1), emptied: emptied.clone() };
            let lane = thread(format!("lane {i}")).spawn(move || analyse(worker, &ends));
            lane_threads.push(lane.context("cannot start a thread")?);
            queues.push(queue);
        }
        drop(writer);
        let write_thread = thread("write".into()).spawn(move || write(&deliveries, &done_with, logs));
        let write_thread = write_thread.context("cannot start a thread")?;
        let loads = queues.iter().map(|_| Vec::new()).collect();
        let (spread, entries) = (Account::default(), Entries::default());
        Ok(Self {
            decap,
            carried: Carried::default(),
            spread,
            entries,
            loads,
            queues,
            empties,
            sender: own_sender,
            lane_threads,
            write_thread,
        })
    }

    /// Hands a batch of frames to the lanes. `false`: the logs cannot be written any longer, [`Lanes::finish`] says why.
    pub fn batch(&mut self, batch: &FrameBatch, now: Time) -> bool {
        let mut out = Output { packets: Vec::new(), entries: mem::take(&mut self.entries) };
        for frame in batch.iter() {
            self.decap.frame(&frame, &mut out);
        }
        self.decap.advance(now, &mut out);
        if self.decap.arrivals().is_full() {
            self.carried.merge(self.decap.arrivals());
        }
        count_spread(&mut self.spread, &out.packets);
        let base = batch.block.bytes().as_ptr().addr();
        let lanes = self.loads.len();
        for packet in out.packets.drain(..) {
            if let Some(load) = self.loads.get_mut(lane_of(&packet.head.key, lanes)) {
                load.push(pack(packet, base));
            }
        }
        self.entries = out.entries;
        let up_to = batch.frames.last().map_or(0, |frame| frame.sequence);
        let mut taken = self.sender.send(&mut self.entries, up_to);
        for (queue, load) in self.queues.iter().zip(&mut self.loads) {
            // A lane without packets must hear of the time, too.
            let cargo = mem::replace(load, self.empties.try_recv().unwrap_or_default());
            let parcel = Parcel { block: batch.block.clone(), cargo, now, up_to };
            taken &= queue.send(parcel).is_ok();
        }
        taken
    }

    /// The traffic has ended, with `frames` frames: waits for all threads.
    pub fn finish(mut self, frames: u64) -> anyhow::Result<Ended> {
        let mut out = Output { packets: Vec::new(), entries: mem::take(&mut self.entries) };
        out.entries.sequence = frames;
        self.decap.finish(&mut out);
        self.carried.merge(self.decap.arrivals());
        self.entries = out.entries;
        self.sender.send(&mut self.entries, frames);
        // A lane ends when its queue does, and the writer when all who send to it have.
        drop((self.queues, self.sender));
        let mut lanes = Closed::default();
        for thread in self.lane_threads {
            lanes.merge(&thread.join().map_err(|_| anyhow!("a lane ended without its account"))?);
        }
        let logged = self.write_thread.join().map_err(|_| anyhow!("the writer of the logs panicked"))??;
        let senders = Senders::from(&self.carried);
        Ok(Ended { senders, decap: self.decap.account().clone(), spread: self.spread, lanes, logged })
    }
}

/// A packet without its bytes, which are `base` away from the beginning of their block.
fn pack(packet: Packet<'_>, base: usize) -> Cargo {
    let bytes = match packet.data {
        Data::Frame(bytes) => Bytes::Block(bytes.as_ptr().addr().wrapping_sub(base), bytes.len()),
        Data::Joined(bytes) => Bytes::Joined(bytes),
    };
    Cargo { head: packet.head, bytes }
}

/// The packet with its bytes again.
fn unpack(cargo: Cargo, block: &[u8]) -> Packet<'_> {
    let data = match cargo.bytes {
        Bytes::Block(at, len) => Data::Frame(block.get(at..at.saturating_add(len)).unwrap_or_default()),
        Bytes::Joined(bytes) => Data::Joined(bytes),
    };
    Packet { head: cargo.head, data }
}

/// Where a lane's thread takes from and gives to.
struct Ends {
    parcels: Receiver<Parcel>,
    sender: Sender,
    emptied: SyncSender<Vec<Cargo>>,
}

/// The life of a lane's thread.
fn analyse(mut worker: Worker, ends: &Ends) -> Closed {
    let mut entries = Entries::default();
    let (mut now, mut up_to) = (Time(0), 0);
    let mut taken = true;
    for mut parcel in &ends.parcels {
        (now, up_to) = (parcel.now, parcel.up_to.max(up_to));
        let block = parcel.block.bytes();
        let mut cargo = parcel.cargo.drain(..);
        while cargo.len() > 0 {
            worker.expect(cargo.as_slice().iter().take(AHEAD).map(|cargo| &cargo.head.key));
            worker.packets(cargo.by_ref().take(AHEAD).map(|cargo| unpack(cargo, block)), &mut entries);
        }
        drop(cargo);
        // Where there are enough, or nobody wants them, they are let go.
        let _ = ends.emptied.try_send(parcel.cargo);
        entries.sequence = up_to;
        worker.advance(now, &mut entries);
        taken = ends.sender.send(&mut entries, up_to);
        if !taken {
            break;
        }
    }
    entries.sequence = up_to.saturating_add(1);
    // Where the writer has gone, it has said why.
    while worker.finish(now, &mut entries) {
        taken = taken && ends.sender.send(&mut entries, up_to);
        entries.drain();
    }
    let _ = taken && ends.sender.send(&mut entries, u64::MAX);
    worker.so_far()
}

/// The life of the thread that writes. What it has done with goes back to its source, 0 first.
fn write(
    deliveries: &Receiver<Delivery>,
    sources: &[SyncSender<Delivery>],
    mut logs: Logs,
) -> anyhow::Result<Logged> {
    let mut merge = Merge::new(sources.len());
    for mut delivery in deliveries {
        logs.append(&delivery.lines)?;
        let Delivery { source, up_to, ordered, .. } = &mut delivery;
        merge.take(*source, *up_to, ordered.drain(..), &mut |ordered| logs.write(ordered))?;
        if let Some(done) = sources.get(delivery.source) {
            // Where there are enough, or nobody wants them, they are let go.
            let _ = done.try_send(delivery);
        }
    }
    merge.finish(&mut |ordered| logs.write(ordered))?;
    logs.close()
}
