//! Shares that ended with their workflow, where the workflow goes on or ends once more.
//!
//! Owns that what was given back stays given back. Refuses to end a share whose workflow stands as it stood.

use super::Fold;
use crate::workflow::{Allocation, AllocationStatus, ShareEnd, Source};

impl<S: Source> Fold<'_, S> {
    /// Ends the shares that are over because of how the workflow stands, before it stands otherwise.
    pub(in crate::workflow) fn end_shares(&mut self) -> Result<(), S::Error> {
        if self.state.head.ended_at.is_none() {
            return Ok(());
        }
        for share in self.source.allocations()? {
            self.state.allocations.load(share.allocation_id.clone(), Some(share));
        }
        let (head, now) = (&self.state.head, self.event.timestamp);
        let is_out =
            |share: &&Allocation| matches!(share.status, AllocationStatus::Active | AllocationStatus::Reserved);
        let is_over = |share: &&Allocation| ShareEnd::of(share).with_workflow(head, now).is_some();
        let over: Vec<Allocation> = self.state.allocations.values().filter(is_out).filter(is_over).cloned().collect();
        for share in over {
            let id = share.allocation_id.clone();
            self.state.allocations.put(id, Allocation { status: AllocationStatus::Expired, ..share });
        }
        Ok(())
    }
}
