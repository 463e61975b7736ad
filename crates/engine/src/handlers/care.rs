//! `doctor` and `metadata`.
//!
//! Owns what is looked at and what each finding says. Refuses to change anything but the derived files it is asked for.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use wfr_catalog::{CatalogError, CheckpointRow, ListQuery, NewOperation, RecoveryFilter};
use wfr_model::checkpoint::Manifest;
use wfr_model::finding::{Finding, Severity};
use wfr_model::recovery::RecoveryStatus;
use wfr_model::workflow::Whole;
use wfr_model::{TreePath, WorkflowId};
use wfr_recovery::{apply, failed, leftovers, probe};
use wfr_store::reserve;

use super::{events, known, needed, rebuilds, shown, sinks};
use crate::attaching::checking;
use crate::error::{Code, Failure};
use crate::open::{Open, OpenError};
use crate::params::{Doctor, Metadata};
use crate::rebuild::{self, Rebuilt};
use crate::recovery;
use crate::response::Success;
use crate::results::{Diagnosis, FileSystemReport, MetadataWritten};
use crate::session::Session;
use crate::view::ConfigError;
use crate::{
    conversions, graph, holding, keyring, medium, mint, owner, soundness, state, unknown, verify, view, workspace,
};

/// Looks whether everything is in order.
pub fn doctor(session: &mut Session, parameters: Doctor) -> Result<Success<Diagnosis>, Failure> {
    let rebuilt = if parameters.rebuild_catalog { Some(rebuild_catalog(session)?) } else { None };
    let open = session.open()?;
    if rebuilt.is_some() {
        // The rebuild has named them as lost. A view that cannot be written names them again.
        unknown::exported(&open)?.iter().for_each(|(file, _)| drop(view::put_aside(open.root(), file)));
    }
    let mut findings = Vec::new();
    rebuilt.iter().for_each(|rebuilt| rebuilds::findings(rebuilt, &mut findings));
    rebuilds::lost_before(&open, rebuilt.as_ref(), &mut findings)?;
    configuration(&open, &mut findings);
    catalog(&open, &mut findings)?;
    packs(&open, &mut findings)?;
    let is_all_known = unheard_of(&open, &mut findings)?;
    tails(&open, is_all_known, &mut findings)?;
    places(&open, &mut findings);
    findings.extend(medium::finding(open.vault.dir()));
    unfinished(&open, &mut findings)?;
    left_behind(&open, &mut findings)?;
    events::check(&open, &mut findings)?;
    events::check_states(session, &open, &mut findings)?;
    sinks::check(&open, &mut findings)?;
    checking::check(session, &open, &mut findings);
    findings.extend(checking::without_privileges(session, &open)?);
    chain(&open, &mut findings)?;
    manifests(&open, &mut findings)?;
    damaged(&open, &mut findings)?;
    let file_systems = file_systems(&open, &mut findings);
    let healthy = !findings.iter().any(|finding| finding.severity >= Severity::Error);
    let count = findings.len();
    let diagnosis = Diagnosis {
        healthy,
        findings,
        workspace: Some(shown(open.root())),
        store: Some(shown(open.vault.dir())),
        file_systems,
        checkpoints: open.catalog.count(&ListQuery::default())?,
        events_rebuilt: rebuilt.as_ref().map(|rebuilt| rebuilt.events),
        rebuilt: rebuilt.map(|rebuilt| rebuilt.checkpoints),
    };
    let verdict = (!healthy)
        .then(|| Failure::new(Code::Unhealthy, format!("{count} finding{}", if count == 1 { "" } else { "s" })));
    Ok(Success::new(diagnosis).with_verdict(verdict))
}

