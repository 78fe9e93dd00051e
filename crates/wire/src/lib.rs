//! Headers as checked views over bytes, and the identities that every hop shares.
//!
//! This crate is a leaf and pure: no clock, no system call, no `unsafe`. A view is made by a `parse`
//! that checks lengths once and answers [`Malformed`]; its accessors cannot panic.
#![forbid(unsafe_code)]

pub mod address;
pub mod bpf;
pub mod bytes;
pub mod capture;
pub mod checksum;
pub mod flow;
pub mod fragment;
pub mod frame;
pub mod icmp;
pub mod ipv4;
pub mod ipv6;
pub mod packet;
pub mod tcp;
pub mod time;
pub mod tunnel;
pub mod udp;
pub mod uid;

pub use address::Address;
pub use bytes::{Cursor, Malformed};
pub use flow::{ConnId, Direction, FlowKey, TenantId};
pub use frame::{Frame, LinkType, Offload};
pub use icmp::IcmpHeader;
pub use ipv4::Ipv4Header;
pub use ipv6::Ipv6Header;
pub use packet::{Data, Head, Packet, Role, TunnelKind};
pub use tcp::{TcpHeader, TcpOption};
pub use time::{Interval, Time};
pub use udp::UdpHeader;
pub use uid::{Shed, Uid, UidKey};
