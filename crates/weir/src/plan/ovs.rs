//! Open vSwitch: mirrors to a port or a tunnel, and the split of a port's traffic among ports.
//!
//! Sources: ovs-vsctl(8), ovs-vswitchd.conf.db(5) tables Mirror and Interface, ovs-actions(7) `bundle`, ovs-ofctl(8)
//! select groups. All works in the userspace datapath too.
//!
//! Symmetry. `bundle(symmetric_l3l4+udp)` hashes both directions of a flow alike in every datapath, and with `hrw`
//! only the flows of a port that is down move. A select group with `dp_hash` is symmetric by SYM_L4 where the
//! datapath has it (the userspace one does; Linux from 6.6 on); `hash` over fields is symmetric only where the fields
//! are: equal in both directions.

use std::fmt::Write;

use super::target::{Kind, Target, Tunnel};
use super::value::{Interface, Label};
use super::{Call, Plan, Probe, Step, digest};

/// What `weir plan ovs-mirror` is told.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// The bridge.
    pub bridge: Interface,
    /// The ports whose packets are mirrored; none: of all.
    pub ports: Vec<Interface>,
    /// Packets that come from these ports into the switch.
    pub from: bool,
    /// Packets that leave through them.
    pub to: bool,
    /// Only these VLANs.
    pub vlans: Vec<u16>,
    /// Bytes of each packet that are mirrored.
    pub snaplen: Option<u16>,
    /// Where the copies go.
    pub target: Target,
}

/// How a port's traffic is split.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// The action `bundle`: symmetric everywhere.
    Bundle,
    /// A select group by the datapath's symmetric hash.
    DpHash,
    /// A select group by a hash over fields.
    Hash,
}

/// What `weir plan ovs-split` is told.
#[derive(Clone, Debug)]
pub struct Split {
    /// The bridge.
    pub bridge: Interface,
    /// The port where traffic comes in.
    pub from: Interface,
    /// The ports among which it is split.
    pub to: Vec<Interface>,
    /// How.
    pub method: Method,
    /// The packets go their usual way too.
    pub copy: bool,
    /// The flow's priority.
    pub priority: u16,
}

/// Mirrors ports.
pub fn mirror(what: &Mirror, label: &Label) -> Plan {
    let (name, bridge) = (label.name(), &what.bridge);
    let mut about =
        vec![format!("Mirrors {} of bridge {bridge} to {}.", ports(&what.ports), place(&what.target))];
    let mut add = Call::new("ovs-vsctl", "");
    let mut selected = String::new();
    for (i, port) in what.ports.iter().enumerate() {
        add.arguments.extend(words(&format!("-- --id=@in{i} get port {port}")));
        let _ = write!(selected, "{}@in{i}", if i > 0 { "," } else { "" });
    }
    let output = match &what.target {
        Target::Interface(port) => {
            add.arguments.extend(words(&format!("-- --id=@out get port {port}")));
            String::new()
        }
        Target::Tunnel(tunnel) => {
            about.push(
                "The tunnel's outer packets must not pass a mirrored port: they would be mirrored again."
                    .into(),
            );
            add.arguments.extend(words(&format!("-- add-port {bridge} {name} -- set interface {name}")));
            add.arguments.extend(options(tunnel));
            add.arguments.extend(words(&format!("-- --id=@out get port {name}")));
            format!(" -- del-port {bridge} {name}")
        }
    };
    let mut columns = String::new();
    if what.ports.is_empty() {
        columns.push_str(" select_all=true");
    }
    if what.from && !what.ports.is_empty() {
        let _ = write!(columns, " select_src_port={selected}");
    }
    if what.to && !what.ports.is_empty() {
        let _ = write!(columns, " select_dst_port={selected}");
    }
    if !what.vlans.is_empty() {
        let vlans: Vec<_> = what.vlans.iter().map(u16::to_string).collect();
        let _ = write!(columns, " select_vlan={}", vlans.join(","));
    }
    if let Some(snaplen) = what.snaplen {
        let _ = write!(columns, " snaplen={snaplen}");
    }
    // The digest tells this mirror from one of the same name that an earlier plan made otherwise.
    let mark = format!("weir={:016x}", digest(&format!("{add}{columns}")));
    add.arguments.extend(words(&format!(
        "-- --id=@m create mirror name={name} output_port=@out external_ids:{mark}{columns} -- add bridge {bridge} mirrors @m"
    )));
    let step = Step::ours(
        format!("the mirror {name}"),
        Probe::Prints(
            Call::new("ovs-vsctl", &format!("--bare --columns=external_ids find mirror name={name}")),
            mark,
        ),
        add,
        Call::new(
            "ovs-vsctl",
            &format!("-- --id=@m get mirror {name} -- remove bridge {bridge} mirrors @m{output}"),
        ),
    );
    Plan { name, about, steps: vec![step], interfaces: Vec::new(), documents: Vec::new() }
}

