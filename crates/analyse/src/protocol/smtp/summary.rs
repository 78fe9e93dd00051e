//! What Zeek's smtp.log tells of a mail, as far as weird.log tells that there is too much of it.
//!
//! Bounded: of an address no more is kept than a hash, of each list [`MAX_ADDRESSES`].
//! Source: Zeek's scripts/base/protocols/smtp/main.zeek, scripts/base/utils/email.zeek.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use foldhash::fast::RandomState;

use crate::context::Context;
use crate::protocol::mime::Header;

/// Most addresses of a list, and hosts of the path (`SMTP::max_rcptto_addresses`, ...).
const MAX_ADDRESSES: usize = 1000;
/// Most elements of a list that is logged (`Log::default_max_field_container_elements`).
const MAX_LOGGED: usize = 100;
/// Most bytes of a text that is logged (`Log::default_max_field_string_bytes`).
const MAX_TEXT: usize = 4096;
/// The name of the log.
const LOG: &str = "SMTP::LOG";

/// Addresses, each once.
#[derive(Default)]
struct Addresses {
    seen: HashSet<u64, RandomState>,
    too_long: bool,
}

impl Addresses {
    fn add<'a>(&mut self, cx: &mut Context<'_>, too_many: &'static str, all: impl Iterator<Item = &'a [u8]>) {
        for address in all {
            if self.seen.len() >= MAX_ADDRESSES {
                cx.weird(too_many, None, None);
                return;
            }
            self.too_long |= address.len() > MAX_TEXT;
            let hash = std::hash::BuildHasher::hash_one(self.seen.hasher(), address);
            self.seen.insert(hash);
        }
    }
}

/// What is known of the mail that is not yet logged.
#[derive(Default)]
pub struct Summary {
    /// The client did what is worth a record.
    active: bool,
    receivers: Addresses,
    to: Addresses,
    cc: Addresses,
    /// Hosts that it passed, besides those of the connection, and the last of them.
    path: usize,
    last: Option<Ipv4Addr>,
    too_long: bool,
    /// The last reply, and how the client greeted.
    reply_too_long: bool,
    greeting_too_long: bool,
}

impl Summary {
    /// HELO or EHLO.
    pub const fn greeting(&mut self, argument: &[u8]) {
        self.greeting_too_long = argument.len() > MAX_TEXT;
    }

    /// MAIL: what came before it is logged.
    pub fn sender(&mut self, cx: &mut Context<'_>, argument: &[u8]) {
        self.log(cx);
        self.active = true;
        self.too_long |= addresses(argument).next().is_some_and(|address| address.len() > MAX_TEXT);
    }

    /// RCPT.
    pub fn receiver(&mut self, cx: &mut Context<'_>, argument: &[u8]) {
        self.active = true;
        self.receivers.add(cx, "smtp_too_many_rcptto_addresses", addresses(argument));
    }

    /// The first line of a reply.
    pub const fn reply(&mut self, line: &[u8]) {
        self.reply_too_long = line.len() > MAX_TEXT;
    }

    /// A field of the mail's own header.
    pub fn field(&mut self, cx: &mut Context<'_>, field: &[u8]) {
        const TEXTS: [&str; 9] = [
            "message-id",
            "received",
            "in-reply-to",
            "subject",
            "from",
            "reply-to",
            "date",
            "x-mailer",
            "user-agent",
        ];
        let Some(header) = Header::parse(field) else { return };
        if header.is("to") {
            self.to.add(cx, "smtp_too_many_to_addresses", listed(header.value));
        } else if header.is("cc") {
            self.cc.add(cx, "smtp_too_many_cc_addresses", listed(header.value));
        } else if TEXTS.iter().any(|name| header.is(name)) {
            self.too_long |= header.value.len() > MAX_TEXT;
        }
        if header.is("received")
            && let Some(host) = host(header.value)
            && self.last != Some(host)
        {
            if self.path + 2 >= MAX_ADDRESSES {
                cx.weird("smtp_max_path_length_exceeded", None, None);
                return;
            }
            (self.path, self.last) = (self.path + 1, Some(host));
        }
    }

    /// The mail is over, or the connection.
    pub fn log(&mut self, cx: &mut Context<'_>) {
        if !self.active {
            return;
        }
        let lists = [&self.receivers, &self.to, &self.cc];
        let too_long = self.too_long || self.reply_too_long || self.greeting_too_long;
        if too_long || lists.iter().any(|list| list.too_long) {
            cx.out.net_weird(cx.now, "log_string_field_truncated", Some(LOG.into()), None);
        }
        let too_many = lists.iter().map(|list| list.seen.len()).chain([self.path + 2]);
        if too_many.max() > Some(MAX_LOGGED) {
            cx.out.net_weird(cx.now, "log_container_field_truncated", Some(LOG.into()), None);
        }
        *self = Self { greeting_too_long: self.greeting_too_long, ..Self::default() };
    }
}

/// The addresses in an argument of MAIL or RCPT.
fn addresses(argument: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_end = |b: &u8| matches!(b, b'<' | b'>' | b',' | b':' | b';' | b' ' | b'\t');
    argument
        .split(is_end)
        .filter(|word| word.iter().rposition(|b| *b == b'@') > Some(0) && !word.ends_with(b"@"))
}

/// The addresses in To and Cc.
fn listed(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').filter(|part| part.contains(&b'@')).map(<[u8]>::trim_ascii)
}

/// The host that a mail was received from: the second address of those that are told, or the only one.
fn host(value: &[u8]) -> Option<Ipv4Addr> {
    let mut hosts = value.split(|b| !b.is_ascii_digit() && *b != b'.').filter_map(|word| {
        let word = std::str::from_utf8(word).ok()?;
        word.parse().ok()
    });
    let first = hosts.next();
    hosts.next().or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_between_what_ends_them() {
        let of =
            |text: &'static str| addresses(text.as_bytes()).map(String::from_utf8_lossy).collect::<Vec<_>>();
        assert_eq!(of("TO:<a@b> ORCPT=rfc822;c@d"), ["a@b", "c@d"]);
        assert_eq!(of("FROM:a@b"), ["a@b"]);
        assert!(of("FROM:<>").is_empty() && of("TO:<@b> c@").is_empty());
        assert_eq!(listed(b"A B <a@b>,  c@d, nobody").collect::<Vec<_>>(), [&b"A B <a@b>"[..], b"c@d"]);
        assert_eq!(host(b"from x (y [1.2.3.4]) by z"), Some(Ipv4Addr::new(1, 2, 3, 4)));
        assert_eq!(host(b"from 1.2.3.4 ([5.6.7.8]) id 9"), Some(Ipv4Addr::new(5, 6, 7, 8)));
        assert_eq!(host(b"from nowhere"), None);
    }
}
