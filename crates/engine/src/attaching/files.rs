//! Files of a client: read with care, and replaced whole or not at all.
//!
//! Owns links, rights, copies of what was there, and what is refused. Refuses to understand them.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use wfr_clients::settings::{Why, Wrong};
use wfr_model::Timestamp;

use super::Ground;
use crate::error::{Code, Failure, code_of_io};

/// A larger file is no settings, in bytes.
const BYTES_MAX: u64 = 16 << 20;

/// A file as it was when it was read.
#[derive(Debug)]
pub(super) struct Found {
    /// Where it is, links followed.
    place: PathBuf,
    /// Its text; `None` where it is not there.
    text: Option<String>,
}

/// Reads a file. Errors: it is none, is too large, is no text, cannot be read or must not be written.
pub(super) fn read(named: &Path, ground: &Ground) -> Result<Found, Failure> {
    let place = followed(named, ground)?;
    let meta = match fs::metadata(&place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found { place, text: None }),
        Err(error) => return Err(unread(&place, &error)),
        Ok(meta) => meta,
    };
    let refused =
        |code, why: &str, hint: &str| Err(Failure::new(code, format!("{}: {why}", place.display())).with_hint(hint));
    if !meta.is_file() {
        return refused(
            Code::UnsuitablePlace,
            "it is no file",
            "move it away, then call it again; nothing was changed",
        );
    }
    if meta.len() > BYTES_MAX {
        let hint = "make it smaller, then call it again; nothing was changed";
        return refused(Code::DocumentInvalid, "it is larger than 16 MiB, as no settings are", hint);
    }
    let may_write = rustix::fs::access(&place, rustix::fs::Access::WRITE_OK).is_ok() && meta.mode() & 0o222 != 0;
    if !may_write {
        let hint = "make it writable, or put the entries in yourself: `--plan` shows them; nothing was changed";
        return refused(Code::PermissionDenied, "it must not be written", hint);
    }
    let bytes = fs::read(&place).map_err(|error| unread(&place, &error))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Found { place, text: Some(text) }),
        Err(error) => {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
            let hint = "save it as UTF-8, then call it again; nothing was changed";
            refused(Code::DocumentInvalid, &format!("line {line}: it is no text in UTF-8"), hint)
        }
    }
}

/// Where a name leads: people keep their settings elsewhere and link to them. What a repository links to beyond the
/// workspace and the home directory is not followed.
fn followed(named: &Path, ground: &Ground) -> Result<PathBuf, Failure> {
    if !fs::symlink_metadata(named).is_ok_and(|meta| meta.is_symlink()) {
        return Ok(named.to_owned());
    }
    let refused = |why: String| {
        let hint = "point the link somewhere else or remove it, then call it again; nothing was changed";
        Err(Failure::new(Code::UnsuitablePlace, format!("{} is a link {why}", named.display())).with_hint(hint))
    };
    let Ok(place) = named.canonicalize() else { return refused("that leads nowhere".to_owned()) };
    let around = [Some(&ground.home), ground.root.as_ref()];
    let is_inside = |dir: &&PathBuf| dir.canonicalize().is_ok_and(|dir| place.starts_with(dir));
    if around.into_iter().flatten().any(|dir| is_inside(&dir)) {
        Ok(place)
    } else {
        refused(format!("to {}, which is in neither the home directory nor the workspace", place.display()))
    }
}

impl Found {
    /// Where it is.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Whether it is there.
    pub fn is_there(&self) -> bool {
        self.text.is_some()
    }

