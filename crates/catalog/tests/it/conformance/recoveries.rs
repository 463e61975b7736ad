//! Recoveries from their beginning to their undoing.

use std::time::Duration;

use wfr_catalog::{Beside, Catalog, CatalogError, Hold, HoldRequest, Holder, NewCheckpoint, NewMessage, Owner};
use wfr_catalog::{RecoveryEnd, RecoveryFilter, Sparing, Taking, WhileHeld};
use wfr_model::checkpoint::{CheckpointType, SAFETY_TAG, Trigger};
use wfr_model::message::Priority;
use wfr_model::plan::Action;
use wfr_model::recovery::{ApplyReport, RecoveryKind, RecoveryRecord, RecoveryStatus as S, StepEnd, StepReport};
use wfr_model::{RecoveryId, Timestamp};

use crate::sample::{add, at, ckpt, digest, op, rec, restore, wf};

type Make<'a> = &'a dyn Fn() -> Catalog;

fn end(status: S) -> RecoveryEnd {
    RecoveryEnd { status, report: Some(ApplyReport::default()), ended_at: at(77) }
}

/// A catalog with checkpoints 1 to 9.
fn filled(make: Make<'_>) -> Catalog {
    let catalog = make();
    for number in 1..=9 {
        add(&catalog, number, |_| {});
    }
    catalog
}

/// Begins recovery `number` to checkpoint 1, saves the tree as checkpoint `number`, ends it.
fn run(catalog: &Catalog, number: u64, undoes: Option<RecoveryId>, status: S) {
    let kind = if undoes.is_some() { RecoveryKind::Undo } else { RecoveryKind::Restore };
    catalog
        .begin_recovery(&RecoveryRecord { kind, undoes, ..restore(number, ckpt(1)) }, None, &|_| Beside::default())
        .unwrap();
    catalog.set_safety(&rec(number), &ckpt(number)).unwrap();
    catalog
        .finish_recovery(&rec(number), &end(status), &op(100 + number, "restore"), &|| Ok(Beside::default()))
        .unwrap();
}

fn undoable(catalog: &Catalog) -> Option<RecoveryId> {
    catalog.latest_undoable(None, &|_| true).unwrap().map(|record| record.recovery_id)
}

pub fn a_recovery_runs_its_course(make: Make<'_>) {
    let catalog = filled(make);
    let mut record = restore(1, ckpt(2));
    catalog.begin_recovery(&record, None, &|_| Beside::default()).unwrap();
    assert_eq!(catalog.recovery(&rec(1)).unwrap(), Some(record.clone()));
    assert_eq!(catalog.unfinished().unwrap(), [record.clone()]);
    assert_eq!(undoable(&catalog), None);
    catalog.set_safety(&rec(1), &ckpt(9)).unwrap();
    catalog.finish_recovery(&rec(1), &end(S::Done), &op(50, "restore"), &|| Ok(Beside::default())).unwrap();
    record.safety_checkpoint = Some(ckpt(9));
    (record.status, record.ended_at, record.report) = (S::Done, Some(at(77)), Some(ApplyReport::default()));
    assert_eq!(catalog.recovery(&rec(1)).unwrap(), Some(record));
    assert_eq!(catalog.unfinished().unwrap(), []);
    assert_eq!(catalog.operations(1).unwrap()[0].operation, op(50, "restore"));
    assert!(matches!(catalog.set_safety(&rec(1), &ckpt(1)), Err(CatalogError::NotFound { .. })));
    assert_eq!(catalog.recovery(&rec(2)).unwrap(), None);
}

pub fn an_end_stands(make: Make<'_>) {
    let catalog = filled(make);
    run(&catalog, 2, None, S::Done);
    let first = catalog.recovery(&rec(2)).unwrap();
    let later = RecoveryEnd { ended_at: Timestamp(1), report: None, ..end(S::Done) };
    catalog.finish_recovery(&rec(2), &later, &op(200, "resume"), &|| Ok(Beside::default())).unwrap();
    assert_eq!(catalog.recovery(&rec(2)).unwrap(), first);
    let other = catalog
        .finish_recovery(&rec(2), &end(S::TakenBack), &op(201, "resume"), &|| Ok(Beside::default()))
        .unwrap_err();
    assert!(matches!(other, CatalogError::AlreadyFinished { status: "done", .. }), "{other}");
    assert!(matches!(
        catalog.finish_recovery(&rec(3), &end(S::Done), &op(1, "x"), &|| Ok(Beside::default())),
        Err(CatalogError::NotFound { .. })
    ));
    assert!(matches!(
        catalog.finish_recovery(&rec(2), &end(S::Started), &op(1, "x"), &|| Ok(Beside::default())),
        Err(CatalogError::Refused(_))
    ));
}

