//! `change`, `log`, `who`: the ledger's own operations.
//!
//! Owns their glue. Refuses to attribute anything: that is [`crate::ledger`].

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use wfr_catalog::{ChangeFilter, ChangeRow, ChangeSeq, NewChange, NewPoint, PathId, PathKey};
use wfr_model::change::{Change, Segment, Source};
use wfr_model::entry::{Content, Entry, Node};
use wfr_model::plan::EntrySummary;
use wfr_model::{ChangeId, TreePath};
use wfr_store::Objects;
use wfr_store::content;

use super::{agreeing, known, needed, nothing};
use crate::error::{Code, Failure};
use crate::ledger::{self, EffectOf, Veil};
use crate::open::Open;
use crate::params::{ChangeAction, ChangeWork, DiffFormat, Log, Phase, Who};
use crate::pathspec::{PathSpec, PathSpecs};
use crate::recovery::{History, finish_unfinished, followed};
use crate::response::Success;
use crate::results::{ChangeDone, ChangeLine, ChangeLog, OthersPaths, PathChange, PathHistory};
use crate::session::Session;
use crate::textdiff;

/// Changes that are listed where nothing else is said.
const LISTED: u32 = 100;

/// So many changes besides those that are listed are looked at to find others that were open at the same time.
const NEAR_MAX: u32 = 500;

/// Paths of one change that are listed, at most.
const PATHS_MAX: usize = 1_000;

/// Says who changes what.
pub fn change(session: &mut Session, parameters: ChangeWork) -> Result<Success<ChangeDone>, Failure> {
    session.with_reserve(|session| {
        let open = session.open()?;
        finish_unfinished(session, &open)?;
        match needed(parameters.action, "action")? {
            ChangeAction::Begin => begin(session, &open, &parameters),
            ChangeAction::End => end(session, &open, &parameters),
            ChangeAction::Record => record(session, &open, &parameters),
        }
    })
}

fn begin(session: &Session, open: &Open, parameters: &ChangeWork) -> Result<Success<ChangeDone>, Failure> {
    if parameters.token.is_some() {
        return Err(Failure::new(Code::WrongArguments, "`change begin` takes no token: it gives one"));
    }
    if !parameters.reads.0.is_empty() {
        return Err(Failure::new(Code::WrongArguments, "`--reads` says what was read: it goes with `change end`"));
    }
    let author = parameters.author();
    let turn = ledger::turn_between_recoveries(session, open)?;
    let declared = declared(open, parameters)?;
    let source = if declared.is_empty() { Source::Observed } else { Source::Declared };
    let change = ledger::announced(session, author, source, parameters.note.clone());
    let id = change.change_id.clone();
    let point = ledger::look(session, open, &turn, parameters.workflow.as_ref(), |point, opened| {
        let parent = parent_of(open, opened, parameters)?;
        point.changes.push(NewChange { change, declared, parent });
        Ok(())
    })?;
    let done = ChangeDone {
        token: Some(id.clone()),
        change_id: id.clone(),
        paths: vec![],
        others: others(open, &point, &id)?,
    };
    Ok(success(done, parameters))
}

/// The paths that are named, as the catalog keeps them.
fn declared(open: &Open, parameters: &ChangeWork) -> Result<Vec<String>, Failure> {
    let veil = Veil::of(open)?;
    parameters.paths.0.iter().map(|path| veil.declared(path)).collect()
}

/// What was read, for the ledger.
fn reads(open: &Open, parameters: &ChangeWork, change: &ChangeId) -> Result<Vec<(PathKey, ChangeId)>, Failure> {
    let veil = Veil::of(open)?;
    parameters.reads.0.iter().map(|path| Ok((veil.path(path)?, change.clone()))).collect()
}

fn success(done: ChangeDone, parameters: &ChangeWork) -> Success<ChangeDone> {
    Success { workflow_id: parameters.workflow.clone(), ..Success::new(done) }
}

/// The change that a new one is a part of: the one that is named, or the newest open one of the same agent and session. What is
/// traced is known to have no such parts: they would be named.
pub(super) fn parent_of(
    open: &Open,
    opened: &[ChangeRow],
    parameters: &ChangeWork,
) -> Result<Option<ChangeId>, Failure> {
    if let Some(id) = &parameters.parent {
        return Ok(Some(opened_change(open, id)?.change.change_id));
    }
    let mine = |row: &&ChangeRow| {
        let author = &row.change.author;
        parameters.agent.is_some()
            && author.agent_id == parameters.agent
            && author.workflow_id == parameters.workflow
            && author.session_id == parameters.session
            && row.change.source != Source::Traced
    };
    Ok(opened.iter().find(mine).map(|row| row.change.change_id.clone()))
}

