//! Announcements around a recovery: the hub is told how it stands, the resource manager is asked to hold.
//!
//! Owns these messages and when they are written. Refuses to send any (they go into the catalog, and out with the next
//! delivery), and to fail or delay a recovery: what goes wrong here is a finding.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use wfr_catalog::{Catalog, CatalogError, NewMessage, RecoveryFilter};
use wfr_model::coordination::Coordination;
use wfr_model::finding::{Finding, Severity};
use wfr_model::message::{Priority, Request, TIMEOUT_SECONDS};
use wfr_model::recovery::{RecoveryKind, RecoveryStatus};
use wfr_model::{RecoveryId, Span, Timestamp, WorkflowId};

use crate::open::Open;
use crate::session::{Meter, Session};
use crate::{holding, mint};

/// How many recoveries of the same kind the estimate looks at, the newest ones.
const HISTORY_MAX: u32 = 200;

/// What is estimated without history: the beginning of a recovery, one file, one MiB.
const PRIOR: (Duration, Duration, Duration) =
    (Duration::from_millis(500), Duration::from_millis(1), Duration::from_millis(20));

/// A recovery that begins.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// Which.
    pub recovery_id: RecoveryId,
    /// What kind it is.
    pub kind: RecoveryKind,
    /// Whose.
    pub workflow: WorkflowId,
    /// What it aims at, for people and programs: a checkpoint's id.
    pub target: String,
    /// How many files it is to change, where that is known.
    pub files: Option<u64>,
    /// How many bytes these have, where that is known.
    pub bytes: Option<u64>,
    /// Whether the hub and the stakeholders are told. The resource manager is asked to hold in any case.
    pub notify: bool,
}

/// How long a recovery is thought to take, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Estimate {
    /// How long.
    pub length: Duration,
    /// What it is based on, in one sentence.
    pub basis: String,
}

/// A recovery that was announced. Its end is announced, too: as failed, where it is dropped without a word.
pub struct Announced {
    shared: Arc<Shared>,
    ended: bool,
}

/// What the thread of reports has in common with the recovery's own.
struct Shared {
    announcement: Announcement,
    config: Coordination,
    catalog: PathBuf,
    clock: fn() -> Timestamp,
    meter: Arc<Meter>,
    actor: String,
    estimate: Estimate,
    begun: Instant,
    over: Mutex<bool>,
    changed: Condvar,
    findings: Mutex<Vec<Finding>>,
}

/// Announces a recovery, and reports how it stands from now on.
pub fn begin(session: &Session, open: &Open, announcement: Announcement) -> Announced {
    let config = open.config.coordination.clone();
    let (estimate, trouble) = match estimate(&open.catalog, &announcement) {
        Ok(estimate) => (estimate, None),
        Err(error) => (prior(&announcement), Some(error)),
    };
    let shared = Arc::new(Shared {
        announcement,
        config,
        catalog: open.vault.catalog(),
        clock: session.clock,
        meter: session.meter.clone(),
        actor: session.actor.clone(),
        estimate,
        begun: Instant::now(),
        over: Mutex::new(false),
        changed: Condvar::new(),
        findings: Mutex::new(Vec::new()),
    });
    if let Some(error) = trouble {
        shared.found(&error);
    }
    shared.write(&open.catalog, &[shared.initiated(), Some(shared.hold())]);
    if shared.announcement.notify {
        let reporter = shared.clone();
        std::thread::spawn(move || reporter.report_until_over());
    }
    Announced { shared, ended: false }
}

impl Announced {
    /// Announces that it ended well, with what came of it; what went wrong with the announcements.
    pub fn completed(mut self, catalog: &Catalog, summary: &Value) -> Vec<Finding> {
        self.end(catalog, "completed", json!({"summary": summary}))
    }

    /// Announces that it failed, and why; what went wrong with the announcements.
    pub fn failed(mut self, catalog: &Catalog, why: &str, summary: &Value) -> Vec<Finding> {
        let escalation = &self.shared.config.escalation;
        let fields = json!({"error": why, "summary": summary, "escalate_to": escalation, "severity": "critical"});
        self.end(catalog, "failed", fields)
    }

    /// How long it is thought to take.
    pub fn estimate(&self) -> &Estimate {
        &self.shared.estimate
    }

