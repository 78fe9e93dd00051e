//! Where live frames come from, as it is written: the same for all commands that listen.

use clap::{Args, ValueEnum};

/// The sources of a command that listens.
#[derive(Args, Clone, Debug, Default)]
pub struct SourceArguments {
    /// An interface to listen on; * and ? stand for any letters and one, `any` for all; repeatable
    #[arg(short, long = "interface", value_name = "IF")]
    pub interfaces: Vec<String>,
    /// Streams of captures: tcp://0.0.0.0:PORT listens, tcp://HOST:PORT dials; repeatable
    #[arg(long, value_name = "URL")]
    pub pcap_over_ip: Vec<String>,
    /// Receives VXLAN at this address and port [default: [::]:4789]; repeatable
    #[arg(long, value_name = "ADDRESS:PORT", num_args = 0..=1, default_missing_value = "[::]:4789")]
    pub vxlan: Vec<String>,
    /// Receives GENEVE at this address and port [default: [::]:6081]; repeatable
    #[arg(long, value_name = "ADDRESS:PORT", num_args = 0..=1, default_missing_value = "[::]:6081")]
    pub geneve: Vec<String>,
    /// Receives GRE and ERSPAN through a raw socket
    #[arg(long)]
    pub gre: bool,
    /// Tunnels with these identifiers only (VNI, GRE key, ERSPAN session); repeatable
    #[arg(long, value_name = "NUMBER")]
    pub identifier: Vec<u32>,
    /// Only frames that tcpdump's filter language selects; needs libpcap
    #[arg(long, value_name = "EXPRESSION")]
    pub filter: Option<String>,
    /// Which frames of an interface are wanted
    #[arg(long, value_enum)]
    pub direction: Option<Direction>,
    /// Frames for other hosts are not asked for
    #[arg(long)]
    pub no_promiscuous: bool,
    /// Whose clock gives frames of an interface their time
    #[arg(long, value_enum)]
    pub timestamps: Option<Timestamps>,
}

impl SourceArguments {
    /// Whether the command line says what to read.
    pub const fn names_any(&self) -> bool {
        self.gre
            || !self.interfaces.is_empty()
            || !self.pcap_over_ip.is_empty()
            || !self.vxlan.is_empty()
            || !self.geneve.is_empty()
    }
}

/// Which frames of an interface are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// What this host receives
    In,
    /// What it sends
    Out,
    /// Both
    #[default]
    Both,
}

/// Whose clock gives frames their time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Timestamps {
    /// The kernel's
    #[default]
    Kernel,
    /// The kernel's, when the driver handed the frame over
    Software,
    /// The network card's
    Hardware,
}
