//! Splits of `weir sense` that need more than one queue or interface. What needs root says `skipped` where there is none.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::panic,
    reason = "tests"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use weir_lab::{Namespace, OF_TIME, Process, await_until, ledger, logs, ready, wire};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/first.pcapng")
}

/// A directory that a user without privileges can write into.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(home.path(), Some(65534), None).unwrap();
    home
}

/// A sensor in `namespace` with its logs in `home`/live.
fn sensor(namespace: &Namespace, home: &Path, more: &[&str]) -> Process {
    let mut command = namespace.command(WEIR);
    command.args(["sense", "-l", "live", "--user", "nobody", "--ledger", "live.json"]);
    let mut process = Process::start(
        {
            command.args(more).current_dir(home);
            command
        },
        &home.join("said"),
    );
    process.await_said("listening on");
    process
}

fn status(home: &Path) -> serde_json::Value {
    let mut command = Command::new(WEIR);
    let output =
        command.args(["ctl", "--socket", "live/sense.sock", "status", "--json"]).current_dir(home).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Frames that each worker received from its source called `name`.
fn received(home: &Path, name: &str) -> Vec<(u64, u64)> {
    let status = status(home);
    let sources = status["sources"].as_array().unwrap().iter().filter(|source| source["name"] == name);
    let mut of: Vec<_> = sources
        .map(|source| (source["worker"].as_u64().unwrap(), source["received"]["frames"].as_u64().unwrap()))
        .collect();
    of.sort_unstable();
    of
}

/// How many frames `weir replay` says it sent, from CPU `cpu` past the queueing discipline: by the queue of that CPU.
fn replay(namespace: &Namespace, interface: &str, capture: &Path, cpu: usize, ledger_at: &Path) -> u64 {
    let cpu = cpu.to_string();
    let mut command = namespace.command("taskset");
    command.args([
        "-c",
        &cpu,
        WEIR,
        "replay",
        "-i",
        interface,
        "--speed",
        "5000pps",
        "--bypass-qdisc",
        "--ledger",
    ]);
    let output = command.arg(ledger_at).arg(capture).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    ledger(ledger_at)["hops"][1]["passed"]["frames"].as_u64().unwrap()
}

/// How many queues receive, as ethtool tells.
fn queues(namespace: &Namespace, interface: &str) -> String {
    let text = namespace.run(&format!("ethtool -l {interface}"));
    text.lines().rfind(|line| line.starts_with("RX:")).unwrap().trim_start_matches("RX:").trim().to_owned()
}

#[test]
fn each_worker_reads_its_queue_of_a_card_whose_queues_are_set_and_set_back() {
    if !ready(&["ethtool", "taskset"]) {
        return;
    }
    if std::thread::available_parallelism().unwrap().get() < 2 {
        eprintln!("skipped: needs two CPUs, for two queues");
        return;
    }
    let (near, far, home) = (Namespace::new(), Namespace::new(), home());
    let (a, b) = (near.name(), far.name());
    let three = "numtxqueues 3 numrxqueues 3";
    weir_lab::run(&format!("ip link add near netns {a} {three} type veth peer name far netns {b} {three}"));
    for (namespace, end) in [(&near, "near"), (&far, "far")] {
        namespace.shell(home.path(), &format!("echo 1 > /proc/sys/net/ipv6/conf/{end}/disable_ipv6"));
        namespace.run(&format!("ip link set {end} mtu 65535 up"));
    }
    // A card leaves the number of the queue and one beside a frame, veth that of the queue by which the frame was sent: CPU 0
    // sends by queue 1, which is the first then, and CPU 1 by queue 2.
    for (queue, cpus) in [(1, 1), (2, 2)] {
        let script = format!("echo {cpus} > /sys/class/net/near/queues/tx-{queue}/xps_cpus");
        assert!(near.shell(home.path(), &script).status.success());
    }
    let before = queues(&far, "far");
    assert_eq!(before, "3");
    let sensor = sensor(&far, home.path(), &["-i", "far", "-w", "2", "--balance", "rss"]);
    assert_eq!(queues(&far, "far"), "2");
    let mut sent = [0; 2];
    for cpu in 0..2 {
        sent[cpu] = replay(&near, "near", &sample(), cpu, &home.path().join("replay.json"));
        let expected = [(0, sent[0]), (1, sent[1])];
        await_until("the frames of a queue", || received(home.path(), "far") == expected);
    }
    let (status, said) = sensor.stop();
    assert!(status.success(), "{said}");
    assert!(
        said.contains("the driver of far has no hash key") && said.contains("--balance fanout"),
        "{said}"
    );
    assert_eq!(queues(&far, "far"), before);
    let ledger = ledger(&home.path().join("live.json"));
    assert_eq!(ledger["balances"], true);
    assert_eq!(ledger["hops"][0]["entered"]["frames"], sent[0] + sent[1]);
}

#[test]
fn each_worker_reads_its_interface_of_several_and_the_records_are_those_of_the_captures() {
    if !ready(&["tcpdump", "taskset"]) {
        return;
    }
    let (near, far) = (Namespace::new(), Namespace::new());
    let home = home();
    for end in [0, 1] {
        wire((&near, &format!("a{end}"), ""), (&far, &format!("b{end}"), ""));
        near.run(&format!("ip link set a{end} mtu 65535"));
        far.run(&format!("ip link set b{end} mtu 65535"));
    }
    let sensor = sensor(&far, home.path(), &["-i", "b?", "--balance", "nics"]);
    assert!(sensor.said().contains("with 2 workers"), "{}", sensor.said());
    // A query and its answer that are sent within a microsecond have no duration, and then a record has no bytes.
    let without = [OF_TIME, &["orig_bytes", "resp_bytes"]].concat();
    let mut expected = std::collections::BTreeMap::<String, Vec<String>>::new();
    let mut sent = Vec::new();
    for end in [0, 1] {
        // Whole flows on each, as a switch would spread them.
        let share = home.path().join(format!("{end}.pcap"));
        let mut tcpdump = Command::new("tcpdump");
        tcpdump.arg("-r").arg(sample()).arg("-w").arg(&share).arg(["tcp", "not tcp"][end]);
        assert!(tcpdump.output().unwrap().status.success());
        sent.push(replay(&near, &format!("a{end}"), &share, 0, &home.path().join("replay.json")));
        let directory = home.path().join(format!("read{end}"));
        let mut read = Command::new(WEIR);
        assert!(read.args(["read", "-q", "-l"]).arg(&directory).arg(&share).status().unwrap().success());
        for (log, rows) in logs(&directory, &without) {
            expected.entry(log).or_default().extend(rows);
        }
    }
    assert!(sent.iter().all(|sent| *sent > 50), "{sent:?}");
    await_until("the frames", || {
        received(home.path(), "b0") == [(0, sent[0])] && received(home.path(), "b1") == [(1, sent[1])]
    });
    let (status, said) = sensor.stop();
    assert!(status.success(), "{said}");
    expected.values_mut().for_each(|rows| rows.sort());
    let live = logs(&home.path().join("live"), &without);
    assert_eq!(live["conn.log"], expected["conn.log"]);
    for log in ["dns.log", "http.log", "ssl.log", "x509.log", "ssh.log", "files.log"] {
        assert_eq!(live[log].len(), expected[log].len(), "{log}");
    }
    let ledger = ledger(&home.path().join("live.json"));
    assert_eq!(ledger["balances"], true);
    assert_eq!(ledger["hops"][0]["entered"]["frames"], sent[0] + sent[1]);
}
