//! A coordination hub's directory, or one of its documents.
//!
//! Owns its layout: `workflows/{active,completed,failed}`, `events`, `agent_pools`, `checkpoints`; states that lie directly in
//! `workflows` are taken, too. A file that cannot be read is named and passed over; the rest goes on. Refuses to write there.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use wfr_model::event::Draft;
use wfr_model::workflow::AgentStatus;
use wfr_model::workflow::document::note_order;
use wfr_model::{Timestamp, WorkflowId, json as text};

use super::order::Logs;
use super::{Reading, Update, event_id, text_of};
use crate::error::{Code, Failure, code_of_io};

/// The longest log of events, in bytes.
const LOG_BYTES_MAX: usize = 1 << 30;

/// Lines of a log that are named one by one where they are no events.
const LINES_NAMED_MAX: usize = 20;

/// The directories of states below `workflows`, and how a workflow stands whose state is there.
const STANDS: [(&str, &str); 3] = [("active", "running"), ("completed", "completed"), ("failed", "failed")];

/// Reads a hub's directory, a directory that has one below `.claude`, or one document.
pub fn read(path: &Path, workflow: Option<WorkflowId>, now: Timestamp) -> Result<Reading, Failure> {
    let mut reading = Reading::default();
    if !is_dir(path)? {
        let doc = document(path)?;
        let (workflow, fields) = of_workflow(doc, workflow, path)?;
        reading.said(workflow).updates.push(Update::Fields(fields));
        return Ok(reading);
    }
    let below = path.join(".claude/coordination");
    let root = if is_dir(&below)? { below } else { path.to_owned() };
    if !is_dir(&root.join("workflows"))? && !is_dir(&root.join("events"))? {
        let message = format!("{} is no coordination hub: it has neither `workflows` nor `events`", root.display());
        return Err(Failure::new(Code::DocumentInvalid, message).with_hint("name `.claude/coordination`, or one file"));
    }
    Directory { root: root.clone(), only: workflow.clone(), now }.read(&mut reading)?;
    if let Some(asked) = workflow.filter(|_| reading.workflows.is_empty()) {
        let message = format!("{} says nothing of workflow `{asked}`", root.display());
        return Err(
            Failure::new(Code::DocumentInvalid, message).with_hint("leave out `--workflow-id`: all are imported")
        );
    }
    Ok(reading)
}

struct Directory {
    root: PathBuf,
    /// The one workflow that is asked for.
    only: Option<WorkflowId>,
    now: Timestamp,
}

impl Directory {
    fn read(&self, reading: &mut Reading) -> Result<(), Failure> {
        let mut logs = Logs::default();
        for file in self.files("events", "jsonl", reading)? {
            logs.next_log();
            self.log(&file, &mut logs, reading)?;
        }
        let pools = self.pools(reading)?;
        for (dir, status) in STANDS {
            for file in self.files(&format!("workflows/{dir}"), "json", reading)? {
                self.workflow(&file, Some(status), &pools, reading)?;
            }
        }
        for file in self.files("workflows", "json", reading)? {
            self.workflow(&file, None, &pools, reading)?;
        }
        order(logs, reading);
        let kept = self.root.join("checkpoints");
        if is_dir(&kept)? {
            let why = "a hub's checkpoints hold no files: take one with `wfr create-checkpoint`";
            reading.ignore("checkpoints", why);
        }
        Ok(())
    }

    /// The files of a directory, by name; others are named, but for directories that are read by themselves.
    fn files(&self, dir: &str, end: &str, reading: &mut Reading) -> Result<Vec<PathBuf>, Failure> {
        let path = self.root.join(dir);
        if !is_dir(&path)? {
            return Ok(vec![]);
        }
        let mut files = Vec::new();
        for entry in std::fs::read_dir(path)? {
            let path = entry?.path();
            let place = self.place(&path);
            let is_dir = path.is_dir();
            if is_dir && STANDS.iter().any(|(stand, _)| place == format!("workflows/{stand}")) {
                continue;
            }
            if is_dir {
                reading.ignore(place, "it is a directory that no hub has: what is in it was not read");
            } else if path.extension().is_some_and(|found| found == end) {
                files.push(path);
            } else {
                reading.ignore(place, format!("it is no `.{end}` file"));
            }
        }
        files.sort();
        Ok(files)
    }

