//! The file that says which numbers around a packet are which tap and which tenant: `--tenants FILE`.
//!
//! ```toml
//! default = "other"              # the tenant of what no rule names; without it such records have none
//!
//! [[tap]]                        # rules are tried from the top; the first that holds counts
//! name = "web-1"
//! sender = ["10.8.0.1"]
//!
//! [[tenant]]
//! name = "blue"
//! vni = [100, "200-299"]         # one of these numbers, and
//! sender = ["10.8.0.0/16"]       # one of these senders
//! ```
//!
//! A rule holds where each of its keys holds, and a key where one of its values does: `vni` (of any tunnel around the packet), `vlan`
//! (of either tag), `key` (GRE), `session` (ERSPAN), `id` (weir's number of a tap), `endpoint` and `attachment` (of load balancers: a
//! number or "0x..."), `sender` (network of the outer source address), `interface` (what the sensor read it from; * and ?), and for
//! tenants `tap` (the name of the tap; * and ?).
//!
//! Promise: a tenant has the same number on every sensor, whatever else is in the file, so that uids agree: it is made from its name.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use serde::Deserialize;
use toml::{Spanned, Value};
use weir_decap::Around;
use weir_wire::{Address, TenantId};
use wildmatch::WildMatch;

/// The rules of a file.
#[derive(Clone, Default, Debug)]
pub struct Rules {
    /// The name of the tenant of what no rule names.
    pub default: Option<Arc<str>>,
    taps: Vec<Rule>,
    tenants: Vec<Rule>,
}

/// A name, and when it holds.
#[derive(Clone, Debug)]
struct Rule {
    name: Arc<str>,
    vni: Vec<RangeInclusive<u64>>,
    vlan: Vec<RangeInclusive<u64>>,
    key: Vec<RangeInclusive<u64>>,
    session: Vec<RangeInclusive<u64>>,
    id: Vec<RangeInclusive<u64>>,
    endpoint: Vec<RangeInclusive<u64>>,
    attachment: Vec<RangeInclusive<u64>>,
    sender: Vec<(Address, u8)>,
    interface: Vec<WildMatch>,
    tap: Vec<WildMatch>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    default: Option<String>,
    #[serde(default)]
    tap: Vec<Spanned<RawRule>>,
    #[serde(default)]
    tenant: Vec<Spanned<RawRule>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    name: Spanned<String>,
    #[serde(default)]
    vni: Vec<Spanned<Value>>,
    #[serde(default)]
    vlan: Vec<Spanned<Value>>,
    #[serde(default)]
    key: Vec<Spanned<Value>>,
    #[serde(default)]
    session: Vec<Spanned<Value>>,
    #[serde(default)]
    id: Vec<Spanned<Value>>,
    #[serde(default)]
    endpoint: Vec<Spanned<Value>>,
    #[serde(default)]
    attachment: Vec<Spanned<Value>>,
    #[serde(default)]
    sender: Vec<Spanned<String>>,
    #[serde(default)]
    interface: Vec<String>,
    #[serde(default)]
    tap: Vec<String>,
}

/// What is wrong, and at which byte of the text.
struct Wrong(usize, String);

impl Rules {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// It cannot be read, or is wrong: the message tells line and column.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path);
        let text = text.with_context(|| format!("cannot read the tenants in {}", path.display()))?;
        Self::parse(&text).map_err(|error| anyhow!("{}:{error}", path.display()))
    }

    /// Checks the text of a file.
    ///
    /// # Errors
    /// As `LINE:COLUMN: what is wrong`.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let told = |Wrong(at, what)| {
            let before = text.get(..at).unwrap_or(text);
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            anyhow!("{line}:{column}: {what}")
        };
        let raw: Result<Raw, _> = toml::from_str(text);
        let raw = raw.map_err(|error| {
            told(Wrong(error.span().map_or(0, |span| span.start), error.message().trim().to_owned()))
        })?;
        let rules = |raw: Vec<Spanned<RawRule>>, are_tenants| {
            raw.into_iter()
                .map(|rule| Rule::check(rule, are_tenants))
                .collect::<Result<Vec<_>, _>>()
                .map_err(told)
        };
        let (taps, tenants) = (rules(raw.tap, false)?, rules(raw.tenant, true)?);
        for rule in &tenants {
            let other = tenants
                .iter()
                .find(|other| number(&other.name) == number(&rule.name) && other.name != rule.name);
            if let Some(other) = other {
                return Err(anyhow!(
                    "1:1: the names {:?} and {:?} make the same number; change one",
                    rule.name,
                    other.name
                ));
            }
        }
        Ok(Self { default: raw.default.map(Into::into), taps, tenants })
    }

    /// The name of the tap that `around` tells, read from `source`.
    pub fn tap(&self, around: &Around, source: &str) -> Option<&Arc<str>> {
        self.taps.iter().find(|rule| rule.holds(around, source, "")).map(|rule| &rule.name)
    }

    /// Whether there are tenants.
    pub fn have_tenants(&self) -> bool {
        self.default.is_some() || !self.tenants.is_empty()
    }

    /// The tenant that `around` tells, seen by `tap`; the default one where no rule holds.
    pub fn tenant(&self, around: &Around, source: &str, tap: &str) -> TenantId {
        let rule = self.tenants.iter().find(|rule| rule.holds(around, source, tap));
        rule.map_or(TenantId(0), |rule| number(&rule.name))
    }

    /// All tenants with their names.
    pub fn tenants(&self) -> impl Iterator<Item = (TenantId, &Arc<str>)> {
        let default = self.default.iter().map(|name| (TenantId(0), name));
        default.chain(self.tenants.iter().map(|rule| (number(&rule.name), &rule.name)))
    }
}

