//! Files: which are opened, which refused, with which rights, and reading where nothing can be written.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rusqlite::Connection;
use wfr_catalog::{Catalog, CatalogError, ListQuery};
use wfr_model::checkpoint::VerificationStatus;

use crate::sample::{add, at, identity, make, op, wf};

/// Runs statements on the file as another program would.
fn tamper(path: &Path, sql: &str) -> rusqlite::Result<()> {
    Connection::open(path).unwrap().execute_batch(sql)
}

/// What both ways of opening say.
fn both(path: &Path) -> [CatalogError; 2] {
    [Catalog::open(path).unwrap_err(), Catalog::open_read_only(path).unwrap_err()]
}

#[test]
fn a_catalog_is_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    assert!(both(&path).iter().all(|error| matches!(error, CatalogError::Absent(_))));
    assert!(!path.exists());
    drop(make(dir.path()));
    assert!(matches!(Catalog::create(&path, &identity()), Err(CatalogError::Exists(_))));
    assert_eq!(Catalog::open(&path).unwrap().identity().unwrap(), identity());
    let nowhere = dir.path().join("none/catalog.db");
    assert!(matches!(Catalog::create(&nowhere, &identity()), Err(CatalogError::Io { .. })));
}

#[test]
fn a_log_does_not_grow_from_process_to_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    drop(make(dir.path()));
    let mut longest = 0;
    for number in 0..400 {
        // Opened anew each time, as by one command after the other.
        let catalog = Catalog::open(&path).unwrap();
        catalog.set_workspace(Path::new("/elsewhere"), &op(number, "move")).unwrap();
        drop(catalog);
        longest = longest.max(fs::metadata(dir.path().join("catalog.db-wal")).unwrap().len());
    }
    assert!((100_000..2_000_000).contains(&longest), "{longest}");
}

#[test]
fn a_making_that_was_cut_off_is_completed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    fs::write(&path, b"").unwrap();
    assert!(both(&path).iter().all(|error| matches!(error, CatalogError::Absent(_))));
    tamper(&path, "PRAGMA journal_mode = WAL").unwrap();
    assert!(both(&path).iter().all(|error| matches!(error, CatalogError::Absent(_))));
    drop(make(dir.path()));
    Catalog::open(&path).unwrap();
}

#[test]
fn other_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let foreign = dir.path().join("foreign.db");
    tamper(&foreign, "CREATE TABLE songs (title TEXT)").unwrap();
    assert!(both(&foreign).iter().all(|error| matches!(error, CatalogError::Foreign { .. })));
    assert!(matches!(
        Catalog::create(&foreign, &identity()),
        Err(CatalogError::Exists(_) | CatalogError::Foreign { .. })
    ));
    let text = dir.path().join("text.db");
    fs::write(&text, "no database at all ".repeat(100)).unwrap();
    assert!(both(&text).iter().all(|error| matches!(error, CatalogError::Corrupt { .. })));
    drop(make(dir.path()));
    let path = dir.path().join("catalog.db");
    tamper(&path, "PRAGMA user_version = 0").unwrap();
    assert!(both(&path).iter().all(|error| matches!(error, CatalogError::Foreign { .. })));
    tamper(&path, "PRAGMA user_version = 1000").unwrap();
    for error in both(&path) {
        assert!(matches!(error, CatalogError::FutureFormat { found: 1000, .. }));
        assert_eq!(error.to_string(), "the catalog has format 1000, this program reads formats 1 to 10");
    }
}

#[test]
fn every_file_is_the_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = make(dir.path());
    add(&catalog, 1, |_| {});
    let mut seen = 0;
    for entry in fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
        seen += 1;
    }
    assert_eq!(seen, 3);
}

#[test]
fn a_reader_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    add(&make(dir.path()), 1, |_| {});
    let bytes = |name: &str| fs::read(dir.path().join(name)).unwrap();
    let before = [bytes("catalog.db"), bytes("catalog.db-wal")];
    let reader = Catalog::open_read_only(&path).unwrap();
    assert_eq!(reader.list(&ListQuery::default()).unwrap().len(), 1);
    assert!(matches!(reader.register_workflow(&wf("new"), at(1)), Err(CatalogError::ReadOnly { .. })));
    // A writer goes on beside it, and the reader sees what it commits.
    add(&Catalog::open(&path).unwrap(), 2, |_| {});
    assert_eq!(reader.list(&ListQuery::default()).unwrap().len(), 2);
    drop(reader);
    assert_eq!(bytes("catalog.db"), before[0]);
    assert!(bytes("catalog.db-wal").starts_with(&before[1]));
}

#[test]
fn it_is_read_without_shared_memory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    add(&make(dir.path()), 1, |_| {});
    // A link in its place, which SQLite does not follow, stands for whatever keeps it from making the file.
    fs::remove_file(dir.path().join("catalog.db-shm")).unwrap();
    std::os::unix::fs::symlink("nowhere", dir.path().join("catalog.db-shm")).unwrap();
    assert!(Catalog::open(&path).is_err());
    let reader = Catalog::open_read_only(&path).unwrap();
    assert_eq!(reader.resolve(None, "latest").unwrap().name, "name_1");
    assert!(matches!(reader.record_operation(&op(9, "x")), Err(CatalogError::ReadOnly { .. })));
}

#[test]
fn a_path_is_never_a_uri() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file:odd?mode=memory#%41.db");
    drop(Catalog::create(&path, &identity()).unwrap());
    assert!(path.exists());
    Catalog::open_read_only(&path).unwrap();
}

#[test]
fn the_file_itself_keeps_what_must_stay() {
    let dir = tempfile::tempdir().unwrap();
    add(&make(dir.path()), 1, |_| {});
    let path = dir.path().join("catalog.db");
    for sql in [
        "UPDATE operations SET actor = 'nobody'",
        "DELETE FROM operations",
        "DELETE FROM checkpoints",
        "UPDATE checkpoints SET manifest = x'00'",
        "UPDATE checkpoints SET total = -1",
        "INSERT INTO vault SELECT 2, vault_id, workspace, created_at, encrypted, 0, 0 FROM vault",
    ] {
        assert!(tamper(&path, sql).is_err(), "{sql}");
    }
    assert_eq!(Catalog::open(&path).unwrap().operations(9).unwrap().len(), 1);
}

#[test]
fn the_log_can_be_emptied() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = make(dir.path());
    add(&catalog, 1, |_| {});
    let log = dir.path().join("catalog.db-wal");
    assert!(fs::metadata(&log).unwrap().len() > 0);
    assert!(catalog.checkpoint_wal().unwrap());
    assert_eq!(fs::metadata(&log).unwrap().len(), 0);
    assert_eq!(Catalog::open(&dir.path().join("catalog.db")).unwrap().resolve(None, "latest").unwrap().name, "name_1");
}

#[test]
fn a_value_that_is_none_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = make(dir.path());
    add(&catalog, 1, |_| {});
    let list = || catalog.list(&ListQuery::default());
    tamper(&dir.path().join("catalog.db"), "UPDATE checkpoints SET verification = 'perfect'").unwrap();
    assert_eq!(list().unwrap()[0].verification, VerificationStatus::Unknown, "a check that says nothing is none");
    tamper(&dir.path().join("catalog.db"), "UPDATE checkpoints SET checkpoint_type = 'perfect'").unwrap();
    assert!(matches!(list(), Err(CatalogError::Corrupt { .. })));
}
