//! `--balance rss`: the network card splits by its own hash, and worker i reads queue i on the CPU that takes its interrupts.
//!
//! Promises: what was changed is set back when the [`Tuning`] goes out of scope, unless it is to stay; what the driver does not
//! do is a finding that says what to do, and never an end: a packet that comes to the wrong worker crosses to the right one.
//!
//! Both directions of a flow have one hash where the card sorts addresses and ports before it hashes (`symmetric-xor`, Linux 6.8)
//! or, on all others, with the key 6D:5A repeated. The card's hash is not the one by which lanes have flows, and sees outer headers
//! only: packets are taken from the card by the CPU of their queue, and analysed where their flow is.
//!
//! Sources: linux/ethtool.h; Woo and Park, "Scalable TCP Session Monitoring with Symmetric Receive-side Scaling".

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use weir_tap::{Channels, Device, ReceiveHash, SYMMETRIC_XOR};

use crate::run::complain;

/// The key with which both directions have one hash: all its shifts by 16 bits are the same.
const KEY: [u8; 2] = [0x6d, 0x5a];

/// What of a network card is asked and changed.
trait Card: Send {
    fn channels(&self) -> io::Result<Channels>;
    fn set_channels(&mut self, channels: Channels) -> io::Result<()>;
    fn receive_hash(&self) -> io::Result<ReceiveHash>;
    fn set_receive_hash(&mut self, hash: &ReceiveHash) -> io::Result<()>;
}

impl Card for Device {
    fn channels(&self) -> io::Result<Channels> {
        Self::channels(self)
    }
    fn set_channels(&mut self, channels: Channels) -> io::Result<()> {
        Self::set_channels(self, channels)
    }
    fn receive_hash(&self) -> io::Result<ReceiveHash> {
        Self::receive_hash(self)
    }
    fn set_receive_hash(&mut self, hash: &ReceiveHash) -> io::Result<()> {
        Self::set_receive_hash(self, hash)
    }
}

/// A card that was changed, and how it was before.
pub struct Tuning {
    interface: String,
    card: Box<dyn Card>,
    channels: Option<Channels>,
    hash: Option<ReceiveHash>,
    /// Whether the changes stay.
    keep: bool,
    /// What there is to tell the user.
    pub findings: Vec<String>,
}

impl Tuning {
    /// Gives `interface` a queue for each of `workers` workers and a symmetric hash, as far as its driver can.
    ///
    /// # Errors
    /// There is no such interface.
    pub fn apply(interface: &str, workers: usize, keep: bool) -> io::Result<Self> {
        Ok(Self::of(interface, Box::new(Device::open(interface)?), workers, keep))
    }

    fn of(interface: &str, card: Box<dyn Card>, workers: usize, keep: bool) -> Self {
        let interface = interface.to_owned();
        let mut this = Self { interface, card, channels: None, hash: None, keep, findings: Vec::new() };
        let workers = u32::try_from(workers).unwrap_or(u32::MAX).max(1);
        // Fewer queues than the table has entries for are refused, and so are entries of queues that are not there.
        let fewer = this.card.channels().is_ok_and(|channels| queues(&channels) > workers);
        if fewer {
            this.set_hash(workers);
            this.set_queues(workers);
        } else {
            this.set_queues(workers);
            this.set_hash(workers);
        }
        this
    }

    fn set_queues(&mut self, workers: u32) {
        let name = &self.interface;
        let advice = "take --balance fanout, which needs no queues";
        let before = match self.card.channels() {
            Ok(before) if queues(&before) > 0 => before,
            Ok(_) | Err(_) => {
                let told = format!("{name} has one queue, or its driver does not tell of more; {advice}");
                return self.findings.push(told);
            }
        };
        if queues(&before) == workers {
            return;
        }
        let mut after = before;
        if before.combined[1] > 0 {
            after.combined[0] = workers.min(before.combined[1]);
        } else {
            after.receive[0] = workers.min(before.receive[1]);
        }
        match self.card.set_channels(after) {
            Ok(()) => self.channels = Some(before),
            Err(error) => {
                let told = format!(
                    "{name} has {} receive queues for {workers} workers, and its driver does not change that ({error}); try \
                     ethtool -L, as many workers as queues (-w), or --balance fanout",
                    queues(&before)
                );
                return self.findings.push(told);
            }
        }
        if queues(&after) < workers {
            let told = format!(
                "{name} has at most {} receive queues for {workers} workers; take as many workers (-w {0}), or --balance fanout",
                queues(&after)
            );
            self.findings.push(told);
        }
    }

