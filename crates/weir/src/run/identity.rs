//! Who is who in a run: the names of taps and tenants, as the user gives them, put where decap and the logs find them.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
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
    /// The file that they come from.
    path: Option<PathBuf>,
    columns: Option<Arc<Columns>>,
}

impl Identity {
    /// As `config` wants it, which decap learns of; where nobody wants names nothing is looked up.
    ///
    /// # Errors
    /// The file of tenants cannot be read, or is wrong.
    pub fn new(config: &mut Config, sources: Vec<SourceNames>) -> anyhow::Result<Self> {
        let path = given(&config.names.tenants).map(PathBuf::from);
        let rules = path.as_deref().map(Rules::load).transpose()?;
        let is_wanted = rules.is_some() || config.log.tap || config.dedup.enabled;
        let registry = Arc::new(Registry::new(rules.unwrap_or_default(), sources));
        if is_wanted {
            config.decap.naming = Some(Arc::<Registry>::clone(&registry) as Arc<dyn Naming>);
        }
        let (tap, tenant) = (config.log.tap, config.log.tenant);
        let names: Arc<dyn Names> = Arc::<Registry>::clone(&registry);
        let columns = (tap || tenant).then(|| Arc::new(Columns { tap, tenant, names }));
        Ok(Self { registry, path, columns })
    }

    /// The columns that logs have beside Zeek's.
    pub fn columns(&self) -> Option<Arc<Columns>> {
        self.columns.clone()
    }

    /// Reads the file of tenants anew, where there is one; whether there is.
    ///
    /// # Errors
    /// As [`Identity::new`]; the former rules go on.
    pub fn reload(&self) -> anyhow::Result<bool> {
        let Some(path) = &self.path else { return Ok(false) };
        self.registry.reload(Rules::load(path)?);
        Ok(true)
    }
}

/// A key that nobody outside knows.
pub fn secret() -> [u64; 2] {
    [(); 2].map(|()| RandomState::new().build_hasher().finish())
}
