//! Lines to commands and replies, and the endpoints that they name.

use weir_wire::Address;

/// A command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Command<'a> {
    /// Its name, as written.
    pub name: &'a [u8],
    /// What follows.
    pub argument: &'a [u8],
}

impl<'a> Command<'a> {
    /// Reads a line; a name has three printable characters or more.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let line = line.trim_ascii_start();
        let len = line.iter().take_while(|b| !b.is_ascii_whitespace()).count();
        let (name, argument) = line.split_at_checked(len)?;
        let is_name = len >= 3 && name.iter().all(u8::is_ascii_graphic);
        is_name.then_some(Self { name, argument: argument.trim_ascii_start() })
    }
}

/// A line of a reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reply<'a> {
    /// Its code; 0 in the middle of a reply of several lines.
    pub code: u16,
    /// What follows.
    pub text: &'a [u8],
    /// The code of the reply that goes on after this line.
    pub continued: Option<u16>,
}

impl<'a> Reply<'a> {
    /// Reads a line, where the reply with the code `pending` goes on.
    ///
    /// # Errors
    ///
    /// What is wrong with the line, in Zeek's words.
    pub fn parse(line: &'a [u8], pending: Option<u16>) -> Result<Self, &'static str> {
        let code = code(line);
        let rest = line.get(3..).unwrap_or_default();
        if let Some(pending) = pending {
            return Ok(if code == pending && rest.starts_with(b" ") {
                Self { code, text: rest.trim_ascii_start(), continued: None }
            } else {
                Self { code: 0, text: line, continued: Some(pending) }
            });
        }
        match (code, rest.first()) {
            (0, _) => Err("non-numeric reply code"),
            (..100, _) => Err("invalid reply code"),
            (_, Some(b'-')) => {
                Ok(Self { code, text: rest.get(1..).unwrap_or_default(), continued: Some(code) })
            }
            (_, Some(b' ') | None) => Ok(Self { code, text: rest.trim_ascii_start(), continued: None }),
            _ => Err("invalid reply line"),
        }
    }
}

/// The three digits that a line begins with, or 0.
pub fn code(line: &[u8]) -> u16 {
    match line {
        [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', ..] => {
            u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0')
        }
        _ => 0,
    }
}

/// The argument of PORT: address and port in six numbers.
pub fn port(argument: &[u8]) -> Option<(Address, u16)> {
    let text = std::str::from_utf8(argument).ok()?.trim();
    let mut numbers = text.split(',').map(|n| n.trim().parse::<u8>());
    let mut next = || numbers.next()?.ok();
    let address = [next()?, next()?, next()?, next()?];
    let port = u16::from_be_bytes([next()?, next()?]);
    Some((Address::v4(address), port))
}

/// The endpoint in the answer to PASV: six numbers, wherever they are.
pub fn passive(text: &[u8]) -> Option<(Address, u16)> {
    let of_list = |b: &u8| b.is_ascii_digit() || *b == b',';
    let list = text.split(|b| !of_list(b)).find(|part| memchr::memchr_iter(b',', part).count() == 5)?;
    port(list)
}

/// The argument of EPRT: `|family|address|port|`, whatever stands for the bars.
pub fn extended_port(argument: &[u8]) -> Option<(Address, u16)> {
    let text = std::str::from_utf8(argument).ok()?.trim();
    let bar = text.chars().next()?;
    let mut parts = text.split(bar).skip(2);
    let address: std::net::IpAddr = parts.next()?.parse().ok()?;
    Some((Address::from(address), parts.next()?.parse().ok()?))
}

/// The port in the answer to EPSV: `(|||port|)`.
pub fn extended_passive(text: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(text).ok()?;
    let (_, inside) = text.split_once('(')?;
    let bar = inside.chars().next()?;
    inside.split(bar).nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_a_printable_name() {
        let command = Command::parse(b"  user  joe ").unwrap();
        assert_eq!((command.name, command.argument), (&b"user"[..], &b"joe "[..]));
        assert_eq!(Command::parse(b"ab"), None);
        assert_eq!(Command::parse(b"\xff\xf4ABOR"), None);
    }

    #[test]
    fn a_reply_goes_on_until_its_code_comes_with_a_blank() {
        let first = Reply::parse(b"220-hello", None).unwrap();
        assert_eq!((first.code, first.text, first.continued), (220, &b"hello"[..], Some(220)));
        assert_eq!(Reply::parse(b"230 no", first.continued).unwrap().code, 0);
        let last = Reply::parse(b"220 there", first.continued).unwrap();
        assert_eq!((last.code, last.text, last.continued), (220, &b"there"[..], None));
        assert_eq!(Reply::parse(b"99 x", None), Err("non-numeric reply code"));
        assert_eq!(Reply::parse(b"099 x", None), Err("invalid reply code"));
        assert_eq!(Reply::parse(b"230_x", None), Err("invalid reply line"));
    }

    #[test]
    fn endpoints_are_read_from_all_four_forms() {
        let v4 = (Address::v4([10, 0, 0, 1]), 258);
        assert_eq!(port(b"10,0,0,1,1,2"), Some(v4));
        assert_eq!(port(b"10,0,0,1,1,256"), None);
        assert_eq!(passive(b"Entering Passive Mode (10,0,0,1,1,2)."), Some(v4));
        assert_eq!(extended_port(b"|1|10.0.0.1|258|"), Some(v4));
        assert_eq!(extended_passive(b"Entering Extended Passive Mode (|||258|)"), Some(258));
        assert_eq!(extended_passive(b"(|||"), None);
    }
}
