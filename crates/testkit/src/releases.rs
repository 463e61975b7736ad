//! Published versions of crates, as real histories of trees.
//!
//! Owns how they are had: by cargo, from the registry or its cache. Refuses to say what is done with them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::must;

/// The files of a version and their contents, hidden ones left out.
pub type Release = BTreeMap<PathBuf, Vec<u8>>;

/// The versions of some crates, in the order in which they are named: each crate with its versions, apart by spaces. `Err`: why
/// they cannot be had.
pub fn releases(crates: &[(&str, &str)]) -> Result<Vec<Vec<Release>>, String> {
    let place = must(tempfile::tempdir(), "a directory for crates");
    let sources = fetch(place.path(), crates)?;
    let of = |(name, versions): &(&str, &str)| {
        versions.split(' ').map(|version| files(&sources.join(format!("{name}-{version}")))).collect()
    };
    Ok(crates.iter().map(of).collect())
}

/// Fetches the crates with cargo: a project for each column of versions, since a project has only one of compatible ones.
fn fetch(place: &Path, crates: &[(&str, &str)]) -> Result<PathBuf, String> {
    let columns = crates.iter().map(|(_, versions)| versions.split(' ').count()).max().unwrap_or(0);
    let manifests: Vec<PathBuf> = (0..columns).map(|column| project(place, crates, column)).collect();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(place).args(["vendor", "--quiet", "--versioned-dirs", "--manifest-path"]).arg(&manifests[0]);
    for manifest in &manifests[1..] {
        cargo.arg("--sync").arg(manifest);
    }
    let output = cargo.arg("sources").output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(place.join("sources")),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ")),
    }
}

fn project(place: &Path, crates: &[(&str, &str)], column: usize) -> PathBuf {
    let directory = place.join(format!("project-{column}"));
    must(fs::create_dir_all(directory.join("src")), "a project");
    must(fs::write(directory.join("src/lib.rs"), ""), "a project");
    let mut manifest = "[package]\nname = \"project\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n\
                        [workspace]\n\n[dependencies]\n"
        .to_owned();
    for (name, versions) in crates {
        if let Some(version) = versions.split(' ').nth(column) {
            manifest += &format!("{name} = {{ version = \"={version}\", default-features = false }}\n");
        }
    }
    must(fs::write(directory.join("Cargo.toml"), manifest), "a project");
    directory.join("Cargo.toml")
}

/// The files below a directory, hidden ones left out.
fn files(root: &Path) -> Release {
    let (mut found, mut pending) = (BTreeMap::new(), vec![PathBuf::new()]);
    while let Some(inside) = pending.pop() {
        for entry in must(fs::read_dir(root.join(&inside)), root.display()) {
            let entry = must(entry, root.display());
            let path = inside.join(entry.file_name());
            match entry.file_name().to_string_lossy().starts_with('.') {
                true => {}
                false if must(entry.file_type(), path.display()).is_dir() => pending.push(path),
                false => drop(found.insert(path, must(fs::read(entry.path()), root.display()))),
            }
        }
    }
    found
}
