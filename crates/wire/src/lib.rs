//! Headers as checked views over bytes, and the identities that every hop shares.
//!
//! This crate is a leaf and pure: no clock, no system call, no `unsafe`. A view is made by a `parse`
//! that checks lengths once and answers [`Malformed`]; its accessors cannot panic.
#![forbid(unsafe_code)]

pub mod address;
pub mod bytes;
pub mod flow;
pub mod frame;
pub mod packet;
pub mod time;
pub mod uid;

pub use address::Address;
pub use bytes::{Cursor, Malformed};
pub use flow::{ConnId, Direction, FlowKey, TenantId};
pub use frame::{Frame, LinkType};
pub use packet::{Data, Head, Packet, Role, TunnelKind};
pub use time::{Interval, Time};
pub use uid::{Uid, UidKey};
