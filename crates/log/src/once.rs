//! Which records are logged and which are repeats: weirds, certificates and tunnels that were told already.
//!
//! Records come in packet order; all times are packet time. What is remembered is bounded: a table that is full
//! of what is still valid is emptied, which costs repeats and never memory.
//!
//! Source: Zeek's `base/frameworks/notice/weird`, `base/files/x509`, `base/frameworks/tunnels`.

use std::collections::HashMap;
use std::hash::Hash;

use weir_record::{Entry, LogKind, Text, Tunnel, Weird, X509};
use weir_wire::{Address, Interval, Time};

/// Entries of one table.
const TABLE_LIMIT: usize = 1_000_000;
/// A weird of one connection is not repeated for this long.
const WEIRD_SPAN: Interval = Interval::from_secs(600);
/// A tunnel is told again when it was not seen for this long (Zeek: `Tunnel::expiration_interval`).
const TUNNEL_SPAN: Interval = Interval::from_secs(3600);
/// What is logged once a day.
const DAY: Interval = Interval::from_secs(86_400);

/// Weirds that are never logged.
const IGNORED: &[&[u8]] =
    &[b"unsolicited_SYN_response", b"FIN_after_reset", b"spontaneous_FIN", b"spontaneous_RST"];

/// Weirds that are logged once a day for each originator.
const PER_ORIGINATOR: &[&[u8]] = &[
    b"bad_ICMP_checksum",
    b"bad_RPC",
    b"bad_TCP_checksum",
    b"bad_UDP_checksum",
    b"bad_IP_checksum",
    b"connection_originator_SYN_ack",
    b"DNS_label_forward_compress_offset",
    b"DNS_label_len_gt_name_len",
    b"DNS_label_len_gt_pkt",
    b"DNS_label_too_long",
    b"excess_RPC",
    b"originator_RPC_reply",
    b"partial_RPC",
    b"responder_RPC_call",
    b"SYN_with_data",
    b"UDP_datagram_length_mismatch",
    b"excessively_small_fragment",
    b"fragment_inconsistency",
    b"fragment_overlap",
    b"fragment_size_inconsistency",
    b"SSH_max_packet_length_exceeded",
    b"SSH_max_string_length_exceeded",
    // These become notices, once for each originator too.
    b"FIN_storm",
    b"successful_RPC_reply_to_invalid_request",
    b"SYN_after_partial",
];

/// Weirds that are logged once a day for each connection.
const PER_CONNECTION: &[&[u8]] = &[
    b"FTP_max_command_length_exceeded",
    b"FTP_too_many_pending_commands",
    b"FTP_user_too_long",
    b"FTP_reply_msg_too_long",
    b"FTP_arg_too_long",
    b"FTP_password_too_long",
    b"simultaneous_open",
    b"smtp_mail_transaction_invalid",
    b"smtp_excessive_invalid_mail_transactions",
    b"smb_tree_connect_andx_response_without_tree",
];

/// Weirds whose repeats are held back by the originator alone.
const REPEATING: &[&[u8]] =
    &[b"bad_IP_checksum", b"bad_TCP_checksum", b"bad_UDP_checksum", b"bad_ICMP_checksum"];

/// Whom a weird is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Subject {
    Nobody,
    Originator(Address),
    Hosts(Address, Address),
    Connection(Address, u16, Address, u16),
}

/// Things with the time when they were logged. Those of the span that runs are apart from those of the span before, which go at
/// once when all of them are too old: memory is that of two spans, however long a sensor runs.
#[derive(Debug)]
struct Recent<K> {
    since: HashMap<K, Time>,
    before: HashMap<K, Time>,
    /// When the span that runs began.
    turned: Option<Time>,
    span: Interval,
    limit: usize,
}

impl<K: Hash + Eq> Recent<K> {
    fn new(span: Interval) -> Self {
        Self { since: HashMap::new(), before: HashMap::new(), turned: None, span, limit: TABLE_LIMIT }
    }

    fn is_expired(span: Interval, since: Time, now: Time) -> bool {
        now.since(since) > span
    }

    fn contains(&self, key: &K, now: Time) -> bool {
        let is_valid = |since: &Time| !Self::is_expired(self.span, *since, now);
        [&self.since, &self.before].iter().any(|table| table.get(key).is_some_and(is_valid))
    }

    fn len(&self) -> usize {
        self.since.len() + self.before.len()
    }

