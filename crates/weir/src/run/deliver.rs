//! What a thread that makes records hands to the thread that writes them: lines where order does not matter, records
//! where it does. Formatting, most of the work, so stays on the lanes.

use std::mem;
use std::sync::mpsc::{Receiver, SyncSender};

use weir_log::{Lines, Once, Style};
use weir_record::{Entries, Ordered};

/// What one source has to say about a batch of frames.
pub struct Delivery {
    /// Which source: 0 is decap, then the lanes.
    pub source: usize,
    /// The source will send nothing more about frames up to this.
    pub up_to: u64,
    /// Records of logs in which order does not matter.
    pub lines: Lines,
    /// The others, in the order of the source's frames: repeats among them are left out by who knows all, and are not
    /// worth formatting before.
    pub ordered: Vec<Ordered>,
}

/// The way of one source's records to the writer.
pub struct Sender {
    source: usize,
    style: Style,
    writer: SyncSender<Delivery>,
    /// Deliveries that the writer has done with, to be filled again.
    emptied: Receiver<Delivery>,
}

impl Sender {
    /// For the source with this number. What the writer has done with comes back by `emptied`, or not at all.
    pub const fn new(
        source: usize,
        style: Style,
        writer: SyncSender<Delivery>,
        emptied: Receiver<Delivery>,
    ) -> Self {
        Self { source, style, writer, emptied }
    }

    /// Sends all of `entries`. `false`: the writer is gone.
    pub fn send(&self, entries: &mut Entries, up_to: u64) -> bool {
        let (mut lines, mut ordered) = self.emptied.try_recv().map_or_else(
            |_| (Lines::new(self.style.clone()), Vec::new()),
            |mut delivery| (delivery.lines, mem::take(&mut delivery.ordered)),
        );
        lines.clear();
        ordered.clear();
        for record in entries.drain() {
            let (kind, sequence, vantage) = (record.entry.kind(), record.sequence, record.vantage);
            if Once::concerns(kind) {
                ordered.push(record);
            } else {
                let cut = lines.add(&record);
                let weirds = cut.weirds(kind, record.entry.ts());
                ordered.extend(weirds.map(|weird| Ordered { sequence, vantage, entry: weird.into() }));
            }
        }
        self.writer.send(Delivery { source: self.source, up_to, lines, ordered }).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use weir_log::Format;
    use weir_record::{Analyzer, LogKind, Text};
    use weir_wire::Time;

    use super::*;

    fn analyzer(reason: String) -> Analyzer {
        Analyzer {
            ts: Time(7),
            analyzer_kind: Text::default(),
            analyzer_name: Text::default(),
            uid: None,
            fuid: None,
            orig_h: None,
            orig_p: None,
            resp_h: None,
            resp_p: None,
            proto: None,
            failure_reason: reason.into(),
            failure_data: None,
        }
    }

    #[test]
    fn what_was_too_long_for_a_line_is_told_by_a_weird_behind_it() {
        let ((writer, deliveries), (_, emptied)) = (sync_channel(1), sync_channel(1));
        let mut entries = Entries::default();
        entries.sequence = 5;
        entries.push(analyzer("a".repeat(5000)));
        entries.net_weird(Time(8), "bad", None, None);
        assert!(Sender::new(1, Format::Tsv.into(), writer, emptied).send(&mut entries, 9));
        let delivery = deliveries.recv().unwrap();
        assert_eq!((delivery.source, delivery.up_to, entries.len()), (1, 9, 0));
        assert_eq!(
            delivery.lines.iter().map(|(kind, _, n)| (kind, n)).collect::<Vec<_>>(),
            [(LogKind::Analyzer, 1)]
        );
        let weirds = delivery.ordered.iter().filter_map(|o| {
            let weir_record::Entry::Weird(weird) = &o.entry else { return None };
            Some((o.sequence, weird.ts, weird.name.clone()))
        });
        let expected = [(5, Time(7), "log_string_field_truncated".into()), (5, Time(8), "bad".into())];
        assert_eq!(weirds.collect::<Vec<_>>(), expected);
    }
}
