//! A directory as a comparable value: names, kinds, bytes, modes, mtimes, link targets, hard links.
//!
//! Owns what "equal in every way that a restore promises" means to tests. Refuses to follow symbolic links or
//! to open anything but regular files.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::{self, Metadata};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::must;

/// What stands at a path.
#[derive(Clone, PartialEq, Eq)]
pub enum What {
    /// A regular file: its length in bytes and its SHA-256.
    File(u64, [u8; 32]),
    /// A directory.
    Dir,
    /// A symbolic link and where it points.
    Symlink(Vec<u8>),
    /// A named pipe.
    Fifo,
    /// A local socket.
    Socket,
    /// Anything else, such as a device.
    Other,
}

impl fmt::Debug for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(bytes, hash) => write!(f, "File({bytes} bytes, {:02x?})", &hash[..4]),
            Self::Dir => f.write_str("Dir"),
            Self::Symlink(target) => write!(f, "Symlink({})", target.escape_ascii()),
            Self::Fifo => f.write_str("Fifo"),
            Self::Socket => f.write_str("Socket"),
            Self::Other => f.write_str("Other"),
        }
    }
}

/// One entry, with what a restore promises about it.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub what: What,
    /// Permission bits, 0 to 0o7777; 0 for symbolic links, which have none of their own.
    pub mode: u32,
    /// Modification time in nanoseconds since the epoch.
    pub mtime_ns: i128,
    /// The first path, in byte order, of the same inode; `None` for a file with one name only.
    pub same_as: Option<Vec<u8>>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:o} @{}", self.what, self.mode, self.mtime_ns)?;
        match &self.same_as {
            Some(path) => write!(f, " = {}", path.escape_ascii()),
            None => Ok(()),
        }
    }
}

/// All entries below a directory by path, as bytes relative to it; the directory itself is not among them.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The entries.
    pub entries: BTreeMap<Vec<u8>, Entry>,
}

/// Paths that belong to `wfr` itself, and to git: left out everywhere.
const OWN: [&[u8]; 3] = [b".claude/recovery", b".wfr-staging", b".git"];

impl Snapshot {
    /// Reads a directory whole, but for `wfr`'s own paths and `.git`.
    #[track_caller]
    pub fn of(dir: &Path) -> Self {
        let mut entries = BTreeMap::new();
        let mut names = HashMap::<(u64, u64), Vec<Vec<u8>>>::new();
        let mut pending = vec![Vec::new()];
        while let Some(inside) = pending.pop() {
            let listing = must(fs::read_dir(dir.join(as_path(&inside))), format_args!("list {}", dir.display()));
            for child in listing {
                let child = must(child, format_args!("list {}", dir.display()));
                let path = join(&inside, child.file_name().as_bytes());
                if is_own(&path) {
                    continue;
                }
                let meta = must(child.path().symlink_metadata(), child.path().display());
                if meta.is_dir() {
                    pending.push(path.clone());
                } else if meta.nlink() > 1 {
                    names.entry((meta.dev(), meta.ino())).or_default().push(path.clone());
                }
                entries.insert(path, entry(&child.path(), &meta));
            }
        }
        let mut snapshot = Self { entries };
        snapshot.note_links(names.into_values());
        snapshot
    }

    /// Marks the groups of names that share an inode.
    fn note_links(&mut self, groups: impl Iterator<Item = Vec<Vec<u8>>>) {
        for mut group in groups.filter(|group| group.len() > 1) {
            group.sort();
            for path in &group {
                if let Some(entry) = self.entries.get_mut(path) {
                    entry.same_as = Some(group[0].clone());
                }
            }
        }
    }

    /// The same without modification times: for restores that do not promise them.
    pub fn without_mtimes(mut self) -> Self {
        self.entries.values_mut().for_each(|entry| entry.mtime_ns = 0);
        self
    }

    /// The same without directories' modification times: entries of `wfr`'s own come and go beside the user's.
    pub fn without_dir_mtimes(mut self) -> Self {
        self.entries.values_mut().filter(|entry| entry.what == What::Dir).for_each(|entry| entry.mtime_ns = 0);
        self
    }

    /// The same without pipes, sockets and devices, which checkpoints record and restores leave alone.
    pub fn without_specials(mut self) -> Self {
        self.entries.retain(|_, entry| matches!(entry.what, What::File(..) | What::Dir | What::Symlink(_)));
        self
    }

