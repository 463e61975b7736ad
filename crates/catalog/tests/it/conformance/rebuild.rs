//! Rows that a rebuild or an import brings.

use wfr_catalog::{Beside, Brought, Catalog, CatalogError, Import, NewCheckpoint};
use wfr_model::checkpoint::Predecessor;
use wfr_model::recovery::RecoveryStatus;

use crate::sample::{add, at, checkpoint, ckpt, digest, op, pack, rec, restore};

type Make<'a> = &'a dyn Fn() -> Catalog;

pub fn rows_come_back_marked(make: Make<'_>) {
    let catalog = make();
    let link = |number| Some(Predecessor { checkpoint_id: ckpt(number), manifest_hash: digest(6, number) });
    let found = [checkpoint(1), NewCheckpoint { predecessor: link(1), tags: vec!["t".into()], ..checkpoint(2) }];
    let first = catalog.insert_recovered(&found, Brought::default(), &[(pack(1), 77)], &op(1, "doctor")).unwrap();
    assert_eq!(first.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["name_1", "name_2"]);
    assert!(first[0].seq < first[1].seq);
    let row = catalog.checkpoint(&ckpt(2)).unwrap().unwrap();
    assert_eq!((row.recovered, row.predecessor, row.tags), (true, Some(ckpt(1)), vec!["t".to_owned()]));
    assert_eq!(catalog.pack_committed(&pack(1)).unwrap(), Some(77));
    // Once more changes nothing; another manifest under a known id is refused, whatever comes with it.
    assert_eq!(catalog.insert_recovered(&found, Brought::default(), &[], &op(2, "doctor")).unwrap(), []);
    let forged = [checkpoint(3), NewCheckpoint { manifest: digest(6, 99), ..checkpoint(1) }];
    let refused = catalog.insert_recovered(&forged, Brought::default(), &[], &op(3, "doctor")).unwrap_err();
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
    let names =
        catalog.insert_recovered(&[named(1), named(2), named(3)], Brought::default(), &[], &op(1, "doctor")).unwrap();
    assert_eq!(names.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["base", "base_2", "base_3"]);
    assert_eq!(catalog.resolve(None, "base_3").unwrap().checkpoint_id, ckpt(3));
}

pub fn what_was_imported_stands_before_all(make: Make<'_>) {
    let catalog = make();
    add(&catalog, 1, |_| {});
    let import = |place, number| Import { object: digest(9, number), place, checkpoints: 1, seals: vec![] };
    let place = catalog.place_of_import(1).unwrap();
    let first = import(place, 1);
    catalog.insert_imported(&[checkpoint(2)], Some(&first), &[], &op(1, "import")).unwrap();
    // A mark that another import overtook brings nothing in, nor one that names what is known as new.
    for (late, mark) in [(3, import(place, 2)), (2, import(catalog.place_of_import(1).unwrap(), 2))] {
        let moved = catalog.insert_imported(&[checkpoint(late)], Some(&mark), &[], &op(2, "import")).unwrap_err();
        assert!(matches!(moved, CatalogError::HeadMoved { .. }), "{moved}");
    }
    let none = catalog.insert_imported(&[checkpoint(3)], None, &[], &op(2, "import")).unwrap_err();
    assert!(matches!(none, CatalogError::HeadMoved { .. }), "{none}");
    assert_eq!((catalog.checkpoint(&ckpt(3)).unwrap(), catalog.imports().unwrap()), (None, vec![first.object]));
    assert_eq!(catalog.insert_imported(&[checkpoint(2)], None, &[], &op(2, "import")).unwrap(), []);
    let brought = Brought { checkpoints: &[checkpoint(5)], imports: &[import(place, 3)] };
    catalog.insert_recovered(&[checkpoint(4)], brought, &[], &op(3, "doctor")).unwrap();
    let order: Vec<_> = catalog.chain().unwrap().into_iter().map(|link| link.checkpoint_id).collect();
    assert_eq!(order, [ckpt(5), ckpt(2), ckpt(1), ckpt(4)]);
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
