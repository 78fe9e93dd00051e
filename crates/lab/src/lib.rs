//! For tests alone: networks made of namespaces, real programs in them, and the logs that they lead to.
//!
//! ```no_run
//! use weir_lab::{Namespace, ready, wire};
//!
//! if !ready(&["curl", "nginx"]) {
//!     return; // It has said `skipped: needs ...`.
//! }
//! let (client, server) = (Namespace::new(), Namespace::new());
//! wire((&client, "c0", "10.9.0.1/24"), (&server, "s0", "10.9.0.2/24"));
//! let nginx = server.start(&["nginx", "-g", "daemon off;"], "nginx.log".as_ref());
//! client.run("curl -s http://10.9.0.2/");
//! nginx.stop();
//! ```
//!
//! Promises: names are unique to the process, so that tests may run at once; what a test made is removed when it goes out of
//! scope, also when the test fails; only processes that were started here are ended, by their id. Failures panic, with what
//! the program said, as they should in a test.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "used by tests alone, which fail by panics"
)]

mod namespace;
mod process;
mod records;

pub use namespace::{Namespace, wire};
pub use process::{Process, await_until, run};
pub use records::{OF_TIME, ledger, logs};

use std::path::Path;
use std::process::Command;

/// Whether this test can run here: as root, who may make namespaces, with `ip` and these programs. Where not, it says on
/// standard error what is missing, in a line that begins with `skipped: needs`.
pub fn ready(programs: &[&str]) -> bool {
    let mut missing: Vec<&str> =
        ["ip"].iter().chain(programs).copied().filter(|p| !is_installed(p)).collect();
    let can =
        Command::new("unshare").args(["-n", "true"]).output().is_ok_and(|output| output.status.success());
    if !can {
        missing.push("root, who may make network namespaces");
    }
    if !missing.is_empty() {
        eprintln!("skipped: needs {}", missing.join(", "));
    }
    missing.is_empty()
}

/// Whether a program is there, in the path of the user or where administrators have theirs.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/sbin"])
        .any(|directory| Path::new(directory).join(program).is_file())
}