pub fn undo_and_undo_of_undo(make: Make<'_>) {
    let catalog = filled(make);
    run(&catalog, 2, None, S::Done);
    run(&catalog, 3, None, S::Partial);
    assert_eq!(undoable(&catalog), Some(rec(3)));
    run(&catalog, 4, Some(rec(3)), S::Done);
    assert_eq!(catalog.recovery(&rec(3)).unwrap().unwrap().undone_by, Some(rec(4)));
    assert_eq!(undoable(&catalog), Some(rec(4)));
    run(&catalog, 5, Some(rec(4)), S::Done);
    assert_eq!(undoable(&catalog), Some(rec(5)));
    // What is undone is not undone twice, and what did not happen is not undone at all.
    run(&catalog, 6, None, S::Aborted);
    for (number, word) in [(3, "rec_"), (6, "aborted")] {
        let again = RecoveryRecord { undoes: Some(rec(number)), ..restore(7, ckpt(1)) };
        match catalog.begin_recovery(&again, None, &|_| Beside::default()).unwrap_err() {
            CatalogError::NotUndoable { id, why } => assert!(id == rec(number) && why.contains(word), "{why}"),
            other => panic!("{other}"),
        }
    }
    // An older one by name is possible.
    run(&catalog, 7, Some(rec(2)), S::Done);
    assert_eq!(undoable(&catalog), Some(rec(7)));
    assert_eq!(catalog.latest_undoable(Some(&wf("other")), &|_| true).unwrap(), None);
    // One that changed nothing, neither paths nor else, is passed over.
    let older = catalog.latest_undoable(None, &|record| record.recovery_id == rec(4)).unwrap();
    assert_eq!(older.map(|record| record.recovery_id), None, "it is undone");
    run(&catalog, 8, None, S::Done);
    let older = catalog.latest_undoable(None, &|record| record.recovery_id == rec(7)).unwrap();
    assert_eq!(older.map(|record| record.recovery_id), Some(rec(7)));
}

pub fn a_failed_undo_undoes_nothing(make: Make<'_>) {
    let catalog = filled(make);
    run(&catalog, 2, None, S::Done);
    for (number, status) in [(3, S::Aborted), (4, S::TakenBack)] {
        run(&catalog, number, Some(rec(2)), status);
        assert_eq!(undoable(&catalog), Some(rec(2)));
    }
    run(&catalog, 5, Some(rec(2)), S::Partial);
    assert_eq!(undoable(&catalog), Some(rec(5)));
}

pub fn what_can_not_begin(make: Make<'_>) {
    let catalog = filled(make);
    catalog.delete_checkpoints(&[ckpt(3)], &Sparing::default(), &op(1, "cleanup-checkpoints")).unwrap();
    for target in [ckpt(3), ckpt(99)] {
        assert!(matches!(
            catalog.begin_recovery(&restore(1, target), None, &|_| Beside::default()),
            Err(CatalogError::NotFound { .. })
        ));
    }
    let ended = RecoveryRecord { status: S::Done, ..restore(1, ckpt(1)) };
    assert!(matches!(catalog.begin_recovery(&ended, None, &|_| Beside::default()), Err(CatalogError::Refused(_))));
    let dangling = RecoveryRecord { undoes: Some(rec(9)), ..restore(1, ckpt(1)) };
    assert!(matches!(
        catalog.begin_recovery(&dangling, None, &|_| Beside::default()),
        Err(CatalogError::NotFound { what: "recovery", .. })
    ));
    catalog.begin_recovery(&restore(1, ckpt(1)), None, &|_| Beside::default()).unwrap();
    assert!(matches!(
        catalog.begin_recovery(&restore(1, ckpt(1)), None, &|_| Beside::default()),
        Err(CatalogError::IdTaken { .. })
    ));
    assert_eq!(catalog.unfinished().unwrap().len(), 1);
}

pub fn needed_checkpoints_are_not_deleted(make: Make<'_>) {
    let catalog = filled(make);
    catalog.begin_recovery(&restore(1, ckpt(2)), None, &|_| Beside::default()).unwrap();
    catalog.set_safety(&rec(1), &ckpt(9)).unwrap();
    let all: Vec<_> = (1..=9).map(ckpt).collect();
    let deleted = catalog.delete_checkpoints(&all, &Sparing::default(), &op(1, "cleanup-checkpoints")).unwrap();
    assert_eq!(deleted, [1, 3, 4, 5, 6, 7, 8].map(ckpt));
    catalog.finish_recovery(&rec(1), &end(S::Done), &op(2, "restore"), &|| Ok(Beside::default())).unwrap();
    assert_eq!(
        catalog.delete_checkpoints(&all, &Sparing::default(), &op(3, "cleanup-checkpoints")).unwrap(),
        [2, 9].map(ckpt)
    );
}

