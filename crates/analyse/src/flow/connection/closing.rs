//! How a TCP connection ends: when a side has closed, when the analysers are told, when the connection is forgotten.
//!
//! Source: Zeek's TCP session adapter (ConnectionClosed, EndpointEOF and the timers) and its reassembler (DataPending).

use weir_record::Entries;
use weir_wire::{Interval, Time};

use super::{Flow, Shared, context};
use crate::Config;
use crate::context::Side;
use crate::tcp::{Endpoint, State};

/// When a connection is looked at first, to see whether it has ended without a proper end (Zeek: tcp_SYN_timeout).
const FIRST_CHECK: Interval = Interval::from_secs(5);
/// How often it is then (Zeek: tcp_session_timer).
const CHECKS: Interval = Interval::from_secs(6);
/// How long it must have been quiet then (Zeek: tcp_connection_linger).
const LINGER: Interval = Interval::from_secs(5);
/// How long one that people type into may be idle (Zeek: Conn::analyzer_inactivity_timeouts).
const INTERACTIVE: Interval = Interval::from_secs(3600);
/// Ports of such services: FTP, SSH, Telnet, rlogin.
const INTERACTIVE_PORTS: [u16; 4] = [21, 22, 23, 513];
/// Bytes above a hole that prove that it will not be filled, where nothing at all was acknowledged (Zeek:
/// tcp_max_above_hole_without_any_acks and tcp_max_initial_window).
const MAX_UNHEARD: u64 = 16_384;

/// How far the end has come.
#[derive(Default)]
pub(super) struct Closing {
    /// A side's end came, but not all that it sent before.
    deferred: bool,
    /// It was reset in the middle: nobody looks after it any more.
    pub reset: bool,
    sides: Sides,
    /// Of a half: when the first side closed; of the whole: when the connection ends.
    at: Time,
}

/// Which sides have closed.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Sides {
    /// None.
    #[default]
    Open,
    /// One, while the other did not.
    Half,
    /// Both, or one has reset.
    Over,
}

impl Closing {
    /// Whether the connection is over, and waits for its end alone.
    pub const fn is_over(&self) -> bool {
        matches!(self.sides, Sides::Over)
    }
}

/// The first of the times `from`, `from + CHECKS`, ... that is behind `quiet`.
fn check_behind(quiet: Time, from: Time) -> Time {
    let steps = quiet.since(from).0.div_euclid(CHECKS.0).saturating_add(1).max(0);
    from + Interval(steps.saturating_mul(CHECKS.0))
}

impl Flow {
    /// When a TCP connection is over if nothing more comes.
    pub(super) fn tcp_deadline(&self, config: &Config) -> Time {
        let Some(tcp) = &self.tcp else { return self.last + config.flow.tcp_inactivity };
        let [orig, resp] = &tcp.machine.ends;
        let by_service = self.connection.services.iter().any(|service| matches!(*service, "ssh" | "ftp"));
        let by_port = || INTERACTIVE_PORTS.contains(&self.connection.id.resp_p) && resp.has_synchronised();
        let idle = if by_service || by_port() { INTERACTIVE } else { config.flow.tcp_inactivity };
        let idle = self.last + idle;
        if tcp.closing.is_over() {
            return tcp.closing.at.min(idle);
        }
        let attempt = matches!(orig.state, State::SynSent | State::SynAckSent);
        if attempt && resp.is_inactive() && orig.previous == State::Inactive {
            return idle.min(self.connection.start + config.flow.tcp_attempt_delay);
        }
        let is_reset = orig.state == State::Reset || resp.state == State::Reset;
        if is_reset && !tcp.closing.reset && (orig.closed || resp.closed) {
            let quiet = self.last + LINGER;
            let first = check_behind(quiet, self.connection.start + FIRST_CHECK);
            let is_half = tcp.closing.sides == Sides::Half;
            let second = if is_half { check_behind(quiet, tcp.closing.at + CHECKS) } else { first };
            return idle.min(first).min(second);
        }
        idle
    }

    /// Whether not all that `side` sent before its end was delivered, or not all that it was sent was acknowledged.
    fn is_pending(&self, side: Side) -> bool {
        let Some(tcp) = &self.tcp else { return false };
        let ([first, second], [orig, resp]) = (&tcp.streams, &tcp.machine.ends);
        let (own, peer, end) = if side.is_orig() { (first, second, orig) } else { (second, first, resp) };
        let (next, last) = (own.next() as i64, end.last);
        if own.is_given_up() || last < next {
            return false;
        }
        // A FIN takes a number, a RST takes none.
        if next != last && next != last - 1 {
            return true;
        }
        end.state != State::Reset && peer.unacknowledged() > 0
    }

    /// Tells the analysers of the end of `side` once all was delivered.
    pub(super) fn check_end(&mut self, side: Side, now: Time, shared: &mut Shared, out: &mut Entries) {
        let Some(tcp) = &self.tcp else { return };
        let ended = tcp.ended.get(side.index()).copied().unwrap_or(true);
        if ended
            || !tcp.machine.ends.get(side.index()).is_some_and(Endpoint::is_over)
            || self.is_pending(side)
        {
            return;
        }
        if let Some(ended) = self.tcp.as_mut().and_then(|tcp| tcp.ended.get_mut(side.index())) {
            *ended = true;
        }
        if let Some(detection) = &mut self.detection {
            detection.end(&mut context(&mut self.connection, shared, out, now), side);
        }
        if self.tcp.as_ref().is_some_and(|tcp| tcp.closing.deferred) {
            self.close(side, shared.config.flow.tcp_close_delay);
        }
    }

    /// The end of `side` has come.
    pub(super) fn close(&mut self, side: Side, delay: Interval) {
        let is_pending = self.is_pending(side);
        let Some(tcp) = &mut self.tcp else { return };
        tcp.closing.deferred = is_pending;
        let [orig, resp] = &mut tcp.machine.ends;
        let (own, peer) = if side.is_orig() { (orig, resp) } else { (resp, orig) };
        if is_pending || own.closed {
            return;
        }
        own.closed = true;
        let is_over = own.state == State::Reset || peer.closed || peer.is_inactive();
        (tcp.closing.sides, tcp.closing.at) =
            if is_over { (Sides::Over, self.last + delay) } else { (Sides::Half, self.last) };
    }

    /// Gives the stream of `side` up where it cannot be put together: too much lies above a hole, or is not acknowledged.
    pub(super) fn give_up(&mut self, side: Side, now: Time, shared: &mut Shared, out: &mut Entries) {
        let Some(tcp) = &mut self.tcp else { return };
        let ([first, second], [orig, resp]) = (&mut tcp.streams, &tcp.machine.ends);
        let (stream, end, peer) = if side.is_orig() { (first, orig, resp) } else { (second, resp, orig) };
        let mut name = None;
        if end.is_unheard() {
            if stream.above_hole() > MAX_UNHEARD {
                name = Some("above_hole_data_without_any_acks");
            } else if end.size(peer) > MAX_UNHEARD {
                // Nobody will acknowledge it: the other side is not seen.
                stream.acknowledged(stream.next());
            }
        }
        if name.is_none() && stream.unacknowledged() > shared.config.tcp.max_unacked as u64 {
            name = Some("excessive_data_without_further_acks");
        }
        if let Some(name) = name.filter(|_| !stream.is_given_up()) {
            stream.give_up(&mut shared.streams);
            self.weird(now, name, Some("TCP"), out);
        }
    }
}
