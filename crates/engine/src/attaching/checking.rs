//! Whether attached clients are really heard.
//!
//! Owns what `doctor` and `status` say of clients. Refuses to mend anything.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};
use wfr_catalog::ChangeFilter;
use wfr_clients::{Client, settings};
use wfr_model::Timestamp;
use wfr_model::change::Source;
use wfr_model::finding::{Finding, Severity};
use wfr_model::path::escape;

use super::activity::{self, Active};
use super::record::{Attached, Record};
use super::{Ground, Scope, claude, probing, reads_only, switches, texts, wanted};
use crate::error::Failure;
use crate::handlers::hooking::ANSWERED;
use crate::handlers::shown;
use crate::hooks::shells::Odd;
use crate::hooks::trouble::{self, Trouble};
use crate::hooks::{Desk, PROBE};
use crate::open::Open;
use crate::results::{ClientLine, SessionLine};
use crate::session::Session;

/// How much later than it was heard a client may have been active: it writes its own notes after its hooks, too.
const LATER_MAX: i64 = 60 * 1_000_000_000;

/// For how long what went wrong is told.
const TOLD_NANOS: i64 = 7 * 24 * 3_600 * 1_000_000_000;

/// What a launcher is asked to say.
const WORD: &str = "wfr-shell-runs";

/// What can be said of all clients.
pub(crate) fn check(session: &Session, open: &Open, findings: &mut Vec<Finding>) {
    let mut found = Vec::new();
    for client in Client::ALL {
        One { session, open, client: *client }.check(&mut found);
    }
    // What is so of a client is so however often it is attached.
    for one in found {
        if !findings.contains(&one) {
            findings.push(one);
        }
    }
}

/// Programs that could not gain privileges in traced commands lately: a client says nothing of it where a script of it failed.
pub(crate) fn without_privileges(session: &Session, open: &Open) -> Result<Option<Finding>, Failure> {
    if !open.config.agents.trace_commands {
        return Ok(None);
    }
    let since = Some(Timestamp(session.now().0 - TOLD_NANOS));
    let filter = ChangeFilter { sources: vec![Source::Traced], since, ..ChangeFilter::default() };
    let mut changes = open.catalog.changes(&filter)?;
    changes.retain(|row| row.change.evidence.as_ref().is_some_and(|evidence| !evidence.unprivileged.is_empty()));
    let Some(newest) = changes.first() else { return Ok(None) };
    let programs: BTreeSet<&str> = changes
        .iter()
        .filter_map(|row| row.change.evidence.as_ref())
        .flat_map(|one| &one.unprivileged)
        .map(String::as_str)
        .collect();
    let message = format!(
        "{} could not gain privileges in traced commands, {} in the last 7 days, last in {}: what needs them fails there, and works \
         without wfr",
        programs.iter().map(|one| format!("`{one}`")).collect::<Vec<_>>().join(", "),
        times(changes.len() as u64),
        newest.change.change_id
    );
    let fix = "`wfr config agents.trace_commands false` has commands of agents observed instead; `wfr exec --observed` does one of your own";
    Ok(Some(Finding::new("PRIVILEGES_LOST", Severity::Warning, message, fix)))
}

/// How it stands with the clients that are attached or were heard.
pub(crate) fn lines(session: &Session, open: &Open) -> Vec<ClientLine> {
    let all = Client::ALL.iter().map(|client| One { session, open, client: *client });
    all.filter_map(|one| one.line()).collect()
}

/// How often, in words.
pub(crate) fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// One client in a workspace.
struct One<'s> {
    session: &'s Session,
    open: &'s Open,
    client: Client,
}

