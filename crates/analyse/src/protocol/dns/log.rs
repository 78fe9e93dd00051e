//! From messages to records of dns.log: which reply answers which query, and what is written of both.
//!
//! Promise: every tracked message ends in exactly one record, alone or with its partner; what never finds one is
//! logged when too much waits or when the connection ends.
//!
//! Source: Zeek's scripts/base/protocols/dns/main.zeek.

use std::collections::VecDeque;

use weir_record::{ConnUid, Dns, Entry, Name as EnumName, Text};
use weir_wire::{Address, Interval};

use super::names;
use super::parse::{Header, Question, Rdata, Record, Section, opcode};
use crate::context::Context;

/// Most messages with one identifier that wait for a partner (Zeek: DNS::max_pending_msgs). A queue that is fuller
/// is logged and begins anew: those partners will not come. 51 messages × 51 identifiers × 0.4 KiB ≈ 1 MiB at worst.
const MAX_WAITING: usize = 50;

/// Most identifiers under which messages wait (Zeek: DNS::max_pending_query_ids); beyond, all are logged.
const MAX_IDS: usize = 50;

/// A record in the making.
struct Pending {
    record: Box<Dns>,
    saw_query: bool,
    saw_reply: bool,
}

/// Messages that wait, in order, under their identifier.
#[derive(Default)]
struct Waiting(Vec<(u16, VecDeque<Pending>)>);

impl Waiting {
    fn pop(&mut self, id: u16) -> Option<Pending> {
        let at = self.0.iter().position(|(other, _)| *other == id)?;
        let (_, queue) = self.0.get_mut(at)?;
        let first = queue.pop_front();
        if queue.is_empty() {
            self.0.swap_remove(at);
        }
        first
    }

    /// The first of those with identifier `id`, or of any others where there is none.
    fn pop_preferring(&mut self, id: u16) -> Option<Pending> {
        self.pop(id).or_else(|| self.0.first().map(|(other, _)| *other).and_then(|other| self.pop(other)))
    }

    fn push(&mut self, cx: &mut Context<'_>, id: u16, pending: Pending) {
        if let Some((_, queue)) = self.0.iter_mut().find(|(other, _)| *other == id) {
            if queue.len() > MAX_WAITING {
                queue.drain(..).for_each(|p| cx.emit(Entry::Dns(p.record)));
            }
            queue.push_back(pending);
        } else {
            if self.0.len() > MAX_IDS {
                self.log_all(cx);
            }
            self.0.push((id, VecDeque::from([pending])));
        }
    }

    fn log_all(&mut self, cx: &mut Context<'_>) {
        for (_, queue) in self.0.drain(..) {
            for pending in queue {
                cx.emit(Entry::Dns(pending.record));
            }
        }
    }
}

/// The messages of one connection that wait for their partners.
#[derive(Default)]
pub struct Pairing {
    /// The query that waits longest, mostly the only one; the others are behind it in `queries`.
    query: Option<Pending>,
    queries: Waiting,
    replies: Waiting,
}

/// Where an unfinished record waits after its message.
enum Place {
    Queries,
    Replies,
    /// It has its partner.
    Nowhere,
}

/// A message in work: what it says is added to its record.
pub struct Session {
    pending: Pending,
    place: Place,
    header: Header,
    netbios: bool,
}

/// Whether messages with this operation are logged.
pub fn is_tracked(header: &Header) -> bool {
    matches!(header.opcode(), opcode::QUERY | opcode::NOTIFY | opcode::UPDATE)
}

impl Pairing {
    /// A tracked message begins: finds its partner or begins a record.
    pub fn begin(&mut self, cx: &Context<'_>, header: Header, netbios: bool) -> Session {
        let (found, place) = if header.is_reply() {
            (self.take_query(header.id), Place::Replies)
        } else {
            (self.replies.pop(header.id), Place::Queries)
        };
        let (mut pending, place) = match found {
            Some(found) => (found, Place::Nowhere),
            None => (Pending::new(cx, header.id), place),
        };
        let record = &mut pending.record;
        if header.is_reply() {
            record.rcode = Some(u64::from(header.rcode()));
            record.rcode_name = Some(names::rcode(header.rcode()));
            record.rejected |= header.rcode() != 0 && header.questions == 0;
        }
        record.opcode = Some(u64::from(header.opcode()));
        record.opcode_name = Some(names::opcode(header.opcode(), netbios));
        Session { pending, place, header, netbios }
    }

    /// The message has ended: logs the record if both partners were seen, or has it wait.
    pub fn end(&mut self, cx: &mut Context<'_>, session: Session) {
        let Session { mut pending, place, header, .. } = session;
        if header.is_reply() {
            pending.saw_reply = true;
        } else {
            pending.saw_query = true;
        }
        if pending.saw_query && pending.saw_reply {
            return cx.emit(Entry::Dns(pending.record));
        }
        match place {
            Place::Queries if self.query.is_none() => self.query = Some(pending),
            Place::Queries => self.queries.push(cx, header.id, pending),
            Place::Replies => self.replies.push(cx, header.id, pending),
            Place::Nowhere => cx.emit(Entry::Dns(pending.record)),
        }
    }

