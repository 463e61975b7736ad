//! Merging inside lines that both sides changed.
//!
//! Owns what a word is, and that a merge by words counts only where each side's part can be taken out of it again. Refuses to
//! be done unasked: a line that comes out of it was never anybody's.

use std::borrow::Cow;
use std::ops::Range;

use super::compare::hunks;
use super::lines::Interner;
use super::regions::{Whose, regions};
use super::trivial;

/// Merges what two sides made of the same lines; `None` where words of theirs overlap or touch, where one of them could not be
/// told apart from the other in the result, and where `steps` did not suffice.
pub(super) fn merge(base: &[u8], ours: &[u8], theirs: &[u8], steps: &mut u64) -> Option<Vec<u8>> {
    let text = once([base, ours, theirs], steps)?;
    let mut without = |side: &[u8], other: &[u8]| once([side, &text, base], steps).is_some_and(|left| *left == *other);
    (without(ours, theirs) && without(theirs, ours)).then(|| text.to_vec())
}

/// One merge by words, without a conflict.
fn once<'a>(texts: [&'a [u8]; 3], steps: &mut u64) -> Option<Cow<'a, [u8]>> {
    let [base, ours, theirs] = texts;
    if let Some(trivial) = trivial(base, ours, theirs) {
        return Some(Cow::Borrowed(trivial));
    }
    let words = texts.map(split);
    let mut interner = Interner::default();
    let [base, ours, theirs] = words.each_ref().map(|words| interner.ids(words));
    let (left, right) =
        (hunks(&base, &ours, interner.kinds(), steps)?, hunks(&base, &theirs, interner.kinds(), steps)?);
    let (mut text, mut at) = (Vec::new(), 0);
    let mut put = |side: usize, range: Range<usize>| text.extend(words[side][range].iter().copied().flatten());
    for region in regions(&left, &right, &ours, &theirs) {
        put(1, at..region.ours.start);
        match region.whose {
            Whose::Both => return None,
            Whose::Theirs => put(2, region.theirs.clone()),
            Whose::Ours => put(1, region.ours.clone()),
        }
        at = region.ours.end;
    }
    put(1, at..words[1].len());
    Some(Cow::Owned(text))
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
        b'_' => Sort::Name,
        // The bytes of a letter beyond ASCII stay together.
        _ if byte.is_ascii_alphanumeric() || !byte.is_ascii() => Sort::Name,
        _ => Sort::Single,
    }
}

/// A text's words: names and numbers, runs of spaces, and each other byte.
fn split(text: &[u8]) -> Vec<&[u8]> {
    text.chunk_by(|one, next| sort(*one) == sort(*next) && sort(*one) != Sort::Single).collect()
}
