//! Rows that a rebuild or an import brings.

use wfr_catalog::{Beside, Catalog, CatalogError, NewCheckpoint};
use wfr_model::checkpoint::Predecessor;
use wfr_model::recovery::RecoveryStatus;

use crate::sample::{add, at, checkpoint, ckpt, digest, op, pack, rec, restore};

type Make<'a> = &'a dyn Fn() -> Catalog;

pub fn rows_come_back_marked(make: Make<'_>) {
    let catalog = make();
    let link = |number| Some(Predecessor { checkpoint_id: ckpt(number), manifest_hash: digest(6, number) });
    let found = [checkpoint(1), NewCheckpoint { predecessor: link(1), tags: vec!["t".into()], ..checkpoint(2) }];
    let first = catalog.insert_recovered(&found, &[(pack(1), 77)], &op(1, "doctor")).unwrap();
    assert_eq!(first.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["name_1", "name_2"]);
    assert!(first[0].seq < first[1].seq);
    let row = catalog.checkpoint(&ckpt(2)).unwrap().unwrap();
    assert_eq!((row.recovered, row.predecessor, row.tags), (true, Some(ckpt(1)), vec!["t".to_owned()]));
    assert_eq!(catalog.pack_committed(&pack(1)).unwrap(), Some(77));
    // Once more changes nothing; another manifest under a known id is refused, whatever comes with it.
    assert_eq!(catalog.insert_recovered(&found, &[], &op(2, "doctor")).unwrap(), []);
    let forged = [checkpoint(3), NewCheckpoint { manifest: digest(6, 99), ..checkpoint(1) }];
    let refused = catalog.insert_recovered(&forged, &[], &op(3, "doctor")).unwrap_err();
    assert!(matches!(refused, CatalogError::IdTaken { .. }), "{refused}");
    assert_eq!(catalog.checkpoint(&ckpt(3)).unwrap(), None);
    // Work goes on behind what came back.
    add(&catalog, 4, |_| {});
    let row = catalog.checkpoint(&ckpt(4)).unwrap().unwrap();
    assert_eq!((row.recovered, row.predecessor), (false, Some(ckpt(2))));
}

pub fn names_that_clash_are_numbered(make: Make<'_>) {
    let catalog = make();
    let named = |number| NewCheckpoint { name: "base".into(), ..checkpoint(number) };
    let names = catalog.insert_recovered(&[named(1), named(2), named(3)], &[], &op(1, "doctor")).unwrap();
    assert_eq!(names.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["base", "base_2", "base_3"]);
    assert_eq!(catalog.resolve(None, "base_3").unwrap().checkpoint_id, ckpt(3));
}

pub fn recoveries_come_back(make: Make<'_>) {
    let catalog = make();
    let mut record = restore(1, ckpt(404));
    record.safety_checkpoint = Some(ckpt(405));
    assert!(catalog.insert_recovered_recovery(&record).unwrap());
    assert!(!catalog.insert_recovered_recovery(&record).unwrap());
    assert_eq!(catalog.unfinished().unwrap(), [record]);
    let end = wfr_catalog::RecoveryEnd { status: RecoveryStatus::Done, report: None, ended_at: at(9) };
    catalog.finish_recovery(&rec(1), &end, &op(1, "resume"), &|| Ok(Beside::default())).unwrap();
    assert_eq!(catalog.latest_undoable(None, &|_| true).unwrap().unwrap().recovery_id, rec(1));
}