    fn place(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).to_string_lossy().into_owned()
    }

    fn log(&self, path: &Path, logs: &mut Logs, reading: &mut Reading) -> Result<(), Failure> {
        let text = match text_of(path, LOG_BYTES_MAX) {
            Ok(text) => text,
            Err(failure) => return self.pass_over(path, failure, reading),
        };
        let mut alike: HashMap<&str, u64> = HashMap::new();
        let mut refused = 0;
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let nth = alike.entry(line).or_default();
            *nth += 1;
            match Draft::read(line) {
                Ok(draft) => self.event(draft, line, *nth, logs)?,
                Err(error) => {
                    refused += 1;
                    if refused <= LINES_NAMED_MAX {
                        reading.ignore(format!("{}:{}", self.place(path), index + 1), error.to_string());
                    }
                }
            }
        }
        if refused > LINES_NAMED_MAX {
            let more = refused - LINES_NAMED_MAX;
            reading.ignore(self.place(path), format!("{more} more lines are no events"));
        }
        Ok(())
    }

    /// An event without an id gets one of its content, so that it is the same one when it is read again.
    fn event(&self, draft: Draft, line: &str, nth: u64, logs: &mut Logs) -> Result<(), Failure> {
        if self.only.is_some() && draft.workflow_id != self.only {
            return Ok(());
        }
        let id = match &draft.event_id {
            Some(id) => id.clone(),
            None => event_id(&["hub event", line, &nth.to_string()])?,
        };
        logs.push(draft.timestamp, draft.complete(|| id, self.now, "coordination-hub"));
        Ok(())
    }

    /// A document that says nothing usable is named, and the rest goes on; one that the system does not give fails the
    /// whole, so that nothing is taken for all there is.
    fn pass_over(&self, path: &Path, failure: Failure, reading: &mut Reading) -> Result<(), Failure> {
        if !matches!(failure.code, Code::DocumentInvalid | Code::InvalidParameter) {
            return Err(failure);
        }
        reading.ignore(self.place(path), failure.to_string());
        Ok(())
    }

    /// A state in a directory that says how its workflow stands, or in none of these: then a state in one of them holds.
    fn workflow(&self, path: &Path, status: Option<&str>, pools: &Pools, reading: &mut Reading) -> Result<(), Failure> {
        let read = document(path).and_then(|doc| of_workflow(doc, None, path));
        let (workflow, mut fields) = match read {
            Ok(read) => read,
            Err(failure) => return self.pass_over(path, failure, reading),
        };
        if self.only.as_ref().is_some_and(|only| *only != workflow) {
            return Ok(());
        }
        if status.is_none() && reading.workflows.get(&workflow).is_some_and(|said| !said.updates.is_empty()) {
            let why = format!("another document of the hub has the state of {workflow}, and that one came in");
            reading.ignore(self.place(path), why);
            return Ok(());
        }
        if let Some(status) = status {
            fields.entry("status").or_insert_with(|| status.into());
        }
        take_pools(&mut fields, pools);
        reading.said(workflow).updates.push(Update::Fields(fields));
        Ok(())
    }

    /// What the pools say of each agent, and their own figures.
    fn pools(&self, reading: &mut Reading) -> Result<Pools, Failure> {
        let mut pools = Pools::default();
        for file in self.files("agent_pools", "json", reading)? {
            match document(&file) {
                Ok(doc) => pools.add(&file, doc),
                Err(failure) => self.pass_over(&file, failure, reading)?,
            }
        }
        Ok(pools)
    }
}

