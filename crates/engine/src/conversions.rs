//! Errors of the layers below as failures: code, words, causes, and what to do next.
//!
//! Owns the one place where each of them gets its stable code. Refuses to print.

use std::error::Error;

use wfr_catalog::{CatalogError, ReferenceError};
use wfr_model::{CheckpointId, WorkflowId};
use wfr_recovery::apply::PrepareError;
use wfr_recovery::checkout::CheckoutError;
use wfr_store::archive::ArchiveError;
use wfr_store::gc::GcError;
use wfr_store::keys::UnlockError;
use wfr_store::{ReadError, WriteError};

use crate::checkpoint::CreateError;
use crate::cleanup::CleanupError;
use crate::error::{Code, Failure, code_of_io};
use crate::init::InitError;
use crate::keyring::{KeyError, Origin};
use crate::open::OpenError;
use crate::rebuild::RebuildError;
use crate::view::ConfigError;
use crate::workspace::LocateError;

/// A failure of the system, by what the system said.
fn io(error: &(dyn Error + 'static), source: &std::io::Error) -> Failure {
    Failure::of(code_of_io(source), error)
}

impl From<LocateError> for Failure {
    fn from(error: LocateError) -> Self {
        match error {
            LocateError::NotFound(_) => Self::of(Code::WorkspaceNotFound, &error),
            LocateError::Inside { ref root, .. } => Self::of(Code::WorkspaceNotFound, &error)
                .with_hint(format!("give its root: `--workspace {}`", root.display())),
            LocateError::Elsewhere { ref root, .. } => Self::of(Code::WorkspaceNotFound, &error).with_hint(format!(
                "where that workspace is meant, say so: `--workspace {}`; else unset WFR_STORE",
                root.display()
            )),
            LocateError::OwnStore { ref owner, .. } => Self::of(Code::AlreadyProtected, &error).with_hint(format!(
                "unset WFR_STORE and leave `--store` out; where the other workspace is meant: `--workspace {}`",
                owner.display()
            )),
            LocateError::Config(error) => error.into(),
            LocateError::Store { .. } => {
                Self::of(Code::StoreNotFound, &error).with_hint("name the workspace too, with `--workspace DIR`")
            }
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        match &error {
            ConfigError::Malformed { file, .. } => {
                Self::of(Code::InvalidConfiguration, &error).with_hint(mending(file))
            }
            ConfigError::Shut { dir, source } => io(&error, source).with_hint(opening(dir)),
            ConfigError::InTheWay(place) => Self::of(Code::Io, &error).with_hint(clearing(place)),
            ConfigError::Io { source, .. } => io(&error, source),
        }
    }
}

/// What to do where a directory cannot be entered that the configuration may be in.
pub fn opening(dir: &std::path::Path) -> String {
    format!("as its owner run `chmod u+rwx {}`, then call it again", dir.display())
}

/// What to do where something stands in a directory's place.
pub fn clearing(place: &std::path::Path) -> String {
    format!(
        "nothing in it was touched: move {} to another name or place, then run `wfr init`, which writes the view again",
        place.display()
    )
}

/// How a configuration is mended that cannot be used.
pub fn mending(file: &std::path::Path) -> String {
    let file = file.display();
    format!("correct or delete that line in {file} with an editor, or remove the file: then the defaults hold")
}

impl From<wfr_store::vault::VaultError> for Failure {
    fn from(error: wfr_store::vault::VaultError) -> Self {
        use wfr_store::vault::VaultError as V;
        match &error {
            V::Absent(_) => Self::of(Code::StoreNotFound, &error),
            V::Version { .. } => Self::of(Code::UnsupportedFormat, &error),
            V::Damaged(..) | V::Headless(_) => Self::of(Code::StoreDamaged, &error).with_hint(
                "run `wfr doctor --rebuild-catalog`: it writes the file again, and nothing else is lost by it",
            ),
            V::Occupied(_) => Self::of(Code::TargetNotEmpty, &error),
            V::Io { source, .. } => io(&error, source),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Locate(error) => error.into(),
            OpenError::Config(error) => error.into(),
            OpenError::Catalog(error) => error.into(),
            OpenError::Vault(error) => error.into(),
            OpenError::Key(error) => error.into(),
            OpenError::Copied { .. } => Self::of(Code::WorkspaceCopied, &error),
            OpenError::Store { ref source, .. } => io(&error, source),
        }
    }
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Self {
        use CatalogError as C;
        if let C::Held(hold) = &error {
            return crate::holding::refused(hold);
        }
        if let C::StateDamaged { workflow, .. } = &error {
            let hint = format!("run `wfr repair-state {workflow}`: it is folded again from its events");
            return Self::of(Code::StateInvalid, &error).with_hint(hint);
        }
        if let C::RecoveryDamaged { before, .. } = &error {
            return Self::of(Code::CatalogDamaged, &error).with_hint(around_damaged(before.as_ref()));
        }
        if let C::Sealed { source } = error {
            return match source.downcast::<KeyError>() {
                Ok(known) => (*known).into(),
                Err(source) => Self::of(Code::CatalogDamaged, &C::Sealed { source }),
            };
        }
        let code = match &error {
            C::Absent(_) | C::Foreign { .. } | C::Corrupt { .. } | C::Exhausted { .. } => Code::CatalogDamaged,
            C::FutureFormat { .. } => Code::UnsupportedFormat,
            C::Full { .. } => Code::DiskFull,
            C::ReadOnly { .. } => Code::PermissionDenied,
            C::Io { .. } => Code::Io,
            C::Busy { .. } => Code::Busy,
            C::NameTaken { .. } => Code::NameTaken,
            C::NotFound { what: "recovery", .. } => Code::RecoveryNotFound,
            C::NotFound { .. } => Code::CheckpointNotFound,
            C::NotUndoable { .. } => Code::NotUndoable,
            _ => Code::Internal,
        };
        Self::of(code, &error)
    }
}

/// What is done where the record of a recovery is damaged, given what saved the tree before it.
pub fn around_damaged(before: Option<&(WorkflowId, CheckpointId)>) -> String {
    let taken_out = "`wfr doctor --rebuild-catalog` takes the damaged record out, so that all else works";
    match before {
        Some((workflow, safety)) => {
            format!("`wfr restore {workflow} {safety}` brings back what was there before that recovery; {taken_out}")
        }
        None => {
            format!("{taken_out}; `wfr restore` to a checkpoint from before that recovery does what its undo would")
        }
    }
}

impl From<ReferenceError> for Failure {
    fn from(error: ReferenceError) -> Self {
        match error {
            ReferenceError::Catalog(error) => error.into(),
            ReferenceError::Malformed(_) => Self::of(Code::InvalidParameter, &error),
            ReferenceError::Ambiguous { .. } => Self::of(Code::Ambiguous, &error),
            _ => Self::of(Code::CheckpointNotFound, &error),
        }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match &error {
            ReadError::Io { source, .. } if source.kind() != std::io::ErrorKind::NotFound => io(&error, source),
            _ => Self::of(Code::CheckpointIntegrity, &error)
                .with_option("`wfr emergency-restore` takes the newest checkpoint that is whole"),
        }
    }
}

/// The same with the file that needs it.
fn of_path(path: &wfr_model::TreePath, error: ReadError) -> Failure {
    let failure = Failure::from(error);
    Failure { message: format!("`{path}` cannot be brought back: {}", failure.message), ..failure }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        match &error {
            WriteError::Quota { .. } => Self::of(Code::QuotaExceeded, &error),
            WriteError::Io { source, .. } => io(&error, source),
            WriteError::Crypto(_) => Self::of(Code::Internal, &error),
        }
    }
}

impl From<wfr_store::scan::ScanError> for Failure {
    fn from(error: wfr_store::scan::ScanError) -> Self {
        use wfr_store::scan::ScanError as S;
        match error {
            S::Write(error) => error.into(),
            S::Aborted => Self::of(Code::Interrupted, &error),
            S::Root(ref source) if source.kind() == std::io::ErrorKind::NotFound => Self::of(
                Code::WorkspaceNotFound,
                &error,
            )
            .with_hint(
                "the workspace is gone: `wfr restore` brings it back; where it was moved, run a command in it, or name \
                         it with `--workspace DIR`",
            ),
            S::Root(ref source) | S::Process(ref source) => io(&error, source),
        }
    }
}

impl From<CreateError> for Failure {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Open(error) => error.into(),
            CreateError::Scan(error) => error.into(),
            CreateError::Write(error) => error.into(),
            CreateError::Interrupted => Self::of(Code::Interrupted, &error),
            CreateError::Read(error) => error.into(),
            CreateError::Catalog(error) => error.into(),
            CreateError::Ledger(failure) => *failure,
            CreateError::Contended(_) => Self::of(Code::Busy, &error),
        }
    }
}

