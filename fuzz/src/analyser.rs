//! One protocol analyser, or the detection of one connection, driven by operations.

use weir_analyse::Config;
use weir_analyse::context::{Connection, Context, Side, Transport, Verdict};
use weir_analyse::detect::{Detection, Expected};
use weir_analyse::file::Files;
use weir_analyse::protocol::{Analyze, Instance, Kind};
use weir_record::Entries;
use weir_wire::{Address, ConnId, Interval, Time, Uid, UidKey};

use crate::ops::{Op, ops};
use crate::show;

/// What the first byte of an input says of the connection.
pub const PARTIAL: u8 = 1;
/// The same bytes in other pieces must give the same records.
pub const SPLIT: u8 = 2;

/// Bytes by which SMB knows that a message begins.
const SMB_BEGINS: usize = 8;

/// What operations are done on.
trait Subject {
    fn data(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]);
    fn gap(&mut self, cx: &mut Context<'_>, side: Side, len: u64);
    fn end(&mut self, cx: &mut Context<'_>, side: Side);
    fn finish(&mut self, cx: &mut Context<'_>);
    fn wants_payload(&self) -> bool;
}

impl Subject for Detection {
    fn data(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]) {
        self.data(cx, side, bytes);
    }
    fn gap(&mut self, cx: &mut Context<'_>, side: Side, len: u64) {
        self.gap(cx, side, len);
    }
    fn end(&mut self, cx: &mut Context<'_>, side: Side) {
        self.end(cx, side);
    }
    fn finish(&mut self, cx: &mut Context<'_>) {
        self.finish(cx);
    }
    fn wants_payload(&self) -> bool {
        self.wants_payload()
    }
}

/// An analyser, as the [`Analyze`] that it is.
struct Analyser(Instance);

impl Subject for Analyser {
    fn data(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]) {
        self.0.data(cx, side, bytes);
    }
    fn gap(&mut self, cx: &mut Context<'_>, side: Side, len: u64) {
        self.0.gap(cx, side, len);
    }
    fn end(&mut self, cx: &mut Context<'_>, side: Side) {
        self.0.end(cx, side);
    }
    fn finish(&mut self, cx: &mut Context<'_>) {
        self.0.finish(cx);
    }
    fn wants_payload(&self) -> bool {
        self.0.wants_payload()
    }
}

/// A lane's part of the surroundings.
struct Stage {
    connection: Connection,
    files: Files,
    expected: Expected,
    out: Entries,
    config: Config,
    key: UidKey,
    now: Time,
}

impl Stage {
    fn new(transport: Transport, port: u16, partial: bool) -> Self {
        let start = Time::from_parts(1_700_000_000, 0);
        let id = ConnId {
            orig_h: Address::v4([10, 0, 0, 1]),
            orig_p: 40_000,
            resp_h: Address::v4([192, 0, 2, 1]),
            resp_p: port,
        };
        let key = UidKey([7; 16]);
        let connection = Connection::new(Uid::NONE, id, transport, start, partial);
        Self {
            connection,
            files: Files::new(),
            expected: Expected::default(),
            out: Entries::default(),
            config: Config::default(),
            key,
            now: start,
        }
    }

    fn context(&mut self) -> Context<'_> {
        Context {
            now: self.now,
            connection: &mut self.connection,
            files: &mut self.files,
            expected: &mut self.expected,
            out: &mut self.out,
            config: &self.config,
            key: &self.key,
            verdict: Verdict::default(),
        }
    }

    /// Does all operations, data in pieces of at most `piece` bytes.
    fn play(&mut self, subject: &mut dyn Subject, input: &[u8], piece: usize) -> Outcome {
        let mut outcome = Outcome::default();
        let (mut ended, mut flipped) = ([false; 2], false);
        for op in ops(input) {
            let (Op::Data(sender, _) | Op::Gap(sender, _) | Op::End(sender)) = op else {
                if let Op::Wait(milliseconds) = op {
                    self.now = self.now + Interval::from_millis(milliseconds);
                }
                continue;
            };
            if ended[sender.index()] {
                continue;
            }
            let pieces: Vec<&[u8]> = match op {
                Op::Data(_, bytes) if !bytes.is_empty() => bytes.chunks(piece).collect(),
                Op::Data(..) => Vec::new(),
                Op::Gap(..) | Op::End(_) | Op::Wait(_) => vec![&[]],
            };
            for bytes in pieces {
                if !outcome.wanted {
                    break;
                }
                // After the roles were exchanged, whoever was the originator is the responder.
                let side = if flipped { sender.flip() } else { sender };
                let mut cx = self.context();
                match op {
                    Op::Gap(_, len) => subject.gap(&mut cx, side, len),
                    Op::End(_) => subject.end(&mut cx, side),
                    Op::Data(..) | Op::Wait(_) => subject.data(&mut cx, side, bytes),
                }
                flipped ^= cx.verdict.flipped;
                outcome.violated |= cx.verdict.violation.is_some();
                outcome.wanted = subject.wants_payload();
            }
            ended[sender.index()] |= matches!(op, Op::End(_));
        }
        subject.finish(&mut self.context());
        outcome.records = show::entries(&mut self.out);
        outcome
    }
}

/// How a connection went.
struct Outcome {
    records: String,
    violated: bool,
    wanted: bool,
}

impl Default for Outcome {
    fn default() -> Self {
        Self { records: String::new(), violated: false, wanted: true }
    }
}

/// Runs the analyser of `kind` on a connection to `port`.
pub fn run(kind: Kind, transport: Transport, port: u16, input: &[u8]) {
    let (flags, input) = input.split_first().unwrap_or((&0, input));
    let play = |piece| {
        let mut stage = Stage::new(transport, port, flags & PARTIAL != 0);
        stage.play(&mut Analyser(kind.instantiate()), input, piece)
    };
    let whole = play(usize::MAX);
    // What an analyser makes of the rest of a call in which it gave up is its own affair. SSH judges logins by the lengths of
    // segments and SOCKS takes each for a message, as Zeek does, and HTTP says how much of a call follows a CONNECT.
    let follows = whole.records.contains("protocol_data_with_HTTP");
    let by_segment = matches!(kind, Kind::Ssh | Kind::Socks) || kind == Kind::Smb && !is_in_step(input);
    let comparable = transport == Transport::Tcp && !by_segment && !whole.violated && !follows;
    if comparable && flags & SPLIT != 0 {
        let piece = (1 + usize::from(flags >> 4)).max(if kind == Kind::Smb { SMB_BEGINS } else { 1 });
        assert_eq!(whole.records, play(piece).records, "the records in pieces of {piece} bytes");
    }
}

/// Whether SMB is in step all the time: where it is not, it looks for a message at the beginning of each segment, as Zeek does.
fn is_in_step(input: &[u8]) -> bool {
    let first = ops(input).find_map(|op| match op {
        Op::Data(_, bytes) if !bytes.is_empty() => Some(bytes),
        Op::Data(..) | Op::Gap(..) | Op::End(_) | Op::Wait(_) => None,
    });
    let begins = first.and_then(|bytes| bytes.get(4..SMB_BEGINS));
    matches!(begins, Some(b"\xffSMB" | b"\xfeSMB")) && !ops(input).any(|op| matches!(op, Op::Gap(..)))
}

/// Runs detection on a connection to `port`.
pub fn detect(transport: Transport, port: u16, input: &[u8]) {
    let mut stage = Stage::new(transport, port, false);
    let mut detection = Detection::new(&stage.context());
    stage.play(&mut detection, input, usize::MAX);
}