/// An open change by its token.
fn opened_change(open: &Open, id: &ChangeId) -> Result<ChangeRow, Failure> {
    let row = ledger::change_named(open, id)?;
    let row = row.ok_or_else(|| Failure::new(Code::ChangeNotFound, format!("no change `{id}` was ever begun")))?;
    match row.change.ended_at {
        None => Ok(row),
        Some(at) => Err(Failure::new(Code::ChangeNotFound, format!("change {} ended at {at}", row.change.change_id))
            .with_hint("a token serves once: begin another change")),
    }
}

fn end(session: &Session, open: &Open, parameters: &ChangeWork) -> Result<Success<ChangeDone>, Failure> {
    let id = needed(parameters.token.clone(), "token")?;
    let turn = ledger::turn_between_recoveries(session, open)?;
    let row = opened_change(open, &id)?;
    let id = row.change.change_id.clone();
    let reads = reads(open, parameters, &id)?;
    let point = ledger::look(session, open, &turn, None, |point, _| {
        point.ended.push(id.clone());
        point.reads = reads;
        Ok(())
    })?;
    let mut paths = path_changes(open, row.seq)?;
    let mut others = others(open, &point, &id)?;
    let mut doubts = Vec::new();
    for part in open.catalog.parts_of_change(row.seq)?.into_iter().filter(|part| !part.change.candidates.is_empty()) {
        let likely = path_changes(open, part.seq)?;
        let names: BTreeSet<&str> = part.change.candidates.iter().map(|one| one.author.name()).collect();
        let names = names.into_iter().collect::<Vec<_>>().join(" or ");
        let (part, count) = (part.change.change_id, likely.len());
        doubts.push(format!("{count} of the paths may be of {names}, too: they are change {part}, a part of this one"));
        others.retain(|other| other.change_id != part);
        paths.extend(likely);
    }
    paths.sort_by(|a, b| a.path.cmp(&b.path));
    let done = ChangeDone { token: None, change_id: id.clone(), paths, others };
    let success = Success { workflow_id: row.change.author.workflow_id, ..Success::new(done) };
    Ok(doubts.into_iter().fold(success, Success::with_next_step))
}

/// A change that was over before it was announced: what is found at its paths is its own, whoever else was at work.
fn record(session: &Session, open: &Open, parameters: &ChangeWork) -> Result<Success<ChangeDone>, Failure> {
    if parameters.paths.0.is_empty() && parameters.reads.0.is_empty() {
        return Err(Failure::new(
            Code::WrongArguments,
            "`change record` needs `--paths`: what was written, or `--reads`",
        )
        .with_hint("where it is not known, use `change begin` before and `change end` after"));
    }
    let turn = ledger::turn_between_recoveries(session, open)?;
    let now = session.now();
    let mut change = ledger::announced(session, parameters.author(), Source::Declared, parameters.note.clone());
    change.ended_at = Some(now);
    let id = change.change_id.clone();
    let veil = Veil::of(open)?;
    let point = ledger::look(session, open, &turn, parameters.workflow.as_ref(), |point, _| {
        for segment in &mut point.segments {
            let path = veil.shown(&segment.path)?;
            if parameters.paths.0.iter().any(|named| path.is_within(named) || named.is_within(&path)) {
                segment.change = id.clone();
            }
        }
        // Who is left without a path had none.
        let segments = &point.segments;
        point.changes.retain(|new| segments.iter().any(|segment| segment.change == new.change.change_id));
        let declared = declared(open, parameters)?;
        point.changes.push(NewChange { change, declared, parent: None });
        point.reads = reads(open, parameters, &id)?;
        Ok(())
    })?;
    let row = open.catalog.change(&id)?;
    let paths = row.map_or(Ok(vec![]), |row| path_changes(open, row.seq))?;
    let is_found = |named: &TreePath| paths.iter().any(|one| one.path.is_within(named));
    let missing: Vec<String> =
        parameters.paths.0.iter().filter(|named| !is_found(named)).map(|named| format!("`{named}`")).collect();
    let done = ChangeDone { token: None, change_id: id.clone(), paths, others: others(open, &point, &id)? };
    let success = success(done, parameters);
    if missing.is_empty() {
        return Ok(success);
    }
    let step = format!(
        "nothing new was found at {}: it is no path that changed, or a look before this one found it (`wfr who PATH`)",
        missing.join(", ")
    );
    Ok(success.with_next_step(step))
}

