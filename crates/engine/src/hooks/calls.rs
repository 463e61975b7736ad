//! Calls of tools, as changes.
//!
//! Owns which call is a change, when it begins and ends, and what becomes of halves that are missing. Refuses to attribute:
//! that is [`crate::ledger`].

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use wfr_catalog::{ChangeFilter, ChangeRow, Closing, NewChange, NewPoint, PathKey};
use wfr_clients::{Call, Client, Does, Wrapping};
use wfr_model::change::{Actor, Author, Evidence, Source};
use wfr_model::{AgentId, ChangeId, Timestamp, TreePath};

use super::pending::Waited;
use super::shells::Odd;
use super::{Speaker, agents, desk, pending};
use crate::error::Failure;
use crate::ledger::{self, Veil, Wanted};
use crate::open::Open;
use crate::tracing;
use crate::writers::{self, Writer};

/// Letters of a note, at most.
const NOTE_MAX: usize = 200;

/// A tool is about to be called.
pub(super) fn begin(speaker: &Speaker<'_>, call: &Call) -> Result<(), Failure> {
    match &call.does {
        Does::Writes(files) => {
            let paths = inside(speaker, files);
            if paths.is_empty() { Ok(()) } else { announce(speaker, call, Source::Declared, &paths) }
        }
        Does::Runs(command) if is_wrapped(speaker) => {
            // Whether its shell comes to us is not known: then what others did until now must not be found as its own.
            if speaker.client.wrapping() == Wrapping::Hidden && !speaker.desk.is_traced() {
                speaker.look()?;
            }
            Ok(pending::add(&speaker.desk, speaker.author(), call, command)?)
        }
        Does::Runs(_) => {
            if speaker.client.wrapping() != Wrapping::Nothing {
                Odd::NotTold.note(speaker.open.vault.dir(), speaker.client, speaker.session.now());
            }
            announce(speaker, call, Source::Observed, &[])
        }
        Does::Unknown => announce(speaker, call, Source::Observed, &[]),
        Does::Reads(files) => {
            let paths = inside(speaker, files);
            match speaker.author().agent_id {
                Some(agent) if !paths.is_empty() => Ok(speaker.desk.reads(&agent, paths)?),
                _ => Ok(()),
            }
        }
        Does::Takes(task) => agents::takes(speaker, task),
        Does::Starts(_) | Does::Nothing => Ok(()),
    }
}

/// Whether the commands of this session are run by us, and so traced.
fn is_wrapped(speaker: &Speaker<'_>) -> bool {
    pending::is_wrapped(speaker.client, speaker.session.variable)
}

/// Whether a call began in this workspace and has not ended.
pub(super) fn began_here(speaker: &Speaker<'_>, call: &Call) -> Result<bool, Failure> {
    let is_kept = matches!(&call.does, Does::Runs(command) if pending::is_kept(&speaker.desk, call, command));
    Ok(is_kept || !mine(speaker, Some(call), None)?.is_empty())
}

fn announce(speaker: &Speaker<'_>, call: &Call, source: Source, paths: &[TreePath]) -> Result<(), Failure> {
    let Speaker { session, open, .. } = *speaker;
    let turn = ledger::turn_between_recoveries(session, open)?;
    // Within the turn: two hooks that say it at the same time come one after the other.
    if is_known(speaker, call, false)? {
        return Ok(());
    }
    let author = Author { tool_call_id: call.id.clone(), ..speaker.author() };
    let workflow = author.workflow_id.clone();
    let change = ledger::announced(session, author, source, Some(note(call)));
    let declared = declared(open, paths)?;
    let wanted = wanted(paths);
    ledger::look_at(session, open, &turn, workflow.as_ref(), wanted.as_ref(), |point, opened| {
        // A client that a traced command started: what it says of its calls goes before what was seen of it.
        let parent = tracing::around(open, opened)?;
        point.changes.push(NewChange { change, declared, parent });
        Ok(())
    })?;
    Ok(())
}

fn note(call: &Call) -> String {
    match &call.does {
        Does::Runs(command) => command.chars().take(NOTE_MAX).collect(),
        _ => call.tool.chars().take(NOTE_MAX).collect(),
    }
}

