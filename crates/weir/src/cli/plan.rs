//! The command line of `weir plan`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::plan::target::Target;
use crate::plan::value::{Cidr, CloudId, DnsLabel, Image, Interface, Label, Region};

/// Examples of `weir plan --help`.
pub const EXAMPLES: &str = "\
Examples:
  weir plan ovs-mirror --bridge br0 --port eth1 --to 'vxlan://10.0.0.5?vni=7'
  weir plan ovs-split --bridge fabric --from eth1 --to s0 --to s1 --apply
  weir plan nft -i eth0 --to s0 --to s1 --apply       copies, each flow to one of two interfaces
  weir plan nft -i eth0 --to s0 --to s1 --undo
  weir plan tc -i eth0 --to 'vxlan://10.0.0.5?vni=7'
  weir plan rss -i eth0 --queues 8 --apply
  weir plan suricata -i s0 -i s1 --directory /etc/suricata --apply
  weir plan terraform aws --source eni-1 --to-nlb aws_lb.sensors.arn > mirror.tf
  weir plan kubernetes --image registry/weir:0.1 -i eth0 | kubectl apply -f -

Without --apply or --undo the plan is only printed, as a script for a shell or as the text that is wanted.";

/// What is planned, and what becomes of the plan.
#[derive(Args, Debug)]
pub struct PlanArguments {
    /// For whom.
    #[command(subcommand)]
    pub what: What,
}

/// What becomes of a plan.
#[derive(Args, Clone, Debug)]
pub struct Fate {
    /// Carries the plan out, command by command; if one fails, all before it are taken back. What is there already stays
    #[arg(long, conflicts_with = "undo")]
    pub apply: bool,
    /// Takes back what --apply made, and nothing else
    #[arg(long)]
    pub undo: bool,
    /// What it is called: all that it makes is named weir-LABEL; by default after the interface or bridge
    #[arg(long, value_name = "LABEL")]
    pub label: Option<Label>,
    /// Where is written down what was applied
    #[arg(long, value_name = "DIR", default_value = "/run/weir/plan")]
    pub state: PathBuf,
}

/// For whom a plan is.
#[derive(Subcommand, Debug)]
pub enum What {
    /// Open vSwitch: mirrors ports to a port or into a tunnel (VXLAN, GENEVE, GRE, ERSPAN)
    OvsMirror(OvsMirror),
    /// Open vSwitch: splits what comes in at a port among ports, by flow
    OvsSplit(OvsSplit),
    /// nftables: copies or moves an interface's packets to one or, by flow, to one of several
    Nft(Nft),
    /// tc: copies an interface's packets (clsact, mirred) to one or, by addresses, to one of several
    Tc(Tc),
    /// ethtool: queues, a symmetric hash, no merging of packets
    Rss(Rss),
    /// Zeek: node.cfg, and a filter for each worker where they share one interface so
    Zeek(Zeek),
    /// Suricata: the af-packet section
    Suricata(Suricata),
    /// Terraform for the mirroring of a cloud
    #[command(subcommand)]
    Terraform(Terraform),
    /// Kubernetes: a tap on each node (DaemonSet), sensors (Deployment, Service)
    Kubernetes(Kubernetes),
}

/// `weir plan ovs-mirror`.
#[derive(Args, Debug)]
pub struct OvsMirror {
    /// The bridge
    #[arg(long)]
    pub bridge: Interface,
    /// A port whose packets are mirrored; repeatable; without any, all are
    #[arg(long = "port", value_name = "PORT")]
    pub ports: Vec<Interface>,
    /// Where copies go: a port of the bridge, vxlan://ADDRESS[:PORT]?vni=, geneve://, gre://ADDRESS?key=, erspan://ADDRESS?version=2|3&id=
    #[arg(long, value_name = "TARGET")]
    pub to: Target,
    /// Packets that come in at the ports, leave by them, or both
    #[arg(long, value_enum, default_value_t = Direction::Both)]
    pub direction: Direction,
    /// Only this VLAN; repeatable
    #[arg(long = "vlan", value_name = "ID", value_parser = clap::value_parser!(u16).range(0..4096))]
    pub vlans: Vec<u16>,
    /// Bytes of each packet that are mirrored
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(14..))]
    pub snaplen: Option<u16>,
    /// What becomes of it.
    #[command(flatten)]
    pub fate: Fate,
}