    /// Remembers `key`. Answers whether that emptied the table of what was still valid.
    fn insert(&mut self, key: K, now: Time) -> bool {
        if Self::is_expired(self.span, *self.turned.get_or_insert(now), now) {
            // What was before is older than the span that ends here.
            self.before = std::mem::take(&mut self.since);
            self.turned = Some(now);
        }
        let mut emptied = false;
        if self.len() >= self.limit && !self.since.contains_key(&key) {
            let span = self.span;
            for table in [&mut self.since, &mut self.before] {
                table.retain(|_, since| !Self::is_expired(span, *since, now));
            }
            // Sweeping again and again for a few places would be quadratic.
            if self.len() > self.limit / 2 {
                self.since.clear();
                self.before.clear();
                emptied = true;
            }
        }
        self.since.insert(key, now);
        emptied
    }
}

/// Remembers what was logged, and tells which records are repeats.
#[derive(Debug)]
pub struct Once {
    /// Zeek's `weird_ignore`.
    repeated: Recent<(Text, Subject)>,
    /// Zeek's `did_log` and `did_notice`.
    limited: Recent<(Text, Subject)>,
    certificates: Recent<(Text, bool, bool)>,
    /// Zeek's `active`: by its script, HTTP tunnels have the originator's port 0, so one stands for all of a host.
    tunnels: Recent<(Address, u16, Address, u16)>,
    emptied: u64,
}

impl Default for Once {
    fn default() -> Self {
        Self::new()
    }
}

impl Once {
    /// Nothing was logged yet.
    pub fn new() -> Self {
        Self {
            repeated: Recent::new(WEIRD_SPAN),
            limited: Recent::new(DAY),
            certificates: Recent::new(DAY),
            tunnels: Recent::new(TUNNEL_SPAN),
            emptied: 0,
        }
    }

    /// Whether there are repeats in a log, so that its records must come in the order of their frames. The others may be
    /// written as they come, unasked.
    pub const fn concerns(kind: LogKind) -> bool {
        matches!(kind, LogKind::Weird | LogKind::X509 | LogKind::Tunnel)
    }

    /// Whether `entry` is to be logged; it is then remembered.
    pub fn admits(&mut self, entry: &Entry) -> bool {
        match entry {
            Entry::Weird(weird) => self.admits_weird(weird),
            Entry::X509(certificate) => self.admits_certificate(certificate),
            Entry::Tunnel(tunnel) => self.admits_tunnel(tunnel),
            Entry::Conn(_)
            | Entry::Dns(_)
            | Entry::Http(_)
            | Entry::Ssl(_)
            | Entry::Files(_)
            | Entry::Ssh(_)
            | Entry::Quic(_)
            | Entry::Analyzer(_)
            | Entry::Reporter(_)
            | Entry::Stats(_)
            | Entry::CaptureLoss(_) => true,
        }
    }

    /// How often a table was full and was emptied, so that repeats may have been logged.
    pub const fn emptied(&self) -> u64 {
        self.emptied
    }

    fn admits_weird(&mut self, weird: &Weird) -> bool {
        let name = weird.name.as_bytes();
        if IGNORED.contains(&name) {
            return false;
        }
        let subject = subject(weird);
        let key = (weird.name.clone(), subject);
        if self.repeated.contains(&key, weird.ts) {
            return false;
        }
        let limited_by = if PER_ORIGINATOR.contains(&name) {
            Some(weird.orig_h.map_or(Subject::Nobody, Subject::Originator))
        } else if PER_CONNECTION.contains(&name) {
            Some(subject)
        } else {
            None
        };
        if let Some(limited_by) = limited_by {
            let key = (weird.name.clone(), limited_by);
            if self.limited.contains(&key, weird.ts) {
                return false;
            }
            self.emptied += u64::from(self.limited.insert(key, weird.ts));
        }
        if !REPEATING.contains(&name) {
            self.emptied += u64::from(self.repeated.insert(key, weird.ts));
        }
        true
    }

    fn admits_certificate(&mut self, certificate: &X509) -> bool {
        let key = (certificate.fingerprint.clone(), certificate.host_cert, certificate.client_cert);
        if self.certificates.contains(&key, certificate.ts) {
            return false;
        }
        self.emptied += u64::from(self.certificates.insert(key, certificate.ts));
        true
    }

    fn admits_tunnel(&mut self, tunnel: &Tunnel) -> bool {
        if tunnel.tunnel_type.0 != "Tunnel::HTTP" || tunnel.action.0 != "Tunnel::DISCOVER" {
            return true;
        }
        let id = tunnel.id;
        let key = (id.orig_h, id.orig_p, id.resp_h, id.resp_p);
        let known = self.tunnels.contains(&key, tunnel.ts);
        // Being seen again keeps it known.
        self.emptied += u64::from(self.tunnels.insert(key, tunnel.ts));
        !known
    }
}

