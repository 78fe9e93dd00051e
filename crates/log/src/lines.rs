//! Lines of several logs that are on their way together: what a lane formats, and a writer only appends.

use weir_record::{Entry, LogKind};

use crate::{Cut, Format, line};

/// Formatted records, by log. Emptied and filled again it allocates nothing.
#[derive(Debug)]
pub struct Lines {
    format: Format,
    /// One for each of [`LogKind::ALL`], in order.
    logs: Vec<(Vec<u8>, u64)>,
}

impl Lines {
    /// Without lines.
    pub fn new(format: Format) -> Self {
        Self { format, logs: LogKind::ALL.iter().map(|_| (Vec::new(), 0)).collect() }
    }

    /// Formats a record. Answers what was too long for a line.
    pub fn add(&mut self, entry: &Entry) -> Cut {
        // Every kind has a place.
        let Some((text, records)) = self.logs.get_mut(entry.kind() as usize) else { return Cut::default() };
        *records += 1;
        line(self.format, entry, text)
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
    use weir_record::Weird;
    use weir_wire::Time;

    use super::*;

    #[test]
    fn lines_are_those_that_each_record_has_alone() {
        let weird = |name: &'static str| Entry::from(Weird::new(Time(0), None, None, name, None, None));
        let (mut lines, mut alone) = (Lines::new(Format::Json), Vec::new());
        for entry in [weird("one"), weird("two")] {
            assert_eq!(lines.add(&entry), Cut::default());
            line(Format::Json, &entry, &mut alone);
        }
        assert_eq!(lines.iter().collect::<Vec<_>>(), [(LogKind::Weird, alone.as_slice(), 2)]);
        lines.clear();
        assert_eq!(lines.iter().count(), 0);
    }
}
