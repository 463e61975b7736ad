//! Up to where rebuilds let the log leap, which no catalog tells that is lost.
//!
//! Owns a small file beside the catalog. Refuses to choose a place.

use std::io;

use wfr_catalog::EventSeq;
use wfr_store::Vault;
use wfr_store::vault::write_durably;

/// Its name in the vault.
const FILE: &str = "leapt";

/// Where the last leap ended; `None` where none is known: then the clock alone tells.
pub(super) fn last(vault: &Vault) -> Option<EventSeq> {
    let text = std::fs::read_to_string(vault.dir().join(FILE)).ok()?;
    text.trim().parse().ok().map(EventSeq)
}

/// Notes where a leap ends, durably.
pub(super) fn note(vault: &Vault, place: EventSeq) -> io::Result<()> {
    write_durably(vault.dir(), FILE, format!("{}\n", place.0).as_bytes())
}