/// Builds the catalog again, whatever state it is in.
fn rebuild_catalog(session: &Session) -> Result<Rebuilt, Failure> {
    let place = workspace::locate(&session.directories)?;
    let data = session.directories.data.as_deref();
    // Before anything is written: a new catalog says whose the store is.
    if let Some(original) = owner::another(&place.vault, &place.root, data) {
        return Err(OpenError::Copied { root: place.root, original }.into());
    }
    let vault = rebuild::open_vault(&place.vault, &mint::vault)?;
    // The key comes first: with a wrong one nothing is written, the format file neither.
    let cipher = session.keyring.cipher(&vault)?;
    let vault = vault.named()?;
    vault.mend()?;
    let audit = |operation: &str| NewOperation {
        operation_id: mint::operation(),
        operation: operation.to_owned(),
        actor: session.actor.clone(),
        at: session.now(),
        workflow_id: None,
        parameters: Value::Null,
        inverse: None,
        result: Value::Null,
    };
    let rebuilt = rebuild::rebuild(&vault, &place.root, cipher.as_ref(), session.now(), &audit)?;
    if let Some(data) = data {
        // Where the old catalog could not say whose the store was, nobody sees that the workspace has moved.
        let _ = workspace::move_signpost(data, &place);
    }
    Ok(rebuilt)
}

/// The first few of many names.
pub(super) fn named(names: &[String]) -> String {
    const NAMED_MAX: usize = 5;
    let more = if names.len() > NAMED_MAX { ", ..." } else { "" };
    format!("{}{more}", names[..names.len().min(NAMED_MAX)].join(", "))
}

fn configuration(open: &Open, findings: &mut Vec<Finding>) {
    for name in open.config.capture.exclude.iter().filter(|name| name.contains('[')) {
        let message = format!("`capture.exclude` has `{name}`, in which `[` stands for itself");
        let fix = "only `*` and `?` stand for other letters: write the names themselves, or several patterns";
        findings.push(Finding::new("EXCLUDE_IS_NO_PATTERN", Severity::Warning, message, fix));
    }
    let Some(error) = &open.broken else { return };
    let fix = match error {
        ConfigError::Malformed { file, .. } => conversions::mending(file),
        ConfigError::Shut { dir, .. } => conversions::opening(dir),
        ConfigError::InTheWay(place) => conversions::clearing(place),
        ConfigError::Io { .. } => "make it readable, or remove it: then the defaults hold".to_owned(),
    };
    let message = format!("{error}; until it is mended no checkpoint is taken and nothing is cleaned up");
    findings.push(Finding::new("CONFIGURATION_INVALID", Severity::Error, message, fix));
}

fn catalog(open: &Open, findings: &mut Vec<Finding>) -> Result<(), Failure> {
    for (_, problem) in soundness::of_catalog(open)? {
        let fix = "run `wfr doctor --rebuild-catalog`";
        findings.push(Finding::new("CATALOG_DAMAGED", Severity::Critical, problem, fix));
    }
    Ok(())
}

fn packs(open: &Open, findings: &mut Vec<Finding>) -> Result<(), Failure> {
    let store = open.store()?;
    let fix = "run `wfr validate-checkpoint latest --validation-level comprehensive --repair-if-possible`";
    store.with_index(|index| {
        for pack in index.missing_packs() {
            let message = format!("pack {pack} is missing or cut off");
            findings.push(Finding::new("PACK_MISSING", Severity::Critical, message, fix));
        }
        for (pack, gap) in index.gaps() {
            let message = format!("pack {pack} cannot be read from byte {} to {}", gap.from, gap.to);
            findings.push(Finding::new("PACK_DAMAGED", Severity::Critical, message, fix));
        }
    });
    Ok(())
}

/// What no commit covers of the packs, as a process leaves it that was killed while it wrote.
fn tails(open: &Open, is_all_known: bool, findings: &mut Vec<Finding>) -> Result<(), Failure> {
    let (count, bytes) = unknown::tails(open)?;
    if count > 0 {
        let packs = if count == 1 { "a pack has".to_owned() } else { format!("{count} packs have") };
        let message = format!(
            "{packs} {bytes} bytes that no commit covers: a killed process left them, or another command is writing now"
        );
        let fix = if is_all_known {
            "nothing reads them, and `wfr cleanup-checkpoints` drops them"
        } else {
            "checkpoints are among them that the catalog does not know, so `wfr cleanup-checkpoints` leaves them: see what is \
             said of these"
        };
        findings.push(Finding::new("PACK_TAILS", Severity::Info, message, fix));
    }
    Ok(())
}

