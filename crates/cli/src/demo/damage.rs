//! What the demo's agent does wrong.
//!
//! Owns the list of its misdeeds: at least one of every kind of change. Refuses to leave the demo's directory.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Changes the tree in every way there is.
pub(super) fn go_wrong(work: &Path) -> io::Result<()> {
    let files = source_files(work)?;
    for (number, file) in files.iter().enumerate() {
        match number % 4 {
            0 => OpenOptions::new().append(true).open(file)?.write_all(b"// the agent was here\n")?,
            1 => fs::remove_file(file)?,
            2 => fs::write(file, b"fn main() { unreachable!() }\n")?,
            _ => {}
        }
    }
    let data = work.join("data");
    fs::remove_dir(data.join("empty"))?;
    fs::write(data.join("empty"), "a file where a directory was\n")?;
    fs::remove_file(data.join("run.sh"))?;
    fs::create_dir(data.join("run.sh"))?;
    fs::write(data.join("run.sh/inside"), "a directory where a file was\n")?;
    fs::remove_file(data.join("link"))?;
    symlink("large.bin", data.join("link"))?;
    fs::set_permissions(data.join(".env"), Permissions::from_mode(0o644))?;
    fs::remove_file(data.join("twin-b"))?;
    OpenOptions::new().append(true).open(data.join("large.bin"))?.write_all(b"tail")?;
    fs::create_dir_all(work.join("new/dir"))?;
    fs::write(work.join("new/dir/file"), "new\n")
}

/// The Rust sources of the tree, sorted.
fn source_files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
