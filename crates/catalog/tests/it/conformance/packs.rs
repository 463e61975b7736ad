//! Committed lengths, tombstones, generations.

use wfr_catalog::{Catalog, CatalogError, Generation, PackState};

use crate::sample::{checkpoint, op, pack};

type Make<'a> = &'a dyn Fn() -> Catalog;

fn states(catalog: &Catalog) -> Vec<(u64, Option<i64>)> {
    let state = |state| match state {
        PackState::Live => None,
        PackState::Tombstone(Generation(number)) => Some(number),
    };
    catalog.packs().unwrap().into_iter().map(|row| (row.committed_len, state(row.state))).collect()
}

pub fn lengths_never_shrink(make: Make<'_>) {
    let catalog = make();
    assert_eq!(catalog.pack_committed(&pack(1)).unwrap(), None);
    catalog.replace_packs(&[(pack(1), 500), (pack(2), 0)], &[]).unwrap();
    catalog.commit_checkpoint(&checkpoint(1), &[(pack(1), 400), (pack(2), 9)], &op(1, "x")).unwrap();
    assert_eq!(states(&catalog), [(500, None), (9, None)]);
}

pub fn tombstones_have_generations(make: Make<'_>) {
    let catalog = make();
    catalog.replace_packs(&[(pack(1), 1), (pack(2), 2), (pack(3), 3)], &[]).unwrap();
    let first = catalog.tombstone_packs(&[pack(1)]).unwrap();
    let second = catalog.tombstone_packs(&[pack(1), pack(2)]).unwrap();
    assert!(first < second);
    assert_eq!(catalog.generation().unwrap(), second);
    assert_eq!(states(&catalog), [(1, Some(first.0)), (2, Some(second.0)), (3, None)]);
    catalog.revive_packs(&[pack(1)]).unwrap();
    assert_eq!(states(&catalog), [(1, None), (2, Some(second.0)), (3, None)]);
    // A live pack is never forgotten, and a refusal forgets nothing.
    let refused = catalog.forget_packs(&[pack(2), pack(3)]).unwrap_err();
    assert!(matches!(refused, CatalogError::NotFound { what: "pack", .. }), "{refused}");
    assert_eq!(catalog.packs().unwrap().len(), 3);
    catalog.forget_packs(&[pack(2)]).unwrap();
    assert_eq!(catalog.pack_committed(&pack(2)).unwrap(), None);
    // What is committed into a tombstoned pack brings it back.
    catalog.tombstone_packs(&[pack(3)]).unwrap();
    catalog.commit_checkpoint(&checkpoint(1), &[(pack(3), 30)], &op(1, "x")).unwrap();
    assert_eq!(states(&catalog), [(1, None), (30, None)]);
}

pub fn packs_are_replaced_in_one_step(make: Make<'_>) {
    let catalog = make();
    catalog.replace_packs(&[(pack(1), 10)], &[]).unwrap();
    let before = catalog.generation().unwrap();
    catalog.replace_packs(&[(pack(2), 8)], &[pack(1), pack(9)]).unwrap_err();
    assert_eq!((states(&catalog), catalog.generation().unwrap()), (vec![(10, None)], before));
    let after = catalog.replace_packs(&[(pack(2), 8)], &[pack(1)]).unwrap();
    assert_eq!(states(&catalog), [(10, Some(after.0)), (8, None)]);
}
