//! Ways from an interface of a node to the logs of a sensor.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::super::{Bench, text};
use super::place::{At, Place, Running, wait_until_idle};

/// A way. `weir sense` is at the end of each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chain {
    /// The sensor is on the node: what analysis costs.
    None,
    /// `weir tap` into a tunnel of this kind.
    Tap(&'static str),
    /// `tcpdump | nc`, and `nc | tcpreplay` onto an interface.
    ByHand,
    /// A VXLAN device of the kernel, which a mirror of tc sends to.
    Kernel,
    /// A mirror of Open vSwitch in its userspace datapath, into VXLAN.
    Switch,
}

/// What it took, in seconds of CPU for each frame.
#[derive(Clone, Debug)]
pub struct Cost {
    pub sender: f64,
    pub sense: f64,
    /// Of each other program.
    pub others: Vec<(&'static str, f64)>,
}

impl Cost {
    /// So many times as much.
    fn times(self, times: f64) -> Self {
        let others = self.others.into_iter().map(|(name, cpu)| (name, cpu * times)).collect();
        Self { sender: self.sender, sense: self.sense * times, others }
    }

    /// All, beside what the sender takes when nobody listens.
    pub fn total(&self, idle_sender: f64) -> f64 {
        let others: f64 = self.others.iter().map(|(_, cpu)| cpu).sum();
        self.sense + others + (self.sender - idle_sender).max(0.0)
    }
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    pub capture: &'a str,
    pub rate: u32,
    pub frames: u64,
}

impl Chain {
    /// Sends a load over it.
    pub fn measure(self, bench: &Bench, load: Load<'_>) -> Result<Cost> {
        let place = Place::new(bench)?;
        let mut programs = vec![self.sense(bench, &place)?];
        programs.extend(self.carry(bench, &place)?);
        let result = sent(bench, &place, load, &programs);
        let mut programs = programs.into_iter();
        let sense = programs.next().context("the sensor")?;
        // A stream ends when those who write it do.
        let others = programs.collect::<Vec<_>>();
        for program in others {
            program.end()?;
        }
        let said = sense.end()?;
        let cost = result.with_context(|| format!("{self:?}: {said}"))?;
        let ledger: Value = serde_json::from_str(&fs::read_to_string(place.home.join("sense.json"))?)?;
        let hops = ledger.get("hops").and_then(Value::as_array).context("the hops of the ledger")?;
        let tap = hops.iter().find(|hop| hop.get("hop").and_then(Value::as_str) == Some("tap"));
        let arrived = tap.and_then(|tap| tap.pointer("/passed/frames")).and_then(Value::as_u64).unwrap_or(0);
        // A chain that loses frames (tcpdump's ring is small) is charged for those that it brought.
        ensure!(arrived * 10 >= load.frames * 9, "{self:?}: {} sent, {arrived} arrived: {said}", load.frames);
        Ok(cost.times(load.frames as f64 / arrived.min(load.frames) as f64))
    }

    fn sense(self, bench: &Bench, place: &Place) -> Result<Running> {
        let (at, source) = match self {
            Self::None => (At::Node, "-i vb --direction in"),
            Self::ByHand => (At::Sensor, "-i fb --direction in"),
            Self::Tap("geneve") => (At::Sensor, "--geneve 10.7.0.2:6081"),
            Self::Tap(_) | Self::Kernel | Self::Switch => (At::Sensor, "--vxlan 10.7.0.2:4789"),
        };
        let config = format!("[sense]\ncontrol = \"{}/control\"\n", text(&place.home)?);
        fs::write(place.home.join("weir.toml"), config)?;
        place.run(at, "install -d -m 777 logs")?;
        let weir = text(&bench.weir)?;
        let rest = "-w 1 --no-pin --user nobody -l logs --ledger sense.json --config weir.toml";
        place.start(at, &format!("{weir} sense {source} {rest}"), "sense", "listening on")
    }

