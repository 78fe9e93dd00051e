//! SMB 2 and 3, as far as it is not encrypted. Source: MS-SMB2.

use std::collections::HashMap;

use super::super::little::{Little, Short, utf16};
use super::super::security;
use super::{Message, Smb};
use crate::context::Context;

/// The length of the head of a message.
const HEAD: usize = 64;
/// Most reads and calls whose answers are awaited; beyond, all are forgotten (Zeek: `SMB::max_pending_messages`).
const MAX_PENDING: usize = 1000;

const SUCCESS: u32 = 0;
const PENDING: u32 = 0x103;
const BUFFER_OVERFLOW: u32 = 0x8000_0005;
const MORE_PROCESSING: u32 = 0xc000_0016;
/// FSCTL_PIPE_TRANSCEIVE.
const TRANSCEIVE: u32 = 0x0011_c017;
const PIPE: u8 = 2;
/// The class of what is asked of or told to a file itself.
const INFO_FILE: u8 = 1;
const RENAME: u8 = 0x0a;

mod command {
    pub const NEGOTIATE: u16 = 0;
    pub const SESSION_SETUP: u16 = 1;
    pub const TREE_CONNECT: u16 = 3;
    pub const TREE_DISCONNECT: u16 = 4;
    pub const CREATE: u16 = 5;
    pub const CLOSE: u16 = 6;
    pub const READ: u16 = 8;
    pub const WRITE: u16 = 9;
    pub const IOCTL: u16 = 11;
    pub const SET_INFO: u16 = 17;
}

/// What is remembered of requests.
#[derive(Default)]
pub(super) struct Version2 {
    /// Offset and file of reads.
    reads: HashMap<u64, (u64, u64)>,
    /// The files of calls.
    calls: HashMap<u64, u64>,
    /// The trees of requests, which answers need not name.
    trees: HashMap<u64, u32>,
}

/// Remembers something of a request.
fn remember<T>(table: &mut HashMap<u64, T>, number: u64, what: T) {
    if table.len() >= MAX_PENDING {
        table.clear();
    }
    table.insert(number, what);
}

/// The head of a message.
struct Head {
    status: u32,
    command: u16,
    next: usize,
    number: u64,
    tree: u32,
    is_pipe: bool,
}

/// All messages that are sent as one.
pub(super) fn messages(smb: &mut Smb, cx: &mut Context<'_>, message: &Message<'_>) -> Result<(), Short> {
    let mut rest = message.bytes;
    loop {
        let mut r = Little::new(rest);
        let mut head = head(&mut r)?;
        let is_last = head.next == 0 || head.next >= rest.len();
        let end = if is_last { rest.len() } else { head.next };
        let (bytes, after) = rest.split_at_checked(end).ok_or(Short)?;
        let missing = if is_last { message.missing } else { 0 };
        let one = Message { side: message.side, bytes, missing };
        note(smb, &mut head, &one);
        body(smb, cx, &head, &one)?;
        if is_last || !after.starts_with(b"\xfeSMB") {
            return Ok(());
        }
        rest = after;
    }
}

fn head(r: &mut Little<'_>) -> Result<Head, Short> {
    r.take(8)?;
    let (status, command) = (r.u32()?, r.u16()?);
    r.take(6)?;
    let (next, number) = (r.u32()? as usize, r.u64()?);
    r.u32()?;
    let tree = r.u32()?;
    r.take(24)?;
    Ok(Head { status, command, next, number, tree, is_pipe: false })
}

fn note(smb: &mut Smb, head: &mut Head, message: &Message<'_>) {
    let is_request = message.side.is_orig();
    let is_over = !is_request && head.status != PENDING;
    let trees = &mut smb.v2.trees;
    let tree = if is_request {
        remember(trees, head.number, head.tree);
        head.tree
    } else if is_over {
        trees.remove(&head.number).unwrap_or(head.tree)
    } else {
        trees.get(&head.number).copied().unwrap_or(head.tree)
    };
    head.is_pipe = smb.pipes.has(tree);
    smb.state.begin_v2(head.number, head.tree, is_over);
}

fn body(smb: &mut Smb, cx: &mut Context<'_>, head: &Head, message: &Message<'_>) -> Result<(), Short> {
    let mut r = Little::new(message.bytes);
    r.pad_to(HEAD)?;
    r.u16()?;
    if message.side.is_orig() {
        return request(smb, cx, head, message, r);
    }
    if matches!(head.status, SUCCESS | BUFFER_OVERFLOW | MORE_PROCESSING) {
        response(smb, cx, head, message, r)
    } else {
        Ok(())
    }
}

