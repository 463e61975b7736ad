//! Parameters of the operations on a workspace as a whole, and on the program itself.
//!
//! Owns their keys. Refuses to act on them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::values::HostPath;

/// Puts a directory under protection.
///
/// It gets a store and a view, `.claude/recovery`. The store is by default outside the directory, so that it survives
/// the loss of the whole directory; `--store DIR` puts it elsewhere. Calling it again mends what is missing and changes nothing else.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Init {
    /// The directory; the current one where it is not given.
    pub directory: Option<HostPath>,
    /// Whether the store is encrypted: for `recipients`, or with a passphrase; where it is not given, a new one is not.
    pub encrypt: Option<bool>,
    /// Who can read the store, by age recipients (age1...); implies `encrypt`.
    pub recipients: Vec<String>,
    /// Whether a new, empty store is made where the directory's own is not where it was, such as on a disk that is not
    /// mounted, or is given up for the one that `--store` names.
    pub new_store: bool,
    /// Whether the key is also kept unlocked in the user's data directory, so that hooks need no passphrase.
    pub keep_unlocked: bool,
}

/// Shows the configuration, or changes it.
///
/// Without words it shows every key, its value, and whether it has an effect in this version. A key is written with
/// dots: `capture.quota_bytes`. The JSON form takes whole blocks, as the reference writes them.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The key to show or to set.
    pub key: Option<String>,
    /// The value to set it to.
    pub value: Option<String>,
    /// Sets the key back to its default.
    pub unset: bool,
    /// Sets the keys of this block that are given, and leaves the others.
    #[schemars(with = "Option<Map<String, Value>>")]
    pub recovery_configuration: Option<Map<String, Value>>,
    /// Sets the keys of this block that are given, and leaves the others.
    #[schemars(with = "Option<Map<String, Value>>")]
    pub capture: Option<Map<String, Value>>,
    /// Sets the keys of this block that are given, and leaves the others.
    #[schemars(with = "Option<Map<String, Value>>")]
    pub coordination: Option<Map<String, Value>>,
}

/// Looks whether everything is in order; changes nothing.
///
/// It checks store, catalog, view, leftovers, unfinished recoveries, and what each mount's file system can do. The
/// exit code is 0 only where all is well.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Doctor {
    /// Builds the catalog again from the packs, for when it is lost or damaged.
    pub rebuild_catalog: bool,
}

/// Prints the JSON Schemas of parameters and results.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Schema {
    /// The operation; all where it is not given.
    #[serde(rename = "operation")]
    pub name: Option<String>,
}

/// Shells that completions are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Shell {
    /// GNU Bash.
    Bash,
    /// Z shell.
    Zsh,
    /// fish.
    Fish,
}

/// Prints the completions of a shell.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Completions {
    /// The shell.
    pub shell: Option<Shell>,
}

/// Prints a manual page, or writes all pages into a directory.
///
/// `wfr man restore` prints the page of `restore`; `wfr man ./restore` writes all pages into that directory. A word without a
/// slash is a directory only where there is one.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Man {
    /// The directory, made where it is not there, or an operation whose page is printed.
    pub directory: Option<HostPath>,
}

/// Serves agents over the Model Context Protocol, on standard input and output.
///
/// Each operation that agents may use is a tool; checkpoints and failures are resources. It goes on until its input ends. What
/// would change the workspace's files or lose anything is done in two steps: a call gives the plan, and a person applies it
/// by its digest, unless `agents.may_apply` of the configuration lets agents do so. The workspace is the one that
/// `--workspace` names, else that of the current directory, else that of the client's roots.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Mcp {}

/// Shows the main job on a copy of real sources.
///
/// Checkpoint, damage of every kind, a restore that is killed half way, its completion, its undo: every byte is
/// verified. It works in a fresh temporary directory and asks nothing.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Demo {}
