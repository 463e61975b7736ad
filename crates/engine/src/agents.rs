//! What agents may do: the operations that they are offered, plans before deeds, and who applies a plan.
//!
//! Owns the policy. Refuses to know by which protocol an agent asks.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value, json};
use wfr_model::config::MayApply;
use wfr_model::path::unescape;

use crate::error::{Code, Failure};
use crate::operation::places::holds;
use crate::operation::{self, Effect, Mark, Operation, acting};
use crate::params::values::{HOST_PATH_FORMAT, PATH_AND_FILE_FORMAT};
use crate::repositories::quoted;
use crate::response::{Outcome, Response};
use crate::session::Session;
use crate::workspace;

/// Keys that only a person's call may have: they agree to something, run a command, ask at a terminal, or go on for ever.
const OF_PEOPLE: [&str; 7] =
    ["yes", "interactive", "allow_config", "functional_check", "functional_check_timeout", "watch", "follow"];

/// Keys whose values are names of states, or files.
const STATES: [&str; 3] = ["primary_state", "secondary_states", "base_state"];

/// What whoever offers an operation may say of it beforehand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hints {
    /// It changes nothing.
    pub reads_only: bool,
    /// It may replace or take away what was there.
    pub destructive: bool,
    /// Calling it again in the same way changes nothing more.
    pub idempotent: bool,
    /// It reaches other machines.
    pub open_world: bool,
}

/// An operation as agents are offered it.
pub struct Offer {
    /// The operation.
    pub operation: &'static Operation,
    /// The JSON Schema of the parameters that an agent may give.
    pub parameters: Value,
    /// The key that makes a call a plan, of an operation in two steps.
    plan: Option<&'static str>,
    /// Keys that name places of this machine, and whether it is behind a `PATH=`.
    places: Vec<(String, bool)>,
}

impl Offer {
    fn of(operation: &'static Operation) -> Self {
        let mut parameters = (operation.parameters)();
        let mut places = Vec::new();
        let mut plan = None;
        if let Some(properties) = parameters.get_mut("properties").and_then(Value::as_object_mut) {
            OF_PEOPLE.iter().for_each(|key| drop(properties.remove(*key)));
            let has = |key: &&str| properties.contains_key(*key);
            plan = ["plan", "dry_run"].into_iter().find(has).filter(|_| has(&"apply"));
            let formats = [(HOST_PATH_FORMAT, false), (PATH_AND_FILE_FORMAT, true)];
            for (format, is_behind) in formats {
                let those = properties.iter().filter(|(_, schema)| holds(schema, &[format]));
                places.extend(those.map(|(key, _)| (key.clone(), is_behind)));
            }
        }
        Self { operation, parameters, plan, places }
    }

    /// What it says of itself beforehand.
    pub fn hints(&self) -> Hints {
        let is = |mark| self.operation.is(mark);
        let is_reading = self.operation.effect == Effect::Reads;
        // What only a person may change an agent can only look at; what reads may write its result to a file.
        let reads_only = is_reading && self.places.is_empty() || is(Mark::ByPerson);
        Hints {
            reads_only,
            destructive: !reads_only
                && (self.plan.is_some() || self.operation.effect == Effect::Recovers || is(Mark::Replaces)),
            idempotent: is_reading || reads_only || is(Mark::Repeatable),
            open_world: is(Mark::Reaches),
        }
    }

    /// Whether what it does is planned first.
    pub fn has_two_steps(&self) -> bool {
        self.plan.is_some()
    }

    /// Calls it for an agent: a plan where no digest is given, else what the plan says, where agents may.
    pub fn call(&self, session: &mut Session, mut parameters: Map<String, Value>) -> Result<Outcome, Failure> {
        let asked = parameters.clone();
        self.refuse_keys(session, &mut parameters)?;
        let mut parameters = self.operation.bind(session, &[], parameters)?;
        self.refuse_places(session, &parameters)?;
        let acts = || acting::acts(self.operation.name, self.operation.effect, &Value::Object(parameters.clone()));
        if self.operation.is(Mark::ByPerson) && acts() {
            return Err(self.for_people(session, "it changes what wfr itself goes by", asked, None));
        }
        let Some(plan) = self.plan else { return (self.operation.run)(session, Value::Object(parameters)) };
        let digest = parameters.get("apply").and_then(Value::as_str).map(str::to_owned);
        let is_plan = parameters.get(plan) == Some(&Value::Bool(true));
        match digest.filter(|_| !is_plan) {
            Some(_) if may_apply(session)? => (self.operation.run)(session, Value::Object(parameters)),
            Some(digest) => {
                Err(self.for_people(session, "agents may make plans, a person applies them", asked, Some(&digest)))
            }
            None => {
                parameters.remove("apply");
                parameters.insert(plan.to_owned(), true.into());
                let planned = (self.operation.run)(session, Value::Object(parameters))?;
                self.with_way_on(session, planned, asked)
            }
        }
    }

