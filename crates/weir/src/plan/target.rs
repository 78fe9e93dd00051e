//! Where a copy goes: an interface, or a tunnel to another machine, as `--to` says it.
//!
//!     eth9                                   an interface (a port, where a switch is told)
//!     vxlan://10.0.0.5?vni=7                 RFC 7348, UDP 4789
//!     geneve://10.0.0.5:6081?vni=7           RFC 8926, UDP 6081
//!     gre://10.0.0.5?key=7                   RFC 2784, 2890 with Ethernet inside
//!     erspan://10.0.0.5?version=2&id=7       ERSPAN II (version=1 in Linux and Open vSwitch) or III (version=2)

use std::net::IpAddr;
use std::str::FromStr;

use super::value::{Interface, Label};
use super::{Call, Probe, Step};

/// Where a copy goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// An interface or port of this machine.
    Interface(Interface),
    /// A tunnel to another one.
    Tunnel(Tunnel),
}

/// A tunnel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tunnel {
    /// Which.
    pub kind: Kind,
    /// The far end. An address, because Open vSwitch and nftables take no names.
    pub host: IpAddr,
    /// The UDP port, where there is one.
    pub port: u16,
    /// VNI, key or session.
    pub id: u32,
}

/// The kinds of tunnel that Linux and Open vSwitch both make.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// VXLAN.
    Vxlan,
    /// GENEVE.
    Geneve,
    /// GRE with Ethernet inside (protocol 0x6558).
    Gre,
    /// ERSPAN type II, which Linux and Open vSwitch call version 1.
    Erspan2,
    /// ERSPAN type III, which they call version 2.
    Erspan3,
}

impl Kind {
    fn of(scheme: &str) -> Option<Self> {
        match scheme {
            "vxlan" => Some(Self::Vxlan),
            "geneve" => Some(Self::Geneve),
            "gre" => Some(Self::Gre),
            "erspan" => Some(Self::Erspan2),
            _ => None,
        }
    }

    /// As Open vSwitch names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vxlan => "vxlan",
            Self::Geneve => "geneve",
            Self::Gre => "gre",
            Self::Erspan2 | Self::Erspan3 => "erspan",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Vxlan => 4789,
            Self::Geneve => 6081,
            Self::Gre | Self::Erspan2 | Self::Erspan3 => 0,
        }
    }

    /// The largest number that tells its tunnels apart: a VNI has 24 bits, a key 32, a session 10.
    const fn most(self) -> u32 {
        match self {
            Self::Vxlan | Self::Geneve => 0xff_ffff,
            Self::Gre => u32::MAX,
            Self::Erspan2 | Self::Erspan3 => 0x3ff,
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return text.parse().map(Self::Interface);
        };
        let kind = Kind::of(scheme).ok_or_else(|| {
            format!("{scheme:?} is no tunnel that can be planned: vxlan, geneve, gre, erspan")
        })?;
        Tunnel::parse(kind, rest).map(Self::Tunnel).map_err(|wrong| format!("{text:?}: {wrong}"))
    }
}

impl Tunnel {
    fn parse(kind: Kind, rest: &str) -> Result<Self, String> {
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (host, port) = host_and_port(place.trim_end_matches('/'))?;
        let port = match port {
            Some(_) if kind.default_port() == 0 => return Err("this tunnel has no port".into()),
            Some(port) => port,
            None => kind.default_port(),
        };
        let mut tunnel = Self { kind, host, port, id: 0 };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let number: u32 = value.parse().map_err(|_| format!("{key}={value} is no number"))?;
            match (key, kind) {
                ("vni", Kind::Vxlan | Kind::Geneve) | ("key", Kind::Gre) => tunnel.id = number,
                ("id", Kind::Erspan2 | Kind::Erspan3) => tunnel.id = number,
                ("version", Kind::Erspan2 | Kind::Erspan3) => {
                    tunnel.kind = match number {
                        2 => Kind::Erspan2,
                        3 => Kind::Erspan3,
                        _ => return Err("ERSPAN that can be planned is version 2 or 3".into()),
                    }
                }
                _ => return Err(format!("{key} is nothing that {} has", kind.name())),
            }
        }
        if tunnel.id > tunnel.kind.most() {
            return Err(format!("{} is more than {}", tunnel.id, tunnel.kind.most()));
        }
        Ok(tunnel)
    }

    /// The command that makes a device of the kernel for it.
    pub fn device(&self, name: &str) -> Step {
        let Self { kind, host, port, id } = self;
        let six = host.is_ipv6();
        let kind = match (kind, six) {
            (Kind::Vxlan, _) => format!("vxlan id {id} remote {host} dstport {port}"),
            (Kind::Geneve, _) => format!("geneve id {id} remote {host} dstport {port}"),
            (Kind::Gre, false) => format!("gretap remote {host} key {id}"),
            (Kind::Gre, true) => format!("ip6gretap remote {host} key {id}"),
            (Kind::Erspan2, false) => format!("erspan seq key {id} remote {host} erspan_ver 1 erspan 1"),
            (Kind::Erspan2, true) => format!("ip6erspan seq key {id} remote {host} erspan_ver 1 erspan 1"),
            (Kind::Erspan3, false) => {
                format!("erspan seq key {id} remote {host} erspan_ver 2 erspan_dir ingress erspan_hwid 1")
            }
            (Kind::Erspan3, true) => {
                format!("ip6erspan seq key {id} remote {host} erspan_ver 2 erspan_dir ingress erspan_hwid 1")
            }
        };
        let up = Call::new("ip", &format!("link set dev {name} addrgenmode none up"));
        let mut step = Step::ours(
            format!("the device {name}, a tunnel to {host}"),
            Probe::Prints(Call::new("ip", &format!("link show dev {name}")), name.to_owned()),
            Call::new("ip", &format!("link add dev {name} type {kind}")),
            Call::new("ip", &format!("link del dev {name}")),
        );
        step.apply.push(up.into());
        step
    }
}

