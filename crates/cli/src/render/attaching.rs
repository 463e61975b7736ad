//! Views of `attach` and `detach`, and of clients in `status`.
//!
//! Owns their words. Refuses to print.

use wfr_engine::attaching::Scope;
use wfr_engine::results::{AttachedFile, Attachment, ClientLine, FileBecame};

use super::{count, fact, moment, place};
use crate::terminal::{FAINT, GOOD, WARN, styled, visible};

/// What was attached or detached, and what was written for it.
pub fn attachment(result: &Attachment) -> String {
    let is_any = result.files.iter().any(|file| file.became != FileBecame::Unchanged);
    let verb = match (result.plan, result.attached) {
        (_, true) if !is_any => "Attached before:",
        (_, false) if !is_any => "Nothing to detach of",
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

/// One client, in a line, and what went wrong in its hooks in another one.
pub fn client(line: &ClientLine) -> String {
    let attached = match line.attached[..] {
        [] => styled(WARN, "not attached"),
        _ => "attached".to_owned(),
    };
    let (alive, dead): (Vec<_>, Vec<_>) = line.sessions.iter().partition(|session| session.alive);
    let mut told = vec![attached, format!("{} at work", count(alive.len() as u64, "session"))];
    if !dead.is_empty() {
        told.push(format!("{} whose process is gone", dead.len()));
    }
    told.push(line.last_heard.map_or("never heard".to_owned(), |at| format!("last heard {}", moment(at))));
    let mut shown = format!("{:<10} {}", visible(&line.client), told.join(", "));
    if let Some(newest) = &line.newest_trouble {
        let message: String = visible(&newest.message).chars().take(80).collect();
        shown.push_str(&format!("\n    {} {message}", styled(WARN, &format!("{}:", count(line.troubles, "trouble")))));
    }
    format!("  {shown}\n")
}