    fn set_hash(&mut self, workers: u32) {
        let name = &self.interface;
        let before = match self.card.receive_hash() {
            Ok(before) if !before.table.is_empty() || !before.key.is_empty() => before,
            Ok(_) | Err(_) => {
                let told = format!(
                    "the driver of {name} has no hash key that could be set (virtual interfaces have none), so that both \
                     directions of a flow may come to two workers: records stay right, as packets cross to the worker of their \
                     flow, which costs CPU time; take --balance fanout"
                );
                return self.findings.push(told);
            }
        };
        let queues = self.card.channels().map_or(workers, |channels| queues(&channels)).clamp(1, workers);
        let table = (0..before.table.len() as u32).map(|entry| entry % queues).collect();
        let symmetric: Vec<u8> = KEY.into_iter().cycle().take(before.key.len()).collect();
        // Whatever the key, where the kernel and the driver know how; else by the key.
        let sorted = ReceiveHash { table, key: Vec::new(), transformation: SYMMETRIC_XOR };
        let keyed = ReceiveHash { key: symmetric, transformation: before.transformation, ..sorted.clone() };
        let set = match self.card.set_receive_hash(&sorted) {
            Ok(()) => Ok(()),
            Err(_) if keyed.key.is_empty() => Err(io::Error::from(io::ErrorKind::Unsupported)),
            Err(_) => self.card.set_receive_hash(&keyed),
        };
        match set {
            Ok(()) => self.hash = Some(before),
            Err(error) => {
                let told = format!(
                    "the driver of {name} takes neither symmetric-xor nor a symmetric key ({error}): both directions of a flow may \
                     come to two workers, and cross; take --balance fanout"
                );
                self.findings.push(told);
            }
        }
    }

    /// Sets everything back, in the opposite order.
    fn undo(&mut self) -> io::Result<()> {
        let (channels, hash) = (self.channels.take(), self.hash.take());
        let back = |card: &mut dyn Card, hash: &Option<ReceiveHash>| {
            hash.as_ref().map_or(Ok(()), |hash| card.set_receive_hash(hash))
        };
        // The old table may name queues that are there only when there are as many as before, or the other way round.
        let first = back(&mut *self.card, &hash);
        channels.map_or(Ok(()), |channels| self.card.set_channels(channels))?;
        if first.is_err() { back(&mut *self.card, &hash) } else { first }
    }
}

impl Drop for Tuning {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Err(error) = self.undo() {
            let what = format!("queues and hash of {} could not be set back", self.interface);
            complain(&anyhow::Error::from(error).context(what));
        }
    }
}

impl std::fmt::Debug for Tuning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tuning").field("interface", &self.interface).finish_non_exhaustive()
    }
}

/// How many queues receive.
const fn queues(channels: &Channels) -> u32 {
    channels.receive[0].saturating_add(channels.combined[0])
}

/// The CPU that takes the interrupts of each receive queue of `interface`; none where it is not known.
pub fn queue_cpus(interface: &str, queues: usize) -> Vec<Option<usize>> {
    let device = Path::new("/sys/class/net").join(interface).join("device");
    // Of virtio devices the interrupts are those of the bus's device above.
    let own: Vec<u32> = [device.join("msi_irqs"), device.join("../msi_irqs")]
        .iter()
        .filter_map(|path| fs::read_dir(path).ok())
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    let text = fs::read_to_string("/proc/interrupts").unwrap_or_default();
    let interrupts = of_queues(&text, interface, &own);
    let cpu = |irq: &u32| {
        ["effective_affinity_list", "smp_affinity_list"]
            .iter()
            .filter_map(|name| fs::read_to_string(format!("/proc/irq/{irq}/{name}")).ok())
            .find_map(|list| first_of(&list))
    };
    (0..queues).map(|queue| interrupts.get(&queue).and_then(cpu)).collect()
}