impl From<InitError> for Failure {
    fn from(error: InitError) -> Self {
        match error {
            InitError::Vault(error) => error.into(),
            // Neither view nor signpost need be there by which the store would be found.
            InitError::Nameless { ref root, ref store, .. } => Self::of(Code::StoreDamaged, &error).with_hint(format!(
                "run `wfr doctor --rebuild-catalog --workspace {} --store {}`: it writes the file again, and nothing else is lost by it",
                root.display(),
                store.display()
            )),
            InitError::Catalog(error) => error.into(),
            InitError::Config(error) => error.into(),
            InitError::Key(error) => error.into(),
            InitError::NotEncrypted(_) => Self::of(Code::AlreadyProtected, &error)
                .with_hint("put a new store elsewhere with `--store DIR`; encryption cannot be added to one"),
            InitError::Encrypted(_) => Self::of(Code::AlreadyProtected, &error).with_hint(
                "leave `--encrypt=false` out, or put a new store elsewhere with `--store DIR`; encryption cannot be taken from one",
            ),
            InitError::Recipients(_) => Self::of(Code::AlreadyProtected, &error)
                .with_hint("leave `--recipients` out, or put a new store elsewhere with `--store DIR`"),
            InitError::KeyLost(_) => {
                Self::of(Code::StoreDamaged, &error).with_hint("bring `keys/master.age` back from a copy of the store")
            }
            InitError::NotADirectory(_) => Self::of(Code::FileNotFound, &error).with_hint("make the directory first"),
            InitError::Refused(..) => Self::of(Code::UnsuitablePlace, &error),
            InitError::Away { .. } => Self::of(Code::StoreNotFound, &error).with_hint(
                "mount its disk or put its directory back, and all is there again; `wfr init --new-store` makes a new, empty one",
            ),
            InitError::Already(ref root, _) => {
                let failure = Self::of(Code::AlreadyProtected, &error);
                match crate::view::exists(root) {
                    true => failure,
                    false => failure.with_hint(
                        "`wfr init` without `--store` takes the store that it has; with `--new-store` another one is made, and what \
                         is in the first stays there",
                    ),
                }
            }
            InitError::Taken { .. } => Self::of(Code::AlreadyProtected, &error).with_hint(
                "leave `--store` out, or name a directory that is not there yet: it gets a store of its own",
            ),
            InitError::Copied { .. } => Self::of(Code::WorkspaceCopied, &error),
            InitError::Interrupted(_) => Self::of(Code::Interrupted, &error),
            InitError::Io { ref source, .. } => io(&error, source),
        }
    }
}