    /// A plan with what makes it happen.
    fn with_way_on(&self, session: &Session, planned: Outcome, asked: Map<String, Value>) -> Result<Outcome, Failure> {
        let value = planned.result.to_value();
        let digest = value.pointer("/plan/digest").or_else(|| value.get("digest")).and_then(Value::as_str);
        let Some(digest) = digest.filter(|_| !is_nothing(&value)) else { return Ok(planned) };
        if value.pointer("/plan/conflicts").and_then(Value::as_array).is_some_and(|all| !all.is_empty()) {
            return Ok(
                planned.with_next_step("nothing was changed: decide the plan's conflicts first, then call it again")
            );
        }
        Ok(planned.with_next_step(if may_apply(session)? {
            format!("nothing was changed: to apply this plan, call it again with `apply` set to `{digest}`")
        } else {
            let command = self.command(session, asked, Some(digest));
            format!("nothing was changed: this is for a person to apply, on the command line: {command}")
        }))
    }

    /// Refuses keys that are a person's, and drops those that say no.
    fn refuse_keys(&self, session: &Session, parameters: &mut Map<String, Value>) -> Result<(), Failure> {
        for key in OF_PEOPLE {
            match parameters.get(key) {
                None => {}
                Some(Value::Null | Value::Bool(false)) => drop(parameters.remove(key)),
                Some(_) => {
                    let asked = parameters.clone();
                    return Err(self.for_people(session, &format!("`{key}` is for a person to say"), asked, None));
                }
            }
        }
        Ok(())
    }

    /// Refuses places of this machine that lie outside the workspace, by whatever links they lead there.
    fn refuse_places(&self, session: &Session, parameters: &Map<String, Value>) -> Result<(), Failure> {
        for (key, text) in self.named_places(parameters) {
            let bytes = unescape(text).ok_or_else(|| {
                Failure::new(Code::InvalidParameter, format!(r"`{key}`: a backslash must be `\\` or `\xHH`"))
            })?;
            let named = OsStr::from_bytes(&bytes);
            let place = session.directories.current.join(named);
            let root = real(&workspace::locate(&session.directories)?.root);
            if !real(&place).zip(root).is_some_and(|(place, root)| place.starts_with(root)) {
                let why = format!("`{key}`: {} lies outside the workspace", place.display());
                return Err(self.for_people(session, &why, parameters.clone(), None));
            }
        }
        Ok(())
    }

    /// Every place of this machine that the parameters name, with its key.
    fn named_places<'p>(&'p self, parameters: &'p Map<String, Value>) -> Vec<(&'p str, &'p str)> {
        let texts = |key: &str| -> Vec<&'p str> {
            match parameters.get(key) {
                Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
                Some(Value::String(text)) => vec![text.as_str()],
                _ => vec![],
            }
        };
        let mut found = Vec::new();
        for (key, is_behind) in &self.places {
            let file =
                |text: &'p str| if *is_behind { text.split_once('=').map_or("", |(_, file)| file) } else { text };
            found.extend(texts(key).into_iter().map(|text| (key.as_str(), file(text))));
        }
        if self.parameters["properties"].get(STATES[0]).is_some() {
            let is_file = |text: &&str| text.contains('/') || text.ends_with(".json");
            found.extend(
                STATES.iter().flat_map(|key| texts(key).into_iter().filter(is_file).map(move |text| (*key, text))),
            );
        }
        found
    }

    /// The refusal of what a person must call, with the command that does it.
    fn for_people(&self, session: &Session, why: &str, asked: Map<String, Value>, digest: Option<&str>) -> Failure {
        let command = self.command(session, asked, digest);
        Failure::new(Code::NotForAgents, format!("{why}: nothing was changed"))
            .with_hint(format!("ask a person to run it on the command line: {command}"))
    }

    /// The command line of a call.
    fn command(&self, session: &Session, mut asked: Map<String, Value>, digest: Option<&str>) -> String {
        asked.remove("apply");
        let is_no = |value: &Value| matches!(value, Value::Null);
        asked.retain(|key, value| !is_no(value) && (digest.is_none() || self.plan != Some(key)));
        let mut words = vec!["wfr".to_owned(), self.operation.name.to_owned()];
        if !asked.is_empty() {
            words.push(quoted(&Value::Object(asked).to_string()));
        }
        if let Ok(place) = workspace::locate(&session.directories) {
            words.extend(["--workspace".to_owned(), quoted(&place.root.to_string_lossy())]);
        }
        words.extend(digest.iter().flat_map(|digest| ["--apply".to_owned(), (*digest).to_owned()]));
        words.join(" ")
    }
}

