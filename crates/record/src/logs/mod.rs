//! The logs, a file for those that belong together.

mod conn;
mod dns;
mod files;
mod health;
mod http;
mod meta;
mod quic;
mod ssh;
mod ssl;

pub use conn::{Conn, Tunnel};
pub use dns::Dns;
pub use files::Files;
pub use health::{CaptureLoss, Stats};
pub use http::Http;
pub use meta::{Analyzer, Reporter, Weird};
pub use quic::Quic;
pub use ssh::Ssh;
pub use ssl::{Ssl, X509};
