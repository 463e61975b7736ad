//! Workflows' states: the present one, whole.
//!
//! Owns reading it from the catalog. Refuses to fold: the catalog does, with every event.

use wfr_catalog::{Catalog, CatalogError, PartKind};
use wfr_model::WorkflowId;
use wfr_model::workflow::{Agent, Allocation, Task, Whole};

/// The present state of a workflow with all its parts; `None` where no event of it was ever recorded.
pub fn present(catalog: &Catalog, workflow: &WorkflowId) -> Result<Option<Whole>, CatalogError> {
    catalog.unchanging(|| {
        let Some(mut state) = catalog.state(workflow)? else { return Ok(None) };
        for task in catalog.parts::<Task>(workflow, PartKind::Task)? {
            state.tasks.load(task.task_id.clone(), Some(task));
        }
        for agent in catalog.parts::<Agent>(workflow, PartKind::Agent)? {
            state.agents.load(agent.agent_id.clone(), Some(agent));
        }
        for share in catalog.parts::<Allocation>(workflow, PartKind::Allocation)? {
            state.allocations.load(share.allocation_id.clone(), Some(share));
        }
        Ok(Some(Whole::of(&state)))
    })
}
