//! Ssh.

use crate::context::{Context, Side};
use crate::protocol::Analyze;

/// The analyser.
pub struct Ssh {}

impl Ssh {
    /// A new analyser.
    pub const fn new() -> Self {
        Self {}
    }
}

impl Default for Ssh {
    fn default() -> Self {
        Self::new()
    }
}

impl Analyze for Ssh {
    fn data(&mut self, _cx: &mut Context<'_>, _side: Side, _bytes: &[u8]) {}
    fn gap(&mut self, _cx: &mut Context<'_>, _side: Side, _len: u64) {}
    fn end(&mut self, _cx: &mut Context<'_>, _side: Side) {}
    fn finish(&mut self, _cx: &mut Context<'_>) {}
}
