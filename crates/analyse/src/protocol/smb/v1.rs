//! SMB 1. Source: MS-CIFS, MS-SMB.

use std::collections::HashMap;

use super::super::little::{Little, Short, utf16};
use super::super::security;
use super::{Message, Smb};
use crate::context::Context;

/// The length of the head of a message.
const HEAD: usize = 32;
/// Most commands that one message chains (Zeek: `SMB::max_andx_depth`).
const MAX_CHAIN: usize = 10;
/// Most requests whose answers are awaited; beyond, all are forgotten.
const MAX_PENDING: usize = 1000;
/// No further command.
const NOTHING: u8 = 0xff;
/// The length of a message without parameters and data.
const EMPTY: usize = HEAD + 3;
const UNICODE: u16 = 0x8000;
const EXTENDED_SECURITY: u32 = 0x8000_0000;

mod command {
    pub const CLOSE: u8 = 0x04;
    pub const LOCKING: u8 = 0x24;
    pub const TRANSACTION: u8 = 0x25;
    pub const READ: u8 = 0x2e;
    pub const WRITE: u8 = 0x2f;
    pub const NEGOTIATE: u8 = 0x72;
    pub const SESSION_SETUP: u8 = 0x73;
    pub const LOGOFF: u8 = 0x74;
    pub const TREE_CONNECT: u8 = 0x75;
    pub const NT_CREATE: u8 = 0xa2;
}

/// What is remembered of requests.
#[derive(Default)]
pub(super) struct Version1 {
    /// The offsets of reads.
    reads: HashMap<u16, u64>,
    /// Whether transactions are in pipes.
    pipes: HashMap<u16, bool>,
}

/// The head of a message.
struct Head {
    command: u8,
    unicode: bool,
    tree: u32,
    number: u16,
    is_pipe: bool,
}

/// The next command of a chain, and where it begins.
type Next = Option<(u8, usize)>;

/// One message, all its commands.
pub(super) fn message(smb: &mut Smb, cx: &mut Context<'_>, message: &Message<'_>) -> Result<(), Short> {
    let mut r = Little::new(message.bytes);
    r.take(4)?;
    let command = r.u8()?;
    r.take(5)?;
    let flags = r.u16()?;
    r.take(12)?;
    let tree = u32::from(r.u16()?);
    r.u32()?;
    let number = r.u16()?;
    let is_pipe = smb.pipes.has(tree);
    let head = Head { command, unicode: flags & UNICODE != 0, tree, number, is_pipe };
    smb.state.begin_v1(u64::from(number), tree, !message.side.is_orig());
    if message.bytes.len() == EMPTY {
        return Ok(());
    }
    let (mut command, mut at) = (head.command, HEAD);
    for depth in 0..=MAX_CHAIN {
        r = Little::new(message.bytes);
        r.pad_to(at)?;
        let next = if message.side.is_orig() {
            request(smb, cx, &head, command, message, &mut r)?
        } else {
            response(smb, cx, &head, command, message, &mut r)?
        };
        match next {
            None | Some((NOTHING, _)) => return Ok(()),
            Some((_, to)) if to <= at => {
                odd(cx, "smb_andx_offset_not_advancing");
                return Ok(());
            }
            Some(_) if depth == MAX_CHAIN => odd(cx, "smb_andx_depth_exceeded"),
            Some((following, to)) => (command, at) = (following, to),
        }
    }
    Ok(())
}

fn odd(cx: &mut Context<'_>, name: &'static str) {
    cx.weird(name, None, Some("SMB"));
    cx.unknown_message();
}

/// The number of parameters, and which command follows in the chain.
fn chained(r: &mut Little<'_>) -> Result<(u8, Next), Short> {
    let (words, command) = (r.u8()?, r.u8()?);
    r.u8()?;
    Ok((words, Some((command, usize::from(r.u16()?)))))
}

