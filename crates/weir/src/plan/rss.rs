//! Receive side scaling: one queue for each worker, a symmetric Toeplitz key, ports in the hash, and no merging of packets.
//!
//! Sources: ethtool(8); Woo and Park, "Scalable TCP Session Monitoring with Symmetric Receive-side Scaling" (the key 6D:5A
//! repeated). The commands depend on what the card has, so its present settings are read first; they are also what is
//! set back.

use std::fmt::Write;

use super::value::{Interface, Label};
use super::{Call, Plan, Step};

/// What `weir plan rss` is told.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The interface.
    pub interface: Interface,
    /// How many queues.
    pub queues: u16,
    /// Descriptors of each receive ring; `None`: as they are.
    pub ring: Option<u32>,
    /// UDP is hashed with its ports; its fragments then go another way than its whole datagrams.
    pub udp_ports: bool,
    /// The kernel and the card may go on merging packets.
    pub keep_offloads: bool,
}

/// What ethtool says of the interface now; `None` where it failed.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Found {
    /// `ethtool -l`
    pub channels: Option<String>,
    /// `ethtool -x`
    pub indirection: Option<String>,
    /// `ethtool -g`
    pub rings: Option<String>,
    /// `ethtool -k`
    pub features: Option<String>,
    /// `ethtool -n IF rx-flow-hash udp4`
    pub udp4: Option<String>,
    /// `ethtool -n IF rx-flow-hash udp6`
    pub udp6: Option<String>,
}

impl Found {
    /// The calls that tell, in the order of the fields.
    pub fn calls(interface: &Interface) -> [Call; 6] {
        let call = |arguments: String| Call::new("ethtool", &arguments);
        [
            call(format!("-l {interface}")),
            call(format!("-x {interface}")),
            call(format!("-g {interface}")),
            call(format!("-k {interface}")),
            call(format!("-n {interface} rx-flow-hash udp4")),
            call(format!("-n {interface} rx-flow-hash udp6")),
        ]
    }
}

/// The length of the key where the card does not say: 40 bytes reach over two IPv6 addresses and ports.
const KEY_BYTES: usize = 40;

/// Settings, each set back to what was found. Without anything found (the interface is not here) the usual ones.
pub fn plan(what: &Wanted, found: &Found, label: &Label) -> Plan {
    let here = *found != Found::default();
    let interface = &what.interface;
    let mut about = vec![format!(
        "Interface {interface}: {} queues, both directions of a flow on one. Worker i reads queue i.",
        what.queues
    )];
    if !here {
        about.push(format!("{interface} is not here: these are the commands for most cards, and nothing to set back is known."));
    }
    let (interfaces, mut steps) = (vec![interface.to_string()], Vec::new());
    if !what.keep_offloads {
        steps.extend(offloads(interface, found.features.as_deref()));
    }
    steps.extend(channels(what, found.channels.as_deref()));
    if let Some(ring) = what.ring {
        let before = found.rings.as_deref().and_then(|text| current(text, "RX"));
        let set = |ring: u32| Call::new("ethtool", &format!("-G {interface} rx {ring}"));
        steps.push(Step::setting("the receive rings", set(ring), before.map(set)));
    }
    match &found.indirection {
        Some(text) => steps.push(key(what, Some(text))),
        None if here => {
            about.push(format!("{interface} has no key that could be set: do not rely on its symmetry."));
        }
        None => steps.push(key(what, None)),
    }
    let fields = if what.udp_ports { "sdfn" } else { "sd" };
    for (flow, text) in [("udp4", &found.udp4), ("udp6", &found.udp6)] {
        let set =
            |fields: &str| Call::new("ethtool", &format!("-N {interface} rx-flow-hash {flow} {fields}"));
        let before = text.as_deref().and_then(hash_fields);
        if before.is_some() || !here {
            steps.push(Step::setting(
                format!("what is hashed of {flow}"),
                set(fields),
                before.map(|f| set(&f)),
            ));
        }
    }
    Plan { name: label.name(), about, steps, interfaces, documents: Vec::new() }
}

fn channels(what: &Wanted, text: Option<&str>) -> Option<Step> {
    let (interface, queues) = (&what.interface, what.queues);
    let now = |name| text.and_then(|text| current(text, name));
    let set = |kind: &str, queues: u32| Call::new("ethtool", &format!("-L {interface} {kind} {queues}"));
    match (now("Combined"), now("RX")) {
        (Some(before), _) => {
            Some(Step::setting("the queues", set("combined", queues.into()), Some(set("combined", before))))
        }
        (None, Some(before)) => {
            Some(Step::setting("the queues", set("rx", queues.into()), Some(set("rx", before))))
        }
        (None, None) => {
            text.is_none().then(|| Step::setting("the queues", set("combined", queues.into()), None))
        }
    }
}

fn key(what: &Wanted, text: Option<&str>) -> Step {
    let interface = &what.interface;
    let before = text.and_then(hash_key);
    let bytes = before.as_ref().map_or(KEY_BYTES, |key| key.split(':').count());
    let symmetric: Vec<_> = ["6d", "5a"].into_iter().cycle().take(bytes).collect();
    let set =
        Call::new("ethtool", &format!("-X {interface} hkey {} equal {}", symmetric.join(":"), what.queues));
    let back = before.map(|key| Call::new("ethtool", &format!("-X {interface} hkey {key} default")));
    Step::setting("the symmetric key", set, back)
}

