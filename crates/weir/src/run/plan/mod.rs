//! `weir plan`: prints a plan, carries it out, or takes it back.

mod carry_out;
mod journal;

use std::process::Command;

use anyhow::{Context, anyhow};

use super::{Exit, complain, print};
use crate::cli::plan::{self as cli, Direction, Fate, PlanArguments, Terraform, What};
use crate::plan::value::{Interface, Label};
use crate::plan::{Plan, kubernetes, nft, ovs, rss, suricata, tc, terraform, zeek};

/// Runs it.
pub fn run(arguments: &PlanArguments) -> Exit {
    let fate = fate(&arguments.what);
    // Made anew when it is asked for: settings are set back to what is found when they are applied.
    let make = || make(&arguments.what);
    let plan = match make() {
        Ok(plan) => plan,
        Err(error) => {
            complain(&error);
            return Exit::Usage;
        }
    };
    let done = match (fate.apply, fate.undo) {
        (true, _) => carry_out::apply(plan, make, &fate.state),
        (_, true) => carry_out::undo(&plan, &fate.state),
        _ => return print::out(plan.text().as_bytes()),
    };
    match done {
        Ok(()) => Exit::Done,
        Err(error) => {
            complain(&error);
            Exit::Plan
        }
    }
}

fn fate(what: &What) -> &Fate {
    match what {
        What::OvsMirror(arguments) => &arguments.fate,
        What::OvsSplit(arguments) => &arguments.fate,
        What::Nft(arguments) => &arguments.fate,
        What::Tc(arguments) => &arguments.fate,
        What::Rss(arguments) => &arguments.fate,
        What::Zeek(arguments) => &arguments.fate,
        What::Suricata(arguments) => &arguments.fate,
        What::Terraform(Terraform::Aws(arguments)) => &arguments.fate,
        What::Terraform(Terraform::Gcp(arguments)) => &arguments.fate,
        What::Terraform(Terraform::Azure(arguments)) => &arguments.fate,
        What::Kubernetes(arguments) => &arguments.fate,
    }
}

fn make(what: &What) -> anyhow::Result<Plan> {
    Ok(match what {
        What::OvsMirror(a) => {
            let place = a.ports.first().unwrap_or(&a.bridge);
            let mirror = ovs::Mirror {
                bridge: a.bridge.clone(),
                ports: a.ports.clone(),
                from: a.direction != Direction::Out,
                to: a.direction != Direction::In,
                vlans: a.vlans.clone(),
                snaplen: a.snaplen,
                target: a.to.clone(),
            };
            ovs::mirror(&mirror, &label(&a.fate, place))
        }
        What::OvsSplit(a) => {
            let split = ovs::Split {
                bridge: a.bridge.clone(),
                from: a.from.clone(),
                to: a.to.clone(),
                method: match a.method {
                    cli::SplitMethod::Bundle => ovs::Method::Bundle,
                    cli::SplitMethod::DpHash => ovs::Method::DpHash,
                    cli::SplitMethod::Hash => ovs::Method::Hash,
                },
                copy: a.copy,
                priority: a.priority,
            };
            ovs::split(&split, &label(&a.fate, &a.from))
        }
        What::Nft(a) => {
            let hash = match a.hash {
                cli::NftHash::Symhash => nft::Hash::Symhash,
                cli::NftHash::Jhash => nft::Hash::Jhash,
            };
            let (interface, targets) = (a.interface.clone(), a.to.clone());
            let rules = nft::Rules { interface, ways: ways(a.direction), targets, hash, fwd: a.fwd };
            nft::rules(&rules, &label(&a.fate, &a.interface))?
        }
        What::Tc(a) => {
            let (interface, targets) = (a.interface.clone(), a.to.clone());
            let rules = tc::Rules { interface, ways: ways(a.direction), targets, preference: a.preference };
            tc::rules(&rules, &label(&a.fate, &a.interface)).map_err(|wrong| anyhow!(wrong))?
        }
        What::Rss(a) => queues(a),
        What::Zeek(a) => workers(a)?,
        What::Suricata(a) => threads(a)?,
        What::Terraform(cloud) => clouds(cloud)?,
        What::Kubernetes(a) => manifests(a),
    })
}

fn label(fate: &Fate, place: &Interface) -> Label {
    fate.label.clone().unwrap_or_else(|| Label::of(place.as_str()))
}

fn named(fate: &Fate, name: &str) -> Label {
    fate.label.clone().unwrap_or_else(|| Label::of(name))
}

fn ways(direction: Direction) -> nft::Ways {
    nft::Ways { ingress: direction != Direction::Out, egress: direction != Direction::In }
}

