//! Writing a whole tree into an empty directory.
//!
//! Owns the fast way: no staging and no journal, because nothing is there that could be lost. Refuses a directory that
//! holds anything.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use rustix::fs::{Mode, OFlags};
use wfr_model::entry::{Content, Entry, Node};
use wfr_model::plan::RootMeta;
use wfr_model::{Digest, TreePath};
use wfr_store::content::{self, CopyError};
use wfr_store::tree;
use wfr_store::{Objects, ReadError, disk};

use crate::beneath::{self, os};
use crate::descent::Descent;
use crate::fresh::Fresh;
use crate::metadata::{Time, dress, dress_directory, dress_link, set_mode, set_time};
use crate::plan::LinkGroups;

/// Why a tree could not be written out. What was written is removed again.
#[derive(Debug, thiserror::Error)]
pub enum CheckoutError {
    /// The directory holds something.
    #[error("{0} is not empty")]
    NotEmpty(PathBuf),
    /// The store could not be read, or is damaged.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What a file needs of the store could not be read, or is damaged.
    #[error("`{path}` cannot be brought back: {source}")]
    ReadOf {
        /// Which file.
        path: TreePath,
        /// Why not.
        source: ReadError,
    },
    /// The system refused.
    #[error("cannot write {place}")]
    Io {
        /// Where.
        place: String,
        /// What the system said.
        source: io::Error,
    },
    /// It was asked to give up.
    #[error("interrupted")]
    Interrupted,
    /// Its time was over.
    #[error("the time limit was reached: what was written is removed again")]
    TimedOut,
}

/// What was written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Written {
    /// Files and links.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Bytes of files.
    pub bytes: u64,
    /// Pipes and sockets that were not created.
    pub left_out: u64,
    /// Files that were not written because their content is damaged.
    pub damaged: Vec<TreePath>,
}

/// What is to be written, and how.
pub struct Checkout<'c> {
    /// The store.
    pub objects: &'c dyn Objects,
    /// The tree.
    pub tree: Digest,
    /// What the directory itself gets; `None`: nothing.
    pub root: Option<RootMeta>,
    /// Its hard links.
    pub links: LinkGroups,
    /// Directories that are not made.
    pub leave_out: HashSet<TreePath>,
    /// Objects that are known to be damaged: files that need one are left out.
    pub damaged: &'c HashSet<Digest>,
    /// Whether owners are set.
    pub with_owner: bool,
    /// How many threads write.
    pub threads: usize,
    /// Set from outside to give up.
    pub abort: &'c AtomicBool,
    /// When to give up; once all is written and flushed it counts no more.
    pub deadline: Option<Instant>,
    /// Counts bytes written, for whoever shows it.
    pub bytes_done: &'c AtomicU64,
}

/// One directory's work: where it is and what is in it, directories left out.
type Batch = (TreePath, Vec<Entry>);

/// What a checkout makes.
#[derive(Default)]
struct Made {
    /// Directories, each before those below it.
    directories: Vec<(TreePath, Entry)>,
    /// Everything else.
    batches: Vec<Batch>,
}

impl Made {
    /// Removes what was made. A file that does not belong to it would keep its directory, and stays.
    fn remove(&self, root: &OwnedFd) {
        let mut descent = Descent::new(root);
        for (path, entries) in &self.batches {
            let Ok(dir) = descent.directory(path) else { continue };
            for entry in entries {
                let _ = disk::unlink(dir, os(&entry.name));
            }
        }
        for (path, _) in self.directories.iter().rev() {
            let _ = descent.parent(path).and_then(|dir| disk::remove_dir(dir, os(path.name())));
        }
    }
}

