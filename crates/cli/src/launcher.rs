//! The program that an agent client runs its shell commands with: `wfr --client-shell CLIENT SCRIPT`, or from within a `bash` that is
//! to run one, `wfr --client-bash CLIENT SHELLOPTS BASHOPTS BASH SCRIPT ARG0 ARG...`.
//!
//! Owns telling commands of tool calls from all else, which is run as it is. Refuses to let any trouble of ours keep a script from
//! being run.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use wfr_clients::{Client, shell};
use wfr_engine::handlers::executing::{self as engine, OfClient, Told};
use wfr_engine::hooks::trouble;
use wfr_engine::process::process;
use wfr_model::path::escape;

use crate::arguments::Global;
use crate::content::Content;
use crate::{environment, executing, overhearing};

/// The first word of a call with a script.
pub const SHELL: &str = "--client-shell";

/// The first word of a call from within a `bash`.
pub const BASH: &str = "--client-bash";

/// A command of a tool call.
struct Called {
    client: Client,
    told: Told,
    text: String,
}

/// Runs a script: as a change where it is the command of a tool call in a workspace.
pub fn run(words: &[OsString]) -> ExitCode {
    let [client, script] = words else {
        eprintln!("wfr: {SHELL} needs CLIENT and SCRIPT");
        return ExitCode::from(125);
    };
    let command = [environment::shell_of_clients().into(), "-c".into(), script.clone()];
    run_command(client_of(client).and_then(|client| called(client, script)), &command)
}

/// Runs a script as the `bash` that calls this would have run it.
pub fn run_in_bash(words: &[OsString]) -> ExitCode {
    let [client, set, more, bash, rest @ ..] = words else {
        eprintln!("wfr: {BASH} needs CLIENT, SHELLOPTS, BASHOPTS, BASH, SCRIPT and words");
        return ExitCode::from(125);
    };
    let options = shell::bash_words(&set.to_string_lossy(), &more.to_string_lossy());
    let mut command = vec![bash.clone()];
    command.extend(options.into_iter().map(OsString::from));
    command.push("-c".into());
    command.extend_from_slice(rest);
    let called = client_of(client).zip(rest.first()).and_then(|(client, script)| called(client, script));
    run_command(called, &command)
}

fn client_of(name: &OsStr) -> Option<Client> {
    name.to_str().and_then(Client::named)
}

/// The tool call that a script is of; `None` where it is none.
fn called(client: Client, script: &OsStr) -> Option<Called> {
    let call = |session: &str, agent: &str, call: &str| {
        let (session, call) = (environment::text(session)?, environment::text(call)?);
        Some(Told::Call { session, agent: environment::text(agent), call })
    };
    // A script that is no text can only be one whose call is known otherwise.
    let text = script.to_string_lossy();
    let (told, text) = match client {
        Client::Claude => match shell::command_of_claude(script.to_str()?) {
            Some(command) => (Told::Session(environment::text("CLAUDE_CODE_SESSION_ID")?), command),
            None => (hooked(client)?, text.into_owned()),
        },
        Client::Codex => {
            (call("CODEX_SESSION_ID", "CODEX_THREAD_ID", "CODEX_TOOL_CALL_ID")?, shell::command_of_codex(&text))
        }
        Client::Gemini => {
            let client = process(std::os::unix::process::parent_id())?;
            (Told::Process(client.id), shell::command_of_gemini(script.to_str()?)?.to_owned())
        }
        Client::Opencode => {
            (call("WFR_OPENCODE_SESSION", "WFR_OPENCODE_AGENT", "WFR_OPENCODE_CALL")?, text.into_owned())
        }
        Client::Cursor => return None,
    };
    Some(Called { client, told, text })
}

/// On whose behalf a program of the user's is run that a client has for its hooks: it is told on its standard input.
fn hooked(client: Client) -> Option<Told> {
    // Hooks know it; what else comes to us need not be looked at.
    environment::text(client.project_variable()?)?;
    let heading = client.heading(&overhearing::beginning())?;
    Some(Told::Hook { session: heading.session, agent: heading.agent, call: heading.call })
}

/// Runs a command, as a change where it is known to be a tool call's.
fn run_command(called: Option<Called>, command: &[OsString]) -> ExitCode {
    let Some(Called { client, told, text }) = called else { return run_plainly(command) };
    let global = Global { quiet: true, ..Global::default() };
    let content = Content::new(true);
    let Ok(mut session) = environment::session(executing::NAME, &global, &content, Box::new(|_, _| {})) else {
        return run_plainly(command);
    };
    let escaped = command.iter().map(|word| escape(word.as_bytes())).collect();
    match engine::begin_of_client(&mut session, &OfClient { client, told, text, command: escaped }) {
        Ok(Some(executing)) => executing::run_announced(&executing, session, &global),
        Ok(None) => run_plainly(command),
        Err(failure) => {
            trouble::note(&session, client, None, &failure);
            run_plainly(command)
        }
    }
}

/// Becomes the command; comes back only where it is not there.
fn run_plainly(command: &[OsString]) -> ExitCode {
    let error = Command::new(&command[0]).args(&command[1..]).exec();
    eprintln!("wfr: {} cannot be run: {error}", Path::new(&command[0]).display());
    ExitCode::from(if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 })
}
