//! What can go wrong with the catalog, told apart by what the caller can do about it.
//!
//! Owns the mapping from SQLite's codes. Refuses to phrase advice: that is the edge's work.

use std::error::Error;
use std::path::PathBuf;

use rusqlite::ErrorCode;
use rusqlite::ffi;
use wfr_model::{CheckpointId, RecoveryId, WorkflowId};

use crate::holds::{Hold, Holder};
use crate::veil::Unopened;

/// The cause below an error, whatever backend it came from.
pub type Source = Box<dyn Error + Send + Sync + 'static>;

/// Why an operation on the catalog failed. Unless said otherwise nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// There is no catalog, or its making was cut off before it held anything.
    #[error("there is no catalog at {}", .0.display())]
    Absent(PathBuf),
    /// There is one already.
    #[error("there is a catalog already at {}", .0.display())]
    Exists(PathBuf),
    /// The file is not a catalog.
    #[error("{} is not a catalog: {why}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        why: &'static str,
    },
    /// A later version wrote it.
    #[error("the catalog has format {found}, this program reads formats 1 to {known}")]
    FutureFormat {
        /// What the file says.
        found: i64,
        /// What this build knows.
        known: i64,
    },
    /// An earlier version wrote it, and it was opened for reading only.
    #[error("the catalog has the older format {found}: it is brought up to date by the first command that writes")]
    OldFormat {
        /// What the file says.
        found: i64,
    },
    /// The system failed to read or write. After a failed sync the catalog must be opened anew, never retried.
    #[error("cannot read or write the catalog")]
    Io {
        /// What the system said.
        source: Source,
    },
    /// The disk is full.
    #[error("the disk is full: the catalog could not be written")]
    Full {
        /// What the system said.
        source: Source,
    },
    /// Another process kept the lock for longer than the time limit.
    #[error("another process keeps the catalog locked")]
    Busy {
        /// What SQLite said.
        source: Source,
    },
    /// The file or a value in it is damaged.
    #[error("the catalog is damaged")]
    Corrupt {
        /// What does not fit.
        source: Source,
    },
    /// The last place that there can be is given in a table: its counter says what no use of it comes to.
    #[error(
        "the catalog is damaged: the counter of places in its table `{table}` stands at its end, which it cannot have come to"
    )]
    Exhausted {
        /// Which.
        table: &'static str,
    },
    /// A row of a workflow's state cannot be read. What is derived is made anew from the events.
    #[error("what is kept of the state of workflow `{workflow}` is damaged")]
    StateDamaged {
        /// Whose.
        workflow: WorkflowId,
        /// What does not fit.
        source: Source,
    },
    /// The record of a recovery cannot be read; the others can.
    #[error("the record of recovery {recovery} is damaged")]
    RecoveryDamaged {
        /// Which: what stands in its place, which may be no id.
        recovery: String,
        /// Whose, with the checkpoint that saved the tree before it, where that is there.
        before: Option<(WorkflowId, CheckpointId)>,
        /// What does not fit.
        source: Source,
    },
    /// What a row keeps sealed could not be opened, or sealed.
    #[error("a sealed record of the catalog stays closed")]
    Sealed {
        /// Why: no key, or another one.
        source: Source,
    },
    /// The file, its directory or the connection allows no writing.
    #[error("the catalog can't be written: it is read-only")]
    ReadOnly {
        /// What SQLite said.
        source: Source,
    },
    /// Anything else that SQLite refused; a defect of this program.
    #[error("the catalog refused a statement")]
    Sqlite {
        /// What SQLite said.
        source: Source,
    },
    /// There is no such thing.
    #[error("there is no {what} {id}")]
    NotFound {
        /// What was looked for: `checkpoint`, `recovery`, ...
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// An undeleted checkpoint of the workflow has the name.
    #[error("the name `{name}` is taken by checkpoint {existing}")]
    NameTaken {
        /// The name.
        name: String,
        /// Whose it is.
        existing: CheckpointId,
    },
    /// The id is in use for something else.
    #[error("the {what} {id} is recorded already")]
    IdTaken {
        /// What has the id.
        what: &'static str,
        /// The id.
        id: String,
    },
    /// Another checkpoint was committed meanwhile: the manifest must be built again on the new head.
    #[error("another checkpoint was committed meanwhile{}", head.as_ref().map(|id| format!(": {id}")).unwrap_or_default())]
    HeadMoved {
        /// The head that is there now.
        head: Option<CheckpointId>,
    },
    /// Another process looked at the tree meanwhile: look again.
    #[error("another process looked at the tree meanwhile")]
    PointTaken,
    /// Somebody alive has the hold.
    #[error("{}", told(.0))]
    Held(Box<Hold>),
    /// The recovery can't be undone.
    #[error("recovery {id} can't be undone: {why}")]
    NotUndoable {
        /// Which.
        id: RecoveryId,
        /// Why not.
        why: String,
    },
    /// The recovery ended before, and otherwise.
    #[error("recovery {id} has ended already, as {status}")]
    AlreadyFinished {
        /// Which.
        id: RecoveryId,
        /// How.
        status: &'static str,
    },
    /// The arguments contradict each other; a defect of the caller.
    #[error("the catalog refuses this: {0}")]
    Refused(&'static str),
}

impl CatalogError {
    /// Whether the system refused, so that what was to be read may be whole all the same.
    pub fn is_of_system(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Full { .. } | Self::Busy { .. } | Self::ReadOnly { .. })
    }

    /// Whether it says that a transaction was not committed, for certain: no frame of the log that ends one was written whole.
    pub fn is_rolled_back(&self) -> bool {
        match self {
            Self::NameTaken { .. }
            | Self::IdTaken { .. }
            | Self::Refused(_)
            | Self::HeadMoved { .. }
            | Self::Exhausted { .. } => true,
            // A failure to sync the log, or to grow what is shared of its index, comes when it is written.
            Self::Full { source } => source
                .downcast_ref::<rusqlite::Error>()
                .and_then(rusqlite::Error::sqlite_error_code)
                .is_some_and(|code| code == ErrorCode::DiskFull),
            _ => false,
        }
    }

    /// The same error, which also says what came of another way to do it.
    pub(crate) fn followed_by(self, then: &Self) -> Self {
        let both = |first: Source| -> Source { format!("{first}; then, in another way: {}", whole(then)).into() };
        match self {
            Self::Io { source } => Self::Io { source: both(source) },
            Self::Full { source } => Self::Full { source: both(source) },
            Self::ReadOnly { source } => Self::ReadOnly { source: both(source) },
            other => other,
        }
    }

    /// An error in reading a row of a workflow's state: damage that is the row's, not the file's, is the state's.
    pub(crate) fn of_state(workflow: &WorkflowId, error: rusqlite::Error) -> Self {
        let is_of_file = matches!(error, rusqlite::Error::SqliteFailure(..));
        match Self::from(error) {
            Self::Corrupt { source } if !is_of_file => Self::StateDamaged { workflow: workflow.clone(), source },
            other => other,
        }
    }

    /// A value that is none which this program writes.
    pub(crate) fn damaged(why: impl Into<Source>) -> Self {
        Self::Corrupt { source: why.into() }
    }

    /// A missing thing.
    pub(crate) fn not_found(what: &'static str, id: impl ToString) -> Self {
        Self::NotFound { what, id: id.to_string() }
    }
}

