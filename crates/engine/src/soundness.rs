//! Whether what is kept of a state is sound: the checksum layer, on top of the model's rules.
//!
//! Owns the comparison of the kept rows with the log folded again, and what would mend both. Refuses to change anything:
//! a [`Mending`] is a plan. States in checkpoints are not looked at here: whoever restores one verifies it.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use serde_json::{Map, Value};
use wfr_catalog::{DamagedRow, EventQuery, IntegrityLevel, Kept, LedgerFault, Places, RecoveredEvent, Together};
use wfr_model::WorkflowId;
use wfr_model::finding::Severity;
use wfr_model::workflow::validate::mend::{Strategy, repaired};
use wfr_model::workflow::validate::{Context, Layer, Layers, Mend, Repair, StateFinding, is_valid, validate};
use wfr_model::workflow::{Nowhere, State, Whole, fold};

use crate::error::{Code, Failure};
use crate::missing::{self, Missing};
use crate::open::Open;
use crate::params::ValidationDepth as Depth;
use crate::session::Session;
use crate::{ledger, state};

/// Up to so many events are folded again at the standard depth.
const EVENTS_MAX: u64 = 200_000;

/// The code of what is wrong with the catalog's file. It is no workflow's state that is: no repair of one mends it.
pub const CATALOG_DAMAGED: &str = "CATALOG_DAMAGED";

/// Places that differ are named one by one up to so many.
const PLACES_MAX: usize = 50;

/// A log folded again.
#[derive(Clone, Debug)]
pub struct Log {
    /// The state that the readable events give.
    pub whole: Whole,
    /// Events that cannot be read.
    pub damaged: Vec<DamagedRow>,
    /// How many events there are, damaged ones too.
    pub events: u64,
}

/// What was seen.
#[derive(Clone, Debug)]
pub struct Sight {
    /// What is kept.
    pub kept: Kept,
    /// The log; `None` where it was not folded. Events that come back are in it.
    pub log: Option<Log>,
    /// Events that the log lost, or has otherwise, and that checkpoints hold, in the order of their places.
    pub back: Vec<RecoveredEvent>,
    /// What stands at the places of those that it has otherwise.
    pub altered: Vec<DamagedRow>,
    /// Places of the log that have no event and that no checkpoint covers. Of which workflow those were nobody can say.
    pub gone: Vec<Places>,
    /// What is wrong.
    pub findings: Vec<StateFinding>,
}

impl Sight {
    /// Whether the state can be relied on.
    pub fn is_valid(&self) -> bool {
        is_valid(&self.findings)
    }

    /// The state that is judged: the kept one where it is whole, else the log's.
    pub fn judged(&self) -> Option<&Whole> {
        let of_log = self.log.as_ref().filter(|log| log.events > 0).map(|log| &log.whole);
        let kept = self.kept.whole.as_ref();
        if self.kept.damaged.is_empty() { kept.or(of_log) } else { of_log.or(kept) }
    }

    /// Whether the state has seen more than the log gives: folding it again would lose that.
    fn is_log_short(&self) -> bool {
        let Some(log) = &self.log else { return false };
        let kept = self.kept.whole.as_ref().filter(|_| self.kept.has_head);
        let unread = log.damaged.iter().filter(|row| !row.is_out_of_place()).count() as u64;
        let gives = log.whole.head.state_version.saturating_add(unread);
        kept.is_some_and(|kept| kept.head.state_version > gives)
    }

    /// Whether all of the state is kept, so that it knows how many events made it, whatever the log has lost.
    fn is_kept_whole(&self) -> bool {
        self.kept.whole.is_some() && self.kept.has_head && self.kept.damaged.is_empty()
    }

    /// What is lost with events that were taken away: which, nobody can say.
    fn taken_away(&self) -> DamagedRow {
        let version = |whole: Option<&Whole>| whole.map_or(0, |whole| whole.head.state_version);
        let (knows, gives) = (version(self.kept.whole.as_ref()), version(self.log.as_ref().map(|log| &log.whole)));
        let why = format!("the state has version {knows}, and the events that are left give version {gives}");
        DamagedRow { place: "events".to_owned(), why, text: String::new() }
    }

    fn context(&self, depth: Depth) -> Context {
        let looks = depth != Depth::Basic;
        let layers = Layers { semantic: looks, cross_reference: looks };
        Context { events: self.log.as_ref().map(|log| log.events), layers }
    }

