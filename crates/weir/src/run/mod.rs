//! What each subcommand does. Clocks, threads and terminals live here and nowhere else.

mod carried;
pub mod ctl;
mod deliver;
pub mod doctor;
pub mod filter;
mod identity;
mod inline;
mod lanes;
mod logs;
mod merge;
mod names;
pub mod plan;
pub mod print;
pub mod read;
pub mod replay;
pub mod sense;
mod signals;
pub mod spread;
pub mod summary;
pub mod tap;
pub mod top;
mod worker;

use std::process::ExitCode;

/// How a run ended; documented in `weir --help`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// All went well.
    Done,
    /// The ledger does not balance, or a worker panicked: a bug of ours.
    Bug,
    /// The command line or the configuration is wrong.
    Usage,
    /// A capture could not be read, or not to its end.
    Capture,
    /// The logs could not be written.
    Logs,
    /// Frames could not be sent, or not all of them.
    Output,
    /// A plan could not be carried out, and is taken back.
    Plan,
    /// No sensor answers.
    Unreachable,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Bug => 1,
            Exit::Usage => 2,
            Exit::Capture => 3,
            Exit::Logs => 4,
            Exit::Output => 5,
            Exit::Plan => 6,
            Exit::Unreachable => 7,
        })
    }
}

/// Tells the user what is wrong, with all causes, on one line.
pub fn complain(error: &anyhow::Error) {
    // Where standard error is closed nobody can be told.
    let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("weir: {error:#}\n"));
}
