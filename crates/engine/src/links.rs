//! Hard links of a checkpoint, decoded.
//!
//! Owns the short way from a row's object to its groups. Refuses to know what is done with them.

use wfr_model::Digest;
use wfr_recovery::plan::LinkGroups;
use wfr_store::{Objects, ReadError};

/// The groups that an object lists; none where there is no object.
pub fn of(objects: &dyn Objects, id: Option<&Digest>) -> Result<LinkGroups, ReadError> {
    id.map_or(Ok(vec![]), |id| wfr_store::links::read(objects, id))
}
