//! What a plan would do to the lines of files, for whoever is to agree to it.
//!
//! Owns how much of it is shown. Refuses to compare texts (that is `textdiff`), and to fail a plan because of a file that
//! cannot be shown.

use std::collections::HashMap;

use wfr_model::Digest;
use wfr_model::entry::{Content, Entry, Node};
use wfr_model::plan::Step;
use wfr_store::object::hash;
use wfr_store::{Objects, content};

use crate::open::Open;
use crate::params::DiffFormat;
use crate::results::PathPatch;
use crate::{scanning, textdiff};

/// Files that are shown.
const FILES_MAX: usize = 100;

/// All that is shown of them, in bytes.
const BYTES_MAX: usize = 256 << 10;

/// Lines around a difference.
const CONTEXT: usize = 3;

/// The patches of a plan, the first files first, and how many files more it changes. `texts` are contents that no object has
/// yet.
pub fn of(open: &Open, objects: &dyn Objects, steps: &[Step], texts: &[Vec<u8>]) -> (Vec<PathPatch>, u64) {
    let texts = texts.iter().map(|text| (hash(text), text.as_slice())).collect();
    let reader = Reader { open, objects, texts };
    let changed: Vec<&Step> = steps.iter().filter(|step| changes_content(step)).collect();
    let (mut patches, mut bytes) = (Vec::new(), 0);
    for step in changed.iter().take(FILES_MAX) {
        let patch = reader.patch(step);
        bytes += patch.patch.as_ref().map_or(0, String::len);
        if bytes > BYTES_MAX && !patches.is_empty() {
            break;
        }
        patches.push(patch);
    }
    let more = (changed.len() - patches.len()) as u64;
    (patches, more)
}

/// Whether a step gives a file another content, makes one or takes one away.
fn changes_content(step: &Step) -> bool {
    let (before, after) = (file(step.before.as_ref()), file(step.after.as_ref()));
    (before.is_some() || after.is_some()) && before.map(|file| file.hash) != after.map(|file| file.hash)
}

fn file(entry: Option<&Entry>) -> Option<&Content> {
    match entry.map(|entry| &entry.node) {
        Some(Node::File(found)) => Some(found),
        _ => None,
    }
}

struct Reader<'r> {
    open: &'r Open,
    objects: &'r dyn Objects,
    texts: HashMap<Digest, &'r [u8]>,
}

impl Reader<'_> {
    fn patch(&self, step: &Step) -> PathPatch {
        let sides = [(step.before.as_ref(), "a"), (step.after.as_ref(), "b")];
        let [left, right] = sides.map(|(entry, _)| self.text(step, file(entry)));
        let mut shown =
            PathPatch { path: step.path.clone(), binary: true, insertions: None, deletions: None, patch: None };
        let (Some(left), Some(right)) = (left, right) else { return shown };
        let [one, other] = sides.map(|(entry, side)| match file(entry) {
            Some(_) => format!("{side}/{}", step.path),
            None => "/dev/null".to_owned(),
        });
        let compared = textdiff::compare(&left, &right, DiffFormat::Unified, CONTEXT, &(one, other));
        shown.binary = false;
        (shown.insertions, shown.deletions) = (Some(compared.insertions), Some(compared.deletions));
        shown.patch = compared.patch;
        shown
    }

    /// A side as text; empty where there is no file, `None` where it is no text, too long, or cannot be read.
    fn text(&self, step: &Step, found: Option<&Content>) -> Option<String> {
        let Some(found) = found else { return Some(String::new()) };
        if found.size > textdiff::BYTES_MAX {
            return None;
        }
        textdiff::as_text(self.bytes(step, found)?)
    }

    fn bytes(&self, step: &Step, found: &Content) -> Option<Vec<u8>> {
        if let Some(text) = self.texts.get(&found.hash) {
            return Some(text.to_vec());
        }
        let mut bytes = Vec::new();
        if content::copy_to(self.objects, found, &mut bytes).is_ok() {
            return Some(bytes);
        }
        // What nobody has saved yet is there as it was found, or the plan is stale anyway.
        let read = scanning::read_file(self.open, &step.path, textdiff::BYTES_MAX).ok().flatten()?;
        (hash(&read) == found.hash).then_some(read)
    }
}
