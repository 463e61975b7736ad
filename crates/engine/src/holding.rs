//! The hold on a workspace while files are changed: who has it, and whether they still live.
//!
//! Owns the owner's identity and its end, and who gives way to a recovery. Refuses to wait: who finds it taken is told
//! by whom.

use wfr_catalog::{CatalogError, FencingToken, Hold, HoldRequest, Holder, Owner};
use wfr_model::message::{Band, Priority};
use wfr_model::{Timestamp, WorkflowId};

use crate::error::{Code, Failure};
use crate::open::Open;

/// What is held while a recovery runs.
const KEY: &str = "workspace";

/// Why a recovery holds, in the protocol's word.
pub const RECOVERY_REASON: &str = "recovery_operation";

/// A hold that ends when it is dropped.
pub struct Held<'o> {
    open: &'o Open,
    key: String,
    token: FencingToken,
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
    Ok(Held { open, key: KEY.to_owned(), token })
}

/// Takes the hold on a workflow's resources for a recovery by this process, and says whose hold was taken over for it.
///
/// A hold below the critical band gives way. One within it does not: somebody else recovers the workflow.
pub fn hold_workflow<'o>(
    open: &'o Open,
    workflow: &WorkflowId,
    label: &str,
    now: Timestamp,
) -> Result<(Held<'o>, Option<Hold>), CatalogError> {
    let key = key_of(workflow);
    let owner = Owner { label: label.to_owned(), ..myself() };
    let request = HoldRequest {
        key: &key,
        owner: &owner,
        reason: Some(RECOVERY_REASON),
        priority: Priority::RECOVERY,
        now,
        expires_at: None,
    };
    let acquired = open.catalog.acquire_hold_over(&request, &is_alive, &yields)?;
    Ok((Held { open, key, token: acquired.token }, acquired.preempted))
}

/// Whether a hold gives way to one of the critical band.
pub fn yields(standing: &Hold) -> bool {
    standing.priority.band() < Band::Critical
}

/// The key of the hold on a workflow's resources.
pub fn key_of(workflow: &WorkflowId) -> String {
    format!("workflow:{workflow}")
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let release = || self.open.catalog.release_hold(&self.key, self.token);
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
    let failure = Failure::of(Code::Held, &error).with_result(&crate::results::HoldLine::of(hold));
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
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name stands in parentheses and may hold anything: fields are counted from behind it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
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
