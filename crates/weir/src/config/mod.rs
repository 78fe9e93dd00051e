//! `weir.toml`: limits and habits as the user writes them, checked into what the hops take.
//!
//! Promises: what `weir config` prints is exactly the defaults, and says what each means (test
//! `the_printed_configuration_is_the_default`); a key that is not known is an error, not ignored.

pub mod check;
pub mod fault;
pub mod names;
pub mod sense;
pub mod tap;
pub mod tenants;

use std::collections::HashMap;
use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use weir_decap::{TenantBy, Tenants};
use weir_wire::{Address, Interval, TenantId, UidKey};

use crate::cli;
use crate::cli::LogFormat;
use crate::cli::sense::{Balance, Capture, XdpTake};
use crate::cli::sources::{Direction, Timestamps};
use crate::cli::tap::{By, TooLong};
use fault::{Element, Fault, Faults, Place};
use names::{DedupConfig, LogConfig, NamesConfig};
use sense::{Every, SenseConfig};
use tap::TapConfig;

/// Where the configuration of a machine is.
const USUAL: &str = "/etc/weir/weir.toml";

/// The configuration of a run, checked.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// For decap.
    pub decap: weir_decap::Config,
    /// For the lanes.
    pub analyse: weir_analyse::Config,
    /// For `weir sense`.
    pub sense: SenseConfig,
    /// Who is who.
    pub names: NamesConfig,
    /// What stands in logs.
    pub log: LogConfig,
    /// Copies of packets.
    pub dedup: DedupConfig,
    /// For `weir tap`.
    pub tap: TapConfig,
}

impl Config {
    /// Reads `path`, or the configuration of this machine, if there is one, or takes the defaults.
    pub fn usual(path: Option<&Path>) -> anyhow::Result<Self> {
        let usual = Some(Path::new(USUAL)).filter(|path| path.exists());
        Self::load(path.or(usual))
    }

    /// Reads `path`, or takes the defaults.
    pub fn load(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = text_of(path)?;
        Ok(Self::parse(&path.display().to_string(), &text)?)
    }

    /// Checks the text of a configuration, which the user calls `name`.
    pub fn parse(name: &str, text: &str) -> Result<Self, Faults> {
        let wrong = |list| Faults { name: name.into(), text: text.into(), list };
        let raw: Raw = toml::from_str(text).map_err(|error| wrong(vec![Fault::of_toml(&error, text)]))?;
        let mut config = Self::default();
        let mut found = Vec::new();
        raw.apply(&mut config, &mut found);
        found.extend(check::values(&config));
        if found.is_empty() {
            return Ok(config);
        }
        let mut list: Vec<_> = found.iter().map(|(place, what)| Fault::at(place, text, what)).collect();
        list.sort_by_key(|fault: &Fault| fault.span.as_ref().map(|span| span.start));
        Err(wrong(list))
    }

    /// Checksums of IP and of the transports are verified, or not.
    pub fn verify_checksums(&mut self, verify: bool) {
        self.decap.verify_checksums = verify;
        self.analyse.verify_checksums = verify;
    }

    /// What names the tenant.
    pub fn tenant_by(&mut self, by: cli::TenantBy) {
        self.decap.tenants.by = match by {
            cli::TenantBy::Nothing => TenantBy::Nothing,
            cli::TenantBy::Vni => TenantBy::Vni,
            cli::TenantBy::Vlan => TenantBy::Vlan,
            cli::TenantBy::Key => TenantBy::Key,
            cli::TenantBy::Tap => TenantBy::Tap,
        };
    }
}

/// The text of the configuration in `path`.
pub fn text_of(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The key of a site from its 32 hexadecimal digits.
pub fn key(text: &str) -> anyhow::Result<UidKey> {
    let wrong = "a key is 32 hexadecimal digits";
    ensure!(text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()), wrong);
    Ok(UidKey(u128::from_str_radix(text, 16).context(wrong)?.to_be_bytes()))
}

/// The defaults, as a file with comments.
pub fn default_text() -> String {
    let mut text = String::from(
        "# weir.toml: limits and habits of weir, with their defaults.\n\
         # Times are in seconds, memory is in bytes. Give this file with --config.\n",
    );
    show(&Config::default(), &mut text);
    text
}

