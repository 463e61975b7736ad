//! Announcements around a recovery: the hub and whoever else is concerned are told how it stands, the resource manager is
//! asked to hold.
//!
//! Owns these messages, and the reports while a recovery runs. Refuses to send any (they go into the catalog, and out with
//! the next delivery), and to fail or delay a recovery: those of its beginning and end are written in the transactions that
//! record these anyway, and what goes wrong here is a finding.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};
use wfr_catalog::{Catalog, CatalogError, Hold, NewMessage};
use wfr_model::coordination::Coordination;
use wfr_model::finding::{Finding, Severity};
use wfr_model::message::{Priority, Request, TIMEOUT_SECONDS};
use wfr_model::recovery::{RecoveryKind, RecoveryRecord, RecoveryStatus};
use wfr_model::{Span, Timestamp};

use crate::open::Open;
use crate::results::HoldLine;
use crate::session::{Meter, Session};
use crate::{holding, mint};

/// How many recoveries of the same kind the estimate looks at, the newest ones.
const HISTORY_MAX: u32 = 200;

/// What is estimated without history: the beginning of a recovery, one file, one MiB.
const PRIOR: (Duration, Duration, Duration) =
    (Duration::from_millis(500), Duration::from_millis(1), Duration::from_millis(20));

/// How much a recovery is to do, where that is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Extent {
    /// How many files it is to change.
    pub files: Option<u64>,
    /// How many bytes these have.
    pub bytes: Option<u64>,
}

/// How long a recovery is thought to take, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Estimate {
    /// How long.
    pub length: Duration,
    /// What it is based on, in one sentence.
    pub basis: String,
}

/// A recovery that is announced. Where it is dropped without an end, that is told, too.
pub struct Announced {
    shared: Arc<Shared>,
    is_open: bool,
}

/// What the thread of reports has in common with the recovery's own.
struct Shared {
    record: RecoveryRecord,
    extent: Extent,
    /// Whether another process began it.
    is_resumed: bool,
    config: Coordination,
    catalog: PathBuf,
    clock: fn() -> Timestamp,
    meter: Arc<Meter>,
    estimate: Estimate,
    over: Mutex<bool>,
    changed: Condvar,
    findings: Mutex<Vec<Finding>>,
}

/// Whether the hub and the stakeholders are told of a recovery. The resource manager is asked to hold in any case.
fn is_told(record: &RecoveryRecord) -> bool {
    let keys = ["notify_coordination_hub", "notify_stakeholders"];
    keys.iter().all(|key| record.parameters.get(*key) != Some(&Value::Bool(false)))
}

/// How much a recovery matters: its kind says so, and an emergency's own parameter.
pub fn urgency(kind: RecoveryKind, parameters: &Value) -> Priority {
    let top = Priority::new(100).unwrap_or(Priority::RECOVERY);
    match (kind, parameters.get("priority").and_then(Value::as_str)) {
        (RecoveryKind::EmergencyRestore, None | Some("critical")) => top,
        (RecoveryKind::EmergencyRestore, Some(word)) => Priority::of(&json!(word)).unwrap_or(top),
        _ => Priority::RECOVERY,
    }
}

/// Prepares the announcements of a recovery that is about to begin. Writes nothing.
pub fn prepare(session: &Session, open: &Open, record: &RecoveryRecord, extent: Extent) -> Announced {
    let (estimate, trouble) = match estimate(&open.catalog, record.kind, extent) {
        Ok(estimate) => (estimate, None),
        Err(error) => (prior(extent), Some(error)),
    };
    let shared = shared(session, open, record.clone(), (extent, estimate));
    if let Some(error) = trouble {
        shared.found(&error);
    }
    Announced { shared: Arc::new(shared), is_open: false }
}

/// Takes up the announcements of a recovery that another process began.
pub fn take_up(session: &Session, open: &Open, record: &RecoveryRecord) -> Announced {
    let extent = Extent::default();
    let shared = Shared { is_resumed: true, ..shared(session, open, record.clone(), (extent, prior(extent))) };
    Announced { shared: Arc::new(shared), is_open: false }
}

fn shared(session: &Session, open: &Open, record: RecoveryRecord, (extent, estimate): (Extent, Estimate)) -> Shared {
    Shared {
        record,
        extent,
        is_resumed: false,
        config: open.config.coordination.clone(),
        catalog: open.vault.catalog(),
        clock: session.clock,
        meter: session.meter.clone(),
        estimate,
        over: Mutex::new(false),
        changed: Condvar::new(),
        findings: Mutex::new(Vec::new()),
    }
}

