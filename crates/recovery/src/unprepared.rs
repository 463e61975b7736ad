//! Why a recovery did not begin.
//!
//! Owns telling apart what stood in the way, and on which mount. Refuses to phrase advice.

use std::io;
use std::path::PathBuf;

use wfr_model::TreePath;
use wfr_store::ReadError;

/// Why a recovery did not begin. No user's file was touched, and nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The plan has conflicts.
    #[error("the plan has {0} conflicts")]
    Conflicts(usize),
    /// A file system lacks what a recovery in place needs.
    #[error("the file system at {} ({file_system}) cannot exchange files atomically", place.display())]
    FileSystem {
        /// Where it is mounted, or the workspace itself.
        place: PathBuf,
        /// The mount, below the workspace; `.` for the workspace itself.
        mount: String,
        /// Its name.
        file_system: String,
    },
    /// There is not enough room.
    #[error("{need} {what} are needed at `{place}`, {have} are free")]
    NoRoom {
        /// Bytes or inodes.
        what: &'static str,
        /// How many are needed.
        need: u64,
        /// How many there are.
        have: u64,
        /// The mount, below the workspace.
        place: String,
    },
    /// Something belongs to another user.
    #[error("no permission to change `{path}`: {why}")]
    Denied {
        /// What would have to change.
        path: TreePath,
        /// Why it cannot.
        why: &'static str,
    },
    /// The store could not be read, or is damaged.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What a file needs of the store could not be read, or is damaged.
    #[error("`{path}` cannot be brought back: {source}")]
    ReadOf {
        /// Which file.
        path: TreePath,
        /// Why not.
        source: ReadError,
    },
    /// A file could not be staged.
    #[error("cannot stage {name}")]
    Stage {
        /// Which.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file system that is mounted below the workspace's root could not be used.
    #[error("cannot stage {name} on the file system mounted at `{mount}`")]
    Mount {
        /// Where it is mounted.
        mount: TreePath,
        /// What was to be staged.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The redo record could not be written.
    #[error("cannot write the journal")]
    Journal(#[source] io::Error),
    /// The workspace could not be used.
    #[error("cannot use the workspace at {place}")]
    Workspace {
        /// Where.
        place: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It was asked to give up.
    #[error("interrupted")]
    Interrupted,
    /// The time limit passed.
    #[error("the time limit was reached before anything was changed")]
    TimedOut,
}

impl PrepareError {
    /// The same, told of the mount where that is not the workspace's own.
    pub(crate) fn on(self, mount: &TreePath) -> Self {
        match self {
            Self::Stage { name, source } if !mount.is_root() => Self::Mount { mount: mount.clone(), name, source },
            other => other,
        }
    }
}
