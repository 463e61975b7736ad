//! Failures of operations as their callers see them: a stable code, a message, and what to do next.
//!
//! Owns the codes, and which exit code each leads to. Refuses to know how a failure is shown, and the errors of the
//! crates below: who maps those adds a `From` beside the operation that meets them.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::{fmt, io};

use serde::Serialize;

use crate::response::Answer;

/// What sort of failure it is; decides the exit code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It was tried and did not succeed, or something is unhealthy.
    Failed,
    /// The call itself is wrong.
    Usage,
    /// Something named is not there.
    NotFound,
    /// Stored data is damaged.
    Integrity,
    /// Something stands in the way, or a plan is stale.
    Conflict,
    /// Somebody else holds what is needed.
    Held,
    /// The system refused to read or write.
    Io,
    /// Somebody must agree first.
    NeedsConsent,
    /// A signal ended it.
    Interrupted,
}

impl Kind {
    /// All kinds, in the order of their exit codes.
    pub const ALL: [Self; 9] = [
        Self::Failed,
        Self::Usage,
        Self::NotFound,
        Self::Integrity,
        Self::Conflict,
        Self::Held,
        Self::Io,
        Self::NeedsConsent,
        Self::Interrupted,
    ];

    /// The exit code of a process that ends with it.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Integrity => 4,
            Self::Conflict => 5,
            Self::Held => 6,
            Self::Io => 7,
            Self::NeedsConsent => 8,
            Self::Interrupted => 130,
        }
    }
}

/// How bad a failure is, in the reference's words.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The call was refused; nothing is wrong.
    Low,
    /// Something has to be decided or waited for.
    Medium,
    /// Something does not work.
    High,
    /// Data is lost or at risk.
    Critical,
}

macro_rules! codes {
    ($(#[doc = $doc:literal] $name:ident = $text:literal, $kind:ident, $severity:ident, $hint:literal;)*) => {
        /// Every way in which an operation fails. The texts are stable: scripts may rely on them.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Code {
            $(#[doc = $doc] $name,)*
        }

        impl Code {
            /// All codes.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The text that stands in JSON.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What sort of failure it is.
            pub fn kind(self) -> Kind {
                match self { $(Self::$name => Kind::$kind,)* }
            }

            /// How bad it is.
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// What it means, in one sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $doc.trim_ascii(),)* }
            }

            /// What to do next, where the failure itself does not say it better.
            pub fn hint(self) -> &'static str {
                match self { $(Self::$name => $hint,)* }
            }
        }
    };
}

