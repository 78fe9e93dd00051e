//! The workers of a sensor while it runs: their number changes, one panics, the configuration is read again.
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
use std::process::Command;

use nix::sys::signal::Signal;
use weir_lab::{Namespace, OF_TIME, Process, await_until, ledger, logs, ready, run, wire};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/first.pcapng")
}

/// A directory into which a user without privileges may write.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    run(&format!("chmod 777 {}", home.path().display()));
    home
}

fn ctl(home: &Path, words: &[&str]) -> serde_json::Value {
    let mut command = Command::new(WEIR);
    let command = command.args(["ctl", "--socket", "live/sense.sock"]).args(words).current_dir(home);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// Frames that all workers together have analysed so far.
fn analysed(home: &Path) -> u64 {
    let status = ctl(home, &["status", "--json"]);
    status["hops"].as_array().unwrap().last().unwrap()["entered"]["frames"].as_u64().unwrap_or_default()
}

/// Forty times the sample, each with addresses of its own, all at the same time, in six pieces.
fn crowd(home: &Path) -> Vec<PathBuf> {
    let copies: Vec<_> = (1..=40).map(|n| home.join(format!("{n}.pcap"))).collect();
    for (seed, copy) in (1..).zip(&copies) {
        let (from, to) = (sample(), copy.display());
        run(&format!("tcprewrite --seed={seed} --infile={} --outfile={to}", from.display()));
    }
    let (all, names) = (home.join("all.pcap"), copies.iter().map(|copy| copy.display().to_string()));
    run(&format!("mergecap -F pcap -w {} {}", all.display(), names.collect::<Vec<_>>().join(" ")));
    let each = packets(&all) / 6 + 1;
    let piece = |n: u64| {
        let (piece, from) = (home.join(format!("piece{n}.pcap")), n * each + 1);
        let range = format!("{from}-{}", from + each - 1);
        run(&format!("editcap -F pcap -r {} {} {range}", all.display(), piece.display()));
        piece
    };
    (0..6).map(piece).collect()
}

/// A sensor on one end of a wire, and tcpdump beside it.
fn listen(net: &Namespace, home: &Path, more: &[&str]) -> (Process, Process) {
    let cap = home.join("cap.pcap");
    let words = [
        "tcpdump",
        "--immediate-mode",
        "-s",
        "0",
        "-B",
        "65536",
        "-i",
        "vb",
        "-U",
        "-w",
        cap.to_str().unwrap(),
    ];
    let mut dump = net.start(&words, &home.join("dump.log"));
    dump.await_said("listening on");
    let mut command = net.command(WEIR);
    command.args(["sense", "-i", "vb", "-l", "live", "--ledger", "live.json", "--user", "nobody"]);
    command.args(more).current_dir(home);
    let mut sense = Process::start(command, &home.join("sense.log"));
    sense.await_said("listening on");
    (dump, sense)
}

fn alone() -> Namespace {
    let net = Namespace::new();
    wire((&net, "va", ""), (&net, "vb", ""));
    net.run("ip link set va mtu 65535");
    net.run("ip link set vb mtu 65535");
    net
}

fn packets(capture: &Path) -> u64 {
    chosen(capture, "")
}

/// How many packets of a capture a filter selects.
fn chosen(capture: &Path, filter: &str) -> u64 {
    let output = Command::new("tcpdump").args(["--count", "-r"]).arg(capture).arg(filter).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    said.split(' ').next().and_then(|count| count.trim().parse().ok()).unwrap_or_default()
}

#[test]
fn connections_go_on_while_the_number_of_workers_changes_and_no_packet_is_lost() {
    if !ready(&["tcpdump", "tcprewrite", "mergecap", "editcap"]) {
        return;
    }
    let (home, net) = (home(), alone());
    let home = home.path();
    let pieces = crowd(home);
    let (dump, sense) = listen(&net, home, &["-w", "2"]);
    let mut sent = 0;
    // Connections go on from one piece to the next.
    for (piece, count) in pieces.iter().zip(["4", "1", "3", "2", "5", "2"]) {
        let mut command = net.command(WEIR);
        command.args(["replay", "-i", "va", "--speed", "4000pps", "--ledger", "replay.json"]).arg(piece);
        command.current_dir(home);
        let mut replay = Process::start(command, &home.join("replay.log"));
        await_until("frames of the piece", || analysed(home) > sent);
        ctl(home, &["workers", count]);
        let status = ctl(home, &["status", "--json"]);
        assert_eq!(status["workers"].as_array().unwrap().len().to_string(), count);
        assert!(replay.wait().success(), "{}", replay.said());
        sent += ledger(&home.join("replay.json"))["hops"][1]["passed"]["frames"].as_u64().unwrap();
    }
    assert_eq!(ctl(home, &["status", "--json"])["sources"].as_array().unwrap().len(), 2);
    await_until("all packets in the capture", || packets(&home.join("cap.pcap")) >= sent);
    await_until("all packets in the sensor", || {
        ctl(home, &["status", "--json"])["hops"][0]["entered"]["frames"].as_u64().unwrap() >= sent
    });
    dump.signal(Signal::SIGINT);
    let (status, said) = sense.stop();
    assert!(status.success() && said.contains("ledger: balances"), "{said}");
    let live = ledger(&home.join("live.json"));
    assert_eq!(live["hops"][0]["entered"]["frames"].as_u64().unwrap(), sent);
    assert_eq!(live["hops"][0]["dropped"]["kernel_dropped"]["frames"], 0);
    let cap = home.join("cap.pcap");
    run(&format!("{WEIR} read -q -l {} {}", home.join("read").display(), cap.display()));
    let (live, read) = (logs(&home.join("live"), OF_TIME), logs(&home.join("read"), OF_TIME));
    assert_eq!(live["conn.log"], read["conn.log"]);
    for log in ["dns.log", "http.log", "ssl.log", "ssh.log", "files.log"] {
        assert_eq!(live[log].len(), read[log].len(), "{log}");
    }
}

/// A sensor that takes streams of captures, and what it is told by environment.
fn streams(home: &Path, fault: &str) -> (Process, String) {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut command = Command::new(WEIR);
    command.args(["sense", "-w", "2", "-l", "live", "--ledger", "live.json", "--user", "nobody"]);
    command.args(["--pcap-over-ip", &format!("tcp://{address}?listen")]);
    command.env("WEIR_TEST_PANIC", fault).current_dir(home);
    let mut process = Process::start(command, &home.join("sense.log"));
    process.await_said("listening on");
    (process, address)
}

fn a_panic_costs_no_account(fault: &str) {
    let home = home();
    let (sense, address) = streams(home.path(), fault);
    let send = || TcpStream::connect(&address).unwrap().write_all(&std::fs::read(sample()).unwrap()).unwrap();
    let frames = packets(&sample());
    send();
    await_until("frames", || {
        let status = ctl(home.path(), &["status", "--json"]);
        status["hops"][0]["passed"]["frames"].as_u64() >= Some(frames) && status["panics"].as_u64() > Some(0)
    });
    // It goes on.
    send();
    await_until("more frames", || {
        ctl(home.path(), &["status", "--json"])["hops"][0]["passed"]["frames"].as_u64() >= Some(2 * frames)
    });
    let (status, said) = sense.stop();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("ledger: balances") && said.contains("workers panicked"), "{said}");
    let ledger = ledger(&home.path().join("live.json"));
    let lost = |hop: &serde_json::Value| hop["dropped"]["worker_panic"]["frames"].as_u64().unwrap();
    let lost: u64 = ledger["hops"].as_array().unwrap().iter().map(lost).sum();
    assert!(lost > 0 && lost <= frames, "{lost}");
}