impl Checkout<'_> {
    /// Writes the tree into `dest`, which must exist and be empty, with one flush at the end.
    pub fn run(&self, dest: &Path) -> Result<Written, CheckoutError> {
        let failed = |source| CheckoutError::Io { place: dest.display().to_string(), source };
        if std::fs::read_dir(dest).map_err(failed)?.next().is_some() {
            return Err(CheckoutError::NotEmpty(dest.to_owned()));
        }
        let root = disk::open_dir(dest).map_err(failed)?;
        let mut made = Made::default();
        let written = self.write(&root, &mut made);
        if written.is_err() {
            made.remove(&root);
        }
        written
    }

    fn check_time(&self) -> Result<(), CheckoutError> {
        if self.abort.load(Ordering::Relaxed) {
            return Err(CheckoutError::Interrupted);
        }
        let is_over = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if is_over { Err(CheckoutError::TimedOut) } else { Ok(()) }
    }

    fn write(&self, root: &OwnedFd, made: &mut Made) -> Result<Written, CheckoutError> {
        self.make_directories(root, made)?;
        let Made { batches, directories } = made;
        let mut written = self.write_files(root, batches)?;
        written.directories = directories.len() as u64;
        self.link(root, &mut written.damaged)?;
        written.damaged.sort();
        let mut descent = Descent::new(root);
        for (path, entry) in directories.iter().rev() {
            let time = Some(Time::Exact(entry.meta.mtime));
            descent
                .parent(path)
                .and_then(|dir| dress_directory(dir, os(path.name()), entry, time, self.with_owner))
                .map_err(|source| CheckoutError::Io { place: path.to_string(), source })?;
        }
        let failed = |source| CheckoutError::Io { place: ".".to_owned(), source };
        if let Some(RootMeta { mode, mtime }) = self.root {
            set_mode(root, mode).map_err(failed)?;
            mtime.map_or(Ok(()), |time| set_time(root, Path::new("."), Time::Exact(time))).map_err(failed)?;
        }
        disk::sync_file_system(root.as_fd()).map_err(failed)?;
        self.check_time()?;
        Ok(written)
    }

    /// Makes all directories, each before what it holds; the rest becomes batches.
    fn make_directories(&self, root: &OwnedFd, made: &mut Made) -> Result<(), CheckoutError> {
        let mut waiting = vec![(TreePath::ROOT, self.tree)];
        let mut descent = Descent::new(root);
        while let Some((path, id)) = waiting.pop() {
            self.check_time()?;
            let failed = |source| CheckoutError::Io { place: path.to_string(), source };
            let dir = descent.directory(&path).map_err(failed)?;
            let mut entries = tree::read(self.objects, &id)?;
            for entry in &entries {
                if let Node::Dir(below) = entry.node {
                    let place = path.join(&entry.name);
                    if self.leave_out.contains(&place) {
                        continue;
                    }
                    disk::make_dir(dir, os(&entry.name), Mode::from_raw_mode(0o700)).map_err(failed)?;
                    made.directories.push((place.clone(), entry.clone()));
                    waiting.push((place, below));
                }
            }
            entries.retain(|entry| !matches!(entry.node, Node::Dir(_)));
            for part in entries.chunks(256) {
                made.batches.push((path.clone(), part.to_vec()));
            }
        }
        Ok(())
    }

    fn write_files(&self, root: &OwnedFd, batches: &[Batch]) -> Result<Written, CheckoutError> {
        let next = AtomicUsize::new(0);
        let total = Mutex::new(Written::default());
        let later: HashSet<&TreePath> = self.links.iter().flat_map(|group| &group[1..]).collect();
        let work = || -> Result<(), CheckoutError> {
            let mut own = Written::default();
            let mut descent = Descent::new(root);
            while let Some((path, entries)) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                let failed = |source| CheckoutError::Io { place: path.to_string(), source };
                let dir = descent.directory(path).map_err(failed)?;
                for entry in entries {
                    self.check_time()?;
                    if !later.is_empty() && later.contains(&path.join(&entry.name)) {
                        own.files += 1;
                        continue;
                    }
                    self.write_one(dir, path, entry, &mut own)?;
                }
            }
            let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
            total.files += own.files;
            total.bytes += own.bytes;
            total.left_out += own.left_out;
            total.damaged.append(&mut own.damaged);
            Ok(())
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (1..self.threads.max(1)).map(|_| scope.spawn(work)).collect();
            let mut result = work();
            for worker in workers {
                let other = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                result = result.and(other);
            }
            result
        })?;
        Ok(total.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn write_one(
        &self,
        dir: BorrowedFd<'_>,
        path: &TreePath,
        entry: &Entry,
        own: &mut Written,
    ) -> Result<(), CheckoutError> {
        let failed = |source| CheckoutError::Io { place: path.join(&entry.name).to_string(), source };
        let (name, time) = (os(&entry.name), Time::Exact(entry.meta.mtime));
        match &entry.node {
            Node::File(found) if self.is_damaged(found) => {
                own.damaged.push(path.join(&entry.name));
                return Ok(());
            }
            Node::File(found) => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
                let file =
                    disk::open_at(dir, name, flags, Mode::from_raw_mode(0o600)).map(File::from).map_err(failed)?;
                content::copy_to(self.objects, found, &mut Fresh::new(&file)).map_err(|error| match error {
                    CopyError::Read(source) => CheckoutError::ReadOf { path: path.join(&entry.name), source },
                    CopyError::Write(source) => failed(source),
                })?;
                dress(&file, entry, Some(time), self.with_owner).map_err(failed)?;
                own.bytes += found.size;
                self.bytes_done.fetch_add(found.size, Ordering::Relaxed);
            }
            Node::Symlink(target) => {
                disk::symlink(os(target), dir, name).map_err(failed)?;
                dress_link(dir, name, entry, time, self.with_owner).map_err(failed)?;
            }
            _ => {
                own.left_out += 1;
                return Ok(());
            }
        }
        own.files += 1;
        Ok(())
    }

    fn is_damaged(&self, found: &Content) -> bool {
        let is_known = |id: &Digest| self.damaged.contains(id);
        !self.damaged.is_empty()
            && content::chunks(self.objects, found).map_or(true, |all| all.iter().any(|(id, _)| is_known(id)))
    }

    /// Gives hard-linked files their other names.
    fn link(&self, root: &OwnedFd, damaged: &mut Vec<TreePath>) -> Result<(), CheckoutError> {
        for group in &self.links {
            let Some((first, others)) = group.split_first() else { continue };
            if damaged.contains(first) {
                damaged.extend_from_slice(others);
                continue;
            }
            for other in others {
                let failed = |source| CheckoutError::Io { place: other.to_string(), source };
                let from = beneath::parent(root, first).map_err(failed)?;
                let to = beneath::parent(root, other).map_err(failed)?;
                disk::link(from, os(first.name()), to, os(other.name())).map_err(failed)?;
            }
        }
        Ok(())
    }
}
