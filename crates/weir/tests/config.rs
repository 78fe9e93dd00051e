//! `weir config` and `weir config check`: what is printed can be used, and what is wrong is said where it is.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::path::Path;
use std::process::{Command, Output};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

fn weir(arguments: &[&str], at: &Path) -> Output {
    Command::new(WEIR).args(arguments).current_dir(at).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_configuration_that_is_printed_has_nothing_wrong() {
    let home = tempfile::tempdir().unwrap();
    let printed = weir(&["config"], home.path());
    std::fs::write(home.path().join("weir.toml"), &printed.stdout).unwrap();
    let checked = weir(&["config", "check", "weir.toml"], home.path());
    assert_eq!(
        (checked.status.code(), checked.stdout.as_slice()),
        (Some(0), &b"weir.toml: nothing is wrong\n"[..])
    );
}

#[test]
fn every_subcommand_shows_what_is_wrong_with_line_column_and_the_line_itself() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("w.toml"), "[flow]\nmax_flow = 1\n").unwrap();
    let expected = "weir: w.toml:2:1: in [flow]: there is no key max_flow\n    │\n  2 │ max_flow = 1\n    │ ^^^^^^^^ did you \
                    mean max_flows?\n";
    for arguments in [
        &["config", "check", "w.toml"][..],
        &["read", "--config", "w.toml", "x"],
        &["sense", "--config", "w.toml"],
    ] {
        let output = weir(arguments, home.path());
        assert_eq!((output.status.code(), said(&output).as_str()), (Some(2), expected), "{arguments:?}");
    }
}

#[test]
fn an_interface_that_is_not_there_is_a_warning_and_a_file_that_is_not_there_an_error() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("w.toml"), "[sense]\ninterfaces = [\"lo\", \"no-such-if0\"]\n").unwrap();
    let output = weir(&["config", "check", "w.toml"], home.path());
    let text = said(&output);
    assert!(
        output.status.code() == Some(0) && text.starts_with("weir: warning: w.toml:2:21: in [sense]"),
        "{text}"
    );
    let output = weir(&["config", "check", "gone.toml"], home.path());
    assert!(output.status.code() == Some(2) && said(&output).contains("cannot read gone.toml"));
}
