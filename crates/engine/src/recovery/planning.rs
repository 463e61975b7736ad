//! Plans for the whole tree.
//!
//! Owns what counts as later work of others. Refuses to apply, to ask anybody, and to know what an undo leaves alone: that is
//! [`super::sparing`].

use std::collections::HashSet;

use wfr_catalog::{ChangeRow, CheckpointRow, ListQuery, NewPoint};
use wfr_model::coverage::{Coverage, SkipReason};
use wfr_model::entry::{Entry, Node};
use wfr_model::finding::{Finding, Severity};
use wfr_model::plan::{Action, Kept, KeptReason, Plan, RootMeta, Step};
use wfr_model::recovery::RecoveryKind;
use wfr_model::workflow::StateKept;
use wfr_model::{Digest, Timestamp, TreePath};
use wfr_recovery::apply;
use wfr_recovery::gone::gone;
use wfr_recovery::plan::{Goal, LinkGroups, plan, plan_wishes};
use wfr_store::object::hash;
use wfr_store::scan::Dry;
use wfr_store::{Objects, ReadError, Store, tree};

use super::aim::{self, Aim, Outlook, Purpose};
use super::concern;
use super::fencing;
use super::joining;
use super::lifting::{self, Later};
use super::mounting;
use super::preview;
use super::timing;
use super::verdicts::{self, Lifting, Taken};
use super::{Order, noting, selective, sparing, tree_of, with_owner};
use crate::error::{Code, Failure};
use crate::open::Open;
use crate::results::{Dependent, MovedHead, PathPatch, StateChanges, StateNames};
use crate::scanning::{self, Effort};
use crate::session::Session;
use crate::{ledger, links, manifests, mounted, repositories};

/// A plan, and what a person should know of it.
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// Later work of others that it would take back, a sentence each.
    pub blast_radius: Vec<String>,
    /// The same of chosen changes, as data.
    pub dependents: Vec<Dependent>,
    /// What becomes of the lines of files, and how many files more get another content; only where somebody is to agree.
    pub patches: (Vec<PathPatch>, u64),
    /// Git repositories whose HEAD moved since the checkpoint.
    pub moved_heads: Vec<MovedHead>,
    /// What becomes of the workflow's state.
    pub state: Option<StateChanges>,
    /// Where the state stays as it is now, or becomes what it was never, when a recovery is taken back.
    pub state_kept: Vec<StateKept>,
    /// Of which phases and tasks.
    pub state_names: StateNames,
    /// The state that it aims at; `None` where it leaves the state alone.
    pub aim: Option<Aim>,
    /// What is known to be missing, or another one, as the order has it.
    pub findings: Vec<Finding>,
    /// Contents that no version has: they must be stored before it is applied.
    pub texts: Vec<Vec<u8>>,
    /// What a rollback takes back.
    pub taken: Option<Taken>,
    /// What an undo brings where.
    pub lifting: Lifting,
    /// How many changes a rollback takes back.
    pub rolled_back: u64,
    /// Whether what a rollback is about is taken back already.
    pub is_done: bool,
    /// Hard links of the tree that it leads to; `None`: the target's.
    pub links: Option<LinkGroups>,
}

impl Planned {
    /// A plan of which nothing else is known.
    fn of(plan: Plan) -> Self {
        Self {
            plan,
            blast_radius: vec![],
            dependents: vec![],
            patches: Default::default(),
            moved_heads: vec![],
            state: None,
            state_kept: vec![],
            state_names: StateNames::default(),
            aim: None,
            findings: vec![],
            texts: vec![],
            taken: None,
            lifting: Lifting::default(),
            rolled_back: 0,
            is_done: false,
            links: None,
        }
    }

    /// Whether there is nothing to do, and nothing in the way.
    pub(super) fn is_empty(&self) -> bool {
        self.plan.is_empty() && self.plan.conflicts.is_empty() && self.state.is_none()
    }

    /// The same with what an order makes of the state.
    fn with_aim(self, Aimed { aim, outlook, .. }: Aimed) -> Self {
        let Outlook { changes, names, kept, .. } = outlook;
        Self { aim, state: changes, state_names: names, state_kept: kept, ..self }
    }

