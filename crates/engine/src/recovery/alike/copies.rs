//! Files that somebody copied from one out of which work goes.
//!
//! Owns which came later with the same content as a version that has such work, and what is said of them. Refuses to take it
//! out there: whoever copied it has it as an own work.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use wfr_catalog::{ChangeFilter, ChangeSeq, NewPoint};
use wfr_model::TreePath;
use wfr_model::change::Actor;
use wfr_model::finding::{Finding, Severity};
use wfr_recovery::replay::{Chain, Mark};

use super::{Heirs, Share, Whereabouts};
use crate::error::Failure;
use crate::ledger::Veil;
use crate::open::Open;
use crate::recovery::moves::{self, Held};

/// Changes that are looked through for copies, at most: the newest ones.
const LOOKED_AT_MAX: u32 = 500;

/// What they left that is looked at, at most.
const LEFT_MAX: usize = 20_000;

/// Gathers files out of which work goes.
#[derive(Default)]
pub struct Copies {
    files: Vec<File>,
    /// What versions with such work hold, each with the file.
    held: HashMap<Held, usize>,
    /// Files of which it is told in another way that they have some of a file's.
    told: BTreeSet<(TreePath, TreePath)>,
}

struct File {
    path: TreePath,
    chain: Chain,
    /// The first of the changes that go there.
    since: ChangeSeq,
}

impl Copies {
    /// Notes a file with its edits, of which `first` is the first that goes, by a change.
    pub fn note(&mut self, path: &TreePath, chain: Chain, (first, since): (usize, ChangeSeq)) {
        let at = |number: usize| moves::content(chain.version(number).as_ref());
        let earlier: BTreeSet<Held> = (0..=first).filter_map(at).collect();
        let versions: Vec<Held> = (first + 1..=chain.edits.len()).filter_map(at).collect();
        for held in versions.into_iter().filter(|held| !earlier.contains(held)) {
            self.held.entry(held).or_insert(self.files.len());
        }
        self.files.push(File { path: path.clone(), chain, since });
    }

    /// Notes that it is told where what goes of a file is.
    pub fn told_of(&mut self, path: &TreePath, found: Whereabouts) {
        if let Whereabouts::In(heir) = found {
            self.told.insert((path.clone(), heir.path));
        }
    }

    /// Says where what goes is still: in files that came later, and are none of these `paths`.
    pub fn told(
        &self,
        (open, veil, unrecorded): (&Open, &Veil<'_>, Option<&NewPoint>),
        selected: &BTreeSet<ChangeSeq>,
        (heirs, paths): (&mut Heirs<'_>, &BTreeSet<TreePath>),
    ) -> Result<Vec<Finding>, Failure> {
        let mut copies: BTreeMap<usize, BTreeMap<TreePath, Share>> = BTreeMap::new();
        for (path, held, file) in self.found((open, veil, unrecorded), selected)? {
            let File { path: from, chain, .. } = &self.files[file];
            if paths.contains(&path) || self.told.contains(&(from.clone(), path.clone())) || path == *from {
                continue;
            }
            let share = heirs.copied(chain, &path, made_by_what_goes(chain, &held).then_some(&held))?;
            copies.entry(file).or_default().extend(share.map(|share| (path, share)));
        }
        let told = copies.iter().filter_map(|(file, copies)| copied(&self.files[*file].path, copies));
        Ok(told.collect())
    }

    /// Paths to which something came that versions with such work hold, by changes that stay, with the file.
    fn found(
        &self,
        (open, veil, unrecorded): (&Open, &Veil<'_>, Option<&NewPoint>),
        selected: &BTreeSet<ChangeSeq>,
    ) -> Result<Vec<(TreePath, Held, usize)>, Failure> {
        let mut found = Vec::new();
        let Some(since) = self.files.iter().map(|file| file.since).min().filter(|_| !self.held.is_empty()) else {
            return Ok(found);
        };
        let file_of = |held: Option<Held>| held.and_then(|held| Some((*self.held.get(&held)?, held)));
        for one in unrecorded.into_iter().flat_map(|point| &point.segments).filter(|one| !one.replayed) {
            if let Some((file, held)) = file_of(moves::content_of(veil, one.after.as_ref())?) {
                found.push((veil.shown(&one.path)?, held, file));
            }
        }
        let mut looked_at = 0;
        let filter = ChangeFilter { limit: Some(LOOKED_AT_MAX), ..ChangeFilter::default() };
        for row in open.catalog.changes(&filter)?.into_iter().take_while(|row| row.seq > since) {
            if row.change.actor == Actor::Recovery || selected.contains(&row.seq) {
                continue;
            }
            let mut has_any = false;
            let left = open.catalog.left_by(row.seq)?;
            looked_at += left.len();
            if looked_at > LEFT_MAX {
                break;
            }
            for (_, after) in left {
                let held = moves::content_of(veil, Some(&after).filter(|after| !after.is_empty()))?;
                has_any |= file_of(held).is_some();
            }
            for chain in if has_any { open.catalog.segments_of(row.seq)? } else { vec![] } {
                for one in chain.segments.iter().filter(|one| !one.replayed) {
                    if let Some((file, held)) = file_of(moves::content_of(veil, one.after.as_ref())?)
                        && row.seq > self.files[file].since
                    {
                        found.push((veil.shown(&chain.path)?, held, file));
                    }
                }
            }
        }
        Ok(found)
    }
}

/// Whether an edit that goes made a content.
fn made_by_what_goes(chain: &Chain, held: &Held) -> bool {
    let makes = |(at, _): (usize, _)| moves::content(chain.version(at + 1).as_ref()).as_ref() == Some(held);
    chain.edits.iter().enumerate().filter(|(_, edit)| edit.mark == Mark::Removed).any(makes)
}

fn copied(from: &TreePath, copies: &BTreeMap<TreePath, Share>) -> Option<Finding> {
    let (path, share) = copies.first_key_value()?;
    let more = match copies.len() - 1 {
        0 => String::new(),
        more => format!(", and so it is with {more} more"),
    };
    let line = match share {
        Share::Line(line) => format!(", such as `{line}`"),
        _ => String::new(),
    };
    let message = format!(
        "`{path}` was copied from `{from}` later, as it seems: what goes out of `{from}` stays in `{path}`{line}{more}"
    );
    let fix = format!("take it out of `{path}` by hand where it should go: `wfr who {path}` shows whose that is");
    Some(Finding::new("COPIED", Severity::Info, message, fix))
}
