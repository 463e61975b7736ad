//! Files in which something goes, and that are not where it was done any more: they stay deleted, or somebody put something
//! else in their place.
//!
//! Owns which of them are likely to live on elsewhere, and what is said of these: what was done to them before does not count as
//! taken back. Refuses to find where: that is [`crate::recovery::alike`].

use std::collections::BTreeSet;

use wfr_catalog::ChangeSeq;
use wfr_model::TreePath;
use wfr_model::entry::Entry;
use wfr_model::finding::{Finding, Severity};
use wfr_recovery::replay::{Chain, Mark, Replayed, Version, replay_from};

use super::Chooser;
use crate::error::Failure;
use crate::recovery::alike::{self, Heir, Lost, Share, Whereabouts};
use crate::recovery::history::History;
use crate::recovery::moves::{self, Coming, Look};
use crate::recovery::telling::NOT_FOLLOWED;
use crate::recovery::unaccounted::is_alike;

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

/// An edit that stays, and with which a file may have gone elsewhere.
pub(super) struct Parting {
    /// It, by number.
    edit: usize,
    /// Changes that go and did something before it alone: nothing of that is there now, whether they go or not.
    apart: BTreeSet<ChangeSeq>,
}

impl Replay<'_> {
    /// The file as it was before an edit.
    fn lost(&self, Parting { edit, .. }: &Parting) -> Lost<'_> {
        let Self { history, replayable, .. } = self;
        let is_replaced = replayable.version(*edit).is_some();
        let gave_way = !history.is_there && !is_replaced;
        Lost {
            path: history.place(edit - 1),
            chain: replayable,
            deletion: *edit,
            look: self.look(*edit),
            over: gave_way.then(|| history.place(*edit)),
            stands: is_replaced.then_some(&history.path),
        }
    }

    /// Which look found an edit.
    fn look(&self, edit: usize) -> Look {
        let segment = &self.history.chain.segments[edit - 1];
        (segment.change, segment.point)
    }

    /// Whether an edit stays that left something else, or nothing.
    fn is_parting(&self, edit: usize) -> bool {
        let (before, after) = (self.replayable.version(edit - 1), self.replayable.version(edit));
        let is_same = |before: &Entry, after: &Entry| before.same_content(after) && before.meta.mode == after.meta.mode;
        let stays = self.replayable.edits[edit - 1].mark == Mark::Kept;
        stays && before.as_ref().is_some_and(|before| !after.as_ref().is_some_and(|after| is_same(before, after)))
    }

    /// Changes that go, and did nothing there from an edit on.
    fn apart(&self, edit: usize) -> BTreeSet<ChangeSeq> {
        let segments = &self.history.chain.segments;
        let is_before = |change: &&ChangeSeq| !segments[edit - 1..].iter().any(|one| one.change == **change);
        self.gone.iter().filter(is_before).copied().collect()
    }

    /// The chain with some changes that stay.
    fn with(&self, staying: &BTreeSet<ChangeSeq>) -> Chain {
        let mut chain = self.replayable.clone();
        for (edit, segment) in chain.edits.iter_mut().zip(&self.history.chain.segments) {
            if edit.mark == Mark::Removed && staying.contains(&segment.change) {
                edit.mark = Mark::Kept;
            }
        }
        chain
    }

    /// Takes changes out of those that go.
    fn leave(&mut self, staying: &BTreeSet<ChangeSeq>) {
        self.gone.retain(|change| !staying.contains(change));
        let goes = |change: ChangeSeq| self.gone.contains(&change);
        let mut rest = self.history.chain.segments.iter().enumerate().skip(self.first);
        self.first = rest.find(|(_, one)| goes(one.change)).map_or(self.first, |(at, _)| at);
    }
}

/// The same at all names that a file had when a change did something to it.
pub(super) fn names(
    elsewhere: &BTreeSet<(ChangeSeq, TreePath)>,
    histories: &[History],
) -> BTreeSet<(ChangeSeq, TreePath)> {
    let mut names = BTreeSet::new();
    for history in histories {
        for (at, one) in history.chain.segments.iter().enumerate() {
            if elsewhere.contains(&(one.change, history.path.clone())) {
                names.extend([at, at + 1].map(|number| (one.change, history.place(number).clone())));
            }
        }
    }
    names
}

