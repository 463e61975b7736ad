//! `merge-states`.
//!
//! Owns where states come from and what a merge needs before it is applied. Refuses to merge: see
//! [`wfr_model::workflow::merge`].

use serde_json::{Map, Value, json};
use wfr_model::WorkflowId;
use wfr_model::recovery::RecoveryKind;
use wfr_model::workflow::merge::{MergeStrategy, Merged, Said, Side, merge as merged};
use wfr_model::workflow::validate::{Context, is_valid, validate};
use wfr_model::workflow::{Head, Whole};
use wfr_store::object::hash;

use super::exchange::no_state;
use super::repairs::agreed;
use super::setting::{Change, Setting, TRIES_MAX, moved};
use super::states::one_workflow;
use super::{known, needed};
use crate::error::{Code, Failure};
use crate::exchange::{hub, said_over};
use crate::open::Open;
use crate::params::{Consent, MergeStates};
use crate::policy::{Standings, Wishes};
use crate::response::{Impact, Success};
use crate::results::{LeftOut, MergePlan, StateMerge};
use crate::session::Session;
use crate::{recovery, soundness, state, workspace};

/// The names of a workflow's present state.
const CURRENT: [&str; 2] = ["current_workflow_state", "current"];

/// A state with where it came from.
struct Source {
    name: String,
    state: Whole,
    is_current: bool,
    /// The document that it was read of, and what that says.
    doc: Option<(Map<String, Value>, Said)>,
    /// What is in no form that is understood, in words.
    left_out: Vec<String>,
}

impl Source {
    fn side(&self) -> Side<'_> {
        let said = self.doc.as_ref().map(|(_, said)| said);
        Side { name: &self.name, state: &self.state, is_current: self.is_current, said }
    }

    /// Reads a document over a state: what it does not say is as it was there.
    fn read_over(&mut self, under: &Whole, session: &Session) -> Result<(), Failure> {
        let Some((data, said)) = &mut self.doc else { return Ok(()) };
        let now = session.now();
        let under = Whole {
            head: Head { workflow_id: self.state.head.workflow_id.clone(), ..under.head.clone() },
            ..under.clone()
        };
        let (_, odd) = said_over(&under, data, now)?;
        self.left_out.extend(odd);
        (self.state, *said) = Said::over(&under, |before| {
            said_over(before, data, now).map_or_else(|_| before.clone(), |(after, _)| after)
        });
        if said.is_nothing() && !self.left_out.is_empty() {
            let message = format!("nothing that {} says is in a form that is understood", self.name);
            let failure = Failure::new(Code::DocumentInvalid, message).with_details(self.left_out.join("; "));
            return Err(failure.with_hint("mend the file, or name another one: nothing was changed"));
        }
        Ok(())
    }
}

/// Merges states.
pub(super) fn merge(session: &mut Session, parameters: MergeStates) -> Result<Success<StateMerge>, Failure> {
    let open = session.open()?;
    let mut tries = 0..TRIES_MAX;
    loop {
        match try_merge(session, &open, &parameters)? {
            Ok(success) => return Ok(success),
            Err(target) if tries.next().is_none() => return Err(moved(&target)),
            Err(_) => {}
        }
    }
}