/// Places the events of the logs around the states that were read.
fn order(mut logs: Logs, reading: &mut Reading) {
    let workflows: Vec<WorkflowId> = logs.workflows().cloned().collect();
    for workflow in workflows {
        let said = reading.said(workflow.clone());
        let around = logs.take(Some(&workflow), said.updates.iter().filter_map(Update::written_at).max());
        (said.events, said.later) = (around.before, around.after);
        if around.belated > 0 {
            let events = if around.belated == 1 { "1 event is" } else { &format!("{} events are", around.belated) };
            let why = format!("{events} older than this state, but behind later ones in a log: counted after it");
            reading.ignore(format!("workflow {workflow}"), why);
        }
    }
    reading.global = logs.take(None, None).before.into_iter().map(|one| one.event).collect();
}

/// Fills in what the pools say of a state's agents, and how these stand.
fn take_pools(fields: &mut Map<String, Value>, pools: &Pools) {
    for key in ["agent_assignments", "agents"] {
        let Some(Value::Object(agents)) = fields.get_mut(key) else { continue };
        for (id, agent) in agents {
            // A hub does not say how an agent stands: one that has a task works on it.
            if let Value::Object(agent) = &mut *agent
                && agent.get("current_task").is_some_and(Value::is_string)
            {
                agent.entry("status").or_insert_with(|| AgentStatus::InProgress.as_str().into());
            }
            let (Some(pool), Value::Object(agent)) = (pools.agents.get(id), agent) else { continue };
            let role = pool.get("specialization").filter(|_| !agent.contains_key("role"));
            agent.extend(role.map(|role| ("role".to_owned(), role.clone())));
            agent.insert("pool".to_owned(), pool.clone());
        }
    }
    let figures = pools.of(fields);
    if !figures.is_empty() {
        fields.insert("agent_pools".to_owned(), figures.into());
    }
}

/// The pools of agents that a hub keeps.
#[derive(Default)]
struct Pools {
    /// What is measured of each agent.
    agents: Map<String, Value>,
    /// Each pool's name, the rest of its document, and whose measures stand in it.
    figures: Vec<(String, Map<String, Value>, Vec<String>)>,
}

impl Pools {
    fn add(&mut self, file: &Path, mut doc: Map<String, Value>) {
        const MEASURES: &str = "performance_metrics";
        let outer = doc.shift_remove(MEASURES);
        let inner =
            doc.get_mut("agent_pool").and_then(Value::as_object_mut).and_then(|pool| pool.shift_remove(MEASURES));
        let Some(Value::Object(measures)) = outer.or(inner).or_else(|| Some(json!({}))) else { return };
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        self.figures.push((name, doc, measures.keys().cloned().collect()));
        self.agents.extend(measures);
    }

    /// The figures of the pools that have agents of a workflow, or name none.
    fn of(&self, fields: &Map<String, Value>) -> Map<String, Value> {
        let agents = ["agent_assignments", "agents"].iter().filter_map(|key| fields.get(*key)?.as_object());
        let ours: Vec<&String> = agents.flat_map(Map::keys).collect();
        let concern = |of: &[String]| of.is_empty() || of.iter().any(|id| ours.contains(&id));
        let figures = self.figures.iter().filter(|(_, doc, of)| !doc.is_empty() && concern(of));
        figures.map(|(name, doc, _)| (name.clone(), doc.clone().into())).collect()
    }
}

/// Whether a directory is there; that the system does not say is an error.
fn is_dir(path: &Path) -> Result<bool, Failure> {
    match std::fs::metadata(path) {
        Ok(meta) => Ok(meta.is_dir()),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
        Err(error) => {
            let failure = Failure::new(code_of_io(&error), format!("cannot look at {}", path.display()));
            Err(failure.with_details(error.to_string()))
        }
    }
}

/// The document of a file.
pub fn document(path: &Path) -> Result<Map<String, Value>, Failure> {
    let read = text_of(path, text::DOCUMENT_BYTES_MAX)?;
    text::parse_document(&read).map_err(|error| {
        let failure = Failure::new(Code::DocumentInvalid, format!("{} cannot be read: {error}", path.display()));
        failure.with_hint("mend the file, or name another one: nothing was changed")
    })
}

