//! The view: `.claude/recovery/` in the workspace, laid out as the reference draws it.
//!
//! Owns its directories, `config.toml` and the exported manifests. All of it but the configuration is derived: delete
//! it and it is written again. Refuses to be read back as truth: that is the catalog.

use std::ffi::OsString;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use wfr_model::Timestamp;
use wfr_model::checkpoint::{CheckpointType, Manifest, ManifestFile};
use wfr_model::config::Config;
use wfr_store::vault::{write_derived, write_durably};

/// The view's place below the workspace root.
pub const VIEW: &str = ".claude/recovery";

const CONFIG: &str = "config.toml";

/// Directories that every view has, whether anything is in them or not.
const DIRECTORIES: [&str; 10] = [
    "checkpoints",
    "failure_analysis/failure_reports",
    "failure_analysis/root_cause_analysis",
    "failure_analysis/recovery_strategies",
    "state_validation/integrity_checks",
    "state_validation/consistency_reports",
    "state_validation/repair_logs",
    "prevention/resilience_tests",
    "prevention/health_monitors",
    "prevention/early_warning_systems",
];

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It does not parse, has an unknown key, or a value of the wrong kind.
    #[error("{file} cannot be used: {why}")]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What the parser says, with line and column.
        why: String,
    },
    /// A directory on the way to it cannot be entered.
    #[error("{dir} cannot be entered, so nobody knows what stands in it")]
    Shut {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something else stands where the view's directory, or the one that it lies in, is to be.
    #[error(
        "{0} is not a directory, and the view's directory is to be there: nobody knows what the configuration says"
    )]
    InTheWay(PathBuf),
    /// The system refused.
    #[error("cannot read or write {file}")]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The view's directory.
pub fn dir(root: &Path) -> PathBuf {
    root.join(VIEW)
}

/// Whether a directory has a view with a configuration.
pub fn exists(root: &Path) -> bool {
    dir(root).join(CONFIG).is_file()
}

/// Refuses where the view, or the directory that it lies in, is there and cannot be entered by this process, or is no directory.
pub fn check_open(root: &Path) -> Result<(), ConfigError> {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    for dir in dir(root).ancestors().take(2).collect::<Vec<_>>().into_iter().rev() {
        if std::fs::metadata(dir).is_ok_and(|meta| !meta.is_dir()) {
            return Err(ConfigError::InTheWay(dir.to_owned()));
        }
        if accessat(CWD, dir, Access::EXEC_OK, AtFlags::EACCESS) == Err(rustix::io::Errno::ACCESS) {
            let source = io::ErrorKind::PermissionDenied.into();
            return Err(ConfigError::Shut { dir: dir.to_owned(), source });
        }
    }
    Ok(())
}

/// Makes the view's directories and its `.gitignore`, where they are missing.
pub fn create(root: &Path) -> io::Result<()> {
    let view = dir(root);
    for name in DIRECTORIES {
        make_dir(root, &view.join(name))?;
    }
    if !view.join(".gitignore").exists() {
        write_derived(&view, ".gitignore", b"*\n")?;
    }
    Ok(())
}

/// Makes a directory below the root and those above it. A symbolic link on the way is refused: it could lead anywhere.
fn make_dir(root: &Path, dir: &Path) -> io::Result<()> {
    let below = dir.strip_prefix(root).map_err(io::Error::other)?;
    let mut at = root.to_owned();
    for name in below.components() {
        at.push(name);
        match std::fs::symlink_metadata(&at) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => {
                let message =
                    format!("{} is not a directory: the view is written into real directories only", at.display());
                return Err(io::Error::new(io::ErrorKind::NotADirectory, message));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => match DirBuilder::new().mode(0o700).create(&at) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            },
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The workspace's configuration; defaults where there is none.
pub fn load_config(root: &Path) -> Result<Config, ConfigError> {
    config_text(root)?.map_or_else(|| Ok(Config::default()), |text| parsed(&dir(root).join(CONFIG), &text))
}

/// The same; where the view is gone, what [`keep_config`] kept of it in the vault.
pub fn load_config_or_kept(root: &Path, vault: &Path) -> Result<Config, ConfigError> {
    if let Some(text) = config_text(root)? {
        return parsed(&dir(root).join(CONFIG), &text);
    }
    let kept = std::fs::read_to_string(vault.join(CONFIG)).ok();
    Ok(kept.and_then(|text| toml::from_str(&text).ok()).unwrap_or_default())
}

/// Keeps the configuration in the vault: the view may be taken for something derived, and removed. Where it cannot be kept, the next
/// command does.
pub fn keep_config(root: &Path, vault: &Path) {
    let Ok(Some(text)) = config_text(root) else { return };
    if std::fs::read(vault.join(CONFIG)).ok().as_deref() != Some(text.as_bytes()) {
        let _ = write_derived(vault, CONFIG, text.as_bytes());
    }
}

/// The text of the configuration; `None` where there is none.
fn config_text(root: &Path) -> Result<Option<String>, ConfigError> {
    let file = dir(root).join(CONFIG);
    let bytes = match read_regular(&file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            return Err(ConfigError::Malformed { file, why: "it is not a regular file".to_owned() });
        }
        Err(source) => {
            check_open(root)?;
            return Err(ConfigError::Io { file, source });
        }
    };
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(ConfigError::Malformed { file, why: "it is not UTF-8".to_owned() }),
    }
}

