//! Zeek: `node.cfg` for zeekctl with workers that share an interface by AF_PACKET, or by a filter each, or that read an interface
//! each.
//!
//! Sources: Zeek's manual, "Cluster Setup" and zeekctl's node options (`lb_method`, `lb_procs`, `pin_cpus`, `af_packet_*`);
//! `restrict_filters` of the packet-filter framework. Zeek 5.2 and later have AF_PACKET built in.

use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;

use super::value::{Interface, Label};
use super::{Plan, split};

/// How workers share the traffic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// AF_PACKET fanout by the kernel's hash.
    AfPacket,
    /// AF_PACKET fanout by the card's queue.
    AfPacketQm,
    /// A filter each.
    Bpf,
    /// An interface each.
    Interfaces,
}

/// What `weir plan zeek` is told.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The interfaces: one, or one for each worker.
    pub interfaces: Vec<Interface>,
    /// How many workers.
    pub workers: u16,
    /// How they share.
    pub method: Method,
    /// The CPUs on which they run, if that is said.
    pub cpus: Vec<u16>,
    /// The fanout group.
    pub fanout_id: u16,
    /// The ring of each, in bytes.
    pub buffer: u64,
    /// Where the sensor is.
    pub host: IpAddr,
}

/// The files in `directory`.
pub fn plan(what: &Cluster, directory: &Path, label: &Label) -> Plan {
    let mut files = vec![(directory.join("node.cfg"), node_cfg(what))];
    let mut about = vec!["For zeekctl; then: zeekctl deploy".to_owned()];
    if what.method == Method::Bpf {
        files.push((directory.join(format!("{}.zeek", label.name())), filters(what)));
        about.push(format!("In local.zeek: @load {}/{}", directory.display(), label.name()));
    }
    Plan::of_files(label.name(), about, files)
}

fn node_cfg(what: &Cluster) -> String {
    let host = what.host;
    let mut text = String::new();
    for node in ["logger", "manager", "proxy"] {
        // Writing to a string cannot fail.
        let _ = write!(text, "[{node}-1]\ntype={node}\nhost={host}\n\n");
    }
    let first = what.interfaces.first().map_or("", Interface::as_str);
    match what.method {
        Method::AfPacket | Method::AfPacketQm => {
            let mode = if what.method == Method::AfPacket { "FANOUT_HASH" } else { "FANOUT_QM" };
            let _ = write!(
                text,
                "[worker-1]\ntype=worker\nhost={host}\ninterface=af_packet::{first}\nlb_method=custom\nlb_procs={}\n\
                 af_packet_fanout_id={}\naf_packet_fanout_mode=AF_Packet::{mode}\naf_packet_buffer_size={}\n{}",
                what.workers,
                what.fanout_id,
                what.buffer,
                cpus(&what.cpus),
            );
        }
        Method::Interfaces => {
            let all: Vec<_> = what.interfaces.iter().map(|name| format!("af_packet::{name}")).collect();
            let _ = write!(
                text,
                "[worker-1]\ntype=worker\nhost={host}\nlb_method=interfaces\nlb_interfaces={}\nlb_procs={}\n{}",
                all.join(","),
                all.len(),
                cpus(&what.cpus),
            );
        }
        Method::Bpf => {
            for i in 0..what.workers {
                let cpu = what.cpus.get(usize::from(i)).map(|cpu| vec![*cpu]).unwrap_or_default();
                let _ = write!(
                    text,
                    "[worker-{}]\ntype=worker\nhost={host}\ninterface={first}\n{}\n",
                    i + 1,
                    cpus(&cpu)
                );
            }
        }
    }
    text
}

fn cpus(cpus: &[u16]) -> String {
    let cpus: Vec<_> = cpus.iter().map(u16::to_string).collect();
    if cpus.is_empty() { String::new() } else { format!("pin_cpus={}\n", cpus.join(",")) }
}

fn filters(what: &Cluster) -> String {
    let mut text = String::from("@load base/frameworks/cluster\n@load base/frameworks/packet-filter\n\n");
    for i in 0..what.workers {
        let _ = write!(
            text,
            "@if ( Cluster::node == \"worker-{}\" )\nredef restrict_filters += {{ [\"weir\"] = \"{}\" }};\n@endif\n",
            i + 1,
            split::expression(i, what.workers)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: Method) -> String {
        let interfaces = ["s0", "s1"].map(|name| name.parse().unwrap()).to_vec();
        let (workers, cpus, fanout_id, buffer) = (2, vec![2, 3], 23, 1 << 27);
        let host = IpAddr::from([127, 0, 0, 1]);
        let cluster = Cluster { interfaces, workers, method, cpus, fanout_id, buffer, host };
        plan(&cluster, Path::new("/etc/zeek"), &Label::of("s0")).text()
    }

    #[test]
    fn workers_share_as_is_asked() {
        assert!(of(Method::AfPacket).contains("interface=af_packet::s0\nlb_method=custom\nlb_procs=2\naf_packet_fanout_id=23\naf_packet_fanout_mode=AF_Packet::FANOUT_HASH\naf_packet_buffer_size=134217728\npin_cpus=2,3\n"));
        assert!(
            of(Method::Interfaces)
                .contains("lb_method=interfaces\nlb_interfaces=af_packet::s0,af_packet::s1\nlb_procs=2\n")
        );
        assert!(of(Method::AfPacketQm).contains("FANOUT_QM"));
    }

    #[test]
    fn each_worker_of_a_split_by_filters_has_its_own_and_its_cpu() {
        let text = of(Method::Bpf);
        assert!(
            text.contains("[worker-2]\ntype=worker\nhost=127.0.0.1\ninterface=s0\npin_cpus=3\n"),
            "{text}"
        );
        assert!(
            text.contains(
                "Cluster::node == \"worker-2\" )\nredef restrict_filters += { [\"weir\"] = \"(ip and"
            ),
            "{text}"
        );
    }
}
