//! Opening the sockets at which tunnels end.

use std::fmt;
use std::io;
use std::mem::size_of_val;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::sys::socket::{
    self, AddressFamily, SetSockOpt, SockFlag, SockProtocol, SockType, SockaddrStorage, sockopt,
};
use weir_wire::tunnel::{geneve, vxlan};

use crate::{Precision, TapError};
use weir_wire::bpf::Instruction;

/// What is received.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TunnelProtocol {
    /// VXLAN over UDP.
    Vxlan,
    /// GENEVE over UDP.
    Geneve,
    /// GRE and ERSPAN, by a raw socket, for which a process needs CAP_NET_RAW.
    Gre,
}

impl TunnelProtocol {
    /// The UDP port that the tunnel has unless the user says otherwise; none for GRE.
    pub const fn port(self) -> u16 {
        match self {
            Self::Vxlan => vxlan::PORT,
            Self::Geneve => geneve::PORT,
            Self::Gre => 0,
        }
    }

    /// As in the names of sources.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vxlan => "vxlan",
            Self::Geneve => "geneve",
            Self::Gre => "gre",
        }
    }
}

impl fmt::Display for TunnelProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How tunnels shall be received.
#[derive(Clone, Debug)]
pub struct TunnelSocketOptions {
    /// Which tunnel.
    pub protocol: TunnelProtocol,
    /// The address and port to receive at. `[::]` takes IPv4 too; a raw socket (GRE) is of one version of IP and has no port.
    pub address: SocketAddr,
    /// The number of the tap.
    pub tap: u16,
    /// The network identifiers that are wanted (VNI; for GRE the key or else ERSPAN's session); empty: all. Frames of
    /// others, and those whose identifier cannot be read, are dropped as `tunnel_unwanted`.
    pub identifiers: Vec<u32>,
    /// Bytes that the kernel may hold for us. 32 MiB are 20 ms of 10 Gbit/s in full packets, and their bookkeeping. Without
    /// CAP_NET_ADMIN no more than net.core.rmem_max.
    pub receive_buffer: usize,
    /// Datagrams are cut to this many bytes. 9,216 is the largest frame of usual networks.
    pub max_datagram: usize,
    /// The precision of times.
    pub precision: Precision,
}

impl TunnelSocketOptions {
    /// All of one protocol's tunnels, at any address, IPv4 and IPv6 (GRE: IPv4), at its usual port.
    pub fn new(protocol: TunnelProtocol) -> Self {
        let any = match protocol {
            TunnelProtocol::Vxlan | TunnelProtocol::Geneve => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            TunnelProtocol::Gre => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        };
        Self {
            protocol,
            address: SocketAddr::new(any, protocol.port()),
            tap: 0,
            identifiers: Vec::new(),
            receive_buffer: 32 << 20,
            max_datagram: 9_216 + 64,
            precision: Precision::default(),
        }
    }

    /// What a user calls the source.
    pub fn name(&self) -> String {
        match self.protocol {
            TunnelProtocol::Gre => format!("gre://{}", self.address.ip()),
            TunnelProtocol::Vxlan | TunnelProtocol::Geneve => format!("{}://{}", self.protocol, self.address),
        }
    }

    fn failed(&self, operation: &'static str) -> impl Fn(io::Error) -> TapError {
        let name = self.name();
        move |source| TapError::Socket { name: name.clone(), operation, source }
    }

