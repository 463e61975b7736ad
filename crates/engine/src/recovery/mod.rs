//! Running a recovery from beginning to end: hold, safety checkpoint, plan, apply, checks, record.
//!
//! Owns the order of these and what is recorded when. Refuses to know parameters and results of operations.

mod agreement;
mod aim;
mod alike;
pub mod already;
mod ancestry;
mod arriving;
mod bringing;
mod check;
mod clearing;
mod concern;
pub mod decisions;
pub mod dependents;
pub mod fencing;
mod finish;
mod history;
pub mod joining;
pub mod leaving;
mod left_undone;
mod lifting;
mod limited;
pub mod lost;
mod mounting;
mod moves;
mod naming;
pub mod noting;
mod overlapping;
mod overwritten;
pub mod owed;
pub mod pace;
mod parts;
mod planning;
mod preview;
mod record;
mod returned;
mod returning;
mod safety;
pub mod selective;
mod sparing;
mod standing;
pub mod sureness;
pub mod telling;
mod timing;
mod tracks;
mod turn;
mod unaccounted;
mod unlisted;
pub mod verdicts;

use std::cell::RefCell;
use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use wfr_catalog::{CheckpointRow, Hold};
use wfr_model::change::Segment;
use wfr_model::finding::Finding;
use wfr_model::plan::{Kept, Plan};
use wfr_model::recovery::{ApplyReport, RecoveryKind, RecoveryRecord, RecoveryStatus};
use wfr_model::workflow::StateKept;
use wfr_model::{CheckpointId, Digest, RecoveryId, TreePath, WorkflowId};
use wfr_recovery::apply::{self, Committed, Environment, GaveUp, OnFailure, Options, Outcome};
use wfr_recovery::checkout::{Checkout, Written};
use wfr_store::Store;

use crate::dependencies::Validated;
use crate::error::{Code, Failure};
use crate::open::Open;
use crate::params::Consent;
use crate::results::{Dependent, LayerResults, StateChanges};
use crate::session::Session;
use crate::{announce, full, holding, ledger, links, manifests, verify};

pub use agreement::check_consent;
use aim::Purpose;
pub use aim::{COORDINATOR, made_over, state_event};
use check::Seen;
pub use check::{CheckEnd, FunctionalCheck};
pub use finish::{Finished, finish_and_clean, finish_unfinished, has_ended, is_left, tell_unfinished};
pub use history::{History, UNRECORDED};
use limited::Limited;
pub use moves::followed;
pub use parts::Parts;
pub use planning::{Planned, plan_beside, plan_dry};
use record::{Begun, Ending, Why};
use safety::{REFUSED, forget, save};
pub use turn::wait_for_turn;
pub use unlisted::changed_no_path_but_else;

/// A recovery to be run.
pub struct Order {
    /// What kind it is.
    pub kind: RecoveryKind,
    /// Whose.
    pub workflow: WorkflowId,
    /// The checkpoint aimed at; for chosen changes, one of before: they are taken back from the present.
    pub target: CheckpointRow,
    /// The changes that are to be taken back alone; `None`: the whole tree becomes the target's.
    pub selection: Option<selective::Selection>,
    /// What of the target is merged with the present.
    pub joining: Option<joining::Joining>,
    /// The parts of the target that are meant; `None`: all of it.
    pub parts: Option<Parts>,
    /// Whether modification times are part of the goal.
    pub exact_mtime: bool,
    /// Whether files that tools run or obey may be changed.
    pub allow_config: bool,
    /// Whether later work of other workflows may go back too.
    pub whole_tree: bool,
    /// Objects that are damaged: files that need them are left as they are.
    pub leave: HashSet<Digest>,
    /// Whether the workflow's state is left as it is where the target's cannot be read, or nothing can be told of the present
    /// one.
    pub spares_state: bool,
    /// The recovery that this one undoes.
    pub undoes: Option<RecoveryRecord>,
    /// Whether an undo goes over what was edited since, too.
    pub over_edits: bool,
    /// Whether an undo does the rest where it cannot merge what was edited since.
    pub partial: bool,
    /// What must succeed afterwards.
    pub functional_check: Option<FunctionalCheck>,
    /// How long it may take from its turn on; `None`: as long as it takes.
    pub time_limit: Option<Duration>,
    /// Whether what the workflow needs is there; it goes with the plan and the result.
    pub needs: Validated,
    /// What the checks of the checkpoint said, layer by layer; it goes with the result.
    pub layers: LayerResults,
    /// Whether writers are ended before; it is shown in the plan.
    pub stop_writers: bool,
    /// How long it waits for whoever holds the workspace or the workflow.
    pub wait: Duration,
    /// The parameters as given, for the audit trail; they also say who is told, and how much it matters.
    pub parameters: Value,
}

