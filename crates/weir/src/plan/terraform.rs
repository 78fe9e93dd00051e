//! Mirroring by the clouds themselves, as Terraform: AWS VPC Traffic Mirroring, GCP Packet Mirroring, Azure virtual network
//! tap.
//!
//! Sources: the providers' documents of `aws_ec2_traffic_mirror_*` and `google_compute_packet_mirroring`; Azure's REST types
//! `Microsoft.Network/virtualNetworkTaps` and `networkInterfaces/tapConfigurations`, for which azurerm has no resource,
//! so the provider azapi sends them. Every value is of a type of `value`, so it cannot leave its string.

use std::fmt::Write;
use std::path::Path;

use super::value::{Cidr, CloudId, DnsLabel, Label, Region};
use super::{Plan, value};

/// Where AWS sends its copies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AwsTarget {
    /// A network interface.
    Interface(CloudId),
    /// A network load balancer.
    LoadBalancer(CloudId),
    /// An endpoint of a gateway load balancer: copies come as VXLAN inside GENEVE.
    GatewayEndpoint(CloudId),
}

/// What `weir plan terraform aws` is told.
#[derive(Clone, Debug)]
pub struct Aws {
    /// The mirrored interfaces.
    pub sources: Vec<CloudId>,
    /// Where copies go.
    pub target: AwsTarget,
    /// The VNI; AWS picks one where there is none.
    pub vni: Option<u32>,
    /// Bytes of each packet.
    pub packet_length: Option<u16>,
    /// Which session of the interface comes first.
    pub session: u16,
    /// Only packets from or to these networks.
    pub networks: Vec<Cidr>,
}

/// Who collects in GCP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Collector {
    /// A forwarding rule with `is_mirroring_collector` that is there.
    Rule(CloudId),
    /// One is made for this group of instances in this subnetwork, which are healthy when this TCP port answers.
    Group(CloudId, CloudId, u16),
}

/// What `weir plan terraform gcp` is told.
#[derive(Clone, Debug)]
pub struct Gcp {
    /// The region.
    pub region: Region,
    /// The network.
    pub network: CloudId,
    /// Mirrored instances.
    pub instances: Vec<CloudId>,
    /// Mirrored subnetworks.
    pub subnetworks: Vec<CloudId>,
    /// Network tags of mirrored instances.
    pub tags: Vec<DnsLabel>,
    /// Who collects.
    pub collector: Collector,
    /// Only packets from or to these networks.
    pub networks: Vec<Cidr>,
}

/// What `weir plan terraform azure` is told.
#[derive(Clone, Debug)]
pub struct Azure {
    /// The resource group, as an identifier.
    pub group: CloudId,
    /// Where it is.
    pub location: Region,
    /// Mirrored network interfaces.
    pub sources: Vec<CloudId>,
    /// The IP configuration of the sensor's interface.
    pub destination: CloudId,
    /// It is the front end of an internal load balancer.
    pub balanced: bool,
    /// The UDP port of VXLAN.
    pub port: u16,
}

