//! Who saw packets and whose they are: the tables `[names]`, `[log]` and `[dedup]` of `weir.toml`.

use weir_spread::Deduplicator;
use weir_wire::Interval;

use super::Config;
use crate::cli::names::{Column, NameArguments};

/// The table `[names]`.
#[derive(Clone, Default, Debug)]
pub struct NamesConfig {
    /// The file of taps and tenants; empty: none.
    pub tenants: String,
}

/// The table `[log]`.
#[derive(Clone, Default, Debug)]
pub struct LogConfig {
    /// Whether there is a column for the tap.
    pub tap: bool,
    /// Whether there is one for the tenant.
    pub tenant: bool,
}

/// The table `[dedup]`.
#[derive(Clone, Debug)]
pub struct DedupConfig {
    /// Whether copies are left out.
    pub enabled: bool,
    /// How far apart copies may be.
    pub window: Interval,
    /// Memory of all workers together.
    pub memory: usize,
}

impl Default for DedupConfig {
    fn default() -> Self {
        Self { enabled: false, window: Interval::from_secs(1), memory: 64 << 20 }
    }
}

impl DedupConfig {
    /// What leaves copies out in one of `workers` workers, where that is wanted.
    pub fn deduplicator(&self, workers: usize, key: [u64; 2]) -> Option<Deduplicator> {
        self.enabled.then(|| Deduplicator::new(self.memory / workers.max(1), self.window, key))
    }
}

impl Config {
    /// As the command line changes it.
    pub fn name_by(&mut self, arguments: &NameArguments) {
        if let Some(by) = arguments.tenant_by {
            self.tenant_by(by);
        }
        if let Some(path) = &arguments.tenants {
            self.names.tenants = path.to_string_lossy().into_owned();
        }
        self.log.tap |= arguments.with.contains(&Column::Tap);
        self.log.tenant |= arguments.with.contains(&Column::Tenant);
        self.dedup.enabled |= arguments.dedup;
    }
}
