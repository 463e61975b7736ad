//! Plans that take chosen changes back and leave all others.
//!
//! Owns which edits of a path's chain go, what is said of them, and whose later work they touch. Refuses to merge: that
//! is [`wfr_recovery::replay`].

use std::collections::{BTreeMap, BTreeSet};

use wfr_capture::slice::is_same;
use wfr_catalog::{ChangeFilter, ChangeRow, ChangeSeq, NewPoint, PathChain, PointSeq, SegmentRow};
use wfr_model::change::{Actor, Change};
use wfr_model::entry::{Content, Entry, Node};
use wfr_model::finding::{Finding, Severity};
use wfr_model::plan::{Conflict as PlanConflict, Kept, KeptReason, Plan};
use wfr_model::{ChangeId, Digest, TaskId, TreePath};
use wfr_recovery::merge::Labels;
use wfr_recovery::plan::{Goal, LinkGroups, Wish, plan_wishes};
use wfr_recovery::replay::{
    Chain, Conflict, ConflictKind, Edit, Mark, Merged, Note, Outcome, Replayed, from_store, replay_from,
};
use wfr_store::Objects;
use wfr_store::object::hash;
use wfr_store::tree::Finder;

use super::verdicts::Taken;
use crate::error::{Code, Failure};
use crate::ledger::{self, Veil};
use crate::open::Open;
use crate::params::{ConflictResolution, Dependents};

/// What is to be taken back.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// The changes.
    pub changes: Vec<ChangeRow>,
    /// Only what they did after this point.
    pub after: Option<PointSeq>,
    /// Only at these paths and below them; everywhere where there are none.
    pub files: Vec<TreePath>,
    /// Paths at which nothing is taken back.
    pub ours: Vec<TreePath>,
    /// Paths that become what they were before the first of the changes, whatever others did since.
    pub theirs: Vec<TreePath>,
    /// Paths that get a content made by hand.
    pub resolved: BTreeMap<TreePath, Vec<u8>>,
    /// What is done where work cannot be separated.
    pub conflicts: ConflictResolution,
    /// Whether what is clean is done where something else is not.
    pub partial: bool,
    /// What becomes of later work of others on the same paths.
    pub dependents: Dependents,
    /// Tasks that are to be done anew.
    pub tasks: Vec<TaskId>,
}

/// A plan for a selection.
pub struct Chosen {
    /// The plan.
    pub plan: Plan,
    /// Hard links of the tree that it leads to.
    pub links: LinkGroups,
    /// Contents that no version has: they must be stored before the plan is applied.
    pub texts: Vec<Vec<u8>>,
    /// What is recorded with the recovery.
    pub taken: Taken,
    /// Later work of others on the same paths, a sentence each.
    pub blast_radius: Vec<String>,
    /// What a person should know.
    pub findings: Vec<Finding>,
}

/// One path's history with what the tree shows beyond it.
struct History {
    path: TreePath,
    chain: PathChain,
}

/// Makes the plan. `unrecorded` is what a look at the present tree found that the ledger does not have yet.
pub fn choose(
    open: &Open,
    objects: &dyn Objects,
    goal: &Goal,
    selection: &Selection,
    unrecorded: Option<&NewPoint>,
) -> Result<Chosen, Failure> {
    let veil = Veil::of(open)?;
    let mut selected: BTreeSet<ChangeSeq> = selection.changes.iter().map(|row| row.seq).collect();
    let mut histories = histories(open, &veil, &selected, unrecorded)?;
    if selection.dependents == Dependents::Cascade {
        while let Some(more) = later(&histories, &selected, selection).first().copied() {
            selected.insert(more);
            histories = self::histories(open, &veil, &selected, unrecorded)?;
        }
    }
    histories.retain(|history| is_meant(&history.path, selection));
    let mut chooser = Chooser::new(open, objects, selection, &selected);
    for history in &histories {
        chooser.consider(&veil, history)?;
    }
    chooser.name_dependents(&histories)?;
    let (mut plan, links) = plan_wishes(objects, goal, &chooser.wishes)?;
    let guarded = std::mem::take(&mut plan.conflicts);
    plan.to = NO_TREE;
    let changes = chooser.ids(open)?;
    plan.conflicts = chooser.conflicts;
    plan.conflicts.extend(guarded);
    let mut taken = Taken {
        changes,
        left: chooser.left,
        decided: chooser.decided,
        tasks: selection.tasks.clone(),
        after: selection.after.map(|point| point.0),
        files: selection.files.clone(),
    };
    if selection.partial {
        leave_conflicts(&mut plan, &mut taken);
    }
    Ok(Chosen {
        plan,
        links,
        texts: chooser.texts,
        taken,
        blast_radius: chooser.blast_radius,
        findings: chooser.findings,
    })
}

