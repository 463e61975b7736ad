//! The directories that a scan would visit, for whoever watches them.
//!
//! Owns going through them by the rules. Refuses to look at files.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use wfr_model::coverage::SkipReason;
use wfr_model::{TreePath, path};

use super::names::Names;
use super::rules::{Kept, Place, Rules, TAG_NAME};
use super::{fstime, stat, walk};
use crate::disk;

/// A directory on the way.
#[derive(Clone, Copy, Debug)]
pub enum Directory<'f> {
    /// Open for listing, which comes when this was handled: whatever is made in it later, somebody else must tell.
    Open(BorrowedFd<'f>),
    /// It cannot be opened, or it stands where other machines or programs change files without this kernel's knowledge.
    Opaque,
}

/// Goes through `from` and the directories below it that a scan under these rules visits, each before those in it. What is
/// gone by then is passed over. `enter` says whether to go on into it.
pub fn directories(
    root: BorrowedFd<'_>,
    from: &TreePath,
    rules: &Rules,
    enter: &mut dyn FnMut(&TreePath, Directory<'_>) -> io::Result<bool>,
) -> io::Result<()> {
    let mut names = Names::default();
    let mut waiting = vec![from.clone()];
    while let Some(dir) = waiting.pop() {
        let place = Path::new(OsStr::from_bytes(dir.as_bytes()));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let opened = if dir.is_root() {
            super::task::reopen(root).map_err(io::Error::from)
        } else {
            disk::open_beneath(root, place, flags, Mode::empty())
        };
        let fd = match opened {
            Ok(fd) => fd,
            Err(error) if is_gone(&error) => continue,
            Err(_) => {
                enter(&dir, Directory::Opaque)?;
                continue;
            }
        };
        let found = stat::of(&fd)?;
        if !dir.is_root() && rules.is_own(found.dev, found.ino) {
            continue;
        }
        if !fstime::is_local(&fd) {
            enter(&dir, Directory::Opaque)?;
            continue;
        }
        if !enter(&dir, Directory::Open(fd.as_fd()))? {
            continue;
        }
        match names.list(&fd) {
            Ok(()) => below(&dir, fd.as_fd(), rules, &names, &mut waiting),
            Err(error) if is_gone(&error.into()) => {}
            Err(_) => drop(enter(&dir, Directory::Opaque)?),
        }
    }
    Ok(())
}

fn is_gone(error: &io::Error) -> bool {
    let gone = [rustix::io::Errno::NOENT, rustix::io::Errno::NOTDIR, rustix::io::Errno::LOOP];
    gone.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// The directories in one that was listed.
fn below(dir: &TreePath, fd: BorrowedFd<'_>, rules: &Rules, names: &Names, waiting: &mut Vec<TreePath>) {
    let (place, kept, is_kept) = standing(dir, rules);
    let is_left_out = !dir.is_root()
        && (walk::is_others(place, fd, names)
            || (rules.skip_cachedir_tag && !is_kept && names.contains(TAG_NAME) && walk::is_tagged(fd)));
    if is_left_out {
        return;
    }
    for (name, kind) in names.iter() {
        let bytes = name.to_bytes();
        let is_dir = match kind {
            FileType::Directory => true,
            FileType::Unknown => stat::at(fd, name, false).is_ok_and(|stat| stat.kind() == FileType::Directory),
            _ => false,
        };
        if is_dir && path::check_component(bytes).is_ok() && is_captured(rules, place, &kept, bytes) {
            waiting.push(dir.join(bytes));
        }
    }
}

fn is_captured(rules: &Rules, place: Place, kept: &Kept, name: &[u8]) -> bool {
    match rules.by_name(place, name) {
        None => true,
        Some(SkipReason::Excluded) => kept.holds(rules, name),
        Some(_) => false,
    }
}

/// Where a directory stands, which kept paths lie below it, and whether it is one itself.
fn standing(dir: &TreePath, rules: &Rules) -> (Place, Kept, bool) {
    let (mut place, mut kept, mut is_kept) = (Place::Root, Kept::at_root(rules), true);
    for name in dir.components() {
        is_kept = kept.holds(rules, name);
        (place, kept) = (place.below(name), kept.below(rules, name));
    }
    (place, kept, is_kept)
}

impl Rules {
    /// Whether a directory's entry is left out for its name.
    pub fn leaves_out(&self, dir: &TreePath, name: &[u8]) -> bool {
        let (place, kept, _) = standing(dir, self);
        !is_captured(self, place, &kept, name)
    }
}

#[cfg(test)]
mod tests {
    use wfr_testkit::TestTree;

    use super::*;

    fn found(tree: &TestTree, rules: &Rules) -> Vec<String> {
        let root = disk::open_dir(tree.path()).unwrap();
        let mut found = Vec::new();
        directories(root.as_fd(), &TreePath::ROOT, rules, &mut |dir, how| {
            found.push(format!("{dir}{}", if matches!(how, Directory::Open(_)) { "" } else { "?" }));
            Ok(true)
        })
        .unwrap();
        found.sort();
        found
    }

    #[test]
    fn what_is_left_out_is_not_visited() {
        let tree = TestTree::new();
        for dir in ["src/deep", ".git/objects", "target/debug", "kept/.git/x", ".claude/recovery/checkpoints"] {
            std::fs::create_dir_all(tree.at(dir)).unwrap();
        }
        std::fs::write(tree.at("target/CACHEDIR.TAG"), super::super::rules::TAG_SIGNATURE).unwrap();
        std::os::unix::fs::symlink("src", tree.at("link")).unwrap();
        let rules = Rules { exclude: vec![b".git".to_vec()], skip_cachedir_tag: true, ..Rules::default() };
        assert_eq!(found(&tree, &rules), ["", ".claude", "kept", "src", "src/deep", "target"]);
        let rules = Rules { keep: vec!["kept/.git".parse().unwrap(), "target".parse().unwrap()], ..rules };
        let more = ["", ".claude", "kept", "kept/.git", "kept/.git/x", "src", "src/deep", "target", "target/debug"];
        assert_eq!(found(&tree, &rules), more);
        assert!(rules.leaves_out(&"src".parse().unwrap(), b".git"));
        assert!(!rules.leaves_out(&"kept".parse().unwrap(), b".git"));
    }
}