impl From<CleanupError> for Failure {
    fn from(error: CleanupError) -> Self {
        let is_full = error.is_disk_full();
        match error {
            CleanupError::Open(error) => error.into(),
            CleanupError::Catalog(error) => error.into(),
            CleanupError::Collect(GcError::Read(ref source)) => Self::of(Code::CheckpointIntegrity, &error)
                .with_details(source.to_string())
                .with_hint("`wfr validate-checkpoint` finds the damaged checkpoint: repair it, or let it go"),
            CleanupError::Stale => {
                Self::of(Code::StalePlan, &error).with_hint("look again with `--dry-run` and apply its new digest")
            }
            CleanupError::Underway => Self::of(Code::Busy, &error).with_hint("try again when it has ended"),
            CleanupError::Turn { ref source, .. } => io(&error, source),
            CleanupError::Collect(GcError::Ledger(source)) => match source.downcast::<CatalogError>() {
                Ok(known) => (*known).into(),
                Err(other) => Self::of(Code::Io, &*other),
            },
            CleanupError::Collect(GcError::Interrupted) => Self::of(Code::Interrupted, &error),
            CleanupError::Collect(_) if is_full => Self::of(Code::DiskFull, &error),
            CleanupError::Collect(GcError::Io { ref source, .. }) => io(&error, source),
            CleanupError::Collect(_) => Self::of(Code::Io, &error),
        }
    }
}