/// The plan that takes a selective recovery back: its paths become what they were, but for those that somebody has edited
/// since.
pub fn take_back(
    open: &Open,
    objects: &dyn Objects,
    goal: &Goal,
    undone: &ChangeRow,
) -> Result<(Plan, LinkGroups), Failure> {
    let veil = Veil::of(open)?;
    let mut now = Finder::new(objects, goal.from);
    let (mut wishes, mut kept) = (Vec::new(), Vec::new());
    for chain in open.catalog.segments_of(undone.seq)? {
        let Some((segment, _)) = ledger::effect_of(&veil, &chain, undone.seq)? else { continue };
        let present = now.lookup(&segment.path)?;
        if is_same(present.as_ref(), segment.after.as_ref()) {
            wishes.push(Wish { path: segment.path, entry: segment.before });
        } else {
            kept.push(Kept { path: segment.path, reason: KeptReason::Edited });
        }
    }
    let (mut plan, links) = plan_wishes(objects, goal, &wishes)?;
    plan.to = NO_TREE;
    plan.kept.extend(kept);
    Ok((plan, links))
}

fn is_meant(path: &TreePath, selection: &Selection) -> bool {
    selection.files.is_empty() || selection.files.iter().any(|named| path.is_within(named))
}

/// With what is clean done, what is not stays as it is, and what was taken back there stays, too.
fn leave_conflicts(plan: &mut Plan, taken: &mut Taken) {
    let (guarded, left): (Vec<_>, Vec<_>) =
        std::mem::take(&mut plan.conflicts).into_iter().partition(|one| one.changes.is_empty());
    plan.conflicts = guarded;
    taken.left.extend(left.into_iter().map(|conflict| conflict.path));
}

/// The chains of all paths that the changes touched, with what a look found since.
fn histories(
    open: &Open,
    veil: &Veil<'_>,
    selected: &BTreeSet<ChangeSeq>,
    unrecorded: Option<&NewPoint>,
) -> Result<Vec<History>, Failure> {
    let seqs: Vec<ChangeSeq> = selected.iter().copied().filter(|seq| seq.0 < UNRECORDED).collect();
    let mut chains = open.catalog.chains_of(&seqs)?;
    if let Some(point) = unrecorded {
        let place: BTreeMap<&[u8], usize> =
            chains.iter().enumerate().map(|(at, chain)| (chain.path.key.as_slice(), at)).collect();
        let mut news: Vec<(usize, SegmentRow)> = Vec::new();
        for segment in &point.segments {
            if let Some(at) = place.get(segment.path.key.as_slice()) {
                let change = open.catalog.change(&segment.change)?.map_or(ChangeSeq(UNRECORDED), |row| row.seq);
                let (before, after) = (segment.before.clone(), segment.after.clone());
                news.push((*at, SegmentRow { point: PointSeq(i64::MAX), change, replayed: false, before, after }));
            }
        }
        news.into_iter().for_each(|(at, row)| chains[at].segments.push(row));
    }
    let shown = |chain: PathChain| Ok(History { path: veil.shown(&chain.path)?, chain });
    let mut histories: Vec<History> = chains.into_iter().map(shown).collect::<Result<_, Failure>>()?;
    histories.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(histories)
}

/// Such a plan leads to no tree that is known: its digest is that of its steps, whatever else happens in the workspace.
const NO_TREE: Digest = Digest([0; 32]);

/// The number of changes that no ledger has yet.
const UNRECORDED: i64 = i64::MAX;

/// Whether a segment is to go.
fn goes(segment: &SegmentRow, selected: &BTreeSet<ChangeSeq>, selection: &Selection) -> bool {
    selected.contains(&segment.change) && selection.after.is_none_or(|after| segment.point > after)
}

