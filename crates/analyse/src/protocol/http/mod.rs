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

use self::event::{Event, Listener};
use self::log::Log;
use self::parse::Parser;
use crate::context::{Context, Side};
use crate::protocol::Analyze;

/// The analyser.
pub struct Http {
    parser: Parser,
    log: Log,
}

impl Http {
    /// A new analyser.
    pub fn new() -> Self {
        Self { parser: Parser::new(), log: Log::default() }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

impl Analyze for Http {
    fn data(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]) {
        if !cx.connection.partial {
            self.parser.data(side, bytes, &mut Heard { log: &mut self.log, cx });
        }
    }

    fn gap(&mut self, cx: &mut Context<'_>, side: Side, len: u64) {
        self.parser.gap(side, len, &mut Heard { log: &mut self.log, cx });
    }

    fn end(&mut self, cx: &mut Context<'_>, side: Side) {
        self.parser.end(side, &mut Heard { log: &mut self.log, cx });
    }

    fn finish(&mut self, cx: &mut Context<'_>) {
        self.parser.finish(&mut Heard { log: &mut self.log, cx });
        self.log.finish(cx);
    }

    fn wants_payload(&self) -> bool {
        self.parser.is_interested()
    }
}

/// Passes on what the parser tells.
struct Heard<'a, 'c> {
    log: &'a mut Log,
    cx: &'a mut Context<'c>,
}

impl Listener for Heard<'_, '_> {
    fn hear(&mut self, event: Event<'_>) {
        self.log.hear(event, self.cx);
    }

    fn grant(&mut self, bytes: usize) -> bool {
        self.cx.files.grant_decoder(bytes, self.cx.config.file.max_decoders)
    }

    fn release(&mut self, bytes: usize) {
        self.cx.files.release_decoder(bytes);
    }
}
