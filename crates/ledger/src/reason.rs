//! Why a frame ended before it was analysed.

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $label:literal,)+) => {
        /// Why a frame ended. Closed: a frame that ends has one of these, and "other" is not among them.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum Reason {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Reason {
            /// Every reason, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The label in JSON and metrics: stable, lower case, underscores.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }

            /// What the reason means, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+),)+ }
            }
        }
    };
}

reasons! {
    // The way.
    /// Its sender gave it a sequence number, which never came. Frames only, as nobody knows its length.
    LostOnWay = "lost_on_way",
    // Sources.
    /// What a stream held that is no capture or contradicts its format: its bytes count as one frame.
    StreamDamaged = "stream_damaged",
    /// A record of which a stream ended before it was there in full: its bytes count as one frame.
    StreamCut = "stream_cut",
    /// A tunnel whose identifier (VNI, GRE key, ERSPAN session) was not asked for, or cannot be read.
    TunnelUnwanted = "tunnel_unwanted",
    /// The kernel had no room for it: the ring or the socket's buffer was full, as its reader was too slow. Frames only, as
    /// the kernel does not count their bytes.
    KernelDropped = "kernel_dropped",
    /// The kernel had taken it when the reader was told to end, and it was not read in time.
    LeftAtStop = "left_at_stop",
    // Workers.
    /// The worker that its flow belongs to was behind for too long to take it from the worker that received it.
    WorkerQueueFull = "worker_queue_full",
    // Link layer.
    /// A link type, Ethertype or protocol family that is not decoded (LLDP, CDP, IS-IS ...).
    NotIp = "not_ip",
    /// ARP or RARP: seen, not analysed.
    Arp = "arp",
    /// The frame is shorter than its link-layer headers.
    TruncatedLink = "truncated_link",
    /// The link type of the capture is not known.
    UnknownLinkType = "unknown_link_type",
    /// More nested headers or tunnels than the limit `decap.max_depth`.
    TooDeep = "too_deep",
    /// 802.11 control or management frame, or one whose payload is encrypted or has no IP in it.
    WirelessNotData = "wireless_not_data",
    /// A link-layer header that contradicts itself (bad TLV length, bad version).
    MalformedLink = "malformed_link",
    // IP layer.
    /// The packet is shorter than its IP header.
    TruncatedIp = "truncated_ip",
    /// The IP header contradicts itself (header length, total length, version).
    MalformedIp = "malformed_ip",
    /// The IPv4 header checksum is wrong (only with checksums verified).
    BadIpChecksum = "bad_ip_checksum",
    /// Fragments whose datagram was not complete in time.
    FragmentTimeout = "fragment_timeout",
    /// Fragments beyond the memory limit `decap.fragment_memory`.
    FragmentLimit = "fragment_limit",
    /// A fragment that cannot belong to any datagram (size, overlap beyond the end).
    MalformedFragment = "malformed_fragment",
    /// An IPv6 packet whose payload is encrypted (ESP): no flow can be told.
    Encrypted = "encrypted",
    /// An IPv6 packet without transport: a mobility message, or "no next header".
    NoTransport = "no_transport",
    /// IGMP: seen, not a flow.
    Igmp = "igmp",
    /// A tunnel header that is shorter than it must be or contradicts itself.
    MalformedTunnel = "malformed_tunnel",
    /// A tunnel whose payload is not IP.
    TunnelNotIp = "tunnel_not_ip",
    // Transport.
    /// The packet is shorter than its transport header.
    TruncatedTransport = "truncated_transport",
    /// The transport header contradicts itself.
    MalformedTransport = "malformed_transport",
    /// The transport checksum is wrong (only with checksums verified).
    BadTransportChecksum = "bad_transport_checksum",
    // Outputs.
    /// Longer than the interface or the path takes, and not to be cut.
    FrameTooLong = "frame_too_long",
    /// No target was alive to which its flow could go.
    NoTarget = "no_target",
    /// Of a link type that the output cannot carry.
    LinkNotCarried = "link_not_carried",
    /// The output's queue was full for longer than it may be waited for.
    OutputFull = "output_full",
    /// The output was not connected.
    OutputDown = "output_down",
    /// The kernel refused to send it: the interface is down or gone, there is no route.
    SendFailed = "send_failed",
    // Policy and bounds.
    /// What this process sends out itself, or an answer to it, seen again by its own tap.
    OwnOutput = "own_output",
    /// Its flow was let go as a whole: there was more than `--max-rate` or `--max-cpu` allow, or its lane could not keep up.
    Shed = "shed",
    /// The user's filter did not select it.
    Filtered = "filtered",
    /// Another tap's copy of the same packet has been let through.
    Duplicate = "duplicate",
    /// The flow table is full and the packet would have begun a flow.
    FlowTableFull = "flow_table_full",
    /// The worker that held it panicked.
    WorkerPanic = "worker_panic",
}

impl Reason {
    /// How many reasons there are.
    pub const COUNT: usize = Self::ALL.len();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_unique_and_fit_for_metrics() {
        let mut labels: Vec<_> = Reason::ALL.iter().map(|r| r.label()).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Reason::COUNT);
        assert!(labels.iter().all(|l| l.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
        assert!(Reason::ALL.iter().enumerate().all(|(i, r)| *r as usize == i));
    }
}