/// Checkpoints that the catalog has never heard of: it lost its newest changes, as with its write-ahead log. Returns whether
/// there are none in the packs.
fn unheard_of(open: &Open, findings: &mut Vec<Finding>) -> Result<bool, Failure> {
    let named = |manifests: &[Manifest]| {
        let names = manifests.iter().map(|one| format!("{} ({})", one.checkpoint_id, one.name)).collect::<Vec<_>>();
        (names.len(), if names.len() == 1 { "" } else { "s" }, named(&names))
    };
    let fix = "run `wfr doctor --rebuild-catalog`: it reads them again from the packs";
    let exported: Vec<Manifest> = unknown::exported(open)?.into_iter().map(|(_, manifest)| manifest).collect();
    if let (count @ 1.., plural, names) = named(&exported) {
        let message =
            format!("the catalog has never heard of {count} checkpoint{plural} that were acknowledged: {names}");
        findings.push(Finding::new("CHECKPOINTS_UNKNOWN", Severity::Error, message, fix));
    }
    open.unlock()?;
    let packed = unknown::packed(open, open.cipher().map(AsRef::as_ref))?;
    let mut packed: Vec<Manifest> = packed.into_iter().map(|(_, manifest)| manifest).collect();
    let is_all_known = packed.is_empty();
    packed.retain(|manifest| !exported.iter().any(|other| other.checkpoint_id == manifest.checkpoint_id));
    if let (count @ 1.., plural, names) = named(&packed) {
        let message = format!(
            "{count} checkpoint{plural} in the packs are not in the catalog, as after a crash before they were \
             acknowledged: {names}"
        );
        let fix = "where nobody was told of them, `wfr cleanup-checkpoints --drop-uncommitted` drops them; else `wfr doctor \
                   --rebuild-catalog` brings them back, under other names where theirs are taken, and takes all else over from this \
                   catalog; where that is damaged it says what it lost of changes, recoveries, messages, holds and the audit trail";
        findings.push(Finding::new("CHECKPOINTS_UNCOMMITTED", Severity::Warning, message, fix));
    }
    Ok(is_all_known)
}

fn places(open: &Open, findings: &mut Vec<Finding>) {
    if !open.root().is_dir() {
        let message = format!("the workspace {} is gone", open.root().display());
        let fix =
            "`wfr restore` brings it back; where it was moved, run a command in it, or name it with `--workspace DIR`";
        findings.push(Finding::new("WORKSPACE_GONE", Severity::Error, message, fix));
        return;
    }
    if open.vault.dir().starts_with(open.root()) {
        let message = format!("the store {} lies inside the workspace and goes with it", open.vault.dir().display());
        findings.push(Finding::new("STORE_INSIDE", Severity::Warning, message, "move it out and use `--store DIR`"));
    }
    let store = [open.vault.dir().to_owned(), open.vault.packs(), open.vault.leases(), open.vault.catalog()];
    if let Some(place) = store.iter().find(|place| rustix::fs::access(*place, rustix::fs::Access::WRITE_OK).is_err()) {
        let message = format!("the store cannot be written: {} refuses it", place.display());
        let fix =
            "give yourself the right to write there, or remount it for writing: what needs that place fails until then";
        findings.push(Finding::new("STORE_READ_ONLY", Severity::Error, message, fix));
    }
    if open.vault.identity().encrypted && !keyring::has_key(&open.vault) {
        let message = "the store's wrapped key, `keys/master.age`, is gone: when the unlocked one goes too, nothing in the \
                       store can be read any more, by nobody";
        let fix =
            "bring it back from a copy, or keep the unlocked key's file: `wfr init` with a new store is the other way";
        findings.push(Finding::new("KEY_MISSING", Severity::Critical, message, fix));
    } else if open.vault.identity().encrypted && keyring::has_foreign_keys(&open.vault) {
        let message =
            "`keys/` is another store's: when the unlocked key goes, nothing in the store can be read any more";
        let fix = "bring `keys/` back from a copy of this store, and keep the unlocked key's file until then";
        findings.push(Finding::new("KEY_FOREIGN", Severity::Critical, message, fix));
    }
    if let Some(fault) = open.keyring().fault_of_kept(&open.vault).filter(|_| open.vault.identity().encrypted) {
        let fix = "with the passphrase or identity, `wfr init --keep-unlocked` writes it again, and leaves another store's beside \
                   it: until then hooks have no key";
        findings.push(Finding::new("KEPT_KEY_UNUSABLE", Severity::Error, fault.to_string(), fix));
    }
    if !view::exists(open.root()) && view::check_open(open.root()).is_ok() {
        let message = match open.vault.identity().encrypted {
            true => {
                "the view is missing: defaults hold in place of what was configured; the store is not touched by that"
            }
            false => "the view is missing; the store is not touched by that, and what was configured holds",
        };
        findings.push(Finding::new("VIEW_MISSING", Severity::Warning, message, "`wfr init` writes it again"));
    }
}

