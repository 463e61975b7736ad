//! `cleanup-checkpoints`, `backup-state`.
//!
//! Owns their glue. Refuses to know how packs are collected and what an archive's bytes are.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wfr_catalog::{CheckpointRow, ListQuery, NewOperation};
use wfr_model::checkpoint::Manifest;
use wfr_model::retention::{NEEDED_FOR_UNDO, Retention};
use wfr_model::{CheckpointId, Digest, WorkflowId};
use wfr_store::archive::{self, ReadOptions, WriteOptions};
use wfr_store::keys::Recipients;
use wfr_store::object::hash_reader;
use wfr_store::reach::Roots;
use wfr_store::record::Coding;
use wfr_store::reserve;
use wfr_store::vault::make_dir;

use super::own_places::refuse_own_places;
use super::{care, known, needed, shown};
use crate::cleanup::{self, CleanupError, Judged, Request, UNDOABLE_MAX};
use crate::error::{Code, Failure};
use crate::keyring::{self, KeyError};
use crate::open::Open;
use crate::params::{BackupState, BackupType, CleanupCheckpoints};
use crate::response::Success;
use crate::results::{Backup, Cleanup, Pin};
use crate::session::Session;
use crate::state::WithEvents;
use crate::{ledger, mint, outbox, recovery, scanning, unknown, view, workspace};

/// Removes checkpoints that no rule keeps.
pub fn cleanup(session: &mut Session, parameters: CleanupCheckpoints) -> Result<Success<Cleanup>, Failure> {
    let mut so_far = None;
    let ended = match session.with_reserve(|session| try_all(session, &parameters, &mut so_far)) {
        Err(failure) if failure.code == Code::DiskFull => clean_without_reserve(session, &parameters, &mut so_far),
        ended => ended,
    };
    ended.map_err(|failure| match so_far.filter(|done| !done.removed.is_empty()) {
        Some(done) => unfreed(failure, listed(done, &parameters)),
        None => failure,
    })
}

/// The failure of a cleanup that had removed checkpoints before, and so tells of them.
fn unfreed(failure: Failure, done: Cleanup) -> Failure {
    let removed = match done.removed.len() {
        1 => "1 checkpoint is removed all the same, and not all of its bytes are freed yet".to_owned(),
        more => format!("{more} checkpoints are removed all the same, and not all of their bytes are freed yet"),
    };
    let failure = match failure.code {
        Code::Io | Code::PermissionDenied => failure.with_hint("mend what the system names first"),
        _ => failure,
    };
    let failure = Failure { message: format!("{}; {removed}", failure.message), ..failure };
    failure.with_option("then run `wfr cleanup-checkpoints` again: it frees the bytes").with_result(done)
}

/// A cleanup with its decisions only where they are asked for.
fn listed(result: Cleanup, parameters: &CleanupCheckpoints) -> Cleanup {
    let is_listed = parameters.report_cleanup || parameters.dry_run;
    Cleanup { decisions: if is_listed { result.decisions } else { vec![] }, ..result }
}

/// Cleans up where the reserve is used up, too: what is derived goes first, and what the catalog's log takes.
fn clean_without_reserve(
    session: &mut Session,
    parameters: &CleanupCheckpoints,
    so_far: &mut Option<Cleanup>,
) -> Result<Success<Cleanup>, Failure> {
    if let Ok(open) = session.open() {
        scanning::drop_cache(&open);
        // The log moves into pages that the main file has already.
        let _ = open.catalog.checkpoint_wal();
    }
    try_all(session, parameters, so_far).map_err(|failure| match failure.code {
        Code::DiskFull => failure
            .with_hint(
                "remove or move something else on the disk of the store, a few megabytes, then run it again: what stays in \
                 a pack must be written anew before the pack can go",
            )
            .with_option(format!("what recoveries saved holds room, too: {LET_GO}")),
        _ => failure,
    })
}

/// What keeps bytes from being freed that no commit covers.
const KEPT_UNCOMMITTED: &str = "checkpoints that no commit covers stay, with all that they need: `wfr doctor` names them; where nobody was \
                                told of them, `wfr cleanup-checkpoints --drop-uncommitted` drops them";

