//! Messages, subscriptions and what is put aside.

use wfr_catalog::{Catalog, CatalogError, Cursor, DeadLetter, NewMessage, Outgoing, Subscription};
use wfr_model::Event;
use wfr_model::coordination::Pattern;
use wfr_model::event::Draft;

use crate::sample::at;

type Make<'a> = &'a dyn Fn() -> Catalog;

fn tell(catalog: &Catalog, id: &str) {
    let draft = Draft::read("TASK_STARTED:wf:1:{\"task_id\":\"t\"}").unwrap();
    let event: Event = draft.complete(|| id.parse().unwrap(), at(1), "tester");
    catalog.append_events(&[event], at(1)).unwrap();
}

fn message(id: &str, answers: Option<&str>) -> NewMessage {
    NewMessage {
        message_id: id.to_owned(),
        kind: "hold-resources".to_owned(),
        answers: answers.map(|request| (request.to_owned(), "{}".to_owned())),
        body: format!("{{\"id\":\"{id}\"}}"),
        at: at(2),
    }
}

fn ids(outgoing: &[Outgoing]) -> Vec<&str> {
    outgoing.iter().map(Outgoing::id).collect()
}

/// Two messages, an event, a message, two events, a message.
fn story(catalog: &Catalog) {
    catalog.add_messages(&[message("m1", None), message("m2", None)]).unwrap();
    tell(catalog, "e1");
    catalog.add_messages(&[message("m3", None)]).unwrap();
    tell(catalog, "e2");
    tell(catalog, "e3");
    catalog.add_messages(&[message("m4", None), message("m4", None)]).unwrap();
}

pub fn messages_stand_behind_the_events_before_them(make: Make<'_>) {
    let catalog = make();
    story(&catalog);
    let whole = catalog.outgoing(Cursor::default(), 100).unwrap();
    let order = ["m1", "m2", "e1", "m3", "e2", "e3", "m4"];
    assert_eq!(ids(&whole), order);
    // However few are taken at once, the order is the same and nothing is left out.
    for limit in 1..5 {
        let (mut cursor, mut seen) = (Cursor::default(), Vec::new());
        loop {
            let some = catalog.outgoing(cursor, limit).unwrap();
            if some.is_empty() {
                break;
            }
            for item in &some {
                seen.push(item.id().to_owned());
                cursor = cursor.after(item);
            }
        }
        assert_eq!(seen, order, "{limit} at once");
        assert_eq!(cursor, catalog.log_end().unwrap());
    }
    let fits = |patterns: &[&str], from| {
        let patterns: Vec<Pattern> = patterns.iter().map(|text| Pattern::read(text).unwrap()).collect();
        catalog.backlog(from, &patterns, 10).unwrap()
    };
    assert_eq!(fits(&[], Cursor::default()).fitting, 7);
    assert_eq!(fits(&["hold-*"], Cursor::default()).fitting, 4);
    let none = fits(&["PHASE_*"], Cursor::default());
    assert_eq!((none.fitting, none.events, none.messages), (0, 3, 4));
    assert_eq!(fits(&[], catalog.log_end().unwrap()).fitting, 0);
}

pub fn places_are_kept_and_never_go_back(make: Make<'_>) {
    let catalog = make();
    let here = Cursor { events_upto: 5, messages_upto: 3 };
    catalog.subscribe("web", here, at(1)).unwrap();
    catalog.subscribe("web", Cursor::default(), at(2)).unwrap();
    let mut standing = catalog.subscription("web").unwrap().unwrap();
    assert_eq!((standing.cursor, standing.attempts, standing.updated_at), (here, 0, at(1)));
    standing = Subscription {
        cursor: Cursor { events_upto: 4, messages_upto: 9 },
        attempts: 2,
        next_try_at: Some(at(9)),
        last_error: Some("refused".into()),
        ..standing
    };
    catalog.advance(&standing).unwrap();
    let kept = catalog.subscription("web").unwrap().unwrap();
    assert_eq!(kept, Subscription { cursor: Cursor { events_upto: 5, messages_upto: 9 }, ..standing });
    assert_eq!(catalog.subscriptions().unwrap(), [kept]);
    assert_eq!(catalog.subscription("other").unwrap(), None);
}

pub fn what_is_put_aside_can_be_queued_again(make: Make<'_>) {
    let catalog = make();
    catalog.subscribe("web", Cursor::default(), at(1)).unwrap();
    let mut standing = catalog.subscription("web").unwrap().unwrap();
    standing.cursor.events_upto = 1;
    let letter = DeadLetter {
        seq: 0,
        subscription: "web".into(),
        item: "e1".into(),
        body: "{}".into(),
        attempts: 3,
        error: "500".into(),
        at: at(4),
        queued: false,
    };
    catalog.put_aside(&letter, &standing).unwrap();
    assert_eq!(catalog.subscription("web").unwrap().unwrap().cursor.events_upto, 1);
    assert_eq!(catalog.count_dead_letters("web").unwrap(), (1, 0));
    assert!(catalog.queued_letters("web", 9).unwrap().is_empty());
    assert_eq!(catalog.requeue(Some("other")).unwrap(), 0);
    assert_eq!(catalog.requeue(None).unwrap(), 1);
    let queued = catalog.queued_letters("web", 9).unwrap().remove(0);
    assert_eq!((queued.item.as_str(), queued.attempts, queued.queued), ("e1", 3, true));
    catalog.put_aside_again(queued.seq, "still 500", at(5)).unwrap();
    let letters = catalog.dead_letters(Some("web"), 9).unwrap();
    assert_eq!((letters[0].attempts, letters[0].error.as_str(), letters[0].queued), (4, "still 500", false));
    catalog.bury(queued.seq).unwrap();
    assert!(catalog.dead_letters(None, 9).unwrap().is_empty());
}

pub fn a_request_is_answered_once(make: Make<'_>) {
    let catalog = make();
    assert_eq!(catalog.answer_to("req_1").unwrap(), None);
    catalog.add_messages(&[message("resp_1", Some("req_1"))]).unwrap();
    let refused = catalog.add_messages(&[message("resp_2", Some("req_1"))]).unwrap_err();
    assert!(matches!(refused, CatalogError::IdTaken { .. }), "{refused}");
    let answer = catalog.answer_to("req_1").unwrap().unwrap();
    assert_eq!(answer.message, message("resp_1", Some("req_1")));
    assert_eq!(catalog.messages(9).unwrap(), [answer]);
}

pub fn what_everybody_has_had_goes_after_a_time(make: Make<'_>) {
    let catalog = make();
    story(&catalog);
    let count = |catalog: &Catalog| catalog.messages(100).unwrap().len();
    assert_eq!(catalog.prune_messages(at(9), 100).unwrap(), 0, "nobody is subscribed, so nobody has had them");
    for (name, upto) in [("one", 4), ("other", 2)] {
        catalog.subscribe(name, Cursor { events_upto: 3, messages_upto: upto }, at(3)).unwrap();
    }
    assert_eq!(catalog.prune_messages(at(2), 100).unwrap(), 0, "they are too young");
    assert_eq!((catalog.prune_messages(at(9), 1).unwrap(), count(&catalog)), (1, 3));
    assert_eq!(
        (catalog.prune_messages(at(9), 100).unwrap(), count(&catalog)),
        (1, 2),
        "the other has not had the rest"
    );
    catalog.add_messages(&[message("m5", None)]).unwrap();
    let cursor = Cursor { events_upto: 3, messages_upto: 2 };
    assert_eq!(ids(&catalog.outgoing(cursor, 100).unwrap()), ["m3", "m4", "m5"]);
}
