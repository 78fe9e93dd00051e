//! From what the user asks for to open sources, those of each worker in a list.

use anyhow::{Context, ensure};
use weir_decap::TenantBy;
use weir_spread::{SpreadBy, Steering, TenantNumber, Tunnel, queue_program};
use weir_tap::pcap_over_ip::{PcapOverIp, PcapOverIpOptions};
use weir_tap::tunnel_socket::{TunnelProtocol, TunnelSocket, TunnelSocketOptions};
use weir_tap::{
    Fanout, FanoutMode, LiveSource, PacketRing, RingClock, RingDirection, RingOptions, interfaces,
};
use wildmatch::WildMatch;

use super::super::names::SourceNames;
use super::kernel;
use super::rss::{self, Tuning};
use crate::cli::sense::{Balance, Capture};
use crate::cli::sources::{Direction, Timestamps};
use crate::config::sense::{SenseConfig, given};

/// The sources of each worker, numbered over all workers.
pub type Sources = Vec<Vec<(u16, Box<dyn LiveSource>)>>;

/// All that was opened.
pub struct Opened {
    /// The sources of each worker.
    pub sources: Sources,
    /// What a user calls them.
    pub names: Vec<String>,
    /// The numbers of their taps.
    pub taps: Vec<SourceNames>,
    /// Whether packets of one flow may come from several sources.
    pub mixed: bool,
    /// The CPU of each worker where it is that of its queue's interrupts, as far as it is known.
    pub cpus: Vec<Option<usize>>,
    /// For interfaces that appear later, and what was changed for all.
    pub later: Later,
}

/// As many workers as there are, where nobody says how many: as many as CPUs, or, where each has its interface, as interfaces.
///
/// # Errors
/// There is no such interface.
pub fn usual_workers(config: &SenseConfig) -> anyhow::Result<usize> {
    if config.balance == Balance::Nics {
        return Ok(matching(&config.interfaces, &interfaces())?.len().max(1));
    }
    Ok(std::thread::available_parallelism().map_or(1, usize::from))
}

/// By which hash a flow has its lane, so that the kernel's split and the lanes agree.
pub fn lanes_by(balance: Balance) -> SpreadBy {
    if balance == Balance::Bpf { SpreadBy::Sum } else { SpreadBy::Pair }
}

/// An interface that was not there.
pub struct Appeared {
    /// What it is called.
    pub name: String,
    /// Its rings for each intake, with their numbers.
    pub sources: Sources,
    /// The number of its tap.
    pub taps: Vec<SourceNames>,
}

/// What has to be known to open interfaces that appear later: which are open, and the numbers that are free.
pub struct Later {
    interfaces: Vec<String>,
    next_tap: u16,
    next_feed: u16,
    rings: usize,
    tuned: Vec<Tuning>,
}

impl Later {
    /// What there is to tell of network cards that were changed.
    pub fn findings(&self) -> impl Iterator<Item = &str> {
        self.tuned.iter().flat_map(|tuning| tuning.findings.iter().map(String::as_str))
    }

    /// An interface that was not there and that a pattern of `config` matches, opened, if there is one.
    ///
    /// # Errors
    /// It cannot be opened; it will not be tried again.
    pub fn appeared(
        &mut self,
        config: &SenseConfig,
        decap: &weir_decap::Config,
    ) -> anyhow::Result<Option<Appeared>> {
        let is_wanted = |name: &String| {
            let patterns = config.interfaces.iter().filter(|pattern| pattern.contains(['*', '?']));
            !self.interfaces.contains(name) && patterns.into_iter().any(|p| WildMatch::new(p).matches(name))
        };
        let Some(name) = interfaces().into_iter().find(is_wanted) else { return Ok(None) };
        let mut opening = Opening::new(self.rings, decap.tenants.by, lanes_by(config.balance));
        (opening.next_tap, opening.next_feed) = (self.next_tap, self.next_feed);
        self.interfaces.push(name.clone());
        opening.interface(config, &name, self.interfaces.len())?;
        (self.next_tap, self.next_feed) = (opening.next_tap, opening.next_feed);
        self.tuned.append(&mut opening.tuned);
        Ok(Some(Appeared { name, sources: opening.sources, taps: opening.taps }))
    }
}