impl Announced {
    /// The messages of its beginning, with the hold that was taken over for it.
    pub fn opening(&self, preempted: Option<&Hold>) -> Vec<NewMessage> {
        let shared = &self.shared;
        let initiated = if is_told(&shared.record) { shared.initiated(preempted) } else { vec![] };
        initiated.into_iter().chain([shared.hold()]).map(|request| message(&request)).collect()
    }

    /// It has begun: from now on it is reported how it stands.
    pub fn begun(&mut self) {
        self.is_open = true;
        if is_told(&self.shared.record) {
            let reporter = self.shared.clone();
            // Without the thread there is no report in between, and nothing else is lost.
            let _ = std::thread::Builder::new().spawn(move || reporter.report_until_over());
        }
    }

    /// Ends the reports. Called before the transaction of the end, which one of them may be in the way of.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// The messages of its end: how, why where it was not well, and what came of it.
    pub fn closing(&self, status: RecoveryStatus, why: Option<&str>, summary: &Map<String, Value>) -> Vec<NewMessage> {
        let shared = &self.shared;
        // One whose check failed is whole, and about to be taken back.
        let is_well = status == RecoveryStatus::Done && why.is_none();
        let word = if is_well { "completed" } else { "failed" };
        let mut told = vec![];
        if is_told(&shared.record) {
            let mut data = shared.standing();
            data.insert("summary".to_owned(), Value::Object(summary.clone()));
            if !is_well {
                let why = why.map_or_else(|| format!("it is {}", status.as_str().replace('_', " ")), str::to_owned);
                data.extend(shared.trouble(&why));
            }
            told = shared.status(word, &data);
        }
        told.into_iter().chain([shared.release(word)]).map(|request| message(&request)).collect()
    }

    /// Its end is recorded. What went wrong with the announcements.
    pub fn ended(mut self) -> Vec<Finding> {
        self.is_open = false;
        std::mem::take(&mut *lock(&self.shared.findings))
    }

    /// Notes why messages could not be written.
    pub fn lost(&self, error: &CatalogError) {
        self.shared.found(error);
    }

    /// How long it is thought to take.
    pub fn estimate(&self) -> &Estimate {
        &self.shared.estimate
    }
}

impl Drop for Announced {
    /// One that is left unfinished is told at once; its resources stay held until it is resumed.
    fn drop(&mut self) {
        self.stop();
        if !self.is_open || !is_told(&self.shared.record) {
            return;
        }
        let mut told = self.shared.standing();
        told.insert("unfinished".to_owned(), json!(true));
        told.extend(self.shared.trouble("it has not ended: the next command that changes anything ends it"));
        self.shared.write(&self.shared.status("failed", &told));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who is told: the hub of all, who decides and the stakeholders of beginning and end, and where it fails those who are asked
/// then, too.
fn audience<'c>(config: &'c Coordination, status: &str) -> Vec<&'c str> {
    let mut audience = vec![config.hub.as_str()];
    if status != "in_progress" {
        audience.extend([config.authority.as_str()].into_iter().filter(|authority| *authority != config.component));
        audience.extend(config.stakeholders.iter().map(String::as_str));
    }
    if status == "failed" {
        audience.extend(config.escalation.iter().map(String::as_str));
    }
    let mut seen = HashSet::new();
    audience.retain(|target| seen.insert(*target));
    audience
}

fn message(request: &Request) -> NewMessage {
    NewMessage {
        message_id: request.request_id.clone(),
        kind: request.operation.clone(),
        answers: None,
        body: serde_json::to_string(request).unwrap_or_default(),
        at: request.timestamp,
    }
}

impl Shared {
    /// Writes a report each time the interval is over, until the recovery is. The lock is kept while one is written, so
    /// that none comes after the end.
    fn report_until_over(&self) {
        let Some(interval) = self.config.status_interval.duration().filter(|length| !length.is_zero()) else { return };
        let mut over = lock(&self.over);
        loop {
            let waited = self.changed.wait_timeout_while(over, interval, |over| !*over);
            let (guard, _) = waited.unwrap_or_else(PoisonError::into_inner);
            over = guard;
            if *over {
                return;
            }
            self.write(&self.status("in_progress", &self.standing()));
        }
    }

    fn stop(&self) {
        *lock(&self.over) = true;
        self.changed.notify_all();
    }

