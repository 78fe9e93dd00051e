//! Messages to http.log.
//!
//! One record for each request with its reply. Requests wait in a queue for their replies; a record is written when
//! its reply is complete, or, without one, when the connection is over. Where one side is missing or messages overlap,
//! records come out as Zeek's scripts make them: a request that ends after its reply was logged makes a record of its
//! own, for one.
//!
//! Source: Zeek `base/protocols/http/{main,entities,files,utils}.zeek`.

use weir_record::{ConnUid, Entry, Http, Set, Text};

use super::event::{Event, Successor};
use super::files::Carried;
use super::line::Version;
use crate::context::{Context, Side};
use crate::detect::Proxy;
use crate::file::FileHandle;
use crate::protocol::Kind;
use crate::protocol::mime::{Header, base64, filename};

/// Requests that may wait for a reply; beyond, all are logged (Zeek: `HTTP::max_pending_requests`).
const MAX_PENDING: usize = 100;

/// Records that may wait in all; Zeek has no such bound, and no traffic that keeps to [`MAX_PENDING`] reaches it.
const MAX_HELD: usize = 2 * MAX_PENDING;

/// Header fields that tell of a proxy; one record names at most so many of their values.
const MAX_PROXIED: usize = 100;

/// Methods that are not weird.
const METHODS: [&[u8]; 21] = [
    b"GET",
    b"POST",
    b"HEAD",
    b"OPTIONS",
    b"PUT",
    b"DELETE",
    b"TRACE",
    b"CONNECT",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"LOCK",
    b"UNLOCK",
    b"POLL",
    b"REPORT",
    b"SUBSCRIBE",
    b"BMOVE",
    b"SEARCH",
    b"QUERY",
];

/// A request with its reply, as far as they were seen.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// What will be logged.
    pub record: Box<Http>,
    /// The request asks for a part of a file.
    pub is_range: bool,
    /// How many entities each side has begun.
    pub entities: [u64; 2],
    /// The name of the file in the entity in progress.
    pub filename: Option<Text>,
}

/// The log of one connection, shared by the HTTP analysers on it: of what a tunnel carries, Zeek's scripts make records
/// as if it had followed on the same connection.
#[derive(Clone, Default, Debug)]
pub struct Log {
    /// The transactions by number, in ascending order.
    pending: Vec<(u64, Transaction)>,
    current_request: u64,
    current_response: u64,
    depth: u64,
    tunnelled: bool,
    /// How many analysers write to it.
    users: u32,
}

impl Log {
    /// One more analyser writes to it.
    pub const fn attach(&mut self) {
        self.users = self.users.saturating_add(1);
    }

    /// One analyser less does. Whether it was the last.
    pub const fn detach(&mut self) -> bool {
        self.users = self.users.saturating_sub(1);
        self.users == 0
    }

    /// Something happened to the analyser whose entities carry `carried`.
    pub fn hear(&mut self, event: Event<'_>, carried: &mut Carried, cx: &mut Context<'_>) {
        match event {
            Event::Confirmed => cx.confirm(),
            Event::Violation(reason) => cx.violate(reason, None),
            Event::Weird { name, addl, source } => {
                cx.weird(name, addl.map(|addl| Text::from(addl.into_owned())), source);
            }
            Event::Request { method, uri } => self.request(method, uri, cx),
            Event::Reply { version, code, reason } => self.reply(version, code, reason, cx),
            Event::Begin { side } => {
                let Some(transaction) = self.transaction(side, cx) else { return };
                if let Some(count) = transaction.entities.get_mut(side.index()) {
                    *count += 1;
                }
                transaction.filename = None;
                carried.begin(side);
            }
            Event::Header { side, header } => self.header(side, header, cx),
            Event::Size { side, total } => {
                if let Some(file) = self.file(side, carried, cx) {
                    cx.file_size(file, total);
                }
            }
            Event::Data { side, at, bytes } => self.data(side, at, bytes, carried, cx),
            Event::Gap { side, len } => {
                if let Some(file) = self.file(side, carried, cx) {
                    cx.file_gap(file, len);
                }
            }
            Event::End { side, partial } => self.end_entity(side, partial, carried, cx),
            Event::Done { side, body_length } => self.done(side, body_length, cx),
            Event::HandOver { to: Successor::Unknown, rest } => cx.hand_over(None, rest),
            Event::HandOver { to: Successor::WebSocket, rest } => cx.hand_over(Some(Kind::WebSocket), rest),
        }
    }

    /// The connection is over: what waits is logged.
    pub fn finish(&mut self, cx: &mut Context<'_>) {
        for (number, transaction) in std::mem::take(&mut self.pending) {
            // Number 0 is what came before the first message.
            if number > 0 {
                cx.out.push(Entry::Http(transaction.record));
            }
        }
    }

    /// The transaction that `side` is at.
    const fn current(&self, side: Side) -> u64 {
        match side {
            Side::Orig => self.current_request,
            Side::Resp => self.current_response,
        }
    }

