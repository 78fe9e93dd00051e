//! What a network device says of itself: flags, MTU, offloads, rings and queues.
//!
//! Sources: netdevice(7), linux/ethtool.h. What a driver does not tell is none, never an error.
#![allow(unsafe_code, reason = "ioctl")]

use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// linux/sockios.h; the type differs between C libraries.
const SIOCETHTOOL: libc::Ioctl = 0x8946;

/// Commands of linux/ethtool.h.
const GET_RINGS: u32 = 0x10;
const GET_TSO: u32 = 0x1e;
const GET_GSO: u32 = 0x23;
const GET_FLAGS: u32 = 0x25;
const GET_GRO: u32 = 0x2b;
const GET_CHANNELS: u32 = 0x3c;
/// ETH_FLAG_LRO.
const LRO: u32 = 1 << 15;

/// What merges packets before they are seen, or leaves it to the device to part them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Offloads {
    /// Generic receive offload: the kernel merges what it receives, and can part it again.
    pub gro: Option<bool>,
    /// Large receive offload: the device merges, and what the headers were is lost.
    pub lro: Option<bool>,
    /// Generic segmentation offload: what is sent is parted late.
    pub gso: Option<bool>,
    /// TCP segmentation offload: what is sent is parted by the device.
    pub tso: Option<bool>,
}

/// The receive ring of a device, in frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceRing {
    /// As it is.
    pub now: u32,
    /// As large as it can be.
    pub most: u32,
}

/// The queues by which a device receives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Queues {
    /// Those in use.
    pub now: u32,
    /// As many as there can be.
    pub most: u32,
}

/// A network device.
pub struct Device {
    socket: OwnedFd,
    name: [libc::c_char; libc::IFNAMSIZ],
}

#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

impl Device {
    /// The device with this name, in the network namespace of this thread.
    ///
    /// # Errors
    /// There is none, or no socket.
    pub fn open(name: &str) -> io::Result<Self> {
        let mut bytes = [0; libc::IFNAMSIZ];
        if name.len() >= bytes.len() {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        for (to, from) in bytes.iter_mut().zip(name.bytes()) {
            *to = from as libc::c_char;
        }
        // SAFETY: no pointers.
        let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a new descriptor that nobody else has.
        let device = Self { socket: unsafe { OwnedFd::from_raw_fd(socket) }, name: bytes };
        device.flags().map(|_| device)
    }

    /// Its flags (IFF_UP, IFF_PROMISC ...).
    ///
    /// # Errors
    /// The device is gone.
    pub fn flags(&self) -> io::Result<i32> {
        let request = self.request(libc::SIOCGIFFLAGS as libc::Ioctl)?;
        // SAFETY: the kernel has written the flags.
        Ok(i32::from(unsafe { request.ifr_ifru.ifru_flags }))
    }

    /// The longest packet that it sends, without its link-layer header.
    ///
    /// # Errors
    /// The device is gone.
    pub fn mtu(&self) -> io::Result<i32> {
        let request = self.request(libc::SIOCGIFMTU as libc::Ioctl)?;
        // SAFETY: the kernel has written the MTU.
        Ok(unsafe { request.ifr_ifru.ifru_mtu })
    }

    /// Its offloads.
    pub fn offloads(&self) -> Offloads {
        let is_on = |command| self.value(command).map(|value| value != 0);
        Offloads {
            gro: is_on(GET_GRO),
            lro: self.value(GET_FLAGS).map(|flags| flags & LRO != 0),
            gso: is_on(GET_GSO),
            tso: is_on(GET_TSO),
        }
    }

    /// Its receive ring.
    pub fn ring(&self) -> Option<DeviceRing> {
        // struct ethtool_ringparam: the command; rx, rx_mini, rx_jumbo, tx, first the most, then as they are.
        let mut ring = [0u32; 9];
        let [command, ..] = &mut ring;
        *command = GET_RINGS;
        self.ethtool(&mut ring).ok()?;
        let [_, most, _, _, _, now, ..] = ring;
        (most > 0).then_some(DeviceRing { now, most })
    }

    /// Its receive queues.
    pub fn queues(&self) -> Option<Queues> {
        // struct ethtool_channels: the command; rx, tx, other, combined, first the most, then as they are.
        let mut channels = [0u32; 9];
        let [command, ..] = &mut channels;
        *command = GET_CHANNELS;
        self.ethtool(&mut channels).ok()?;
        let [_, most_rx, _, _, most_both, rx, _, _, both] = channels;
        let queues = Queues { now: rx.saturating_add(both), most: most_rx.saturating_add(most_both) };
        (queues.now > 0).then_some(queues)
    }

    fn value(&self, command: u32) -> Option<u32> {
        let mut value = Value { command, data: 0 };
        self.ethtool(&mut value).ok().map(|()| value.data)
    }

    /// `T` has to be the structure of the command that it begins with.
    fn ethtool<T>(&self, structure: &mut T) -> io::Result<()> {
        let mut request = self.empty();
        request.ifr_ifru.ifru_data = std::ptr::from_mut(structure).cast();
        self.ioctl(SIOCETHTOOL, &mut request)
    }

    fn request(&self, what: libc::Ioctl) -> io::Result<libc::ifreq> {
        let mut request = self.empty();
        self.ioctl(what, &mut request).map(|()| request)
    }

    fn empty(&self) -> libc::ifreq {
        // SAFETY: plain numbers and addresses, for which zero is valid.
        let mut request: libc::ifreq = unsafe { zeroed() };
        request.ifr_name = self.name;
        request
    }

    fn ioctl(&self, what: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
        // SAFETY: the request is valid for the call, and so is what it points to, which is as long as its command demands.
        let result = unsafe { libc::ioctl(self.socket.as_raw_fd(), what, std::ptr::from_mut(request)) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_tells_its_mtu_and_offloads_and_has_no_ring() {
        let device = Device::open("lo").unwrap();
        assert!(device.mtu().unwrap() > 1000 && device.flags().unwrap() & libc::IFF_LOOPBACK != 0);
        assert!(device.offloads().gro.is_some());
        assert_eq!(device.ring(), None);
    }

    #[test]
    fn a_device_that_is_not_there_is_an_error() {
        assert!(Device::open("no-such-if0").is_err() && Device::open("a-name-that-is-too-long").is_err());
    }
}