/// Keys of which a state has one at least.
const STATE: &[&str] = &[
    "status",
    "phases",
    "tasks",
    "current_phase",
    "agent_assignments",
    "agents",
    "completed_tasks",
    "pending_tasks",
    "configuration",
    "metrics",
    "allocations",
    "resource_allocations",
    "progress_percentage",
    "state_version",
    "name",
];

/// Parts of a state that stand beside the state of a document, not in it, and so are none of it; in words.
pub fn beside_state(doc: &Map<String, Value>) -> Vec<String> {
    const PARTS: [&str; 5] = ["phases", "tasks", "agents", "agent_assignments", "allocations"];
    let Some((wrapper, Value::Object(inner))) = WRAPPERS.iter().find_map(|key| doc.get_key_value(*key)) else {
        return vec![];
    };
    let beside = PARTS.iter().filter(|key| doc.contains_key(**key));
    let words = beside.map(|key| format!("`{key}`: it stands beside `{wrapper}`, not in it"));
    words.chain(beside_state(inner)).collect()
}

/// What a state may stand in, from the outside to the inside.
const WRAPPERS: [&str; 3] = ["checkpoint", "workflow_state", "workflow_status"];

/// What a checkpoint says of its phase: its number and its name, where it says both.
fn phase_of(checkpoint: &Map<String, Value>) -> Option<Value> {
    let (id, name) = (checkpoint.get("phase_id")?, checkpoint.get("phase_name")?);
    (!id.is_null() && name.is_string()).then(|| json!({"phase_id": id, "name": name}))
}

/// Whose state a document is, and its fields: a hub's `workflow_state`, bare or not, or a checkpoint of the reference.
pub fn of_workflow(
    mut doc: Map<String, Value>,
    asked: Option<WorkflowId>,
    path: &Path,
) -> Result<(WorkflowId, Map<String, Value>), Failure> {
    let mut ids: Vec<Value> = Vec::new();
    let mut note =
        |doc: &Map<String, Value>| ids.extend(["id", "workflow_id"].iter().filter_map(|key| doc.get(*key).cloned()));
    note(&doc);
    let (mut dependencies, mut phase) = (None, None);
    for wrapper in WRAPPERS {
        if !doc.get(wrapper).is_some_and(Value::is_object) {
            continue;
        }
        if let Some(Value::Object(inner)) = doc.shift_remove(wrapper) {
            dependencies =
                dependencies.or_else(|| inner.get("dependencies").filter(|_| wrapper == "checkpoint").cloned());
            phase = phase.or_else(|| phase_of(&inner).filter(|_| wrapper == "checkpoint"));
            note(&inner);
            doc = inner;
        }
    }
    doc.extend(dependencies.map(|those| ("dependencies".to_owned(), those)));
    if let Some(phase) = phase.filter(|_| !doc.contains_key("phases")) {
        doc.insert("phases".to_owned(), json!([phase]));
    }
    if !STATE.iter().any(|key| doc.contains_key(*key)) {
        let message = format!("{} holds no workflow's state", path.display());
        let hint = "a hub's document has `status` and `phases`, a checkpoint's `current_phase`";
        return Err(Failure::new(Code::DocumentInvalid, message).with_hint(hint));
    }
    let named: Option<WorkflowId> = ids.iter().rev().find_map(|id| id.as_str()?.parse().ok());
    if let (None, None, Some(wrong)) = (&asked, &named, ids.iter().rev().find(|id| !id.is_null())) {
        let shown: String = wrong.to_string().chars().take(80).collect();
        let message = format!("{} is of {shown}, which can be no workflow's id", path.display());
        return Err(Failure::new(Code::DocumentInvalid, message).with_hint("name it with `--workflow-id ID`"));
    }
    let of_file = || path.file_stem()?.to_str()?.parse().ok();
    let workflow = asked.or(named).or_else(of_file).ok_or_else(|| {
        Failure::new(Code::DocumentInvalid, format!("{} names no workflow", path.display()))
            .with_hint("name it with `--workflow-id ID`")
    })?;
    doc.insert("id".to_owned(), json!(workflow));
    note_order(&mut doc);
    Ok((workflow, doc))
}