/// `Err` with the workflow where somebody recorded something of it between the look and the merge: what was planned might take
/// it back.
fn try_merge(
    session: &Session,
    open: &Open,
    parameters: &MergeStates,
) -> Result<Result<Success<StateMerge>, WorkflowId>, Failure> {
    if parameters.secondary_states.0.is_empty() {
        return Err(Failure::new(
            Code::WrongArguments,
            "`secondary_states` is missing: one state is merged with others",
        ));
    }
    let looked = look(open, session, parameters)?;
    if looked.is_torn() {
        return Ok(Err(looked.target));
    }
    let Looked { sources, base, left_out, target, present, over } = looked;
    let sides: Vec<Side<'_>> = sources.iter().map(Source::side).collect();
    let Some((first, others)) = sides.split_first() else { return Err(no_state(open, &target)) };
    let mut whole = merged(*first, others, base.as_ref(), parameters.merge_strategy, parameters.conflict_resolution);
    whole.state.head.workflow_id = target.clone();
    let change = present.difference(&whole.state);
    let mut result = StateMerge {
        workflow_id: target.clone(),
        merge_strategy: parameters.merge_strategy,
        conflict_resolution: parameters.conflict_resolution,
        sources: sources.iter().map(|one| one.name.clone()).collect(),
        plan: planned(&target, &present, (&whole, left_out), change.as_ref()),
        applied: false,
        backup: None,
        recovery_id: None,
        event_id: None,
        checkpoints: vec![],
    };
    if parameters.plan {
        return Ok(Ok(Success::new(result).about(&target)));
    }
    if whole.is_unsettled() {
        return Err(unsettled(result));
    }
    let consent = Consent::of(parameters.yes, parameters.apply, session.interactive);
    agreed(consent, &result.plan.digest, change.is_some(), &result.plan)?;
    if let Some(change) = change {
        recovery::finish_unfinished(session, open)?;
        let setting = Setting { session, open, workflow: &target, kind: RecoveryKind::MergeStates, over };
        // Of one that is new there is nothing to save.
        result.backup = over.map(|_| setting.save()).transpose()?;
        let change = Change { data: Some(change), folds_again: None };
        let before = Standings::of(open, std::iter::once(&target)).known();
        let Some(set) = setting.set(result.backup.as_ref(), change)? else { return Ok(Err(target)) };
        (result.applied, result.event_id, result.recovery_id) = (true, set.event_id, set.recovery_id);
        let mut wishes = Wishes::default();
        wishes.note_turns(open, &before);
        result.checkpoints = wishes.grant(session, open);
    }
    let is_undoable = result.recovery_id.is_some();
    let tasks = result.plan.changes.iter().filter(|place| place.starts_with("tasks/")).count() as u64;
    let is_well = is_valid(&result.plan.findings);
    let success = Success::new(result).about(&target);
    let success = success.with_impact(Impact { tasks_affected: Some(tasks), ..Impact::default() });
    let success = if is_undoable { success.with_next_step("`wfr undo` takes it back") } else { success };
    Ok(Ok(if is_well {
        success
    } else {
        success.with_next_step(format!("run `wfr repair-state {target} --plan`: the merged state contradicts itself"))
    }))
}

/// What a merge is made of.
struct Looked {
    sources: Vec<Source>,
    base: Option<Whole>,
    /// What of them is in no form that is understood.
    left_out: Vec<LeftOut>,
    target: WorkflowId,
    /// The state that becomes the merged one.
    present: Whole,
    /// What the catalog said of its newest event before it was read.
    over: Option<i64>,
}

impl Looked {
    /// Whether that state was another one when it was read as one of the sources.
    fn is_torn(&self) -> bool {
        let (target, present) = (&self.target, self.present.head.state_version);
        let is_it = |source: &&Source| source.is_current && source.state.head.workflow_id == *target;
        self.sources.iter().filter(is_it).any(|source| source.state.head.state_version != present)
    }
}

fn look(open: &Open, session: &Session, parameters: &MergeStates) -> Result<Looked, Failure> {
    let primary = needed(parameters.primary_state.clone(), "primary_state")?;
    let mut sources = sources(open, session, parameters, &primary)?;
    let target = match &parameters.workflow_id {
        Some(workflow) => known(open, workflow.clone())?,
        None => sources[0].state.head.workflow_id.clone(),
    };
    let mut base = base(open, session, parameters, &target)?;
    if let Some(base) = &mut base {
        base.read_over(&Whole::new(target.clone()), session)?;
    }
    let under = under(&sources, base.as_ref().filter(|_| parameters.merge_strategy == MergeStrategy::ThreeWay));
    let under = under.unwrap_or_else(|| Whole::new(target.clone()));
    for source in &mut sources {
        source.read_over(&under, session)?;
    }
    let left_out = left_out(&sources, base.as_ref());
    let base = base.map(|base| base.state);
    let over = open.catalog.state_seq(&target)?;
    let present = state::present(&open.catalog, &target)?.unwrap_or_else(|| Whole::new(target.clone()));
    Ok(Looked { sources, base, left_out, target, present, over })
}

/// The state that documents are read over: the common ancestor, else a present state, else one of a checkpoint.
fn under(sources: &[Source], ancestor: Option<&Source>) -> Option<Whole> {
    let known = || sources.iter().filter(|source| source.doc.is_none());
    let source = ancestor.or_else(|| known().find(|source| source.is_current)).or_else(|| known().next());
    source.map(|source| source.state.clone())
}

fn unsettled(result: StateMerge) -> Failure {
    let open = result.plan.conflicts.iter().filter(|conflict| conflict.winner.is_none()).count();
    let plural = if open == 1 { "" } else { "s" };
    let failure = Failure::new(Code::Conflicts, format!("{open} conflict{plural} need a decision: nothing was merged"));
    failure
        .with_hint(
            "choose with `--conflict-resolution current_priority` or `checkpoint_priority`, or make the states agree",
        )
        .with_result(result)
}

