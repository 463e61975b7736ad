//! The outbox of a workspace: what is delivered where, and how that stands.
//!
//! Owns the way from an open workspace to a delivery. Refuses to run within a recovery.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use serde_json::json;
use wfr_catalog::{Catalog, CatalogError, Cursor, NewOperation, Subscription};
use wfr_coord::{Delivery, Ended, Report};
use wfr_model::Timestamp;
use wfr_model::coordination::{Begin, Sink, Target};

use crate::error::Failure;
use crate::open::Open;
use crate::results::{LetterLine, OutboxView, SinkLine};
use crate::session::Session;
use crate::workspace::Place;
use crate::{mint, view};

/// Counting what is pending ends here.
const PENDING_MAX: u32 = 100_000;

/// How long messages stay that have gone out: so long a repeated request gets the answer that was given.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Messages that are removed at once, at most.
const PRUNED_MAX: u32 = 10_000;

/// No run of a delivery takes longer, but for the item that it is at.
const RUN_MAX: Duration = Duration::from_secs(600);

/// Where the locks of a vault's deliveries are.
pub fn locks(place: &Place) -> PathBuf {
    place.vault.join("outbox")
}

/// Delivers what the sinks have not had, whether or not the time of the next attempt has come.
pub fn deliver(session: &Session, open: &Open, only: Option<&str>) -> Vec<Report> {
    with_delivery(session, open, true, |delivery| wfr_coord::deliver(delivery, only))
}

/// Delivers what is due, to each sink for as long as more comes.
pub fn keep_up(session: &Session, open: &Open) -> Vec<Report> {
    with_delivery(session, open, false, wfr_coord::keep_up)
}

fn with_delivery(
    session: &Session,
    open: &Open,
    force: bool,
    run: impl FnOnce(&Delivery<'_>) -> Vec<Report>,
) -> Vec<Report> {
    let path = open.vault.catalog();
    let catalog = || -> Result<Catalog, CatalogError> { Catalog::open(&path) };
    let abort: &AtomicBool = &session.abort;
    let reports = run(&Delivery {
        config: &open.config.coordination,
        catalog: &catalog,
        locks: &locks(&open.place),
        base: &view::dir(open.root()),
        root: open.root(),
        source: &format!("urn:wfr:{}", open.vault.identity().vault_id),
        clock: session.clock,
        abort,
        deadline: Some(Instant::now() + RUN_MAX),
        force,
    });
    // Where it cannot be noted, the sink is set back all the same.
    let _ = reports.iter().try_for_each(|report| note_set_back(session, open, report));
    reports
}

/// What is said of a sink that stood at a place that the log never gave.
pub fn set_back(report: &Report) -> Option<String> {
    let (stood, stands) = report.set_back?;
    Some(format!(
        "sink `{}` stood at event {} and message {}, where the log has none: it was set back to event {} and message {}; what \
         was recorded before that, and that it has not had, `wfr events` shows",
        report.sink, stood.events_upto, stood.messages_upto, stands.events_upto, stands.messages_upto
    ))
}

/// Keeps in the audit trail that a sink was set back: nobody may be there to be told.
fn note_set_back(session: &Session, open: &Open, report: &Report) -> Result<(), CatalogError> {
    let Some(told) = set_back(report) else { return Ok(()) };
    open.catalog.record_operation(&NewOperation {
        operation_id: mint::operation(),
        operation: "sink set back".to_owned(),
        actor: session.actor.clone(),
        at: session.now(),
        workflow_id: None,
        parameters: json!({"sink": report.sink}),
        inverse: None,
        result: json!({"told": told}),
    })
}

/// Removes messages that all sinks have had, some time ago; how many went. Where a sink has had nothing yet, none goes.
pub fn prune(open: &Open, now: Timestamp) -> Result<u64, CatalogError> {
    let known = open.catalog.subscriptions()?;
    let has_begun = |sink: &Sink| known.iter().any(|one| one.name == sink.name);
    if known.is_empty() || !open.config.coordination.sinks.iter().all(has_begun) {
        return Ok(0);
    }
    open.catalog.prune_messages(now.before(KEPT), PRUNED_MAX)
}

/// How everything stands, with what a delivery just did.
pub fn view(open: &Open, only: Option<&str>, letters: u32, reports: &[Report]) -> Result<OutboxView, Failure> {
    let catalog = &open.catalog;
    let known = catalog.subscriptions()?;
    let configured = &open.config.coordination.sinks;
    let is_asked = |name: &str| only.is_none_or(|only| only == name);
    let mut sinks = Vec::new();
    for sink in configured.iter().filter(|sink| is_asked(&sink.name)) {
        let standing = known.iter().find(|one| one.name == sink.name);
        let report = reports.iter().find(|report| report.sink == sink.name);
        sinks.push(line(catalog, &sink.name, Some(sink), standing, report)?);
    }
    let is_gone = |one: &&Subscription| configured.iter().all(|sink| sink.name != one.name) && is_asked(&one.name);
    for gone in known.iter().filter(is_gone) {
        sinks.push(line(catalog, &gone.name, None, Some(gone), None)?);
    }
    let dead_letters = catalog.dead_letters(only, letters)?.into_iter().map(|letter| LetterLine {
        sink: letter.subscription,
        item: letter.item,
        attempts: letter.attempts,
        error: letter.error,
        at: letter.at,
        requeued: letter.queued,
    });
    Ok(OutboxView { sinks, dead_letters: dead_letters.collect() })
}

fn line(
    catalog: &Catalog,
    name: &str,
    sink: Option<&Sink>,
    standing: Option<&Subscription>,
    report: Option<&Report>,
) -> Result<SinkLine, CatalogError> {
    let begin = match sink.map(|sink| sink.from) {
        Some(Begin::Now) => catalog.log_end()?,
        _ => Cursor::default(),
    };
    let cursor = standing.map_or(begin, |one| one.cursor);
    // What types one took that is not configured any more nobody knows: all that it has not had may be its.
    let types = sink.map_or(&[][..], |sink| sink.types.as_slice());
    let pending = catalog.backlog(cursor, types, PENDING_MAX)?.fitting;
    let (dead_letters, requeued) = catalog.count_dead_letters(name)?;
    let (kind, target) = sink.map(|sink| told(&sink.target)).unzip();
    Ok(SinkLine {
        name: name.to_owned(),
        kind: kind.map(str::to_owned),
        target,
        pending,
        attempts: standing.map_or(0, |one| one.attempts),
        last_error: standing.and_then(|one| one.last_error.clone()),
        next_try_at: standing.and_then(|one| one.next_try_at),
        dead_letters,
        requeued,
        delivered: report.map(|report| report.delivered),
        ended: report.map(|report| how(&report.ended)),
    })
}

fn told(target: &Target) -> (&'static str, String) {
    match target {
        Target::File(path) => ("file", path.clone()),
        Target::Command(command) => ("command", command.clone()),
        Target::Webhook { url, .. } => ("webhook", url.clone()),
    }
}

fn how(ended: &Ended) -> String {
    match ended {
        Ended::Done => "done".to_owned(),
        Ended::Refused(why) => format!("refused: {why}"),
        Ended::NotDue => "not_due".to_owned(),
        Ended::Busy => "busy: another process delivers to it".to_owned(),
        Ended::Stopped => "stopped".to_owned(),
        Ended::Failed(why) => format!("failed: {why}"),
    }
}