/// An error with all of its causes.
fn whole(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// Who holds what, why, since when and until when.
fn told(hold: &Hold) -> String {
    let Hold { key, owner, acquired_at, .. } = hold;
    let holder = match &owner.holder {
        Holder::Process { pid, .. } => format!("process {pid}"),
        Holder::Component(name) => format!("component {name}"),
    };
    let reason = hold.reason.as_ref().map_or_else(String::new, |reason| format!(", for {reason}"));
    let end = hold.expires_at.map_or_else(|| "it ends".to_owned(), |end| end.to_string());
    format!("`{key}` is held by {} ({holder}) since {acquired_at} until {end}{reason}", owner.label)
}

impl From<rusqlite::Error> for CatalogError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error as E;
        let error = match error {
            E::FromSqlConversionFailure(index, kind, source) => match source.downcast::<Unopened>().map(|why| *why) {
                Ok(Unopened::Locked(source)) => return Self::Sealed { source },
                Ok(Unopened::Broken(source)) => return Self::Corrupt { source },
                Err(source) => E::FromSqlConversionFailure(index, kind, source),
            },
            other => other,
        };
        let (code, extended) = match &error {
            E::SqliteFailure(failure, _) => (failure.code, failure.extended_code),
            // A row that another one refers to is gone, where none is asked for otherwise.
            E::QueryReturnedNoRows
            | E::FromSqlConversionFailure(..)
            | E::IntegralValueOutOfRange(..)
            | E::InvalidColumnType(..)
            | E::Utf8Error(..) => return Self::Corrupt { source: error.into() },
            _ => return Self::Sqlite { source: error.into() },
        };
        let source = error.into();
        match (code, extended) {
            (ErrorCode::DiskFull, _) => Self::Full { source },
            // Growing the shared-memory file is the first thing that fails on a full disk.
            (ErrorCode::SystemIoFailure, ffi::SQLITE_IOERR_SHMSIZE) => Self::Full { source },
            (ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::FileLockingProtocolFailed, _)
            // No memory says nothing of the file either.
            | (ErrorCode::OutOfMemory, _) => Self::Io { source },
            (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => Self::Busy { source },
            (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _) => Self::Corrupt { source },
            (ErrorCode::ReadOnly | ErrorCode::PermissionDenied, _) => Self::ReadOnly { source },
            _ => Self::Sqlite { source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_refuses_is_no_damage() {
        let of = |code| CatalogError::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        for code in
            [ffi::SQLITE_IOERR_READ, ffi::SQLITE_CANTOPEN, ffi::SQLITE_NOMEM, ffi::SQLITE_FULL, ffi::SQLITE_BUSY]
        {
            assert!(of(code).is_of_system(), "{code}");
        }
        assert!(!of(ffi::SQLITE_CORRUPT).is_of_system() && !of(ffi::SQLITE_NOTADB).is_of_system());
    }

    #[test]
    fn what_came_of_another_way_is_told_too() {
        let first = CatalogError::Full { source: "no room for shared memory".into() };
        let both = first.followed_by(&CatalogError::Busy { source: "locked".into() });
        let CatalogError::Full { source } = both else { panic!("{both}") };
        let told = "no room for shared memory; then, in another way: another process keeps the catalog locked: locked";
        assert_eq!(source.to_string(), told);
    }
}
