//! The ledger: looks at the tree, and records whose is what was found.
//!
//! Owns that looks come one after another, and what each is compared with. Refuses to judge: whose a change is, `capture`
//! says.

mod attribution;
pub mod closure;
pub mod faults;
mod turns;
mod veil;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rustix::event::{Timespec, poll};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use wfr_capture::slice::{Known, bare, is_same, slice};
use wfr_catalog::{
    Cancellation, ChangeFilter, ChangeRow, ChangeSeq, ListQuery, NewChange, NewPoint, PathChain, PointSeq, SealedLedger,
};
use wfr_model::change::{Actor, Author, Change, Segment, Source};
use wfr_model::checkpoint::{CheckpointType, SealedChanges};
use wfr_model::coverage::Coverage;
use wfr_model::entry::Entry;
use wfr_model::recovery::RecoveryRecord;
use wfr_model::{ChangeId, Digest, FileTime, PackId, Timestamp, TreePath, WorkflowId};
use wfr_store::scan::{Scan, Sketch};
use wfr_store::tree::Finder;
use wfr_store::writer::{Sealed, Writer};
use wfr_store::{ObjectKind, Objects, ReadError, Sink};

use crate::error::{Code, Failure};
use crate::open::Open;
use crate::scanning::{self, Effort};
use crate::session::Session;
use crate::{checkpoint, holding, mint, mounted, process, tracing};

pub use attribution::{common, new_segment};
pub use veil::{Veil, sealed, unsealed};
pub use wanted::Wanted;

/// After so many segments the tree is stored whole again: what a look costs follows what changed since.
const SINCE_MAX: u64 = 512;

/// The workflow of the checkpoint that the ledger begins with, where nobody named one.
const WORKFLOW: &str = "workspace";

/// What that checkpoint is called.
const FIRST: &str = "ledger_begin";

/// How sure it is that the only one at work made what was found.
pub const OBSERVED: f64 = 0.9;
/// The same of one that was seen writing.
pub const TRACED: f64 = 1.0;
/// The same of one that named the path.
const DECLARED: f64 = 0.98;
/// The same of one that named the path while others could write anywhere.
pub const LIKELY: f64 = 0.7;

/// Time between two tries for the turn.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };

/// The right to look: nobody else does until it is dropped.
pub struct Turn {
    _lock: File,
}

/// Takes the turn, after whoever looks now.
pub fn turn(session: &Session, open: &Open) -> Result<Turn, Failure> {
    let place = open.vault.dir().join("ledger.lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&place);
    let file = file.map_err(|error| Failure::unwritten(&place, &error))?;
    let (mut begun, mut holder) = (Instant::now(), None);
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Turn { _lock: file }),
            Err(Errno::WOULDBLOCK | Errno::INTR) if session.abort.load(Ordering::Relaxed) => {
                return Err(Failure::new(Code::Interrupted, "interrupted while another process looks at the tree"));
            }
            Err(Errno::WOULDBLOCK | Errno::INTR) if session.patience.is_some_and(|limit| begun.elapsed() > limit) => {
                // Where many wait, one comes after the other: only who has it for all that time keeps them.
                let now = process::holder_of_lock(&file);
                if now.is_some() && now == holder {
                    return Err(occupied(&file));
                }
                (begun, holder) = (Instant::now(), now);
            }
            // Nobody tells of a lock that is given back; a signal ends the wait early.
            Err(Errno::WOULDBLOCK | Errno::INTR) => drop(poll(&mut [], Some(&TICK))),
            Err(error) => return Err(std::io::Error::from(error).into()),
        }
    }
}

/// The failure of whoever waits too long for the turn.
fn occupied(lock: &File) -> Failure {
    let who = process::holder_of_lock(lock).map_or_else(|| "a process".to_owned(), |pid| format!("process {pid}"));
    Failure::new(Code::Held, format!("{who} looks at the tree and does not come to an end"))
        .with_hint("it may be stopped, then `kill -CONT` lets it go on; or end it")
}

