//! Workflows from outside: what a coordination hub or a plan says, brought into the log without saying anything twice.
//!
//! Owns how a document becomes an event: only what differs from the present state is appended, under an id that follows
//! from it. Refuses to know how documents are written: [`hub`] and [`plan`] read them.

pub mod hub;
pub(crate) mod ids;
mod late;
mod order;
pub mod plan;
mod since;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};
use wfr_catalog::Appended;
use wfr_model::event::{Event, EventName, EventType};
use wfr_model::finding::Severity;
use wfr_model::workflow::fold::{self, Anomaly};
use wfr_model::workflow::markdown::Plan;
use wfr_model::workflow::validate::{Context, StateFinding, validate};
use wfr_model::workflow::{Nowhere, Whole};
use wfr_model::{EventId, Timestamp, WorkflowId};
use wfr_store::object::hash;

use self::order::Logged;
use crate::error::{Code, Failure, code_of_io};
use crate::open::Open;
use crate::results::{Became, IgnoredPart, ImportedWorkflow};
use crate::state;

/// What a document says of one workflow.
#[derive(Debug, Default)]
pub struct Said {
    /// Events from before the states were written, in their order.
    pub events: Vec<Logged>,
    /// States, each of which counts over what came before.
    pub updates: Vec<Update>,
    /// Events from after, in their order.
    pub later: Vec<Logged>,
}

/// What a state is to become.
#[derive(Clone, Debug)]
pub enum Update {
    /// These fields are set.
    Fields(Map<String, Value>),
    /// What a plan says of the state that is there.
    Plan(Box<Plan>),
}

impl Update {
    /// When what it says was so, by its own words.
    fn written_at(&self) -> Option<Timestamp> {
        match self {
            Self::Fields(data) => data.get("updated_at")?.as_str()?.parse().ok(),
            Self::Plan(_) => None,
        }
    }
}

/// What was read.
#[derive(Debug, Default)]
pub struct Reading {
    /// What is said of each workflow.
    pub workflows: BTreeMap<WorkflowId, Said>,
    /// Events that concern none in particular.
    pub global: Vec<Event>,
    /// What was not understood, or is not brought in, with why.
    pub ignored: Vec<IgnoredPart>,
}

impl Reading {
    fn ignore(&mut self, place: impl Into<String>, why: impl Into<String>) {
        self.ignored.push(IgnoredPart { place: place.into(), why: why.into() });
    }

    fn said(&mut self, workflow: WorkflowId) -> &mut Said {
        self.workflows.entry(workflow).or_default()
    }
}

/// What became of a reading.
#[derive(Debug, Default)]
pub struct Brought {
    /// Each workflow, in the order of ids.
    pub workflows: Vec<ImportedWorkflow>,
    /// Events that are new.
    pub appended: u64,
    /// Events that were known.
    pub known: u64,
    /// What was settled otherwise than the document says, or is not in it any more.
    pub notes: Vec<IgnoredPart>,
    /// Where a state contradicts itself with what is said, and did not before.
    pub contradictions: Vec<IgnoredPart>,
}

/// How often what a reading says is compared with the present states anew, while others keep changing them.
const TRIES_MAX: usize = 20;

/// Brings a reading in: one transaction. With `dry` it is only said what would become of it.
pub fn bring_in(open: &Open, reading: &Reading, source: &str, now: Timestamp, dry: bool) -> Result<Brought, Failure> {
    for _ in 0..TRIES_MAX {
        let news = news(open, reading, source, now)?;
        if dry {
            return Ok(news.brought);
        }
        if let Some(brought) = append(open, news, now)? {
            return Ok(brought);
        }
    }
    let message = format!("the states changed {TRIES_MAX} times meanwhile: nothing was brought in");
    Err(Failure::new(Code::StaleState, message).with_hint("try again when less is recorded of these workflows"))
}

/// What of a reading is new.
struct News<'r> {
    batch: Vec<Event>,
    /// Of each workflow, what the catalog said of its state's newest event before it was read.
    over: Vec<(&'r WorkflowId, Option<i64>)>,
    brought: Brought,
}

