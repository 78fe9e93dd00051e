//! WebSocket: what its messages carry is a stream of its own, whose protocol is told by its bytes.
//!
//! Put in place by HTTP where both sides agreed on the upgrade; has neither port nor signature. Source: RFC 6455; Zeek's
//! src/analyzer/protocol/websocket.

mod frame;

use self::frame::{Frames, MAX_CONTROL};
use crate::context::{Context, Side};
use crate::detect::Detection;
use crate::protocol::Analyze;

/// Bytes that are unmasked at a time.
const RUN: usize = 2048;

/// The analyser.
#[derive(Default)]
pub struct WebSocket {
    sides: [Frames; 2],
    /// Of what the messages carry; there from the first call on, unless there are too many such streams.
    inner: Option<Box<Detection>>,
    begun: bool,
    /// It is not known where the next frame begins.
    lost: bool,
}

impl WebSocket {
    fn begin(&mut self, cx: &mut Context<'_>) {
        if !std::mem::replace(&mut self.begun, true) {
            cx.confirm();
            self.inner = Detection::inside(cx).map(Box::new);
        }
    }
}

impl Analyze for WebSocket {
    fn data(&mut self, cx: &mut Context<'_>, side: Side, mut bytes: &[u8]) {
        self.begin(cx);
        let Self { sides, inner, lost: false, .. } = self else { return };
        // What is inside speaks of itself; what this analyser has said must not be mixed with it.
        let said = std::mem::take(&mut cx.verdict);
        let Some(frames) = sides.get_mut(side.index()) else { return };
        while let Some(payload) = frames.next(&mut bytes) {
            let Some(inner) = inner.as_mut().filter(|inner| payload.is_data && inner.wants_payload()) else {
                continue;
            };
            if !frames.is_masked() {
                inner.data(cx, side, payload.bytes);
                continue;
            }
            for masked in payload.bytes.chunks(RUN) {
                let mut run = [0; RUN];
                let Some(plain) = run.get_mut(..masked.len()) else { continue };
                plain.copy_from_slice(masked);
                frames.unmask(plain);
                inner.data(cx, side, plain);
            }
        }
        if let Some(len) = frames.take_too_long() {
            let addl = format!("{len} > {MAX_CONTROL}");
            cx.weird("websocket_control_frame_size_exceeded", Some(addl.into()), Some("WEBSOCKET"));
        }
        cx.verdict = said;
    }

    fn gap(&mut self, cx: &mut Context<'_>, side: Side, len: u64) {
        let Some(frames) = self.sides.get_mut(side.index()) else { return };
        match (frames.gap(len), &mut self.inner) {
            (Some(true), Some(inner)) => inner.gap(cx, side, len),
            (Some(_), _) => {}
            (None, _) => self.lost = true,
        }
    }

    fn end(&mut self, cx: &mut Context<'_>, side: Side) {
        if let Some(inner) = &mut self.inner {
            inner.end(cx, side);
        }
    }

    fn finish(&mut self, cx: &mut Context<'_>) {
        if let Some(inner) = &mut self.inner {
            inner.finish(cx);
        }
    }

    fn wants_payload(&self) -> bool {
        // Frames may break the rules though nobody knows their messages.
        !self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Transport;
    use crate::protocol::testing::Bench;

    #[test]
    fn what_messages_carry_is_told_by_its_bytes() {
        let mut b = Bench::new(WebSocket::default(), Transport::Tcp, 80);
        b.data(Side::Orig, b"\x81\x04GET ");
        assert!(b.verdict.confirmed && b.analyser.wants_payload());
        b.data(Side::Orig, b"\x82\x0e/ HTTP/1.0\r\n\r\n");
        b.finish();
        assert_eq!(b.connection.services, ["http"]);
    }

    #[test]
    fn a_control_frame_that_is_too_long_is_weird_and_passed_over() {
        let mut b = Bench::new(WebSocket::default(), Transport::Tcp, 80);
        b.data(Side::Orig, &[&[0x88, 126, 0, 126][..], &[b'x'; 126], &[0x89, 1, b'y']].concat());
        assert_eq!(b.weirds(), [("websocket_control_frame_size_exceeded".into(), Some("126 > 125".into()))]);
    }

    #[test]
    fn frames_are_followed_where_nobody_knows_their_messages() {
        let mut b = Bench::new(WebSocket::default(), Transport::Tcp, 80);
        b.data(Side::Orig, b"\x81\x09blah blah");
        b.data(Side::Resp, b"\x81\x0ablah\nblah\n");
        assert!(b.analyser.wants_payload());
        b.data(Side::Resp, &[0x8a, 126, 1, 0]);
        assert_eq!(b.weirds().len(), 1);
        b.gap(Side::Resp, 1000);
        assert!(!b.analyser.wants_payload());
    }
}
