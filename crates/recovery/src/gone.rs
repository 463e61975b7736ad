//! What a checkpoint knows to have been there, did not take, and what is not there any more.
//!
//! Owns how that is told from the captures of both sides. Looks at no file: what the capture of the present tree neither holds
//! nor skipped is not there. Refuses to say what becomes of it: nothing can.

use wfr_model::Digest;
use wfr_model::coverage::{Coverage, Skip, SkipReason};
use wfr_model::plan::{Kept, KeptReason};
use wfr_store::tree::Finder;
use wfr_store::{Objects, ReadError};

/// What the coverage of a checkpoint names that is missing in a tree with this coverage of its own, by path.
pub fn gone(objects: &dyn Objects, (tree, now): (&Digest, &Coverage), then: &Coverage) -> Result<Vec<Kept>, ReadError> {
    let mut finder = Finder::new(objects, *tree);
    let mut gone = Vec::new();
    for skip in then.skips.iter().filter(|skip| was_there(skip)) {
        if now.shields(&skip.path).is_none() && finder.lookup(&skip.path)?.is_none() {
            gone.push(Kept { path: skip.path.clone(), reason: KeptReason::Gone(skip.reason) });
        }
    }
    Ok(gone)
}

/// Whether the checkpoint saw something of the user's there. The root itself always is.
fn was_there(skip: &Skip) -> bool {
    use SkipReason::{MountPoint, MountedSince, NotMounted, OwnFiles};
    !skip.path.is_root() && !matches!(skip.reason, OwnFiles | MountedSince | NotMounted | MountPoint)
}
