//! What a sensor reads, and how it works: the table `[sense]` of `weir.toml`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;
use weir_wire::Interval;

use super::Setting;
use crate::cli::sense::{Balance, Capture, SenseArguments, WorkerCount, XdpTake};
use crate::cli::sources::{Direction, SourceArguments, Timestamps};
use crate::cli::{self, LogFormat};
use crate::run::sense::Rotation;

/// The options of `weir sense`, each of which the command line can change.
#[derive(Clone, Debug)]
pub struct SenseConfig {
    /// Interfaces, with `*` and `?`.
    pub interfaces: Vec<String>,
    /// Endpoints of streams of captures.
    pub pcap_over_ip: Vec<String>,
    /// Addresses at which VXLAN is received.
    pub vxlan: Vec<String>,
    /// Addresses at which GENEVE is received.
    pub geneve: Vec<String>,
    /// Whether GRE and ERSPAN are received.
    pub gre: bool,
    /// The tunnels' identifiers that are wanted; all, where empty.
    pub identifiers: Vec<u32>,
    /// Where logs go; empty: where they usually do.
    pub logs: String,
    /// How lines are written.
    pub format: LogFormat,
    /// How often logs are rotated: "1h"; empty: never.
    pub rotate: Every,
    /// Whether rotated logs are compressed.
    pub compress: bool,
    /// 0: as many as there are CPUs.
    pub workers: u16,
    /// How frames of an interface are taken.
    pub capture: Capture,
    /// Which of them XDP takes.
    pub xdp_take: XdpTake,
    /// Whether there are as many workers as the load wants.
    pub follow_load: bool,
    /// How traffic is split.
    pub balance: Balance,
    /// Whether what is set of a network card stays.
    pub keep_rss: bool,
    /// tcpdump's language; empty: everything.
    pub filter: String,
    /// Which frames.
    pub direction: Direction,
    /// Whether frames for other hosts are asked for.
    pub promiscuous: bool,
    /// Whose clock.
    pub timestamps: Timestamps,
    /// The control socket; empty: where it usually is.
    pub control: String,
    /// Whether a worker that cannot keep up leaves out whole flows.
    pub shed: bool,
    /// How full its ring or queue has to be for that, in percent.
    pub shed_percent: u8,
    /// Whether workers are bound to CPUs.
    pub pin: bool,
    /// Whom root becomes; empty: see `weir sense --help`.
    pub user: String,
    /// The file with the site's key; empty: none.
    pub key_file: String,
    /// Where metrics are served; empty: nowhere.
    pub metrics: String,
    /// How often each worker writes to stats.log.
    pub stats: Every,
    /// How often each worker writes to capture_loss.log.
    pub capture_loss: Every,
    /// Bytes of a block of a ring.
    pub block_size: usize,
    /// Blocks of a ring.
    pub blocks: usize,
    /// How long a block waits to be full.
    pub block_timeout: Interval,
    /// Bytes of a frame that are captured.
    pub snap_length: u32,
}

impl Default for SenseConfig {
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            pcap_over_ip: Vec::new(),
            vxlan: Vec::new(),
            geneve: Vec::new(),
            gre: false,
            identifiers: Vec::new(),
            logs: String::new(),
            format: LogFormat::Tsv,
            rotate: Every::default(),
            compress: true,
            workers: 0,
            capture: Capture::default(),
            xdp_take: XdpTake::default(),
            follow_load: false,
            balance: Balance::default(),
            keep_rss: false,
            filter: String::new(),
            direction: Direction::default(),
            promiscuous: true,
            timestamps: Timestamps::default(),
            control: String::new(),
            shed: true,
            shed_percent: 90,
            pin: true,
            user: String::new(),
            key_file: String::new(),
            metrics: "127.0.0.1:9640".into(),
            stats: Every(Some(Duration::from_mins(5))),
            capture_loss: Every(Some(Duration::from_mins(15))),
            block_size: 1 << 20,
            blocks: 64,
            block_timeout: Interval(20_000_000),
            snap_length: 262_144,
        }
    }
}

impl SenseConfig {
    /// As the command line changes it. Sources on the command line stand in place of those in the file.
    pub fn change(&mut self, arguments: &SenseArguments) {
        let a = arguments;
        self.listen_to(&a.sources);
        let path = |path: &Option<PathBuf>, to: &mut String| {
            if let Some(path) = path {
                *to = path.to_string_lossy().into_owned();
            }
        };
        path(&a.directory, &mut self.logs);
        path(&a.key_file, &mut self.key_file);
        self.format = a.format.unwrap_or(self.format);
        self.rotate = a.rotate.unwrap_or(self.rotate);
        match a.workers {
            Some(WorkerCount::Fixed(count)) => (self.workers, self.follow_load) = (count, false),
            Some(WorkerCount::Auto) => (self.workers, self.follow_load) = (0, true),
            None => {}
        }
        self.capture = a.capture.unwrap_or(self.capture);
        self.xdp_take = a.xdp_take.unwrap_or(self.xdp_take);
        self.balance = a.balance.unwrap_or(self.balance);
        self.user = a.user.clone().unwrap_or_else(|| self.user.clone());
        self.keep_rss |= a.keep_rss;
        self.shed &= !a.no_shed;
        self.pin &= !a.no_pin;
    }

