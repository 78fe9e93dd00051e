//! Where frames shall go, as a URL: `vxlan://10.0.0.9?vni=7`.
//!
//! Promise: what is shown ([`Target`]'s `Display`) is understood again and the same, and names the target for the tables of all
//! machines alike, whatever was left to defaults (test `what_is_shown_is_understood_again`).

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;
use weir_wire::tunnel::{geneve, vxlan};

/// Where frames shall go.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Target {
    /// What and where.
    pub place: Place,
    /// Its share in a group of targets, in proportion to those of others.
    pub weight: u32,
}

/// The kinds of targets. The next one to come is weir's own stream: acknowledged and encrypted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Place {
    /// VXLAN over UDP.
    Vxlan {
        /// A name or an address.
        host: String,
        /// The UDP port.
        port: u16,
        /// The network identifier, below 2²⁴.
        vni: u32,
    },
    /// GENEVE over UDP, with weir's option.
    Geneve {
        /// A name or an address.
        host: String,
        /// The UDP port.
        port: u16,
        /// The network identifier, below 2²⁴.
        vni: u32,
    },
    /// GRE with a sequence number.
    Gre {
        /// A name or an address.
        host: String,
        /// The key.
        key: Option<u32>,
    },
    /// ERSPAN over GRE.
    Erspan {
        /// A name or an address.
        host: String,
        /// The type: 1, 2 or 3.
        version: u8,
        /// The session, below 1024.
        session: u16,
    },
    /// A stream of a capture over TCP, which is dialled.
    Pcap {
        /// A name or an address.
        host: String,
        /// The TCP port.
        port: u16,
    },
    /// A capture file.
    File {
        /// Its name.
        path: PathBuf,
        /// Begins another file after so many bytes.
        rotate: Option<u64>,
        /// How many files are kept.
        keep: Option<usize>,
    },
    /// An Ethernet interface.
    Interface {
        /// Its name.
        name: String,
    },
}

/// The kinds of targets without their places: those of one kind are a group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// [`Place::Vxlan`].
    Vxlan,
    /// [`Place::Geneve`].
    Geneve,
    /// [`Place::Gre`].
    Gre,
    /// [`Place::Erspan`].
    Erspan,
    /// [`Place::Pcap`].
    Pcap,
    /// [`Place::File`].
    File,
    /// [`Place::Interface`].
    Interface,
}

/// The text names no target.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error(
    "{text:?} is no target: {why}. Targets are vxlan://HOST[:PORT]?vni=N, geneve://HOST[:PORT]?vni=N, gre://HOST?key=N, \
     erspan://HOST?version=1|2|3&id=N, pcap://HOST:PORT, file://PATH?rotate=100mb&keep=N, interface://IF"
)]
pub struct NotATarget {
    text: String,
    why: String,
}

impl Target {
    /// Its kind.
    pub const fn kind(&self) -> Kind {
        match self.place {
            Place::Vxlan { .. } => Kind::Vxlan,
            Place::Geneve { .. } => Kind::Geneve,
            Place::Gre { .. } => Kind::Gre,
            Place::Erspan { .. } => Kind::Erspan,
            Place::Pcap { .. } => Kind::Pcap,
            Place::File { .. } => Kind::File,
            Place::Interface { .. } => Kind::Interface,
        }
    }
}

impl fmt::Display for Target {
    /// The name of the target, without its weight.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Vxlan { host, port, vni } => write!(f, "vxlan://{host}:{port}?vni={vni}"),
            Place::Geneve { host, port, vni } => write!(f, "geneve://{host}:{port}?vni={vni}"),
            Place::Gre { host, key: None } => write!(f, "gre://{host}"),
            Place::Gre { host, key: Some(key) } => write!(f, "gre://{host}?key={key}"),
            Place::Erspan { host, version: 1, .. } => write!(f, "erspan://{host}?version=1"),
            Place::Erspan { host, version, session } => {
                write!(f, "erspan://{host}?version={version}&id={session}")
            }
            Place::Pcap { host, port } => write!(f, "pcap://{host}:{port}"),
            Place::File { path, rotate, keep } => {
                write!(f, "file://{}", path.display())?;
                if let Some(bytes) = rotate {
                    write!(f, "?rotate={bytes}")?;
                }
                keep.map_or(Ok(()), |keep| write!(f, "&keep={keep}"))
            }
            Place::Interface { name } => write!(f, "interface://{name}"),
        }
    }
}