/// What was found with a change and belongs to others.
fn others(open: &Open, point: &NewPoint, own: &ChangeId) -> Result<Vec<OthersPaths>, Failure> {
    let mut counts: BTreeMap<&ChangeId, u64> = BTreeMap::new();
    for segment in point.segments.iter().filter(|segment| segment.change != *own) {
        *counts.entry(&segment.change).or_default() += 1;
    }
    let mut others = Vec::with_capacity(counts.len());
    for (id, paths) in counts {
        let Some(row) = open.catalog.change(id)? else { continue };
        let Change { actor, author, candidates, .. } = row.change;
        others.push(OthersPaths { change_id: id.clone(), actor, author, candidates, paths });
    }
    Ok(others)
}

/// What a change did, by path.
fn effects(open: &Open, change: ChangeSeq) -> Result<Vec<EffectOf>, Failure> {
    let veil = Veil::of(open)?;
    let mut found = Vec::new();
    for chain in open.catalog.segments_of(change)? {
        found.extend(ledger::effect_of(&veil, &chain, change)?);
    }
    found.sort_by(|a, b| a.whole.path.cmp(&b.whole.path));
    Ok(found)
}

/// The same, as it is shown.
fn path_changes(open: &Open, change: ChangeSeq) -> Result<Vec<PathChange>, Failure> {
    Ok(effects(open, change)?.iter().map(shown).collect())
}

fn shown(effect: &EffectOf) -> PathChange {
    let segment = &effect.whole;
    PathChange {
        path: segment.path.clone(),
        effect: segment.effect(),
        before: segment.before.as_ref().map(EntrySummary::from),
        after: segment.after.as_ref().map(EntrySummary::from),
        cancelled: effect.cancelled,
        patch: None,
    }
}

/// Lists changes.
pub fn log(session: &mut Session, parameters: Log) -> Result<Success<ChangeLog>, Failure> {
    let open = session.open()?;
    let workflow = parameters.workflow_id.clone().map(|workflow| known(&open, workflow)).transpose()?;
    let limit = parameters.limit.map_or(LISTED, NonZeroU32::get);
    let phase = parameters.phase.as_ref().map(|phase| agreeing::phase(&open, workflow.as_ref(), phase));
    let phase = phase.transpose()?;
    let files = PathSpecs::of(&parameters.path.0);
    let before = before(&open, &files)?;
    let filter = ChangeFilter {
        workflow: workflow.clone(),
        phase: phase.map(|phase| crate::phases::of(&open, workflow.as_ref(), &phase)).transpose()?,
        task: parameters.task.clone(),
        agent: parameters.agent.clone(),
        session: parameters.session.clone(),
        tool_call: parameters.tool_call.clone(),
        actors: parameters.actor.0.clone(),
        sources: parameters.source.0.clone(),
        since: parameters.since,
        paths: (!files.is_all()).then(|| within(&open, &files, &before)).transpose()?,
        open: false,
        in_doubt: false,
        limit: Some(limit),
    };
    let rows = open.catalog.changes(&filter)?;
    let near = near(&open, &rows)?;
    let store = if parameters.patch { Some(open.store()?) } else { None };
    let mut changes = Vec::new();
    for row in &rows {
        let mut effects = effects(&open, row.seq)?;
        let paths_total = effects.len() as u64;
        let is_before = |path: &TreePath| before.get(path).is_some_and(|changes| changes.contains(&row.seq));
        effects.retain(|effect| files.mean(&effect.whole.path) || is_before(&effect.whole.path));
        if effects.is_empty() && !before.is_empty() {
            // Another file had that name.
            continue;
        }
        effects.truncate(PATHS_MAX);
        let mut paths = Vec::with_capacity(effects.len());
        for effect in &effects {
            let patch = store.as_ref().map(|store| patches(store, effect)).transpose()?.flatten();
            paths.push(PathChange { patch, ..shown(effect) });
        }
        let requested_by = row.change.requested_by().map(str::to_owned);
        let overlaps = overlaps(row, &near);
        changes.push(ChangeLine { change: row.change.clone(), requested_by, paths, paths_total, overlaps });
    }
    let unknown = if changes.is_empty() { asked(&parameters).unknown(&open, workflow.as_ref())? } else { None };
    let success = Success { workflow_id: workflow, ..Success::new(ChangeLog { changes }) };
    Ok(match unknown {
        None => success,
        Some((message, hint)) => {
            success.with_next_step([Some(message), hint].into_iter().flatten().collect::<Vec<_>>().join("; "))
        }
    })
}

