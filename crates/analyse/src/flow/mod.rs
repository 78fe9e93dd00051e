//! The flow table: which packets belong to one connection, and when a connection is over.