    fn found(&self, error: &CatalogError) {
        let message = format!("an announcement of recovery {} was not written: {error}", self.record.recovery_id);
        let fix = "the recovery itself is not touched by it; `wfr recoveries` tells how it ended";
        lock(&self.findings).push(Finding::new("ANNOUNCEMENT_LOST", Severity::Warning, message, fix));
    }

    /// Writes messages by themselves.
    fn write(&self, requests: &[Request]) {
        let messages: Vec<NewMessage> = requests.iter().map(message).collect();
        let written = Catalog::open(&self.catalog).and_then(|catalog| catalog.add_messages(&messages));
        if let Err(error) = written {
            self.found(&error);
        }
    }

    fn request(&self, target: &str, operation: &str, parameters: Map<String, Value>) -> Request {
        let id = self.record.recovery_id.as_str();
        Request {
            message_type: "request".to_owned(),
            request_id: mint::request(),
            correlation_id: format!("corr_{}", id.trim_start_matches("rec_")),
            timestamp: (self.clock)(),
            target_component: target.to_owned(),
            operation: operation.to_owned(),
            parameters,
            response_required: false,
            timeout_seconds: TIMEOUT_SECONDS,
        }
    }

    /// Messages in the reference's form to all who are told that; `data` is what is known besides.
    fn status(&self, status: &str, data: &Map<String, Value>) -> Vec<Request> {
        let event_type = match status {
            "completed" => "RECOVERY_COMPLETED",
            "failed" => "RECOVERY_FAILED",
            _ => "RECOVERY_INITIATED",
        };
        let parameters = json!({
            "workflow_id": self.record.workflow_id,
            "recovery_id": self.record.recovery_id,
            "status": status,
            "event_type": event_type,
            "component": self.config.component,
            "timestamp": (self.clock)(),
            "recovery_data": data,
        });
        let parameters = as_map(parameters);
        let targets = audience(&self.config, status).into_iter();
        targets.map(|target| self.request(target, "recovery-status-update", parameters.clone())).collect()
    }

    /// Where the recovery stands, with who decides and who is told.
    fn standing(&self) -> Map<String, Value> {
        use std::sync::atomic::Ordering::Relaxed;
        let record = &self.record;
        let (done, total) = (self.meter.steps.0.load(Relaxed), self.meter.steps.1.load(Relaxed));
        let elapsed = u64::try_from((self.clock)().0.saturating_sub(record.started_at.0)).unwrap_or(0);
        as_map(json!({
            "recovery_type": record.kind,
            "target": record.target,
            "coordinator": self.config.component,
            "requested_by": record.actor,
            "resumed": self.is_resumed,
            "elapsed": span(Duration::from_nanos(elapsed)),
            "progress": {"steps_completed": done, "steps_total": total},
            "authority": self.config.authority,
            "escalation": self.config.escalation,
            "stakeholders": self.config.stakeholders,
        }))
    }

    /// What is told of something that went wrong.
    fn trouble(&self, why: &str) -> Map<String, Value> {
        as_map(json!({"error": why, "escalate_to": self.config.escalation, "severity": "critical"}))
    }

    fn initiated(&self, preempted: Option<&Hold>) -> Vec<Request> {
        let mut told = self.standing();
        told.extend(as_map(json!({
            "estimated_duration": span(self.estimate.length),
            "estimate_basis": self.estimate.basis,
            "files": self.extent.files,
            "bytes": self.extent.bytes,
            "preempted": preempted.map(HoldLine::of),
        })));
        self.status("initiated", &told)
    }

    fn hold(&self) -> Request {
        let parameters = json!({
            "workflow_id": self.record.workflow_id,
            "reason": holding::RECOVERY_REASON,
            "duration": span(self.estimate.length),
            "priority": urgency(self.record.kind, &self.record.parameters),
            "requester": self.config.component,
        });
        self.request(&self.config.resource_manager, "hold-resources", as_map(parameters))
    }

    fn release(&self, status: &str) -> Request {
        let parameters = json!({
            "workflow_id": self.record.workflow_id,
            "reason": format!("{}: {status}", holding::RECOVERY_REASON),
            "requester": self.config.component,
        });
        self.request(&self.config.resource_manager, "release", as_map(parameters))
    }
}

fn as_map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A length in the protocol's words, to the millisecond.
fn span(length: Duration) -> String {
    Span::Finite(Duration::from_millis(u64::try_from(length.as_millis()).unwrap_or(u64::MAX))).to_string()
}

