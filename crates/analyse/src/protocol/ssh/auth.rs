//! Whether a login succeeded, judged by the lengths of encrypted packets.
//!
//! Promise: an answer only where lengths leave no doubt; without one, the log says nothing. Compression hides lengths,
//! so whoever asks must not ask then.
//!
//! How (Zeek: src/analyzer/protocol/ssh/SSH.cc): the server's first encrypted packet after the client has begun
//! accepts the service request, and its content has 17 bytes, 24 with padding. The next says that the login
//! without password failed (whatever length it has, failures to come have the same), or that it succeeded: a
//! success has one byte of content, 8 with padding, 16 less than the first. A banner may come in between.
//!
//! ```text
//!            first packet          other length           failure's length
//!   Start ───────────────► Accepted ────────────► Failing ────────────────► Failing, one attempt more
//!                             │                      │
//!                             └── 16 less: success   └── 16 less: success
//! ```

/// By how much a success is shorter than the acceptance of the service request.
const SUCCESS_IS_SHORTER_BY: usize = 16;

/// A first answer that is this much longer than the acceptance is not a failure but a banner.
const BANNER_IS_LONGER_BY: usize = 256;

/// One attempt to log in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attempt {
    /// It failed; more may follow.
    Failed,
    /// It succeeded: nothing more is to be found out.
    Succeeded,
}

/// What the lengths have told so far.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Auth {
    client_began: bool,
    decided: bool,
    skipped_banner: bool,
    /// The length of the acceptance of the service request; 0 before.
    accepted: usize,
    /// The length of a failure; 0 before.
    failure: usize,
}

impl Auth {
    /// The client sent something encrypted.
    pub fn client(&mut self) {
        self.client_began = true;
    }

    /// The server sent `len` encrypted bytes at once.
    pub fn server(&mut self, len: usize) -> Option<Attempt> {
        if !self.client_began || self.decided {
            return None;
        }
        if self.accepted == 0 {
            self.accepted = len;
            return None;
        }
        let is_success = len.saturating_add(SUCCESS_IS_SHORTER_BY) == self.accepted;
        if self.failure == 0 && !is_success {
            if !self.skipped_banner && len.saturating_sub(self.accepted) > BANNER_IS_LONGER_BY {
                self.skipped_banner = true;
            } else {
                self.failure = len;
            }
            return None;
        }
        if len == self.failure {
            return Some(Attempt::Failed);
        }
        self.decided = is_success;
        is_success.then_some(Attempt::Succeeded)
    }

    /// Whether more packets can tell more.
    pub const fn is_decided(&self) -> bool {
        self.decided
    }
}

#[cfg(test)]
mod tests {
    use super::Attempt::{Failed, Succeeded};
    use super::*;

    fn attempts(lengths: &[usize]) -> Vec<Attempt> {
        let mut auth = Auth::default();
        assert_eq!(auth.server(500), None, "before the client begins nothing counts");
        auth.client();
        lengths.iter().filter_map(|len| auth.server(*len)).collect()
    }

    #[test]
    fn a_login_without_password_succeeds_at_once() {
        assert_eq!(attempts(&[52, 36, 52, 36]), [Succeeded]);
    }

    #[test]
    fn attempts_fail_until_one_succeeds() {
        assert_eq!(attempts(&[52, 84, 84, 84, 36]), [Failed, Failed, Succeeded]);
    }

    #[test]
    fn a_banner_before_the_first_failure_does_not_count() {
        assert_eq!(attempts(&[52, 900, 84, 84, 36]), [Failed, Succeeded]);
    }

    #[test]
    fn lengths_that_mean_nothing_tell_nothing() {
        assert_eq!(attempts(&[52, 84, 100, 120]), []);
    }
}
