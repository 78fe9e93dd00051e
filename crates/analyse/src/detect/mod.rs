//! Which protocol a connection speaks: by what its first bytes say, on any port, and by port.
//!
//! A [`Detection`] owns the analysers of one connection (or of a stream inside one: what follows an HTTP CONNECT). It
//! keeps the first bytes of each side until they are enough to tell, replays them to each analyser that it puts
//! in place, and takes an analyser out when it reports a violation (analyzer.log), as Zeek's DPD does.
//! Source: Zeek's src/analyzer/protocol/pia and scripts/base/frameworks/analyzer/dpd.zeek.

mod buffer;
mod expected;
mod ports;
mod signature;
#[cfg(test)]
mod tests;

pub use self::expected::{Expected, Proxy};
pub use self::ports::is_likely_server_port;

use self::buffer::{Beginning, Datagrams, Event, Outcome};
use weir_record::Text;

use crate::context::{Context, HandOver, Side, Transport, Verdict, Violation};
use crate::protocol::{Analyze, Instance, Kind};

/// How often the rest of a connection may be handed over: a tunnel in a tunnel, and so on.
const MAX_HAND_OVERS: u8 = 8;

/// Violations further into a connection than this many bytes change nothing (Zeek: DPD::ignore_violations_after).
const MAX_BYTES_VIOLATED: u64 = 10 * 1024;

/// Most bytes that analyzer.log shows of what caused a failure (Zeek: Analyzer::Logging::failure_data_max_size).
const MAX_FAILURE_DATA: usize = 40;

/// What analysers said that the flow must know.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Flags {
    /// The roles were exchanged.
    pub flipped: bool,
    /// A message came that its analyser knows no meaning for.
    pub unknown_message: bool,
}

/// The analysers of one connection.
#[derive(Default)]
pub struct Detection {
    /// Those that get payload.
    active: Vec<Attached>,
    /// Those that wait for the end of the connection.
    retired: Vec<Attached>,
    probe: Probe,
    /// What follows on the connection is a connection of its own.
    nested: Option<Box<Self>>,
    /// Bytes of both sides so far, unseen ones too.
    seen: u64,
    flags: Flags,
}

/// An analyser in place.
struct Attached {
    instance: Instance,
    confirmed: bool,
}

/// Signatures.
#[derive(Default)]
enum Probe {
    /// None can match any more.
    #[default]
    Over,
    /// Allocated when the first byte comes.
    Stream(Option<Box<Beginning>>),
    Datagrams(Datagrams),
}

impl Probe {
    const fn new(transport: Transport) -> Self {
        match transport {
            Transport::Tcp => Self::Stream(None),
            Transport::Udp => Self::Datagrams(Datagrams::new()),
            Transport::Icmp | Transport::Unknown => Self::Over,
        }
    }

    fn look(&mut self, side: Side, event: Event<'_>) -> Outcome {
        match (self, event) {
            (Self::Stream(beginning), Event::Data(bytes)) => {
                beginning.get_or_insert_default().data(side, bytes)
            }
            (Self::Stream(beginning), Event::Gap(len)) => beginning.get_or_insert_default().gap(side, len),
            (Self::Stream(Some(beginning)), Event::End) => beginning.end(side),
            (Self::Datagrams(datagrams), Event::Data(bytes)) => datagrams.data(bytes),
            (Self::Stream(None) | Self::Datagrams(_), _) => Outcome::Open,
            (Self::Over, _) => Outcome::Over,
        }
    }
}

impl Detection {
    /// The detection of a connection, with the analysers that its ports call for already in place.
    pub fn new(cx: &Context<'_>) -> Self {
        let connection = &cx.connection;
        let port = connection.id.resp_p;
        let mut this = Self { probe: Probe::new(connection.transport), ..Self::default() };
        // What was announced goes before what the port says, as in Zeek.
        if let Some(kind) = cx.expected.find(cx.now, &connection.id) {
            this.attach(kind);
            return this;
        }
        for kind in ports::expected(connection.transport, port) {
            this.attach(*kind);
        }
        this
    }

    /// The detection of a stream inside of a connection, by signatures alone; `None` where there are too many such
    /// streams in it.
    pub fn inside(cx: &mut Context<'_>) -> Option<Self> {
        may_hand_over(cx).then(|| Self { probe: Probe::new(Transport::Tcp), ..Self::default() })
    }