/// Which packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Direction {
    /// Those that come in
    In,
    /// Those that go out
    Out,
    /// All
    Both,
}

/// `weir plan ovs-split`.
#[derive(Args, Debug)]
pub struct OvsSplit {
    /// The bridge
    #[arg(long)]
    pub bridge: Interface,
    /// The port where packets come in
    #[arg(long, value_name = "PORT")]
    pub from: Interface,
    /// A port to which a share goes; repeatable
    #[arg(long, value_name = "PORT", required = true)]
    pub to: Vec<Interface>,
    /// How the port of a flow is chosen
    #[arg(long, value_enum, default_value_t = SplitMethod::Bundle)]
    pub method: SplitMethod,
    /// The packets go their usual way too
    #[arg(long)]
    pub copy: bool,
    /// The priority of the flow in table 0
    #[arg(long, default_value_t = 100)]
    pub priority: u16,
    /// What becomes of it.
    #[command(flatten)]
    pub fate: Fate,
}

/// How Open vSwitch chooses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum SplitMethod {
    /// The action bundle: symmetric everywhere; only flows of a port that is down move
    Bundle,
    /// A select group by the datapath's hash: symmetric in the userspace datapath, and in Linux from 6.6 on
    DpHash,
    /// A select group by a hash over fields: not symmetric
    Hash,
}

/// `weir plan nft`.
#[derive(Args, Debug)]
pub struct Nft {
    /// The interface whose packets are taken
    #[arg(short, long, value_name = "IF")]
    pub interface: Interface,
    /// Where they go; repeatable: each flow to one of them. An interface, or a tunnel, for which a device is made
    #[arg(long, value_name = "TARGET", required = true)]
    pub to: Vec<Target>,
    /// Which packets
    #[arg(long, value_enum, default_value_t = Direction::Both)]
    pub direction: Direction,
    /// What chooses among several
    #[arg(long, value_enum, default_value_t = NftHash::Symhash)]
    pub hash: NftHash,
    /// Moves packets (fwd) instead of copying them (dup): they do not reach this machine
    #[arg(long = "move")]
    pub fwd: bool,
    /// What becomes of it.
    #[command(flatten)]
    pub fate: Fate,
}

/// What chooses in nftables.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum NftHash {
    /// The kernel's symmetric hash of addresses and ports
    Symhash,
    /// A hash of both addresses, exchanged on the way out
    Jhash,
}

/// `weir plan tc`.
#[derive(Args, Debug)]
pub struct Tc {
    /// The interface whose packets are copied
    #[arg(short, long, value_name = "IF")]
    pub interface: Interface,
    /// Where copies go; repeatable: each pair of addresses to one of them. An interface, or a tunnel, for which a device is made
    #[arg(long, value_name = "TARGET", required = true)]
    pub to: Vec<Target>,
    /// Which packets
    #[arg(long, value_enum, default_value_t = Direction::Both)]
    pub direction: Direction,
    /// The preference of the first filter
    #[arg(long, default_value_t = 30_500, value_parser = clap::value_parser!(u16).range(1..=65_000))]
    pub preference: u16,
    /// What becomes of it.
    #[command(flatten)]
    pub fate: Fate,
}

/// `weir plan rss`.
#[derive(Args, Debug)]
pub struct Rss {
    /// The interface
    #[arg(short, long, value_name = "IF")]
    pub interface: Interface,
    /// How many queues
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub queues: u16,
    /// Descriptors of each receive ring
    #[arg(long, value_name = "N")]
    pub ring: Option<u32>,
    /// UDP is hashed by addresses only, so that fragments stay with their datagrams
    #[arg(long)]
    pub udp_by_address: bool,
    /// The kernel and the card may go on merging packets (GRO, LRO)
    #[arg(long)]
    pub keep_offloads: bool,
    /// What becomes of it.
    #[command(flatten)]
    pub fate: Fate,
}

