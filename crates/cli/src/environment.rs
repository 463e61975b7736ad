//! What the process was given besides its arguments: directories, variables, clock, processors.
//!
//! Owns every look at the environment, and makes a session of it. Refuses to run anything.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

use wfr_engine::error::{Code, Failure};
use wfr_engine::keyring::{Keyring, Passphrase, Purpose, Secrets};
use wfr_engine::mint::Ids;
use wfr_engine::picking::Picker;
use wfr_engine::session::{Meter, Session};
use wfr_engine::upkeep::Noted;
use wfr_engine::workspace::Directories;
use wfr_mcp::{Asking, Given};
use wfr_model::Timestamp;

use crate::arguments::Global;
use crate::choosing::AtTerminal;
use crate::content::Content;
use crate::{answer, signals, terminal, upkeep};
use crate::{executing, guard, hooking};

/// More threads than this only get in each other's way.
const THREADS_MAX: usize = 64;

/// Called after each step of a recovery with the steps done and all steps.
pub type OnStep = Box<dyn Fn(usize, usize) + Send + Sync>;

/// The time now.
pub fn clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// A session for one call. Bytes of files go to `content`.
pub fn session(
    operation: &'static str,
    global: &Global,
    content: &Content,
    on_step: OnStep,
) -> Result<Session, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let directories = directories(global, operation)?;
    let noted = Arc::new(Noted::default());
    let told = Arc::clone(&noted);
    let secrets = Secrets {
        identity: named("WFR_IDENTITY_FILE"),
        unlocked: named("WFR_KEY_FILE"),
        ask: Box::new(move |purpose| Ok(passphrase(purpose, &told)?.map(Passphrase::new))),
    };
    let starts = [guard::NAME, executing::NAME].contains(&operation);
    let (interactive, abort) = (!global.json && terminal::is_interactive(), signals::watch(starts));
    let picker = interactive.then(|| Box::new(AtTerminal::new(global.colour, abort.clone())) as Box<dyn Picker>);
    let keyring = Arc::new(Keyring::new(secrets, directories.data.clone()));
    let threads = global.threads.unwrap_or(cores).clamp(1, THREADS_MAX);
    Ok(Session {
        interactive,
        picker,
        input: Box::new(io::stdin()),
        on_news: answer::news(operation, global),
        on_step,
        noted,
        ..quiet((directories, keyring), threads, abort, (actor(), content.clone()))
    })
}

/// A session in which nobody is asked or told anything, and from whose input nothing comes.
fn quiet(
    (directories, keyring): (Directories, Arc<Keyring>),
    threads: usize,
    abort: Arc<AtomicBool>,
    (actor, content): (String, Content),
) -> Session {
    Session {
        directories,
        keyring,
        interactive: false,
        threads,
        abort,
        patience: None,
        picker: None,
        meter: Arc::new(Meter::default()),
        clock,
        program: std::env::current_exe,
        variable: |name| std::env::var_os(name),
        actor,
        ids: Ids::New,
        raw: Box::new(content),
        input: Box::new(io::empty()),
        on_news: Box::new(|_| Ok(())),
        detach: upkeep::detached,
        on_step: Box::new(|_, _| {}),
        needs_configuration: false,
        noted: Arc::new(Noted::default()),
    }
}

/// The shell that agent clients run their scripts with.
pub fn shell_of_clients() -> PathBuf {
    let is_known = |shell: &PathBuf| {
        let name = shell.file_name().map(OsStrExt::as_bytes);
        shell.is_absolute() && shell.is_file() && name.is_some_and(|name| name == b"bash" || name == b"zsh")
    };
    ["CLAUDE_CODE_SHELL", "SHELL"].into_iter().filter_map(named).find(is_known).unwrap_or_else(|| "/bin/bash".into())
}

