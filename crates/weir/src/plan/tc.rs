//! tc: copies what an interface receives and sends with the action mirred, in the qdisc clsact, to an interface, or to
//! several by pair of addresses.
//!
//! Sources: tc(8), tc-u32(8), tc-bpf(8), tc-mirred(8). u32 and BPF classifiers, because every kernel with tc has them; an action
//! `pass` is not needed either: a filter without action ends the walk.

use super::nft::{Ways, ways};
use super::target::{Kind, Target, Tunnel, devices, needed};
use super::value::{Interface, Label};
use super::{Action, Call, Owner, Plan, Probe, Step, digest, split};

/// What `weir plan tc` is told.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The interface whose packets are taken.
    pub interface: Interface,
    /// Which.
    pub ways: Ways,
    /// Where copies go: to one of these by pair of addresses.
    pub targets: Vec<Target>,
    /// The preference of the first filter; the following ones have the next numbers.
    pub preference: u16,
}

/// The filters.
///
/// # Errors
/// Where packets would be sent to where they come from.
pub fn rules(what: &Rules, label: &Label) -> Result<Plan, String> {
    let interface = &what.interface;
    if what.targets.iter().any(|target| matches!(target, Target::Interface(to) if to == interface)) {
        return Err(format!("{interface} is where packets come from and where they go"));
    }
    let (to, mut steps) = devices(&what.targets, label);
    let interfaces = needed(&what.interface, &what.targets);
    let mut about = vec![format!(
        "Copies what interface {interface} {} to {}.",
        ways(what.ways),
        if to.len() > 1 { format!("one of {} by pair of addresses", to.join(", ")) } else { to.concat() }
    )];
    about.push("Packets are taken as the kernel has them: large ones before they are cut, with unfinished checksums.".into());
    steps.push(clsact(interface));
    if what.ways.ingress {
        steps.push(filters(what, &to, "ingress"));
    }
    if what.ways.egress {
        steps.push(filters(what, &to, "egress"));
    }
    Ok(Plan { name: label.name(), about, steps, interfaces, documents: Vec::new() })
}

/// The qdisc that has filters on both ways. Others may use it, so it goes only when it is empty.
fn clsact(interface: &Interface) -> Step {
    let show = |way: &str| Call::new("tc", &format!("filter show dev {interface} {way}"));
    let mut step = Step::ours(
        format!("the qdisc clsact of {interface}"),
        Probe::Prints(Call::new("tc", &format!("qdisc show dev {interface} clsact")), "clsact".into()),
        Call::new("tc", &format!("qdisc add dev {interface} clsact")),
        Call::new("tc", &format!("qdisc del dev {interface} clsact")),
    );
    step.owner = Owner::Shared;
    step.undo_if = Some(Probe::Silent(vec![show("ingress"), show("egress")]));
    step
}

fn filters(what: &Rules, to: &[String], way: &str) -> Step {
    let (interface, mut preference) = (&what.interface, what.preference);
    let (mut apply, mut undo): (Vec<Action>, Vec<Action>) = (Vec::new(), Vec::new());
    let first = preference;
    let mut taken = Vec::new();
    let mut add = |protocol: &str, matches: Call| {
        let mut call = Call::new(
            "tc",
            &format!("filter add dev {interface} {way} protocol {protocol} pref {preference}"),
        );
        call.arguments.extend(matches.arguments);
        apply.push(call.into());
        undo.push(
            Call::new(
                "tc",
                &format!("filter del dev {interface} {way} protocol {protocol} pref {preference}"),
            )
            .into(),
        );
        taken.push(Call::new("tc", &format!("filter show dev {interface} {way} pref {preference}")));
        preference = preference.saturating_add(1);
    };
    if way == "egress" {
        for target in &what.targets {
            if let Target::Tunnel(tunnel) = target {
                let (protocol, matches) = own(tunnel);
                add(protocol, matches);
            }
        }
    }
    // The cookie is the mark: "weir" and which plan it is of.
    let mark = digest(&format!("{way} {to:?} {}", what.preference));
    let mark = format!("{:08x}{mark:016x}", u32::from_be_bytes(*b"weir"));
    let count = to.len() as u16;
    for (share, name) in (0..).zip(to) {
        let matches = match count {
            1 => Call::new("tc", "u32 match u32 0 0"),
            _ => Call::new("tc", "bpf bytecode").with(split::bytecode(share, count)),
        };
        let mut matches = matches;
        matches.arguments.extend(
            format!("action mirred egress mirror dev {name} cookie {mark}").split(' ').map(str::to_owned),
        );
        add("all", matches);
    }
    undo.reverse();
    Step {
        what: format!("the filters of {interface}, {way}"),
        owner: Owner::Ours,
        present: Some(Probe::Prints(Call::new("tc", &format!("filter show dev {interface} {way}")), mark)),
        apply,
        undo,
        undo_if: None,
        // By its preference a filter is taken back: one of somebody else's must not be there.
        apply_if: Some((
            Probe::Silent(taken),
            format!("the preferences from {first} on are not free: see --preference"),
        )),
    }
}

/// What matches the outer packets of a tunnel: the walk ends there, so the copies are not copied again.
fn own(tunnel: &Tunnel) -> (&'static str, Call) {
    let (protocol, ip, length) = if tunnel.host.is_ipv6() { ("ipv6", "ip6", 128) } else { ("ip", "ip", 32) };
    let host = format!("u32 match {ip} dst {}/{length}", tunnel.host);
    let port = |port| format!("match {ip} protocol 17 0xff match {ip} dport {port} 0xffff");
    let inside = match tunnel.kind {
        Kind::Vxlan | Kind::Geneve => port(tunnel.port),
        Kind::Gre | Kind::Erspan2 | Kind::Erspan3 => format!("match {ip} protocol 47 0xff"),
    };
    (protocol, Call::new("tc", &format!("{host} {inside} flowid 1:1")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_filter_has_a_preference_of_its_own_by_which_it_is_taken_back() {
        let targets = ["vxlan://10.0.0.5?vni=7", "s1"].map(|target| target.parse().unwrap()).to_vec();
        let ways = Ways { ingress: true, egress: true };
        let rules = Rules { interface: "eth0".parse().unwrap(), ways, targets, preference: 100 };
        let plan = super::rules(&rules, &Label::of("eth0")).unwrap();
        let text = plan.text();
        assert!(text.contains("egress protocol ip pref 100 u32 match ip dst 10.0.0.5/32"), "{text}");
        assert!(text.contains("egress protocol all pref 102 bpf bytecode '16,"), "{text}");
        assert!(text.contains("mirror dev weir-eth0-0 cookie 77656972"), "{text}");
        assert!(text.contains("#   tc filter del dev eth0 egress protocol ip pref 100"), "{text}");
        assert!(
            text.find("pref 102\n").unwrap() < text.rfind("pref 101\n").unwrap(),
            "the last first: {text}"
        );
        assert_eq!(plan.steps.iter().filter(|step| step.owner == Owner::Shared).count(), 1);
    }
}
