//! `stop_writers`: whoever may still write into what is recovered is ended before it is chosen and planned.
//!
//! Owns when that is done, that what they wrote last is recorded, and that it is told, however the recovery ends. Refuses to know
//! how processes are ended: that is [`crate::writers`].

use std::time::{Duration, Instant};

use rustix::event::{Timespec, poll};
use wfr_catalog::{ChangeFilter, ChangeRow};
use wfr_model::change::Source;
use wfr_model::{ChangeId, Span};

use crate::error::{Code, Failure};
use crate::open::Open;
use crate::params::{Consent, patience};
use crate::recovery::fencing::Meant;
use crate::recovery::{finish_unfinished, wait_for_turn};
use crate::response::Success;
use crate::results::{Recovered, WriterLine};
use crate::session::Session;
use crate::writers::{self, Writer};
use crate::{holding, ledger, tracing};

/// So long a supervisor may take to see that nobody is left.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time between two looks at what it noted.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

/// What a call says of writers.
pub(super) struct Fence {
    /// Whether they are to be ended.
    pub(super) stops: bool,
    /// Whether nothing is to be done.
    plan_only: bool,
    /// Whether it may be done.
    consent: Consent,
    /// How long it waits for whoever holds the workspace.
    wait: Duration,
}

impl Fence {
    /// Of a call with these parameters.
    pub(super) fn of(stops: bool, plan_only: bool, consent: Consent, wait: Option<Span>) -> Self {
        Self { stops, plan_only, consent, wait: patience(wait) }
    }

    /// Whether writers are ended by this call, and not only shown.
    pub(super) fn acts(&self) -> bool {
        self.stops && !self.plan_only && matches!(self.consent, Consent::Yes | Consent::Digest(_))
    }

    /// Ends the writers that are meant, where that is asked for, and does the work; who was ended stands in its result, or in its
    /// failure.
    pub(super) fn before(
        &self,
        session: &mut Session,
        open: &Open,
        meant: impl Fn() -> Result<Meant, Failure>,
        work: impl FnOnce(&mut Session) -> Result<Success<Recovered>, Failure>,
    ) -> Result<Success<Recovered>, Failure> {
        let mut stopped = Vec::new();
        let ended = self.stop(session, open, meant, &mut stopped).and_then(|()| work(session));
        let names: Vec<String> = stopped.iter().map(Writer::named).collect();
        match ended {
            Ok(mut success) => {
                success.result.stopped_writers = stopped.iter().map(WriterLine::of).collect();
                Ok(success)
            }
            Err(failure) if names.is_empty() => Err(failure),
            Err(failure) => {
                let told = format!("ended before: {}", names.join(", "));
                let details = if failure.details.is_empty() { told } else { format!("{}; {told}", failure.details) };
                Err(failure.with_details(details))
            }
        }
    }

    fn stop(
        &self,
        session: &Session,
        open: &Open,
        meant: impl Fn() -> Result<Meant, Failure>,
        stopped: &mut Vec<Writer>,
    ) -> Result<(), Failure> {
        if !self.acts() {
            return Ok(());
        }
        wait_for_turn(session, self.wait, || {
            finish_unfinished(session, open)?;
            holding::recovering(open)?.map_or(Ok(()), |hold| Err(holding::refused(&hold)))
        })?;
        let meant = meant()?;
        let opened = open.catalog.changes(&ChangeFilter { open: true, ..ChangeFilter::default() })?;
        if let Some(around) = tracing::around(open, &opened)?.filter(|id| meant.names(id)) {
            return Err(within(&around));
        }
        let find = || {
            let mut found = writers::find(open)?.writers;
            found.retain(|writer| meant.has(writer) && !writer.is_spared());
            match found.iter().find(|writer| writer.is_beside_us) {
                Some(writer) => Err(beside_us(writer)),
                None => Ok(found),
            }
        };
        *stopped = writers::end(&session.abort, find)?;
        if stopped.is_empty() {
            return Ok(());
        }
        match meant {
            // Nobody is kept from a tree by what is known of changes.
            Meant::All => ledger::faults::or_without(session, open, || record(session, open, stopped)),
            Meant::Of { .. } => record(session, open, stopped),
        }
    }
}

/// A call from within what it is to take back: its own command would go on.
fn within(around: &ChangeId) -> Failure {
    let message =
        format!("this call is a part of change {around}, which is to be taken back and goes on until it ends");
    Failure::new(Code::ChangeOpen, message).with_hint("call it from outside of that command")
}

/// An orphan in the process group of this very call.
fn beside_us(writer: &Writer) -> Failure {
    let message = format!("{} is in the process group of this call, which is never ended", writer.named());
    Failure::new(Code::WritersRemain, message).with_hint("call it in a group of its own: `setsid --wait wfr ...`")
}

/// Records what writers did last, and ends their changes where nobody is left who would.
fn record(session: &Session, open: &Open, stopped: &[Writer]) -> Result<(), Failure> {
    // The workspace itself may be gone.
    if !open.root().is_dir() || !ledger::is_kept(open)? {
        return Ok(());
    }
    wait_for_supervisors(open, stopped)?;
    let turn = ledger::turn_between_recoveries(session, open)?;
    ledger::look(session, open, &turn, None, |point, opened| {
        let left = opened.iter().filter(|row| row.change.source != Source::Traced && is_left(row, stopped));
        point.ended.extend(left.map(|row| row.change.change_id.clone()));
        Ok(())
    })
    .map(drop)
}

/// Whether nobody will end a change any more, now that its writers have ended.
fn is_left(row: &ChangeRow, stopped: &[Writer]) -> bool {
    let session = row.change.author.session_id.as_ref();
    stopped.iter().any(|writer| {
        let is_its = writer.is_orphan == Some(true) && writer.change.as_ref() == Some(&row.change.change_id);
        is_its || writer.has_lost_client && session.is_some() && writer.author.session_id.as_ref() == session
    })
}

/// Waits until the supervisors of commands that were ended have noted it: the look then ends their changes.
fn wait_for_supervisors(open: &Open, stopped: &[Writer]) -> Result<(), Failure> {
    let opened = open.catalog.changes(&ChangeFilter { open: true, ..ChangeFilter::default() })?;
    let begun = Instant::now();
    for row in opened.iter().filter(|row| row.change.source == Source::Traced) {
        let is_theirs = |id: &ChangeId| stopped.iter().any(|one| one.change.as_ref() == Some(id));
        // Some of it may go on: a part that is another change's, and is not meant.
        while begun.elapsed() < PATIENCE
            && tracing::whom(open, row)?.is_some_and(|(id, asked)| is_theirs(&id) && !asked.is_over)
        {
            let _ = poll(&mut [], Some(&TICK));
        }
    }
    Ok(())
}
