//! From root, or from a service with capabilities, to a user who may nearly nothing, once all is open.
//!
//! Promises: after [`settle`] the process is the user that was asked for where it was root, has no group of root's, cannot gain
//! privileges by running programs, and keeps only the capabilities that were asked for (CAP_NET_RAW, where interfaces may have to be opened
//! again), in no set that a program would inherit. Call it before threads are started: capabilities belong to threads, and new ones inherit.

use std::path::Path;

use anyhow::{Context, anyhow, ensure};
use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl;
use nix::unistd::{self, AccessFlags, Gid, Uid, User};

/// Whom the process shall be.
#[derive(Clone, Debug)]
pub struct Account {
    uid: Uid,
    gid: Gid,
    name: String,
}

impl Account {
    /// The user of this name; without one, `weir` if there is such a user, else who called sudo, else `nobody`.
    ///
    /// # Errors
    /// There is no such user, or it is root.
    pub fn choose(name: Option<&str>) -> anyhow::Result<Self> {
        let by_sudo = || {
            let uid = std::env::var("SUDO_UID").ok()?.parse().ok()?;
            User::from_uid(Uid::from_raw(uid)).ok().flatten().filter(|user| !user.uid.is_root())
        };
        let named = |name: &str| User::from_name(name).ok().flatten();
        let user = match name {
            Some(name) => {
                named(name).with_context(|| format!("there is no user {name:?}: give another with --user"))?
            }
            None => named("weir").or_else(by_sudo).or_else(|| named("nobody")).context(
                "there is no user to become: make one (useradd --system weir) or name one with --user",
            )?,
        };
        ensure!(!user.uid.is_root(), "--user root would keep all privileges: name another user");
        Ok(Self { uid: user.uid, gid: user.gid, name: user.name })
    }

    /// Gives `path` to the user.
    ///
    /// # Errors
    /// The file system does not let us.
    pub fn own(&self, path: &Path) -> anyhow::Result<()> {
        unistd::chown(path, Some(self.uid), Some(self.gid))
            .with_context(|| format!("cannot give {} to the user {}", path.display(), self.name))
    }
}

/// Whether this process is root.
pub fn is_root() -> bool {
    unistd::geteuid().is_root()
}

/// Becomes `account`, where there is one, and keeps `wanted`, as far as they are there.
///
/// # Errors
/// The kernel refuses. The process must then end: it may have half of its privileges.
pub fn settle(account: Option<&Account>, wanted: &[Capability]) -> anyhow::Result<()> {
    account.map_or_else(|| give_away(wanted), |account| drop_root(account, wanted))
}

/// Becomes `account`, and keeps `wanted`, as far as they are there.
fn drop_root(account: &Account, wanted: &[Capability]) -> anyhow::Result<()> {
    let failed = || format!("cannot become the user {}", account.name);
    prctl::set_keepcaps(true).with_context(failed)?;
    unistd::setgroups(&[account.gid]).with_context(failed)?;
    unistd::setresgid(account.gid, account.gid, account.gid).with_context(failed)?;
    unistd::setresuid(account.uid, account.uid, account.uid).with_context(failed)?;
    give_away(wanted)?;
    prctl::set_keepcaps(false).with_context(failed)
}

/// Keeps `wanted`, as far as they are there, and no other capability.
fn give_away(wanted: &[Capability]) -> anyhow::Result<()> {
    let failed = || "cannot give capabilities away".to_owned();
    let is_there = |capability| caps::has_cap(None, CapSet::Permitted, capability).unwrap_or(false);
    let kept: CapsHashSet = wanted.iter().copied().filter(|capability| is_there(*capability)).collect();
    // An old kernel that knows of no ambient set has none to be cleared.
    if caps::read(None, CapSet::Ambient).is_ok_and(|ambient| !ambient.is_empty()) {
        caps::clear(None, CapSet::Ambient).map_err(|e| anyhow!(e)).with_context(failed)?;
    }
    // What is effective must be permitted at all times: first less, then more.
    let none = CapsHashSet::new();
    let sets = [(CapSet::Effective, &none), (CapSet::Permitted, &kept), (CapSet::Inheritable, &none)];
    for (set, wanted) in sets.into_iter().chain([(CapSet::Effective, &kept)]) {
        caps::set(None, set, wanted).map_err(|e| anyhow!(e)).with_context(failed)?;
    }
    prctl::set_no_new_privs().with_context(failed)
}

/// Whether logs can be written into `directory` as who we are now.
///
/// # Errors
/// They cannot; the message says what to do.
pub fn may_write(directory: &Path) -> anyhow::Result<()> {
    let who = User::from_uid(unistd::geteuid())
        .ok()
        .flatten()
        .map_or_else(|| unistd::geteuid().to_string(), |u| u.name);
    unistd::access(directory, AccessFlags::W_OK | AccessFlags::X_OK).with_context(|| {
        let path = directory.display();
        format!(
            "the user {who} may not write into {path}: chown {who} {path}, or name another user with --user"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_that_is_not_there_or_is_root_is_refused() {
        let refused = |name| format!("{:#}", Account::choose(Some(name)).unwrap_err());
        assert!(refused("no-such-user").contains("no-such-user"));
        assert!(refused("root").contains("--user root"));
        assert_eq!(Account::choose(Some("nobody")).unwrap().name, "nobody");
    }
}
