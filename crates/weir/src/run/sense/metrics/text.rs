//! From a snapshot to text.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode as encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use weir_ledger::{Hop, Reason};

use super::super::meter::resident_memory;
use super::super::snapshot::{HopSnapshot, Snapshot};
use super::names::{self, Kind, Metric};

/// Names and values of labels.
type Labels = Vec<(&'static str, String)>;

/// The values of all metrics, by name.
#[derive(Default)]
struct Values(BTreeMap<&'static str, Vec<(Labels, f64)>>);

impl Values {
    fn set(&mut self, name: &Metric, labels: &[&str], value: impl Into<f64>) {
        let labels = name.labels.iter().copied().zip(labels.iter().map(|value| (*value).to_owned()));
        self.0.entry(name.name).or_default().push((labels.collect(), value.into()));
    }

    /// A count: exact up to 2^53, as Prometheus itself keeps numbers.
    fn count(&mut self, name: &Metric, labels: &[&str], value: u64) {
        self.set(name, labels, value as f64);
    }
}

/// All metrics in OpenMetrics' text.
///
/// # Errors
/// Never, as text grows in memory.
pub fn encode(snapshot: &Snapshot) -> Result<String, std::fmt::Error> {
    let mut values = Values::default();
    general(&mut values, snapshot);
    workers(&mut values, snapshot);
    sources(&mut values, snapshot);
    for hop in &snapshot.hops {
        ledger(&mut values, hop);
    }
    let mut registry = Registry::default();
    for name in names::ALL {
        let values = values.0.remove(name.name).unwrap_or_default();
        match name.kind {
            Kind::Counter => {
                let family = Family::<Labels, Counter<f64, AtomicU64>>::default();
                for (labels, value) in values {
                    family.get_or_create(&labels).inc_by(value);
                }
                registry.register(name.name, name.help, family);
            }
            Kind::Gauge => {
                let family = Family::<Labels, Gauge<f64, AtomicU64>>::default();
                for (labels, value) in values {
                    family.get_or_create(&labels).set(value);
                }
                registry.register(name.name, name.help, family);
            }
        }
    }
    let mut text = String::new();
    encode_registry(&mut text, &registry)?;
    Ok(text)
}

fn general(to: &mut Values, s: &Snapshot) {
    to.set(&names::BUILD, &[&s.version], 1);
    to.set(&names::UPTIME, &[], s.uptime);
    let tcp = &s.tcp_payload;
    for (name, value) in [
        (names::TCP_ENTERED, tcp.entered),
        (names::TCP_DELIVERED, tcp.delivered),
        (names::TCP_DUPLICATE, tcp.duplicate),
        (names::TCP_DISCARDED, tcp.discarded),
        (names::TCP_GAP, tcp.gap),
        (names::TCP_HELD, tcp.held),
        (names::EVICTED, s.evicted),
        (names::PANICS, s.panics),
        (names::CLOCK_STEPS, s.clock_steps),
        (names::RESIDENT, resident_memory()),
    ] {
        to.count(&name, &[], value);
    }
    for log in &s.logs {
        to.count(&names::LOG_RECORDS, &[&log.log], log.written);
        to.count(&names::LOG_LOST, &[&log.log], log.lost);
    }
}

fn workers(to: &mut Values, s: &Snapshot) {
    for w in &s.workers {
        let worker = w.worker.to_string();
        let only = &[worker.as_str()];
        to.count(&names::RECEIVED_FRAMES, only, w.received.frames);
        to.count(&names::RECEIVED_BYTES, only, w.received.bytes);
        to.count(&names::ANALYSED_FRAMES, only, w.analysed.frames);
        to.count(&names::ANALYSED_BYTES, only, w.analysed.bytes);
        to.count(&names::FLOWS, only, w.flows as u64);
        to.count(&names::ACKS, only, w.acks);
        to.count(&names::ACK_GAPS, only, w.ack_gaps);
        to.set(&names::SILENCE, only, w.silent_for);
        for (proto, began) in &w.connections {
            to.count(&names::CONNECTIONS, &[&worker, proto], *began);
        }
        let (tap, kernel) = (Hop::Tap.name(), Reason::KernelDropped.label());
        let never = !w.dropped.get(tap).is_some_and(|reasons| reasons.contains_key(kernel));
        if never {
            // An alarm needs the 0 before the first drop.
            to.count(&names::DROPPED_FRAMES, &[&worker, tap, kernel], 0);
        }
        for (hop, reasons) in &w.dropped {
            for (reason, count) in reasons {
                to.count(&names::DROPPED_FRAMES, &[&worker, hop, reason], count.frames);
                to.count(&names::DROPPED_BYTES, &[&worker, hop, reason], count.bytes);
            }
        }
    }
}

fn sources(to: &mut Values, s: &Snapshot) {
    for source in &s.sources {
        let (worker, number) = (source.worker.to_string(), source.source.to_string());
        let labels = &[worker.as_str(), &number, &source.name];
        to.count(&names::SEEN, labels, source.kernel_seen);
        to.count(&names::KERNEL_DROPPED, labels, source.kernel_dropped);
        to.count(&names::FREEZES, labels, source.freezes);
        if let Some(fill) = source.fill {
            to.set(&names::FILL, labels, fill);
        }
    }
}

fn ledger(to: &mut Values, hop: &HopSnapshot) {
    let only = &[hop.hop.as_str()];
    to.count(&names::ENTERED_FRAMES, only, hop.entered.frames);
    to.count(&names::ENTERED_BYTES, only, hop.entered.bytes);
    to.count(&names::PASSED_FRAMES, only, hop.passed.frames);
    to.count(&names::PASSED_BYTES, only, hop.passed.bytes);
    to.count(&names::HELD_FRAMES, only, hop.held.frames);
    let dropped: u64 = hop.dropped.values().map(|count| count.frames).sum();
    let out = i128::from(hop.passed.frames) + i128::from(hop.held.frames) + i128::from(dropped);
    to.set(&names::IMBALANCE, only, (i128::from(hop.entered.frames) - out) as f64);
}

/// OpenMetrics' text in the form that was before it: a counter's family is called like its samples, and there is no end.
pub fn classic(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let is_counter = |name: &str| text.contains(&format!("# TYPE {name} counter\n"));
    for line in text.lines().filter(|line| *line != "# EOF" && !line.starts_with("# UNIT ")) {
        let comment = line.strip_prefix("# ").and_then(|rest| {
            let mut words = rest.splitn(3, ' ');
            Some((words.next()?, words.next()?, words.next()?))
        });
        match comment {
            Some((what, name, rest)) if is_counter(name) => {
                out.extend(["# ", what, " ", name, "_total ", rest]);
            }
            Some(_) | None => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use weir_ledger::Count;

    use super::super::super::snapshot::WorkerSnapshot;
    use super::*;

    fn snapshot() -> Snapshot {
        let hop = HopSnapshot {
            hop: "decap".into(),
            entered: Count::new(10, 1000),
            passed: Count::new(7, 700),
            held: Count::new(1, 100),
            dropped: [("arp".to_owned(), Count::new(1, 100))].into(),
        };
        let worker =
            WorkerSnapshot { worker: 3, received: Count::new(10, 1000), ..WorkerSnapshot::default() };
        Snapshot { version: "1.2.3".into(), workers: vec![worker], hops: vec![hop], ..Snapshot::default() }
    }

    #[test]
    fn what_does_not_add_up_is_told_for_each_hop() {
        let text = encode(&snapshot()).unwrap();
        assert!(text.contains("weir_ledger_imbalance_frames{hop=\"decap\"} 1.0\n"), "{text}");
        assert!(text.contains("weir_received_frames_total{worker=\"3\"} 10.0\n"), "{text}");
        assert!(
            text.contains(
                "weir_dropped_frames_total{worker=\"3\",hop=\"tap\",reason=\"kernel_dropped\"} 0.0\n"
            ),
            "{text}"
        );
        assert!(
            text.contains("weir_build_info{version=\"1.2.3\"} 1.0\n") && text.ends_with("# EOF\n"),
            "{text}"
        );
    }

    #[test]
    fn the_older_format_names_a_counters_family_like_its_samples() {
        let text = classic(&encode(&snapshot()).unwrap());
        assert!(
            text.contains("# TYPE weir_received_frames_total counter\nweir_received_frames_total{"),
            "{text}"
        );
        assert!(text.contains("# TYPE weir_flows gauge\n") && !text.contains("# EOF"), "{text}");
    }
}
