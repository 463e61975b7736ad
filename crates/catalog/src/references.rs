//! References to checkpoints as people write them: `latest`, `latest-valid`, `phase:N`, an id, its prefix, a name.
//!
//! Owns what each form means and what to suggest where nothing fits. Refuses to resolve to a deleted checkpoint.
//!
//! The order: the three keywords; a whole id; a name; a prefix of an id, at least one character longer than `ckpt_`
//! (or its siblings), or at least four hexadecimal digits without it.

use std::fmt;
use std::str::FromStr;

use rusqlite::{Connection, OptionalExtension, ToSql};
use wfr_model::ids::{ParseIdError, check_name};
use wfr_model::{CheckpointId, Timestamp, WorkflowId};

use crate::catalog::Catalog;
use crate::checkpoints::{CheckpointRow, SELECT, decode};
use crate::columns;
use crate::error::CatalogError;
use crate::near::nearest;

/// Candidates listed for an ambiguous reference.
const CANDIDATES_MAX: usize = 10;

/// Names suggested where nothing fits.
const SUGGESTIONS_MAX: usize = 3;

/// The newest names that suggestions are looked for among.
const SUGGESTIONS_FROM: u32 = 10_000;

/// Digits of an id that may stand without its prefix.
const BARE_DIGITS_MIN: usize = 4;

/// What a reference says, before anything is looked up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reference {
    /// The newest checkpoint that is no safety checkpoint of a recovery.
    Latest,
    /// The newest of these that is complete, holds files and is not known to be damaged.
    LatestValid,
    /// The newest one of a phase.
    Phase(i64),
    /// An id, the prefix of one, or a name.
    Text(String),
}

impl FromStr for Reference {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        match text {
            "latest" => return Ok(Self::Latest),
            "latest-valid" => return Ok(Self::LatestValid),
            _ => {}
        }
        if let Some(number) = text.strip_prefix("phase:") {
            let why = "a whole number must follow `phase:`";
            let refuse = |_| ParseIdError { text: text.chars().take(80).collect(), what: WHAT, why };
            return number.parse().map(Self::Phase).map_err(refuse);
        }
        check_name(text, WHAT)?;
        Ok(Self::Text(text.to_owned()))
    }
}

const WHAT: &str = "reference to a checkpoint";

impl Reference {
    /// Whether a name would never be found, because it means something else as a reference.
    pub fn is_reserved(name: &str) -> bool {
        !matches!(name.parse(), Ok(Self::Text(_))) || name.parse::<CheckpointId>().is_ok()
    }
}

/// A checkpoint that an ambiguous reference may mean.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// Its id.
    pub checkpoint_id: CheckpointId,
    /// Whose.
    pub workflow_id: WorkflowId,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} of {})", self.checkpoint_id, self.name, self.workflow_id)
    }
}

/// Why a reference could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing fits.
    #[error("no checkpoint `{reference}`{}", suggestion(near))]
    NotFound {
        /// The reference as given.
        reference: String,
        /// Names that resemble it, nearest first, at most 3.
        near: Vec<String>,
    },
    /// It names a checkpoint of another workflow.
    #[error("checkpoint {checkpoint_id} belongs to workflow {workflow_id}")]
    Elsewhere {
        /// Which.
        checkpoint_id: CheckpointId,
        /// Whose it is.
        workflow_id: WorkflowId,
    },
    /// It names a checkpoint that was deleted.
    #[error("checkpoint {checkpoint_id} was deleted at {deleted_at}")]
    Deleted {
        /// Which.
        checkpoint_id: CheckpointId,
        /// When.
        deleted_at: Timestamp,
    },
    /// Several fit.
    #[error("`{reference}` may mean more than one checkpoint: {}", listed(candidates))]
    Ambiguous {
        /// The reference as given.
        reference: String,
        /// The newest that fit, newest first, at most 10.
        candidates: Vec<Candidate>,
    },
    /// It can't be a reference.
    #[error(transparent)]
    Malformed(#[from] ParseIdError),
    /// The catalog could not be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl From<rusqlite::Error> for ReferenceError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Catalog(error.into())
    }
}

fn suggestion(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!(", but there is {}", near.join(", ")) }
}

fn listed(candidates: &[Candidate]) -> String {
    candidates.iter().map(Candidate::to_string).collect::<Vec<_>>().join(", ")
}

impl Catalog {
    /// What `latest` means of a workflow: the newest checkpoint that no recovery took to save the tree.
    pub fn latest(&self, workflow: &WorkflowId) -> Result<Option<CheckpointRow>, ReferenceError> {
        Scope { connection: &self.connection, workflow: Some(workflow.as_str()) }.newest(OWN, &[])
    }

    /// The one undeleted checkpoint that a reference means, among those of a workflow or of the whole vault.
    pub fn resolve(&self, workflow: Option<&WorkflowId>, reference: &str) -> Result<CheckpointRow, ReferenceError> {
        let meaning: Reference = reference.parse()?;
        self.read(|transaction| {
            let scope = Scope { connection: transaction, workflow: workflow.map(WorkflowId::as_str) };
            let found = match &meaning {
                Reference::Latest => scope.newest(OWN, &[])?,
                Reference::LatestValid => scope.newest(&format!("{OWN} {SOUND}"), &[])?,
                Reference::Phase(number) => scope.newest("AND phase_id = ?2", &[number])?,
                Reference::Text(text) => scope.by_text(text)?,
            };
            match found {
                Some(row) => Ok(row),
                None => Err(scope.why_not(reference)?),
            }
        })
    }
}

/// The same as `CheckpointRow::is_sound`, in SQL.
const SOUND: &str = "AND complete AND has_files AND verification NOT IN ('invalid', 'corrupted')";