/// Splits the traffic of a port among others by flow.
pub fn split(what: &Split, label: &Label) -> Plan {
    let (name, bridge) = (label.name(), &what.bridge);
    let to: Vec<_> = what.to.iter().map(Interface::as_str).collect();
    let mut about = vec![format!(
        "Splits what comes in at port {} of bridge {bridge} among {} by flow.",
        what.from,
        to.join(", ")
    )];
    if what.method == Method::Hash {
        about.push(
            "A hash over fields is not symmetric: the two directions of a flow may part. Prefer bundle."
                .into(),
        );
    }
    if what.method == Method::DpHash {
        about.push("Symmetric in the userspace datapath, and in Linux from 6.6 on.".into());
    }
    let mark = digest(&format!("{name} {bridge} {}", what.from)) as u32;
    let mut steps = Vec::new();
    let action = match what.method {
        Method::Bundle => format!("bundle(symmetric_l3l4+udp,0,hrw,ofport,members:{})", to.join(",")),
        Method::DpHash | Method::Hash => {
            let group = group(what, mark, &to);
            let number = group_number(mark);
            steps.push(group);
            format!("group:{number}")
        }
    };
    let action = if what.copy { format!("{action},normal") } else { action };
    // "weir" and a number of its own in 64 bits.
    let cookie = format!("0x{:08x}{mark:08x}", u32::from_be_bytes(*b"weir"));
    let flow = format!("cookie={cookie},priority={},in_port={},actions={action}", what.priority, what.from);
    steps.push(Step::ours(
        format!("the flow with cookie {cookie}"),
        Probe::Prints(
            Call::new("ovs-ofctl", &format!("-O OpenFlow15 dump-flows {bridge} cookie={cookie}/-1")),
            cookie.clone(),
        ),
        Call::new("ovs-ofctl", &format!("-O OpenFlow15 add-flow {bridge}")).with(flow),
        Call::new("ovs-ofctl", &format!("-O OpenFlow15 del-flows {bridge} cookie={cookie}/-1")),
    ));
    Plan { name, about, steps, interfaces: Vec::new(), documents: Vec::new() }
}

/// Above what people number by hand, below the reserved numbers (OpenFlow 1.5, OFPG_MAX is 0xffffff00).
fn group_number(mark: u32) -> u32 {
    0x7765_0000 | (mark & 0xffff)
}

fn group(what: &Split, mark: u32, to: &[&str]) -> Step {
    let number = group_number(mark);
    let method = match what.method {
        // The upper half of the parameter is the algorithm, 1 for OVS_HASH_ALG_SYM_L4; the lower one its seed.
        Method::Bundle | Method::DpHash => "dp_hash,selection_method_param=0x100000000",
        Method::Hash => "hash,fields(ip_src,ip_dst,nw_proto,tcp_src,tcp_dst,udp_src,udp_dst)",
    };
    let mut group = format!("group_id={number},type=select,selection_method={method}");
    for (i, port) in to.iter().enumerate() {
        let _ = write!(group, ",bucket=bucket_id:{i},weight:1,watch_port:{port},actions=output:{port}");
    }
    let bridge = &what.bridge;
    Step::ours(
        format!("the select group {number}"),
        Probe::Prints(
            Call::new("ovs-ofctl", &format!("-O OpenFlow15 dump-groups {bridge} {number}")),
            format!("group_id={number},"),
        ),
        Call::new("ovs-ofctl", &format!("-O OpenFlow15 add-group {bridge}")).with(group),
        Call::new("ovs-ofctl", &format!("-O OpenFlow15 del-groups {bridge} group_id={number}")),
    )
}