    /// By which `--apply` names it. Of the state only says whether it is set, since events keep coming, and which tasks are to
    /// be done anew; which one it is set to, the target says.
    pub fn digest(&self) -> Digest {
        let mut text = self.plan.canonical();
        if let (Some(_), Some(aim)) = (&self.state, &self.aim) {
            text.extend_from_slice(format!("state {}\n", aim.keeps_progress).as_bytes());
            // A rollback may set nothing else: that of one agent is not that of another.
            for task in self.taken.iter().flat_map(|taken| &taken.tasks) {
                text.extend_from_slice(format!("task {task}\n").as_bytes());
            }
        }
        hash(&text)
    }
}

/// Makes the plan from the tree as it is now. Writes nothing.
pub fn plan_dry(session: &Session, open: &Open, store: &Store, order: &Order) -> Result<Planned, Failure> {
    // Edits that nobody has saved are merged with in a selective plan.
    let is_merged = is_of_changes(open, order)?;
    let dry = if is_merged { Dry::keeping(store) } else { Dry::over(store) };
    let present = if open.root().is_dir() {
        let scan = scanning::scan_workspace(open, &dry, session, Effort::default())?;
        Present {
            tree: scan.tree,
            links: links::of(&dry, scan.hard_links.as_ref())?,
            root: Some(RootMeta { mode: scan.root_meta.mode, mtime: Some(scan.root_meta.mtime) }),
            unrecorded: if is_merged { ledger::glance(open, &dry, &scan, session.now())? } else { None },
            coverage: scan.coverage,
            at: session.now(),
        }
    } else {
        Present {
            tree: tree::write(&dry, &[])?,
            coverage: Coverage::default(),
            links: vec![],
            root: None,
            unrecorded: None,
            at: session.now(),
        }
    };
    let mut planned = with_denials(open, make(open, &dry, order, present)?)?;
    planned.patches = preview::of(open, &dry, &planned.plan.steps, &planned.texts);
    Ok(planned)
}

/// The same plan, with what this process may not change among its conflicts.
fn with_denials(open: &Open, mut planned: Planned) -> Result<Planned, Failure> {
    if !planned.plan.is_empty() && open.root().is_dir() {
        let denials = apply::denials(open.root(), &planned.plan)?;
        planned.plan.conflicts.extend(denials);
    }
    Ok(planned)
}

/// What would be written where nothing is yet. Nobody's files are touched, so nothing can be in the way.
pub fn plan_beside(open: &Open, order: &Order) -> Result<Planned, Failure> {
    let store = open.store()?;
    let nothing = Dry::over(&store);
    let present = Present {
        tree: tree::write(&nothing, &[])?,
        coverage: Coverage::default(),
        links: vec![],
        root: None,
        unrecorded: None,
        at: order.target.created_at,
    };
    let mut planned = make(open, &nothing, order, present)?;
    planned.plan.conflicts.clear();
    // No state is written beside.
    let of_place = [STATE_LEFT, STATE_MISCOUNTED, noting::NO_STATE, noting::GIT_LEFT_ALONE, fencing::ORPHAN_WRITES];
    planned.findings.retain(|finding| !of_place.contains(&finding.code.as_str()));
    with_git(&store, &mut planned.plan)?;
    let bare = bare(&store, &order.target, &planned.plan.to)?;
    planned.plan.steps.retain(|step| !bare.contains(&step.path));
    // What is not covered will not be there, whether it still is in the workspace or not.
    planned.plan.kept.retain(|kept| !matches!(kept.reason, KeptReason::Gone(_)));
    let skips = manifests::coverage(&store, &order.target)?.skips.into_iter();
    for skip in skips.filter(|skip| skip.reason != SkipReason::OwnFiles) {
        planned.plan.kept.push(Kept { path: skip.path, reason: KeptReason::NotInCheckpoint(skip.reason) });
    }
    planned.plan.kept.sort_by(|a, b| a.path.cmp(&b.path));
    planned.plan.kept.dedup_by(|a, b| a.path == b.path);
    Ok(Planned { blast_radius: vec![], moved_heads: vec![], ..planned.with_aim(Aimed::default()) })
}

