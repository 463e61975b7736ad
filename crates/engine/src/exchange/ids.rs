//! Events from elsewhere whose ids are something else's here.
//!
//! Owns that none is lost: such an event comes in under an id that follows from its content, so that it is the same one when it
//! comes again. Refuses to append.

use std::collections::HashMap;

use wfr_model::{Event, EventId};

use super::event_id;
use crate::error::Failure;
use crate::open::Open;
use crate::results::IgnoredPart;

/// Gives each event whose id another event has, here or among those before it, one of its own; says of which that is news.
pub(crate) fn apart(open: &Open, events: &mut [Event]) -> Result<Vec<IgnoredPart>, Failure> {
    let mut met: HashMap<EventId, usize> = HashMap::with_capacity(events.len());
    let mut notes = Vec::new();
    for index in 0..events.len() {
        let event = &events[index];
        let is_taken = match met.get(&event.event_id) {
            Some(before) => !says_the_same(&events[*before], event),
            None => open.catalog.event_differs(event)? == Some(true),
        };
        if is_taken {
            let own = own_id(event)?;
            if !open.catalog.has_event(&own)? && !met.contains_key(&own) {
                let why = format!("another event has it here: this one comes in as {own}");
                notes.push(IgnoredPart { place: format!("id {}", event.event_id), why });
            }
            events[index].event_id = own;
        }
        met.entry(events[index].event_id.clone()).or_insert(index);
    }
    Ok(notes)
}

/// As the catalog compares events: whatever their times and senders.
fn says_the_same(one: &Event, other: &Event) -> bool {
    (&one.event_type, &one.workflow_id, &one.phase, &one.data)
        == (&other.event_type, &other.workflow_id, &other.phase, &other.data)
}

fn own_id(event: &Event) -> Result<EventId, Failure> {
    let data = serde_json::to_string(&event.data).map_err(|error| Failure::of(crate::error::Code::Internal, &error))?;
    let workflow = event.workflow_id.as_ref().map_or("", |workflow| workflow.as_str());
    let phase = event.phase.as_ref().map_or("", |phase| phase.as_str());
    event_id(&["event", event.event_id.as_str(), event.event_type.as_str(), workflow, phase, &data])
}
