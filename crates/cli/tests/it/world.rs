//! A workspace of its own for every test, and calls of `wfr` in it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use wfr_testkit::{Snapshot, TestTree};

/// A workspace with a data directory that is nobody else's.
pub struct World {
    pub tree: TestTree,
    pub data: TempDir,
    pub variables: Vec<(&'static str, PathBuf)>,
}

/// How a call ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub json: Value,
}

impl Ended {
    /// A field of the result.
    pub fn result(&self, key: &str) -> &Value {
        &self.json["result"][key]
    }

    /// The error's code.
    pub fn error(&self) -> &str {
        self.json["error"]["code"].as_str().unwrap_or_default()
    }
}

impl World {
    /// A protected workspace with an entry of every kind.
    pub fn new() -> Self {
        let world = Self::unprotected(TestTree::of_every_kind());
        world.ok(&["init"]);
        world
    }

    pub fn unprotected(tree: TestTree) -> Self {
        Self { tree, data: tempfile::tempdir().unwrap(), variables: vec![] }
    }

    pub fn root(&self) -> &Path {
        self.tree.path()
    }

    /// The vault's directory.
    pub fn vault(&self) -> PathBuf {
        let vaults = self.data.path().join("wfr/vaults");
        std::fs::read_dir(vaults).unwrap().next().unwrap().unwrap().path()
    }

    pub fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wfr"));
        let ours =
            std::env::vars_os().map(|(name, _)| name).filter(|name| name.as_encoded_bytes().starts_with(b"WFR_"));
        ours.for_each(|name| {
            command.env_remove(name);
        });
        command.env("XDG_DATA_HOME", self.data.path()).env("HOME", self.data.path());
        command.envs(self.variables.iter().map(|(name, value)| (*name, value)));
        command.args(arguments).current_dir(self.root()).stdin(Stdio::null());
        command
    }

    /// Calls `wfr` with `--json`.
    pub fn call<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Ended {
        ended(self.command(arguments).arg("--json").output().unwrap())
    }

    /// The same; it must end with 0.
    #[track_caller]
    pub fn ok<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Ended {
        let ended = self.call(arguments);
        assert_eq!(ended.code, 0, "{:?}: {ended:?}", arguments.iter().map(AsRef::as_ref).collect::<Vec<_>>());
        ended
    }

    /// The same; it must end with this code and this error.
    #[track_caller]
    pub fn refused<S: AsRef<OsStr>>(&self, arguments: &[S], code: i32, error: &str) -> Ended {
        let ended = self.call(arguments);
        let asked = arguments.iter().map(AsRef::as_ref).collect::<Vec<_>>();
        assert_eq!((ended.code, ended.error()), (code, error), "{asked:?}: {ended:?}");
        assert!(!ended.json["error"]["message"].as_str().unwrap_or_default().is_empty());
        ended
    }

    #[track_caller]
    pub fn checkpoint(&self, name: &str) -> Ended {
        self.ok(&["create-checkpoint", "wf", "--name", name])
    }

    pub fn names(&self) -> Vec<String> {
        let list = self.ok(&["list-checkpoints", "wf"]);
        let list = list.result("checkpoints").as_array().unwrap().clone();
        list.iter().map(|line| line["name"].as_str().unwrap().to_owned()).collect()
    }

    /// The workspace as it is, without the directory that the view lies in.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(self.root()).only(|path| path != b".claude")
    }

    /// A checkpoint written out beside.
    #[track_caller]
    pub fn written_out(&self, name: &str) -> Snapshot {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("out");
        self.ok(&["restore".as_ref(), "wf".as_ref(), name.as_ref(), "--to".as_ref(), to.as_os_str(), "--yes".as_ref()]);
        Snapshot::of(&to).only(|path| path != b".claude")
    }
}

/// How a process ended, with its document.
pub fn ended(output: Output) -> Ended {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let json = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("not one document ({error}): {stdout}"));
    Ended { code: output.status.code().unwrap_or(-1), json }
}