/// Taps that the senders of one listener take up.
const SENDERS: u16 = 128;

/// Opens all that `config` names, for `workers` workers.
///
/// # Errors
/// The first that cannot be opened; the message says what to do.
pub fn open(config: &SenseConfig, decap: &weir_decap::Config, workers: usize) -> anyhow::Result<Opened> {
    let mut opening = Opening::new(workers, decap.tenants.by, lanes_by(config.balance));
    let names = matching(&config.interfaces, &interfaces())?;
    for (index, name) in names.iter().enumerate() {
        opening.interface(config, name, index)?;
    }
    for (protocol, addresses) in
        [(TunnelProtocol::Vxlan, &config.vxlan), (TunnelProtocol::Geneve, &config.geneve)]
    {
        for address in addresses {
            opening.tunnel(config, protocol, address)?;
        }
    }
    if config.gre {
        let mut options = TunnelSocketOptions::new(TunnelProtocol::Gre);
        options.identifiers.clone_from(&config.identifiers);
        options.tap = opening.taps(1, "gre")?;
        opening.add_anywhere(Box::new(TunnelSocket::open(&options)?));
    }
    for url in &config.pcap_over_ip {
        let mut options = PcapOverIpOptions::new(url.parse()?);
        options.first_tap = opening.taps(SENDERS, url)?;
        opening.add_anywhere(Box::new(PcapOverIp::open(options)?));
    }
    ensure!(
        !opening.names.is_empty(),
        "there is nothing to listen to: name an interface (-i eth0; `ip link` lists them), a stream (--pcap-over-ip) \
         or a tunnel (--vxlan, --geneve, --gre), or write them into /etc/weir/weir.toml"
    );
    let mixed = opening.names.len() > 1 || opening.blind;
    let (next_tap, next_feed, rings) = (opening.next_tap, opening.next_feed, workers);
    let later = Later { interfaces: names, next_tap, next_feed, rings, tuned: opening.tuned };
    let Opening { sources, names, taps, cpus, .. } = opening;
    Ok(Opened { sources, names, taps, mixed, cpus, later })
}

struct Opening {
    sources: Sources,
    names: Vec<String>,
    taps: Vec<SourceNames>,
    next_tap: u16,
    /// The worker that has the next source of which there is only one.
    next_worker: usize,
    next_feed: u16,
    /// Whether a split is not by the innermost flow, so that one flow can be in several rings.
    blind: bool,
    tenant_by: TenantBy,
    /// What stays together.
    by: SpreadBy,
    tuned: Vec<Tuning>,
    cpus: Vec<Option<usize>>,
}

impl Opening {
    fn new(workers: usize, tenant_by: TenantBy, by: SpreadBy) -> Self {
        let sources = std::iter::repeat_with(Vec::new).take(workers).collect();
        Self {
            sources,
            names: Vec::new(),
            taps: Vec::new(),
            next_tap: 0,
            next_worker: 0,
            next_feed: 0,
            blind: false,
            tenant_by,
            by,
            tuned: Vec::new(),
            cpus: vec![None; workers],
        }
    }

    /// How the kernel finds the worker of a flow.
    fn steering(&self) -> Steering {
        let mut steering = Steering::new(self.by, self.sources.len() as u32);
        steering.tenant = match self.tenant_by {
            TenantBy::Nothing | TenantBy::Tap => TenantNumber::Nothing,
            TenantBy::Vni => TenantNumber::Vni,
            TenantBy::Vlan => TenantNumber::Vlan,
            TenantBy::Key => TenantNumber::Key,
        };
        steering
    }

    /// Numbers for the taps of the source that a user calls `name`.
    fn taps(&mut self, count: u16, name: &str) -> anyhow::Result<u16> {
        let first = self.next_tap;
        self.taps.push(SourceNames { first, count, name: name.to_owned() });
        self.next_tap = first.checked_add(count).context("there are more than 65535 taps")?;
        Ok(first)
    }