/// The text in a variable that is set.
pub fn text(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A session for one call of an agent, beside that of the server which it asks. Nobody is asked, and nothing is read from or
/// written to the server's own streams.
pub fn for_agent(server: &Server, asking: Asking) -> Given {
    let content = Content::new(true);
    let (filled, mut directories) = (content.clone(), server.directories.clone());
    directories.workspace = directories.workspace.or(asking.workspace);
    let client: String = asking.client.chars().filter(|letter| !letter.is_control()).take(64).collect();
    let actor = format!("agent:{client} ({})", server.user);
    let session = quiet((directories, server.keyring.clone()), server.threads, asking.abort, (actor, content));
    Given { session, fill: Box::new(move |result| filled.fill(result)) }
}

/// What calls of agents take from the session of the server.
pub struct Server {
    directories: Directories,
    keyring: Arc<Keyring>,
    threads: usize,
    user: String,
}

impl Server {
    /// That of a session.
    pub fn of(session: &Session) -> Self {
        let Session { directories, keyring, threads, actor, .. } = session;
        Self { directories: directories.clone(), keyring: keyring.clone(), threads: *threads, user: actor.clone() }
    }
}

/// The path in a variable that is set and not empty.
fn named(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// A passphrase from the first line of the file that WFR_PASSPHRASE_FILE names, else from whoever sits at the terminal.
/// That others can open the file is told.
fn passphrase(purpose: Purpose, noted: &Noted) -> io::Result<Option<String>> {
    if let Some(file) = named("WFR_PASSPHRASE_FILE") {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("{}, which WFR_PASSPHRASE_FILE names: {error}", file.display()))
        };
        let text = std::fs::read_to_string(&file).map_err(named)?;
        if is_open_to_others(&file) {
            let file = file.display();
            noted
                .tell(format!("others have permissions on {file}, which holds the passphrase: run `chmod 600 {file}`"));
        }
        return Ok(Some(text.lines().next().unwrap_or_default().to_owned()));
    }
    if !terminal::is_interactive() {
        return Ok(None);
    }
    match purpose {
        Purpose::Open => terminal::secret("Passphrase: ").map(Some),
        Purpose::New => {
            let (first, second) = (terminal::secret("New passphrase: ")?, terminal::secret("The same again: ")?);
            if first == second { Ok(Some(first)) } else { Err(io::Error::other("the two are not the same")) }
        }
    }
}

/// Whether a regular file is one that others may read or write; a pipe is gone when it has been read.
fn is_open_to_others(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o077 != 0)
}

fn directories(global: &Global, operation: &str) -> Result<Directories, Failure> {
    let current = std::env::current_dir();
    // Payloads say themselves where their client works.
    let current = if operation == hooking::NAME { current.or_else(|_| Ok("/".into())) } else { current };
    let current = current.map_err(|error: io::Error| {
        Failure::of(Code::FileNotFound, &error)
            .with_details("the current directory is gone")
            .with_hint("change to another directory")
    })?;
    // A relative XDG_DATA_HOME is to be ignored, says its specification.
    let data = named("XDG_DATA_HOME").filter(|dir| dir.is_absolute());
    let home = named("HOME").filter(|_| data.is_none());
    if let Some(home) = home.as_ref().filter(|home| home.is_relative()) {
        let message =
            format!("HOME is `{}`, which is relative: it would be another place in each directory", home.display());
        return Err(Failure::new(Code::InvalidParameter, message)
            .with_hint("set HOME, or XDG_DATA_HOME, to an absolute path, then call it again"));
    }
    Ok(Directories {
        current,
        data: data.or_else(|| home.map(|home| home.join(".local/share"))),
        workspace: global.workspace.clone(),
        store: global.store.clone().or_else(|| named("WFR_STORE")),
        store_is_ambient: global.store.is_none(),
    })
}

/// Who asks, for the audit trail.
fn actor() -> String {
    let name = ["WFR_ACTOR", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let name = name.unwrap_or_else(|| "unknown".to_owned());
    name.chars().filter(|letter| !letter.is_control()).take(128).collect()
}
