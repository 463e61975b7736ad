//! The hold on a workspace while files are changed: who has it, and whether they still live.
//!
//! Owns the owner's identity and its end, and who gives way to a recovery. Refuses to wait: who finds it taken is told
//! by whom.

use wfr_catalog::{CatalogError, FencingToken, Hold, HoldRequest, Holder, Owner, WhileHeld};
use wfr_model::message::Priority;
use wfr_model::{Timestamp, WorkflowId};

use crate::error::{Code, Failure};
use crate::open::Open;
use crate::process;

/// What is held while a recovery runs.
const KEY: &str = "workspace";

/// The hold of recoveries.
pub const OF_RECOVERIES: WhileHeld<'_> = WhileHeld { key: KEY, is_alive: &is_alive };

/// Why a recovery holds, in the protocol's word.
pub const RECOVERY_REASON: &str = "recovery_operation";

/// Holds that end when this is dropped, all in one step.
pub struct Held<'o> {
    open: &'o Open,
    holds: Vec<(String, FencingToken)>,
}

impl Held<'_> {
    /// Ends another hold with these.
    pub fn and(&mut self, key: String, token: FencingToken) {
        self.holds.push((key, token));
    }
}

/// Takes the hold for this process; taken over from an owner that is dead.
pub fn hold<'o>(open: &'o Open, label: &str, now: Timestamp) -> Result<Held<'o>, CatalogError> {
    let owner = Owner { label: label.to_owned(), ..myself() };
    let request = HoldRequest {
        key: KEY,
        owner: &owner,
        reason: Some(RECOVERY_REASON),
        priority: Priority::RECOVERY,
        now,
        expires_at: None,
    };
    let token = open.catalog.acquire_hold(&request, &is_alive)?;
    Ok(Held { open, holds: vec![(KEY.to_owned(), token)] })
}

/// The hold of a recovery that runs, of another process; `None` where none does.
pub fn recovering(open: &Open) -> Result<Option<Hold>, CatalogError> {
    let standing = open.catalog.hold(KEY)?;
    Ok(standing.filter(|hold| is_alive(&hold.owner) && hold.owner.holder != myself().holder))
}

/// Whether a recovery of a priority may take a workflow's resources: refused where a hold of no lower band stands, of
/// anybody but the actor. `false` where the actor has the hold already: then none need be taken.
pub fn may_take(
    open: &Open,
    workflow: &WorkflowId,
    (actor, priority): (&str, Priority),
    now: Timestamp,
) -> Result<bool, CatalogError> {
    let standing = open.catalog.hold(&key_of(workflow))?;
    let Some(standing) = standing.filter(|hold| !hold.is_expired(now) && is_alive(&hold.owner)) else {
        return Ok(true);
    };
    if standing.owner.holder == Holder::Component(actor.to_owned()) {
        return Ok(false);
    }
    if yields(&standing, priority) { Ok(true) } else { Err(CatalogError::Held(Box::new(standing))) }
}

/// Ends the hold on a workflow's resources of a process that has ended.
pub fn forget_dead(open: &Open, workflow: &WorkflowId) -> Result<(), CatalogError> {
    let key = key_of(workflow);
    match open.catalog.hold(&key)? {
        Some(hold) if !is_alive(&hold.owner) => open.catalog.release_hold(&key, hold.token).map(drop),
        _ => Ok(()),
    }
}

/// What the key of a hold begins with under which a request is answered.
pub const OF_REQUESTS: &str = "request:";

/// Ends the holds of requests whose processes have ended: nobody waits for these, and no request need come again that would take
/// them over.
pub fn forget_dead_requests(open: &Open) -> Result<(), CatalogError> {
    let mut left = open.catalog.holds()?;
    left.retain(|hold| hold.key.starts_with(OF_REQUESTS) && !is_alive(&hold.owner));
    if left.is_empty() {
        return Ok(());
    }
    let left: Vec<(String, FencingToken)> = left.into_iter().map(|hold| (hold.key, hold.token)).collect();
    open.catalog.release_holds(&left)
}

/// Whether a hold gives way to whoever has a priority: one of a lower band does.
pub fn yields(standing: &Hold, to: Priority) -> bool {
    standing.priority.band() < to.band()
}

/// The key of the hold on a workflow's resources.
pub fn key_of(workflow: &WorkflowId) -> String {
    format!("workflow:{workflow}")
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let release = || self.open.catalog.release_holds(&self.holds);
        if let Err(CatalogError::Full { .. }) = release() {
            // Whoever tries again with the reserve, in this very process, must not find the hold still standing.
            let _ = wfr_store::reserve::release(self.open.vault.dir());
            // One that cannot be given back even so is taken over as soon as this process has ended.
            let _ = release();
        }
    }
}

/// This process as an owner.
pub fn myself() -> Owner {
    let pid = std::process::id();
    let holder = Holder::Process { pid, start_ticks: start_ticks(pid).unwrap_or(0), boot_id: boot_id() };
    Owner { holder, label: String::new() }
}

/// Whether whoever took a hold still stands behind it: a process that is the same one and runs, or a component, whose
/// end nobody sees.
pub fn is_alive(owner: &Owner) -> bool {
    match &owner.holder {
        Holder::Process { pid, start_ticks: begun, boot_id: boot } => {
            *boot == boot_id() && start_ticks(*pid) == Some(*begun)
        }
        Holder::Component(_) => true,
    }
}

/// The failure of whoever finds something held, with what can be done about it.
pub fn refused(hold: &Hold) -> Failure {
    let error = CatalogError::Held(Box::new(hold.clone()));
    let failure = Failure::of(Code::Held, &error).with_result(crate::results::HoldLine::of(hold));
    let release = format!("`wfr release --token {}` ends it, where its owner has given it up", hold.token.0);
    match (&hold.owner.holder, hold.expires_at) {
        (Holder::Process { .. }, _) => {
            failure.with_hint("wait until it has ended, then try again: `wfr holds` shows it")
        }
        (Holder::Component(_), Some(end)) => {
            failure.with_hint(format!("wait until it is released, or until {end}, then try again")).with_option(release)
        }
        (Holder::Component(_), None) => {
            failure.with_hint("wait until it is released, then try again").with_option(release)
        }
    }
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// When a process started, in clock ticks since boot; `None` where there is none, or only its corpse.
fn start_ticks(pid: u32) -> Option<u64> {
    process::process(pid).map(|process| process.id.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_another_does_not() {
        let Holder::Process { pid, start_ticks, boot_id } = myself().holder else { panic!("a process") };
        let process = |start_ticks, boot_id: &str| Owner {
            holder: Holder::Process { pid, start_ticks, boot_id: boot_id.to_owned() },
            label: String::new(),
        };
        assert!(is_alive(&process(start_ticks, &boot_id)));
        assert!(!is_alive(&process(1, &boot_id)));
        assert!(!is_alive(&process(start_ticks, "x")));
    }
}
