//! The bounds and habits of the analysis. Every number here is a key of `weir.toml`.

use weir_wire::{Address, Interval};

/// The configuration of the analysis, checked; shared by all lanes.
#[derive(Clone, Debug)]
pub struct Config {
    /// Flows and their time-outs.
    pub flow: FlowConfig,
    /// TCP reassembly.
    pub tcp: TcpConfig,
    /// Files.
    pub file: FileConfig,
    /// Whether transport checksums are verified; captures made on the sending host have unfinished ones.
    pub verify_checksums: bool,
    /// Networks that are "local" (conn.log `local_orig`, ssh.log `direction`): address and prefix length, of 128 bits
    /// (IPv4: 96 more than usual). Zeek's default: private address space.
    pub local_networks: Vec<(Address, u8)>,
}

/// Bounds and time-outs of flows (Zeek: init-bare.zeek).
#[derive(Clone, Debug)]
pub struct FlowConfig {
    /// Most flows in the table of one lane; beyond, the flow that was idle longest is ended early and logged.
    pub max_flows: usize,
    /// A TCP connection without packets is over after this.
    pub tcp_inactivity: Interval,
    /// A UDP flow without packets is over after this.
    pub udp_inactivity: Interval,
    /// An ICMP flow without packets is over after this.
    pub icmp_inactivity: Interval,
    /// A flow of another protocol without packets is over after this.
    pub unknown_inactivity: Interval,
    /// A connection attempt without answer is over after this.
    pub tcp_attempt_delay: Interval,
    /// A connection is removed this long after both sides closed it.
    pub tcp_close_delay: Interval,
    /// A connection is removed this long after a RST.
    pub tcp_reset_delay: Interval,
    /// A partial connection is removed this long after one side closed it.
    pub tcp_partial_close_delay: Interval,
}

/// Bounds of TCP reassembly.
#[derive(Clone, Debug)]
pub struct TcpConfig {
    /// Most bytes that one direction of one connection may hold for a hole to be filled; beyond, the hole is a gap.
    pub max_held_per_side: usize,
    /// Most such bytes of all connections of one lane.
    pub max_held_total: usize,
    /// Bytes above a hole that are taken as proof that the hole will not be filled (Zeek:
    /// tcp_excessive_data_without_further_acks).
    pub max_unacked: usize,
}

/// Bounds of file analysis (Zeek: init-bare.zeek).
#[derive(Clone, Debug)]
pub struct FileConfig {
    /// Bytes at the beginning of a file by which its type is told (Zeek: default_file_bof_buffer_size).
    pub beginning: usize,
    /// A file without progress is given up after this (Zeek: default_file_timeout_interval).
    pub timeout: Interval,
    /// Most files at once in one lane; beyond, new ones are not analysed (a weird says so).
    pub max_files: usize,
    /// Most bytes of one file that are held because they came out of order; beyond, the holes before them are given up
    /// and count as overflow (Zeek: Files::reassembly_buffer_size).
    pub max_held: usize,
    /// Most such bytes of all files of one lane.
    pub max_held_total: usize,
    /// Most bytes that the decoders of content codings (gzip, deflate, br) of one lane may hold; beyond, bodies are
    /// taken as they are (a weird says so).
    pub max_decoders: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            flow: FlowConfig::default(),
            tcp: TcpConfig::default(),
            file: FileConfig::default(),
            verify_checksums: false,
            local_networks: private_address_space(),
        }
    }
}

impl Default for FlowConfig {
    fn default() -> Self {
        Self {
            max_flows: 1 << 21,
            tcp_inactivity: Interval::from_secs(300),
            udp_inactivity: Interval::from_secs(60),
            icmp_inactivity: Interval::from_secs(60),
            unknown_inactivity: Interval::from_secs(60),
            tcp_attempt_delay: Interval::from_secs(5),
            tcp_close_delay: Interval::from_secs(5),
            tcp_reset_delay: Interval::from_millis(100),
            tcp_partial_close_delay: Interval::from_secs(3),
        }
    }
}

