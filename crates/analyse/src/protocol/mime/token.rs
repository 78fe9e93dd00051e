//! The words that header fields are made of.
//!
//! Lenient as Zeek is (`analyzer/protocol/mime/MIME.cc`): what cannot be part of a word is passed over. Grammar:
//! RFC 2045 (tokens), RFC 5322 (comments, quoted strings). Each function answers the slice that it found and the
//! rest behind it; all are linear.

/// Space or tab.
pub const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

const fn is_special(byte: u8) -> bool {
    matches!(
        byte,
        b'(' | b')'
            | b'<'
            | b'>'
            | b'@'
            | b','
            | b';'
            | b':'
            | b'\\'
            | b'"'
            | b'/'
            | b'['
            | b']'
            | b'?'
            | b'='
    )
}

const fn is_token(byte: u8) -> bool {
    matches!(byte, 33..=126) && !is_special(byte)
}

/// A boundary may hold what other parameters may not: everything printable but quotes.
const fn is_boundary(byte: u8) -> bool {
    matches!(byte, 33..=126) && byte != b'"'
}

const fn is_name(byte: u8) -> bool {
    matches!(byte, 33..=126) && byte != b':'
}

/// The rest of `text` behind spaces, tabs and comments.
pub fn skip_space(mut text: &[u8]) -> &[u8] {
    loop {
        match text {
            [first, rest @ ..] if is_space(*first) => text = rest,
            [b'(', ..] => text = skip_comment(text),
            _ => return text,
        }
    }
}

/// The rest of `text` behind the comment that it begins with; nothing where that has no end.
fn skip_comment(text: &[u8]) -> &[u8] {
    let (mut depth, mut at) = (0usize, 0);
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b'\\' => at += 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    text.get(at..).unwrap_or_default()
}

/// The first run of bytes that are `part` of a word, and what is behind it.
fn word(text: &[u8], part: fn(u8) -> bool) -> Option<(&[u8], &[u8])> {
    let mut text = text;
    loop {
        let first = *text.first()?;
        if part(first) {
            let end = text.iter().position(|byte| !part(*byte)).unwrap_or(text.len());
            return text.split_at_checked(end);
        }
        let behind = skip_space(text);
        text = if behind.len() < text.len() { behind } else { behind.get(1..)? };
    }
}

/// The name of a header field.
pub fn field_name(text: &[u8]) -> Option<(&[u8], &[u8])> {
    word(skip_space(text), is_name)
}

/// The first token.
pub fn token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    word(skip_space(text), is_token)
}

/// Two tokens with a slash between them (`text/html`).
pub fn slash_pair(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (first, rest) = token(text)?;
    let rest = skip_space(rest).strip_prefix(b"/")?;
    let (second, rest) = token(rest)?;
    Some((first, second, rest))
}

/// The value of a parameter, a token or a quoted string (without its quotes, its `\` undone), and what is behind it.
pub fn value(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let text = skip_space(text);
    if text.first() == Some(&b'"') {
        return quoted(text);
    }
    token(text).map(|(word, rest)| (word.to_vec(), rest))
}

/// The value of a boundary parameter.
pub fn boundary(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    if text.first() == Some(&b'"') {
        return quoted(text);
    }
    word(text, is_boundary).map(|(word, rest)| (word.to_vec(), rest))
}

fn quoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut rest = text.strip_prefix(b"\"")?;
    let mut value = Vec::new();
    loop {
        match rest {
            [b'"', behind @ ..] => return Some((value, behind)),
            [b'\\', byte, behind @ ..] | [byte, behind @ ..] => {
                value.push(*byte);
                rest = behind;
            }
            [] => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_behind_spaces_comments_and_rubbish() {
        assert_eq!(token(b" (a (nested) \\) comment) gzip, br"), Some((&b"gzip"[..], &b", br"[..])));
        assert_eq!(token(b",;chunked"), Some((&b"chunked"[..], &b""[..])));
        assert_eq!(token(b"(never ends"), None);
        assert_eq!(token(b" ;; "), None);
    }

    #[test]
    fn a_media_type_is_two_tokens_around_a_slash() {
        assert_eq!(slash_pair(b" text / html; x=y"), Some((&b"text"[..], &b"html"[..], &b"; x=y"[..])));
        assert_eq!(slash_pair(b"text"), None);
    }

    #[test]
    fn a_value_may_be_quoted() {
        assert_eq!(value(b" \"a \\\"b\\\" c\";"), Some((b"a \"b\" c".to_vec(), &b";"[..])));
        assert_eq!(value(b"plain;"), Some((b"plain".to_vec(), &b";"[..])));
        assert_eq!(value(b"\"open"), None);
    }

    #[test]
    fn a_boundary_may_hold_what_a_token_may_not() {
        assert_eq!(boundary(b"a=(b)/c?"), Some((b"a=(b)/c?".to_vec(), &b""[..])));
    }
}