/// The interrupt of each receive queue, from the text of `/proc/interrupts`. Drivers name them `eth0-TxRx-3`, `ens5-Tx-Rx-3`,
/// `eth0-rx-3`, `virtio1-input.3`, `mlx5_comp3@pci:...`: the queue is the last number, and what only sends or manages is left out.
fn of_queues(text: &str, interface: &str, own: &[u32]) -> BTreeMap<usize, u32> {
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let Some((irq, rest)) = line.split_once(':') else { continue };
        let Ok(irq) = irq.trim().parse::<u32>() else { continue };
        let Some(name) = rest.split_whitespace().next_back() else { continue };
        let name = name.split('@').next().unwrap_or_default();
        let lower = name.to_lowercase();
        let is_named =
            lower.strip_prefix(&interface.to_lowercase()).is_some_and(|rest| rest.starts_with('-'));
        let sends = lower.contains("output") || (lower.contains("tx") && !lower.contains("rx"));
        let sends = sends || lower.contains("async") || lower.contains("config");
        if !(own.contains(&irq) || is_named) || sends {
            continue;
        }
        let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let Some(number) = name.get(name.len() - digits..).and_then(|number| number.parse().ok()) else {
            continue;
        };
        // Of a name that is the interface's alone ("eth0") the number is not a queue's.
        if lower != interface.to_lowercase() {
            found.entry(number).or_insert(irq);
        }
    }
    found
}

