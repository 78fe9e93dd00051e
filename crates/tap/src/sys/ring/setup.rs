//! From options to a socket whose ring is mapped and waits to be started.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use weir_wire::LinkType;
use weir_wire::bpf::Instruction;

use super::abi::{
    FANOUT_CBPF, FANOUT_CPU, FANOUT_EBPF, FANOUT_FLAG_DEFRAG, FANOUT_FLAG_IGNORE_OUTGOING,
    FANOUT_FLAG_ROLLOVER, FANOUT_HASH, FANOUT_LB, FANOUT_QM, FANOUT_ROLLOVER, PACKET_FANOUT,
    PACKET_FANOUT_DATA, PACKET_IGNORE_OUTGOING, PACKET_RESERVE, PACKET_RX_RING, PACKET_TIMESTAMP,
    PACKET_VERSION, PACKET_VNET_HDR, Request, SOF_TIMESTAMPING_RAW_HARDWARE, SOF_TIMESTAMPING_SOFTWARE,
    TPACKET_V3,
};
use super::frame::RESERVE;
use super::gate;
use super::memory::Memory;
use super::options::{Fanout, FanoutMode, RingClock, RingDirection, RingOptions};
use super::socket::{Socket, index_of, interfaces};
use crate::{Filter, TapError};

/// Bounds of the block size: the least holds a frame of 64 KiB less a little, the most is far more than any frame.
const BLOCK_SIZES: std::ops::RangeInclusive<usize> = 64 << 10..=64 << 20;
/// With one block, the kernel and we could only work in turn.
const MIN_BLOCKS: usize = 2;
/// The kernel wants to know how long frames are, and with blocks does not use it.
const FRAME_SIZE: usize = 2048;

/// A socket with its ring.
#[derive(Debug)]
pub(super) struct Ready {
    pub socket: Socket,
    pub memory: Arc<Memory>,
    /// Whether frames have a `struct virtio_net_hdr` in front.
    pub vnet: bool,
    /// The program that lets wanted frames through.
    gate: Vec<Instruction>,
}

impl Ready {
    /// Everything but the start: until then no frame comes.
    pub fn new(options: &RingOptions, filter: Option<&Filter>) -> Result<Self, TapError> {
        let fail = |operation| move |source| failure(operation, options, source);
        sizes(options)?;
        let index = if options.interface == "any" {
            0
        } else {
            index_of(&options.interface).map_err(|source| missing(options, source))?
        };
        let socket = Socket::new().map_err(fail("open a packet socket for"))?;
        let gate = gate_for(options, filter);
        attach(&socket, &gate::closed()).map_err(fail("set a filter on"))?;
        // An old kernel may not know of these headers; then super-frames are not told from others.
        let vnet = socket.set_packet(PACKET_VNET_HDR, &1i32).is_ok();
        timestamps(&socket, options.clock).map_err(fail("set the clock of"))?;
        if options.direction == RingDirection::In {
            socket.set_packet(PACKET_IGNORE_OUTGOING, &1i32).map_err(fail("set the direction of"))?;
        }
        let memory = ring(&socket, options).map_err(|source| too_large(options, source))?;
        socket.bind(index).map_err(|source| missing(options, source))?;
        if options.promiscuous && index != 0 {
            socket.promiscuous(index).map_err(fail("set promiscuous mode of"))?;
        }
        if let Some(fanout) = &options.fanout {
            join(&socket, fanout, options.direction).map_err(|source| no_group(options, fanout, source))?;
        }
        Ok(Self { socket, memory: Arc::new(memory), vnet, gate })
    }

    /// Another filter, from one frame to the next.
    pub fn set_filter(&mut self, options: &RingOptions, filter: Option<&Filter>) -> Result<(), TapError> {
        self.gate = gate_for(options, filter);
        self.start(options)
    }

    /// From now on frames come.
    pub fn start(&self, options: &RingOptions) -> Result<(), TapError> {
        attach(&self.socket, &self.gate).map_err(|source| failure("set the filter of", options, source))
    }
}

fn gate_for(options: &RingOptions, filter: Option<&Filter>) -> Vec<Instruction> {
    let expression = filter.map(|filter| filter.instructions(LinkType::ETHERNET)).unwrap_or_default();
    gate::program(
        options.direction,
        options.share.as_deref().unwrap_or_default(),
        options.snap_length,
        filter.map(|_| &expression[..]),
    )
}

fn attach(socket: &Socket, program: &[Instruction]) -> io::Result<()> {
    socket.set_program(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, program)
}

fn timestamps(socket: &Socket, clock: RingClock) -> io::Result<()> {
    let flags = match clock {
        RingClock::Kernel => return Ok(()),
        RingClock::Software => SOF_TIMESTAMPING_SOFTWARE,
        RingClock::Hardware => SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_RAW_HARDWARE,
    };
    socket.set_packet(PACKET_TIMESTAMP, &flags)
}

fn ring(socket: &Socket, options: &RingOptions) -> io::Result<Memory> {
    socket.set_packet(PACKET_VERSION, &TPACKET_V3)?;
    socket.set_packet(PACKET_RESERVE, &(RESERVE as u32))?;
    let request = Request {
        block_size: options.block_size as u32,
        blocks: options.blocks as u32,
        frame_size: FRAME_SIZE as u32,
        frames: (options.block_size / FRAME_SIZE * options.blocks) as u32,
        timeout_ms: options.block_timeout_ms.max(1),
        private_size: 0,
        features: 0,
    };
    socket.set_packet(PACKET_RX_RING, &request)?;
    Memory::map(socket.as_fd(), options.block_size, options.blocks)
}

