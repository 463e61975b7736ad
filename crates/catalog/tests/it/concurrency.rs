//! Several connections at once: nothing acknowledged is lost, and the order is one.

use std::path::Path;
use std::sync::Barrier;

use wfr_catalog::{Catalog, CatalogError, HoldRequest, Holder, IntegrityLevel, NewCheckpoint, Owner};
use wfr_model::message::Priority;

use crate::sample::{at, checkpoint, make, op, pack};

const WRITERS: u64 = 8;
const COMMITS: u64 = 50;

/// Commits on the head until the head stood still; returns how often it had moved.
fn commit_at_last(catalog: &Catalog, number: u64) -> u64 {
    for moved in 0.. {
        let predecessor = catalog.head().unwrap().map(|head| head.link());
        let new = NewCheckpoint { predecessor, ..checkpoint(number) };
        match catalog.commit_checkpoint(&new, &[(pack(number % WRITERS), number)], &op(number, "create-checkpoint")) {
            Ok(_) => return moved,
            Err(CatalogError::HeadMoved { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    unreachable!("the loop is endless")
}

fn in_threads<T: Send>(path: &Path, work: impl Fn(u64, &Catalog) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(WRITERS as usize);
    std::thread::scope(|scope| {
        let (start, work) = (&start, &work);
        let run = move |thread| {
            let catalog = Catalog::open(path).unwrap();
            start.wait();
            work(thread, &catalog)
        };
        let threads: Vec<_> = (0..WRITERS).map(|thread| scope.spawn(move || run(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn every_acknowledged_commit_is_there_in_one_chain() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = make(dir.path());
    in_threads(&dir.path().join("catalog.db"), |thread, catalog| {
        for round in 0..COMMITS {
            commit_at_last(catalog, 1 + round * WRITERS + thread);
        }
    });
    let chain = catalog.chain().unwrap();
    assert_eq!(chain.len() as u64, WRITERS * COMMITS);
    assert!(chain.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    assert!(chain.windows(2).all(|pair| pair[1].predecessor.as_ref() == Some(&pair[0].checkpoint_id)));
    let ids: std::collections::HashSet<_> = chain.iter().map(|link| &link.checkpoint_id).collect();
    assert_eq!(ids.len(), chain.len());
    assert_eq!(catalog.operations(1_000).unwrap().len(), chain.len());
    let lengths: Vec<_> = catalog.packs().unwrap().into_iter().map(|row| row.committed_len).collect();
    assert_eq!(lengths, [400, 393, 394, 395, 396, 397, 398, 399]);
    assert_eq!(catalog.integrity_check(IntegrityLevel::Full).unwrap(), [""; 0]);
}

#[test]
fn one_of_many_gets_a_name_and_one_a_hold() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = make(dir.path());
    let won = in_threads(&dir.path().join("catalog.db"), |thread, catalog| {
        let holder = Holder::Process { pid: thread as u32, start_ticks: 1, boot_id: "b".into() };
        let owner = Owner { holder, label: "test".into() };
        let request = HoldRequest {
            key: "workspace",
            owner: &owner,
            reason: None,
            priority: Priority::USUAL,
            now: at(1),
            expires_at: None,
        };
        let held = catalog.acquire_hold(&request, &|_| true).is_ok();
        let named = loop {
            let predecessor = catalog.head().unwrap().map(|head| head.link());
            let new = NewCheckpoint { predecessor, name: "base".into(), ..checkpoint(thread) };
            match catalog.commit_checkpoint(&new, &[], &op(thread, "create-checkpoint")) {
                Ok(_) => break true,
                Err(CatalogError::NameTaken { .. }) => break false,
                Err(CatalogError::HeadMoved { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        };
        (held, named)
    });
    assert_eq!(won.iter().filter(|(held, _)| *held).count(), 1);
    assert_eq!(won.iter().filter(|(_, named)| *named).count(), 1);
    assert_eq!(catalog.chain().unwrap().len(), 1);
}

#[test]
fn of_two_makers_one_makes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    let start = Barrier::new(4);
    let made: usize = std::thread::scope(|scope| {
        let make = || {
            start.wait();
            match Catalog::create(&path, &crate::sample::identity()) {
                Ok(_) => 1,
                Err(CatalogError::Exists(_) | CatalogError::Busy { .. }) => 0,
                Err(other) => panic!("{other}: {:?}", std::error::Error::source(&other)),
            }
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(made, 1);
    assert_eq!(Catalog::open(&path).unwrap().identity().unwrap(), crate::sample::identity());
}

#[test]
fn events_of_many_publishers_come_in_one_order_and_none_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = make(dir.path());
    let acknowledged = in_threads(&dir.path().join("catalog.db"), |thread, catalog| {
        let publish = |round: u64| {
            let line = format!(r#"TASK_STARTED:wf:1:{{"task_id":"t{}","agent_id":"a{thread}"}}"#, round % 7);
            let draft = wfr_model::event::Draft::read(&line).unwrap();
            let event = draft.complete(|| format!("evt_{thread}_{round}").parse().unwrap(), at(1), "tester");
            match catalog.append_events(&[event], at(1)).unwrap()[..] {
                [wfr_catalog::Appended::New { seq, .. }] => seq,
                _ => panic!("it is new"),
            }
        };
        (0..COMMITS).map(publish).collect::<Vec<_>>()
    });
    assert!(acknowledged.iter().all(|seqs| seqs.windows(2).all(|pair| pair[0] < pair[1])));
    let mut all: Vec<_> = acknowledged.into_iter().flatten().collect();
    all.sort();
    let rows = catalog.events(&wfr_catalog::EventQuery::default()).unwrap();
    assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), all);
    assert_eq!(all.len() as u64, WRITERS * COMMITS);
    let state = catalog.state(&"wf".parse().unwrap()).unwrap().unwrap();
    assert_eq!((state.head.state_version, state.head.tasks_known), (WRITERS * COMMITS, 7));
}