    fn wants(&self, mend: &Mend, strategy: Strategy) -> bool {
        let repairs = self.findings.iter().filter_map(|finding| finding.repair.as_ref());
        repairs.into_iter().any(|repair| repair.mend == *mend && strategy.takes(repair))
    }
}

/// Looks at a workflow's state. `basic`: its rows and their structure; `standard`: also its sense, and the log where it
/// is not too long; `comprehensive`: the log however long it is, and the catalog's file.
pub fn look(open: &Open, session: &Session, workflow: &WorkflowId, depth: Depth) -> Result<Sight, Failure> {
    let kept = open.catalog.kept_state(workflow)?;
    let version = kept.whole.as_ref().map_or(0, |whole| whole.head.state_version);
    let folds = match depth {
        Depth::Basic => false,
        Depth::Standard => version <= EVENTS_MAX,
        Depth::Comprehensive => true,
    };
    let altered = if depth == Depth::Comprehensive { missing::altered(open, Some(workflow))? } else { vec![] };
    let (sealed, altered) = altered.into_iter().map(|one| (one.sealed, one.stands)).unzip();
    let mut sight = Sight { kept, log: None, back: vec![], altered, gone: vec![], findings: Vec::new() };
    if folds {
        let (log, missing) = whole_log(open, session, workflow, sealed)?;
        (sight.log, sight.back, sight.gone) = (Some(log), missing.events, missing.gone);
    }
    let mut findings: Vec<StateFinding> = registration(open, workflow)?.into_iter().collect();
    findings.extend(of_rows(&sight));
    findings.extend(of_log(&sight));
    if depth == Depth::Comprehensive {
        findings.extend(of_checkpoints(open, workflow, &sight)?);
        findings.extend(
            of_catalog(open)?
                .into_iter()
                .map(|(place, problem)| found(CATALOG_DAMAGED, &place, Severity::Critical, problem, None)),
        );
    }
    if let Some(whole) = sight.judged() {
        findings.extend(validate(whole, sight.context(depth)));
    }
    sight.findings = findings;
    Ok(sight)
}

/// What is wrong with the catalog's file, and with the ledger in it: where, and a sentence. States and the log are looked at by
/// [`look`].
pub fn of_catalog(open: &Open) -> Result<Vec<(String, String)>, Failure> {
    let problems = open.catalog.integrity_check(IntegrityLevel::Full)?;
    let mut found: Vec<(String, String)> =
        problems.into_iter().map(|problem| ("catalog".to_owned(), problem)).collect();
    let of_row = |fault: LedgerFault| {
        let message = format!("who changed what cannot be read at {}: {}", fault.place, fault.why);
        (fault.place, message)
    };
    found.extend(ledger::faults::of(open)?.into_iter().map(of_row));
    Ok(found)
}

/// What is wrong where a workflow is not among those that are registered.
pub fn registration(open: &Open, workflow: &WorkflowId) -> Result<Option<StateFinding>, Failure> {
    if open.catalog.has_workflow(workflow)? {
        return Ok(None);
    }
    let message = "it is not among the workflows that are known, and what is kept of it is there".to_owned();
    let repair = Repair::safe(Mend::Register);
    Ok(Some(found("WORKFLOW_UNREGISTERED", "workflow", Severity::Error, message, repair)))
}

/// Folds the log, with the events that can come back to it, those of `sealed` for what stands at their places, and these; and
/// the places of those that nothing brings back.
fn whole_log(
    open: &Open,
    session: &Session,
    workflow: &WorkflowId,
    sealed: Vec<RecoveredEvent>,
) -> Result<(Log, Missing), Failure> {
    let log = folded(open, session, workflow, &[])?;
    let damaged = log.damaged.iter().filter_map(DamagedRow::seq).collect();
    let Missing { events: mut back, gone } = missing::look(open, Some(workflow), &damaged)?;
    back.extend(sealed);
    back.sort_by_key(|one| one.seq);
    back.dedup_by_key(|one| one.seq);
    let log = if back.is_empty() { log } else { folded(open, session, workflow, &back)? };
    Ok((log, Missing { events: back, gone }))
}