/// The opposite of `CheckpointRow::is_safety`, in SQL: what a recovery saved is nobody's newest work.
const OWN: &str = "AND NOT (checkpoint_type = 'emergency' AND trigger_kind = 'pre_critical' AND EXISTS
    (SELECT 1 FROM checkpoint_tags WHERE tag = 'safety' AND checkpoint_tags.seq = checkpoints.seq))";

/// Where a reference is looked up: one workflow, or the whole vault.
struct Scope<'a> {
    connection: &'a Connection,
    workflow: Option<&'a str>,
}

impl Scope<'_> {
    /// The newest row that fits; the condition's values count from `?2`.
    fn newest(&self, condition: &str, values: &[&dyn ToSql]) -> Result<Option<CheckpointRow>, ReferenceError> {
        let workflow = if self.workflow.is_some() { "workflow_id = ?1" } else { "?1 IS NULL" };
        Ok(self.rows(&format!("{workflow} {condition} ORDER BY seq DESC"), values, 1)?.pop())
    }

    /// The rows whose names or ids fit, newest first, one more than an error would list.
    fn few(&self, condition: &str, values: &[&dyn ToSql]) -> Result<Vec<CheckpointRow>, ReferenceError> {
        // The plus signs leave SQLite the index of the condition only, instead of a walk in the order of `seq`.
        let workflow = if self.workflow.is_some() { "+workflow_id = ?1" } else { "?1 IS NULL" };
        self.rows(&format!("{workflow} {condition} ORDER BY +seq DESC"), values, CANDIDATES_MAX + 1)
    }

    fn rows(&self, filter: &str, values: &[&dyn ToSql], limit: usize) -> Result<Vec<CheckpointRow>, ReferenceError> {
        let sql = format!("{SELECT} WHERE deleted_at IS NULL AND {filter} LIMIT {limit}");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let workflow: &dyn ToSql = &self.workflow;
        let all: Vec<&dyn ToSql> = std::iter::once(workflow).chain(values.iter().copied()).collect();
        let rows = statement.query_map(all.as_slice(), decode)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn by_text(&self, text: &str) -> Result<Option<CheckpointRow>, ReferenceError> {
        if let Some(row) = self.few("AND checkpoint_id = ?2", &[&text])?.pop() {
            return Ok(Some(row));
        }
        let named = self.few("AND name = ?2", &[&text])?;
        if !named.is_empty() {
            return only(text, named);
        }
        let Some(prefix) = id_prefix(text) else { return Ok(None) };
        // Ids hold no byte above `z`, so DEL closes the range.
        let end = format!("{prefix}\x7f");
        only(text, self.few("AND checkpoint_id >= ?2 AND checkpoint_id < ?3", &[&prefix, &end])?)
    }

    /// The error for a reference that nothing fits.
    fn why_not(&self, reference: &str) -> Result<ReferenceError, ReferenceError> {
        let sql = "SELECT checkpoint_id, workflow_id, deleted_at FROM checkpoints WHERE checkpoint_id = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let known = statement.query_row([reference], |row| {
            Ok((columns::id(row, 0)?, columns::id::<WorkflowId>(row, 1)?, columns::time_or_null(row, 2)?))
        });
        Ok(match known.optional()? {
            Some((checkpoint_id, workflow_id, _)) if self.workflow.is_some_and(|ours| ours != workflow_id.as_str()) => {
                ReferenceError::Elsewhere { checkpoint_id, workflow_id }
            }
            Some((checkpoint_id, _, Some(deleted_at))) => ReferenceError::Deleted { checkpoint_id, deleted_at },
            _ => ReferenceError::NotFound { near: self.near(reference)?, reference: reference.to_owned() },
        })
    }

    /// Names that resemble the reference; keywords have none.
    fn near(&self, reference: &str) -> Result<Vec<String>, ReferenceError> {
        if !matches!(reference.parse(), Ok(Reference::Text(_))) {
            return Ok(Vec::new());
        }
        let sql = "SELECT name FROM checkpoints WHERE deleted_at IS NULL AND (?1 IS NULL OR workflow_id = ?1)
                   ORDER BY seq DESC LIMIT ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let names = statement.query_map((self.workflow, SUGGESTIONS_FROM), |row| row.get(0))?;
        let mut names: Vec<String> = names.collect::<Result<_, _>>()?;
        names.extend(["latest", "latest-valid"].map(str::to_owned));
        Ok(nearest(reference, names, SUGGESTIONS_MAX))
    }
}

/// The one row, none, or [`ReferenceError::Ambiguous`].
fn only(reference: &str, mut rows: Vec<CheckpointRow>) -> Result<Option<CheckpointRow>, ReferenceError> {
    if rows.len() <= 1 {
        return Ok(rows.pop());
    }
    let candidates = rows.into_iter().take(CANDIDATES_MAX).map(|row| Candidate {
        checkpoint_id: row.checkpoint_id,
        workflow_id: row.workflow_id,
        name: row.name,
    });
    Err(ReferenceError::Ambiguous { reference: reference.to_owned(), candidates: candidates.collect() })
}

/// What ids must begin with for a text to be their prefix; `None` where it can't be one.
fn id_prefix(text: &str) -> Option<String> {
    if CheckpointId::PREFIXES.iter().any(|kind| text.len() > kind.len() && text.starts_with(kind)) {
        return Some(text.to_owned());
    }
    let is_bare = text.len() >= BARE_DIGITS_MIN && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_bare.then(|| format!("{}{}", CheckpointId::PREFIXES[0], text.to_ascii_lowercase()))
}
