//! The control socket of a sensor: what `weir ctl` and `weir top` ask, a line of JSON each, and what the sensor answers.
//!
//! ```text
//! > {"do":"status"}
//! < {"ok":{"version":"0.1.0", ...}}
//! > {"do":"workers","count":"many"}
//! < {"error":"..."}
//! ```
//!
//! Promises: only the user that the sensor runs as, its group and root can connect. A client costs a thread, at most
//! [`CLIENTS`] of them, and a line of at most [`LINE`] bytes; the packet path is not asked. What changes the sensor is done by
//! its main thread, one after the other.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::privileges::Account;
use super::snapshot::Snapshot;
use super::worker::Shared;

/// Where the socket is when logs go to the usual place of a machine.
pub const SOCKET: &str = "/run/weir/sense.sock";
/// What it is called elsewhere: in the directory of the logs.
pub const NAME: &str = "sense.sock";
/// The longest request in bytes, and far longer than any.
const LINE: u64 = 4096;
/// Clients at once; further ones are sent away.
const CLIENTS: usize = 16;
/// A client that says nothing for this long is sent away.
const SILENCE: Duration = Duration::from_mins(1);
/// How long a request may take that the main thread has to carry out.
const PATIENCE: Duration = Duration::from_secs(30);

/// What can be asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// A [`Snapshot`].
    Status,
    /// The sensor ends, as with SIGTERM.
    Stop,
    /// Logs are moved aside, and new ones begun.
    Rotate,
    /// The configuration is read again, as with SIGHUP.
    Reload,
    /// There shall be so many workers; none given: as many as the load wants.
    Workers {
        /// How many.
        count: Option<u16>,
    },
}

/// What is answered.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// It was done; what there is to be told.
    Ok(Value),
    /// It was not, and why.
    Error(String),
}

/// A request that the main thread has to carry out.
pub struct Job {
    /// What.
    pub request: Request,
    /// Whom the result goes to.
    pub answer: SyncSender<Answer>,
}

/// The socket, removed with this.
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Control {
    /// A socket at `path`, for `account` where we are root.
    ///
    /// # Errors
    /// Another sensor listens there; the path is too long, or we may not write there.
    pub fn open(path: &Path, account: Option<&Account>) -> anyhow::Result<Self> {
        if UnixStream::connect(path).is_ok() {
            bail!(
                "another sensor listens at {}: give this one another place ([sense] control = \"PATH\")",
                path.display()
            );
        }
        let failed = || format!("cannot make the control socket {}", path.display());
        if let Some(directory) = path.parent()
            && !directory.as_os_str().is_empty()
            && !directory.exists()
        {
            std::fs::create_dir_all(directory).with_context(failed)?;
            account.map_or(Ok(()), |account| account.own(directory))?;
        }
        // Nobody listens there: what an earlier sensor left that was killed. What is no socket is left alone.
        let is_socket = std::fs::symlink_metadata(path)
            .is_ok_and(|found| std::os::unix::fs::FileTypeExt::is_socket(&found.file_type()));
        if is_socket {
            std::fs::remove_file(path).with_context(failed)?;
        }
        let listener = UnixListener::bind(path).with_context(failed)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).with_context(failed)?;
        account.map_or(Ok(()), |account| account.own(path))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Answers clients from now on. What the main thread has to do comes to [`Desk::wait`].
    ///
    /// # Errors
    /// There is no thread.
    pub fn serve(self, shared: &Arc<Shared>) -> anyhow::Result<Desk> {
        let (jobs, queue) = sync_channel(1);
        let shared = Arc::clone(shared);
        let clients = Arc::new(AtomicUsize::new(0));
        let listener = self.listener;
        let accept = move || {
            for stream in listener.incoming().flatten() {
                if clients.fetch_add(1, Ordering::Relaxed) >= CLIENTS {
                    clients.fetch_sub(1, Ordering::Relaxed);
                    continue;
                }
                let (shared, jobs, here) = (Arc::clone(&shared), jobs.clone(), Arc::clone(&clients));
                let talk = move || {
                    // A client that goes away in the middle is no trouble of ours.
                    let _ = talk(&stream, &shared, &jobs);
                    here.fetch_sub(1, Ordering::Relaxed);
                };
                if std::thread::Builder::new().name("control client".into()).spawn(talk).is_err() {
                    clients.fetch_sub(1, Ordering::Relaxed);
                }
            }
        };
        std::thread::Builder::new().name("control".into()).spawn(accept).context("cannot start a thread")?;
        Ok(Desk { queue, path: self.path })
    }
}