fn parsed(file: &Path, text: &str) -> Result<Config, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError::Malformed { file: file.to_owned(), why: told(text, &error) })
}

/// Reads a regular file. Anything else is refused without waiting: a pipe that nobody writes to would never open.
fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits();
    let mut file = OpenOptions::new().read(true).custom_flags(nonblocking as i32).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What the parser says, in one line, with the place.
fn told(text: &str, error: &toml::de::Error) -> String {
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
        return error.message().to_owned();
    };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}: {}", error.message())
}

/// The vault that the configuration names; its text has the escapes of every path, since it may hold any bytes. Where the
/// rest of the file cannot be used, this line may still be: who looks for the vault wants to bring something back. And most
/// often it is all of the file that has to be understood.
pub fn store(root: &Path) -> Result<Option<PathBuf>, ConfigError> {
    let text = match store_line(root) {
        None => load_config(root)?.store,
        found => found,
    };
    let Some(text) = text else { return Ok(None) };
    let file = dir(root).join(CONFIG);
    let refuse = || ConfigError::Malformed { file, why: format!("`store` is not a path: `{text}`") };
    let bytes = wfr_model::path::unescape(&text).filter(|bytes| !bytes.is_empty()).ok_or_else(refuse)?;
    // One that is relative would be another one in each directory.
    Ok(Some(root.join(OsString::from_vec(bytes))))
}

/// The value of `store` on a line of its own before the first table, which is where it is written; `None` where no line is, or
/// where it may be the inside of a text of several lines.
fn store_line(root: &Path) -> Option<String> {
    const LONG_TEXTS: [&str; 2] = ["\"\"\"", "'''"];
    let bytes = read_regular(&dir(root).join(CONFIG)).ok()?;
    let top = bytes.split(|byte| *byte == b'\n').take_while(|line| !line.starts_with(b"["));
    for line in top {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        if LONG_TEXTS.iter().any(|mark| line.contains(mark)) {
            return None;
        }
        if let Some(toml::Value::String(text)) =
            toml::from_str::<toml::Table>(line).ok().and_then(|mut table| table.remove("store"))
        {
            return Some(text);
        }
    }
    None
}

/// Writes the configuration, whole and durable.
pub fn save_config(root: &Path, config: &Config) -> Result<(), ConfigError> {
    let file = dir(root).join(CONFIG);
    let text = toml::to_string_pretty(config)
        .map_err(|error| ConfigError::Malformed { file: file.clone(), why: error.to_string() })?;
    let text = format!("# wfr's configuration of this workspace. `wfr config` explains the keys.\n{text}");
    write_durably(&dir(root), CONFIG, text.as_bytes()).map_err(|source| ConfigError::Io { file, source })
}

/// The directory of one workflow's manifests.
fn workflow_dir(root: &Path, workflow: &str) -> PathBuf {
    dir(root).join("checkpoints").join(workflow)
}

/// The directory of the reference's three metadata files.
pub fn metadata_dir(root: &Path, workflow: &str) -> PathBuf {
    workflow_dir(root, workflow).join("metadata")
}

/// The file of a manifest.
fn manifest_path(root: &Path, workflow: &str, kind: CheckpointType, name: &str) -> PathBuf {
    workflow_dir(root, workflow).join(kind.directory()).join(format!("{name}.ckpt"))
}

/// Exports a manifest. Unsynced: it is in the store already.
pub fn export(root: &Path, manifest: &Manifest) -> io::Result<()> {
    let path = manifest_path(root, manifest.workflow_id.as_str(), manifest.checkpoint_type, &manifest.name);
    let parent = path.parent().unwrap_or(root);
    make_dir(root, parent)?;
    let file = ManifestFile { checkpoint: manifest.clone() };
    let mut bytes = serde_json::to_vec_pretty(&file).map_err(io::Error::other)?;
    bytes.push(b'\n');
    write_derived(parent, &format!("{}.ckpt", manifest.name), &bytes)
}

