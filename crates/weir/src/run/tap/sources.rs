//! Which interfaces are tapped: those of this network namespace by name, and all of other namespaces, as they come and go.
//!
//! Promises: a ring of another namespace is opened on a thread that has entered it, and is closed when no process is left there: an
//! open socket would keep the namespace. An interface that is an output is never tapped. There are at most as many rings as
//! were allowed; what is beyond is told once.
//!
//! How: once a second /proc is asked for the network namespaces of all processes, and each namespace for its interfaces.
//! No engine of containers has to be asked.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sched::{CloneFlags, setns};
use weir_tap::{PacketRing, RingDirection, RingOptions};
use weir_wire::bpf::Instruction;
use wildmatch::WildMatch;

use crate::cli::sources::Direction;
use crate::config::sense::given;
use crate::config::tap::TapConfig;

/// A network namespace, by the number of its file.
pub type Space = u64;

/// A ring, and where it is.
pub struct Opened {
    /// The namespace; `None` for that of this process.
    pub space: Option<Space>,
    /// What a user calls the interface.
    pub name: String,
    /// The ring.
    pub ring: PacketRing,
}

/// What has changed.
#[derive(Default)]
pub struct News {
    /// Rings that were opened.
    pub opened: Vec<Opened>,
    /// Namespaces that are gone.
    pub gone: Vec<Space>,
    /// What could not be opened.
    pub troubles: Vec<anyhow::Error>,
}

/// Looks for interfaces.
pub struct Watcher {
    options: RingOptions,
    patterns: Vec<WildMatch>,
    /// Names without * and ?: they are opened once, and their rings wait for them when they go.
    plain: Vec<String>,
    /// Namespaces that were named.
    spaces: Vec<PathBuf>,
    containers: bool,
    /// Interfaces of this namespace that are outputs.
    outputs: HashSet<String>,
    own: Space,
    most: usize,
    /// What is open.
    known: HashSet<(Option<Space>, String)>,
    /// What could not be opened: it is told once.
    told: HashSet<(Option<Space>, String)>,
    next: u16,
}

impl Watcher {
    /// For what `config` names; `own` is the program that leaves the tap's own packets out, `outputs` are interfaces that the tap
    /// sends to.
    ///
    /// # Errors
    /// Nothing is named, or a namespace that is not there.
    pub fn new(config: &TapConfig, own: Vec<Instruction>, outputs: HashSet<String>) -> anyhow::Result<Self> {
        ensure!(
            !config.interfaces.is_empty() || !config.netns.is_empty() || config.containers,
            "there is nothing to tap: name an interface (-i eth0; `ip link` lists them), a network namespace (--netns) or \
             --containers, or write them into /etc/weir/weir.toml"
        );
        if let Some(name) = config.interfaces.iter().find(|name| outputs.contains(*name)) {
            anyhow::bail!("{name} is an output: tapping it would send each packet again and again");
        }
        let spaces: Vec<_> = config.netns.iter().map(|text| path_of(text)).collect();
        for path in &spaces {
            File::open(path).with_context(|| format!("there is no network namespace {}", path.display()))?;
        }
        let (globs, plain) =
            config.interfaces.iter().cloned().partition::<Vec<_>, _>(|name| name.contains(['*', '?']));
        let own_space = std::fs::metadata("/proc/self/ns/net").context("cannot read /proc/self/ns/net")?;
        Ok(Self {
            options: ring_options(config, own),
            patterns: globs.iter().map(|glob| WildMatch::new(glob)).collect(),
            plain,
            spaces,
            containers: config.containers,
            outputs,
            own: own_space.ino(),
            most: config.max_interfaces,
            known: HashSet::new(),
            told: HashSet::new(),
            next: 0,
        })
    }

    /// Opens what is named in so many words.
    ///
    /// # Errors
    /// An interface is not there, or the process may not.
    pub fn open_named(&mut self) -> anyhow::Result<Vec<Opened>> {
        let mut opened = Vec::new();
        for name in std::mem::take(&mut self.plain) {
            let options = self.options_for(&name);
            opened.push(self.opened(None, name.clone(), PacketRing::open(&options)?));
            self.known.insert((None, name));
        }
        Ok(opened)
    }

    /// Whether there is anything that may come and go.
    pub const fn is_watching(&self) -> bool {
        !self.patterns.is_empty() || !self.spaces.is_empty() || self.containers
    }

    /// An interface is closed, and may be opened again when it is there.
    pub fn forget(&mut self, space: Option<Space>, name: &str) {
        self.known.remove(&(space, name.to_owned()));
    }

    /// Looks what has changed.
    pub fn look(&mut self) -> News {
        let mut news = News::default();
        if !self.patterns.is_empty() {
            let names = up().into_iter().filter(|name| self.is_wanted(name)).collect();
            self.open(None, names, None, &mut news);
        }
        let spaces = self.present();
        for (space, path) in &spaces {
            let Ok(file) = File::open(path) else { continue };
            // Between the two looks another may have taken its place.
            if file.metadata().is_ok_and(|found| found.ino() == *space) {
                let Some(names) = inside(&file, up) else { continue };
                self.open(Some(*space), names, Some(&file), &mut news);
            }
        }
        let gone: HashSet<Space> =
            self.known.iter().filter_map(|(space, _)| *space).filter(|s| !spaces.contains_key(s)).collect();
        self.known.retain(|(space, _)| space.is_none_or(|space| !gone.contains(&space)));
        self.told.retain(|(space, _)| space.is_none_or(|space| spaces.contains_key(&space)));
        news.gone = gone.into_iter().collect();
        news
    }

