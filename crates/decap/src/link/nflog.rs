//! The log of Linux netfilter (tcpdump.org/linktypes/LINKTYPE_NFLOG.html): address family, version, resource, and then
//! TLVs, of which the payload is one.

use weir_ledger::Reason;
use weir_wire::Cursor;

use crate::walk::{Layer, Step, Walk};

/// The TLV that holds the packet; it is the last.
const PAYLOAD: u16 = 9;
const SOURCE: &str = "NFLOG";

/// Finds the payload. Every TLV but the last takes four bytes at least, so the loop ends with the frame.
pub(super) fn log<'a>(walk: &mut Walk<'_>, bytes: &'a [u8]) -> Step<'a> {
    let Some(&[family, version, _, _, _]) = bytes.first_chunk::<5>() else {
        return walk.refuse("truncated_nflog_header", SOURCE, Reason::TruncatedLink);
    };
    if version != 0 {
        return walk.refuse("unknown_nflog_version", SOURCE, Reason::MalformedLink);
    }
    let mut rest = bytes.get(4..).unwrap_or_default();
    while rest.len() > 4 {
        let mut header = Cursor::new(rest);
        // Numbers are in the order of the capturing machine; all that is left of big-endian ones is too rare to guess.
        let (Ok(len), Ok(kind)) = (header.u16_le(), header.u16_le()) else { break };
        if kind == PAYLOAD {
            return match family {
                2 | 10 => Step::Next(Layer::Ip, header.rest()),
                _ => Step::Drop(Reason::NotIp),
            };
        }
        let padded = usize::from(len).next_multiple_of(4);
        if len < 4 || padded > rest.len() {
            let addl = (len >= 4).then(|| format!("({padded} > {})", rest.len()).into());
            walk.weird("nflog_bad_tlv_len", addl, Some(SOURCE));
            return Step::Drop(Reason::MalformedLink);
        }
        rest = rest.get(padded..).unwrap_or_default();
    }
    walk.refuse("nflog_no_pcap_payload", SOURCE, Reason::TruncatedLink)
}
