//! Who is who in a run: the names of taps and tenants, as the user gives them, put where decap and the logs find them.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::sync::Arc;

use weir_decap::Naming;
use weir_log::{Columns, Names};

use super::names::{Registry, SourceNames};
use crate::config::Config;
use crate::config::sense::given;
use crate::config::tenants::Rules;

/// The names of a run.
pub struct Identity {
    registry: Arc<Registry>,
    columns: Option<Arc<Columns>>,
}

impl Identity {
    /// As `config` wants it, which decap learns of; where nobody wants names nothing is looked up.
    ///
    /// # Errors
    /// The file of tenants cannot be read, or is wrong.
    pub fn new(config: &mut Config, sources: Vec<SourceNames>) -> anyhow::Result<Self> {
        let rules = rules(config)?;
        let registry = Arc::new(Registry::new(Rules::default(), sources));
        use_rules(&registry, rules, config);
        let (tap, tenant) = (config.log.tap, config.log.tenant);
        let names: Arc<dyn Names> = Arc::<Registry>::clone(&registry);
        let columns = (tap || tenant).then(|| Arc::new(Columns { tap, tenant, names }));
        Ok(Self { registry, columns })
    }

    /// The columns that logs have beside Zeek's.
    pub fn columns(&self) -> Option<Arc<Columns>> {
        self.columns.clone()
    }

    /// There are more sources.
    pub fn add(&self, sources: Vec<SourceNames>) {
        self.registry.add(sources);
    }

    /// Names as `config` wants them from now on, which decap learns of: the file of tenants is read anew. Columns stay.
    ///
    /// # Errors
    /// As [`Identity::new`]; the former rules go on.
    pub fn reload(&self, config: &mut Config) -> anyhow::Result<()> {
        use_rules(&self.registry, rules(config)?, config);
        Ok(())
    }
}

/// What is in the file of tenants that `config` names.
fn rules(config: &Config) -> anyhow::Result<Option<Rules>> {
    given(&config.names.tenants).map(Path::new).map(Rules::load).transpose()
}

/// Has `rules` hold; decap learns of them where somebody wants names.
fn use_rules(registry: &Arc<Registry>, rules: Option<Rules>, config: &mut Config) {
    let is_wanted = rules.is_some() || config.log.tap || config.dedup.enabled;
    registry.reload(rules.unwrap_or_default());
    if is_wanted {
        config.decap.naming = Some(Arc::<Registry>::clone(registry) as Arc<dyn Naming>);
    }
}

/// A key that nobody outside knows.
pub fn secret() -> [u64; 2] {
    [(); 2].map(|()| RandomState::new().build_hasher().finish())
}