    fn is_wanted(&self, name: &str) -> bool {
        !self.outputs.contains(name) && self.patterns.iter().any(|pattern| pattern.matches(name))
    }

    /// The namespaces to be tapped, and by which path each can be entered.
    fn present(&self) -> HashMap<Space, PathBuf> {
        let number = |path: &Path| std::fs::metadata(path).ok().map(|found| found.ino());
        let mut spaces: HashMap<Space, PathBuf> =
            self.spaces.iter().filter_map(|path| Some((number(path)?, path.clone()))).collect();
        if self.containers {
            let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
            for process in
                processes.filter(|p| p.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit))
            {
                let path = process.path().join("ns/net");
                if let Some(space) = number(&path).filter(|space| *space != self.own) {
                    spaces.entry(space).or_insert(path);
                }
            }
        }
        spaces
    }

    /// Opens the interfaces that are not open yet.
    fn open(&mut self, space: Option<Space>, names: Vec<String>, file: Option<&File>, news: &mut News) {
        for name in names {
            let place = (space, name);
            if self.known.contains(&place) || self.told.contains(&place) {
                continue;
            }
            if self.known.len() >= self.most {
                let error = anyhow::anyhow!(
                    "{} is not tapped: {} interfaces are the most (tap.max_interfaces)",
                    place.1,
                    self.most
                );
                news.troubles.push(error);
                self.told.insert(place);
                continue;
            }
            let options = self.options_for(&place.1);
            let ring = match file {
                None => PacketRing::open(&options).map_err(anyhow::Error::from),
                Some(file) => inside(file, || PacketRing::open(&options).map_err(anyhow::Error::from))
                    .unwrap_or_else(|| {
                        Err(anyhow::anyhow!("cannot enter the network namespace of {}", place.1))
                    }),
            };
            match ring {
                Ok(ring) => {
                    news.opened.push(self.opened(space, place.1.clone(), ring));
                    self.known.insert(place);
                }
                Err(error) => {
                    news.troubles.push(error);
                    self.told.insert(place);
                }
            }
        }
    }

    fn options_for(&self, name: &str) -> RingOptions {
        RingOptions { interface: name.to_owned(), tap: self.next, ..self.options.clone() }
    }

    fn opened(&mut self, space: Option<Space>, name: String, ring: PacketRing) -> Opened {
        self.next = self.next.wrapping_add(1);
        Opened { space, name, ring }
    }
}

/// The interfaces of this namespace that are up, each once.
fn up() -> Vec<String> {
    let all = getifaddrs().into_iter().flatten();
    let mut names: Vec<_> =
        all.filter(|one| one.flags.contains(InterfaceFlags::IFF_UP)).map(|one| one.interface_name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Does `work` on a thread that has entered a namespace; `None` where it may not, or the namespace is gone.
fn inside<T: Send>(space: &File, work: impl FnOnce() -> T + Send) -> Option<T> {
    let enter = || setns(space, CloneFlags::CLONE_NEWNET).ok().map(|()| work());
    std::thread::scope(|scope| scope.spawn(enter).join()).ok().flatten()
}

/// The file of a namespace: by name, path or process.
fn path_of(text: &str) -> PathBuf {
    match text.strip_prefix("pid:") {
        Some(process) => Path::new("/proc").join(process).join("ns/net"),
        None if text.contains('/') => text.into(),
        None => Path::new("/run/netns").join(text),
    }
}

fn ring_options(config: &TapConfig, own: Vec<Instruction>) -> RingOptions {
    let mut options = RingOptions::new("");
    options.block_size = config.block_size;
    options.blocks = config.blocks;
    options.block_timeout_ms = u32::try_from(config.block_timeout.0 / 1_000_000).unwrap_or(u32::MAX).max(1);
    options.snap_length = config.snap_length;
    options.promiscuous = config.promiscuous;
    options.filter = given(&config.filter).map(str::to_owned);
    options.direction = match config.direction {
        Direction::In => RingDirection::In,
        Direction::Out => RingDirection::Out,
        Direction::Both => RingDirection::Both,
    };
    options.share = (!own.is_empty()).then_some(own);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_named_by_name_path_or_process() {
        assert_eq!(path_of("blue"), Path::new("/run/netns/blue"));
        assert_eq!(path_of("/proc/7/ns/net"), Path::new("/proc/7/ns/net"));
        assert_eq!(path_of("pid:4711"), Path::new("/proc/4711/ns/net"));
    }

    #[test]
    fn an_output_is_not_tapped() {
        let config = TapConfig { interfaces: vec!["veth*".into()], ..TapConfig::default() };
        let watcher = Watcher::new(&config, Vec::new(), HashSet::from(["veth7".into()])).unwrap();
        assert!(watcher.is_wanted("veth1") && !watcher.is_wanted("veth7") && !watcher.is_wanted("eth0"));
        let config = TapConfig { interfaces: vec!["veth7".into()], ..TapConfig::default() };
        assert!(Watcher::new(&config, Vec::new(), HashSet::from(["veth7".into()])).is_err());
        assert!(Watcher::new(&TapConfig::default(), Vec::new(), HashSet::new()).is_err());
    }
}
