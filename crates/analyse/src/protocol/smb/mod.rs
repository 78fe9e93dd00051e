//! SMB 1 to 3: the files that are read and written, the calls in pipes, and who logs in how.
//!
//! Promise: of each side at most [`MAX_HELD`] bytes are held; of a longer message the beginning is read then, and the data of the
//! file it carries goes on as it comes. What is remembered of files, trees and messages is bounded (see [`state`]).
//!
//! Source: MS-CIFS, MS-SMB2, RFC 1002 (session messages); Zeek's SMB analyser and scripts/base/protocols/smb.

mod pipes;
mod state;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

use self::pipes::Pipes;
use self::state::State;
use super::Analyze;
use super::little::Short;
use crate::context::{Context, Side};
use crate::file::{FileHandle, FileInfo};

/// Most bytes of a message that are held: a read or write of 1 MiB, with what stands around it.
const MAX_HELD: usize = (1 << 20) + (64 << 10);
/// The length of the head of a session message.
const HEAD: usize = 4;
/// So many pieces without fault are SMB.
const SURE: u32 = 3;

/// The analyser of one connection.
#[derive(Default)]
pub struct Smb {
    halves: [Half; 2],
    /// A message was found whose beginning is known.
    in_step: bool,
    pieces: u32,
    state: State,
    pipes: Pipes,
    v1: v1::Version1,
    v2: v2::Version2,
}

/// One side of the stream.
#[derive(Default)]
struct Half {
    held: Vec<u8>,
    /// Bytes of a message that was too long to be held.
    pass: usize,
    /// The file that they belong to.
    carry: Option<Carry>,
    /// What was held is given up, but Zeek's parser is in the middle of it: it fails on whatever comes next.
    stale: bool,
}

/// Data of a file that goes on behind what was held of its message.
#[derive(Clone, Copy)]
struct Carry {
    file: FileHandle,
    offset: u64,
    left: usize,
}

impl Half {
    /// The next message of what was held and `rest`, which is moved on, and how many bytes of it are still to come.
    fn next<'a>(&mut self, rest: &mut &'a [u8]) -> Option<(std::borrow::Cow<'a, [u8]>, usize)> {
        let fill = |held: &mut Vec<u8>, rest: &mut &'a [u8], to: usize| {
            let wanted = to.saturating_sub(held.len()).min(rest.len());
            let (now, after) = rest.split_at_checked(wanted).unwrap_or((rest, &[]));
            held.extend_from_slice(now);
            *rest = after;
            held.len() >= to
        };
        let length = |head: &[u8]| match head {
            [_, a, b, c, ..] => u32::from_be_bytes([0, *a, *b, *c]) as usize + HEAD,
            _ => usize::MAX,
        };
        if self.held.is_empty() && rest.len() >= HEAD {
            let whole = length(rest);
            if let Some((message, after)) = rest.split_at_checked(whole) {
                *rest = after;
                return Some((message.into(), 0));
            }
        }
        if !fill(&mut self.held, rest, HEAD) {
            return None;
        }
        let whole = length(&self.held);
        if !fill(&mut self.held, rest, whole.min(MAX_HELD)) {
            return None;
        }
        self.pass = whole.saturating_sub(MAX_HELD);
        Some((std::mem::take(&mut self.held).into(), self.pass))
    }
}

/// A message and what is known of its surroundings.
struct Message<'a> {
    side: Side,
    /// From the protocol's name on.
    bytes: &'a [u8],
    /// Bytes of it that are still to come.
    missing: usize,
}

impl Smb {
    fn read(&mut self, cx: &mut Context<'_>, side: Side, mut rest: &[u8]) -> Result<(), Short> {
        loop {
            self.go_on(cx, side, &mut rest);
            let Some(half) = self.halves.get_mut(side.index()) else { return Ok(()) };
            if half.pass > 0 {
                return Ok(());
            }
            let Some((message, missing)) = half.next(&mut rest) else { return Ok(()) };

            if message.first() == Some(&0) {
                let bytes = message.get(HEAD..).unwrap_or_default();
                self.message(cx, &Message { side, bytes, missing })?;
            }
        }
    }

