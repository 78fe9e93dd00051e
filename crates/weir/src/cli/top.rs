//! `weir top`, as it is written.

use std::path::PathBuf;

use clap::Args;

/// Shown below the options of `weir top`.
pub const EXAMPLES: &str = "\
Examples:
  sudo weir top                          the sensor of this machine
  weir top --socket logs/sense.sock      another one
  sudo weir top --every 0.5

Keys: q ends, p or space pauses, s changes the order of the workers, r that of the pairs of hosts.";

/// The options of `weir top`.
#[derive(Args, Debug)]
pub struct TopArguments {
    /// The socket of the sensor [default: /run/weir/sense.sock, else ./logs/sense.sock]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// How often the sensor is asked, in seconds: 0.2 to 60
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    pub every: f64,
}