fn planned(
    target: &WorkflowId,
    present: &Whole,
    (merged, mut left_out): (&Merged, Vec<LeftOut>),
    change: Option<&serde_json::Map<String, serde_json::Value>>,
) -> MergePlan {
    let all = "all of them";
    left_out.extend(merged.left_out.iter().map(|place| LeftOut { source: all.to_owned(), what: place.clone() }));
    let say = json!([target, present.head.state_version, change]);
    MergePlan {
        digest: hash(say.to_string().as_bytes()),
        state_version: present.head.state_version,
        changes: change.map(soundness::places).unwrap_or_default(),
        conflicts: merged.conflicts.clone(),
        left_out,
        findings: validate(&merged.state, Context::default()),
    }
}

/// What the states say that does not go into the merge.
fn left_out(sources: &[Source], base: Option<&Source>) -> Vec<LeftOut> {
    let of = |one: &Source, what: &String| LeftOut { source: one.name.clone(), what: what.clone() };
    let all = sources.iter().chain(base);
    all.flat_map(|one| one.left_out.iter().map(move |what| of(one, what))).collect()
}

/// The states, the primary one first.
fn sources(open: &Open, session: &Session, parameters: &MergeStates, primary: &str) -> Result<Vec<Source>, Failure> {
    let others = &parameters.secondary_states.0;
    let names = || std::iter::once(primary).chain(others.iter().map(String::as_str));
    let mut workflow = parameters.workflow_id.clone();
    // Whose present state is meant follows from the others, where they are of one workflow.
    for name in names().filter(|name| !CURRENT.contains(name)) {
        if workflow.is_none() && !is_file(name) {
            workflow = whose(open, name)?;
        }
    }
    names().map(|name| source(open, session, name, workflow.clone())).collect()
}

/// Whether a state is named by its file.
fn is_file(name: &str) -> bool {
    name.contains('/') || std::path::Path::new(name).extension().is_some_and(|end| end == "json")
}

/// The workflow of a reference, where it is one.
fn whose(open: &Open, name: &str) -> Result<Option<WorkflowId>, Failure> {
    match name.parse::<WorkflowId>() {
        Ok(workflow) if open.catalog.has_workflow(&workflow)? => Ok(Some(workflow)),
        _ => Ok(open.catalog.resolve(None, name).ok().map(|row| row.workflow_id)),
    }
}

fn source(open: &Open, session: &Session, name: &str, workflow: Option<WorkflowId>) -> Result<Source, Failure> {
    let of = |state, is_current| Source { name: name.to_owned(), state, is_current, doc: None, left_out: vec![] };
    if CURRENT.contains(&name) {
        let workflow = one_workflow(open, workflow)?;
        return present(open, &workflow).map(|state| of(state, true));
    }
    if is_file(name) {
        let path = workspace::absolute(&session.directories.current, std::path::Path::new(name));
        let doc = hub::document(&path)?;
        let beside = hub::beside_state(&doc);
        let (workflow, fields) = hub::of_workflow(doc, workflow, &path)?;
        let doc = Some((fields, Said::default()));
        return Ok(Source { doc, left_out: beside, ..of(Whole::new(workflow), false) });
    }
    if let Ok(named) = name.parse::<WorkflowId>()
        && open.catalog.has_workflow(&named)?
    {
        return present(open, &named).map(|state| of(state, true));
    }
    let row = open.catalog.resolve(workflow.as_ref(), name)?;
    let state = state::of_checkpoint(&open.store()?, &row)?.ok_or_else(|| {
        let failure = Failure::new(Code::StateNotFound, format!("checkpoint `{}` holds no state", row.name));
        failure.with_hint("nothing was known of its workflow when it was taken: name another one, or a file")
    })?;
    Ok(of(state, false))
}

fn present(open: &Open, workflow: &WorkflowId) -> Result<Whole, Failure> {
    state::present(&open.catalog, workflow)?.ok_or_else(|| no_state(open, workflow))
}

/// The common ancestor, where one is needed.
fn base(
    open: &Open,
    session: &Session,
    parameters: &MergeStates,
    target: &WorkflowId,
) -> Result<Option<Source>, Failure> {
    match (&parameters.base_state, parameters.merge_strategy) {
        (Some(name), _) => source(open, session, name, Some(target.clone())).map(Some),
        (None, MergeStrategy::ThreeWay) => {
            let failure = Failure::new(Code::WrongArguments, "`three_way` needs the common ancestor");
            Err(failure.with_hint("name it with `--base-state`, or take another `--merge-strategy`"))
        }
        (None, _) => Ok(None),
    }
}