/// Git's own is nobody's elsewhere, and is written like all else.
fn with_git(objects: &dyn Objects, plan: &mut Plan) -> Result<(), ReadError> {
    let (git, kept) = std::mem::take(&mut plan.kept).into_iter().partition(|kept| kept.reason == KeptReason::Git);
    plan.kept = kept;
    if Vec::is_empty(&git) {
        return Ok(());
    }
    let places: HashSet<TreePath> = git.into_iter().map(|kept| kept.path).collect();
    let places: HashSet<&TreePath> = places.iter().collect();
    tree::walk(objects, &plan.to.clone(), &mut |path, entry| {
        if sparing::is_at_or_below(path, &places) && !entry.node.is_special() {
            let action = if matches!(entry.node, Node::Dir(_)) { Action::MakeDir } else { Action::Create };
            plan.steps.push(Step { path: path.clone(), action, before: None, after: Some(entry.clone()) });
        }
        Ok::<(), ReadError>(())
    })?;
    plan.steps.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(())
}

/// Directories of a tree that hold nothing and held nothing but what is wfr's own, such as `.claude` for the view: elsewhere
/// nobody needs them.
pub(super) fn bare(
    objects: &dyn Objects,
    target: &CheckpointRow,
    root: &Digest,
) -> Result<HashSet<TreePath>, ReadError> {
    let coverage = manifests::coverage(objects, target)?;
    let own = coverage.skips.iter().filter(|skip| skip.reason == SkipReason::OwnFiles);
    let mut bare = HashSet::new();
    for path in own.filter_map(|skip| skip.path.parent()).filter(|path| !path.is_root()) {
        let Some(Entry { node: Node::Dir(below), .. }) = tree::lookup(objects, root, &path)? else { continue };
        if tree::read(objects, &below)?.is_empty() {
            bare.insert(path);
        }
    }
    Ok(bare)
}

/// The tree that a plan starts from.
struct Present {
    tree: Digest,
    coverage: Coverage,
    links: LinkGroups,
    root: Option<RootMeta>,
    /// What a look found there that the ledger does not have.
    unrecorded: Option<NewPoint>,
    /// When it was looked at.
    at: Timestamp,
}

/// Makes the plan from the safety checkpoint.
pub(super) fn plan_from(
    open: &Open,
    store: &dyn Objects,
    order: &Order,
    safety: &CheckpointRow,
) -> Result<Planned, Failure> {
    let present = Present {
        tree: tree_of(safety)?,
        coverage: manifests::coverage(store, safety)?,
        links: links::of(store, safety.hard_links.as_ref())?,
        root: manifests::root(store, safety),
        unrecorded: None,
        at: safety.created_at,
    };
    with_denials(open, make(open, store, order, present)?)
}

/// The goal of a plan of single paths, which begins and ends at the present tree, and what was mounted since the target.
fn goal_in_place(
    open: &Open,
    objects: &dyn Objects,
    order: &Order,
    present: &Present,
) -> Result<(Goal, Vec<TreePath>), Failure> {
    let (mut to_coverage, came) = (present.coverage.clone(), mounting::unseen(open, objects, order, &present.tree)?);
    mounting::leave(&mut to_coverage, &came, &mounting::files(open, objects, &present.tree)?);
    let goal = Goal {
        workflow: order.workflow.clone(),
        target: order.target.checkpoint_id.clone(),
        from: present.tree,
        to: present.tree,
        to_coverage,
        from_coverage: present.coverage.clone(),
        from_root: None,
        to_root: None,
        to_links: present.links.clone(),
        from_links: present.links.clone(),
        exact_mtime: order.exact_mtime,
        with_owner: with_owner(),
        allow_config: order.allow_config,
    };
    Ok((goal, came))
}