    /// Tells decap at which ports tunnels are received, beside the usual ones.
    pub fn ports(&self, decap: &mut weir_decap::Config) {
        for (addresses, ports) in
            [(&self.vxlan, &mut decap.vxlan_ports), (&self.geneve, &mut decap.geneve_ports)]
        {
            let given = addresses.iter().filter_map(|address| address.parse::<std::net::SocketAddr>().ok());
            for port in given.map(|address| address.port()) {
                if !ports.contains(&port) {
                    ports.push(port);
                }
            }
        }
    }

    /// As the command line of any command that listens changes it.
    pub fn listen_to(&mut self, sources: &SourceArguments) {
        let a = sources;
        if a.names_any() {
            (self.interfaces, self.pcap_over_ip) = (a.interfaces.clone(), a.pcap_over_ip.clone());
            (self.vxlan, self.geneve, self.gre) = (a.vxlan.clone(), a.geneve.clone(), a.gre);
        }
        if !a.identifier.is_empty() {
            self.identifiers.clone_from(&a.identifier);
        }
        self.direction = a.direction.unwrap_or(self.direction);
        self.timestamps = a.timestamps.unwrap_or(self.timestamps);
        self.filter = a.filter.clone().unwrap_or_else(|| self.filter.clone());
        self.promiscuous &= !a.no_promiscuous;
    }
}

impl SenseConfig {
    /// How full a ring or queue may be, 0 to 1, before flows are left out; 0: they never are.
    pub fn shed_above(&self) -> f64 {
        if self.shed { f64::from(self.shed_percent.min(100)) / 100.0 } else { 0.0 }
    }

    /// When logs are rotated.
    pub const fn rotation(&self) -> Rotation {
        Rotation { every: self.rotate.0, compress: self.compress }
    }
}

/// How often something is done; not at all, where there is none.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Every(pub Option<Duration>);

impl std::str::FromStr for Every {
    type Err = anyhow::Error;

    /// "1h", "30min", "1day"; "" and "never" are not at all.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        if text.is_empty() || text == "never" {
            return Ok(Self(None));
        }
        let every = humantime::parse_duration(text);
        let every = every.with_context(|| format!("{text:?} is no time: 1h, 30min, 1day, never"))?;
        ensure!(every >= Duration::from_secs(1), "{text:?} is less than a second");
        Ok(Self(Some(every)))
    }
}

impl Setting for Every {
    type Raw = String;
    fn check(raw: String) -> anyhow::Result<Self> {
        raw.parse()
    }
    fn show(&self) -> String {
        quoted(&self.0.map_or_else(String::new, |every| humantime::format_duration(every).to_string()))
    }
}

/// `None` where nothing is written.
pub fn given(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// The key in a file, which may end with a line break.
///
/// # Errors
/// The file cannot be read, or holds no key.
pub fn key_in(path: &str) -> anyhow::Result<weir_wire::UidKey> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read the key in {path}"))?;
    super::key(text.trim_end()).with_context(|| format!("in {path}"))
}

impl Setting for String {
    type Raw = String;
    fn check(raw: String) -> anyhow::Result<Self> {
        Ok(raw)
    }
    fn show(&self) -> String {
        quoted(self)
    }
}

impl Setting for Vec<String> {
    type Raw = Vec<String>;
    fn check(raw: Vec<String>) -> anyhow::Result<Self> {
        Ok(raw)
    }
    fn show(&self) -> String {
        format!("[{}]", self.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", "))
    }
}

impl Setting for Vec<u16> {
    type Raw = Self;
    fn check(raw: Self) -> anyhow::Result<Self> {
        Ok(raw)
    }
    fn show(&self) -> String {
        format!("{self:?}")
    }
}

impl Setting for Vec<u32> {
    type Raw = Vec<u32>;
    fn check(raw: Vec<u32>) -> anyhow::Result<Self> {
        Ok(raw)
    }
    fn show(&self) -> String {
        format!("{self:?}")
    }
}

/// How many workers; 0 is as many as there are CPUs.
impl Setting for u16 {
    type Raw = u16;
    fn check(raw: u16) -> anyhow::Result<Self> {
        if raw > 256 {
            bail!("256 is the most");
        }
        Ok(raw)
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! named {
    ($($of:ty),+) => {$(
        impl Setting for $of {
            type Raw = Self;
            fn check(raw: Self) -> anyhow::Result<Self> {
                Ok(raw)
            }
            fn show(&self) -> String {
                quoted(self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned()).as_str())
            }
        }
    )+};
}
named!(Balance, Capture, XdpTake, Direction, Timestamps, cli::LogFormat, cli::tap::TooLong, cli::tap::By);

/// As TOML writes a string.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
