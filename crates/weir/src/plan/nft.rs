//! nftables: copies (`dup`) or moves (`fwd`) what an interface receives and sends, in its netdev hooks, to one
//! interface or to one of several by flow.
//!
//! Sources: nft(8) "dup statement", "fwd statement", "symhash", "jhash", netdev hooks. Needs Linux 4.10 for ingress, 5.16 for
//! egress.
//!
//! Which of several. `symhash` is the kernel's symmetric hash of addresses and ports: both directions of a flow give the same
//! number wherever they are seen (fragments by addresses alone; it does not look into UDP tunnels). `jhash` here takes
//! the two addresses, as received on the way in and exchanged on the way out, so that on an interface of a host, a bridge or a
//! router the two directions of a pair of hosts meet; where both directions come in on one side (a SPAN port)
//! it cannot do that, and is refused. What is not IP goes to the first.

use std::fmt::Write;

use super::target::{Kind, Target, Tunnel, devices, needed};
use super::value::{Interface, Label};
use super::{Call, Plan, Probe, Step, digest};

/// What chooses among several.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hash {
    /// Addresses and ports, symmetric.
    Symhash,
    /// Addresses, exchanged on the way out.
    Jhash,
}

/// Which packets of an interface are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ways {
    /// Those that come in.
    pub ingress: bool,
    /// Those that go out.
    pub egress: bool,
}

/// What `weir plan nft` is told.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The interface whose packets are taken.
    pub interface: Interface,
    /// Which.
    pub ways: Ways,
    /// Where they go: to one of these by flow.
    pub targets: Vec<Target>,
    /// What chooses.
    pub hash: Hash,
    /// They do not go their usual way any more.
    pub fwd: bool,
}

/// Why rules cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// Only `dup` is allowed on egress.
    #[error("only packets that come in can be moved: --move goes with --direction in")]
    FwdOnEgress,
    /// See the module.
    #[error(
        "jhash brings both directions of a flow together only with --direction both on an interface that sees them on different ways; take symhash"
    )]
    JhashOneWay,
    /// Copies of copies.
    #[error("{0} is where packets come from and where they go")]
    Itself(&'static str),
}

/// The table with its rules.
pub fn rules(what: &Rules, label: &Label) -> Result<Plan, Refused> {
    if what.fwd && what.ways.egress {
        return Err(Refused::FwdOnEgress);
    }
    if what.hash == Hash::Jhash && what.targets.len() > 1 && !(what.ways.ingress && what.ways.egress) {
        return Err(Refused::JhashOneWay);
    }
    if what.targets.iter().any(|target| matches!(target, Target::Interface(to) if *to == what.interface)) {
        return Err(Refused::Itself("the interface"));
    }
    let name = label.name();
    let (to, mut steps) = devices(&what.targets, label);
    let interfaces = needed(&what.interface, &what.targets);
    let mut about = vec![format!(
        "{} what interface {} {} to {}.",
        if what.fwd { "Moves" } else { "Copies" },
        what.interface,
        ways(what.ways),
        if to.len() > 1 { format!("one of {} by flow", to.join(", ")) } else { to.concat() },
    )];
    about.push("Packets are taken as the kernel has them: large ones before they are cut, with unfinished checksums.".into());
    let mut chains = String::new();
    if what.ways.ingress {
        chain(what, &to, false, &mut chains);
    }
    if what.ways.egress {
        chain(what, &to, true, &mut chains);
    }
    let mark = format!("weir {:016x}", digest(&chains));
    let chains = chains.replace("WEIR-MARK", &mark);
    // A table is made anew in one transaction: nothing is lost or doubled while it is replaced.
    let table =
        format!("table netdev {name}\ndelete table netdev {name}\ntable netdev {name} {{\n{chains}}}\n");
    steps.push(Step::ours(
        format!("the table {name}"),
        Probe::Prints(Call::new("nft", &format!("list table netdev {name}")), mark),
        Call::new("nft", "-f -").reading(table),
        Call::new("nft", &format!("delete table netdev {name}")),
    ));
    Ok(Plan { name, about, steps, interfaces, documents: Vec::new() })
}