/// Makes the plan for chosen changes, for a merge, or for the undo of such a one: path by path, from the present.
fn make_selective(
    open: &Open,
    objects: &dyn Objects,
    order: &Order,
    present: Present,
    undone: Option<&ChangeRow>,
) -> Result<Planned, Failure> {
    let (goal, came) = goal_in_place(open, objects, order, &present)?;
    let mut aim = aimed(open, objects, order, &order.purpose())?;
    let odd = Vec::from_iter(aim.odd.take());
    let findings = [order.needs.findings.clone(), mounting::findings(&came), odd].concat();
    let whole = |(plan, links)| Planned { findings, links: Some(links), ..Planned::of(plan).with_aim(aim) };
    if let Some(joining) = &order.joining {
        let looked = (present.unrecorded.as_ref(), &order.leave);
        let joined = joining::join(open, objects, &goal, (&order.target, joining), looked)?;
        let mut planned = whole((joined.plan, joined.links));
        planned.findings.extend(joined.findings);
        let (moved_heads, missing) = beside_files(open, objects, order, &mut planned.plan);
        planned.findings.extend(missing);
        (planned.texts, planned.moved_heads) = (joined.texts, moved_heads);
        let then = manifests::coverage(objects, &order.target)?;
        let lost = gone(objects, (&goal.from, &goal.from_coverage), &then)?;
        planned.plan.kept.extend(lost.into_iter().filter(|kept| joining.files.mean(&kept.path)));
        return Ok(planned);
    }
    match (undone, &order.selection) {
        (Some(undone), _) => lift(open, objects, order, (&goal, undone, &present), whole),
        // What is undone changed no path.
        (None, None) => Ok(whole(plan_wishes(objects, &goal, &[])?)),
        (None, Some(selection)) => {
            let chosen = selective::choose(open, objects, &goal, selection, present.unrecorded.as_ref())?;
            let mut planned = whole((chosen.plan, chosen.links));
            planned.findings.extend(chosen.findings);
            let gone = mounted::gone(open, objects, &goal.from)?;
            planned.findings.extend(mounting::unmounted(order, &gone, &chosen.touched, &mut planned.plan));
            (planned.blast_radius, planned.dependents) = (chosen.told.lines, chosen.told.dependents);
            (planned.texts, planned.rolled_back, planned.is_done) = (chosen.texts, chosen.count, chosen.is_done);
            // Later work that goes with it may be of further tasks.
            let parameters = verdicts::with_taken(&order.parameters, &chosen.taken);
            let purpose = Purpose { parameters: &parameters, ..order.purpose() };
            let aim = if chosen.is_done { Aimed::default() } else { aimed(open, objects, order, &purpose)? };
            planned.taken = Some(chosen.taken);
            Ok(planned.with_aim(aim))
        }
    }
}

/// The plan that takes back a recovery of chosen changes, or a merge; `whole` makes one of its steps and links.
fn lift(
    open: &Open,
    objects: &dyn Objects,
    order: &Order,
    (goal, undone, present): (&Goal, &ChangeRow, &Present),
    whole: impl FnOnce((Plan, LinkGroups)) -> Planned,
) -> Result<Planned, Failure> {
    let later = match () {
        () if order.over_edits => Later::Overwrite,
        () if order.partial => Later::MergeOrKeep,
        () => Later::Merge,
    };
    let links = links::of(objects, order.target.hard_links.as_ref())?;
    let lifted = lifting::lift(open, objects, goal, (undone, &links), (later, present.unrecorded.as_ref()))?;
    let mut planned = whole((lifted.plan, lifted.links));
    planned.findings.extend(lifted.findings);
    let gone = mounted::missing(open, objects, &order.target);
    planned.findings.extend(mounting::unmounted(order, &gone, &lifted.touched, &mut planned.plan));
    (planned.texts, planned.lifting) = (lifted.texts, lifted.lifting);
    if order.exact_mtime {
        timing::give_back(objects, &order.target, &mut planned.plan, present.at)?;
    }
    Ok(planned)
}

/// The state that an order aims at and what becomes of the present one.
#[derive(Default)]
struct Aimed {
    aim: Option<Aim>,
    outlook: Outlook,
    /// What keeps it from either, where the order spares the state, or from coming right.
    odd: Option<Finding>,
}

