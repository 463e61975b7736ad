//! The results of every operation: one struct each, as it stands in `result` of a response.
//!
//! Owns field names. Refuses to compute and to render them. What is not known is `null`; a check that did not run says
//! `skipped`.

pub mod attaching;
pub mod changes;
pub mod checkpoints;
pub mod coordination;
pub mod executing;
pub mod following;
pub mod hooking;
pub mod intake;
pub mod recoveries;
pub mod states;
pub mod workspace;
pub mod writers;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wfr_model::finding::Finding;

pub use attaching::{AttachedEntry, AttachedFile, Attachment, ClientLine, FileBecame, SessionLine};
pub use changes::{
    Blamed, BlamedLines, ChangeDone, ChangeLine, ChangeLog, OthersPaths, PathChange, PathHistory, WatchView,
};
pub use checkpoints::{
    Change, ChangeKind, CheckpointCreated, CheckpointLine, CheckpointList, CheckpointShown, Cleanup, Compared,
    CoverageResult, Damage, Differences, Encoding, Fault, FileContent, Guarded, LineMetadata, Listed, NotLookedAt, Pin,
    Side, Validation,
};
pub use coordination::{
    AllocationLine, Allotted, Answered, ConflictLine, Conflicting, HoldLine, HoldList, HoldPlaced, LetterLine,
    OutboxView, Released, SinkLine, StatusTaken, UpkeepDone,
};
pub use executing::Executing;
pub use following::{
    AgentLine, CurrentPhase, DependencyGraph, EventList, ExternalDependencies, GraphEdge, GraphNode, GraphShown,
    LastCheckpoint, NodeKind, PhaseLine, Resources, StatusDocument, StatusShown, TaskLine, WorkflowLine, WorkflowList,
};
pub use hooking::Hooked;
pub use intake::{
    ErrorHandled, EventLine, EventsRecorded, IgnoredMessage, OddEvent, PolicyCheckpoint, RefusedMessage, StateShown,
    StateUpdated,
};
pub use recoveries::{
    AffectedComponents, CompletedTask, ConflictPolicies, DamagedRecovery, Dependent, LayerResults, MovedHead,
    PathPatch, PlanResult, PreservedParts, Recovered, RecoveryLine, RecoveryList, Resumed, ResumedRecovery,
    RollbackStrategy, Standing, StateChanges, StateNames, StrategyStep, Unsound, ValidationRequirements,
    ValidationResults,
};
pub use states::{
    LeftOut, LostRow, MergePlan, RepairPlan, StateChecks, StateFigures, StateMerge, StateNeed, StateRepair,
    StateValidation,
};
pub use workspace::{
    Backup, Became, ConfigKey, ConfigView, Diagnosis, Exported, FileSystemReport, IgnoredPart, Imported,
    ImportedWorkflow, Initialised, MetadataWritten, OperationSchemas, Schemas, Text,
};
pub use writers::WriterLine;

/// What goes with a refusal: the plan that nobody has agreed to, or that something stands in the way of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Refused<P> {
    /// The plan.
    pub plan: P,
}

/// What goes with the refusal of a restore for which something is missing that the workflow needs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Unmet {
    /// What is missing, or another one than it was.
    pub findings: Vec<Finding>,
}

/// What a check said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It ran and all was well.
    Passed,
    /// It ran and something was wrong.
    Failed,
    /// It did not run.
    #[default]
    Skipped,
}

impl Verdict {
    /// The verdict of a check that ran.
    pub fn of(is_well: bool) -> Self {
        if is_well { Self::Passed } else { Self::Failed }
    }

    /// The verdict of a check that may not have run.
    pub fn of_optional(is_well: Option<bool>) -> Self {
        is_well.map_or(Self::Skipped, Self::of)
    }

    /// The word that stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}