    /// What is between the interface and the sensor.
    fn carry(self, bench: &Bench, place: &Place) -> Result<Vec<Running>> {
        let weir = text(&bench.weir)?;
        match self {
            Self::None => Ok(Vec::new()),
            Self::Tap(kind) => {
                let line = format!("{weir} tap -i vb --direction in --user nobody --to {kind}://10.7.0.2");
                Ok(vec![place.start(At::Node, &line, "tap", "tapping")?])
            }
            Self::ByHand => {
                let near = [("nc -l 5555", "nc (sensor)"), ("tcpreplay --topspeed -i fa -", "tcpreplay")];
                let mut all = place.pipe(At::Sensor, near)?;
                wait_for(|| Ok(place.run(At::Sensor, "ss -ltn")?.contains(":5555")))?;
                let dump = "tcpdump -i vb -Q in -s0 -U -w -";
                let far = [(dump, "tcpdump"), ("nc -N 10.7.0.2 5555", "nc (node)")];
                let mut far = place.pipe(At::Node, far)?;
                far.iter_mut().take(1).try_for_each(|dump| dump.wait_for("listening on"))?;
                // Writers first: their readers end with them.
                far.append(&mut all);
                Ok(far)
            }
            Self::Kernel => {
                place.run(
                    At::Node,
                    "ip link add vx0 type vxlan id 5 remote 10.7.0.2 dstport 4789 dev n0
                     echo 1 > /proc/sys/net/ipv6/conf/vx0/disable_ipv6
                     ip link set vx0 mtu 65485 up && tc qdisc add dev vb clsact
                     tc filter add dev vb ingress matchall action mirred egress mirror dev vx0 ||
                     tc filter add dev vb ingress protocol all bpf bytecode '1,6 0 0 1' action mirred egress mirror dev vx0",
                )?;
                Ok(Vec::new())
            }
            Self::Switch => switch(place),
        }
    }
}

/// Sends a load, and tells what everything took.
fn sent(bench: &Bench, place: &Place, load: Load<'_>, programs: &[Running]) -> Result<Cost> {
    let before: Vec<f64> = programs.iter().map(Running::cpu).collect();
    let sender = place.send(bench, load.capture, load.rate, load.frames)?;
    wait_until_idle(programs)?;
    let each = |cpu: f64| cpu / load.frames as f64;
    let mut cost = Cost { sender: each(sender), sense: 0.0, others: Vec::new() };
    for (program, before) in programs.iter().zip(before) {
        let cpu = each(program.cpu() - before);
        if program.name == "sense" {
            cost.sense = cpu;
        } else {
            cost.others.push((program.name, cpu));
        }
    }
    Ok(cost)
}

/// Open vSwitch between the interface and a wire of its own.
fn switch(place: &Place) -> Result<Vec<Running>> {
    const HERE: &str = "env OVS_RUNDIR=. OVS_LOGDIR=. OVS_DBDIR=. OVS_SYSCONFDIR=.";
    let schema = "/usr/share/openvswitch/vswitch.ovsschema";
    place.run(At::Node, &format!("ovsdb-tool create conf.db {schema}"))?;
    let line = format!("{HERE} ovsdb-server conf.db --remote=punix:db.sock --no-chdir -vconsole:info");
    let database = place.start(At::Node, &line, "ovsdb-server", "ovsdb-server (Open vSwitch)")?;
    place.run(At::Node, "ovs-vsctl --db=unix:db.sock --no-wait init")?;
    let line = format!("{HERE} ovs-vswitchd unix:db.sock --no-chdir -vconsole:info");
    let daemon = place.start(At::Node, &line, "ovs-vswitchd", "ovs-vswitchd (Open vSwitch)")?;
    let far = place.run(At::Sensor, "cat /sys/class/net/s0/address")?;
    let far = far.trim();
    place.run(
        At::Node,
        &format!(
            "ip addr flush dev n0
             v='ovs-vsctl --db=unix:db.sock --timeout=20'
             $v add-br br0 -- set bridge br0 datapath_type=netdev -- add-port br0 vb -- \\
                add-br under -- set bridge under datapath_type=netdev -- add-port under n0 || exit 1
             ip addr add 10.7.0.1/24 dev under && ip link set under mtu 65000 up
             $v add-port br0 x0 -- set interface x0 type=vxlan options:remote_ip=10.7.0.2 options:key=5 || exit 1
             $v -- --id=@x get port x0 -- --id=@b get port vb -- --id=@m create mirror name=m select_src_port=@b \\
                output-port=@x -- add bridge br0 mirrors @m || exit 1
             ovs-appctl -t $PWD/$(ls ovs-vswitchd.*.ctl) tnl/neigh/set under 10.7.0.2 {far}"
        ),
    )?;
    Ok(vec![daemon, database])
}

fn wait_for(mut is: impl FnMut() -> Result<bool>) -> Result<()> {
    for _ in 0..600 {
        if is()? {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    anyhow::bail!("nc does not listen")
}
