//! Why nothing fits what was asked for, and what there is instead.
//!
//! Owns these refusals and the names that they suggest. Refuses to choose.

use std::collections::BTreeSet;

use wfr_catalog::{ChangeFilter, ChangeRow};
use wfr_model::WorkflowId;
use wfr_model::change::Author;
use wfr_model::finding::Finding;

use crate::error::{Code, Failure};
use crate::open::Open;
use crate::params::{Phase, Rollback};
use crate::recovery::telling::name_of;
use crate::state;

/// Names that are told, at most.
const NAMED_MAX: usize = 10;

/// Changes that are looked through for names, at most.
const LOOKED_AT: u32 = 1_000;

/// The parameters name nobody's work.
pub(super) fn said(has_strategy: bool) -> Failure {
    let message = match has_strategy {
        true => "`rollback_strategy` does not say whose work is to be taken back",
        false => "whose work is to be taken back is not said",
    };
    Failure::new(Code::WrongArguments, message).with_hint(
        "name it: `--agent A`, `--task T`, `--phase N`, `--change ID`, `--since TIME`, a checkpoint, or all of the \
         workflow with `--rollback-scope full`, or choose with `--interactive`",
    )
}

/// The changes that fit did nothing, for sure; `perhaps` is what is said of something that they may have done.
pub(super) fn without_paths(first: &ChangeRow, count: usize, perhaps: Option<&Finding>) -> Failure {
    let (id, name) = (&first.change.change_id, name_of(&first.change));
    let more = if count > 1 { format!(" and {} more that fit", count - 1) } else { String::new() };
    let verb = if count > 1 { "have" } else { "has" };
    let message = format!("change {id} of {name}{more} {verb} no path: nothing is to be taken back");
    let hint = match perhaps {
        Some(perhaps) => format!("{}; {}", perhaps.message, perhaps.fix),
        None => "`wfr log` shows what each change did".to_owned(),
    };
    Failure::new(Code::NothingSelected, message).with_hint(hint)
}

/// No change fits what was asked for.
pub(super) fn fits(
    open: &Open,
    workflow: &WorkflowId,
    parameters: &Rollback,
    candidates: &[ChangeRow],
) -> Result<Failure, Failure> {
    if let Some(row) = candidates.first() {
        let names: BTreeSet<&str> = row.change.candidates.iter().map(|one| one.author.name()).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let who = match names.as_slice() {
            [only] => format!("{only} had several changes open at once"),
            all => format!("{} worked at the same time", all.join(" and ")),
        };
        let message = format!("what was changed is shared: {who}, and nothing tells whose it is");
        let hint = format!("`wfr rollback {workflow} --change {}` takes it back, whosever it is", row.change.change_id);
        return Ok(Failure::new(Code::NothingSelected, message).with_hint(hint));
    }
    let asked = Asked {
        agent: parameters.agent.0.iter().map(ToString::to_string).collect(),
        task: parameters.task.0.iter().map(ToString::to_string).collect(),
        phase: parameters.phase.iter().filter_map(Phase::id).map(|phase| phase.to_string()).collect(),
        session: vec![],
    };
    let failure = Failure::new(Code::NothingSelected, "no change fits what was asked for");
    Ok(match asked.unknown(open, Some(workflow))? {
        None => failure,
        Some((message, None)) => Failure { message, ..failure },
        Some((message, Some(hint))) => Failure { message, ..failure }.with_hint(hint),
    })
}

/// Whom somebody asked for.
pub(super) struct Asked {
    pub(super) agent: Vec<String>,
    pub(super) task: Vec<String>,
    pub(super) phase: Vec<String>,
    pub(super) session: Vec<String>,
}

impl Asked {
    /// Whom no change names, and who is named instead.
    pub(super) fn unknown(
        &self,
        open: &Open,
        workflow: Option<&WorkflowId>,
    ) -> Result<Option<(String, Option<String>)>, Failure> {
        type Named = fn(&Author) -> Option<String>;
        let kinds: [(&str, &str, &[String], Named); 4] = [
            ("agent", "agents", &self.agent, |author| author.agent_id.as_ref().map(ToString::to_string)),
            ("task", "tasks", &self.task, |author| author.task_id.as_ref().map(ToString::to_string)),
            ("phase", "phases", &self.phase, |author| author.phase_id.as_ref().map(ToString::to_string)),
            ("session", "sessions", &self.session, |author| author.session_id.clone()),
        ];
        let filter = ChangeFilter { workflow: workflow.cloned(), limit: Some(LOOKED_AT), ..ChangeFilter::default() };
        let rows = open.catalog.changes(&filter)?;
        for (kind, kinds, asked, named) in kinds {
            let mut names: BTreeSet<String> = rows.iter().filter_map(|row| named(&row.change.author)).collect();
            if kind == "phase" && !asked.is_empty() {
                names.extend(phases_of(open, workflow)?);
            }
            if let Some(asked) = asked.iter().find(|asked| !names.contains(*asked)) {
                let place = workflow.map(|workflow| format!(" in {workflow}")).unwrap_or_default();
                let shown: String = asked.chars().take(80).collect();
                let message = format!("no change of {kind} `{shown}` is recorded{place}");
                if let Some(hint) = elsewhere(open, workflow, |author| named(author).as_ref() == Some(asked))? {
                    return Ok(Some((message, Some(hint))));
                }
                let total = names.len();
                let near = crate::operation::keys::nearest(asked, names.iter().map(String::as_str));
                let told: Vec<&str> =
                    if near.is_empty() { names.iter().take(NAMED_MAX).map(String::as_str).collect() } else { near };
                let more = if total > told.len() { format!(" (of {total})") } else { String::new() };
                let hint = (!told.is_empty()).then(|| format!("{kinds} with changes: {}{more}", told.join(", ")));
                return Ok(Some((message, hint)));
            }
        }
        Ok(None)
    }
}

/// Where the work is that somebody asked a workflow for which has none of it: in another one, or in none.
fn elsewhere(
    open: &Open,
    workflow: Option<&WorkflowId>,
    is_meant: impl Fn(&Author) -> bool,
) -> Result<Option<String>, Failure> {
    let Some(workflow) = workflow else { return Ok(None) };
    let filter = ChangeFilter { limit: Some(LOOKED_AT), ..ChangeFilter::default() };
    let rows = open.catalog.changes(&filter)?;
    let found = rows.iter().find(|row| is_meant(&row.change.author)).map(|row| &row.change);
    Ok(found.map(|change| match &change.author.workflow_id {
        Some(other) => format!("it is in another workflow: `wfr rollback {other}`"),
        None => format!(
            "change {id} is, and belongs to no workflow, since nothing named one: `wfr rollback {workflow} --change {id}` takes it back",
            id = change.change_id
        ),
    }))
}

/// The phases that tasks are in.
fn phases_of(open: &Open, workflow: Option<&WorkflowId>) -> Result<Vec<String>, Failure> {
    let Some(workflow) = workflow else { return Ok(vec![]) };
    let state = state::present(&open.catalog, workflow)?;
    Ok(state.map_or_else(Vec::new, |state| state.phases.keys().map(ToString::to_string).collect()))
}
