//! Later work that a content made by hand leaves out.
//!
//! Owns how that is found: by lines. Refuses to decide whether it may go, and to tell of it: that is
//! [`super::dependents`].

use std::collections::{BTreeSet, HashSet};

use wfr_catalog::{ChangeSeq, SegmentRow};
use wfr_model::entry::{Entry, Node};
use wfr_recovery::merge::{BYTES_MAX, is_binary};
use wfr_recovery::replay::from_store;
use wfr_store::{Objects, ReadError};

/// Lines of a text.
type Lines = HashSet<Vec<u8>>;

/// The changes behind the edit `first` of which a text lacks a line that they brought and that is there, or has one that they
/// took away. `versions` has what was before each of the segments and, at its end, what is there. Of what is no text all
/// count.
///
/// Errors: what reading a version says.
pub fn by_text(
    objects: &dyn Objects,
    (segments, versions): (&[SegmentRow], &[Option<Entry>]),
    first: usize,
    text: &[u8],
) -> Result<BTreeSet<ChangeSeq>, ReadError> {
    let Some(present) = lines_of(objects, versions.last())? else { return Ok(changes(&segments[first..])) };
    let given = lines(text);
    let mut lost = BTreeSet::new();
    let mut before = lines_of(objects, versions.get(first))?;
    for (at, segment) in segments.iter().enumerate().skip(first) {
        let after = lines_of(objects, versions.get(at + 1))?;
        let is_lost = match (&before, &after) {
            (Some(before), Some(after)) => {
                let is_missing = |line: &Vec<u8>| present.contains(line) && !given.contains(line);
                let is_back = |line: &Vec<u8>| !present.contains(line) && given.contains(line);
                after.difference(before).any(is_missing) || before.difference(after).any(is_back)
            }
            _ => true,
        };
        if is_lost {
            lost.insert(segment.change);
        }
        before = after;
    }
    Ok(lost)
}

fn changes(segments: &[SegmentRow]) -> BTreeSet<ChangeSeq> {
    segments.iter().map(|segment| segment.change).collect()
}

fn lines(text: &[u8]) -> Lines {
    text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// The lines of a version; none where nothing was there, `None` where it is no text.
fn lines_of(objects: &dyn Objects, version: Option<&Option<Entry>>) -> Result<Option<Lines>, ReadError> {
    let Some(entry) = version.and_then(Option::as_ref) else { return Ok(Some(Lines::new())) };
    let Node::File(content) = &entry.node else { return Ok(None) };
    if content.size > BYTES_MAX {
        return Ok(None);
    }
    let text = from_store(objects)(content)?;
    Ok((!is_binary(&text)).then(|| lines(&text)))
}