fn request(
    smb: &mut Smb,
    cx: &mut Context<'_>,
    head: &Head,
    command: u8,
    message: &Message<'_>,
    r: &mut Little<'_>,
) -> Result<Next, Short> {
    match command {
        command::READ => {
            let (words, next) = chained(r)?;
            let (file, low) = (r.u16()?, r.u32()?);
            r.take(10)?;
            let high = if words == 12 { r.u32()? } else { 0 };
            let high = if high == u32::MAX { 0 } else { high };
            r.u16()?;
            smb.state.take_v1(u64::from(file));
            let offset = (u64::from(high) << 16).wrapping_add(u64::from(low));
            remember(&mut smb.v1.reads, head.number, offset);
            return Ok(next);
        }
        command::WRITE => return write(smb, cx, head, message, r),
        command::SESSION_SETUP => return session_request(cx, r),
        command::TREE_CONNECT => {
            let (_, next) = chained(r)?;
            r.u16()?;
            let len = usize::from(r.u16()?);
            r.u16()?;
            r.take(len)?;
            let path = string(r, head.unicode)?;
            smb.state.tree_asked_v1(path);
            return Ok(next);
        }
        command::NT_CREATE => {
            let (_, next) = chained(r)?;
            r.take(46)?;
            let name = string(r, head.unicode)?;
            smb.pipes.note(head.tree, &name);
            smb.state.create_asked_v1(name);
            return Ok(next);
        }
        command::CLOSE => {
            r.u8()?;
            let file = r.u16()?;
            r.take(6)?;
            smb.state.close(u64::from(file));
            smb.file_over(cx);
        }
        command::TRANSACTION => transaction_request(smb, cx, head, message, r)?,
        command::LOGOFF | command::LOCKING => return Ok(chained(r)?.1),
        _ => {}
    }
    Ok(None)
}

fn remember<T>(table: &mut HashMap<u16, T>, number: u16, what: T) {
    if table.len() >= MAX_PENDING {
        table.clear();
    }
    table.insert(number, what);
}

fn write(
    smb: &mut Smb,
    cx: &mut Context<'_>,
    head: &Head,
    message: &Message<'_>,
    r: &mut Little<'_>,
) -> Result<Next, Short> {
    let (words, next) = chained(r)?;
    let (file, low) = (r.u16()?, r.u32()?);
    r.take(8)?;
    let (len_high, len_low, at) = (r.u16()?, r.u16()?, usize::from(r.u16()?));
    let high = if words == 14 { r.u32()? } else { 0 };
    r.u16()?;
    let data = data(r, at, len_high, len_low)?;
    smb.state.take_v1(u64::from(file));
    if head.is_pipe {
        smb.pipes.deliver(cx, 0, message.side, data);
    } else if !data.is_empty() {
        let offset = u64::from(high.wrapping_shl(16).wrapping_add(low));
        smb.file_data(cx, message, offset, data, data.len());
    }
    Ok(next)
}

fn session_request(cx: &mut Context<'_>, r: &mut Little<'_>) -> Result<Next, Short> {
    const EXTENDED: u8 = 12;
    let (words, next) = chained(r)?;
    if words == EXTENDED {
        r.take(10)?;
        let len = usize::from(r.u16()?);
        r.take(10)?;
        security::token(cx, r.take(len)?);
    }
    Ok(next)
}

/// Whether the transactions of that name are calls in a pipe.
fn is_pipe(name: &str) -> bool {
    name.strip_prefix("\\PIPE\\").is_some_and(|rest| !rest.starts_with("LANMAN"))
}

fn transaction_request(
    smb: &mut Smb,
    cx: &mut Context<'_>,
    head: &Head,
    message: &Message<'_>,
    r: &mut Little<'_>,
) -> Result<(), Short> {
    r.take(19)?;
    let (params, params_at) = (usize::from(r.u16()?), usize::from(r.u16()?));
    let (len, at) = (usize::from(r.u16()?), usize::from(r.u16()?));
    let setup = usize::from(r.u8()?);
    r.u8()?;
    r.take(setup * 2)?;
    r.u16()?;
    let in_pipe = is_pipe(&string(r, head.unicode)?);
    remember(&mut smb.v1.pipes, head.number, in_pipe);
    if params > 0 {
        r.pad_to(params_at)?;
        r.take(params)?;
    }
    if len > 0 {
        r.pad_to(at)?;
        let data = r.take(len)?;
        if in_pipe {
            smb.pipes.deliver(cx, 0, message.side, data);
        }
    }
    Ok(())
}

