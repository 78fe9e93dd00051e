//! Where decap puts what it found; emptied by whoever runs it.

use weir_record::Entries;
use weir_wire::Packet;

/// Packets for `spread` and records for `log`.
#[derive(Debug, Default)]
pub struct Output<'f> {
    /// The packets of the frames since this was emptied: of each frame first the UDP carriers, from the outside in, and
    /// last its innermost packet.
    pub packets: Vec<Packet<'f>>,
    /// Weirds and tunnel records.
    pub entries: Entries,
}