/// Takes the turn for a look that no recovery is in the middle of. [`Code::Held`] where one runs.
pub fn turn_between_recoveries(session: &Session, open: &Open) -> Result<Turn, Failure> {
    let turn = turn(session, open)?;
    match holding::recovering(open)? {
        Some(hold) => Err(holding::refused(&hold)),
        None => Ok(turn),
    }
}

/// Whether anybody keeps the ledger: from the first change that was announced on.
pub fn is_kept(open: &Open) -> Result<bool, Failure> {
    Ok(open.catalog.last_point()?.is_some())
}

/// How it begins what is said of a ledger that cannot be read.
const DAMAGED: &str = "the ledger is damaged: ";

/// Why the ledger cannot be read.
fn damaged(why: &str) -> Failure {
    Failure::new(Code::CatalogDamaged, format!("{DAMAGED}{why}"))
}

/// An entry that the catalog keeps, or nothing.
pub fn entry_of(veil: &Veil<'_>, kept: Option<&[u8]>) -> Result<Option<Entry>, Failure> {
    kept.map(|kept| veil.opened(kept)).transpose()
}

/// What a change did at a path.
pub struct EffectOf {
    /// In all.
    pub whole: Segment,
    /// The same in parts, between which somebody else changed it.
    pub parts: Vec<Segment>,
    /// Whether it is taken back there.
    pub cancelled: bool,
}

/// What a change did at a path; `None` where it did nothing.
pub fn effect_of(veil: &Veil<'_>, chain: &PathChain, change: ChangeSeq) -> Result<Option<EffectOf>, Failure> {
    let path = veil.shown(&chain.path)?;
    let mut parts: Vec<Segment> = Vec::new();
    for segment in chain.segments.iter().filter(|segment| segment.change == change) {
        let before = entry_of(veil, segment.before.as_deref())?;
        let after = entry_of(veil, segment.after.as_deref())?;
        match parts.last_mut() {
            Some(last) if last.after == before => last.after = after,
            _ => parts.push(Segment { path: path.clone(), before, after }),
        }
    }
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return Ok(None) };
    let whole = Segment { path, before: first.before.clone(), after: last.after.clone() };
    Ok(Some(EffectOf { whole, parts, cancelled: chain.is_cancelled(change, None) }))
}

/// What the ledger takes for the present.
struct Present {
    point: PointSeq,
    known: Known,
    /// How many segments it took to know it.
    segments: u64,
}

fn present(open: &Open) -> Result<Option<Present>, Failure> {
    let Some(found) = open.catalog.ledger_present()? else { return Ok(None) };
    let veil = Veil::of(open)?;
    let mut since = BTreeMap::new();
    for (path, entry) in &found.since {
        since.insert(veil.shown(path)?, entry.as_deref().map(|entry| veil.opened(entry)).transpose()?);
    }
    Ok(Some(Present { point: found.point, known: Known { tree: found.tree, since }, segments: found.segments }))
}

/// What stands at a path of which no change is recorded: as it was when the ledger began, or was last stored whole; `None`
/// where nothing does, or nobody keeps the ledger.
pub fn untouched(open: &Open, objects: &dyn Objects, path: &TreePath) -> Result<Option<Entry>, Failure> {
    let Some(found) = open.catalog.ledger_present()? else { return Ok(None) };
    Ok(Finder::new(objects, found.tree).lookup(path)?)
}

/// Begins the ledger where nobody keeps one: at the newest checkpoint, so that what was done since is in it; where there
/// is none, one is taken.
fn begin(session: &Session, open: &Open, workflow: Option<&WorkflowId>) -> Result<(), Failure> {
    if is_kept(open)? {
        return Ok(());
    }
    let query = ListQuery { descending: true, limit: Some(64), ..ListQuery::default() };
    let newest = open.catalog.list(&query)?.into_iter().find(|row| row.tree.is_some() && row.complete);
    let (tree, id) = match newest {
        Some(row) => (row.tree, row.checkpoint_id),
        None => {
            let workflow = workflow.cloned().unwrap_or_else(|| WORKFLOW.parse().expect("a word is a valid id"));
            let mut request = checkpoint::Request::new(workflow, CheckpointType::Incremental, &session.actor);
            request.base_name = Some(FIRST.to_owned());
            let created = checkpoint::create(open, &request, session, Effort::default())?;
            let tree = created.manifest.file_system_state.map(|files| files.tree);
            (tree, created.manifest.checkpoint_id)
        }
    };
    let point = NewPoint { tree, checkpoint_id: Some(id), ..NewPoint::new(None, session.now()) };
    open.catalog.commit_point(&point, &[])?;
    Ok(())
}