/// Whom somebody wants to see changes of.
fn asked(parameters: &Log) -> nothing::Asked {
    nothing::Asked {
        agent: parameters.agent.iter().map(ToString::to_string).collect(),
        task: parameters.task.iter().map(ToString::to_string).collect(),
        phase: parameters.phase.iter().filter_map(Phase::id).map(|phase| phase.to_string()).collect(),
        session: parameters.session.iter().cloned().collect(),
    }
}

/// Names that files had before they got one that is named, with what was done to them there.
type Before = BTreeMap<TreePath, BTreeSet<ChangeSeq>>;

/// The earlier names of files that are named themselves; those below a directory that is named are not looked for.
fn before(open: &Open, files: &PathSpecs) -> Result<Before, Failure> {
    let veil = Veil::of(open)?;
    let mut before = Before::new();
    for path in files.wanted().filter_map(PathSpec::plain) {
        let Some(chain) = open.catalog.chain_at(&veil.path(path)?.key)? else { continue };
        let history = followed(open, &veil, chain)?;
        let changes: BTreeSet<ChangeSeq> = history.chain.segments.iter().map(|segment| segment.change).collect();
        for name in history.names {
            before.entry(name).or_default().extend(&changes);
        }
    }
    Ok(before)
}

/// The numbers of the paths that are meant.
fn within(open: &Open, files: &PathSpecs, before: &Before) -> Result<Vec<PathId>, Failure> {
    let veil = Veil::of(open)?;
    let mut unreadable = None;
    let found = open.catalog.paths_where(&mut |key| match veil.shown(key) {
        Ok(known) => files.mean(&known) || before.contains_key(&known),
        Err(failure) => {
            unreadable.get_or_insert(failure);
            false
        }
    })?;
    unreadable.map_or(Ok(found), Err)
}

/// The announced changes that may have been open while any of these was: those that are listed, and the newest since the first
/// of them began.
fn near(open: &Open, rows: &[ChangeRow]) -> Result<Vec<ChangeRow>, Failure> {
    let Some(since) = rows.iter().map(|row| row.change.started_at).min() else { return Ok(vec![]) };
    let since = ChangeFilter { since: Some(since), limit: Some(NEAR_MAX), ..ChangeFilter::default() };
    let mut near = open.catalog.changes(&since)?;
    near.extend(rows.iter().cloned());
    near.sort_by_key(|row| std::cmp::Reverse(row.seq));
    near.dedup_by_key(|row| row.seq);
    near.retain(|row| row.change.ended_at != Some(row.change.started_at));
    Ok(near)
}

/// Other changes that were open at the same time.
fn overlaps(row: &ChangeRow, rows: &[ChangeRow]) -> Vec<ChangeId> {
    let others = rows.iter().filter(|other| other.seq != row.seq && overlap(row, other));
    others.map(|other| other.change.change_id.clone()).collect()
}

/// Whether two announced changes were open at the same time.
fn overlap(a: &ChangeRow, b: &ChangeRow) -> bool {
    let lasts = |row: &ChangeRow| row.change.ended_at != Some(row.change.started_at);
    let begins_within = |a: &ChangeRow, b: &ChangeRow| b.change.ended_at.is_none_or(|end| a.change.started_at < end);
    lasts(a) && lasts(b) && begins_within(a, b) && begins_within(b, a)
}

/// What a change did as text, part by part: what others did in between is not its work.
fn patches(objects: &dyn Objects, effect: &EffectOf) -> Result<Option<String>, Failure> {
    let parts: Vec<Option<String>> =
        effect.parts.iter().map(|part| patch(objects, part)).collect::<Result<_, Failure>>()?;
    Ok(parts.into_iter().collect::<Option<Vec<String>>>().map(|parts| parts.concat()))
}

/// What was done as text, where both sides are texts of bearable size.
fn patch(objects: &dyn Objects, segment: &Segment) -> Result<Option<String>, Failure> {
    let sides = (text_of(objects, segment.before.as_ref())?, text_of(objects, segment.after.as_ref())?);
    let (Some(before), Some(after)) = sides else { return Ok(None) };
    let names = (format!("a/{}", segment.path), format!("b/{}", segment.path));
    Ok(textdiff::compare(&before, &after, DiffFormat::Unified, 3, &names).patch)
}