/// The number of a tenant: FNV-1a of its name, never 0.
fn number(name: &str) -> TenantId {
    let hash =
        name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    TenantId(hash.max(1))
}

impl Rule {
    fn check(raw: Spanned<RawRule>, is_tenant: bool) -> Result<Self, Wrong> {
        let at = raw.span().start;
        let raw = raw.into_inner();
        let name_at = raw.name.span().start;
        let name = raw.name.into_inner();
        if name.is_empty() || name.contains(['\t', '\n', ',']) {
            return Err(Wrong(name_at, "a name is not empty and has no tab, line break or comma".into()));
        }
        if !is_tenant && !raw.tap.is_empty() {
            return Err(Wrong(at, "only a tenant can be told by `tap`".into()));
        }
        let rule = Self {
            vni: ranges(&raw.vni, 0xff_ffff)?,
            vlan: ranges(&raw.vlan, 4095)?,
            key: ranges(&raw.key, u64::from(u32::MAX))?,
            session: ranges(&raw.session, 1023)?,
            id: ranges(&raw.id, u64::from(u32::MAX))?,
            endpoint: ranges(&raw.endpoint, u64::MAX)?,
            attachment: ranges(&raw.attachment, u64::MAX)?,
            sender: raw.sender.iter().map(network).collect::<Result<_, _>>()?,
            interface: raw.interface.iter().map(|pattern| WildMatch::new(pattern)).collect(),
            tap: raw.tap.iter().map(|pattern| WildMatch::new(pattern)).collect(),
            name: name.into(),
        };
        if rule.is_empty() {
            let keys =
                "vni, vlan, key, session, id, endpoint, attachment, sender, interface or, for tenants, tap";
            return Err(Wrong(at, format!("nothing says when {:?} holds: give it {keys}", rule.name)));
        }
        Ok(rule)
    }

    const fn is_empty(&self) -> bool {
        let numbers =
            self.vni.is_empty() && self.vlan.is_empty() && self.key.is_empty() && self.session.is_empty();
        let ids = self.id.is_empty() && self.endpoint.is_empty() && self.attachment.is_empty();
        numbers && ids && self.sender.is_empty() && self.interface.is_empty() && self.tap.is_empty()
    }

    fn holds(&self, around: &Around, source: &str, tap: &str) -> bool {
        let vlans = around.vlans.iter().filter(|id| **id != 0).map(|id| u64::from(*id));
        has(&self.vni, around.vnis.iter().flatten().map(|vni| u64::from(*vni)))
            && has(&self.vlan, vlans)
            && has(&self.key, around.key.iter().map(|key| u64::from(*key)))
            && has(&self.session, around.session.iter().map(|session| u64::from(*session)))
            && has(&self.id, around.tap.iter().map(|(tap, _)| u64::from(*tap)))
            && has(&self.endpoint, around.endpoint.iter().copied())
            && has(&self.attachment, around.attachment.iter().copied())
            && (self.sender.is_empty()
                || around.sender.is_some_and(|sender| self.sender.iter().any(|net| contains(net, &sender))))
            && (self.interface.is_empty() || self.interface.iter().any(|pattern| pattern.matches(source)))
            && (self.tap.is_empty() || self.tap.iter().any(|pattern| pattern.matches(tap)))
    }
}

fn has(ranges: &[RangeInclusive<u64>], mut numbers: impl Iterator<Item = u64>) -> bool {
    ranges.is_empty() || numbers.any(|number| ranges.iter().any(|range| range.contains(&number)))
}

fn contains((network, length): &(Address, u8), address: &Address) -> bool {
    let difference = u128::from_be_bytes(network.0) ^ u128::from_be_bytes(address.0);
    difference.checked_shr(128 - u32::from(*length)).unwrap_or(0) == 0
}

/// Numbers (7), ranges ("7-9") and hexadecimal ones ("0x1f"), none above `most`.
fn ranges(raw: &[Spanned<Value>], most: u64) -> Result<Vec<RangeInclusive<u64>>, Wrong> {
    raw.iter().map(|value| range(value, most)).collect()
}

