//! Reasons, accounts, and the balance that must close.
//!
//! For every hop, in frames and in bytes, at every moment: `entered = passed + Σ dropped[reason] + held`, and
//! between two hops `passed[n] = entered[n+1]`. A [`Count`] is a pair of frames and wire bytes, so both
//! equations are kept by the same additions.
#![forbid(unsafe_code)]

mod account;
mod balance;
mod reason;

pub use account::{Account, Count, StreamAccount};
pub use balance::{Balance, Hop, HopBalance, Leak};
pub use reason::Reason;
