//! `weir tap`, as it is written.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::sources::Direction;

/// Shown below the options of `weir tap`.
pub const EXAMPLES: &str = "\
Examples:
  sudo weir tap -i eth0 --to 'geneve://10.0.0.9?vni=7'           to a sensor that listens with `weir sense --geneve`
  sudo weir tap -i 'veth*' --to vxlan://10.0.0.9 --to vxlan://10.0.0.10
                                                                 flows are spread over both, as on every other tap
  sudo weir tap -i eth0 --to pcap://10.0.0.9:5555 --filter 'not port 22'
                                                                 to `nc -l 5555 | tcpreplay -i IF -`, Wireshark, weir sense
  sudo weir tap --netns pid:4711 --to 'erspan://10.0.0.9?version=3&id=7'
  sudo weir tap --containers --to geneve://10.0.0.9 --max-rate 200mbit --max-cpu 10%

What the tap sends is never tapped again, on whatever interface it leaves. SIGTERM and SIGINT print the balance; SIGUSR1 writes
the ledger (--ledger) and goes on. Exit codes are those of `weir --help`; 3 stands for a source that cannot be opened, 5 for an
output.";

/// The options of `weir tap`. What is not given is as the configuration says.
#[derive(Args, Debug, Default)]
pub struct TapArguments {
    /// An interface to tap; * and ? stand for any letters and one; those that come later are tapped too; repeatable
    #[arg(short, long = "interface", value_name = "IF")]
    pub interfaces: Vec<String>,
    /// All interfaces of a network namespace: its name, its path, or pid:N of a process in it; repeatable
    #[arg(long, value_name = "NAMESPACE")]
    pub netns: Vec<String>,
    /// All interfaces of all containers and pods, as they come and go
    #[arg(long)]
    pub containers: bool,
    /// Where to: vxlan://HOST?vni=N, geneve://HOST?vni=N, gre://HOST?key=N, erspan://HOST?version=2&id=N, pcap://HOST:PORT,
    /// file://PATH, interface://IF. Several of one kind share the flows, each kind gets all; repeatable
    #[arg(long, value_name = "URL")]
    pub to: Vec<String>,
    /// Only frames that tcpdump's filter language selects; needs libpcap
    #[arg(long, value_name = "EXPRESSION")]
    pub filter: Option<String>,
    /// How many bytes of a frame are taken, at most
    #[arg(short = 's', long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(64..=262_144))]
    pub snap_length: Option<u32>,
    /// Which frames of an interface are wanted
    #[arg(long, value_enum)]
    pub direction: Option<Direction>,
    /// Frames for other hosts are not asked for
    #[arg(long)]
    pub no_promiscuous: bool,
    /// Beyond this, whole flows are let go, by hash: 200mbit, 1gbit
    #[arg(long, value_name = "RATE")]
    pub max_rate: Option<String>,
    /// Beyond this share of one CPU, whole flows are let go, by hash: 10%
    #[arg(long, value_name = "SHARE")]
    pub max_cpu: Option<String>,
    /// What becomes of packets that are longer than the path to the target takes [default: fragment]
    #[arg(long, value_enum)]
    pub too_long: Option<TooLong>,
    /// What stays together among several targets of one kind [default: pair]
    #[arg(long, value_enum)]
    pub by: Option<By>,
    /// The number of this tap in GENEVE [default: made of the host's name]
    #[arg(long, value_name = "N")]
    pub tap_id: Option<u32>,
    /// Whom root becomes once all is open [default: weir if there is such a user, else who called sudo, else nobody]
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Where Prometheus finds /metrics, and others /healthz
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub metrics: Option<String>,
    /// Writes the ledger's balance as JSON, at the end and on SIGUSR1
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
    /// Limits and habits, as `weir config` prints them [default: /etc/weir/weir.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// No summary
    #[arg(short, long)]
    pub quiet: bool,
}

/// What becomes of packets that are too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TooLong {
    /// The tunnel's packet is sent in fragments
    #[default]
    Fragment,
    /// The end of the packet is cut off
    Truncate,
    /// It is dropped, and counted
    Drop,
}

/// What stays together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// All between two addresses, as the workers of a sensor have it
    #[default]
    Pair,
    /// A connection
    Flow,
}
