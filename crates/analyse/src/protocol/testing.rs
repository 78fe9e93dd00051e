//! For tests of analysers: one analyser on one connection, fed by hand; what it writes is collected.

use weir_record::{Entries, Entry, Text};
use weir_wire::{Address, ConnId, Time, Uid, UidKey};

use super::Analyze;
use crate::Config;
use crate::context::{Connection, Context, Side, Transport, Verdict};
use crate::detect::Expected;
use crate::file::Files;

/// An analyser and its surroundings. Time stands where it is put.
pub(crate) struct Bench<A> {
    pub analyser: A,
    pub connection: Connection,
    pub now: Time,
    pub verdict: Verdict,
    pub entries: Vec<Entry>,
    pub expected: Expected,
    files: Files,
    config: Config,
    key: UidKey,
}

impl<A: Analyze> Bench<A> {
    /// On a connection from 10.0.0.1:4000 to 10.0.0.2:`port`.
    pub fn new(analyser: A, transport: Transport, port: u16) -> Self {
        let id = ConnId {
            orig_h: Address::v4([10, 0, 0, 1]),
            orig_p: 4000,
            resp_h: Address::v4([10, 0, 0, 2]),
            resp_p: port,
        };
        let start = Time::from_parts(1_700_000_000, 0);
        let connection = Connection::new(Uid::NONE, id, transport, start, false);
        Self {
            analyser,
            connection,
            now: start,
            verdict: Verdict::default(),
            entries: Vec::new(),
            expected: Expected::default(),
            files: Files::new(),
            config: Config::default(),
            key: UidKey::default(),
        }
    }

    fn call(&mut self, what: impl FnOnce(&mut A, &mut Context<'_>)) {
        let mut out = Entries::default();
        let mut cx = Context {
            now: self.now,
            connection: &mut self.connection,
            files: &mut self.files,
            expected: &mut self.expected,
            out: &mut out,
            config: &self.config,
            key: &self.key,
            verdict: Verdict::default(),
        };
        what(&mut self.analyser, &mut cx);
        let said = cx.verdict;
        self.verdict.confirmed |= said.confirmed;
        self.verdict.flipped ^= said.flipped;
        self.verdict.unknown_message |= said.unknown_message;
        self.verdict.hand_over = self.verdict.hand_over.or(said.hand_over);
        self.verdict.violation = self.verdict.violation.take().or(said.violation);
        self.entries.extend(out.drain().map(|ordered| ordered.entry));
    }

    /// Time goes on.
    pub fn wait(&mut self, milliseconds: i64) {
        self.now = self.now + weir_wire::Interval::from_millis(milliseconds);
    }

    pub fn data(&mut self, side: Side, bytes: &[u8]) {
        self.call(|a, cx| a.data(cx, side, bytes));
    }

    pub fn gap(&mut self, side: Side, len: u64) {
        self.call(|a, cx| a.gap(cx, side, len));
    }

    pub fn end(&mut self, side: Side) {
        self.call(|a, cx| a.end(cx, side));
    }

    pub fn finish(&mut self) {
        self.call(A::finish);
    }

    /// The names and additions of the weirds so far.
    pub fn weirds(&self) -> Vec<(Text, Option<Text>)> {
        let weird = |entry: &Entry| {
            if let Entry::Weird(weird) = entry {
                Some((weird.name.clone(), weird.addl.clone()))
            } else {
                None
            }
        };
        self.entries.iter().filter_map(weird).collect()
    }
}
