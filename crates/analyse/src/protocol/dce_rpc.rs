//! DCE-RPC over TCP and in the pipes of SMB: that it is spoken, how its users are told, and fragments that never become whole.
//!
//! Promise: of each side at most one fragment of 64 KiB is held, of what is put together from fragments only the lengths.
//! Source: The Open Group C706, MS-RPCE; Zeek's DCE_RPC analyser (`DCE_RPC::max_cmd_reassembly`, `max_frag_data`).

use std::collections::BTreeMap;

use super::Analyze;
use super::recognise::{Frames, Size, Step};
use super::security;
use crate::context::{Context, Side};

const SOURCE: Option<&str> = Some("DCE_RPC");
/// The length of the head of a fragment.
const HEAD: usize = 16;
/// The length of what stands before the credentials.
const AUTH_HEAD: usize = 8;
/// Most calls of one side of which fragments are put together (Zeek: `DCE_RPC::max_cmd_reassembly`).
const MAX_CALLS: usize = 20;
/// Most bytes of one call (Zeek: `DCE_RPC::max_frag_data`).
const MAX_CALL: usize = 30_000;
const FIRST: u8 = 1;
const LAST: u8 = 2;

/// The analyser of one stream of DCE-RPC.
#[derive(Default)]
pub struct DceRpc {
    halves: [Half; 2],
    /// A whole fragment was seen.
    spoken: bool,
    /// It is not read any further.
    over: bool,
}

#[derive(Default)]
struct Half {
    frames: Frames,
    /// The calls whose fragments are put together, and how long they are.
    calls: BTreeMap<u32, usize>,
}

/// What a fragment says of itself.
struct Head {
    flags: u8,
    len: usize,
    credentials: usize,
    call: u32,
}

impl Head {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let [_, _, _, flags, order, _, _, _, l0, l1, a0, a1, c0, c1, c2, c3] =
            *bytes.first_chunk::<HEAD>()?;
        let is_little = order >> 4 != 0;
        let (len, credentials, call) = if is_little {
            (u16::from_le_bytes([l0, l1]), u16::from_le_bytes([a0, a1]), u32::from_le_bytes([c0, c1, c2, c3]))
        } else {
            (u16::from_be_bytes([l0, l1]), u16::from_be_bytes([a0, a1]), u32::from_be_bytes([c0, c1, c2, c3]))
        };
        Some(Self { flags, len: usize::from(len), credentials: usize::from(credentials), call })
    }

    /// The length of the body.
    fn body(&self) -> Option<usize> {
        let extra = if self.credentials > 0 { self.credentials + AUTH_HEAD } else { 0 };
        self.len.checked_sub(HEAD + extra)
    }
}

fn size(bytes: &[u8]) -> Size {
    match (bytes.first(), Head::parse(bytes)) {
        (Some(version), _) if *version != 5 => Size::Bad,
        (_, None) => Size::More,
        (_, Some(head)) if head.body().is_none() => Size::Bad,
        (_, Some(head)) => Size::Is(head.len),
    }
}

impl DceRpc {
    /// The next bytes that `side` sent.
    ///
    /// # Errors
    /// They are no fragments; what was held is given up.
    pub fn deliver(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]) -> Result<(), &'static str> {
        let mut rest = bytes;
        while !self.over {
            let Some(half) = self.halves.get_mut(side.index()) else { return Ok(()) };
            match half.frames.next(&mut rest, size) {
                Step::More => return Ok(()),
                Step::Bad => {
                    half.frames = Frames::default();
                    return Err("invalid DCE_RPC fragment");
                }
                Step::Message(message) => {
                    let Some(head) = Head::parse(&message) else { return Ok(()) };
                    self.fragment(cx, side, &head, &message);
                }
            }
        }
        Ok(())
    }

    fn fragment(&mut self, cx: &mut Context<'_>, side: Side, head: &Head, message: &[u8]) {
        let Some(body) = head.body() else { return };
        if head.credentials > 0 {
            credentials(cx, message.get(HEAD + body..).unwrap_or_default());
        }
        self.assemble(cx, side, head, body);
        self.spoken = true;
        cx.connection.add_service("dce_rpc");
    }

    fn assemble(&mut self, cx: &mut Context<'_>, side: Side, head: &Head, body: usize) {
        let Some(Half { calls, .. }) = self.halves.get_mut(side.index()) else { return };
        let (is_first, is_last) = (head.flags & FIRST != 0, head.flags & LAST != 0);
        let mut odd = |name| {
            cx.weird(name, None, SOURCE);
            self.over = true;
        };
        let known = calls.get_mut(&head.call);
        match (is_first, known) {
            (true, Some(_)) => odd("multiple_first_fragments_in_dce_rpc_reassembly"),
            (true, None) if !is_last => {
                calls.insert(head.call, body);
                if calls.len() > MAX_CALLS {
                    odd("too_many_dce_rpc_msgs_in_reassembly");
                }
                if body > MAX_CALL {
                    odd("too_much_dce_rpc_fragment_data");
                }
            }
            (false, Some(len)) => {
                *len = len.saturating_add(body);
                if *len > MAX_CALL {
                    odd("too_much_dce_rpc_fragment_data");
                }
            }
            (true | false, None) => {}
        }
        if is_last {
            calls.remove(&head.call);
        }
    }
}

