//! `weir tap` in network namespaces: a node with a server, whose interface is tapped, and a sensor that receives.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use weir_lab::{Namespace, OF_TIME, Process, await_until, ledger, logs, ready, wire};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// A client, a node whose interface `n0` towards it is tapped, and a sensor behind the node's interface `m0`.
struct Lab {
    client: Namespace,
    node: Namespace,
    sensor: Namespace,
    home: tempfile::TempDir,
    nginx: Option<Process>,
}

impl Lab {
    /// With 300 KB in `big` on the node's web server.
    fn new() -> Option<Self> {
        if !ready(&["nginx", "curl", "tcpdump", "ethtool"]) {
            return None;
        }
        let (client, node, sensor) = (Namespace::new(), Namespace::new(), Namespace::new());
        wire((&client, "c0", "10.9.0.1/24"), (&node, "n0", "10.9.0.2/24"));
        wire((&node, "m0", "10.8.0.2/24"), (&sensor, "s0", "10.8.0.9/24"));
        // Captures at the sensor shall show packets as a card would send them.
        node.run("ethtool -K m0 tx off tx-udp-segmentation off");
        let home = tempfile::tempdir().unwrap();
        let mut lab = Self { client, node, sensor, home, nginx: None };
        lab.serve();
        Some(lab)
    }

