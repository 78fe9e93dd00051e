//! `weir sense`, as it is written.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::config::sense::Every;

use super::names::NameArguments;
use super::sources::SourceArguments;
use super::{Checksums, LogFormat};

/// Shown below the options of `weir sense`.
pub const EXAMPLES: &str = "\
Examples:
  sudo weir sense -i eth0                           logs into /var/log/weir
  sudo weir sense -i 'veth*' -l logs -f json -w 4   all such interfaces, four workers
  weir sense --pcap-over-ip tcp://0.0.0.0:5555      from `tcpdump -U -w - | nc SENSOR 5555`, unchanged, many at once
  weir sense --vxlan 0.0.0.0:4789 --geneve 0.0.0.0:6081 -l logs
  weir sense --vxlan --tenants tenants.toml --with tap,tenant --dedup
  sudo weir sense                                   as /etc/weir/weir.toml says

SIGTERM and SIGINT finish all connections into the logs and print the balance; SIGHUP reads the configuration again.
Exit codes are those of `weir read`; 3 stands for a source that cannot be opened.";

/// The options of `weir sense`. What is not given is as the configuration says.
#[derive(Args, Debug, Default)]
pub struct SenseArguments {
    /// What is read.
    #[command(flatten)]
    pub sources: SourceArguments,
    /// Where to write the logs [default: /var/log/weir as root, else ./logs]
    #[arg(short = 'l', long = "logs", value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// How lines are written
    #[arg(short, long, value_enum)]
    pub format: Option<LogFormat>,
    /// How often logs are rotated and compressed: 1h, 1day, never
    #[arg(long, value_name = "TIME")]
    pub rotate: Option<Every>,
    /// How many workers, or `auto`: as many as the load wants [default: as many as there are CPUs]
    #[arg(short, long, value_name = "N|auto")]
    pub workers: Option<WorkerCount>,
    /// How frames of an interface are taken
    #[arg(long, value_enum, value_name = "WAY")]
    pub capture: Option<Capture>,
    /// Which frames are taken by XDP; all others go on to the host
    #[arg(long, value_enum, value_name = "WHICH")]
    pub xdp_take: Option<XdpTake>,
    /// How the kernel splits the traffic of an interface among the workers
    #[arg(long, value_enum, value_name = "WAY")]
    pub balance: Option<Balance>,
    /// What --balance rss sets of a network card stays when the sensor ends
    #[arg(long)]
    pub keep_rss: bool,
    /// No flows are left out when a worker cannot keep up: the kernel drops packets at random then
    #[arg(long)]
    pub no_shed: bool,
    /// Workers are not bound to CPUs
    #[arg(long)]
    pub no_pin: bool,
    /// Whom root becomes once all is open [default: weir if there is such a user, else who called sudo, else nobody]
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Whether packets with wrong checksums are dropped
    #[arg(long, value_enum)]
    pub checksums: Option<Checksums>,
    /// Who saw packets, and whose they are.
    #[command(flatten)]
    pub names: NameArguments,
    /// A file with the site's key, from which identifiers are made: 32 hexadecimal digits
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Writes the ledger's balance as JSON, at the end
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
    /// Limits and habits, as `weir config` prints them [default: /etc/weir/weir.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// No summary
    #[arg(short, long)]
    pub quiet: bool,
}

/// How frames of an interface are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Capture {
    /// Copies, by AF_PACKET: the host gets all frames too
    #[default]
    Packet,
    /// By AF_XDP: what is taken does not reach the host, so for interfaces that are there to be listened to
    Xdp,
}

/// Which frames are taken by XDP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum XdpTake {
    /// All
    #[default]
    All,
    /// Those with a tunnel in them (VXLAN, GENEVE, GRE, ERSPAN, IP in IP): ssh to the sensor still works
    Tunnels,
}

/// How many workers there shall be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WorkerCount {
    /// So many: 1 to 256.
    Fixed(u16),
    /// As many as the load wants.
    Auto,
}

impl WorkerCount {
    /// The number, where it does not follow the load.
    pub const fn fixed(self) -> Option<u16> {
        match self {
            Self::Fixed(count) => Some(count),
            Self::Auto => None,
        }
    }
}

impl std::str::FromStr for WorkerCount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(count @ 1..=256) => Ok(Self::Fixed(count)),
            Err(_) if text == "auto" => Ok(Self::Auto),
            Ok(_) | Err(_) => Err("it is a number from 1 to 256, or auto".into()),
        }
    }
}

/// How the traffic of an interface is split among workers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum, serde::Deserialize)]
pub enum Balance {
    /// weir's own program, by the innermost addresses, through tunnels
    #[default]
    #[serde(rename = "fanout")]
    Fanout,
    /// The same by a program in eBPF
    #[value(name = "fanout=ebpf")]
    #[serde(rename = "fanout=ebpf")]
    Ebpf,
    /// One reader for each source; flows are spread in user space
    #[serde(rename = "lanes")]
    Lanes,
    /// Each worker has its own filter, i of N: the sum of the innermost addresses' last 16 bits, modulo N (see weir filter)
    #[serde(rename = "bpf")]
    Bpf,
    /// The network card, by its queues: their number and a symmetric hash are set, and set back at the end
    #[serde(rename = "rss")]
    Rss,
    /// Worker i reads interface i of N; without -w there are as many workers as interfaces
    #[serde(rename = "nics")]
    Nics,
    /// The kernel's flow hash, which sees outer headers only
    #[value(name = "fanout=hash")]
    #[serde(rename = "fanout=hash")]
    Hash,
    /// The queue of the network card
    #[value(name = "fanout=qm")]
    #[serde(rename = "fanout=qm")]
    Queue,
    /// The CPU that received the frame
    #[value(name = "fanout=cpu")]
    #[serde(rename = "fanout=cpu")]
    Cpu,
    /// One worker until its ring is full, then the next
    #[value(name = "fanout=rollover")]
    #[serde(rename = "fanout=rollover")]
    Rollover,
}
