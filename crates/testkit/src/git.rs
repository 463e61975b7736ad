//! `git merge-file` as the judge of merges.
//!
//! Owns the call. Refuses to know what is merged.

use std::fs;
use std::process::{Command, Stdio};

use crate::must;

/// What a test says that cannot run without it.
pub const GIT_ABSENT: &str = "git is not installed";

/// A directory of its own in which git merges.
pub struct Git(tempfile::TempDir);

impl Git {
    /// `None`: there is no git.
    pub fn find() -> Option<Self> {
        let found = Command::new("git").arg("--version").stdout(Stdio::null()).status();
        // In memory where there is such a place: a test makes thousands of files.
        let place = |found: bool| if found { "/dev/shm".into() } else { std::env::temp_dir() };
        let inside = place(fs::metadata("/dev/shm").is_ok_and(|at| at.is_dir()));
        found
            .is_ok_and(|status| status.success())
            .then(|| Self(must(tempfile::tempdir_in(inside), "a directory for git")))
    }

    /// The merge of three texts; `None` is a conflict.
    pub fn merge(&self, base: &[u8], ours: &[u8], theirs: &[u8]) -> Option<Vec<u8>> {
        for (name, text) in [("base", base), ("ours", ours), ("theirs", theirs)] {
            must(fs::write(self.0.path().join(name), text), name);
        }
        let mut git = Command::new("git");
        git.current_dir(self.0.path()).args(["merge-file", "-p", "-q", "ours", "base", "theirs"]);
        // No configuration of this machine may choose another algorithm.
        git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        let output = must(git.output(), "git merge-file");
        output.status.success().then_some(output.stdout)
    }
}