impl Order {
    /// Of the whole of a target: nothing but what is in it is asked for, and nothing allowed.
    pub fn new(kind: RecoveryKind, workflow: WorkflowId, target: CheckpointRow) -> Self {
        Self {
            kind,
            workflow,
            target,
            selection: None,
            joining: None,
            parts: None,
            exact_mtime: false,
            allow_config: false,
            whole_tree: false,
            leave: HashSet::new(),
            spares_state: false,
            undoes: None,
            over_edits: false,
            partial: false,
            functional_check: None,
            time_limit: None,
            needs: Validated::default(),
            layers: LayerResults::default(),
            stop_writers: false,
            wait: Duration::ZERO,
            parameters: Value::Null,
        }
    }

    /// Keeps in the parameters which changes are to be taken back.
    pub fn keep_taken(&mut self) {
        let Some(selection) = &self.selection else { return };
        let taken = verdicts::Taken {
            changes: selection.changes.iter().map(|row| row.change.change_id.clone()).collect(),
            tasks: selection.tasks.clone(),
            ..verdicts::Taken::default()
        };
        self.parameters = verdicts::with_taken(&self.parameters, &taken);
    }

    /// What it does, for people.
    fn label(&self) -> String {
        // Without a checkpoint of its own a rollback leads to none.
        let named = ["/checkpoint", "/rollback_strategy/target_checkpoint"].map(|key| self.parameters.pointer(key));
        let is_of_work = self.selection.is_some() && named.into_iter().flatten().all(Value::is_null);
        let to = if is_of_work { String::new() } else { format!(" to {}", self.target.name) };
        format!("{} of {}{to}", self.kind.as_str(), self.workflow)
    }

    /// Whether it goes from one tree to another, and is about no single changes.
    fn is_of_trees(&self) -> bool {
        self.selection.is_none() && self.joining.is_none() && self.undoes.is_none()
    }

    /// What decides on the state that it aims at.
    fn purpose(&self) -> Purpose<'_> {
        Purpose { workflow: &self.workflow, undoes: self.undoes.as_ref(), parameters: &self.parameters }
    }
}

/// What became of a recovery that was asked for.
pub enum Run {
    /// It ran to an end.
    Ended(Box<Ended>),
    /// Nothing was to be done, and nothing was recorded; with what a person should know, and what is left alone.
    Idle(Vec<Finding>, Vec<Kept>),
}

/// A recovery that has ended.
pub struct Ended {
    /// Its id.
    pub recovery: RecoveryId,
    /// How it ended.
    pub status: RecoveryStatus,
    /// The checkpoint that saved the tree before.
    pub safety: CheckpointId,
    /// Step by step.
    pub report: ApplyReport,
    /// How many changes a rollback took back.
    pub rolled_back: u64,
    /// What became of the workflow's state; `None` where nothing did.
    pub state: Option<StateChanges>,
    /// Where the state stayed as it was, or became what it was never, when a recovery was taken back.
    pub state_kept: Vec<StateKept>,
    /// Why it was taken back, where it was.
    pub reason: Option<GaveUp>,
    /// Paths that were done and then not found as planned: somebody has written there since.
    pub edited: Vec<TreePath>,
    /// What the functional check said; `None` where none was asked for.
    pub functional: Option<CheckEnd>,
    /// How long it took, from its record to its end.
    pub length: Duration,
    /// The hold on the workflow's resources that was taken over for it.
    pub preempted: Option<Hold>,
    /// Later work of others that stands on what was taken back, a sentence each, and as data.
    pub later: (Vec<String>, Vec<Dependent>),
    /// What went wrong beside.
    pub findings: Vec<Finding>,
}

