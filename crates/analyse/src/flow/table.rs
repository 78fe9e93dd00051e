//! Flows by key: a hash table of indices into a slab, and the wheel that tells which flows may be over.
//!
//! Bounded by [`crate::config::FlowConfig::max_flows`]: beyond, of a few flows looked at in turn the one that was idle
//! longest is ended early, so a flood of attempts costs neither memory nor time.

#![allow(clippy::vec_box, reason = "flows are boxed in the table; moving the box is cheaper")]

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use weir_wire::{FlowKey, Time};

use super::connection::Flow;
use super::wheel::{Ticket, Wheel};

/// How many flows are looked at to find one to end early.
const CANDIDATES: usize = 16;

#[derive(Default)]
struct Slot {
    generation: u32,
    /// When its last packet came, in [`coarse`] time: beside the flow, so that to look for an idle one touches none.
    touched: u32,
    flow: Option<Box<Flow>>,
}

/// The flows of a lane.
#[derive(Default)]
pub struct Table {
    index: HashTable<u32>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    hasher: RandomState,
    wheel: Wheel,
    hand: usize,
    due: Vec<Ticket>,
}

/// A time in units of about a millisecond, of which the lower half is enough to compare what is less than weeks apart.
const fn coarse(time: Time) -> u32 {
    (time.0 >> 20) as u32
}

impl Table {
    /// How many flows there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Deadlines so far, and those that wait.
    pub const fn timers(&self) -> [u64; 2] {
        self.wheel.counts()
    }

    /// The hash of a key in this table.
    pub fn hash(&self, key: &FlowKey) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Where the flow with `key` is, whose hash is `hash`.
    pub fn find(&self, hash: u64, key: &FlowKey) -> Option<u32> {
        let same = |i: &u32| self.get(*i).is_some_and(|f| f.key == *key);
        self.index.find(hash, same).copied()
    }

    /// The flow at `index`.
    pub fn get(&self, index: u32) -> Option<&Flow> {
        self.slots.get(index as usize)?.flow.as_deref()
    }

    /// The flow at `index`, of which a packet came at `now`.
    pub fn touch(&mut self, index: u32, now: Time) -> Option<&mut Flow> {
        let slot = self.slots.get_mut(index as usize)?;
        slot.touched = coarse(now);
        slot.flow.as_deref_mut()
    }

    /// Puts a flow in; its key, whose hash is `hash`, is not there yet.
    pub fn insert(&mut self, hash: u64, flow: Box<Flow>, deadline: Time) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        let mut generation = 0;
        if let Some(slot) = self.slots.get_mut(index as usize) {
            slot.flow = Some(flow);
            generation = slot.generation;
        }
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.index.insert_unique(hash, index, |i| {
            let flow = slots.get(*i as usize).and_then(|s| s.flow.as_deref());
            flow.map_or(0, |f| hasher.hash_one(f.key))
        });
        self.wheel.enter(Ticket { index, generation }, deadline);
        index
    }

    /// The deadline of the flow at `index` has come nearer.
    pub fn watch(&mut self, index: u32, deadline: Time) {
        if let Some(slot) = self.slots.get(index as usize) {
            self.wheel.enter(Ticket { index, generation: slot.generation }, deadline);
        }
    }

    /// Takes the flow at `index` out.
    pub fn remove(&mut self, index: u32) -> Option<Box<Flow>> {
        let slot = self.slots.get_mut(index as usize)?;
        let flow = slot.flow.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        let hash = self.hasher.hash_one(&flow.key);
        if let Ok(entry) = self.index.find_entry(hash, |i| *i == index) {
            entry.remove();
        }
        self.free.push(index);
        Some(flow)
    }

    /// Time was set back to `now`.
    pub fn set_back(&mut self, now: Time) {
        self.wheel.set_back(now);
    }

    /// Takes out the flows that are over at `now`, in the order of their deadlines.
    pub fn expire(&mut self, now: Time, deadline: impl Fn(&Flow) -> Time, over: &mut Vec<Box<Flow>>) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.advance(now, &mut due);
        for ticket in due.drain(..) {
            let slot = self.slots.get(ticket.index as usize);
            let Some(flow) =
                slot.filter(|s| s.generation == ticket.generation).and_then(|s| s.flow.as_deref())
            else {
                continue;
            };
            let at = deadline(flow);
            if at > now {
                self.wheel.enter(ticket, at);
            } else if let Some(flow) = self.remove(ticket.index) {
                over.push(flow);
            }
        }
        due.shrink_to(1 << 16);
        self.due = due;
        over.sort_by_key(|f| (deadline(f), f.first_sequence));
    }

    /// Of a few flows, the one that at `now` was idle longest.
    pub fn idlest(&mut self, now: Time) -> Option<u32> {
        let mut found: Option<(i32, u32)> = None;
        let mut looked = 0;
        for _ in 0..self.slots.len() {
            self.hand = if self.hand + 1 < self.slots.len() { self.hand + 1 } else { 0 };
            let Some(slot) = self.slots.get(self.hand).filter(|slot| slot.flow.is_some()) else { continue };
            let idle = coarse(now).wrapping_sub(slot.touched) as i32;
            if found.is_none_or(|(longest, _)| idle > longest) {
                found = Some((idle, self.hand as u32));
            }
            looked += 1;
            if looked == CANDIDATES {
                break;
            }
        }
        found.map(|(_, index)| index)
    }

    /// All flows, in the order in which they began.
    pub fn drain(&mut self) -> Vec<Box<Flow>> {
        self.index.clear();
        let mut all: Vec<_> = self.slots.drain(..).filter_map(|s| s.flow).collect();
        self.free.clear();
        all.sort_by_key(|f| f.first_sequence);
        all
    }
}
