//! `cargo xtask bpf`: the objects of the programs that run in the kernel, from their C sources.
//!
//! Promises: with `check` nothing is written; the objects are built again and compared byte for byte. They depend on the
//! compiler's version, so the version that built them stands beside them (`crates/tap/bpf/COMPILER`), and with another one
//! it is only checked that the sources build.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::shell;

/// The sources, each of which is one object.
const PROGRAMS: &[&str] = &["fanout", "xdp"];
/// Where they are.
const FOLDER: &str = "crates/tap/bpf";
/// Where the compiler's version stands.
const COMPILER: &str = "COMPILER";

/// Builds the objects; answers what there is to say, in a few words.
pub fn run(check: bool) -> Result<String> {
    let folder = shell::root().join(FOLDER);
    let Ok(version) = shell::output("clang", &["--version"]) else {
        ensure!(check, "the programs are built by clang, which is not installed");
        return Ok("skipped: needs clang".to_owned());
    };
    let version = String::from_utf8_lossy(&version).lines().next().unwrap_or_default().to_owned() + "\n";
    let built = tempfile::tempdir().context("making a directory")?;
    for program in PROGRAMS {
        build(program, built.path())?;
    }
    if !check {
        for program in PROGRAMS {
            let name = format!("{program}.o");
            fs::copy(built.path().join(&name), folder.join(&name))
                .with_context(|| format!("writing {name}"))?;
        }
        fs::write(folder.join(COMPILER), &version).context("writing the compiler's version")?;
        return Ok(format!("{} objects", PROGRAMS.len()));
    }
    let by = fs::read_to_string(folder.join(COMPILER)).context("reading the compiler's version")?;
    if by != version {
        return Ok(format!("not compared: built by {}, here is {}", by.trim_end(), version.trim_end()));
    }
    for program in PROGRAMS {
        let name = format!("{program}.o");
        let read = |folder: &Path| fs::read(folder.join(&name)).with_context(|| format!("reading {name}"));
        ensure!(
            read(&folder)? == read(built.path())?,
            "{FOLDER}/{name} is not what its source builds: run cargo xtask bpf"
        );
    }
    Ok(format!("{} objects are what their sources build", PROGRAMS.len()))
}

fn build(program: &str, to: &Path) -> Result<()> {
    // By the path from the root, which stands in the object.
    let (source, object) = (format!("{FOLDER}/{program}.c"), to.join(format!("{program}.o")));
    let flags = ["-target", "bpfel", "-mcpu=v3", "-O2", "-Wall", "-Wextra", "-Werror", "-c"];
    shell::run("clang", &[&flags[..], &["-o", &object.to_string_lossy(), &source]].concat())
}
