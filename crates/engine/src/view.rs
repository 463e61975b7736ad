//! The view: `.claude/recovery/` in the workspace, laid out as the reference draws it.
//!
//! Owns its directories, `config.toml` and the exported manifests. All of it but the configuration is derived: delete
//! it and it is written again. Refuses to be read back as truth: that is the catalog.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use wfr_model::checkpoint::{Manifest, ManifestFile};
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

/// Makes the view's directories and its `.gitignore`, where they are missing.
pub fn create(root: &Path) -> io::Result<()> {
    let view = dir(root);
    for name in DIRECTORIES {
        DirBuilder::new().recursive(true).mode(0o700).create(view.join(name))?;
    }
    if !view.join(".gitignore").exists() {
        write_derived(&view, ".gitignore", b"*\n")?;
    }
    Ok(())
}

/// The workspace's configuration; defaults where there is none.
pub fn load_config(root: &Path) -> Result<Config, ConfigError> {
    let file = dir(root).join(CONFIG);
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Config::default()),
        Err(source) => return Err(ConfigError::Io { file, source }),
    };
    toml::from_str(&text).map_err(|error| ConfigError::Malformed { file, why: error.to_string() })
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
pub fn manifest_path(root: &Path, manifest: &Manifest) -> PathBuf {
    workflow_dir(root, manifest.workflow_id.as_str())
        .join(manifest.checkpoint_type.directory())
        .join(format!("{}.ckpt", manifest.name))
}

/// Exports a manifest. Unsynced: it is in the store already.
pub fn export(root: &Path, manifest: &Manifest) -> io::Result<()> {
    let path = manifest_path(root, manifest);
    let parent = path.parent().unwrap_or(root);
    DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    let file = ManifestFile { checkpoint: manifest.clone() };
    let mut bytes = serde_json::to_vec_pretty(&file).map_err(io::Error::other)?;
    bytes.push(b'\n');
    write_derived(parent, &format!("{}.ckpt", manifest.name), &bytes)
}

/// Removes an exported manifest, where it is there.
pub fn withdraw(root: &Path, manifest: &Manifest) -> io::Result<()> {
    match std::fs::remove_file(manifest_path(root, manifest)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Writes a report under one of the view's directories; returns its path.
pub fn write_report(root: &Path, directory: &str, name: &str, value: &serde_json::Value) -> io::Result<PathBuf> {
    let parent = dir(root).join(directory);
    DirBuilder::new().recursive(true).mode(0o700).create(&parent)?;
    let bytes = serde_json::to_vec_pretty(value).map_err(io::Error::other)?;
    write_derived(&parent, name, &bytes)?;
    Ok(parent.join(name))
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
}
