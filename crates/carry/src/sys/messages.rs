//! sendmmsg: many packets by one system call, and packets of one length as one message, which the kernel (or the card) cuts
//! again: its way through the kernel is paid once for all of them.
//!
//! Source: udp(7), UDP_SEGMENT.

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd};

/// So many packets are sent by one call: the system call then costs less than a hundredth of what a packet costs.
pub(crate) const MESSAGES: usize = 128;
/// Parts of a packet: headers and what they carry.
const PARTS: usize = 2;
/// Packets of one message at most (UDP_MAX_SEGMENTS of Linux before 6.9), and bytes: one less than would fit into an IP packet
/// with its headers.
const SEGMENTS: usize = 64;
const BYTES: usize = 65_535 - 40 - 8;
/// Not in the libc crate for all targets: linux/udp.h.
const UDP_SEGMENT: libc::c_int = 103;
/// A control message with a number of 16 bits in it: CMSG_SPACE(2), in whole words.
const CONTROL: usize = 3;

/// What the kernel is told of each packet. The pointers in it are set anew by every call.
pub(crate) struct Messages(Box<Boxes>);

struct Boxes {
    vectors: [[libc::iovec; PARTS]; MESSAGES],
    heads: [libc::mmsghdr; MESSAGES],
    controls: [[u64; CONTROL]; MESSAGES],
    /// How many packets a message and those before it have.
    ends: [usize; MESSAGES],
}

// SAFETY: the pointers lead into the same allocation or to bytes that are borrowed during the call that sets and uses them;
// between calls nobody follows them.
#[allow(unsafe_code, reason = "raw pointers that are only used within one call")]
unsafe impl Send for Messages {}

/// A message that is being put together.
#[derive(Clone, Copy, Default)]
struct Group {
    first: usize,
    count: usize,
    /// How long each packet is, but for the last, which may be shorter.
    size: usize,
    total: usize,
    is_closed: bool,
}

impl Group {
    /// Takes the next packet, if it can be of this message.
    const fn takes(&mut self, len: usize, longest: usize) -> bool {
        let fits = self.count > 0
            && !self.is_closed
            && len <= self.size
            && self.size <= longest
            && len > 0
            && self.count < SEGMENTS
            && self.total + len <= BYTES;
        if fits {
            self.count += 1;
            self.total += len;
            self.is_closed = len < self.size;
        }
        fits
    }
}

impl Messages {
    #[allow(unsafe_code, reason = "structures of the kernel's interface, for which zero is valid")]
    pub fn new() -> Self {
        // SAFETY: all are plain numbers and pointers, for which zero is a value.
        Self(Box::new(unsafe { zeroed() }))
    }

    /// Sends packets, each in its parts, [`MESSAGES`] at most; several of one length that are no longer than `longest` as one
    /// message (0: each by itself). How many were taken; an error is that of the first message.
    #[allow(unsafe_code, reason = "the system call")]
    pub fn send<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        packets: impl Iterator<Item = [&'a [u8]; PARTS]>,
        flags: libc::c_int,
        longest: usize,
    ) -> io::Result<usize> {
        let boxes = &mut *self.0;
        let mut count = 0;
        for (parts, vectors) in packets.zip(&mut boxes.vectors) {
            for (part, vector) in parts.iter().zip(vectors.iter_mut()) {
                *vector = libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() };
            }
            count += 1;
        }
        let (mut messages, mut group) = (0, Group::default());
        for index in 0..count {
            let parts = boxes.vectors.get(index).into_iter().flatten();
            let len = parts.map(|part| part.iov_len).sum();
            if !group.takes(len, longest) {
                boxes.close(&mut messages, &group);
                group = Group { first: index, count: 1, size: len, total: len, is_closed: false };
            }
        }
        boxes.close(&mut messages, &group);
        // SAFETY: the first `messages` headers point to vectors and controls of `boxes`, and the vectors to bytes that live
        // for 'a, which the kernel only reads; addresses are null and of length 0.
        let sent =
            unsafe { libc::sendmmsg(socket.as_raw_fd(), boxes.heads.as_mut_ptr(), messages as u32, flags) };
        match usize::try_from(sent) {
            Ok(0) => Ok(0),
            Ok(sent) => Ok(boxes.ends.get(sent - 1).copied().unwrap_or(0)),
            Err(_) => Err(io::Error::last_os_error()),
        }
    }

    /// How many packets the first message of the last call had.
    pub fn first(&self) -> usize {
        self.0.ends.first().copied().unwrap_or(0)
    }
}

