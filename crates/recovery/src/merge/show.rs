//! A merge with its conflicts marked, for people and editors.
//!
//! Owns the markers: those of `diff3 -m`, seven characters and a label. Refuses to decide anything.

use super::regions::Region;
use super::{Texts, Unit, Whole};

/// What stands behind the markers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Labels<'a> {
    /// Names the base.
    pub base: &'a str,
    /// Names our side.
    pub ours: &'a str,
    /// Names their side.
    pub theirs: &'a str,
}

/// The merge of three texts in which each conflict stands between markers, with all three sides of it.
///
/// Errors: where the texts are not merged line by line, why.
pub fn marked(base: &[u8], ours: &[u8], theirs: &[u8], unit: Unit, labels: &Labels<'_>) -> Result<Vec<u8>, Whole> {
    let texts = Texts::new([base, ours, theirs], unit)?;
    // Markers end as the text around them does.
    let end: &[u8] = match texts.pieces[1].first() {
        Some(line) if line.ends_with(b"\r\n") => b"\r\n",
        _ => b"\n",
    };
    Ok(texts.put_all(|text, region| put_conflict(text, &texts, region, labels, end)))
}

/// One conflict. What both sides have alike at its begin and end stands outside the markers.
fn put_conflict(text: &mut Vec<u8>, texts: &Texts<'_>, region: &Region, labels: &Labels<'_>, end: &[u8]) {
    let hunk = texts.trimmed(region);
    texts.put(text, 1, region.ours.start..hunk.ours.start);
    let parts = [
        ("<<<<<<<", labels.ours, 1, &hunk.ours),
        ("|||||||", labels.base, 0, &hunk.base),
        ("=======", "", 2, &hunk.theirs),
    ];
    for (marker, label, side, lines) in parts {
        put_marker(text, marker, label, end);
        texts.put(text, side, lines.clone());
    }
    put_marker(text, ">>>>>>>", labels.theirs, end);
    texts.put(text, 1, hunk.ours.end..region.ours.end);
}

/// A marker on a line of its own: a last line without an end gets one.
fn put_marker(text: &mut Vec<u8>, marker: &str, label: &str, end: &[u8]) {
    if text.last().is_some_and(|byte| *byte != b'\n') {
        text.extend(end);
    }
    text.extend(marker.bytes());
    if !label.is_empty() {
        text.push(b' ');
        text.extend(label.bytes());
    }
    text.extend(end);
}
