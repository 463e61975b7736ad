//! Random edits of a tree, as users and agents make them.
//!
//! Owns the mix: writes in place and by rename, modes, times, moves, removals, changes of kind. Refuses to touch
//! `.git` and `wfr`'s own directories.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use crate::random::{Prng, link_target};
use crate::snapshot::{Snapshot, What};
use crate::{TestTree, must};

/// Makes one random edit; returns what it did, for the failure's message.
#[track_caller]
pub fn edit_at_random(tree: &TestTree, prng: &mut Prng) -> String {
    let all: Vec<(PathBuf, What)> = Snapshot::of(tree.path())
        .entries
        .into_iter()
        .filter(|(path, _)| path != b".claude")
        .map(|(path, entry)| (PathBuf::from(OsStr::from_bytes(&path)), entry.what))
        .collect();
    let fresh = fresh_path(tree, prng, &all);
    if all.is_empty() || prng.one_in(4) {
        return create(tree, prng, fresh);
    }
    let (path, what) = prng.pick(&all).clone();
    match prng.below(6) {
        0 => {
            tree.remove(&path);
            format!("remove {}", path.display())
        }
        1 if !fresh.starts_with(&path) => {
            must(fs::rename(tree.at(&path), tree.at(&fresh)), path.display());
            format!("move {} to {}", path.display(), fresh.display())
        }
        2 if !matches!(what, What::Symlink(_)) => {
            let mode = if what == What::Dir { *prng.pick(&[0o755, 0o700]) } else { prng.mode() };
            tree.set_mode(&path, mode);
            format!("chmod {mode:o} {}", path.display())
        }
        3 => {
            let (secs, nanos) = prng.mtime();
            tree.set_mtime(&path, secs, nanos);
            format!("touch {}", path.display())
        }
        4 => {
            tree.remove(&path);
            format!("remove, then {}", create(tree, prng, path))
        }
        _ if matches!(what, What::File(..)) => write(tree, prng, path),
        _ => create(tree, prng, fresh),
    }
}

/// A path that nothing stands at, in a directory that stands.
fn fresh_path(tree: &TestTree, prng: &mut Prng, all: &[(PathBuf, What)]) -> PathBuf {
    let dirs: Vec<_> = all.iter().filter(|(_, what)| *what == What::Dir).map(|(path, _)| path.clone()).collect();
    let parent = if dirs.is_empty() || prng.one_in(3) { PathBuf::new() } else { prng.pick(&dirs).clone() };
    loop {
        let path = parent.join(OsStr::from_bytes(&prng.name()));
        if tree.at(&path).symlink_metadata().is_err() {
            return path;
        }
    }
}

/// Makes an entry of a random kind where nothing stands.
fn create(tree: &TestTree, prng: &mut Prng, path: PathBuf) -> String {
    match prng.below(5) {
        0 => tree.dir(&path),
        1 => tree.symlink(&path, &link_target(prng)),
        2 => tree.write(path.join("child"), &prng.content()),
        _ => tree.write(&path, &prng.content()),
    }
    format!("create {}", path.display())
}

/// Changes a file's bytes: in place, at its end, to the same length, or through a rename.
fn write(tree: &TestTree, prng: &mut Prng, path: PathBuf) -> String {
    let old = tree.read(&path);
    let new = match prng.below(3) {
        0 => prng.content(),
        1 => [old, prng.bytes(10)].concat(),
        _ => old.iter().map(|byte| byte.wrapping_add(1)).collect(),
    };
    if prng.one_in(2) {
        tree.write(&path, &new);
        return format!("write {}", path.display());
    }
    let beside = path.with_file_name(".editor-swap");
    tree.write(&beside, &new);
    must(fs::rename(tree.at(&beside), tree.at(&path)), path.display());
    format!("replace {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TreeShape, grow};

    #[test]
    fn edits_change_the_tree_and_repeat_by_seed() {
        let run = |seed| {
            let tree = TestTree::new();
            let mut prng = Prng::new(seed);
            grow(&tree, &mut prng, TreeShape::default());
            let before = Snapshot::of(tree.path());
            let log: Vec<String> = (0..30).map(|_| edit_at_random(&tree, &mut prng)).collect();
            (before.differences(&Snapshot::of(tree.path())).len(), log)
        };
        let (changed, log) = run(3);
        assert!(changed > 5, "{log:?}");
        assert_eq!(log, run(3).1);
    }
}