/// A version as text; empty where nothing is, `None` where it is no text or too long.
pub(super) fn text_of(objects: &dyn Objects, entry: Option<&Entry>) -> Result<Option<String>, Failure> {
    match entry.map(|entry| &entry.node) {
        None => Ok(Some(String::new())),
        Some(Node::File(found)) if found.size <= textdiff::BYTES_MAX => {
            Ok(textdiff::as_text(bytes_of(objects, found)?))
        }
        Some(_) => Ok(None),
    }
}

fn bytes_of(objects: &dyn Objects, found: &Content) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    content::copy_to(objects, found, &mut bytes).map_err(super::inspect::copy_failure)?;
    Ok(bytes)
}

/// The ledger knows nothing of a path.
pub(super) fn never_seen(path: &TreePath) -> Failure {
    Failure::new(Code::NothingSelected, format!("no change of `{}` is recorded", shown_path(path))).with_hint(
        "the ledger begins with the first `wfr change begin`; `wfr diff CHECKPOINT` compares with a checkpoint",
    )
}

/// Shows who changed a path, and of a directory what is below it.
pub fn who(session: &mut Session, parameters: Who) -> Result<Success<PathHistory>, Failure> {
    let open = session.open()?;
    let path = needed(parameters.path, "path")?;
    let veil = Veil::of(&open)?;
    let chain = open.catalog.chain_at(&veil.path(&path)?.key)?;
    let last = chain.as_ref().and_then(|chain| chain.segments.last()).and_then(|last| last.after.as_deref());
    let is_file = ledger::entry_of(&veil, last)?.is_some_and(|entry| !matches!(entry.node, Node::Dir(_)));
    let Some(chain) = chain.filter(|_| is_file) else { return who_below(&open, path) };
    let History { chain: followed, names, .. } = followed(&open, &veil, chain.clone())?;
    let mut chains = Vec::with_capacity(names.len() + 1);
    for name in &names {
        chains.extend(open.catalog.chain_at(&veil.path(name)?.key)?);
    }
    chains.push(chain);
    let mut seqs: Vec<ChangeSeq> = followed.segments.iter().map(|segment| segment.change).collect();
    seqs.sort_unstable();
    seqs.dedup();
    let mut changes = Vec::new();
    for seq in seqs.into_iter().rev() {
        let Some(row) = open.catalog.change_at(seq)? else { continue };
        let effects: Vec<Option<EffectOf>> =
            chains.iter().map(|chain| ledger::effect_of(&veil, chain, seq)).collect::<Result<_, Failure>>()?;
        let paths: Vec<PathChange> = effects.iter().flatten().map(shown).collect();
        let requested_by = row.change.requested_by().map(str::to_owned);
        let paths_total = paths.len() as u64;
        changes.push(ChangeLine { paths_total, change: row.change, requested_by, paths, overlaps: vec![] });
    }
    Ok(Success::new(PathHistory { path, changes }))
}

/// Who changed anything at a path or below it: the newest changes.
fn who_below(open: &Open, path: TreePath) -> Result<Success<PathHistory>, Failure> {
    let spec = PathSpecs::below(&path);
    let paths = within(open, &spec, &Before::new())?;
    if paths.is_empty() {
        let is_known = match path.is_root() {
            true => open.catalog.ledger_present()?.is_some(),
            false => ledger::untouched(open, &open.store()?, &path)?.is_some(),
        };
        if !is_known {
            return Err(never_seen(&path));
        }
        let step =
            format!("no change of `{}` is recorded: all of it is as it was when the ledger began", shown_path(&path));
        return Ok(Success::new(PathHistory { path, changes: vec![] }).with_next_step(step));
    }
    let filter = ChangeFilter { paths: Some(paths), limit: Some(LISTED), ..ChangeFilter::default() };
    let mut changes = Vec::new();
    for row in open.catalog.changes(&filter)? {
        let mut effects = effects(open, row.seq)?;
        effects.retain(|effect| spec.mean(&effect.whole.path));
        let paths_total = effects.len() as u64;
        effects.truncate(PATHS_MAX);
        let paths = effects.iter().map(shown).collect();
        let requested_by = row.change.requested_by().map(str::to_owned);
        changes.push(ChangeLine { change: row.change, requested_by, paths, paths_total, overlaps: vec![] });
    }
    Ok(Success::new(PathHistory { path, changes }))
}

/// A path for people, the root among them.
fn shown_path(path: &TreePath) -> String {
    if path.is_root() { ".".to_owned() } else { path.to_string() }
}
