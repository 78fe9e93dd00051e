//! The state machine of a connection: what each segment changes (Zeek's TCP session adapter; RFC 9293).
//!
//! [`Tcp::segment`] takes the header of one segment and answers what is to be done with its payload; it tells oddities and
//! letters of the history to a [`Told`], and never touches payload itself.

#![allow(clippy::wildcard_enum_match_arm, reason = "each event concerns few of the states")]

use std::num::NonZeroI64;

use weir_wire::tcp::{Flags, TcpHeader, TcpOption};

use super::endpoint::{Endpoint, SYN, State};
use crate::context::Side;
use crate::flow::History;

/// Beyond this, a number on a SYN or RST is not believed.
const TOO_LARGE_DELTA: i64 = 1 << 20;

/// A weird and the analyser that Zeek logs with it.
pub type Oddity = (&'static str, Option<&'static str>);

/// What a segment told.
#[derive(Debug, Default)]
pub struct Told {
    /// Oddities, in order.
    pub weirds: Vec<Oddity>,
    /// The roles were exchanged (a SYN came after its SYN,ACK).
    pub flipped: bool,
    /// Where the payload belongs: its relative sequence number, unless it is not part of the stream.
    pub payload_at: Option<u64>,
    /// The other side's bytes below this relative number were received.
    pub acked: Option<u64>,
    /// The sender's end came with this segment.
    pub close: bool,
    /// It was reset while it was in progress.
    pub reset: bool,
}

/// The state of both sides, the originator's first.
#[derive(Clone, Debug, Default)]
pub struct Tcp {
    /// The sides.
    pub ends: [Endpoint; 2],
    /// Whether the beginning of the connection was not seen.
    pub partial: bool,
    /// Whose packets were seen.
    pub seen: [bool; 2],
    /// Whether a conn-level weird was told before: some are told once only.
    did_weird: bool,
    /// Whether by its ports the first sender is the originator even if it begins with a SYN,ACK.
    pub keeps_roles: bool,
}

struct Segment {
    flags: Flags,
    seq: u32,
    ack: u32,
    len: i64,
    /// Sequence space that it takes.
    space: i64,
    window: u16,
    side: Side,
    /// A SYN,ACK that nothing was seen before.
    answers_first: bool,
}

impl Tcp {
    /// The sides as (sender, receiver) of a segment by `side`.
    fn pair(&mut self, side: Side) -> (&mut Endpoint, &mut Endpoint) {
        let [orig, resp] = &mut self.ends;
        if side.is_orig() { (orig, resp) } else { (resp, orig) }
    }

    /// The originator.
    pub const fn orig(&self) -> &Endpoint {
        let [orig, _] = &self.ends;
        orig
    }

    /// The responder.
    pub const fn resp(&self) -> &Endpoint {
        let [_, resp] = &self.ends;
        resp
    }

    /// Exchanges the roles. Which letters the history has goes by role, as in Zeek, so that stays.
    pub const fn flip(&mut self) {
        self.ends.reverse();
        let [orig, resp] = &mut self.ends;
        std::mem::swap(&mut orig.seen, &mut resp.seen);
        self.seen.reverse();
        self.partial = false;
    }