    /// Where the transaction of that number is, or would be.
    fn find(&self, number: u64) -> Result<usize, usize> {
        self.pending.binary_search_by_key(&number, |(number, _)| *number)
    }

    /// That transaction, if there is one.
    fn get(&mut self, number: u64) -> Option<&mut Transaction> {
        let at = self.find(number).ok()?;
        self.pending.get_mut(at).map(|(_, transaction)| transaction)
    }

    /// The transaction that `side` is at, begun now if it was not. Never `None`.
    fn transaction(&mut self, side: Side, cx: &mut Context<'_>) -> Option<&mut Transaction> {
        let number = self.current(side);
        let at = match self.find(number) {
            Ok(at) => at,
            Err(at) => {
                let at = if self.pending.len() < MAX_HELD { at } else { self.log_first(at, cx) };
                self.depth += 1;
                self.pending.insert(at, (number, Transaction::new(self.depth, cx)));
                at
            }
        };
        self.pending.get_mut(at).map(|(_, transaction)| transaction)
    }

    /// Makes room before `at`; answers where that is now.
    fn log_first(&mut self, at: usize, cx: &mut Context<'_>) -> usize {
        let (_, transaction) = self.pending.remove(0);
        cx.out.push(Entry::Http(transaction.record));
        at.saturating_sub(1)
    }

    fn request(&mut self, method: &[u8], uri: &[u8], cx: &mut Context<'_>) {
        if self.current_request < self.current_response {
            cx.weird("HTTP_response_before_request", None, None);
            self.current_request = self.current_response;
        }
        if self.pending.len() > MAX_PENDING {
            self.flush(cx);
        }
        self.current_request += 1;
        let Some(transaction) = self.transaction(Side::Orig, cx) else { return };
        transaction.record.method = Some(method.into());
        transaction.record.uri = Some(uri.into());
        if !METHODS.contains(&method) {
            cx.weird("unknown_HTTP_method", Some(method.into()), None);
        }
    }

    /// Too many requests wait: those before the last are logged without their replies.
    fn flush(&mut self, cx: &mut Context<'_>) {
        cx.weird("HTTP_excessive_pipelining", None, None);
        let (first, last) = (self.current_response.max(1), self.current_request);
        self.pending.retain_mut(|(number, transaction)| {
            let goes = (first..last).contains(number);
            if goes {
                let empty = Box::new(blank(0, cx));
                cx.out.push(Entry::Http(std::mem::replace(&mut transaction.record, empty)));
            }
            !goes
        });
        self.current_response = first.max(last);
    }

    fn reply(&mut self, version: Version, code: u16, reason: Option<&[u8]>, cx: &mut Context<'_>) {
        let is_info = (100..200).contains(&code);
        let waits = self.get(self.current_response).is_some_and(|transaction| {
            transaction.record.status_code.is_none_or(|code| (100..200).contains(&code))
        });
        if !waits {
            self.current_response += 1;
        }
        let Some(transaction) = self.transaction(Side::Resp, cx) else { return };
        let record = &mut transaction.record;
        let text = reason.map_or_else(|| Text::from("<empty>"), Text::from);
        record.status_code = Some(code.into());
        record.version = Some(match version.name() {
            "" => version.to_string().into(),
            name => name.into(),
        });
        if is_info {
            record.info_code = Some(code.into());
            record.info_msg = Some(text.clone());
        }
        record.status_msg = Some(text);
        let is_connect = record.method.as_ref().is_some_and(|method| method.as_bytes() == b"CONNECT");
        if is_connect && code == 200 && !std::mem::replace(&mut self.tunnelled, true) {
            cx.tunnel_through(Proxy::Http);
        }
    }

    fn header(&mut self, side: Side, header: &Header<'_>, cx: &mut Context<'_>) {
        let Some(transaction) = self.transaction(side, cx) else { return };
        if header.is("content-disposition") {
            if let Some(name) = filename::in_disposition(header.value) {
                transaction.filename = Some(name.into());
            }
        } else if header.is("content-type") {
            if let Some(name) = filename::in_type(header.value) {
                transaction.filename = Some(name.into());
            }
        } else if side.is_orig() {
            transaction.request_header(header, cx);
        }
    }

    /// The file that the innermost entity of `side` carries; it is opened if it is not.
    fn file(&mut self, side: Side, carried: &mut Carried, cx: &mut Context<'_>) -> Option<FileHandle> {
        // Behind a reply, Zeek's scripts are at the next request already.
        let is_behind = side == Side::Resp && !carried.is_open(side);
        let number = self.current(side).saturating_add(u64::from(is_behind));
        let at = self.find(number).ok();
        let transaction = at.and_then(|at| self.pending.get_mut(at)).map(|(_, transaction)| transaction);
        carried.open(side, number, transaction, cx)
    }

