//! Calls of `wfr` by a user without privileges.
//!
//! Owns becoming that user, which root alone can. Refuses to know what is called.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::world::World;

/// The user without privileges, with a program that they can run.
pub struct Nobody {
    program: PathBuf,
    _public: TempDir,
}

impl Nobody {
    /// Gives them the whole world and has them protect its workspace; `None` where that is not possible.
    pub fn of(world: &World) -> Option<Self> {
        let public = tempfile::tempdir().unwrap();
        std::fs::set_permissions(public.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let program = public.path().join("wfr");
        std::fs::copy(env!("CARGO_BIN_EXE_wfr"), &program).unwrap();
        let nobody = Self { program, _public: public };
        if rustix::process::geteuid().is_root() {
            [world.root(), world.data.path()].into_iter().for_each(give_away);
        }
        matches!(nobody.try_call(world, &["init"]), Some((0, _))).then_some(nobody)
    }

    /// How a call ends, and its JSON.
    #[track_caller]
    pub fn call(&self, world: &World, arguments: &[&str]) -> (i32, Value) {
        self.try_call(world, arguments).unwrap()
    }

    fn try_call(&self, world: &World, arguments: &[&str]) -> Option<(i32, Value)> {
        let output = self.command(world, arguments).arg("--json").output().ok()?;
        let json = serde_json::from_slice(&output.stdout).ok()?;
        Some((output.status.code()?, json))
    }

    /// What a call prints for people.
    pub fn told(&self, world: &World, arguments: &[&str]) -> String {
        String::from_utf8(self.command(world, arguments).output().unwrap().stdout).unwrap()
    }

    /// A call, not made yet.
    pub fn command(&self, world: &World, arguments: &[&str]) -> Command {
        let plain = world.command(arguments);
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&self.program).args(arguments);
        command.current_dir(world.root()).env_clear();
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
    }
}

/// Gives everything below to the user without privileges.
pub fn give_away(dir: &Path) {
    chown(dir, Some(65_534), Some(65_534)).unwrap();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => give_away(&entry.path()),
            kind if kind.is_file() => chown(entry.path(), Some(65_534), Some(65_534)).unwrap(),
            _ => {}
        }
    }
}
