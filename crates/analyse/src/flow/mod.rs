//! The flow table: which packets belong to one connection, and when a connection is over.

mod ahead;
mod connection;
mod history;
mod roles;
mod table;
#[cfg(test)]
mod tests;
mod wheel;

pub(crate) use ahead::Ahead;
pub(crate) use connection::{Flow, Shared};
pub use history::History;
pub(crate) use table::Table;