    fn serve(&mut self) {
        let root = self.path("www");
        std::fs::create_dir(&root).unwrap();
        let big: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(root.join("big"), big).unwrap();
        std::fs::write(root.join("small"), "hello").unwrap();
        let home = self.home.path().display();
        let config = format!(
            "daemon off; user root; worker_processes 1; pid {home}/nginx.pid; error_log {home}/nginx.err;\n\
             events {{}} http {{ access_log off; server {{ listen 80; root {home}/www; }} }}"
        );
        std::fs::write(self.path("nginx.conf"), config).unwrap();
        let config = self.path("nginx.conf").display().to_string();
        let nginx = self.node.start(&["nginx", "-c", &config], &self.path("nginx.log"));
        await_until("nginx", || self.fetch("small"));
        self.nginx = Some(nginx);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn fetch(&self, what: &str) -> bool {
        let url = format!("http://10.9.0.2/{what}");
        let mut curl = self.client.command("curl");
        curl.args(["-s", "-o", "/dev/null", "--max-time", "20", &url]).status().unwrap().success()
    }

    /// Starts a tap on the node.
    fn tap(&self, arguments: &[&str]) -> Process {
        let ledger = self.path("tap.json").display().to_string();
        let mut words = vec![WEIR, "tap", "--user", "nobody", "--ledger", &ledger];
        words.extend(arguments);
        let mut tap = self.node.start(&words, &self.path("tap.log"));
        tap.await_said("weir: tapping");
        tap
    }

    /// Listens with tcpdump, into a file.
    fn listen(&self, space: &Namespace, interface: &str, file: &str, filter: &str) -> Process {
        let (path, log) = (self.path(file).display().to_string(), self.path(&format!("{file}.log")));
        let words = [
            &[
                "tcpdump",
                "--immediate-mode",
                "-n",
                "-B",
                "131072",
                "-s",
                "66000",
                "-i",
                interface,
                "-U",
                "-w",
                &path,
                "-Z",
                "root",
            ][..],
            &filter.split_whitespace().collect::<Vec<_>>(),
        ]
        .concat();
        let mut process = space.start(&words, &log);
        process.await_said("listening on");
        process
    }

    /// Starts a sensor.
    fn sense(&self, arguments: &[&str]) -> Process {
        let (dir, ledger) = (self.path("sensed"), self.path("sense.json"));
        let (dir, ledger) = (dir.display().to_string(), ledger.display().to_string());
        let mut words = vec![WEIR, "sense", "-l", &dir, "--ledger", &ledger, "--user", "nobody", "-w", "1"];
        words.extend(arguments);
        // Who the sensor becomes must be able to write there, and to go there.
        let _ = std::fs::create_dir(self.path("sensed"));
        for path in [self.home.path().to_owned(), self.path("sensed")] {
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
            std::fs::set_permissions(path, open).unwrap();
        }
        let mut sense = self.sensor.start(&words, &self.path("sense.log"));
        sense.await_said("listening on");
        sense
    }

    /// What `weir read` says of a capture: its logs.
    fn read(&self, file: &str, more: &[&str]) -> std::collections::BTreeMap<String, Vec<String>> {
        let dir = self.path(&format!("{file}.logs"));
        let mut weir = Command::new(WEIR);
        weir.args(["read", "-q", "-l"]).arg(&dir).args(more).arg(self.path(file));
        let output = weir.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut logs = logs(&dir, OF_TIME);
        // What is around the packets is not what is in them.
        logs.retain(|name, _| name == "http.log" || name == "conn.log" || name == "files.log");
        logs
    }

    fn stop(process: Process) -> String {
        let (status, said) = process.stop();
        assert!(status.success(), "{status}: {said}");
        said
    }

    /// The rows of conn.log about the web server.
    fn web(rows: &[String]) -> Vec<&String> {
        rows.iter().filter(|row| row.contains("\t80\ttcp")).collect()
    }

    fn count(&self, hop: usize, what: &str) -> u64 {
        let ledger = ledger(&self.path("tap.json"));
        assert_eq!(ledger["balances"], true, "{ledger}");
        ledger["hops"][hop][what]["frames"].as_u64().unwrap()
    }

    fn dropped(&self, hop: usize, reason: &str) -> u64 {
        ledger(&self.path("tap.json"))["hops"][hop]["dropped"][reason]["frames"].as_u64().unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Its worker has another process id, which only the master ends.
        if let Some(nginx) = self.nginx.take() {
            nginx.stop();
        }
    }
}

/// Frames in a capture.
fn frames(path: &Path) -> usize {
    use weir_tap::{Captures, FrameBatch, Options, Source};
    let mut captures = Captures::open(vec![Source::File(path.into())], Options::default()).unwrap();
    let (mut batch, mut count) = (FrameBatch::default(), 0);
    while captures.next_batch(&mut batch).unwrap() {
        count += batch.len();
    }
    count
}

/// Waits until a capture has so many frames at least, and no more are added.
fn await_all(path: &Path, at_least: u64) {
    let mut before = 0;
    await_until(&format!("{at_least} packets in {}", path.display()), || {
        let now = frames(path) as u64;
        let is_over = now >= at_least && now == before;
        before = now;
        std::thread::sleep(std::time::Duration::from_millis(200));
        is_over
    });
}

#[test]
fn a_sensor_behind_geneve_gets_every_packet_and_says_so() {
    let Some(lab) = Lab::new() else { return };
    let sense = lab.sense(&["--geneve", "0.0.0.0:6081"]);
    let tap = lab.tap(&["-i", "n0", "--filter", "tcp", "--to", "geneve://10.8.0.9?vni=7", "--tap-id", "9"]);
    assert!(lab.fetch("big") && lab.fetch("small"));
    Lab::stop(tap);
    let sent = ledger(&lab.path("tap.json"))["packets_sent"].as_u64().unwrap();
    Lab::stop(sense);
    let there = ledger(&lab.path("sense.json"));
    let hops = there["hops"].as_array().unwrap();
    let tap = hops.iter().find(|hop| hop["hop"] == "tap").unwrap();
    assert_eq!((&there["balances"], tap["entered"]["frames"].as_u64()), (&true.into(), Some(sent)));
    let logs = logs(&lab.path("sensed"), OF_TIME);
    assert_eq!(logs["http.log"].len(), 2);
    assert!(logs["http.log"].iter().any(|row| row.contains("300000")), "{:?}", logs["http.log"]);
}

#[test]
fn every_tunnel_carries_what_was_tapped_and_super_frames_arrive_as_packets_with_right_checksums() {
    let Some(lab) = Lab::new() else { return };
    let targets = [
        "vxlan://10.8.0.9?vni=7",
        "geneve://10.8.0.9?vni=7",
        "gre://10.8.0.9?key=7",
        "erspan://10.8.0.9?version=1",
        "erspan://10.8.0.9?version=2&id=7",
        "erspan://10.8.0.9?version=3&id=7",
    ];
    for (index, target) in targets.iter().enumerate() {
        let file = format!("{index}.pcap");
        let sensor = lab.listen(&lab.sensor, "s0", &file, "");
        let seen = format!("node{index}.pcap");
        let node = lab.listen(&lab.node, "n0", &seen, "tcp");
        let tap = lab.tap(&["-i", "n0", "--filter", "tcp", "--to", target, "--too-long", "fragment"]);
        assert!(lab.fetch("big") && lab.fetch("small"));
        let said = Lab::stop(tap);
        let sent = ledger(&lab.path("tap.json"))["packets_sent"].as_u64().unwrap();
        assert!(said.contains("super-frames cut") && sent > 200, "{target}: {said}");
        // Two IP fragments where a full packet with the tunnel around it is too long; all are counted when they are there.
        await_all(&lab.path(&file), sent);
        Lab::stop(sensor);
        Lab::stop(node);
        let there = lab.read(&seen, &[]);
        let here = lab.read(&file, &["--checksums", "verify"]);
        assert_eq!(there["http.log"].len(), 2);
        assert_eq!(there["http.log"], here["http.log"], "{target}");
        assert_eq!(there["files.log"], here["files.log"], "{target}");
        let (there, here) = (Lab::web(&there["conn.log"]), Lab::web(&here["conn.log"]));
        assert_eq!((there.len(), here.len()), (2, 2), "{target}");
    }
}

#[test]
fn a_tap_never_taps_what_it_sends_itself() {
    let Some(lab) = Lab::new() else { return };
    // The interface to the sensor is tapped as well, and for the first target nobody listens.
    lab.sensor.run("ip addr add 2001:db8::9/64 dev s0 nodad");
    lab.node.run("ip addr add 2001:db8::2/64 dev m0 nodad");
    for target in ["vxlan://10.8.0.9", "vxlan://[2001:db8::9]", "gre://10.8.0.9", "pcap://10.8.0.9:5555"] {
        let file = "self.pcap";
        let listener = target.starts_with("pcap").then(|| {
            let out = lab.path("stream.pcap").display().to_string();
            let script = format!("exec nc -l 5555 > {out}");
            lab.sensor.start(&["sh", "-c", &script], &lab.path("nc.log"))
        });
        if listener.is_some() {
            await_until("nc", || lab.sensor.run("ss -ltn").contains(":5555"));
        }
        let capture = lab.listen(&lab.node, "m0", file, "");
        let tap = lab.tap(&["-i", "m0", "-i", "n*", "--to", target]);
        assert!(lab.fetch("small") && lab.fetch("big"));
        let said = Lab::stop(tap);
        drop(listener);
        Lab::stop(capture);
        let (entered, passed) = (lab.count(1, "entered"), lab.count(2, "passed"));
        // A download of 300 KB and little more: what multiplied would be without end.
        assert!((20..2_000).contains(&entered), "{target}: {entered}: {said}");
        assert!(passed <= entered);
        assert!(frames(&lab.path(file)) < 3_000, "{target}");
    }
}

#[test]
fn a_stream_goes_to_unchanged_nc_and_tcpreplay_and_to_tcpdump() {
    let Some(lab) = Lab::new() else { return };
    if !ready(&["tcpreplay", "nc"]) {
        return;
    }
    let (there, other) = (Namespace::new(), &lab.sensor);
    wire((other, "f0", ""), (&there, "f1", ""));
    let played = lab.listen(&there, "f1", "played.pcap", "tcp");
    let script = "nc -l 5555 | tcpreplay --topspeed -i f0 -";
    let chain = other.start(&["sh", "-c", script], &lab.path("chain.log"));
    let script = format!("nc -l 5556 | tcpdump -r - -w {} -Z root", lab.path("dumped.pcap").display());
    let mut dump = other.start(&["sh", "-c", &script], &lab.path("dump.log"));
    await_until("nc", || {
        let listening = other.run("ss -ltn");
        listening.contains(":5555") && listening.contains(":5556")
    });
    let node = lab.listen(&lab.node, "n0", "node.pcap", "tcp");
    // Two targets of one kind share the flows, so there are two taps.
    let tap = lab.tap(&["-i", "n0", "--filter", "tcp", "--to", "pcap://10.8.0.9:5555"]);
    let mut second =
        lab.node.start(&[WEIR, "tap", "-i", "n0", "--to", "pcap://10.8.0.9:5556"], &lab.path("second.log"));
    second.await_said("weir: tapping");
    assert!(lab.fetch("big") && lab.fetch("small"));
    Lab::stop(tap);
    Lab::stop(second);
    let sent = ledger(&lab.path("tap.json"))["packets_sent"].as_u64().unwrap();
    await_until("the replay", || frames(&lab.path("played.pcap")) as u64 >= sent);
    dump.wait();
    drop(chain);
    Lab::stop(played);
    Lab::stop(node);
    let wanted = lab.read("node.pcap", &[]);
    for file in ["played.pcap", "dumped.pcap"] {
        let got = lab.read(file, &["--checksums", "verify"]);
        assert_eq!((&wanted["http.log"], wanted["http.log"].len()), (&got["http.log"], 2), "{file}");
    }
}

#[test]
fn what_does_not_fit_is_cut_dropped_or_sent_in_fragments_as_was_said() {
    let Some(lab) = Lab::new() else { return };
    lab.node.run("ip link set m0 mtu 1000");
    for (policy, code) in [("drop", Some(5)), ("truncate", Some(0)), ("fragment", Some(0))] {
        let file = format!("{policy}.pcap");
        let capture = lab.listen(&lab.sensor, "s0", &file, "");
        let tap =
            lab.tap(&["-i", "n0", "--filter", "tcp", "--to", "geneve://10.8.0.9", "--too-long", policy]);
        assert!(lab.fetch("big"));
        let (status, said) = tap.stop();
        assert_eq!(status.code(), code, "{policy}: {said}");
        let sent = ledger(&lab.path("tap.json"))["packets_sent"].as_u64().unwrap();
        let arrived = |at_least: u64| await_all(&lab.path(&file), at_least);
        match policy {
            "drop" => {
                assert!(lab.dropped(2, "frame_too_long") > 0 && said.contains("frame_too_long"), "{said}");
                arrived(sent);
            }
            "truncate" => {
                assert!(said.contains("sent without their end"), "{said}");
                assert_eq!(lab.count(2, "passed"), lab.count(2, "entered"));
                arrived(sent);
            }
            _ => {
                // Full packets are two fragments each.
                arrived(sent + 150);
                let logs = lab.read(&file, &["--checksums", "verify"]);
                assert!(logs["http.log"].iter().any(|row| row.contains("300000")), "{logs:?}");
            }
        }
        Lab::stop(capture);
    }
}

#[test]
fn a_receiver_that_goes_and_comes_back_gets_a_new_stream_and_the_ledger_tells_what_it_missed() {
    let Some(lab) = Lab::new() else { return };
    let listen = |name: &str| {
        let out = lab.path(name).display().to_string();
        let script = format!("exec nc -l 5555 > {out}");
        let process = lab.sensor.start(&["sh", "-c", &script], &lab.path("nc.log"));
        await_until("nc", || lab.sensor.run("ss -ltn").contains(":5555"));
        process
    };
    let first = listen("first.pcap");
    let tap = lab.tap(&["-i", "n0", "--filter", "tcp", "--to", "pcap://10.8.0.9:5555"]);
    assert!(lab.fetch("small"));
    let ask = || {
        std::fs::write(lab.path("tap.json"), "").unwrap();
        tap.signal(Signal::SIGUSR1);
        await_until("the ledger", || std::fs::read(lab.path("tap.json")).unwrap().ends_with(b"}\n"));
    };
    await_until("frames", || {
        ask();
        lab.count(2, "passed") >= 10
    });
    drop(first);
    await_until("frames that are missed", || {
        assert!(lab.fetch("small"));
        ask();
        lab.dropped(2, "output_down") > 0
    });
    let second = listen("second.pcap");
    await_until("frames again", || {
        assert!(lab.fetch("small"));
        frames_or_none(&lab.path("second.pcap")) > 10
    });
    let (status, said) = tap.stop();
    assert_eq!(status.code(), Some(5), "{said}");
    assert!(said.contains("pcap://10.8.0.9:5555: cannot"), "{said}");
    drop(second);
    assert!(lab.dropped(2, "output_down") > 0 && lab.count(2, "held") == 0);
    assert!(frames(&lab.path("first.pcap")) >= 10);
}

/// Frames in a capture that may not be one yet.
fn frames_or_none(path: &Path) -> usize {
    if std::fs::metadata(path).map_or(0, |file| file.len()) < 100 { 0 } else { frames_lossy(path) }
}

/// Frames in a capture that is still written to.
fn frames_lossy(path: &Path) -> usize {
    use weir_tap::{Captures, FrameBatch, Options, Source};
    let Ok(mut captures) = Captures::open(vec![Source::File(path.into())], Options::default()) else {
        return 0;
    };
    let (mut batch, mut count) = (FrameBatch::default(), 0);
    while captures.next_batch(&mut batch).unwrap_or(false) {
        count += batch.len();
    }
    count
}

#[test]
fn beyond_a_rate_whole_flows_are_let_go() {
    let Some(lab) = Lab::new() else { return };
    let file = "shed.pcap";
    let path = format!("file://{}", lab.path(file).display());
    std::fs::write(lab.path(file), "").unwrap();
    let tap = lab.tap(&["-i", "n0", "--filter", "tcp", "--to", &path, "--max-rate", "1mbit"]);
    // 60 downloads of 300 KB are far more than it may take; each is a flow of its own.
    for _ in 0..60 {
        assert!(lab.fetch("big"));
    }
    let said = Lab::stop(tap);
    let (shed, passed) = (lab.dropped(1, "shed"), lab.count(1, "passed"));
    assert!(shed > passed && said.contains("shed"), "{shed} {passed}: {said}");
}

#[test]
fn interfaces_of_a_namespace_are_tapped_inside_of_it_and_containers_as_they_come_and_go() {
    let Some(lab) = Lab::new() else { return };
    let file = lab.path("inside.pcap");
    let to = format!("file://{}", file.display());
    let tap = lab.tap_outside(&["--netns", lab.node.name(), "--filter", "tcp", "--to", &to]);
    assert!(lab.fetch("big"));
    Lab::stop(tap);
    assert!(lab.read("inside.pcap", &["--checksums", "verify"])["http.log"].len() == 1);
    // In a namespace of processes of its own a tap sees but the processes there, so that other tests are left alone.
    let script = format!(
        "mount -t proc proc /proc
         {WEIR} tap --containers --user root-is-no-user --to {to} 2> refused.log
         {WEIR} tap --containers --filter 'icmp' --to {to} --ledger tap.json 2> tap.log & tap=$!
         while ! grep -q tapping tap.log; do sleep 0.05; done
         unshare -n sh -c 'ip link set lo up; sleep 2; ping -c 3 -i 0.2 127.0.0.1'
         sleep 1.5
         kill -TERM $tap; wait $tap; echo $? > code"
    );
    let home = lab.home.path();
    let output = Command::new("unshare")
        .args(["--pid", "--fork", "--mount", "-n", "sh", "-c", &script])
        .current_dir(home)
        .output()
        .unwrap();
    let said = std::fs::read_to_string(home.join("tap.log")).unwrap();
    assert_eq!(std::fs::read_to_string(home.join("code")).unwrap().trim(), "0", "{output:?} {said}");
    assert!(std::fs::read_to_string(home.join("refused.log")).unwrap().contains("root-is-no-user"));
    assert_eq!(lab.count(2, "passed"), 6, "{said}");
}

impl Lab {
    /// Starts a tap in the namespace where the test runs.
    fn tap_outside(&self, arguments: &[&str]) -> Process {
        let mut command = Command::new(WEIR);
        command.args(["tap", "--user", "nobody", "--ledger"]).arg(self.path("tap.json")).args(arguments);
        let mut tap = Process::start(command, &self.path("outside.log"));
        tap.await_said("weir: tapping");
        // Interfaces of namespaces are there from the beginning.
        assert!(tap.said().contains("n0"), "{}", tap.said());
        tap
    }
}