/// AWS.
pub fn aws(what: &Aws, directory: &Path, label: &Label) -> Plan {
    let name = identifier(label);
    let mut text = provider("aws", "hashicorp/aws", ">= 5.0");
    let _ = writeln!(
        text,
        "resource \"aws_ec2_traffic_mirror_filter\" \"{name}\" {{\n  description      = \"{label} of weir\"\n  \
         network_services = [\"amazon-dns\"]\n}}\n",
    );
    for direction in ["ingress", "egress"] {
        for (i, (source, destination)) in rules(&what.networks).iter().enumerate() {
            let _ = writeln!(
                text,
                "resource \"aws_ec2_traffic_mirror_filter_rule\" \"{name}_{direction}_{i}\" {{\n  \
                 traffic_mirror_filter_id = aws_ec2_traffic_mirror_filter.{name}.id\n  \
                 traffic_direction        = \"{direction}\"\n  rule_number              = {}\n  \
                 rule_action              = \"accept\"\n  source_cidr_block        = \"{source}\"\n  \
                 destination_cidr_block   = \"{destination}\"\n}}\n",
                100 + i,
            );
        }
    }
    let (argument, id) = match &what.target {
        AwsTarget::Interface(id) => ("network_interface_id", id),
        AwsTarget::LoadBalancer(id) => ("network_load_balancer_arn", id),
        AwsTarget::GatewayEndpoint(id) => ("gateway_load_balancer_endpoint_id", id),
    };
    let _ = writeln!(
        text,
        "resource \"aws_ec2_traffic_mirror_target\" \"{name}\" {{\n  description = \"{label} of weir\"\n  {argument} = {}\n}}\n",
        id.hcl()
    );
    for (i, source) in what.sources.iter().enumerate() {
        let vni = what.vni.map(|vni| format!("  virtual_network_id       = {vni}\n")).unwrap_or_default();
        let length =
            what.packet_length.map(|n| format!("  packet_length            = {n}\n")).unwrap_or_default();
        let _ = writeln!(
            text,
            "resource \"aws_ec2_traffic_mirror_session\" \"{name}_{i}\" {{\n  \
             network_interface_id     = {}\n  session_number           = {}\n{vni}{length}  \
             traffic_mirror_filter_id = aws_ec2_traffic_mirror_filter.{name}.id\n  \
             traffic_mirror_target_id = aws_ec2_traffic_mirror_target.{name}.id\n}}\n",
            source.hcl(),
            what.session,
        );
    }
    let about = vec![
        "AWS VPC Traffic Mirroring. The sensor's security group must let UDP 4789 in; weir sense --vxlan takes it.".into(),
        "Not mirrored by AWS: ARP, DHCP, instance metadata, NTP, and packets that security groups dropped.".into(),
        "Packets are cut where they and 50 bytes exceed the MTU of a target that is an instance.".into(),
    ];
    file(about, text, directory, label)
}

/// Pairs of source and destination: AWS rules match both, so a network is one rule each way.
fn rules(networks: &[Cidr]) -> Vec<(String, String)> {
    const ALL: [&str; 2] = ["0.0.0.0/0", "::/0"];
    if networks.is_empty() {
        return ALL.map(|all| (all.to_owned(), all.to_owned())).to_vec();
    }
    let both = |network: &Cidr| {
        let network = network.to_string();
        let all = if network.contains(':') { ALL[1] } else { ALL[0] }.to_owned();
        [(network.clone(), all.clone()), (all, network)]
    };
    networks.iter().flat_map(both).collect()
}

