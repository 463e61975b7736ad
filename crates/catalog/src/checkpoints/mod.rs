//! Checkpoints as rows: what the catalog knows of each without opening its manifest.
//!
//! Owns the order of checkpoints (the sequence), the chain's head, and reading rows. Refuses to read manifests: a row
//! is made from one when it is committed, and the manifest stays the record.

mod change;
mod commit;
mod list;
mod roots;
mod row;

use wfr_model::checkpoint::{
    CheckpointType, FileCounts, Manifest, Predecessor, Trigger, VerificationStatus, is_safety,
};
use wfr_model::{CheckpointId, Digest, Timestamp, WorkflowId};

pub(crate) use change::free_name;
pub use change::{Sparing, WhileHeld};
pub(crate) use commit::{Origin, insert};
pub use list::{ListQuery, SortBy};
pub use roots::{ChainLink, Root};
pub(crate) use row::{SELECT, decode};

use crate::events::{EventSeq, Seal};
use crate::ledger::{LedgerSeal, NewPoint, PointSeq};

/// A checkpoint's place in the catalog's order: the newer one has the greater number, whatever clocks said.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Seq(pub i64);

/// The newest checkpoint of the whole vault, deleted ones included: the next manifest's predecessor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// Its place in the order.
    pub seq: Seq,
    /// Its id.
    pub checkpoint_id: CheckpointId,
    /// The SHA-256 of its stored manifest, which is also the manifest's object id.
    pub manifest: Digest,
    /// The tag that authenticates it as the head, where a key was at hand.
    pub tag: Option<Vec<u8>>,
}

impl Head {
    /// The link that the next manifest carries.
    pub fn link(&self) -> Predecessor {
        Predecessor { checkpoint_id: self.checkpoint_id.clone(), manifest_hash: self.manifest }
    }
}

/// A checkpoint to be committed.
#[derive(Clone, PartialEq, Debug)]
pub struct NewCheckpoint {
    /// Its id.
    pub checkpoint_id: CheckpointId,
    /// Whose; registered where it is not known yet.
    pub workflow_id: WorkflowId,
    /// Its name, unique among the workflow's undeleted ones.
    pub name: String,
    /// Its type.
    pub checkpoint_type: CheckpointType,
    /// What caused it.
    pub trigger: Trigger,
    /// When it was taken.
    pub created_at: Timestamp,
    /// The phase's number.
    pub phase_id: Option<i64>,
    /// The phase's name.
    pub phase_name: Option<String>,
    /// The root tree; `None` for state only.
    pub tree: Option<Digest>,
    /// The object of hard links.
    pub hard_links: Option<Digest>,
    /// The object that lists what is not covered.
    pub coverage: Option<Digest>,
    /// The manifest's object, and the SHA-256 of its bytes.
    pub manifest: Digest,
    /// The head that the manifest was built on; `None` for the first.
    pub predecessor: Option<Predecessor>,
    /// Its tags; repeated ones count once.
    pub tags: Vec<String>,
    /// Its own retention policy.
    pub retention: Option<String>,
    /// Whether nothing is missing that should be there.
    pub complete: bool,
    /// Whether it holds files, not state only.
    pub has_files: bool,
    /// What is known of its integrity.
    pub verification: VerificationStatus,
    /// When that was found out.
    pub verified_at: Option<Timestamp>,
    /// Counts over its tree.
    pub files: FileCounts,
    /// Bytes that it added to the store.
    pub size_bytes: u64,
    /// The tag that authenticates it as the head.
    pub head_tag: Option<Vec<u8>>,
    /// The root of the workflow's state; `None` where none was known.
    pub state: Option<Digest>,
    /// Up to which event that is the fold; `None` for one that was taken elsewhere or before.
    pub state_upto: Option<EventSeq>,
    /// The events that it seals.
    pub seals: Vec<Seal>,
    /// The parts of the ledger that it seals; none where there is nothing new of it.
    pub ledger_seals: Vec<LedgerSeal>,
    /// The look at the tree that it is; `None` where nobody keeps the ledger.
    pub point: Option<NewPoint>,
}

impl NewCheckpoint {
    /// The row of a manifest whose stored bytes have the SHA-256 `digest`; no head tag.
    pub fn of(manifest: &Manifest, digest: Digest) -> Self {
        let files = manifest.file_system_state.as_ref();
        Self {
            checkpoint_id: manifest.checkpoint_id.clone(),
            workflow_id: manifest.workflow_id.clone(),
            name: manifest.name.clone(),
            checkpoint_type: manifest.checkpoint_type,
            trigger: manifest.trigger,
            created_at: manifest.created_at,
            phase_id: manifest.phase_id,
            phase_name: manifest.phase_name.clone(),
            tree: files.map(|state| state.tree),
            hard_links: files.and_then(|state| state.hard_links),
            coverage: files.and_then(|state| state.coverage.paths),
            manifest: digest,
            predecessor: manifest.integrity.predecessor.clone(),
            tags: manifest.metadata.tags.clone(),
            retention: manifest.metadata.retention_policy.clone(),
            complete: files.is_none_or(|state| state.coverage.complete),
            has_files: files.is_some(),
            verification: manifest.integrity.verification_status,
            verified_at: manifest.integrity.validation_timestamp,
            files: files.map(|state| state.files).unwrap_or_default(),
            size_bytes: manifest.metadata.size_bytes,
            head_tag: None,
            state: manifest.integrity.state_hash,
            state_upto: None,
            seals: manifest.sealed_events.iter().map(Seal::of).collect(),
            ledger_seals: manifest
                .sealed_ledger
                .iter()
                .map(|seal| LedgerSeal { object: seal.object, upto: PointSeq(seal.upto) })
                .collect(),
            point: None,
        }
    }