/// A value that stands in the file in a form of its own.
trait Setting: Sized {
    /// The form in the file.
    type Raw;
    /// Checks what the file says.
    fn check(raw: Self::Raw) -> anyhow::Result<Self>;
    /// As the file would say it.
    fn show(&self) -> String;
}

macro_rules! whole_number {
    ($($of:ty),+) => {$(
        impl Setting for $of {
            type Raw = $of;
            fn check(raw: $of) -> anyhow::Result<Self> {
                ensure!(raw > 0, "0 is no limit that anything could be done within");
                Ok(raw)
            }
            fn show(&self) -> String { self.to_string() }
        }
    )+};
}
whole_number!(usize, u32, u8);

impl Setting for bool {
    type Raw = bool;
    fn check(raw: bool) -> anyhow::Result<Self> {
        Ok(raw)
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for Interval {
    type Raw = f64;
    fn check(raw: f64) -> anyhow::Result<Self> {
        ensure!(raw > 0.0 && raw <= 1e9, "a time is more than 0 and at most 1e9 seconds");
        Ok(Self((raw * 1e9) as i64))
    }
    fn show(&self) -> String {
        format!("{:?}", self.as_secs_f64())
    }
}

/// Networks, as `address/length`.
impl Setting for Vec<(Address, u8)> {
    type Raw = Vec<String>;
    fn check(raw: Vec<String>) -> anyhow::Result<Self> {
        let one = |(index, text): (usize, &String)| network(text).context(Element(index));
        raw.iter().enumerate().map(one).collect()
    }
    fn show(&self) -> String {
        let one = |(address, length): &(Address, u8)| {
            let less = if address.is_v4() { 96 } else { 0 };
            format!("\"{address}/{}\"", length.saturating_sub(less))
        };
        format!("[\n  {},\n]", self.iter().map(one).collect::<Vec<_>>().join(",\n  "))
    }
}

impl Setting for TenantBy {
    type Raw = cli::TenantBy;
    fn check(raw: cli::TenantBy) -> anyhow::Result<Self> {
        let mut config = Config::default();
        config.tenant_by(raw);
        Ok(config.decap.tenants.by)
    }
    fn show(&self) -> String {
        let by = match self {
            Self::Nothing => cli::TenantBy::Nothing,
            Self::Vni => cli::TenantBy::Vni,
            Self::Vlan => cli::TenantBy::Vlan,
            Self::Key => cli::TenantBy::Key,
            Self::Tap => cli::TenantBy::Tap,
        };
        format!("\"{}\"", by.name())
    }
}

/// A map of tenants: `{ 100 = 1, 101 = 1 }`.
impl Setting for HashMap<u32, TenantId> {
    type Raw = HashMap<String, u32>;
    fn check(raw: HashMap<String, u32>) -> anyhow::Result<Self> {
        let one = |(number, tenant): (String, u32)| match number.parse() {
            Ok(number) => Ok((number, TenantId(tenant))),
            Err(_) => bail!("{number:?} is not a number"),
        };
        raw.into_iter().map(one).collect()
    }
    fn show(&self) -> String {
        let mut pairs: Vec<_> = self.iter().map(|(number, tenant)| (number, tenant.0)).collect();
        pairs.sort_unstable();
        let pairs: Vec<_> = pairs.iter().map(|(number, tenant)| format!("{number} = {tenant}")).collect();
        format!("{{ {} }}", pairs.join(", "))
    }
}

fn network(text: &str) -> anyhow::Result<(Address, u8)> {
    let wrong = || format!("{text:?} is not a network: 10.0.0.0/8, fe80::/10");
    let (address, length) = text.split_once('/').with_context(wrong)?;
    let address: IpAddr = address.parse().with_context(wrong)?;
    let length: u8 = length.parse().with_context(wrong)?;
    let (most, more) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
    ensure!(length <= most, wrong());
    Ok((Address::from(address), length + more))
}

/// Where it is and what is wrong with it.
fn wrong(section: &'static str, key: &'static str, error: &anyhow::Error) -> (Place, String) {
    let element = error.downcast_ref::<Element>();
    let causes = error.chain().skip(usize::from(element.is_some()));
    let message = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    (Place { section, key, index: element.map(|element| element.0) }, message)
}

/// One struct for each table of the file, how it is checked, and how the defaults are shown.
macro_rules! sections {
    ($($(#[doc = $about:literal])+ $section:ident: $raw:ident of $target:ty = $($at:ident).+ {
        $($(#[doc = $doc:literal])+ $key:ident: $of:ty,)+
    })+) => {
        #[derive(Deserialize, Default)]
        #[serde(deny_unknown_fields, default)]
        struct Raw {
            $($section: $raw,)+
        }

        impl Raw {
            fn apply(self, config: &mut Config, found: &mut Vec<(Place, String)>) {
                $(self.$section.apply(&mut config.$($at).+, found);)+
            }
        }

        $(
            #[derive(Deserialize, Default)]
            #[serde(deny_unknown_fields, default)]
            #[allow(clippy::struct_field_names, reason = "the fields are keys of the file")]
            struct $raw {
                $($key: Option<<$of as Setting>::Raw>,)+
            }

            impl $raw {
                fn apply(self, to: &mut $target, found: &mut Vec<(Place, String)>) {
                    $(if let Some(raw) = self.$key {
                        match <$of as Setting>::check(raw) {
                            Ok(value) => to.$key = value,
                            Err(error) => found.push(wrong(stringify!($section), stringify!($key), &error)),
                        }
                    })+
                }
            }
        )+

        fn show(config: &Config, text: &mut String) {
            $(
                let section = &config.$($at).+;
                text.push('\n');
                $(text.push_str(concat!("#", $about, "\n"));)+
                text.push_str(concat!("[", stringify!($section), "]\n"));
                $(
                    $(text.push_str(concat!("#", $doc, "\n"));)+
                    // Writing to a string cannot fail.
                    let _ = writeln!(text, "{} = {}", stringify!($key), Setting::show(&section.$key));
                )+
            )+
        }
    };
}

sections! {
    /// What `weir sense` reads and how; its command line stands above this.
    sense: RawSense of SenseConfig = sense {
        /// Interfaces: names, with * for any letters and ? for one; "any" for all.
        interfaces: Vec<String>,
        /// Streams of captures: "tcp://0.0.0.0:5555" listens, "tcp://host:5555" dials.
        pcap_over_ip: Vec<String>,
        /// Addresses at which VXLAN is received: "[::]:4789".
        vxlan: Vec<String>,
        /// Addresses at which GENEVE is received: "[::]:6081".
        geneve: Vec<String>,
        /// Whether GRE and ERSPAN are received, through a raw socket.
        gre: bool,
        /// The tunnels that are wanted, by VNI, GRE key or ERSPAN session; none listed: all.
        identifiers: Vec<u32>,
        /// The directory of the logs; "": /var/log/weir as root, else ./logs.
        logs: String,
        /// How lines are written: "tsv" or "json".
        format: LogFormat,
        /// How often logs are rotated: "1h", "1day"; "": never.
        rotate: Every,
        /// Whether rotated logs are compressed (gzip).
        compress: bool,
        /// Workers; 0: as many as there are CPUs.
        workers: u16,
        /// How frames of an interface are taken: "packet" (copies) or "xdp" (what is taken does not reach the host).
        capture: Capture,
        /// Which frames XDP takes: "all", or "tunnels", with which all else goes on to the host.
        xdp_take: XdpTake,
        /// Whether workers are added and let go by the load, up to as many as there are CPUs.
        follow_load: bool,
        /// How the traffic of an interface is split among the workers; see weir sense --help.
        balance: Balance,
        /// Whether the queues and the hash that balance = "rss" sets of a network card stay when the sensor ends.
        keep_rss: bool,
        /// Only frames that this expression of tcpdump's language selects; "": all.
        filter: String,
        /// Which frames of an interface: "in", "out" or "both".
        direction: Direction,
        /// Whether frames for other hosts are asked for.
        promiscuous: bool,
        /// Whose clock gives frames of an interface their time: "kernel", "software" or "hardware".
        timestamps: Timestamps,
        /// The control socket, for weir ctl; "": /run/weir/sense.sock where logs are in /var/log/weir, else sense.sock beside
        /// the logs.
        control: String,
        /// Whether a worker that cannot keep up leaves out whole flows, by a hash with the site's key, before the kernel drops
        /// packets at random: first such as begin, then, where that does not help, such as are in progress.
        shed: bool,
        /// How full its ring or queue has to be for that, in percent, for 0.3 s.
        shed_percent: u8,
        /// Whether each worker is bound to a CPU.
        pin: bool,
        /// Whom root becomes once all is open; "": weir if there is such a user, else who called sudo, else nobody.
        user: String,
        /// A file with the site's key, from which identifiers are made: 32 hexadecimal digits; "": none.
        key_file: String,
        /// Where Prometheus finds /metrics, and others /healthz: "127.0.0.1:9640"; "": nowhere.
        metrics: String,
        /// How often each worker writes to stats.log: "5m"; "": never.
        stats: Every,
        /// How often each worker writes to capture_loss.log, for the first time after a minute: "15m"; "": never.
        capture_loss: Every,
        /// Bytes of one block of a ring: a power of two, 64 KiB to 64 MiB.
        block_size: usize,
        /// Blocks of a ring; each worker has one ring on each interface.
        blocks: usize,
        /// How long a block of a ring waits to be full, and a frame in it.
        block_timeout: Interval,
        /// Bytes of a frame that are captured, at most.
        snap_length: u32,
    }
    /// What `weir tap` reads and where it sends it; its command line stands above this.
    tap: RawTap of TapConfig = tap {
        /// Interfaces: names, with * for any letters and ? for one.
        interfaces: Vec<String>,
        /// Network namespaces of which all interfaces are tapped: names, paths, "pid:4711".
        netns: Vec<String>,
        /// Whether all interfaces of all containers and pods are tapped.
        containers: bool,
        /// Targets: "vxlan://10.0.0.9?vni=7", "geneve://...", "gre://...", "erspan://...", "pcap://...", "file://...", "interface://...".
        to: Vec<String>,
        /// Only frames that this expression of tcpdump's language selects; "": all.
        filter: String,
        /// Bytes of a frame that are taken, at most.
        snap_length: u32,
        /// Which frames of an interface: "in", "out" or "both".
        direction: Direction,
        /// Whether frames for other hosts are asked for.
        promiscuous: bool,
        /// Beyond this, whole flows are let go: "200mbit"; "": no limit.
        max_rate: String,
        /// Beyond this share of one CPU, whole flows are let go: "10%"; "": no limit.
        max_cpu: String,
        /// What becomes of packets that are longer than the path takes: "fragment", "truncate" or "drop".
        too_long: TooLong,
        /// What stays together among several targets of one kind: "pair" (of addresses) or "flow".
        by: By,
        /// The number of this tap in GENEVE; "": made of the host's name.
        tap_id: String,
        /// Whom root becomes once all is open; "": weir if there is such a user, else who called sudo, else nobody.
        user: String,
        /// Where Prometheus finds /metrics, and others /healthz: "127.0.0.1:9641"; "": nowhere.
        metrics: String,
        /// Bytes of one block of a ring: a power of two, 64 KiB to 64 MiB.
        block_size: usize,
        /// Blocks of a ring; each interface has one ring.
        blocks: usize,
        /// How long a block of a ring waits to be full, and a frame in it.
        block_timeout: Interval,
        /// Interfaces that are tapped at once, at most.
        max_interfaces: usize,
        /// Bytes that wait for the receiver of a stream, at most.
        stream_buffer: usize,
        /// How long a full output is waited for before frames are dropped.
        patience: Interval,
    }
    /// From frames to packets.
    decap: RawDecap of weir_decap::Config = decap {
        /// Headers that are walked at most from the link layer to the transport.
        max_depth: u8,
        /// Tunnels in tunnels at most.
        max_tunnels: u8,
        /// How long a datagram waits for its missing fragments.
        fragment_timeout: Interval,
        /// Memory of fragments, at most.
        fragment_memory: usize,
        /// Datagrams that wait for fragments, at most.
        max_datagrams: usize,
        /// Fragments that wait in one datagram, at most.
        max_fragments: usize,
        /// UDP ports of VXLAN.
        vxlan_ports: Vec<u16>,
        /// UDP ports of GENEVE.
        geneve_ports: Vec<u16>,
        /// Whether a mirrored packet that ends too early was cut by whoever mirrored it; otherwise it is broken, as for Zeek.
        cut_mirrors: bool,
        /// Whether packets have the time at which a tap of weir saw them; otherwise that at which they came.
        tap_times: bool,
    }
    /// Whose packets are whose.
    tenants: RawTenants of Tenants = decap.tenants {
        /// What names the tenant of a packet: "nothing", "vni", "vlan", "key" (of GRE) or "tap".
        by: TenantBy,
        /// From the number that names a tenant to the tenant. While empty, every number is a tenant of its own.
        map: HashMap<u32, TenantId>,
    }
    /// Who is who.
    names: RawNames of NamesConfig = names {
        /// A file that says which tap and tenant the numbers around a packet stand for; "": none. See the README.
        tenants: String,
    }
    /// What stands in logs behind Zeek's columns.
    log: RawLog of LogConfig = log {
        /// Whether logs with a uid have a column for the tap; in conn.log all taps that saw the connection.
        tap: bool,
        /// Whether they have one for the tenant.
        tenant: bool,
    }
    /// Packets that several taps saw.
    dedup: RawDedup of DedupConfig = dedup {
        /// Whether one copy is analysed, and the others are counted.
        enabled: bool,
        /// How far apart copies may be; the clocks of taps have to agree so far.
        window: Interval,
        /// Memory of what is remembered, of all workers together: 32 bytes a packet.
        memory: usize,
    }
    /// Flows.
    flow: RawFlow of weir_analyse::config::FlowConfig = analyse.flow {
        /// Flows of one worker, at most; beyond, the one that was idle longest is ended early and logged.
        max_flows: usize,
        /// A TCP connection without packets is over after this.
        tcp_inactivity: Interval,
        /// A UDP flow without packets is over after this.
        udp_inactivity: Interval,
        /// An ICMP flow without packets is over after this.
        icmp_inactivity: Interval,
        /// A flow of another protocol without packets is over after this.
        unknown_inactivity: Interval,
        /// A connection attempt without answer is over after this.
        tcp_attempt_delay: Interval,
        /// A connection is removed this long after both sides closed it.
        tcp_close_delay: Interval,
        /// A connection is removed this long after a RST.
        tcp_reset_delay: Interval,
        /// A partial connection is removed this long after one side closed it.
        tcp_partial_close_delay: Interval,
    }
    /// TCP reassembly.
    tcp: RawTcp of weir_analyse::config::TcpConfig = analyse.tcp {
        /// Bytes that one direction of a connection may hold for a hole to be filled; beyond, the hole is a gap.
        max_held_per_side: usize,
        /// Such bytes of all connections of one worker, at most.
        max_held_total: usize,
        /// Bytes above a hole that prove that it will not be filled.
        max_unacked: usize,
    }
    /// Files.
    file: RawFile of weir_analyse::config::FileConfig = analyse.file {
        /// Bytes at the beginning of a file by which its type is told.
        beginning: usize,
        /// A file without progress is given up after this.
        timeout: Interval,
        /// Files at once in one worker, at most.
        max_files: usize,
        /// Bytes of one file that are held because they came out of order, at most.
        max_held: usize,
        /// Such bytes of all files of one worker, at most.
        max_held_total: usize,
        /// Memory of the decoders of content codings (gzip, deflate, br) of one worker, at most.
        max_decoders: usize,
    }
    /// The site.
    site: RawSite of weir_analyse::Config = analyse {
        /// Networks that are local (conn.log local_orig and local_resp, ssh.log direction).
        local_networks: Vec<(Address, u8)>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_configuration_is_the_default() {
        let text = default_text();
        let parsed = Config::parse("weir.toml", &text).unwrap();
        assert_eq!(format!("{parsed:?}"), format!("{:?}", Config::default()));
        assert!(text.contains("# Headers that are walked at most"), "{text}");
    }

    #[test]
    fn what_is_not_known_or_makes_no_sense_is_an_error_that_names_it() {
        for (text, told) in [
            (
                "[flow]\nmax_flow = 1",
                "weir.toml:2:1: in [flow]: there is no key max_flow\n    │\n  2 │ max_flow = 1\n    │ ^^^^^^^^ did you mean max_flows?",
            ),
            (
                "[flows]\n",
                "weir.toml:1:2: there is no table flows\n    │\n  1 │ [flows]\n    │  ^^^^^ did you mean flow?",
            ),
            ("\n\nsense = 7", "weir.toml:3:9: invalid type: integer `7`, expected "),
            ("[tcp]\nmax_held_total = 0", "weir.toml:2:18: in [tcp]: max_held_total: 0 is no limit"),
            (
                "[tcp]\nmax_held_total = \"x\"",
                "weir.toml:2:18: in [tcp]: invalid type: string \"x\", expected usize",
            ),
            ("[tcp]\nmax_held_total = 1 2", "weir.toml:2:18: "),
            (
                "[flow]\ntcp_inactivity = -1.0",
                "weir.toml:2:18: in [flow]: tcp_inactivity: a time is more than 0",
            ),
            ("[flow]\nmax_flows = 1\nmax_flows = 2", "weir.toml:3:1: duplicate key"),
            (
                "[site]\nlocal_networks = [\"::/0\", \"10.0.0.0/33\"]",
                "weir.toml:2:27: in [site]: local_networks: \"10.0.0.0/33\"",
            ),
            ("[tenants]\nmap = { x = 1 }", "in [tenants]: map: \"x\" is not a number"),
            (
                "[sense]\nvxlan = [\"here\"]",
                "weir.toml:2:10: in [sense]: vxlan: \"here\" is not an address to receive at",
            ),
            ("[sense]\npcap_over_ip = [\"udp://a\"]", "weir.toml:2:17: in [sense]: pcap_over_ip: "),
            ("[sense]\nblock_size = 3", "weir.toml:2:14: in [sense]: block_size: 3 is not a power of two"),
            ("[sense]\nrotate = \"soon\"", "weir.toml:2:10: in [sense]: rotate: \"soon\" is no time"),
            (
                "[sense]\nbalance = \"fan\"",
                "weir.toml:2:11: in [sense]: unknown variant `fan`, expected one of",
            ),
        ] {
            let said = Config::parse("weir.toml", text).unwrap_err().to_string();
            assert!(said.contains(told), "{said}");
        }
    }

    #[test]
    fn all_values_that_make_no_sense_are_told_in_the_order_of_the_file() {
        let text = "[tcp]\nmax_unacked = 0\n[sense]\nblocks = 1\nworkers = 300\n";
        let said = Config::parse("f", text).unwrap_err().to_string();
        let told: Vec<_> = said.lines().filter(|line| line.starts_with("f:")).collect();
        assert_eq!(told.len(), 3, "{said}");
        assert!(
            told[0].starts_with("f:2:15: in [tcp]: max_unacked") && told[1].starts_with("f:4:10"),
            "{said}"
        );
    }

    #[test]
    fn what_is_written_holds_and_the_rest_is_the_default() {
        let text = "[decap]\nmax_depth = 9\n[tenants]\nby = \"vni\"\nmap = { 7 = 1 }\n[site]\nlocal_networks = [\"10.0.0.0/8\"]";
        let config = Config::parse("weir.toml", text).unwrap();
        assert_eq!((config.decap.max_depth, config.decap.max_tunnels), (9, 4));
        assert_eq!(config.decap.tenants.by, TenantBy::Vni);
        assert_eq!(config.decap.tenants.of(7), TenantId(1));
        assert_eq!(config.analyse.local_networks, [(Address::v4([10, 0, 0, 0]), 104)]);
    }

    #[test]
    fn a_key_is_sixteen_bytes_in_hexadecimal() {
        assert_eq!(key("000102030405060708090a0b0c0d0e0f").unwrap().0, std::array::from_fn(|i| i as u8));
        assert!(key("00").is_err() && key("+00102030405060708090a0b0c0d0e0f").is_err());
    }
}
