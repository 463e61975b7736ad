//! What every mutating command does first: end what an earlier process left unfinished.
//!
//! Owns completing, and cleaning up what never began. Refuses to touch a recovery whose process lives.

use wfr_catalog::CatalogError;
use wfr_model::RecoveryId;
use wfr_model::finding::Finding;
use wfr_model::plan::KeptReason;
use wfr_model::recovery::{RecoveryRecord, RecoveryStatus};
use wfr_recovery::apply::{self, Environment, Outcome};
use wfr_recovery::leftovers;
use wfr_store::Store;

use super::aim::{self, Aim, Purpose};
use super::record::{Ending, Why, end};
use super::{check, ending, owed};
use crate::announce;
use crate::error::Failure;
use crate::holding::{self, Held};
use crate::open::Open;
use crate::session::Session;

/// What was ended.
#[derive(Default)]
pub struct Finished {
    /// Recoveries past their commit point, with how they ended.
    pub resumed: Vec<(RecoveryId, Outcome)>,
    /// Recoveries that never reached it: nothing had been changed.
    pub aborted: Vec<RecoveryId>,
    /// What went wrong beside.
    pub findings: Vec<Finding>,
}

impl Finished {
    /// Names what was ended beside what the call was for: files changed by that, and what was kept.
    pub(super) fn tell(&self, session: &Session) {
        for (id, outcome) in &self.resumed {
            let how = match outcome.status {
                RecoveryStatus::TakenBack => "was taken back",
                _ => "was completed",
            };
            let mut line = format!("recovery {id}, whose process had ended before it did, {how} first");
            let edited = outcome.report.kept.iter().filter(|kept| kept.reason == KeptReason::Edited);
            line.push_str(&listed("; edited since, and left as it is: ", edited.map(|kept| kept.path.to_string())));
            let aside = outcome.report.displaced.iter().map(|one| format!("{} ({})", one.kept_at, one.path));
            line.push_str(&listed("; kept aside: ", aside));
            session.noted.tell(line);
        }
    }
}

/// The first few of many, behind what they are; nothing where there are none.
fn listed(what: &str, names: impl Iterator<Item = String>) -> String {
    const NAMED_MAX: usize = 5;
    let names: Vec<String> = names.collect();
    let more = if names.len() > NAMED_MAX { format!(" and {} more", names.len() - NAMED_MAX) } else { String::new() };
    if names.is_empty() {
        return String::new();
    }
    format!("{what}{}{more}", names[..names.len().min(NAMED_MAX)].join(", "))
}

/// Tells of a recovery that is unfinished, where something is only looked at: what is seen is the tree as it stands.
pub fn tell_unfinished(session: &Session, open: &Open) -> Result<(), Failure> {
    let mut unfinished = owed::all(open)?;
    for id in apply::unfinished(&open.vault.journal())? {
        if !has_ended(open, &id)? {
            unfinished.push(id);
        }
    }
    for id in unfinished {
        if holding::recovering(open)?.is_none() {
            session.noted.tell(format!(
                "recovery {id} is unfinished: the next command that changes anything ends it first, as `wfr resume` does"
            ));
        }
    }
    Ok(())
}

/// Ends what is unfinished; quick where nothing is.
pub fn finish_unfinished(session: &Session, open: &Open) -> Result<Finished, Failure> {
    let journal = open.vault.journal();
    let is_clear = apply::unfinished(&journal)?.is_empty() && owed::all(open)?.is_empty();
    if is_clear && open.catalog.unfinished()?.is_empty() {
        return Ok(Finished::default());
    }
    let finished = finish_and_clean(session, open, false)?;
    finished.tell(session);
    Ok(finished)
}

/// The same, and removes what a dead process staged in vain even where nothing is unfinished.
///
/// With `take_back` files go back to what they were instead of on to what they were to be.
pub fn finish_and_clean(session: &Session, open: &Open, take_back: bool) -> Result<Finished, Failure> {
    let held = holding::hold(open, "finishing an unfinished recovery", session.now())?;
    let mut finished = finish_held(session, open, &held, take_back)?;
    drop(held);
    if take_back {
        owed::undo(session, open, &mut finished)?;
    }
    owed::settle(session, open, &mut finished)?;
    Ok(finished)
}