    fn end(&mut self, catalog: &Catalog, status: &str, fields: Value) -> Vec<Finding> {
        self.ended = true;
        self.shared.stop();
        let mut told = self.shared.standing(status);
        if let Value::Object(fields) = fields {
            told.extend(fields);
        }
        let update = self.shared.announcement.notify.then(|| self.shared.to_hub(told));
        self.shared.write(catalog, &[update, Some(self.shared.release(status))]);
        std::mem::take(&mut *lock(&self.shared.findings))
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        match Catalog::open(&self.shared.catalog) {
            Ok(catalog) => {
                let fields = json!({"error": "it ended without a result", "severity": "critical"});
                self.end(&catalog, "failed", fields);
            }
            Err(_) => self.shared.stop(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
            match Catalog::open(&self.catalog) {
                Ok(catalog) => self.write(&catalog, &[Some(self.to_hub(self.standing("in_progress")))]),
                Err(error) => self.found(&error),
            }
        }
    }

    fn stop(&self) {
        *lock(&self.over) = true;
        self.changed.notify_all();
    }

    fn found(&self, error: &CatalogError) {
        let message = format!("an announcement of recovery {} was not written: {error}", self.announcement.recovery_id);
        let fix = "the recovery itself is not touched by it; `wfr recoveries` tells how it ended";
        lock(&self.findings).push(Finding::new("ANNOUNCEMENT_LOST", Severity::Warning, message, fix));
    }

    fn write(&self, catalog: &Catalog, requests: &[Option<Request>]) {
        let message = |request: &Request| NewMessage {
            message_id: request.request_id.clone(),
            kind: request.operation.clone(),
            answers: None,
            body: serde_json::to_string(request).unwrap_or_default(),
            at: request.timestamp,
        };
        let messages: Vec<NewMessage> = requests.iter().flatten().map(message).collect();
        if let Err(error) = catalog.add_messages(&messages) {
            self.found(&error);
        }
    }

    fn request(&self, target: &str, operation: &str, parameters: Map<String, Value>) -> Request {
        let id = self.announcement.recovery_id.as_str();
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

    fn to_hub(&self, parameters: Map<String, Value>) -> Request {
        self.request(&self.config.hub, "recovery-status-update", parameters)
    }

    /// Where the recovery stands, with who decides and who is told.
    fn standing(&self, status: &str) -> Map<String, Value> {
        use std::sync::atomic::Ordering::Relaxed;
        let one = &self.announcement;
        let (done, total) = (self.meter.steps.0.load(Relaxed), self.meter.steps.1.load(Relaxed));
        let standing = json!({
            "workflow_id": one.workflow,
            "recovery_id": one.recovery_id,
            "status": status,
            "recovery_type": one.kind,
            "target": one.target,
            "coordinator": self.config.component,
            "requested_by": self.actor,
            "elapsed": span(self.begun.elapsed()),
            "progress": {"steps_completed": done, "steps_total": total},
            "authority": self.config.authority,
            "escalation": self.config.escalation,
            "stakeholders": self.config.stakeholders,
        });
        as_map(standing)
    }

    fn initiated(&self) -> Option<Request> {
        if !self.announcement.notify {
            return None;
        }
        let mut told = self.standing("initiated");
        told.extend(as_map(json!({
            "estimated_duration": span(self.estimate.length),
            "estimate_basis": self.estimate.basis,
            "files": self.announcement.files,
            "bytes": self.announcement.bytes,
        })));
        Some(self.to_hub(told))
    }

    fn hold(&self) -> Request {
        let parameters = json!({
            "workflow_id": self.announcement.workflow,
            "reason": holding::RECOVERY_REASON,
            "duration": span(self.estimate.length),
            "priority": Priority::RECOVERY,
            "requester": self.config.component,
        });
        self.request(&self.config.resource_manager, "hold-resources", as_map(parameters))
    }

    fn release(&self, status: &str) -> Request {
        let parameters = json!({
            "workflow_id": self.announcement.workflow,
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

/// How long a recovery takes: the median of those of its kind that ended well, else by files and bytes.
pub fn estimate(catalog: &Catalog, announcement: &Announcement) -> Result<Estimate, CatalogError> {
    let filter = RecoveryFilter { workflow: None, status: Some(RecoveryStatus::Done) };
    let history = catalog.recoveries(&filter, HISTORY_MAX)?;
    let of_kind = history.iter().filter(|record| record.kind == announcement.kind);
    let took = of_kind.filter_map(|record| u64::try_from(record.ended_at?.0 - record.started_at.0).ok());
    let mut took: Vec<u64> = took.collect();
    took.sort_unstable();
    let Some(median) = took.get(took.len() / 2) else { return Ok(prior(announcement)) };
    let kind = announcement.kind.as_str().replace('_', "-");
    let basis = format!("the median of {} recoveries of this kind ({kind})", took.len());
    Ok(Estimate { length: Duration::from_nanos(*median), basis })
}

fn prior(announcement: &Announcement) -> Estimate {
    let (begin, file, mebibyte) = PRIOR;
    let times = |length: Duration, count: u64| length.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
    let files = announcement.files.unwrap_or(0);
    let length = begin + times(file, files) + times(mebibyte, announcement.bytes.unwrap_or(0) >> 20);
    let basis = "no recovery of this kind has ended well before: half a second, 1 ms a file, 20 ms a MiB";
    Estimate { length, basis: basis.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wfr_catalog::VaultIdentity;

    fn announcement(notify: bool) -> Announcement {
        Announcement {
            recovery_id: "rec_1".parse().unwrap(),
            kind: RecoveryKind::Restore,
            workflow: "wf".parse().unwrap(),
            target: "ckpt_1".to_owned(),
            files: Some(1_000),
            bytes: Some(10 << 20),
            notify,
        }
    }

    fn announced(dir: &std::path::Path, interval: &str, notify: bool) -> (Catalog, Announced) {
        let identity = VaultIdentity {
            vault_id: "0".repeat(32),
            workspace: dir.to_owned(),
            created_at: Timestamp(0),
            encrypted: false,
        };
        let catalog = Catalog::create(&dir.join("catalog.db"), &identity).unwrap();
        let mut config = Coordination { escalation: vec!["lead".into()], ..Coordination::default() };
        config.status_interval = interval.parse().unwrap();
        let shared = Arc::new(Shared {
            announcement: announcement(notify),
            config,
            catalog: dir.join("catalog.db"),
            clock: || Timestamp(5),
            meter: Arc::new(Meter::default()),
            actor: "me".into(),
            estimate: prior(&announcement(notify)),
            begun: Instant::now(),
            over: Mutex::new(false),
            changed: Condvar::new(),
            findings: Mutex::new(Vec::new()),
        });
        shared.write(&catalog, &[shared.initiated(), Some(shared.hold())]);
        let reporter = shared.clone();
        std::thread::spawn(move || reporter.report_until_over());
        (catalog, Announced { shared, ended: false })
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
        let (catalog, announced) = announced(dir.path(), "1ms", true);
        let begun = Instant::now();
        while catalog.messages(9).unwrap().len() < 5 && begun.elapsed() < Duration::from_secs(60) {
            std::thread::yield_now();
        }
        let findings = announced.completed(&catalog, &json!({"changed": 3}));
        assert!(findings.is_empty(), "{findings:?}");
        let said = said(&catalog);
        let status = |at: usize| said[at].1["parameters"]["status"].as_str().unwrap_or_default().to_owned();
        assert_eq!((said[0].0.as_str(), status(0).as_str()), ("recovery-status-update", "initiated"));
        assert_eq!(said[0].1["target_component"], "coordination-hub");
        assert_eq!(said[0].1["parameters"]["estimated_duration"], "1s 700ms");
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
            (status(end).as_str(), &said[end].1["parameters"]["summary"]),
            ("completed", &json!({"changed": 3}))
        );
        assert_eq!(said[end + 1].0, "release");
        for (_, body) in &said {
            let Value::Object(fields) = body.clone() else { panic!("{body}") };
            Request::of(fields, Timestamp(0)).unwrap();
        }
    }

    #[test]
    fn one_that_is_dropped_has_failed() {
        let dir = tempfile::tempdir().unwrap();
        let (catalog, announced) = announced(dir.path(), "1h", true);
        drop(announced);
        let said = said(&catalog);
        assert_eq!(said[2].1["parameters"]["status"], "failed");
        assert_eq!(said[2].1["parameters"]["escalation"], json!(["lead"]));
    }

    #[test]
    fn whoever_is_not_to_be_told_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (catalog, announced) = announced(dir.path(), "1h", false);
        announced.failed(&catalog, "no room", &Value::Null);
        let kinds: Vec<String> = said(&catalog).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, ["hold-resources", "release"]);
    }

    #[test]
    fn what_cannot_be_written_is_a_finding() {
        let dir = tempfile::tempdir().unwrap();
        let (catalog, announced) = announced(dir.path(), "1h", true);
        drop(catalog);
        let read_only = Catalog::open_read_only(&dir.path().join("catalog.db")).unwrap();
        let findings = announced.completed(&read_only, &Value::Null);
        assert_eq!(findings[0].code, "ANNOUNCEMENT_LOST");
    }
}
