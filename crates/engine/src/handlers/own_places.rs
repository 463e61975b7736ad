//! Where no operation writes what it is asked for: in stores, in views, in what is git's own.
//!
//! Owns the refusal. Refuses to know what is written.

use std::path::Path;

use crate::error::{Code, Failure};
use crate::open::Open;
use crate::session::Session;
use crate::{view, workspace};

/// Refuses to write at a place: cleanup and the view's rewriting would meet what is written among their own, and whatever is in a
/// `.git`, git may take for its data.
pub(super) fn refuse_own_places(session: &Session, open: &Open, dest: &Path) -> Result<(), Failure> {
    let vaults = session.directories.data.as_ref().map(|data| data.join("wfr"));
    let own = [Some(open.vault.dir().to_owned()), Some(view::dir(open.root())), vaults];
    let real = |place: &Path| place.canonicalize().unwrap_or_else(|_| place.to_owned());
    let above = dest.ancestors().find_map(|place| place.canonicalize().ok());
    let is_git = |place: &Path| place.components().any(|part| part.as_os_str().eq_ignore_ascii_case(".git"));
    if is_git(dest) || above.is_some_and(|above| is_git(&above)) {
        let message = format!("{} lies in a `.git`, which is git's own", dest.display());
        return Err(Failure::new(Code::InvalidParameter, message).with_hint("name a place elsewhere"));
    }
    let own = own.iter().flatten().map(|place| real(place)).find(|place| dest.starts_with(place));
    // A store of another workspace may be anywhere.
    match own.or_else(|| workspace::own_place(session.directories.data.as_deref(), dest)) {
        None => Ok(()),
        Some(place) => {
            let message = format!("{} lies in {}, which is wfr's own", dest.display(), place.display());
            Err(Failure::new(Code::InvalidParameter, message).with_hint("name a place elsewhere"))
        }
    }
}
