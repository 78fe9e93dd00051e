//! HTTP/0.9 to HTTP/1.1.
//!
//! [`parse`] makes messages of bytes, [`log`] makes http.log of messages and hands the bodies to file analysis.
//! Source: RFC 9110, RFC 9112; Zeek `analyzer/protocol/http` and `base/protocols/http`.

mod decode;
mod entity;
pub mod event;
mod files;
pub mod line;
mod log;
mod message;
mod number;
pub mod parse;
mod range;
#[cfg(test)]
mod tests;

pub use self::log::Log;

use self::event::{Event, Listener};
use self::files::Carried;
use self::parse::Parser;
use crate::context::{Context, Side};
use crate::protocol::Analyze;

/// The analyser.
#[derive(Default)]
pub struct Http {
    parser: Parser,
    carried: Carried,
    /// The beginning of the connection is missing: nothing is read, as in Zeek.
    deaf: bool,
    /// It is counted among those who write to the connection's log.
    attached: bool,
}

impl Http {
    /// A new analyser.
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls the parser; what it tells goes to the connection's log.
    fn parse(&mut self, cx: &mut Context<'_>, call: impl FnOnce(&mut Parser, &mut Heard<'_, '_>)) {
        let mut log = cx.connection.http.take().unwrap_or_default();
        if !std::mem::replace(&mut self.attached, true) {
            log.attach();
        }
        let Self { parser, carried, .. } = self;
        call(parser, &mut Heard { log: &mut log, carried, cx });
        cx.connection.http = Some(log);
    }
}

impl Analyze for Http {
    fn data(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]) {
        self.deaf = cx.connection.partial;
        if !self.deaf {
            self.parse(cx, |parser, heard| parser.data(side, bytes, heard));
        }
    }

    fn gap(&mut self, cx: &mut Context<'_>, side: Side, len: u64) {
        self.parse(cx, |parser, heard| parser.gap(side, len, heard));
    }

    fn end(&mut self, cx: &mut Context<'_>, side: Side) {
        self.parse(cx, |parser, heard| parser.end(side, heard));
    }

    fn finish(&mut self, cx: &mut Context<'_>) {
        self.parse(cx, |parser, heard| parser.finish(heard));
        let last = cx.connection.http.take_if(|log| log.detach());
        if let Some(mut log) = last {
            log.finish(cx);
        }
    }

    fn wants_payload(&self) -> bool {
        !self.deaf && self.parser.is_interested()
    }
}

/// Passes on what the parser tells.
struct Heard<'a, 'c> {
    log: &'a mut Log,
    carried: &'a mut Carried,
    cx: &'a mut Context<'c>,
}

impl Listener for Heard<'_, '_> {
    fn hear(&mut self, event: Event<'_>) {
        self.log.hear(event, self.carried, self.cx);
    }

    fn grant(&mut self, bytes: usize) -> bool {
        self.cx.files.grant_decoder(bytes, self.cx.config.file.max_decoders)
    }

    fn release(&mut self, bytes: usize) {
        self.cx.files.release_decoder(bytes);
    }
}
