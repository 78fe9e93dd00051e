//! What a network device says of itself: flags, MTU, offloads, rings and queues; and how it is told how many queues it shall
//! have, and which packets come to which.
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
const SET_CHANNELS: u32 = 0x3d;
const GET_RSS: u32 = 0x46;
const SET_RSS: u32 = 0x47;
/// What is not to be changed: the hash function, and the table.
const SAME_FUNCTION: u8 = 0;
const SAME_TABLE: u32 = u32::MAX;
/// `struct ethtool_rxfh` in words, without what follows it: command, context, sizes of table and key, function and transformation,
/// reserved.
const RSS_WORDS: usize = 6;
/// More entries than any table has, and more bytes than any key: drivers have up to 2048 and 60.
const MOST_ENTRIES: u32 = 1 << 16;
const MOST_KEY: u32 = 1 << 12;
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

/// How many queues of each kind a device has (`ethtool -l`).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Channels {
    /// Queues that only receive; now, and at most.
    pub receive: [u32; 2],
    /// Queues that only send.
    pub send: [u32; 2],
    /// Queues for other purposes.
    pub other: [u32; 2],
    /// Queues that do both.
    pub combined: [u32; 2],
}

/// Which packets come to which queue (`ethtool -x`).
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ReceiveHash {
    /// The queue of each remainder of the hash.
    pub table: Vec<u32>,
    /// The key of the hash.
    pub key: Vec<u8>,
    /// What is done to addresses and ports before they are hashed (RXH_XFRM_): 1 is "symmetric-xor". Linux 6.8.
    pub transformation: u8,
}

/// [`ReceiveHash::transformation`] by which both directions of a flow have one hash, whatever the key.
pub const SYMMETRIC_XOR: u8 = 1;

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

    /// Its queues of each kind.
    ///
    /// # Errors
    /// The driver does not tell.
    pub fn channels(&self) -> io::Result<Channels> {
        let mut words = [0u32; 9];
        let [command, ..] = &mut words;
        *command = GET_CHANNELS;
        self.ethtool(&mut words)?;
        let [_, most_rx, most_tx, most_other, most_both, rx, tx, other, both] = words;
        Ok(Channels {
            receive: [rx, most_rx],
            send: [tx, most_tx],
            other: [other, most_other],
            combined: [both, most_both],
        })
    }

    /// Changes the numbers of queues to those of `channels`.
    ///
    /// # Errors
    /// No permission (CAP_NET_ADMIN), or the driver does not do it.
    pub fn set_channels(&self, channels: Channels) -> io::Result<()> {
        let Channels { receive, send, other, combined } = channels;
        let mut words = [SET_CHANNELS, 0, 0, 0, 0, receive[0], send[0], other[0], combined[0]];
        self.ethtool(&mut words)
    }

    /// Which packets come to which queue.
    ///
    /// # Errors
    /// The driver does not tell: it has no such hash.
    pub fn receive_hash(&self) -> io::Result<ReceiveHash> {
        let mut sizes = [GET_RSS, 0, 0, 0, 0, 0];
        self.ethtool(&mut sizes)?;
        let [_, _, entries, key, _, _] = sizes;
        let (entries, key) = (entries.min(MOST_ENTRIES), key.min(MOST_KEY));
        let mut words = vec![0u32; RSS_WORDS + entries as usize + key.div_ceil(4) as usize];
        words.splice(..RSS_WORDS, [GET_RSS, 0, entries, key, 0, 0]);
        self.ethtool_words(&mut words)?;
        let transformation = words.get(4).map_or(0, |word| word.to_ne_bytes()[1]);
        let mut rest = words.into_iter().skip(RSS_WORDS);
        let table = rest.by_ref().take(entries as usize).collect();
        let key = rest.flat_map(u32::to_ne_bytes).take(key as usize).collect();
        Ok(ReceiveHash { table, key, transformation })
    }

    /// Changes it. A table without entries stays as it is, and so does an empty key; both have to have the size that the device
    /// has.
    ///
    /// # Errors
    /// No permission (CAP_NET_ADMIN), or the driver does not do it.
    pub fn set_receive_hash(&self, hash: &ReceiveHash) -> io::Result<()> {
        let ReceiveHash { table, key, transformation } = hash;
        let entries = if table.is_empty() { SAME_TABLE } else { table.len() as u32 };
        let function = u32::from_ne_bytes([SAME_FUNCTION, *transformation, 0, 0]);
        let mut words = vec![SET_RSS, 0, entries, key.len() as u32, function, 0];
        words.extend(table);
        words.extend(key.chunks(4).map(|part| {
            let mut bytes = [0; 4];
            bytes.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
            u32::from_ne_bytes(bytes)
        }));
        self.ethtool_words(&mut words)
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

    /// The same with a structure of any length, which has to be the one that its own sizes tell.
    fn ethtool_words(&self, structure: &mut [u32]) -> io::Result<()> {
        let mut request = self.empty();
        request.ifr_ifru.ifru_data = structure.as_mut_ptr().cast();
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