/// How what recoveries saved is let go.
const LET_GO: &str = "`wfr cleanup-checkpoints --undoable 0`, with a `--retention-policy` that does not keep it by its age, \
                      lets it go, and they cannot be undone then";

fn checkpoints(count: usize) -> String {
    if count == 1 { "1 checkpoint".to_owned() } else { format!("{count} checkpoints") }
}

/// What stays so that recoveries can be undone: what they saved, and where they went.
fn pins(judged: &Judged) -> Vec<Pin> {
    let decided = judged.rows.iter().zip(&judged.decisions);
    decided
        .filter(|(_, decision)| decision.reason == NEEDED_FOR_UNDO)
        .map(|(row, _)| Pin { checkpoint_id: row.checkpoint_id.clone(), name: row.name.clone(), bytes: row.size_bytes })
        .collect()
}

/// Tries it once. `so_far` is what it did, and tries before it.
fn try_all(
    session: &mut Session,
    parameters: &CleanupCheckpoints,
    so_far: &mut Option<Cleanup>,
) -> Result<Success<Cleanup>, Failure> {
    let open = session.open()?;
    let workflow = parameters.workflow_id.clone().map(|workflow| known(&open, workflow)).transpose()?;
    let configured = open.config.recovery_configuration.checkpoint_policy.retention_period;
    let given = parameters.retention_policy.clone().map(|policy| policy.0);
    let request = Request {
        workflow: workflow.clone(),
        policy: given.unwrap_or_else(|| Retention { within: Some(configured), ..Retention::default() }),
        preserve_critical: parameters.preserve_critical.0,
        recompress: parameters.compress_archived,
        undoable: parameters.undoable.unwrap_or(UNDOABLE_MAX),
        drop_uncommitted: parameters.drop_uncommitted,
        agreed: parameters.apply,
    };
    let uncommitted = if parameters.drop_uncommitted { uncommitted(session)? } else { vec![] };
    let mut holds_back = false;
    let result = if parameters.dry_run {
        try_cleanup(session, &open, &request)?
    } else {
        // A recovery that waits to be ended is ended first, by an opening of its own: what it reads is not held.
        match recovery::finish_unfinished(session, &session.open()?) {
            Err(failure) if failure.code != Code::DiskFull => return Err(failure),
            _ => {}
        }
        let (cleaned, is_all_known) = clean(session, &open, &request, so_far)?;
        holds_back = !is_all_known;
        cleaned
    };
    let result = listed(result, parameters);
    let (pins, bytes) = (result.pins.len(), result.pins.iter().map(|pin| pin.bytes).sum::<u64>());
    let mut success = Success { workflow_id: workflow, ..Success::new(result) };
    if parameters.drop_uncommitted {
        success = success.with_next_step(dropped(session, &uncommitted, parameters.dry_run)?);
    }
    if holds_back {
        success = success.with_next_step(KEPT_UNCOMMITTED);
    }
    Ok(match pins {
        0 => success,
        _ => success.with_next_step(format!("{} stay for undo, {bytes} bytes: {LET_GO}", checkpoints(pins))),
    })
}

/// Checkpoints that no commit covers. By an opening of its own: what it reads is not held.
fn uncommitted(session: &Session) -> Result<Vec<Manifest>, Failure> {
    let open = session.open()?;
    let acknowledged = unknown::exported(&open)?;
    if let Some((_, first)) = acknowledged.first() {
        let message = format!(
            "the catalog has never heard of {} checkpoints that were acknowledged, `{}` among them: nothing is dropped",
            acknowledged.len(),
            first.name
        );
        return Err(Failure::new(Code::CatalogDamaged, message));
    }
    open.unlock()?;
    let packed = unknown::packed(&open, open.cipher().map(AsRef::as_ref))?;
    Ok(packed.into_iter().map(|(_, manifest)| manifest).collect())
}

