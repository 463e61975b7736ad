//! A workspace with its vault, for measuring.
//!
//! Owns the calls of `wfr` under a home of its own. Refuses to measure.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where things are.
pub struct Site {
    wfr: PathBuf,
    ws: PathBuf,
    dir: PathBuf,
}

impl Site {
    /// A site for a workspace, with the vault and all else in `dir`, which is emptied.
    pub fn new(wfr: &Path, ws: &Path, dir: &Path) -> Result<Self, String> {
        let ws = fs::canonicalize(ws).map_err(|error| format!("cannot find {}: {error}", ws.display()))?;
        let site = Self { wfr: wfr.to_owned(), ws, dir: dir.to_owned() };
        site.clear()?;
        Ok(site)
    }

    /// The vault.
    pub fn vault(&self) -> PathBuf {
        self.dir.join("vault")
    }

    /// Removes the vault and the view.
    pub fn clear(&self) -> Result<(), String> {
        let claude = self.ws.join(".claude");
        remove(&self.dir)?;
        // Nothing of it may stay in the tree, which would grow from one measurement to the next.
        remove_to(&claude.join("recovery"), self.dir.parent().unwrap_or(&self.dir))?;
        // Only an empty one goes: the tree may have had its own.
        drop(fs::remove_dir(claude));
        fs::create_dir_all(self.dir.join("home")).map_err(|error| format!("cannot make a home: {error}"))
    }

    /// An empty vault.
    pub fn init(&self) -> Result<(), String> {
        self.clear()?;
        self.run(&["init", "--store", &self.vault().to_string_lossy()])
    }

    /// `wfr` with its arguments, in the workspace.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.wfr);
        command.args(arguments).current_dir(&self.ws).env_remove("WFR_STORE");
        let home = self.dir.join("home");
        command.env("HOME", &home).env("XDG_DATA_HOME", home.join("data")).env("LC_ALL", "C.UTF-8");
        command
    }

    /// Runs `wfr`, which must succeed.
    pub fn run(&self, arguments: &[&str]) -> Result<(), String> {
        let output = self.command(arguments).stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("cannot run wfr: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Err(format!("wfr {arguments:?}: {} {out} {err}", output.status))
    }
}

/// Where directories wait that are no longer needed.
const ASIDE: &str = "aside";

/// Moves a directory out of the way, if it is there. It is removed at the end of the bench only: on ext4 making files right
/// after many were removed costs several times as much (inodes freed within the last minutes are passed over one by one).
pub fn remove(dir: &Path) -> Result<(), String> {
    remove_to(dir, dir.parent().unwrap_or(dir))
}

/// The same, with what was there set aside below another directory.
fn remove_to(dir: &Path, place: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot set {} aside: {error}", dir.display());
    if dir.symlink_metadata().is_err() {
        return Ok(());
    }
    let aside = place.join(ASIDE);
    fs::create_dir_all(&aside).map_err(failed)?;
    let number = fs::read_dir(&aside).map_err(failed)?.count();
    // On another file system there is nothing to be passed over.
    fs::rename(dir, aside.join(number.to_string())).or_else(|_| fs::remove_dir_all(dir)).map_err(failed)
}

/// Removes what was set aside below a directory.
pub fn clear_aside(dir: &Path) {
    let _ = fs::remove_dir_all(dir.join(ASIDE));
    let _ = fs::remove_dir_all(dir.join("wfr").join(ASIDE));
}

/// What the store in a vault takes on disk, in megabytes: all but the stat cache and the room kept for a full disk, which
/// are printed beside.
pub fn store_megabytes(vault: &Path) -> Result<f64, String> {
    let beside = megabytes(&vault.join("cache"))? + megabytes(&vault.join("reserve"))?;
    Ok(megabytes(vault)? - beside)
}

/// What a directory takes on disk, in megabytes, as `du` counts.
pub fn megabytes(dir: &Path) -> Result<f64, String> {
    let output = Command::new("du").arg("-sk").arg(dir).output().map_err(|error| format!("cannot run du: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let kilobytes = text.split_whitespace().next().and_then(|number| number.parse::<f64>().ok());
    kilobytes.map(|kb| kb / 1024.0).ok_or_else(|| format!("du said `{text}`"))
}