impl Chooser<'_> {
    /// The edits with which the file may have gone elsewhere: the deletion that stays, and others behind which nothing of what
    /// went before is there.
    pub(super) fn partings(&self, coming: &mut Coming<'_>, replay: &Replay<'_>) -> Result<Vec<Parting>, Failure> {
        let Replay { replayable: chain, replayed: Replayed { outcome, notes }, gone, .. } = replay;
        let deletion = alike::kept_deletion(chain, outcome, notes);
        let mut partings = Vec::new();
        for edit in (replay.first + 2..=chain.last()).filter(|edit| replay.is_parting(*edit)) {
            let apart = replay.apart(edit);
            let (held, is_there) = (moves::content(chain.version(edit - 1).as_ref()), chain.version(edit).is_some());
            let has_gone = |coming: &mut Coming<'_>| coming.may_be_with(replay.look(edit), (held.as_ref(), is_there));
            let is_whole = apart == *gone;
            if deletion == Some(edit) {
                let apart = if is_whole || self.is_nothing(replay, &apart)? { apart } else { gone.clone() };
                partings.push(Parting { edit, apart });
            } else if !apart.is_empty() && has_gone(coming)? && self.is_nothing(replay, &apart)? {
                partings.push(Parting { edit, apart });
            }
        }
        Ok(partings)
    }

    /// Whether the path becomes the same where some changes stay.
    fn is_nothing(&self, replay: &Replay<'_>, staying: &BTreeSet<ChangeSeq>) -> Result<bool, Failure> {
        let Ok(without) = replay.replayed.outcome.clone().settled(&replay.replayable, &mut vec![]) else {
            return Ok(false);
        };
        let chain = replay.with(staying);
        let with = replay_from(&chain, self.selection.decisions.unit, self.objects)?.outcome;
        Ok(with.settled(&chain, &mut vec![]).is_ok_and(|with| is_alike(&with, &without)))
    }

    /// Takes out files of which what goes is likely to be in another one, since they were moved and edited in one step, or
    /// moved where that is not followed. That is told, and they stay as they are; where more goes at the path, that goes.
    pub(super) fn without_heirs<'r>(
        &mut self,
        coming: &mut Coming<'_>,
        parted: Vec<(Replay<'r>, Vec<Parting>)>,
    ) -> Result<Vec<Replay<'r>>, Failure> {
        let lost = parted.iter().flat_map(|(one, partings)| partings.iter().map(|parting| one.lost(parting)));
        let lost: Vec<Lost<'_>> = lost.collect();
        let found = self.heirs.find(&lost, coming)?;
        let told = lost.iter().zip(found).map(|(lost, found)| (told(lost, &found), found));
        let (mut told, mut rest) = (told.collect::<Vec<_>>().into_iter(), Vec::new());
        for (mut one, partings) in parted {
            let mut staying = BTreeSet::new();
            for (parting, (finding, found)) in partings.into_iter().zip(told.by_ref()) {
                self.copies.told_of(&one.history.path, found);
                if let Some(finding) = finding {
                    self.teller.findings.push(finding);
                    staying.extend(parting.apart);
                }
            }
            one.leave(&staying);
            match one.gone.is_empty() {
                true => self.left.push(one.history.path.clone()),
                false => {
                    self.elsewhere.extend(staying.into_iter().map(|change| (change, one.history.path.clone())));
                    rest.push(one);
                }
            }
        }
        Ok(rest)
    }
}

/// What is said of a file that lives on, or may.
fn told(Lost { path, stands, .. }: &Lost<'_>, found: &Whereabouts) -> Option<Finding> {
    let (message, fix) = match found {
        Whereabouts::Nowhere => return None,
        Whereabouts::In(heir) => lives_on(path, heir, stands.is_some()),
        Whereabouts::Unknown => {
            let what = if stands.is_some() { "written over" } else { "deleted" };
            let message = format!(
                "`{path}` was {what}, or moved and edited in one step: too much came with that to be looked through. What goes \
                 may be in another file still, and does not count as taken back"
            );
            (message, format!("look for it by hand: `wfr log --path {path} --patch` shows it"))
        }
    };
    Some(Finding::new(NOT_FOLLOWED, Severity::Warning, message, fix))
}

fn lives_on(path: &TreePath, Heir { path: heir, share }: &Heir, is_replaced: bool) -> (String, String) {
    let what = match (share, path == heir) {
        (Share::Whole, _) if is_replaced => {
            format!("`{path}` was moved to `{heir}`, as it seems, or copied there, and something else put in its place")
        }
        (_, false) if is_replaced => {
            format!(
                "`{path}` was moved to `{heir}` and edited, and something else put in its place in one step, as it seems"
            )
        }
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
