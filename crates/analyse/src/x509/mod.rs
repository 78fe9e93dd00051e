//! X.509 certificates: what x509.log shows of them, and whether they are for a name.
//!
//! Promise: a certificate is read as OpenSSL 3.0 reads it, with its names for algorithms and attributes, and logged as
//! Zeek logs it. Reading is bounded by the certificate's own length and never fails loudly.
//! Source: RFC 5280; Zeek's src/file_analysis/analyzer/x509 and scripts/base/files/x509/main.zeek.

mod cache;
pub mod der;
mod host;
mod key;
mod log;
mod name;
mod oid;
mod parse;
#[cfg(test)]
pub(crate) mod testing;
mod time;

pub use cache::Cache;
pub use host::matches;
pub use log::{Fingerprint, Role, log};
pub use parse::Certificate;
