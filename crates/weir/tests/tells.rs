//! What a running sensor tells of itself: stats.log, capture_loss.log, metrics and health.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use weir_lab::{Process, await_until};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn sample() -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/first.pcapng")).unwrap()
}

/// A sensor that listens for a stream of a capture and serves metrics.
struct Sensor {
    process: Process,
    home: tempfile::TempDir,
    stream: u16,
    metrics: u16,
}

impl Sensor {
    fn start(configuration: &str, arguments: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        // A sensor that root starts becomes another user.
        Command::new("chmod").arg("777").arg(home.path()).status().unwrap();
        let (stream, metrics) = (free_port(), free_port());
        let text = format!("[sense]\nmetrics = \"127.0.0.1:{metrics}\"\n{configuration}");
        std::fs::write(home.path().join("weir.toml"), text).unwrap();
        let url = format!("tcp://127.0.0.1:{stream}?listen");
        let mut command = Command::new(WEIR);
        let command_line = ["sense", "--config", "weir.toml", "-l", "logs", "--pcap-over-ip", &url];
        command.args(command_line).args(arguments).current_dir(home.path());
        let mut process = Process::start(command, &home.path().join("said"));
        process.await_said("listening on");
        Self { process, home, stream, metrics }
    }

    fn send(&self, capture: &[u8]) {
        TcpStream::connect(("127.0.0.1", self.stream)).unwrap().write_all(capture).unwrap();
    }

    fn log(&self, name: &str) -> PathBuf {
        self.home.path().join("logs").join(name)
    }

    /// The answer to a request: the status, the headers and the body.
    fn get(&self, path: &str, header: &str) -> (String, String, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.metrics)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n{header}Connection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let (status, headers) = head.split_once("\r\n").unwrap();
        (status.to_owned(), headers.to_owned(), body.to_owned())
    }
}

/// The rows of a log, by the names of its columns.
fn rows(path: &Path) -> Vec<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let Some(fields) = text.lines().find_map(|line| line.strip_prefix("#fields\t")) else {
        return Vec::new();
    };
    let names: Vec<_> = fields.split('\t').collect();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let row = |line: &str| {
        names.iter().zip(line.split('\t')).map(|(k, v)| ((*k).to_owned(), v.to_owned())).collect()
    };
    whole.lines().filter(|line| !line.starts_with('#')).map(row).collect()
}

fn sum(rows: &[BTreeMap<String, String>], column: &str) -> u64 {
    rows.iter().filter_map(|row| row[column].parse::<u64>().ok()).sum()
}

#[test]
fn each_worker_writes_how_it_is_doing_and_the_numbers_are_those_of_the_traffic() {
    let sensor = Sensor::start("stats = \"1s\"\ncapture_loss = \"1s\"\n", &["-w", "2"]);
    sensor.send(&sample());
    let stats = || rows(&sensor.log("stats.log"));
    await_until("connections in stats.log", || {
        sum(&stats(), "tcp_conns") > 0 && sum(&stats(), "udp_conns") > 0
    });
    await_until("acknowledgments in capture_loss.log", || {
        sum(&rows(&sensor.log("capture_loss.log")), "acks") > 10
    });
    let peers: std::collections::BTreeSet<_> = stats().iter().map(|row| row["peer"].clone()).collect();
    assert_eq!(peers.into_iter().collect::<Vec<_>>(), ["worker-1", "worker-2"]);
    let last = stats().pop().unwrap();
    assert!(last["mem"].parse::<u64>().unwrap() > 0 && last["pkts_dropped"] == "0", "{last:?}");
    // The last records may not be written yet: what is there is never more than the truth.
    let Sensor { process, home, .. } = sensor;
    let (status, said) = process.stop();
    assert!(status.success(), "{said}");
    let conn = rows(&home.path().join("logs/conn.log"));
    let of = |proto: &str| conn.iter().filter(|row| row["proto"] == proto).count() as u64;
    let stats = rows(&home.path().join("logs/stats.log"));
    assert_eq!(sum(&stats, "udp_conns"), of("udp"));
    assert_eq!(sum(&stats, "tcp_conns"), of("tcp"));
    let loss = rows(&home.path().join("logs/capture_loss.log"));
    assert_eq!(sum(&loss, "gaps"), 0, "{loss:?}");
    assert!(loss.iter().all(|row| row["percent_lost"] == "0.0"), "{loss:?}");
}

/// Names and labels of the samples, and their values.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let sample =
        |line: &str| line.rsplit_once(' ').map(|(name, value)| (name.to_owned(), value.parse().unwrap()));
    text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect()
}

#[test]
fn metrics_are_those_of_the_traffic_in_both_formats_and_a_parser_takes_them() {
    let sensor = Sensor::start("", &["-w", "2"]);
    sensor.send(&sample());
    let sum_of = |text: &str, name: &str| -> f64 {
        samples(text).iter().filter(|(key, _)| key.starts_with(name)).map(|(_, value)| value).sum()
    };
    await_until("packets in the metrics", || {
        sum_of(&sensor.get("/metrics", "").2, "weir_analysed_frames_total") > 100.0
    });
    let mut before = 0.0;
    await_until("all packets", || {
        let now = sum_of(&sensor.get("/metrics", "").2, "weir_analysed_frames_total");
        let steady = now > before || now < 200.0;
        before = now;
        !steady
    });
    let (status, headers, text) = sensor.get("/metrics", "");
    assert!(
        status.ends_with("200 OK") && headers.contains("text/plain; version=0.0.4"),
        "{status} {headers}"
    );
    assert!(sum_of(&text, "weir_ledger_imbalance_frames").abs() < 0.5, "{text}");
    let received = sum_of(&text, "weir_received_frames_total");
    assert!(received >= sum_of(&text, "weir_analysed_frames_total") && received > 100.0, "{text}");
    assert!(text.contains("reason=\"kernel_dropped\"} 0.0"), "{text}");
    let (_, headers, open) = sensor.get("/metrics", "Accept: application/openmetrics-text;version=1.0.0\r\n");
    assert!(
        headers.contains("application/openmetrics-text; version=1.0.0") && open.ends_with("# EOF\n"),
        "{headers}"
    );
    parsed_by_others(sensor.home.path(), &text, &open);
    assert_eq!(sensor.get("/healthz", "").0, "HTTP/1.1 200 OK");
    assert_eq!(sensor.get("/no", "").0, "HTTP/1.1 404 Not Found");
    let (status, said) = sensor.process.stop();
    assert!(status.success(), "{said}");
}

/// promtool's opinion of the older format, and that of Prometheus' library for Python of the newer one.
fn parsed_by_others(home: &Path, text: &str, open: &str) {
    std::fs::write(home.join("metrics.txt"), text).unwrap();
    std::fs::write(home.join("metrics.open"), open).unwrap();
    let check = |program: &str, arguments: &[&str], needs: &str| {
        let available = Command::new(program).args(["-c", needs]).output();
        if !available.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: needs {program} {needs}");
            return;
        }
        let output = Command::new(program).args(arguments).current_dir(home).output().unwrap();
        let said =
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.trim().is_empty(), "{program}: {said}");
    };
    check("sh", &["-c", "promtool check metrics < metrics.txt"], "command -v promtool");
    let read = "from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse\n\
                assert len(list(parse(open('metrics.open').read()))) > 20";
    check("python3", &["-c", read], "import prometheus_client");
}