    fn add(&mut self, worker: usize, source: Box<dyn LiveSource>) {
        if let Some(sources) = self.sources.get_mut(worker) {
            sources.push((self.next_feed, source));
            self.next_feed = self.next_feed.saturating_add(1);
        }
    }

    /// Gives a source of which there is only one to the worker whose turn it is.
    fn add_anywhere(&mut self, source: Box<dyn LiveSource>) {
        self.names.push(source.name().to_owned());
        let worker = self.next_worker;
        self.next_worker = (worker + 1) % self.sources.len().max(1);
        self.add(worker, source);
    }

    /// Opens the rings of one interface.
    fn interface(&mut self, config: &SenseConfig, name: &str, index: usize) -> anyhow::Result<()> {
        if config.capture == Capture::Xdp {
            return self.queues(config, name);
        }
        let mut options = ring_options(config, name);
        options.tap = self.taps(1, name)?;
        let mode = match config.balance {
            Balance::Bpf if self.sources.len() > 1 => return self.filters(&options, name),
            Balance::Lanes | Balance::Nics | Balance::Bpf => None,
            Balance::Rss => {
                self.tune(config, name)?;
                Some(FanoutMode::Program(queue_program()))
            }
            Balance::Fanout => Some(FanoutMode::Program(self.steering().for_frames())),
            Balance::Ebpf => Some(kernel::fanout(&self.steering(), name)?),
            Balance::Hash => Some(FanoutMode::Hash),
            Balance::Queue => Some(FanoutMode::Queue),
            Balance::Cpu => Some(FanoutMode::Cpu),
            Balance::Rollover => Some(FanoutMode::Rollover),
        };
        let Some(mode) = mode.filter(|_| self.sources.len() > 1) else {
            self.add_anywhere(Box::new(PacketRing::open(&options)?));
            return Ok(());
        };
        self.blind |= !matches!(config.balance, Balance::Fanout | Balance::Ebpf);
        // One name space of groups for the whole network namespace: other sensors have other process ids.
        let group = (std::process::id() as u16).wrapping_mul(31).wrapping_add(index as u16);
        options.fanout = Some(Fanout { group, mode, defragment: false, rollover: false });
        let rings = PacketRing::open_group(&options, self.sources.len())?;
        self.names.push(name.to_owned());
        for (worker, ring) in rings.into_iter().enumerate() {
            self.add(worker, Box::new(ring));
        }
        Ok(())
    }

    /// Opens a ring for each worker, with its filter.
    fn filters(&mut self, options: &RingOptions, name: &str) -> anyhow::Result<()> {
        let steering = self.steering();
        let share = |worker| RingOptions { share: Some(steering.for_filter(worker)), ..options.clone() };
        let options: Vec<_> = (0..steering.lanes).map(share).collect();
        self.names.push(name.to_owned());
        for (worker, ring) in PacketRing::open_all(&options)?.into_iter().enumerate() {
            self.add(worker, Box::new(ring));
        }
        Ok(())
    }

    /// Has the network card split the traffic, and finds the CPU of each queue.
    fn tune(&mut self, config: &SenseConfig, name: &str) -> anyhow::Result<()> {
        let workers = self.sources.len();
        let tuning = Tuning::apply(name, workers, config.keep_rss);
        let tuning = tuning.with_context(|| {
            format!("cannot read the queues of {name}: --balance rss needs a network card, by its name")
        })?;
        self.tuned.push(tuning);
        for (to, cpu) in self.cpus.iter_mut().zip(rss::queue_cpus(name, workers)) {
            *to = to.or(cpu);
        }
        Ok(())
    }

    /// Opens an AF_XDP socket for each queue of an interface.
    fn queues(&mut self, config: &SenseConfig, name: &str) -> anyhow::Result<()> {
        let tap = self.taps(1, name)?;
        let sockets = kernel::xdp(config, &self.steering(), name, tap)?;
        // The network card knows its own hash, which need not be that of the innermost flow.
        self.blind |= sockets.len() > 1;
        for socket in sockets {
            self.add_anywhere(Box::new(socket));
        }
        Ok(())
    }

