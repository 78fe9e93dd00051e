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

#[cfg(test)]
mod tests {
    use crate::testing::{packet, walk};
    use weir_wire::LinkType;

    #[test]
    fn the_payload_is_found_behind_padded_tlvs() {
        let tlvs = [2, 0, 0, 0, 8, 0, 1, 0, 1, 2, 3, 4, 5, 0, 10, 0, 7, 0, 0, 0, 0, 0, 9, 0];
        assert_eq!(walk(LinkType::NFLOG, &[&tlvs[..], &packet()].concat()).only(), packet());
    }

    #[test]
    fn a_tlv_that_claims_too_much_or_too_little_is_weird() {
        let found = walk(LinkType::NFLOG, &[2, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]);
        assert_eq!(found.weirds, ["nflog_bad_tlv_len((256 > 8)) NFLOG"]);
        let found = walk(LinkType::NFLOG, &[2, 0, 0, 0, 3, 0, 1, 0, 0, 0, 0, 0]);
        assert_eq!(found.weirds, ["nflog_bad_tlv_len NFLOG"]);
        assert_eq!(walk(LinkType::NFLOG, &[2, 1, 0, 0, 0]).weirds, ["unknown_nflog_version NFLOG"]);
        assert_eq!(walk(LinkType::NFLOG, &[2, 0, 0, 0, 4, 0, 1, 0]).weirds, ["nflog_no_pcap_payload NFLOG"]);
    }
}
