//! Views of `attach` and `detach`, and of clients in `status`.
//!
//! Owns their words. Refuses to print.

use wfr_engine::attaching::Scope;
use wfr_engine::results::{AttachedFile, Attachment, FileBecame};

use super::{fact, place};
use crate::terminal::{FAINT, GOOD, styled, visible};

/// What was attached or detached, and what was written for it.
pub fn attachment(result: &Attachment) -> String {
    let verb = match (result.plan, result.attached) {
        (false, true) => "Attached",
        (false, false) => "Detached",
        (true, true) => "Would attach",
        (true, false) => "Would detach",
    };
    let scope = match result.scope {
        Scope::Project => "in this workspace",
        Scope::User => "for all sessions of the user",
    };
    let mut shown = format!("{} {} {scope}\n", styled(GOOD, verb), visible(&result.client));
    if let Some(root) = &result.initialised {
        shown.push_str(&fact("Protected", &place(root)));
    }
    result.files.iter().for_each(|one| shown.push_str(&file(one, result)));
    shown
}

fn file(file: &AttachedFile, of: &Attachment) -> String {
    let became = match file.became {
        FileBecame::Made => "New file",
        FileBecame::Changed => "Changed",
        FileBecame::Unchanged => "Unchanged",
        FileBecame::Removed => "Removed",
    };
    let mut shown = fact(became, &place(&file.path));
    for entry in &file.entries {
        let value = if of.plan && of.attached { format!(": {}", entry.value) } else { String::new() };
        let sign = if of.attached { '+' } else { '-' };
        shown.push_str(&format!("  {}\n", styled(FAINT, &visible(&format!("{sign} {}{value}", entry.name)))));
    }
    if let Some(backup) = &file.backup {
        shown.push_str(&fact("  was", &place(backup)));
    }
    shown
}
