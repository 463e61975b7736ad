//! The parameters of every operation: one struct each, from which flags, help, schemas and validation all come.
//!
//! Owns the keys, their defaults and their one-line explanations, which are what `--help` prints. Refuses to act on
//! them. A key that the reference's examples use is here, and so are the words that may stand before the flags:
//! [`crate::operation::Definition::POSITIONALS`] names which key takes which word.

pub mod attaching;
pub mod changes;
pub mod checkpoints;
pub mod coordination;
pub mod executing;
pub mod following;
pub mod hooking;
pub mod intake;
pub mod lasting;
pub mod recoveries;
pub mod restoration;
pub mod states;
pub mod steps;
pub mod strategy;
pub mod values;
pub mod workspace;

pub use attaching::{Attach, Detach};
pub use changes::{
    Blame, ChangeAction, ChangeWork, ConflictResolution, Dependents, Log, PreservationRules, Preserved, Rollback,
    RollbackScope, WatchAction, WatchTree, Who,
};
pub use checkpoints::{
    Cat, CleanupCheckpoints, CreateCheckpoint, Diff, DiffFormat, Guard, ListCheckpoints, Show, SortBy,
    ValidateCheckpoint, ValidationLevel,
};
pub use coordination::{
    Allocate, AutoRelease, CheckConflicts, HoldResources, Holds, Outbox, OutboxAction, RecoveryState,
    RecoveryStatusUpdate, Release, Request, Upkeep,
};
pub use executing::Exec;
pub use following::{FollowStatus, Graph, GraphFormat, ListEvents, ListWorkflows};
pub use hooking::Hook;
pub use intake::{GetState, HandleError, Initialize, RecordEvent, RecordMetrics, StateShape, UpdateState};
pub use lasting::{BackupState, BackupType, DocumentFormat, Export, Import, ImportFrom, Metadata};
pub use recoveries::{
    Checks, Component, Consent, EmergencyRestore, ErrorHandling, OnDamage, PartialRestore, Priority, Recoveries,
    RestorationMode, Restore, Resume, Rules, Undo, ValidationConfig, patience,
};
pub use restoration::{StateRestoration, contradiction};
pub use states::{MergeStates, RepairState, ValidateState, ValidationDepth};
pub use steps::Steps;
pub use strategy::{Affected, ConflictRules, DependencyConflicts, Required, Resolution, StateConflicts, Strategy};
pub use values::{HostPath, On, OneOrMany, PathAndFile, Phase, RetentionPolicy};
pub use workspace::{Completions, Config, Demo, Doctor, Init, Man, Mcp, Schema, Shell};