fn unfinished(open: &Open, findings: &mut Vec<Finding>) -> Result<(), Failure> {
    // One at work has ended what others left before it began.
    if let Some(hold) = holding::recovering(open)? {
        let message = format!("a recovery is at work: {}", hold.owner.label);
        findings.push(Finding::new(
            "RECOVERY_RUNNING",
            Severity::Info,
            message,
            "nothing is to be done: it ends by itself",
        ));
        return Ok(());
    }
    let journal = open.vault.journal();
    let committed = apply::unfinished(&journal)?;
    let mut owed = recovery::owed::all(open)?;
    for id in &committed {
        findings.push(if recovery::has_ended(open, id)? {
            owed.extend(failed::is_noted(&journal, id).then(|| id.clone()));
            let message = format!(
                "recovery {id} has ended, but its process died just behind that: directories may not have their times back yet, \
                 and what it staged may still be there"
            );
            Finding::new("LEFTOVERS", Severity::Warning, message, "`wfr resume` does the rest, as the next change does")
        } else {
            let how = if apply::awaits_check(&journal, id) {
                "its process ended before its functional check had passed, and it will be taken back"
            } else {
                "some files may be restored, and others not yet"
            };
            let message = format!("recovery {id} is not finished: {how}");
            Finding::new("RECOVERY_UNFINISHED", Severity::Error, message, "run `wfr resume`")
        });
    }
    for id in owed {
        let message =
            format!("recovery {id} failed its functional check, and its process ended before it was taken back");
        findings.push(Finding::new("RECOVERY_UNFINISHED", Severity::Error, message, "run `wfr resume`"));
    }
    // One that cannot be read is named with the others that cannot.
    let begun = RecoveryFilter { workflow: None, status: Some(RecoveryStatus::Started) };
    let begun = open.catalog.recoveries(&begun, u32::MAX)?;
    for record in begun.iter().filter(|record| !committed.contains(&record.recovery_id)) {
        let message = format!("recovery {} began and never changed anything", record.recovery_id);
        findings.push(Finding::new("RECOVERY_BEGUN", Severity::Error, message, "run `wfr resume`"));
    }
    Ok(())
}

/// How the room for a full disk comes back.
fn reserve_fix(open: &Open) -> String {
    let (kept, mib) = (reserve::RESERVE_BYTES, |bytes: u64| bytes >> 20);
    match reserve::room(open.vault.dir()) {
        // One that grows without bounds says so.
        Ok((_, 0)) => "`wfr cleanup-checkpoints` makes it again".to_owned(),
        Ok((_, total)) if total <= kept => format!(
            "the disk of the store has {} MiB in all, and no room for these {}: where it is full, something else on it must go before \
             `wfr cleanup-checkpoints` and `wfr undo` are sure to work",
            mib(total),
            mib(kept)
        ),
        Ok((free, _)) if free < 2 * kept => format!(
            "{} MiB are free: `wfr cleanup-checkpoints` makes it again where {} are, every command that changes something where {} are",
            mib(free),
            mib(kept),
            mib(2 * kept)
        ),
        _ => "the next command that changes something makes it again".to_owned(),
    }
}

