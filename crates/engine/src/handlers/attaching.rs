//! `attach` and `detach`: agent clients.
//!
//! Owns whose configuration is meant, and what to do next. Refuses to write it: see [`crate::attaching`].

use std::path::PathBuf;

use wfr_clients::Client;

use super::{hooking, needed, setup, shown};
use crate::attaching::{self, Ground, Job, Scope};
use crate::error::{Code, Failure};
use crate::hooks::shells::Odd;
use crate::params::{Attach, Detach, HostPath, Init};
use crate::response::Success;
use crate::results::{Attachment, FileBecame};
use crate::session::Session;
use crate::workspace::{self, LocateError, Place};

/// Puts our entries into a client's configuration.
pub fn attach(session: &mut Session, parameters: Attach) -> Result<Success<Attachment>, Failure> {
    let client = hooking::client(&needed(parameters.client.clone(), "client")?)?;
    let scope = scope(parameters.project, parameters.user)?;
    let is_plan = parameters.plan;
    let (place, initialised) = match scope {
        Scope::Project => protected(session, client, &parameters)?,
        Scope::User => (located(session)?, None),
    };
    let job = job(session, client, scope, place.as_ref(), is_plan)?;
    let files = job.attach(parameters.replace)?;
    let others = match client {
        Client::Claude => attaching::claude::other_prefixes(scope, &job.ground),
        _ => vec![],
    };
    if let Some(place) = place.as_ref().filter(|_| !is_plan) {
        [Odd::NotTold, Odd::PastLauncher, Odd::Unheard].into_iter().for_each(|odd| odd.forget(&place.vault, client));
    }
    let name = client.as_str();
    let is_any = files.iter().any(|file| file.became != FileBecame::Unchanged);
    let result = Attachment { client: name.to_owned(), scope, attached: true, plan: is_plan, initialised, files };
    let success = Success::new(result);
    if is_plan {
        return Ok(success.with_next_step(format!("write it: `wfr attach {name} {}`", scope.flag())));
    }
    let success = others.into_iter().fold(success, |success, other| {
        let what =
            if other.wins { "it is run in place of ours here" } else { "ours is run in its place until `wfr detach`" };
        success.with_next_step(format!("{}: {what}", other.said))
    });
    if !is_any {
        return Ok(success.with_next_step("all of it was there before: `wfr doctor` says whether its hooks fire"));
    }
    let success =
        success.with_next_step("start the client again: a session that runs may not read its configuration again");
    let success = match scope {
        Scope::User => {
            success.with_next_step("each directory that its sessions work in is to be protected: `wfr init` there")
        }
        Scope::Project => match place.as_ref().and_then(|place| attaching::reads_only(client, &place.root)) {
            Some(why) => success.with_next_step(format!(
                "start it in the workspace's root: {why}; `wfr attach {name} --user` is heard wherever it is started"
            )),
            None => success,
        },
    };
    let is_shared = scope == Scope::Project
        && client != Client::Claude
        && place.as_ref().is_some_and(|place| place.root.ancestors().any(|dir| dir.join(".git").exists()));
    let success = match is_shared {
        true => success.with_next_step(format!(
            "these files name this machine's paths: keep them out of the repository, or `wfr detach {name}` and `wfr attach {name} --user`"
        )),
        false => success,
    };
    let success = match attaching::advice(client) {
        Some(advice) => success.with_next_step(advice),
        None => success,
    };
    Ok(success.with_next_step(
        "after its first tool call `wfr doctor` says whether its hooks fire, and `wfr log` whose it was",
    ))
}

/// Takes our entries out of a client's configuration.
pub fn detach(session: &mut Session, parameters: Detach) -> Result<Success<Attachment>, Failure> {
    let client = hooking::client(&needed(parameters.client, "client")?)?;
    let scope = scope(parameters.project, parameters.user)?;
    let place = match scope {
        Scope::Project => Some(workspace::locate(&session.directories)?),
        Scope::User => located(session)?,
    };
    let job = job(session, client, scope, place.as_ref(), parameters.plan)?;
    let files = job.detach()?;
    let is_any = files.iter().any(|file| !file.entries.is_empty());
    let (name, plan) = (client.as_str().to_owned(), parameters.plan);
    let result = Attachment { client: name, scope, attached: false, plan, initialised: None, files };
    let success = Success::new(result);
    Ok(match (is_any, scope) {
        (true, _) if parameters.plan => success,
        (true, _) => {
            success.with_next_step("start the client again: a session that runs may keep its hooks until it ends")
        }
        (false, Scope::Project) => success.with_next_step(format!(
            "it was not attached here; for all of the user's sessions: `wfr detach {client} --user`",
            client = client.as_str()
        )),
        (false, Scope::User) => success.with_next_step("it was not attached for the user"),
    })
}

fn scope(project: bool, user: bool) -> Result<Scope, Failure> {
    match (project, user) {
        (true, true) => Err(Failure::new(Code::WrongArguments, "`project` and `user` exclude each other")
            .with_hint("say one of them; where none is said it is `--project`")),
        (_, true) => Ok(Scope::User),
        _ => Ok(Scope::Project),
    }
}

/// The workspace that is meant, if it is one.
fn located(session: &Session) -> Result<Option<Place>, Failure> {
    match workspace::locate(&session.directories) {
        Ok(place) => Ok(Some(place)),
        Err(LocateError::NotFound(_) | LocateError::Inside { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The workspace that is meant; a directory that is none becomes one. Returns it also as text where it became one now.
fn protected(
    session: &mut Session,
    client: Client,
    parameters: &Attach,
) -> Result<(Option<Place>, Option<String>), Failure> {
    if let Some(place) = located(session)? {
        // A store that is away, or a copy's, is refused before anything is written.
        session.open()?;
        return Ok((Some(place), None));
    }
    let named = session.directories.workspace.clone().unwrap_or_default();
    let dir: PathBuf = workspace::absolute(&session.directories.current, &named);
    let vault = session.directories.data.as_ref().map(|data| workspace::default_vault(data, &dir)).unwrap_or_default();
    let place = Place { root: dir.clone(), vault };
    if parameters.plan {
        return Ok((Some(place), Some(shown(&dir))));
    }
    // What cannot be attached is refused before the directory is put under protection.
    job(session, client, Scope::Project, Some(&place), true)?.attach(parameters.replace)?;
    setup::init(session, Init { directory: Some(HostPath(dir.clone())), ..Init::default() })?;
    Ok((Some(workspace::locate(&session.directories)?), Some(shown(&dir))))
}

fn job<'s>(
    session: &'s Session,
    client: Client,
    scope: Scope,
    place: Option<&Place>,
    is_plan: bool,
) -> Result<Job<'s>, Failure> {
    let ground = Ground::of(session, place.map(|place| place.root.as_path()))?;
    let records = ground.records(scope, place.map(|place| place.vault.as_path()));
    Ok(Job { session, client, scope, ground, records, is_plan })
}