/// `weir plan zeek`.
#[derive(Args, Debug)]
pub struct Zeek {
    /// The interface; repeatable with --method interfaces
    #[arg(short, long = "interface", value_name = "IF", required = true)]
    pub interfaces: Vec<Interface>,
    /// How many workers; with --method interfaces as many as interfaces
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: u16,
    /// How they share
    #[arg(long, value_enum, default_value_t = ZeekMethod::AfPacket)]
    pub method: ZeekMethod,
    /// CPUs for the workers, with commas
    #[arg(long, value_name = "CPUS", value_delimiter = ',')]
    pub cpus: Vec<u16>,
    /// The fanout group
    #[arg(long, default_value_t = 23)]
    pub fanout_id: u16,
    /// The ring of each worker, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 128 << 20)]
    pub buffer: u64,
    /// The sensor
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// Where files are written
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub directory: PathBuf,
    /// What becomes of it.
    #[command(flatten)]
    pub fate: Fate,
}

/// How Zeek's workers share.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum ZeekMethod {
    /// AF_PACKET fanout by the kernel's hash
    AfPacket,
    /// AF_PACKET fanout by the card's queue (weir plan rss)
    Qm,
    /// A filter for each worker: share i of N of the pairs of addresses
    Bpf,
    /// An interface for each worker: what weir spread or an Open vSwitch split feeds
    Interfaces,
}

/// `weir plan suricata`.
#[derive(Args, Debug)]
pub struct Suricata {
    /// An interface; repeatable
    #[arg(short, long = "interface", value_name = "IF", required = true)]
    pub interfaces: Vec<Interface>,
    /// Threads of each interface
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: u16,
    /// How they share
    #[arg(long, value_enum, default_value_t = Cluster::Flow)]
    pub cluster: Cluster,
    /// The first cluster number
    #[arg(long, default_value_t = 99, value_parser = clap::value_parser!(u16).range(1..=65_000))]
    pub cluster_id: u16,
    /// Packets that the ring of a thread holds
    #[arg(long, value_name = "PACKETS", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub ring: u32,
    /// Only share I of N of the pairs of addresses, as I/N from 0/N on
    #[arg(long, value_name = "I/N", value_parser = share)]
    pub share: Option<(u16, u16)>,
    /// Where the file is written
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub directory: PathBuf,
    /// What becomes of it.
    #[command(flatten)]
    pub fate: Fate,
}

/// How Suricata's threads share.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Cluster {
    /// By the kernel's hash of addresses and ports
    Flow,
    /// By the card's queue (weir plan rss)
    Qm,
    /// By the CPU that took the interrupt
    Cpu,
}

fn share(text: &str) -> Result<(u16, u16), String> {
    let wrong = || format!("{text:?} is not a share: 0/4, 1/4, ...");
    let (share, of) = text.split_once('/').ok_or_else(wrong)?;
    let (share, of): (u16, u16) = (share.parse().map_err(|_| wrong())?, of.parse().map_err(|_| wrong())?);
    if share < of { Ok((share, of)) } else { Err(wrong()) }
}

/// `weir plan terraform`.
#[derive(Subcommand, Debug)]
pub enum Terraform {
    /// AWS VPC Traffic Mirroring
    Aws(Aws),
    /// GCP Packet Mirroring
    Gcp(Gcp),
    /// Azure virtual network tap
    Azure(Azure),
}

/// `weir plan terraform aws`.
#[derive(Args, Debug)]
pub struct Aws {
    /// A mirrored network interface: its id or a reference of Terraform; repeatable
    #[arg(long = "source", value_name = "ID", required = true)]
    pub sources: Vec<CloudId>,
    /// Copies go to this network interface
    #[arg(long, value_name = "ID", group = "target")]
    pub to_interface: Option<CloudId>,
    /// Copies go to this network load balancer (ARN)
    #[arg(long, value_name = "ID", group = "target")]
    pub to_nlb: Option<CloudId>,
    /// Copies go to this endpoint of a gateway load balancer
    #[arg(long, value_name = "ID", group = "target")]
    pub to_gwlbe: Option<CloudId>,
    /// The VNI
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..1 << 24))]
    pub vni: Option<u32>,
    /// Bytes of each packet that are mirrored
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(1..=8500))]
    pub packet_length: Option<u16>,
    /// The number of the session on each interface
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=32_766))]
    pub session: u16,
    /// Only packets from or to this network; repeatable
    #[arg(long = "network", value_name = "CIDR")]
    pub networks: Vec<Cidr>,
    /// Where the file is written
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub directory: PathBuf,
    /// What becomes of it.
    #[command(flatten)]
    pub fate: Fate,
}

