//! A catalog with a clock of its own, and deliveries from it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use serde_json::Value;
use wfr_catalog::{Catalog, CatalogError, NewMessage, VaultIdentity};
use wfr_coord::{Delivery, Ended, Report, deliver, keep_up};
use wfr_model::coordination::Coordination;
use wfr_model::event::Draft;
use wfr_model::{Event, Timestamp};

pub struct World {
    pub dir: tempfile::TempDir,
    pub config: Coordination,
}

/// The time, in seconds; shared by all tests, each of which only moves it forward for itself.
static NOW: AtomicI64 = AtomicI64::new(1_000);

pub fn clock() -> Timestamp {
    Timestamp(NOW.load(Ordering::SeqCst) * 1_000_000_000)
}

impl World {
    pub fn new(sinks: Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let identity = VaultIdentity {
            vault_id: "0".repeat(32),
            workspace: dir.path().to_owned(),
            created_at: Timestamp(0),
            encrypted: false,
        };
        Catalog::create(&dir.path().join("catalog.db"), &identity).unwrap();
        let mut config: Coordination = serde_json::from_value(serde_json::json!({"sinks": sinks})).unwrap();
        config.retry_initial = "1h".parse().unwrap();
        config.retry_max = "1d".parse().unwrap();
        Self { dir, config }
    }

    pub fn catalog(&self) -> Catalog {
        Catalog::open(&self.dir.path().join("catalog.db")).unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn tell(&self, numbers: impl IntoIterator<Item = u64>) {
        let event = |number: u64| -> Event {
            let draft = Draft::read(&format!("TASK_STARTED:wf:1:{{\"task_id\":\"t{number}\"}}")).unwrap();
            draft.complete(|| format!("evt_{number:05}").parse().unwrap(), clock(), "tester")
        };
        let events: Vec<Event> = numbers.into_iter().map(event).collect();
        self.catalog().append_events(&events, clock()).unwrap();
    }

    pub fn say(&self, id: &str) {
        let message = NewMessage {
            message_id: id.to_owned(),
            kind: "hold-resources".to_owned(),
            answers: None,
            body: format!("{{\"message_type\":\"request\",\"request_id\":\"{id}\"}}"),
            at: clock(),
        };
        self.catalog().add_messages(&[message]).unwrap();
    }

    /// Delivers; `force` does not wait for the next attempt's time.
    pub fn flush(&self, force: bool) -> Vec<Report> {
        self.with_delivery(force, |delivery| deliver(delivery, None))
    }

    /// Delivers what is due, for as long as more comes.
    pub fn keep_up(&self) -> Vec<Report> {
        self.with_delivery(false, keep_up)
    }

    fn with_delivery(&self, force: bool, run: impl FnOnce(&Delivery<'_>) -> Vec<Report>) -> Vec<Report> {
        let open = || -> Result<Catalog, CatalogError> { Catalog::open(&self.dir.path().join("catalog.db")) };
        run(&Delivery {
            config: &self.config,
            catalog: &open,
            locks: &self.path("locks"),
            base: self.dir.path(),
            root: self.dir.path(),
            source: "urn:wfr:test",
            clock,
            abort: &AtomicBool::new(false),
            deadline: None,
            force,
        })
    }

    pub fn flush_one(&self) -> Report {
        self.flush(true).remove(0)
    }

    /// The ids in a file of JSON lines.
    pub fn ids(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
        let id = |line: &str| -> String {
            let value: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("not a whole line: {line}"));
            let id = value.get("event_id").or_else(|| value.get("request_id")).or_else(|| value.get("id"));
            id.unwrap().as_str().unwrap().to_owned()
        };
        text.lines().map(id).collect()
    }
}

pub fn evt(numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("evt_{number:05}")).collect()
}

#[track_caller]
pub fn assert_refused(report: &Report, why: &str) {
    match &report.ended {
        Ended::Refused(said) => assert!(said.contains(why), "{said}"),
        other => panic!("{other:?}"),
    }
}