/// Begins the ledger where nobody keeps one.
pub fn keep(session: &Session, open: &Open) -> Result<(), Failure> {
    let _turn = turn(session, open)?;
    begin(session, open, None)
}

/// How far the packs go that were sealed, as the catalog is told.
pub fn extents(sealed: &Sealed<'_>) -> Vec<(PackId, u64)> {
    sealed.extents().iter().map(|extent| (extent.pack.clone(), extent.committed)).collect()
}

/// Looks at the tree and records what was found. `with` adds what begins and ends with the look; it is given the open
/// changes. Returns the point as it was recorded.
pub fn look(
    session: &Session,
    open: &Open,
    turn: &Turn,
    workflow: Option<&WorkflowId>,
    with: impl FnOnce(&mut NewPoint, &[ChangeRow]) -> Result<(), Failure>,
) -> Result<NewPoint, Failure> {
    look_at(session, open, turn, workflow, None, with)
}

/// The same of some paths, where no more has to be looked at: what is different elsewhere is left to a later look.
pub fn look_at(
    session: &Session,
    open: &Open,
    _turn: &Turn,
    workflow: Option<&WorkflowId>,
    wanted: Option<&Wanted>,
    with: impl FnOnce(&mut NewPoint, &[ChangeRow]) -> Result<(), Failure>,
) -> Result<NewPoint, Failure> {
    begin(session, open, workflow)?;
    let present = present(open)?.ok_or_else(|| damaged("it has no tree to begin with"))?;
    let opened = opened(open)?;
    let over = tracing::over(open, &opened)?;
    let marks = tracing::marks(open);
    let store = open.store_to_write()?;
    let writer = store.writer(open.coding(), scanning::room(open, &store));
    let is_due = present.segments > SINCE_MAX;
    let wanted = wanted.filter(|_| !is_due && over.is_empty() && scanning::has_cache(open));
    let is_whole = wanted.is_none() && (is_due || scanning::is_cache_behind(open, &writer, session));
    let with_now = Found { open, present: &present, opened: &opened, now: session.now(), sink: Some(&writer) };
    let (found, scan) = if is_whole {
        let scan = scanning::scan_workspace(open, &writer, session, Effort::default())?;
        let coverage = reach(open, &writer, &scan)?;
        let mut found = with_now.in_tree(&writer, (&scan.tree, &coverage), None)?;
        if is_base(&writer, &present.known, &coverage)? {
            found.0.tree = Some(scan.tree);
        }
        (found, scan)
    } else {
        let sketch = Sketch::over(&writer);
        let scan = match wanted {
            None => scanning::scan_workspace(open, &sketch, session, Effort::default())?,
            Some(wanted) => scanning::scan_paths(open, &sketch, session, &wanted.touched())?,
        };
        let coverage = reach(open, &sketch, &scan)?;
        (with_now.in_tree(&sketch, (&scan.tree, &coverage), wanted)?, scan)
    };
    let (mut point, earlier) = found;
    point.as_of = wanted.is_none().then(|| nanoseconds(scan.as_of));
    point.workflow = workflow.cloned();
    with(&mut point, &opened)?;
    let over = tracing::closings(open, &opened, &over, &mut point)?;
    let sealed = writer.finish()?;
    for mut earlier in earlier {
        // Without the others it is a look as any: what was left before a traced command wrote.
        earlier.after = point.after;
        point.after = Some(open.catalog.commit_point(&earlier, &extents(&sealed))?);
    }
    let committed = open.catalog.commit_point(&point, &extents(&sealed))?;
    sealed.publish();
    tracing::looked(open, &marks, committed, wanted);
    over.iter().for_each(|id| tracing::forget(open, id));
    if is_whole {
        scanning::save_cache(open, &scan, &store);
    }
    Ok(point)
}

