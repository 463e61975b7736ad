//! What there is to choose from: the changes of a selection with the files that each still has its work in.
//!
//! Owns what is worth a question. Refuses to know answers.

use std::collections::BTreeMap;

use wfr_catalog::ChangeSeq;
use wfr_model::{ChangeId, TaskId, Timestamp, TreePath};

use crate::error::Failure;
use crate::ledger::{self, Veil};
use crate::open::Open;
use crate::recovery::selective::Selection;
use crate::recovery::telling::name_of;

/// All changes that may be taken back.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Offer {
    /// The newest first.
    pub changes: Vec<Offered>,
}

/// A change that may be taken back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offered {
    /// Its place in the ledger.
    pub seq: ChangeSeq,
    /// Its id.
    pub change_id: ChangeId,
    /// Who made it.
    pub who: String,
    /// For which task.
    pub task: Option<TaskId>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What was noted of it.
    pub note: Option<String>,
    /// What it wrote at, and what is not taken back yet; not empty.
    pub files: Vec<OfferedFile>,
}

/// A path at which a change did something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OfferedFile {
    /// Where.
    pub path: TreePath,
    /// What it did.
    pub effect: Effect,
}

/// What a change did at a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Nothing was there before.
    Made,
    /// Something else was there.
    Changed,
    /// Nothing was there afterwards.
    Removed,
}

/// The offer of a selection.
pub fn of(open: &Open, selection: &Selection) -> Result<Offer, Failure> {
    let veil = Veil::of(open)?;
    let seqs: Vec<ChangeSeq> = selection.changes.iter().map(|row| row.seq).collect();
    let mut files: BTreeMap<ChangeSeq, Vec<OfferedFile>> = BTreeMap::new();
    for chain in open.catalog.chains_of(&seqs)? {
        let path = veil.shown(&chain.path)?;
        if !selection.files.mean(&path) {
            continue;
        }
        for seq in &seqs {
            let goes = |at: &&wfr_catalog::SegmentRow| {
                at.change == *seq && selection.after.is_none_or(|after| at.point > after)
            };
            let mut own = chain.segments.iter().filter(goes);
            let Some(first) = own.next().filter(|_| !chain.is_cancelled(*seq, None)) else { continue };
            let last = own.next_back().unwrap_or(first);
            let is_there = |kept: Option<&[u8]>| Ok::<_, Failure>(ledger::entry_of(&veil, kept)?.is_some());
            let effect = match (is_there(first.before.as_deref())?, is_there(last.after.as_deref())?) {
                (false, true) => Effect::Made,
                (true, false) => Effect::Removed,
                // What was made and removed again is none of the tree's business.
                (false, false) => continue,
                (true, true) => Effect::Changed,
            };
            files.entry(*seq).or_default().push(OfferedFile { path: path.clone(), effect });
        }
    }
    let mut changes = Vec::new();
    for row in selection.changes.iter() {
        let Some(mut files) = files.remove(&row.seq) else { continue };
        files.sort_by(|a, b| a.path.cmp(&b.path));
        changes.push(Offered {
            seq: row.seq,
            change_id: row.change.change_id.clone(),
            who: name_of(&row.change),
            task: row.change.author.task_id.clone(),
            ended_at: row.change.ended_at,
            note: row.change.note.clone(),
            files,
        });
    }
    changes.sort_by_key(|change| std::cmp::Reverse(change.seq));
    Ok(Offer { changes })
}
