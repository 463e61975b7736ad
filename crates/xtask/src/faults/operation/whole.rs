//! The operations on a whole store under fault: an archive written, an archive taken in, the catalog built again.
//!
//! Owns what stands before them and what may stand after: called again they are done, and an archive that is there is whole.
//! Refuses to know which fault it was.

use serde_json::Value;

use super::Operation;
use super::states;
use crate::faults::world::World;

/// The call that writes an archive, beside the workspace.
pub(super) const BACKUP: &[&str] = &["backup-state", "wf", "--output", ARCHIVE, "--threads", "1", "--json"];

/// The call that takes one in.
pub(super) const IMPORT: &[&str] = &["import", ARCHIVE, "--from", "archive", "--threads", "1", "--json"];

/// The call that builds the catalog again.
pub(super) const REBUILD: &[&str] = &["doctor", "--rebuild-catalog", "--threads", "1", "--json"];

const ARCHIVE: &str = "../archive.wfr";

/// The checkpoints that only the archive has.
const BROUGHT: [&str; 2] = ["old0", "old1"];

/// An archive of checkpoints that are gone since.
pub(super) fn to_import(world: &World) -> Result<(), String> {
    super::old_checkpoints(world)?;
    world.wfr_ok(BACKUP)?;
    world.wfr_ok(&["cleanup-checkpoints", "wf", "--retention-policy", "last=1", "--json"]).map(drop)
}

/// A store with a state beside its checkpoints.
pub(super) fn to_rebuild(world: &World) -> Result<(), String> {
    states::to_roll_back(world)
}

/// What no checkpoint seals: a recovery whose change is in the ledger, a change that is open, a hold.
pub(super) fn beside_checkpoints(world: &World) -> Result<(), String> {
    super::as_change(world, "a", |world| {
        std::fs::write(world.ws().join("of_a.txt"), "a\n").map_err(|error| error.to_string())
    })?;
    world.wfr_ok(&["rollback", "wf", "--agent", "a", "--yes", "--json"])?;
    world.wfr_ok(&["change", "begin", "--workflow", "wf", "--agent", OPEN, "--json"])?;
    world
        .wfr_ok(&["hold-resources", "wf", "--requester", "hub", "--reason", "r", "--duration", "1h", "--json"])
        .map(drop)
}

/// Whose change is open.
const OPEN: &str = "o";

/// What must hold where the operation said that all went well.
pub(super) fn acknowledged(operation: Operation, world: &World) -> Result<(), String> {
    match operation {
        Operation::Backup => archived(world),
        Operation::Import => brought(world),
        Operation::Rebuild => rebuilt(world),
        _ => Ok(()),
    }
}

/// What must hold after a fault: an archive that is there is whole, and called again all is done.
pub(super) fn settled(operation: Operation, world: &World) -> Result<(), String> {
    match operation {
        Operation::Backup if !world.ws().join(ARCHIVE).exists() => drop(world.wfr_ok(BACKUP)?),
        Operation::Import => drop(world.wfr_ok(IMPORT)?),
        Operation::Rebuild => drop(world.wfr_ok(REBUILD)?),
        _ => {}
    }
    acknowledged(operation, world)
}

/// Where a rebuild died between two renames every command says to call it again: that one finds all that the first one found.
pub(super) fn recalled(world: &World) -> Result<(), String> {
    let is_absent = world.vault().is_dir() && !world.vault().join("catalog.db").exists();
    if !is_absent {
        return Ok(());
    }
    let outcome = world.wfr_ok(REBUILD)?;
    match outcome.result("findings").as_array() {
        Some(findings) if findings.iter().all(|one| one["severity"] == "info") => rebuilt(world),
        _ => Err(format!("called again, it says: {}", outcome.result("findings"))),
    }
}

/// The archive gives its checkpoints to a store that has none.
fn archived(world: &World) -> Result<(), String> {
    let other = world.scratch("other")?;
    let path = |name: &str| other.join(name).to_string_lossy().into_owned();
    let (workspace, store) = (path("ws"), path("vault"));
    std::fs::create_dir_all(&workspace).map_err(|error| error.to_string())?;
    world.wfr_ok(&["init", &workspace, "--store", &store, "--json"])?;
    let archive = world.live().join("archive.wfr").to_string_lossy().into_owned();
    world.wfr_ok(&["--workspace", &workspace, "import", &archive, "--from", "archive", "--json"])?;
    let listed = world.wfr_ok(&["--workspace", &workspace, "list-checkpoints", "wf", "--json"])?;
    let names = listed.result("checkpoints").as_array().cloned().unwrap_or_default();
    if !names.iter().any(|one| one["name"] == super::BASE) {
        return Err(format!("the archive does not have the base: {names:?}"));
    }
    let out = path("out");
    world.wfr_ok(&["--workspace", &workspace, "restore", "wf", super::BASE, "--to", &out, "--yes", "--json"]).map(drop)
}

/// What only the archive had is there, once.
fn brought(world: &World) -> Result<(), String> {
    let names = world.checkpoints()?;
    let is_there_once = |name: &&str| names.iter().filter(|one| one == name).count() == 1;
    if BROUGHT.iter().all(is_there_once) { Ok(()) } else { Err(format!("not all is brought in, once: {names:?}")) }
}

/// The state is there beside the checkpoints, and so is what these do not hold.
fn rebuilt(world: &World) -> Result<(), String> {
    let outcome = world.wfr_ok(&["export", "wf", "--json"])?;
    match &outcome.result("document")["phases"][0]["tasks"] {
        Value::Array(tasks) if tasks.len() == 2 => {}
        other => return Err(format!("the state has lost its tasks: {other}")),
    }
    let changes = world.wfr_ok(&["log", "wf", "--limit", "100", "--json"])?;
    let changes = changes.result("changes").as_array().cloned().unwrap_or_default();
    let is_of = |agent: &str, is_open: bool| {
        changes.iter().any(|one| one["agent_id"] == agent && one["ended_at"].is_null() == is_open)
    };
    if !is_of("a", false) || !is_of(OPEN, true) {
        return Err(format!("the ledger has lost changes: {changes:?}"));
    }
    let recoveries = world.wfr_ok(&["recoveries", "--json"])?;
    if recoveries.result("recoveries").as_array().is_none_or(Vec::is_empty) {
        return Err("the rollback is not recorded any more".to_owned());
    }
    let held = ["hold-resources", "wf", "--requester", "other", "--json"];
    if world.wfr(&held).is_ok() { Err("the hold is lost".to_owned()) } else { Ok(()) }
}
