//! Suricata: the `af-packet` section, to be included from `suricata.yaml`.
//!
//! Source: Suricata's `suricata.yaml` and its guide, "AF_PACKET", "Multiple interfaces". Suricata 7 refuses unknown
//! cluster types, not unknown keys, so a lab test runs `suricata -T` on it.

use std::fmt::Write;
use std::path::Path;

use super::value::{Interface, Label};
use super::{Plan, split};

/// How packets are spread over threads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cluster {
    /// By the kernel's hash of addresses and ports.
    Flow,
    /// By the queue of the card (with `weir plan rss`).
    Qm,
    /// By the CPU that took the interrupt.
    Cpu,
}

/// What `weir plan suricata` is told.
#[derive(Clone, Debug)]
pub struct Capture {
    /// The interfaces, each with threads of its own: what `weir spread` or an Open vSwitch split feeds.
    pub interfaces: Vec<Interface>,
    /// Threads of each.
    pub threads: u16,
    /// How they share.
    pub cluster: Cluster,
    /// The first cluster number; each interface has its own.
    pub cluster_id: u16,
    /// Packets that a thread's ring holds.
    pub ring: u32,
    /// Only share i of N of the pairs of addresses: for N processes that see the same traffic.
    pub share: Option<(u16, u16)>,
}

/// The section as a file `NAME.yaml` in `directory`.
pub fn plan(what: &Capture, directory: &Path, label: &Label) -> Plan {
    let path = directory.join(format!("{}.yaml", label.name()));
    let about = vec![
        format!("Suricata's af-packet section. In suricata.yaml: include: {}", path.display()),
        "without an af-packet section of its own. Then: suricata --af-packet".to_owned(),
    ];
    Plan::of_files(label.name(), about, vec![(path, text(what))])
}

/// The section. `%YAML 1.1` comes first, or Suricata does not take the file.
fn text(what: &Capture) -> String {
    let mut text = String::from("%YAML 1.1\n---\naf-packet:\n");
    let cluster = match what.cluster {
        Cluster::Flow => "cluster_flow",
        Cluster::Qm => "cluster_qm",
        Cluster::Cpu => "cluster_cpu",
    };
    for (i, interface) in what.interfaces.iter().enumerate() {
        let id = what.cluster_id.wrapping_add(i as u16);
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "  - interface: \"{interface}\"\n    threads: {}\n    cluster-id: {id}\n    cluster-type: {cluster}\n    \
             defrag: {}\n    use-mmap: yes\n    tpacket-v3: yes\n    ring-size: {}\n    checksum-checks: kernel\n",
            what.threads,
            // Defragmentation in the kernel is for its hash; by queue or CPU it moves packets to another thread.
            if what.cluster == Cluster::Flow { "yes" } else { "no" },
            what.ring,
        );
        if let Some((share, of)) = what.share {
            let _ = writeln!(text, "    bpf-filter: \"{}\"", split::expression(share, of));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_interface_has_a_cluster_of_its_own() {
        let interfaces = ["s0", "s1"].map(|name| name.parse().unwrap()).to_vec();
        let capture = Capture {
            interfaces,
            threads: 2,
            cluster: Cluster::Flow,
            cluster_id: 99,
            ring: 2048,
            share: Some((1, 4)),
        };
        let text = text(&capture);
        assert!(text.contains("cluster-id: 99") && text.contains("cluster-id: 100"), "{text}");
        assert_eq!(text.matches("bpf-filter").count(), 2);
    }
}