    /// One segment with `len` bytes of payload by the IP header.
    pub fn segment(&mut self, side: Side, header: &TcpHeader<'_>, len: u32, history: &mut History) -> Told {
        let flags = header.flags();
        let len = i64::from(len);
        let controls = i64::from(flags.syn()) + i64::from(flags.fin());
        let space = if flags.rst() { controls } else { controls + len };
        let s = Segment {
            flags,
            seq: header.seq(),
            ack: header.ack(),
            len,
            space,
            window: header.window(),
            side,
            answers_first: false,
        };
        let mut told = Told::default();
        let s = self.answer_first(s, history, &mut told);
        let side = s.side;
        self.note_partial(&s);
        self.begin(&s, &mut told);
        let (own, _) = self.pair(side);
        let rel = own.relative(s.seq, own.last);
        let underflow = rel < 0;
        if underflow && !flags.rst() {
            told.weirds.push(("TCP_seq_underflow_or_misorder", Some("TCP")));
        }
        self.letters(&s, rel, history);
        self.windows(&s, history, &mut told);
        if flags.syn() {
            self.syn(&s, header, &mut told);
        }
        let (own, _) = self.pair(side);
        if flags.fin() {
            own.fins = own.fins.saturating_add(1);
            own.fin = NonZeroI64::new(rel + space).or(NonZeroI64::new(-1));
        }
        own.resets = own.resets.saturating_add(u16::from(flags.rst()));
        let acked = self.acknowledge(&s, &mut told);
        let advanced = self.advance(&s, history);
        self.transition(&s, advanced, history, &mut told);
        // Only a flip during the transition has changed whose segment this was.
        let side = if told.flipped && !s.answers_first { side.flip() } else { side };
        if let Some(seen) = self.seen.get_mut(side.index()) {
            *seen = true;
        }
        told.acked = acked;
        self.did_weird |= !told.weirds.is_empty();
        let at = if flags.syn() { rel + 1 } else { rel };
        if len > 0 && !flags.rst() && !underflow {
            told.payload_at = Some(at.max(0) as u64);
        }
        told
    }

    /// A connection that begins with a SYN,ACK: its sender is the responder in truth.
    fn answer_first(&mut self, mut s: Segment, history: &mut History, told: &mut Told) -> Segment {
        let [orig, resp] = &self.ends;
        let fresh = orig.is_inactive() && resp.is_inactive();
        if fresh && s.side.is_orig() && s.flags.syn() && s.flags.ack() {
            told.weirds.push(("connection_originator_SYN_ack", Some("TCP")));
            s.answers_first = true;
            if self.keeps_roles {
                return s;
            }
            self.flip();
            history.flip();
            told.flipped = true;
            s.side = s.side.flip();
        }
        s
    }

    fn note_partial(&mut self, s: &Segment) {
        if s.answers_first {
            // Its SYN was missed, and nothing else: not a partial connection.
            self.seen = [true; 2];
            return;
        }
        let [orig_seen, resp_seen] = self.seen;
        if s.side.is_orig() {
            if !orig_seen {
                self.partial = !s.flags.syn() || s.flags.ack();
            }
        } else if !resp_seen && !self.partial {
            self.partial = !s.flags.syn();
        }
    }

    fn begin(&mut self, s: &Segment, told: &mut Told) {
        let past = s.seq.wrapping_add(s.space as u32);
        let (own, peer) = self.pair(s.side);
        match own.state {
            State::Inactive if s.flags.syn() => own.begin(s.seq, past),
            // Numbered as if a SYN had been seen, so that the first byte of payload is 1.
            State::Inactive => own.begin(s.seq.wrapping_sub(1), s.seq),
            State::SynSent | State::SynAckSent if s.flags.syn() && !own.starts_at(s.seq) => {
                told.weirds.push(("SYN_seq_jump", None));
                own.begin(s.seq, past);
            }
            State::Established | State::Partial if s.flags.syn() => {
                if own.size(peer) > 0 {
                    told.weirds.push(("SYN_inside_connection", None));
                }
                if !own.starts_at(s.seq) {
                    told.weirds.push(("SYN_seq_jump", None));
                }
                own.begin(s.seq, past);
            }
            State::Reset if s.flags.syn() && own.previous == State::Inactive => own.begin(s.seq, past),
            _ => {}
        }
    }

    fn letters(&mut self, s: &Segment, rel: i64, history: &mut History) {
        let side = s.side;
        let (own, _) = self.pair(side);
        let mut once = |own: &mut Endpoint, bit: u16, letter: u8| {
            let new = own.seen & (1 << bit) == 0;
            own.seen |= 1 << bit;
            if new {
                history.add(side, letter);
            }
            new
        };
        let flags = s.flags;
        let controls = u8::from(flags.syn()) + u8::from(flags.fin()) + u8::from(flags.rst());
        if controls > 1 {
            let (bit, letter) = if flags.fin() && flags.rst() { (0, b'I') } else { (1, b'Q') };
            once(own, bit, letter);
            return;
        }
        let (bit, letter, slot, number) = if flags.syn() {
            (SYN, if flags.ack() { b'H' } else { b'S' }, 0, rel)
        } else if flags.fin() {
            (3, b'F', 1, rel + s.len)
        } else if flags.rst() {
            (4, b'R', 2, rel)
        } else {
            if s.len > 0 {
                once(own, 5, b'D');
            } else if flags.ack() {
                once(own, 6, b'A');
            }
            return;
        };
        let new = once(own, bit, letter);
        if let Some(last) = own.last_flags.get_mut(slot) {
            if !new && *last != number as u32 {
                history.add(side, letter);
            }
            *last = number as u32;
        }
    }

