//! A packet socket that only sends.

use std::ffi::CString;
use std::io;
use std::mem::{size_of, size_of_val, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use super::datagram;
use crate::CarryError;

/// Hardware types whose frames have an Ethernet header (linux/if_arp.h).
const ARPHRD_ETHER: u16 = 1;
const ARPHRD_LOOPBACK: u16 = 772;

/// A socket bound to one interface. Protocol 0: the kernel never hands it a frame. The descriptor is held apart.
pub(crate) struct PacketSocket {
    name: String,
}

impl PacketSocket {
    /// Opens the socket. `bypass`: frames go to the driver past the queueing discipline.
    pub fn open(name: &str, bypass: bool, patience: Duration) -> Result<(Self, OwnedFd), CarryError> {
        let failed =
            |operation| move |source: io::Error| CarryError::System { name: name.into(), operation, source };
        let socket = open().map_err(failed("open a packet socket (it needs CAP_NET_RAW)"))?;
        let index =
            nix::net::if_::if_nametoindex(name).map_err(|e| failed("find the interface")(e.into()))?;
        let this = Self { name: name.into() };
        let kind = this.request(&socket, libc::SIOCGIFHWADDR).map_err(failed("ask for its hardware type"))?;
        let kind = kind.kind();
        if !matches!(kind, ARPHRD_ETHER | ARPHRD_LOOPBACK) {
            return Err(CarryError::NotEthernet { name: name.into(), kind });
        }
        if bypass {
            set(&socket, libc::PACKET_QDISC_BYPASS, &1i32)
                .map_err(failed("go past the queueing discipline"))?;
        }
        datagram::patience(&socket, patience).map_err(failed("set the patience of"))?;
        bind(&socket, index).map_err(failed("bind a packet socket"))?;
        Ok((this, socket))
    }

    /// The longest packet that the interface takes, without its Ethernet header.
    pub fn mtu(&self, socket: &OwnedFd) -> Result<usize, CarryError> {
        let mtu = self.request(socket, libc::SIOCGIFMTU).map(|r| r.mtu());
        mtu.map_err(|source| CarryError::System {
            name: self.name.clone(),
            operation: "ask for its MTU",
            source,
        })
    }

    #[allow(unsafe_code, reason = "a system call that nix does not have")]
    fn request(&self, socket: &OwnedFd, what: libc::Ioctl) -> io::Result<Answer> {
        let name = CString::new(self.name.as_str())?;
        // SAFETY: a request is plain numbers, for which zero is a value; the kernel writes no more than one.
        unsafe {
            let mut request: libc::ifreq = zeroed();
            let bytes = name.as_bytes();
            if bytes.len() >= request.ifr_name.len() {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            for (to, from) in request.ifr_name.iter_mut().zip(bytes) {
                *to = *from as libc::c_char;
            }
            match libc::ioctl(socket.as_raw_fd(), what, &raw mut request) {
                0 => Ok(Answer(request)),
                _ => Err(io::Error::last_os_error()),
            }
        }
    }
}

#[allow(unsafe_code, reason = "a system call")]
fn bind(socket: &OwnedFd, index: u32) -> io::Result<()> {
    // SAFETY: all fields are plain numbers, for which zero is a value; the kernel reads the address in its full length.
    let status = unsafe {
        let mut address: libc::sockaddr_ll = zeroed();
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_ifindex = index as i32;
        let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        libc::bind(socket.as_raw_fd(), std::ptr::from_ref(&address).cast(), len)
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[allow(unsafe_code, reason = "a socket option that nix does not have")]
fn set(socket: &OwnedFd, option: libc::c_int, value: &i32) -> io::Result<()> {
    let (pointer, len) = (std::ptr::from_ref(value), size_of_val(value) as libc::socklen_t);
    // SAFETY: the value is there in its full length and only read.
    let fd = socket.as_raw_fd();
    match unsafe { libc::setsockopt(fd, libc::SOL_PACKET, option, pointer.cast(), len) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What the kernel answered about an interface.
struct Answer(libc::ifreq);

#[allow(unsafe_code, reason = "the kernel's union; the request tells which of it is valid")]
impl Answer {
    fn mtu(&self) -> usize {
        // SAFETY: every member of the union is plain numbers.
        usize::try_from(unsafe { self.0.ifr_ifru.ifru_mtu }).unwrap_or(0)
    }

    fn kind(&self) -> u16 {
        // SAFETY: the same.
        unsafe { self.0.ifr_ifru.ifru_hwaddr.sa_family }
    }
}

#[allow(unsafe_code, reason = "a system call: nix insists on a protocol, and this socket has none")]
fn open() -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the answer is a new descriptor that nobody else has, or negative.
    unsafe {
        match libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) {
            fd if fd >= 0 => Ok(OwnedFd::from_raw_fd(fd)),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// How long something may still take.
pub(crate) struct Patience(Instant);

impl Patience {
    pub fn new(patience: Duration) -> Self {
        Self(now() + patience)
    }

    /// Waits a little; `false` where the time is over.
    pub fn wait(&self) -> bool {
        /// A queue of a thousand frames at 10 Gbit/s is empty after a millisecond; this is a fraction of it.
        const STEP: Duration = Duration::from_micros(50);
        if now() >= self.0 {
            return false;
        }
        std::thread::sleep(STEP);
        true
    }
}

#[allow(clippy::disallowed_methods, reason = "waiting goes by a clock that never steps")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