/// What dead processes left: staged files of a recovery that nobody knows, and the room kept for a full disk.
fn left_behind(open: &Open, findings: &mut Vec<Finding>) -> Result<(), Failure> {
    let known = apply::unfinished(&open.vault.journal())?;
    for id in leftovers::staged(open.root()).into_iter().filter(|id| !known.contains(id)) {
        let message = format!("recovery {id} left staged files behind that nothing needs");
        findings.push(Finding::new("LEFTOVERS", Severity::Warning, message, "`wfr resume` removes them"));
    }
    // A recovery at work has just made it, or is about to remove it.
    let unused = if holding::recovering(open)?.is_some() { vec![] } else { leftovers::unused(open.root()) };
    for dir in unused {
        let message = format!("{} is left of a recovery, and nothing is in it", dir.display());
        findings.push(Finding::new("LEFTOVERS", Severity::Warning, message, "`wfr resume` removes it"));
    }
    for (dir, count) in leftovers::kept(open.root()) {
        let message = format!("{count} displaced, kept in {}: somebody still wrote to them", dir.display());
        let fix = "their names begin with the recovery's id, see `wfr recoveries`; remove what nobody needs";
        findings.push(Finding::new("DISPLACED_KEPT", Severity::Warning, message, fix));
    }
    if !reserve::is_there(open.vault.dir()) {
        let message = "the room kept for a full disk is not there";
        findings.push(Finding::new("RESERVE_MISSING", Severity::Warning, message, reserve_fix(open)));
    }
    Ok(())
}

/// Whether each checkpoint follows the one before it, as far as the catalog tells.
fn chain(open: &Open, findings: &mut Vec<Finding>) -> Result<(), Failure> {
    let (mut before, mut imported) = (None, HashSet::new());
    for link in open.catalog.chain()? {
        if link.is_imported() {
            imported.insert(Some(link.checkpoint_id));
            continue;
        }
        // The first one here may have followed one that was imported before it.
        let follows = link.predecessor == before || before.is_none() && imported.contains(&link.predecessor);
        if !link.recovered && !follows {
            let message = format!("checkpoint {} does not follow the one before it", link.checkpoint_id);
            let fix = "run `wfr validate-checkpoint latest --validation-level comprehensive`";
            findings.push(Finding::new("CHAIN_BROKEN", Severity::Critical, message, fix));
        }
        before = Some(link.checkpoint_id);
    }
    Ok(())
}

/// Whether the catalog says of each checkpoint what its manifest does: a bit that rots in the catalog changes what it says,
/// and nothing in the file tells.
fn manifests(open: &Open, findings: &mut Vec<Finding>) -> Result<(), Failure> {
    let store = open.store()?;
    for row in open.catalog.list(&ListQuery::default())? {
        let (id, name) = (&row.checkpoint_id, &row.name);
        match verify::contradictions(&store, &row) {
            Some(fields) if fields.is_empty() => {}
            Some(fields) => {
                let fields: Vec<String> = fields.into_iter().map(str::to_owned).collect();
                let message = format!(
                    "the catalog says of checkpoint {id} ({name}) what its manifest does not: {}",
                    named(&fields)
                );
                let fix = "run `wfr doctor --rebuild-catalog`: what manifests say is read again from the packs";
                findings.push(Finding::new("CATALOG_CONTRADICTED", Severity::Error, message, fix));
            }
            // What a cleanup took while this looked is none any more.
            None if open.catalog.checkpoint(id)?.is_none_or(|row| row.deleted_at.is_some()) => {}
            None => {
                let message =
                    format!("the manifest of checkpoint {id} ({name}) cannot be read where the catalog says it is");
                let fix = "run `wfr doctor --rebuild-catalog`: where the manifest is whole it is found in the packs, else the \
                           checkpoint is named as lost";
                findings.push(Finding::new("MANIFEST_UNREADABLE", Severity::Error, message, fix));
            }
        }
    }
    Ok(())
}

/// Checkpoints that a validation found damaged and none has found whole since.
fn damaged(open: &Open, findings: &mut Vec<Finding>) -> Result<(), Failure> {
    let rows = open.catalog.list(&ListQuery::default())?;
    for row in rows.iter().filter(|row| row.is_damaged()) {
        let when = row.verified_at.map(|at| format!(" at {at}")).unwrap_or_default();
        let message = format!("checkpoint {} ({}) was found damaged{when}", row.checkpoint_id, row.name);
        let fix = format!(
            "run `wfr validate-checkpoint {} --validation-level comprehensive --repair-if-possible`",
            row.checkpoint_id
        );
        findings.push(Finding::new("CHECKPOINT_DAMAGED", Severity::Error, message, &fix));
    }
    // Without the key nothing of them can be read, and nothing said.
    let recoveries = match open.catalog.damaged_recoveries(None) {
        Err(CatalogError::Sealed { .. }) => vec![],
        found => found?,
    };
    findings.extend(recoveries.iter().map(|one| {
        let message =
            format!("the record of recovery {} is damaged, so it cannot be undone: {}", one.recovery, one.why);
        let fix = conversions::around_damaged(one.before.as_ref());
        Finding::new("RECOVERY_DAMAGED", Severity::Error, message, fix)
    }));
    Ok(())
}

