//! The outputs of a tap: a group for each kind of target. Flows are spread over a group by the table that every machine has, and
//! every group gets all.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_carry::{CarryError, Counts, Destination, Kind, Outgoing, Output, OutputOptions, Place, Target};
use weir_ledger::Account;
use weir_spread::Maglev;

/// A frame with what its flow's hashes are: to spread it over targets, and for its output.
#[derive(Clone, Copy)]
pub struct Kept<'a> {
    /// The frame.
    pub outgoing: Outgoing<'a>,
    /// By what targets are chosen.
    pub place: u32,
}

/// All outputs.
pub struct Outputs(Vec<Group>);

struct Group {
    table: Maglev,
    outputs: Vec<Output>,
    picks: Vec<u16>,
}

impl Outputs {
    /// Opens all targets.
    ///
    /// # Errors
    /// The first that cannot be opened.
    pub fn open(targets: &[Target], options: &OutputOptions) -> Result<Self, CarryError> {
        let mut groups: BTreeMap<Kind, Group> = BTreeMap::new();
        for target in targets {
            let group = groups.entry(target.kind()).or_insert_with(|| Group {
                table: Maglev::default(),
                outputs: Vec::new(),
                picks: Vec::new(),
            });
            let id = group.outputs.len() as u16;
            group.outputs.push(Output::open(target, options)?);
            let (name, weight) = (target.to_string(), target.weight);
            group.table.insert(weir_spread::Target { id, name, weight });
        }
        Ok(Self(groups.into_values().collect()))
    }

    /// Sends frames, to each group all of them.
    pub fn send(&mut self, frames: &[Kept<'_>]) {
        for Group { table, outputs, picks } in &mut self.0 {
            if let [only] = outputs.as_mut_slice() {
                only.send(frames.iter().map(|kept| kept.outgoing));
                continue;
            }
            picks.clear();
            picks.extend(frames.iter().map(|kept| table.pick(kept.place).unwrap_or(0)));
            for (id, output) in (0u16..).zip(outputs) {
                let of_output = frames.iter().zip(picks.iter()).filter(|(_, pick)| **pick == id);
                output.send(of_output.map(|(kept, _)| kept.outgoing));
            }
        }
    }

    /// Does what is due by time; what went wrong since.
    pub fn tick(&mut self) -> Vec<CarryError> {
        self.all_mut().for_each(Output::tick);
        self.all_mut().filter_map(Output::take_trouble).collect()
    }

    /// Sends what waits, for `within` at most.
    pub fn finish(&mut self, within: Duration) {
        self.all_mut().for_each(|output| output.finish(within));
    }

    /// All outputs.
    pub fn all(&self) -> impl Iterator<Item = &Output> {
        self.0.iter().flat_map(|group| &group.outputs)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Output> {
        self.0.iter_mut().flat_map(|group| &mut group.outputs)
    }

    /// The ledgers of the groups.
    pub fn accounts(&self) -> Vec<Account> {
        let sum = |group: &Group| {
            let mut account = Account::default();
            group.outputs.iter().for_each(|output| account.merge(output.account()));
            account
        };
        self.0.iter().map(sum).collect()
    }

    /// What is worth knowing beside them.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.all().for_each(|output| counts.merge(&output.counts()));
        counts
    }

    /// Where the tap's own packets go.
    pub fn destinations(&self) -> impl Iterator<Item = Destination> {
        self.all().flat_map(Output::destinations)
    }

    /// Interfaces that are sent to.
    pub fn interfaces(&self) -> impl Iterator<Item = String> {
        self.all().filter_map(|output| match output.place() {
            Place::Interface { name } => Some(name.clone()),
            Place::Vxlan { .. }
            | Place::Geneve { .. }
            | Place::Gre { .. }
            | Place::Erspan { .. }
            | Place::Pcap { .. }
            | Place::File { .. } => None,
        })
    }
}
