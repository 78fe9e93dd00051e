//! What runs in the kernel for us (eBPF): from a sensor's configuration to programs and AF_XDP sockets.

use std::path::Path;

use anyhow::ensure;
use weir_spread::{SpreadBy, Steering, TenantNumber};
use weir_tap::FanoutMode;
use weir_tap::bpf::{FanoutProgram, FlowBy, FlowSettings, FlowTenant};
use weir_tap::xdp::{XdpOptions, XdpSocket, XdpTake as Take};

use crate::cli::sense::XdpTake;
use crate::cli::sources::Direction;
use crate::config::sense::{SenseConfig, given};

/// What a program is told, so that it answers as the classic program of `steering` does.
pub fn settings(steering: &Steering) -> FlowSettings {
    FlowSettings {
        by: match steering.by {
            SpreadBy::Pair => FlowBy::Pair,
            SpreadBy::Flow => FlowBy::Flow,
            SpreadBy::Tenant => FlowBy::Tenant,
            SpreadBy::Sum => FlowBy::Sum,
        },
        tenant: match steering.tenant {
            TenantNumber::Nothing => FlowTenant::Nothing,
            TenantNumber::Vni => FlowTenant::Vni,
            TenantNumber::Vlan => FlowTenant::Vlan,
            TenantNumber::Key => FlowTenant::Key,
        },
        vxlan_ports: steering.vxlan_ports.clone(),
        geneve_ports: steering.geneve_ports.clone(),
        ..FlowSettings::new(steering.lanes)
    }
}

/// The program that splits the traffic of `interface`.
///
/// # Errors
/// The kernel does not take it.
pub fn fanout(steering: &Steering, interface: &str) -> anyhow::Result<FanoutMode> {
    // What a program cannot see: whether a frame that is sent has a link-layer header. `any` has frames of both kinds; those of
    // tunnel devices then cross from worker to worker.
    let kind = std::fs::read_to_string(Path::new("/sys/class/net").join(interface).join("type"));
    let ethernet = kind.map_or(true, |kind| matches!(kind.trim_end(), "1" | "772"));
    let mut program = FanoutProgram::load(&FlowSettings { ethernet, ..settings(steering) }, interface)?;
    Ok(FanoutMode::Ebpf(program.descriptor()?))
}

/// The sockets of `interface`, one for each of its queues.
///
/// # Errors
/// What was asked for cannot be had with XDP, or the kernel does not take the program.
pub fn xdp(
    config: &SenseConfig,
    steering: &Steering,
    interface: &str,
    tap: u16,
) -> anyhow::Result<Vec<XdpSocket>> {
    ensure!(
        given(&config.filter).is_none(),
        "XDP knows no filters of tcpdump's language: leave out --filter, or take frames by --capture packet"
    );
    ensure!(
        config.direction != Direction::Out,
        "XDP sees only what an interface receives: leave out --direction, or take frames by --capture packet"
    );
    let memory = config.block_size.saturating_mul(config.blocks);
    let chunks = u32::try_from(memory / XdpOptions::CHUNK).unwrap_or(u32::MAX).max(1);
    let mut options = XdpOptions::new(interface);
    options.tap = tap;
    // As much memory as a ring would have, in a power of two.
    options.chunks = (1 << chunks.ilog2()).clamp(XdpOptions::LEAST_CHUNKS, XdpOptions::MOST_CHUNKS);
    options.promiscuous = config.promiscuous;
    options.take = match config.xdp_take {
        XdpTake::All => Take::All,
        XdpTake::Tunnels => Take::Tunnels,
    };
    options.settings = settings(steering);
    Ok(XdpSocket::open_all(&options)?)
}
