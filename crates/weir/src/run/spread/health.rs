//! Whether targets are alive: a thread for each target asks it again and again.
//!
//! | check | a target is alive when |
//! | --- | --- |
//! | `auto` | of an interface: its link is up; of a tunnel over IPv4: the neighbour on the way to it answers (ARP); of a stream: always, as its connection tells |
//! | `tcp:PORT` | a connection to this port of its host is accepted |
//! | `http:PORT[/PATH]` | this page of its host (`/healthz`) answers with 200 to 299 |
//! | `none` | always |
//!
//! Promises: a target that has died is known as dead within a second ([`FALL`] failures, [`PATIENCE`] each at most); one that is back is believed
//! after [`RISE`] successes. A check costs the packets nothing: they read one atomic flag per batch.

use std::fmt;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use weir_carry::{Place, Target};

use crate::run::complain;

/// Failures in a row after which a target is dead.
const FALL: u8 = 2;
/// Successes in a row after which a dead target is alive again.
const RISE: u8 = 3;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_millis(200);
/// Between two checks; after a failure it is [`AGAIN`].
const INTERVAL: Duration = Duration::from_millis(200);
/// Between a failure and the next check.
const AGAIN: Duration = Duration::from_millis(50);
/// The page that `weir sense` answers.
const PAGE: &str = "/healthz";

/// How it is found out whether a target is alive.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum Check {
    /// By what its kind has.
    #[default]
    Auto,
    /// Not at all.
    Nothing,
    /// By a connection to a port of its host.
    Tcp(u16),
    /// By a page of its host.
    Http(u16, String),
}

impl FromStr for Check {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let wrong = || anyhow!("{text:?} is no check: auto, none, tcp:PORT, http:PORT or http:PORT/PATH");
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        let (port, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let port = || port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong);
        match (kind, path) {
            ("auto", "") if rest.is_empty() => Ok(Self::Auto),
            ("none", "") if rest.is_empty() => Ok(Self::Nothing),
            ("tcp", "") => Ok(Self::Tcp(port()?)),
            ("http", "") => Ok(Self::Http(port()?, PAGE.to_owned())),
            ("http", path) => Ok(Self::Http(port()?, path.to_owned())),
            _ => Err(wrong()),
        }
    }
}

/// What is known of a target by its checks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Health {
    is_alive: bool,
    /// Answers in a row that speak against `is_alive`.
    against: u8,
}

impl Health {
    /// Alive, until it is known better.
    pub const fn new() -> Self {
        Self { is_alive: true, against: 0 }
    }

    /// A check came to an end. Answers whether the target is alive, where that is news.
    pub const fn checked(&mut self, is_well: bool) -> Option<bool> {
        if is_well == self.is_alive {
            self.against = 0;
            return None;
        }
        self.against += 1;
        if self.against < if is_well { RISE } else { FALL } {
            return None;
        }
        *self = Self { is_alive: is_well, against: 0 };
        Some(is_well)
    }
}

/// Whether a target is alive, for those who send to it.
pub type Alive = Arc<AtomicBool>;

/// Starts to check a target, on a thread that ends when `stop` is set. Without a check it is alive forever.
///
/// # Errors
/// The thread cannot be started, or the check does not go with the target.
pub fn watch(target: &Target, check: &Check, stop: &Arc<AtomicBool>) -> anyhow::Result<Alive> {
    let alive = Alive::new(AtomicBool::new(true));
    let Some(probe) = Probe::new(target, check)? else { return Ok(alive) };
    let (stop, told, name) = (Arc::clone(stop), Arc::clone(&alive), target.to_string());
    let look = move || {
        let mut health = Health::new();
        while !stop.load(Ordering::Relaxed) {
            let answer = probe.ask();
            if let Some(news) = health.checked(answer.is_ok()) {
                told.store(news, Ordering::Relaxed);
                match &answer {
                    Ok(()) => complain(&anyhow!("{name} is back")),
                    Err(error) => complain(&anyhow!("{name} is dead, its flows go to others: {error:#}")),
                }
            }
            std::thread::sleep(if answer.is_ok() { INTERVAL } else { AGAIN });
        }
    };
    std::thread::Builder::new().name("check".into()).spawn(look).context("cannot start a thread")?;
    Ok(alive)
}