/// Folds the log in memory, with these events among the others.
fn folded(open: &Open, session: &Session, workflow: &WorkflowId, back: &[RecoveredEvent]) -> Result<Log, Failure> {
    let mut state = State::new(workflow.clone());
    let (mut damaged, mut events) = (Vec::new(), 0);
    let mut is_aborted = false;
    let query = EventQuery { workflow: Some(workflow.clone()), ..EventQuery::default() };
    open.catalog.each_event_with(&query, back, |row| {
        let is_recorded = !matches!(&row, Together::Damaged(row) if row.is_out_of_place());
        events += u64::from(is_recorded);
        is_aborted |= session.abort.load(Ordering::Relaxed);
        let event = match row {
            _ if is_aborted => return Ok(()),
            Together::Event { event, .. } => event,
            Together::Damaged(row) => {
                damaged.push(row);
                return Ok(());
            }
        };
        let Ok(_) = fold::apply(&mut state, &mut Nowhere, event);
        Ok(())
    })?;
    if is_aborted {
        return Err(Failure::new(Code::Interrupted, "interrupted: nothing was changed"));
    }
    Ok(Log { whole: Whole::from(state), damaged, events })
}

fn found(code: &str, place: &str, severity: Severity, message: String, repair: Option<Repair>) -> StateFinding {
    let (code, place) = (code.to_owned(), place.to_owned());
    StateFinding { code, layer: Layer::Checksum, place, severity, message, repair }
}

/// What was found of the state itself, without what is wrong with the catalog beside it.
pub fn of_state(findings: &[StateFinding]) -> impl Iterator<Item = &StateFinding> {
    findings.iter().filter(|finding| finding.code != CATALOG_DAMAGED)
}

/// Rows of the kept state that cannot be used.
fn of_rows(sight: &Sight) -> Vec<StateFinding> {
    let again = || Repair::safe(Mend::FoldAgain);
    let rows = sight.kept.damaged.iter();
    let of_row = |row: &DamagedRow| {
        let message = format!("what is kept cannot be used: {}", row.why);
        found("ROW_DAMAGED", &row.place, Severity::Error, message, again())
    };
    let mut findings: Vec<StateFinding> = rows.chain(sight.kept.notes.iter()).map(of_row).collect();
    if sight.kept.whole.is_none() && sight.log.as_ref().is_some_and(|log| log.events > 0) {
        findings.push(found(
            "STATE_MISSING",
            "head",
            Severity::Error,
            "events are there and no state".to_owned(),
            again(),
        ));
    }
    findings
}

/// Where the next checkpoint would hold something else than what is kept.
fn of_checkpoints(open: &Open, workflow: &WorkflowId, sight: &Sight) -> Result<Vec<StateFinding>, Failure> {
    let Some(kept) = sight.kept.whole.as_ref().filter(|_| sight.kept.damaged.is_empty()) else { return Ok(vec![]) };
    // A store that cannot be read is found by whoever looks at checkpoints.
    let Ok(store) = open.store() else { return Ok(vec![]) };
    let held = state::stored_otherwise(&open.catalog, &store, workflow)?;
    let differs = held.and_then(|held| held.difference(kept));
    let message = "checkpoints hold, and would go on to hold, another one than what is kept: its change was not noted";
    let places = differs.as_ref().map(places).unwrap_or_default().into_iter().take(PLACES_MAX);
    let again = || Repair::safe(Mend::FoldAgain);
    Ok(places.map(|place| found("CHANGE_NOT_NOTED", &place, Severity::Error, message.to_owned(), again())).collect())
}

/// What is wrong with the log, and where the kept state is another than the log gives.
fn of_log(sight: &Sight) -> Vec<StateFinding> {
    let Some(log) = &sight.log else { return vec![] };
    let kept = sight.kept.whole.as_ref().filter(|_| sight.kept.damaged.is_empty());
    let differs = kept.and_then(|kept| log.whole.difference(kept));
    let mut findings: Vec<StateFinding> =
        log.damaged.iter().map(|row| damaged_event(row, differs.is_some() || kept.is_none())).collect();
    findings.extend(coming_back(sight));
    let otherwise = |row: &DamagedRow| {
        let repair = Repair::safe(Mend::BringBack);
        found("EVENT_ALTERED", &row.place, Severity::Critical, format!("an event was changed: {}", row.why), repair)
    };
    findings.extend(sight.altered.iter().take(PLACES_MAX).map(otherwise));
    if !sight.is_log_short() {
        findings.extend(sight.gone.iter().take(PLACES_MAX).map(|gap| gone(gap, sight.is_kept_whole())));
    }
    if log.damaged.is_empty() && sight.is_log_short() {
        let message = "the state knows of more than the log: events were taken away, and no checkpoint holds them";
        let repair = Repair::bold(Mend::SealLog);
        findings.push(found("EVENTS_MISSING", "events", Severity::Critical, message.to_owned(), repair));
        return findings;
    }
    let Some(differs) = differs.filter(|_| log.damaged.is_empty()) else { return findings };
    for place in places(&differs).into_iter().take(PLACES_MAX) {
        let message = "what is kept is not what the events give".to_owned();
        findings.push(found("STATE_DIFFERS", &place, Severity::Error, message, Repair::safe(Mend::FoldAgain)));
    }
    findings
}