#[test]
fn a_lane_that_panics_begins_anew_and_its_frames_are_counted() {
    if ready(&["tcpdump"]) {
        a_panic_costs_no_account("lane:20");
    }
}

#[test]
fn a_worker_that_panics_goes_on_and_its_frames_are_counted() {
    if ready(&["tcpdump"]) {
        a_panic_costs_no_account("worker:30");
    }
}

#[test]
fn a_configuration_is_read_again_without_a_restart_and_a_wrong_one_changes_nothing() {
    if !ready(&["tcpdump"]) {
        return;
    }
    let (home, net) = (home(), alone());
    let home = home.path();
    let write = |text: &str| std::fs::write(home.join("weir.toml"), format!("[sense]\n{text}")).unwrap();
    write("filter = \"udp\"\n");
    let (dump, mut sense) = listen(&net, home, &["-w", "2", "--config", "weir.toml"]);
    let play = || net.shell(home, &format!("{WEIR} replay -q {} -i va --speed 5000pps", sample().display()));
    let count = |filter: &str| chosen(&sample(), filter);
    let (udp, tcp) = (count("udp"), count("tcp"));
    let taken = || ctl(home, &["status", "--json"])["hops"][0]["entered"]["frames"].as_u64().unwrap();
    play();
    await_until("the udp packets", || taken() >= udp);
    write("filter = \"tcp portal\"\n");
    sense.signal(Signal::SIGHUP);
    sense.await_said("the configuration from before stays");
    write("filter = \"tcp\"\nblocks = 32\n");
    sense.signal(Signal::SIGHUP);
    sense.await_said("the configuration was read again; only a restart changes blocks");
    play();
    await_until("the tcp packets", || taken() >= udp + tcp);
    drop(dump);
    let (status, said) = sense.stop();
    assert!(status.success() && said.contains("ledger: balances"), "{said}");
    assert_eq!(ledger(&home.join("live.json"))["hops"][0]["entered"]["frames"].as_u64(), Some(udp + tcp));
}

#[test]
fn an_interface_that_appears_later_is_listened_on_where_a_pattern_asks_for_it() {
    if !ready(&["tcpdump"]) {
        return;
    }
    let (home, net) = (home(), alone());
    let home = home.path();
    let mut command = net.command(WEIR);
    command.args([
        "sense",
        "-i",
        "vb*",
        "-w",
        "2",
        "-l",
        "live",
        "--ledger",
        "live.json",
        "--user",
        "nobody",
    ]);
    command.current_dir(home);
    let mut sense = Process::start(command, &home.join("sense.log"));
    sense.await_said("listening on vb with 2 workers");
    wire((&net, "vc", ""), (&net, "vb2", ""));
    sense.await_said("listening on vb2, too");
    net.run("ip link set vc mtu 65535");
    net.run("ip link set vb2 mtu 65535");
    net.shell(home, &format!("{WEIR} replay -q {} -i vc --speed 5000pps", sample().display()));
    let frames = packets(&sample());
    await_until("the packets", || {
        ctl(home, &["status", "--json"])["hops"][0]["entered"]["frames"].as_u64() >= Some(frames)
    });
    let (status, said) = sense.stop();
    assert!(status.success() && said.contains("ledger: balances"), "{said}");
    run(&format!("{WEIR} read -q -l {} {}", home.join("read").display(), sample().display()));
    let (live, read) = (logs(&home.join("live"), OF_TIME), logs(&home.join("read"), OF_TIME));
    assert_eq!(live["conn.log"].len(), read["conn.log"].len());
}
