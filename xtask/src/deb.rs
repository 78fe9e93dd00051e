//! The Debian package: what it holds besides the binary is written by the binary itself.

use std::fs;

use anyhow::{Context, Result};

use crate::shell;

/// Shells and where Debian looks for their completions, as files in `target/deb`.
const COMPLETIONS: &[(&str, &str)] = &[("bash", "weir.bash"), ("zsh", "_weir"), ("fish", "weir.fish")];

/// Builds the package into `target/debian`; `built`: with the release binary that is there.
pub fn run(built: bool) -> Result<()> {
    if !built {
        shell::run(&shell::cargo(), &["build", "--release", "-p", "weir"])?;
    }
    let target = shell::target_directory()?;
    let weir = target.join("release/weir");
    let weir = weir.to_str().context("the target directory is no text")?;
    let parts = target.join("deb");
    let man = parts.join("man");
    fs::create_dir_all(&man).with_context(|| format!("making {}", man.display()))?;
    let write = |name: &str, bytes: &[u8]| {
        let path = parts.join(name);
        fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))
    };
    write("weir.toml", configuration(&String::from_utf8(shell::output(weir, &["config"])?)?).as_bytes())?;
    for (shell, name) in COMPLETIONS {
        write(name, &shell::output(weir, &["completions", shell])?)?;
    }
    shell::run(weir, &["man", man.to_str().context("the target directory is no text")?])?;
    shell::run(&shell::cargo(), &["deb", "-p", "weir", "--no-build"])
}

/// The defaults, changed where a service needs something else.
fn configuration(defaults: &str) -> String {
    defaults
        .replace(" Give this file with --config.", " weir sense reads this file.")
        .replace("\nlogs = \"\"\n", "\nlogs = \"/var/log/weir\"\n")
        .replace("\ncontrol = \"\"\n", "\ncontrol = \"/run/weir/sense.sock\"\n")
        .replace("\nrotate = \"\"\n", "\nrotate = \"1h\"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_logs_into_its_own_directory_and_rotates() {
        let text = configuration("[sense]\nlogs = \"\"\ncontrol = \"\"\nrotate = \"\"\nuser = \"\"\n");
        for line in [
            "logs = \"/var/log/weir\"",
            "control = \"/run/weir/sense.sock\"",
            "rotate = \"1h\"",
            "user = \"\"",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }
}