    /// What is in it; nothing where it is not there.
    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    /// Puts a text in its place, with its rights and owner; returns the copy that was made of what was there.
    pub fn write(&self, text: &str, now: Timestamp) -> Result<Option<PathBuf>, Failure> {
        let dir = self.place.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(dir).map_err(|error| Failure::unwritten(dir, &error))?;
        let meta = fs::metadata(&self.place).ok();
        let backup = match &self.text {
            Some(before) => {
                Some(self.copy(before, meta.as_ref(), now).map_err(|error| Failure::unwritten(dir, &error))?)
            }
            None => None,
        };
        let temporary = beside(&self.place, &format!(".wfr-{}.tmp", std::process::id()), ".");
        let written = write_new(&temporary, text.as_bytes(), meta.as_ref())
            .map_err(|error| Failure::unwritten(&temporary, &error))
            .and_then(|()| self.check_unchanged())
            .and_then(|()| {
                fs::rename(&temporary, &self.place).map_err(|error| Failure::unwritten(&self.place, &error))
            });
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
            backup.iter().for_each(|backup| drop(fs::remove_file(backup)));
        }
        written?;
        sync_dir(dir).map_err(|error| Failure::unwritten(dir, &error))?;
        Ok(backup)
    }

    /// Removes it.
    pub fn remove(&self) -> Result<(), Failure> {
        self.check_unchanged()?;
        fs::remove_file(&self.place).map_err(|error| Failure::unwritten(&self.place, &error))
    }

    /// Refuses where somebody else wrote it since it was read.
    fn check_unchanged(&self) -> Result<(), Failure> {
        let now = match fs::read(&self.place) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(unread(&self.place, &error)),
        };
        if now.as_deref() == self.text.as_ref().map(String::as_bytes) {
            return Ok(());
        }
        let message = format!("somebody else wrote {} meanwhile", self.place.display());
        Err(Failure::new(Code::Busy, message).with_hint("call it again; nothing was changed in it"))
    }

    fn copy(&self, before: &str, meta: Option<&fs::Metadata>, now: Timestamp) -> io::Result<PathBuf> {
        let stamp: String = now.to_string().chars().filter(|letter| letter.is_ascii_alphanumeric()).collect();
        for number in 1_u32.. {
            let more = if number == 1 { String::new() } else { format!("-{number}") };
            let place = beside(&self.place, &format!(".wfr-backup-{stamp}{more}"), "");
            match write_new(&place, before.as_bytes(), meta) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                ended => return ended.map(|()| place),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

/// A name beside another one.
fn beside(place: &Path, behind: &str, before: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(before);
    name.push(place.file_name().unwrap_or_default());
    name.push(behind);
    place.with_file_name(name)
}

/// Writes a file that is not there yet, durably, with another one's rights and owner.
fn write_new(place: &Path, bytes: &[u8], like: Option<&fs::Metadata>) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    if like.is_some() {
        // Nobody gets to read it who could not read the other one.
        options.mode(0o600);
    }
    let file = options.open(place)?;
    let written = fill(file, bytes, like);
    if written.is_err() {
        let _ = fs::remove_file(place);
    }
    written
}

fn fill(mut file: File, bytes: &[u8], like: Option<&fs::Metadata>) -> io::Result<()> {
    if let Some(like) = like {
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
            // Who may not give it away keeps it, as after any editor that writes anew.
            let _ = std::os::unix::fs::fchown(&file, Some(like.uid()), Some(like.gid()));
        }
        file.set_permissions(Permissions::from_mode(like.mode() & 0o7777))?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Whether a file may be run.
pub(super) fn is_executable(place: &Path) -> bool {
    rustix::fs::access(place, rustix::fs::Access::EXEC_OK).is_ok()
}

/// Writes a program of ours: whoever runs the one before goes on with that.
pub(super) fn write_launcher(place: &Path, text: &str) -> Result<(), Failure> {
    let dir = place.parent().unwrap_or(Path::new("/"));
    make_dir(dir)?;
    let temporary = beside(place, &format!(".{}.tmp", std::process::id()), ".");
    let _ = fs::remove_file(&temporary);
    let written = write_new(&temporary, text.as_bytes(), None)
        .and_then(|()| fs::set_permissions(&temporary, Permissions::from_mode(0o755)))
        .and_then(|()| fs::rename(&temporary, place))
        .and_then(|()| sync_dir(dir));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(|error| Failure::unwritten(place, &error))
}

/// Makes a directory of ours.
pub(super) fn make_dir(dir: &Path) -> Result<(), Failure> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| Failure::unwritten(dir, &error))
}

fn unread(place: &Path, error: &io::Error) -> Failure {
    Failure::new(code_of_io(error), format!("cannot read {}", place.display())).with_details(error.to_string())
}

/// Why a document is left as it is, and what to do about it.
pub(super) fn refused(place: &Path, wrong: &Wrong, operation: &str) -> Failure {
    let message = format!("{}, {wrong}; nothing was changed", place.display());
    let by_hand = "`--plan` after that shows what is written";
    match &wrong.why {
        Why::Foreign { .. } => Failure::new(Code::Conflicts, message)
            .with_hint("call it again with `--replace`: `wfr detach` puts this value back; or remove it yourself"),
        Why::Comment => Failure::new(Code::DocumentInvalid, message).with_hint(format!(
            "take the comments out, then call `{operation}` again: by its format the file has none; {by_hand}"
        )),
        Why::Syntax(_) | Why::Deep | Why::Duplicated(_) | Why::Unsuitable { .. } => {
            Failure::new(Code::DocumentInvalid, message)
                .with_hint(format!("mend that line, then call `{operation}` again"))
        }
    }
}