/// `weir plan terraform gcp`.
#[derive(Args, Debug)]
pub struct Gcp {
    /// The region
    #[arg(long)]
    pub region: Region,
    /// The network
    #[arg(long, value_name = "ID")]
    pub network: CloudId,
    /// A mirrored instance; repeatable
    #[arg(long = "instance", value_name = "ID", required_unless_present_any = ["subnetworks", "tags"])]
    pub instances: Vec<CloudId>,
    /// A mirrored subnetwork; repeatable
    #[arg(long = "subnetwork", value_name = "ID")]
    pub subnetworks: Vec<CloudId>,
    /// A network tag of mirrored instances; repeatable
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<DnsLabel>,
    /// A forwarding rule that collects
    #[arg(long, value_name = "ID", required_unless_present = "sensors", conflicts_with = "sensors")]
    pub collector: Option<CloudId>,
    /// The group of instances that are sensors: a collector is made for it
    #[arg(long, value_name = "ID", requires = "sensor_subnetwork")]
    pub sensors: Option<CloudId>,
    /// The subnetwork of the sensors
    #[arg(long, value_name = "ID")]
    pub sensor_subnetwork: Option<CloudId>,
    /// The TCP port on which a healthy sensor answers
    #[arg(long, value_name = "PORT", default_value_t = 22)]
    pub health_port: u16,
    /// Only packets from or to this network; repeatable
    #[arg(long = "only", value_name = "CIDR")]
    pub networks: Vec<Cidr>,
    /// Where the file is written
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub directory: PathBuf,
    /// What becomes of it.
    #[command(flatten)]
    pub fate: Fate,
}

/// `weir plan terraform azure`.
#[derive(Args, Debug)]
pub struct Azure {
    /// The resource group: its id or a reference of Terraform
    #[arg(long, value_name = "ID")]
    pub group: CloudId,
    /// Where it is: westeurope
    #[arg(long)]
    pub location: Region,
    /// A mirrored network interface; repeatable
    #[arg(long = "source", value_name = "ID", required = true)]
    pub sources: Vec<CloudId>,
    /// The IP configuration of the sensor's network interface, or of a load balancer's front end
    #[arg(long, value_name = "ID")]
    pub to: CloudId,
    /// It is the front end of a load balancer
    #[arg(long)]
    pub balanced: bool,
    /// The UDP port of VXLAN
    #[arg(long, default_value_t = 4789, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// Where the file is written
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub directory: PathBuf,
    /// What becomes of it.
    #[command(flatten)]
    pub fate: Fate,
}

/// `weir plan kubernetes`.
#[derive(Args, Debug)]
pub struct Kubernetes {
    /// The image of weir
    #[arg(long)]
    pub image: Image,
    /// The namespace, which is made
    #[arg(long, default_value = "weir")]
    pub namespace: DnsLabel,
    /// An interface of the nodes; repeatable; without any, the containers are tapped
    #[arg(short, long = "interface", value_name = "IF")]
    pub interfaces: Vec<Interface>,
    /// What carries the copies
    #[arg(long, value_enum, default_value_t = Carrier::Vxlan)]
    pub carrier: Carrier,
    /// The VNI
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..1 << 24))]
    pub vni: u32,
    /// How many sensors
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub sensors: u16,
    /// Workers of each sensor
    #[arg(short, long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: u16,
    /// Taps send to this address outside of the cluster, and there are no sensors in it
    #[arg(long, value_name = "ADDRESS", conflicts_with = "sensors")]
    pub collector: Option<IpAddr>,
    /// What becomes of it.
    #[command(flatten)]
    pub fate: Fate,
}

/// What carries copies from tap to sensor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Carrier {
    /// UDP 4789
    Vxlan,
    /// UDP 6081
    Geneve,
}