/// Which of the checkpoints that no commit covers are gone, or would be.
fn dropped(session: &Session, before: &[Manifest], dry_run: bool) -> Result<String, Failure> {
    let named = |found: &[&Manifest]| {
        let names: Vec<String> = found.iter().map(|one| format!("{} ({})", one.checkpoint_id, one.name)).collect();
        care::named(&names)
    };
    let left = if dry_run { vec![] } else { uncommitted(session)? };
    let (left, gone): (Vec<&Manifest>, Vec<&Manifest>) =
        before.iter().partition(|one| left.iter().any(|left| left.checkpoint_id == one.checkpoint_id));
    Ok(match (gone.is_empty(), left.is_empty()) {
        (true, true) => "no checkpoint is there that no commit covers".to_owned(),
        (_, true) if dry_run => format!("would be dropped, since no commit covers them: {}", named(&gone)),
        (_, true) => format!("dropped, since no commit covers them: {}", named(&gone)),
        (_, false) => format!("still there, since another command is at work: {}; try again later", named(&left)),
    })
}

/// Says what would be removed.
fn try_cleanup(session: &Session, open: &Open, request: &Request) -> Result<Cleanup, Failure> {
    let judged = cleanup::judge(open, request, session.now())?;
    let (pins, decisions) = (pins(&judged), judged.decisions);
    let removed: Vec<CheckpointId> =
        decisions.iter().filter(|decision| !decision.keep).map(|decision| decision.checkpoint_id.clone()).collect();
    let bytes = cleanup::preview(open, &removed, request, &session.abort)?;
    let kept = (decisions.len() - removed.len()) as u64;
    Ok(Cleanup {
        dry_run: true,
        digest: Some(request.digest(&removed)),
        removed,
        kept,
        bytes_freed: None,
        bytes_reclaimable: Some(bytes),
        bytes_pending: 0,
        pins,
        decisions,
    })
}

/// Cleans up, and makes the room for a full disk where it was given up. Says also whether the catalog knows all that is there.
fn clean(
    session: &Session,
    open: &Open,
    request: &Request,
    so_far: &mut Option<Cleanup>,
) -> Result<(Cleanup, bool), Failure> {
    let cleaned = delete_and_collect(session, open, request, so_far)?;
    // Derived from nothing that is needed: where it cannot be removed now, the next cleanup tries again.
    let _ = outbox::prune(open, session.now());
    // Where the disk is still too full for it, the next cleanup tries again.
    let _ = reserve::create(open.vault.dir());
    Ok(cleaned)
}

fn delete_and_collect(
    session: &Session,
    open: &Open,
    request: &Request,
    so_far: &mut Option<Cleanup>,
) -> Result<(Cleanup, bool), CleanupError> {
    let turn = cleanup::turn(open)?;
    cleanup::check(open)?;
    let judged = cleanup::judge(open, request, session.now())?;
    let pins = pins(&judged);
    let Judged { rows, decisions, .. } = judged;
    let goes = rows.into_iter().zip(&decisions).filter(|(_, decision)| !decision.keep);
    let rows: Vec<CheckpointRow> = goes.map(|(row, _)| row).collect();
    let (mut removed, freed) = so_far.as_ref().map_or((vec![], None), |done| (done.removed.clone(), done.bytes_freed));
    let mut kept = decisions.len();
    let all: Vec<CheckpointId> = removed.iter().chain(rows.iter().map(|row| &row.checkpoint_id)).cloned().collect();
    if request.agreed.is_some_and(|agreed| agreed != request.digest(&all)) {
        return Err(CleanupError::Stale);
    }
    if !rows.is_empty() {
        let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        let audit = audit(session, "cleanup-checkpoints", request.workflow.clone(), json!({"names": names}));
        let gone = cleanup::delete_chosen(open, &rows, request.undoable, &audit)?;
        kept -= gone.len();
        removed.extend(gone);
    }
    let done = so_far.insert(Cleanup {
        dry_run: false,
        digest: None,
        removed,
        kept: kept as u64,
        bytes_freed: freed,
        bytes_reclaimable: None,
        bytes_pending: 0,
        pins,
        decisions,
    });
    let before = pack_bytes(open);
    let collected = cleanup::collect(open, &turn, request, &session.abort);
    done.bytes_freed = Some(freed.unwrap_or(0) + before.saturating_sub(pack_bytes(open)));
    let collected = collected?;
    let packs = open.vault.packs();
    done.bytes_pending = collected.waiting.iter().map(|pack| size_of(&wfr_store::pack::path(&packs, pack))).sum();
    Ok((done.clone(), collected.unknown.is_empty()))
}

