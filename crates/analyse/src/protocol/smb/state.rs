//! What is remembered from message to message: files, trees, and requests that wait for their answer.
//!
//! Files and trees are shared: a request, its answer and an identifier on the wire mean the same one. They are kept in two tables,
//! and what nobody points to any more is thrown out now and then. Bounded: [`MAX_PENDING`] requests, [`MAX_FILES`]
//! open files and [`MAX_TREES`] trees, each name cut at [`MAX_NAME`] bytes; beyond, all is forgotten.
//!
//! Source: Zeek's scripts/base/protocols/smb/{main,smb1-main,smb2-main,files}.zeek.

use std::collections::{HashMap, HashSet};

use crate::context::Context;
use crate::file::FileHandle;

/// Most requests that wait (Zeek: `SMB::max_pending_messages`).
const MAX_PENDING: usize = 1000;
/// Most files that are open.
const MAX_FILES: usize = 8192;
/// Most trees that are connected.
const MAX_TREES: usize = 1024;
/// Most bytes of a name.
const MAX_NAME: usize = 4096;
/// 1970, in the units and from the beginning of Windows' clock.
const EPOCH: u64 = 116_444_736_000_000_000;

/// What is known of a file.
#[derive(Clone, Default, Debug)]
pub struct Info {
    /// Its name in its tree.
    pub name: Option<String>,
    /// The path of its tree.
    pub path: Option<String>,
    /// Its size when it was opened.
    pub size: u64,
    /// When it was changed last, by Windows' clock.
    pub modified: u64,
}

impl Info {
    /// What tells it from other files; one without name has nothing.
    pub fn handle(&self, cx: &Context<'_>) -> Option<FileHandle> {
        if self.name.is_none() && self.path.is_none() {
            return None;
        }
        let id = &cx.connection.id;
        let [path, name] =
            [&self.path, &self.name].map(|text| text.as_deref().unwrap_or_default().as_bytes());
        Some(cx.file_handle(&[b"SMB", &id.orig_h.0, &id.resp_h.0, path, name, &self.modified.to_be_bytes()]))
    }
}

/// Where a file or tree is in its table.
type Key = u32;

/// A request, and what it and its answer are about.
#[derive(Clone, Copy, Default, Debug)]
struct Request {
    number: u64,
    file: Key,
    tree: Option<Key>,
}

/// The memory of one connection.
#[derive(Default)]
pub struct State {
    next: Key,
    files: HashMap<Key, Info>,
    trees: HashMap<Key, Option<String>>,
    /// Files by their identifier on the wire.
    open: HashMap<u64, Key>,
    /// Trees by their identifier on the wire.
    connected: HashMap<u32, Key>,
    pending: HashMap<u64, Request>,
    /// The request in work.
    request: Request,
    file: Option<Key>,
    tree: Option<Key>,
}