fn declared(open: &Open, paths: &[TreePath]) -> Result<Vec<String>, Failure> {
    let veil = Veil::of(open)?;
    paths.iter().map(|path| veil.declared(path)).collect()
}

/// What has to be looked at for a change that names its paths; `None` where it names none.
fn wanted(paths: &[TreePath]) -> Option<Wanted> {
    let mut wanted = Wanted::default();
    paths.iter().cloned().for_each(|path| wanted.path(path));
    (!paths.is_empty()).then_some(wanted)
}

/// A tool was called.
pub(super) fn end(speaker: &Speaker<'_>, call: &Call) -> Result<(), Failure> {
    match &call.does {
        Does::Reads(_) | Does::Nothing | Does::Takes(_) | Does::Starts(_) => return Ok(()),
        Does::Runs(command) => match pending::remove(&speaker.desk, call, command) {
            Waited::Run => {
                Odd::NotTold.forget(speaker.open.vault.dir(), speaker.client);
                return Ok(speaker.desk.traces(true)?);
            }
            // It is still on its way.
            Waited::InVain if call.goes_on => return Ok(()),
            // It was run where we could not see it, as in a sandbox.
            Waited::InVain => {
                Odd::PastLauncher.note(speaker.open.vault.dir(), speaker.client, speaker.session.now());
                speaker.desk.traces(false)?;
                return made_up(speaker, call);
            }
            Waited::No => {}
        },
        Does::Writes(_) | Does::Unknown => {}
    }
    match mine(speaker, Some(call), None)?.pop() {
        Some(row) => end_all(speaker, &[row]),
        None => made_up(speaker, call),
    }
}

/// Whether a call is in the ledger: where a client has our hooks twice, as from a plugin and from its settings, it says all twice.
/// It is open, or has ended lately: no more of a long ledger is looked through.
fn is_known(speaker: &Speaker<'_>, call: &Call, may_have_ended: bool) -> Result<bool, Failure> {
    if call.id.is_none() {
        return Ok(false);
    }
    let filter = ChangeFilter {
        workflow: super::workflow_of(speaker.client, &speaker.said.session),
        session: Some(speaker.said.session.clone()),
        tool_call: call.id.clone(),
        open: !may_have_ended,
        since: may_have_ended.then(|| Timestamp(speaker.session.now().0 - LATELY_NANOS)),
        limit: Some(1),
        ..ChangeFilter::default()
    };
    Ok(!speaker.open.catalog.changes(&filter)?.is_empty())
}

/// Between two hooks that say the same.
const LATELY_NANOS: i64 = 60 * 1_000_000_000;

/// The open changes of a session that hooks end: of a call, or of an agent, or all.
fn mine(speaker: &Speaker<'_>, call: Option<&Call>, agent: Option<&AgentId>) -> Result<Vec<ChangeRow>, Failure> {
    let filter = ChangeFilter { open: true, session: Some(speaker.said.session.clone()), ..ChangeFilter::default() };
    let mut rows = speaker.open.catalog.changes(&filter)?;
    rows.retain(|row| row.change.source != Source::Traced);
    if let Some(agent) = agent {
        rows.retain(|row| row.change.author.agent_id.as_ref() == Some(agent));
    }
    if let Some(call) = call {
        let own = speaker.author().agent_id;
        let is_own = |row: &ChangeRow| {
            row.change.author.agent_id == own
                && row.change.author.tool_call_id == call.id
                && (call.id.is_some() || row.change.note.as_deref() == Some(&note(call)))
        };
        rows.retain(is_own);
    }
    Ok(rows)
}

/// Ends changes with one look: at their paths where all of them name some, at everything otherwise.
fn end_all(speaker: &Speaker<'_>, rows: &[ChangeRow]) -> Result<(), Failure> {
    let Speaker { session, open, .. } = *speaker;
    let turn = ledger::turn_between_recoveries(session, open)?;
    let veil = Veil::of(open)?;
    let mut paths = Vec::new();
    for row in rows {
        for declared in &row.declared {
            paths.push(veil.of_declared(declared)?);
        }
    }
    let names_all = rows.iter().all(|row| !row.declared.is_empty());
    let wanted = wanted(&paths).filter(|_| names_all);
    let reads = reads(speaker, rows.last().map(|row| row.change.change_id.clone()))?;
    ledger::look_at(session, open, &turn, None, wanted.as_ref(), |point, opened| {
        // Somebody else may have ended it since.
        let are_open = rows.iter().filter(|row| opened.iter().any(|other| other.seq == row.seq));
        point.ended.extend(are_open.map(|row| row.change.change_id.clone()));
        point.reads = reads;
        Ok(())
    })?;
    Ok(())
}