/// Compares a reading with the present states.
fn news<'r>(open: &Open, reading: &'r Reading, source: &str, now: Timestamp) -> Result<News<'r>, Failure> {
    let mut brought = Brought::default();
    let mut batch = reading.global.clone();
    brought.notes = ids::apart(open, &mut batch)?;
    let mut over = Vec::with_capacity(reading.workflows.len());
    for (workflow, said) in &reading.workflows {
        over.push((workflow, open.catalog.state_seq(workflow)?));
        let present = state::present(&open.catalog, workflow)?;
        let existed = present.is_some();
        let present = present.unwrap_or_else(|| Whole::new(workflow.clone()));
        let mut goal = present.clone();
        let heard = Heard::of(open, said, &mut brought)?;
        let existing = existed.then_some(&present);
        let late::Counted { news, later, log_says } =
            late::count(open, (workflow, existing), heard, &mut goal, &mut brought.notes)?;
        let before = since::last_said(open, workflow, source)?;
        let is_said = !said.updates.is_empty();
        let mut saying = since::Saying::new(workflow, source, now, before);
        saying.bring(said.updates.clone(), &mut goal, existed)?;
        let changes = log_says.difference(&goal);
        let version = goal.head.state_version;
        fold_into(&mut goal, &later);
        brought.contradictions.extend(contradictions(&present, &goal));
        let became = match (existed, news.is_empty() && later.is_empty() && changes.is_none()) {
            (false, _) => Became::Created,
            (true, true) => Became::Unchanged,
            (true, false) => Became::Updated,
        };
        brought.workflows.push(counted(workflow, became, &present, &goal, (news.len() + later.len()) as u64));
        // A workflow of which nothing is said but that it is there comes to be all the same.
        // What was said is kept even where the state said so already.
        let is_to_keep = is_said && saying.has_news();
        let changes =
            changes.or_else(|| (is_to_keep || (!existed && news.is_empty() && later.is_empty())).then(Map::new));
        batch.extend(news);
        brought.notes.append(&mut saying.notes);
        if let Some(mut data) = changes {
            data.insert("imported_from".to_owned(), source.into());
            data.insert("state_version".to_owned(), version.into());
            if is_said || !existed || saying.has_said() {
                data.insert(since::SAID.to_owned(), to_value(&saying.says)?);
            }
            let at = if existed { now } else { saying.time_of_new(&log_says) };
            batch.push(update_event(workflow, data, source, at)?);
        }
        batch.extend(later);
    }
    Ok(News { batch, over, brought })
}

/// The events of a workflow's logs that are not known yet.
struct Heard {
    /// Those from before the states were written.
    before: Vec<Logged>,
    /// Those from after.
    after: Vec<Logged>,
}

impl Heard {
    fn of(open: &Open, said: &Said, brought: &mut Brought) -> Result<Self, Failure> {
        let logged = || said.events.iter().chain(&said.later);
        let mut events: Vec<Event> = logged().map(|one| one.event.clone()).collect();
        brought.notes.append(&mut ids::apart(open, &mut events)?);
        let mut heard = Self { before: vec![], after: vec![] };
        for (index, (one, event)) in logged().zip(events).enumerate() {
            if open.catalog.has_event(&event.event_id)? {
                brought.known += 1;
                continue;
            }
            let those = if index < said.events.len() { &mut heard.before } else { &mut heard.after };
            those.push(Logged { at: one.at, event });
        }
        Ok(heard)
    }
}

/// Where a state contradicts itself and one before it did not.
fn contradictions(before: &Whole, after: &Whole) -> Vec<IgnoredPart> {
    let errors = |whole| validate(whole, Context::default()).into_iter().filter(|one| one.severity >= Severity::Error);
    let mut news: Vec<StateFinding> = errors(after).collect();
    if !news.is_empty() {
        let known: Vec<StateFinding> = errors(before).collect();
        news.retain(|one| known.iter().all(|other| (&other.code, &other.place) != (&one.code, &one.place)));
    }
    let place = |one: &StateFinding| format!("{}/{}", after.head.workflow_id, one.place);
    news.into_iter().map(|one| IgnoredPart { place: place(&one), why: one.message }).collect()
}

/// Appends what is new; `None` where somebody recorded something of one of the workflows after its state was read: what differs
/// from that might take it back.
fn append(open: &Open, news: News<'_>, now: Timestamp) -> Result<Option<Brought>, Failure> {
    let News { batch, over, mut brought } = news;
    let Some(answers) = open.catalog.append_events_if(&over, &batch, now)? else { return Ok(None) };
    for ended in answers {
        match ended {
            Appended::New { .. } => brought.appended += 1,
            Appended::Known { .. } => brought.known += 1,
        }
    }
    Ok(Some(brought))
}

fn to_value(said: &Whole) -> Result<Value, Failure> {
    serde_json::to_value(said).map_err(|error| Failure::of(Code::Internal, &error))
}

/// What a document makes of a state, and what of it is in no form that is understood, in words. When that was and which version
/// it is, the document says itself, or nobody does.
pub(crate) fn said_over(
    under: &Whole,
    data: &Map<String, Value>,
    now: Timestamp,
) -> Result<(Whole, Vec<String>), Failure> {
    let workflow = &under.head.workflow_id;
    let event = update_event(workflow, data.clone(), "document", now)?;
    let mut whole = under.clone();
    let odd = fold_into(&mut whole, std::slice::from_ref(&event));
    let mut alone = Whole::new(workflow.clone());
    fold_into(&mut alone, &[event]);
    // The fold takes an event's time where nobody says another.
    let is_dated = |key: &str| data.get(key).is_some_and(Value::is_string);
    whole.head.created_at = if is_dated("created_at") { whole.head.created_at } else { under.head.created_at };
    whole.head.updated_at = alone.head.updated_at.filter(|_| is_dated("updated_at"));
    whole.head.state_version = alone.head.state_version;
    Ok((whole, odd.into_iter().map(|one| one.message).collect()))
}

