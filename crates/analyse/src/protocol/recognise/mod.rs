//! Protocols of which is told that they are spoken, and little more: `service` in conn.log, where TLS begins inside, and the
//! certificates that are shown in the clear.
//!
//! Each has a judge that reads its messages as far as that takes. [`Framed`] cuts streams into messages, [`Datagrams`] takes
//! each datagram for one. Bounded: [`MAX_FRAME`] bytes of a message for each side; what is longer is cut and passed over.

mod database;
mod directory;
mod industry;
mod infrastructure;
mod mail;
mod management;
mod pkinit;
mod words;

pub use self::database::{MySql, Postgresql, Redis};
pub use self::directory::{Kerberos, KerberosTcp, LdapTcp, LdapUdp, is_kerberos};
pub use self::industry::{Dnp3Tcp, Dnp3Udp, Modbus};
pub use self::infrastructure::{Dhcp, Ntp, Radius, Sip, Syslog};
pub use self::mail::{Imap, Xmpp};
pub use self::management::{Mqtt, RdpUdp, Rfb, Snmp};
pub use self::words::Finger;

use std::borrow::Cow;

use weir_record::Text;

use self::pkinit::Shown;
use super::{Analyze, Kind};
use crate::context::{Context, Side};

/// Most bytes of a message that are kept.
pub const MAX_FRAME: usize = 1 << 16;

/// How long a message is, as far as its beginning tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Size {
    /// Too early to tell.
    More,
    /// So many bytes, at least one.
    Is(usize),
    /// It is no message.
    Bad,
}

/// What a message tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Judgement {
    /// Nothing yet.
    Open,
    /// The protocol is spoken; later messages may matter.
    Confirmed,
    /// The protocol is spoken, and that is all there is to know.
    Settled,
    /// There is nothing more to know, whether it is spoken or not.
    Over,
    /// The protocol is spoken, and TLS follows this message.
    Tls,
    /// The protocol is spoken, and the sender is the one who answers in truth.
    Flipped,
    /// The protocol is not spoken, for this reason.
    Violated(Text),
}

/// A judge over the messages of one connection.
pub trait Judge: Default {
    /// The weird that tells of what is no message, where that is no violation.
    const BAD: Option<&'static str> = None;
    /// The source of its weirds.
    const SOURCE: Option<&'static str> = None;

    /// What was weird about the last message; asked until there is no more.
    fn odd(&mut self) -> Option<&'static str> {
        None
    }

    /// How long the message is that begins with `bytes` of `side`.
    fn size(&self, side: Side, bytes: &[u8]) -> Size;
    /// What `message` tells; it is shorter than its size where that is more than [`MAX_FRAME`].
    fn judge(&mut self, side: Side, message: &[u8]) -> Judgement;
    /// The certificates that `message` shows.
    fn certificates(_message: &[u8]) -> impl Iterator<Item = Shown<'_>> {
        std::iter::empty()
    }
}

/// A protocol whose messages are datagrams.
pub trait DatagramJudge: Default {
    /// The source of its weirds.
    const SOURCE: Option<&'static str> = None;

    /// What was weird about the last datagram; asked until there is no more.
    fn odd(&mut self) -> Option<&'static str> {
        None
    }

    /// What `datagram` tells.
    fn judge(&mut self, side: Side, datagram: &[u8]) -> Judgement;
    /// The certificates that `datagram` shows.
    fn certificates(_datagram: &[u8]) -> impl Iterator<Item = Shown<'_>> {
        std::iter::empty()
    }
}

/// What cuts one side of a stream into messages.
#[derive(Default)]
pub struct Frames {
    held: Vec<u8>,
    /// Bytes of a message that was longer than is kept.
    pass: usize,
}

/// What comes next of a stream.
#[derive(Debug)]
pub enum Step<'a> {
    /// All bytes are used.
    More,
    /// They are no message.
    Bad,
    /// A message, cut at [`MAX_FRAME`].
    Message(Cow<'a, [u8]>),
}

impl Frames {
    /// The next message of what was held and `rest`, which is moved on; `size` tells how long it is.
    pub fn next<'a>(&mut self, rest: &mut &'a [u8], size: impl Fn(&[u8]) -> Size) -> Step<'a> {
        let passed = self.pass.min(rest.len());
        self.pass -= passed;
        *rest = rest.get(passed..).unwrap_or_default();
        if rest.is_empty() {
            return Step::More;
        }
        let whole = loop {
            let known = if self.held.is_empty() { *rest } else { self.held.as_slice() };
            match size(known) {
                Size::Bad => return Step::Bad,
                Size::Is(len) => break len.max(1),
                Size::More if self.held.is_empty() || self.held.len() >= MAX_FRAME => {
                    if !self.held.is_empty() {
                        return Step::Bad;
                    }
                    self.held.extend_from_slice(rest.get(..rest.len().min(MAX_FRAME)).unwrap_or_default());
                    *rest = &[];
                    return Step::More;
                }
                Size::More => {
                    let Some((first, after)) = rest.split_first() else { return Step::More };
                    self.held.push(*first);
                    *rest = after;
                }
            }
        };
        self.take(rest, whole)
    }

    fn take<'a>(&mut self, rest: &mut &'a [u8], whole: usize) -> Step<'a> {
        let kept = whole.min(MAX_FRAME);
        let missing = kept.saturating_sub(self.held.len());
        let Some((now, after)) = rest.split_at_checked(missing) else {
            self.held.extend_from_slice(rest);
            *rest = &[];
            return Step::More;
        };
        *rest = after;
        self.pass = whole - kept;
        if self.held.is_empty() {
            return Step::Message(Cow::Borrowed(now));
        }
        self.held.extend_from_slice(now);
        Step::Message(Cow::Owned(std::mem::take(&mut self.held)))
    }
}

