//! What a checkpoint says of what its workflow needs.
//!
//! Owns the manifest's block, in the reference's form with what was found beside it. Refuses to name what nobody declared.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use wfr_catalog::{Catalog, CatalogError};
use wfr_model::config::{Config, DependencyValidation};
use wfr_model::{Timestamp, WorkflowId};

use super::{Declared, Need, Origin, Probed, Probing, Scope, declared, start};
use crate::open::Open;
use crate::session::Session;
use crate::state;

/// The manifest's block.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// Names of what is needed from outside of the workflow.
    pub external_dependencies: Vec<String>,
    /// Names of what the workflow itself made.
    pub internal_dependencies: Vec<String>,
    /// Names of what is needed of agents.
    pub agent_dependencies: Vec<String>,
    /// When it was looked for; `null` where the configuration says not to.
    pub probed_at: Option<Timestamp>,
    /// What was found, in the order of declaration.
    pub probes: Vec<Probed>,
}

/// All that a workflow needs: what the configuration declares for all, and what its state declares, where that can be read: it
/// does not go into the checkpoint otherwise, and that is told.
fn needs(catalog: &Catalog, config: &Config, workflow: &WorkflowId) -> Result<Vec<Declared>, CatalogError> {
    let state = state::readable(catalog.state(workflow))?;
    let of_state = state.map(|state| state.head.dependencies).unwrap_or_default();
    Ok(of_both(config, &of_state).into_iter().map(|(need, _)| need).collect())
}

/// All that is needed, each once, with where it was declared: what the configuration declares for all, and what a state declares.
pub fn of_both(config: &Config, of_state: &Map<String, Value>) -> Vec<(Declared, Vec<Origin>)> {
    let of_all = declared(&config.dependencies.declared()).into_iter().map(|need| (need, Origin::Configuration));
    let of_state = declared(of_state).into_iter().map(|need| (need, Origin::State));
    let mut needs: Vec<(Declared, Vec<Origin>)> = Vec::new();
    for (need, origin) in of_all.chain(of_state) {
        match needs.iter_mut().find(|(known, _)| *known == need) {
            Some((_, origins)) if origins.contains(&origin) => {}
            Some((_, origins)) => origins.push(origin),
            None => needs.push((need, vec![origin])),
        }
    }
    needs
}

/// Begins to look for what a checkpoint's workflow needs, that hard; `None` where nothing is declared.
pub fn for_checkpoint(
    open: &Open,
    session: &Session,
    workflow: &WorkflowId,
    how: DependencyValidation,
) -> Result<Option<Probing>, CatalogError> {
    let needs = needs(&open.catalog, &open.config, workflow)?;
    if needs.is_empty() {
        return Ok(None);
    }
    let is_of_state = how != DependencyValidation::None && needs.iter().any(|one| one.need.is_of_state());
    let state = if is_of_state { state::readable(state::present(&open.catalog, workflow))? } else { None };
    // Where nothing is to be looked for, every need is a word.
    let looked =
        |one: Declared| if how == DependencyValidation::None { Declared { need: Need::Word, ..one } } else { one };
    let needs = needs.into_iter().map(looked).collect();
    let limits = (how.asks_for_versions(), open.config.dependencies.budget());
    Ok(Some(start(open.root(), session, state.as_ref(), needs, limits)))
}

/// The block for what was found.
pub fn kept(how: DependencyValidation, probes: Vec<Probed>, now: Timestamp) -> Value {
    let names = |scope: Scope| -> Vec<String> {
        probes.iter().filter(|one| one.scope == scope).map(|one| one.name.clone()).collect()
    };
    let is_looked_for = how != DependencyValidation::None;
    let kept = Kept {
        external_dependencies: names(Scope::External),
        internal_dependencies: names(Scope::Internal),
        agent_dependencies: names(Scope::Agent),
        probed_at: is_looked_for.then_some(now),
        probes: if is_looked_for { probes } else { vec![] },
    };
    serde_json::to_value(kept).unwrap_or_default()
}