fn request(
    smb: &mut Smb,
    cx: &mut Context<'_>,
    head: &Head,
    message: &Message<'_>,
    mut r: Little<'_>,
) -> Result<(), Short> {
    match head.command {
        command::SESSION_SETUP => {
            r.take(10)?;
            security::token(cx, blob(&mut r)?);
        }
        command::TREE_CONNECT => {
            r.u16()?;
            smb.state.tree_asked(utf16(blob(&mut r)?));
        }
        command::TREE_DISCONNECT => smb.state.tree_over(head.tree),
        command::CREATE => {
            r.take(42)?;
            let name = utf16(blob(&mut r)?);
            smb.pipes.note(head.tree, &name);
            smb.state.create_asked(if name.is_empty() { "<share_root>".to_owned() } else { name });
        }
        command::CLOSE => {
            r.take(6)?;
            smb.state.close(file_id(&mut r)?);
            smb.file_over(cx);
        }
        command::READ => {
            r.take(6)?;
            let (offset, file) = (r.u64()?, file_id(&mut r)?);
            r.take(16)?;
            smb.state.take(file);
            remember(&mut smb.v2.reads, head.number, (offset, file));
        }
        command::WRITE => return write(smb, cx, head, message, r),
        command::IOCTL => {
            r.u16()?;
            let (code, file) = (r.u32()?, file_id(&mut r)?);
            let (at, len) = (r.u32()? as usize, r.u32()? as usize);
            r.take(24)?;
            remember(&mut smb.v2.calls, head.number, file);
            if code == TRANSCEIVE {
                r.pad_to(at)?;
                smb.pipes.deliver(cx, file, message.side, r.take(len)?);
            }
        }
        command::SET_INFO => return set_info(smb, r),
        _ => {}
    }
    Ok(())
}

fn write(
    smb: &mut Smb,
    cx: &mut Context<'_>,
    head: &Head,
    message: &Message<'_>,
    mut r: Little<'_>,
) -> Result<(), Short> {
    let (at, len) = (usize::from(r.u16()?), r.u32()? as usize);
    let (offset, file) = (r.u64()?, file_id(&mut r)?);
    r.take(16)?;
    let data = data(&mut r, at, len, message.missing)?;
    smb.state.take(file);
    if head.is_pipe {
        smb.pipes.deliver(cx, file, message.side, data);
    } else if !data.is_empty() {
        smb.file_data(cx, message, offset, data, len);
    }
    Ok(())
}

fn set_info(smb: &mut Smb, mut r: Little<'_>) -> Result<(), Short> {
    let (kind, class) = (r.u8()?, r.u8()?);
    r.take(12)?;
    let file = file_id(&mut r)?;
    if kind != INFO_FILE {
        return Ok(());
    }
    if class == RENAME {
        r.take(16)?;
        let len = r.u32()? as usize;
        smb.state.rename(file, utf16(r.take(len)?));
    } else {
        smb.state.take(file);
    }
    Ok(())
}

fn response(
    smb: &mut Smb,
    cx: &mut Context<'_>,
    head: &Head,
    message: &Message<'_>,
    mut r: Little<'_>,
) -> Result<(), Short> {
    match head.command {
        command::NEGOTIATE => {
            r.take(54)?;
            let blob = negotiated(&mut r)?;
            security::token(cx, blob);
        }
        command::SESSION_SETUP => {
            r.u16()?;
            security::token(cx, blob(&mut r)?);
        }
        command::TREE_CONNECT => {
            let kind = r.u8()?;
            r.take(13)?;
            if kind == PIPE {
                smb.pipes.add(head.tree);
            }
        }
        command::CREATE => {
            r.take(22)?;
            let modified = r.u64()?;
            r.take(16)?;
            let size = r.u64()?;
            r.take(8)?;
            let file = file_id(&mut r)?;
            smb.state.created(file, size, modified);
        }
        command::READ => {
            let at = usize::from(r.u8()?);
            r.u8()?;
            let len = r.u32()? as usize;
            r.take(8)?;
            let data = data(&mut r, at, len, message.missing)?;
            let (offset, file) = smb.v2.reads.remove(&head.number).unwrap_or_default();
            if head.is_pipe {
                smb.pipes.deliver(cx, file, message.side, data);
            } else if !data.is_empty() {
                smb.file_data(cx, message, offset, data, len);
            }
        }
        command::IOCTL => {
            r.u16()?;
            let code = r.u32()?;
            r.take(24)?;
            let (at, len) = (r.u32()? as usize, r.u32()? as usize);
            r.take(8)?;
            let file = smb.v2.calls.remove(&head.number).unwrap_or_default();
            if code == TRANSCEIVE {
                r.pad_to(at)?;
                smb.pipes.deliver(cx, file, message.side, r.take(len)?);
            }
        }
        _ => {}
    }
    Ok(())
}

/// The security token in the answer to a negotiation.
fn negotiated<'a>(r: &mut Little<'a>) -> Result<&'a [u8], Short> {
    let (_, len) = (r.u16()?, usize::from(r.u16()?));
    r.u32()?;
    r.take(len)
}

/// Bytes whose place and length stand here.
fn blob<'a>(r: &mut Little<'a>) -> Result<&'a [u8], Short> {
    let (at, len) = (usize::from(r.u16()?), usize::from(r.u16()?));
    if len > 0 {
        r.pad_to(at)?;
    }
    r.take(len)
}

/// What is there of the data of a read or write; `missing` bytes of the message are still to come.
fn data<'a>(r: &mut Little<'a>, at: usize, len: usize, missing: usize) -> Result<&'a [u8], Short> {
    if len == 0 {
        return Ok(&[]);
    }
    r.pad_to(at)?;
    let there = r.rest().len();
    if len > there.saturating_add(missing) {
        return Err(Short);
    }
    r.take(len.min(there))
}

/// The identifier of an open file, as Zeek makes one number of its two.
fn file_id(r: &mut Little<'_>) -> Result<u64, Short> {
    Ok(r.u64()?.wrapping_add(r.u64()?))
}