/// Whether a plan does nothing, and nothing is in its way.
fn is_nothing(result: &Value) -> bool {
    const DEEDS: [&str; 10] = [
        "steps",
        "conflicts",
        "root",
        "state_changes",
        "removed",
        "changes",
        "repairs",
        "lost",
        "events_back",
        "fold_again",
    ];
    let plan = result.get("plan").unwrap_or(result);
    let is_none = |value: &Value| [Value::Null, false.into(), 0.into(), json!([])].contains(value);
    DEEDS.iter().all(|key| plan.get(key).is_none_or(is_none))
}

/// A path as the system would follow it, links and all, as far as it is there; `None` where what is not there yet goes upwards.
fn real(path: &Path) -> Option<PathBuf> {
    let (above, real) = path.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)))?;
    let rest = path.strip_prefix(above).ok()?;
    let is_down = rest.components().all(|part| matches!(part, Component::Normal(_)));
    is_down.then(|| real.join(rest))
}

/// Whether the configuration lets agents apply plans. Where it cannot be used they may not.
fn may_apply(session: &Session) -> Result<bool, Failure> {
    let open = session.open()?;
    Ok(open.broken.is_none() && open.config.agents.may_apply == MayApply::Always)
}

/// Every operation that agents are offered, in the order in which help lists them.
pub fn offers() -> Vec<Offer> {
    operation::ALL.iter().filter(|operation| !operation.is(Mark::OfProcess)).map(Offer::of).collect()
}

/// The JSON Schema of an answer: the envelope, and in one that tells of success the operation's own result.
pub fn answer_schema(operation: &Operation) -> Value {
    let mut envelope = schemars::generate::SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<Response>()
        .to_value();
    let mut result = (operation.result)();
    let definitions = result.as_object_mut().and_then(|result| {
        result.remove("$schema");
        result.remove("$defs")
    });
    envelope["title"] = operation.name.into();
    if let Some(definitions) = definitions {
        envelope["$defs"] = definitions;
    }
    // What an operation had found out before it failed has its own form: a plan, or a part of the result.
    envelope["if"] = json!({"properties": {"status": {"const": "success"}}});
    envelope["then"] = json!({"properties": {"result": result}, "required": ["result"]});
    envelope
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(name: &str) -> [bool; 3] {
        let found = offers().into_iter().find(|offer| offer.operation.name == name).expect("it is offered");
        let Hints { reads_only, destructive, idempotent, .. } = found.hints();
        [reads_only, destructive, idempotent]
    }

    #[test]
    fn what_is_said_beforehand_follows_from_the_definitions() {
        let (t, f) = (true, false);
        for (name, is) in [
            ("list-checkpoints", [t, f, t]),
            ("export", [f, f, t]),
            ("create-checkpoint", [f, f, f]),
            ("config", [t, f, t]),
            ("doctor", [t, f, t]),
            ("restore", [f, t, t]),
            ("rollback", [f, t, t]),
            ("undo", [f, t, f]),
            ("cleanup-checkpoints", [f, t, t]),
            ("merge-states", [f, t, f]),
            ("update-state", [f, t, f]),
        ] {
            assert_eq!(hints(name), is, "{name}");
        }
    }

    #[test]
    fn every_recovery_has_two_steps_and_no_offer_has_a_persons_keys() {
        for offer in offers() {
            let name = offer.operation.name;
            assert!(offer.operation.effect != Effect::Recovers || offer.has_two_steps(), "{name}");
            assert!(OF_PEOPLE.iter().all(|key| offer.parameters["properties"].get(key).is_none()), "{name}");
        }
        let none = ["init", "guard", "exec", "watch", "request", "upkeep"];
        assert!(offers().iter().all(|offer| !none.contains(&offer.operation.name)));
    }
}
