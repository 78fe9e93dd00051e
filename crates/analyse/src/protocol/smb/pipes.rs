//! Pipes: which trees have them, and the calls that travel in each.

use std::collections::{HashMap, HashSet};

use super::super::dce_rpc::DceRpc;
use crate::context::{Context, Side};

/// Most pipes that are read at once; beyond, all are forgotten (Zeek: `SMB::max_dce_rpc_analyzers`, 1000).
const MAX_PIPES: usize = 256;
/// Most trees that are known to be pipes.
const MAX_TREES: usize = 1024;

/// Files that are pipes also where their tree was not seen (Zeek: `SMB::pipe_filenames`).
const NAMES: [&str; 8] = ["spoolss", "winreg", "samr", "srvsvc", "netdfs", "lsarpc", "wkssvc", "MsFteWds"];

/// The pipes of one connection.
#[derive(Default)]
pub struct Pipes {
    trees: HashSet<u32>,
    calls: HashMap<u64, DceRpc>,
}

impl Pipes {
    /// Whether the files of `tree` are pipes.
    pub fn has(&self, tree: u32) -> bool {
        self.trees.contains(&tree)
    }

    /// The files of `tree` are pipes.
    pub fn add(&mut self, tree: u32) {
        if self.trees.len() < MAX_TREES {
            self.trees.insert(tree);
        }
    }

    /// A file of `tree` is opened by name; answers whether that shows that it is a pipe.
    pub fn note(&mut self, tree: u32, name: &str) -> bool {
        let shows = !self.has(tree) && NAMES.contains(&name);
        if shows {
            self.add(tree);
        }
        shows
    }

    /// Bytes in the pipe `file`.
    pub fn deliver(&mut self, cx: &mut Context<'_>, file: u64, side: Side, bytes: &[u8]) {
        if self.calls.len() >= MAX_PIPES && !self.calls.contains_key(&file) {
            self.calls.clear();
        }
        // What is no call is left alone, as it is not a connection of its own.
        let _ = self.calls.entry(file).or_default().deliver(cx, side, bytes);
    }
}
