//! The definition of every operation: name, words, effect, examples.
//!
//! Owns these facts. Refuses to handle any of them: see [`super::Perform`].

use super::{Definition, Effect, Mark, Positional, Slot};
use crate::params::*;
use crate::results;

const WORKFLOW: Positional = Positional::optional("workflow_id", Slot::Workflow);
const WORKFLOW_NEEDED: Positional = Positional::needed("workflow_id", Slot::Workflow);
const CHECKPOINT: Positional = Positional::needed("checkpoint", Slot::Checkpoint);

macro_rules! define {
    ($($params:ident => $result:ident, $name:literal, $effect:ident, [$($positional:expr),*], [$($example:literal),*]
       $(, alias [$($alias:literal),*])? $(, is [$($mark:ident),*])?;)*) => {
        $(impl Definition for $params {
            type Result = results::$result;
            const NAME: &'static str = $name;
            const POSITIONALS: &'static [Positional] = &[$($positional),*];
            const EFFECT: Effect = Effect::$effect;
            const EXAMPLES: &'static [&'static str] = &[$($example),*];
            $(const ALIASES: &'static [&'static str] = &[$($alias),*];)?
            $(const MARKS: &'static [Mark] = &[$(Mark::$mark),*];)?
        })*
    };
}

define! {
    Init => Initialised, "init", Writes, [Positional::optional("directory", Slot::HostPath)],
        ["init", "init project --store /backup/project.wfr", "init --encrypt"], is [OfProcess];
    Config => ConfigView, "config", Writes,
        [Positional::optional("key", Slot::Text), Positional::optional("value", Slot::Text)],
        ["config", "config capture.quota_bytes 10000000000",
         "config recovery_configuration.checkpoint_policy.retention_period 60d"], is [Repeatable, ByPerson];
    CreateCheckpoint => CheckpointCreated, "create-checkpoint", Writes, [WORKFLOW_NEEDED],
        ["create-checkpoint wf --name base",
         "create-checkpoint wf '{\"checkpoint_type\": \"manual\", \"name\": \"pre_critical_operation\"}'",
         "create-checkpoint wf --checkpoint-type phase_complete --phase 2 --tags stable"];
    Guard => Guarded, "guard", Writes, [WORKFLOW, Positional::command("command")],
        ["guard wf -- git clean -fdx", "guard -- make migrate"], is [OfProcess];
    ListCheckpoints => CheckpointList, "list-checkpoints", Reads, [WORKFLOW],
        ["list-checkpoints wf", "list-checkpoints wf --filter-by-type phase_complete --descending --limit 10"];
    Show => CheckpointShown, "show", Reads, [WORKFLOW, CHECKPOINT], ["show base", "show wf latest --coverage"];
    Cat => FileContent, "cat", Reads, [WORKFLOW, CHECKPOINT, Positional::needed("path", Slot::Path)],
        ["cat base src/main.rs", "cat latest src/main.rs > main.rs"];
    Diff => Differences, "diff", Reads,
        [WORKFLOW, Positional::needed("from", Slot::Checkpoint), Positional::optional("to", Slot::CheckpointOrTree),
         Positional::many("paths", Slot::Path)],
        ["diff base", "diff base latest --stat", "diff base tree src docs --name-only"];
    ValidateCheckpoint => Validation, "validate-checkpoint", Writes, [WORKFLOW, CHECKPOINT],
        ["validate-checkpoint base", "validate-checkpoint ckpt_456 --validation-level comprehensive --report-details"], is [Repeatable];
    CleanupCheckpoints => Cleanup, "cleanup-checkpoints", Writes, [WORKFLOW],
        ["cleanup-checkpoints wf --retention-policy 30d --dry-run",
         "cleanup-checkpoints wf --retention-policy last=10,daily=7,weekly=4"], is [Repeatable, Replaces];
    Restore => Recovered, "restore", Recovers, [WORKFLOW, CHECKPOINT.or("state_restoration", "source_checkpoint")],
        ["restore wf base", "restore wf base --plan", "restore wf latest-valid --yes --exact-mtime",
         "restore wf base --to /tmp/base", "restore wf base --restoration-mode partial --file src",
         "restore wf base --restoration-mode merge --plan"], is [Repeatable];
    EmergencyRestore => Recovered, "emergency-restore", Recovers,
        [WORKFLOW_NEEDED, Positional::optional("checkpoint", Slot::Checkpoint)],
        ["emergency-restore wf --yes"], is [Repeatable];
    PartialRestore => Recovered, "partial-restore", Recovers, [WORKFLOW, CHECKPOINT],
        ["partial-restore wf base --file src --plan", "partial-restore wf base --components workflow_state --yes"], is [Repeatable];
    Rollback => Recovered, "rollback", Recovers,
        [WORKFLOW_NEEDED, Positional::optional("checkpoint", Slot::Checkpoint)],
        ["rollback wf --agent a1 --plan", "rollback wf --task t3 --yes", "rollback wf base --phase 2",
         "rollback wf --agent a1 --file src --dependents stop", "rollback wf --interactive"], is [Repeatable];
    ChangeWork => ChangeDone, "change", Writes,
        [Positional::needed("action", Slot::Text), Positional::optional("token", Slot::Text)],
        ["change begin --workflow wf --task t1 --agent a1", "change end chg_018f",
         "change record --workflow wf --agent a1 --paths src/main.rs"];
    Exec => Executing, "exec", Writes, [Positional::command("command")],
        ["exec --workflow wf --task t1 --agent a1 -- make -j8", "exec --agent a1 --observed -- sudo make install"], is [OfProcess];
    Attach => Attachment, "attach", Writes, [Positional::needed("client", Slot::Text)],
        ["attach claude", "attach claude --plan", "attach claude --user"], is [OfProcess];
    Detach => Attachment, "detach", Writes, [Positional::needed("client", Slot::Text)],
        ["detach claude", "detach claude --user --plan"], is [OfProcess];
    Hook => Hooked, "hook", Writes, [Positional::needed("client", Slot::Text)], ["hook claude < payload.json"], is [OfProcess];
    Log => ChangeLog, "log", Reads, [WORKFLOW],
        ["log", "log wf --agent a1 --patch", "log --path src --actor user"];
    Blame => Blamed, "blame", Reads, [Positional::needed("path", Slot::Path)], ["blame src/main.rs"];
    Who => PathHistory, "who", Reads, [Positional::needed("path", Slot::Path)], ["who src/main.rs"];
    WatchTree => WatchView, "watch", Writes, [Positional::optional("action", Slot::Text)],
        ["watch", "watch start", "watch status", "watch stop"], is [OfProcess];
    RecordEvent => EventsRecorded, "event", Writes, [Positional::optional("event", Slot::Text)],
        ["event 'TASK_STARTED:wf:1:{\"task_id\": \"t1\", \"agent_id\": \"a1\"}'",
         "event '{\"event_type\": \"phase_completed\", \"workflow_id\": \"wf\", \"phase\": 1}'",
         "event - < events.jsonl", "event --file events.jsonl"];
    HandleError => ErrorHandled, "handle-error", Writes, [WORKFLOW],
        ["handle-error wf --error-message 'no answer' --scope task --type timeout --task t1"];
    Initialize => StateUpdated, "initialize", Writes, [WORKFLOW_NEEDED],
        ["initialize wf --name 'Port the parser' --total-phases 5",
         "initialize wf '{\"phases\": [{\"phase_id\": 1, \"name\": \"Research\", \"tasks\": [{\"task_id\": \"t1\"}]}]}'"],
        alias ["register"];
    UpdateState => StateUpdated, "update-state", Writes, [WORKFLOW_NEEDED],
        ["update-state wf '{\"status\": \"paused\"}'",
         "update-state wf '{\"expected_version\": 7, \"tasks\": {\"t1\": {\"status\": \"completed\"}}}'"], is [Replaces];
    GetState => StateShown, "get-state", Reads, [WORKFLOW_NEEDED], ["get-state wf", "get-state wf --format hub"];
    RecordMetrics => StateUpdated, "record-metrics", Writes, [WORKFLOW],
        ["record-metrics wf '{\"metrics\": {\"cpu_percent\": 63.5}}'"], alias ["report-metrics"];
    FollowStatus => StatusShown, "status", Reads, [WORKFLOW], ["status", "status wf --watch"];
    ListEvents => EventList, "events", Reads, [WORKFLOW],
        ["events wf --limit 20", "events --follow --type TASK_FAILED --type TASK_TIMEOUT", "events wf --odd"];
    ListWorkflows => WorkflowList, "workflows", Reads, [], ["workflows"];
    Graph => GraphShown, "graph", Reads, [WORKFLOW_NEEDED], ["graph wf", "graph wf --format dot | dot -Tsvg > wf.svg"];
    Undo => Recovered, "undo", Recovers, [WORKFLOW, Positional::optional("recovery_id", Slot::Recovery)],
        ["undo", "undo rec_018f --plan"];
    Recoveries => RecoveryList, "recoveries", Reads, [WORKFLOW], ["recoveries", "recoveries wf --report-details"];
    Resume => Resumed, "resume", Writes, [], ["resume", "resume --take-back"], is [Repeatable, Replaces];
    BackupState => Backup, "backup-state", Writes, [WORKFLOW_NEEDED],
        ["backup-state wf --output ../wf.wfrarchive", "backup-state wf --encryption --retention permanent"];
    Import => Imported, "import", Writes, [Positional::needed("path", Slot::HostPath)],
        ["import wf.wfrarchive --from archive", "import .claude/coordination --from hub",
         "import specs/plan.md --from plan --workflow-id wf"], is [Replaces];
    Export => Exported, "export", Reads, [WORKFLOW_NEEDED],
        ["export wf", "export wf --format reference", "export wf --output wf.json"];
    ValidateState => StateValidation, "validate-state", Writes, [WORKFLOW],
        ["validate-state wf", "validate-state wf --validation-depth comprehensive --check-dependencies"], is [Repeatable];
    RepairState => StateRepair, "repair-state", Writes, [WORKFLOW],
        ["repair-state wf --plan", "repair-state wf --repair-strategy aggressive --yes"], is [Repeatable];
    MergeStates => StateMerge, "merge-states", Writes, [],
        ["merge-states --primary-state current_workflow_state --secondary-states other.json --plan",
         "merge-states '{\"primary_state\": \"current_workflow_state\", \"secondary_states\": [\"ckpt_456\"]}'"];
    Doctor => Diagnosis, "doctor", Writes, [], ["doctor", "doctor --rebuild-catalog"], is [Repeatable, ByPerson];
    Holds => HoldList, "holds", Reads, [WORKFLOW], ["holds", "holds wf --json"];
    HoldResources => HoldPlaced, "hold-resources", Writes, [WORKFLOW_NEEDED],
        ["hold-resources wf --reason maintenance --duration 10m --requester resource-manager"];
    Release => Released, "release", Writes, [WORKFLOW],
        ["release wf", "release --token 12", "release wf --allocation-id alloc_018f"], is [Replaces];
    CheckConflicts => Conflicting, "check-conflicts", Reads, [WORKFLOW],
        ["check-conflicts", "check-conflicts wf '{\"resources\": {\"cpu_cores\": 4}}'"];
    Allocate => Allotted, "allocate", Writes, [WORKFLOW],
        ["allocate wf '{\"resources\": {\"cpu_cores\": 2, \"memory_gb\": 4, \"agents\": 3}}' --duration 1h"];
    Request => Answered, "request", Recovers, [Positional::optional("file", Slot::HostPath)],
        ["request request.json", "request - < request.json"], is [OfProcess];
    RecoveryStatusUpdate => StatusTaken, "recovery-status-update", Writes, [WORKFLOW_NEEDED],
        ["recovery-status-update wf --recovery-id rec_018f --status completed"];
    Outbox => OutboxView, "outbox", Writes, [Positional::optional("action", Slot::Text), Positional::optional("sink", Slot::Text)],
        ["outbox", "outbox flush", "outbox retry web"], is [Reaches];
    Upkeep => UpkeepDone, "upkeep", Writes, [], ["upkeep"], is [OfProcess];
    Metadata => MetadataWritten, "metadata", Writes, [WORKFLOW_NEEDED], ["metadata wf"], is [Repeatable];
    Schema => Schemas, "schema", Reads, [Positional::optional("operation", Slot::Text)], ["schema restore"];
    Completions => Text, "completions", Reads, [Positional::needed("shell", Slot::Text)],
        ["completions bash > ~/.local/share/bash-completion/completions/wfr"];
    Man => Text, "man", Reads, [Positional::optional("directory", Slot::HostPath)], ["man restore | man -l -", "man ~/.local/share/man/man1"];
    Mcp => Text, "mcp", Writes, [], ["mcp", "mcp --workspace /srv/project"];
    Demo => Text, "demo", Reads, [], ["demo"];
}
