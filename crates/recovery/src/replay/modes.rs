//! A file's mode along a chain, by itself: who puts it back may have edited the file in between, or somebody else may.
//!
//! Owns when a mode is not that of whoever set it last, but what they had led away from before. Refuses to know contents, and to
//! judge modes that a merge cannot separate.

use std::collections::HashMap;

use wfr_model::entry::Node;

use super::back::{self, Back};
use super::{Chain, Mark};

/// The mode that the last edit left which is no recovery, and what it is without the removed edits, where a kept edit put it back:
/// then that is no work of its own, as where a whole version is put back.
pub(super) fn put_back(chain: &Chain) -> Option<(u32, u32)> {
    let mut is_any = false;
    // The last place of each mode since the last recovery, and that of all.
    let mut seen = HashMap::from_iter(of(chain, 0).map(|mode| (mode, 0)));
    let mut ever = seen.clone();
    let mut results = vec![of(chain, 0)];
    for number in 1..=chain.last() {
        let before = results[number - 1];
        let Some(mode) = of(chain, number) else {
            // What comes then is another file.
            (seen, ever) = (HashMap::new(), HashMap::new());
            results.push(None);
            continue;
        };
        let back = match back::of(chain, number) {
            Some(Back::To(earlier)) => results[earlier],
            _ => None,
        };
        results.push(match chain.mark(number) {
            Mark::Removed => before,
            Mark::Neutral { gone } => {
                seen.clear();
                let is_as_then = gone.as_ref().is_some_and(|gone| gone.iter().copied().eq(chain.removed(number)));
                if is_as_then { Some(mode) } else { before }
            }
            Mark::Kept if back.is_some() => {
                is_any |= back != Some(mode);
                back
            }
            Mark::Kept if of(chain, number - 1) == Some(mode) => before,
            Mark::Kept => {
                let earlier = if chain.returns(number) { &ever } else { &seen }.get(&mode).copied();
                let is_back = |earlier: &usize| results[*earlier] != Some(mode) && chain.puts_back(earlier + 1, number);
                let earlier = earlier.filter(is_back);
                is_any |= earlier.is_some();
                earlier.map_or(Some(mode), |earlier| results[earlier])
            }
        });
        seen.insert(mode, number);
        ever.insert(mode, number);
    }
    // A recovery is not replayed: what it left is not what a replay comes to.
    let is_edit = |number: &usize| !matches!(chain.mark(*number), Mark::Neutral { .. });
    let last = of(chain, (1..=chain.last()).rev().find(is_edit)?)?;
    Some((last, results.pop()??)).filter(|(last, without)| is_any && last != without)
}

/// The mode of a version that is a file.
fn of(chain: &Chain, number: usize) -> Option<u32> {
    let entry = chain.version(number).as_ref().filter(|entry| matches!(entry.node, Node::File(_)));
    entry.map(|entry| entry.meta.mode)
}