/// How long a recovery takes: by those of its kind that ended well, else by files and bytes.
fn estimate(catalog: &Catalog, kind: RecoveryKind, extent: Extent) -> Result<Estimate, CatalogError> {
    let took = catalog.recovery_lengths(kind, HISTORY_MAX)?;
    Ok(of_history(took, kind).unwrap_or_else(|| prior(extent)))
}

/// The median of what those before took; of an even number the longer of the two in the middle.
fn of_history(mut took: Vec<Duration>, kind: RecoveryKind) -> Option<Estimate> {
    took.sort_unstable();
    let length = *took.get(took.len() / 2)?;
    let kind = kind.as_str().replace('_', "-");
    let basis = format!("the median of {} recoveries of this kind ({kind})", took.len());
    Some(Estimate { length, basis })
}

fn prior(extent: Extent) -> Estimate {
    let (begin, file, mebibyte) = PRIOR;
    let times = |length: Duration, count: u64| length.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
    let length = begin + times(file, extent.files.unwrap_or(0)) + times(mebibyte, extent.bytes.unwrap_or(0) >> 20);
    let basis = "no recovery of this kind has ended well before: half a second, 1 ms a file, 20 ms a MiB";
    Estimate { length, basis: basis.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;
    use wfr_catalog::VaultIdentity;

    fn record(parameters: Value) -> RecoveryRecord {
        RecoveryRecord {
            recovery_id: "rec_1".parse().unwrap(),
            kind: RecoveryKind::Restore,
            workflow_id: "wf".parse().unwrap(),
            target: "ckpt_1".parse().unwrap(),
            safety_checkpoint: None,
            status: RecoveryStatus::Started,
            actor: "me".into(),
            parameters,
            undoes: None,
            undone_by: None,
            started_at: Timestamp(5),
            ended_at: None,
            report: None,
        }
    }

    fn announced(dir: &std::path::Path, interval: &str, parameters: Value) -> (Catalog, Announced) {
        let identity = VaultIdentity {
            vault_id: "0".repeat(32),
            workspace: dir.to_owned(),
            created_at: Timestamp(0),
            encrypted: false,
        };
        let catalog = Catalog::create(&dir.join("catalog.db"), &identity).unwrap();
        let mut config = Coordination { escalation: vec!["lead".into()], ..Coordination::default() };
        config.status_interval = interval.parse().unwrap();
        let extent = Extent { files: Some(1_000), bytes: Some(10 << 20) };
        let shared = Arc::new(Shared {
            record: record(parameters),
            extent,
            is_resumed: false,
            config,
            catalog: dir.join("catalog.db"),
            clock: || Timestamp(5),
            meter: Arc::new(Meter::default()),
            estimate: prior(extent),
            over: Mutex::new(false),
            changed: Condvar::new(),
            findings: Mutex::new(Vec::new()),
        });
        let mut announced = Announced { shared, is_open: false };
        catalog.add_messages(&announced.opening(None)).unwrap();
        announced.begun();
        (catalog, announced)
    }

    fn said(catalog: &Catalog) -> Vec<(String, Value)> {
        let mut rows = catalog.messages(1_000).unwrap();
        rows.reverse();
        let read = |body: &str| serde_json::from_str::<Value>(body).unwrap();
        rows.into_iter().map(|row| (row.message.kind, read(&row.message.body))).collect()
    }

    #[test]
    fn both_ends_are_told_and_nothing_comes_after() {
        let dir = tempfile::tempdir().unwrap();
        let (catalog, announced) = announced(dir.path(), "1ms", json!({}));
        let begun = Instant::now();
        while catalog.messages(9).unwrap().len() < 5 && begun.elapsed() < Duration::from_secs(60) {
            std::thread::yield_now();
        }
        announced.stop();
        let summary = as_map(json!({"changed": 3}));
        catalog.add_messages(&announced.closing(RecoveryStatus::Done, None, &summary)).unwrap();
        let findings = announced.ended();
        assert!(findings.is_empty(), "{findings:?}");
        let said = said(&catalog);
        let status = |at: usize| said[at].1["parameters"]["status"].as_str().unwrap_or_default().to_owned();
        assert_eq!((said[0].0.as_str(), status(0).as_str()), ("recovery-status-update", "initiated"));
        assert_eq!(said[0].1["target_component"], "coordination-hub");
        assert_eq!(said[0].1["parameters"]["recovery_data"]["estimated_duration"], "1s 700ms");
        let hold = &said[1].1;
        assert_eq!(
            (
                hold["operation"].as_str(),
                hold["parameters"]["reason"].as_str(),
                hold["parameters"]["priority"].as_u64()
            ),
            (Some("hold-resources"), Some("recovery_operation"), Some(95))
        );
        assert_eq!(status(2), "in_progress");
        let end = said.len() - 2;
        assert_eq!(
            (status(end).as_str(), &said[end].1["parameters"]["recovery_data"]["summary"]),
            ("completed", &json!({"changed": 3}))
        );
        assert_eq!(said[end + 1].0, "release");
        for (_, body) in &said {
            let Value::Object(fields) = body.clone() else { panic!("{body}") };
            Request::of(fields, Timestamp(0)).unwrap();
        }
    }

    #[test]
    fn those_before_say_how_long_one_takes() {
        let of = |seconds: &[u64]| {
            let took = seconds.iter().copied().map(Duration::from_secs).collect();
            of_history(took, RecoveryKind::EmergencyRestore)
        };
        assert_eq!(of(&[]), None);
        let three = of(&[9, 1, 2]).unwrap();
        assert_eq!(three.length, Duration::from_secs(2), "one that took long is no measure");
        assert!(three.basis.contains("3 recoveries") && three.basis.contains("emergency-restore"), "{}", three.basis);
        assert_eq!(of(&[1, 9, 2, 3]).unwrap().length, Duration::from_secs(3));
    }

    #[test]
    fn one_that_is_dropped_is_told_as_unfinished() {
        let dir = tempfile::tempdir().unwrap();
        let (catalog, announced) = announced(dir.path(), "1h", json!({}));
        drop(announced);
        let said = said(&catalog);
        let told = &said[2].1["parameters"];
        assert_eq!((&told["status"], &told["recovery_data"]["unfinished"]), (&json!("failed"), &json!(true)));
        assert_eq!(told["recovery_data"]["escalate_to"], json!(["lead"]));
        let targets: Vec<_> = said[2..].iter().map(|(_, body)| body["target_component"].clone()).collect();
        assert_eq!(targets, ["coordination-hub", "lead"], "who is asked then is told, and its resources stay held");
    }

    #[test]
    fn who_decides_and_who_is_concerned_is_told_of_both_ends() {
        let config = Coordination {
            authority: "boss".into(),
            stakeholders: vec!["ops".into(), "coordination-hub".into()],
            escalation: vec!["lead".into()],
            ..Coordination::default()
        };
        assert_eq!(audience(&config, "initiated"), ["coordination-hub", "boss", "ops"]);
        assert_eq!(audience(&config, "in_progress"), ["coordination-hub"]);
        assert_eq!(audience(&config, "failed"), ["coordination-hub", "boss", "ops", "lead"]);
        assert_eq!(audience(&Coordination::default(), "failed"), ["coordination-hub"], "nobody tells itself");
    }

    #[test]
    fn whoever_is_not_to_be_told_is_not() {
        for key in ["notify_coordination_hub", "notify_stakeholders"] {
            let dir = tempfile::tempdir().unwrap();
            let (catalog, announced) = announced(dir.path(), "1h", json!({key: false}));
            let closing = announced.closing(RecoveryStatus::Aborted, Some("no room"), &Map::new());
            catalog.add_messages(&closing).unwrap();
            announced.ended();
            let kinds: Vec<String> = said(&catalog).into_iter().map(|(kind, _)| kind).collect();
            assert_eq!(kinds, ["hold-resources", "release"]);
        }
    }

    #[test]
    fn a_report_that_cannot_be_written_is_a_finding() {
        let dir = tempfile::tempdir().unwrap();
        let (catalog, announced) = announced(dir.path(), "1ms", json!({}));
        drop(catalog);
        std::fs::remove_file(dir.path().join("catalog.db")).unwrap();
        let begun = Instant::now();
        while lock(&announced.shared.findings).is_empty() && begun.elapsed() < Duration::from_secs(60) {
            std::thread::yield_now();
        }
        announced.stop();
        assert_eq!(announced.ended()[0].code, "ANNOUNCEMENT_LOST");
    }

    #[test]
    fn an_emergency_says_how_urgent_it_is() {
        let of = |kind, parameters: Value| urgency(kind, &parameters).get();
        assert_eq!(of(RecoveryKind::EmergencyRestore, json!({"priority": "critical"})), 100);
        assert_eq!(of(RecoveryKind::EmergencyRestore, json!({})), 100);
        assert_eq!(of(RecoveryKind::EmergencyRestore, json!({"priority": "medium"})), 40);
        assert_eq!(of(RecoveryKind::Restore, json!({"priority": "low"})), 95);
    }
}