/// Live changes that wrote where, and after, something that goes was written; recoveries and what was taken back left out.
fn later(histories: &[History], selected: &BTreeSet<ChangeSeq>, selection: &Selection) -> Vec<ChangeSeq> {
    let mut found = BTreeSet::new();
    for history in histories.iter().filter(|history| is_meant(&history.path, selection)) {
        let segments = &history.chain.segments;
        let Some(first) = segments.iter().position(|segment| goes(segment, selected, selection)) else { continue };
        let stays = |segment: &&SegmentRow| {
            !segment.replayed
                && !goes(segment, selected, selection)
                && !history.chain.is_cancelled(segment.change, None)
                && segment.change.0 < UNRECORDED
        };
        found.extend(segments[first..].iter().filter(stays).map(|segment| segment.change));
    }
    found.into_iter().collect()
}

struct Chooser<'c> {
    open: &'c Open,
    objects: &'c dyn Objects,
    selection: &'c Selection,
    selected: &'c BTreeSet<ChangeSeq>,
    wishes: Vec<Wish>,
    conflicts: Vec<PlanConflict>,
    texts: Vec<Vec<u8>>,
    left: Vec<TreePath>,
    decided: Vec<TreePath>,
    blast_radius: Vec<String>,
    findings: Vec<Finding>,
    known: BTreeMap<ChangeSeq, Option<ChangeRow>>,
}

impl<'c> Chooser<'c> {
    fn new(
        open: &'c Open,
        objects: &'c dyn Objects,
        selection: &'c Selection,
        selected: &'c BTreeSet<ChangeSeq>,
    ) -> Self {
        Self {
            open,
            objects,
            selection,
            selected,
            wishes: vec![],
            conflicts: vec![],
            texts: vec![],
            left: vec![],
            decided: vec![],
            blast_radius: vec![],
            findings: vec![],
            known: BTreeMap::new(),
        }
    }

    fn row(&mut self, seq: ChangeSeq) -> Result<Option<&ChangeRow>, Failure> {
        if !self.known.contains_key(&seq) {
            self.known.insert(seq, self.open.catalog.change_at(seq)?);
        }
        Ok(self.known.get(&seq).and_then(Option::as_ref))
    }

    fn ids(&mut self, open: &Open) -> Result<Vec<ChangeId>, Failure> {
        let seqs: Vec<ChangeSeq> = self.selected.iter().copied().collect();
        let rows = seqs.into_iter().map(|seq| Ok(open.catalog.change_at(seq)?.map(|row| row.change.change_id)));
        Ok(rows.collect::<Result<Vec<_>, Failure>>()?.into_iter().flatten().collect())
    }

    /// Decides on one path.
    fn consider(&mut self, veil: &Veil<'_>, history: &History) -> Result<(), Failure> {
        let History { path, chain } = history;
        let is_live = |segment: &SegmentRow| !chain.is_cancelled(segment.change, None);
        let goes = |segment: &SegmentRow| goes(segment, self.selected, self.selection);
        let Some(first) = chain.segments.iter().position(|segment| goes(segment) && is_live(segment)) else {
            return Ok(());
        };
        if self.selection.ours.contains(path) {
            self.left.push(path.clone());
            return Ok(());
        }
        let versions = versions(veil, chain)?;
        // A change that goes in part is not taken back there: the rollback is an edit like any other.
        let is_parted = |one: &SegmentRow| {
            let goes_too = |other: &SegmentRow| other.change == one.change && !goes(other);
            goes(one) && chain.segments.iter().any(goes_too)
        };
        if chain.segments.iter().any(is_parted) {
            self.decided.push(path.clone());
        }
        if self.selection.theirs.contains(path) {
            self.decided.push(path.clone());
            self.wish(path, versions[first].clone());
            return Ok(());
        }
        if let Some(text) = self.selection.resolved.get(path) {
            self.decided.push(path.clone());
            let like = versions.iter().rev().flatten().find(|entry| matches!(entry.node, Node::File(_)));
            let entry = self.of_text(path, like, text.clone());
            self.wish(path, Some(entry));
            return Ok(());
        }
        let mut before = versions.into_iter();
        let edits = chain.segments.iter().map(|segment| self.mark(chain, segment));
        let replayable = Chain {
            first: before.next().flatten(),
            edits: edits.zip(before).map(|(mark, after)| Edit { mark, after }).collect(),
        };
        let Replayed { outcome, notes } = replay_from(&replayable, self.objects)?;
        self.note(path, &notes);
        match outcome {
            Outcome::Absent => self.wish(path, None),
            Outcome::Version(number) => self.wish(path, replayable.version(number).clone()),
            Outcome::Merged(Merged { entry, text }) => {
                self.texts.extend(text);
                self.wish(path, Some(entry));
            }
            Outcome::Conflict(conflict) => match self.selection.conflicts {
                ConflictResolution::ManualReview => self.conflict(path, chain, &replayable, &conflict)?,
                ConflictResolution::CurrentPriority => self.left.push(path.clone()),
                ConflictResolution::CheckpointPriority => {
                    self.decided.push(path.clone());
                    self.wish(path, replayable.version(first).clone());
                }
            },
        }
        Ok(())
    }

