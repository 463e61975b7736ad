//! The rules that the repository holds itself to, checked on its own text.
//!
//! Owns the list of rules and how findings are shown. Refuses what rustc, clippy and rustfmt check already.

mod edges;
mod files;
mod functions;
mod markdown;
mod mask;
mod ratchet;
mod source;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use files::Tracked;

/// One breach of a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, relative to the repository.
    pub file: PathBuf,
    /// The line from 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl Finding {
    /// A finding about a file as a whole.
    pub fn whole(file: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Self { file: file.into(), line: 0, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file.display(), self.what),
            line => write!(f, "{}:{line}: {}", self.file.display(), self.what),
        }
    }
}

/// Every breach of every rule in the repository at `root`, in order of place.
pub fn findings(root: &Path) -> Vec<Finding> {
    let tracked = Tracked::read(root);
    let mut all = edges::check(&tracked);
    all.extend(source::check(&tracked));
    all.extend(functions::check(&tracked));
    all.extend(markdown::check(&tracked));
    all.sort();
    all
}

/// Prints every finding; fails where there is one.
pub fn run(root: &Path) -> ExitCode {
    let all = findings(root);
    for finding in &all {
        println!("{finding}");
    }
    println!("tidy: {} findings", all.len());
    if all.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_repository_is_tidy() {
        let all: Vec<String> = super::findings(&crate::root()).iter().map(ToString::to_string).collect();
        assert!(all.is_empty(), "{} findings:\n{}", all.len(), all.join("\n"));
    }
}
