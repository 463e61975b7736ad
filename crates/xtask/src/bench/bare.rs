//! The bare system calls that a look at every file takes.
//!
//! Owns the floor that no unwatched scan gets below: each directory opened, each file's `statx`, on all cores, with the
//! names known beforehand. Refuses to do anything with the answers.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};

/// A directory and the names of its files.
struct Dir {
    path: PathBuf,
    files: Vec<CString>,
}

/// The median wall time of one look at each file below `tree`, in seconds, and how many threads took part.
pub fn look(tree: &Path, repeat: usize) -> Result<(f64, usize), String> {
    let dirs = names(tree).map_err(|error| format!("cannot list {}: {error}", tree.display()))?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut times: Vec<f64> = (0..repeat).map(|_| look_once(&dirs, threads)).collect();
    times.sort_by(f64::total_cmp);
    Ok((times[times.len() / 2], threads))
}

fn look_once(dirs: &[Dir], threads: usize) -> f64 {
    let next = AtomicUsize::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(dir) = dirs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let Ok(fd) = rustix::fs::open(&dir.path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()) else {
                        continue;
                    };
                    for name in &dir.files {
                        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC;
                        std::hint::black_box(rustix::fs::statx(&fd, name, flags, StatxFlags::BASIC_STATS).is_ok());
                    }
                }
            });
        }
    });
    start.elapsed().as_secs_f64()
}

fn names(tree: &Path) -> std::io::Result<Vec<Dir>> {
    let (mut dirs, mut pending) = (Vec::new(), vec![tree.to_owned()]);
    while let Some(path) = pending.pop() {
        let mut files = Vec::new();
        for child in fs::read_dir(&path)? {
            let child = child?;
            if child.file_type()?.is_dir() {
                pending.push(child.path());
            } else {
                files.extend(CString::new(child.file_name().into_vec()));
            }
        }
        dirs.push(Dir { path, files });
    }
    Ok(dirs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_named_once() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        for file in ["x", "a/y", "a/b/z"] {
            fs::write(dir.path().join(file), "").unwrap();
        }
        let found = names(dir.path()).unwrap();
        assert_eq!((found.len(), found.iter().map(|dir| dir.files.len()).sum::<usize>()), (3, 3));
        assert!(look(dir.path(), 3).unwrap().0 > 0.0);
    }
}
