//! Whether a SYN belongs to a connection, or begins another one between the same endpoints.
//!
//! Source: Zeek's TCP session adapter (IsReuse).

use weir_wire::Interval;
use weir_wire::tcp::Flags;

use super::{State, Tcp};

/// A connection that begins again within this after its end does so early (Zeek: tcp_connection_linger).
const LINGER: Interval = Interval::from_secs(5);

/// Whether a segment begins another connection between the same endpoints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reuse {
    /// It does not.
    No,
    /// It does.
    Yes,
    /// It does, and that is weird.
    Weird(&'static str),
}

impl Tcp {
    /// Whether a SYN begins another connection between the same endpoints, whoever sends it; `idle` is how long nothing came.
    pub fn reuse(&self, flags: Flags, seq: u32, idle: Interval) -> Reuse {
        let [orig, resp] = &self.ends;
        if !flags.syn() || flags.ack() && !orig.is_inactive() {
            return Reuse::No;
        }
        let reset = orig.state == State::Reset || resp.state == State::Reset;
        if orig.closed || resp.closed {
            return if reset {
                Reuse::Yes
            } else if orig.is_active() || resp.is_active() {
                Reuse::Weird("active_connection_reuse")
            } else if idle < LINGER {
                Reuse::Weird("premature_connection_reuse")
            } else {
                Reuse::Yes
            };
        }
        let first = if flags.ack() { resp } else { orig };
        let swapped =
            !flags.ack() && first.state == State::SynAckSent && resp.is_inactive() && resp.starts_at(seq);
        if first.starts_at(seq) || swapped {
            return Reuse::No;
        }
        let jumps = first.state == State::SynSent;
        Reuse::Weird(if jumps { "SYN_seq_jump" } else { "active_connection_reuse" })
    }
}