/// Bytes of all pack files.
fn pack_bytes(open: &Open) -> u64 {
    let Ok(entries) = std::fs::read_dir(open.vault.packs()) else { return 0 };
    entries.flatten().map(|entry| size_of(&entry.path())).sum()
}

fn size_of(path: &Path) -> u64 {
    std::fs::symlink_metadata(path).map_or(0, |meta| meta.len())
}

pub(super) fn audit(
    session: &Session,
    operation: &str,
    workflow_id: Option<WorkflowId>,
    result: Value,
) -> NewOperation {
    NewOperation {
        operation_id: mint::operation(),
        operation: operation.to_owned(),
        actor: session.actor.clone(),
        at: session.now(),
        workflow_id,
        parameters: Value::Null,
        inverse: None,
        result,
    }
}

/// Who can read the archive; `None` where everybody can. What an encrypted store holds comes into the clear only on
/// request.
fn recipients(session: &Session, open: &Open, parameters: &BackupState) -> Result<Option<Recipients>, Failure> {
    let encrypted = parameters.encryption.unwrap_or(open.vault.identity().encrypted);
    if !encrypted && parameters.recipients.is_empty() {
        return Ok(None);
    }
    let found = session.keyring.recipients(&parameters.recipients).map(Some);
    found.map_err(|error| {
        let is_unnamed = matches!(error, KeyError::NoPassphrase) && keyring::is_for_recipients(&open.vault);
        let failure = if is_unnamed { unnamed(&session.keyring.own_recipients()) } else { error.into() };
        match parameters.encryption {
            Some(_) => failure,
            None => failure.with_option("`--encryption=false` writes what the encrypted store holds into the clear"),
        }
    })
}

/// The refusal to guess who is to read an archive of a store whose key is locked for recipients. `own` are those of the identity
/// that was given.
fn unnamed(own: &[String]) -> Failure {
    let message = "the store is encrypted for recipients, and its key does not tell who they are: name who is to read the archive";
    let hint = match own {
        [] => "give `--recipients age1...`; `age-keygen -y FILE` prints that of an identity's file".to_owned(),
        own => format!(
            "give `--recipients {}`, that of the identity in WFR_IDENTITY_FILE, and those of others who are to read it",
            own.join("` and `--recipients ")
        ),
    };
    Failure::new(Code::WrongArguments, message)
        .with_hint(hint)
        .with_option("a file that WFR_PASSPHRASE_FILE names holds a passphrase for the archive instead")
}

