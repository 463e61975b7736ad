//! Events of a hub's log that are new here and older than what came about here since.
//!
//! Owns where they count: at their time, as if they had been known then, so that what came about later stands. They are recorded
//! at the end of the log as all others, and what they would take back there is said again by the import. Refuses to read logs.
//!
//! One that says no time counts as new: nobody can tell.

use std::collections::HashSet;

use serde::Deserialize;
use wfr_catalog::{EventQuery, EventRow};
use wfr_model::workflow::fold;
use wfr_model::workflow::merge::{ConflictResolution, MergeStrategy, Side, merge};
use wfr_model::workflow::{Nowhere, State, Whole};
use wfr_model::{Event, EventId, Timestamp, WorkflowId};

use super::order::Logged;
use super::{Heard, fold_into, since};
use crate::error::Failure;
use crate::open::Open;
use crate::results::IgnoredPart;

/// Late events that are named one by one.
const NAMED_MAX: usize = 20;

/// What is to be recorded around the states, in its order.
pub(super) struct Counted {
    /// Before them.
    pub(super) news: Vec<Event>,
    /// After them.
    pub(super) later: Vec<Event>,
    /// The state that the log gives with the first ones.
    pub(super) log_says: Whole,
}

/// Folds what was heard before the states were written, and what is late, into `goal`, the state of a workflow that `existing` is
/// too where anybody knew it. Says of what is late that it takes nothing back, where it would have.
pub(super) fn count(
    open: &Open,
    (workflow, existing): (&WorkflowId, Option<&Whole>),
    heard: Heard,
    goal: &mut Whole,
    notes: &mut Vec<IgnoredPart>,
) -> Result<Counted, Failure> {
    let Heard { before, after } = heard;
    let late = match existing {
        Some(present) => late(open, workflow, present, before.iter().chain(&after))?,
        None => None,
    };
    let Some(Late { state, events }) = late else {
        let news = bare(before);
        fold_into(goal, &news);
        return Ok(Counted { news, later: bare(after), log_says: goal.clone() });
    };
    let is_late = |one: &Logged| events.contains(&one.event.event_id);
    let (late_after, after): (Vec<_>, Vec<_>) = after.into_iter().partition(is_late);
    let in_time: Vec<Event> = bare(before.iter().filter(|one| !is_late(one)).cloned().collect());
    let news = [bare(before), bare(late_after)].concat();
    let mut log_says = std::mem::replace(goal, state);
    fold_into(&mut log_says, &news);
    fold_into(goal, &in_time);
    goal.head.state_version = goal.head.state_version.max(log_says.head.state_version);
    if !log_says.says_the_same(goal) {
        notes.extend(told(workflow, &news, &events));
    }
    Ok(Counted { news, later: bare(after), log_says })
}

fn bare(events: Vec<Logged>) -> Vec<Event> {
    events.into_iter().map(|one| one.event).collect()
}

/// Events that are late, and the state with each of them at its time.
struct Late {
    state: Whole,
    events: HashSet<EventId>,
}

/// Finds what of the news is older than what came about here since; `None` where nothing is.
fn late<'e>(
    open: &Open,
    workflow: &WorkflowId,
    present: &Whole,
    news: impl Iterator<Item = &'e Logged>,
) -> Result<Option<Late>, Failure> {
    let newest = open.catalog.newest_time(workflow)?;
    let mut waiting: Vec<(Timestamp, &Event)> = news.filter_map(|one| Some((one.at?, &one.event))).collect();
    waiting.retain(|(at, _)| newest.is_some_and(|newest| *at < newest));
    if waiting.is_empty() {
        return Ok(None);
    }
    waiting.sort_by_key(|(at, _)| *at);
    let mut waiting = waiting.into_iter().peekable();
    let mut with = Whole::new(workflow.clone()).into_state();
    // Without them it is the same one up to the first of them.
    let mut without: Option<State> = None;
    let (mut events, mut now) = (HashSet::new(), Timestamp(i64::MIN));
    let query = EventQuery { workflow: Some(workflow.clone()), ..EventQuery::default() };
    open.catalog.each_kept_event(&query, |row| {
        // Of one that cannot be read the present state may know more.
        let Ok(row) = row else { return Ok(()) };
        now = now.max(time_of(&row));
        while let Some((_, event)) = waiting.next_if(|(at, _)| *at < now) {
            without.get_or_insert_with(|| Whole::of(&with).into_state());
            apply(&mut with, event);
            events.insert(event.event_id.clone());
        }
        apply(&mut with, &row.event);
        without.iter_mut().for_each(|without| apply(without, &row.event));
        Ok(())
    })?;
    let Some(without) = without else { return Ok(None) };
    let (with, without) = (Whole::from(with), Whole::from(without));
    let state = if without.says_the_same(present) { with } else { taken_over(present, &with, &without) };
    Ok(Some(Late { state, events }))
}

fn apply(state: &mut State, event: &Event) {
    let Ok(_) = fold::apply(state, &mut Nowhere, event);
}

/// What the late events change, brought into a state that is not what the log gives any more.
fn taken_over(present: &Whole, with: &Whole, without: &Whole) -> Whole {
    let ours = Side { name: "state", state: present, is_current: true, said: None };
    let theirs = Side { name: "log", state: with, is_current: false, said: None };
    merge(ours, &[theirs], Some(without), MergeStrategy::ThreeWay, ConflictResolution::CurrentPriority).state
}

/// When what an event says was so: not after it was recorded. What an import brought of a hub's state was so when that was written,
/// and where that is not known nobody can tell.
fn time_of(row: &EventRow) -> Timestamp {
    #[derive(Deserialize)]
    struct Said {
        head: Head,
    }
    #[derive(Deserialize)]
    struct Head {
        updated_at: Option<Timestamp>,
    }
    let data = &row.event.data;
    if data.get("imported_from").is_none_or(|from| from != "hub") {
        return row.event.timestamp.min(row.recorded_at);
    }
    let said = data.get(since::SAID).and_then(|said| Said::deserialize(said).ok());
    said.and_then(|said| said.head.updated_at).map_or(Timestamp(i64::MIN), |at| at.min(row.recorded_at))
}

/// What is said of late events.
fn told(workflow: &WorkflowId, news: &[Event], late: &HashSet<EventId>) -> Vec<IgnoredPart> {
    let named = news.iter().filter(|event| late.contains(&event.event_id)).take(NAMED_MAX);
    let each = |event: &Event| IgnoredPart {
        place: format!("{workflow}/events/{}", event.event_id),
        why: format!(
            "{} of {} is older than what came about here since: it is kept, and takes nothing of that back",
            event.event_type, event.timestamp
        ),
    };
    let mut notes: Vec<IgnoredPart> = named.map(each).collect();
    if let more @ 1.. = late.len().saturating_sub(NAMED_MAX) {
        let why =
            format!("{more} more events are older than what came about here since: they take nothing of that back");
        notes.push(IgnoredPart { place: format!("workflow {workflow}"), why });
    }
    notes
}