/// Whatever was changed from this on, by its stamps, is perhaps in no look; in nanoseconds. `None` where it is not known, or where
/// a look at all of the tree costs next to nothing.
pub fn unseen_from(open: &Open) -> Result<Option<i64>, Failure> {
    if scanning::is_cheap(open) { Ok(None) } else { Ok(open.catalog.seen_as_of()?) }
}

/// A time of files as one number.
fn nanoseconds(time: FileTime) -> i64 {
    time.secs.saturating_mul(1_000_000_000).saturating_add(i64::from(time.nanos))
}

/// What a look would find now, as a point that is not recorded; `None` where nobody keeps the ledger.
pub fn glance(open: &Open, objects: &dyn Objects, scan: &Scan, now: Timestamp) -> Result<Option<NewPoint>, Failure> {
    let Some(present) = present(open)? else { return Ok(None) };
    let coverage = reach(open, objects, scan)?;
    let found = Found { open, present: &present, opened: &opened(open)?, now, sink: None };
    Ok(Some(found.in_tree(objects, (&scan.tree, &coverage), None)?.0))
}

/// What a checkpoint records of the ledger: the look that it is, and what no earlier one holds.
#[derive(Debug, Default)]
pub struct Joined {
    /// The look; `None` where nobody keeps the ledger.
    pub point: Option<NewPoint>,
    /// Where the rest is.
    pub sealed: Vec<SealedChanges>,
}

/// Makes the look that a checkpoint is, and writes what is sealed with it. With `or_none` it is taken without where the ledger cannot be
/// read, and that is told.
pub fn join(
    session: &Session,
    open: &Open,
    writer: &Writer<'_>,
    scan: Option<&Scan>,
    or_none: bool,
) -> Result<Joined, Failure> {
    let whole = || {
        let point = scan.map(|scan| joined(open, writer, scan, session.now())).transpose()?.flatten();
        let sealed = seal(open, writer, point.as_ref())?;
        Ok(Joined { point, sealed })
    };
    match whole() {
        Err(failure) if or_none && faults::may_explain(&failure) => {
            faults::set_aside(session, open, &failure)?;
            Ok(Joined::default())
        }
        joined => joined,
    }
}

/// The look that a checkpoint is: recorded with it, in one step. `None` where nobody keeps the ledger.
fn joined(open: &Open, writer: &Writer<'_>, scan: &Scan, now: Timestamp) -> Result<Option<NewPoint>, Failure> {
    let Some(present) = present(open)? else { return Ok(None) };
    let coverage = reach(open, writer, scan)?;
    let found = Found { open, present: &present, opened: &opened(open)?, now, sink: None };
    let (mut point, _) = found.in_tree(writer, (&scan.tree, &coverage), None)?;
    point.as_of = Some(nanoseconds(scan.as_of));
    if is_base(writer, &present.known, &coverage)? {
        point.tree = Some(scan.tree);
    }
    Ok(Some(point))
}

/// Writes what no checkpoint holds yet of the ledger, in parts of bounded size, with the look that is recorded with the next
/// one.
fn seal(open: &Open, sink: &dyn Sink, next: Option<&NewPoint>) -> Result<Vec<SealedChanges>, Failure> {
    let (mut parts, mut from) = (Vec::new(), None);
    while let Some(part) = open.catalog.unsealed_ledger(from)? {
        let mut sealed = part.sealed;
        sealed.next = next.filter(|_| part.is_last).cloned();
        let bytes = serde_json::to_vec(&sealed).expect("a ledger has string keys and finite numbers only");
        parts.push(SealedChanges { object: sink.put_new(ObjectKind::Seal, &bytes)?, upto: part.upto.0 });
        if part.is_last {
            break;
        }
        from = Some(part.upto);
    }
    Ok(parts)
}

