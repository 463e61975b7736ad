//! The program that an agent client runs its shell scripts with: `wfr --client-shell CLIENT SCRIPT`.
//!
//! Owns telling commands of tool calls from all else, which is run as it is. Refuses to let any trouble of ours keep a script from
//! being run.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use wfr_clients::{Client, shell};
use wfr_engine::handlers::executing::{self as engine, OfClient};
use wfr_engine::hooks::trouble;
use wfr_model::path::escape;

use crate::arguments::Global;
use crate::content::Content;
use crate::{environment, executing};

/// The first word of such a call.
pub const SHELL: &str = "--client-shell";

/// Runs a script: as a change where it is the command of a tool call in a workspace.
pub fn run(words: &[OsString]) -> ExitCode {
    let [client, script] = words else {
        eprintln!("wfr: {SHELL} needs CLIENT and SCRIPT");
        return ExitCode::from(125);
    };
    let shell = environment::shell_of_clients();
    let call = client.to_str().and_then(Client::named).and_then(|client| called(client, script));
    match call {
        Some((client, session, text)) => run_call(client, session, text, &shell, script),
        None => run_plainly(&shell, script),
    }
}

/// The session and the command of the tool call that a script is of; `None` where it is none.
fn called(client: Client, script: &OsStr) -> Option<(Client, String, String)> {
    let session = environment::text(client.session_variable()?)?;
    let text = shell::command_of_claude(script.to_str()?)?;
    Some((client, session, text))
}

fn run_call(client: Client, session_id: String, text: String, shell: &Path, script: &OsStr) -> ExitCode {
    let global = Global { quiet: true, ..Global::default() };
    let content = Content::new(true);
    let Ok(mut session) = environment::session(executing::NAME, &global, &content, Box::new(|_, _| {})) else {
        return run_plainly(shell, script);
    };
    let command = [shell.as_os_str(), OsStr::new("-c"), script].map(|word| escape(word.as_bytes())).to_vec();
    match engine::begin_of_client(&mut session, &OfClient { client, session: session_id, text, command }) {
        Ok(Some(executing)) => executing::run_announced(&executing, &mut session, &global),
        Ok(None) => run_plainly(shell, script),
        Err(failure) => {
            trouble::note(&session, client, None, &failure);
            run_plainly(shell, script)
        }
    }
}

/// Becomes the shell; comes back only where there is none.
fn run_plainly(shell: &Path, script: &OsStr) -> ExitCode {
    let error = Command::new(shell).arg("-c").arg(script).exec();
    eprintln!("wfr: {} cannot be run: {error}", shell.display());
    ExitCode::from(if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 })
}
