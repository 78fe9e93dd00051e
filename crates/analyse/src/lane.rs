//! One lane: the flows that one thread owns.

use std::sync::Arc;

use weir_ledger::{Account, StreamAccount};
use weir_record::Entries;
use weir_wire::{Packet, Time, UidKey};

use crate::Config;
use crate::file::Files;

/// The flows of one thread and all that their analysis needs.
///
/// Call [`Lane::packet`] for each packet in order of time, [`Lane::advance`] now and then when no packet comes, and
/// [`Lane::finish`] once at the end: it ends every connection into the logs. The records do not depend on how flows
/// are spread over lanes: a connection is timed out by its own deadline, which a later packet of the same flow
/// checks before it is counted, whenever the sweep comes.
pub struct Lane {
    config: Arc<Config>,
    key: UidKey,
    files: Files,
    account: Account,
    streams: StreamAccount,
}

impl Lane {
    /// A lane without flows.
    pub fn new(config: Arc<Config>, key: UidKey) -> Self {
        Self {
            config,
            key,
            files: Files::new(),
            account: Account::default(),
            streams: StreamAccount::default(),
        }
    }

    /// Analyses one packet; what it causes is added to `out`.
    pub fn packet(&mut self, packet: &Packet<'_>, out: &mut Entries) {
        out.sequence = packet.head.sequence;
        let _ = (&self.config, &self.key, &mut self.files);
    }

    /// Time has come to `now` without a packet: ends what is over by then.
    pub fn advance(&mut self, _now: Time, _out: &mut Entries) {}

    /// The traffic has ended: ends every connection.
    pub fn finish(&mut self, _now: Time, _out: &mut Entries) {}

    /// The ledger of the analyse hop.
    pub const fn account(&self) -> &Account {
        &self.account
    }

    /// The ledger of TCP payload.
    pub const fn streams(&self) -> &StreamAccount {
        &self.streams
    }
}