impl Default for TcpConfig {
    fn default() -> Self {
        Self { max_held_per_side: 1 << 20, max_held_total: 256 << 20, max_unacked: 10 << 20 }
    }
}

impl Default for FileConfig {
    fn default() -> Self {
        Self {
            beginning: 4096,
            timeout: Interval::from_secs(120),
            max_files: 1 << 16,
            max_held: 512 << 10,
            max_held_total: 256 << 20,
            max_decoders: 256 << 20,
        }
    }
}

/// Zeek's Site::private_address_space.
fn private_address_space() -> Vec<(Address, u8)> {
    let v4 = |b: [u8; 4], length: u8| (Address::v4(b), 96 + length);
    let v6 = |first: u16, second: u16, length: u8| {
        let mut b = [0; 16];
        let [a0, a1] = first.to_be_bytes();
        let [b0, b1] = second.to_be_bytes();
        for (to, from) in b.iter_mut().zip([a0, a1, b0, b1]) {
            *to = from;
        }
        (Address::v6(b), length)
    };
    let mut loopback = [0; 16];
    if let Some(last) = loopback.last_mut() {
        *last = 1;
    }
    vec![
        v4([0, 0, 0, 0], 8),
        v4([10, 0, 0, 0], 8),
        v4([100, 64, 0, 0], 10),
        v4([127, 0, 0, 0], 8),
        v4([169, 254, 0, 0], 16),
        v4([172, 16, 0, 0], 12),
        v4([192, 0, 0, 0], 24),
        v4([192, 0, 2, 0], 24),
        v4([192, 168, 0, 0], 16),
        v4([198, 18, 0, 0], 15),
        v4([198, 51, 100, 0], 24),
        v4([203, 0, 113, 0], 24),
        v4([224, 0, 0, 0], 24),
        v4([239, 0, 0, 0], 8),
        v4([240, 0, 0, 0], 4),
        v4([255, 255, 255, 255], 32),
        (Address::v6([0; 16]), 128),
        (Address::v6(loopback), 128),
        v6(0x64, 0xff9b, 96),
        v6(0x100, 0, 64),
        v6(0x2001, 0, 23),
        v6(0x2001, 0xdb8, 32),
        v6(0xfc00, 0, 7),
        v6(0xfe80, 0, 10),
    ]
}

impl Config {
    /// The bounds of each of `lanes` lanes that together have what this allows `workers` lanes.
    #[must_use]
    pub fn divided(&self, lanes: usize, workers: usize) -> Self {
        let mut config = self.clone();
        for limit in [
            &mut config.flow.max_flows,
            &mut config.tcp.max_held_total,
            &mut config.file.max_files,
            &mut config.file.max_held_total,
            &mut config.file.max_decoders,
        ] {
            *limit = limit.saturating_mul(workers).div_ceil(lanes.max(1));
        }
        config
    }

    /// Whether `address` is in one of the local networks.
    pub fn is_local(&self, address: &Address) -> bool {
        let bits = u128::from_be_bytes(address.0);
        self.local_networks.iter().any(|(network, length)| {
            let shift = 128 - u32::from((*length).min(128));
            let difference = bits ^ u128::from_be_bytes(network.0);
            difference.checked_shr(shift).unwrap_or(0) == 0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_that_share_the_bounds_of_workers_have_no_more_together() {
        let config = Config::default();
        let lane = config.divided(16, 2);
        assert_eq!((lane.flow.max_flows, lane.file.max_held_total), (1 << 18, 32 << 20));
        assert_eq!((lane.tcp.max_held_total, lane.tcp.max_held_per_side), (32 << 20, 1 << 20));
        assert_eq!(config.divided(3, 3).file.max_files, config.file.max_files);
    }

    #[test]
    fn private_addresses_are_local_and_others_are_not() {
        let config = Config::default();
        let local = |s: &str| config.is_local(&Address::from(s.parse::<std::net::IpAddr>().unwrap()));
        assert!(local("10.1.2.3") && local("192.168.0.1") && local("fe80::1") && local("::1"));
        assert!(!local("8.8.8.8") && !local("172.32.0.1") && !local("2606:4700::1"));
    }
}
