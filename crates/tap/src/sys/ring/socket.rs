//! The packet socket of a ring: each system call that it needs, made safe.
//!
//! Source: packet(7), Documentation/networking/packet_mmap.rst.

use std::ffi::{CStr, CString, c_int, c_void};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use weir_wire::bpf::Instruction;

use super::abi::{
    Membership, PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC, PACKET_STATISTICS, Program, Statistics,
};

/// A packet socket that takes whole frames, link-layer header first.
#[derive(Debug)]
pub(super) struct Socket(OwnedFd);

impl Socket {
    /// A socket that receives nothing until it is bound.
    #[allow(unsafe_code, reason = "socket")]
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        // SAFETY: a new descriptor that nobody else has.
        check(fd).map(|fd| Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Sets an option whose value is `value`, a plain structure of the kernel's.
    #[allow(unsafe_code, reason = "setsockopt")]
    pub fn set<T: Copy>(&self, level: c_int, name: c_int, value: &T) -> io::Result<()> {
        let value: *const T = value;
        // SAFETY: the pointer is to `size_of::<T>()` bytes, which the kernel only reads.
        let status = unsafe {
            libc::setsockopt(self.0.as_raw_fd(), level, name, value.cast(), size_of::<T>() as libc::socklen_t)
        };
        check(status).map(drop)
    }

    /// Sets an option of packet sockets.
    pub fn set_packet<T: Copy>(&self, name: c_int, value: &T) -> io::Result<()> {
        self.set(libc::SOL_PACKET, name, value)
    }

    /// Sets an option whose value is a classic BPF program.
    pub fn set_program(&self, level: c_int, name: c_int, program: &[Instruction]) -> io::Result<()> {
        // The kernel refuses more than 4096, which fit.
        let len = u16::try_from(program.len()).unwrap_or(u16::MAX);
        self.set(level, name, &Program { len, instructions: program.as_ptr() })
    }

    /// Receives all protocols from the interface `index`, or from all where it is 0.
    #[allow(unsafe_code, reason = "bind")]
    pub fn bind(&self, index: u32) -> io::Result<()> {
        let mut address = empty_address();
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = index as c_int;
        let pointer: *const libc::sockaddr_ll = &raw const address;
        // SAFETY: a whole address, which the kernel only reads.
        let status = unsafe {
            libc::bind(self.0.as_raw_fd(), pointer.cast(), size_of::<libc::sockaddr_ll>() as libc::socklen_t)
        };
        check(status).map(drop)
    }

    /// Whether the interface it was bound to is gone.
    #[allow(unsafe_code, reason = "getsockname")]
    pub fn is_orphan(&self) -> bool {
        let mut address = empty_address();
        let mut len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        let pointer: *mut libc::sockaddr_ll = &raw mut address;
        // SAFETY: room for a whole address, as `len` says.
        let status = unsafe { libc::getsockname(self.0.as_raw_fd(), pointer.cast(), &raw mut len) };
        status == 0 && address.sll_ifindex < 0
    }

    /// Asks for frames that are for other hosts, as long as the socket lives.
    pub fn promiscuous(&self, index: u32) -> io::Result<()> {
        let membership =
            Membership { index: index as c_int, kind: PACKET_MR_PROMISC, address_len: 0, address: [0; 8] };
        self.set_packet(PACKET_ADD_MEMBERSHIP, &membership)
    }

    /// What was counted since this was last asked.
    pub fn statistics(&self) -> io::Result<Statistics> {
        self.get(libc::SOL_PACKET, PACKET_STATISTICS)
    }

    /// The error that waits, if any.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        let code: c_int = self.get(libc::SOL_SOCKET, libc::SO_ERROR)?;
        Ok((code != 0).then(|| io::Error::from_raw_os_error(code)))
    }