    fn windows(&mut self, s: &Segment, history: &mut History, told: &mut Told) {
        let (own, peer) = self.pair(s.side);
        let window = u32::from(s.window) << own.scale;
        let over = |state| matches!(state, State::Closed | State::Reset);
        if window == 0 && !s.flags.rst() && peer.state != State::Closed && own.state != State::Reset {
            let [_, zero, _] = &mut own.scaled;
            if zero.count() {
                history.add(s.side, b'W');
            }
        }
        if s.flags.syn() || s.flags.fin() || s.flags.rst() || over(own.state) {
            return;
        }
        let delta = |a: u32, b: u32| a.wrapping_sub(b) as i32;
        if delta(s.seq, own.window_seq) >= 0 && delta(s.ack, own.window_ack) >= 0 {
            let new_edge = s.ack.wrapping_add(window);
            let old_edge = own.window_ack.wrapping_add(own.window);
            let advance = i64::from(delta(new_edge, old_edge));
            if advance < 0 && -advance >= 1 << own.scale {
                told.weirds.push(("window_recision", None));
            }
            own.window = window;
            own.window_ack = s.ack;
            own.window_seq = s.seq;
        }
    }

    fn syn(&mut self, s: &Segment, header: &TcpHeader<'_>, told: &mut Told) {
        if s.flags.rst() {
            told.weirds.push(("TCP_christmas", Some("TCP")));
        }
        if s.flags.urg() {
            told.weirds.push(("baroque_SYN", Some("TCP")));
        }
        if s.len > 0 {
            told.weirds.push(("SYN_with_data", Some("TCP")));
        }
        let scales = header.options().filter_map(|o| match o {
            TcpOption::WindowScale(shift) => Some(shift),
            _ => None,
        });
        let scale = scales.last();
        let (own, peer) = self.pair(s.side);
        match scale {
            None => {
                own.scale = 0;
                if s.flags.ack() {
                    peer.scale = 0;
                }
            }
            Some(shift) => {
                own.scale = shift.min(14);
                (own.window_seq, own.window_ack) = (s.seq, s.ack);
                (peer.window_seq, peer.window_ack) = (s.ack, s.seq);
            }
        }
    }

    /// What the acknowledgment says of the peer's stream, relative.
    fn acknowledge(&mut self, s: &Segment, told: &mut Told) -> Option<u64> {
        if !s.flags.ack() {
            return None;
        }
        let did_weird = self.did_weird || !told.weirds.is_empty();
        let (own, peer) = self.pair(s.side);
        if peer.is_inactive() {
            let plain = !s.flags.syn() && !s.flags.fin() && !s.flags.rst();
            let begun = matches!(own.state, State::SynSent | State::SynAckSent | State::Established);
            let split = plain && begun && !did_weird;
            peer.begin(s.ack.wrapping_sub(1), s.ack.wrapping_sub(1));
            if split {
                told.weirds.push(("possible_split_routing", None));
            }
            return Some(1);
        }
        let rel = peer.relative(s.ack, peer.acked);
        if rel < 0 {
            told.weirds.push(("TCP_ack_underflow_or_misorder", Some("TCP")));
            return Some(0);
        }
        let delta = rel - peer.acked;
        if !s.flags.rst() && delta > 0 && !(s.ack == 0 && delta > TOO_LARGE_DELTA) {
            peer.acked = rel;
        }
        Some(rel as u64)
    }

