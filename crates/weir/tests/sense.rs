//! `weir sense` on a veth pair in a network namespace of its own, and on streams over loopback. What needs root says
//! `skipped` where there is none.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, reason = "tests")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/first.pcapng")
}

/// The lines of each log, sorted, without the columns named.
fn logs(directory: &Path, without: &[&str]) -> BTreeMap<String, Vec<String>> {
    let mut logs = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let fields = text.lines().find_map(|line| line.strip_prefix("#fields\t")).unwrap_or_default();
        let kept: Vec<bool> = fields.split('\t').map(|field| !without.contains(&field)).collect();
        let rows = text.lines().filter(|line| !line.starts_with('#'));
        let mut rows: Vec<String> = rows
            .map(|row| {
                let cells = row.split('\t').zip(&kept).filter(|(_, kept)| **kept).map(|(cell, _)| cell);
                cells.collect::<Vec<_>>().join("\t")
            })
            .collect();
        rows.sort();
        logs.insert(name.to_owned(), rows);
    }
    logs
}

fn ledger(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn read_into(directory: &Path, capture: &Path) {
    let status = Command::new(WEIR).args(["read", "-q", "-l"]).arg(directory).arg(capture).status().unwrap();
    assert!(status.success());
}

/// Runs a script where veth `va` is connected with veth `vb`; None where that cannot be.
fn lab(home: &Path, script: &str) -> Option<Output> {
    let setup = "
        exec 2>&1
        ip link add va type veth peer name vb
        ip link set va addrgenmode none mtu 9000 up
        ip link set vb addrgenmode none mtu 9000 up
        trap 'kill $dump $sense 2> /dev/null' EXIT
        # Waits until file $1 has a line with $2.
        await() { n=0; while ! grep -q \"$2\" $1; do sleep 0.05; n=$((n+1)); [ $n -lt 400 ] || exit 9; done; }
    ";
    let can = Command::new("unshare").args(["-n", "sh", "-c", "ip link && tcpdump --version"]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: needs root, ip and tcpdump");
        return None;
    }
    let mut command = Command::new("unshare");
    let command = command.args(["-n", "sh", "-c", &format!("{setup}{script}")]).env("weir", WEIR);
    Some(command.env("sample", sample()).current_dir(home).output().unwrap())
}

/// What cannot be equal where two sockets took the time of each packet, and the identifiers that come from it.
const OF_TIME: &[&str] = &[
    "ts",
    "uid",
    "fuid",
    "duration",
    "rtt",
    "tunnel_parents",
    "cert_chain_fuids",
    "resp_fuids",
    "orig_fuids",
];

fn records_on_an_interface_equal_those_of_a_capture(options: &str) {
    records_equal_those_of_a_capture("vb", options);
}

/// The capture is made at `end` of the wire from `va` to `vb`.
fn records_equal_those_of_a_capture(end: &str, options: &str) {
    let home = tempfile::tempdir().unwrap();
    // Logs are written by a user without privileges.
    Command::new("chmod").arg("755").arg(home.path()).status().unwrap();
    let script = format!(
        "tcpdump --immediate-mode -s 9216 -B 65536 -i {end} -U -w cap.pcap 2> dump.log & dump=$!
         await dump.log 'listening on'
         $weir sense -i vb -l live --ledger live.json {options} 2> sense.log & sense=$!
         await sense.log 'listening on'
         $weir replay $sample -i va --speed 5000pps --ledger replay.json 2> replay.log
         sent=$(sed -n 's/^sent \\([0-9 ]*\\) frames.*/\\1/p' replay.log | tr -d ' ')
         n=0
         while [ $(tcpdump -r cap.pcap 2> /dev/null | wc -l) -lt $sent ]; do
             sleep 0.1; n=$((n+1)); [ $n -lt 200 ] || exit 7
         done
         sleep 0.3
         kill -INT $dump; wait $dump
         kill -TERM $sense; wait $sense || {{ cat sense.log; exit 8; }}"
    );
    let Some(output) = lab(home.path(), &script) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    read_into(&home.path().join("read"), &home.path().join("cap.pcap"));
    let (live, read) = (logs(&home.path().join("live"), OF_TIME), logs(&home.path().join("read"), OF_TIME));
    assert_eq!(live["conn.log"], read["conn.log"], "{options}");
    for log in ["dns.log", "http.log", "ssl.log", "x509.log", "ssh.log", "files.log"] {
        assert_eq!(live[log].len(), read[log].len(), "{log} {options}");
    }
    let (live, sent) = (ledger(&home.path().join("live.json")), ledger(&home.path().join("replay.json")));
    assert_eq!(live["balances"], true);
    assert_eq!(live["hops"][0]["entered"]["frames"], sent["hops"][1]["passed"]["frames"]);
}

#[test]
fn one_worker_tells_of_an_interface_what_read_tells_of_a_capture() {
    records_on_an_interface_equal_those_of_a_capture("-w 1");
}

#[test]
fn workers_that_get_packets_of_each_others_flows_tell_the_same() {
    records_on_an_interface_equal_those_of_a_capture("-w 3 --balance lanes");
}

#[test]
fn the_split_by_our_own_program_gives_the_same_records() {
    records_on_an_interface_equal_those_of_a_capture("-w 3 --balance fanout");
}

#[test]
fn a_filter_for_each_worker_gives_the_same_records() {
    records_on_an_interface_equal_those_of_a_capture("-w 3 --balance bpf");
}

#[test]
fn the_split_by_queues_gives_the_same_records() {
    records_on_an_interface_equal_those_of_a_capture("-w 2 --balance rss");
}

#[test]
fn the_kernels_own_split_gives_the_same_records() {
    records_on_an_interface_equal_those_of_a_capture("-w 3 --balance fanout=hash");
}

#[test]
fn the_split_by_our_program_in_ebpf_gives_the_same_records() {
    records_on_an_interface_equal_those_of_a_capture("-w 3 --balance fanout=ebpf");
}

#[test]
fn frames_taken_by_xdp_give_the_same_records() {
    // They do not reach the host's end, so the capture is made where they are sent.
    records_equal_those_of_a_capture("va", "-w 2 --capture xdp");
}

/// A sensor that ends with the test.
struct Sensor {
    child: Child,
    stderr: Option<BufReader<std::process::ChildStderr>>,
}

impl Sensor {
    fn start(home: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(WEIR);
        let command = command.arg("sense").args(arguments).current_dir(home).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        assert!(line.contains("listening on"), "{line}");
        Self { child, stderr: Some(stderr) }
    }

    /// Tells it to end; its exit code and last words.
    fn stop(mut self) -> (Option<i32>, String) {
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        let mut said = String::new();
        for line in self.stderr.take().unwrap().lines() {
            said += &(line.unwrap() + "\n");
        }
        (self.child.wait().unwrap().code(), said)
    }
}

impl Drop for Sensor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ends a stream, and waits until the sensor has read it to its end: it closes its side then.
fn all_is_read(mut socket: TcpStream) {
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    assert!(matches!(socket.read(&mut [0]), Ok(0)), "the sensor does not read the stream to its end");
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_stream_of_a_capture_gives_the_records_of_the_capture_uids_included() {
    let home = tempfile::tempdir().unwrap();
    Command::new("chmod").arg("755").arg(home.path()).status().unwrap();
    let url = format!("tcp://127.0.0.1:{}?listen", free_port());
    let sensor = Sensor::start(home.path(), &["--pcap-over-ip", &url, "-l", "live", "-w", "2"]);
    let address = url.trim_start_matches("tcp://").trim_end_matches("?listen");
    let mut socket = TcpStream::connect(address).unwrap();
    socket.write_all(&std::fs::read(sample()).unwrap()).unwrap();
    all_is_read(socket);
    let (code, said) = sensor.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("ledger: balances"), "{said}");
    read_into(&home.path().join("read"), &sample());
    // A live tunnel is closed when the sensor ends, by its own clock.
    let (mut live, mut read) = (logs(&home.path().join("live"), &[]), logs(&home.path().join("read"), &[]));
    live.remove("tunnel.log");
    read.remove("tunnel.log");
    for (name, rows) in &read {
        assert_eq!(&live[name], rows, "{name}");
    }
}

#[test]
fn logs_are_rotated_and_compressed_and_those_of_an_earlier_run_are_kept() {
    let home = tempfile::tempdir().unwrap();
    Command::new("chmod").arg("777").arg(home.path()).status().unwrap();
    let url = format!("tcp://127.0.0.1:{}?listen", free_port());
    for _ in 0..2 {
        let sensor = Sensor::start(home.path(), &["--pcap-over-ip", &url, "-l", ".", "--rotate", "1s"]);
        let address = url.trim_start_matches("tcp://").trim_end_matches("?listen");
        let mut socket = TcpStream::connect(address).unwrap();
        socket.write_all(&std::fs::read(sample()).unwrap()).unwrap();
        all_is_read(socket);
        let (code, said) = sensor.stop();
        assert_eq!(code, Some(0), "{said}");
    }
    let names =
        || std::fs::read_dir(home.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    assert!(names().all(|name| name.ends_with(".log.gz")), "{:?}", names().collect::<Vec<_>>());
    let records = |log: &str| -> usize {
        let of_log = names().filter(|name| name.starts_with(log));
        of_log
            .map(|name| {
                let output = Command::new("zcat").arg(home.path().join(name)).output().unwrap();
                let text = String::from_utf8(output.stdout).unwrap();
                assert!(text.starts_with("#separator") && text.lines().last().unwrap().starts_with("#close"));
                text.lines().filter(|line| !line.starts_with('#')).count()
            })
            .sum()
    };
    read_into(&home.path().join("read"), &sample());
    let read = logs(&home.path().join("read"), &[]);
    std::fs::remove_dir_all(home.path().join("read")).unwrap();
    assert_eq!(
        (records("conn-"), records("http-")),
        (2 * read["conn.log"].len(), 2 * read["http.log"].len())
    );
}

/// Exit code and what was said of a sensor that cannot start.
fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(WEIR).arg("sense").args(arguments).current_dir(home.path()).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn what_cannot_be_listened_to_is_said_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}?listen", taken.local_addr().unwrap());
    let (code, said) = refused(&["--pcap-over-ip", &url]);
    assert!(code == Some(3) && said.contains("Address already in use"), "{said}");
    let (code, said) = refused(&["-i", "no-such-if0"]);
    assert!(code == Some(3) && said.contains("no-such-if0"), "{said}");
    let (code, said) = refused(&["-i", "no-such*"]);
    assert!(code == Some(3) && said.contains("no interface is named like"), "{said}");
    let id = Command::new("id").arg("-u").output().unwrap();
    if id.stdout == b"0\n" {
        let (code, said) = refused(&["--user", "no-such-user", "--pcap-over-ip", "tcp://127.0.0.1:1"]);
        assert!(code == Some(2) && said.contains("no-such-user"), "{said}");
    } else {
        eprintln!("skipped: only root becomes another user");
    }
}
