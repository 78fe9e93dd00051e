//! Numbers and structures of linux/if_packet.h and linux/net_tstamp.h.

use libc::c_int;

pub(super) const PACKET_ADD_MEMBERSHIP: c_int = 1;
pub(super) const PACKET_RX_RING: c_int = 5;
pub(super) const PACKET_STATISTICS: c_int = 6;
pub(super) const PACKET_VERSION: c_int = 10;
pub(super) const PACKET_RESERVE: c_int = 12;
pub(super) const PACKET_VNET_HDR: c_int = 15;
pub(super) const PACKET_TIMESTAMP: c_int = 17;
pub(super) const PACKET_FANOUT: c_int = 18;
pub(super) const PACKET_FANOUT_DATA: c_int = 22;
pub(super) const PACKET_IGNORE_OUTGOING: c_int = 23;

pub(super) const TPACKET_V3: c_int = 2;
pub(super) const PACKET_MR_PROMISC: u16 = 1;

pub(super) const FANOUT_HASH: u32 = 0;
pub(super) const FANOUT_LB: u32 = 1;
pub(super) const FANOUT_CPU: u32 = 2;
pub(super) const FANOUT_ROLLOVER: u32 = 3;
pub(super) const FANOUT_QM: u32 = 5;
pub(super) const FANOUT_CBPF: u32 = 6;
pub(super) const FANOUT_EBPF: u32 = 7;
pub(super) const FANOUT_FLAG_ROLLOVER: u32 = 0x1000;
pub(super) const FANOUT_FLAG_IGNORE_OUTGOING: u32 = 0x4000;
pub(super) const FANOUT_FLAG_DEFRAG: u32 = 0x8000;

pub(super) const SOF_TIMESTAMPING_SOFTWARE: c_int = 1 << 4;
pub(super) const SOF_TIMESTAMPING_RAW_HARDWARE: c_int = 1 << 6;

pub(super) const STATUS_KERNEL: u32 = 0;
pub(super) const STATUS_USER: u32 = 1;
pub(super) const STATUS_CSUM_NOT_READY: u32 = 1 << 3;
pub(super) const STATUS_VLAN_VALID: u32 = 1 << 4;
pub(super) const STATUS_VLAN_TPID_VALID: u32 = 1 << 6;
pub(super) const STATUS_CSUM_VALID: u32 = 1 << 7;

pub(super) const PACKET_OUTGOING: u8 = 4;

/// `struct tpacket_req3`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Request {
    pub block_size: u32,
    pub blocks: u32,
    pub frame_size: u32,
    pub frames: u32,
    pub timeout_ms: u32,
    pub private_size: u32,
    pub features: u32,
}

/// `struct tpacket_stats_v3`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(super) struct Statistics {
    pub packets: u32,
    pub drops: u32,
    pub freezes: u32,
}

/// `struct packet_mreq`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Membership {
    pub index: c_int,
    pub kind: u16,
    pub address_len: u16,
    pub address: [u8; 8],
}

/// `struct sock_fprog`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Program {
    pub len: u16,
    pub instructions: *const weir_wire::bpf::Instruction,
}

/// Where `struct tpacket_block_desc` has its block's status, number of frames, offset of the first, and number.
pub(super) const BLOCK_STATUS: usize = 8;
pub(super) const BLOCK_FRAMES: usize = 12;
pub(super) const BLOCK_FIRST: usize = 16;
pub(super) const BLOCK_SEQUENCE: usize = 24;
/// The length of that structure: frames come behind it.
pub(super) const BLOCK_HEADER: usize = 48;

/// The length of `struct tpacket3_hdr` and of the `struct sockaddr_ll` behind it.
pub(super) const FRAME_HEADER: usize = 48 + 20;
