//! How many commands wait for their replies (Zeek: FTP::max_pending_commands).
//!
//! Only their number is kept: each reply finds one command, which is taken out when the next command or another reply comes.

/// Most commands that wait.
const MAX_PENDING: u32 = 20;

/// The commands of a session; the greeting answers one that was never sent.
#[derive(Debug)]
pub struct Pending {
    count: u32,
    /// The last reply's command is still among them.
    replied: bool,
}

impl Default for Pending {
    fn default() -> Self {
        Self { count: 1, replied: false }
    }
}

impl Pending {
    /// A command came; answers how many wait where that is too many.
    pub const fn command(&mut self) -> Option<u32> {
        if self.replied {
            self.replied = false;
            self.count = self.count.saturating_sub(1);
        }
        if self.count >= MAX_PENDING {
            return Some(self.count);
        }
        self.count += 1;
        None
    }

    /// A reply came.
    pub const fn reply(&mut self) {
        self.replied = self.count > 0;
        if self.count > 1 {
            self.count -= 1;
            self.replied = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_are_answered_do_not_add_up() {
        let mut pending = Pending::default();
        pending.reply();
        for _ in 0..100 {
            assert_eq!(pending.command(), None);
            pending.reply();
        }
        let refused = (0..30).filter(|_| pending.command().is_some()).count();
        assert_eq!(refused, 10);
    }
}