/// Runs a recovery. The caller has checked the target. With [`Consent::None`] or a stale digest nothing is changed.
pub fn recover(session: &Session, open: &Open, order: &Order, consent: Consent) -> Result<Run, Failure> {
    let recover = || try_recover(session, open, order, consent);
    // What goes by single changes cannot do without them.
    let is_of_changes = planning::is_of_changes(open, order)?;
    wait_for_turn(session, order.wait, || match is_of_changes {
        true => recover(),
        false => ledger::faults::or_without(session, open, recover),
    })
}

fn try_recover(session: &Session, open: &Open, order: &Order, consent: Consent) -> Result<Run, Failure> {
    let begun = Instant::now();
    make_root(open.root())?;
    let mut held = holding::hold(open, &order.label(), session.now())?;
    let mut finished = finish::finish_held(session, open, &held, false)?;
    if !owed::is_owed(order) && !owed::all(open)?.is_empty() {
        drop(held);
        owed::settle(session, open, &mut finished)?;
        held = holding::hold(open, &order.label(), session.now())?;
    }
    finished.tell(session);
    if !matches!(consent, Consent::Yes | Consent::Digest(_)) {
        let planned = planning::plan_dry(session, open, &open.store()?, order)?;
        agreement::check_consent(&planned, consent)?;
        return Ok(Run::Idle(planned.findings, planned.plan.kept));
    }
    // Whoever would be refused in the end is refused before anything is saved.
    let priority = announce::urgency(order.kind, &order.parameters);
    holding::may_take(open, &order.workflow, (&session.actor, priority), session.now())?;
    let deadline = order.time_limit.and_then(|limit| begun.checked_add(limit));
    let safety = save(session, open, order, deadline)?;
    if limited::is_over(deadline) {
        // It may lack what was not reached: nothing is overwritten that was not saved.
        forget(session, open, order, &safety, REFUSED)?;
        return Err(apply::PrepareError::TimedOut.into());
    }
    let store = open.store()?;
    let planned = planning::plan_from(open, &Limited::new(&store, deadline), order, &safety);
    // What could not be read any more may be taken for something that is not there.
    let planned = if limited::is_over(deadline) { Err(apply::PrepareError::TimedOut.into()) } else { planned };
    let planned = planned
        .map(|planned| agreement::shown(open, &store, planned, consent))
        .and_then(|planned| agreement::check(&planned, order, consent).map(|()| planned))
        .and_then(|planned| keep_texts(open, &planned.texts).map(|()| planned));
    let store = open.store()?;
    let planned =
        planned.and_then(|planned| verify::secure(open, &store, session, &planned.plan.steps).map(|()| planned));
    let planned = match planned {
        // Nothing would be changed: nothing is recorded either, or `undo` would undo that nothing.
        Ok(planned) if is_idle(order, &planned) => {
            forget(session, open, order, &safety, "recovery not needed")?;
            return Ok(Run::Idle(planned.findings, planned.plan.kept));
        }
        Ok(planned) => planned,
        Err(refused) => {
            forget(session, open, order, &safety, REFUSED)?;
            return Err(refused);
        }
    };
    if order.joining.is_some() {
        // Only there stands what a merge made of each path: its undo needs that.
        ledger::keep(session, open).inspect_err(|_| {
            let _ = forget(session, open, order, &safety, REFUSED);
        })?;
    }
    let begun = record::begin(session, open, order, &safety, (&planned, &mut held)).inspect_err(|_| {
        // Why it did not begin is what counts; a safety checkpoint that stays is a checkpoint.
        let _ = forget(session, open, order, &safety, REFUSED);
    })?;
    let mut ended = run(session, open, &store, order, &planned, (&safety, begun), deadline)?;
    ended.findings.extend(finished.findings);
    ended.findings.splice(0..0, planned.findings.iter().cloned());
    if planned.taken.is_some() && ended.status != RecoveryStatus::TakenBack {
        ended.later = (planned.blast_radius, planned.dependents);
    }
    Ok(Run::Ended(Box::new(ended)))
}