/// What a cleanup chose is deleted later: a recovery may have begun, or ended, meanwhile.
pub fn what_a_recovery_saved_meanwhile_is_spared(make: Make<'_>) {
    let catalog = filled(make);
    let safety = |new: &mut NewCheckpoint| {
        (new.checkpoint_type, new.trigger) = (CheckpointType::Emergency, Trigger::PreCritical);
        new.tags = vec![SAFETY_TAG.to_owned()];
    };
    let (unclaimed, ended) = (add(&catalog, 20, safety), add(&catalog, 21, safety));
    let other = add(&catalog, 22, |_| {});
    let owner =
        Owner { holder: Holder::Process { pid: 7, start_ticks: 1, boot_id: "boot".into() }, label: "restore".into() };
    let request = HoldRequest {
        key: "workspace",
        owner: &owner,
        reason: None,
        priority: Priority::RECOVERY,
        now: at(60),
        expires_at: None,
    };
    let token = catalog.acquire_hold(&request, &|_| true).unwrap();
    catalog.begin_recovery(&restore(1, ckpt(1)), None, &|_| Beside::default()).unwrap();
    catalog.set_safety(&rec(1), &ended).unwrap();
    catalog.finish_recovery(&rec(1), &end(S::Done), &op(1, "restore"), &|| Ok(Beside::default())).unwrap();
    let chosen = [unclaimed.clone(), ended.clone(), other.clone()];
    let delete = |undoable_max, number, alive: &dyn Fn(&Owner) -> bool| {
        let sparing = Sparing { undoable_max, beginning: Some(WhileHeld { key: "workspace", is_alive: alive }) };
        catalog.delete_checkpoints(&chosen, &sparing, &op(number, "cleanup-checkpoints")).unwrap()
    };
    assert_eq!(delete(1, 2, &|_| true), [other]);
    assert_eq!(delete(0, 3, &|_| true), [ended], "none need be undoable");
    assert_eq!(delete(1, 4, &|_| false), std::slice::from_ref(&unclaimed), "its recovery will never begin");
    assert!(catalog.release_hold("workspace", token).unwrap());
    // One whose safety checkpoint is gone must not begin: it could not be undone.
    let lost = RecoveryRecord { safety_checkpoint: Some(unclaimed), ..restore(2, ckpt(1)) };
    let refused = catalog.begin_recovery(&lost, None, &|_| Beside::default());
    assert!(matches!(refused, Err(CatalogError::NotFound { what: "checkpoint", .. })));
}

pub fn roots_keep_what_is_needed(make: Make<'_>) {
    let catalog = filled(make);
    for number in 2..=5 {
        run(&catalog, number, None, S::Done);
    }
    run(&catalog, 6, Some(rec(5)), S::Done);
    assert_eq!(catalog.pinned_checkpoints(0).unwrap(), []);
    // All went to the first: an undo needs that, too.
    assert_eq!(catalog.pinned_checkpoints(2).unwrap(), [1, 4, 6].map(ckpt));
    assert_eq!(catalog.pinned_checkpoints(9).unwrap(), [1, 2, 3, 4, 6].map(ckpt));
    catalog.begin_recovery(&restore(7, ckpt(8)), None, &|_| Beside::default()).unwrap();
    catalog.set_safety(&rec(7), &ckpt(9)).unwrap();
    assert_eq!(catalog.pinned_checkpoints(1).unwrap(), [1, 6, 8, 9].map(ckpt));
    catalog
        .delete_checkpoints(&(1..=6).map(ckpt).collect::<Vec<_>>(), &Sparing::default(), &op(1, "cleanup-checkpoints"))
        .unwrap();
    let roots = catalog.roots(2).unwrap();
    let whole: Vec<_> =
        roots.iter().filter(|root| root.tree.is_some()).map(|root| root.checkpoint_id.clone()).collect();
    // A safety checkpoint that was let go stays so: what it held may be collected already.
    assert_eq!(whole, [7, 8, 9].map(ckpt));
    assert_eq!(catalog.pinned_checkpoints(9).unwrap(), [8, 9].map(ckpt));
    assert_eq!(
        roots.iter().map(|root| root.manifest).collect::<Vec<_>>(),
        (1..=9).map(|n| digest(6, n)).collect::<Vec<_>>()
    );
}