impl From<RebuildError> for Failure {
    fn from(error: RebuildError) -> Self {
        match error {
            RebuildError::Busy(ref processes) => {
                let failure = Self::of(Code::Busy, &error).with_hint("try again when it has ended");
                match processes.as_slice() {
                    [] => failure,
                    all => {
                        let pids: Vec<String> = all.iter().map(|one| one.pid.to_string()).collect();
                        let option = format!(
                            "what follows or watches never ends by itself: end it where it runs, or with `kill {}`",
                            pids.join(" ")
                        );
                        failure.with_option(option)
                    }
                }
            }
            RebuildError::Io { ref source, .. } => io(&error, source),
            RebuildError::Unread { ref place, .. } => Self::of(Code::Io, &error).with_hint(format!(
                "where the system can read it again, call this again; where it never will, move {} out of the store, with what has \
                 `-wal` and `-shm` behind that name: then all that checkpoints seal is built again without it",
                place.display()
            )),
            RebuildError::Catalog(error) => error.into(),
        }
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        match &error {
            KeyError::Empty => Self::of(Code::StoreLocked, &error)
                .with_hint("the passphrase is the first line of the file that WFR_PASSPHRASE_FILE names"),
            KeyError::Unlock(unlock) => Self::of(Code::StoreLocked, &error).with_hint(hint_of(unlock)),
            KeyError::Locked => Self::of(Code::StoreLocked, &error),
            KeyError::Named(_) => Self::of(Code::StoreLocked, &error).with_hint(
                "let WFR_KEY_FILE name a file with the unlocked key of this store, or unset it and give the passphrase or identity",
            ),
            KeyError::Kept(_) => Self::of(Code::StoreLocked, &error).with_hint(
                "give what the store is locked with, the passphrase in WFR_PASSPHRASE_FILE or the identity in WFR_IDENTITY_FILE: \
                 with it all works, and `wfr init --keep-unlocked` writes the unlocked key again",
            ),
            KeyError::Identity { source, .. } => Self::of(code_of_io(source), &error)
                .with_hint("let WFR_IDENTITY_FILE name a file with an age identity, or unset it"),
            KeyError::Foreign { origin, .. } => Self::of(Code::StoreLocked, &error).with_hint(match origin {
                Origin::Named => "let WFR_KEY_FILE name the key of this store, or unset it".to_owned(),
                Origin::Kept => {
                    "give what the store is locked with, the passphrase in WFR_PASSPHRASE_FILE or the identity in WFR_IDENTITY_FILE: \
                     with it all works, and `wfr init --keep-unlocked` writes the right key and leaves the other one beside it"
                        .to_owned()
                }
                Origin::Wrapped => "bring `keys/` back from a copy of this store".to_owned(),
            }),
            KeyError::Displaced(_) => Self::of(Code::StoreLocked, &error)
                .with_hint("keep that key, and bring `keys/` back from a copy of this store"),
            KeyError::Unproved(_) => Self::of(Code::StoreLocked, &error).with_hint(
                "unset WFR_KEY_FILE and take one checkpoint with the passphrase or identity: from then on it is known",
            ),
            KeyError::NoPassphrase => Self::of(Code::WrongArguments, &error)
                .with_hint("give `--recipients age1...`, or the passphrase in a file named by WFR_PASSPHRASE_FILE"),
            KeyError::Lock(_) => Self::of(Code::InvalidParameter, &error),
            KeyError::Lost(_) => {
                Self::of(Code::StoreDamaged, &error).with_hint("bring `keys/master.age` back from a copy of the store")
            }
            KeyError::Io { source, .. } => Self::of(code_of_io(source), &error),
        }
    }
}

/// What is to be given instead.
fn hint_of(error: &UnlockError) -> &'static str {
    match error {
        UnlockError::NeedsPassphrase | UnlockError::WrongPassphrase => {
            "name a file with its passphrase in WFR_PASSPHRASE_FILE"
        }
        UnlockError::NeedsIdentity | UnlockError::NoMatchingIdentity | UnlockError::Identity { .. } => {
            "name a file with an age identity that it is locked for in WFR_IDENTITY_FILE"
        }
        UnlockError::ExcessiveWork(_) | UnlockError::Damaged(_) | UnlockError::Io(_) => {
            "bring the file back from a copy of it"
        }
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        use ArchiveError as A;
        match error {
            A::Read(error) => error.into(),
            A::Write(error) => error.into(),
            A::Lock(ref source) => Self::of(Code::InvalidParameter, &error).with_details(source.to_string()),
            A::Unlock(ref unlock) => Self::of(Code::StoreLocked, &error).with_hint(hint_of(unlock)),
            A::Encrypted => Self::of(Code::StoreLocked, &error),
            A::Exists(_) => {
                Self::of(Code::TargetNotEmpty, &error).with_hint("choose another name with `--output FILE`")
            }
            A::NotAnArchive(_) => Self::of(Code::ArchiveDamaged, &error),
            A::Version(_) => Self::of(Code::UnsupportedFormat, &error),
            A::Damaged { .. } | A::Incomplete { .. } => Self::of(Code::ArchiveDamaged, &error),
            A::Interrupted => Self::of(Code::Interrupted, &error),
            A::Io { ref source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Self::of(Code::FileNotFound, &error)
            }
            A::Io { ref source, .. } => io(&error, source),
        }
    }
}

