//! DNS over UDP and TCP, multicast DNS, LLMNR and the NetBIOS name service: one record for each query with its reply.
//!
//! Every message is walked as far as the log needs it: questions and answers; of an update, prerequisites and
//! updates. (Zeek passes over authorities and additional records too: `dns_skip_all_auth`, `dns_skip_all_addl`.)
//!
//! Ports: 53/tcp, 53/udp, 137/udp, 5353/udp, 5355/udp. Confirmed by a message whose questions and answers can be
//! read; violated by one with more questions than any client asks.

mod edns;
mod log;
mod names;
pub mod parse;
mod rdata;
mod stream;
#[cfg(test)]
mod tests;

use self::log::{Pairing, Session, is_tracked};
use self::parse::{Header, Reader, Section, Stop, opcode};
use self::stream::Framer;
use crate::context::{Context, Side, Transport};
use crate::protocol::Analyze;

/// The name of the analyser where a weird has a source.
const SOURCE: Option<&str> = Some("DNS");

/// Most questions in a message (Zeek: dns_max_queries); what has more is not DNS.
const MAX_QUESTIONS: u16 = 25;

/// The port of the NetBIOS name service, which changes the meaning of some types and operations.
const NETBIOS_PORT: u16 = 137;

/// The analyser.
#[derive(Default)]
pub struct Dns {
    pairing: Pairing,
    /// Of TCP only; allocated when the first byte comes.
    framers: Option<Box<[Framer; 2]>>,
    seen_any: bool,
    seen_unknown_opcode: bool,
}

impl Dns {
    /// A new analyser.
    pub fn new() -> Self {
        Self::default()
    }

    /// One message; `from` is who sent it, unless it was cut off and that means nothing.
    fn message(&mut self, cx: &mut Context<'_>, from: Option<Side>, bytes: &[u8]) {
        let first = !std::mem::replace(&mut self.seen_any, true);
        let netbios = cx.connection.id.resp_p == NETBIOS_PORT;
        let Some((header, mut reader)) = Reader::new(bytes, netbios) else {
            self.seen_any = !first;
            return cx.weird("DNS_truncated_len_lt_hdr_len", None, SOURCE);
        };
        if first && header.is_reply() && from == Some(Side::Orig) {
            self.reply_came_first(cx);
        }
        if !netbios && !is_tracked(&header) {
            if !std::mem::replace(&mut self.seen_unknown_opcode, true) {
                cx.unknown_message();
                cx.weird("DNS_unknown_opcode", Some(header.opcode().to_string().into()), SOURCE);
            }
            return;
        }
        let mut session = is_tracked(&header).then(|| self.pairing.begin(cx, header, netbios));
        if header.questions > MAX_QUESTIONS {
            cx.violate("DNS_Conn_count_too_large", None);
            cx.weird("DNS_Conn_count_too_large", None, SOURCE);
        } else if walk(cx, &header, &mut reader, netbios, session.as_mut()).is_ok() {
            cx.confirm();
        }
        for odd in reader.oddities() {
            cx.weird(odd.name, odd.addl, SOURCE);
        }
        if let Some(session) = session {
            self.pairing.end(cx, session);
        }
    }

    /// Whoever is taken for the originator begins with a reply: it is the other way round, except where everybody
    /// hears it.
    fn reply_came_first(&mut self, cx: &mut Context<'_>) {
        if is_multicast(&cx.connection.id.resp_h) {
            return;
        }
        cx.flip_roles();
        if let Some(framers) = &mut self.framers {
            framers.reverse();
        }
    }
}

fn is_multicast(address: &weir_wire::Address) -> bool {
    match address.as_v4() {
        Some([first, ..]) => first & 0xf0 == 0xe0,
        None => address.0.starts_with(&[0xff]),
    }
}

/// Walks the sections that are logged.
fn walk(
    cx: &Context<'_>,
    header: &Header,
    reader: &mut Reader<'_>,
    netbios: bool,
    mut session: Option<&mut Session>,
) -> Result<(), Stop> {
    let update = header.opcode() == opcode::UPDATE && !netbios;
    for _ in 0..header.questions {
        let question = reader.question()?;
        // The first section of an update names its zone, which is not logged.
        if let Some(session) = session.as_mut().filter(|_| !update) {
            session.question(&question);
        }
    }
    let sections = if update {
        [(Section::Prerequisite, header.answers), (Section::Update, header.authorities)]
    } else {
        [(Section::Answer, header.answers), (Section::Authority, 0)]
    };
    for (section, count) in sections {
        for _ in 0..count {
            let record = reader.record(section)?;
            if let Some(session) = &mut session {
                session.answer(cx, &record);
            }
        }
    }
    if reader.is_stopped() { Err(Stop) } else { Ok(()) }
}

impl Analyze for Dns {
    fn data(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]) {
        if cx.connection.transport != Transport::Tcp {
            return self.message(cx, Some(side), bytes);
        }
        let id = cx.connection.id;
        let mut framer = self.take_framer(side);
        let mut piece = bytes;
        while let Some(message) = framer.next(&mut piece) {
            self.message(cx, Some(side), message.bytes());
        }
        self.put_framer(if cx.connection.id == id { side } else { side.flip() }, framer);
    }

    fn gap(&mut self, _cx: &mut Context<'_>, side: Side, len: u64) {
        let mut framer = self.take_framer(side);
        framer.gap(len);
        self.put_framer(side, framer);
    }

    fn end(&mut self, cx: &mut Context<'_>, side: Side) {
        if let Some(rest) = self.take_framer(side).rest() {
            self.message(cx, None, &rest);
        }
    }

    fn finish(&mut self, cx: &mut Context<'_>) {
        self.pairing.finish(cx);
    }
}

impl Dns {
    fn take_framer(&mut self, side: Side) -> Framer {
        let framers = self.framers.as_mut().and_then(|f| f.get_mut(side.index()));
        framers.map(std::mem::take).unwrap_or_default()
    }

    fn put_framer(&mut self, side: Side, framer: Framer) {
        if let Some(place) = self.framers.get_or_insert_default().get_mut(side.index()) {
            *place = framer;
        }
    }
}
