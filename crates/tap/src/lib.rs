//! Where frames come from: capture files, streams of captures, and interfaces.
//!
//! Promises: [`Captures`] reads any number of captures as one stream of frames, numbered without holes. A plain
//! file is mapped and its frames point into the map; a stream (standard input, a pipe, compressed data) is read in
//! blocks of about one MiB that are shared, never copied, with whoever wants to keep them. Whatever is wrong with
//! a capture is a [`TapError`] that names the capture and the byte, after all frames before that byte.
//!
//! The formats are in [`write`](mod@write) (out, from `wire`) and the private `format` (in), pure functions over byte slices; system calls
//! and all that is `unsafe` are in `sys`.
//!
//! Sources: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng, tcpdump.org/linktypes.html, and, where captures in the
//! wild differ from those, what libpcap reads.
#![deny(unsafe_code)]

mod batch;
mod block;
mod captures;
mod codec;
mod error;
mod format;
pub mod incoming;
mod input;
mod live;
mod outer;
mod sys;
mod window;

pub use batch::{FrameBatch, FrameMeta, MAX_FRAMES};
pub use block::Block;
pub use captures::{Captures, Options, Progress, Source};
pub use codec::Codec;
pub use error::{ErrorKind, Flaw, TapError};
pub use live::{LiveSource, Losses, Received};
pub use sys::{Channels, Device, DeviceRing, Offloads, Queues, ReceiveHash, SYMMETRIC_XOR};
pub use sys::{Fanout, FanoutMode, PacketRing, RingClock, RingDirection, RingOptions, interfaces};
pub use sys::{Filter, FilterError, bpf, listing, pcap_over_ip, tunnel_socket, xdp};
pub use weir_wire::capture::{self as write, Endian, Precision};
