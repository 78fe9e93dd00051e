//! Programs that run beside a test.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a condition is waited for, in steps: a minute, which a loaded machine may need.
const STEPS: u32 = 3000;
const STEP: Duration = Duration::from_millis(20);

/// A program that runs until the test ends it or goes out of scope.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
    /// What others had said into the log before.
    before: usize,
}

impl Process {
    /// Starts it; what it says on both its outputs is appended to the file `log`, unless `command` says otherwise.
    pub fn start(mut command: Command, log: &Path) -> Self {
        let out: File = OpenOptions::new().create(true).append(true).open(log).unwrap();
        let before = out.metadata().unwrap().len() as usize;
        command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, log: log.to_owned(), before }
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far. What an earlier process said into the same log is not taken for its word.
    pub fn said(&self) -> String {
        let said = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(said.get(self.before..).unwrap_or_default()).into_owned()
    }

    /// Waits until it has said `text`; panics with what it said instead.
    pub fn await_said(&mut self, text: &str) {
        for _ in 0..STEPS {
            if self.said().contains(text) {
                return;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{status} before it said {text:?}: {}", self.said());
            }
            std::thread::sleep(STEP);
        }
        panic!("never said {text:?}: {}", self.said());
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        // One that has ended by itself needs none.
        let _ = kill(Pid::from_raw(self.child.id() as i32), signal);
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        await_until("the end of a process", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Ends it with SIGTERM, and answers how it ended and all that it said.
    pub fn stop(mut self) -> (ExitStatus, String) {
        self.signal(Signal::SIGTERM);
        let status = self.wait();
        (status, self.said())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended cannot be ended again.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `is` answers true, for a minute at most; then panics with `what`.
pub fn await_until(what: &str, mut is: impl FnMut() -> bool) {
    for _ in 0..STEPS {
        if is() {
            return;
        }
        std::thread::sleep(STEP);
    }
    panic!("waited in vain for {what}");
}

/// Runs a command that has to succeed; answers what it printed. Words are parted by spaces.
pub fn run(command: &str) -> String {
    let mut words = command.split_whitespace();
    let Output { status, stdout, stderr } =
        Command::new(words.next().unwrap()).args(words).output().unwrap_or_else(|e| panic!("{command}: {e}"));
    assert!(status.success(), "{command}: {status}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8_lossy(&stdout).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("weir-lab-{}-{name}", std::process::id()))
    }

    #[test]
    fn a_process_is_heard_and_ended_by_its_id() {
        let log = log("heard");
        let mut command = Command::new("sh");
        command.args(["-c", "trap 'echo bye; exit 3' TERM; echo hello; while :; do sleep 0.01; done"]);
        let mut process = Process::start(command, &log);
        process.await_said("hello");
        let (status, said) = process.stop();
        assert_eq!((status.code(), said.as_str()), (Some(3), "hello\nbye\n"));
        std::fs::remove_file(log).unwrap();
    }

    #[test]
    fn what_an_earlier_process_said_into_the_log_is_not_taken_for_its_word() {
        let log = log("shared");
        let say = |word: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("echo {word}")]);
            let mut process = Process::start(command, &log);
            process.wait();
            process.said()
        };
        assert_eq!((say("one").as_str(), say("two").as_str()), ("one\n", "two\n"));
        std::fs::remove_file(&log).unwrap();
    }

    #[test]
    #[should_panic(expected = "before it said")]
    fn what_ends_without_a_word_is_not_waited_for() {
        let log = log("mute");
        Process::start(Command::new("true"), &log).await_said("hello");
    }
}
