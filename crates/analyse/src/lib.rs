//! From packets to records: flows, TCP streams, protocol detection, protocol analysers, files.
//!
//! A [`Lane`] owns everything that the analysis of its flows needs and shares nothing. Time comes in with the
//! packets; records go out through [`weir_record::Entries`]. What a field means is Zeek's decision.
#![forbid(unsafe_code)]

pub mod busiest;
pub mod config;
pub mod context;
pub mod detect;
pub mod file;
pub mod flow;
mod lane;
pub mod protocol;
mod tally;
pub mod tcp;
pub mod x509;

pub use busiest::Busiest;
pub use config::Config;
pub use context::{Connection, Context, HandOver, Side, Transport, Verdict};
pub use lane::Lane;
pub use tally::Tally;
