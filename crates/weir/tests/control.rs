//! `weir ctl` against a sensor that runs.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::panic,
    reason = "tests"
)]

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use weir_lab::{Process, await_until};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/first.pcapng")
}

/// A sensor whose logs and socket are in `home`, and the address at which it takes streams of captures.
fn sensor(home: &Path, more: &[&str]) -> (Process, String) {
    // Logs are written by a user without privileges.
    std::os::unix::fs::chown(home, Some(65534), None).unwrap_or_default();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = Command::new(WEIR);
    command.args(["sense", "-l", ".", "--user", "nobody", "--pcap-over-ip", &format!("tcp://{port}?listen")]);
    command.args(more).current_dir(home);
    let mut process = Process::start(command, &home.join("said"));
    process.await_said("listening on");
    (process, port.to_string())
}

fn ctl(home: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(WEIR);
    command.args(["ctl", "--socket", "sense.sock"]).args(words).current_dir(home).output().unwrap()
}

fn status(home: &Path) -> serde_json::Value {
    let output = ctl(home, &["status", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

#[test]
fn a_sensor_tells_what_it_does_rotates_its_logs_and_ends_when_told() {
    if !is_root() {
        eprintln!("skipped: needs root, who may become another user");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (mut process, address) = sensor(home.path(), &["-w", "2"]);
    TcpStream::connect(&address).unwrap().write_all(&std::fs::read(sample()).unwrap()).unwrap();
    let frames = |status: &serde_json::Value| status["hops"][0]["passed"]["frames"].as_u64().unwrap();
    await_until("frames in the status", || {
        let status = status(home.path());
        frames(&status) > 0 && status["logs"].as_array().unwrap().iter().any(|log| log["log"] == "dns")
    });
    let text = String::from_utf8(ctl(home.path(), &["status"]).stdout).unwrap();
    assert!(text.contains("2 workers") && text.contains("source 0 (tcp://"), "{text}");
    await_until("a dns.log", || home.path().join("dns.log").exists());
    assert!(ctl(home.path(), &["rotate"]).status.success());
    await_until("a rotated dns.log", || {
        let names = std::fs::read_dir(home.path()).unwrap();
        names.map(|e| e.unwrap().file_name().into_string().unwrap()).any(|name| name.starts_with("dns-2"))
    });
    assert!(ctl(home.path(), &["stop"]).status.success());
    assert!(process.wait().success(), "{}", process.said());
    assert!(process.said().contains("ledger: balances"), "{}", process.said());
    let nobody = ctl(home.path(), &["status"]);
    let said = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(nobody.status.code() == Some(7) && said.contains("no sensor answers at sense.sock"), "{said}");
}
