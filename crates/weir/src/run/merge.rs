//! Records of several lanes in the order of the frames that caused them, for the logs that depend on it.
//!
//! Promises: with the same records from any number of sources, weirds, certificates and tunnels come out in one order
//! (test `what_depends_on_order_comes_out_in_the_order_of_frames`). Memory is bounded by how far one lane can be behind
//! another, which the bounded queues in front of the lanes limit.

use std::collections::VecDeque;

use weir_record::Ordered;

/// The records that wait until all sources have come as far.
#[derive(Debug)]
pub struct Merge {
    sources: Vec<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Frames below this are done.
    done: u64,
    queue: VecDeque<Ordered>,
}

impl Merge {
    /// For so many sources.
    pub fn new(sources: usize) -> Self {
        Self { sources: std::iter::repeat_with(Waiting::default).take(sources).collect() }
    }

    /// Takes what a source sends, in the order of its frames, and hands on to `write` what need not wait any longer. The
    /// source will send nothing more about frames up to `up_to`; one that ended with the largest number may begin anew.
    pub fn take<E>(
        &mut self,
        source: usize,
        up_to: u64,
        records: impl IntoIterator<Item = Ordered>,
        write: &mut impl FnMut(&Ordered) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(waiting) = self.sources.get_mut(source) else { return Ok(()) };
        waiting.queue.extend(records);
        waiting.done = up_to.saturating_add(1);
        let done = self.sources.iter().map(|w| w.done).min().unwrap_or(u64::MAX);
        self.release(done, write)
    }

    /// No source sends any more: hands on the rest.
    pub fn finish<E>(mut self, write: &mut impl FnMut(&Ordered) -> Result<(), E>) -> Result<(), E> {
        self.release(u64::MAX, write)
    }

    /// Hands on what was caused by frames below `done`; of one frame, first what comes from the first source.
    fn release<E>(&mut self, done: u64, write: &mut impl FnMut(&Ordered) -> Result<(), E>) -> Result<(), E> {
        loop {
            let fronts =
                self.sources.iter_mut().filter_map(|w| w.queue.front().map(|o| o.sequence).zip(Some(w)));
            let first = fronts.filter(|(sequence, _)| *sequence < done).min_by_key(|(sequence, _)| *sequence);
            let Some(ordered) = first.and_then(|(_, waiting)| waiting.queue.pop_front()) else {
                return Ok(());
            };
            write(&ordered)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_record::Entries;
    use weir_wire::Time;

    use super::*;

    fn weirds(sequences: &[u64]) -> Vec<Ordered> {
        let mut entries = Entries::default();
        for sequence in sequences {
            entries.sequence = *sequence;
            entries.net_weird(Time(0), "test", None, None);
        }
        entries.drain().collect()
    }

    #[test]
    fn what_depends_on_order_comes_out_in_the_order_of_frames() {
        let mut merge = Merge::new(2);
        let mut seen = Vec::new();
        let mut write = |o: &Ordered| {
            seen.push(o.sequence);
            Ok::<(), ()>(())
        };
        merge.take(1, 9, weirds(&[1, 4, 8]), &mut write).unwrap();
        merge.take(0, 4, weirds(&[0, 4]), &mut write).unwrap();
        merge.take(0, 12, weirds(&[5, 12]), &mut write).unwrap();
        merge.finish(&mut write).unwrap();
        assert_eq!(seen, [0, 1, 4, 4, 5, 8, 12]);
    }
}