/// Where the main thread gets its jobs.
pub struct Desk {
    queue: Receiver<Job>,
    path: PathBuf,
}

impl Desk {
    /// Waits for a job.
    pub fn wait(&self, timeout: Duration) -> Option<Job> {
        match self.queue.recv_timeout(timeout) {
            Ok(job) => Some(job),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                std::thread::sleep(timeout);
                None
            }
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // In a directory that we may not write to any more it stays, and the next sensor removes it.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Answers one client until it has no more requests.
fn talk(stream: &UnixStream, shared: &Shared, jobs: &SyncSender<Job>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        if reader.by_ref().take(LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let answer = answer(&line, shared, jobs);
        let mut text = serde_json::to_vec(&answer)?;
        text.push(b'\n');
        (&mut &*stream).write_all(&text)?;
        if line.last() != Some(&b'\n') {
            return Ok(());
        }
    }
}

fn answer(line: &[u8], shared: &Shared, jobs: &SyncSender<Job>) -> Answer {
    let request = match serde_json::from_slice(line) {
        Ok(request) => request,
        Err(error) => return Answer::Error(format!("this is no request: {error}")),
    };
    if request == Request::Status {
        return serde_json::to_value(Snapshot::take(shared))
            .map_or_else(|error| Answer::Error(error.to_string()), Answer::Ok);
    }
    let (answer, result) = sync_channel(1);
    if jobs.send(Job { request, answer }).is_err() {
        return Answer::Error("the sensor is about to end".into());
    }
    result.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        Answer::Error(format!("the sensor did not answer within {} s", PATIENCE.as_secs()))
    })
}

/// Asks the sensor whose socket is at `path`.
///
/// # Errors
/// There is none, or it does not answer; the message says what to do. What it refuses is its [`Answer`].
pub fn ask(path: &Path, request: &Request) -> anyhow::Result<Answer> {
    let stream = UnixStream::connect(path).with_context(|| {
        format!(
            "no sensor answers at {}: is weir sense running, as a user whom you may ask (sudo)? --socket names another",
            path.display()
        )
    })?;
    let broken = || format!("the sensor at {} does not answer", path.display());
    stream.set_read_timeout(Some(PATIENCE * 2)).with_context(broken)?;
    let mut text = serde_json::to_vec(request)?;
    text.push(b'\n');
    (&mut &stream).write_all(&text).with_context(broken)?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).with_context(broken)?;
    serde_json::from_str(&line).with_context(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared() -> Shared {
        let shared = Shared::new(64, String::new());
        shared.workers.store(2, Ordering::Relaxed);
        shared
    }

    #[test]
    fn a_request_is_answered_and_what_is_none_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("s/sense.sock");
        let desk = Control::open(&path, None).unwrap().serve(&Arc::new(shared())).unwrap();
        let Answer::Ok(status) = ask(&path, &Request::Status).unwrap() else { panic!() };
        let snapshot: Snapshot = serde_json::from_value(status).unwrap();
        assert_eq!((snapshot.workers.len(), snapshot.pid), (2, std::process::id()));
        let asking = std::thread::spawn({
            let path = path.clone();
            move || ask(&path, &Request::Rotate).unwrap()
        });
        let job = desk.wait(Duration::from_secs(20)).unwrap();
        assert_eq!(job.request, Request::Rotate);
        job.answer.send(Answer::Error("no".into())).unwrap();
        assert_eq!(asking.join().unwrap(), Answer::Error("no".into()));
        let stream = UnixStream::connect(&path).unwrap();
        (&mut &stream).write_all(&[b'x'; LINE as usize]).unwrap();
        let mut said = String::new();
        (&mut &stream).read_to_string(&mut said).unwrap();
        assert!(said.contains("this is no request"), "{said}");
    }

    #[test]
    fn a_socket_that_is_left_over_is_replaced_and_one_that_is_listened_at_is_not() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("sense.sock");
        let first = Control::open(&path, None).unwrap();
        assert!(Control::open(&path, None).err().unwrap().to_string().contains("another sensor"));
        drop(first);
        assert!(path.exists() && Control::open(&path, None).is_ok());
        let file = home.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(Control::open(&file, None).is_err() && file.exists());
    }
}