/// The first CPU of a list like `3` or `0-3,8`.
fn first_of(list: &str) -> Option<usize> {
    list.trim().split([',', '-']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A card, as it is, and what it can do.
    #[derive(Clone, Debug)]
    struct State {
        channels: Channels,
        hash: ReceiveHash,
        knows_sorting: bool,
        has_hash: bool,
    }

    struct Made(Arc<Mutex<State>>);

    fn refused<T>() -> io::Result<T> {
        Err(io::Error::from(io::ErrorKind::InvalidInput))
    }

    impl Card for Made {
        fn channels(&self) -> io::Result<Channels> {
            Ok(self.0.lock().unwrap().channels)
        }
        fn set_channels(&mut self, channels: Channels) -> io::Result<()> {
            let mut state = self.0.lock().unwrap();
            let queues = queues(&channels);
            if queues > channels.combined[1] || state.hash.table.iter().any(|queue| *queue >= queues) {
                return refused();
            }
            state.channels = channels;
            Ok(())
        }
        fn receive_hash(&self) -> io::Result<ReceiveHash> {
            let state = self.0.lock().unwrap();
            if state.has_hash { Ok(state.hash.clone()) } else { refused() }
        }
        fn set_receive_hash(&mut self, hash: &ReceiveHash) -> io::Result<()> {
            let mut state = self.0.lock().unwrap();
            let queues = queues(&state.channels);
            let transforms = hash.transformation > 0 && !state.knows_sorting;
            if transforms || hash.table.iter().any(|queue| *queue >= queues) {
                return refused();
            }
            state.hash.table.clone_from(&hash.table);
            state.hash.transformation = hash.transformation;
            if !hash.key.is_empty() {
                state.hash.key.clone_from(&hash.key);
            }
            Ok(())
        }
    }

    fn card(queues: u32, knows_sorting: bool) -> Arc<Mutex<State>> {
        let channels = Channels { combined: [queues, 8], ..Channels::default() };
        let table = (0..128).map(|entry| entry % queues).collect();
        let hash = ReceiveHash { table, key: (0..40).collect(), transformation: 0 };
        Arc::new(Mutex::new(State { channels, hash, knows_sorting, has_hash: true }))
    }

    fn tune(state: &Arc<Mutex<State>>, workers: usize, keep: bool) -> Tuning {
        Tuning::of("eth0", Box::new(Made(Arc::clone(state))), workers, keep)
    }

    #[test]
    fn a_card_gets_a_queue_for_each_worker_and_a_symmetric_hash_and_all_is_set_back() {
        for (before, workers) in [(2, 4), (8, 3), (4, 4)] {
            for knows_sorting in [true, false] {
                let state = card(before, knows_sorting);
                let old = state.lock().unwrap().clone();
                let tuning = tune(&state, workers, false);
                assert_eq!(tuning.findings, Vec::<String>::new());
                let now = state.lock().unwrap().clone();
                assert_eq!(now.channels.combined[0], workers as u32);
                assert!((0..128).all(|entry| now.hash.table[entry] == entry as u32 % workers as u32));
                if knows_sorting {
                    assert_eq!((now.hash.transformation, &now.hash.key), (SYMMETRIC_XOR, &old.hash.key));
                } else {
                    assert!(now.hash.key.chunks(2).all(|pair| pair == KEY) && now.hash.transformation == 0);
                }
                drop(tuning);
                let now = state.lock().unwrap().clone();
                assert_eq!((now.channels, now.hash), (old.channels, old.hash));
            }
        }
    }

    #[test]
    fn what_is_to_stay_stays() {
        let state = card(2, false);
        drop(tune(&state, 4, true));
        assert_eq!(state.lock().unwrap().channels.combined[0], 4);
    }

    #[test]
    fn what_a_driver_cannot_do_is_told_with_what_to_do() {
        let state = card(2, false);
        let tuning = tune(&state, 16, false);
        assert!(tuning.findings[0].contains("at most 8 receive queues for 16 workers"), "{tuning:?}");
        state.lock().unwrap().has_hash = false;
        let tuning = tune(&state, 8, false);
        assert!(
            tuning.findings[0].contains("no hash key") && tuning.findings[0].contains("--balance fanout")
        );
    }

    #[test]
    fn the_interrupts_of_receive_queues_are_found_by_the_names_that_drivers_give() {
        let text = "            CPU0       CPU1
   1:          9          0  IR-IO-APIC    1-edge      i8042
  24:          0          0  PCI-MSI 1-edge  virtio1-config
  25:        100          0  PCI-MSI 2-edge  virtio1-input.0
  26:          0        100  PCI-MSI 3-edge  virtio1-output.0
  27:        100          0  PCI-MSI 4-edge  virtio1-input.1
  30:          1          1  PCI-MSI 5-edge  eth0
  31:          1          1  PCI-MSI 6-edge  eth0-TxRx-0
  32:          1          1  PCI-MSI 7-edge  eth0-TxRx-1
  33:          1          1  PCI-MSI 8-edge  eth0-tx-0
  40:          1          1  PCI-MSI 9-edge  mlx5_async0@pci:0000:08:00.0
  41:          1          1  PCI-MSI 10-edge  mlx5_comp0@pci:0000:08:00.0
 NMI:          0          0   Non-maskable interrupts
";
        let queues = |interface, own: &[u32]| of_queues(text, interface, own).into_iter().collect::<Vec<_>>();
        assert_eq!(queues("eth1", &[24, 25, 26, 27]), [(0, 25), (1, 27)]);
        assert_eq!(queues("eth0", &[]), [(0, 31), (1, 32)]);
        assert_eq!(queues("eth0", &[30, 31, 32, 33]), [(0, 31), (1, 32)]);
        assert_eq!(queues("ens1", &[40, 41]), [(0, 41)]);
        assert_eq!(queues("eth2", &[]), []);
        assert_eq!((first_of("3\n"), first_of("0-3,8"), first_of("")), (Some(3), Some(0), None));
    }
}