/// Every manifest that was exported and can be read.
pub fn exported(root: &Path) -> Vec<Manifest> {
    exported_files(root).into_iter().map(|(_, manifest)| manifest).collect()
}

/// The same, each with its file.
pub fn exported_files(root: &Path) -> Vec<(PathBuf, Manifest)> {
    let entries = |dir: PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let kinds = entries(dir(root).join("checkpoints")).flat_map(entries);
    let files = kinds.flat_map(entries).filter(|path| path.extension().is_some_and(|end| end == "ckpt"));
    let read = |path: &Path| wfr_model::json::stored::<ManifestFile>(&read_regular(path).ok()?).ok();
    files.filter_map(|path| read(&path).map(|file| (path, file.checkpoint))).collect()
}

/// Removes an exported manifest, where it is there.
pub fn withdraw(root: &Path, workflow: &str, kind: CheckpointType, name: &str) -> io::Result<()> {
    match std::fs::remove_file(manifest_path(root, workflow, kind, name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Gives an exported manifest's file another ending: its checkpoint is lost, and the file is what is left of it.
pub fn put_aside(root: &Path, file: &Path) -> io::Result<()> {
    // What the file says of itself may be forged: neither that, nor a symbolic link, leads anywhere else.
    make_dir(root, file.parent().unwrap_or(root))?;
    std::fs::rename(file, file.with_extension("lost"))
}

/// Writes a report under one of the view's directories; returns its path.
pub fn write_report(root: &Path, directory: &str, name: &str, value: &serde_json::Value) -> io::Result<PathBuf> {
    let parent = dir(root).join(directory);
    make_dir(root, &parent)?;
    let bytes = serde_json::to_vec_pretty(value).map_err(io::Error::other)?;
    write_derived(&parent, name, &bytes)?;
    Ok(parent.join(name))
}

/// Writes a report that stays beside those before it: named after what it is about and when, with a number where several
/// come in one second.
pub fn add_report(
    root: &Path,
    directory: &str,
    about: &str,
    now: Timestamp,
    value: &serde_json::Value,
) -> io::Result<PathBuf> {
    let stem = format!("{about}_{}", now.stamp_to_the_second());
    let mut names = (1..).map(|n| if n == 1 { format!("{stem}.json") } else { format!("{stem}_{n}.json") });
    let parent = dir(root).join(directory);
    let is_free = |name: &String| std::fs::symlink_metadata(parent.join(name)).is_err();
    let name = names.find(is_free).unwrap_or(stem);
    write_report(root, directory, &name, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_round_trip_and_unknown_keys_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path()).unwrap();
        assert_eq!(load_config(dir.path()).unwrap(), Config::default());
        let config = Config { store: Some("/somewhere".into()), ..Config::default() };
        save_config(dir.path(), &config).unwrap();
        assert_eq!(load_config(dir.path()).unwrap(), config);
        for bad in ["unknown = 1", "[capture]\nquota_bytes = \"many\"", "[capture]\nquota_bytes = -1", "x ="] {
            std::fs::write(dir.path().join(VIEW).join(CONFIG), bad).unwrap();
            assert!(matches!(load_config(dir.path()), Err(ConfigError::Malformed { .. })), "{bad}");
        }
    }

    #[test]
    fn a_pipe_in_the_view_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join(VIEW).join("checkpoints/wf/manual");
        std::fs::create_dir_all(&place).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, place.join("a.ckpt"), 0o600.into()).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        let root = dir.path().to_owned();
        std::thread::spawn(move || sender.send(exported(&root).len()));
        assert_eq!(receiver.recv_timeout(std::time::Duration::from_secs(20)), Ok(0));
    }

    #[test]
    fn the_vault_is_found_in_a_configuration_that_cannot_be_used() {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path()).unwrap();
        for (text, found) in [
            (&b"store = \"/a b\"\n[capture]\nquota_bytes = -1\n"[..], Some("/a b")),
            (b"unknown\nstore = '/a'\n\xff", Some("/a")),
            (b"store = 1\n", None),
            (b"[capture]\nstore = '/a'\n", None),
        ] {
            std::fs::write(dir.path().join(VIEW).join(CONFIG), text).unwrap();
            assert_eq!(store(dir.path()).ok().flatten(), found.map(PathBuf::from), "{}", text.escape_ascii());
        }
    }
}