/// Writes a workflow's checkpoints into an archive.
pub fn backup(session: &mut Session, parameters: BackupState) -> Result<Success<Backup>, Failure> {
    let open = session.open()?;
    let workflow = known(&open, needed(parameters.workflow_id.clone(), "workflow_id")?)?;
    let rows = to_back_up(&open, &workflow, parameters.backup_type)?;
    let recipients = recipients(session, &open, &parameters)?;
    let encrypted = recipients.is_some();
    let (path, is_ours) = output(session, &open, &parameters, &workflow, encrypted);
    if !is_ours {
        refuse_own_places(session, &open, &path)?;
    }
    let coding = if parameters.compression.0 { Coding::default() } else { Coding { level: None } };
    let store = open.store()?;
    let with_events = WithEvents::of(&store, &open.catalog, &workflow)?;
    let header = json!({
        "written_by": concat!("wfr ", env!("CARGO_PKG_VERSION")),
        "written_at": session.now(),
        "workflow_id": workflow,
        "vault_id": open.vault.identity().vault_id,
        "backup_type": parameters.backup_type,
        "retention": parameters.retention,
        "events": with_events.events,
        "checkpoints": rows.iter().map(|row| json!({"checkpoint_id": row.checkpoint_id, "name": row.name})).collect::<Vec<_>>(),
    });
    let mut roots: Vec<Roots> = rows.iter().map(roots_of).collect();
    // The workflow's own events go with the newest of its checkpoints.
    if let Some(newest) = roots.last_mut() {
        newest.seals.clone_from(&with_events.seals);
    }
    let abort = Some(&*session.abort);
    let options = WriteOptions { coding, recipients: recipients.as_ref(), replace: false, abort };
    if let Some(dir) = path.parent().filter(|_| is_ours) {
        make_dir(dir)?;
    }
    let summary = archive::write(&with_events, &roots, &header, &path, &options)?;
    let verified = read_back(&path)? == summary.file_hash
        && (encrypted || archive::verify(&path, &ReadOptions { unlock: None, abort }).is_ok());
    if !verified {
        let message = format!("{} is not what was written into it", path.display());
        return Err(Failure::new(Code::Io, message).with_hint("the medium may be failing: write it elsewhere"));
    }
    let result = Backup {
        path: shown(&path),
        size_bytes: summary.file_bytes,
        checksum: summary.file_hash,
        checkpoints: rows.into_iter().map(|row| row.checkpoint_id).collect(),
        objects: summary.objects,
        events: with_events.events,
        compression: coding.level.map_or("none".to_owned(), |level| format!("zstd-{level}")),
        encrypted,
        retention: parameters.retention.map(|span| span.to_string()),
        verified,
    };
    let mut success = Success::new(result).about(&workflow);
    if ledger::is_kept(&open)? {
        success = success.with_next_step(
            "who changed what is not in it: where it is imported, work that was done before cannot be told apart",
        );
    }
    Ok(match () {
        () if is_ours => success.with_next_step(format!(
            "the archive is in {}, since the current directory is in the workspace; `--output FILE` writes it elsewhere",
            shown(path.parent().unwrap_or(&path))
        )),
        () if path.starts_with(open.root()) => {
            success.with_next_step("the archive lies in the workspace, so checkpoints take it too: move it elsewhere")
        }
        () => success,
    })
}

fn to_back_up(open: &Open, workflow: &WorkflowId, kind: BackupType) -> Result<Vec<CheckpointRow>, Failure> {
    let query = ListQuery { workflow: Some(workflow.clone()), ..ListQuery::default() };
    let mut rows = open.catalog.list(&query)?;
    rows.sort_by_key(|row| row.seq);
    if kind == BackupType::Latest {
        // What recoveries saved is nobody's newest work.
        let newest = rows.iter().rposition(|row| !row.is_safety());
        rows = newest.map(|newest| rows.swap_remove(newest)).into_iter().collect();
    }
    if rows.is_empty() {
        return Err(Failure::new(Code::CheckpointNotFound, format!("workflow `{workflow}` has no checkpoints")));
    }
    Ok(rows)
}

fn roots_of(row: &CheckpointRow) -> Roots {
    // Seals hold other workflows' events, too: they stay.
    Roots {
        manifest: Some(row.manifest),
        tree: row.tree,
        links: row.hard_links,
        coverage: row.coverage,
        state: row.state,
        seals: vec![],
    }
}

/// The archive's file, and whether it is in wfr's own place for them: as named, else from workflow and time, in the current
/// directory where that is not in the workspace, whose checkpoints would take it and whose restores would remove it.
fn output(
    session: &Session,
    open: &Open,
    parameters: &BackupState,
    workflow: &WorkflowId,
    encrypted: bool,
) -> (PathBuf, bool) {
    let current = &session.directories.current;
    if let Some(named) = &parameters.output {
        return (workspace::absolute(current, &named.0), false);
    }
    let suffix = if encrypted { ".age" } else { "" };
    let name = format!("{workflow}-{}.wfrarchive{suffix}", session.now().stamp());
    let real = |place: &Path| place.canonicalize().unwrap_or_else(|_| place.to_owned());
    if !real(current).starts_with(real(open.root())) {
        return (workspace::absolute(current, Path::new(&name)), false);
    }
    let ours = match &session.directories.data {
        Some(data) => workspace::default_backups(data, open.root()),
        None => view::dir(open.root()).join("backups"),
    };
    (ours.join(name), true)
}

fn read_back(path: &Path) -> Result<Digest, Failure> {
    let mut file = File::open(path)?;
    Ok(hash_reader(&mut file)?)
}
