//! What can go wrong around a sensor: it says what, goes on where it can, and nothing is lost without being counted.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use weir_lab::{Namespace, Process, await_until, ledger, ready, run, wire};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");
/// CAP_NET_RAW as /proc shows it.
const NET_RAW: &str = "0000000000002000";
const NONE: &str = "0000000000000000";

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/first.pcapng")
}

/// A directory with one for logs, into which a user without privileges may write.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().display().to_string();
    run(&format!("mkdir {path}/live"));
    run(&format!("chmod 777 {path} {path}/live"));
    home
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn status(home: &Path) -> serde_json::Value {
    let words = ["ctl", "--socket", "live/sense.sock", "status", "--json"];
    let output = Command::new(WEIR).args(words).current_dir(home).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// Frames that the sensor has received.
fn frames(home: &Path) -> u64 {
    status(home)["hops"][0]["entered"]["frames"].as_u64().unwrap_or_default()
}

/// Lines that were written (`written`) or could not be (`lost`).
fn lines(home: &Path, which: &str) -> u64 {
    let status = status(home);
    status["logs"].as_array().into_iter().flatten().map(|log| log[which].as_u64().unwrap()).sum()
}

/// A sensor that takes streams of captures, and the address for them.
fn streams(home: &Path, more: &[&str]) -> (Process, String) {
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = Command::new(WEIR);
    command.args(["sense", "-w", "2", "-l", "live", "--ledger", "live.json", "--user", "nobody"]);
    command.args(["--pcap-over-ip", &format!("tcp://{address}?listen")]).args(more).current_dir(home);
    let mut process = Process::start(command, &home.join("sense.log"));
    process.await_said("listening on");
    (process, address)
}

/// Sends the sample as a stream, and waits until all of it was received.
fn send(home: &Path, address: &str) {
    let before = frames(home);
    TcpStream::connect(address).unwrap().write_all(&std::fs::read(sample()).unwrap()).unwrap();
    await_until("the frames of the sample", || frames(home) >= before + sample_frames());
}

fn sample_frames() -> u64 {
    let output = Command::new("tcpdump").args(["--count", "-r"]).arg(sample()).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().parse().unwrap()
}

/// A file system of 256 KiB, until the end of the test.
struct Small(PathBuf);

impl Small {
    fn at(path: &Path) -> Self {
        run(&format!("mount -t tmpfs -o size=256k,mode=777 tmpfs {}", path.display()));
        Self(path.to_owned())
    }

    fn fill(&self) {
        let mut file = std::fs::File::create(self.0.join("filler")).unwrap();
        while file.write_all(&[0; 1024]).is_ok() {}
    }

    fn make_room(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_costs_lines_that_are_counted_and_no_frames_until_there_is_room_again() {
    if !ready(&["tcpdump", "mount"]) {
        return;
    }
    let home = home();
    let home = home.path();
    let disk = Small::at(&home.join("live"));
    let metrics = format!("127.0.0.1:{}", free_port());
    std::fs::write(home.join("weir.toml"), format!("[sense]\nmetrics = \"{metrics}\"\n")).unwrap();
    let (mut sense, address) = streams(home, &["--config", "weir.toml"]);
    disk.fill();
    send(home, &address);
    sense.await_said("log lines are lost, and counted; capturing goes on");
    send(home, &address);
    await_until("lost lines", || lines(home, "lost") > 0);
    let counted = |text: String| -> f64 {
        let of_log = text.lines().filter(|line| line.starts_with("weir_log_lost_records_total{"));
        of_log.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    };
    let mut scrape = TcpStream::connect(&metrics).unwrap();
    scrape.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    scrape.read_to_string(&mut text).unwrap();
    assert!(counted(text) > 0.0);
    disk.make_room();
    let mut sent = 2;
    await_until("lines that are written again", || {
        send(home, &address);
        sent += 1;
        sense.said().contains("log lines are written again")
    });
    let (code, said) = sense.stop();
    // What was lost is no success.
    assert_eq!(code.code(), Some(4), "{said}");
    assert_eq!(said.matches("log lines are lost").count(), 1, "{said}");
    assert!(said.contains("ledger: balances") && said.contains("lines of dns"), "{said}");
    let ledger = ledger(&home.join("live.json"));
    assert_eq!(ledger["hops"][0]["passed"]["frames"].as_u64(), Some(sent * sample_frames()));
    assert!(ledger["lost_lines"]["dns"].as_u64() > Some(0), "{ledger}");
    let text = std::fs::read_to_string(home.join("live/dns.log")).unwrap();
    assert!(text.starts_with("#separator") && text.lines().last().unwrap().starts_with("#close"), "{text}");
}

#[test]
fn what_a_killed_sensor_left_is_kept_and_the_next_one_goes_on_in_its_place() {
    if !ready(&["tcpdump"]) {
        return;
    }
    let home = home();
    let home = home.path();
    let live = home.join("live");
    let (mut sense, address) = streams(home, &[]);
    send(home, &address);
    await_until("lines on the disk", || std::fs::metadata(live.join("dns.log")).is_ok_and(|m| m.len() > 0));
    sense.signal(Signal::SIGKILL);
    sense.wait();
    assert!(live.join("sense.sock").exists());
    let left = std::fs::read_to_string(live.join("dns.log")).unwrap();
    // One that was killed while it compressed.
    let old = "conn-2026-01-01-00-00-00.log";
    std::fs::write(live.join(old), "an old line\n").unwrap();
    std::fs::write(live.join(format!("{old}.gz.part")), "half").unwrap();
    run(&format!("chown -R nobody {}", live.display()));

    let (mut sense, address) = streams(home, &["--rotate", "1h"]);
    sense.await_said("an earlier run left");
    send(home, &address);
    let names = || -> Vec<String> {
        let names = std::fs::read_dir(&live).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    await_until("the old logs, compressed", || {
        let compressed = |name: &String| name.starts_with("dns-20") && name.ends_with(".log.gz");
        names().iter().any(compressed) && names().contains(&format!("{old}.gz"))
    });
    assert!(!names().iter().any(|name| name.contains(".part") || name == old), "{:?}", names());
    let name = names().into_iter().find(|name| name.starts_with("dns-20")).unwrap();
    assert_eq!(run(&format!("zcat {}", live.join(name).display())), left);
    let (code, said) = sense.stop();
    assert!(code.success() && said.contains("ledger: balances"), "{said}");
    assert!(!live.join("sense.sock").exists());
}

/// Exit code and what was said of a sensor that cannot start.
fn refused(mut command: Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn what_cannot_be_opened_is_said_with_what_to_do_about_it() {
    if !ready(&["setpriv"]) {
        return;
    }
    let (home, net) = (home(), Namespace::new());
    let home = home.path();
    let sense = |words: &[&str]| {
        let mut command = net.command(WEIR);
        command.args(["sense", "-l", "live", "--user", "nobody"]).args(words).current_dir(home);
        refused(command)
    };
    let (code, said) = sense(&["-i", "eth7"]);
    assert!(code == Some(3) && said.contains("there is no such interface; there are lo"), "{said}");
    let (code, said) = sense(&["-i", "lo", "--filter", "tcp portal 80"]);
    assert!(matches!(code, Some(2 | 3)) && said.contains("tcp portal 80"), "{said}");
    std::fs::write(home.join("weir.toml"), "[sense]\nblock_size = 67108864\nblocks = 100000\n").unwrap();
    let (code, said) = sense(&["-i", "lo", "--config", "weir.toml"]);
    assert!(
        code == Some(3) && said.contains("more than half of this machine's memory; take fewer"),
        "{said}"
    );
    let taken = net.inside(|| UdpSocket::bind("0.0.0.0:4789").unwrap());
    let (code, said) = sense(&["--vxlan", "0.0.0.0:4789"]);
    assert!(code == Some(3) && said.contains("4789") && said.contains("Address already in use"), "{said}");
    drop(taken);
    let mut command = net.command("setpriv");
    command.args(["--reuid", "nobody", "--regid", "nogroup", "--clear-groups", WEIR, "sense", "-i", "lo"]);
    command.args(["-l", "live"]).current_dir(home);
    let (code, said) = refused(command);
    assert!(code == Some(3) && said.contains("needs CAP_NET_RAW: run with sudo"), "{said}");
}

#[test]
fn an_interface_that_goes_under_load_and_comes_back_is_listened_on_again() {
    if !ready(&["tcpdump"]) {
        return;
    }
    let (home, net) = (home(), Namespace::new());
    let home = home.path();
    let connect = || {
        wire((&net, "va", ""), (&net, "vb", ""));
        net.run("ip link set va mtu 65535");
        net.run("ip link set vb mtu 65535");
    };
    connect();
    let mut command = net.command(WEIR);
    command.args(["sense", "-i", "vb", "-w", "2", "-l", "live", "--ledger", "live.json", "--user", "nobody"]);
    command.current_dir(home);
    let mut sense = Process::start(command, &home.join("sense.log"));
    sense.await_said("listening on");
    let play = |speed: &str| {
        let mut command = net.command(WEIR);
        command.args(["replay", "-q", "-i", "va", "--speed", speed]).arg(sample());
        Process::start(command, &home.join("replay.log"))
    };
    let mut load = play("300pps");
    await_until("the first frames", || frames(home) > 0);
    net.run("ip link del va");
    sense.await_said("capturing goes on when it is back");
    load.wait();
    let before = frames(home);
    connect();
    await_until("frames of the interface that came back", || {
        play("5000pps").wait();
        frames(home) > before
    });
    let sources = status(home)["sources"].as_array().unwrap().len();
    assert_eq!(sources, 2, "one ring for each worker");
    let (code, said) = sense.stop();
    assert!(code.success() && said.contains("ledger: balances"), "{said}");
    let ledger = ledger(&home.join("live.json"));
    assert!(ledger["hops"][0]["entered"]["frames"].as_u64() > Some(before), "{ledger}");
}

/// What /proc says of each thread of a process: capabilities, users, whether it may gain privileges.
fn threads(id: u32) -> Vec<BTreeMap<String, String>> {
    let tasks = std::fs::read_dir(format!("/proc/{id}/task")).unwrap();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(path.join("status")).unwrap_or_default();
        let pairs = text.lines().filter_map(|line| line.split_once(':'));
        pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
    };
    tasks
        .map(|task| read(task.unwrap().path()))
        .filter(|thread: &BTreeMap<_, _>| !thread.is_empty())
        .collect()
}

/// Starts a sensor by `words`, and checks that its threads are nobody with only the capabilities `kept`.
fn keeps(net: &Namespace, home: &Path, words: &[&str], kept: &str) {
    let (program, arguments) = words.split_first().unwrap();
    let mut command = net.command(program);
    command.args(arguments).current_dir(home);
    let log = home.join(format!("sense-{}.log", words.len()));
    let mut sense = Process::start(command, &log);
    sense.await_said("listening on");
    await_until("a sensor that answers", || status(home)["pid"].as_u64() == Some(u64::from(sense.id())));
    let threads = threads(sense.id());
    assert!(threads.len() > 2, "{threads:?}");
    for thread in threads {
        let sets = ["CapInh", "CapPrm", "CapEff", "CapAmb"].map(|set| thread[set].as_str());
        assert_eq!(sets, [NONE, kept, kept, NONE], "{words:?}: {thread:?}");
        assert_eq!(thread["NoNewPrivs"], "1");
        assert!(thread["Uid"].split_whitespace().all(|uid| uid == "65534"), "{thread:?}");
    }
    let (code, said) = sense.stop();
    assert!(code.success(), "{said}");
}

#[test]
fn a_sensor_keeps_no_capability_that_it_does_not_need_whoever_starts_it() {
    if !ready(&["setpriv"]) {
        return;
    }
    let (home, net) = (home(), Namespace::new());
    let home = home.path();
    wire((&net, "va", ""), (&net, "vb", ""));
    let by_root = [WEIR, "sense", "-l", "live", "--user", "nobody"];
    keeps(&net, home, &[&by_root[..], &["-i", "vb"]].concat(), NET_RAW);
    keeps(&net, home, &[&by_root[..], &["--vxlan"]].concat(), NONE);
    // As the unit of the service does: no root, but capabilities that programs inherit.
    let given = "+net_raw,+net_admin,+ipc_lock";
    let by_service =
        ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "--inh-caps", given];
    let by_service = [&by_service[..], &["--ambient-caps", given, WEIR, "sense", "-l", "live"]].concat();
    keeps(&net, home, &[&by_service[..], &["-i", "vb"]].concat(), NET_RAW);
    keeps(&net, home, &[&by_service[..], &["--vxlan"]].concat(), NONE);
}

#[test]
fn a_service_manager_learns_of_start_progress_reload_and_end() {
    if !ready(&["sh"]) {
        return;
    }
    let home = home();
    let home = home.path();
    let socket = UnixDatagram::bind(home.join("notify")).unwrap();
    run(&format!("chmod 777 {}", home.join("notify").display()));
    socket.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let hear = || {
        let mut bytes = [0; 4096];
        let len = loop {
            match socket.recv(&mut bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                received => break received.unwrap(),
            }
        };
        String::from_utf8(bytes[..len].to_vec()).unwrap()
    };
    // Watchdogs are heard all the time.
    let hear_else = || loop {
        let said = hear();
        if said.trim() != "WATCHDOG=1" {
            return said;
        }
    };
    let mut command = Command::new("sh");
    let weir =
        format!("{WEIR} sense -l live --user nobody --pcap-over-ip tcp://127.0.0.1:{}?listen", free_port());
    command.args(["-c", &format!("WATCHDOG_PID=$$ exec {weir}")]).current_dir(home);
    command.env("NOTIFY_SOCKET", home.join("notify")).env("WATCHDOG_USEC", "400000");
    let mut sense = Process::start(command, &home.join("sense.log"));
    assert_eq!(hear_else().trim(), "READY=1");
    while hear().trim() != "WATCHDOG=1" {}
    sense.signal(Signal::SIGHUP);
    let reloading = hear_else();
    let (first, rest) = reloading.trim().split_once('\n').unwrap();
    assert_eq!(first, "RELOADING=1");
    assert!(rest.strip_prefix("MONOTONIC_USEC=").unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(hear_else().trim(), "READY=1");
    sense.signal(Signal::SIGTERM);
    assert_eq!(hear_else().trim(), "STOPPING=1");
    let (code, said) = (sense.wait(), sense.said());
    assert!(code.success() && said.contains("the configuration was read again"), "{said}");
}