/// Places that have no event any more. A state that is kept whole has seen what the log has, or it is found to have seen more;
/// one that is not may lack what stood there.
fn gone(gap: &Places, is_kept_whole: bool) -> StateFinding {
    let (place, which) = (place_of(gap), "the log has no event there any more, and no checkpoint holds it");
    if is_kept_whole {
        let message = format!("{which}: of which workflow it was nobody can say");
        return found("EVENTS_GAP", &place, Severity::Warning, message, None);
    }
    let message = format!("{which}: if it was of this workflow, the state that the log gives lacks it");
    found("EVENTS_GAP", &place, Severity::Error, message, None)
}

/// `events/3`, or `events/3-7`.
fn place_of(gap: &Places) -> String {
    let (start, end) = (gap.start().0, gap.end().0);
    if start == end { format!("events/{start}") } else { format!("events/{start}-{end}") }
}

/// Events that the log lost and that come back.
fn coming_back(sight: &Sight) -> Option<StateFinding> {
    let is_lost = |one: &&RecoveredEvent| sight.altered.iter().all(|row| row.seq() != Some(one.seq));
    let (first, count) = (sight.back.iter().find(is_lost)?, sight.back.iter().filter(is_lost).count());
    let which = if count == 1 { "an event is".to_owned() } else { format!("{count} events are") };
    let message = format!("{which} gone from the log or cannot be read, and checkpoints hold what is missing");
    let place = format!("events/{}", first.seq.0);
    Some(found("EVENTS_MISSING", &place, Severity::Critical, message, Repair::safe(Mend::BringBack)))
}

/// An event that cannot be read matters as long as the state depends on it.
fn damaged_event(row: &DamagedRow, matters: bool) -> StateFinding {
    if matters {
        let message = format!("the event cannot be read: {}", row.why);
        return found("EVENT_DAMAGED", &row.place, Severity::Error, message, Repair::safe(Mend::SealLog));
    }
    let message = format!("the event cannot be read, and the log makes up for it: {}", row.why);
    found("EVENT_DAMAGED", &row.place, Severity::Warning, message, None)
}

/// The places of a difference: `tasks/t1`, `head`.
pub fn places(difference: &Map<String, Value>) -> Vec<String> {
    let replaced = difference.get("replace").and_then(Value::as_object);
    let parts = replaced.into_iter().flatten().flat_map(|(kind, parts)| match parts {
        Value::Object(parts) if kind != "head" => parts.keys().map(|id| format!("{kind}/{id}")).collect(),
        _ => vec![kind.clone()],
    });
    parts.collect()
}

/// What mends a state: a plan.
#[derive(Clone, Debug, Default)]
pub struct Mending {
    /// Events that come back to the log; then the state is folded again.
    pub back: Vec<RecoveredEvent>,
    /// Whether the state is folded again from its events.
    pub fold_again: bool,
    /// The findings that are mended.
    pub mended: Vec<StateFinding>,
    /// What nothing brings back.
    pub lost: Vec<DamagedRow>,
    /// What is said in one event; `None` where nothing is.
    pub change: Option<Map<String, Value>>,
}

impl Mending {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        !self.fold_again && self.change.is_none()
    }
}