codes! {
    /// No such operation.
    UnknownOperation = "UNKNOWN_OPERATION", Usage, Low, "run `wfr --help` for the list of operations";
    /// An operation of the reference that this version does not have.
    NotInThisVersion = "NOT_IN_THIS_VERSION", Usage, Low, "run `wfr --help` for what this version has";
    /// A key or flag that the operation does not have.
    UnknownParameter = "UNKNOWN_PARAMETER", Usage, Low, "run `wfr OPERATION --help` for the parameters";
    /// A value that a parameter cannot have.
    InvalidParameter = "INVALID_PARAMETER", Usage, Low, "run `wfr OPERATION --help` for the values it may have";
    /// The parameters are not JSON.
    InvalidJson = "INVALID_JSON", Usage, Low, "quote the parameters as one word: '{\"key\": \"value\"}'";
    /// Something that was sent is no event; what else was sent is recorded.
    InvalidEvent = "INVALID_EVENT", Usage, Low, "an event is EVENT_TYPE:workflow:phase:{json}, or a JSON object with `event_type`; send what was refused again";
    /// A needed word is missing, or there is one too many.
    WrongArguments = "WRONG_ARGUMENTS", Usage, Low, "run `wfr OPERATION --help` for how it is called";
    /// A reference that may mean several things.
    Ambiguous = "AMBIGUOUS_REFERENCE", Usage, Low, "give more of the id, or name the workflow with `--workflow-id`";
    /// The configuration cannot be used.
    InvalidConfiguration = "INVALID_CONFIGURATION", Usage, Medium, "mend `.claude/recovery/config.toml`, or remove it: then the defaults hold";
    /// A document from outside cannot be read.
    DocumentInvalid = "DOCUMENT_INVALID", Usage, Low, "mend the document, or name another one";
    /// The directory cannot be a workspace, or the store cannot be where it is asked for.
    UnsuitablePlace = "UNSUITABLE_PLACE", Usage, Low, "choose another directory";
    /// No protected directory here or above.
    WorkspaceNotFound = "WORKSPACE_NOT_FOUND", NotFound, Low, "run `wfr init` there first, or name it with `--workspace DIR`";
    /// No store where it should be.
    StoreNotFound = "STORE_NOT_FOUND", NotFound, High, "mount its disk or put its directory back, or name where it is with `--store DIR`; `wfr init --new-store` makes a new, empty one";
    /// No such workflow.
    WorkflowNotFound = "WORKFLOW_NOT_FOUND", NotFound, Low, "run `wfr workflows` to see which there are; `wfr initialize WORKFLOW` registers a new one";
    /// No such checkpoint.
    CheckpointNotFound = "CHECKPOINT_NOT_FOUND", NotFound, Low, "run `wfr list-checkpoints` for ids and names";
    /// A workflow or a checkpoint without a state.
    StateNotFound = "STATE_NOT_FOUND", NotFound, Low, "publish an event of the workflow, or `wfr import` its state";
    /// No checkpoint that validates.
    NoValidCheckpoint = "NO_VALID_CHECKPOINT", NotFound, Critical, "run `wfr validate-checkpoint CHECKPOINT --repair-if-possible`, or restore what is whole with `--error-handling ignore`";
    /// No such recovery.
    RecoveryNotFound = "RECOVERY_NOT_FOUND", NotFound, Low, "run `wfr recoveries` for the list";
    /// No such change, or none that is open.
    ChangeNotFound = "CHANGE_NOT_FOUND", NotFound, Low, "run `wfr log` for the changes that there are";
    /// No change fits what was asked for.
    NothingSelected = "NOTHING_SELECTED", NotFound, Low, "run `wfr log` to see who changed what";
    /// A change that has not ended.
    ChangeOpen = "CHANGE_OPEN", Conflict, Medium, "end it first with `wfr change end TOKEN`: `wfr log` shows what is open";
    /// No such path in the checkpoint.
    PathNotFound = "PATH_NOT_FOUND", NotFound, Low, "run `wfr diff CHECKPOINT tree --name-only`, or `wfr show CHECKPOINT --files`, for the paths";
    /// No such file on this machine.
    FileNotFound = "FILE_NOT_FOUND", NotFound, Low, "check the path";
    /// A checkpoint is damaged or was tampered with.
    CheckpointIntegrity = "CHECKPOINT_INTEGRITY_FAILURE", Integrity, High, "run `wfr validate-checkpoint CHECKPOINT --repair-if-possible`, or use another checkpoint";
    /// The store is damaged.
    StoreDamaged = "STORE_DAMAGED", Integrity, Critical, "run `wfr doctor`; copy the store before anything else";
    /// The catalog is damaged or missing.
    CatalogDamaged = "CATALOG_DAMAGED", Integrity, Critical, "run `wfr doctor --rebuild-catalog`: everything is read again from the packs";
    /// A later version wrote it, or it is not wfr's.
    UnsupportedFormat = "UNSUPPORTED_FORMAT", Integrity, High, "use the version of wfr that wrote it, or a later one";
    /// An archive is damaged or not one.
    ArchiveDamaged = "ARCHIVE_DAMAGED", Integrity, High, "get the archive again from where it was copied";
    /// A workflow's state contradicts itself, or what is kept of it is damaged.
    StateInvalid = "STATE_INVALID", Integrity, High, "run `wfr repair-state WORKFLOW --plan` to see what would mend it";
    /// What the workflow needs and had at the checkpoint is missing, or another one.
    DependencyMissing = "DEPENDENCY_MISSING", Integrity, Medium, "bring back what is named, or restore with `--dependency-validation comprehensive`";
    /// A plan has conflicts that need a decision.
    Conflicts = "CONFLICTS", Conflict, Medium, "decide each of them, then call again";
    /// The tree changed after the plan was made.
    StalePlan = "STALE_PLAN", Conflict, Medium, "make the plan again with `--plan` and apply its new digest";
    /// The workflow's state has another version than expected.
    StaleState = "STALE_STATE", Conflict, Medium, "read the state again with `wfr get-state`, and update that version";
    /// The name of a checkpoint is taken.
    NameTaken = "NAME_TAKEN", Conflict, Low, "choose another name, or give none";
    /// The recovery cannot be undone.
    NotUndoable = "NOT_UNDOABLE", Conflict, Medium, "run `wfr recoveries`; its safety checkpoint can still be restored";
    /// The directory is protected already, otherwise.
    AlreadyProtected = "ALREADY_PROTECTED", Conflict, Low, "use the store that it has: `wfr doctor` says where it is and whether it is whole";
    /// The directory is a copy of a protected one.
    WorkspaceCopied = "WORKSPACE_COPIED", Conflict, Medium, "remove `.claude/recovery` in the copy and run `wfr init` there: it gets a store of its own";
    /// The target directory is not empty.
    TargetNotEmpty = "TARGET_NOT_EMPTY", Conflict, Low, "give a directory that is empty or not there yet";
    /// Another workflow is active in the tree.
    OthersActive = "OTHERS_ACTIVE", Conflict, Medium, "look at the plan, then add `--whole-tree` if their later work may go back too";
    /// What was given is no request, or not one for this component.
    InvalidRequest = "INVALID_REQUEST", Usage, Low, "see protocol fields with `wfr schema request`";
    /// Another request of this id was answered before.
    RequestIdTaken = "REQUEST_ID_TAKEN", Conflict, Low, "make the request with an id of its own";
    /// No such sink.
    SinkNotFound = "SINK_NOT_FOUND", NotFound, Low, "run `wfr outbox` for the sinks that there are";
    /// A sink did not take what was sent to it.
    SinkRefused = "SINK_REFUSED", Failed, Medium, "mend what it says; nothing is lost: it is tried again, and `wfr outbox retry` sends what was put aside";
    /// Nobody holds under this token, or there is no such share of resources.
    HoldNotFound = "HOLD_NOT_FOUND", NotFound, Low, "run `wfr holds` for holds and shares";
    /// Something stands in the way of resources.
    ResourceConflict = "RESOURCE_CONFLICT", Conflict, Medium, "wait until it is over, or ask for less";
    /// So much cannot be given.
    ResourceExhausted = "RESOURCE_EXHAUSTED", Conflict, Medium, "ask for less, wait until others give back, or raise `coordination.caps`";
    /// Processes that were to be ended are still there.
    WritersRemain = "WRITERS_REMAIN", Held, Medium, "`wfr status` shows them: end them yourself, then call it again";
    /// Another recovery or process holds the workspace.
    Held = "HELD", Held, Medium, "wait until it has ended, then try again";
    /// The catalog stays locked, or another cleanup is under way.
    Busy = "CATALOG_BUSY", Held, Medium, "another wfr process is writing: try again";
    /// The system refused.
    Io = "IO_ERROR", Io, High, "mend what the system names, then try again: nothing acknowledged was lost";
    /// The disk or the inodes are used up.
    DiskFull = "DISK_FULL", Io, High, "free some space: `wfr cleanup-checkpoints` works on a full disk";
    /// The quota of the store is used up.
    QuotaExceeded = "QUOTA_EXCEEDED", Io, Medium, "run `wfr cleanup-checkpoints`, or raise `capture.quota_bytes`";
    /// A file that would change cannot be read, so it cannot be saved first.
    NotSaved = "NOT_SAVED", Io, High, "make it readable, stop whoever keeps writing it, or restore beside with `--to DIR`";
    /// What was on a file system of its own would be restored into the bare directory.
    MountMissing = "MOUNT_MISSING", Conflict, High, "mount it first; `--allow-unmounted` restores into the bare directory, `--to DIR` elsewhere";
    /// No permission.
    PermissionDenied = "PERMISSION_DENIED", Io, Medium, "run it as the owner of the files, or mend their permissions";
    /// The workspace cannot be watched.
    Unwatchable = "CANNOT_WATCH", Io, Low, "nothing is lost without a watch: each look scans the tree then";
    /// The file system cannot do what a safe restore needs.
    UnsupportedFileSystem = "UNSUPPORTED_FILE_SYSTEM", Io, Medium, "restore to a directory elsewhere with `--to DIR`";
    /// A recovery needs a yes.
    ConsentNeeded = "CONSENT_NEEDED", NeedsConsent, Low, "look at the plan, then add `--yes`, or `--apply DIGEST` for exactly this plan";
    /// What an agent asked for is for a person to do.
    NotForAgents = "NOT_FOR_AGENTS", NeedsConsent, Low, "ask a person to run it on the command line";
    /// Configuration that tools obey needs a yes of its own.
    ConfigurationGuarded = "CONFIGURATION_GUARDED", NeedsConsent, Medium, "look at these files, then add `--allow-config`";
    /// The store is encrypted and no key opens it.
    StoreLocked = "STORE_LOCKED", NeedsConsent, Medium, "name a file with the passphrase in WFR_PASSPHRASE_FILE, or one with an age identity in WFR_IDENTITY_FILE";
    /// A recovery failed; the tree is as it was.
    RecoveryFailed = "RECOVERY_FAILED", Failed, High, "nothing was changed: mend the cause, then call it again";
    /// A recovery failed half way and was taken back.
    RecoveryTakenBack = "RECOVERY_TAKEN_BACK", Failed, High, "the tree is as it was before: mend the cause, then call it again";
    /// A recovery could do only some of its steps.
    RecoveryPartial = "RECOVERY_PARTIAL", Failed, High, "see the steps that failed; `wfr undo` takes the others back";
    /// A recovery has begun to change files and could not be completed.
    RecoveryUnfinished = "RECOVERY_UNFINISHED", Io, High, "mend the cause, then run `wfr resume`, which completes it, or `wfr resume --take-back`, which ends it even where the disk stays bad and names what it could not take back";
    /// The given check failed after a restore.
    FunctionalCheckFailed = "FUNCTIONAL_CHECK_FAILED", Failed, High, "the tree is as it was before: look at what the check printed";
    /// It took longer than allowed.
    TimeLimit = "TIME_LIMIT", Failed, Medium, "give it more time, in the call or in the configuration's `timeout_limits`";
    /// Something is not as it should be; the findings say what.
    Unhealthy = "UNHEALTHY", Failed, Medium, "do what the findings say";
    /// A defect of wfr itself.
    Internal = "INTERNAL", Failed, High, "please report it, with the message";
    /// A signal ended it.
    Interrupted = "INTERRUPTED", Interrupted, Low, "run `wfr resume`, or just call it again: the store is consistent";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an operation failed, ready to be shown or sent.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The stable code; its kind gives the exit code.
    pub code: Code,
    /// What happened, in one sentence without a full stop.
    pub message: String,
    /// The causes below, or the place; empty where there is nothing to add.
    pub details: String,
    /// What to do next.
    pub hint: String,
    /// Other ways on, best first.
    pub recovery_options: Vec<String>,
    /// What was found out before it failed, such as the plan that needs a yes.
    pub result: Option<Arc<dyn Answer>>,
}

