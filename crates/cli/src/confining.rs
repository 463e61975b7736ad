//! `exec --writable`: a command that writes nowhere else.
//!
//! Owns what is said where that cannot be had. Refuses to run a command unconfined that should not be.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Command;

use wfr_engine::error::{Code, Failure};
use wfr_engine::writers;
use wfr_model::ChangeId;
use wfr_trace::confine::{Confinement, Refused};

use crate::guard;

/// A command, with what it may write.
pub struct Confined<'w> {
    words: &'w [OsString],
    to: Option<Confinement>,
    /// The change that it is.
    change: &'w ChangeId,
}

impl<'w> Confined<'w> {
    /// A command that may write there only, or anywhere where nothing is named.
    pub fn new(words: &'w [OsString], writable: &[String], change: &'w ChangeId) -> Result<Self, Failure> {
        if writable.is_empty() {
            return Ok(Self { words, to: None, change });
        }
        let paths: Vec<PathBuf> = guard::words(writable)?.into_iter().map(PathBuf::from).collect();
        let to = Confinement::to(&paths).map_err(|refused| match refused {
            Refused::Kernel(error) => {
                let failure = Failure::new(Code::WrongArguments, "this kernel cannot confine what a command writes");
                let hint = "leave `--writable` out, or switch Landlock on (Linux 5.13, `lsm=landlock,...` at boot)";
                failure.with_details(error.to_string()).with_hint(hint)
            }
            Refused::Path(path, error) => {
                let message = format!("`{}` cannot be made writable", path.display());
                let failure = Failure::new(Code::InvalidParameter, message).with_details(error.to_string());
                failure.with_hint(
                    "name in `--writable` what is there: make a new directory first, or name the one above it",
                )
            }
        })?;
        Ok(Self { words, to: Some(to), change })
    }

    /// What of its writes is not confined though the kernel should do it.
    pub fn gap(&self) -> Option<&'static str> {
        let lets_truncate = self.to.as_ref().is_some_and(Confinement::lets_truncate);
        lets_truncate.then_some("this kernel lets a confined command truncate any file (before Linux 6.2)")
    }

    /// The name of its program.
    pub fn program(&self) -> &'w OsString {
        &self.words[0]
    }

    /// It, to be started. Errors: what the system says.
    pub fn command(&self) -> io::Result<Command> {
        let mut command = Command::new(self.program());
        command.args(&self.words[1..]);
        // By these all that it starts is found, even when nobody is left who knows it.
        command.env(writers::CHANGE, self.change.as_str()).env(writers::LAUNCHER, writers::launcher());
        if let Some(to) = &self.to {
            to.over(&mut command)?;
        }
        Ok(command)
    }
}
