//! Files that stay deleted though something goes in them.
//!
//! Owns which of them are likely to live on elsewhere, and what is said of these: nothing of them counts as taken back. Refuses
//! to find where: that is [`crate::recovery::alike`].

use std::collections::BTreeSet;

use wfr_catalog::ChangeSeq;
use wfr_model::TreePath;
use wfr_model::finding::{Finding, Severity};
use wfr_recovery::replay::{Chain, Replayed, Version};

use super::Chooser;
use crate::error::Failure;
use crate::ledger::Veil;
use crate::recovery::alike::{self, Heir, Lost, Share, Whereabouts};
use crate::recovery::history::History;
use crate::recovery::moves::Coming;
use crate::recovery::telling::NOT_FOLLOWED;

/// A path at which something goes, with what a replay gives there.
pub(super) struct Replay<'r> {
    pub(super) history: &'r History,
    pub(super) versions: Vec<Version>,
    pub(super) replayable: Chain,
    /// The first edit that goes.
    pub(super) first: usize,
    /// Live changes that go.
    pub(super) gone: BTreeSet<ChangeSeq>,
    pub(super) replayed: Replayed,
}

impl Replay<'_> {
    /// The deletion that stays, by number.
    pub(super) fn deletion(&self) -> Option<usize> {
        alike::kept_deletion(&self.replayable, &self.replayed.outcome, &self.replayed.notes)
    }

    /// The file as it was deleted by an edit.
    fn lost(&self, deletion: usize) -> Lost<'_> {
        let Self { history, replayable, .. } = self;
        let segment = &history.chain.segments[deletion - 1];
        Lost {
            path: history.place(deletion - 1),
            chain: replayable,
            deletion,
            look: (segment.change, segment.point),
            over: (!history.is_there).then(|| history.place(deletion)),
        }
    }
}

impl Chooser<'_> {
    /// Takes out files of which what goes is likely to be in another one, since they were moved and edited in one step, or
    /// moved where that is not followed. That is told, and they stay as they are.
    pub(super) fn without_heirs<'r>(
        &mut self,
        veil: &Veil<'_>,
        deleted: Vec<(Replay<'r>, usize)>,
    ) -> Result<Vec<Replay<'r>>, Failure> {
        let lost: Vec<Lost<'_>> = deleted.iter().map(|(one, edit)| one.lost(*edit)).collect();
        let mut coming = Coming::new(self.open, veil, self.unrecorded);
        let found = self.heirs.find(&lost, &mut coming)?;
        let told: Vec<Option<Finding>> = lost.iter().zip(&found).map(|(lost, found)| told(lost.path, found)).collect();
        let mut rest = Vec::new();
        for ((one, _), told) in deleted.into_iter().zip(told) {
            match told {
                Some(finding) => {
                    self.teller.findings.push(finding);
                    self.left.push(one.history.path.clone());
                }
                None => rest.push(one),
            }
        }
        Ok(rest)
    }
}

/// What is said of a file that lives on, or may.
fn told(path: &TreePath, found: &Whereabouts) -> Option<Finding> {
    let (message, fix) = match found {
        Whereabouts::Nowhere => return None,
        Whereabouts::In(heir) => lives_on(path, heir),
        Whereabouts::Unknown => (
            format!(
                "`{path}` was deleted, or moved and edited in one step: too much came with that to be looked through. What goes \
                 may be in another file still, and does not count as taken back"
            ),
            format!("look for it by hand: `wfr log --path {path} --patch` shows it"),
        ),
    };
    Some(Finding::new(NOT_FOLLOWED, Severity::Warning, message, fix))
}

fn lives_on(path: &TreePath, Heir { path: heir, share }: &Heir) -> (String, String) {
    let what = match (share, path == heir) {
        (Share::Whole, _) => format!("`{path}` was moved to `{heir}`, as it seems, or copied there and deleted"),
        (_, true) => format!("another file was put in the place of `{path}`, and made from it, as it seems"),
        (_, false) => format!("`{path}` was moved to `{heir}` and edited in one step, as it seems"),
    };
    let stands = match share {
        Share::Line(line) => format!("what goes is still in `{heir}`, such as `{line}`,"),
        Share::Whole => format!("what goes is still in `{heir}`"),
        Share::Gap => format!("what goes took lines out of it, which `{heir}` still lacks,"),
        Share::Mode => format!("what goes gave it the mode that `{heir}` still has,"),
        Share::Unclear => format!("what goes may still be in `{heir}`, which lines do not tell,"),
    };
    let message = format!("{what}, which is not followed: {stands} and does not count as taken back there");
    let way = match share {
        Share::Line(_) | Share::Whole => format!("take it out of `{heir}` by hand"),
        Share::Gap | Share::Mode | Share::Unclear => format!("set `{heir}` right by hand"),
    };
    (message, format!("{way}: `wfr log --path {path} --patch` shows it"))
}