    /// The row of a manifest that was made in another vault: the places in its seals are those of that vault's log and
    /// ledger.
    pub fn without_seals(self) -> Self {
        Self { seals: vec![], ledger_seals: vec![], ..self }
    }
}

/// A committed checkpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckpointRow {
    /// Its place in the order.
    pub seq: Seq,
    /// Its id.
    pub checkpoint_id: CheckpointId,
    /// Whose.
    pub workflow_id: WorkflowId,
    /// Its name. Differs from the manifest's only where a rebuild found the name taken.
    pub name: String,
    /// Its type.
    pub checkpoint_type: CheckpointType,
    /// What caused it.
    pub trigger: Trigger,
    /// When it was taken, by the clock of then.
    pub created_at: Timestamp,
    /// The phase's number.
    pub phase_id: Option<i64>,
    /// The phase's name.
    pub phase_name: Option<String>,
    /// The root tree; `None` for state only.
    pub tree: Option<Digest>,
    /// The object of hard links.
    pub hard_links: Option<Digest>,
    /// The object that lists what is not covered.
    pub coverage: Option<Digest>,
    /// The manifest's object, and the SHA-256 of its bytes.
    pub manifest: Digest,
    /// The checkpoint before it in the chain.
    pub predecessor: Option<CheckpointId>,
    /// Its tags, in the order given.
    pub tags: Vec<String>,
    /// Its own retention policy.
    pub retention: Option<String>,
    /// Whether nothing is missing that should be there.
    pub complete: bool,
    /// Whether it holds files, not state only.
    pub has_files: bool,
    /// What is known of its integrity.
    pub verification: VerificationStatus,
    /// When that was found out.
    pub verified_at: Option<Timestamp>,
    /// Counts over its tree.
    pub files: FileCounts,
    /// Bytes that it added to the store.
    pub size_bytes: u64,
    /// Whether a rebuild or an import brought it, so that its place in the chain is not proved.
    pub recovered: bool,
    /// When it was deleted; its files may be gone.
    pub deleted_at: Option<Timestamp>,
    /// The root of the workflow's state; `None` where none was known.
    pub state: Option<Digest>,
}

impl CheckpointRow {
    /// Whether it can be restored as far as the catalog knows: complete, with files, neither damaged nor deleted.
    pub fn is_sound(&self) -> bool {
        self.complete && self.has_files && !self.is_damaged() && self.deleted_at.is_none()
    }

    /// Whether a validation found it damaged.
    pub fn is_damaged(&self) -> bool {
        matches!(self.verification, VerificationStatus::Invalid | VerificationStatus::Corrupted)
    }

    /// Whether a recovery took it, to save the tree before it was changed.
    pub fn is_safety(&self) -> bool {
        is_safety(self.checkpoint_type, self.trigger, &self.tags)
    }

    /// The fields that do not say what the manifest says, given the row that the manifest would make; empty where
    /// all do. What may change after the commit (verification, and the name of a recovered one) is not compared.
    pub fn differences(&self, manifest: &NewCheckpoint) -> Vec<&'static str> {
        let predecessor = manifest.predecessor.as_ref().map(|link| &link.checkpoint_id);
        let pairs = [
            ("checkpoint_id", self.checkpoint_id == manifest.checkpoint_id),
            ("workflow_id", self.workflow_id == manifest.workflow_id),
            ("name", self.recovered || self.name == manifest.name),
            ("checkpoint_type", self.checkpoint_type == manifest.checkpoint_type),
            ("trigger", self.trigger == manifest.trigger),
            ("created_at", self.created_at == manifest.created_at),
            ("phase_id", self.phase_id == manifest.phase_id),
            ("phase_name", self.phase_name == manifest.phase_name),
            ("tree", self.tree == manifest.tree),
            ("hard_links", self.hard_links == manifest.hard_links),
            ("coverage", self.coverage == manifest.coverage),
            ("manifest", self.manifest == manifest.manifest),
            ("predecessor", self.predecessor.as_ref() == predecessor),
            ("tags", self.tags == commit::distinct(&manifest.tags)),
            ("retention_policy", self.retention == manifest.retention),
            ("complete", self.complete == manifest.complete),
            ("has_files", self.has_files == manifest.has_files),
            ("files", self.files == manifest.files),
            ("size_bytes", self.size_bytes == manifest.size_bytes),
            ("state", self.state == manifest.state),
        ];
        pairs.into_iter().filter(|(_, agrees)| !agrees).map(|(field, _)| field).collect()
    }
}