/// Folds events into a state that is all in memory; what is odd about them comes back.
pub(crate) fn fold_into(whole: &mut Whole, events: &[Event]) -> Vec<Anomaly> {
    let empty = Whole::new(whole.head.workflow_id.clone());
    let mut state = std::mem::replace(whole, empty).into_state();
    let mut odd = Vec::new();
    for event in events {
        let Ok(noted) = fold::apply(&mut state, &mut Nowhere, event);
        odd.extend(noted);
    }
    *whole = Whole::from(state);
    odd
}

fn update_event(
    workflow: &WorkflowId,
    data: Map<String, Value>,
    source: &str,
    now: Timestamp,
) -> Result<Event, Failure> {
    let text = serde_json::to_string(&data).map_err(|error| Failure::of(Code::Internal, &error))?;
    Ok(Event {
        event_id: event_id(&[workflow.as_str(), source, &text])?,
        event_type: EventName::Known(EventType::WorkflowStateUpdated),
        workflow_id: Some(workflow.clone()),
        phase: None,
        timestamp: now,
        source_component: "workflow-recovery".to_owned(),
        data,
        priority: None,
        ttl_seconds: None,
    })
}

/// An id that the same content gets again: `evt_` and the form of a UUID whose digits are those of a hash.
pub(crate) fn event_id(content: &[&str]) -> Result<EventId, Failure> {
    let mut bytes = Vec::new();
    for part in content {
        bytes.extend((part.len() as u64).to_be_bytes());
        bytes.extend(part.as_bytes());
    }
    let hex = hash(&bytes).to_hex();
    let text = format!("evt_{}-{}-8{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32]);
    text.parse().map_err(|error| Failure::of(Code::Internal, &error))
}

/// What changed in parts.
fn counted(workflow: &WorkflowId, became: Became, before: &Whole, after: &Whole, events: u64) -> ImportedWorkflow {
    let news = |from: usize, to: usize| to.saturating_sub(from) as u64;
    let changed = after.tasks.iter().filter(|(id, task)| before.tasks.get(*id).is_some_and(|old| old != *task)).count();
    ImportedWorkflow {
        workflow_id: workflow.clone(),
        became,
        events,
        phases_created: news(before.phases.len(), after.phases.len()),
        tasks_created: news(before.tasks.len(), after.tasks.len()),
        tasks_updated: changed as u64,
        tasks_unchanged: (before.tasks.len() as u64).saturating_sub(changed as u64),
        agents_created: news(before.agents.len(), after.agents.len()),
    }
}

/// The text of a file, within bounds.
fn text_of(path: &Path, bytes_max: usize) -> Result<String, Failure> {
    use std::io::Read;
    let failed = |error: std::io::Error| {
        let code = if error.kind() == std::io::ErrorKind::NotFound { Code::FileNotFound } else { code_of_io(&error) };
        Failure::new(code, format!("cannot read {}", path.display())).with_details(error.to_string())
    };
    let meta = std::fs::metadata(path).map_err(failed)?;
    if !meta.is_file() {
        let message = format!("{} is not a regular file", path.display());
        return Err(Failure::new(Code::InvalidParameter, message).with_hint("name the file itself"));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    let refuse = |why: String| {
        let failure = Failure::new(Code::DocumentInvalid, format!("{} cannot be read: {why}", path.display()));
        failure.with_hint("mend the file, or name another one: nothing was changed")
    };
    if bytes.len() > bytes_max {
        return Err(refuse(format!("it is longer than {bytes_max} bytes")));
    }
    String::from_utf8(bytes)
        .map_err(|error| refuse(format!("it is not UTF-8 from byte {}", error.utf8_error().valid_up_to())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{World, event};

    #[test]
    fn what_is_recorded_after_the_states_were_read_is_not_taken_back() {
        let world = World::new();
        let open = world.session().open().unwrap();
        let told = |line: &str| open.catalog.append_events(&[event(line)], Timestamp(1)).unwrap();
        told(r#"TASK_STARTED:wf:1:{"task_id":"t1","agent_id":"a1"}"#);
        let mut reading = Reading::default();
        let Value::Object(says) = json!({"tasks": {"t2": {"status": "pending"}}, "owner": "ann"}) else { panic!() };
        reading.said("wf".parse().unwrap()).updates.push(Update::Fields(says));
        let late = news(&open, &reading, "hub", Timestamp(2)).unwrap();
        told(r#"TASK_COMPLETED:wf:1:{"task_id":"t1","agent_id":"a1"}"#);
        assert!(append(&open, late, Timestamp(3)).unwrap().is_none());
        let brought = bring_in(&open, &reading, "hub", Timestamp(4), false).unwrap();
        assert_eq!(brought.appended, 1);
        let whole = state::present(&open.catalog, &"wf".parse().unwrap()).unwrap().unwrap();
        let status = |id: &str| whole.tasks[&id.parse().unwrap()].status.as_str();
        assert_eq!((status("t1"), status("t2")), ("completed", "pending"));
    }
}
