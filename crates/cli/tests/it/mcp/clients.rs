//! The official client of the protocol and its inspector list and call every tool.
//!
//! Refuses to know where the two come from.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::clients::installed;
use crate::world::World;

#[test]
fn the_official_client_and_the_inspector_list_and_call_every_tool() {
    let Some(dir) = installed("mcp") else { return };
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
    let inspector = dir.join("node_modules/.bin/mcp-inspector");
    client.arg(script).arg(env!("CARGO_BIN_EXE_wfr")).arg(world.root()).arg(inspector);
    client.env("PYTHONPATH", dir.join("python")).env("PYTHONDONTWRITEBYTECODE", "1").current_dir(world.root());
    let path = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect::<Vec<_>>();
    let path = std::env::join_paths([dir.join("node_modules/.bin")].into_iter().chain(path)).unwrap();
    let output = client.env("PATH", path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim().ends_with(" tools"), "{output:?}");
}
