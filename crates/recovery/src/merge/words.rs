//! Merging inside lines that both sides changed.
//!
//! Owns what a word is, and that a merge by words counts only where each side's part can be taken out of it again. Refuses to
//! be done unasked: a line that comes out of it was never anybody's.

use super::{Merge, Texts, trivial};

/// Merges what two sides made of the same lines; `None` where words of theirs overlap or touch, where one of them could not be
/// told apart from the other in the result, and where `steps` did not suffice.
pub(super) fn merge(base: &[u8], ours: &[u8], theirs: &[u8], steps: &mut u64) -> Option<Vec<u8>> {
    let text = once([base, ours, theirs], steps)?;
    let mut without = |side: &[u8], other: &[u8]| once([side, &text, base], steps).is_some_and(|left| left == other);
    if without(ours, theirs) && without(theirs, ours) { Some(text) } else { None }
}

/// One merge by words, without a conflict.
fn once(texts: [&[u8]; 3], steps: &mut u64) -> Option<Vec<u8>> {
    let [base, ours, theirs] = texts;
    if let Some(trivial) = trivial(base, ours, theirs) {
        return Some(trivial.to_vec());
    }
    match Texts::of(texts.map(split), steps).ok()?.merge() {
        Merge::Clean(text) => Some(text),
        Merge::Conflict(_) | Merge::Whole(_) => None,
    }
}

/// What a byte belongs to: a name or number, the space between, the end of a line; anything else stands alone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Name,
    Space,
    Single,
}

fn sort(byte: u8) -> Sort {
    match byte {
        b' ' | b'\t' => Sort::Space,
        // The bytes of a letter beyond ASCII stay together.
        _ if byte == b'_' || byte.is_ascii_alphanumeric() || !byte.is_ascii() => Sort::Name,
        _ => Sort::Single,
    }
}

/// A text's words: names and numbers, runs of spaces, and each other byte.
fn split(text: &[u8]) -> Vec<&[u8]> {
    text.chunk_by(|one, next| sort(*one) == sort(*next) && sort(*one) != Sort::Single).collect()
}
