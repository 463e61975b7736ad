//! The name of this program that stays right: configuration that names it lives longer than a call.
//!
//! Owns choosing it and writing it down. Refuses names that will not last.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::error::{Code, Failure};
use crate::session::Session;

/// An absolute name of this program: the one in PATH where that leads to it, since an update keeps it; else its file.
pub(super) fn lasting(session: &Session) -> Result<PathBuf, Failure> {
    let program = (session.program)().map_err(|error| {
        Failure::new(Code::Io, "nobody can tell where this program is").with_details(error.to_string())
    })?;
    let Ok(real) = program.canonicalize() else {
        let message = format!("this program is not at {} any more", program.display());
        return Err(Failure::new(Code::FileNotFound, message).with_hint("install it, then call it by its new place"));
    };
    let path = (session.variable)("PATH").unwrap_or_default();
    let named = std::env::split_paths(&path).filter(|dir| dir.is_absolute()).map(|dir| dir.join("wfr"));
    let program = named.into_iter().find(|name| name.canonicalize().is_ok_and(|to| to == real)).unwrap_or(real);
    text(&program)?;
    match program.file_name() {
        Some(name) if name == "wfr" => Ok(program),
        _ => {
            let message =
                format!("this program is called {}, and hooks are known by the name `wfr`", program.display());
            Err(Failure::new(Code::UnsuitablePlace, message)
                .with_hint("give its file the name `wfr`, then call it again"))
        }
    }
}

/// A path as configuration can name it. Errors: it is no text.
pub(super) fn text(path: &Path) -> Result<&str, Failure> {
    path.to_str().filter(|text| !text.chars().any(char::is_control)).ok_or_else(|| {
        let message = format!("{} is no text that configuration could name", path.display());
        Failure::new(Code::UnsuitablePlace, message).with_hint("use a directory with another name")
    })
}

/// A path as one word of a shell.
pub(super) fn quoted(path: &Path) -> String {
    let text = String::from_utf8_lossy(path.as_os_str().as_bytes());
    format!("'{}'", text.replace('\'', r"'\''"))
}