    /// The next bytes that `side` sent (UDP: one datagram).
    pub fn data(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]) {
        self.event(cx, side, Event::Data(bytes));
    }

    /// `len` bytes that `side` sent were never seen.
    pub fn gap(&mut self, cx: &mut Context<'_>, side: Side, len: u64) {
        self.event(cx, side, Event::Gap(len));
    }

    /// `side` will send no more.
    pub fn end(&mut self, cx: &mut Context<'_>, side: Side) {
        self.event(cx, side, Event::End);
    }

    /// The connection is over.
    pub fn finish(&mut self, cx: &mut Context<'_>) {
        self.probe = Probe::Over;
        // What is inside, or came later, ends first, as in Zeek: analysers may share a log.
        if let Some(mut nested) = self.nested.take() {
            nested.finish(cx);
        }
        let mut all = std::mem::take(&mut self.active);
        all.append(&mut self.retired);
        for mut attached in all {
            attached.instance.finish(cx);
            let verdict = std::mem::take(&mut cx.verdict);
            self.heed(cx, &mut attached, verdict);
        }
    }

    /// Whether anyone still wants payload; once false it stays false.
    pub fn wants_payload(&self) -> bool {
        !self.active.is_empty()
            || !matches!(self.probe, Probe::Over)
            || self.nested.as_ref().is_some_and(|nested| nested.wants_payload())
    }

    /// What analysers said since this was asked last.
    pub fn take_flags(&mut self) -> Flags {
        std::mem::take(&mut self.flags)
    }

    fn event(&mut self, cx: &mut Context<'_>, mut side: Side, event: Event<'_>) {
        self.seen = self.seen.saturating_add(match event {
            Event::Data(bytes) => bytes.len() as u64,
            Event::Gap(len) => len,
            Event::End => 0,
        });
        // What is nested by this very event gets only what is left for it.
        let was_nested = self.nested.is_some();
        self.probe(cx, side, event);
        let mut index = 0;
        for _ in 0..self.active.len() {
            let step = self.call(cx, index, side, event);
            index += usize::from(step.stays);
            if step.flipped {
                side = side.flip();
            }
        }
        if was_nested && let Some(nested) = &mut self.nested {
            nested.event(cx, side, event);
            Self::merge(&mut self.flags, nested.take_flags());
        }
    }

    /// Tries the signatures; who matches gets what came before, and then this event like everybody.
    fn probe(&mut self, cx: &mut Context<'_>, side: Side, event: Event<'_>) {
        if matches!(self.probe, Probe::Over) {
            return;
        }
        let kind = match self.probe.look(side, event) {
            Outcome::Open => return,
            Outcome::Over => {
                self.probe = Probe::Over;
                return;
            }
            Outcome::Found(kind) => kind,
        };
        let probe = std::mem::take(&mut self.probe);
        if !self.attach(kind) {
            return;
        }
        let index = self.active.len().saturating_sub(1);
        let mut stays = true;
        if let Probe::Stream(Some(beginning)) = probe {
            beginning.replay(|side, event| {
                if stays {
                    stays = self.call(cx, index, side, event).stays;
                }
            });
        }
    }

    /// Puts an analyser in place unless there is or was one of its kind; answers whether it did.
    fn attach(&mut self, kind: Kind) -> bool {
        let is_new = self.active.iter().chain(&self.retired).all(|a| a.instance.kind() != kind);
        if is_new {
            self.active.push(Attached { instance: kind.instantiate(), confirmed: false });
        }
        is_new
    }

    /// Calls one analyser and does what it says.
    fn call(&mut self, cx: &mut Context<'_>, index: usize, side: Side, event: Event<'_>) -> Step {
        let Some(attached) = self.active.get_mut(index) else { return Step { stays: false, flipped: false } };
        match event {
            Event::Data(bytes) => attached.instance.data(cx, side, bytes),
            Event::Gap(len) => attached.instance.gap(cx, side, len),
            Event::End => attached.instance.end(cx, side),
        }
        let verdict = std::mem::take(&mut cx.verdict);
        let (flipped, hand_over) = (verdict.flipped, verdict.hand_over);
        let mut stays = hand_over.is_none() && attached.instance.wants_payload();
        if verdict.confirmed || flipped || verdict.unknown_message || verdict.violation.is_some() {
            let mut attached = self.active.remove(index);
            stays &= self.heed(cx, &mut attached, verdict);
            self.active.insert(index, attached);
        }
        if !stays && index < self.active.len() {
            let attached = self.active.remove(index);
            self.retired.push(attached);
        }
        if let Some(hand_over) = hand_over {
            self.hand_over(cx, hand_over, if flipped { side.flip() } else { side }, event);
        }
        Step { stays, flipped }
    }

    /// Does what an analyser says of itself; answers whether it may stay.
    fn heed(&mut self, cx: &mut Context<'_>, attached: &mut Attached, verdict: Verdict) -> bool {
        if verdict.confirmed && !attached.confirmed {
            attached.confirmed = true;
            cx.connection.add_service(attached.instance.kind().service());
        }
        if verdict.flipped
            && let Probe::Stream(Some(beginning)) = &mut self.probe
        {
            beginning.flip();
        }
        let said = Flags { flipped: verdict.flipped, unknown_message: verdict.unknown_message };
        Self::merge(&mut self.flags, said);
        match verdict.violation {
            Some(violation) if self.seen <= MAX_BYTES_VIOLATED => !violated(cx, attached, violation),
            _ => true,
        }
    }

    /// Leaves the rest of the connection to others, beginning with the end of `event`.
    fn hand_over(&mut self, cx: &mut Context<'_>, to: HandOver, side: Side, event: Event<'_>) {
        if !may_hand_over(cx) {
            return;
        }
        let rest = match event {
            Event::Data(bytes) => bytes.get(bytes.len().saturating_sub(to.rest)..).unwrap_or_default(),
            Event::Gap(_) | Event::End => &[],
        };
        if let Some(kind) = to.to {
            if self.attach(kind) && !rest.is_empty() {
                let index = self.active.len().saturating_sub(1);
                self.call(cx, index, side, Event::Data(rest));
            }
            return;
        }
        let mut nested =
            Self { probe: Probe::new(cx.connection.transport), seen: self.seen, ..Self::default() };
        if !rest.is_empty() {
            nested.event(cx, side, Event::Data(rest));
            Self::merge(&mut self.flags, nested.take_flags());
        }
        self.nested.get_or_insert(Box::new(nested));
    }

    const fn merge(into: &mut Flags, said: Flags) {
        into.flipped ^= said.flipped;
        into.unknown_message |= said.unknown_message;
    }
}

