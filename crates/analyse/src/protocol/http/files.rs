//! The files that messages carry: their handles, and what http.log says of them.
//!
//! Source: Zeek `base/protocols/http/{files,entities}.zeek`.

use weir_record::{FileUid, Text};

use super::log::Transaction;
use crate::context::{Context, Side};
use crate::file::{FileHandle, FileInfo};

/// Most files of each side that a record names (Zeek: `HTTP::max_files_orig`, `HTTP::max_files_resp`).
const MAX_FILES: usize = 15;

/// What an entity carries.
#[derive(Clone, Copy, Default, Debug)]
struct Slot {
    file: Option<FileHandle>,
    /// The transaction that is to say the file's type, until it is told.
    awaits_type: Option<u64>,
    fed: u64,
}

/// What bytes belong to that are lost behind an entity.
#[derive(Clone, Copy, Default, Debug)]
enum Last {
    /// Nothing: it carried no file.
    #[default]
    Nothing,
    /// The file that it carried, whose end was not known.
    File(FileHandle),
    /// Its file had come to its end: a file of the transaction that is next.
    Next,
}

/// What the open entities of both sides carry, the outermost first.
#[derive(Default, Debug)]
pub struct Carried {
    open: [Vec<Slot>; 2],
    /// What the entity carried that ended last.
    last: [Last; 2],
}

impl Carried {
    /// An entity begins.
    pub fn begin(&mut self, side: Side) {
        if let Some(open) = self.open.get_mut(side.index()) {
            open.push(Slot::default());
        }
    }

    /// Whether an entity of that side is open.
    pub fn is_open(&self, side: Side) -> bool {
        self.open.get(side.index()).is_some_and(|open| !open.is_empty())
    }

    /// The file of the innermost entity. It is opened if it is not, and `transaction`, which has that `number`, then
    /// names it. Where no entity is open, the transaction is the one to come.
    pub fn open(
        &mut self,
        side: Side,
        number: u64,
        transaction: Option<&mut Transaction>,
        cx: &mut Context<'_>,
    ) -> Option<FileHandle> {
        let Some(slot) = self.open.get_mut(side.index())?.last_mut() else {
            let file = match *self.last.get(side.index())? {
                Last::Nothing => return None,
                Last::File(file) => file,
                Last::Next => handle(side, number, transaction.as_deref(), cx),
            };
            let is_new = cx.file_is_new(file);
            let uid = cx.file_open(file, info(side, None));
            if let Some(transaction) = transaction.filter(|_| is_new) {
                transaction.note_file(side, uid);
            }
            return Some(file);
        };
        if slot.file.is_some() {
            return slot.file;
        }
        let file = handle(side, number, transaction.as_deref(), cx);
        slot.file = Some(file);
        let is_new = cx.file_is_new(file);
        let filename = transaction.as_ref().and_then(|transaction| transaction.filename.clone());
        let uid = cx.file_open(file, info(side, filename));
        if let Some(transaction) = transaction.filter(|_| is_new) {
            transaction.note_file(side, uid);
            slot.awaits_type = cx.file_mime(file).is_none().then_some(number);
        }
        Some(file)
    }

    /// `len` more bytes of the innermost entity were given to its file. Answers the type and whose it is, when it is
    /// told now.
    pub fn fed(&mut self, side: Side, len: u64, cx: &Context<'_>) -> Option<(u64, &'static str)> {
        let slot = self.open.get_mut(side.index())?.last_mut()?;
        slot.fed = slot.fed.saturating_add(len);
        let told = told(slot, cx);
        if slot.fed >= cx.config.file.beginning as u64 {
            // A type that does not show at the beginning will not show at all.
            slot.awaits_type = None;
        }
        told
    }

    /// The innermost entity ends; its file too, unless it is a `partial` one that may go on elsewhere.
    pub fn end(
        &mut self,
        side: Side,
        partial: bool,
        transaction: Option<&Transaction>,
        cx: &mut Context<'_>,
    ) -> Option<(u64, &'static str)> {
        let mut slot = self.open.get_mut(side.index())?.pop()?;
        if let Some(last) = self.last.get_mut(side.index()) {
            *last = match slot.file {
                None => Last::Nothing,
                Some(file) if cx.file_is_new(file) => Last::Next,
                Some(file) => Last::File(file),
            };
        }
        // A reply without bytes ends the file whose parts it was asked for.
        let asked = || Some(part(transaction.filter(|t| t.is_range && side == Side::Resp)?, cx));
        let file = slot.file.or_else(asked).filter(|_| !partial);
        if let Some(file) = file {
            cx.file_end(file);
        }
        told(&mut slot, cx)
    }
}

fn told(slot: &mut Slot, cx: &Context<'_>) -> Option<(u64, &'static str)> {
    let number = slot.awaits_type?;
    let mime = cx.file_mime(slot.file?)?;
    slot.awaits_type = None;
    Some((number, mime))
}

const fn info(side: Side, filename: Option<Text>) -> FileInfo {
    FileInfo { source: "HTTP", depth: 0, filename, sender: side }
}

/// The handle of the file that an entity carries: by its place in the connection; but parts of a file that were asked
/// for are one file, whatever connection they come in.
fn handle(side: Side, number: u64, transaction: Option<&Transaction>, cx: &Context<'_>) -> FileHandle {
    let (depth, entity) = match transaction {
        Some(transaction) if transaction.is_range && side == Side::Resp => return part(transaction, cx),
        Some(transaction) => {
            let entity = transaction.entities.get(side.index()).copied().unwrap_or_default();
            (transaction.record.trans_depth, entity)
        }
        // The transaction was logged already.
        None => (number, u64::MAX),
    };
    cx.file_handle(&[
        b"HTTP",
        &cx.connection.uid.to_bytes(),
        &[side as u8],
        &depth.to_be_bytes(),
        &entity.to_be_bytes(),
    ])
}

/// The handle of a file that comes in parts: by who asks whom for what. Zeek does without the server's address; with
/// it, the connections that carry one file are known to be of one pair of hosts, and so of one lane.
fn part(transaction: &Transaction, cx: &Context<'_>) -> FileHandle {
    let record = &transaction.record;
    let bytes = |text: &'_ Option<Text>| text.as_ref().map(|text| text.as_bytes().to_vec());
    let uri = bytes(&record.uri).unwrap_or_else(|| b"/<missed_request>".to_vec());
    let host = bytes(&record.host).unwrap_or_default();
    let id = &cx.connection.id;
    let port = id.resp_p.to_be_bytes();
    cx.file_handle(&[b"HTTP part", &id.orig_h.0, &id.resp_h.0, &port, &host, &uri])
}

impl Transaction {
    /// A file was seen for the first time on this connection.
    fn note_file(&mut self, side: Side, uid: FileUid) {
        let record = &mut self.record;
        let (uids, names) = match side {
            Side::Orig => (&mut record.orig_fuids, &mut record.orig_filenames),
            Side::Resp => (&mut record.resp_fuids, &mut record.resp_filenames),
        };
        let uids = uids.get_or_insert_default();
        if uids.len() >= MAX_FILES {
            return;
        }
        uids.push(uid);
        if let Some(name) = &self.filename {
            names.get_or_insert_default().push(name.clone());
        }
    }

    /// The type of one of its files was told.
    pub fn note_type(&mut self, side: Side, mime: &'static str) {
        let types = match side {
            Side::Orig => &mut self.record.orig_mime_types,
            Side::Resp => &mut self.record.resp_mime_types,
        };
        let types = types.get_or_insert_default();
        if types.len() < MAX_FILES {
            types.push(mime.into());
        }
    }
}
