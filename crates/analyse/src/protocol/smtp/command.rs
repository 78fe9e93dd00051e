//! Commands, and whether they come in an order that makes sense.

/// A command, as far as it matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// None: what the greeting answers.
    Greeting,
    /// EHLO, HELO.
    Hello,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// BDAT.
    Bdat,
    /// The line that ends a mail.
    EndOfData,
    /// AUTH.
    Auth,
    /// The answer to a challenge of AUTH.
    Answer,
    /// STARTTLS, X-ANONYMOUSTLS.
    StartTls,
    /// Any other that is known.
    Other,
}

/// The command in a line and its argument; `None` where it is not known.
pub fn parse(line: &[u8]) -> Option<(Command, &[u8])> {
    const KNOWN: [(&[u8], Command); 21] = [
        (b"EHLO", Command::Hello),
        (b"HELO", Command::Hello),
        (b"MAIL", Command::Mail),
        (b"RCPT", Command::Rcpt),
        (b"DATA", Command::Data),
        (b"QUIT", Command::Other),
        (b"RSET", Command::Other),
        (b"VRFY", Command::Other),
        (b"EXPN", Command::Other),
        (b"HELP", Command::Other),
        (b"NOOP", Command::Other),
        (b"STARTTLS", Command::StartTls),
        (b"SEND", Command::Other),
        (b"SOML", Command::Other),
        (b"SAML", Command::Other),
        (b"AUTH", Command::Auth),
        (b"BDAT", Command::Bdat),
        (b"ETRN", Command::Other),
        (b"ERROR", Command::Other),
        (b"TURN", Command::Other),
        (b"X-ANONYMOUSTLS", Command::StartTls),
    ];
    let line = line.trim_ascii_start();
    let len = line.iter().take_while(|b| !b.is_ascii_whitespace()).count();
    let (word, argument) = line.split_at_checked(len)?;
    let (_, command) = KNOWN.iter().find(|(name, _)| name.eq_ignore_ascii_case(word))?;
    Some((*command, argument.trim_ascii_start()))
}

/// The argument of BDAT (RFC 3030).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bdat {
    /// How many bytes follow.
    pub size: u64,
    /// Whether the mail ends with them.
    pub last: bool,
}

impl Bdat {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in Zeek's words.
    pub fn parse(argument: &[u8]) -> Result<Self, &'static str> {
        const MAX_DIGITS: usize = 20;
        const LAST: &[u8] = b" LAST";
        let digits = argument.iter().take_while(|b| b.is_ascii_digit()).count();
        if argument.is_empty() || digits > MAX_DIGITS || argument.len() > MAX_DIGITS + LAST.len() {
            return Err("BDAT argument bad length");
        }
        let (number, rest) = argument.split_at_checked(digits).unwrap_or((argument, &[]));
        let number = std::str::from_utf8(number).ok().and_then(|n| n.parse().ok());
        let Some(size) = number else { return Err("BDAT not followed by a valid chunk-size") };
        let rest = rest.trim_ascii_end();
        match rest {
            [] => Ok(Self { size, last: false }),
            rest if rest.eq_ignore_ascii_case(LAST) => Ok(Self { size, last: true }),
            _ => Err("BDAT chunk-size followed by junk"),
        }
    }
}

/// Whether sender and receivers of a mail were told before it (Zeek: SMTP::mail_transaction_validation).
#[derive(Clone, Copy, Debug, Default)]
pub struct Transaction {
    sender: bool,
    receiver: bool,
}

impl Transaction {
    /// A command came; answers what was missing before it.
    pub fn command(&mut self, command: Command, argument: &[u8]) -> Option<&'static str> {
        let begins = |word: &[u8]| argument.get(..word.len()).is_some_and(|a| a.eq_ignore_ascii_case(word));
        match command {
            Command::Mail if begins(b"FROM:") => {
                *self = Self { sender: true, receiver: false };
                None
            }
            Command::Rcpt if begins(b"TO:") => {
                self.receiver = true;
                (!self.sender).then_some("rcpt to missing mail from")
            }
            Command::Data | Command::Bdat => {
                let missing = !self.receiver;
                if command == Command::Bdat && argument.ends_with(b" LAST") {
                    self.end();
                }
                missing.then_some("data missing rcpt to")
            }
            Command::Mail
            | Command::Rcpt
            | Command::Greeting
            | Command::EndOfData
            | Command::Auth
            | Command::Answer
            | Command::StartTls
            | Command::Hello
            | Command::Other => None,
        }
    }

    /// The mail is over.
    pub fn end(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_known_in_any_case() {
        assert_eq!(parse(b" mail FROM:<a@b>"), Some((Command::Mail, &b"FROM:<a@b>"[..])));
        assert_eq!(parse(b"FROB"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn a_chunk_has_a_size_and_may_be_the_last() {
        assert_eq!(Bdat::parse(b"86 LAST"), Ok(Bdat { size: 86, last: true }));
        assert_eq!(Bdat::parse(b"0"), Ok(Bdat { size: 0, last: false }));
        assert_eq!(Bdat::parse(b""), Err("BDAT argument bad length"));
        assert_eq!(Bdat::parse(b"-1"), Err("BDAT not followed by a valid chunk-size"));
        assert_eq!(Bdat::parse(b"99999999999999999999"), Err("BDAT not followed by a valid chunk-size"));
        assert_eq!(Bdat::parse(b"12x"), Err("BDAT chunk-size followed by junk"));
    }

    #[test]
    fn a_mail_needs_a_sender_and_a_receiver() {
        let mut t = Transaction::default();
        assert_eq!(t.command(Command::Rcpt, b"TO:<a>"), Some("rcpt to missing mail from"));
        assert_eq!(t.command(Command::Mail, b"from:<a>"), None);
        assert_eq!(t.command(Command::Data, b""), Some("data missing rcpt to"));
    }
}