/// Whether a connection may be handed over once more, and counts it.
const fn may_hand_over(cx: &mut Context<'_>) -> bool {
    let may = cx.connection.hand_overs < MAX_HAND_OVERS;
    cx.connection.hand_overs = cx.connection.hand_overs.saturating_add(1);
    may
}

/// What came of a call.
struct Step {
    /// The analyser is still in its place.
    stays: bool,
    flipped: bool,
}

/// As much of the bytes as analyzer.log shows.
fn cut(data: Text) -> Text {
    match data.as_bytes().get(..MAX_FAILURE_DATA) {
        Some(beginning) => Text::from(beginning),
        None => data,
    }
}

/// An analyser gives up; answers whether it goes.
fn violated(cx: &mut Context<'_>, attached: &Attached, violation: Violation) -> bool {
    let kind = attached.instance.kind();
    if !attached.confirmed {
        // A reply is a reply also where the request was none.
        return kind != Kind::Http;
    }
    cx.connection.services.retain(|service| *service != kind.service());
    let id = cx.connection.id;
    cx.emit(weir_record::Entry::Analyzer(Box::new(weir_record::Analyzer {
        ts: cx.now,
        analyzer_kind: "protocol".into(),
        analyzer_name: kind.name().into(),
        uid: Some(weir_record::ConnUid(cx.connection.uid)),
        fuid: None,
        orig_h: Some(id.orig_h),
        orig_p: Some(weir_record::Port(id.orig_p)),
        resp_h: Some(id.resp_h),
        resp_p: Some(weir_record::Port(id.resp_p)),
        proto: Some(weir_record::Name(cx.connection.transport.name())),
        failure_reason: violation.reason,
        failure_data: violation.data.map(cut),
    })));
    true
}
