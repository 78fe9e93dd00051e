//! Which protocol a connection speaks: by what its first bytes say, on any port, and by port.
//!
//! A [`Detection`] owns the analysers of one connection (or of a stream inside one: what follows an HTTP CONNECT). It
//! keeps the first bytes of each side until they are enough to tell, replays them to each analyser that it puts
//! in place, and takes an analyser out when it reports a violation (analyzer.log), as Zeek's DPD does.

use crate::context::{Context, Side};
use crate::protocol::{Analyze, Instance};

/// The analysers of one connection.
#[derive(Default)]
pub struct Detection {
    instances: Vec<Instance>,
}

impl Detection {
    /// The detection of a connection, with the analysers that its ports call for already in place.
    pub fn new(_cx: &Context<'_>) -> Self {
        Self::default()
    }

    /// The next bytes that `side` sent (UDP: one datagram).
    pub fn data(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]) {
        for instance in &mut self.instances {
            instance.data(cx, side, bytes);
        }
    }

    /// `len` bytes that `side` sent were never seen.
    pub fn gap(&mut self, cx: &mut Context<'_>, side: Side, len: u64) {
        for instance in &mut self.instances {
            instance.gap(cx, side, len);
        }
    }

    /// `side` will send no more.
    pub fn end(&mut self, cx: &mut Context<'_>, side: Side) {
        for instance in &mut self.instances {
            instance.end(cx, side);
        }
    }

    /// The connection is over.
    pub fn finish(&mut self, cx: &mut Context<'_>) {
        for instance in &mut self.instances {
            instance.finish(cx);
        }
    }

    /// Whether anyone still wants payload; once false it stays false.
    pub fn wants_payload(&self) -> bool {
        true
    }
}
