//! Flipped bits: no panic, no hang, and an error that says what it is, or data that agrees with the manifest or
//! says where it does not.

use std::fs;

use wfr_catalog::{Catalog, CatalogError, IntegrityLevel, ListQuery};
use wfr_model::checkpoint::Predecessor;

use crate::sample::{add, checkpoint, ckpt, digest, make};

const CHECKPOINTS: u64 = 5;

/// The row that the manifest of a checkpoint would make.
fn committed(number: u64) -> wfr_catalog::NewCheckpoint {
    let link = |number| Predecessor { checkpoint_id: ckpt(number), manifest_hash: digest(6, number) };
    wfr_catalog::NewCheckpoint { predecessor: (number > 1).then(|| link(number - 1)), ..checkpoint(number) }
}

#[test]
fn flipped_bits_are_found_or_harmless() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = make(dir.path());
    for number in 1..=CHECKPOINTS {
        add(&catalog, number, |_| {});
    }
    catalog.checkpoint_wal().unwrap();
    drop(catalog);
    let whole = fs::read(dir.path().join("catalog.db")).unwrap();
    let (mut found, mut harmless) = (0, 0);
    for place in (0..whole.len()).step_by(97) {
        let case = tempfile::tempdir().unwrap();
        let path = case.path().join("catalog.db");
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << (place % 8);
        fs::write(&path, bytes).unwrap();
        match examine(&path) {
            Ok(()) => harmless += 1,
            Err(_) => found += 1,
        }
    }
    // Most of a small catalog's pages are free space; what is not must have been found somewhere.
    assert!(found > 20, "{found} found, {harmless} harmless");
}

/// Everything that reads; the reason where something is wrong.
fn examine(path: &std::path::Path) -> Result<(), String> {
    let text = |error: CatalogError| error.to_string();
    let catalog = Catalog::open(path).map_err(text)?;
    let complaints = catalog.integrity_check(IntegrityLevel::Full).map_err(text)?;
    if !complaints.is_empty() {
        return Err(complaints.join("; "));
    }
    catalog.identity().map_err(text)?;
    catalog.operations(100).map_err(text)?;
    catalog.packs().map_err(text)?;
    let rows = catalog.list(&ListQuery::default()).map_err(text)?;
    if rows.len() as u64 != CHECKPOINTS {
        return Err(format!("{} checkpoints", rows.len()));
    }
    for (row, number) in rows.iter().zip(1..) {
        let wrong = row.differences(&committed(number));
        if !wrong.is_empty() {
            return Err(wrong.join(", "));
        }
    }
    Ok(())
}

#[test]
fn truncation_is_found() {
    let dir = tempfile::tempdir().unwrap();
    add(&make(dir.path()), 1, |_| {});
    let path = dir.path().join("catalog.db");
    Catalog::open(&path).unwrap().checkpoint_wal().unwrap();
    let whole = fs::read(&path).unwrap();
    for keep in (0..whole.len()).step_by(1_021) {
        let case = tempfile::tempdir().unwrap();
        let path = case.path().join("catalog.db");
        fs::write(&path, &whole[..keep]).unwrap();
        let opened = Catalog::open(&path).and_then(|catalog| catalog.integrity_check(IntegrityLevel::Full));
        assert!(opened.is_err() || opened.is_ok_and(|found| !found.is_empty()), "{keep} of {} bytes", whole.len());
    }
}

#[test]
fn a_row_that_differs_from_its_manifest_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = make(dir.path());
    add(&catalog, 1, |_| {});
    add(&catalog, 2, |new| new.tags = vec!["a".into(), "a".into()]);
    let row = catalog.checkpoint(&ckpt(2)).unwrap().unwrap();
    let mut manifest = committed(2);
    assert_eq!(row.differences(&manifest), ["tags"]);
    manifest.tags = vec!["a".into(), "a".into()];
    assert_eq!(row.differences(&manifest), [""; 0]);
    (manifest.tree, manifest.complete) = (None, false);
    assert_eq!(row.differences(&manifest), ["tree", "complete"]);
}
