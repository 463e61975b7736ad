//! Merging of what has no parts: a mode, a kind, an owner, a link's target, one extended attribute.
//!
//! Owns the one rule: a side that did not change gives way. Refuses to know what the value means.

use std::collections::BTreeSet;

use wfr_model::entry::Xattr;

/// How the merge of a value ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scalar<T> {
    /// The value to have.
    Clean(T),
    /// Both sides changed it, differently.
    Conflict,
}

/// Merges what two sides made of a value.
pub fn scalar<T: PartialEq>(base: &T, ours: T, theirs: T) -> Scalar<T> {
    if ours == theirs || *base == theirs {
        return Scalar::Clean(ours);
    }
    if *base == ours { Scalar::Clean(theirs) } else { Scalar::Conflict }
}

/// Merges extended attributes, each by itself; absent is a value like any other. Lists come and go sorted by name.
///
/// Errors: the first name that both sides changed differently.
pub fn xattrs(base: &[Xattr], ours: &[Xattr], theirs: &[Xattr]) -> Result<Vec<Xattr>, Vec<u8>> {
    let of = |list: &[Xattr], name: &[u8]| {
        let found = list.iter().find(|(has, _)| has == name);
        found.map(|(_, value)| value.clone())
    };
    let names: BTreeSet<&Vec<u8>> = [base, ours, theirs].into_iter().flatten().map(|(name, _)| name).collect();
    let mut merged = Vec::new();
    for name in names {
        match scalar(&of(base, name), of(ours, name), of(theirs, name)) {
            Scalar::Clean(value) => merged.extend(value.map(|value| (name.clone(), value))),
            Scalar::Conflict => return Err(name.clone()),
        }
    }
    Ok(merged)
}