    /// Gives what comes of a message that was too long to the file that it belongs to.
    fn go_on(&mut self, cx: &mut Context<'_>, side: Side, rest: &mut &[u8]) {
        let Some(half) = self.halves.get_mut(side.index()) else { return };
        let (now, after) = rest.split_at_checked(half.pass.min(rest.len())).unwrap_or((rest, &[]));
        half.pass -= now.len();
        *rest = after;
        if let Some(carry) = &mut half.carry {
            let data = now.get(..carry.left.min(now.len())).unwrap_or_default();
            if !data.is_empty() {
                cx.file_data_at(carry.file, carry.offset, data);
            }
            carry.offset = carry.offset.saturating_add(data.len() as u64);
            carry.left -= data.len();
        }
        if half.pass == 0 {
            half.carry = None;
        }
    }

    fn message(&mut self, cx: &mut Context<'_>, message: &Message<'_>) -> Result<(), Short> {
        match message.bytes.first_chunk::<4>() {
            Some(b"\xffSMB") => v1::message(self, cx, message),
            Some(b"\xfeSMB") => v2::messages(self, cx, message),
            Some(_) => Ok(()),
            None => Err(Short),
        }
    }

    /// Data of the file in work, at `offset` of it; `len` bytes by what its message says, of which `data` are there.
    fn file_data(
        &mut self,
        cx: &mut Context<'_>,
        message: &Message<'_>,
        offset: u64,
        data: &[u8],
        len: usize,
    ) {
        let Some(info) = self.state.file() else { return };
        let Some(handle) = info.handle(cx) else { return };
        let (size, is_new) = (info.size, cx.file_is_new(handle));
        let filename = info.name.clone().map(|name| name.into_bytes().into());
        cx.file_open(handle, FileInfo { source: "SMB", depth: 0, filename, sender: message.side });
        if is_new && size > 0 {
            cx.file_size(handle, size);
        }
        cx.file_data_at(handle, offset, data);
        if let Some(left) = len.checked_sub(data.len()).filter(|left| *left > 0)
            && let Some(half) = self.halves.get_mut(message.side.index())
        {
            half.carry = Some(Carry { file: handle, offset: offset.saturating_add(data.len() as u64), left });
        }
    }

    /// The file in work was closed.
    fn file_over(&self, cx: &mut Context<'_>) {
        if let Some(handle) = self.state.file().and_then(|info| info.handle(cx)) {
            cx.file_end(handle);
        }
    }

    fn fall_out_of_step(&mut self) {
        for half in &mut self.halves {
            let stale = half.stale || half.pass > 0 || !half.held.is_empty();
            *half = Half { stale, ..Half::default() };
        }
        self.in_step = false;
    }
}

/// Whether a session message with one of SMB in it begins here.
fn begins(bytes: &[u8]) -> bool {
    bytes.len() >= 8 && matches!(bytes.get(4..8), Some(b"\xffSMB" | b"\xfeSMB"))
}

impl Analyze for Smb {
    fn data(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]) {
        if !self.in_step && !begins(bytes) {
            return;
        }
        self.in_step = true;
        let stale = self.halves.get_mut(side.index()).is_some_and(|half| std::mem::take(&mut half.stale));
        if stale || self.read(cx, side, bytes).is_err() {
            cx.violate("Binpac exception: binpac exception: out_of_bound: SMB", None);
            self.fall_out_of_step();
            return;
        }
        self.pieces = self.pieces.saturating_add(1);
        if self.pieces == SURE {
            cx.confirm();
        }
    }

    fn gap(&mut self, _cx: &mut Context<'_>, _side: Side, _len: u64) {
        self.fall_out_of_step();
    }

    fn end(&mut self, _cx: &mut Context<'_>, _side: Side) {}

    fn finish(&mut self, _cx: &mut Context<'_>) {}
}
