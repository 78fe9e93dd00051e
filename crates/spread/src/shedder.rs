//! How much to shed when a lane cannot keep up: whole flows by a keyed hash, never packets at random.
//!
//! A flow has a slot of 256 ([`weir_wire::UidKey::slot`]), the same on every machine with the same key. [`Shedder`] says, from
//! how full a lane's ring is, below which slot flows that begin are not let in, and below which slot flows in progress are ended,
//! too. It goes up quickly and comes down slowly:
//!
//! ```text
//!   fill at or above the mark for RAISE looks in a row:   share up by an eighth of 256 or half of itself
//!   and for PATIENCE raises without a calm look:          flows in progress as far as the share before
//!   fill below half of the mark for LOWER looks in a row: both down by a quarter, to 0 in the end
//! ```
//!
//! [`MOST`] is never exceeded: some flows are always seen. It reads no clock: who calls it does so at a steady pace.

use weir_wire::Shed;

/// So many looks in a row, the usual pace being ten a second, have to show a full ring: a burst fits in it.
const RAISE: u32 = 3;
/// So many looks in a row have to be calm.
const LOWER: u32 = 50;
/// So many raises with no calm look between have not helped: flows in progress are what fills the ring.
const PATIENCE: u32 = 4;
/// The least step up.
const STEP: u16 = 32;
/// At most so many of the 256 slots are shed: one flow in 16 stays.
pub const MOST: u16 = 240;

/// Says how much a lane sheds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Shedder {
    mark: f64,
    now: Shed,
    full: u32,
    calm: u32,
    raises: u32,
}

impl Shedder {
    /// Sheds nothing until rings are full to `mark`, above 0 and up to 1; at other marks it never does.
    pub const fn new(mark: f64) -> Self {
        Self { mark, now: Shed::NOTHING, full: 0, calm: 0, raises: 0 }
    }

    /// A look at how full the ring is, 0 to 1. Answers what is to be shed from now on.
    pub fn look(&mut self, fill: f64) -> Shed {
        let works = self.mark > 0.0 && self.mark <= 1.0;
        if works && fill >= self.mark {
            self.calm = 0;
            self.full += 1;
            if self.full >= RAISE {
                self.full = 0;
                self.raise();
            }
        } else {
            self.full = 0;
            if fill < self.mark / 2.0 {
                self.calm_look();
            } else {
                self.calm = 0;
            }
        }
        self.now
    }

    fn raise(&mut self) {
        self.raises = self.raises.saturating_add(1);
        if self.raises >= PATIENCE {
            self.now.running = self.now.beginning;
        }
        let step = STEP.max(self.now.beginning / 2);
        self.now.beginning = self.now.beginning.saturating_add(step).min(MOST);
    }

    fn calm_look(&mut self) {
        self.raises = 0;
        self.calm += 1;
        if self.calm >= LOWER {
            self.calm = 0;
            let less = |share: u16| if share < STEP { 0 } else { share - share / 4 };
            self.now = Shed { beginning: less(self.now.beginning), running: less(self.now.running) };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn looks(shedder: &mut Shedder, fill: f64, count: u32) -> Shed {
        (0..count).fold(shedder.now, |_, _| shedder.look(fill))
    }

    #[test]
    fn a_burst_sheds_nothing_and_a_ring_that_stays_full_sheds_flows_that_begin() {
        let mut shedder = Shedder::new(0.9);
        for _ in 0..10 {
            assert_eq!(looks(&mut shedder, 0.95, RAISE - 1), Shed::NOTHING);
            assert_eq!(looks(&mut shedder, 0.5, 1), Shed::NOTHING);
        }
        assert_eq!(looks(&mut shedder, 0.9, RAISE), Shed { beginning: STEP, running: 0 });
    }

    #[test]
    fn flows_in_progress_are_ended_only_when_shedding_those_that_begin_has_not_helped() {
        let mut shedder = Shedder::new(0.9);
        let few = looks(&mut shedder, 1.0, RAISE * (PATIENCE - 1));
        assert!(few.running == 0 && few.beginning >= STEP * 3, "{few:?}");
        let more = looks(&mut shedder, 1.0, RAISE);
        assert_eq!(more.running, few.beginning);
        assert!(more.beginning > few.beginning);
    }

    #[test]
    fn between_the_marks_nothing_changes_and_below_it_comes_down_to_nothing() {
        let mut shedder = Shedder::new(0.8);
        let shed = looks(&mut shedder, 1.0, 30);
        assert_eq!(looks(&mut shedder, 0.6, 1000), shed);
        assert_eq!(looks(&mut shedder, 0.1, LOWER - 1), shed);
        assert!(looks(&mut shedder, 0.1, 1).beginning < shed.beginning);
        assert_eq!(looks(&mut shedder, 0.1, LOWER * 20), Shed::NOTHING);
    }

    #[test]
    fn a_mark_of_0_is_off() {
        assert_eq!(looks(&mut Shedder::new(0.0), 1.0, 1000), Shed::NOTHING);
    }

    proptest! {
        #[test]
        fn never_are_all_flows_shed_nor_more_in_progress_than_beginning(
            fills in proptest::collection::vec(0.0f64..=1.0, 0..500), mark in 0.0f64..=1.0,
        ) {
            let mut shedder = Shedder::new(mark);
            for fill in fills {
                let shed = shedder.look(fill);
                prop_assert!(shed.beginning <= MOST && shed.running <= shed.beginning, "{shed:?}");
            }
        }
    }
}
