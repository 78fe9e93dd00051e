//! TLS and DTLS.

use crate::context::{Context, Side};
use crate::protocol::Analyze;

/// The analyser.
pub struct Ssl {}

impl Ssl {
    /// A new analyser.
    pub const fn new() -> Self {
        Self {}
    }
}

impl Default for Ssl {
    fn default() -> Self {
        Self::new()
    }
}

impl Analyze for Ssl {
    fn data(&mut self, _cx: &mut Context<'_>, _side: Side, _bytes: &[u8]) {}
    fn gap(&mut self, _cx: &mut Context<'_>, _side: Side, _len: u64) {}
    fn end(&mut self, _cx: &mut Context<'_>, _side: Side) {}
    fn finish(&mut self, _cx: &mut Context<'_>) {}
}

/// The analyser.
pub struct Dtls {}

impl Dtls {
    /// A new analyser.
    pub const fn new() -> Self {
        Self {}
    }
}

impl Default for Dtls {
    fn default() -> Self {
        Self::new()
    }
}

impl Analyze for Dtls {
    fn data(&mut self, _cx: &mut Context<'_>, _side: Side, _bytes: &[u8]) {}
    fn gap(&mut self, _cx: &mut Context<'_>, _side: Side, _len: u64) {}
    fn end(&mut self, _cx: &mut Context<'_>, _side: Side) {}
    fn finish(&mut self, _cx: &mut Context<'_>) {}
}
