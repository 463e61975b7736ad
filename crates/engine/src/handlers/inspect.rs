//! `show`, `cat`, `diff`.
//!
//! Owns their glue. Refuses to compare texts: that is `textdiff`.

use wfr_catalog::ReferenceError;
use wfr_model::coverage::Coverage;
use wfr_model::entry::{Content, Entry, Kind, Node};
use wfr_model::plan::EntrySummary;
use wfr_model::{Digest, TreePath};
use wfr_store::content::{self, CopyError};
use wfr_store::scan::Dry;
use wfr_store::tree::{self, Difference, Finder};
use wfr_store::{Objects, ReadError, Store};

use super::unlooked::Unlooked;
use super::{checkpoint, needed};
use crate::error::{Code, Failure};
use crate::open::Open;
use crate::params::{Cat, Diff, DiffFormat, Show};
use crate::recovery::tree_of;
use crate::response::Success;
use crate::results::{Change, ChangeKind, CheckpointShown, Differences, FileContent, Listed, Side};
use crate::scanning::{self, Effort};
use crate::session::Session;
use crate::{links, manifests, recovery, textdiff};

/// Shows a checkpoint.
pub fn show(session: &mut Session, parameters: Show) -> Result<Success<CheckpointShown>, Failure> {
    let open = session.open()?;
    let row = checkpoint(&open, parameters.workflow_id, parameters.checkpoint)?;
    let store = open.store()?;
    let mut files = Vec::new();
    if let (true, Some(root)) = (parameters.files, &row.tree) {
        tree::walk(&store, root, &mut |path, entry| {
            files.push(Listed { path: path.clone(), entry: EntrySummary::from(entry) });
            Ok::<(), ReadError>(())
        })?;
    }
    let coverage: Coverage = manifests::coverage(&store, &row)?;
    let shown = CheckpointShown {
        checkpoint: manifests::manifest(&store, &row)?,
        verification_status: row.verification,
        validation_timestamp: row.verified_at,
        coverage: super::checkpoints::coverage_result(coverage, true),
        files: parameters.files.then_some(files),
    };
    Ok(Success::new(shown).about(&row.workflow_id))
}

/// Writes one file's bytes, or a link's target, to the session's raw output.
pub fn cat(session: &mut Session, parameters: Cat) -> Result<Success<FileContent>, Failure> {
    let open = session.open()?;
    let row = checkpoint(&open, parameters.workflow_id, parameters.checkpoint)?;
    let path = needed(parameters.path, "path")?;
    let store = open.store()?;
    let entry = tree::lookup(&store, &tree_of(&row)?, &path)?;
    let missing = |what: &str| Failure::new(Code::PathNotFound, format!("checkpoint `{}` {what}: {path}", row.name));
    let entry = entry.ok_or_else(|| missing("has no such path"))?;
    let (size, checksum) = match &entry.node {
        Node::File(found) => {
            content::copy_to(&store, found, &mut session.raw).map_err(copy_failure)?;
            (found.size, Some(found.hash))
        }
        Node::Symlink(target) => {
            session.raw.write_all(target)?;
            (target.len() as u64, None)
        }
        _ => return Err(missing("has no file at that path")),
    };
    session.raw.flush()?;
    let kind = entry.node.kind();
    let checkpoint_id = row.checkpoint_id;
    let result = FileContent { checkpoint_id, path, kind, size, checksum, content: None, encoding: None };
    Ok(Success::new(result).about(&row.workflow_id))
}

pub(super) fn copy_failure(error: CopyError) -> Failure {
    match error {
        CopyError::Read(error) => error.into(),
        CopyError::Write(error) => error.into(),
    }
}

