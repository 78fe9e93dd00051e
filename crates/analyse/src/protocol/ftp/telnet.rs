//! Telnet's commands taken out of a stream of text (RFC 854), and NUL after CR with them.

/// Where in a command the stream is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    #[default]
    Text,
    /// After IAC.
    Command,
    /// After WILL, WONT, DO or DONT.
    Option,
    /// In a suboption.
    Suboption,
    /// After IAC in a suboption.
    SuboptionCommand,
}

const IAC: u8 = 255;
const SB: u8 = 250;

/// What takes commands out of one side's stream.
#[derive(Debug, Default)]
pub struct Telnet {
    state: State,
    after_cr: bool,
    /// The last call gave other bytes than it was given.
    changed: bool,
    /// A NUL was taken out; those that follow are text.
    nul_seen: bool,
}

impl Telnet {
    /// Puts the text of `bytes` into `out`, or nothing where all of it is text ([`Telnet::changed`]). Stops behind the first
    /// NUL of the stream, and answers what is left then.
    pub fn strip<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
        let plain = self.state == State::Text && memchr::memchr2(IAC, 0, bytes).is_none();
        self.changed = !plain;
        if plain {
            self.after_cr = bytes.last() == Some(&b'\r');
            return None;
        }
        for (at, byte) in bytes.iter().enumerate() {
            match (self.state, *byte) {
                (State::Text, IAC) => self.state = State::Command,
                (State::Text, 0) if self.after_cr => {}
                (State::Text, 0) if !self.nul_seen => {
                    self.nul_seen = true;
                    self.after_cr = false;
                    return bytes.get(at + 1..);
                }
                (State::Text, other) => out.push(other),
                (State::Command, IAC) => {
                    out.push(IAC);
                    self.state = State::Text;
                }
                (State::Command, SB) => self.state = State::Suboption,
                (State::Command, 251..=254) => self.state = State::Option,
                (State::Suboption, IAC) => self.state = State::SuboptionCommand,
                (State::Suboption, _) | (State::SuboptionCommand, IAC) => self.state = State::Suboption,
                (State::Command | State::Option | State::SuboptionCommand, _) => self.state = State::Text,
            }
            self.after_cr = *byte == b'\r';
        }
        None
    }

    /// Whether the last bytes were changed.
    pub const fn changed(&self) -> bool {
        self.changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_taken_out_wherever_they_are_cut() {
        let stream = b"AB\xff\xf4\xff\xfb\x01C\xff\xfa\x01\xff\xff\x02\xff\xf0D\xff\xff\r\0E";
        for piece in 1..stream.len() {
            let (mut telnet, mut text) = (Telnet::default(), Vec::new());
            for bytes in stream.chunks(piece) {
                let mut out = Vec::new();
                assert_eq!(telnet.strip(bytes, &mut out), None);
                text.extend(if telnet.changed() { out } else { bytes.to_vec() });
            }
            assert_eq!(text, b"ABCD\xff\rE", "{piece}");
        }
    }

    #[test]
    fn the_first_nul_is_told_and_left_out() {
        let (mut telnet, mut out) = (Telnet::default(), Vec::new());
        let rest = telnet.strip(b"a\0b\0", &mut out).unwrap();
        assert_eq!((out.as_slice(), rest), (&b"a"[..], &b"b\0"[..]));
        assert_eq!(telnet.strip(rest, &mut out), None);
        assert_eq!(out, b"ab\0");
    }
}
