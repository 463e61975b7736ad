//! The order of a hub's events, which lie in several logs.
//!
//! Owns when each counts. Within a log its own order holds, whatever the clock did; between logs the time does. Refuses to
//! know what events say.

use std::collections::{BTreeMap, HashMap};

use wfr_model::{Event, Timestamp, WorkflowId};

/// Before all times: an event that says none, and stands behind none that does.
const FIRST: Timestamp = Timestamp(i64::MIN);

/// An event, and when it counts: not before those that stand before it in its log.
#[derive(Debug)]
struct Placed {
    at: Timestamp,
    /// Whether it says a time itself.
    is_dated: bool,
    event: Event,
}

/// An event of a log.
#[derive(Clone, Debug)]
pub struct Logged {
    /// When it counts; `None` where it says no time.
    pub at: Option<Timestamp>,
    /// It.
    pub event: Event,
}

/// The events of several logs.
#[derive(Debug, Default)]
pub(super) struct Logs {
    of: BTreeMap<Option<WorkflowId>, Vec<Placed>>,
    /// When the last event of each workflow in the present log counts.
    last: HashMap<Option<WorkflowId>, Timestamp>,
}

/// The events of one workflow around a state that was written some time.
#[derive(Debug, Default)]
pub(super) struct Around {
    pub(super) before: Vec<Logged>,
    pub(super) after: Vec<Logged>,
    /// How many of those after it say that they are older: a later one stands before them in their log.
    pub(super) belated: u64,
}

impl Logs {
    /// What comes from here on is in another log.
    pub(super) fn next_log(&mut self) {
        self.last.clear();
    }

    /// Adds what stands next in a log. `said` is the time that it says.
    pub(super) fn push(&mut self, said: Option<Timestamp>, event: Event) {
        let last = self.last.entry(event.workflow_id.clone()).or_insert(FIRST);
        *last = said.map_or(*last, |said| said.max(*last));
        self.of.entry(event.workflow_id.clone()).or_default().push(Placed {
            at: *last,
            is_dated: said.is_some(),
            event,
        });
    }

    /// The workflows that have events.
    pub(super) fn workflows(&self) -> impl Iterator<Item = &WorkflowId> {
        self.of.keys().flatten()
    }

    /// Takes a workflow's events, in their order. A state that does not say when it was written counts over all of them.
    pub(super) fn take(&mut self, workflow: Option<&WorkflowId>, written: Option<Timestamp>) -> Around {
        let mut events = self.of.remove(&workflow.cloned()).unwrap_or_default();
        events.sort_by_key(|one| one.at);
        let after = written.map_or(events.len(), |written| events.partition_point(|one| one.at <= written));
        let after = events.split_off(after);
        let is_belated = |one: &&Placed| written.is_some_and(|written| one.event.timestamp <= written);
        let belated = after.iter().filter(is_belated).count() as u64;
        let logged = |one: Placed| Logged { at: one.is_dated.then_some(one.at), event: one.event };
        let all = |events: Vec<Placed>| events.into_iter().map(logged).collect();
        Around { before: all(events), after: all(after), belated }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::event;

    fn named(name: &str, at: i64) -> Event {
        Event { timestamp: Timestamp(at), ..event(&format!(r#"TASK_STARTED:wf:1:{{"task_id":"{name}"}}"#)) }
    }

    fn names(events: &[Logged]) -> Vec<&str> {
        events.iter().map(|one| one.event.data["task_id"].as_str().unwrap()).collect()
    }

    fn read(logs: &[&[(&str, Option<i64>)]]) -> Logs {
        let mut read = Logs::default();
        for log in logs {
            read.next_log();
            for (name, at) in *log {
                read.push(at.map(Timestamp), named(name, at.unwrap_or(1_000)));
            }
        }
        read
    }

    #[test]
    fn an_older_log_that_is_read_later_counts_earlier() {
        let mut logs = read(&[&[("late", Some(20))], &[("early", Some(5))]]);
        let around = logs.take(Some(&"wf".parse().unwrap()), Some(Timestamp(10)));
        assert_eq!((names(&around.before), names(&around.after), around.belated), (vec!["early"], vec!["late"], 0));
    }

    #[test]
    fn what_stands_behind_a_later_one_counts_after_it_and_is_counted() {
        let mut logs = read(&[&[("undated", None), ("late", Some(20)), ("belated", Some(5)), ("with it", None)]]);
        let around = logs.take(Some(&"wf".parse().unwrap()), Some(Timestamp(10)));
        assert_eq!(names(&around.before), ["undated"]);
        assert_eq!((names(&around.after), around.belated), (vec!["late", "belated", "with it"], 1));
    }

    proptest! {
        #[test]
        fn no_event_is_lost_and_each_log_keeps_its_order(
            logs in prop::collection::vec(prop::collection::vec(prop::option::of(0..9i64), 0..6), 0..4),
            written in prop::option::of(0..9i64),
        ) {
            let names_of = |log: usize, len: usize| (0..len).map(move |nth| format!("{log}-{nth}"));
            let mut read = Logs::default();
            for (log, times) in logs.iter().enumerate() {
                read.next_log();
                for (name, at) in names_of(log, times.len()).zip(times) {
                    read.push(at.map(Timestamp), named(&name, at.unwrap_or(1_000)));
                }
            }
            let around = read.take(Some(&"wf".parse().unwrap()), written.map(Timestamp));
            let all = [names(&around.before), names(&around.after)].concat();
            for (log, times) in logs.iter().enumerate() {
                let prefix = format!("{log}-");
                let kept: Vec<&str> = all.iter().copied().filter(|name| name.starts_with(&prefix)).collect();
                prop_assert_eq!(kept, names_of(log, times.len()).collect::<Vec<_>>());
            }
            prop_assert_eq!(all.len(), logs.iter().map(Vec::len).sum::<usize>());
        }
    }
}
