//! Sockets that send packets to one peer: UDP, and raw IP.
//!
//! They take nothing in: what a peer or anybody else sends to them ends in a filter.

use std::io;
use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{SockaddrStorage, connect, setsockopt, sockopt};
use nix::sys::time::TimeVal;

/// Bytes that may wait in a socket: some hundred packets.
const SEND_BUFFER: usize = 4 << 20;

/// A UDP socket that is connected with `remote`, at a port that the kernel chooses. Its datagrams have a checksum, which RFC 7348
/// (5) and RFC 8926 (3.3) leave to the sender: the kernel cuts segments ([`Messages`](super::Messages)) only where the device
/// makes it.
pub(crate) fn udp(remote: SocketAddr, fragment: bool) -> io::Result<OwnedFd> {
    let any: IpAddr =
        if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.connect(remote)?;
    let socket = OwnedFd::from(socket);
    prepare(&socket, remote, fragment)?;
    Ok(socket)
}

/// A raw socket for `number` over IP that is connected with `remote`; the kernel makes the IP header.
#[allow(unsafe_code, reason = "a system call: nix does not have this protocol")]
pub(crate) fn raw(remote: SocketAddr, number: i32, fragment: bool) -> io::Result<OwnedFd> {
    let family = if remote.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: no pointers; the answer is a new descriptor that nobody else has, or negative.
    let socket = unsafe {
        match libc::socket(family, libc::SOCK_RAW | libc::SOCK_CLOEXEC, number) {
            fd if fd >= 0 => OwnedFd::from_raw_fd(fd),
            _ => return Err(io::Error::last_os_error()),
        }
    };
    // A raw socket of IPv6 takes no port but 0 (raw(7)).
    let remote = SocketAddr::new(remote.ip(), 0);
    connect(socket.as_raw_fd(), &SockaddrStorage::from(remote))?;
    prepare(&socket, remote, fragment)?;
    Ok(socket)
}

/// How long one call waits where the buffer is full; zero: not at all, by a flag of the call.
pub(crate) fn patience(socket: &OwnedFd, patience: Duration) -> io::Result<()> {
    if patience.is_zero() {
        return Ok(());
    }
    let time = TimeVal::new(patience.as_secs() as i64, i64::from(patience.subsec_micros()).max(1));
    setsockopt(socket, sockopt::SendTimeout, &time).map_err(io::Error::from)
}

/// How long an IP packet to the peer may be, as far as the kernel knows.
#[allow(unsafe_code, reason = "a socket option that nix does not have")]
pub(crate) fn path_mtu(socket: &OwnedFd, remote: SocketAddr) -> io::Result<usize> {
    let (level, name) = if remote.is_ipv4() {
        (libc::IPPROTO_IP, libc::IP_MTU)
    } else {
        (libc::IPPROTO_IPV6, libc::IPV6_MTU)
    };
    let (mut value, mut len) = (0i32, size_of::<i32>() as libc::socklen_t);
    let pointer: *mut i32 = &raw mut value;
    // SAFETY: room for a number, as `len` says.
    match unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, pointer.cast(), &raw mut len) } {
        0 => Ok(usize::try_from(value).unwrap_or(0)),
        _ => Err(io::Error::last_os_error()),
    }
}

fn prepare(socket: &OwnedFd, remote: SocketAddr, fragment: bool) -> io::Result<()> {
    let (level, name, never, always) = if remote.is_ipv4() {
        (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DONT, libc::IP_PMTUDISC_DO)
    } else {
        (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DONT, libc::IPV6_PMTUDISC_DO)
    };
    set(socket, level, name, if fragment { never } else { always })?;
    // More than the system allows needs a privilege; without it, it is what the system allows.
    if setsockopt(socket, sockopt::SndBufForce, &SEND_BUFFER).is_err() {
        setsockopt(socket, sockopt::SndBuf, &SEND_BUFFER)?;
    }
    deaf(socket)
}

/// A filter that lets nothing in.
#[allow(unsafe_code, reason = "a socket option that nix does not have")]
fn deaf(socket: &OwnedFd) -> io::Result<()> {
    let mut nothing = libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: 0 };
    let program = libc::sock_fprog { len: 1, filter: &raw mut nothing };
    let (pointer, len) = (&raw const program, size_of::<libc::sock_fprog>() as libc::socklen_t);
    let (fd, level, name) = (socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER);
    // SAFETY: a program of one instruction, which the kernel copies.
    match unsafe { libc::setsockopt(fd, level, name, pointer.cast(), len) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[allow(unsafe_code, reason = "socket options that nix does not have")]
fn set(socket: &OwnedFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    let (pointer, len) = (&raw const value, size_of::<i32>() as libc::socklen_t);
    // SAFETY: the value is there in its full length and only read.
    match unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, pointer.cast(), len) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