fn join(socket: &Socket, fanout: &Fanout, direction: RingDirection) -> io::Result<()> {
    let mode = match fanout.mode {
        FanoutMode::Hash => FANOUT_HASH,
        FanoutMode::RoundRobin => FANOUT_LB,
        FanoutMode::Cpu => FANOUT_CPU,
        FanoutMode::Rollover => FANOUT_ROLLOVER,
        FanoutMode::Queue => FANOUT_QM,
        FanoutMode::Program(_) => FANOUT_CBPF,
        FanoutMode::Ebpf(_) => FANOUT_EBPF,
    };
    let flags = [
        (fanout.defragment, FANOUT_FLAG_DEFRAG),
        (fanout.rollover, FANOUT_FLAG_ROLLOVER),
        // The group has a say of its own in what comes in; that of the socket is not asked.
        (direction == RingDirection::In, FANOUT_FLAG_IGNORE_OUTGOING),
    ];
    let flags = flags.iter().filter(|(is, _)| *is).fold(0, |all, (_, flag)| all | flag);
    socket.set_packet(PACKET_FANOUT, &(u32::from(fanout.group) | (mode | flags) << 16))?;
    match &fanout.mode {
        FanoutMode::Program(program) => socket.set_program(libc::SOL_PACKET, PACKET_FANOUT_DATA, program),
        FanoutMode::Ebpf(program) => socket.set_packet(PACKET_FANOUT_DATA, &program.as_raw_fd()),
        FanoutMode::Hash
        | FanoutMode::RoundRobin
        | FanoutMode::Cpu
        | FanoutMode::Rollover
        | FanoutMode::Queue => Ok(()),
    }
}

fn sizes(options: &RingOptions) -> Result<(), TapError> {
    let wrong = |hint: String| {
        let source = io::Error::from(io::ErrorKind::InvalidInput);
        Err(TapError::Interface {
            operation: "make a ring for",
            interface: options.interface.clone(),
            hint,
            source,
        })
    };
    let (size, blocks) = (options.block_size, options.blocks);
    if !size.is_power_of_two() || !BLOCK_SIZES.contains(&size) {
        return wrong(format!(
            ": the block size is {size} and has to be a power of two from 64 KiB to 64 MiB"
        ));
    }
    let fits = size.checked_mul(blocks).is_some_and(|all| isize::try_from(all).is_ok());
    if blocks < MIN_BLOCKS || u32::try_from(size / FRAME_SIZE * blocks).is_err() || !fits {
        return wrong(format!(
            ": {blocks} blocks of {size} bytes; there have to be {MIN_BLOCKS}, and 4 TiB at most"
        ));
    }
    // Asked for more than it has, the kernel does not refuse: it ends processes until it has.
    if size * blocks > physical_memory() / 2 {
        return wrong(format!(
            ": {blocks} blocks of {} KiB are more than half of this machine's memory; take fewer (blocks) or smaller \
             ones (block size)",
            size >> 10
        ));
    }
    Ok(())
}

#[allow(unsafe_code, reason = "sysconf")]
fn physical_memory() -> usize {
    // SAFETY: no pointers.
    let (pages, size) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    usize::try_from(pages).unwrap_or(0).saturating_mul(usize::try_from(size).unwrap_or(0))
}

/// The error of a system call, with what may be done about it.
pub(super) fn failure(operation: &'static str, options: &RingOptions, source: io::Error) -> TapError {
    let hint = if source.kind() == io::ErrorKind::PermissionDenied {
        ": needs CAP_NET_RAW: run with sudo, or once `setcap cap_net_raw,cap_net_admin+ep` on the weir binary"
            .into()
    } else {
        String::new()
    };
    TapError::Interface { operation, interface: options.interface.clone(), hint, source }
}

fn missing(options: &RingOptions, source: io::Error) -> TapError {
    if source.raw_os_error() != Some(libc::ENODEV) {
        return failure("bind to", options, source);
    }
    let hint = format!(": there is no such interface; there are {}", interfaces().join(", "));
    TapError::Interface { operation: "listen on", interface: options.interface.clone(), hint, source }
}

fn too_large(options: &RingOptions, source: io::Error) -> TapError {
    let hint = match source.raw_os_error() {
        Some(libc::ENOMEM) => format!(
            ": no memory for {} blocks of {} KiB; take fewer (blocks) or smaller ones (block size)",
            options.blocks,
            options.block_size >> 10
        ),
        _ => return failure("make a ring for", options, source),
    };
    TapError::Interface { operation: "make a ring for", interface: options.interface.clone(), hint, source }
}

fn no_group(options: &RingOptions, fanout: &Fanout, source: io::Error) -> TapError {
    let hint = match source.raw_os_error() {
        Some(libc::EINVAL) => format!(
            ": group {} is in use with another interface, mode or flags; take another number",
            fanout.group
        ),
        Some(libc::ENOSPC) => format!(": group {} has as many rings as the kernel allows", fanout.group),
        _ => return failure("join the fanout group of", options, source),
    };
    TapError::Interface {
        operation: "join the fanout group of",
        interface: options.interface.clone(),
        hint,
        source,
    }
}
