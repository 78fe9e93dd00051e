//! What the user may decide about a ring.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use weir_wire::bpf::Instruction;

/// Everything that [`PacketRing::open`](super::PacketRing::open) wants to know.
#[derive(Clone, Debug)]
pub struct RingOptions {
    /// The interface by name; `any` is all of them, those that come later too.
    pub interface: String,
    /// The tap number that its frames carry.
    pub tap: u16,
    /// Bytes of one block: a power of two, 64 KiB to 64 MiB. A frame has to fit; super-frames have up to 64 KiB (with BIG
    /// TCP 512 KiB). Default 1 MiB.
    pub block_size: usize,
    /// How many blocks: at least 2. Memory is `block_size * blocks`, which the kernel takes at once. Default 64.
    pub blocks: usize,
    /// After how many milliseconds a block is handed over that is not full: the longest delay of a frame. Default 20.
    pub block_timeout_ms: u32,
    /// How many bytes of a frame are captured. Default 262144, which is all.
    pub snap_length: u32,
    /// Whether frames for other hosts are wanted.
    pub promiscuous: bool,
    /// Which frames are wanted by their direction.
    pub direction: RingDirection,
    /// Whose clock gives frames their time.
    pub clock: RingClock,
    /// Only frames that this expression selects (pcap-filter(7)); needs libpcap.
    pub filter: Option<String>,
    /// Other rings to share the traffic with.
    pub fanout: Option<Fanout>,
    /// The beginning of the ring's filter, in classic BPF that sees the link-layer header first: what is not for this ring
    /// ends in it, with 0, and what is goes on behind its last instruction. Without a fanout group, the other way to share
    /// the traffic: one such part for each ring.
    pub share: Option<Vec<Instruction>>,
}

impl RingOptions {
    /// A promiscuous ring of 64 MiB on `interface`, both directions, whole frames.
    pub fn new(interface: impl Into<String>) -> Self {
        Self {
            interface: interface.into(),
            tap: 0,
            block_size: 1 << 20,
            blocks: 64,
            block_timeout_ms: 20,
            snap_length: 262_144,
            promiscuous: true,
            direction: RingDirection::Both,
            clock: RingClock::Kernel,
            filter: None,
            fanout: None,
            share: None,
        }
    }
}

/// Which frames are wanted. What a loopback interface sends it also receives, so there only what is received counts.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum RingDirection {
    /// Only what this host receives.
    In,
    /// Only what it sends.
    Out,
    /// Both.
    #[default]
    Both,
}

/// Whose clock gives frames their time.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum RingClock {
    /// The kernel's, when it hands the frame to the ring, or earlier where it took the time earlier.
    #[default]
    Kernel,
    /// The kernel's, when the driver handed the frame over.
    Software,
    /// The network card's, where it has one; the kernel's for frames without.
    Hardware,
}

/// A group of rings among which the kernel splits the traffic (PACKET_FANOUT). All of a group have the same interface,
/// mode and flags.
#[derive(Clone, Debug)]
pub struct Fanout {
    /// The group's number, of which there is one name space for each network namespace.
    pub group: u16,
    /// How the kernel picks the ring of a frame.
    pub mode: FanoutMode,
    /// IPv4 fragments of the outermost packet are put together first, so that they follow their flow.
    pub defragment: bool,
    /// Where the ring is full, another one is taken; flows are then on more than one ring.
    pub rollover: bool,
}

/// How the kernel picks the ring of a frame. All numbers are taken modulo the number of rings.
#[derive(Clone, Debug)]
pub enum FanoutMode {
    /// The kernel's flow hash: by the outer header of VXLAN and GENEVE.
    Hash,
    /// In turn; no two packets of a flow are together.
    RoundRobin,
    /// The CPU that received the frame.
    Cpu,
    /// The first ring until it is full, then the next.
    Rollover,
    /// The queue of the network card.
    Queue,
    /// What a classic BPF program answers. It sees the frame from the network header on where the frame was received, and
    /// from the link-layer header on where it is sent (SKF_AD_PKTTYPE tells).
    Program(Vec<Instruction>),
    /// What an eBPF program of type socket filter answers.
    Ebpf(Arc<OwnedFd>),
}
