//! Events in all three forms of intake: whatever is taken has an envelope and a line that say the same, and folds.

#![no_main]

use wfr_model::event::{Draft, Message};
use wfr_model::workflow::{Nowhere, State, Whole, fold};
use wfr_model::{Event, Timestamp};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut state = State::new("wf".parse().expect("it is an id"));
    for line in text.lines() {
        let draft = match Message::read(line) {
            Ok(Message::Event(draft)) => draft,
            Ok(Message::State(sync)) => sync.update,
            Ok(Message::Error(report)) => {
                assert!(report.message().is_some());
                continue;
            }
            Err(why) => {
                assert!(!why.to_string().is_empty());
                continue;
            }
        };
        let event = draft.complete(|| "evt_1".parse().expect("it is an id"), Timestamp(1), "fuzz");
        said_again(&event);
        let Ok(_) = fold::apply(&mut state, &mut Nowhere, &event);
        let whole = Whole::of(&state);
        let known = whole.tasks.len() as u64;
        assert_eq!(whole.head.tasks_known, known);
    }
});

/// An event says the same when it is written and read again.
fn said_again(event: &Event) {
    let envelope = serde_json::to_string(event).expect("an event has a JSON form");
    assert_eq!(serde_json::from_str::<Event>(&envelope).expect("it was just written"), *event);
    let value: serde_json::Value = serde_json::from_str(&envelope).expect("it was just written");
    let line = value["message"].as_str().expect("an envelope has its line");
    if let Ok(draft) = Draft::read(line) {
        assert_eq!((&draft.event_type, &draft.workflow_id, &draft.data), (&event.event_type, &event.workflow_id, &event.data));
    }
}
