//! What the next packet of a connection will read, read beforehand.

use std::hint::black_box;

use super::Flow;

impl Flow {
    /// Reads what a packet needs first, so that it is in the processor's cache when the packet is analysed.
    #[inline]
    pub fn reach(&self) {
        black_box((self.last, self.packets, self.payload, self.detection.is_some()));
        if let Some(tcp) = &self.tcp {
            let [orig, resp] = &tcp.streams;
            black_box((tcp.closing.is_over(), tcp.skipping, orig.is_settled(), resp.is_settled()));
        }
    }
}