impl FromStr for Target {
    type Err = NotATarget;

    fn from_str(text: &str) -> Result<Self, NotATarget> {
        parse(text).map_err(|why| NotATarget { text: text.into(), why })
    }
}

fn parse(text: &str) -> Result<Target, String> {
    let (scheme, rest) = text.split_once("://").or_else(|| text.split_once(':')).ok_or("it has no scheme")?;
    let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
    if place.is_empty() {
        return Err("it names no place".into());
    }
    let mut options = Options::new(options)?;
    let weight = options.number("weight", 1, 1..=65_535)? as u32;
    let identifier = 0..=0xff_ffff;
    let place = match scheme {
        "vxlan" => {
            let (host, port) = host_and_port(place, Some(vxlan::PORT))?;
            Place::Vxlan { host, port, vni: options.number("vni", 0, identifier)? as u32 }
        }
        "geneve" => {
            let (host, port) = host_and_port(place, Some(geneve::PORT))?;
            Place::Geneve { host, port, vni: options.number("vni", 0, identifier)? as u32 }
        }
        "gre" => {
            let key = options.take("key").map(|text| number("key", &text, &(0..=u64::from(u32::MAX))));
            Place::Gre { host: host(place)?, key: key.transpose()?.map(|key| key as u32) }
        }
        "erspan" => {
            let version = options.number("version", 2, 1..=3)? as u8;
            let session = options.number("id", 0, 0..=1023)? as u16;
            Place::Erspan { host: host(place)?, version, session: if version == 1 { 0 } else { session } }
        }
        "pcap" | "tcp" => {
            let (host, port) = host_and_port(place, None)?;
            Place::Pcap { host, port }
        }
        "file" => {
            let rotate = options.take("rotate").map(|text| bytes(&text)).transpose()?;
            let keep = options.take("keep").map(|text| number("keep", &text, &(1..=1_000_000)));
            let keep = keep.transpose()?.map(|keep| keep as usize);
            if keep.is_some() && rotate.is_none() {
                return Err("keep needs rotate".into());
            }
            Place::File { path: place.into(), rotate, keep }
        }
        "interface" | "if" => Place::Interface { name: place.into() },
        other => return Err(format!("{other:?} is no kind of target")),
    };
    options.none_left()?;
    Ok(Target { place, weight })
}

/// What is behind the question mark.
struct Options<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Options<'a> {
    fn new(text: &'a str) -> Result<Self, String> {
        let parts = text.split('&').filter(|part| !part.is_empty());
        let pair = |part: &'a str| part.split_once('=').ok_or_else(|| format!("{part:?} has no value"));
        parts.map(pair).collect::<Result<_, _>>().map(Self)
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(key, _)| *key == name)?;
        Some(self.0.remove(at).1.to_owned())
    }

    fn number(
        &mut self,
        name: &str,
        usual: u64,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<u64, String> {
        self.take(name).map_or(Ok(usual), |text| number(name, &text, &range))
    }

    fn none_left(&self) -> Result<(), String> {
        self.0
            .first()
            .map_or(Ok(()), |(name, _)| Err(format!("{name:?} is no option of it, or is there twice")))
    }
}

fn number(name: &str, text: &str, range: &std::ops::RangeInclusive<u64>) -> Result<u64, String> {
    let wrong = || format!("{name} is a number from {} to {}, not {text:?}", range.start(), range.end());
    text.parse().ok().filter(|n| range.contains(n)).ok_or_else(wrong)
}

