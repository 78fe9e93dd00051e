//! The names of taps and tenants, for decap, which asks what surroundings mean, and for the logs, which show names.
//!
//! Promises: a name has one number as long as the process runs, also when the rules are read anew. All is asked for seldom: decap
//! remembers answers, and logs show names only where they were asked for.
//!
//! A tap that no rule names is called after its sender and what that calls the tunnel: `10.8.0.1/77`; without a tunnel after
//! what was listened to or read. Bounds: [`MAX_TAPS`] names; taps beyond share the last one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use weir_decap::{Around, Named, Naming, Tunnelled};
use weir_log::Names;
use weir_wire::TenantId;

use crate::config::tenants::Rules;

/// Names of taps that are remembered at most.
const MAX_TAPS: u16 = 16_384;
/// What taps beyond are called.
const OTHERS: &str = "others";

/// What a user calls the sources whose numbers are `first` and those behind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceNames {
    /// The first number.
    pub first: u16,
    /// How many there are.
    pub count: u16,
    /// The name.
    pub name: String,
}

/// All names.
#[derive(Debug)]
pub struct Registry {
    sources: RwLock<Vec<SourceNames>>,
    rules: RwLock<Rules>,
    generation: AtomicU32,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    taps: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u16>,
    tenants: HashMap<TenantId, Arc<str>>,
}

impl Registry {
    /// By `rules`, of what comes from `sources`.
    pub fn new(rules: Rules, sources: Vec<SourceNames>) -> Self {
        let new = Self {
            sources: RwLock::new(sources),
            rules: RwLock::default(),
            generation: AtomicU32::new(0),
            known: Mutex::default(),
        };
        new.reload(rules);
        new
    }

    /// Other rules hold from now on. Connections that are there already keep their tenant.
    pub fn reload(&self, rules: Rules) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for (tenant, name) in rules.tenants() {
            known.tenants.insert(tenant, Arc::clone(name));
        }
        drop(known);
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// There are more sources.
    pub fn add(&self, sources: Vec<SourceNames>) {
        self.sources.write().unwrap_or_else(PoisonError::into_inner).extend(sources);
    }

    /// What the user calls the source with this number.
    fn source(&self, number: u16) -> String {
        let sources = self.sources.read().unwrap_or_else(PoisonError::into_inner);
        let found = sources.iter().find(|s| number >= s.first && number - s.first < s.count);
        match found {
            Some(source) if source.count == 1 => source.name.clone(),
            Some(source) => format!("{}#{}", source.name, number - source.first),
            None => number.to_string(),
        }
    }
}

impl Known {
    fn number(&mut self, name: &str) -> u16 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.taps.len() as u16;
        if number >= MAX_TAPS {
            return MAX_TAPS;
        }
        let name: Arc<str> = name.into();
        self.taps.push(Arc::clone(&name));
        self.numbers.insert(name, number);
        number
    }
}

/// What a tap is called that no rule names.
fn usual(around: &Around, source: String) -> String {
    let Some(sender) = around.sender else { return source };
    if let Some((tap, interface)) = around.tap {
        return format!("{sender}/{tap}.{interface}");
    }
    match around.channel {
        Some(Tunnelled::Vni(number) | Tunnelled::Key(number)) => format!("{sender}/{number}"),
        Some(Tunnelled::Session(number)) => format!("{sender}/{number}"),
        Some(Tunnelled::Tap(tap, interface)) => format!("{sender}/{tap}.{interface}"),
        None => sender.to_string(),
    }
}

impl Naming for Registry {
    fn named(&self, around: &Around) -> Named {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        let source = self.source(around.source);
        let name = rules.tap(around, &source).cloned();
        let name = name.unwrap_or_else(|| usual(around, source.clone()).into());
        let tenant = rules.have_tenants().then(|| rules.tenant(around, &source, &name));
        let tap = self.known.lock().unwrap_or_else(PoisonError::into_inner).number(&name);
        Named { tap, tenant }
    }

    fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }
}

impl Names for Registry {
    fn tap(&self, number: u16) -> Option<Arc<str>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.taps.get(usize::from(number)).cloned().or_else(|| (number == MAX_TAPS).then(|| OTHERS.into()))
    }

    fn tenant(&self, tenant: TenantId) -> Option<Arc<str>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let by_number = || (tenant != TenantId(0)).then(|| tenant.0.to_string().into());
        known.tenants.get(&tenant).cloned().or_else(by_number)
    }
}

#[cfg(test)]
mod tests {
    use weir_wire::Address;

    use super::*;

    fn registry(text: &str) -> Registry {
        let source = |first, count, name: &str| SourceNames { first, count, name: name.into() };
        Registry::new(
            Rules::parse(text).unwrap(),
            vec![source(0, 1, "eth0"), source(1, 128, "tcp://[::]:5555")],
        )
    }

    fn shown(registry: &Registry, around: &Around) -> String {
        registry.tap(registry.named(around).tap).unwrap().to_string()
    }

    #[test]
    fn a_tap_that_no_rule_names_is_called_after_its_sender_or_its_source() {
        let registry = registry("[[tap]]\nname = \"web\"\nvni = [7]\n");
        let mut around = Around::default();
        assert_eq!(shown(&registry, &around), "eth0");
        around.source = 3;
        assert_eq!(shown(&registry, &around), "tcp://[::]:5555#2");
        around.enter(0, Some(Address::v4([10, 8, 0, 1])), Some(Tunnelled::Vni(77)));
        assert_eq!(shown(&registry, &around), "10.8.0.1/77");
        around.enter(1, Some(Address::v4([10, 8, 0, 2])), Some(Tunnelled::Vni(7)));
        assert_eq!(shown(&registry, &around), "web");
        assert_eq!(registry.named(&around).tenant, None);
    }

    #[test]
    fn rules_that_are_read_anew_hold_at_once_and_old_numbers_keep_their_names() {
        let registry = registry("default = \"other\"\n[[tenant]]\nname = \"blue\"\nvni = [7]\n");
        let mut around = Around::default();
        around.vni(7);
        let blue = registry.named(&around).tenant.unwrap();
        let before = registry.generation();
        registry.reload(Rules::parse("[[tenant]]\nname = \"green\"\nvni = [7]\n").unwrap());
        assert_ne!(registry.generation(), before);
        let green = registry.named(&around).tenant.unwrap();
        assert_ne!(blue, green);
        assert_eq!(registry.tenant(blue).as_deref(), Some("blue"));
        assert_eq!(registry.tenant(green).as_deref(), Some("green"));
        assert_eq!(registry.tenant(TenantId(5)).as_deref(), Some("5"));
    }

    #[test]
    fn taps_without_end_share_a_name() {
        let registry = registry("");
        for vni in 0..20_000 {
            let mut around = Around::default();
            around.enter(0, Some(Address::v4([10, 8, 0, 1])), Some(Tunnelled::Vni(vni)));
            registry.named(&around);
        }
        assert_eq!(registry.tap(MAX_TAPS).as_deref(), Some("others"));
        assert_eq!(registry.tap(MAX_TAPS + 1), None);
    }
}