    /// The connection has ended: logs what found no partner.
    pub fn finish(&mut self, cx: &mut Context<'_>) {
        if let Some(pending) = self.query.take() {
            cx.emit(Entry::Dns(pending.record));
        }
        self.queries.log_all(cx);
        self.replies.log_all(cx);
    }

    fn take_query(&mut self, id: u16) -> Option<Pending> {
        if self.query.as_ref().is_some_and(|q| q.record.trans_id == Some(u64::from(id))) {
            let found = self.query.take();
            // One that shares the identifier goes first, so that order stays within an identifier.
            self.query = self.queries.pop_preferring(id);
            return found;
        }
        self.queries.pop(id)
    }
}

impl Pending {
    fn new(cx: &Context<'_>, id: u16) -> Self {
        let record = Box::new(Dns {
            ts: cx.now,
            uid: ConnUid(cx.connection.uid),
            id: cx.connection.id,
            proto: EnumName(cx.connection.transport.name()),
            trans_id: Some(u64::from(id)),
            rtt: None,
            query: None,
            qclass: None,
            qclass_name: None,
            qtype: None,
            qtype_name: None,
            rcode: None,
            rcode_name: None,
            aa: false,
            tc: false,
            rd: false,
            ra: false,
            z: 0,
            answers: None,
            ttls: None,
            rejected: false,
            opcode: None,
            opcode_name: None,
        });
        Self { record, saw_query: false, saw_reply: false }
    }
}

impl Session {
    fn is_update(&self) -> bool {
        self.header.opcode() == opcode::UPDATE && !self.netbios
    }

    /// The message asks `question`, or repeats it. The last question of a query is the one that is logged.
    pub fn question(&mut self, question: &Question) {
        let (header, record) = (self.header, &mut self.pending.record);
        if header.is_reply() {
            record.rejected |= header.answers == 0 && header.authorities == 0 && header.additionals == 0;
            return;
        }
        record.rd = header.recursion_desired();
        record.tc = header.truncated();
        record.z = u64::from(header.reserved());
        record.qclass = Some(u64::from(question.qclass));
        record.qclass_name = Some(names::class(question.qclass));
        record.qtype = Some(u64::from(question.qtype));
        let lower = question.name.to_ascii_lowercase();
        record.query =
            Some(if self.netbios { names::netbios(&lower).unwrap_or(lower).into() } else { lower.into() });
        // NetBIOS had this number before SRV did.
        let status = self.netbios && question.qtype == 33;
        record.qtype_name = Some(if status { Text::from("NBSTAT") } else { names::qtype(question.qtype) });
    }

    /// The message says `answer`.
    pub fn answer(&mut self, cx: &Context<'_>, answer: &Record<'_>) {
        let header = self.header;
        if !header.is_reply() {
            return;
        }
        let Some(mut text) = shown(answer, self.is_update()) else { return };
        let record = &mut self.pending.record;
        if record.query.is_none() {
            record.query = Some(answer.name.to_vec().into());
        }
        record.aa = header.authoritative();
        record.ra = header.recursion_available();
        if record.rtt.is_none() {
            // None has passed where the record began with this very message.
            record.rtt = Some(cx.now.since(record.ts)).filter(|rtt| rtt.0 != 0);
        }
        if !text.is_empty() {
            if answer.section == Section::Update && !text.starts_with(b"del:") {
                text.splice(0..0, *b"add: ");
            }
            // A header may claim more answers than come; most messages have few.
            let expected = usize::from(header.answers).min(16);
            record.answers.get_or_insert_with(|| Vec::with_capacity(expected)).push(text.into());
            let ttl = Interval::from_secs(i64::from(answer.ttl));
            record.ttls.get_or_insert_with(|| Vec::with_capacity(expected)).push(ttl);
        }
    }
}