/// Stores contents that no version has, before anything is changed.
fn keep_texts(open: &Open, texts: &[Vec<u8>]) -> Result<(), Failure> {
    if texts.is_empty() {
        return Ok(());
    }
    let store = open.store_to_write()?;
    let writer = store.writer(open.coding(), None);
    texts.iter().try_for_each(|text| wfr_store::content::store_blob(text, &writer).map(drop))?;
    let sealed = writer.finish()?;
    open.catalog.commit_packs(&ledger::extents(&sealed))?;
    sealed.publish();
    Ok(())
}

/// The workspace's directory itself may be gone: the vault outlives it.
fn make_root(root: &Path) -> Result<(), Failure> {
    if root.symlink_metadata().is_ok() {
        return Ok(());
    }
    std::fs::create_dir_all(root).map_err(|error| Failure::of(crate::error::code_of_io(&error), &error))
}

/// Whether a restore, or a rollback of what is taken back already, has nothing to do, and nothing is asked for afterwards either.
fn is_idle(order: &Order, planned: &Planned) -> bool {
    use RecoveryKind::{EmergencyRestore, PartialRestore, Restore};
    let may_be = matches!(order.kind, Restore | PartialRestore | EmergencyRestore) || planned.is_done;
    may_be && order.functional_check.is_none() && planned.is_empty()
}

fn run(
    session: &Session,
    open: &Open,
    store: &Store,
    order: &Order,
    planned: &Planned,
    (safety, begun): (&CheckpointRow, Begun),
    deadline: Option<Instant>,
) -> Result<Ended, Failure> {
    let Begun { record, announced, preempted } = begun;
    let id = record.recovery_id.clone();
    let step = |done: usize, total: usize| {
        session.meter.step(done, total);
        (session.on_step)(done, total);
    };
    let journal = open.vault.journal();
    let environment = Environment {
        root: open.root(),
        journal: &journal,
        objects: store,
        threads: session.threads,
        abort: &session.abort,
        deadline,
        progress: &session.meter.recovery,
        on_step: &step,
    };
    let committed = match apply::prepare(&environment, &planned.plan, options(store, order, planned, &id)?) {
        Ok(committed) => committed,
        Err(error) => {
            record::end(session, open, (&record, &announced), &Ending::aborted(Why::naming(error.to_string())))?;
            announced.ended();
            let _ = forget(session, open, order, safety, REFUSED);
            return Err(full::unprepared(open, error, beside(order).as_deref()));
        }
    };
    let (mut outcome, seen) = run_checked(session, open, (order, &planned.plan), &committed, &environment)?;
    check::compare_with_before(session, open, &committed, &mut outcome);
    let effects = committed.effects(&outcome.report);
    let ending = ending(&outcome, planned.aim.as_ref(), effects);
    or_with_reserve(open, || record::end(session, open, (&record, &announced), &ending))?;
    // The end is recorded: what cannot be tidied up now, the next command does.
    let _ = committed.finish(open.root(), outcome.status);
    let length = u64::try_from(session.now().0.saturating_sub(record.started_at.0)).unwrap_or(0);
    let Outcome { status, report, reason, .. } = outcome;
    let seen = seen.transpose()?;
    let checked = seen.as_ref().map_or(Duration::ZERO, |seen| seen.took);
    let functional = seen.as_ref().map(|seen| seen.end);
    let edited = match seen {
        Some(seen) => seen.edited,
        None if status == RecoveryStatus::TakenBack => vec![],
        None => check::edited_since(session, open, &planned.plan, report.changed.iter().map(|step| &step.path))?,
    };
    session.meter.recovery.end();
    Ok(Ended {
        later: Default::default(),
        recovery: id,
        status,
        safety: safety.checkpoint_id.clone(),
        report,
        rolled_back: planned.rolled_back,
        state: planned.state.filter(|_| sets_state(status)),
        state_kept: if sets_state(status) { planned.state_kept.clone() } else { vec![] },
        reason,
        edited,
        functional,
        length: Duration::from_nanos(length).saturating_sub(checked),
        preempted,
        findings: announced.ended(),
    })
}