/// The interfaces of `targets`, and the steps that make those which are tunnels.
pub fn devices(targets: &[Target], label: &Label) -> (Vec<String>, Vec<Step>) {
    let mut steps = Vec::new();
    let name = |(i, target): (usize, &Target)| match target {
        Target::Interface(interface) => interface.to_string(),
        Target::Tunnel(tunnel) => {
            let name = format!("{}-{i}", label.name());
            steps.push(tunnel.device(&name));
            name
        }
    };
    let names = targets.iter().enumerate().map(name).collect();
    (names, steps)
}

/// The interfaces that must be there before.
pub fn needed(from: &Interface, targets: &[Target]) -> Vec<String> {
    let to = targets.iter().filter_map(|target| match target {
        Target::Interface(to) => Some(to.to_string()),
        Target::Tunnel(_) => None,
    });
    std::iter::once(from.to_string()).chain(to).collect()
}

fn host_and_port(place: &str) -> Result<(IpAddr, Option<u16>), String> {
    let wrong = || format!("{place:?} is no address: 10.0.0.5, 10.0.0.5:4789, [fd00::5]:4789");
    if let Ok(socket) = place.parse::<std::net::SocketAddr>() {
        return if socket.port() > 0 { Ok((socket.ip(), Some(socket.port()))) } else { Err(wrong()) };
    }
    let bare = place.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(place);
    bare.parse().map(|host| (host, None)).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_target_is_understood() {
        let tunnel = |text: &str| match text.parse() {
            Ok(Target::Tunnel(tunnel)) => tunnel,
            other => panic!("{text}: {other:?}"),
        };
        assert!(matches!("eth9".parse(), Ok(Target::Interface(name)) if name.as_str() == "eth9"));
        let vxlan = tunnel("vxlan://10.0.0.5?vni=7");
        assert_eq!((vxlan.kind, vxlan.port, vxlan.id), (Kind::Vxlan, 4789, 7));
        assert_eq!(tunnel("geneve://[fd00::5]:7000?vni=16777215").port, 7000);
        assert_eq!(tunnel("gre://fd00::5?key=4294967295").id, u32::MAX);
        assert_eq!(tunnel("erspan://10.0.0.5?version=3&id=1023").kind, Kind::Erspan3);
    }

    #[test]
    fn what_no_tunnel_has_is_refused_with_a_reason() {
        let wrong = |text: &str| text.parse::<Target>().unwrap_err();
        assert!(wrong("vxlan://10.0.0.5?vni=16777216").contains("more than"));
        assert!(wrong("vxlan://sensor").contains("no address"));
        assert!(wrong("vxlan://10.0.0.5;id").contains("no address"));
        assert!(wrong("gre://10.0.0.5:80").contains("no port"));
        assert!(wrong("gre://10.0.0.5?vni=1").contains("vni"));
        assert!(wrong("erspan://10.0.0.5?version=1").contains("version 2 or 3"));
        assert!(wrong("tcp://10.0.0.5").contains("tcp"));
        assert!(wrong("vxlan://10.0.0.5:0").contains("no address"));
        assert!(wrong("eth0;id").contains("interface"));
    }
}