/// Shows what differs.
pub fn diff(session: &mut Session, parameters: Diff) -> Result<Success<Differences>, Failure> {
    let format = parameters.format()?;
    let open = session.open()?;
    let store = open.store()?;
    let left = checkpoint(&open, parameters.workflow_id.clone(), parameters.from.clone())?;
    let from = Side { tree: tree_of(&left)?, name: left.name.clone(), checkpoint_id: Some(left.checkpoint_id.clone()) };
    let (right, paths) = right_side(&open, &store, &parameters)?;
    let dry = Dry::over(&store);
    let (to, right_links, covered) = match right {
        Some(right) => right,
        None => {
            recovery::tell_unfinished(session, &open)?;
            let scan = scanning::scan_workspace(&open, &dry, session, Effort::default())?;
            (Side { tree: scan.tree, name: "tree".to_owned(), checkpoint_id: None }, scan.hard_links, scan.coverage)
        }
    };
    let mut unlooked = Unlooked::of(manifests::coverage(&store, &left)?, covered);
    check_paths(&dry, (&from, &to), &paths, &unlooked)?;
    let is_wanted = |path: &TreePath| paths.is_empty() || paths.iter().any(|wanted| path.is_within(wanted));
    let work = Work { open: &open, store: &store, format, context: parameters.context.unwrap_or(3) as usize };
    let is_live = to.checkpoint_id.is_none();
    let groups = [left.hard_links, right_links].map(|links| links::of(&dry, links.as_ref()));
    let [left_groups, right_groups] = groups;
    let mut regrouped = links::regrouped(&left_groups?, &right_groups?);
    let mut changes = Vec::new();
    for difference in tree::diff(&dry, &from.tree, &to.tree)? {
        if is_wanted(&difference.path) && !is_time_only(&difference) && !unlooked.hides(&difference) {
            let links = regrouped.remove(&difference.path);
            changes.push(Change { links, ..work.change(difference, is_live)? });
        }
    }
    // What differs in nothing but the names that it shares.
    let [mut then, mut now] = [from.tree, to.tree].map(|tree| Finder::new(&dry, tree));
    for (path, links) in regrouped.into_iter().filter(|(path, _)| is_wanted(path)) {
        if let (before @ Some(_), after @ Some(_)) = (then.lookup(&path)?, now.lookup(&path)?) {
            let change = work.change(Difference { path, before, after }, is_live)?;
            changes.push(Change { links: Some(links), ..change });
        }
    }
    changes.sort_by(|a, b| a.path.components().cmp(b.path.components()));
    let not_looked_at = unlooked.named(&is_wanted);
    Ok(Success::new(Differences { from, to, format, changes, not_looked_at }).about(&left.workflow_id))
}

/// A path that neither side has is a slip, not a path without differences, but for one at which a side did not look.
fn check_paths(
    objects: &dyn Objects,
    (from, to): (&Side, &Side),
    paths: &[TreePath],
    unlooked: &Unlooked,
) -> Result<(), Failure> {
    for path in paths.iter().filter(|path| !path.is_root() && !unlooked.covers(path)) {
        let is_in = |side: &Side| Ok::<bool, ReadError>(tree::lookup(objects, &side.tree, path)?.is_some());
        if !is_in(from)? && !is_in(to)? {
            let message = format!("neither `{}` nor `{}` has a path `{path}`", from.name, to.name);
            let hint = "a second checkpoint stands before the paths: `wfr list-checkpoints` has the names";
            return Err(Failure::new(Code::PathNotFound, message).with_hint(hint));
        }
    }
    Ok(())
}

/// A checkpoint to compare with, its hard links, and what it does not cover.
type Right = (Side, Option<Digest>, Coverage);

/// The right side, `None` for the tree; a word that is no checkpoint is a path.
fn right_side(open: &Open, store: &Store, parameters: &Diff) -> Result<(Option<Right>, Vec<TreePath>), Failure> {
    let mut paths = parameters.paths.clone();
    let reference = match parameters.to.as_deref() {
        None | Some("tree") => return Ok((None, paths)),
        Some(reference) => reference,
    };
    match open.catalog.resolve(parameters.workflow_id.as_ref(), reference) {
        Ok(row) => {
            let (tree, coverage) = (tree_of(&row)?, manifests::coverage(store, &row)?);
            let side = Side { tree, name: row.name.clone(), checkpoint_id: Some(row.checkpoint_id) };
            Ok((Some((side, row.hard_links, coverage)), paths))
        }
        Err(error @ (ReferenceError::NotFound { .. } | ReferenceError::Malformed(_))) => match reference.parse() {
            Ok(path) if open.root().join(reference).symlink_metadata().is_ok() => {
                paths.push(path);
                Ok((None, paths))
            }
            _ => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    }
}

/// Times alone, and directories whose contents differ, say nothing that other lines do not.
fn is_time_only(difference: &Difference) -> bool {
    let is_same = |before: &Entry, after: &Entry| before.same_but_time(after) && owner(before) == owner(after);
    matches!((&difference.before, &difference.after), (Some(before), Some(after)) if is_same(before, after))
}

fn owner(entry: &Entry) -> String {
    format!("{}:{}", entry.meta.uid, entry.meta.gid)
}

/// The owners, where they differ.
fn owners(before: Option<&Entry>, after: Option<&Entry>) -> Option<[String; 2]> {
    let (before, after) = (owner(before?), owner(after?));
    (before != after).then_some([before, after])
}

struct Work<'w> {
    open: &'w Open,
    store: &'w Store,
    format: DiffFormat,
    context: usize,
}

