//! The metrics, by name.

/// What kind of number a metric is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It only grows; its name ends in `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// One metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name, without `_total`.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it means, without a full stop.
    pub help: &'static str,
}

macro_rules! names {
    ($($constant:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)+) => {
        $(
            #[doc = $help]
            pub const $constant: Metric =
                Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };
        )+
        /// All of them, in the order in which they are told.
        pub const ALL: &[Metric] = &[$($constant),+];
    };
}

names! {
    BUILD = Gauge "weir_build_info" ["version"] "1, with the version of weir";
    UPTIME = Gauge "weir_uptime_seconds" [] "For how long the sensor has been listening";
    RECEIVED_FRAMES = Counter "weir_received_frames" ["worker"] "Frames that a worker took from its sources";
    RECEIVED_BYTES = Counter "weir_received_bytes" ["worker"] "Bytes of the frames that a worker took from its sources";
    ANALYSED_FRAMES = Counter "weir_analysed_frames" ["worker"] "Frames that came to the lane of a worker, its own and those of others";
    ANALYSED_BYTES = Counter "weir_analysed_bytes" ["worker"] "Bytes of the frames that came to the lane of a worker";
    FLOWS = Gauge "weir_flows" ["worker"] "Connections in the table of a worker";
    CONNECTIONS = Counter "weir_connections" ["worker", "proto"] "Connections that began";
    ACKS = Counter "weir_tcp_acks" ["worker"] "Acknowledgments that covered data for the first time, as in capture_loss.log";
    ACK_GAPS = Counter "weir_tcp_ack_gaps" ["worker"] "Acknowledgments of data that was never seen, as in capture_loss.log";
    SILENCE = Gauge "weir_worker_silence_seconds" ["worker"] "How long ago a worker last told of itself: below 1 while it makes progress";
    ENTERED_FRAMES = Counter "weir_entered_frames" ["hop"] "Frames that came into a hop of the ledger";
    ENTERED_BYTES = Counter "weir_entered_bytes" ["hop"] "Bytes that came into a hop of the ledger";
    PASSED_FRAMES = Counter "weir_passed_frames" ["hop"] "Frames that went on from a hop of the ledger";
    PASSED_BYTES = Counter "weir_passed_bytes" ["hop"] "Bytes that went on from a hop of the ledger";
    HELD_FRAMES = Gauge "weir_held_frames" ["hop"] "Frames that wait inside of a hop";
    DROPPED_FRAMES = Counter "weir_dropped_frames" ["worker", "hop", "reason"] "Frames that ended in a hop, for which reason";
    DROPPED_BYTES = Counter "weir_dropped_bytes" ["worker", "hop", "reason"] "Bytes of the frames that ended in a hop, for which reason; the kernel does not tell those of what it drops";
    IMBALANCE = Gauge "weir_ledger_imbalance_frames" ["hop"] "Frames that came into a hop and did neither pass, nor end, nor wait: anything but 0 is a bug of weir";
    SEEN = Counter "weir_kernel_seen_frames" ["worker", "source", "name"] "Frames that the kernel counted for a source, those included that it dropped";
    KERNEL_DROPPED = Counter "weir_kernel_dropped_frames" ["worker", "source", "name"] "Frames that the kernel had no room for in the ring or buffer of a source";
    FREEZES = Counter "weir_ring_freezes" ["worker", "source", "name"] "How often the ring of a source was full";
    FILL = Gauge "weir_ring_fill_ratio" ["worker", "source", "name"] "How much of the ring of a source is in use, 0 to 1";
    TCP_ENTERED = Counter "weir_tcp_payload_entered_bytes" [] "Payload of TCP segments";
    TCP_DELIVERED = Counter "weir_tcp_payload_delivered_bytes" [] "Payload that went to the analysers in order, or that none of them wanted";
    TCP_DUPLICATE = Counter "weir_tcp_payload_duplicate_bytes" [] "Payload that was seen before";
    TCP_DISCARDED = Counter "weir_tcp_payload_discarded_bytes" [] "Payload that was given up: beyond limits, or after the end";
    TCP_GAP = Counter "weir_tcp_payload_gap_bytes" [] "Payload that the receiver had and that was never seen";
    TCP_HELD = Gauge "weir_tcp_payload_held_bytes" [] "Payload that waits for a hole to be filled";
    LOG_RECORDS = Counter "weir_log_records" ["log"] "Records of a log, those that wait to be written included";
    LOG_LOST = Counter "weir_log_lost_records" ["log"] "Records that could not be written";
    EVICTED = Counter "weir_evicted_flows" [] "Connections that were ended early because a table was full";
    PANICS = Counter "weir_panics" [] "How often analysis panicked and was begun anew: a bug of weir";
    CLOCK_STEPS = Counter "weir_clock_steps_back" [] "How often the clock of packets went back by more than 10 s, as each worker saw it";
    RESIDENT = Gauge "process_resident_memory_bytes" [] "Memory of the process";
}

/// The table of docs/operations.md.
#[cfg(test)]
pub fn table() -> String {
    let mut text = String::from("| metric | labels | meaning |\n| --- | --- | --- |\n");
    for Metric { name, kind, labels, help } in ALL {
        let total = if *kind == Kind::Counter { "_total" } else { "" };
        let labels = labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        text.extend(["| `", name, total, "` | ", &labels, " | ", help, " |\n"]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        let mut names: Vec<_> = ALL.iter().map(|name| name.name).collect();
        for Metric { name, labels, help, .. } in ALL {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert!(!name.ends_with("_total") && !help.ends_with('.') && !help.is_empty(), "{name}");
            assert!(labels.iter().all(|label| !label.starts_with("__")), "{name}");
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }

    #[test]
    fn the_manual_of_operations_lists_every_metric() {
        let manual = include_str!("../../../../../../docs/operations.md");
        let table = table();
        assert!(manual.contains(&table), "docs/operations.md should have this table:\n{table}");
    }
}