fn range(raw: &Spanned<Value>, most: u64) -> Result<RangeInclusive<u64>, Wrong> {
    let one = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    let found = if let Some(number) = raw.get_ref().as_integer() {
        u64::try_from(number).ok().map(|number| number..=number)
    } else if let Some(text) = raw.get_ref().as_str() {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        one(first.trim()).zip(one(last.trim())).map(|(first, last)| first..=last)
    } else {
        None
    };
    let found = found.filter(|range| range.start() <= range.end() && *range.end() <= most);
    let wrong = || {
        Wrong(
            raw.span().start,
            format!("{} is no number up to {most} and no range: 7, \"7-9\"", raw.get_ref()),
        )
    };
    found.ok_or_else(wrong)
}

fn network(raw: &Spanned<String>) -> Result<(Address, u8), Wrong> {
    let text = raw.get_ref();
    let whole = text.parse::<std::net::IpAddr>().ok().map(|address| (Address::from(address), 128));
    let wrong =
        |_| Wrong(raw.span().start, format!("{text:?} is no address and no network: 10.8.0.1, 10.8.0.0/16"));
    whole.map_or_else(|| super::network(text).map_err(wrong), Ok)
}

impl fmt::Debug for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
default = "other"

[[tap]]
name = "web-1"
sender = ["10.8.0.1"]

[[tap]]
name = "web-2"
id = [7]

[[tenant]]
name = "blue"
vni = [100, "200-299"]
sender = ["10.8.0.0/16"]

[[tenant]]
name = "blue"
tap = ["web-2"]

[[tenant]]
name = "green"
endpoint = ["0xab01"]
"#;

    fn around(sender: [u8; 4], vnis: &[u32]) -> Around {
        let mut around = Around { sender: Some(Address::v4(sender)), ..Around::default() };
        vnis.iter().for_each(|vni| around.vni(*vni));
        around
    }

    #[test]
    fn the_first_rule_counts_of_which_every_key_holds() {
        let rules = Rules::parse(TEXT).unwrap();
        let blue = rules.tenant(&around([10, 8, 0, 1], &[100]), "", "");
        assert_ne!(blue, TenantId(0));
        assert_eq!(
            rules.tenant(&around([10, 8, 9, 9], &[5, 250]), "", ""),
            blue,
            "of any tunnel, in a range"
        );
        assert_eq!(rules.tenant(&around([10, 9, 0, 1], &[100]), "", ""), TenantId(0), "another sender");
        assert_eq!(rules.tenant(&around([10, 9, 0, 1], &[]), "", "web-2"), blue, "by the name of the tap");
        let balanced = Around { endpoint: Some(0xab01), ..Around::default() };
        assert!(![blue, TenantId(0)].contains(&rules.tenant(&balanced, "", "")));
        assert_eq!(rules.tap(&around([10, 8, 0, 1], &[]), "").map(|n| &**n), Some("web-1"));
        let by_id = Around { tap: Some((7, 1)), ..Around::default() };
        assert_eq!(rules.tap(&by_id, "").map(|n| &**n), Some("web-2"));
        assert_eq!(rules.tap(&Around::default(), ""), None);
        let names: Vec<_> = rules.tenants().map(|(_, name)| &**name).collect();
        assert_eq!(names, ["other", "blue", "blue", "green"]);
    }

    #[test]
    fn a_tenant_has_its_number_from_its_name_alone() {
        let alone = Rules::parse("[[tenant]]\nname = \"blue\"\nvlan = [4]\n").unwrap();
        let (number, _) = alone.tenants().next().unwrap();
        assert_eq!(Rules::parse(TEXT).unwrap().tenants().nth(1).unwrap().0, number);
    }

    #[test]
    fn what_is_wrong_is_told_with_line_and_column() {
        let wrong = |text: &str| Rules::parse(text).unwrap_err().to_string();
        assert!(
            wrong("[[tap]]\nname = \"a\"\nvni = [1, \"9-3\"]\n").starts_with("3:11: "),
            "{}",
            wrong("[[tap]]\nname = \"a\"\nvni = [1, \"9-3\"]\n")
        );
        assert!(wrong("[[tap]]\nname = \"a\"\nsender = [\"10.0.0.0/40\"]\n").starts_with("3:11: "));
        assert!(wrong("[[tap]]\nname = \"a\"\nvlan = [5000]\n").contains("up to 4095"));
        assert!(wrong("[[tap]]\nname = \"a\"\n").contains("nothing says when \"a\" holds"));
        assert!(wrong("[[tenant]]\nname = \"a,b\"\nvni = [1]\n").starts_with("2:8: "));
        assert!(wrong("[[tap]]\nname = \"a\"\ntap = [\"b\"]\n").contains("only a tenant"));
        assert!(wrong("[[tap]]\nnames = \"a\"\n").starts_with("2:1: "));
        assert!(wrong("[[tap]\n").starts_with("1:"));
    }
}
