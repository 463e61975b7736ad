//! The hold on a workspace while files are changed: who has it, and whether they still live.
//!
//! Owns the owner's identity and its end. Refuses to wait: who finds it taken is told by whom.

use wfr_catalog::{CatalogError, FencingToken, HoldRequest, Owner};
use wfr_model::Timestamp;

use crate::open::Open;

/// What is held while a recovery runs.
const KEY: &str = "workspace";

/// A hold that ends when it is dropped.
pub struct Held<'o> {
    open: &'o Open,
    token: FencingToken,
}

/// Takes the hold for this process; taken over from an owner that is dead.
pub fn hold<'o>(open: &'o Open, label: &str, now: Timestamp) -> Result<Held<'o>, CatalogError> {
    let owner = Owner { label: label.to_owned(), ..myself() };
    let request = HoldRequest { key: KEY, owner: &owner, now, expires_at: None };
    let token = open.catalog.acquire_hold(&request, &is_alive)?;
    Ok(Held { open, token })
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // A hold that cannot be given back is taken over as soon as this process has ended.
        let _ = self.open.catalog.release_hold(KEY, self.token);
    }
}

fn myself() -> Owner {
    let pid = std::process::id();
    Owner { pid, start_ticks: start_ticks(pid).unwrap_or(0), boot_id: boot_id(), label: String::new() }
}

/// Whether the process that took a hold is still the same one and running.
pub fn is_alive(owner: &Owner) -> bool {
    owner.boot_id == boot_id() && start_ticks(owner.pid) == Some(owner.start_ticks)
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
        assert!(is_alive(&myself()));
        assert!(!is_alive(&Owner { start_ticks: 1, ..myself() }));
        assert!(!is_alive(&Owner { boot_id: "x".into(), ..myself() }));
    }
}