/// A connection, two hosts where there is no uid, or nobody.
fn subject(weird: &Weird) -> Subject {
    match (weird.orig_h, weird.resp_h) {
        (Some(orig), Some(resp)) if weird.uid.is_some() => {
            let port = |port: Option<weir_record::Port>| port.unwrap_or_default().0;
            Subject::Connection(orig, port(weird.orig_p), resp, port(weird.resp_p))
        }
        (Some(orig), Some(resp)) => Subject::Hosts(orig, resp),
        _ => Subject::Nobody,
    }
}

#[cfg(test)]
mod tests {
    use weir_record::ConnUid;
    use weir_wire::{ConnId, UidKey};

    use super::*;

    fn weird(seconds: i64, name: &'static str, host: Option<u8>, port: u16) -> Entry {
        let id = host.map(|host| ConnId {
            orig_h: Address::v4([10, 0, 0, host]),
            orig_p: port,
            resp_h: Address::v4([10, 0, 0, 99]),
            resp_p: 80,
        });
        let uid = (port != 0).then(|| ConnUid(UidKey([0; 16]).of(&[&port.to_be_bytes()])));
        Weird::new(Time::from_parts(seconds, 0), uid, id, name, None, None).into()
    }

    #[test]
    fn a_weird_is_not_repeated_for_a_connection_within_ten_minutes() {
        let mut once = Once::new();
        assert!(once.admits(&weird(0, "window_recision", Some(1), 5)));
        assert!(!once.admits(&weird(600, "window_recision", Some(1), 5)));
        assert!(once.admits(&weird(600, "window_recision", Some(1), 6)));
        assert!(once.admits(&weird(600, "bad_SYN_ack", Some(1), 5)));
        assert!(once.admits(&weird(601, "window_recision", Some(1), 5)));
    }

    #[test]
    fn weirds_of_hosts_and_of_nobody_are_not_repeated_either() {
        let mut once = Once::new();
        assert!(once.admits(&weird(0, "truncated_IP", None, 0)));
        assert!(!once.admits(&weird(1, "truncated_IP", None, 0)));
        assert!(once.admits(&weird(1, "truncated_IP", Some(1), 0)));
        assert!(!once.admits(&weird(2, "truncated_IP", Some(1), 0)));
        assert!(once.admits(&weird(2, "truncated_IP", Some(2), 0)));
    }

    #[test]
    fn some_weirds_are_never_logged() {
        assert!(!Once::new().admits(&weird(0, "spontaneous_FIN", Some(1), 5)));
    }

    #[test]
    fn some_weirds_are_logged_once_a_day_for_an_originator() {
        let mut once = Once::new();
        assert!(once.admits(&weird(0, "SYN_with_data", Some(1), 5)));
        assert!(!once.admits(&weird(3600, "SYN_with_data", Some(1), 6)));
        assert!(once.admits(&weird(3600, "SYN_with_data", Some(2), 6)));
        assert!(once.admits(&weird(86_401, "SYN_with_data", Some(1), 7)));
        assert!(once.admits(&weird(0, "bad_TCP_checksum", Some(1), 5)));
        assert!(!once.admits(&weird(1, "bad_TCP_checksum", Some(1), 5)));
    }

    #[test]
    fn some_weirds_are_logged_once_a_day_for_a_connection() {
        let mut once = Once::new();
        assert!(once.admits(&weird(0, "simultaneous_open", Some(1), 5)));
        assert!(!once.admits(&weird(3600, "simultaneous_open", Some(1), 5)));
        assert!(once.admits(&weird(3600, "simultaneous_open", Some(1), 6)));
    }

    #[test]
    fn a_full_table_forgets_first_what_expired_and_then_everything() {
        let mut recent = Recent::new(Interval::from_secs(10));
        recent.limit = 4;
        for key in 0..4 {
            assert!(!recent.insert(key, Time::from_parts(0, 0)));
        }
        assert!(!recent.insert(4, Time::from_parts(11, 0)));
        assert_eq!(recent.len(), 1);
        for key in 5..8 {
            assert!(!recent.insert(key, Time::from_parts(11, 0)));
        }
        assert!(recent.insert(8, Time::from_parts(11, 0)));
        assert_eq!(recent.len(), 1);
    }

    #[test]
    fn a_table_that_is_not_full_holds_what_came_in_two_spans_and_no_more() {
        let mut recent = Recent::new(Interval::from_secs(10));
        for second in 0..1000 {
            let now = Time::from_parts(second, 0);
            assert!(!recent.insert(second, now));
            assert!((0..=second.min(10)).all(|ago| recent.contains(&(second - ago), now)));
            assert!(!recent.contains(&(second - 11), now));
            assert!(recent.len() <= 22, "{}", recent.len());
        }
    }
}
