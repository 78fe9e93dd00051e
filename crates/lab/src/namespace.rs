//! Network namespaces and the wires between them.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, setns};

use crate::process::{Process, run};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A network namespace with a name that no other test has, removed when it goes out of scope.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// A new one, with its loopback up.
    #[allow(clippy::new_without_default, reason = "it makes something outside of this process")]
    pub fn new() -> Self {
        let name = format!("weir-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        run(&format!("ip netns add {name}"));
        run(&format!("ip -n {name} link set lo up"));
        Self { name }
    }

    /// What `ip netns` calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A program, to be started inside. The id of the process is that of the program.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Runs a command inside that has to succeed; answers what it printed. Words are parted by spaces.
    pub fn run(&self, command: &str) -> String {
        run(&format!("ip netns exec {} {command}", self.name))
    }

    /// Runs a script of the shell inside, in `directory`.
    pub fn shell(&self, directory: &Path, script: &str) -> Output {
        let mut command = self.command("sh");
        command.args(["-c", script]).current_dir(directory).output().unwrap()
    }

    /// Starts a program inside; what it says on both its outputs is appended to the file `log`.
    pub fn start(&self, words: &[&str], log: &Path) -> Process {
        let (program, arguments) = words.split_first().unwrap();
        let mut command = self.command(program);
        command.args(arguments);
        Process::start(command, log)
    }

    /// Runs `work` on a thread that is inside.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(Path::new("/run/netns").join(&self.name)).unwrap();
        let enter = || {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        };
        std::thread::scope(|scope| scope.spawn(enter).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // A namespace that is gone already need not go.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

/// A wire (a veth pair) between two namespaces, both ends up. An end is its namespace, its name and its address with the
/// length of the prefix; an empty address is none, and then IPv6 is off on that end, so that nothing but the test's frames
/// is on the wire.
pub fn wire(one: (&Namespace, &str, &str), other: (&Namespace, &str, &str)) {
    let (a, b) = (one.0.name(), other.0.name());
    run(&format!("ip link add {} netns {a} type veth peer name {} netns {b}", one.1, other.1));
    for (namespace, end, address) in [one, other] {
        if address.is_empty() {
            namespace.inside(|| {
                // Where there is no IPv6 it need not be turned off.
                let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{end}/disable_ipv6"), "1");
            });
        } else {
            // Without "nodad" an IPv6 address could not be used for the first second.
            let nodad = if address.contains(':') { " nodad" } else { "" };
            run(&format!("ip -n {} addr add {address} dev {end}{nodad}", namespace.name()));
        }
        run(&format!("ip -n {} link set {end} up", namespace.name()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ready;

    #[test]
    fn two_namespaces_reach_each_other_over_their_wire_and_are_gone_with_the_test() {
        if !ready(&["ping"]) {
            return;
        }
        let name = {
            let (a, b) = (Namespace::new(), Namespace::new());
            wire((&a, "a0", "10.9.0.1/24"), (&b, "b0", "10.9.0.2/24"));
            assert!(a.run("ping -c 1 -W 5 10.9.0.2").contains("1 received"));
            let routes = b.inside(|| std::fs::read_to_string("/proc/thread-self/net/route").unwrap());
            assert!(routes.contains("b0"), "{routes}");
            a.name().to_owned()
        };
        assert!(!run("ip netns list").contains(&name));
    }
}