fn queues(a: &cli::Rss) -> Plan {
    // A card that has no such setting makes ethtool fail; so does an interface that is on another machine.
    let tell = |call: crate::plan::Call| {
        let output = Command::new(&call.program).args(&call.arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let [channels, indirection, rings, features, udp4, udp6] = rss::Found::calls(&a.interface).map(tell);
    // Where the card has no key, ethtool says so and may succeed all the same.
    let indirection = indirection.filter(|text| rss::hash_key(text).is_some());
    let found = rss::Found { channels, indirection, rings, features, udp4, udp6 };
    let queues = rss::Wanted {
        interface: a.interface.clone(),
        queues: a.queues,
        ring: a.ring,
        udp_ports: !a.udp_by_address,
        keep_offloads: a.keep_offloads,
    };
    rss::plan(&queues, &found, &label(&a.fate, &a.interface))
}

fn workers(a: &cli::Zeek) -> anyhow::Result<Plan> {
    let method = match a.method {
        cli::ZeekMethod::AfPacket => zeek::Method::AfPacket,
        cli::ZeekMethod::Qm => zeek::Method::AfPacketQm,
        cli::ZeekMethod::Bpf => zeek::Method::Bpf,
        cli::ZeekMethod::Interfaces => zeek::Method::Interfaces,
    };
    if a.interfaces.len() > 1 && method != zeek::Method::Interfaces {
        return Err(anyhow!("several interfaces go with --method interfaces"));
    }
    let cluster = zeek::Cluster {
        interfaces: a.interfaces.clone(),
        workers: a.workers,
        method,
        cpus: a.cpus.clone(),
        fanout_id: a.fanout_id,
        buffer: a.buffer,
        host: a.host,
    };
    Ok(zeek::plan(&cluster, &absolute(&a.directory)?, &named(&a.fate, "zeek")))
}

fn threads(a: &cli::Suricata) -> anyhow::Result<Plan> {
    let capture = suricata::Capture {
        interfaces: a.interfaces.clone(),
        threads: a.threads,
        cluster: match a.cluster {
            cli::Cluster::Flow => suricata::Cluster::Flow,
            cli::Cluster::Qm => suricata::Cluster::Qm,
            cli::Cluster::Cpu => suricata::Cluster::Cpu,
        },
        cluster_id: a.cluster_id,
        ring: a.ring,
        share: a.share,
    };
    Ok(suricata::plan(&capture, &absolute(&a.directory)?, &named(&a.fate, "ids")))
}

fn clouds(cloud: &Terraform) -> anyhow::Result<Plan> {
    Ok(match cloud {
        Terraform::Aws(a) => {
            let target = match (&a.to_interface, &a.to_nlb, &a.to_gwlbe) {
                (Some(id), ..) => terraform::AwsTarget::Interface(id.clone()),
                (_, Some(id), _) => terraform::AwsTarget::LoadBalancer(id.clone()),
                (.., Some(id)) => terraform::AwsTarget::GatewayEndpoint(id.clone()),
                _ => return Err(anyhow!("where do copies go? --to-interface, --to-nlb or --to-gwlbe")),
            };
            let aws = terraform::Aws {
                sources: a.sources.clone(),
                target,
                vni: a.vni,
                packet_length: a.packet_length,
                session: a.session,
                networks: a.networks.clone(),
            };
            terraform::aws(&aws, &absolute(&a.directory)?, &named(&a.fate, "aws"))
        }
        Terraform::Gcp(a) => {
            let collector = match (&a.collector, &a.sensors, &a.sensor_subnetwork) {
                (Some(rule), ..) => terraform::Collector::Rule(rule.clone()),
                (None, Some(group), Some(subnetwork)) => {
                    terraform::Collector::Group(group.clone(), subnetwork.clone(), a.health_port)
                }
                _ => return Err(anyhow!("who collects? --collector, or --sensors with --sensor-subnetwork")),
            };
            let gcp = terraform::Gcp {
                region: a.region.clone(),
                network: a.network.clone(),
                instances: a.instances.clone(),
                subnetworks: a.subnetworks.clone(),
                tags: a.tags.clone(),
                collector,
                networks: a.networks.clone(),
            };
            terraform::gcp(&gcp, &absolute(&a.directory)?, &named(&a.fate, "gcp"))
        }
        Terraform::Azure(a) => {
            let azure = terraform::Azure {
                group: a.group.clone(),
                location: a.location.clone(),
                sources: a.sources.clone(),
                destination: a.to.clone(),
                balanced: a.balanced,
                port: a.port,
            };
            terraform::azure(&azure, &absolute(&a.directory)?, &named(&a.fate, "azure"))
        }
    })
}

fn manifests(a: &cli::Kubernetes) -> Plan {
    let fabric = kubernetes::Fabric {
        namespace: a.namespace.clone(),
        image: a.image.clone(),
        interfaces: a.interfaces.clone(),
        carrier: match a.carrier {
            cli::Carrier::Vxlan => kubernetes::Carrier::Vxlan,
            cli::Carrier::Geneve => kubernetes::Carrier::Geneve,
        },
        vni: a.vni,
        sensors: if a.collector.is_some() { 0 } else { a.sensors },
        workers: a.workers,
        collector: a.collector,
    };
    kubernetes::plan(&fabric, &named(&a.fate, "k8s"))
}

/// The journal must find files again from everywhere.
fn absolute(directory: &std::path::Path) -> anyhow::Result<std::path::PathBuf> {
    std::path::absolute(directory).with_context(|| format!("{} is no directory", directory.display()))
}
