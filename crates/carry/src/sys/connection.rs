//! TCP connections that are made without waiting.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrStorage, sockopt};

/// A peer that acknowledges nothing for this long (milliseconds) is gone.
const SILENCE: u32 = 15_000;

/// Begins to connect with `peer`.
pub(crate) fn dial(peer: SocketAddr) -> io::Result<TcpStream> {
    let family = if peer.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket::socket(family, SockType::Stream, flags, None)?;
    socket::setsockopt(&socket, sockopt::TcpUserTimeout, &SILENCE)?;
    match socket::connect(socket.as_raw_fd(), &SockaddrStorage::from(peer)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(TcpStream::from(socket)),
        Err(error) => Err(error.into()),
    }
}

/// Whether the connection is there by now.
///
/// # Errors
/// It could not be made.
pub(crate) fn state(socket: &TcpStream) -> io::Result<bool> {
    let mut wait = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
    if poll(&mut wait, PollTimeout::ZERO)? == 0 {
        return Ok(false);
    }
    socket.take_error()?.map_or(Ok(true), Err)
}
