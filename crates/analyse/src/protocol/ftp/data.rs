//! The connections for data: each direction of one is a file.
//!
//! Source: Zeek's FTP_DATA analyser and scripts/base/protocols/ftp/files.zeek.

use crate::context::{Context, Side};
use crate::file::{FileHandle, FileInfo};
use crate::protocol::Analyze;

/// The analyser of a connection that FTP announced.
#[derive(Default)]
pub struct FtpData {
    files: [Option<FileHandle>; 2],
}

impl FtpData {
    fn file(&mut self, cx: &mut Context<'_>, side: Side) -> Option<FileHandle> {
        let slot = self.files.get_mut(side.index())?;
        if slot.is_none() {
            let handle = cx.file_handle(&[b"FTP_DATA", &cx.connection.uid.to_bytes(), &[side as u8]]);
            cx.file_open(handle, FileInfo { source: "FTP_DATA", depth: 0, filename: None, sender: side });
            *slot = Some(handle);
        }
        *slot
    }
}

impl Analyze for FtpData {
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