/// Whether a recovery that ended so has set the state.
fn sets_state(status: RecoveryStatus) -> bool {
    matches!(status, RecoveryStatus::Done | RecoveryStatus::Partial)
}

type Looked = Option<Result<Seen, Failure>>;

/// Does all steps, and makes the functional check where one is asked for, before anything goes that the way back needs.
fn run_checked(
    session: &Session,
    open: &Open,
    (order, plan): (&Order, &Plan),
    committed: &Committed,
    environment: &Environment<'_>,
) -> Result<(Outcome, Looked), Failure> {
    let seen = RefCell::new(None);
    let judge = |functional: &FunctionalCheck, changed: &[TreePath]| {
        let looked = check::look((session, open), plan, (functional, environment.deadline), changed);
        let passed = matches!(looked, Ok(Seen { end: CheckEnd::Passed, .. }));
        *seen.borrow_mut() = Some(looked);
        passed
    };
    let outcome = or_with_reserve(open, || {
        Ok(match &order.functional_check {
            Some(functional) => committed.run_checked(environment, Some(&|changed| judge(functional, changed)))?,
            None => committed.run(environment)?,
        })
    })?;
    Ok((outcome, seen.into_inner()))
}

/// How a plan is applied.
fn options(store: &Store, order: &Order, planned: &Planned, id: &RecoveryId) -> Result<Options, Failure> {
    Ok(Options {
        recovery: id.clone(),
        on_failure: OnFailure::TakeBack,
        with_owner: with_owner(),
        provisional: order.functional_check.is_some(),
        links: match &planned.links {
            Some(links) => links.clone(),
            None => links::of(store, order.target.hard_links.as_ref())?,
        },
    })
}

/// How the tree that is aimed at is had without changing this one.
fn beside(order: &Order) -> Option<String> {
    let is_whole = order.is_of_trees() && order.target.tree.is_some();
    let (workflow, id) = (&order.target.workflow_id, &order.target.checkpoint_id);
    is_whole.then(|| format!("write it elsewhere with `wfr restore {workflow} {id} --to DIR`"))
}

/// How an outcome is recorded.
fn ending<'a>(outcome: &Outcome, aim: Option<&'a aim::Aim>, effects: Vec<Segment>) -> Ending<'a> {
    let first = outcome.report.failed.first();
    let why = outcome.reason.as_ref().map(|reason| Why::naming(reason.to_string())).or_else(|| {
        let failed = outcome.report.failed.len();
        first.map(|step| Why::naming(format!("`{}` could not be done ({failed} in all)", step.path)))
    });
    let why = if outcome.check_failed { Some(Why::plain("the functional check failed")) } else { why };
    Ending { status: outcome.status, why, report: Some(outcome.report.clone()), aim, effects }
}