impl Failure {
    /// A failure with its code's own hint.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let hint = code.hint().to_owned();
        Self { code, message: message.into(), details: String::new(), hint, recovery_options: vec![], result: None }
    }

    /// A failure from an error: its text is the message, its causes are the details.
    pub fn of(code: Code, error: &dyn Error) -> Self {
        Self::new(code, error.to_string()).with_details(causes(error))
    }

    /// A place that the system does not let us write.
    pub fn unwritten(place: &Path, error: &io::Error) -> Self {
        Self::new(code_of_io(error), format!("cannot write {}", place.display())).with_details(error.to_string())
    }

    /// The same with details.
    pub fn with_details(self, details: impl Into<String>) -> Self {
        Self { details: details.into(), ..self }
    }

    /// The same with a hint of its own.
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: hint.into(), ..self }
    }

    /// The same with another way on.
    pub fn with_option(mut self, option: impl Into<String>) -> Self {
        self.recovery_options.push(option.into());
        self
    }

    /// The same with what was found out before.
    pub fn with_result(self, result: impl Answer) -> Self {
        Self { result: Some(Arc::new(result)), ..self }
    }

    /// What to do next, first thing first, where this operation failed.
    pub fn ways_on(&self, operation: &str) -> impl Iterator<Item = String> {
        let hint = self.hint.replace("wfr OPERATION", format!("wfr {operation}").trim_end());
        std::iter::once(hint).chain(self.recovery_options.iter().cloned()).filter(|way| !way.is_empty())
    }

    /// What sort of failure it is.
    pub fn kind(&self) -> Kind {
        self.code.kind()
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.details.is_empty() { Ok(()) } else { write!(f, ": {}", self.details) }
    }
}