impl Boxes {
    /// Makes a message of a group.
    fn close(&mut self, messages: &mut usize, group: &Group) {
        let Self { vectors, heads, controls, ends } = self;
        let (Some(vectors), Some(head), Some(control), Some(end)) = (
            vectors.get_mut(group.first..group.first + group.count),
            heads.get_mut(*messages),
            controls.get_mut(*messages),
            ends.get_mut(*messages),
        ) else {
            return;
        };
        if vectors.is_empty() {
            return;
        }
        head.msg_hdr.msg_iov = vectors.as_mut_ptr().cast();
        head.msg_hdr.msg_iovlen = group.count * PARTS;
        (head.msg_hdr.msg_control, head.msg_hdr.msg_controllen) = if group.count > 1 {
            *control = segment(group.size as u16);
            (control.as_mut_ptr().cast(), size_of::<[u64; CONTROL]>())
        } else {
            (std::ptr::null_mut(), 0)
        };
        *end = group.first + group.count;
        *messages += 1;
    }
}

/// A `struct cmsghdr` with the length of segments: its length, level and type, and a number of 16 bits.
fn segment(size: u16) -> [u64; CONTROL] {
    let mut bytes = [0; size_of::<[u64; CONTROL]>()];
    let header = size_of::<libc::cmsghdr>();
    let mut put = |at: usize, from: &[u8]| {
        bytes.iter_mut().skip(at).zip(from).for_each(|(to, from)| *to = *from);
    };
    put(0, &(header + size_of::<u16>()).to_ne_bytes());
    put(size_of::<usize>(), &libc::SOL_UDP.to_ne_bytes());
    put(size_of::<usize>() + size_of::<libc::c_int>(), &UDP_SEGMENT.to_ne_bytes());
    put(header, &size.to_ne_bytes());
    let mut words = [0; CONTROL];
    for (word, from) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_ne_bytes(*from);
    }
    words
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn packets_of_one_length_are_one_message_and_arrive_as_they_were() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        let lengths = [100, 100, 100, 40, 100, 60, 60, 2000, 2000, 50];
        let packets: Vec<_> = (0u8..).zip(lengths).map(|(n, len)| vec![n; len]).collect();
        let mut messages = Messages::new();
        let parts = packets.iter().map(|packet| [&packet[..7], &packet[7..]]);
        let taken = messages.send(sender.as_fd(), parts, 0, 1_000).unwrap();
        assert_eq!((taken, messages.first()), (10, 4), "a shorter one ends a message");
        assert_eq!(messages.0.ends[..6], [4, 6, 7, 8, 9, 10], "what is too long goes by itself");
        let mut buffer = [0; 4096];
        for packet in packets {
            let len = receiver.recv(&mut buffer).unwrap();
            assert_eq!(buffer[..len], packet);
        }
    }

    #[test]
    fn a_message_is_no_longer_than_an_ip_packet_and_has_no_more_parts_than_the_kernel_takes() {
        let mut group = Group { first: 0, count: 1, size: 1_000, total: 1_000, is_closed: false };
        while group.takes(1_000, 1_400) {}
        assert_eq!(group.count, SEGMENTS);
        let mut group = Group { first: 0, count: 1, size: 9_000, total: 9_000, is_closed: false };
        while group.takes(9_000, 9_000) {}
        assert_eq!((group.count, group.total), (7, 63_000));
    }
}
