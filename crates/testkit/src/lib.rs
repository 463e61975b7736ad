//! What the tests of several crates share: skips that are counted, trees of every kind of entry, snapshots of a
//! directory for comparison, seeded random trees and edits, published crates as histories, and git as the judge of merges.
//!
//! A development dependency only: nothing that is shipped may use it. Refuses to know `wfr`'s own types, so that
//! it can judge them from outside. Helpers panic with the path and the system's words where the disk refuses.

mod edits;
mod git;
mod random;
mod releases;
mod skip;
mod snapshot;
mod tree;

pub use edits::edit_at_random;
pub use git::{GIT_ABSENT, Git};
pub use random::{Prng, TreeShape, grow};
pub use releases::{Release, releases};
pub use skip::{skip, skipped, strict};
pub use snapshot::{Entry, Snapshot, What};
pub use tree::TestTree;

/// Unwraps a result of the disk, or panics with what was tried.
#[track_caller]
fn must<T, E: std::fmt::Display>(result: Result<T, E>, tried: impl std::fmt::Display) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("test set-up: {tried}: {error}"),
    }
}
