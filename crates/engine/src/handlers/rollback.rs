//! `rollback`: the work of some taken back, and nobody else's.
//!
//! Owns what is decided beforehand. Refuses to choose or to plan: that is [`super::choice`] and
//! [`crate::recovery::selective`].

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Instant;

use wfr_catalog::{CheckpointRow, ListQuery};
use wfr_model::TreePath;
use wfr_model::recovery::RecoveryKind;

use super::recoveries::{Asked, run};
use super::{choice, known, needed};
use crate::error::{Code, Failure};
use crate::open::Open;
use crate::params::{Rollback, patience};
use crate::picking;
use crate::recovery::Order;
use crate::recovery::selective::Decisions;
use crate::response::Success;
use crate::results::{Recovered, Verdict};
use crate::session::Session;

/// Takes chosen work back.
pub fn rollback(session: &mut Session, parameters: Rollback) -> Result<Success<Recovered>, Failure> {
    session.with_reserve(|session| try_rollback(session, parameters.clone()))
}

fn try_rollback(session: &mut Session, parameters: Rollback) -> Result<Success<Recovered>, Failure> {
    let begun = Instant::now();
    picking::check(session, parameters.interactive)?;
    let open = session.open()?;
    let workflow = known(&open, needed(parameters.workflow_id.clone(), "workflow_id")?)?;
    let given = parameters.checkpoint.as_deref().map(|reference| open.catalog.resolve(Some(&workflow), reference));
    let given = given.transpose()?;
    let selection = choice::selection(session, &open, &workflow, &parameters, given.as_ref())?;
    let target = match given {
        Some(row) => row,
        None => oldest(&open)?,
    };
    let mut order = Order {
        selection: Some(selection),
        exact_mtime: parameters.exact_mtime,
        allow_config: parameters.allow_config,
        wait: patience(parameters.wait),
        parameters: serde_json::to_value(&parameters).unwrap_or_default(),
        ..Order::new(RecoveryKind::Rollback, workflow, target)
    };
    order.keep_taken();
    if parameters.interactive {
        picking::narrow(session, &open, &mut order)?;
    }
    let asked = Asked { consent: parameters.consent(session.interactive), plan_only: parameters.plan };
    // What a rollback reads is checked while it is read, and the tree afterwards; a plan changes nothing.
    let checked = if parameters.plan { Verdict::Skipped } else { Verdict::Passed };
    run(session, &open, &order, &asked, checked, begun)
}

/// The oldest checkpoint with files, which stays the same while others are taken: the ledger began with one at the latest.
fn oldest(open: &Open) -> Result<CheckpointRow, Failure> {
    let found = open.catalog.list(&ListQuery::default())?.into_iter().find(|row| row.tree.is_some());
    found.ok_or_else(nothing_recorded)
}

fn nothing_recorded() -> Failure {
    Failure::new(Code::NothingSelected, "no change is recorded here")
        .with_hint("`wfr change begin` before and `wfr change end` after some work record whose it is")
}

/// What the parameters decide beforehand.
pub(super) fn decisions(session: &Session, parameters: &Rollback) -> Result<Decisions, Failure> {
    let resolved = resolved(session, &parameters.resolve.0)?;
    let (ours, theirs) = (&parameters.ours.0, &parameters.theirs.0);
    let both = ours.iter().find(|path| theirs.contains(path)).map(|path| ("`ours` and `theirs`", path));
    let also = resolved.keys().find(|path| ours.contains(path) || theirs.contains(path));
    if let Some((keys, path)) = both.or(also.map(|path| ("`resolve` and `ours` or `theirs`", path))) {
        return Err(Failure::new(Code::WrongArguments, format!("{keys} contradict each other at `{path}`"))
            .with_hint("name each path with one of them"));
    }
    Ok(Decisions {
        ours: ours.clone(),
        theirs: theirs.clone(),
        resolved,
        conflicts: parameters.conflict_resolution,
        partial: parameters.partial,
    })
}

/// Contents made by hand, read from their files.
fn resolved(session: &Session, given: &[String]) -> Result<BTreeMap<TreePath, Vec<u8>>, Failure> {
    let mut found = BTreeMap::new();
    for text in given {
        let wrong = || Failure::new(Code::InvalidParameter, format!("`{text}` is not PATH=FILE"));
        let (path, file) = text.split_once('=').ok_or_else(wrong)?;
        let path: TreePath = path.parse().map_err(|error| wrong().with_details(format!("{error}")))?;
        let place = session.directories.current.join(OsStr::from_bytes(file.as_bytes()));
        let bytes = std::fs::read(&place).map_err(|error| {
            let code = if error.kind() == std::io::ErrorKind::NotFound { Code::FileNotFound } else { Code::Io };
            Failure::new(code, format!("the content for `{path}` cannot be read from {}", place.display()))
                .with_details(error.to_string())
        })?;
        if found.insert(path, bytes).is_some() {
            return Err(Failure::new(Code::WrongArguments, format!("`resolve` names a path twice: `{text}`")));
        }
    }
    Ok(found)
}
