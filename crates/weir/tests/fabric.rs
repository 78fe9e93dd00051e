//! The whole fabric: three nodes with real programs, a tap on each, every kind of output, two sensors for each kind. What the
//! sensors write down together is what one `weir read` writes over captures taken at the nodes, and the sum over all hops closes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use weir_lab::{Namespace, OF_TIME, Process, await_until, ledger, logs, ready, run, wire};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");
const NODES: usize = 3;
const SENSORS: usize = 2;

/// A kind of output: where a tap sends to reach a sensor at an address, and how that sensor listens.
struct Way {
    name: &'static str,
    to: fn(&str) -> Vec<String>,
    listen: &'static str,
    /// Whether what is sent carries the time of the frame, so that the sensor's records have the times and uids of the node's.
    has_time: bool,
    /// Whether numbers tell the sensor what it should have got.
    has_numbers: bool,
}

/// In the order in which a tap's ledger names the kinds.
const WAYS: [Way; 5] = [
    Way {
        name: "vxlan",
        to: |host| vec![format!("vxlan://{host}?vni=6")],
        listen: "--vxlan 0.0.0.0:4789",
        has_time: false,
        has_numbers: false,
    },
    Way {
        name: "geneve",
        to: |host| vec![format!("geneve://{host}?vni=5")],
        listen: "--geneve 0.0.0.0:6081",
        has_time: true,
        has_numbers: true,
    },
    Way {
        name: "gre",
        to: |host| vec![format!("gre://{host}?key=70001")],
        listen: "--gre",
        has_time: false,
        has_numbers: true,
    },
    Way {
        name: "erspan",
        // All versions are one kind, whose targets share the flows.
        to: |host| ["1", "2&id=82", "3&id=83"].map(|is| format!("erspan://{host}?version={is}")).into(),
        listen: "--gre",
        has_time: false,
        has_numbers: true,
    },
    Way {
        name: "pcap",
        to: |host| vec![format!("pcap://{host}:5555")],
        listen: "--pcap-over-ip tcp://0.0.0.0:5555",
        has_time: true,
        has_numbers: false,
    },
];

/// The address of a sensor.
fn address(way: usize, sensor: usize) -> String {
    format!("10.2.{}.{}", way + 1, sensor + 1)
}

/// Three nodes, each with an interface `d0` to the world and one, `lan0`, to a switch with two sensors for each way.
struct Fabric {
    home: tempfile::TempDir,
    world: Namespace,
    nodes: Vec<Namespace>,
    /// By way.
    sensors: Vec<Vec<Namespace>>,
    _switch: Namespace,
}

impl Fabric {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        run(&format!("chmod 777 {}", home.path().display()));
        let (world, switch) = (Namespace::new(), Namespace::new());
        run(&format!("ip -n {} link add br0 type bridge", switch.name()));
        run(&format!("ip -n {} link set br0 up", switch.name()));
        let plug = |namespace: &Namespace, port: &str, address: &str| {
            wire((&switch, port, ""), (namespace, "lan0", &format!("{address}/16")));
            run(&format!("ip -n {} link set {port} master br0", switch.name()));
            // Room for what tunnels put around a frame.
            run(&format!("ip -n {} link set {port} mtu 2000", switch.name()));
            run(&format!("ip -n {} link set lan0 mtu 2000", namespace.name()));
        };
        let nodes: Vec<_> = (0..NODES).map(|_| Namespace::new()).collect();
        for (n, node) in nodes.iter().enumerate() {
            plug(node, &format!("node{n}"), &format!("10.2.0.{}", n + 1));
            wire((&world, &format!("w{n}"), ""), (node, "d0", ""));
            for (namespace, end, host) in [(&world, format!("w{n}"), 1), (node, "d0".to_owned(), 2)] {
                run(&format!("ip -n {} addr add 10.1.{n}.{host}/24 dev {end}", namespace.name()));
                // Super-frames are one frame to a capture and many to who receives them from a tunnel.
                namespace.run(&format!("ethtool -K {end} tso off gso off gro off tx off rx off"));
            }
        }
        let sensor = |way: usize, n: usize| {
            let sensor = Namespace::new();
            plug(&sensor, &format!("sensor{way}{n}"), &address(way, n));
            sensor
        };
        let of_way = |way| (0..SENSORS).map(|n| sensor(way, n)).collect();
        let sensors = (0..WAYS.len()).map(of_way).collect();
        Self { home, world, nodes, sensors, _switch: switch }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn start(&self, namespace: &Namespace, words: &str, name: &str) -> Process {
        let words: Vec<&str> = words.split_whitespace().collect();
        let mut command = namespace.command(words[0]);
        command.args(&words[1..]).current_dir(self.home.path());
        Process::start(command, &self.path(&format!("{name}.log")))
    }