/// What would mend what was seen, with a strategy. The sight must have looked at the log.
pub fn mending(sight: &Sight, strategy: Strategy) -> Option<Mending> {
    let log = sight.log.as_ref()?;
    let judged = sight.judged()?;
    let brings_back = sight.wants(&Mend::BringBack, strategy);
    let fold_again = brings_back || sight.wants(&Mend::FoldAgain, strategy);
    let seal = sight.wants(&Mend::SealLog, strategy);
    let kept = sight.kept.whole.as_ref();
    let is_log_whole = log.damaged.is_empty() && !sight.is_log_short();
    let start = match kept {
        Some(kept) if fold_again && !is_log_whole => together(kept, &log.whole, sight.kept.has_head),
        _ if fold_again => log.whole.clone(),
        _ => judged.clone(),
    };
    let context = Context { events: None, ..sight.context(Depth::Comprehensive) };
    let (goal, by_rules) = repaired(&start, context, strategy);
    let base = if fold_again { &log.whole } else { judged };
    let change = base.difference(&goal);
    let change = if seal && !fold_again { both(log.whole.difference(&goal), change) } else { change };
    let counts_short = sight.is_log_short() || log.whole.head.state_version < log.events;
    let change = if counts_short && (seal || fold_again) {
        // From here on the log gives what the state has seen, and counts those that nobody can read.
        let seen = kept.map_or(0, |kept| kept.head.state_version).max(log.events);
        let version = seen.saturating_add(1);
        let mut change = change.unwrap_or_default();
        change.insert("state_version".to_owned(), version.into());
        Some(change)
    } else {
        change
    };
    let of_rows = sight.findings.iter().filter(|finding| finding.layer == Layer::Checksum || is_derived(finding));
    let taken = of_rows.filter(|finding| finding.repair.as_ref().is_some_and(|repair| strategy.takes(repair)));
    let mended = taken.cloned().chain(by_rules).collect();
    let rows = sight.kept.damaged.iter().filter(|_| fold_again && !is_log_whole);
    let mut lost: Vec<DamagedRow> =
        rows.filter(|row| sight.is_log_short() || !is_there(&goal, &row.place)).chain(&log.damaged).cloned().collect();
    lost.extend(sight.is_log_short().then(|| sight.taken_away()));
    // What is made of the log alone lacks what the log lost.
    let gaps = sight.gone.iter().filter(|_| fold_again && !sight.is_kept_whole() && !sight.is_log_short());
    lost.extend(gaps.map(|gap| {
        let why = "no event is there any more, and no checkpoint holds one: if it was of this workflow, it is lost";
        DamagedRow { place: place_of(gap), why: why.to_owned(), text: String::new() }
    }));
    let back = if brings_back { sight.back.clone() } else { vec![] };
    Some(Mending { back, fold_again, mended, lost, change })
}

fn is_derived(finding: &StateFinding) -> bool {
    finding.repair.as_ref().is_some_and(|repair| repair.mend == Mend::FoldAgain)
}

/// What can still be read of the kept state, and for the rest what the log gives.
fn together(kept: &Whole, log: &Whole, has_head: bool) -> Whole {
    let mut whole = log.clone();
    if has_head {
        whole.head = kept.head.clone();
    }
    whole.phases.extend(kept.phases.clone());
    whole.tasks.extend(kept.tasks.clone());
    whole.agents.extend(kept.agents.clone());
    whole.allocations.extend(kept.allocations.clone());
    whole
}

fn is_there(whole: &Whole, place: &str) -> bool {
    match place.split_once('/') {
        Some(("phases", id)) => id.parse().is_ok_and(|id| whole.phases.contains_key(&id)),
        Some(("tasks", id)) => id.parse().is_ok_and(|id| whole.tasks.contains_key(&id)),
        Some(("agents", id)) => id.parse().is_ok_and(|id| whole.agents.contains_key(&id)),
        Some(("allocations", id)) => id.parse().is_ok_and(|id| whole.allocations.contains_key(&id)),
        _ => place == "head",
    }
}

/// Two differences to one goal as one: what either names is as the goal has it.
fn both(one: Option<Map<String, Value>>, other: Option<Map<String, Value>>) -> Option<Map<String, Value>> {
    let (Some(mut one), Some(other)) = (one.clone(), other.clone()) else { return one.or(other) };
    let mut replaced = one.shift_remove("replace").unwrap_or_default();
    let more = other.get("replace").and_then(Value::as_object).into_iter().flatten();
    let kinds: BTreeSet<&String> = more.clone().map(|(kind, _)| kind).collect();
    for (kind, parts) in more.filter(|(kind, _)| kinds.contains(kind)) {
        match (replaced.get_mut(kind).and_then(Value::as_object_mut), parts) {
            (Some(there), Value::Object(parts)) => there.extend(parts.clone()),
            _ => replaced[kind.as_str()] = parts.clone(),
        }
    }
    one.insert("replace".to_owned(), replaced);
    Some(one)
}
