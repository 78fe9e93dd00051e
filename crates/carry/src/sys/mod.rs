//! System calls. Nothing else in this crate touches the system.

pub(crate) mod connection;
pub(crate) mod datagram;
mod messages;
mod transmit;

pub(crate) use messages::{MESSAGES, Messages};
pub(crate) use transmit::{PacketSocket, Patience, now};
