//! The system calls of an AF_XDP socket, and of what has to be known and set of its interface, made safe.
//!
//! Source: Documentation/networking/af_xdp.rst, linux/if_xdp.h, linux/ethtool.h.

use std::ffi::{c_int, c_void};
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use libc::{xdp_mmap_offsets, xdp_options, xdp_statistics, xdp_umem_reg};

use super::memory::{CHUNK, Chunks};

/// A socket that is not bound yet, or one that is.
#[derive(Debug)]
pub(super) struct Socket(OwnedFd);

impl Socket {
    #[allow(unsafe_code, reason = "socket")]
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers.
        let fd = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        // SAFETY: a new descriptor that nobody else has.
        check(fd).map(|fd| Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Gives the kernel the chunks, and makes rings of `entries`.
    pub fn register(&self, chunks: &Chunks, entries: u32) -> io::Result<()> {
        let (addr, len) = chunks.place();
        let register =
            xdp_umem_reg { addr, len, chunk_size: CHUNK as u32, headroom: 0, flags: 0, tx_metadata_len: 0 };
        self.set(libc::XDP_UMEM_REG, &register)?;
        self.set(libc::XDP_UMEM_FILL_RING, &entries)?;
        // Wanted by the kernel, though nothing is sent.
        self.set(libc::XDP_UMEM_COMPLETION_RING, &64u32)?;
        self.set(libc::XDP_RX_RING, &entries)
    }

    /// Where the parts of the rings are.
    #[allow(unsafe_code, reason = "a structure of the kernel's interface")]
    pub fn offsets(&self) -> io::Result<xdp_mmap_offsets> {
        // SAFETY: plain numbers, for which zero is a value.
        self.get(libc::XDP_MMAP_OFFSETS, unsafe { zeroed() })
    }

    /// Binds to a queue. The kernel takes zero-copy where the driver can. Kernels before 6.6 know no frames in several chunks.
    #[allow(unsafe_code, reason = "bind")]
    pub fn bind(&self, interface: u32, queue: u32) -> io::Result<()> {
        let mut last = io::Error::from_raw_os_error(libc::EINVAL);
        for flags in [libc::XDP_USE_NEED_WAKEUP | libc::XDP_USE_SG, libc::XDP_USE_NEED_WAKEUP, 0] {
            let address = libc::sockaddr_xdp {
                sxdp_family: libc::AF_XDP as u16,
                sxdp_flags: flags,
                sxdp_ifindex: interface,
                sxdp_queue_id: queue,
                sxdp_shared_umem_fd: 0,
            };
            let pointer: *const libc::sockaddr_xdp = &raw const address;
            let len = size_of::<libc::sockaddr_xdp>() as libc::socklen_t;
            // SAFETY: a whole address, which the kernel only reads.
            match check(unsafe { libc::bind(self.0.as_raw_fd(), pointer.cast(), len) }) {
                Ok(_) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Whether frames are written to the chunks by the interface itself.
    pub fn is_zero_copy(&self) -> bool {
        let options = self.get(libc::XDP_OPTIONS, xdp_options { flags: 0 });
        options.is_ok_and(|options| options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0)
    }

    /// What was lost so far.
    #[allow(unsafe_code, reason = "a structure of the kernel's interface")]
    pub fn statistics(&self) -> io::Result<xdp_statistics> {
        // SAFETY: plain numbers, for which zero is a value.
        self.get(libc::XDP_STATISTICS, unsafe { zeroed() })
    }

    /// Tells the kernel that there are chunks.
    #[allow(unsafe_code, reason = "recvfrom")]
    pub fn wake(&self) {
        // SAFETY: no buffer; the call has no effect but that on the driver. Nothing has to be done where it fails: it is made
        // again with the next batch.
        let _ = unsafe {
            let none = std::ptr::null_mut::<c_void>();
            libc::recvfrom(self.0.as_raw_fd(), none, 0, libc::MSG_DONTWAIT, none.cast(), none.cast())
        };
    }

    /// Waits until something has been received, `timeout` at most. Answers whether there is an error to take.
    #[allow(unsafe_code, reason = "poll")]
    pub fn wait(&self, timeout: Duration) -> io::Result<bool> {
        let mut poll = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let timeout = timeout.as_micros().div_ceil(1000).min(i32::MAX as u128) as c_int;
        // SAFETY: one entry.
        match check(unsafe { libc::poll(&raw mut poll, 1, timeout) }) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            Err(_) => Ok(false),
            Ok(_) => Ok(poll.revents & (libc::POLLERR | libc::POLLHUP) != 0),
        }
    }

    /// The error that waits, if any.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        let code: c_int = self.get_at(libc::SOL_SOCKET, libc::SO_ERROR, 0)?;
        Ok((code != 0).then(|| io::Error::from_raw_os_error(code)))
    }

    #[allow(unsafe_code, reason = "setsockopt")]
    fn set<T>(&self, name: c_int, value: &T) -> io::Result<()> {
        let value: *const T = value;
        let len = size_of::<T>() as libc::socklen_t;
        // SAFETY: the pointer is to `len` bytes, which the kernel only reads.
        let status = unsafe { libc::setsockopt(self.0.as_raw_fd(), libc::SOL_XDP, name, value.cast(), len) };
        check(status).map(drop)
    }

    fn get<T>(&self, name: c_int, zero: T) -> io::Result<T> {
        self.get_at(libc::SOL_XDP, name, zero)
    }

    #[allow(unsafe_code, reason = "getsockopt")]
    fn get_at<T>(&self, level: c_int, name: c_int, mut value: T) -> io::Result<T> {
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

const SIOCETHTOOL: u64 = 0x8946;
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETHTOOL_SFLAGS: u32 = 0x26;
const ETHTOOL_GCHANNELS: u32 = 0x3c;
/// The interface takes VLAN tags off (ETH_FLAG_RXVLAN).
const RXVLAN: u32 = 1 << 8;

/// `struct ifreq` with a pointer.
#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    data: *mut u32,
    rest: [u8; 16],
}

/// Asks the driver of `interface`; the first word is the command.
#[allow(unsafe_code, reason = "ioctl")]
fn ethtool<const N: usize>(interface: &str, words: &mut [u32; N]) -> io::Result<()> {
    if interface.len() >= libc::IFNAMSIZ {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    let mut name = [0; libc::IFNAMSIZ];
    name.iter_mut().zip(interface.bytes()).for_each(|(to, byte)| *to = byte);
    let mut request = Request { name, data: words.as_mut_ptr(), rest: [0; 16] };
    // SAFETY: no pointers.
    let socket = check(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: a new descriptor that nobody else has.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: a request of at least the size of `struct ifreq`, whose pointer leads to all words of the structure that the command
    // reads and writes.
    let status = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) };
    check(status).map(drop)
}

/// How many queues `interface` receives with; one, where its driver does not say.
pub(super) fn queues(interface: &str) -> u32 {
    // struct ethtool_channels: command, four bounds, and how many receive, send, do something else, do both.
    let mut channels = [ETHTOOL_GCHANNELS, 0, 0, 0, 0, 0, 0, 0, 0];
    let [_, _, _, _, _, receive, _, _, both] = match ethtool(interface, &mut channels) {
        Ok(()) => channels,
        Err(_) => return 1,
    };
    receive.saturating_add(both).max(1)
}

/// Makes `interface` leave VLAN tags in frames, as XDP sees only what is in them. Answers whether it did not before.
pub(super) fn keep_tags(interface: &str) -> bool {
    let mut flags = [ETHTOOL_GFLAGS, 0];
    let [_, before] = match ethtool(interface, &mut flags) {
        Ok(()) => flags,
        Err(_) => return false,
    };
    before & RXVLAN != 0 && ethtool(interface, &mut [ETHTOOL_SFLAGS, before & !RXVLAN]).is_ok()
}

/// Makes `interface` take them off again.
pub(super) fn take_tags_off(interface: &str) {
    let mut flags = [ETHTOOL_GFLAGS, 0];
    if ethtool(interface, &mut flags).is_ok() {
        let [_, now] = flags;
        // An interface that is gone needs no setting.
        let _ = ethtool(interface, &mut [ETHTOOL_SFLAGS, now | RXVLAN]);
    }
}

fn check(status: c_int) -> io::Result<c_int> {
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(status) }
}
