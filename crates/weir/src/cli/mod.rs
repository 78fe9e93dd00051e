//! The command line as it is written; what it means is checked in `config`.

pub mod ctl;
pub mod doctor;
pub mod filter;
pub mod names;
pub mod plan;
pub mod sense;
pub mod sources;
pub mod spread;
pub mod tap;
pub mod top;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// What each command may end with; below the options of `weir` and `weir read`.
macro_rules! exit_codes {
    () => {
        "
Exit codes:
  0  all went well and the ledger balances
  1  packets are missing from the ledger, or a worker failed: a bug of weir
  2  the command line or the configuration is wrong
  3  a capture could not be read, or not to its end; what had been read is logged
  4  the logs could not be written
  5  frames could not be sent, or not all of them (weir replay, weir tap)
  6  a plan could not be carried out; what had been done of it is taken back (weir plan)
  7  no sensor answers (weir ctl)"
    };
}

const READ_EXAMPLES: &str = concat!(
    "\
Examples:
  weir read trace.pcapng                           logs into the current directory
  weir read -l logs -f json a.pcap b.pcap.gz       two captures as one stream, logs as JSON lines
  tcpdump -w - | weir read -l logs -               from standard input
  weir read -w 4 --ledger balance.json big.pcap    four lanes, and the balance as JSON
  weir read --filter 'tcp port 443' a.pcap         only some packets; the ledger counts the others
  weir read --tenant-by vni overlay.pcap           equal addresses in two VXLANs are two flows
",
    exit_codes!()
);

const EXAMPLES: &str = concat!(
    "\
Examples:
  weir read -l logs trace.pcapng             a capture to logs, in the directory logs
  sudo weir sense -i eth0                    live, until it is told to end
  weir config > weir.toml                    every limit with its meaning, to be edited
  weir completions bash > /etc/bash_completion.d/weir
",
    exit_codes!()
);

const REPLAY_EXAMPLES: &str = "\
Examples:
  weir replay trace.pcap -i veth0                     as fast as it was captured
  weir replay trace.pcap -i veth0 --speed topspeed --loop 10
  weir replay trace.pcap -i veth0 --speed 500mbit
  nc -l -k 5555 | weir replay - -i veth0              from `tcpdump -U -w - | nc SENSOR 5555` on another machine";

/// Network security monitoring for clouds.
#[derive(Parser, Debug)]
#[command(name = "weir", version, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What weir can do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Reads captures and writes Zeek's logs
    #[command(after_help = READ_EXAMPLES)]
    Read(ReadArguments),
    /// Listens on interfaces, streams and tunnels and writes Zeek's logs
    #[command(after_help = sense::EXAMPLES)]
    Sense(Box<sense::SenseArguments>),
    /// Asks a running sensor what it does, or tells it what to do
    #[command(after_help = ctl::EXAMPLES)]
    Ctl(ctl::CtlArguments),
    /// Takes packets from any source and spreads them by flow among sensors
    #[command(after_help = spread::EXAMPLES)]
    Spread(Box<spread::SpreadArguments>),
    /// Sends what interfaces and containers see to sensors: by tunnel, as a stream, into a file
    #[command(after_help = tap::EXAMPLES)]
    Tap(Box<tap::TapArguments>),
    /// Plays captures, or a stream of one, onto an interface, by their times
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(ReplayArguments),
    /// Tells switches, kernels, clouds and other analysers what they must do: prints, applies, takes back
    #[command(after_help = plan::EXAMPLES)]
    Plan(plan::PlanArguments),
    /// Prints the filter of one of several workers that share an interface
    #[command(after_help = filter::EXAMPLES)]
    Filter(filter::FilterArguments),
    /// Shows on a screen what a running sensor does now
    #[command(after_help = top::EXAMPLES)]
    Top(top::TopArguments),
    /// Tests what a sensor relies on, and says what to do about what it finds
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(doctor::DoctorArguments),
    /// Prints the default configuration, with comments, or checks one
    #[command(args_conflicts_with_subcommands = true)]
    Config {
        /// What else to do
        #[command(subcommand)]
        command: Option<ConfigCommand>,
    },
    /// Prints the completions of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Prints the manual page, or writes one for each command into a directory
    Man {
        /// Where to write the pages
        directory: Option<PathBuf>,
    },
}