impl From<PrepareError> for Failure {
    fn from(error: PrepareError) -> Self {
        match error {
            PrepareError::Read(error) => error.into(),
            PrepareError::ReadOf { path, source } => of_path(&path, source),
            PrepareError::Conflicts(_) => Self::of(Code::Conflicts, &error),
            PrepareError::Denied { .. } => Self::of(Code::PermissionDenied, &error)
                .with_hint("run it as the owner of the files, or restore beside with `--to DIR`"),
            PrepareError::FileSystem { ref mount, .. } => {
                let failure = Self::of(Code::UnsupportedFileSystem, &error);
                if mount == "." { failure } else { failure.with_hint(beside_mount(mount)) }
            }
            PrepareError::NoRoom { ref place, .. } => {
                let failure = Self::of(Code::DiskFull, &error);
                if place == "." { failure } else { failure.with_hint(room_on(place)) }
            }
            PrepareError::Mount { ref mount, ref source, .. } => {
                let (failure, place) = (io(&error, source), mount.to_string());
                match source.kind() {
                    std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                        failure.with_hint(room_on(&place))
                    }
                    std::io::ErrorKind::ReadOnlyFilesystem => failure.with_hint(format!(
                        "remount the file system at `{place}` for writing (`mount -o remount,rw`), or restore elsewhere with `--to DIR`"
                    )),
                    _ => failure.with_hint(beside_mount(&place)),
                }
            }
            PrepareError::Interrupted => Self::of(Code::Interrupted, &error),
            PrepareError::TimedOut => Self::of(Code::TimeLimit, &error),
            PrepareError::Stage { ref source, .. }
            | PrepareError::Journal(ref source)
            | PrepareError::Workspace { ref source, .. } => io(&error, source),
        }
    }
}

/// What to do where a file system below the workspace's root is full.
fn room_on(mount: &str) -> String {
    format!("free some room on the file system that is mounted at `{mount}`, or restore elsewhere with `--to DIR`")
}

/// What to do where a file system below the workspace's root cannot be used.
fn beside_mount(mount: &str) -> String {
    format!(
        "it is the file system that is mounted at `{mount}`: restore elsewhere with `--to DIR`, or what is not on it with \
         `wfr partial-restore --files PATHS`"
    )
}

impl From<CheckoutError> for Failure {
    fn from(error: CheckoutError) -> Self {
        match error {
            CheckoutError::Read(error) => error.into(),
            CheckoutError::ReadOf { path, source } => of_path(&path, source),
            CheckoutError::NotEmpty(_) => Self::of(Code::TargetNotEmpty, &error),
            CheckoutError::Interrupted => Self::of(Code::Interrupted, &error),
            CheckoutError::TimedOut => Self::of(Code::TimeLimit, &error),
            CheckoutError::Io { ref source, .. } => io(&error, source),
        }
    }
}

impl From<wfr_recovery::apply::RedoError> for Failure {
    fn from(error: wfr_recovery::apply::RedoError) -> Self {
        Self::of(Code::StoreDamaged, &error)
            .with_hint("the files' former state is in the recovery's safety checkpoint: see `wfr recoveries`")
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::of(code_of_io(&error), &error)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_fails_on_a_mount_below_the_root_is_mended_there() {
        let kinds = |place: &str| {
            let place = place.to_owned();
            let (file_system, what) = ("minix".to_owned(), "bytes");
            [
                PrepareError::FileSystem { place: Path::new("/ws").join(&place), mount: place.clone(), file_system },
                PrepareError::NoRoom { what, need: 2, have: 1, place },
            ]
        };
        for error in kinds("data/mnt") {
            let failure = Failure::from(error);
            assert!(failure.message.contains("data/mnt"), "{}", failure.message);
            assert!(failure.hint.contains("`data/mnt`"), "{}", failure.hint);
        }
        for error in kinds(".") {
            let failure = Failure::from(error);
            assert_eq!(failure.hint, failure.code.hint());
        }
    }
}
