//! What a tap does: the table `[tap]` of `weir.toml`.

use anyhow::{Context, ensure};
use weir_spread::Limits;
use weir_wire::Interval;

use super::sense::given;
use crate::cli::sources::Direction;
use crate::cli::tap::{By, TapArguments, TooLong};
use crate::run::replay::pace::Speed;

/// The options of `weir tap`, each of which the command line can change.
#[derive(Clone, Debug)]
pub struct TapConfig {
    /// Interfaces, with `*` and `?`.
    pub interfaces: Vec<String>,
    /// Network namespaces.
    pub netns: Vec<String>,
    /// Whether namespaces are looked for.
    pub containers: bool,
    /// Targets.
    pub to: Vec<String>,
    /// tcpdump's language; empty: everything.
    pub filter: String,
    /// Bytes of a frame that are taken.
    pub snap_length: u32,
    /// Which frames.
    pub direction: Direction,
    /// Whether frames for other hosts are asked for.
    pub promiscuous: bool,
    /// "200mbit"; empty: no limit.
    pub max_rate: String,
    /// "10%"; empty: no limit.
    pub max_cpu: String,
    /// What becomes of packets that are too long.
    pub too_long: TooLong,
    /// What stays together.
    pub by: By,
    /// The tap's number; empty: made of the host's name.
    pub tap_id: String,
    /// Whom root becomes; empty: see `weir tap --help`.
    pub user: String,
    /// Where metrics are served; empty: nowhere.
    pub metrics: String,
    /// Bytes of a block of a ring.
    pub block_size: usize,
    /// Blocks of a ring.
    pub blocks: usize,
    /// How long a block waits to be full.
    pub block_timeout: Interval,
    /// Interfaces that are tapped at once.
    pub max_interfaces: usize,
    /// Bytes that wait for the receiver of a stream.
    pub stream_buffer: usize,
    /// How long a full output is waited for.
    pub patience: Interval,
}

impl Default for TapConfig {
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            netns: Vec::new(),
            containers: false,
            to: Vec::new(),
            filter: String::new(),
            snap_length: 262_144,
            direction: Direction::default(),
            promiscuous: true,
            max_rate: String::new(),
            max_cpu: String::new(),
            too_long: TooLong::default(),
            by: By::default(),
            tap_id: String::new(),
            user: String::new(),
            metrics: String::new(),
            block_size: 1 << 18,
            blocks: 32,
            block_timeout: Interval(20_000_000),
            max_interfaces: 256,
            stream_buffer: 4 << 20,
            patience: Interval(5_000_000),
        }
    }
}

impl TapConfig {
    /// As the command line changes it. Sources and targets on the command line stand in place of those in the file.
    pub fn change(&mut self, a: &TapArguments) {
        if !a.interfaces.is_empty() || !a.netns.is_empty() || a.containers {
            (self.interfaces, self.netns) = (a.interfaces.clone(), a.netns.clone());
            self.containers = a.containers;
        }
        if !a.to.is_empty() {
            self.to.clone_from(&a.to);
        }
        let text = |from: &Option<String>, to: &mut String| {
            if let Some(text) = from {
                to.clone_from(text);
            }
        };
        text(&a.filter, &mut self.filter);
        text(&a.max_rate, &mut self.max_rate);
        text(&a.max_cpu, &mut self.max_cpu);
        text(&a.user, &mut self.user);
        text(&a.metrics, &mut self.metrics);
        text(&a.tap_id.map(|id| id.to_string()), &mut self.tap_id);
        self.snap_length = a.snap_length.unwrap_or(self.snap_length);
        self.direction = a.direction.unwrap_or(self.direction);
        self.too_long = a.too_long.unwrap_or(self.too_long);
        self.by = a.by.unwrap_or(self.by);
        self.promiscuous &= !a.no_promiscuous;
    }

    /// What may be used.
    ///
    /// # Errors
    /// The texts are no rate and no share.
    pub fn limits(&self) -> anyhow::Result<Limits> {
        let rate = given(&self.max_rate).map(|text| match text.parse::<Speed>() {
            Ok(Speed::Bits(bits)) => Ok(bits as u64),
            _ => Err(anyhow::anyhow!("{text:?} is no rate: 200mbit, 1gbit")),
        });
        let cpu = given(&self.max_cpu).map(share);
        Ok(Limits { bits_per_second: rate.transpose()?, cpu: cpu.transpose()? })
    }

    /// The tap's number.
    ///
    /// # Errors
    /// The text is no number.
    pub fn id(&self) -> anyhow::Result<u32> {
        if let Some(text) = given(&self.tap_id) {
            return text.parse().with_context(|| format!("{text:?} is no number of a tap"));
        }
        let host = std::fs::read("/proc/sys/kernel/hostname").unwrap_or_default();
        Ok(fnv(host.trim_ascii()))
    }
}

fn share(text: &str) -> anyhow::Result<f64> {
    let wrong = || format!("{text:?} is no share of a CPU: 10%");
    let percent: f64 = text.strip_suffix('%').and_then(|n| n.parse().ok()).with_context(wrong)?;
    ensure!(percent > 0.0 && percent <= 100.0, wrong());
    Ok(percent / 100.0)
}

/// FNV-1a: a number that differs where names do, and is the same in every run.
fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_a_rate_and_a_share_of_a_cpu() {
        let with = |rate: &str, cpu: &str| TapConfig {
            max_rate: rate.into(),
            max_cpu: cpu.into(),
            ..TapConfig::default()
        };
        let limits = with("200mbit", "12.5%").limits().unwrap();
        assert_eq!((limits.bits_per_second, limits.cpu), (Some(200_000_000), Some(0.125)));
        assert_eq!(with("", "").limits().unwrap(), Limits::default());
        for (rate, cpu) in [("200", ""), ("2x", ""), ("", "10"), ("", "0%"), ("", "200%"), ("", "nan%")] {
            assert!(with(rate, cpu).limits().is_err(), "{rate} {cpu}");
        }
    }

    #[test]
    fn a_tap_has_a_number_that_stays() {
        let config = TapConfig::default();
        assert_eq!(config.id().unwrap(), config.id().unwrap());
        assert_eq!(TapConfig { tap_id: "7".into(), ..config.clone() }.id().unwrap(), 7);
        assert!(TapConfig { tap_id: "seven".into(), ..config }.id().is_err());
    }
}