impl State {
    fn new_key(&mut self) -> Key {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    fn new_file(&mut self) -> Key {
        let key = self.new_key();
        self.files.insert(key, Info::default());
        key
    }

    fn new_tree(&mut self, path: Option<String>) -> Key {
        let key = self.new_key();
        self.trees.insert(key, path);
        key
    }

    /// The file in work.
    pub fn file(&self) -> Option<&Info> {
        self.files.get(&self.file?)
    }

    fn file_mut(&mut self) -> Option<&mut Info> {
        self.files.get_mut(&self.file?)
    }

    /// The path of the tree in work.
    fn path(&self) -> Option<String> {
        self.trees.get(&self.tree?)?.clone()
    }

    /// A message of SMB 2 begins; `is_over`: it is an answer, and the last one.
    pub fn begin_v2(&mut self, number: u64, tree: u32, is_over: bool) {
        self.begin(number);
        if tree > 0 {
            let key = match (self.request.tree, self.connected.get(&tree)) {
                (Some(key), _) => key,
                (None, Some(key)) => *key,
                (None, None) => self.new_tree(None),
            };
            self.connect(tree, key);
            self.request.tree = Some(key);
        } else {
            self.request.tree = Some(self.new_tree(None));
        }
        (self.file, self.tree) = (Some(self.request.file), self.request.tree);
        self.keep(is_over);
    }

    /// A message of SMB 1 begins.
    pub fn begin_v1(&mut self, number: u64, tree: u32, is_over: bool) {
        let key = match self.connected.get(&tree) {
            Some(key) => *key,
            None => self.new_tree(None),
        };
        self.connect(tree, key);
        self.tree = Some(key);
        if self.begin(number) {
            self.request.tree = Some(key);
        }
        self.keep(is_over);
    }

    /// Takes up the request with that number; answers whether it is new.
    fn begin(&mut self, number: u64) -> bool {
        let known = self.pending.get(&number).copied();
        self.request = known.unwrap_or_else(|| Request { number, file: self.new_file(), tree: None });
        known.is_none()
    }

    fn connect(&mut self, tree: u32, key: Key) {
        self.connected.insert(tree, key);
        if self.connected.len() > MAX_TREES {
            *self = Self::default();
        }
    }

    /// Remembers the request in work until its answer came.
    fn keep(&mut self, is_over: bool) {
        let request = self.request;
        if is_over {
            self.pending.remove(&request.number);
        } else {
            self.pending.insert(request.number, request);
        }
        if self.pending.len() > MAX_PENDING || self.open.len() > MAX_FILES {
            *self = Self::default();
        }
        self.sweep();
    }

    /// Throws out what nobody points to.
    fn sweep(&mut self) {
        let wanted = self.open.len() + self.pending.len() + self.connected.len();
        if self.files.len() + self.trees.len() <= 64 + 3 * wanted {
            return;
        }
        let requests = || self.pending.values().chain([&self.request]);
        let files: HashSet<Key> =
            self.open.values().copied().chain(requests().map(|r| r.file)).chain(self.file).collect();
        let trees: HashSet<Key> = self
            .connected
            .values()
            .copied()
            .chain(requests().filter_map(|r| r.tree))
            .chain(self.tree)
            .collect();
        self.files.retain(|key, _| files.contains(key));
        self.trees.retain(|key, _| trees.contains(key));
    }

    /// Changes the request in work, also where it waits.
    fn change_request(&mut self, what: impl FnOnce(&mut Request)) {
        what(&mut self.request);
        if let Some(pending) = self.pending.get_mut(&self.request.number) {
            *pending = self.request;
        }
    }

    /// The request in work is to connect to the tree of that path.
    pub fn tree_asked(&mut self, mut path: String) {
        cut(&mut path);
        if let Some(tree) = self.tree.and_then(|key| self.trees.get_mut(&key)) {
            *tree = Some(path);
        }
    }

    /// SMB 1: the request in work is to connect to the tree of that path, which is another than the one in work.
    pub fn tree_asked_v1(&mut self, mut path: String) {
        cut(&mut path);
        let key = self.new_tree(Some(path));
        self.change_request(|request| request.tree = Some(key));
    }

    /// SMB 1: the tree that the request in work asked for is connected.
    pub fn tree_connected_v1(&mut self, tree: u32) {
        if let Some(key) = self.request.tree {
            self.tree = Some(key);
            self.connect(tree, key);
        }
    }

    /// The tree is given back.
    pub fn tree_over(&mut self, tree: u32) {
        if self.connected.remove(&tree).is_some() {
            self.tree = None;
            self.change_request(|request| request.tree = None);
        }
    }

    /// The request in work is to open the file of that name.
    pub fn create_asked(&mut self, mut name: String) {
        cut(&mut name);
        if let Some(file) = self.file_mut() {
            file.name = Some(name);
        }
    }

    /// SMB 1: the same, for a file of its own.
    pub fn create_asked_v1(&mut self, name: String) {
        let key = self.new_file();
        self.change_request(|request| request.file = key);
        self.file = Some(key);
        self.create_asked(name);
    }

    /// The file that the request in work asked for is open.
    pub fn created(&mut self, id: u64, size: u64, modified: u64) {
        self.take(id);
        let path = self.path();
        if let Some(file) = self.file_mut() {
            file.path = path.or_else(|| file.path.take());
        }
        self.opened(id, size, modified);
    }

    /// SMB 1: the same; the path comes later.
    pub fn created_v1(&mut self, id: u64, size: u64, modified: u64) {
        self.file = Some(self.request.file);
        self.opened(id, size, modified);
    }

    fn opened(&mut self, id: u64, size: u64, modified: u64) {
        if let Some(file) = self.file_mut() {
            file.size = size;
            if modified > EPOCH {
                file.modified = modified;
            }
        }
        if let Some(key) = self.file {
            self.open.insert(id, key);
        }
    }

    /// The message in work is about the open file `id`.
    pub fn take(&mut self, id: u64) {
        let key = *self.open.entry(id).or_insert(self.request.file);
        self.change_request(|request| request.file = key);
        self.file = Some(key);
    }

    /// SMB 1: the same; the file is in the tree in work.
    pub fn take_v1(&mut self, id: u64) {
        self.take(id);
        let path = self.path();
        if let Some(file) = self.file_mut()
            && file.path.is_none()
        {
            file.path = path;
        }
    }

    /// The open file `id` has another name from now on.
    pub fn rename(&mut self, id: u64, name: String) {
        self.take(id);
        self.create_asked(name);
    }

    /// The open file `id` is closed.
    pub fn close(&mut self, id: u64) {
        self.take(id);
        let path = self.path();
        if let Some(file) = self.file_mut() {
            file.path = path.or_else(|| file.path.take());
        }
        self.open.remove(&id);
    }
}

fn cut(name: &mut String) {
    let mut end = MAX_NAME.min(name.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_points_to_is_thrown_out() {
        let mut state = State::default();
        state.begin_v2(0, 1, false);
        state.create_asked("kept".to_owned());
        state.begin_v2(0, 1, true);
        state.created(7, 1, 0);
        for number in 1..10_000 {
            state.begin_v2(number, 0, false);
            state.begin_v2(number, 0, true);
        }
        assert!(state.files.len() + state.trees.len() < 200);
        state.take(7);
        assert_eq!(state.file().unwrap().name.as_deref(), Some("kept"));
    }

    #[test]
    fn requests_without_answer_do_not_pile_up() {
        let mut state = State::default();
        for number in 0..100_000 {
            state.begin_v2(number, number as u32, false);
            state.take(number);
        }
        assert!(state.pending.len() <= MAX_PENDING && state.open.len() <= MAX_FILES);
    }
}