    /// Opens the socket; `shared`: one of several at the same port.
    pub(super) fn open(&self, shared: bool) -> Result<OwnedFd, TapError> {
        let family = if self.address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = match self.protocol {
            TunnelProtocol::Gre => raw(family)?,
            TunnelProtocol::Vxlan | TunnelProtocol::Geneve => {
                socket::socket(family, SockType::Datagram, flags, SockProtocol::Udp)
                    .map_err(|e| self.failed("open a socket")(e.into()))?
            }
        };
        self.set_up(&socket, shared).map_err(self.failed("set up its socket"))?;
        socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(self.address))
            .map_err(|e| self.failed("receive at this address")(e.into()))?;
        Ok(socket)
    }

    fn set_up(&self, socket: &OwnedFd, shared: bool) -> io::Result<()> {
        socket::setsockopt(socket, sockopt::ReceiveTimestampns, &true)?;
        if self.address.is_ipv4() {
            socket::setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
        } else {
            socket::setsockopt(socket, sockopt::Ipv6V6Only, &(self.protocol == TunnelProtocol::Gre))?;
            socket::setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        }
        if self.protocol != TunnelProtocol::Gre {
            // Tunnels over IPv6 may have no checksum (RFC 6935), which a socket refuses unless told.
            set(socket, libc::IPPROTO_UDP, UDP_NO_CHECK6_RX, &1i32)?;
            // Several datagrams of one sender and one length may come as one: their way through the kernel is paid once.
            set(socket, libc::IPPROTO_UDP, UDP_GRO, &1i32)?;
            socket::setsockopt(socket, sockopt::ReusePort, &shared)?;
        }
        if socket::setsockopt(socket, sockopt::RcvBufForce, &self.receive_buffer).is_err() {
            socket::setsockopt(socket, sockopt::RcvBuf, &self.receive_buffer)?;
        }
        Ok(())
    }
}

/// Not in the libc crate: linux/udp.h.
const UDP_NO_CHECK6_RX: libc::c_int = 102;
/// The same.
pub(super) const UDP_GRO: libc::c_int = 104;

/// A raw socket for GRE. nix has no name for the protocol.
#[allow(unsafe_code, reason = "a system call")]
fn raw(family: AddressFamily) -> Result<OwnedFd, TapError> {
    use std::os::fd::FromRawFd;
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no pointers; the answer is a new descriptor that nobody else has, or negative.
    unsafe {
        match libc::socket(family as libc::c_int, kind, libc::IPPROTO_GRE) {
            fd if fd >= 0 => Ok(OwnedFd::from_raw_fd(fd)),
            _ => Err(TapError::Socket {
                name: "gre".into(),
                operation: "open a raw socket (it needs CAP_NET_RAW)",
                source: io::Error::last_os_error(),
            }),
        }
    }
}

/// Has `program` choose among the sockets that share the port of `socket`: its answer is the number of one, in the order in
/// which they were bound, and where there is none so numbered the kernel's own hash chooses. It sees the UDP payload.
pub(super) fn choose_by(socket: &OwnedFd, program: &[Instruction]) -> io::Result<()> {
    let mut code: Vec<_> =
        program.iter().map(|i| libc::sock_filter { code: i.code, jt: i.jt, jf: i.jf, k: i.k }).collect();
    let len = u16::try_from(code.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let program = libc::sock_fprog { len, filter: code.as_mut_ptr() };
    Ok(sockopt::AttachReusePortCbpf.set(socket, &program)?)
}

#[allow(unsafe_code, reason = "a socket option that nix does not have")]
fn set<T: Copy>(socket: &OwnedFd, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
    let (pointer, len) = (std::ptr::from_ref(value), size_of_val(value) as libc::socklen_t);
    // SAFETY: the value is there in its full length and only read.
    match unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, pointer.cast(), len) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// How many packets the kernel has dropped at `socket` since it was opened, modulo 2³²: the number that SO_RXQ_OVFL puts
/// beside the next packet, which can be asked for also when there is no next packet. `None` before Linux 4.12.
#[allow(unsafe_code, reason = "a socket option that nix does not have")]
pub(super) fn drops(socket: &OwnedFd) -> Option<u32> {
    // SK_MEMINFO_DROPS is the last but none of nine numbers (linux/sock_diag.h); later kernels may have more.
    let mut numbers = [0u32; 16];
    let mut len = size_of_val(&numbers) as libc::socklen_t;
    // SAFETY: `numbers` has room for `len` bytes, and the kernel writes no more than that.
    let status = unsafe {
        let fd = socket.as_fd().as_raw_fd();
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_MEMINFO, numbers.as_mut_ptr().cast(), &raw mut len)
    };
    let at = libc::SK_MEMINFO_DROPS as usize;
    if status == 0 && len as usize > at * size_of::<u32>() { numbers.get(at).copied() } else { None }
}