    /// What becomes of an edit: those that were taken back before stay so.
    fn mark(&self, chain: &PathChain, segment: &SegmentRow) -> Mark {
        if segment.replayed {
            let is_gone = |one: &SegmentRow| {
                !one.replayed && one.point < segment.point && chain.is_cancelled(one.change, Some(segment.change))
            };
            let gone = chain.segments.iter().enumerate().filter(|(_, one)| is_gone(one)).map(|(at, _)| at + 1);
            return Mark::Neutral { gone: Some(gone.collect()) };
        }
        let is_gone = goes(segment, self.selected, self.selection) || chain.is_cancelled(segment.change, None);
        if is_gone { Mark::Removed } else { Mark::Kept }
    }

    fn wish(&mut self, path: &TreePath, entry: Option<Entry>) {
        self.wishes.push(Wish { path: path.clone(), entry });
    }

    /// A file with a new content and the metadata of another one.
    fn of_text(&mut self, path: &TreePath, like: Option<&Entry>, text: Vec<u8>) -> Entry {
        let content = Content { size: text.len() as u64, hash: hash(&text), chunks: None };
        self.texts.push(text);
        let meta =
            like.map_or_else(|| wfr_model::entry::Meta { mode: 0o644, ..Default::default() }, |entry| entry.meta);
        let xattrs = like.map(|entry| entry.xattrs.clone()).unwrap_or_default();
        Entry { name: path.name().to_vec(), meta, node: Node::File(content), xattrs }
    }

    fn note(&mut self, path: &TreePath, notes: &[Note]) {
        for note in notes {
            let (code, message) = match note {
                Note::KeptDeletion { .. } => {
                    ("KEPT_DELETION", "it stays deleted: somebody else deleted it since".to_owned())
                }
                Note::Incomplete { remaining, missing, count } => {
                    let shown = remaining.iter().chain(missing).next();
                    let line = shown
                        .map(|line| format!(", such as `{}`", String::from_utf8_lossy(&line.text)))
                        .unwrap_or_default();
                    ("INCOMPLETE", format!("look it over: {count} lines are not where they should be{line}"))
                }
                Note::Unchecked => ("UNCHECKED", "it is too large to be looked over".to_owned()),
                Note::NoSecondOpinion => ("NO_SECOND_OPINION", "it is too large for a second opinion".to_owned()),
            };
            let severity = if code == "INCOMPLETE" { Severity::Warning } else { Severity::Info };
            self.findings.push(Finding::new(code, severity, format!("`{path}`: {message}"), "look at the plan"));
        }
    }

    fn conflict(
        &mut self,
        path: &TreePath,
        chain: &PathChain,
        replayable: &Chain,
        conflict: &Conflict,
    ) -> Result<(), Failure> {
        let mut changes = Vec::new();
        let mut names = BTreeSet::new();
        let concerned = chain.segments.iter().enumerate().filter(|(at, segment)| {
            conflict.run.contains(&(at + 1)) || *replayable_mark(replayable, *at) == Mark::Removed && !segment.replayed
        });
        let seqs: BTreeSet<ChangeSeq> = concerned.map(|(_, segment)| segment.change).collect();
        for seq in seqs {
            match self.row(seq)? {
                Some(row) => {
                    changes.push(row.change.change_id.clone());
                    names.insert(name_of(&row.change));
                }
                None => drop(names.insert("an edit that is not recorded yet".to_owned())),
            }
        }
        let names: Vec<String> = names.into_iter().collect();
        let labels = Labels { ours: "without it", base: "before", theirs: "kept work" };
        let marked = conflict.marked(replayable, &from_store(self.objects), &labels)?;
        let text = marked.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let message = format!("{} ({})", why(&conflict.kind), names.join(", "));
        let code = "WORK_CONFLICT".to_owned();
        self.conflicts.push(PlanConflict { path: path.clone(), code, message, changes, text });
        Ok(())
    }