    /// Starts the sensors of a way.
    fn sense(&self, way: usize) -> Vec<Process> {
        let start = |n: usize| {
            let (name, listen) = (format!("{}{n}", WAYS[way].name), WAYS[way].listen);
            run(&format!("install -d -m 777 {}", self.path(&name).display()));
            let control = self.path(&format!("{name}.socket"));
            let config = format!("[sense]\ncontrol = \"{}\"\n", control.display());
            std::fs::write(self.path(&format!("{name}.toml")), config).unwrap();
            let words = format!(
                "{WEIR} sense -w 1 {listen} -l {name} --ledger {name}.json --config {name}.toml --user nobody"
            );
            let mut sensor = self.start(&self.sensors[way][n], &words, &name);
            sensor.await_said("listening on");
            sensor
        };
        (0..SENSORS).map(start).collect()
    }

    fn tap(&self, node: usize) -> Process {
        let to = |way: usize| (0..SENSORS).flat_map(move |n| (WAYS[way].to)(&address(way, n)));
        let targets: String = (0..WAYS.len()).flat_map(to).map(|target| format!("--to {target} ")).collect();
        let file = self.path(&format!("tapped{node}.pcapng"));
        std::fs::write(&file, "").unwrap();
        run(&format!("chmod 666 {}", file.display()));
        let words = format!(
            "{WEIR} tap -i d0 {targets} --to file://{} --ledger tap{node}.json --tap-id {node} --user nobody",
            file.display()
        );
        let mut tap = self.start(&self.nodes[node], &words, &format!("tap{node}"));
        tap.await_said("tapping");
        tap
    }

    fn capture(&self, node: usize) -> Process {
        let words = format!("tcpdump --immediate-mode -s 2000 -B 65536 -i d0 -U -w node{node}.pcap -Z root");
        let mut dump = self.start(&self.nodes[node], &words, &format!("dump{node}"));
        dump.await_said("listening on");
        dump
    }

    /// Waits until captures are as long as they will be.
    fn await_silence(&self) {
        let mut before = Vec::new();
        await_until("silence", || {
            let len = |n| std::fs::metadata(self.path(&format!("node{n}.pcap"))).unwrap().len();
            let now: Vec<_> = (0..NODES).map(len).collect();
            let is_silent = now == before;
            before = now;
            std::thread::sleep(std::time::Duration::from_millis(300));
            is_silent
        });
    }

    /// Web servers in the world and on a node.
    fn serve(&self) -> Vec<Process> {
        // Each has its own certificate: a sensor writes one down once, and the union would have it twice.
        for name in ["outside", "inside"] {
            let certificate = format!(
                "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={name}.test \
                 -keyout {name}.key -out {name}.cert"
            );
            assert!(self.world.shell(self.home.path(), &certificate).status.success());
        }
        std::fs::create_dir(self.path("www")).unwrap();
        std::fs::write(self.path("www/index.html"), "<html>weir</html>".repeat(3000)).unwrap();
        let home = self.home.path().display();
        let nginx = |namespace: &Namespace, name: &str| {
            let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|kind| format!("{kind}_temp_path {home}/{name}.{kind};"))
                .concat();
            let configuration = format!(
                "daemon off; user root; pid {home}/{name}.pid; error_log stderr; events {{ worker_connections 64; }}
                 http {{ access_log off; root {home}/www; {temporary}
                   server {{ listen 80; listen 443 ssl; ssl_certificate {home}/{name}.cert; ssl_certificate_key {home}/{name}.key; }} }}"
            );
            std::fs::write(self.path(&format!("{name}.conf")), configuration).unwrap();
            let server = self.start(namespace, &format!("nginx -c {home}/{name}.conf"), name);
            await_until("a web server", || self.path(&format!("{name}.pid")).exists());
            server
        };
        let dns = "dnsmasq --conf-file=/dev/null --no-resolv --no-hosts --keep-in-foreground --user=root --pid-file= \
                   --address=/fabric.test/10.1.0.1 --txt-record=fabric.test,weir";
        let dns = self.start(&self.world, dns, "dnsmasq");
        vec![nginx(&self.world, "outside"), nginx(&self.nodes[1], "inside"), dns]
    }

    /// Node 0 asks the world, the world asks node 1, node 2 resolves names.
    fn talk(&self) {
        let [zero, _, two] = &self.nodes[..] else { unreachable!() };
        for round in 0..4 {
            zero.run("curl -s -o /dev/null --max-time 20 http://10.1.0.1/ http://10.1.0.1/missing");
            zero.run("curl -s -k -o /dev/null --max-time 20 https://10.1.0.1/");
            self.world.run("curl -s -o /dev/null --max-time 20 http://10.1.1.2/");
            self.world.run("curl -s -k -o /dev/null --max-time 20 --tls-max 1.2 https://10.1.1.2/");
            two.run(&format!("dig +tries=3 +time=5 @10.1.2.1 r{round}.fabric.test"));
            two.run("dig +tries=3 +time=5 +tcp @10.1.2.1 fabric.test TXT");
        }
    }
}

