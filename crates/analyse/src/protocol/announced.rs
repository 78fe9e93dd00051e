//! Connections for data that another connection announced: each direction of one is a file.
//!
//! Sources: Zeek's FTP_DATA and IRC_DATA analysers, scripts/base/protocols/ftp/files.zeek and irc/{dcc-send,files}.zeek.

use std::marker::PhantomData;

use crate::context::{Context, Side};
use crate::file::{FileHandle, FileInfo};
use crate::protocol::Analyze;

/// Who announces connections.
pub trait Announcer {
    /// What files.log calls the source of what they carry.
    const SOURCE: &'static str;
}

/// The analyser of a connection that `A` announced.
pub struct Announced<A> {
    files: [Option<FileHandle>; 2],
    by: PhantomData<A>,
}

impl<A> Default for Announced<A> {
    fn default() -> Self {
        Self { files: [None; 2], by: PhantomData }
    }
}

impl<A: Announcer> Announced<A> {
    fn file(&mut self, cx: &mut Context<'_>, side: Side) -> Option<FileHandle> {
        let slot = self.files.get_mut(side.index())?;
        if slot.is_none() {
            let handle =
                cx.file_handle(&[A::SOURCE.as_bytes(), &cx.connection.uid.to_bytes(), &[side as u8]]);
            let id = cx.connection.id;
            let filename = cx.expected.file_name(&id);
            cx.file_open(handle, FileInfo { source: A::SOURCE, depth: 0, filename, sender: side });
            *slot = Some(handle);
        }
        *slot
    }
}

impl<A: Announcer> Analyze for Announced<A> {
    fn data(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]) {
        cx.confirm();
        if let Some(file) = self.file(cx, side) {
            cx.file_data(file, bytes);
        }
    }

    fn gap(&mut self, cx: &mut Context<'_>, side: Side, len: u64) {
        if let Some(file) = self.file(cx, side) {
            cx.file_gap(file, len);
        }
    }

    fn end(&mut self, _cx: &mut Context<'_>, _side: Side) {}

    fn finish(&mut self, cx: &mut Context<'_>) {
        // It was announced, and that is enough.
        cx.confirm();
        for file in self.files.into_iter().flatten() {
            cx.file_end(file);
        }
        let id = cx.connection.id;
        cx.expected.fulfilled(&id);
    }
}