/// What the agent read since its last change, for the one that ends.
fn reads(speaker: &Speaker<'_>, change: Option<ChangeId>) -> Result<Vec<(PathKey, ChangeId)>, Failure> {
    let (Some(change), Some(agent)) = (change, speaker.author().agent_id) else { return Ok(vec![]) };
    let veil = Veil::of(speaker.open)?;
    speaker.desk.take_reads(&agent)?.iter().map(|path| Ok((veil.path(path)?, change.clone()))).collect()
}

/// A call of which nobody heard before it ended: what is found, and is nobody else's, is likely its own.
fn made_up(speaker: &Speaker<'_>, call: &Call) -> Result<(), Failure> {
    let Speaker { session, open, .. } = *speaker;
    let turn = ledger::turn_between_recoveries(session, open)?;
    if is_known(speaker, call, true)? {
        return Ok(());
    }
    let paths = match &call.does {
        Does::Writes(files) => inside(speaker, files),
        _ => vec![],
    };
    let source = if paths.is_empty() { Source::Observed } else { Source::Declared };
    let author = Author { tool_call_id: call.id.clone(), ..speaker.author() };
    let workflow = author.workflow_id.clone();
    let mut change = ledger::announced(session, author, source, Some(note(call)));
    (change.ended_at, change.confidence) = (Some(change.started_at), ledger::LIKELY);
    let id = change.change_id.clone();
    let declared = declared(open, &paths)?;
    let reads = reads(speaker, Some(id.clone()))?;
    ledger::look_at(session, open, &turn, workflow.as_ref(), wanted(&paths).as_ref(), |point, _| {
        take_over(point, &id);
        point.changes.push(NewChange { change, declared, parent: None });
        point.reads = reads;
        Ok(())
    })?;
    Ok(())
}

/// Gives a change what a look took for a person's, or for nobody's.
fn take_over(point: &mut NewPoint, id: &ChangeId) {
    let is_nobodys = |new: &NewChange| matches!(new.change.actor, Actor::User | Actor::Unknown);
    let nobodys: Vec<ChangeId> =
        point.changes.iter().filter(|new| is_nobodys(new)).map(|new| new.change.change_id.clone()).collect();
    point.changes.retain(|new| !nobodys.contains(&new.change.change_id));
    for segment in point.segments.iter_mut().filter(|segment| nobodys.contains(&segment.change)) {
        segment.change = id.clone();
    }
}

/// Ends what an agent left open, or everybody of the session: it has nothing more to do, so calls that began have ended. What it
/// read and nothing followed on is recorded.
pub(super) fn settle(speaker: &Speaker<'_>, agent: Option<&AgentId>) -> Result<(), Failure> {
    pending::forget(&speaker.desk, agent);
    let rows = mine(speaker, None, agent)?;
    if rows.is_empty() { speaker.look() } else { end_all(speaker, &rows) }
}

/// Where a session but this one has something open, which would be a candidate for all that is found: ends that if its client is
/// known to be dead, and nothing is at work that this left behind.
pub(super) fn settle_others(speaker: &Speaker<'_>) -> Result<(), Failure> {
    let filter = ChangeFilter { open: true, ..ChangeFilter::default() };
    let is_anothers = |row: &ChangeRow| {
        let session = row.change.author.session_id.as_ref();
        row.change.source != Source::Traced && session.is_some_and(|session| *session != speaker.said.session)
    };
    if !speaker.open.catalog.changes(&filter)?.iter().any(is_anothers) {
        return Ok(());
    }
    let (mut left, mut is_looked_for) = (Vec::new(), false);
    settle_of(speaker, |client, heard| {
        if heard.client.is_some() && !is_looked_for {
            is_looked_for = true;
            left = writers::find(speaker.open).map(|found| found.writers).unwrap_or_default();
        }
        let is_left = |writer: &Writer| writer.client == Some(client.as_str()) && writer.is_orphan == Some(true);
        heard.client.is_some() && !left.iter().any(is_left)
    })
}

