//! Lines of several logs that are on their way together: what a lane formats, and a writer only appends.

use weir_record::{LogKind, Ordered};

use crate::{Cut, Style, line_of};

/// Formatted records, by log. Emptied and filled again it allocates nothing.
#[derive(Debug)]
pub struct Lines {
    style: Style,
    /// One for each of [`LogKind::ALL`], in order.
    logs: Vec<(Vec<u8>, u64)>,
}

impl Lines {
    /// Without lines.
    pub fn new(style: Style) -> Self {
        Self { style, logs: LogKind::ALL.iter().map(|_| (Vec::new(), 0)).collect() }
    }

    /// Formats a record. Answers what was too long for a line.
    pub fn add(&mut self, ordered: &Ordered) -> Cut {
        // Every kind has a place.
        let Some((text, records)) = self.logs.get_mut(ordered.entry.kind() as usize) else {
            return Cut::default();
        };
        *records += 1;
        line_of(&self.style, ordered, text)
    }

    /// The logs that have lines: which, their text, how many.
    pub fn iter(&self) -> impl Iterator<Item = (LogKind, &[u8], u64)> {
        let all = LogKind::ALL.iter().zip(&self.logs);
        all.map(|(&kind, (text, records))| (kind, text.as_slice(), *records)).filter(|(_, _, n)| *n > 0)
    }

    /// Forgets all lines, and keeps the memory.
    pub fn clear(&mut self) {
        for (text, records) in &mut self.logs {
            text.clear();
            *records = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_record::{Entry, Vantage, Weird};
    use weir_wire::Time;

    use super::*;
    use crate::{Format, line};

    #[test]
    fn lines_are_those_that_each_record_has_alone() {
        let weird = |name: &'static str| Entry::from(Weird::new(Time(0), None, None, name, None, None));
        let (mut lines, mut alone) = (Lines::new(Format::Json.into()), Vec::new());
        for entry in [weird("one"), weird("two")] {
            line(Format::Json, &entry, &mut alone);
            let ordered = Ordered { sequence: 0, vantage: Vantage::default(), entry };
            assert_eq!(lines.add(&ordered), Cut::default());
        }
        assert_eq!(lines.iter().collect::<Vec<_>>(), [(LogKind::Weird, alone.as_slice(), 2)]);
        lines.clear();
        assert_eq!(lines.iter().count(), 0);
    }
}