/// What tells who calls: its kind, eight bytes of head in all, then the rest.
fn credentials(cx: &mut Context<'_>, bytes: &[u8]) {
    let Some(kind) = bytes.first() else { return };
    let blob = bytes.get(AUTH_HEAD..).unwrap_or_default();
    let mut odd = |name| cx.weird(name, Some(kind.to_string().into()), SOURCE);
    match kind {
        0x09 => security::gssapi(cx, blob),
        0x0a => security::ntlm(cx, blob),
        0x10 => security::kerberos(cx, blob),
        0x0e => odd("tls_dce_rpc_auth_type"),
        0x44 => odd("netlogon_dce_rpc_auth_type"),
        _ => odd("unknown_dce_rpc_auth_type"),
    }
}

impl Analyze for DceRpc {
    fn data(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]) {
        let outcome = self.deliver(cx, side, bytes);
        if self.spoken {
            cx.confirm();
        }
        if let Err(reason) = outcome {
            cx.violate(reason, None);
        }
    }

    fn gap(&mut self, _cx: &mut Context<'_>, _side: Side, _len: u64) {
        // Nothing tells where the next fragment begins.
        self.over = true;
    }

    fn end(&mut self, _cx: &mut Context<'_>, _side: Side) {}

    fn finish(&mut self, _cx: &mut Context<'_>) {}

    fn wants_payload(&self) -> bool {
        !self.over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Transport;
    use crate::protocol::testing::Bench;

    /// A request with `flags` of call `call`, with credentials of `kind`.
    fn fragment(flags: u8, call: u32, kind: Option<u8>) -> Vec<u8> {
        let credentials: &[u8] = if kind.is_some() { &[0, 0, 0, 0, 0, 0, 0, 0xaa] } else { &[] };
        let len = 16 + 8 + credentials.len() as u16 + u16::from(kind.is_some());
        let mut bytes = vec![5, 0, 0, flags, 0x10, 0, 0, 0];
        bytes.extend(len.to_le_bytes());
        bytes.extend(u16::from(kind.is_some()).to_le_bytes());
        bytes.extend(call.to_le_bytes());
        bytes.extend([0; 8]);
        bytes.extend(kind);
        bytes.extend(credentials);
        bytes
    }

    #[test]
    fn a_whole_fragment_tells_dce_rpc_however_it_is_cut() {
        let mut b = Bench::new(DceRpc::default(), Transport::Tcp, 135);
        let bytes = fragment(3, 1, None);
        b.data(Side::Orig, &bytes[..20]);
        assert!(!b.verdict.confirmed);
        b.data(Side::Orig, &bytes[20..]);
        assert!(b.verdict.confirmed);
        b.data(Side::Resp, b"\x04\0");
        assert!(b.verdict.violation.is_some());
    }

    #[test]
    fn credentials_of_another_kind_and_fragments_without_end_are_weird() {
        let mut b = Bench::new(DceRpc::default(), Transport::Tcp, 135);
        b.data(Side::Orig, &fragment(3, 1, Some(68)));
        assert_eq!(b.weirds(), [("netlogon_dce_rpc_auth_type".into(), Some("68".into()))]);
        for call in 0..=MAX_CALLS as u32 {
            b.data(Side::Orig, &fragment(FIRST, call, None));
        }
        assert_eq!(b.weirds().last().unwrap().0, "too_many_dce_rpc_msgs_in_reassembly".into());
        assert!(!b.analyser.wants_payload());
    }
}
