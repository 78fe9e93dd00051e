//! Who saw packets and whose they are, as it is written: options of all commands that write logs.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::TenantBy;

/// Those options.
#[derive(Args, Clone, Debug, Default)]
pub struct NameArguments {
    /// What names the tenant of a packet, so that equal addresses of two tenants are two flows
    #[arg(long, value_enum, value_name = "WHAT")]
    pub tenant_by: Option<TenantBy>,
    /// A file that says which tap and which tenant the numbers around a packet stand for (see the README)
    #[arg(long, value_name = "FILE")]
    pub tenants: Option<PathBuf>,
    /// Further columns behind Zeek's, in every log with a uid
    #[arg(long, value_enum, value_name = "COLUMN", value_delimiter = ',')]
    pub with: Vec<Column>,
    /// Of a packet that several taps saw, one copy is analysed
    #[arg(long)]
    pub dedup: bool,
}

/// A column that Zeek does not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Column {
    /// The tap; in conn.log all that saw the connection
    Tap,
    /// The tenant
    Tenant,
}