    /// Moves the sender's last number on; how far, negative for what came before.
    fn advance(&mut self, s: &Segment, history: &mut History) -> i64 {
        let (own, _) = self.pair(s.side);
        let past = own.relative(s.seq.wrapping_add(s.space as u32), own.last);
        let delta = past - own.last;
        if (s.flags.syn() || s.flags.rst()) && delta.abs() > TOO_LARGE_DELTA {
            // Not to be believed.
        } else if s.flags.fin() && own.last == 1 {
            own.last = past;
        } else if own.state == State::Reset {
            // Nothing after a RST is believed.
        } else if delta > 0 {
            own.last = past;
        } else if s.len > 0 {
            let [again, _, _] = &mut own.scaled;
            if again.count() {
                history.add(s.side, b'T');
            }
        }
        delta
    }

    fn transition(&mut self, s: &Segment, advanced: i64, history: &mut History, told: &mut Told) {
        let state = self.pair(s.side).0.state;
        match state {
            State::Inactive => self.when_inactive(s, history, told),
            State::SynSent | State::SynAckSent => self.when_syn_sent(s, told),
            State::Established | State::Partial => self.when_established(s, told),
            State::Closed => self.when_closed(s, advanced, told),
            State::Reset => {
                for (is, name) in [
                    (s.flags.syn(), "SYN_after_reset"),
                    (s.flags.fin(), "FIN_after_reset"),
                    (s.len > 0 && !s.flags.rst(), "data_after_reset"),
                ] {
                    if is {
                        told.weirds.push((name, Some("TCP")));
                    }
                }
            }
        }
    }

    fn when_inactive(&mut self, s: &Segment, history: &mut History, told: &mut Told) {
        let mut weird = |name| told.weirds.push((name, Some("TCP")));
        let mut flipped = false;
        let (own, peer) = self.pair(s.side);
        let answers = s.flags.syn() && s.flags.ack() && !s.side.is_orig();
        if answers && !matches!(peer.state, State::Inactive | State::Partial) && !peer.has_sent(s.ack) {
            weird("bad_SYN_ack");
        }
        if s.answers_first {
            own.enter(State::SynAckSent);
        } else if s.flags.syn() && s.side.is_orig() {
            own.enter(if s.flags.ack() { State::SynAckSent } else { State::SynSent });
        } else if s.flags.syn() {
            if !s.flags.ack() {
                if peer.state == State::SynAckSent && own.starts_at(s.seq) {
                    flipped = true;
                    peer.enter(State::Established);
                } else {
                    weird("simultaneous_open");
                }
            }
            match peer.state {
                State::SynSent => peer.enter(State::Established),
                State::Inactive => weird("unsolicited_SYN_response"),
                _ => {}
            }
            own.enter(State::Established);
        }
        if s.flags.fin() {
            own.enter(State::Closed);
            if peer.state != State::Partial && !s.flags.syn() {
                weird("spontaneous_FIN");
            }
        }
        if s.flags.rst() {
            own.enter(State::Reset);
            let rejects = if s.side.is_orig() {
                peer.state == State::Established
            } else {
                matches!(peer.state, State::SynSent | State::SynAckSent)
            };
            if !rejects && peer.is_inactive() {
                weird("spontaneous_RST");
            }
        }
        if own.is_inactive() {
            if !s.side.is_orig() && s.len == 0 && peer.state == State::SynSent {
                // Some answer a SYN with a bare ACK first: not a partial connection.
            } else if s.flags.ack() && peer.state == State::Established {
                own.enter(State::Established);
                self.partial = false;
            } else {
                own.enter(State::Partial);
            }
        }
        told.close = s.flags.fin() || s.flags.rst();
        if flipped {
            self.flip();
            history.flip();
            told.flipped = true;
        }
    }

    fn when_syn_sent(&mut self, s: &Segment, told: &mut Told) {
        let mut weird = |name| told.weirds.push((name, Some("TCP")));
        let (own, peer) = self.pair(s.side);
        let flags = s.flags;
        if flags.syn() && s.side.is_orig() {
            if flags.ack() && !flags.fin() && !flags.rst() && own.state != State::SynAckSent {
                weird("repeated_SYN_with_ack");
            }
        } else if flags.syn() && !flags.ack() && own.state != State::SynSent {
            weird("repeated_SYN_reply_wo_ack");
        }
        if flags.fin() {
            if matches!(peer.state, State::Inactive | State::SynSent) {
                weird("inappropriate_FIN");
            }
            own.enter(State::Closed);
        }
        if flags.rst() {
            own.enter(State::Reset);
            told.reset = true;
        } else if s.len > 0 {
            weird("data_before_established");
        }
        told.close = flags.fin() || flags.rst();
    }