/// The ledger that an object holds.
pub fn unseal(objects: &dyn Objects, object: &Digest) -> Result<SealedLedger, ReadError> {
    let bytes = objects.get(ObjectKind::Seal, object)?;
    serde_json::from_slice(&bytes).map_err(|error| ReadError::Malformed {
        id: *object,
        what: "sealed ledger",
        why: error.to_string(),
    })
}

/// Whether later looks may be compared with a tree: it lacks nothing that is known to be there.
fn is_base(objects: &dyn Objects, known: &Known, coverage: &Coverage) -> Result<bool, ReadError> {
    let mut then = Finder::new(objects, known.tree);
    for skip in coverage.skips.iter().filter(|skip| skip.reason.is_gap()) {
        let is_known = match known.since.get(&skip.path) {
            Some(entry) => entry.is_some(),
            None => skip.path.is_root() || then.lookup(&skip.path)?.is_some(),
        };
        if is_known {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The change that an id names, or the only one whose id begins so; `None` where there is none.
pub fn change_named(open: &Open, id: &ChangeId) -> Result<Option<ChangeRow>, Failure> {
    const CANDIDATES_MAX: u32 = 10;
    if let Some(row) = open.catalog.change(id)? {
        return Ok(Some(row));
    }
    let mut found = open.catalog.changes_like(id.as_str(), CANDIDATES_MAX)?;
    if found.len() > 1 {
        let ids: Vec<&str> = found.iter().map(|row| row.change.change_id.as_str()).collect();
        let message = format!("`{id}` may mean more than one change: {}", ids.join(", "));
        return Err(Failure::new(Code::Ambiguous, message).with_hint("give more of the id: `wfr log` lists them"));
    }
    Ok(found.pop())
}

fn opened(open: &Open) -> Result<Vec<ChangeRow>, Failure> {
    Ok(open.catalog.changes(&ChangeFilter { open: true, ..ChangeFilter::default() })?)
}

/// What a look reached: what is on a file system that is not mounted now is not gone.
fn reach(open: &Open, objects: &dyn Objects, scan: &Scan) -> Result<Coverage, Failure> {
    Ok(mounted::without(&scan.coverage, &mounted::gone(open, objects, &scan.tree)?))
}

/// What a look is compared with, and who was at work.
struct Found<'f> {
    open: &'f Open,
    present: &'f Present,
    opened: &'f [ChangeRow],
    now: Timestamp,
    /// Where what was there in between can be stored.
    sink: Option<&'f dyn Sink>,
}

impl Found<'_> {
    /// What a look found, as a point behind the present, and those that come before it where there is a sink for what was there in
    /// between.
    fn in_tree(
        &self,
        objects: &dyn Objects,
        (tree, coverage): (&Digest, &Coverage),
        wanted: Option<&Wanted>,
    ) -> Result<(NewPoint, Vec<NewPoint>), Failure> {
        let Self { open, present, opened, now, sink } = *self;
        let known = wanted.map(|wanted| wanted.known(&present.known));
        let known = known.as_ref().unwrap_or(&present.known);
        let segments = slice(objects, known, tree, coverage).map_err(|error| match error {
            // The other tree has just been made.
            ReadError::Missing(_) | ReadError::Damaged { .. } | ReadError::Malformed { .. } => {
                damaged(&format!("the tree that a look is compared with cannot be read: {error}"))
            }
            other => other.into(),
        })?;
        let mut left = attribution::left_before(open, opened)?;
        left.retain(|path| wanted.is_none_or(|wanted| wanted.has(path)));
        let segments = match wanted {
            Some(wanted) => wanted.of(segments),
            None => segments,
        };
        let segments = with_unchanged(objects, known, segments, &left)?;
        let mut point = NewPoint::new(Some(present.point), now);
        let earlier = attribution::attribute(open, opened, segments, &mut point, sink)?;
        Ok((point, earlier))
    }
}

/// Segments, and those at some further paths where nothing is different from what was known.
fn with_unchanged(
    objects: &dyn Objects,
    known: &Known,
    mut segments: Vec<Segment>,
    further: &BTreeSet<TreePath>,
) -> Result<Vec<Segment>, Failure> {
    let has: BTreeSet<&TreePath> = segments.iter().map(|segment| &segment.path).collect();
    let missing: Vec<TreePath> = further.iter().filter(|path| !has.contains(path)).cloned().collect();
    let mut then = Finder::new(objects, known.tree);
    for path in missing {
        let found = match known.since.get(&path) {
            Some(found) => found.clone(),
            None => then.lookup(&path)?,
        };
        let found = found.map(bare);
        segments.push(Segment { path, before: found.clone(), after: found });
    }
    Ok(segments)
}

/// What a recovery did to the tree, for the ledger: a change of its own, and what it says of others. `None` where nobody
/// keeps the ledger or nothing was done. The point that it follows is the caller's to set, with what it is recorded with.
pub fn of_recovery(
    open: &Open,
    record: &RecoveryRecord,
    effects: &[Segment],
    verdicts: Verdicts,
    now: Timestamp,
) -> Result<Option<NewPoint>, Failure> {
    if !is_kept(open)? || (effects.is_empty() && verdicts.words.is_empty()) {
        return Ok(None);
    }
    let change = Change {
        change_id: mint::change(),
        author: Author { workflow_id: Some(record.workflow_id.clone()), ..Author::default() },
        actor: Actor::Recovery,
        source: Source::Traced,
        confidence: 1.0,
        candidates: vec![],
        started_at: record.started_at,
        ended_at: Some(now),
        note: Some(Change::note_of_recovery(record.kind.as_str(), &record.actor)),
        recovery_id: Some(record.recovery_id.clone()),
        evidence: None,
    };
    let veil = Veil::of(open)?;
    let mut point = NewPoint::new(None, now);
    for segment in effects.iter().filter(|one| !is_same(one.before.as_ref(), one.after.as_ref())) {
        let bare = Segment {
            path: segment.path.clone(),
            before: segment.before.clone().map(bare),
            after: segment.after.clone().map(bare),
        };
        let replayed = verdicts.replayed.contains(&bare.path);
        point.segments.push(new_segment(&veil, &bare, change.change_id.clone(), replayed)?);
    }
    for Word { path, change: of, by, cancelled } in verdicts.words {
        let by = by.unwrap_or_else(|| change.change_id.clone());
        point.cancellations.push(Cancellation { path: veil.path(&path)?, change: of, by, cancelled });
    }
    point.changes.push(NewChange { change, declared: vec![], parent: None });
    Ok(Some(point))
}

/// That a change is taken back or brought back at a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Word {
    /// Where.
    pub path: TreePath,
    /// Which change.
    pub change: ChangeId,
    /// The change of somebody else that did that; `None`: the recovery's own.
    pub by: Option<ChangeId>,
    /// Whether it is taken back.
    pub cancelled: bool,
}

impl Word {
    /// What the recovery itself does.
    pub fn own(path: TreePath, change: ChangeId, cancelled: bool) -> Self {
        Self { path, change, by: None, cancelled }
    }
}

/// What a recovery says of the changes of others.
#[derive(Clone, Debug, Default)]
pub struct Verdicts {
    /// Changes that are taken back or brought back.
    pub words: Vec<Word>,
    /// Paths at which the recovery is, by definition, what replaying the live changes gives.
    pub replayed: BTreeSet<TreePath>,
}

/// A change that somebody announces.
pub fn announced(session: &Session, author: Author, source: Source, note: Option<String>) -> Change {
    let confidence = match source {
        Source::Traced => TRACED,
        Source::Declared => DECLARED,
        Source::Observed => OBSERVED,
    };
    Change {
        change_id: session.ids.change(),
        author,
        actor: Actor::Agent,
        source,
        confidence,
        candidates: vec![],
        started_at: session.now(),
        ended_at: None,
        note,
        recovery_id: None,
        evidence: None,
    }
}