/// Merged packets are not what was on the wire; the ones that cannot be switched are left out.
fn offloads(interface: &Interface, text: Option<&str>) -> Option<Step> {
    const NAMES: [(&str, &str); 2] = [("gro", "generic-receive-offload"), ("lro", "large-receive-offload")];
    let (mut off, mut back) = (String::new(), String::new());
    for (short, long) in NAMES {
        let now = text.map(|text| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(long)?.strip_prefix(": "));
            line.unwrap_or("off [fixed]")
        });
        if now.is_none_or(|now| !now.contains("[fixed]")) {
            // Writing to a string cannot fail.
            let _ = write!(off, " {short} off");
            if let Some(now) = now.and_then(|now| now.split_whitespace().next()) {
                let _ = write!(back, " {short} {now}");
            }
        }
    }
    let set = |words: &str| Call::new("ethtool", &format!("-K {interface}{words}"));
    (!off.is_empty())
        .then(|| Step::setting("no merging of packets", set(&off), (!back.is_empty()).then(|| set(&back))))
}

/// The number after `name:` in the second half of what `ethtool -l` and `-g` print.
fn current(text: &str, name: &str) -> Option<u32> {
    let (_, now) = text.split_once("Current hardware settings:")?;
    let line = now.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().parse().ok()
}

/// The key in what `ethtool -x` prints.
pub fn hash_key(text: &str) -> Option<String> {
    let (_, after) = text.split_once("RSS hash key:\n")?;
    let key = after.lines().next()?.trim();
    let hex = |byte: &str| byte.len() == 2 && byte.bytes().all(|b| b.is_ascii_hexdigit());
    key.split(':').all(hex).then(|| key.to_owned())
}

/// The letters of ethtool(8) for the fields that it names in words.
fn hash_fields(text: &str) -> Option<String> {
    const WORDS: [(&str, char); 4] = [
        ("IP SA", 's'),
        ("IP DA", 'd'),
        ("L4 bytes 0 & 1 [TCP/UDP src port]", 'f'),
        ("L4 bytes 2 & 3 [TCP/UDP dst port]", 'n'),
    ];
    let fields: String = WORDS
        .iter()
        .filter(|(words, _)| text.lines().any(|l| l.trim() == *words))
        .map(|(_, letter)| letter)
        .collect();
    (!fields.is_empty()).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(queues: u16) -> Wanted {
        let interface = "eth0".parse().unwrap();
        Wanted { interface, queues, ring: Some(4096), udp_ports: true, keep_offloads: false }
    }

    const CHANNELS: &str = "Channel parameters for eth0:\nPre-set maximums:\nRX:\t\tn/a\nTX:\t\tn/a\nOther:\t\t1\nCombined:\t8\nCurrent hardware settings:\nRX:\t\tn/a\nTX:\t\tn/a\nOther:\t\t1\nCombined:\t6\n";
    const KEY: &str = "RX flow hash indirection table for eth0 with 6 RX ring(s):\n    0:      0     1     2     3\nRSS hash key:\n01:02:03:04:05:06:07:08\nRSS hash function:\n    toeplitz: on\n";
    const RINGS: &str = "Ring parameters for eth0:\nPre-set maximums:\nRX:\t\t4096\nCurrent hardware settings:\nRX:\t\t512\nRX Mini:\tn/a\n";
    const FEATURES: &str =
        "Features for eth0:\ngeneric-receive-offload: on\nlarge-receive-offload: off [fixed]\n";
    const UDP: &str = "UDP over IPV4 flows use these fields for computing Hash flow key:\nIP SA\nIP DA\n\n";

    #[test]
    fn each_setting_is_set_back_to_what_ethtool_said() {
        let text = |text: &str| Some(text.to_owned());
        let found = Found {
            channels: text(CHANNELS),
            indirection: text(KEY),
            rings: text(RINGS),
            features: text(FEATURES),
            udp4: text(UDP),
            udp6: None,
        };
        let plan = plan(&of(4), &found, &Label::of("eth0"));
        let calls = |undo: bool| -> Vec<String> {
            let actions = |step: &Step| if undo { step.undo.clone() } else { step.apply.clone() };
            plan.steps.iter().flat_map(actions).map(|action| action.to_string()).collect()
        };
        assert_eq!(
            calls(false),
            [
                "ethtool -K eth0 gro off",
                "ethtool -L eth0 combined 4",
                "ethtool -G eth0 rx 4096",
                "ethtool -X eth0 hkey 6d:5a:6d:5a:6d:5a:6d:5a equal 4",
                "ethtool -N eth0 rx-flow-hash udp4 sdfn",
            ]
        );
        assert_eq!(
            calls(true),
            [
                "ethtool -K eth0 gro on",
                "ethtool -L eth0 combined 6",
                "ethtool -G eth0 rx 512",
                "ethtool -X eth0 hkey 01:02:03:04:05:06:07:08 default",
                "ethtool -N eth0 rx-flow-hash udp4 sd",
            ]
        );
    }

    #[test]
    fn a_card_without_a_key_gets_none_and_the_reader_is_told() {
        let found = Found { channels: Some(CHANNELS.replace('6', "n/a")), ..Found::default() };
        let plan = plan(&of(4), &found, &Label::of("eth0"));
        assert!(plan.about.iter().any(|line| line.contains("has no key")), "{:?}", plan.about);
        assert!(!plan.text().contains("hkey"));
    }

    #[test]
    fn where_the_interface_is_elsewhere_the_usual_commands_are_printed() {
        let text = plan(&of(4), &Found::default(), &Label::of("eth0")).text();
        assert!(
            text.contains("-L eth0 combined 4")
                && text.contains("hkey 6d:5a:")
                && text.contains("is not here"),
            "{text}"
        );
    }
}