fn aimed(open: &Open, objects: &dyn Objects, order: &Order, purpose: &Purpose<'_>) -> Result<Aimed, Failure> {
    let aim = Aim::of(open, objects, &order.target, purpose).and_then(|aim| {
        let outlook = aim.as_ref().map(|aim| aim.outlook(open)).transpose()?.unwrap_or_default();
        let odd = outlook.is_miscounted.then(|| miscounted(order));
        Ok(Aimed { aim, outlook, odd })
    });
    match aim {
        Err(failure) if order.spares_state && aim::is_damage(&failure) => {
            let message = format!("the workflow's state is left as it is: {failure}");
            let fix = format!("`wfr repair-state {} --plan` shows what mends it", order.workflow);
            let odd = Some(Finding::new(STATE_LEFT, Severity::Warning, message, fix));
            Ok(Aimed { odd, ..Aimed::default() })
        }
        Err(failure) if aim::is_damage(&failure) => Err(failure.with_option(without_state(order))),
        ended => ended,
    }
}

/// How the files come without the state, by a command that has that.
fn without_state(order: &Order) -> String {
    let (workflow, name) = (&order.target.workflow_id, &order.target.name);
    match order.kind {
        RecoveryKind::Restore => {
            "`--error-handling ignore`, or `wfr partial-restore` with `--components file_system`, restores the \
                                  files without the state"
                .to_owned()
        }
        RecoveryKind::PartialRestore => "`--components file_system` restores the files without the state".to_owned(),
        _ => format!("`wfr restore {workflow} {name} --error-handling ignore` brings its files back without the state"),
    }
}

fn miscounted(order: &Order) -> Finding {
    let message = "the workflow's state counts its tasks otherwise than they are there, so what is kept of it was damaged: that \
                   stays so";
    let fix = format!("`wfr repair-state {}` mends it, before or after", order.workflow);
    Finding::new(STATE_MISCOUNTED, Severity::Warning, message, fix)
}

/// The code of what keeps a state from being restored.
const STATE_LEFT: &str = "STATE_LEFT";

/// The code of what keeps a state from coming right.
const STATE_MISCOUNTED: &str = "STATE_MISCOUNTED";

/// Whether what is undone took chosen changes back, or is the undo of such a one.
/// Whether an order goes by single changes, or by what a path was in between, and not from one tree to another.
pub(super) fn is_of_changes(open: &Open, order: &Order) -> Result<bool, Failure> {
    Ok(order.selection.is_some() || order.joining.is_some() || undoes_selective(open, order)?)
}

fn undoes_selective(open: &Open, order: &Order) -> Result<bool, Failure> {
    order.undoes.as_ref().map_or(Ok(false), |record| verdicts::is_selective(open, record))
}

fn make(open: &Open, objects: &dyn Objects, order: &Order, present: Present) -> Result<Planned, Failure> {
    let mut made = make_plan(open, objects, order, present)?;
    if let Some((steps, taken)) = order.selection.as_ref().and_then(|one| one.steps.as_ref()).zip(made.taken.as_ref()) {
        let sets = made.state.as_ref().map(|_| taken.tasks.as_slice());
        steps.check(&made.plan.steps.iter().map(|step| &step.path).collect(), sets)?;
    }
    made.findings.extend(noting::of(order, &made.plan));
    made.findings.extend(fencing::findings(open, order)?);
    made.findings.extend(mounting::kept_files(&made.plan));
    Ok(made)
}

fn holds_nothing(order: &Order) -> Failure {
    let message =
        format!("checkpoint `{}` holds neither files nor state: there is nothing to go back to", order.target.name);
    Failure::new(Code::StateNotFound, message).with_hint("name another one: `wfr list-checkpoints` lists them")
}

