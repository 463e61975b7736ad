//! What of the ledger cannot be relied on, and going on without it where that must be.
//!
//! Owns what its paths, entries and trees must be, and for what work it is left aside: such as needs it only to record what it did.
//! Refuses to mend anything.

use wfr_catalog::{Catalog, CatalogError, LedgerFault, LedgerValue, Part};
use wfr_store::crypto::Cipher;
use wfr_store::{Objects, ReadError, tree};

use super::Veil;
use crate::error::{Code, Failure, Kind};
use crate::open::Open;
use crate::session::Session;

/// The rows that cannot be relied on.
pub fn of(open: &Open) -> Result<Vec<LedgerFault>, Failure> {
    let store = open.store()?;
    Ok(of_catalog(&open.catalog, &store, open.cipher().map(AsRef::as_ref))?)
}

/// The same of any catalog over these objects, of which the next look needs a tree.
pub fn of_catalog(
    catalog: &Catalog,
    objects: &dyn Objects,
    cipher: Option<&Cipher>,
) -> Result<Vec<LedgerFault>, CatalogError> {
    let veil = Veil::over(cipher);
    let told = |failure: Failure| failure.message.trim_start_matches(super::DAMAGED).to_owned();
    catalog.ledger_faults(&mut |value| match value {
        LedgerValue::Path(path) => veil.shown(path).map(drop).map_err(told),
        LedgerValue::Entry(bytes) => veil.opened(bytes).map(drop).map_err(told),
        LedgerValue::Declared(text) => veil.of_declared(text).map(drop).map_err(told),
        LedgerValue::Base(root) => match tree::walk::<ReadError>(objects, root, &mut |_, _| Ok(())) {
            // Of what the system refuses now nobody can tell.
            Ok(()) | Err(ReadError::Io { .. }) => Ok(()),
            Err(error) => Err(format!("the tree that the next look is compared with cannot be read: {error}")),
        },
    })
}

/// Whether a failure may come from rows that cannot be relied on.
pub fn may_explain(failure: &Failure) -> bool {
    failure.kind() == Kind::Integrity || failure.code == Code::Internal
}

/// Does something that only adds to the ledger. Where that cannot be read it is done all the same, as if nobody kept one, and that is
/// told: nobody is kept from their files by what is known of changes.
pub fn or_without<T>(
    session: &Session,
    open: &Open,
    mut work: impl FnMut() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let failure = match work() {
        Err(failure) if may_explain(&failure) && is_any(open)? => failure,
        ended => return ended,
    };
    set_aside(session, open, &failure)?;
    work()
}

/// Lets the ledger stand aside for all that is done from now on, and says so, and why: where one look is not in it, what follows from
/// that must not be either.
pub fn set_aside(session: &Session, open: &Open, why: &Failure) -> Result<(), Failure> {
    let cause = if why.details.is_empty() { String::new() } else { format!(" ({})", why.details) };
    session.noted.tell(format!(
        "who changed what cannot be read ({}{cause}), so this was done without recording it there; files and checkpoints are as \
         whole as ever. `wfr doctor` names the rows, and `wfr doctor --rebuild-catalog` goes on without them",
        why.message
    ));
    Ok(open.catalog.set_ledger_aside()?)
}

/// Whether anything is wrong with the ledger.
fn is_any(open: &Open) -> Result<bool, Failure> {
    Ok(!open.catalog.is_sound(Part::Ledger)? || !of(open)?.is_empty())
}
