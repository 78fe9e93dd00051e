//! `weir ctl`, as it is written.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::sense::WorkerCount;

/// Shown below the options of `weir ctl`.
pub const EXAMPLES: &str = "\
Examples:
  weir ctl status                        what the sensor of this machine is doing
  weir ctl status --json | jq .hops
  weir ctl workers 4                     or auto: connections go on, no packet is lost
  weir ctl rotate                        logs are moved aside now
  weir ctl --socket logs/sense.sock stop as SIGTERM: all connections end in the logs

Exit codes: 2 where the sensor refuses, 7 where none answers.";

/// The options of `weir ctl`.
#[derive(Args, Debug)]
pub struct CtlArguments {
    /// The socket of the sensor [default: /run/weir/sense.sock, else ./logs/sense.sock]
    #[arg(long, value_name = "PATH", global = true)]
    pub socket: Option<PathBuf>,
    /// What to do
    #[command(subcommand)]
    pub command: CtlCommand,
}

/// What can be asked of a sensor.
#[derive(Subcommand, Debug)]
pub enum CtlCommand {
    /// Tells what it is doing: workers, sources, losses, the ledger, logs
    Status {
        /// As JSON, with everything
        #[arg(long)]
        json: bool,
    },
    /// Has as many workers as are wanted; no connection is cut in two and no packet lost
    Workers {
        /// How many, or `auto`: as many as the load wants, up to the number of CPUs
        #[arg(value_name = "N|auto")]
        count: WorkerCount,
    },
    /// Has it read its configuration again, as SIGHUP does
    Reload,
    /// Moves the logs aside, and begins new ones
    Rotate,
    /// Ends it
    Stop,
}