/// A question that can be asked again and again.
#[derive(Debug)]
enum Probe {
    Link(String),
    Neighbour(String),
    Tcp(String, u16),
    Http(ureq::Agent, String),
}

impl Probe {
    fn new(target: &Target, check: &Check) -> anyhow::Result<Option<Self>> {
        let host = host_of(&target.place);
        let host = || host.map(str::to_owned).with_context(|| format!("{target} has no host to be checked"));
        Ok(match check {
            Check::Nothing => None,
            Check::Tcp(port) => Some(Self::Tcp(host()?, *port)),
            Check::Http(port, path) => {
                let agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).build().new_agent();
                Some(Self::Http(agent, format!("http://{}:{port}{path}", host()?)))
            }
            Check::Auto => match &target.place {
                Place::Interface { name } => Some(Self::Link(name.clone())),
                Place::Vxlan { .. } | Place::Geneve { .. } | Place::Gre { .. } | Place::Erspan { .. } => {
                    Some(Self::Neighbour(host()?))
                }
                Place::Pcap { .. } | Place::File { .. } => None,
            },
        })
    }

    /// Why the target is not well.
    fn ask(&self) -> anyhow::Result<()> {
        match self {
            Self::Link(name) => link(name),
            Self::Neighbour(host) => neighbour(host),
            Self::Tcp(host, port) => connect(host, *port),
            Self::Http(agent, url) => {
                let status = agent.get(url).call().with_context(|| format!("asking {url}"))?.status();
                ensure!(status.is_success(), "{url} answers {status}");
                Ok(())
            }
        }
    }
}

fn host_of(place: &Place) -> Option<&str> {
    match place {
        Place::Vxlan { host, .. }
        | Place::Geneve { host, .. }
        | Place::Gre { host, .. }
        | Place::Erspan { host, .. }
        | Place::Pcap { host, .. } => Some(host),
        Place::File { .. } | Place::Interface { .. } => None,
    }
}

/// The link of an interface; "unknown" is what drivers without a notion of it say.
fn link(name: &str) -> anyhow::Result<()> {
    let path = format!("/sys/class/net/{name}/operstate");
    let state = std::fs::read_to_string(&path).map_err(|_| anyhow!("there is no interface {name}"))?;
    match state.trim_end() {
        "up" | "unknown" => Ok(()),
        other => bail!("its link is {other}"),
    }
}

/// The neighbour that leads to a host, or is it, as far as the ARP table tells: one that does not answer is there without
/// the flag "complete" (0x2). Who is not in the table was not asked yet.
fn neighbour(host: &str) -> anyhow::Result<()> {
    let Some(IpAddr::V4(address)) = addresses(host, 1)?.first().map(SocketAddr::ip) else { return Ok(()) };
    let table = |path: &str| std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"));
    let next = gateway(&table("/proc/self/net/route")?, address).unwrap_or(address);
    match is_answering(&table("/proc/self/net/arp")?, next) {
        Some(false) => bail!("the neighbour {next} does not answer"),
        Some(true) | None => Ok(()),
    }
}

/// The gateway of the route to `address` with the longest mask; none where it is on a link.
fn gateway(routes: &str, address: std::net::Ipv4Addr) -> Option<std::net::Ipv4Addr> {
    let number = |text: Option<&str>| u32::from_str_radix(text?, 16).ok();
    let route = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let (to, gateway) = (number(words.next())?, number(words.next())?);
        let mask = number(words.nth(4))?;
        // The table shows numbers as they lie in memory.
        (u32::from_ne_bytes(address.octets()) & mask == to).then_some((mask.count_ones(), gateway))
    };
    let (_, gateway) = routes.lines().skip(1).filter_map(route).max_by_key(|(bits, _)| *bits)?;
    (gateway != 0).then(|| gateway.to_ne_bytes().into())
}

/// Whether a neighbour answers; `None` where the table does not know it.
fn is_answering(table: &str, address: std::net::Ipv4Addr) -> Option<bool> {
    let line = table
        .lines()
        .skip(1)
        .find(|line| line.split_whitespace().next().and_then(|word| word.parse().ok()) == Some(address))?;
    let flags = line.split_whitespace().nth(2)?.strip_prefix("0x")?;
    Some(u32::from_str_radix(flags, 16).ok()? & 2 != 0)
}

