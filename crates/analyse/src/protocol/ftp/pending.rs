//! The commands that wait for their replies (Zeek: FTP::max_pending_commands).
//!
//! Of each only the length of its argument is kept, as a log would show it: each reply finds one command, which is taken out
//! when the next command or another reply comes.

use std::collections::VecDeque;

use weir_wire::Address;

use super::parse::Command;

/// Most commands that wait.
const MAX_PENDING: usize = 20;

/// Commands whose argument is a path, which a log shows as a URL.
const OF_FILES: [&[u8]; 13] = [
    b"APPE", b"CWD", b"DELE", b"MKD", b"RETR", b"RMD", b"RNFR", b"RNTO", b"STOR", b"STOU", b"REST", b"SIZE",
    b"MDTM",
];

/// The commands of a session; the greeting answers one that was never sent.
#[derive(Debug)]
pub struct Pending {
    arguments: VecDeque<usize>,
    /// The last reply's command is still among them.
    replied: bool,
}

impl Default for Pending {
    fn default() -> Self {
        Self { arguments: VecDeque::from([0]), replied: false }
    }
}

impl Pending {
    /// A command comes: the one that the last reply answered is over. Answers the length of its argument.
    pub fn settle(&mut self) -> Option<usize> {
        if std::mem::take(&mut self.replied) { self.arguments.pop_front() } else { None }
    }

    /// A command came; answers how many wait where that is too many.
    pub fn command(&mut self, argument: usize) -> Option<usize> {
        if self.arguments.len() >= MAX_PENDING {
            return Some(self.arguments.len());
        }
        self.arguments.push_back(argument);
        None
    }

    /// A reply came; answers the length of the argument of the command that is over with it.
    pub fn reply(&mut self) -> Option<usize> {
        self.replied = self.arguments.len() == 1;
        if self.arguments.len() > 1 { self.arguments.pop_front() } else { None }
    }

    /// Nothing more comes: the next of those that still wait.
    pub fn leave(&mut self) -> Option<usize> {
        self.arguments.pop_front()
    }
}

/// How long the argument of a command is in a log, on a server at `address` whose working directory is not known.
pub fn shown_len(command: &Command<'_>, address: Address) -> usize {
    let is_path = OF_FILES.iter().any(|name| name.eq_ignore_ascii_case(command.name));
    let len = command.argument.len();
    if !is_path {
        return len;
    }
    let brackets = if address.as_v4().is_some() { 0 } else { 2 };
    let directory = if command.argument.starts_with(b"/") { "" } else { "/./" };
    "ftp://".len() + address.to_string().len() + brackets + directory.len() + len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_are_answered_do_not_add_up() {
        let mut pending = Pending::default();
        pending.reply();
        for _ in 0..100 {
            pending.settle();
            assert_eq!(pending.command(0), None);
            pending.reply();
        }
        pending.settle();
        let refused = (0..30).filter(|_| pending.command(0).is_some()).count();
        assert_eq!(refused, 10);
    }

    #[test]
    fn a_command_is_over_when_its_reply_is_followed_by_something() {
        let mut pending = Pending::default();
        assert_eq!((pending.reply(), pending.settle()), (None, Some(0)));
        assert_eq!((pending.command(7), pending.command(8)), (None, None));
        assert_eq!((pending.reply(), pending.reply()), (Some(7), None));
        assert_eq!((pending.settle(), pending.leave()), (Some(8), None));
    }

    #[test]
    fn a_path_is_shown_as_a_url() {
        let v4 = Address::v4([10, 0, 0, 2]);
        let len = |line: &[u8]| shown_len(&Command::parse(line).unwrap(), v4);
        assert_eq!(len(b"USER joe"), 3);
        assert_eq!(len(b"RETR a"), "ftp://10.0.0.2/./a".len());
        assert_eq!(len(b"retr /a"), "ftp://10.0.0.2/a".len());
    }
}
