//! How senders come to be connected: a listener that accepts them, or a dialler that tries again with back-off.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrStorage, sockopt};

use super::Endpoint;
use crate::TapError;

/// What epoll calls the door.
pub(super) const DOOR: u64 = u64::MAX;

/// A listener that got no descriptor for a sender (EMFILE) rests this long instead of being asked again at once.
const REST: Duration = Duration::from_secs(1);
/// The wait before the first new attempt to dial; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest wait between two attempts.
const LAST_WAIT: Duration = Duration::from_secs(30);
/// An attempt that takes longer has failed; the kernel's own limit is two minutes.
const CONNECT: Duration = Duration::from_secs(10);

/// Where connections come from.
pub(super) enum Door {
    Listener { listener: TcpListener, resting: Option<Instant> },
    Dialler { place: String, tries: usize, wait: Duration, line: Line },
}

/// What the dialler does.
pub(super) enum Line {
    /// Dials at this time.
    Waiting(Instant),
    /// Has begun to, at this time.
    Dialling(OwnedFd, SocketAddr, Instant),
    /// Is connected.
    Up,
}

impl Door {
    pub fn open(endpoint: &Endpoint, epoll: &Epoll, now: Instant) -> Result<Self, TapError> {
        let failed = |operation| {
            let name = endpoint.to_string();
            move |source: io::Error| TapError::Socket { name, operation, source }
        };
        match endpoint {
            Endpoint::Listen(place) => {
                let listener = TcpListener::bind(place.as_str()).map_err(failed("listen"))?;
                listener.set_nonblocking(true).map_err(failed("listen"))?;
                let event = EpollEvent::new(EpollFlags::EPOLLIN, DOOR);
                epoll.add(&listener, event).map_err(|e| failed("wait for senders")(e.into()))?;
                Ok(Self::Listener { listener, resting: None })
            }
            Endpoint::Dial(place) => {
                // A name that does not exist now may do so later; one that can never be is refused at once.
                if let Err(error) = place.to_socket_addrs()
                    && error.kind() == io::ErrorKind::InvalidInput
                {
                    return Err(failed("dial")(error));
                }
                let line = Line::Waiting(now);
                Ok(Self::Dialler { place: place.clone(), tries: 0, wait: FIRST_WAIT, line })
            }
        }
    }

    /// The address that is listened at, with the port that the kernel chose for 0.
    pub fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Listener { listener, .. } => listener.local_addr().ok(),
            Self::Dialler { .. } => None,
        }
    }

    /// A connection, where one has come about; `None`: none for now. An error is one attempt that failed.
    pub fn connection(&mut self, epoll: &Epoll, now: Instant) -> io::Result<Option<(TcpStream, SocketAddr)>> {
        match self {
            Self::Listener { listener, resting } => match listener.accept() {
                Ok(connection) => Ok(Some(connection)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
                Err(e) if matches!(e.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM)) => {
                    epoll.delete(&*listener)?;
                    *resting = Some(now + REST);
                    Err(e)
                }
                // The connection that was to be accepted is gone already (accept(2)).
                Err(_) => Ok(None),
            },
            Self::Dialler { line, .. } => {
                let Line::Dialling(..) = line else { return Ok(None) };
                let Line::Dialling(socket, peer, _) = std::mem::replace(line, Line::Up) else {
                    return Ok(None);
                };
                epoll.delete(&socket)?;
                match socket::getsockopt(&socket, sockopt::SocketError)? {
                    0 => Ok(Some((TcpStream::from(socket), peer))),
                    error => Err(io::Error::from_raw_os_error(error)),
                }
            }
        }
    }

    /// The connection of a dialler is lost or could not be made: it waits and tries again. `brought` frames: then the wait
    /// is the shortest one.
    pub fn lost(&mut self, brought: bool, now: Instant) {
        if let Self::Dialler { wait, line, .. } = self {
            if brought {
                *wait = FIRST_WAIT;
            }
            *line = Line::Waiting(now + *wait);
            *wait = (*wait * 2).min(LAST_WAIT);
        }
    }

    /// Does what is due by time. An error is an attempt to dial that failed.
    pub fn tick(&mut self, epoll: &Epoll, now: Instant) -> io::Result<()> {
        match self {
            Self::Listener { listener, resting } => {
                if resting.is_some_and(|until| now >= until) {
                    *resting = None;
                    epoll.add(&*listener, EpollEvent::new(EpollFlags::EPOLLIN, DOOR))?;
                }
                Ok(())
            }
            Self::Dialler { place, tries, line, .. } => match line {
                Line::Waiting(until) if now >= *until => {
                    *tries = tries.wrapping_add(1);
                    let (socket, peer) = dial(place, *tries)?;
                    epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLOUT, DOOR))?;
                    *line = Line::Dialling(socket, peer, now);
                    Ok(())
                }
                Line::Dialling(_, _, since) if now.duration_since(*since) > CONNECT => {
                    Err(io::ErrorKind::TimedOut.into())
                }
                Line::Waiting(_) | Line::Dialling(..) | Line::Up => Ok(()),
            },
        }
    }
}

/// Begins to connect to one of the addresses that `place` has, another one each time.
fn dial(place: &str, tries: usize) -> io::Result<(OwnedFd, SocketAddr)> {
    let addresses: Vec<_> = place.to_socket_addrs()?.collect();
    let peer = *addresses.get(tries % addresses.len().max(1)).ok_or(io::ErrorKind::NotFound)?;
    let family = if peer.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket::socket(family, SockType::Stream, flags, None)?;
    match socket::connect(socket.as_fd().as_raw_fd(), &SockaddrStorage::from(peer)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok((socket, peer)),
        Err(error) => Err(error.into()),
    }
}