    /// Says whose later work stands on what goes, and what may belong to the selection and is not in it.
    fn name_dependents(&mut self, histories: &[History]) -> Result<(), Failure> {
        let mut paths: BTreeMap<ChangeSeq, BTreeSet<&TreePath>> = BTreeMap::new();
        for history in histories {
            for seq in later(std::slice::from_ref(history), self.selected, self.selection) {
                paths.entry(seq).or_default().insert(&history.path);
            }
        }
        for (seq, paths) in paths {
            let Some(row) = self.row(seq)? else { continue };
            let (name, id) = (name_of(&row.change), row.change.change_id.clone());
            let first = paths.first().map(ToString::to_string).unwrap_or_default();
            let more = if paths.len() > 1 { format!(" and {} more", paths.len() - 1) } else { String::new() };
            self.blast_radius.push(format!("{name} wrote in {first}{more} since ({id}); it stays"));
        }
        if self.selection.dependents == Dependents::Stop && !self.blast_radius.is_empty() {
            let message = format!("others have worked on the same files since: {}", self.blast_radius[0]);
            return Err(Failure::new(Code::OthersActive, message)
                .with_hint("`--dependents keep` keeps their work, `--dependents cascade` takes it back, too"));
        }
        self.name_shared()
    }

    fn name_shared(&mut self) -> Result<(), Failure> {
        let ids: BTreeSet<&ChangeId> = self.selection.changes.iter().map(|row| &row.change.change_id).collect();
        let filter = ChangeFilter { actors: vec![Actor::Shared, Actor::Unknown], ..ChangeFilter::default() };
        for row in self.open.catalog.changes(&filter)? {
            let is_candidate = row.change.candidates.iter().any(|one| ids.contains(&one.change_id));
            if !is_candidate || ids.contains(&row.change.change_id) {
                continue;
            }
            let candidates: Vec<String> =
                row.change.candidates.iter().map(|one| one.author.name().to_owned()).collect();
            let count = self.open.catalog.segments_of(row.seq)?.len();
            let message = format!(
                "{count} more paths were changed while {} worked at the same time: whose they are, nothing tells, so they stay",
                candidates.join(" and "),
            );
            let fix = format!("`--change {}` takes them back, too", row.change.change_id);
            self.findings.push(Finding::new("SHARED_CHANGE", Severity::Warning, message, fix));
        }
        Ok(())
    }
}

fn replayable_mark(chain: &Chain, at: usize) -> &Mark {
    &chain.edits[at].mark
}

/// Who made a change, for people.
pub fn name_of(change: &Change) -> String {
    match change.actor {
        Actor::User => "the user".to_owned(),
        Actor::Unknown => "somebody unknown".to_owned(),
        Actor::Recovery => "a recovery".to_owned(),
        Actor::Shared => {
            let names: Vec<&str> = change.candidates.iter().map(|one| one.author.name()).collect();
            names.join(" or ")
        }
        Actor::Agent => change.author.name().to_owned(),
    }
}

fn why(kind: &ConflictKind) -> String {
    match kind {
        ConflictKind::Lines(hunks) => {
            let plural = if hunks.len() == 1 { "place" } else { "places" };
            format!("kept work and work that goes touch in {} {plural}", hunks.len())
        }
        ConflictKind::Binary => "kept work and work that goes are in one file that is no text".to_owned(),
        ConflictKind::TooLarge => "the file is too large to be merged".to_owned(),
        ConflictKind::TooDifferent => "the versions have too little in common to be merged".to_owned(),
        ConflictKind::Kind => "kept work left another kind of thing here".to_owned(),
        ConflictKind::LinkTarget => "kept work made the link lead elsewhere".to_owned(),
        ConflictKind::Mode => "kept work set another mode".to_owned(),
        ConflictKind::Owner => "kept work set another owner".to_owned(),
        ConflictKind::Xattr(name) => format!("kept work set the attribute {}", String::from_utf8_lossy(name)),
        ConflictKind::RemovedCreation => "kept work is in a file that would not be there".to_owned(),
        ConflictKind::TwoCreations => "kept work made something where something else would still be".to_owned(),
        ConflictKind::SecondOpinion => "two ways to merge it give different results".to_owned(),
    }
}

/// All versions of a path, the first one before any segment.
fn versions(veil: &Veil<'_>, chain: &PathChain) -> Result<Vec<Option<Entry>>, Failure> {
    let first = chain.segments.first().and_then(|segment| segment.before.as_deref());
    let all = std::iter::once(first).chain(chain.segments.iter().map(|segment| segment.after.as_deref()));
    all.map(|kept| ledger::entry_of(veil, kept)).collect()
}
