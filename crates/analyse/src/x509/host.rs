//! Whether a certificate is for a name.
//!
//! Promise: the answer is that of OpenSSL's `X509_check_host` without flags: names of the subject alternative name,
//! or the common name where there are none of these; a wildcard in the first label of at least three.
//! Source: RFC 6125; OpenSSL's crypto/x509/v3_utl.c.

use super::parse::{self, Certificate, GeneralName};

/// Whether `certificate` is for `host`.
pub fn matches(certificate: &Certificate<'_>, host: &[u8]) -> bool {
    let host = match host {
        [rest @ .., 0] if !rest.is_empty() => rest,
        all => all,
    };
    if host.contains(&0) || host.is_empty() {
        return false;
    }
    let mut alternatives = certificate.extensions().filter(|e| e.oid == parse::SUBJECT_ALT_NAME);
    // OpenSSL finds no names at all where the extension is there twice.
    let names = match (alternatives.next(), alternatives.next()) {
        (Some(only), None) => parse::general_names(only.value).unwrap_or_default(),
        _ => Vec::new(),
    };
    let mut has_names = false;
    for name in names {
        if let GeneralName::Dns(pattern) = name {
            has_names = true;
            if is_for(pattern, host) {
                return true;
            }
        }
    }
    !has_names && certificate.subject.common_names().any(|pattern| is_for(&pattern, host))
}

/// Whether the name in a certificate stands for `host`.
fn is_for(pattern: &[u8], host: &[u8]) -> bool {
    let subdomain = host.len() > 1 && host.starts_with(b".");
    if subdomain {
        let start = pattern.len().saturating_sub(host.len());
        return pattern.get(start..).is_some_and(|tail| equal(tail, host));
    }
    match star(pattern) {
        None => equal(pattern, host),
        Some(at) => {
            let (before, after) = pattern.split_at_checked(at).unwrap_or_default();
            wildcard(before, after.get(1..).unwrap_or_default(), host)
        }
    }
}

/// Equal but for case; a pattern with NUL equals nothing.
fn equal(pattern: &[u8], host: &[u8]) -> bool {
    !pattern.contains(&0) && pattern.eq_ignore_ascii_case(host)
}

/// What a label is made of so far.
#[derive(Clone, Copy, Default)]
struct Label {
    start: bool,
    hyphen: bool,
    idna: bool,
}

/// Where a valid wildcard stands: in the first label, at its start or end, with two dots after it.
fn star(pattern: &[u8]) -> Option<usize> {
    let mut found = None;
    let mut dots = 0;
    let fresh = Label { start: true, ..Label::default() };
    let mut label = fresh;
    for (at, byte) in pattern.iter().enumerate() {
        let rest = pattern.get(at..)?;
        match byte {
            b'*' => {
                let at_end = matches!(rest, [_] | [_, b'.', ..]);
                if found.is_some() || label.idna || dots > 0 || !(label.start || at_end) {
                    return None;
                }
                found = Some(at);
                label.start = false;
            }
            b'.' => {
                if label.hyphen || label.start {
                    return None;
                }
                label = fresh;
                dots += 1;
            }
            b'-' => {
                if label.start {
                    return None;
                }
                label.hyphen = true;
            }
            c if c.is_ascii_alphanumeric() => {
                label.idna |= label.start && has_idna_prefix(rest);
                label.start = false;
                label.hyphen = false;
            }
            _ => return None,
        }
    }
    found.filter(|_| !label.start && !label.hyphen && dots >= 2)
}

fn has_idna_prefix(label: &[u8]) -> bool {
    label.get(..4).is_some_and(|p| p.eq_ignore_ascii_case(b"xn--"))
}

fn wildcard(before: &[u8], after: &[u8], host: &[u8]) -> bool {
    let Some(rest) = host.len().checked_sub(after.len()) else { return false };
    let Some((head, tail)) = host.split_at_checked(rest) else { return false };
    let Some((start, covered)) = head.split_at_checked(before.len()) else { return false };
    if !equal(before, start) || !equal(after, tail) {
        return false;
    }
    let whole_label = before.is_empty() && after.starts_with(b".");
    if whole_label && covered.is_empty() || !whole_label && has_idna_prefix(host) {
        return false;
    }
    covered == b"*" || covered.iter().all(|c| c.is_ascii_alphanumeric() || *c == b'-')
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_label() {
        assert!(is_for(b"*.example.com", b"www.EXAMPLE.com"));
        assert!(!is_for(b"*.example.com", b"example.com"));
        assert!(!is_for(b"*.example.com", b"a.b.example.com"));
        assert!(is_for(b"www*.example.com", b"www7.example.com"));
        assert!(!is_for(b"*.com", b"example.com"));
        assert!(!is_for(b"w*w.example.com", b"www.example.com"));
        assert!(is_for(b"*.example.com", b"*.example.com"));
    }

    #[test]
    fn idna_labels_take_no_part_in_partial_wildcards() {
        assert!(is_for(b"*.example.com", b"xn--abc.example.com"));
        assert!(!is_for(b"x*.example.com", b"xn--abc.example.com"));
        assert!(!is_for(b"xn--a*.example.com", b"xn--abc.example.com"));
    }

    #[test]
    fn a_leading_dot_asks_for_any_name_below() {
        assert!(is_for(b"a.b.example.com", b".example.com"));
        assert!(!is_for(b"example.com", b".example.com"));
    }

    #[test]
    fn alternative_names_come_before_the_common_name() {
        let bytes = testing::certificate();
        let certificate = Certificate::parse(&bytes).unwrap();
        assert!(matches(&certificate, b"a.weir.test"));
        assert!(!matches(&certificate, b"common.weir.test"));
        assert!(!matches(&certificate, b"") && !matches(&certificate, b"a.weir.test\0x"));
    }
}