/// What `weir config` can do besides.
#[derive(Subcommand, Debug)]
pub enum ConfigCommand {
    /// Tells what is wrong with a configuration: line, column, reason; exit code 2 if something is
    Check {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// The options of `weir read`.
#[derive(Args, Debug)]
pub struct ReadArguments {
    /// Where to write the logs; made where it is not there
    #[arg(short = 'l', long = "logs", value_name = "DIR", default_value = ".")]
    pub directory: PathBuf,
    /// How lines are written
    #[arg(short, long, value_enum, default_value_t = LogFormat::Tsv)]
    pub format: LogFormat,
    /// How many lanes (threads) analyse; the records are the same for every number
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: u16,
    /// Only frames that tcpdump's filter language selects; needs libpcap
    #[arg(long, value_name = "EXPRESSION")]
    pub filter: Option<String>,
    /// Whether packets with wrong checksums are dropped; captures made on the sending host have unfinished ones
    #[arg(long, value_enum)]
    pub checksums: Option<Checksums>,
    /// The site's key, from which the identifiers of connections and files are made: 32 hexadecimal digits
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Writes the ledger's balance as JSON
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
    /// Limits and habits, as `weir config` prints them
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Who saw packets, and whose they are.
    #[command(flatten)]
    pub names: names::NameArguments,
    /// Goes no further than this hop, to measure what the others cost
    #[arg(long, hide = true, value_enum, value_name = "HOP")]
    pub stop_after: Option<StopAfter>,
    /// No summary and no progress
    #[arg(short, long)]
    pub quiet: bool,
    /// pcap or pcapng, also gzip or zstd; - is standard input; several are one stream, in their order
    #[arg(required = true, value_name = "CAPTURE")]
    pub captures: Vec<OsString>,
}

/// The options of `weir replay`.
#[derive(Args, Debug)]
pub struct ReplayArguments {
    /// The Ethernet interface to send to
    #[arg(short, long, value_name = "IF")]
    pub interface: String,
    /// How fast: 2x, 0.5x (times as fast as captured), 500mbit, 10gbit, 20000pps, or topspeed
    #[arg(long, value_name = "SPEED", default_value = "1x")]
    pub speed: String,
    /// How often the captures are played; 0 is without end
    #[arg(long = "loop", value_name = "N", default_value_t = 1)]
    pub rounds: u64,
    /// Ends after so many frames
    #[arg(long, value_name = "FRAMES")]
    pub limit: Option<u64>,
    /// What becomes of frames longer than the interface's MTU
    #[arg(long, value_enum, default_value_t = TooLong::Drop)]
    pub too_long: TooLong,
    /// Sends past the queueing discipline: faster, and other taps on the interface do not see the frames
    #[arg(long)]
    pub bypass_qdisc: bool,
    /// Writes the ledger's balance as JSON
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
    /// No summary
    #[arg(short, long)]
    pub quiet: bool,
    /// pcap or pcapng, also gzip or zstd; - is standard input; several are one stream, in their order
    #[arg(required = true, value_name = "CAPTURE")]
    pub captures: Vec<OsString>,
}

/// Where a run may stop short of the logs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum StopAfter {
    /// Packets are found and not analysed
    Decap,
}

/// What becomes of frames that are too long to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum TooLong {
    /// They are dropped, and counted
    Drop,
    /// Their end is cut off
    Truncate,
}

/// How lines are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Zeek's tab-separated form
    Tsv,
    /// Zeek's JSON, one object per line
    Json,
}

/// What becomes of packets with wrong checksums.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Checksums {
    /// Checksums are not looked at
    Ignore,
    /// Packets with wrong ones are dropped, and counted
    Verify,
}

/// What names the tenant of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TenantBy {
    /// Nothing: one tenant
    Nothing,
    /// The VNI of the innermost VXLAN or GENEVE tunnel
    Vni,
    /// The outermost VLAN id
    Vlan,
    /// The key of the innermost GRE tunnel
    Key,
    /// The tap
    Tap,
}

impl TenantBy {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Vni => "vni",
            Self::Vlan => "vlan",
            Self::Key => "key",
            Self::Tap => "tap",
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_example_of_the_readme_is_understood() {
        let cli = Cli::try_parse_from(["weir", "read", "samples/first.pcapng"]).unwrap();
        assert!(
            matches!(cli.command, Command::Read(r) if r.captures == ["samples/first.pcapng"] && r.workers == 1)
        );
        assert!(Cli::try_parse_from(["weir", "read"]).is_err());
        assert!(Cli::try_parse_from(["weir", "read", "-w", "0", "x"]).is_err());
    }
}