    fn when_established(&mut self, s: &Segment, told: &mut Told) {
        let (own, peer) = self.pair(s.side);
        if s.flags.syn() && own.state == State::Partial && peer.is_inactive() && !s.flags.ack() {
            told.weirds.push(("SYN_after_partial", Some("TCP")));
            own.enter(State::SynSent);
        }
        if s.flags.fin() && !s.flags.rst() {
            own.enter(State::Closed);
            if peer.state == State::Reset && peer.previous == State::Closed {
                // A FIN and then a RST: a normal end after all.
                peer.enter(State::Closed);
            }
            told.close = true;
        }
        if s.flags.rst() {
            told.reset = peer.state != State::Reset || peer.previous != State::Established;
            own.enter(State::Reset);
            told.close = true;
        }
    }

    fn when_closed(&mut self, s: &Segment, advanced: i64, told: &mut Told) {
        let (own, peer) = self.pair(s.side);
        if s.flags.syn() {
            told.weirds.push(("SYN_after_close", Some("TCP")));
        }
        if s.flags.fin() && advanced > 0 {
            told.weirds.push(("FIN_advanced_last_seq", Some("TCP")));
        }
        if s.flags.rst() && peer.state != State::Closed {
            own.enter(State::Reset);
            told.close = !own.closed;
        }
    }

    /// Whether both sides are in the middle of a connection whose handshake was seen.
    pub fn is_established(&self) -> bool {
        self.ends.iter().all(|end| end.state == State::Established)
    }

    /// Whether a hole in the stream is one that Zeek counts: the connection is established or closes cleanly.
    pub fn reports_gaps(&self) -> bool {
        let [a, b] = &self.ends;
        let clean = |x: &Endpoint, y: &Endpoint| {
            x.state == State::Established
                && (y.state == State::Established
                    || (y.state == State::Closed && y.previous == State::Established))
        };
        let both = a.state == State::Closed
            && b.state == State::Closed
            && a.previous == State::Established
            && b.previous == State::Established;
        clean(a, b) || clean(b, a) || both
    }

    /// conn.log's `conn_state`.
    pub fn conn_state(&self, history: &[u8]) -> &'static str {
        let [orig, resp] = &self.ends;
        let quiet = |state| matches!(state, State::Inactive | State::Partial);
        match (orig.state, resp.state) {
            (State::SynSent | State::SynAckSent, State::Reset) => "REJ",
            (State::Reset, State::Reset) if orig.size(resp) == 0 && resp.size(orig) == 0 => "REJ",
            (o, State::Reset) => {
                if quiet(o) {
                    "RSTRH"
                } else {
                    "RSTR"
                }
            }
            (State::Reset, r) if quiet(r) && reset_after_syn(history) => "RSTOS0",
            (State::Reset, r) if quiet(r) => "OTH",
            (State::Reset, _) => "RSTO",
            (State::Closed, State::Closed) => "SF",
            (State::Closed, r) => {
                if quiet(r) {
                    "SH"
                } else {
                    "S2"
                }
            }
            (o, State::Closed) => {
                if quiet(o) {
                    "SHR"
                } else {
                    "S3"
                }
            }
            (State::SynSent, State::Inactive) => "S0",
            (State::Established, State::Established) => "S1",
            _ => "OTH",
        }
    }
}

/// Whether the originator sent a SYN and then, with nothing of a connection between, a RST.
fn reset_after_syn(history: &[u8]) -> bool {
    let history = history.strip_prefix(b"^").unwrap_or(history);
    let Some(rest) = history.strip_prefix(b"S") else { return false };
    rest.iter().find(|letter| b"HAFGIQR".contains(letter)) == Some(&b'R')
}
