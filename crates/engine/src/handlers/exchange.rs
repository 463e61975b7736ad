//! `import --from hub | plan`, `export`.
//!
//! Owns their glue. Refuses to know the shapes of documents.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use wfr_catalog::ListQuery;
use wfr_model::workflow::document;
use wfr_model::{WorkflowId, json};
use wfr_store::object::hash;

use super::own_places::refuse_own_places;
use super::{known, needed, shown};
use crate::error::{Code, Failure};
use crate::exchange::{bring_in, hub, plan};
use crate::open::Open;
use crate::params::{DocumentFormat, Export, Import, ImportFrom};
use crate::policy::{Standings, Wishes};
use crate::response::{Impact, Success};
use crate::results::{Exported, Imported};
use crate::session::Session;
use crate::{state, workspace};

/// Brings in what a hub or a plan says.
pub(super) fn import(session: &mut Session, parameters: Import) -> Result<Success<Imported>, Failure> {
    let named = needed(parameters.path, "path")?;
    let path = workspace::absolute(&session.directories.current, named.as_path());
    let open = session.open()?;
    let now = session.now();
    let (mut reading, source) = match parameters.from {
        ImportFrom::Plan => (plan::read(&path, parameters.workflow_id)?, "plan"),
        ImportFrom::Hub | ImportFrom::Archive => (hub::read(&path, parameters.workflow_id, now)?, "hub"),
    };
    let mut ignored = std::mem::take(&mut reading.ignored);
    let before = Standings::of(&open, reading.workflows.keys()).known();
    let mut brought = bring_in(&open, &reading, source, now, parameters.dry_run)?;
    ignored.append(&mut brought.notes);
    let tasks = brought.workflows.iter().map(|one| one.tasks_created + one.tasks_updated).sum();
    let mut wishes = Wishes::default();
    if !parameters.dry_run {
        wishes.note_turns(&open, &before);
    }
    let result = Imported {
        path: shown(&path),
        workflows: brought.workflows.iter().map(|one| one.workflow_id.clone()).collect(),
        dry_run: parameters.dry_run,
        events: if parameters.dry_run {
            brought.workflows.iter().map(|one| one.events).sum()
        } else {
            brought.appended
        },
        events_known: brought.known,
        states: brought.workflows,
        ignored,
        contradictions: brought.contradictions,
        checkpoints: wishes.grant(session, &open),
        ..Imported::default()
    };
    let about = if let [one] = result.workflows.as_slice() { Some(one.clone()) } else { None };
    let impact = (!parameters.dry_run).then(|| Impact { tasks_affected: Some(tasks), ..Impact::default() });
    let mends = |workflow: &str| {
        format!(
            "run `wfr repair-state {workflow} --repair-strategy aggressive --plan`: what was read contradicts itself there"
        )
    };
    let torn: BTreeSet<&str> = result.contradictions.iter().filter_map(|one| one.place.split('/').next()).collect();
    let steps: Vec<String> = torn.into_iter().filter(|_| !result.dry_run).map(mends).collect();
    let success = Success { workflow_id: about, impact, ..Success::new(result) };
    Ok(steps.into_iter().fold(success, Success::with_next_step))
}

/// Gives a state out.
pub fn export(session: &mut Session, parameters: Export) -> Result<Success<Exported>, Failure> {
    let open = session.open()?;
    let workflow = known(&open, needed(parameters.workflow_id, "workflow_id")?)?;
    let whole = state::present(&open.catalog, &workflow)?.ok_or_else(|| no_state(&open, &workflow))?;
    let document = match parameters.format {
        DocumentFormat::Hub => document::to_hub(&whole),
        DocumentFormat::Reference => document::to_reference(&whole),
    };
    let mut bytes = serde_json::to_vec_pretty(&document).map_err(|error| Failure::of(Code::Internal, &error))?;
    bytes.push(b'\n');
    let path = parameters.output.map(|path| workspace::absolute(&session.directories.current, path.as_path()));
    if let Some(path) = &path {
        refuse_own_places(session, &open, path)?;
        write_new(path, &bytes)?;
    }
    let result = Exported {
        workflow_id: workflow.clone(),
        state_version: whole.head.state_version,
        size_bytes: bytes.len() as u64,
        checksum: hash(&bytes),
        document: path.is_none().then_some(document),
        path: path.as_deref().map(shown),
    };
    let success = Success::new(result).about(&workflow);
    if bytes.len() <= json::DOCUMENT_BYTES_MAX {
        return Ok(success);
    }
    let max = json::DOCUMENT_BYTES_MAX >> 20;
    Ok(success
        .with_next_step(format!("`wfr import` reads up to {max} MiB, so not this: `wfr backup-state` has no limit")))
}

/// The refusal of what needs a state where none is.
pub(super) fn no_state(open: &Open, workflow: &WorkflowId) -> Failure {
    let query = ListQuery { workflow: Some(workflow.clone()), include_deleted: true, ..ListQuery::default() };
    let rows = open.catalog.list(&query).unwrap_or_default();
    let Some(row) = rows.iter().rev().find(|row| row.state.is_some() && !state::is_blank(row)) else {
        let message = format!("workflow `{workflow}` has no state: no event of it was ever recorded");
        return Failure::new(Code::StateNotFound, message);
    };
    let message = format!("the events of workflow `{workflow}` are missing, and its state with them");
    Failure::new(Code::StateInvalid, message)
        .with_hint(format!("run `wfr repair-state {workflow}`: it brings back what checkpoints hold"))
        .with_option(format!("`wfr restore {workflow} {}` brings back the state that this checkpoint holds", row.name))
}

/// Writes a file that is not there yet, durably.
fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Failure::new(Code::TargetNotEmpty, format!("{} is there already", path.display()))
                .with_hint("choose another name with `--output FILE`")
        }
        _ => Failure::unwritten(path, &error),
    };
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.map_err(|error| {
        let _ = std::fs::remove_file(path);
        failed(error)
    })
}