pub fn filters_and_order(make: Make<'_>) {
    let catalog = filled(make);
    run(&catalog, 2, None, S::Done);
    run(&catalog, 3, None, S::Aborted);
    catalog
        .begin_recovery(&RecoveryRecord { workflow_id: wf("other"), ..restore(4, ckpt(1)) }, None, &|_| {
            Beside::default()
        })
        .unwrap();
    let ids = |workflow: Option<&str>, status, limit| {
        let filter = RecoveryFilter { workflow: workflow.map(wf), status };
        catalog.recoveries(&filter, limit).unwrap().into_iter().map(|record| record.recovery_id).collect::<Vec<_>>()
    };
    assert_eq!(ids(None, None, 9), [4, 3, 2].map(rec));
    assert_eq!(ids(None, None, 1), [rec(4)]);
    assert_eq!(ids(Some("wf"), None, 9), [3, 2].map(rec));
    assert_eq!(ids(Some("wf"), Some(S::Done), 9), [rec(2)]);
    let all = catalog.recoveries(&RecoveryFilter::default(), 9).unwrap();
    assert!(all.iter().any(|record| record.report.is_some()));
    let bare: Vec<RecoveryRecord> = all.into_iter().map(|record| RecoveryRecord { report: None, ..record }).collect();
    assert_eq!(catalog.recoveries_bare(&RecoveryFilter::default(), 9).unwrap(), bare);
}

fn message(id: &str) -> NewMessage {
    NewMessage { message_id: id.into(), kind: "note".into(), answers: None, body: "{}".into(), at: at(70) }
}

pub fn a_hold_and_messages_go_with_a_beginning(make: Make<'_>) {
    let catalog = filled(make);
    let hub = Owner { holder: Holder::Component("hub".into()), label: "hold".into() };
    let mine = Owner { holder: Holder::Component("me".into()), label: "restore".into() };
    let (priority, now) = (Priority::USUAL, at(70));
    let asked = |owner| HoldRequest { key: "workflow:wf", owner, reason: None, priority, now, expires_at: None };
    let before = catalog.acquire_hold(&asked(&hub), &|_| true).unwrap();
    let begin = |number, yields: bool| {
        let taking = Taking { request: asked(&mine), alive: &|_| true, yields: &|_| yields };
        let beside = |preempted: Option<&Hold>| {
            assert_eq!(preempted.map(|hold| hold.token), Some(before));
            Beside { messages: vec![message("m")], operations: vec![op(40, "preempted")], ..Beside::default() }
        };
        catalog.begin_recovery(&restore(number, ckpt(1)), Some(&taking), &beside)
    };
    // Where it is not to be had, nothing of it has happened.
    assert!(matches!(begin(1, false), Err(CatalogError::Held(_))));
    assert_eq!((catalog.unfinished().unwrap(), catalog.messages(9).unwrap().len()), (vec![], 0));
    let acquired = begin(1, true).unwrap().unwrap();
    assert!(acquired.token > before && acquired.preempted.is_some());
    assert_eq!(catalog.operations(1).unwrap()[0].operation, op(40, "preempted"));
    assert_eq!(catalog.messages(9).unwrap()[0].message, message("m"));
    catalog.release_holds(&[("workflow:wf".to_owned(), acquired.token), ("none".to_owned(), before)]).unwrap();
    let again = catalog.hold("workflow:wf").unwrap().unwrap();
    assert_eq!((again.token, again.owner), (before, hub), "what gave way stands again");
    assert!(catalog.release_hold("workflow:wf", before).unwrap());
    assert_eq!(catalog.holds().unwrap(), []);
}

pub fn how_long_recoveries_took(make: Make<'_>) {
    let catalog = filled(make);
    run(&catalog, 1, None, S::Done);
    run(&catalog, 2, None, S::TakenBack);
    let begun = catalog.recovery(&rec(1)).unwrap().unwrap().started_at;
    let length = Duration::from_nanos(u64::try_from(at(77).0 - begun.0).unwrap());
    assert_eq!(catalog.recovery_lengths(RecoveryKind::Restore, 9).unwrap(), [length]);
    assert_eq!(catalog.recovery_lengths(RecoveryKind::Undo, 9).unwrap(), []);
    assert_eq!(catalog.recovery_rates(RecoveryKind::Restore, &rec(9), 9).unwrap(), [], "it did nothing");
    catalog.begin_recovery(&restore(3, ckpt(1)), None, &|_| Beside::default()).unwrap();
    let step = StepReport { path: "a".parse().unwrap(), action: Action::Replace, end: StepEnd::Done };
    let report = ApplyReport { changed: vec![step.clone(), step], ..ApplyReport::default() };
    let ended = RecoveryEnd { report: Some(report), ..end(S::Done) };
    catalog.finish_recovery(&rec(3), &ended, &op(300, "restore"), &|| Ok(Beside::default())).unwrap();
    assert_eq!(catalog.recovery_rates(RecoveryKind::Restore, &rec(9), 9).unwrap()[0].steps, 2);
    assert_eq!(catalog.recovery_rates(RecoveryKind::Restore, &rec(3), 9).unwrap(), []);
}
