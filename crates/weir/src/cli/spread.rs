//! `weir spread`, as it is written.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::TenantBy;
use super::sources::SourceArguments;

/// Shown below the options of `weir spread`.
pub const EXAMPLES: &str = "\
Examples:
  sudo weir spread -i eth1 --to if:veth0 --to if:veth1       by flow among two interfaces that Suricata or Zeek reads
  weir spread --vxlan --geneve --to 'vxlan://10.0.0.5?vni=1' --to 'vxlan://10.0.0.6?vni=1&weight=2' --check http:9640
  sudo weir spread --pcap-over-ip tcp://0.0.0.0:5555 --dedup --to if:veth0
  sudo weir spread --gre --by tenant --tenant-by key --to pcap://10.0.0.5:5555 --to pcap://10.0.0.6:5555

Frames are taken out of their tunnels; targets get the innermost Ethernet frame, or the innermost IP packet. Exit codes are those of
`weir sense`; 5 stands for a target that cannot be opened.";

/// The options of `weir spread`.
#[derive(Args, Debug)]
pub struct SpreadArguments {
    /// What is read.
    #[command(flatten)]
    pub sources: SourceArguments,
    /// A target: if:IF, vxlan://HOST?vni=N, geneve://HOST?vni=N, gre://HOST, erspan://HOST, pcap://HOST:PORT, file://PATH,
    /// each with weight=N where it shall have more or less than others; repeatable
    #[arg(long = "to", value_name = "URL", required = true)]
    pub targets: Vec<String>,
    /// What stays together
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = By::Flow)]
    pub by: By,
    /// How targets are found to be dead: auto (link, neighbour), none, tcp:PORT, http:PORT[/PATH]
    #[arg(long, value_name = "CHECK", default_value = "auto")]
    pub check: String,
    /// For how long a silent flow is remembered and stays at its target when others come and go
    #[arg(long, value_name = "TIME", default_value = "5min")]
    pub idle: String,
    /// Of packets that several taps saw, one copy is passed on; copies may be so far apart [default: 1s]
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "1s")]
    pub dedup: Option<String>,
    /// What becomes of frames that are longer than a target takes
    #[arg(long, value_enum, default_value_t = TooLong::Fragment)]
    pub too_long: TooLong,
    /// How many workers, each with sources and outputs of its own
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: u16,
    /// What names the tenant of a packet
    #[arg(long, value_enum, value_name = "WHAT")]
    pub tenant_by: Option<TenantBy>,
    /// Whom root becomes once all is open [default: weir if there is such a user, else who called sudo, else nobody]
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Writes the ledger's balance as JSON, at the end
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
    /// Limits and habits, as `weir config` prints them
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// No summary
    #[arg(short, long)]
    pub quiet: bool,
}

/// What stays together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum By {
    /// A connection: both addresses and ports
    Flow,
    /// All between two addresses
    Pair,
    /// All of a tenant
    Tenant,
}

/// What becomes of frames that are too long for a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum TooLong {
    /// They are dropped, and counted
    Drop,
    /// Their end is cut off
    Truncate,
    /// Tunnels are sent in fragments; an interface drops them
    Fragment,
}
