//! The subcommands that only print: configuration, completions, manual pages.

use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;

use super::{Exit, complain};
use crate::cli::Cli;
use crate::config;

/// `weir config`.
pub fn config() -> Exit {
    out(config::default_text().as_bytes())
}

/// `weir completions SHELL`.
pub fn completions(shell: clap_complete::Shell) -> Exit {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "weir", &mut text);
    out(&text)
}

/// `weir man [DIR]`.
pub fn man(directory: Option<&Path>) -> Exit {
    let Some(directory) = directory else {
        let mut text = Vec::new();
        let made = clap_mangen::Man::new(Cli::command()).render(&mut text);
        return if made.is_ok() { out(&text) } else { Exit::Bug };
    };
    let written = std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
        .with_context(|| format!("cannot write to {}", directory.display()));
    match written {
        Ok(()) => Exit::Done,
        Err(error) => {
            complain(&error);
            Exit::Logs
        }
    }
}

/// Prints; a reader who has seen enough (`| head`) is no trouble.
pub fn out(text: &[u8]) -> Exit {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&anyhow::Error::new(error).context("cannot write to standard output"));
            Exit::Logs
        }
        Ok(()) | Err(_) => Exit::Done,
    }
}
