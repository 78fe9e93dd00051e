//! stats.log and capture_loss.log (Zeek: policy/misc/stats, policy/misc/capture-loss).

use weir_wire::{Interval, Time};

use crate::{Record, Text};

/// How a worker of a sensor is doing, every few minutes.
#[derive(Clone, Debug, Record)]
#[record(path = "stats")]
pub struct Stats {
    /// When.
    pub ts: Time,
    /// The worker.
    pub peer: Text,
    /// Memory of the whole process, in MiB.
    pub mem: u64,
    /// Packets that the worker took since the last record.
    pub pkts_proc: u64,
    /// Their bytes.
    pub bytes_recv: u64,
    /// Packets that the kernel had no room for since the last record.
    pub pkts_dropped: Option<u64>,
    /// Packets that the kernel saw since the last record, dropped ones included.
    pub pkts_link: Option<u64>,
    /// How far the time of the last packet is behind the clock.
    pub pkt_lag: Option<Interval>,
    /// Packets that the filter left out since the last record, where that is counted.
    pub pkts_filtered: Option<u64>,
    /// Zeek: events that were handled; weir has none: records that were written.
    pub events_proc: u64,
    /// Zeek: events that were queued; weir has none: records that were written.
    pub events_queued: u64,
    /// TCP connections now.
    pub active_tcp_conns: u64,
    /// UDP connections now.
    pub active_udp_conns: u64,
    /// ICMP connections now.
    pub active_icmp_conns: u64,
    /// TCP connections that began since the last record.
    pub tcp_conns: u64,
    /// UDP connections that began since the last record.
    pub udp_conns: u64,
    /// ICMP connections that began since the last record.
    pub icmp_conns: u64,
    /// Deadlines that were set since the last record.
    pub timers: u64,
    /// Deadlines that are waited for.
    pub active_timers: u64,
    /// Files that began since the last record.
    pub files: u64,
    /// Files that are not complete.
    pub active_files: u64,
    /// Names that were looked up since the last record: weir looks up none.
    pub dns_requests: u64,
    /// Look-ups that wait for an answer: none.
    pub active_dns_requests: u64,
    /// Bytes that TCP streams hold because they came out of order.
    pub reassem_tcp_size: u64,
    /// Bytes that files hold because they came out of order.
    pub reassem_file_size: u64,
    /// Memory of the fragments of IP that wait for others.
    pub reassem_frag_size: u64,
    /// Zeek: bytes that wait until the protocol is known; weir does not count them: 0.
    pub reassem_unknown_size: u64,
}

/// How much of the traffic did not reach a worker, by the acknowledgments that it saw.
#[derive(Clone, Debug, Record)]
#[record(path = "capture_loss")]
pub struct CaptureLoss {
    /// When.
    pub ts: Time,
    /// How long since the last record.
    pub ts_delta: Interval,
    /// The worker.
    pub peer: Text,
    /// Acknowledgments of data that was never seen.
    pub gaps: u64,
    /// Acknowledgments that covered data for the first time.
    pub acks: u64,
    /// Of 100 acknowledgments, so many were of data that was never seen.
    pub percent_lost: f64,
}
