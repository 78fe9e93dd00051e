//! The programs that the tests use, and the Debian packages that have them: the one list.
//!
//! What is missing is installed by apt. Where that cannot be (no Debian, neither root nor sudo, no network) the
//! user is told, and the tests that need it say `skipped: needs ...`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell;

/// A package is there where the file or program is.
struct Package {
    name: &'static str,
    /// A program somewhere in the path, or a file by its whole path.
    gives: &'static str,
    /// Without it `cargo xtask test` does not run to its end.
    essential: bool,
}

const fn needed(name: &'static str, gives: &'static str) -> Package {
    Package { name, gives, essential: true }
}

const fn of_labs(name: &'static str, gives: &'static str) -> Package {
    Package { name, gives, essential: false }
}

const PACKAGES: &[Package] = &[
    // A C compiler is there, as this program was built; libFuzzer is C++.
    needed("g++", "c++"),
    // The score against Zeek, and what reads our logs.
    needed("python3", "python3"),
    of_labs("python3-venv", "/usr/share/doc/python3-venv"),
    // Networks and what is sent through them.
    of_labs("iproute2", "ip"),
    of_labs("ethtool", "ethtool"),
    of_labs("nftables", "nft"),
    of_labs("openvswitch-switch", "ovs-vsctl"),
    of_labs("tcpdump", "tcpdump"),
    of_labs("libpcap0.8", "/usr/lib/x86_64-linux-gnu/libpcap.so.0.8"),
    of_labs("tcpreplay", "tcpreplay"),
    // Real programs that talk to each other.
    of_labs("nginx-light", "nginx"),
    of_labs("curl", "curl"),
    of_labs("dnsutils", "dig"),
    of_labs("dnsmasq-base", "dnsmasq"),
    of_labs("openssh-server", "sshd"),
    of_labs("openssh-client", "ssh"),
    of_labs("netcat-openbsd", "nc"),
    // Objects for the kernel are built anew and compared with those in the repository.
    of_labs("clang", "clang"),
    of_labs("llvm", "llvm-strip"),
    of_labs("libbpf-dev", "/usr/include/bpf/bpf_helpers.h"),
];

/// Installs what is missing; an error where something essential is missing still.
pub fn install() -> Result<()> {
    let missing: Vec<&str> = PACKAGES.iter().filter(|p| !there(p.gives)).map(|p| p.name).collect();
    if missing.is_empty() {
        eprintln!("nothing is missing");
        return Ok(());
    }
    eprintln!("apt installs {}", missing.join(" "));
    if let Err(error) = apt(&missing) {
        eprintln!("{error:#}; tests that need what is missing are skipped");
    }
    let lacks: Vec<&str> =
        PACKAGES.iter().filter(|p| p.essential && !there(p.gives)).map(|p| p.name).collect();
    anyhow::ensure!(lacks.is_empty(), "install these and try again: {}", lacks.join(" "));
    Ok(())
}

fn apt(names: &[&str]) -> Result<()> {
    const APT: [&str; 3] = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"];
    let install = ["install", "-y", "-qq", "--no-install-recommends"];
    let update = run_as_root(&[&APT[..], &["update", "-qq"]].concat());
    // An old list of packages may still do.
    let installed = run_as_root(&[&APT[..], &install[..], names].concat());
    installed.and(update)
}

fn run_as_root(arguments: &[&str]) -> Result<()> {
    let root = shell::output("id", &["-u"])?.starts_with(b"0\n");
    // Nobody may be there to type a password.
    let before: &[&str] = if root { &[] } else { &["sudo", "-n"] };
    let all: Vec<&str> = before.iter().chain(arguments).copied().collect();
    all.split_first().map_or(Ok(()), |(program, rest)| shell::run(program, rest))
}

/// Whether a file, or a program in the path or where administrators have theirs, is there.
fn there(gives: &str) -> bool {
    if gives.starts_with('/') {
        // Libraries lie below the name of the machine.
        let here = gives.replace("x86_64", std::env::consts::ARCH);
        return Path::new(&here).exists();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|directory| directory.join(gives).is_file());
    found || ["/usr/sbin", "/sbin"].iter().any(|directory| Path::new(directory).join(gives).is_file())
}

/// Python with the readers of Zeek's logs that others wrote, from PyPI, in a directory of its own: where it is. Only the readers, as
/// what they need to do more is large.
pub fn python() -> Result<PathBuf> {
    const READERS: [&str; 2] = ["zat==0.4.9", "parsezeeklogs==3.0.1"];
    let home = shell::target_directory()?.join("python");
    let name = home.to_str().context("the target directory is not UTF-8")?;
    let python = home.join("bin/python3");
    let program = format!("{name}/bin/python3");
    let has = |python: &str| {
        let mut look = Command::new(python);
        look.args(["-c", "import zat, parsezeeklogs"]).output().is_ok_and(|output| output.status.success())
    };
    if !has(&program) {
        shell::run("python3", &["-m", "venv", name])?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"];
        shell::run(&program, &[&pip[..], &READERS[..]].concat())?;
    }
    Ok(python)
}

/// Whether this user may make network namespaces: the tests on them are skipped otherwise.
pub fn may_make_networks() -> bool {
    Command::new("unshare").args(["-n", "true"]).output().is_ok_and(|output| output.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_looked_for_in_the_path_and_a_file_by_its_name() {
        assert!(there("sh") && there("/etc/passwd"));
        assert!(!there("no-such-program") && !there("/etc/no-such-file"));
    }
}
