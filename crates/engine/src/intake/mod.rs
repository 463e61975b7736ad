//! Intake: what others say of workflows, on its way into the catalog. Every front end calls it.
//!
//! Owns what becomes of each message, and the tally of it. Refuses to know where the messages come from, and what is to
//! be done because of them: whoever records a batch is given the events that are new.

pub mod reading;

use std::collections::{BTreeMap, BTreeSet};

use wfr_catalog::{Appended, EventSeq, Guarded};
use wfr_model::event::{Draft, Message, StateSync};
use wfr_model::workflow::fold::PHASE_ENDED_BEFORE;
use wfr_model::{Event, EventId, EventType, WorkflowId};

use crate::error::{Code, Failure};
use crate::failures;
use crate::open::Open;
use crate::policy;
use crate::results::{EventLine, EventsRecorded, IgnoredMessage, OddEvent, RefusedMessage};
use crate::session::Session;

pub use reading::Item;

/// Lists in a tally are cut after so many; the counts beside them are whole.
const LISTED_MAX: usize = 100;

/// Events are shown where they are at most so many.
const SHOWN_MAX: usize = 20;

/// An event that is new, with its place.
pub type New = (EventSeq, Event);

/// The event of a draft, with an id and a time of ours where its sender gave none.
pub fn complete(session: &Session, draft: Draft) -> Event {
    draft.complete(|| session.ids.event(), session.now(), &session.actor)
}

/// Records events in one transaction. Those that are new come back; what is odd, and what was known, is tallied.
pub fn record(session: &Session, open: &Open, events: Vec<Event>, tally: &mut Tally) -> Result<Vec<New>, Failure> {
    if events.is_empty() {
        return Ok(vec![]);
    }
    let now = session.now();
    let answers = open.catalog.append_events(&events, now)?;
    Ok(tally.add(events, answers, now))
}

/// Records what a batch of messages says, in their order. Those events that are new come back.
pub fn take_in(session: &Session, open: &Open, items: Vec<Item>, tally: &mut Tally) -> Result<Vec<New>, Failure> {
    let mut new = Vec::new();
    let mut run = Vec::with_capacity(items.len());
    for Item { line, said } in items {
        match said {
            Ok(Message::Event(draft)) => run.push(complete(session, draft)),
            Ok(Message::State(sync)) => {
                new.extend(record(session, open, std::mem::take(&mut run), tally)?);
                new.extend(synchronise(session, open, sync, line, tally)?);
            }
            Ok(Message::Error(report)) => {
                // What the report is completed with may just have been said.
                new.extend(record(session, open, std::mem::take(&mut run), tally)?);
                let filed = failures::file(session, open, report, tally)?;
                new.extend(filed.new);
            }
            Err(why) => tally.refuse(line, why),
        }
    }
    new.extend(record(session, open, run, tally)?);
    Ok(new)
}

/// Takes over another component's state where its version is the higher one.
fn synchronise(
    session: &Session,
    open: &Open,
    sync: StateSync,
    line: u64,
    tally: &mut Tally,
) -> Result<Vec<New>, Failure> {
    let version = sync.state_version;
    let events = vec![complete(session, sync.update)];
    let now = session.now();
    match open.catalog.append_events_at(&sync.workflow_id, |ours| ours < version, &events, now)? {
        Guarded::Appended(answers) => Ok(tally.add(events, answers, now)),
        Guarded::Stale(ours) => {
            let why = format!("state_sync of version {version}: the state of {} has version {ours}", sync.workflow_id);
            tally.ignore(line, why);
            Ok(vec![])
        }
    }
}

/// What became of everything that was taken in.
#[derive(Debug, Default)]
pub struct Tally {
    /// It, as it is answered.
    pub result: EventsRecorded,
    /// Of the events that were known and ask for a checkpoint, the last of each workflow that ends a phase, and that does not.
    again: BTreeMap<(WorkflowId, bool), Event>,
    /// New events by which a phase ends that had ended before.
    repeats: BTreeSet<EventId>,
}

impl Tally {
    /// Tallies one transaction; gives back what is new of it.
    fn add(&mut self, events: Vec<Event>, answers: Vec<Appended>, now: wfr_model::Timestamp) -> Vec<New> {
        let mut new = Vec::with_capacity(events.len());
        for (event, answer) in events.into_iter().zip(answers) {
            let (seq, odd) = match answer {
                Appended::New { seq, odd } => (seq, odd),
                Appended::Known { differs } => {
                    self.result.known += 1;
                    self.reused(&event.event_id, differs);
                    if !differs {
                        self.keep_again(event);
                    }
                    continue;
                }
            };
            self.result.recorded += 1;
            self.result.first_seq.get_or_insert(seq.0);
            self.result.last_seq = Some(seq.0);
            self.result.odd_total += u64::from(!odd.is_empty());
            if odd.iter().any(|anomaly| anomaly.code == PHASE_ENDED_BEFORE) {
                self.repeats.insert(event.event_id.clone());
            }
            for anomaly in &odd {
                self.note(&event.event_id, anomaly.code.clone(), anomaly.message.clone());
            }
            if self.result.recorded <= SHOWN_MAX as u64 {
                self.result.events.push(EventLine { seq: seq.0, recorded_at: now, odd, event: event.clone() });
            } else {
                self.result.events.clear();
            }
            new.push((seq, event));
        }
        new
    }

    /// Keeps an event that was known, where it asks for a checkpoint.
    pub fn keep_again(&mut self, event: Event) {
        if let Some(workflow) = event.workflow_id.clone().filter(|_| policy::asks(&event)) {
            let is_end = event.event_type.known() == Some(EventType::PhaseCompleted);
            self.again.insert((workflow, is_end), event);
        }
    }

    /// Takes the new events that end nothing, since it had ended before.
    pub fn take_repeats(&mut self) -> BTreeSet<EventId> {
        std::mem::take(&mut self.repeats)
    }

    /// Takes the events that were known and ask for a checkpoint.
    pub fn take_again(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.again).into_values().collect()
    }

    fn note(&mut self, event_id: &EventId, code: String, message: String) {
        if self.result.odd.len() < LISTED_MAX {
            self.result.odd.push(OddEvent { event_id: event_id.clone(), code, message });
        }
    }

    /// An id that was used for something else: which of the two is meant, its sender knows.
    fn reused(&mut self, event_id: &EventId, differs: bool) {
        if differs {
            self.result.odd_total += 1;
            let message = "an event of this id is recorded and says something else: this one is passed over";
            self.note(event_id, "EVENT_ID_REUSED".to_owned(), message.to_owned());
        }
    }

    fn refuse(&mut self, line: u64, why: String) {
        self.result.refused_total += 1;
        if self.result.refused.len() < LISTED_MAX {
            self.result.refused.push(RefusedMessage { line, why });
        }
    }

    fn ignore(&mut self, line: u64, why: String) {
        self.result.ignored_total += 1;
        if self.result.ignored.len() < LISTED_MAX {
            self.result.ignored.push(IgnoredMessage { line, why });
        }
    }

    /// The failure of an intake of which something was refused.
    pub fn verdict(&self) -> Option<Failure> {
        let result = &self.result;
        let first = result.refused.first()?;
        let message = match (result.refused_total, result.recorded + result.known) {
            (1, 0) => first.why.clone(),
            (refused, 0) => format!("none of {refused} can be recorded; line {}: {}", first.line, first.why),
            (refused, taken) => {
                format!("{refused} of {} cannot be recorded; line {}: {}", refused + taken, first.line, first.why)
            }
        };
        Some(Failure::new(Code::InvalidEvent, message))
    }
}