impl One<'_> {
    fn name(&self) -> &'static str {
        self.client.as_str()
    }

    /// Where it is attached.
    fn attached(&self) -> Vec<Attached> {
        let Ok(ground) = Ground::around(self.session, Some(self.open.root())) else { return vec![] };
        let of = |scope| {
            let dir = ground.records(scope, Some(self.open.vault.dir()));
            Record::read(&dir).of(self.client, scope).cloned()
        };
        [Scope::Project, Scope::User].into_iter().filter_map(of).collect()
    }

    fn line(&self) -> Option<ClientLine> {
        let last_heard = Desk::last(self.open, self.client);
        let attached: Vec<Scope> = self.attached().iter().map(|one| one.scope).collect();
        let troubles = self.troubles();
        if attached.is_empty() && last_heard.is_none() && troubles.is_empty() {
            return None;
        }
        let sessions = Desk::heard(self.open, self.client).into_iter().map(|heard| SessionLine {
            alive: heard.lives(),
            session_id: heard.session,
            last_heard: heard.at,
        });
        Some(ClientLine {
            client: self.name().to_owned(),
            attached,
            sessions: sessions.collect(),
            last_heard,
            troubles: troubles.len() as u64,
            newest_trouble: troubles.into_iter().next(),
        })
    }

    /// What went wrong lately, newest first.
    fn troubles(&self) -> Vec<Trouble> {
        let since = Timestamp(self.session.now().0 - TOLD_NANOS);
        let mut troubles = trouble::list(self.open.vault.dir(), usize::MAX);
        troubles.retain(|trouble| trouble.client == self.name() && trouble.at >= since);
        troubles
    }

    fn check(&self, findings: &mut Vec<Finding>) {
        let attached = self.attached();
        for one in &attached {
            match Ground::around(self.session, Some(self.open.root())) {
                Ok(ground) => {
                    let ground = Ground { program: one.program(), ..ground };
                    if let Err(failure) = self.configuration(one, &ground, findings) {
                        findings.push(self.removed(one, &failure.to_string()));
                    }
                    self.answers(one, &ground, findings);
                    self.is_heard(one, &ground, findings);
                }
                Err(failure) => findings.push(self.removed(one, &failure.to_string())),
            }
        }
        self.shells(!attached.is_empty(), findings);
        let troubles = self.troubles();
        if let Some(newest) = troubles.first() {
            let message = format!(
                "something went wrong in hooks of {} {} in the last 7 days, last at {}: {}",
                self.name(),
                times(troubles.len() as u64),
                newest.at,
                newest.message
            );
            let fix = "what these calls changed is found by a look: mend what is said; it is told for 7 days";
            findings.push(Finding::new("HOOK_TROUBLE", Severity::Warning, message, fix));
        }
    }

    fn again(&self, one: &Attached) -> String {
        format!("`wfr attach {} {}`", self.name(), one.scope.flag())
    }

    fn removed(&self, one: &Attached, why: &str) -> Finding {
        let fix = format!(
            "run {}, then start the client again; where that was meant, `wfr detach {} {}`",
            self.again(one),
            self.name(),
            one.scope.flag()
        );
        let message = format!("{} is attached, and its configuration is not as it has to be: {why}", self.name());
        Finding::new("HOOKS_REMOVED", Severity::Error, message, fix)
    }

    /// Whether the client's files still have our entries.
    fn configuration(&self, one: &Attached, ground: &Ground, findings: &mut Vec<Finding>) -> Result<(), Failure> {
        let wanted = wanted(self.client, one.scope, ground)?;
        for setting in &wanted.settings {
            let text = match fs::read_to_string(&setting.place) {
                Ok(text) => text,
                Err(error) => {
                    findings.push(self.removed(one, &format!("{}: {error}", shown(&setting.place))));
                    continue;
                }
            };
            match setting.readable(&text).and_then(|text| settings::missing(text, &setting.entries)) {
                Ok(missing) if missing.is_empty() => {}
                Ok(missing) => {
                    let why = format!("{} lacks {}", shown(&setting.place), missing.join(", "));
                    findings.push(self.removed(one, &why));
                }
                Err(wrong) => findings.push(self.removed(one, &format!("{}, {wrong}", shown(&setting.place)))),
            }
        }
        for text in &wanted.texts {
            let found = fs::read_to_string(&text.place).unwrap_or_default();
            match texts::attach(text, &found) {
                Ok(None) => {}
                Ok(Some(_)) => findings.push(self.removed(one, &format!("{} lacks our lines", shown(&text.place)))),
                Err(failure) => findings.push(self.removed(one, &failure.to_string())),
            }
        }
        for file in
            wanted.read.iter().filter(|file| fs::read(&file.place).ok().as_deref() != Some(file.text.as_bytes()))
        {
            findings.push(self.removed(one, &format!("{} is gone, or another one", shown(&file.place))));
        }
        for other in claude::other_prefixes(one.scope, ground).into_iter().filter(|_| self.client == Client::Claude) {
            let (severity, what) = match other.wins {
                true => (Severity::Warning, "it runs shell commands in place of ours: they are observed, not traced"),
                false => (Severity::Info, "ours runs shell commands in its place"),
            };
            let fix = "take one of the two out: that line, or ours by `wfr detach claude`";
            findings.push(Finding::new("SHELL_PREFIX_OTHER", severity, format!("{}; {what}", other.said), fix));
        }
        findings.extend(switches::check(self.client, one.scope, ground, &wanted));
        for launcher in &wanted.launchers {
            let said = probing::ask(&launcher.place, &[&format!("printf {WORD}")], self.open.root(), "");
            let why = match said {
                Ok(said) if said == WORD => continue,
                Ok(said) => format!("it says `{}`", escape(said.as_bytes())),
                Err(error) => error.to_string(),
            };
            let message =
                format!("shell commands of {} cannot be run by {}: {why}", self.name(), shown(&launcher.place));
            let fix = format!("run {}: it is written again", self.again(one));
            findings.push(Finding::new("SHELL_LAUNCHER_BROKEN", Severity::Error, message, fix));
        }
        Ok(())
    }

    /// Whether the program that the hooks name answers.
    fn answers(&self, one: &Attached, ground: &Ground, findings: &mut Vec<Finding>) {
        let root = self.open.root();
        let payload = json!({
            "hook_event_name": PROBE, "session_id": "wfr-doctor", "conversation_id": "wfr-doctor", "cwd": root.to_str(),
        });
        let answer = probing::ask(&ground.program, &["hook", self.name()], root, &payload.to_string());
        let why = match answer {
            Ok(text) => {
                let answer: Value = serde_json::from_str(&text).unwrap_or_default();
                if answer[ANSWERED]["workspace"] == shown(root) {
                    return;
                }
                match answer[ANSWERED]["error"].as_str() {
                    Some(error) => error.to_owned(),
                    None => format!("it answers `{}`", text.chars().take(200).collect::<String>()),
                }
            }
            Err(error) => error.to_string(),
        };
        let message =
            format!("hooks of {} do not work: {} hook {}: {why}", self.name(), shown(&ground.program), self.name());
        let fix = format!("run {} with the program that is to be used, then start the client again", self.again(one));
        findings.push(Finding::new("HOOKS_BROKEN", Severity::Error, message, fix));
    }

    /// Whether the client was heard whenever it did something.
    fn is_heard(&self, one: &Attached, ground: &Ground, findings: &mut Vec<Finding>) {
        let last = Desk::last(self.open, self.client);
        let from = last.map_or(one.at, |last| last.max(one.at));
        let heard = || last.map_or("it was never heard".to_owned(), |last| format!("it was last heard at {last}"));
        let unheard = Odd::Unheard.count(self.open.vault.dir(), self.client).filter(|count| count.last > from);
        let active = activity::last(self.client, ground, self.open.root(), Timestamp(from.0 + LATER_MAX));
        let silent = match (unheard, &active) {
            (Some(count), _) => Some(format!(
                "shell commands of sessions of {} that no hook told of came to us {} since {}, last at {}, and {}: its hooks do not fire",
                self.name(),
                times(count.times),
                count.since,
                count.last,
                heard()
            )),
            (None, Some(active)) => {
                let (at, dir) = (active.at, shown(&active.dir));
                Some(format!("{} worked in {dir} at {at}, and {}: its hooks do not fire", self.name(), heard()))
            }
            (None, None) => None,
        };
        if let Some(message) = silent {
            let fix = self.unsilenced(one.scope, active.as_ref());
            findings.push(Finding::new("HOOKS_SILENT", Severity::Error, message, fix));
        } else if last.is_none() {
            let message = format!("{} is attached and was not heard yet", self.name());
            let fix = "start the client here once and let it call a tool, then run `wfr doctor` again";
            findings.push(Finding::new("HOOKS_NOT_HEARD", Severity::Info, message, fix));
        }
    }

    /// What to do about hooks that do not fire.
    fn unsilenced(&self, scope: Scope, active: Option<&Active>) -> String {
        let root = self.open.root();
        let is_below = scope == Scope::Project && active.is_some_and(|active| active.dir != root);
        if let Some(why) = reads_only(self.client, root).filter(|_| is_below) {
            return format!("{why}: start it in {}, or run `wfr attach {} --user`", shown(root), self.name());
        }
        let look = match self.client {
            Client::Claude => "look in it (`/hooks`) whether hooks are switched off, or the directory is not trusted",
            Client::Codex => "trust the directory when it asks, and the hooks in `/hooks`",
            Client::Gemini => {
                "look in it (`/hooks`, `/permissions`) whether hooks are switched off, or the directory is not trusted"
            }
            Client::Opencode | Client::Cursor => "look in its settings whether hooks or plugins are switched off",
        };
        let below = reads_only(self.client, root).filter(|_| scope == Scope::Project && active.is_none());
        let below = below.map_or_else(String::new, |why| {
            format!(
                ", or it was started below {}: {why}, and `wfr attach {} --user` is heard there",
                shown(root),
                self.name()
            )
        });
        format!(
            "end its sessions that began before it was attached and start it again; where this stays, {look}{below}"
        )
    }

    /// Whether its shell commands are traced.
    fn shells(&self, is_attached: bool, findings: &mut Vec<Finding>) {
        let vault = self.open.vault.dir();
        let name = self.name();
        if let Some(count) = Odd::NotTold.count(vault, self.client) {
            let message = format!(
                "shell commands of {name} are observed, not traced: {} since {}, last at {}",
                times(count.times),
                count.since,
                count.last
            );
            let fix = if is_attached {
                format!("end the sessions of {name} that began before it was attached, and start it again")
            } else {
                format!(
                    "run `wfr attach {name}`, then start it again: its hooks alone, as of a plugin, cannot trace commands"
                )
            };
            findings.push(Finding::new("SHELL_OBSERVED", Severity::Warning, message, fix));
        }
        if let Some(count) = Odd::PastLauncher.count(vault, self.client) {
            let message = format!(
                "shell commands of {name} were {} since {} not run by our launcher, last at {}: what they changed was found by a look",
                times(count.times),
                count.since,
                count.last
            );
            let fix = format!("run `wfr attach {name}`, which begins to count anew, and start it again");
            findings.push(Finding::new("SHELL_UNTRACED", Severity::Warning, message, fix));
        }
    }
}