fn connect(host: &str, port: u16) -> anyhow::Result<()> {
    let mut last = anyhow!("{host} has no address");
    for address in addresses(host, port)? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(_) => return Ok(()),
            Err(error) => last = anyhow::Error::new(error).context(format!("connecting to {address}")),
        }
    }
    Err(last)
}

fn addresses(host: &str, port: u16) -> anyhow::Result<Vec<SocketAddr>> {
    let all = format!("{host}:{port}").to_socket_addrs();
    Ok(all.with_context(|| format!("{host} has no address"))?.collect())
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Nothing => f.write_str("none"),
            Self::Tcp(port) => write!(f, "tcp:{port}"),
            Self::Http(port, path) => write!(f, "http:{port}{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn checks_are_written_as_they_are_read() {
        for text in ["auto", "none", "tcp:9640", "http:80/a/b"] {
            assert_eq!(text.parse::<Check>().unwrap().to_string(), text);
        }
        assert_eq!("http:9640".parse::<Check>().unwrap(), Check::Http(9640, "/healthz".into()));
        for text in ["", "tcp", "tcp:0", "tcp:80/x", "http:", "auto:1", "ping"] {
            assert!(text.parse::<Check>().is_err(), "{text}");
        }
    }

    #[test]
    fn one_lost_answer_kills_nobody_and_one_good_answer_wakes_nobody() {
        let mut health = Health::new();
        let answers = [false, true, false, false, true, false, true, true, true, true];
        let news: Vec<_> = answers.map(|answer| health.checked(answer)).into();
        let mut expected = vec![None; 10];
        (expected[3], expected[8]) = (Some(false), Some(true));
        assert_eq!(news, expected);
    }

    #[test]
    fn the_neighbour_on_the_way_is_looked_up_in_the_tables_of_the_kernel() {
        let word = |octets: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(octets));
        let route = |to, gateway, mask| {
            format!("eth0\t{}\t{}\t0003\t0\t0\t0\t{}\t0\t0\t0\n", word(to), word(gateway), word(mask))
        };
        let routes = "Iface\tDestination\n".to_owned()
            + &route([0; 4], [10, 0, 0, 1], [0; 4])
            + &route([10, 0, 0, 0], [0; 4], [255, 255, 255, 0]);
        assert_eq!(gateway(&routes, [10, 0, 0, 9].into()), None);
        assert_eq!(gateway(&routes, [192, 0, 2, 9].into()), Some([10, 0, 0, 1].into()));
        let arp = "IP address       HW type     Flags       HW address            Mask     Device\n\
                   10.0.0.1         0x1         0x2         02:fc:00:00:00:05     *        eth0\n\
                   10.0.0.9         0x1         0x0         00:00:00:00:00:00     *        eth0\n";
        assert_eq!(is_answering(arp, [10, 0, 0, 1].into()), Some(true));
        assert_eq!(is_answering(arp, [10, 0, 0, 9].into()), Some(false));
        assert_eq!(is_answering(arp, [10, 0, 0, 7].into()), None);
    }

    #[test]
    fn a_page_counts_only_with_a_good_status_and_a_port_only_when_it_accepts() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let serve = std::thread::spawn(move || {
            for status in ["200 OK", "503 Service Unavailable"] {
                let (mut socket, _) = listener.accept().unwrap();
                // To its end: a socket that is closed with bytes unread resets the connection.
                let (mut request, mut piece) = (Vec::new(), [0; 1024]);
                while !request.ends_with(b"\r\n\r\n") {
                    let read = socket.read(&mut piece).unwrap();
                    assert!(read > 0, "{request:?}");
                    request.extend_from_slice(&piece[..read]);
                }
                assert!(request.starts_with(b"GET /healthz HTTP/1.1"));
                write!(socket, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    .unwrap();
            }
        });
        let target: Target = "vxlan://127.0.0.1?vni=7".parse().unwrap();
        let probe = Probe::new(&target, &Check::Http(port, PAGE.into())).unwrap().unwrap();
        assert!(probe.ask().is_ok());
        let error = format!("{:#}", probe.ask().unwrap_err());
        assert!(error.contains("503"), "{error}");
        serve.join().unwrap();
        let probe = Probe::new(&target, &Check::Tcp(port)).unwrap().unwrap();
        assert!(probe.ask().is_err());
        assert!(Probe::new(&"if:lo".parse().unwrap(), &Check::Tcp(1)).is_err());
    }
}