impl Work<'_> {
    fn change(&self, difference: Difference, live: bool) -> Result<Change, Failure> {
        let Difference { path, before, after } = difference;
        let (old, new) = (file(&before), file(&after));
        let mut change = Change {
            kind: kind_of(before.as_ref(), after.as_ref()),
            before: before.as_ref().map(EntrySummary::from),
            after: after.as_ref().map(EntrySummary::from),
            owners: owners(before.as_ref(), after.as_ref()),
            links: None,
            binary: None,
            insertions: None,
            deletions: None,
            patch: None,
            path,
        };
        let is_file = [&change.before, &change.after].into_iter().flatten().all(|entry| entry.kind == Kind::File);
        let is_same = old.map(|content| content.hash) == new.map(|content| content.hash);
        if self.format == DiffFormat::NameOnly || !is_file || is_same {
            return Ok(change);
        }
        let left = self.text(&change.path, old, false)?;
        let right = self.text(&change.path, new, live)?;
        let (Some(left), Some(right)) = (left, right) else {
            change.binary = Some(true);
            return Ok(change);
        };
        let compared = textdiff::compare(&left, &right, self.format, self.context, &names(&change));
        change.binary = Some(false);
        (change.insertions, change.deletions) = (Some(compared.insertions), Some(compared.deletions));
        change.patch = compared.patch;
        Ok(change)
    }

    /// A file's text; empty where there is no file, `None` where it is no text or too large.
    fn text(&self, path: &TreePath, found: Option<Content>, live: bool) -> Result<Option<String>, Failure> {
        let Some(found) = found else { return Ok(Some(String::new())) };
        if found.size > textdiff::BYTES_MAX {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        if live && !self.store.has(&found.chunks.unwrap_or(found.hash)) {
            match scanning::read_file(self.open, path, textdiff::BYTES_MAX)? {
                Some(read) => bytes = read,
                None => return Ok(None),
            }
        } else {
            content::copy_to(self.store, &found, &mut bytes).map_err(copy_failure)?;
        }
        Ok(textdiff::as_text(bytes))
    }
}

fn file(entry: &Option<Entry>) -> Option<Content> {
    match entry {
        Some(Entry { node: Node::File(found), .. }) => Some(*found),
        _ => None,
    }
}

fn kind_of(before: Option<&Entry>, after: Option<&Entry>) -> ChangeKind {
    match (before, after) {
        (None, _) => ChangeKind::Added,
        (_, None) => ChangeKind::Removed,
        (Some(a), Some(b)) if a.node.kind() != b.node.kind() => ChangeKind::Type,
        (Some(Entry { node: Node::File(a), .. }), Some(Entry { node: Node::File(b), .. })) if a.hash == b.hash => {
            ChangeKind::Metadata
        }
        (Some(a), Some(_)) if a.node.kind() == Kind::Dir => ChangeKind::Metadata,
        (Some(a), Some(b)) if a.node == b.node => ChangeKind::Metadata,
        _ => ChangeKind::Modified,
    }
}

/// The two names above a unified diff.
fn names(change: &Change) -> (String, String) {
    let name = |exists: bool, side: &str| {
        if exists { format!("{side}/{}", change.path) } else { "/dev/null".to_owned() }
    };
    (name(change.before.is_some(), "a"), name(change.after.is_some(), "b"))
}