/// GCP.
pub fn gcp(what: &Gcp, directory: &Path, label: &Label) -> Plan {
    let (name, region, network) = (identifier(label), &what.region, what.network.hcl());
    let dashed = label.name();
    let mut text = provider("google", "hashicorp/google", ">= 5.0");
    let collector = match &what.collector {
        Collector::Rule(rule) => rule.hcl(),
        Collector::Group(group, subnetwork, port) => {
            let _ = writeln!(
                text,
                "resource \"google_compute_region_health_check\" \"{name}\" {{\n  name   = \"{dashed}\"\n  region = \"{region}\"\n\n  \
                 tcp_health_check {{\n    port = {port}\n  }}\n}}\n\n\
                 resource \"google_compute_region_backend_service\" \"{name}\" {{\n  name                  = \"{dashed}\"\n  \
                 region                = \"{region}\"\n  protocol              = \"TCP\"\n  \
                 load_balancing_scheme = \"INTERNAL\"\n  \
                 health_checks         = [google_compute_region_health_check.{name}.id]\n\n  \
                 backend {{\n    group          = {}\n    balancing_mode = \"CONNECTION\"\n  }}\n}}\n\n\
                 resource \"google_compute_forwarding_rule\" \"{name}\" {{\n  name                   = \"{dashed}\"\n  \
                 region                 = \"{region}\"\n  is_mirroring_collector = true\n  \
                 load_balancing_scheme  = \"INTERNAL\"\n  ip_protocol            = \"TCP\"\n  \
                 all_ports              = true\n  network                = {network}\n  subnetwork             = {}\n  \
                 backend_service        = google_compute_region_backend_service.{name}.id\n}}\n",
                group.hcl(),
                subnetwork.hcl(),
            );
            format!("google_compute_forwarding_rule.{name}.id")
        }
    };
    let _ = writeln!(
        text,
        "resource \"google_compute_packet_mirroring\" \"{name}\" {{\n  name        = \"{dashed}\"\n  region      = \"{region}\"\n  \
         description = \"{label} of weir\"\n\n  network {{\n    url = {network}\n  }}\n\n  collector_ilb {{\n    url = {collector}\n  }}\n\n  \
         mirrored_resources {{",
    );
    for (block, ids) in [("instances", &what.instances), ("subnetworks", &what.subnetworks)] {
        for id in ids {
            let _ = writeln!(text, "    {block} {{\n      url = {}\n    }}", id.hcl());
        }
    }
    if !what.tags.is_empty() {
        let _ = writeln!(text, "    tags = [{}]", list(what.tags.iter().map(value::DnsLabel::to_string)));
    }
    text.push_str("  }\n");
    if !what.networks.is_empty() {
        let networks = list(what.networks.iter().map(Cidr::to_string));
        let _ =
            writeln!(text, "\n  filter {{\n    cidr_ranges = [{networks}]\n    direction   = \"BOTH\"\n  }}");
    }
    text.push_str("}\n");
    let about = vec![
        "GCP Packet Mirroring: the collectors get the packets as they were, so weir sense -i reads their interface.".into(),
        "Firewall rules of the collectors must let all protocols and ports in.".into(),
    ];
    file(about, text, directory, label)
}

/// Azure.
pub fn azure(what: &Azure, directory: &Path, label: &Label) -> Plan {
    // The first version that has destinationPort and both destinations is older; this one is widely deployed.
    const API: &str = "2024-05-01";
    let (name, dashed) = (identifier(label), label.name());
    let mut text = provider("azapi", "Azure/azapi", ">= 2.0");
    let destination = if what.balanced {
        "destinationLoadBalancerFrontEndIPConfiguration"
    } else {
        "destinationNetworkInterfaceIPConfiguration"
    };
    let _ = writeln!(
        text,
        "resource \"azapi_resource\" \"{name}\" {{\n  type      = \"Microsoft.Network/virtualNetworkTaps@{API}\"\n  \
         name      = \"{dashed}\"\n  parent_id = {}\n  location  = \"{}\"\n\n  body = {{\n    properties = {{\n      \
         destinationPort = {}\n      {destination} = {{\n        id = {}\n      }}\n    }}\n  }}\n}}\n",
        what.group.hcl(),
        what.location,
        what.port,
        what.destination.hcl(),
    );
    for (i, source) in what.sources.iter().enumerate() {
        let _ = writeln!(
            text,
            "resource \"azapi_resource\" \"{name}_{i}\" {{\n  \
             type      = \"Microsoft.Network/networkInterfaces/tapConfigurations@{API}\"\n  name      = \"{dashed}\"\n  \
             parent_id = {}\n\n  body = {{\n    properties = {{\n      virtualNetworkTap = {{\n        \
             id = azapi_resource.{name}.id\n      }}\n    }}\n  }}\n}}\n",
            source.hcl(),
        );
    }
    let about = vec![
        format!("Azure virtual network tap: VXLAN to UDP {}; weir sense --vxlan takes it.", what.port),
        "Every mirrored interface and the sensor are in one region, and in one virtual network or peered ones.".into(),
    ];
    file(about, text, directory, label)
}

fn file(about: Vec<String>, text: String, directory: &Path, label: &Label) -> Plan {
    Plan::of_files(label.name(), about, vec![(directory.join(format!("{}.tf", label.name())), text)])
}

