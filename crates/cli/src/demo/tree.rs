//! The demo's tree: making it and reading it whole.
//!
//! Owns a reader of its own, so that what wfr claims is not checked by wfr. Refuses to change what it reads.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// What stands at one path.
#[derive(PartialEq, Eq)]
enum Thing {
    File(Vec<u8>),
    Directory,
    Link(PathBuf),
}

#[derive(PartialEq, Eq)]
struct Seen {
    thing: Thing,
    mode: u32,
    modified: (i64, i64),
    links: u64,
}

/// Everything below a directory but wfr's own files.
pub(super) struct Tree(BTreeMap<PathBuf, Seen>);

impl Tree {
    pub(super) fn read(root: &Path) -> io::Result<Self> {
        let mut all = BTreeMap::new();
        read_into(root, root, &mut all)?;
        Ok(Self(all))
    }

    pub(super) fn files(&self) -> u64 {
        self.0.values().filter(|seen| seen.thing != Thing::Directory).count() as u64
    }

    pub(super) fn bytes(&self) -> u64 {
        let size = |seen: &Seen| if let Thing::File(bytes) = &seen.thing { bytes.len() as u64 } else { 0 };
        self.0.values().map(size).sum()
    }

    /// How many paths differ, directories' times aside.
    pub(super) fn differences(&self, other: &Self) -> usize {
        let paths: std::collections::BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        paths.into_iter().filter(|path| !same(self.0.get(*path), other.0.get(*path))).count()
    }

    /// The first path that differs, in words.
    pub(super) fn first_difference(&self, wanted: &Self) -> Option<String> {
        let paths: std::collections::BTreeSet<_> = self.0.keys().chain(wanted.0.keys()).collect();
        paths.into_iter().find_map(|path| describe(path, self.0.get(path), wanted.0.get(path)))
    }
}

fn same(now: Option<&Seen>, wanted: Option<&Seen>) -> bool {
    match (now, wanted) {
        (Some(a), Some(b)) if a.thing == Thing::Directory => b.thing == Thing::Directory && a.mode == b.mode,
        (a, b) => a == b,
    }
}

fn describe(path: &Path, now: Option<&Seen>, wanted: Option<&Seen>) -> Option<String> {
    let place = path.display();
    match (now, wanted) {
        (None, Some(_)) => Some(format!("{place} is missing")),
        (Some(_), None) => Some(format!("{place} should not be there")),
        (Some(a), Some(b)) if a.thing != b.thing => Some(format!("{place} has another content")),
        (Some(a), Some(b)) if a.mode != b.mode => Some(format!("{place} has mode {:o}, not {:o}", a.mode, b.mode)),
        (Some(a), Some(b)) if a.links != b.links => Some(format!("{place} has {} links, not {}", a.links, b.links)),
        (Some(a), Some(b)) if a.modified != b.modified && a.thing != Thing::Directory => {
            Some(format!("{place} has another modification time"))
        }
        _ => None,
    }
}

fn read_into(root: &Path, dir: &Path, all: &mut BTreeMap<PathBuf, Seen>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let below = path.strip_prefix(root).unwrap_or(&path).to_owned();
        if below == Path::new(".claude") || below == Path::new(".wfr-staging") {
            continue;
        }
        let meta = fs::symlink_metadata(&path)?;
        all.insert(below, see(&path, &meta)?);
        if meta.is_dir() {
            read_into(root, &path, all)?;
        }
    }
    Ok(())
}

fn see(path: &Path, meta: &Metadata) -> io::Result<Seen> {
    let thing = if meta.is_symlink() {
        Thing::Link(fs::read_link(path)?)
    } else if meta.is_dir() {
        Thing::Directory
    } else {
        Thing::File(fs::read(path)?)
    };
    let links = if meta.is_file() { meta.nlink() } else { 1 };
    Ok(Seen { thing, mode: meta.mode() & 0o7777, modified: (meta.mtime(), meta.mtime_nsec()), links })
}

/// Makes the demo's project; returns in words what it is a copy of.
pub(super) fn populate(work: &Path) -> io::Result<&'static str> {
    let sources = super::sources();
    let found = sources.join("Cargo.lock").is_file();
    if found {
        copy(&sources, work)?
    } else {
        generate(work)?
    }
    fs::create_dir_all(work.join("data/empty"))?;
    fs::write(work.join("data/.env"), "SECRET=1\n")?;
    fs::set_permissions(work.join("data/.env"), Permissions::from_mode(0o600))?;
    fs::write(work.join("data/run.sh"), "#!/bin/sh\necho run\n")?;
    fs::set_permissions(work.join("data/run.sh"), Permissions::from_mode(0o755))?;
    symlink("run.sh", work.join("data/link"))?;
    fs::write(work.join("data/twin-a"), "one file, two names\n")?;
    fs::hard_link(work.join("data/twin-a"), work.join("data/twin-b"))?;
    fs::write(work.join("data").join(OsStr::from_bytes(b"name-\xff-of-no-encoding")), "bytes\n")?;
    let mut large = fs::File::create(work.join("data/large.bin"))?;
    let mut state = 0x2545_f491_4f6c_dd1du64;
    for _ in 0..(6 << 20) / 8 {
        // Marsaglia's xorshift: noise that does not compress.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        large.write_all(&state.to_le_bytes())?;
    }
    Ok(if found { "this program's own sources" } else { "a generated tree, as the sources are not here" })
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        if name == "target" || name == ".git" || name == ".claude" || name == ".wfr-staging" {
            continue;
        }
        if kind.is_dir() {
            copy(&entry.path(), &to.join(name))?;
        } else if kind.is_file() {
            fs::copy(entry.path(), to.join(name))?;
        }
    }
    Ok(())
}

fn generate(work: &Path) -> io::Result<()> {
    for dir in 0..20 {
        let place = work.join(format!("crates/part{dir}/src"));
        fs::create_dir_all(&place)?;
        for file in 0..20 {
            let line = format!("pub fn f{file}() -> u32 {{ {dir} }}\n");
            fs::write(place.join(format!("m{file}.rs")), line.repeat(file + 1))?;
        }
    }
    Ok(())
}

/// Gives every directory back the bits that removing it needs.
pub(super) fn make_removable(dir: &Path) -> io::Result<()> {
    fs::set_permissions(dir, Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            make_removable(&entry.path())?;
        }
    }
    Ok(())
}
