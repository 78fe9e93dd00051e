//! The connections for files (DCC SEND): each direction of one is a file.
//!
//! Source: Zeek's IRC_DATA analyser and scripts/base/protocols/irc/{dcc-send,files}.zeek.

use crate::context::{Context, Side};
use crate::file::{FileHandle, FileInfo};
use crate::protocol::Analyze;

/// The analyser of a connection that IRC announced.
#[derive(Default)]
pub struct IrcData {
    files: [Option<FileHandle>; 2],
}

impl IrcData {
    fn file(&mut self, cx: &mut Context<'_>, side: Side) -> Option<FileHandle> {
        let slot = self.files.get_mut(side.index())?;
        if slot.is_none() {
            let handle = cx.file_handle(&[b"IRC_DATA", &cx.connection.uid.to_bytes(), &[side as u8]]);
            let id = cx.connection.id;
            let filename = cx.expected.file_name(&id);
            cx.file_open(handle, FileInfo { source: "IRC_DATA", depth: 0, filename, sender: side });
            *slot = Some(handle);
        }
        *slot
    }
}

impl Analyze for IrcData {
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
        cx.confirm();
        for file in self.files.into_iter().flatten() {
            cx.file_end(file);
        }
        let id = cx.connection.id;
        cx.expected.fulfilled(&id);
    }
}