/// The same, by who has the hold.
pub(super) fn finish_held(session: &Session, open: &Open, _: &Held<'_>, take_back: bool) -> Result<Finished, Failure> {
    let mut finished = Finished::default();
    let journal = open.vault.journal();
    for id in apply::unfinished(&journal)? {
        // What has ended is not done again: the files are the users' since.
        if let Some(status) = open.catalog.recovery_end(&id)? {
            tidy_up(open, &id, status)?;
            continue;
        }
        let (outcome, findings) = complete(session, open, &id, take_back)?;
        finished.resumed.push((id, outcome));
        finished.findings.extend(findings);
    }
    for record in open.catalog.unfinished()? {
        let ending = Ending::aborted(Why::plain("its process ended before anything was changed"));
        finished.findings.extend(tell_end(session, open, &record, &ending)?);
        finished.aborted.push(record.recovery_id);
    }
    // The hold is ours, so no staging directory belongs to a living recovery.
    leftovers::clean(open.root(), &|_| false)?;
    Ok(finished)
}

/// Whether an end of this recovery is recorded. A rebuilt catalog knows of none: then what the journal holds is done.
pub fn has_ended(open: &Open, id: &RecoveryId) -> Result<bool, CatalogError> {
    Ok(open.catalog.recovery_end(id)?.is_some())
}

/// Whether something is left to be done of a recovery, also behind its recorded end.
pub fn is_left(open: &Open, id: &RecoveryId) -> Result<bool, Failure> {
    Ok(apply::unfinished(&open.vault.journal())?.contains(id))
}

/// Does what is left behind a recorded end: its process died just then.
fn tidy_up(open: &Open, id: &RecoveryId, status: RecoveryStatus) -> Result<(), Failure> {
    let journal = open.vault.journal();
    match apply::reopen(&journal, id) {
        Ok(committed) if status != RecoveryStatus::Aborted => Ok(committed.finish(open.root(), status)?),
        // One that was called off is none; of one that cannot be read nothing is needed any more.
        _ => Ok(apply::forget(&journal, id)?),
    }
}

/// Records the end of a recovery that another process began, and tells those that were told of its beginning.
fn tell_end(
    session: &Session,
    open: &Open,
    record: &RecoveryRecord,
    ending: &Ending<'_>,
) -> Result<Vec<Finding>, Failure> {
    let announced = announce::take_up(session, open, record);
    end(session, open, (record, &announced), ending)?;
    // What its process held besides, nobody holds any more. Where that cannot be recorded, who wants it takes it over.
    let _ = holding::forget_dead(open, &record.workflow_id);
    Ok(announced.ended())
}

fn complete(
    session: &Session,
    open: &Open,
    id: &RecoveryId,
    take_back: bool,
) -> Result<(Outcome, Vec<Finding>), Failure> {
    let committed = apply::reopen(&open.vault.journal(), id)?;
    let store = open.store()?;
    let journal = open.vault.journal();
    let environment = Environment {
        root: open.root(),
        journal: &journal,
        objects: &store,
        threads: session.threads,
        abort: &session.abort,
        deadline: None,
        progress: &session.meter.recovery,
        on_step: &|done, total| session.meter.step(done, total),
    };
    let mut outcome = if take_back { committed.take_back(&environment)? } else { committed.run(&environment)? };
    check::compare_with_before(session, open, &committed, &mut outcome);
    let mut findings = Vec::new();
    if let Some(record) = open.catalog.recovery(id)? {
        let aim = aim_of(session, open, &store, &record)?;
        findings =
            tell_end(session, open, &record, &ending(&outcome, aim.as_ref(), committed.effects(&outcome.report)))?;
    }
    committed.finish(open.root(), outcome.status)?;
    session.meter.recovery.end();
    Ok((outcome, findings))
}

/// The state that an unfinished recovery aims at.
fn aim_of(session: &Session, open: &Open, store: &Store, record: &RecoveryRecord) -> Result<Option<Aim>, Failure> {
    let Some(target) = open.catalog.checkpoint(&record.target)? else { return Ok(None) };
    let undoes = match &record.undoes {
        Some(undone) => open.catalog.recovery(undone)?,
        None => None,
    };
    let purpose = Purpose { workflow: &record.workflow_id, undoes: undoes.as_ref(), parameters: &record.parameters };
    let aim = Aim::of(open, store, &target, &purpose).and_then(|aim| match aim {
        Some(aim) => aim.outlook(open).map(|_| Some(aim)),
        None => Ok(None),
    });
    match aim {
        // Its files are where it wanted them: nobody is shut out for good by a state that cannot be read.
        Err(failure) if aim::is_damage(&failure) => {
            session.noted.tell(format!(
                "recovery {} leaves the state of `{workflow}` as it is: {failure}; `wfr repair-state {workflow} --plan` \
                 shows what mends it",
                record.recovery_id,
                workflow = record.workflow_id
            ));
            Ok(None)
        }
        aimed => aimed,
    }
}