/// What each mount at the workspace's root and below it can do.
fn file_systems(open: &Open, findings: &mut Vec<Finding>) -> Vec<FileSystemReport> {
    probe::mounts(open.root()).into_iter().filter_map(|mount| file_system(open, &mount, findings)).collect()
}

fn file_system(open: &Open, mount: &TreePath, findings: &mut Vec<Finding>) -> Option<FileSystemReport> {
    let place = open.root().join(OsStr::from_bytes(mount.as_bytes()));
    let abilities = match probe::probe(open.root(), mount) {
        Ok(abilities) => abilities,
        Err(error) => {
            let message = format!("{} cannot be written: {error}", place.display());
            let fix = if probe::is_shut_by_its_owner(open.root(), mount) {
                "nothing is to be done: a restore makes it writable while it needs that"
            } else {
                "a restore that changes files there is refused; `--to DIR` works"
            };
            findings.push(Finding::new("MOUNT_UNWRITABLE", Severity::Warning, message, fix));
            return None;
        }
    };
    if !abilities.allow_recovery() {
        let message = format!("{} ({}) cannot exchange files atomically", place.display(), abilities.file_system);
        let fix = "restore with `--to DIR` on another file system";
        findings.push(Finding::new("FILE_SYSTEM_UNSUITABLE", Severity::Error, message, fix));
    }
    Some(FileSystemReport {
        path: shown(&place),
        kind: abilities.file_system,
        exchange: abilities.exchange,
        no_replace: abilities.no_replace,
        leases: abilities.leases,
    })
}

/// Writes the reference's three metadata files of a workflow.
pub fn metadata(session: &mut Session, parameters: Metadata) -> Result<Success<MetadataWritten>, Failure> {
    let open = session.open()?;
    let workflow = known(&open, needed(parameters.workflow_id, "workflow_id")?)?;
    let rows = open.catalog.list(&ListQuery { workflow: Some(workflow.clone()), ..ListQuery::default() })?;
    let index = json!({"workflow_id": workflow, "checkpoints": rows.iter().map(index_line).collect::<Vec<_>>()});
    let hashes: Map<String, Value> = rows.iter().map(hash_line).collect();
    let files = vec![
        write_metadata(&open, &workflow, "checkpoint_index.json", &index)?,
        write_metadata(&open, &workflow, "integrity_hashes.json", &Value::Object(hashes))?,
        write_graph(&open, &workflow)?,
    ];
    let written = MetadataWritten { files, checkpoints: rows.len() as u64 };
    Ok(Success::new(written).about(&workflow))
}

/// Builds a workflow's dependency graph from its state as it is now, and writes it; where.
pub(super) fn write_graph(open: &Open, workflow: &WorkflowId) -> Result<String, Failure> {
    let whole = state::present(&open.catalog, workflow)?.unwrap_or_else(|| Whole::new(workflow.clone()));
    let graph = json!({"dependency_graph": graph::of(&whole, &open.config.dependencies.declared()).0});
    write_metadata(open, workflow, "dependency_graph.json", &graph)
}

fn write_metadata(open: &Open, workflow: &WorkflowId, name: &str, value: &Value) -> Result<String, Failure> {
    let dir: PathBuf = view::metadata_dir(open.root(), workflow.as_str());
    let below = dir.strip_prefix(view::dir(open.root())).unwrap_or(Path::new("")).to_string_lossy().into_owned();
    Ok(shown(&view::write_report(open.root(), &below, name, value)?))
}

fn index_line(row: &CheckpointRow) -> Value {
    json!({
        "checkpoint_id": row.checkpoint_id,
        "name": row.name,
        "checkpoint_type": row.checkpoint_type,
        "created_at": row.created_at,
        "phase_id": row.phase_id,
        "complete": row.complete,
        "tags": row.tags,
    })
}

fn hash_line(row: &CheckpointRow) -> (String, Value) {
    let hashes = json!({"manifest": row.manifest, "tree": row.tree, "verification_status": row.verification});
    (row.checkpoint_id.to_string(), hashes)
}