/// An analyser of messages in a stream.
#[derive(Default)]
pub struct Framed<J> {
    judge: J,
    halves: [Frames; 2],
    over: bool,
}

impl<J: Judge> Framed<J> {
    fn end_with(&mut self) {
        self.over = true;
        self.halves = <[Frames; 2]>::default();
    }

    /// Does what a judgement says; answers whether to go on.
    fn heed(&mut self, cx: &mut Context<'_>, judgement: Judgement, rest: usize) -> bool {
        match judgement {
            Judgement::Open => {}
            Judgement::Over => self.end_with(),
            Judgement::Confirmed | Judgement::Flipped => cx.confirm(),
            Judgement::Settled => {
                cx.confirm();
                self.end_with();
            }
            Judgement::Tls => {
                cx.confirm();
                cx.hand_over(Some(Kind::Ssl), rest);
                self.end_with();
            }
            Judgement::Violated(reason) => {
                cx.violate(reason, None);
                self.end_with();
            }
        }
        !self.over
    }
}

impl<J: Judge> Analyze for Framed<J> {
    fn data(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]) {
        let mut rest = bytes;
        while !self.over {
            let Self { judge, halves, .. } = self;
            let Some(half) = halves.get_mut(side.index()) else { return };
            match half.next(&mut rest, |bytes| judge.size(side, bytes)) {
                Step::More => return,
                Step::Bad => {
                    if let Some(name) = J::BAD {
                        cx.weird(name, None, J::SOURCE);
                        self.end_with();
                    } else {
                        self.heed(cx, Judgement::Violated("malformed message".into()), 0);
                    }
                }
                Step::Message(message) => {
                    let judgement = judge.judge(side, &message);
                    log(cx, J::certificates(&message));
                    while let Some(name) = judge.odd() {
                        cx.weird(name, None, J::SOURCE);
                    }
                    self.heed(cx, judgement, rest.len());
                }
            }
        }
    }

    fn gap(&mut self, _cx: &mut Context<'_>, _side: Side, _len: u64) {
        // Nothing tells where the next message begins.
        self.end_with();
    }

    fn end(&mut self, _cx: &mut Context<'_>, _side: Side) {}

    fn finish(&mut self, _cx: &mut Context<'_>) {}

    fn wants_payload(&self) -> bool {
        !self.over
    }
}

/// An analyser of datagrams.
#[derive(Default)]
pub struct Datagrams<J> {
    judge: J,
    over: bool,
}

impl<J: DatagramJudge> Analyze for Datagrams<J> {
    fn data(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]) {
        if self.over {
            return;
        }
        let judgement = self.judge.judge(side, bytes);
        log(cx, J::certificates(bytes));
        while let Some(name) = self.judge.odd() {
            cx.weird(name, None, J::SOURCE);
        }
        match judgement {
            Judgement::Open => {}
            Judgement::Over => self.over = true,
            Judgement::Confirmed => cx.confirm(),
            Judgement::Settled | Judgement::Tls => {
                cx.confirm();
                self.over = true;
            }
            Judgement::Flipped => {
                cx.confirm();
                cx.flip_roles();
            }
            Judgement::Violated(reason) => cx.violate(reason, None),
        }
    }

    fn gap(&mut self, _cx: &mut Context<'_>, _side: Side, _len: u64) {}

    fn end(&mut self, _cx: &mut Context<'_>, _side: Side) {}

    fn finish(&mut self, _cx: &mut Context<'_>) {}

    fn wants_payload(&self) -> bool {
        !self.over
    }
}

/// Tells of certificates.
fn log<'a>(cx: &mut Context<'_>, certificates: impl Iterator<Item = Shown<'a>>) {
    for (certificate, role) in certificates {
        cx.files.certificates.log(cx.out, cx.now, certificate, role);
    }
}

/// The first bytes of `bytes` as an array.
fn first<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.first_chunk::<N>().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A length of two bytes, then so many bytes.
    fn two(bytes: &[u8]) -> Size {
        first::<2>(bytes).map_or(Size::More, |n| Size::Is(2 + usize::from(u16::from_be_bytes(n)) * 3))
    }

    fn cut(stream: &[u8], piece: usize) -> Vec<Vec<u8>> {
        let mut half = Frames::default();
        let mut all = Vec::new();
        for mut bytes in stream.chunks(piece) {
            while let Step::Message(message) = half.next(&mut bytes, two) {
                all.push(message.into_owned());
            }
        }
        all
    }

    proptest! {
        #[test]
        fn messages_do_not_depend_on_pieces(
            sizes in proptest::collection::vec(0_u16..300, 1..6), piece in 1_usize..400
        ) {
            let mut stream = Vec::new();
            for size in sizes {
                stream.extend(size.to_be_bytes());
                stream.extend(vec![size as u8; usize::from(size) * 3]);
            }
            prop_assert_eq!(cut(&stream, piece), cut(&stream, usize::MAX));
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_cut_and_passed_over() {
        let mut stream = vec![0xff, 0xff];
        stream.extend(vec![7; 0xffff * 3]);
        stream.extend([0, 0]);
        for piece in [1000, usize::MAX] {
            let all = cut(&stream, piece);
            assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [MAX_FRAME, 2]);
        }
    }
}
