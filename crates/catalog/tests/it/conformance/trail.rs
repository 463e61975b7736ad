//! The audit trail and the vault's identity.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde_json::json;
use wfr_catalog::{Catalog, IntegrityLevel, NewOperation};

use crate::sample::{add, identity, op, wf};

type Make<'a> = &'a dyn Fn() -> Catalog;

pub fn operations_are_kept_newest_first(make: Make<'_>) {
    let catalog = make();
    add(&catalog, 1, |_| {});
    let full = NewOperation {
        workflow_id: Some(wf("wf")),
        inverse: Some(json!({"undo": ["rec_1", 1.5, null]})),
        result: json!("done"),
        ..op(2, "restore")
    };
    catalog.record_operation(&full).unwrap();
    let trail = catalog.operations(10).unwrap();
    assert_eq!(trail.iter().map(|row| row.operation.clone()).collect::<Vec<_>>(), [full, op(1, "create-checkpoint")]);
    assert!(trail[0].seq > trail[1].seq);
    assert_eq!(catalog.operations(1).unwrap(), trail[..1]);
}

pub fn a_repeated_operation_is_recorded_once(make: Make<'_>) {
    let catalog = make();
    catalog.record_operation(&op(1, "first")).unwrap();
    catalog.record_operation(&op(1, "second")).unwrap();
    let trail = catalog.operations(10).unwrap();
    assert_eq!(trail.iter().map(|row| row.operation.operation.as_str()).collect::<Vec<_>>(), ["first"]);
}

pub fn identity_and_workspace(make: Make<'_>) {
    let catalog = make();
    assert_eq!(catalog.identity().unwrap(), identity());
    let moved = Path::new(std::ffi::OsStr::from_bytes(b"/tmp/\xff odd\nname"));
    catalog.set_workspace(moved, &op(1, "move")).unwrap();
    assert_eq!(catalog.identity().unwrap().workspace, moved);
    for level in [IntegrityLevel::Quick, IntegrityLevel::Full] {
        assert_eq!(catalog.integrity_check(level).unwrap(), [""; 0]);
    }
}
