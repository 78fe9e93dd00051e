//! sendmmsg: many packets by one system call.

use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, BorrowedFd};

/// So many packets are sent by one call: the system call then costs less than a hundredth of what a packet costs.
pub(crate) const MESSAGES: usize = 128;
/// Parts of a packet: headers and what they carry.
const PARTS: usize = 2;

/// What the kernel is told of each packet. The pointers in it are set anew by every call.
pub(crate) struct Messages(Box<Boxes>);

struct Boxes {
    vectors: [[libc::iovec; PARTS]; MESSAGES],
    heads: [libc::mmsghdr; MESSAGES],
}

// SAFETY: the pointers lead into the same allocation or to bytes that are borrowed during the call that sets and uses them;
// between calls nobody follows them.
#[allow(unsafe_code, reason = "raw pointers that are only used within one call")]
unsafe impl Send for Messages {}

impl Messages {
    #[allow(unsafe_code, reason = "structures of the kernel's interface, for which zero is valid")]
    pub fn new() -> Self {
        // SAFETY: all are plain numbers and pointers, for which zero is a value.
        Self(Box::new(unsafe { zeroed() }))
    }

    /// Sends packets, each in its parts, [`MESSAGES`] at most. How many were taken; an error is that of the first.
    #[allow(unsafe_code, reason = "the system call")]
    pub fn send<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        packets: impl Iterator<Item = [&'a [u8]; PARTS]>,
        flags: libc::c_int,
    ) -> io::Result<usize> {
        let boxes = &mut *self.0;
        let mut count = 0;
        for ((parts, vectors), head) in packets.zip(&mut boxes.vectors).zip(&mut boxes.heads) {
            for (part, vector) in parts.iter().zip(vectors.iter_mut()) {
                *vector = libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() };
            }
            head.msg_hdr.msg_iov = vectors.as_mut_ptr();
            head.msg_hdr.msg_iovlen = PARTS;
            count += 1;
        }
        // SAFETY: the first `count` headers point to vectors of `boxes`, and those to bytes that live for 'a, which the kernel
        // only reads; addresses and control messages are null and of length 0.
        let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), boxes.heads.as_mut_ptr(), count, flags) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
    }
}