fn provider(name: &str, source: &str, version: &str) -> String {
    format!(
        "terraform {{\n  required_providers {{\n    {name} = {{\n      source  = \"{source}\"\n      version = \"{version}\"\n    }}\n  }}\n}}\n\n"
    )
}

/// Names of resources have no dash by custom.
fn identifier(label: &Label) -> String {
    format!("weir_{label}")
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.map(|item| format!("\"{item}\"")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The resources of a text, as Terraform's language says it: type and name.
    fn resources(plan: &Plan) -> Vec<(String, String)> {
        let body: hcl::Body = hcl::parse(&plan.text()).unwrap_or_else(|e| panic!("{e}\n{}", plan.text()));
        let labels = |block: &hcl::Block| match block.labels() {
            [kind, name] => Some((kind.as_str().to_owned(), name.as_str().to_owned())),
            _ => None,
        };
        body.blocks().filter(|block| block.identifier() == "resource").filter_map(labels).collect()
    }

    fn id(text: &str) -> CloudId {
        text.parse().unwrap()
    }

    #[test]
    fn aws_mirrors_each_interface_by_a_session_and_every_network_both_ways() {
        let what = Aws {
            sources: vec![id("eni-1"), id("aws_instance.web.primary_network_interface_id")],
            target: AwsTarget::LoadBalancer(id(
                "arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/net/x/1",
            )),
            vni: Some(7),
            packet_length: None,
            session: 1,
            networks: vec!["10.0.0.0/8".parse().unwrap()],
        };
        let plan = aws(&what, Path::new("."), &Label::of("vpc"));
        let count = |kind: &str| resources(&plan).iter().filter(|(k, _)| k == kind).count();
        assert_eq!(count("aws_ec2_traffic_mirror_session"), 2);
        assert_eq!(count("aws_ec2_traffic_mirror_filter_rule"), 4);
        assert_eq!((count("aws_ec2_traffic_mirror_target"), count("aws_ec2_traffic_mirror_filter")), (1, 1));
        let text = plan.text();
        assert!(
            text.contains("network_interface_id     = aws_instance.web.primary_network_interface_id"),
            "{text}"
        );
        assert!(text.contains("virtual_network_id       = 7") && !text.contains("packet_length"), "{text}");
    }

    #[test]
    fn gcp_makes_a_collector_where_there_is_none() {
        let mut what = Gcp {
            region: "europe-west1".parse().unwrap(),
            network: id("projects/p/global/networks/n"),
            instances: vec![id("google_compute_instance.web.id")],
            subnetworks: vec![],
            tags: vec!["web".parse().unwrap()],
            collector: Collector::Group(id("google_compute_instance_group.sensors.id"), id("subnet"), 443),
            networks: vec![],
        };
        let plan = gcp(&what, Path::new("."), &Label::of("vpc"));
        assert_eq!(resources(&plan).len(), 4, "{}", plan.text());
        assert!(plan.text().contains("url = google_compute_forwarding_rule.weir_vpc.id"));
        what.collector = Collector::Rule(id("projects/p/regions/r/forwardingRules/f"));
        assert_eq!(resources(&gcp(&what, Path::new("."), &Label::of("vpc"))).len(), 1);
    }

    #[test]
    fn azure_taps_each_interface() {
        let what = Azure {
            group: id("/subscriptions/s/resourceGroups/g"),
            location: "westeurope".parse().unwrap(),
            sources: vec![id("azurerm_network_interface.a.id"), id("azurerm_network_interface.b.id")],
            destination: id("azurerm_network_interface.sensor.id"),
            balanced: false,
            port: 4789,
        };
        let plan = azure(&what, Path::new("."), &Label::of("vnet"));
        assert_eq!(resources(&plan).len(), 3, "{}", plan.text());
        assert!(plan.text().contains("id = azapi_resource.weir_vnet.id"));
    }
}