/// A size: 100mb, 1gb, 5000.
fn bytes(text: &str) -> Result<u64, String> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(at);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        _ => return Err(format!("rotate is a size like 100mb, not {text:?}")),
    };
    let size = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(factor));
    size.filter(|n| *n >= 4096)
        .ok_or_else(|| format!("rotate is a size of at least 4096 bytes, not {text:?}"))
}

fn host(text: &str) -> Result<String, String> {
    let is_v6 = text.starts_with('[') && text.ends_with(']');
    let inner = if is_v6 { text.get(1..text.len() - 1).unwrap_or_default() } else { text };
    let right = if is_v6 {
        inner.parse::<std::net::Ipv6Addr>().is_ok()
    } else {
        !inner.is_empty() && inner.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
    };
    if right {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no host: a name, an IPv4 address, or an IPv6 address in brackets"))
    }
}

fn host_and_port(text: &str, usual: Option<u16>) -> Result<(String, u16), String> {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => {
            let port = port.parse::<u16>().ok().filter(|port| *port > 0);
            (name, port.ok_or("the port is a number from 1 to 65535")?)
        }
        _ => (text, usual.ok_or("it has no port")?),
    };
    Ok((host(name)?, port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_shown_is_understood_again() {
        for (text, shown) in [
            ("vxlan://10.0.0.9", "vxlan://10.0.0.9:4789?vni=0"),
            ("vxlan://[2001:db8::1]:8472?vni=16777215", "vxlan://[2001:db8::1]:8472?vni=16777215"),
            ("geneve://sensor-1.lan?vni=7&weight=3", "geneve://sensor-1.lan:6081?vni=7"),
            ("gre://10.0.0.9", "gre://10.0.0.9"),
            ("gre://10.0.0.9?key=9", "gre://10.0.0.9?key=9"),
            ("erspan://10.0.0.9?id=1023", "erspan://10.0.0.9?version=2&id=1023"),
            ("erspan://[::1]?version=1", "erspan://[::1]?version=1"),
            ("pcap://10.0.0.9:5555", "pcap://10.0.0.9:5555"),
            ("file:///tmp/a.pcap?rotate=1mb&keep=3", "file:///tmp/a.pcap?rotate=1000000&keep=3"),
            ("file://a.pcapng", "file://a.pcapng"),
            ("if:veth0", "interface://veth0"),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.to_string(), shown);
            let again: Target = shown.parse().unwrap();
            assert_eq!((again.place, again.weight), (target.place.clone(), 1));
            assert_eq!(target.weight, if text.contains("weight") { 3 } else { 1 });
        }
    }

    #[test]
    fn what_is_no_target_is_said_with_what_is_wrong_and_what_would_be_right() {
        for (text, why) in [
            ("10.0.0.9", "no scheme"),
            ("vxlan://", "no place"),
            ("vxlan://10.0.0.9?vni=16777216", "vni"),
            ("vxlan://10.0.0.9:0", "port"),
            ("vxlan://10.0.0.9?vnl=7", "vnl"),
            ("vxlan://10.0.0.9?vni", "no value"),
            ("vxlan://::1?vni=7", "no host"),
            ("erspan://h?version=4", "version"),
            ("pcap://h", "no port"),
            ("file://x?keep=3", "rotate"),
            ("file://x?rotate=1tb", "rotate"),
            ("udp://h:1", "udp"),
        ] {
            let error = text.parse::<Target>().unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("vxlan://HOST"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "(vxlan|geneve|gre|erspan|pcap|file|if)://[a-z0-9:\\[\\]?=&.]{0,30}|.{0,40}") {
            if let Ok(target) = text.parse::<Target>() {
                let again: Result<Target, _> = target.to_string().parse();
                prop_assert_eq!(again.map(|t| t.place), Ok(target.place));
            }
        }
    }
}
