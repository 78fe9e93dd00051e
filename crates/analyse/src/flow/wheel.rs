//! When to look at which flow: a wheel of seconds.
//!
//! A flow has one entry, in the slot of its deadline when it was entered. When the slot's time comes the flow's deadline
//! is asked for again: later than now, it is entered anew. So a packet costs nothing here, only a deadline that
//! comes nearer is entered at once. An entry names a generation, so one that outlives its flow is harmless.

use weir_wire::Time;

const SLOTS: usize = 512;
/// Entries that a slot keeps memory for when it is empty: a flood fills slots that are then not needed so large for long.
const KEPT: usize = 1024;
const SECOND: i64 = 1_000_000_000;

/// A flow's place in the table and how often that place was used.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    /// Its index.
    pub index: u32,
    /// The generation of the index.
    pub generation: u32,
}

/// The wheel.
#[derive(Debug)]
pub struct Wheel {
    slots: Vec<Vec<Ticket>>,
    /// The second up to which slots were emptied; `None` before the first packet.
    tick: Option<i64>,
    /// Entries so far.
    entered: u64,
    /// Entries that wait.
    waiting: u64,
}

impl Default for Wheel {
    fn default() -> Self {
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), tick: None, entered: 0, waiting: 0 }
    }
}

impl Wheel {
    /// Enters a flow to be looked at when `deadline` has passed, or earlier where that is beyond the wheel.
    pub fn enter(&mut self, ticket: Ticket, deadline: Time) {
        let tick = self.tick.unwrap_or(deadline.0.div_euclid(SECOND));
        let due = deadline.0.div_euclid(SECOND) + 1;
        let due = due.clamp(tick + 1, tick + SLOTS as i64 - 1);
        let slot = due.rem_euclid(SLOTS as i64) as usize;
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.push(ticket);
            self.entered += 1;
            self.waiting += 1;
        }
    }

    /// Entries so far, and those that wait.
    pub const fn counts(&self) -> [u64; 2] {
        [self.entered, self.waiting]
    }

    /// Time was set back to `now`: everything is to be looked at within a second from there, as nothing comes when it was to.
    pub fn set_back(&mut self, now: Time) {
        let tick = now.0.div_euclid(SECOND);
        if self.tick.is_none_or(|before| tick >= before) {
            return;
        }
        self.tick = Some(tick);
        let all: Vec<_> = self.slots.iter_mut().flat_map(std::mem::take).collect();
        let next = (tick + 1).rem_euclid(SLOTS as i64) as usize;
        if let Some(slot) = self.slots.get_mut(next) {
            *slot = all;
        }
    }

    /// Everything to be looked at by `now`, into `due`.
    pub fn advance(&mut self, now: Time, due: &mut Vec<Ticket>) {
        let to = now.0.div_euclid(SECOND);
        let from = self.tick.unwrap_or(to);
        if to < from {
            return;
        }
        let steps = (to - from).min(SLOTS as i64);
        for second in (to - steps + 1)..=to {
            let slot = second.rem_euclid(SLOTS as i64) as usize;
            if let Some(slot) = self.slots.get_mut(slot) {
                self.waiting = self.waiting.saturating_sub(slot.len() as u64);
                due.append(slot);
                slot.shrink_to(KEPT);
            }
        }
        self.tick = Some(to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_is_looked_at_after_its_deadline_and_not_before() {
        let (mut wheel, mut due) = (Wheel::default(), Vec::new());
        wheel.advance(Time::from_parts(100, 0), &mut due);
        wheel.enter(Ticket { index: 7, generation: 0 }, Time::from_parts(105, 5));
        wheel.advance(Time::from_parts(105, 9), &mut due);
        assert!(due.is_empty());
        wheel.advance(Time::from_parts(10_000, 0), &mut due);
        assert_eq!(due.len(), 1);
    }

    #[test]
    fn when_time_is_set_back_flows_are_looked_at_again_as_of_then() {
        let (mut wheel, mut due) = (Wheel::default(), Vec::new());
        let [old, new] = [1, 2].map(|index| Ticket { index, generation: 0 });
        wheel.advance(Time::from_parts(3_600, 0), &mut due);
        wheel.enter(old, Time::from_parts(3_660, 0));
        wheel.set_back(Time::from_parts(100, 0));
        wheel.enter(new, Time::from_parts(160, 0));
        wheel.advance(Time::from_parts(101, 0), &mut due);
        assert_eq!(due.drain(..).map(|ticket| ticket.index).collect::<Vec<_>>(), [1]);
        wheel.advance(Time::from_parts(161, 0), &mut due);
        assert_eq!(due.drain(..).map(|ticket| ticket.index).collect::<Vec<_>>(), [2]);
    }
}