impl Error for Failure {}

/// The texts of an error's causes, outermost first, joined; empty where there is none.
pub fn causes(error: &dyn Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut last = error.to_string();
    let mut at = error.source();
    while let Some(cause) = at {
        let text = cause.to_string();
        // A transparent wrapper repeats its cause's text, another one tells it within its own.
        if !last.contains(&text) {
            texts.push(text.clone());
        }
        last = text;
        at = cause.source();
    }
    texts.join(": ")
}

/// The code for an error of the system.
pub fn code_of_io(error: &std::io::Error) -> Code {
    use std::io::ErrorKind as K;
    match error.kind() {
        K::StorageFull | K::QuotaExceeded => Code::DiskFull,
        K::PermissionDenied | K::ReadOnlyFilesystem => Code::PermissionDenied,
        _ => Code::Io,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_capitals_and_told_apart() {
        let mut texts: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.as_str().bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'), "{code}");
            assert!(code.meaning().ends_with('.'), "{code}");
            assert!(!code.hint().is_empty() && !code.hint().ends_with('.'), "{code}");
        }
    }

    #[test]
    fn a_hint_names_the_operation_where_there_is_one() {
        let first = |operation| Failure::new(Code::WrongArguments, "").ways_on(operation).next();
        assert_eq!(first("log").as_deref(), Some("run `wfr log --help` for how it is called"));
        assert_eq!(first("").as_deref(), Some("run `wfr --help` for how it is called"));
    }

    #[test]
    fn causes_are_joined_without_repeats() {
        let inner = std::io::Error::other(Failure::new(Code::Io, "cannot write").with_details("no space"));
        assert_eq!(causes(&inner), "");
        let full = std::io::Error::from_raw_os_error(28);
        assert_eq!(code_of_io(&full), Code::DiskFull);
    }
}
