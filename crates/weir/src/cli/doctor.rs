//! `weir doctor`, as it is written.

use std::path::PathBuf;

use clap::Args;

/// Shown below the options of `weir doctor`.
pub const EXAMPLES: &str = "\
Examples:
  sudo weir doctor -i eth0          all that weir sense -i eth0 relies on
  sudo weir doctor -i eth0 --json   for machines
  weir doctor                       the machine alone

Each finding is ok, a warning or an error, says what it means, and what to do about it.
Exit codes: 0 there is no error; 2 the command line is wrong; 3 there is one.";

/// The options of `weir doctor`.
#[derive(Args, Debug, Default)]
pub struct DoctorArguments {
    /// The interface that a sensor shall listen on; repeatable
    #[arg(short, long = "interface", value_name = "IF")]
    pub interfaces: Vec<String>,
    /// How many workers it shall have [default: as configured, else as many as there are CPUs]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: Option<u16>,
    /// The configuration that it shall have [default: /etc/weir/weir.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}