fn chain(what: &Rules, to: &[String], egress: bool, text: &mut String) {
    let (chain, hook) = if egress { ("weir-out", "egress") } else { ("weir-in", "ingress") };
    let interface = &what.interface;
    // Before everything else in the hook: what a firewall drops there is seen too. Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "\tchain {chain} {{\n\t\ttype filter hook {hook} device \"{interface}\" priority -300; policy accept;"
    );
    if egress {
        for tunnel in what.targets.iter().filter_map(tunnel) {
            let _ = writeln!(text, "\t\t{} return comment \"the copies themselves\"", own(tunnel));
        }
    }
    let verb = if what.fwd { "fwd" } else { "dup" };
    if let [only] = to {
        let _ = writeln!(text, "\t\t{verb} to \"{only}\" comment \"WEIR-MARK\"\n\t}}");
        return;
    }
    let map: Vec<_> = to.iter().enumerate().map(|(i, name)| format!("{i} : \"{name}\"")).collect();
    let among = format!("mod {} map {{ {} }}", to.len(), map.join(", "));
    match what.hash {
        Hash::Symhash => {
            let _ = writeln!(text, "\t\t{verb} to symhash {among} comment \"WEIR-MARK\"");
        }
        Hash::Jhash => {
            let (first, second) = if egress { ("daddr", "saddr") } else { ("saddr", "daddr") };
            let among =
                among.replacen(&format!("mod {}", to.len()), &format!("mod {} seed 0x77656972", to.len()), 1);
            for (protocol, family) in [("ip", "ip"), ("ip6", "ip6")] {
                let _ = writeln!(
                    text,
                    "\t\tmeta protocol {protocol} {verb} to jhash {family} {first} . {family} {second} {among} comment \"WEIR-MARK\""
                );
            }
            let first = to.first().map_or("", String::as_str);
            let _ = writeln!(
                text,
                "\t\tmeta protocol != {{ ip, ip6 }} {verb} to \"{first}\" comment \"WEIR-MARK\""
            );
        }
    }
    text.push_str("\t}\n");
}

fn tunnel(target: &Target) -> Option<&Tunnel> {
    match target {
        Target::Tunnel(tunnel) => Some(tunnel),
        Target::Interface(_) => None,
    }
}

/// What matches the outer packets of a tunnel on their way out.
fn own(tunnel: &Tunnel) -> String {
    let family = if tunnel.host.is_ipv6() { "ip6" } else { "ip" };
    let next = if tunnel.host.is_ipv6() { "nexthdr" } else { "protocol" };
    match tunnel.kind {
        Kind::Vxlan | Kind::Geneve => format!("{family} daddr {} udp dport {}", tunnel.host, tunnel.port),
        Kind::Gre | Kind::Erspan2 | Kind::Erspan3 => {
            format!("{family} daddr {} {family} {next} gre", tunnel.host)
        }
    }
}

/// In words.
pub fn ways(ways: Ways) -> &'static str {
    match (ways.ingress, ways.egress) {
        (true, true) => "receives and sends",
        (false, true) => "sends",
        _ => "receives",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(targets: &[&str], hash: Hash, egress: bool, fwd: bool) -> Rules {
        let targets = targets.iter().map(|target| target.parse().unwrap()).collect();
        let ways = Ways { ingress: true, egress };
        Rules { interface: "eth0".parse().unwrap(), ways, targets, hash, fwd }
    }

    fn text(rules: &Rules) -> String {
        super::rules(rules, &Label::of("eth0")).unwrap().text()
    }

    #[test]
    fn the_copies_of_a_tunnel_are_not_copied_again() {
        let text = text(&of(&["vxlan://10.0.0.5?vni=7", "gre://fd00::5"], Hash::Symhash, true, false));
        assert!(text.contains("ip daddr 10.0.0.5 udp dport 4789 return"), "{text}");
        assert!(text.contains("ip6 daddr fd00::5 ip6 nexthdr gre return"), "{text}");
        assert!(
            text.contains("dup to symhash mod 2 map { 0 : \"weir-eth0-0\", 1 : \"weir-eth0-1\" }"),
            "{text}"
        );
    }

    #[test]
    fn jhash_takes_the_addresses_in_the_other_order_on_the_way_out() {
        let text = text(&of(&["s0", "s1"], Hash::Jhash, true, false));
        assert!(text.contains("jhash ip saddr . ip daddr mod 2 seed"), "{text}");
        assert!(text.contains("jhash ip daddr . ip saddr mod 2 seed"), "{text}");
    }

    #[test]
    fn what_would_part_directions_or_loop_is_refused() {
        let refused = |rules: &Rules| super::rules(rules, &Label::of("eth0")).unwrap_err();
        assert_eq!(refused(&of(&["s0", "s1"], Hash::Jhash, false, false)), Refused::JhashOneWay);
        assert_eq!(refused(&of(&["s0"], Hash::Symhash, true, true)), Refused::FwdOnEgress);
        assert!(matches!(refused(&of(&["eth0"], Hash::Symhash, true, false)), Refused::Itself(_)));
    }
}