    /// The same without what the filter refuses, by path. Of a file's names only those that are left are its names.
    pub fn only(mut self, keep: impl Fn(&[u8]) -> bool) -> Self {
        self.entries.retain(|path, _| keep(path));
        let mut groups = HashMap::<Vec<u8>, Vec<Vec<u8>>>::new();
        for (path, entry) in &mut self.entries {
            if let Some(first) = entry.same_as.take() {
                groups.entry(first).or_default().push(path.clone());
            }
        }
        self.note_links(groups.into_values());
        self
    }

    /// Every difference as one line: `path: before -> after`. Empty where both are equal.
    pub fn differences(&self, after: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (path, old) in &self.entries {
            let text = path.escape_ascii();
            match after.entries.get(path) {
                None => lines.push(format!("{text}: {old:?} -> absent")),
                Some(new) if new != old => lines.push(format!("{text}: {old:?} -> {new:?}")),
                Some(_) => {}
            }
        }
        let fresh = after.entries.iter().filter(|(path, _)| !self.entries.contains_key(*path));
        lines.extend(fresh.map(|(path, new)| format!("{}: absent -> {new:?}", path.escape_ascii())));
        lines
    }

    /// Panics with the first differences unless both are equal.
    #[track_caller]
    pub fn assert_same(&self, after: &Self) {
        let lines = self.differences(after);
        let shown = lines.iter().take(20).map(String::as_str).collect::<Vec<_>>().join("\n  ");
        assert!(lines.is_empty(), "{} entries differ:\n  {shown}", lines.len());
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.entries.iter().map(|(path, entry)| (path.escape_ascii().to_string(), entry)))
            .finish()
    }
}

/// A path relative to the root, with one more name.
fn join(inside: &[u8], name: &[u8]) -> Vec<u8> {
    if inside.is_empty() {
        return name.to_vec();
    }
    [inside, b"/", name].concat()
}

fn as_path(bytes: &[u8]) -> std::path::PathBuf {
    std::ffi::OsString::from_vec(bytes.to_vec()).into()
}

/// Whether a path is one of [`OWN`]: the first two at the root only, `.git` and staging anywhere.
fn is_own(path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    path == OWN[0] || OWN[1..].contains(&name)
}

/// Reads one entry.
#[track_caller]
fn entry(path: &Path, meta: &Metadata) -> Entry {
    let kind = meta.file_type();
    let what = if kind.is_file() {
        let bytes = must(fs::read(path), format_args!("read {}", path.display()));
        What::File(bytes.len() as u64, Sha256::digest(&bytes).into())
    } else if kind.is_dir() {
        What::Dir
    } else if kind.is_symlink() {
        What::Symlink(must(fs::read_link(path), path.display()).into_os_string().into_vec())
    } else if kind.is_fifo() {
        What::Fifo
    } else if kind.is_socket() {
        What::Socket
    } else {
        What::Other
    };
    let mode = if kind.is_symlink() { 0 } else { meta.mode() & 0o7777 };
    let mtime_ns = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
    Entry { what, mode, mtime_ns, same_as: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TestTree;

    #[test]
    fn sees_every_kind_of_change() {
        let tree = TestTree::of_every_kind();
        let now = || Snapshot::of(tree.path()).without_dir_mtimes();
        let before = now();
        assert_eq!(before, now());
        let changes: [&dyn Fn(); 6] = [
            &|| tree.write("a.txt", b"other"),
            &|| tree.set_mode("run.sh", 0o700),
            &|| tree.set_mtime("sub/deep/c.txt", 1, 1),
            &|| tree.remove("empty"),
            &|| tree.symlink("new-link", b"nowhere"),
            &|| tree.write(".git/HEAD", b"left out"),
        ];
        let count = |change: &&dyn Fn()| {
            change();
            before.differences(&now()).len()
        };
        // The first change shows under both names of the file.
        assert_eq!(changes.iter().map(count).collect::<Vec<_>>(), [2, 3, 4, 5, 6, 6]);
    }

    #[test]
    fn a_file_has_the_names_that_are_left() {
        let tree = TestTree::of_every_kind();
        let whole = Snapshot::of(tree.path());
        let of = |snapshot: &Snapshot, path: &[u8]| snapshot.entries[path].same_as.clone();
        assert_eq!(of(&whole, b"a.txt").as_deref(), Some(&b"a.txt"[..]));
        assert_eq!(whole.clone().only(|_| true), whole);
        assert_eq!(of(&whole.clone().only(|path| path != b"sub/a-again"), b"a.txt"), None);
        assert_eq!(of(&whole.only(|path| path != b"a.txt"), b"sub/a-again"), None);
    }
}
