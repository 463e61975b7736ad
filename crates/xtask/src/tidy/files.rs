//! The repository's text files.
//!
//! Owns which files are looked at: what git tracks or would track, or, without git, all but build output.
//! Refuses to judge them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::mask::mask;

/// One text file.
pub struct Text {
    /// Relative to the repository.
    pub path: PathBuf,
    /// All of it.
    pub text: String,
    /// For Rust sources, the text with comments and literals blanked out; else empty.
    pub code: String,
}

impl Text {
    /// A file from its parts.
    pub fn new(path: impl Into<PathBuf>, text: &str) -> Self {
        let path = path.into();
        let code = if path.extension().is_some_and(|e| e == "rs") { mask(text) } else { String::new() };
        Self { path, text: text.to_owned(), code }
    }

    /// Whether it is a Rust source.
    pub fn is_rust(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension == "rs")
    }

    /// Whether it holds tests only.
    pub fn is_test(&self) -> bool {
        self.path.components().any(|part| part.as_os_str() == "tests")
    }
}

/// All of them, and where the repository is.
pub struct Tracked {
    /// The repository.
    pub root: PathBuf,
    /// Its text files, in order of path.
    pub files: Vec<Text>,
}

impl Tracked {
    /// Reads them all. Files that are not UTF-8 (test data) are left out.
    pub fn read(root: &Path) -> Self {
        let mut paths = from_git(root).unwrap_or_else(|| walk(root));
        paths.sort();
        paths.dedup();
        let read = |path: PathBuf| Some(Text::new(path.clone(), &fs::read_to_string(root.join(&path)).ok()?));
        Self { root: root.to_owned(), files: paths.into_iter().filter_map(read).collect() }
    }

    /// The file at a path.
    pub fn get(&self, path: &str) -> Option<&Text> {
        self.files.iter().find(|file| file.path == Path::new(path))
    }

    /// The Rust sources.
    pub fn rust(&self) -> impl Iterator<Item = &Text> {
        self.files.iter().filter(|file| file.is_rust())
    }
}

/// What git tracks and what it would track if it were added.
fn from_git(root: &Path) -> Option<Vec<PathBuf>> {
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").current_dir(root).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let paths: Vec<PathBuf> = text.split_terminator('\0').map(PathBuf::from).collect();
    (output.status.success() && !paths.is_empty()).then_some(paths)
}

/// Every file but build output and hidden directories other than the project's own.
fn walk(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(inside) = pending.pop() {
        let Ok(listing) = fs::read_dir(root.join(&inside)) else { continue };
        for child in listing.flatten() {
            let name = child.file_name();
            let path = inside.join(&name);
            match child.file_type() {
                Ok(kind) if kind.is_file() => found.push(path),
                Ok(kind) if kind.is_dir() && name != "target" && name != ".git" => pending.push(path),
                _ => {}
            }
        }
    }
    found
}
