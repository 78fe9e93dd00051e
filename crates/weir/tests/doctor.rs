//! `weir doctor` on a wire of its own: the split that it tests is that of the kernel it runs on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::process::Command;

use serde_json::Value;
use weir_lab::{Namespace, ready, wire};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// The finding of a check in a report.
fn finding<'a>(report: &'a Value, check: &str) -> &'a Value {
    report["findings"].as_array().unwrap().iter().find(|finding| finding["check"] == check).unwrap()
}

#[test]
fn the_split_of_this_kernel_is_symmetric_and_an_interface_that_is_down_is_an_error() {
    if !ready(&[]) {
        return;
    }
    let (one, other) = (Namespace::new(), Namespace::new());
    wire((&one, "d0", ""), (&other, "d1", ""));
    let doctor = || {
        let output = one.command(WEIR).args(["doctor", "-i", "d0", "--json", "-w", "2"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), serde_json::from_slice::<Value>(&output.stdout).expect(&text))
    };
    let (code, report) = doctor();
    let split = finding(&report, "split");
    assert_eq!(split["level"], "ok", "{split}");
    assert!(split["found"].as_str().unwrap().contains("GENEVE"), "{split}");
    let interface = finding(&report, "interface");
    assert!(interface["level"] == "ok" && interface["interface"] == "d0", "{interface}");
    assert_eq!(code, Some(if report["errors"] == 0 { 0 } else { 3 }));
    one.run("ip link set d0 down");
    let (code, report) = doctor();
    assert_eq!(code, Some(3));
    let interface = finding(&report, "interface");
    assert!(interface["level"] == "error" && interface["advice"] == "ip link set d0 up", "{interface}");
    // The test has left nothing behind.
    assert!(!one.run("ip link").contains("near"));
}

#[test]
fn without_an_interface_the_machine_alone_is_looked_at() {
    let output = Command::new(WEIR).arg("doctor").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for check in
        ["privileges", "kernel", "memory", "steal time", "softnet", "receive buffer", "disk", "split"]
    {
        assert!(text.lines().any(|line| line.starts_with(check)), "{check}: {text}");
    }
    assert!(text.ends_with("warnings\n"), "{text}");
}