/// Ends what sessions left open whose clients are dead, of whichever client.
pub(super) fn settle_dead(speaker: &Speaker<'_>) -> Result<(), Failure> {
    settle_of(speaker, |_, _| true)
}

fn settle_of(speaker: &Speaker<'_>, mut is_meant: impl FnMut(Client, &desk::Heard) -> bool) -> Result<(), Failure> {
    let Speaker { session, open, .. } = *speaker;
    let heard = |client: Client| desk::Desk::heard(open, client).into_iter().map(move |heard| (client, heard));
    for (client, heard) in Client::ALL.iter().copied().flat_map(heard).filter(|(_, heard)| !heard.lives()) {
        if !is_meant(client, &heard) {
            continue;
        }
        let filter = ChangeFilter { open: true, session: Some(heard.session.clone()), ..ChangeFilter::default() };
        let mut rows = open.catalog.changes(&filter)?;
        rows.retain(|row| row.change.source != Source::Traced);
        if !rows.is_empty() {
            let turn = ledger::turn_between_recoveries(session, open)?;
            ledger::look(session, open, &turn, None, |point, _| {
                point.ended.extend(rows.iter().map(|row| row.change.change_id.clone()));
                point.closings.extend(rows.iter().map(|row| Closing {
                    change_id: row.change.change_id.clone(),
                    source: row.change.source,
                    confidence: row.change.confidence,
                    evidence: Some(Evidence {
                        degraded_since: Some(heard.at),
                        degraded_because: Some("its client died".to_owned()),
                        ..Evidence::default()
                    }),
                }));
                Ok(())
            })?;
        }
        if heard.session != speaker.said.session {
            desk::Desk::of(open, client, &heard.session).close();
        }
    }
    Ok(())
}

/// The paths of the workspace that a client names, each without what leads elsewhere; those outside are nobody's business.
fn inside(speaker: &Speaker<'_>, files: &[String]) -> Vec<TreePath> {
    let root = speaker.open.root();
    let current = speaker.said.cwd.as_ref().map_or(speaker.session.directories.current.as_path(), Path::new);
    files.iter().filter_map(|file| tree_path(root, &current.join(file))).collect()
}

/// Which path of the workspace a name leads to, through links: it may not be there yet, nor the directories above it.
fn tree_path(root: &Path, named: &Path) -> Option<TreePath> {
    let mut missing: Vec<PathBuf> = Vec::new();
    let mut at = named.to_owned();
    let real = loop {
        match at.canonicalize() {
            Ok(real) => break real,
            Err(_) => match (at.file_name(), at.parent()) {
                (Some(name), Some(parent)) => {
                    missing.push(name.into());
                    at = parent.to_owned();
                }
                _ => return None,
            },
        }
    };
    let whole = missing.iter().rev().fold(real, |whole, name| whole.join(name));
    if whole.components().any(|part| part == Component::ParentDir) {
        return None;
    }
    let below = whole.strip_prefix(root).ok()?;
    let below: &OsStr = below.as_os_str();
    TreePath::from_bytes(below.as_bytes()).ok().filter(|path| !path.is_root())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_into_the_workspace_or_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join("w");
        std::fs::create_dir_all(root.join("src")).unwrap();
        std::os::unix::fs::symlink("src", root.join("link")).unwrap();
        std::os::unix::fs::symlink("/", root.join("out")).unwrap();
        let at = |name: &str| tree_path(&root, &root.join(name)).map(|path| path.to_string());
        assert_eq!(at("src/new/deep.rs").as_deref(), Some("src/new/deep.rs"));
        assert_eq!(at("link/a.rs").as_deref(), Some("src/a.rs"));
        assert_eq!(at("src/../b").as_deref(), Some("b"));
        for outside in ["../x", "out/etc/passwd", "", ".", "/etc/passwd", "src/nothing/../../../x"] {
            assert_eq!(at(outside), None, "{outside}");
        }
    }
}