/// What is written of an answer; empty where it counts as an answer but nothing is written of it, `None` where it does
/// not even count.
fn shown(answer: &Record<'_>, update: bool) -> Option<Vec<u8>> {
    let (address, prefix) = match &answer.data {
        Rdata::A(a) => (Address::v4(*a), "A"),
        Rdata::Aaaa(a) => (Address::v6(*a), "AAAA"),
        Rdata::A6(a) => (Address::v6(*a), "A6"),
        Rdata::Ns(name) | Rdata::Cname(name) | Rdata::Ptr(name) => return Some(name.to_vec()),
        Rdata::Soa(name) | Rdata::Mx(_, name) | Rdata::Srv(_, _, _, name) => return Some(name.to_vec()),
        Rdata::Txt(texts) => return Some(shown_texts("TXT", texts)),
        Rdata::Spf(texts) => return Some(shown_texts("SPF", texts)),
        Rdata::Wks => return Some(Vec::new()),
        Rdata::Rrsig(covered, signer) if signer.is_empty() => {
            return Some(format!("RRSIG {covered} <Root>").into());
        }
        Rdata::Rrsig(covered, signer) => return Some(joined(&format!("RRSIG {covered} "), signer)),
        Rdata::Dnskey(algorithm) => return Some(format!("DNSKEY {algorithm}").into()),
        Rdata::Ds(algorithm, digest) => return Some(format!("DS {algorithm} {digest}").into()),
        Rdata::Nsec(next) => return Some([b"NSEC ", &answer.name[..], b" ", next].concat()),
        Rdata::Nsec3 => return Some(b"NSEC3".to_vec()),
        Rdata::Nsec3Param => return Some(b"NSEC3PARAM".to_vec()),
        Rdata::Binds => return Some(b"BIND9 signing signal".to_vec()),
        Rdata::Sshfp(_, _, bytes) => return Some(shown_fingerprint(bytes)),
        Rdata::Loc(size, horizontal, vertical) => {
            return Some(format!("LOC:  {size} {horizontal} {vertical}").into());
        }
        Rdata::Naptr(rule) => {
            let mut text = format!("NAPTR {} {} ", rule.order, rule.preference).into_bytes();
            let gap: &[u8] = if rule.regexp.is_empty() || rule.replacement.is_empty() { b"" } else { b" " };
            for part in [rule.flags, b" ", rule.service, b" ", rule.regexp, gap, &rule.replacement] {
                text.extend_from_slice(part);
            }
            return Some(text);
        }
        Rdata::Named => return Some(shown_change(answer)),
        Rdata::Unknown => return Some(format!("<unknown type={}>", answer.rtype).into()),
        Rdata::Opt | Rdata::Svcb(..) | Rdata::Opaque => return None,
    };
    if update {
        let mut text = joined(&format!("{prefix} "), &answer.name);
        text.extend_from_slice(format!(" {address}").as_bytes());
        return Some(text);
    }
    Some(shown_address(address))
}

/// An address as text. Most answers are IPv4 addresses, which are written without the machinery of formatting.
fn shown_address(address: Address) -> Vec<u8> {
    let Some(bytes) = address.as_v4() else { return address.to_string().into() };
    let mut text = Vec::with_capacity(15);
    for (at, byte) in bytes.into_iter().enumerate() {
        if at > 0 {
            text.push(b'.');
        }
        if byte >= 100 {
            text.push(b'0' + byte / 100);
        }
        if byte >= 10 {
            text.push(b'0' + byte / 10 % 10);
        }
        text.push(b'0' + byte % 10);
    }
    text
}

fn joined(before: &str, name: &[u8]) -> Vec<u8> {
    [before.as_bytes(), name].concat()
}

fn shown_texts(kind: &str, texts: &[&[u8]]) -> Vec<u8> {
    let mut all = Vec::new();
    for text in texts {
        if !all.is_empty() {
            all.push(b' ');
        }
        all.extend_from_slice(format!("{kind} {} ", text.len()).as_bytes());
        all.extend_from_slice(text);
    }
    all
}

fn shown_fingerprint(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    let mut text = b"SSHFP: ".to_vec();
    text.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
    text
}

/// A record of an update that consists of its header (RFC 2136, 2.4 and 2.5).
fn shown_change(change: &Record<'_>) -> Vec<u8> {
    const NONE: u16 = 254;
    const ANY: u16 = 255;
    let rtype = names::qtype(change.rtype);
    let (what, with_type, with_name) = match (change.section, change.class, change.rtype) {
        (Section::Update, ANY, ANY) => ("del: RRSet * ", false, true),
        (Section::Update, NONE, _) => ("del: RR ", true, true),
        (Section::Update, ..) => ("del: RRSet ", true, false),
        (_, NONE, ANY) => ("pre: NameNotInUse ", false, true),
        (_, ANY, ANY) => ("pre: NameInUse ", false, true),
        (_, NONE, _) => ("pre: NoRRSet ", true, true),
        _ => ("pre: RRSetExists ", true, true),
    };
    let mut text = what.as_bytes().to_vec();
    if with_type {
        text.extend_from_slice(rtype.as_bytes());
    }
    if with_type && with_name {
        text.push(b' ');
    }
    if with_name {
        text.extend_from_slice(&change.name);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_address_is_shown_as_everywhere_else(bytes: [u8; 4]) {
            let address = Address::v4(bytes);
            prop_assert_eq!(shown_address(address), address.to_string().into_bytes());
        }
    }
}
