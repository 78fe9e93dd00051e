//! The command line of `weir filter`.

use clap::Args;

pub const EXAMPLES: &str = "\
Examples:
  weir filter 0/4                          what the first of four workers takes, for Zeek, Suricata or tcpdump
  tcpdump -i eth0 -w 0.pcap \"$(weir filter 0/4)\"
  weir filter 0/4 -d                       the code of that filter
  weir filter 0/4 --inner -ddd             the code that looks into tunnels, as iptables -m bpf and tc take it";

/// The options of `weir filter`.
#[derive(Args, Debug)]
pub struct FilterArguments {
    /// Which worker of how many, counted from 0: 0/4, 1/4, 2/4 and 3/4 are all shares of four
    #[arg(value_name = "I/N")]
    pub share: String,
    /// The worker that takes what is no IP
    #[arg(long, value_name = "I", default_value_t = 0)]
    pub home: u32,
    /// Prints code: -d to be read, -dd as C, -ddd as numbers; needs libpcap, as tcpdump does
    #[arg(short = 'd', action = clap::ArgAction::Count)]
    pub code: u8,
    /// The same of the innermost packet in tunnels, which only code can: -d is needed, and worker 0 takes what is no IP
    #[arg(long, requires = "code")]
    pub inner: bool,
}