fn words(text: &str) -> impl Iterator<Item = String> + use<'_> {
    text.split_whitespace().map(str::to_owned)
}

/// The columns of table Interface (ovs-vswitchd.conf.db(5), "Tunnel Options").
fn options(tunnel: &Tunnel) -> Vec<String> {
    let mut options = vec![
        format!("type={}", tunnel.kind.name()),
        format!("options:remote_ip={}", quote_colons(&tunnel.host.to_string())),
        format!("options:key={}", tunnel.id),
    ];
    match tunnel.kind {
        Kind::Vxlan | Kind::Geneve => options.push(format!("options:dst_port={}", tunnel.port)),
        Kind::Gre => {}
        Kind::Erspan2 => {
            options.extend(["options:erspan_ver=1".to_owned(), "options:erspan_idx=1".to_owned()]);
        }
        Kind::Erspan3 => options.extend(
            ["options:erspan_ver=2", "options:erspan_dir=0", "options:erspan_hwid=1"].map(str::to_owned),
        ),
    }
    options
}

/// A value of the database with colons in it is a string in quotes.
fn quote_colons(value: &str) -> String {
    if value.contains(':') { format!("\"{value}\"") } else { value.to_owned() }
}

fn ports(ports: &[Interface]) -> String {
    match ports {
        [] => "all ports".to_owned(),
        some => some.iter().map(Interface::as_str).collect::<Vec<_>>().join(", "),
    }
}

fn place(target: &Target) -> String {
    match target {
        Target::Interface(port) => format!("port {port}"),
        Target::Tunnel(tunnel) => format!("{} over {}", tunnel.host, tunnel.kind.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(target: &str, ports: &[&str]) -> Mirror {
        let ports = ports.iter().map(|port| port.parse().unwrap()).collect();
        let (from, to) = (true, true);
        let target = target.parse().unwrap();
        Mirror { bridge: "br0".parse().unwrap(), ports, from, to, vlans: vec![], snaplen: None, target }
    }

    #[test]
    fn a_mirror_is_one_transaction_and_is_taken_back_by_one() {
        let plan = mirror(&of("vxlan://10.0.0.5?vni=7", &["eth1"]), &Label::of("eth1"));
        let text = plan.text();
        assert!(text.contains("set interface weir-eth1 type=vxlan options:remote_ip=10.0.0.5 options:key=7 options:dst_port=4789"), "{text}");
        assert!(text.contains("select_src_port=@in0 select_dst_port=@in0"), "{text}");
        assert!(text.contains("#   ovs-vsctl -- --id=@m get mirror weir-eth1 -- remove bridge br0 mirrors @m -- del-port br0 weir-eth1"), "{text}");
        assert_eq!(plan.steps[0].apply.len(), 1);
    }

    #[test]
    fn a_port_that_was_there_before_is_not_removed_with_the_mirror() {
        let plan = mirror(&of("eth9", &[]), &Label::of("br0"));
        assert!(
            plan.text().contains("select_all=true") && !plan.text().contains("del-port"),
            "{}",
            plan.text()
        );
    }

    #[test]
    fn another_target_is_another_mark() {
        let one = mirror(&of("gre://10.0.0.5?key=7", &["eth1"]), &Label::of("eth1"));
        let two = mirror(&of("gre://10.0.0.5?key=8", &["eth1"]), &Label::of("eth1"));
        assert_ne!(one.steps[0].present, two.steps[0].present);
        assert_ne!(one.digest(), two.digest());
    }

    #[test]
    fn an_address_of_ipv6_is_a_string_for_the_database() {
        let text = mirror(&of("geneve://[fd00::5]", &["eth1"]), &Label::of("eth1")).text();
        assert!(text.contains("'options:remote_ip=\"fd00::5\"'"), "{text}");
    }
}
