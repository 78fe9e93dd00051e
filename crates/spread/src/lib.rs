//! Which lane analyses a flow, and programs that make the kernel choose the same.
//!
//! Promises:
//! - [`hash`] and [`lane_of`] are pure and the same in every process; both directions of a flow have one hash (test
//!   `both_directions_have_one_hash`).
//! - [`lane_of`] takes the pair of addresses and not the ports: everything between the same two hosts of a tenant is on one
//!   lane, so that an FTP data connection is where its control connection is, without a word between lanes. The price is
//!   that two hosts which exchange most of all traffic load one lane.
//! - The programs of [`Steering`] answer with the same number as the function (test
//!   `the_program_and_the_function_agree`); where they cannot, the module [`program`] says so.
//! - A [`Balancer`] gives flows to targets outside of this process (`weir spread`), by a [`Maglev`] table and with a memory of
//!   flows in progress.
//! - A [`Deduplicator`] finds the copies of packets that several taps saw.
//! - A [`Shedder`] says which flows a lane that cannot keep up leaves out.
//! - What belongs to a flow without being of it, an ICMP error, is found by [`flow_of`].
#![forbid(unsafe_code)]

mod balancer;
mod duplicates;
mod expression;
mod glance;
mod hash;
mod maglev;
pub mod program;
mod quoted;
mod shed;
mod shedder;

pub use balancer::{Balancer, PINS};
pub use duplicates::Deduplicator;
pub use expression::filter_expression;
pub use glance::{Leg, glance};
pub use hash::{SpreadBy, hash, lane_of};
pub use maglev::{MAX_TARGETS, Maglev, Target};
pub use program::{Steering, TenantNumber, Tunnel, queue_program};
pub use quoted::flow_of;
pub use shed::{Limits, Shed};
pub use shedder::{MOST as MOST_SHED, Shedder};