fn transaction_response(
    smb: &mut Smb,
    cx: &mut Context<'_>,
    head: &Head,
    message: &Message<'_>,
    r: &mut Little<'_>,
) -> Result<(), Short> {
    r.take(13)?;
    let (len, at) = (usize::from(r.u16()?), usize::from(r.u16()?));
    let in_pipe = smb.v1.pipes.remove(&head.number).unwrap_or_default();
    if len > 0 {
        r.pad_to(at)?;
        let data = r.take(len)?;
        if in_pipe {
            smb.pipes.deliver(cx, 0, message.side, data);
        }
    }
    Ok(())
}

fn response(
    smb: &mut Smb,
    cx: &mut Context<'_>,
    head: &Head,
    command: u8,
    message: &Message<'_>,
    r: &mut Little<'_>,
) -> Result<Next, Short> {
    match command {
        command::READ => {
            let (_, next) = chained(r)?;
            r.take(6)?;
            let (low, at, high) = (r.u16()?, usize::from(r.u16()?), r.u16()?);
            r.take(10)?;
            let data = data(r, at, high, low)?;
            if head.is_pipe {
                smb.pipes.deliver(cx, 0, message.side, data);
            } else if !data.is_empty() {
                let offset = smb.v1.reads.remove(&head.number).unwrap_or_default();
                smb.file_data(cx, message, offset, data, data.len());
            }
            return Ok(next);
        }
        command::NEGOTIATE => negotiate_response(cx, r)?,
        command::SESSION_SETUP => {
            const EXTENDED: u8 = 4;
            let (words, next) = chained(r)?;
            if words == EXTENDED {
                r.u16()?;
                let len = usize::from(r.u16()?);
                r.u16()?;
                security::token(cx, r.take(len)?);
            }
            return Ok(next);
        }
        command::TREE_CONNECT => {
            let (words, next) = chained(r)?;
            r.take(usize::from(words).saturating_sub(2) * 2)?;
            r.u16()?;
            if string(r, false)? == "IPC" {
                smb.pipes.add(head.tree);
            }
            smb.state.tree_connected_v1(head.tree);
            return Ok(next);
        }
        command::NT_CREATE => {
            let (_, next) = chained(r)?;
            r.u8()?;
            let file = r.u16()?;
            r.take(20)?;
            let modified = r.u64()?;
            r.take(20)?;
            let size = r.u64()?;
            r.take(7)?;
            smb.state.created_v1(u64::from(file), size, modified);
            return Ok(next);
        }
        command::TRANSACTION => transaction_response(smb, cx, head, message, r)?,
        command::LOGOFF | command::WRITE | command::LOCKING => return Ok(chained(r)?.1),
        _ => {}
    }
    Ok(None)
}

fn negotiate_response(cx: &mut Context<'_>, r: &mut Little<'_>) -> Result<(), Short> {
    const NT: u8 = 17;
    const GUID: usize = 16;
    let words = r.u8()?;
    r.u16()?;
    if words != NT {
        return Ok(());
    }
    r.take(17)?;
    let capabilities = r.u32()?;
    r.take(11)?;
    let len = usize::from(r.u16()?);
    if capabilities & EXTENDED_SECURITY != 0 {
        r.take(GUID)?;
        security::token(cx, r.take(len.checked_sub(GUID).ok_or(Short)?)?);
    }
    Ok(())
}

/// A string up to a zero; one of two-byte characters begins at an even place.
fn string(r: &mut Little<'_>, unicode: bool) -> Result<String, Short> {
    if unicode {
        r.take(r.at() % 2)?;
        let units = r.rest().chunks_exact(2).position(|pair| pair == [0, 0]).ok_or(Short)?;
        Ok(utf16(r.take(units * 2 + 2)?))
    } else {
        let len = r.rest().iter().position(|b| *b == 0).ok_or(Short)?;
        let text = r.take(len + 1)?.get(..len).unwrap_or_default();
        Ok(String::from_utf8_lossy(text).into_owned())
    }
}

/// The data of a read or write.
fn data<'a>(r: &mut Little<'a>, at: usize, high: u16, low: u16) -> Result<&'a [u8], Short> {
    let len = usize::from(high) << 16 | usize::from(low);
    if len > 0 {
        r.pad_to(at)?;
    }
    r.take(len)
}
