//! Opening one directory after another below a root, where each is near the one before: a tree of many levels costs what its
//! size asks for, and not the square of it.
//!
//! Owns the directories that are held open on the way down, and how many. Refuses to follow links, and to leave the root.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use wfr_model::TreePath;
use wfr_store::disk;

use crate::beneath::os;

/// So many directories are open at once, of each thread: a process may have a thousand or so.
const HELD_MAX: usize = 64;

/// One directory of so many is held on a way down that begins far above.
const STRIDE: usize = 32;

/// The way down to the directory that was asked for last.
pub(crate) struct Descent<'r> {
    root: &'r OwnedFd,
    /// Directories on that way, each below the one before.
    held: Vec<(TreePath, OwnedFd)>,
    /// How many names were looked up so far.
    #[cfg(test)]
    names: usize,
}

impl<'r> Descent<'r> {
    /// One that begins at a root.
    pub(crate) fn new(root: &'r OwnedFd) -> Self {
        Self {
            root,
            held: Vec::new(),
            #[cfg(test)]
            names: 0,
        }
    }

    /// A directory below the root, for use as the base of `*at` calls.
    pub(crate) fn directory(&mut self, path: &TreePath) -> io::Result<BorrowedFd<'_>> {
        while self.held.last().is_some_and(|(held, _)| !path.is_within(held)) {
            self.held.pop();
        }
        let bytes = path.as_bytes();
        let mut from = self.held.last().map_or(0, |(held, _)| held.as_bytes().len());
        while from < bytes.len() {
            let begin = if from == 0 { 0 } else { from + 1 };
            let end = begin + stride(&bytes[begin..]);
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            let found = disk::open_beneath(self.nearest(), os(&bytes[begin..end]), flags, Mode::empty())?;
            #[cfg(test)]
            {
                self.names += os(&bytes[begin..end]).components().count();
            }
            let place = TreePath::from_bytes(&bytes[..end]).map_err(io::Error::other)?;
            self.hold(place, found);
            from = end;
        }
        Ok(self.nearest())
    }

    /// The directory that holds a path.
    pub(crate) fn parent(&mut self, path: &TreePath) -> io::Result<BorrowedFd<'_>> {
        self.directory(&path.parent().unwrap_or_default())
    }

    fn nearest(&self) -> BorrowedFd<'_> {
        self.held.last().map_or(self.root.as_fd(), |(_, dir)| dir.as_fd())
    }

    /// Holds one more; where there are too many, every second one goes, and not the last.
    fn hold(&mut self, place: TreePath, dir: OwnedFd) {
        if self.held.len() == HELD_MAX {
            let mut number = 0;
            self.held.retain(|_| {
                number += 1;
                number % 2 == 0
            });
        }
        self.held.push((place, dir));
    }
}

/// How many bytes of a way down are opened at once: so many names, or all that are left.
fn stride(way: &[u8]) -> usize {
    let mut ends = way.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    ends.nth(STRIDE - 1).unwrap_or(way.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of names, so that each directory is told from the others.
    fn path(names: impl Iterator<Item = usize>) -> TreePath {
        names.fold(TreePath::ROOT, |path, name| path.join(name.to_string().as_bytes()))
    }

    #[test]
    fn each_directory_is_the_one_asked_for_wherever_the_last_one_was() {
        const DEPTH: usize = 300;
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join(os(path(0..DEPTH).as_bytes()))).unwrap();
        let root = disk::open_dir(dir.path()).unwrap();
        let mut descent = Descent::new(&root);
        let down = 0..=DEPTH;
        let jumps = [DEPTH, 1, 200, 0, 31, 32, 33, 299, 64].into_iter();
        for depth in down.clone().chain(down.rev()).chain(jumps) {
            let path = path(0..depth);
            let found = crate::beneath::look_at(descent.directory(&path).unwrap()).unwrap();
            let wanted = crate::beneath::look_at(crate::beneath::directory(&root, &path).unwrap()).unwrap();
            assert_eq!(found.identity(), wanted.identity(), "{depth}");
            assert!(descent.held.len() <= HELD_MAX);
        }
        assert!(descent.directory(&path(1..3)).is_err(), "it is not there");
    }

    #[test]
    fn a_way_down_and_up_again_costs_no_square() {
        const DEPTH: usize = 2_000;
        let dir = tempfile::tempdir().unwrap();
        let root = disk::open_dir(dir.path()).unwrap();
        let mut descent = Descent::new(&root);
        let all: Vec<TreePath> =
            (0..=DEPTH).scan(TreePath::ROOT, |path, _| Some(std::mem::replace(path, path.join(b"d")))).collect();
        for path in &all[..DEPTH] {
            disk::make_dir(descent.directory(path).unwrap(), os(b"d"), Mode::from_raw_mode(0o700)).unwrap();
        }
        assert_eq!(descent.names, DEPTH - 1, "each is made in the one that was made last");
        let mut up = Descent::new(&root);
        for path in all[1..].iter().rev() {
            disk::remove_dir(up.parent(path).unwrap(), os(b"d")).unwrap();
        }
        assert!(up.names < DEPTH * STRIDE, "{} names for {DEPTH} levels", up.names);
    }

    #[test]
    fn a_link_leads_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("in/side")).unwrap();
        std::os::unix::fs::symlink("in", dir.path().join("link")).unwrap();
        let root = disk::open_dir(dir.path()).unwrap();
        let mut descent = Descent::new(&root);
        assert!(descent.directory(&"in/side".parse().unwrap()).is_ok());
        assert!(descent.directory(&"link/side".parse().unwrap()).is_err());
    }
}