    fn data(
        &mut self,
        side: Side,
        at: Option<u64>,
        bytes: &[u8],
        carried: &mut Carried,
        cx: &mut Context<'_>,
    ) {
        let Some(file) = self.file(side, carried, cx) else { return };
        match at {
            Some(at) => cx.file_data_at(file, at, bytes),
            None => cx.file_data(file, bytes),
        }
        let told = carried.fed(side, bytes.len() as u64, cx);
        self.note_type(side, told);
    }

    fn end_entity(&mut self, side: Side, partial: bool, carried: &mut Carried, cx: &mut Context<'_>) {
        // Behind a reply, Zeek's scripts are at the next request already.
        let is_behind = side == Side::Resp && !carried.is_open(side);
        let number = self.current(side).saturating_add(u64::from(is_behind));
        let at = self.find(number).ok();
        let transaction = at.and_then(|at| self.pending.get(at)).map(|(_, transaction)| transaction);
        let told = carried.end(side, partial, transaction, cx);
        self.note_type(side, told);
        if let Some(transaction) = self.get(number) {
            transaction.filename = None;
        }
    }

    /// The type of a file was told: the transaction that carried it first says so.
    fn note_type(&mut self, side: Side, told: Option<(u64, &'static str)>) {
        let Some((number, mime)) = told else { return };
        if let Some(transaction) = self.get(number) {
            transaction.note_type(side, mime);
        }
    }

    fn done(&mut self, side: Side, body_length: u64, cx: &mut Context<'_>) {
        let Some(Transaction { record, .. }) = self.transaction(side, cx) else { return };
        match side {
            Side::Orig => record.request_body_len = body_length,
            Side::Resp => record.response_body_len = body_length,
        }
        let is_info = record.status_code.is_some_and(|code| (100..200).contains(&code));
        if side.is_orig() || is_info {
            return;
        }
        if let Ok(at) = self.find(self.current_response) {
            let (_, transaction) = self.pending.remove(at);
            cx.out.push(Entry::Http(transaction.record));
        }
    }
}

impl Transaction {
    fn new(depth: u64, cx: &Context<'_>) -> Self {
        Self { record: Box::new(blank(depth, cx)), is_range: false, entities: [0; 2], filename: None }
    }

    fn request_header(&mut self, header: &Header<'_>, cx: &mut Context<'_>) {
        let record = &mut self.record;
        let value = || Some(Text::from(header.value));
        match header.name.len() {
            4 if header.is("host") => record.host = value(),
            5 if header.is("range") => self.is_range = true,
            6 if header.is("origin") => record.origin = value(),
            7 if header.is("referer") => record.referrer = value(),
            10 if header.is("user-agent") => record.user_agent = value(),
            13 | 19 if header.is("authorization") || header.is("proxy-authorization") => {
                if let Some(user) = user_of(header.value, cx) {
                    record.username = Some(user);
                }
            }
            _ if tells_of_proxy(header) => {
                let proxied = record.proxied.get_or_insert_default();
                if proxied.0.len() < MAX_PROXIED {
                    let name = header.name.to_ascii_uppercase();
                    proxied.insert([&name[..], b" -> ", header.value].concat().into());
                }
            }
            _ => {}
        }
    }
}

fn blank(depth: u64, cx: &Context<'_>) -> Http {
    Http {
        ts: cx.now,
        uid: ConnUid(cx.connection.uid),
        id: cx.connection.id,
        trans_depth: depth,
        method: None,
        host: None,
        uri: None,
        referrer: None,
        version: None,
        user_agent: None,
        origin: None,
        request_body_len: 0,
        response_body_len: 0,
        status_code: None,
        status_msg: None,
        info_code: None,
        info_msg: None,
        tags: Set::default(),
        username: None,
        password: None,
        proxied: None,
        orig_fuids: None,
        orig_filenames: None,
        orig_mime_types: None,
        resp_fuids: None,
        resp_filenames: None,
        resp_mime_types: None,
    }
}

fn tells_of_proxy(header: &Header<'_>) -> bool {
    const NAMES: [&str; 7] = [
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-from",
        "client-ip",
        "via",
        "xroxy-connection",
        "proxy-connection",
    ];
    NAMES.iter().any(|name| header.is(name))
}

/// The user of basic authentication; `None`: the authentication is another one.
fn user_of(value: &[u8], cx: &mut Context<'_>) -> Option<Text> {
    let (scheme, rest) = value.split_at_checked(5)?;
    if !scheme.eq_ignore_ascii_case(b"basic") || rest.first() != Some(&b' ') {
        return None;
    }
    let start = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let (mut decoder, mut text) = (base64::Decoder::default(), Vec::new());
    decoder.decode(rest.get(start..).unwrap_or_default(), &mut text);
    let broken = decoder.fault();
    if let Some(fault) = broken.or_else(|| decoder.finish(&mut text)) {
        cx.weird("base64_illegal_encoding", Some(fault.to_string().into()), None);
    }
    match text.iter().position(|byte| *byte == b':').filter(|_| broken.is_none()) {
        Some(end) => text.get(..end).map(Text::from),
        None => Some([b"<problem-decoding> (", value, b")"].concat().into()),
    }
}