    #[allow(unsafe_code, reason = "getsockopt")]
    fn get<T: Copy + Default>(&self, level: c_int, name: c_int) -> io::Result<T> {
        let mut value = T::default();
        let mut len = size_of::<T>() as libc::socklen_t;
        let pointer: *mut T = &raw mut value;
        // SAFETY: room for `len` bytes; the types used are plain numbers, of which every pattern is valid.
        let status = unsafe {
            libc::getsockopt(self.0.as_raw_fd(), level, name, pointer.cast::<c_void>(), &raw mut len)
        };
        check(status).map(|_| value)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Makes an interface hand over frames that are for other hosts, as long as this lives.
#[derive(Debug)]
pub(in crate::sys) struct Promiscuous(#[allow(dead_code, reason = "holds the membership")] Socket);

impl Promiscuous {
    /// Of the interface with this index.
    pub fn new(index: u32) -> io::Result<Self> {
        let socket = Socket::new()?;
        socket.promiscuous(index)?;
        Ok(Self(socket))
    }
}

/// Waits for sockets, and is told of each block once, not as long as it is ours.
#[derive(Debug)]
pub(super) struct Waiter(OwnedFd);

impl Waiter {
    /// For no socket yet.
    #[allow(unsafe_code, reason = "epoll_create1")]
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        // SAFETY: a new descriptor that nobody else has.
        check(fd).map(|fd| Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Waits for `socket` too, until it is closed.
    #[allow(unsafe_code, reason = "epoll_ctl")]
    pub fn add(&self, socket: &Socket) -> io::Result<()> {
        let mut event =
            libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLERR | libc::EPOLLET) as u32, u64: 0 };
        // SAFETY: an event that the kernel only reads.
        let status = unsafe {
            libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, socket.0.as_raw_fd(), &raw mut event)
        };
        check(status).map(drop)
    }

    /// No longer waits for `socket`, which a mapping may keep open.
    #[allow(unsafe_code, reason = "epoll_ctl")]
    pub fn remove(&self, socket: &Socket) {
        // SAFETY: the event is not used for this operation. Fails only where the socket is not there.
        let _ = unsafe {
            libc::epoll_ctl(
                self.0.as_raw_fd(),
                libc::EPOLL_CTL_DEL,
                socket.0.as_raw_fd(),
                std::ptr::null_mut(),
            )
        };
    }

    /// Waits at most `milliseconds`. Answers whether there is an error to take.
    #[allow(unsafe_code, reason = "epoll_wait")]
    pub fn wait(&self, milliseconds: c_int) -> io::Result<bool> {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: room for one event.
        let status = unsafe { libc::epoll_wait(self.0.as_raw_fd(), &raw mut event, 1, milliseconds) };
        match check(status) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            Err(_) => Ok(false),
            Ok(n) => Ok(n > 0 && event.events & libc::EPOLLERR as u32 != 0),
        }
    }
}

impl AsFd for Waiter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The index of an interface.
#[allow(unsafe_code, reason = "if_nametoindex")]
pub(in crate::sys) fn index_of(interface: &str) -> io::Result<u32> {
    let name = CString::new(interface).map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))?;
    // SAFETY: a string that ends in NUL.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// The names of all interfaces of this network namespace, in the order of their numbers; none if the system does not tell.
#[allow(unsafe_code, reason = "if_nameindex")]
pub fn interfaces() -> Vec<String> {
    // SAFETY: answers an array that ends with index 0, to be freed below.
    let list = unsafe { libc::if_nameindex() };
    let mut names = Vec::new();
    let mut at = list;
    // SAFETY: before its end every entry has a name that ends in NUL; the list is freed once.
    unsafe {
        while !at.is_null() && (*at).if_index != 0 {
            names.push(CStr::from_ptr((*at).if_name).to_string_lossy().into_owned());
            at = at.add(1);
        }
        if !list.is_null() {
            libc::if_freenameindex(list);
        }
    }
    names
}

fn empty_address() -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        sll_family: 0,
        sll_protocol: 0,
        sll_ifindex: 0,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    }
}

fn check(status: c_int) -> io::Result<c_int> {
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(status) }
}