fn make_plan(open: &Open, objects: &dyn Objects, order: &Order, present: Present) -> Result<Planned, Failure> {
    let undone = match &order.undoes {
        Some(record) if undoes_selective(open, order)? => open.catalog.change_of_recovery(&record.recovery_id)?,
        _ => None,
    };
    if is_of_changes(open, order)? {
        return make_selective(open, objects, order, present, undone.as_ref());
    }
    if order.undoes.is_none() && !order.target.has_files && order.target.state.is_none() {
        return Err(holds_nothing(order));
    }
    // One of state alone leaves the files alone, and which of them share their bytes.
    let is_state_alone = order.target.tree.is_none() && order.target.state.is_some();
    let came = if is_state_alone { vec![] } else { mounting::unseen(open, objects, order, &present.tree)? };
    let mut to_coverage = manifests::coverage(objects, &order.target)?;
    mounting::leave(&mut to_coverage, &came, &mounting::files(open, objects, &present.tree)?);
    let goal = Goal {
        workflow: order.workflow.clone(),
        target: order.target.checkpoint_id.clone(),
        from: present.tree,
        to: if is_state_alone { present.tree } else { tree_of(&order.target)? },
        from_coverage: present.coverage,
        to_coverage,
        from_root: present.root,
        to_root: manifests::root(objects, &order.target),
        to_links: if is_state_alone {
            present.links.clone()
        } else {
            links::of(objects, order.target.hard_links.as_ref())?
        },
        from_links: present.links,
        exact_mtime: order.exact_mtime,
        with_owner: with_owner(),
        allow_config: order.allow_config,
    };
    let mut made = plan(objects, &goal)?;
    let mut aim = aimed(open, objects, order, &order.purpose())?;
    let odd = Vec::from_iter(aim.odd.take());
    let mut findings = [order.needs.findings.clone(), mounting::findings(&came), odd].concat();
    if let Some(undone) = &order.undoes {
        // What is not mounted now was not edited since, either: it is out of reach, not gone.
        let gone = mounted::missing(open, objects, &order.target);
        let changed: Vec<TreePath> =
            undone.report.iter().flat_map(|report| &report.changed).map(|step| step.path.clone()).collect();
        findings.extend(mounting::unmounted(order, &gone, &changed, &mut made));
        sparing::leave_unmeant(undone, &mut made);
        if !order.over_edits {
            sparing::leave_later_edits(open, objects, order, (&goal.from_links, &goal.to_links), &mut made)?;
        }
        return Ok(Planned { findings, ..Planned::of(made).with_aim(aim) });
    }
    if let Some(parts) = &order.parts {
        concern::of_trees(objects, [goal.from, goal.to], parts.files())?;
        parts.narrow(&mut made);
    }
    leave_damaged(objects, order, &mut made)?;
    let (moved_heads, missing) = beside_files(open, objects, order, &mut made);
    let findings = [findings, missing, mounting::others(open, objects, order, &mut made)].concat();
    let blast_radius = match &order.parts {
        Some(parts) if !parts.has_all_files() => vec![],
        _ => blast_radius(open, order)?,
    };
    Ok(Planned { blast_radius, moved_heads, findings, ..Planned::of(made).with_aim(aim) })
}

/// What the target knows beside its files: git repositories whose HEAD moved since, and mounts that are missing now.
fn beside_files(open: &Open, objects: &dyn Objects, order: &Order, made: &mut Plan) -> (Vec<MovedHead>, Vec<Finding>) {
    let files = manifests::manifest(objects, &order.target).ok().and_then(|manifest| manifest.file_system_state);
    let then = files.map(|files| files.repositories).unwrap_or_default();
    let gone = mounted::missing(open, objects, &order.target);
    (repositories::moved(open, &then), mounting::unmounted(order, &gone, &[], made))
}

/// Files whose content is known to be damaged are left as they are.
fn leave_damaged(objects: &dyn Objects, order: &Order, made: &mut Plan) -> Result<(), Failure> {
    if order.leave.is_empty() {
        return Ok(());
    }
    for step in std::mem::take(&mut made.steps) {
        if step.after.as_ref().is_some_and(|after| joining::needs_any(objects, after, &order.leave)) {
            made.kept.push(Kept { path: step.path, reason: KeptReason::Damaged });
        } else {
            made.steps.push(step);
        }
    }
    Ok(())
}

/// Other workflows that have taken checkpoints since the target; what a recovery saved is nobody's work.
fn blast_radius(open: &Open, order: &Order) -> Result<Vec<String>, Failure> {
    let query = ListQuery { descending: true, limit: Some(1_000), ..ListQuery::default() };
    let later = open.catalog.list(&query)?.into_iter().take_while(|row| row.seq > order.target.seq);
    let others = later.filter(|row| row.workflow_id != order.workflow && !row.is_safety());
    Ok(others.map(|row| format!("workflow {} took checkpoint {} since", row.workflow_id, row.name)).collect())
}
