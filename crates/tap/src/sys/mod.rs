//! System calls: opening captures, mapping files, rings of interfaces, and libpcap's filters. Nothing else in this crate touches the system.

pub mod bpf;
mod device;
mod filter;
mod map;
mod open;
pub mod pcap_over_ip;
mod ring;
pub mod tunnel_socket;
pub mod xdp;

pub use device::{Channels, Device, DeviceRing, Offloads, Queues, ReceiveHash, SYMMETRIC_XOR};
pub use filter::{Filter, FilterError, listing};
pub(crate) use map::Map;
pub(crate) use open::{Opened, open_file, open_stdin, size_of_file};
pub(crate) use ring::RingBlock;
pub use ring::{Fanout, FanoutMode, PacketRing, RingClock, RingDirection, RingOptions, interfaces};