/// Does a step behind the commit point, with the reserve given up where the disk is full. A failure is told as one that
/// `resume` ends: calling the operation again would do it twice.
fn or_with_reserve<T>(open: &Open, mut step: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    let ended = match step() {
        Err(failure) if failure.code == Code::DiskFull => {
            let _ = wfr_store::reserve::release(open.vault.dir());
            step()
        }
        ended => ended,
    };
    ended.map_err(|failure| {
        let code = Code::RecoveryUnfinished;
        Failure { code, hint: code.hint().to_owned(), ..failure }
    })
}

/// Owners can be set by a privileged process only.
pub fn with_owner() -> bool {
    rustix::process::geteuid().is_root()
}

/// Writes the tree of the checkpoint that is aimed at into an empty directory, which is made where it is missing; files that
/// need one of the damaged objects are left out.
pub fn checkout(
    session: &Session,
    open: &Open,
    order: &Order,
    dest: &Path,
    deadline: Option<Instant>,
) -> Result<Written, Failure> {
    tree_of(&order.target)?;
    let is_missing = |place: &&Path| !place.as_os_str().is_empty() && place.symlink_metadata().is_err();
    let made: Vec<&Path> = dest.ancestors().take_while(is_missing).collect();
    let written = write_out(session, open, order, dest, deadline);
    if written.is_err() {
        // Only what is empty goes, the deepest first.
        made.iter().for_each(|place| drop(std::fs::remove_dir(place)));
    }
    written
}

/// Makes the directory and writes the tree into it; what it wrote in it goes again where that fails.
fn write_out(
    session: &Session,
    open: &Open,
    order: &Order,
    dest: &Path,
    deadline: Option<Instant>,
) -> Result<Written, Failure> {
    let target = &order.target;
    let store = open.store()?;
    let tree = tree_of(target)?;
    std::fs::create_dir_all(dest).map_err(|error| {
        let message = format!("cannot make the directory {}: {error}", dest.display());
        Failure::new(crate::error::code_of_io(&error), message).with_hint("name an empty directory, or one to be made")
    })?;
    session.meter.expect_bytes(target.files.bytes);
    let checkout = Checkout {
        objects: &store,
        tree,
        root: manifests::root(&store, target),
        links: links::of(&store, target.hard_links.as_ref())?,
        leave_out: planning::bare(&store, target, &tree)?,
        damaged: &order.leave,
        with_owner: with_owner(),
        threads: session.threads,
        abort: &session.abort,
        deadline,
        bytes_done: &session.meter.bytes,
    };
    checkout.run(dest).map_err(|error| full::unwritten(open, error, dest))
}

/// The tree of a checkpoint that has files.
pub fn tree_of(row: &CheckpointRow) -> Result<Digest, Failure> {
    row.tree.ok_or_else(|| {
        Failure::new(Code::PathNotFound, format!("checkpoint `{}` holds state only, no files", row.name))
            .with_hint("use one taken with files")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wfr_model::checkpoint::CheckpointType;

    use super::*;
    use crate::checkpoint::{self, Request};
    use crate::scanning::Effort;
    use crate::testing::World;

    #[test]
    fn a_rollback_without_a_checkpoint_leads_to_none() {
        let world = World::new();
        let session = world.session();
        let open = session.open().unwrap();
        let workflow: WorkflowId = "wf".parse().unwrap();
        let request = Request::new(workflow.clone(), CheckpointType::Emergency, "tester");
        let made = checkpoint::create(&open, &request, &session, Effort::default()).unwrap().manifest;
        let row = open.catalog.resolve(None, made.checkpoint_id.as_str()).unwrap();
        let name = row.name.clone();
        let mut order = Order::new(RecoveryKind::Rollback, workflow, row);
        order.selection = Some(selective::Selection::default());
        order.parameters = json!({"checkpoint": null, "agent": "a"});
        assert_eq!(order.label(), "rollback of wf");
        for parameters in [json!({"checkpoint": name}), json!({"rollback_strategy": {"target_checkpoint": name}})] {
            order.parameters = parameters;
            assert_eq!(order.label(), format!("rollback of wf to {name}"));
        }
    }
}
