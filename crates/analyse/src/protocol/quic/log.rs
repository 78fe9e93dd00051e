//! Packets to quic.log.
//!
//! Promise: one record for each attempt: a retry, a version that is not known and a close each end one.
//! Source: Zeek's scripts/base/protocols/quic/main.zeek.

use weir_record::{ConnUid, Quic, Text};
use weir_wire::Time;

use super::parse::{Long, V1, V2};
use crate::context::{Context, Side};

/// Most letters of the history (Zeek: QUIC::max_history_length).
const MAX_HISTORY: usize = 100;

/// The record that is being made.
#[derive(Debug, Default)]
pub struct Log {
    open: Option<Box<Open>>,
}

#[derive(Debug)]
struct Open {
    ts: Time,
    version: u32,
    initial: Option<Text>,
    client: Option<Text>,
    server: Option<Text>,
    server_name: Option<Text>,
    protocol: Option<Text>,
    history: Vec<u8>,
}

fn hex(bytes: &[u8]) -> Text {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| DIGITS.get(usize::from(digit)).copied()).collect::<Vec<u8>>().into()
}

fn version(number: u32) -> Text {
    match number {
        V1 => "1".into(),
        V2 => "quicv2".into(),
        0xff00_0016..=0xff00_0022 => format!("draft-{}", number & 0xff).into(),
        0xface_b001 | 0xface_b002 | 0xface_b00e | 0xface_b011..=0xface_b013 => {
            format!("mvfst ({number:x})").into()
        }
        other => format!("unknown-{other:x}").into(),
    }
}

impl Log {
    /// A record is being made.
    pub const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// A packet with a long header came: `letter` for the history.
    pub fn packet(&mut self, cx: &mut Context<'_>, side: Side, long: &Long<'_>, letter: u8) {
        self.ids(cx.now, side, long);
        self.letter(cx, side, letter);
    }

    /// A packet came that ends the record.
    pub fn last_packet(&mut self, cx: &mut Context<'_>, side: Side, long: &Long<'_>, letter: u8) {
        if !self.is_open() {
            self.ids(cx.now, side, long);
        }
        self.letter(cx, side, letter);
        self.end(cx);
    }

    fn ids(&mut self, now: Time, side: Side, long: &Long<'_>) {
        let open = self.open.get_or_insert_with(|| {
            Box::new(Open {
                ts: now,
                version: long.version,
                initial: None,
                client: None,
                server: None,
                server_name: None,
                protocol: None,
                history: Vec::new(),
            })
        });
        if side.is_orig() {
            if open.initial.is_none() && !long.destination.is_empty() {
                open.initial = Some(hex(long.destination));
            }
            open.client = Some(hex(long.source));
        } else {
            open.server = Some(hex(long.source));
        }
    }

    /// Adds to the history.
    pub fn letter(&mut self, cx: &mut Context<'_>, side: Side, letter: u8) {
        let Some(open) = &mut self.open else { return };
        if open.history.len() == MAX_HISTORY {
            return;
        }
        open.history.push(if side.is_orig() { letter.to_ascii_uppercase() } else { letter });
        if open.history.len() == MAX_HISTORY {
            cx.weird("QUIC_max_history_length_reached", None, None);
        }
    }

    /// The client asks for a server by name.
    pub fn server_name(&mut self, name: &[u8]) {
        if let Some(open) = &mut self.open {
            open.server_name = Some(name.into());
        }
    }

    /// The protocols that the client offers.
    pub fn protocols(&mut self, cx: &mut Context<'_>, protocols: &[&[u8]]) {
        let Some(open) = &mut self.open else { return };
        open.protocol = protocols.first().map(|first| Text::from(*first));
        if protocols.len() > 1 {
            let all: Vec<_> = protocols.iter().map(|p| String::from_utf8_lossy(p)).collect();
            cx.weird("QUIC_many_protocols", Some(format!("[{}]", all.join(", ")).into()), None);
        }
    }

    /// The record is complete.
    pub fn end(&mut self, cx: &mut Context<'_>) {
        let Some(open) = self.open.take() else { return };
        cx.emit(Quic {
            ts: open.ts,
            uid: ConnUid(cx.connection.uid),
            id: cx.connection.id,
            version: version(open.version),
            client_initial_dcid: open.initial,
            client_scid: open.client,
            server_scid: open.server,
            server_name: open.server_name,
            client_protocol: open.protocol,
            history: open.history.into(),
        });
    }
}