fn number(balance: &serde_json::Value, hop: &str, what: &str) -> u64 {
    let hops = balance["hops"].as_array().unwrap();
    let hop = hops.iter().find(|h| h["hop"] == hop);
    hop.map_or(0, |hop| hop[what]["frames"].as_u64().unwrap())
}

/// Ends processes of weir; their last words.
fn stop(processes: Vec<Process>) -> Vec<String> {
    let stop = |process: Process| {
        let (status, said) = process.stop();
        assert!(status.success(), "{status}: {said}");
        said
    };
    processes.into_iter().map(stop).collect()
}

/// The rows of several directories, without those about the tunnels themselves.
fn union(directories: &[PathBuf], without: &[&str]) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, rows) in directories.iter().flat_map(|directory| logs(directory, without)) {
        all.entry(name).or_default().extend(rows.into_iter().filter(|row| !row.contains("10.2.")));
    }
    for rows in all.values_mut() {
        rows.sort();
    }
    all
}

fn read(directory: &Path, captures: &[PathBuf]) {
    let status =
        Command::new(WEIR).args(["read", "-q", "-l"]).arg(directory).args(captures).status().unwrap();
    assert!(status.success());
}

#[test]
fn two_sensors_write_down_together_what_was_to_be_seen_at_three_nodes_by_every_kind_of_output() {
    if !ready(&["tcpdump", "nginx", "curl", "dig", "dnsmasq", "openssl", "ethtool"]) {
        return;
    }
    let fabric = Fabric::new();
    let servers = fabric.serve();
    let sensors: Vec<_> = (0..WAYS.len()).map(|way| fabric.sense(way)).collect();
    let taps: Vec<_> = (0..NODES).map(|n| fabric.tap(n)).collect();
    let dumps: Vec<_> = (0..NODES).map(|n| fabric.capture(n)).collect();
    fabric.talk();
    fabric.await_silence();
    let tapped = stop(taps);
    stop(dumps);
    let sensed: Vec<_> = sensors.into_iter().map(stop).collect();
    drop(servers);

    // The kernel gives a TCP packet that was received another time for each who listens, so that uids are compared with
    // those of what the tap itself saw, and that with what tcpdump saw.
    for (directory, name) in [("read", "node"), ("tapped", "tapped")] {
        let end = if name == "node" { "pcap" } else { "pcapng" };
        let captures: Vec<_> = (0..NODES).map(|n| fabric.path(&format!("{name}{n}.{end}"))).collect();
        read(&fabric.path(directory), &captures);
    }
    let told: Vec<_> = (0..NODES).map(|n| ledger(&fabric.path(&format!("tap{n}.json")))).collect();
    assert!(told.iter().all(|tap| tap["balances"] == true), "{tapped:?}");
    let (own, other) = (union(&[fabric.path("tapped")], OF_TIME), union(&[fabric.path("read")], OF_TIME));
    assert_eq!(own, other);
    for (index, (way, said)) in WAYS.iter().zip(&sensed).enumerate() {
        let directories: Vec<_> = (0..SENSORS).map(|n| fabric.path(&format!("{}{n}", way.name))).collect();
        let without = if way.has_time { &["tunnel_parents"] } else { OF_TIME };
        let truth = fabric.path(if way.has_time { "tapped" } else { "read" });
        let (got, truth) = (union(&directories, without), union(&[truth], without));
        for log in ["conn.log", "dns.log", "http.log", "ssl.log", "x509.log", "files.log"] {
            assert!(!truth[log].is_empty(), "{log}");
            assert_eq!(got[log], truth[log], "{}: {log}\n{said:?}", way.name);
        }
        let ledgers: Vec<_> =
            directories.iter().map(|directory| ledger(&directory.with_extension("json"))).collect();
        assert!(ledgers.iter().all(|sensor| sensor["balances"] == true), "{}: {said:?}", way.name);
        assert!(ledgers.iter().all(|sensor| number(sensor, "tap", "entered") > 0), "{}: one way", way.name);
        // Hop by hop: all that was tapped was sent this way, and all that was sent arrived.
        let sum = |hop, what| ledgers.iter().map(|sensor| number(sensor, hop, what)).sum::<u64>();
        for tap in &told {
            let balance = if index == 0 { tap } else { &tap["copies"][index - 1] };
            let hops = ["tap", "spread", "carry"];
            for (hop, next) in hops.iter().zip(&hops[1..]) {
                assert_eq!(number(balance, hop, "passed"), number(balance, next, "entered"), "{balance}");
            }
            assert_eq!(number(balance, "carry", "passed"), number(balance, "tap", "entered"), "{tapped:?}");
        }
        let sent: u64 = told.iter().map(|tap| number(tap, "tap", "passed")).sum();
        assert_eq!(sum("tap", "entered"), sent, "{}: {tapped:?} {said:?}", way.name);
        if way.has_numbers {
            assert_eq!((sum("carried", "entered"), sum("carried", "passed")), (sent, sent), "{}", way.name);
        }
    }
}
