//! recvmmsg: many datagrams by one system call, with who sent them, to which address, and when.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};

use weir_wire::Time;

use super::socket::UDP_GRO;

/// So many messages are received at once: enough that the system call costs little by the datagram, and few enough that
/// their first bytes stay in a core's second cache until decap looks at them.
pub(super) const MESSAGES: usize = 64;

/// Room for the control messages of one message: a time (32 bytes), an IPv6 address (40) and a length (24), with some to spare.
const CONTROL: usize = 128;

#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// What the kernel fills in for each datagram. The pointers in it are set anew by every call.
pub(super) struct Mailbox(Box<Boxes>);

struct Boxes {
    names: [libc::sockaddr_in6; MESSAGES],
    controls: [Control; MESSAGES],
    vectors: [libc::iovec; MESSAGES],
    heads: [libc::mmsghdr; MESSAGES],
    received: usize,
}

// SAFETY: the pointers lead into the same allocation or into a buffer that is borrowed during the call that sets and
// uses them; between calls nobody follows them, so it does not matter which thread has them.
#[allow(unsafe_code, reason = "raw pointers that are only used within one call")]
unsafe impl Send for Mailbox {}

/// One message, but for its bytes: a datagram, or several of one sender and one length that the kernel hands over as one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Letter {
    /// How long it was; there may be less of it in its place.
    pub len: usize,
    pub from: SocketAddr,
    /// The address that it came to; `None` where the kernel did not say.
    pub to: Option<IpAddr>,
    /// When it came; `None` where the kernel did not say.
    pub time: Option<Time>,
    /// How long each datagram is, but for the last, which may be shorter; `None` where it is one.
    pub segment: Option<usize>,
}

impl Letter {
    /// The datagrams in it: where each begins, and how long it is.
    pub fn datagrams(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let len = self.len;
        let size = self.segment.filter(|size| (1..len).contains(size)).unwrap_or(len).max(1);
        // Also an empty one is one.
        (0..len.max(1)).step_by(size).map(move |at| (at, size.min(len - at)))
    }
}

impl Mailbox {
    #[allow(unsafe_code, reason = "structures of the kernel's interface, for which zero is valid")]
    pub fn new() -> Self {
        // SAFETY: all are plain numbers and pointers, for which zero is a value.
        Self(Box::new(unsafe { zeroed() }))
    }

    /// Receives what waits, up to [`MESSAGES`] messages, each into `slot` bytes of `room`. How many; 0 where none waits.
    #[allow(unsafe_code, reason = "the system call")]
    pub fn receive(&mut self, socket: BorrowedFd<'_>, room: &mut [u8], slot: usize) -> io::Result<usize> {
        let boxes = &mut *self.0;
        let mut count = 0;
        for (i, place) in room.chunks_exact_mut(slot).take(MESSAGES).enumerate() {
            let (Some(name), Some(control), Some(vector), Some(message)) = (
                boxes.names.get_mut(i),
                boxes.controls.get_mut(i),
                boxes.vectors.get_mut(i),
                boxes.heads.get_mut(i),
            ) else {
                break;
            };
            *vector = libc::iovec { iov_base: place.as_mut_ptr().cast(), iov_len: place.len() };
            let header = &mut message.msg_hdr;
            header.msg_name = std::ptr::from_mut(name).cast();
            header.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL;
            count = i + 1;
        }
        boxes.received = 0;
        // MSG_TRUNC: say how long a datagram was, not how much of it there was room for.
        let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
        // SAFETY: the first `count` headers point to names, controls and vectors that `boxes` owns and to slots of `room`,
        // all of the lengths given, none shared with another, and all borrowed for longer than the call.
        let got = unsafe {
            let heads = boxes.heads.as_mut_ptr();
            libc::recvmmsg(socket.as_raw_fd(), heads, count as u32, flags, std::ptr::null_mut())
        };
        if got < 0 {
            let error = io::Error::last_os_error();
            let none = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
            return if none { Ok(0) } else { Err(error) };
        }
        boxes.received = got as usize;
        Ok(boxes.received)
    }

    /// What was received by the last call.
    pub fn letters(&self) -> impl Iterator<Item = Letter> {
        let boxes = &*self.0;
        boxes.heads.iter().zip(&boxes.names).take(boxes.received).map(|(message, name)| {
            let (to, time, segment) = control(&message.msg_hdr);
            Letter { len: message.msg_len as usize, from: address(name), to, time, segment }
        })
    }
}

/// The address in `name`, which the kernel filled in: an IPv6 one, or an IPv4 one in the same place.
#[allow(unsafe_code, reason = "the kernel's union of addresses")]
fn address(name: &libc::sockaddr_in6) -> SocketAddr {
    if i32::from(name.sin6_family) == libc::AF_INET {
        // SAFETY: sockaddr_in is smaller, needs no stricter alignment and has only numbers; its family says that it is one.
        let name = unsafe { &*std::ptr::from_ref(name).cast::<libc::sockaddr_in>() };
        let ip = Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr));
        return SocketAddr::new(ip.into(), u16::from_be(name.sin_port));
    }
    SocketAddr::new(Ipv6Addr::from(name.sin6_addr.s6_addr).into(), u16::from_be(name.sin6_port))
}

/// The address, the time and the length of segments in the control messages of a message.
#[allow(unsafe_code, reason = "a list that the kernel wrote, walked by the macros of libc")]
fn control(header: &libc::msghdr) -> (Option<IpAddr>, Option<Time>, Option<usize>) {
    let (mut to, mut time, mut segment) = (None, None, None);
    // SAFETY: the kernel has filled `msg_controllen` bytes of the control buffer, which is aligned for it and lives as long as
    // the header's box; each message is read only as the type that its level and type say, unaligned to be sure.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            let data = libc::CMSG_DATA(message);
            match ((*message).cmsg_level, (*message).cmsg_type) {
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                    let t = data.cast::<libc::timespec>().read_unaligned();
                    time = Some(Time::from_parts(t.tv_sec, t.tv_nsec));
                }
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                    to = Some(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)).into());
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let info = data.cast::<libc::in6_pktinfo>().read_unaligned();
                    to = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
                }
                (libc::IPPROTO_UDP, UDP_GRO) => {
                    segment = usize::try_from(data.cast::<libc::c_int>().read_unaligned()).ok();
                }
                _ => {}
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    (to, time, segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_parted_into_its_datagrams_and_all_of_its_bytes_are_in_one() {
        let parts = |len, segment| {
            let from = SocketAddr::from(([10, 0, 0, 1], 7));
            let letter = Letter { len, from, to: None, time: None, segment };
            letter.datagrams().collect::<Vec<_>>()
        };
        assert_eq!(parts(250, Some(100)), [(0, 100), (100, 100), (200, 50)]);
        assert_eq!(parts(200, Some(100)), [(0, 100), (100, 100)]);
        for whole in [None, Some(0), Some(100), Some(1_000)] {
            assert_eq!(parts(100, whole), [(0, 100)]);
            assert_eq!(parts(0, whole), [(0, 0)]);
        }
    }
}
