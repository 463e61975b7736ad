//! Which handler does which operation: one line each.
//!
//! Owns the binding. Refuses to do anything itself.

use super::{
    archives, attaching, blame, care, changes, checkpoints, coordination, emergency, exchange, executing, following,
    hooking, inspect, intake, lasting, merges, partial, recoveries, repairs, resources, restore, rollback, setup,
    states, updating, watching,
};
use crate::error::Failure;
use crate::operation::{Definition, Operation, Perform};
use crate::params::{
    Allocate, Attach, BackupState, Blame, Cat, ChangeWork, CheckConflicts, CleanupCheckpoints, Config,
    CreateCheckpoint, Detach, Diff, Doctor, EmergencyRestore, Exec, Export, FollowStatus, GetState, Graph, Guard,
    HandleError, HoldResources, Holds, Hook, Import, Init, Initialize, ListCheckpoints, ListEvents, ListWorkflows, Log,
    MergeStates, Metadata, Outbox, PartialRestore, RecordEvent, RecordMetrics, Recoveries, RecoveryStatusUpdate,
    Release, RepairState, Request, Restore, Resume, Rollback, Show, Undo, UpdateState, Upkeep, ValidateCheckpoint,
    ValidateState, WatchTree, Who,
};
use crate::response::Success;
use crate::session::Session;

macro_rules! perform {
    ($($parameters:ident by $handler:path;)*) => {
        $(impl Perform for $parameters {
            fn perform(self, session: &mut Session) -> Result<Success<<Self as Definition>::Result>, Failure> {
                $handler(session, self)
            }
        })*

        /// Every operation with a handler, in the order in which help lists them.
        pub const ALL: &[Operation] = &[$(Operation::of::<$parameters>(),)*];
    };
}

perform! {
    Init by setup::init;
    Config by setup::config;
    CreateCheckpoint by checkpoints::create;
    Guard by checkpoints::guard;
    ListCheckpoints by checkpoints::list;
    ValidateCheckpoint by checkpoints::validate;
    Show by inspect::show;
    Cat by inspect::cat;
    Diff by inspect::diff;
    Restore by restore::restore;
    EmergencyRestore by emergency::emergency_restore;
    PartialRestore by partial::partial_restore;
    Rollback by rollback::rollback;
    Undo by recoveries::undo;
    Resume by recoveries::resume;
    Recoveries by recoveries::recoveries;
    FollowStatus by following::status;
    ListEvents by following::events;
    ListWorkflows by following::workflows;
    Graph by following::graph;
    ChangeWork by changes::change;
    Exec by executing::begin;
    Attach by attaching::attach;
    Detach by attaching::detach;
    Hook by hooking::hook;
    Log by changes::log;
    Blame by blame::blame;
    Who by changes::who;
    WatchTree by watching::watch;
    RecordEvent by intake::event;
    Initialize by updating::initialize;
    UpdateState by updating::update;
    GetState by updating::get;
    RecordMetrics by updating::metrics;
    HandleError by updating::error;
    CleanupCheckpoints by lasting::cleanup;
    BackupState by lasting::backup;
    Import by archives::import;
    Export by exchange::export;
    ValidateState by states::validate;
    RepairState by repairs::repair;
    MergeStates by merges::merge;
    Doctor by care::doctor;
    Metadata by care::metadata;
    Holds by resources::holds;
    HoldResources by resources::hold;
    Release by resources::release;
    CheckConflicts by resources::check;
    Allocate by resources::allocate;
    Request by coordination::request;
    RecoveryStatusUpdate by coordination::recovery_status;
    Outbox by coordination::outbox;
    Upkeep by coordination::upkeep;
}
