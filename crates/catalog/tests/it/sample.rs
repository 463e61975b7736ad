//! Values for tests: ids by number, checkpoints built on a head, operations.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wfr_catalog::{Catalog, CatalogError, NewCheckpoint, NewOperation, Seq, VaultIdentity};
use wfr_model::checkpoint::{CheckpointType, FileCounts, Trigger, VerificationStatus};
use wfr_model::recovery::{RecoveryKind, RecoveryRecord, RecoveryStatus};
use wfr_model::{CheckpointId, Digest, PackId, RecoveryId, Timestamp, WorkflowId};

pub const SECOND: i64 = 1_000_000_000;

pub fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * SECOND)
}

pub fn wf(name: &str) -> WorkflowId {
    name.parse().unwrap()
}

pub fn ckpt(number: u64) -> CheckpointId {
    format!("ckpt_{number:032x}").parse().unwrap()
}

pub fn rec(number: u64) -> RecoveryId {
    format!("rec_{number:032x}").parse().unwrap()
}

pub fn pack(number: u64) -> PackId {
    format!("{number:032x}").parse().unwrap()
}

/// A digest that names an object of a kind: no two kinds and numbers share one.
pub fn digest(kind: u8, number: u64) -> Digest {
    let mut bytes = [kind; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Digest(bytes)
}

pub fn identity() -> VaultIdentity {
    VaultIdentity {
        vault_id: "0123456789abcdef0123456789abcdef".into(),
        workspace: PathBuf::from("/project/tree"),
        created_at: at(1),
        encrypted: false,
    }
}

pub fn make(dir: &Path) -> Catalog {
    Catalog::create(&dir.join("catalog.db"), &identity()).unwrap()
}

pub fn op(number: u64, name: &str) -> NewOperation {
    NewOperation {
        operation_id: format!("op_{number:032x}").parse().unwrap(),
        operation: name.to_owned(),
        actor: "tester".into(),
        at: at(100 + number as i64),
        workflow_id: None,
        parameters: json!({"n": number}),
        inverse: None,
        result: Value::Null,
    }
}

/// A whole manual checkpoint of `wf` that has no predecessor.
pub fn checkpoint(number: u64) -> NewCheckpoint {
    NewCheckpoint {
        checkpoint_id: ckpt(number),
        workflow_id: wf("wf"),
        name: format!("name_{number}"),
        checkpoint_type: CheckpointType::Manual,
        trigger: Trigger::Manual,
        created_at: at(1_000 + number as i64),
        phase_id: None,
        phase_name: None,
        tree: Some(digest(3, number)),
        hard_links: None,
        coverage: Some(digest(5, number)),
        manifest: digest(6, number),
        predecessor: None,
        tags: vec![],
        retention: None,
        complete: true,
        has_files: true,
        verification: VerificationStatus::Unknown,
        verified_at: None,
        files: FileCounts { total: number, ..FileCounts::default() },
        size_bytes: 10 * number,
        head_tag: None,
        state: None,
        state_upto: None,
        seals: vec![],
        ledger_seals: vec![],
        point: None,
    }
}

/// Commits a checkpoint on whatever the head is.
pub fn commit(catalog: &Catalog, mut new: NewCheckpoint, number: u64) -> Result<Seq, CatalogError> {
    new.predecessor = catalog.head().unwrap().map(|head| head.link());
    catalog.commit_checkpoint(&new, &[(pack(1), 100 * number)], &op(number, "create-checkpoint"))
}

/// Commits `checkpoint(number)` after `change` has been made to it.
pub fn add(catalog: &Catalog, number: u64, change: impl FnOnce(&mut NewCheckpoint)) -> CheckpointId {
    let mut new = checkpoint(number);
    change(&mut new);
    commit(catalog, new, number).unwrap();
    ckpt(number)
}

/// A restore of `wf` that begins.
pub fn restore(number: u64, target: CheckpointId) -> RecoveryRecord {
    RecoveryRecord {
        recovery_id: rec(number),
        kind: RecoveryKind::Restore,
        workflow_id: wf("wf"),
        target,
        safety_checkpoint: None,
        status: RecoveryStatus::Started,
        actor: "tester".into(),
        parameters: json!({"yes": true}),
        undoes: None,
        undone_by: None,
        started_at: at(number as i64),
        ended_at: None,
        report: None,
    }
}