    /// Opens a socket for tunnels for each worker.
    fn tunnel(
        &mut self,
        config: &SenseConfig,
        protocol: TunnelProtocol,
        address: &str,
    ) -> anyhow::Result<()> {
        let mut options = TunnelSocketOptions::new(protocol);
        options.address = address_of(address, options.address.port())?;
        options.identifiers.clone_from(&config.identifiers);
        options.tap = self.taps(1, &options.name())?;
        self.names.push(options.name());
        let inside = match protocol {
            TunnelProtocol::Geneve => Tunnel::Geneve,
            TunnelProtocol::Vxlan | TunnelProtocol::Gre => Tunnel::Vxlan,
        };
        let program = self.steering().for_datagrams(inside);
        let sockets = TunnelSocket::open_group(&options, self.sources.len(), Some(&program))?;
        for (worker, socket) in sockets.into_iter().enumerate() {
            self.add(worker, Box::new(socket));
        }
        Ok(())
    }
}

fn ring_options(config: &SenseConfig, name: &str) -> RingOptions {
    let mut options = RingOptions::new(name);
    options.block_size = config.block_size;
    options.blocks = config.blocks;
    options.block_timeout_ms = u32::try_from(config.block_timeout.0 / 1_000_000).unwrap_or(u32::MAX).max(1);
    options.snap_length = config.snap_length;
    options.promiscuous = config.promiscuous;
    options.filter = given(&config.filter).map(str::to_owned);
    options.direction = match config.direction {
        Direction::In => RingDirection::In,
        Direction::Out => RingDirection::Out,
        Direction::Both => RingDirection::Both,
    };
    options.clock = match config.timestamps {
        Timestamps::Kernel => RingClock::Kernel,
        Timestamps::Software => RingClock::Software,
        Timestamps::Hardware => RingClock::Hardware,
    };
    options
}

/// The interfaces of `known` that `patterns` name, each once. A name without `*` and `?` stands for itself.
fn matching(patterns: &[String], known: &[String]) -> anyhow::Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for pattern in patterns {
        let found: Vec<_> = if pattern.contains(['*', '?']) {
            let glob = WildMatch::new(pattern);
            known.iter().filter(|name| glob.matches(name)).cloned().collect()
        } else {
            vec![pattern.clone()]
        };
        ensure!(!found.is_empty(), "no interface is named like {pattern:?}: there are {}", known.join(", "));
        for name in found {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    Ok(names)
}

/// `ADDRESS:PORT`, `ADDRESS` or `[ADDRESS]`.
///
/// # Errors
/// It is none of them.
pub fn address_of(text: &str, port: u16) -> anyhow::Result<std::net::SocketAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let whole =
        text.parse().or_else(|_| bare.parse().map(|address| std::net::SocketAddr::new(address, port)));
    whole
        .ok()
        .with_context(|| format!("{text:?} is not an address to receive at: 0.0.0.0:{port}, [::]:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_each_interface_once_and_a_pattern_without_any_is_an_error() {
        let known: Vec<_> = ["lo", "eth0", "veth1", "veth2"].map(String::from).into();
        let names = |patterns: &[&str]| {
            matching(&patterns.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>(), &known)
        };
        assert_eq!(names(&["veth*", "veth?", "gone0"]).unwrap(), ["veth1", "veth2", "gone0"]);
        assert!(names(&["tap*"]).unwrap_err().to_string().contains("there are lo, eth0, veth1"));
    }

    #[test]
    fn an_address_may_leave_out_its_port() {
        assert_eq!(address_of("10.0.0.1", 4789).unwrap().to_string(), "10.0.0.1:4789");
        assert_eq!(address_of("[::]", 4789).unwrap().to_string(), "[::]:4789");
        assert_eq!(address_of("[::1]:7", 4789).unwrap().to_string(), "[::1]:7");
        assert!(address_of("host:port", 4789).is_err());
    }
}
