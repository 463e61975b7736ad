//! Processes that may still write, or were ended.
//!
//! Owns their layout. Refuses to print.

use wfr_engine::results::{StatusShown, WriterLine};

use super::{cut, fitted, moment};
use crate::terminal::{BAD, FAINT, GOOD, HEADING, PLACE, WARN, styled, visible};

/// Those that may write now, with what could not be looked at beside them; nothing where there are none.
pub fn now(result: &StatusShown) -> String {
    if result.writers.is_empty() {
        return String::new();
    }
    let mut shown = format!("{}\n{}", styled(HEADING, "Writers"), cut(result.writers.iter().map(line)));
    if result.writers.iter().any(|writer| writer.orphan == Some(true)) {
        let way = "  an orphan goes on until it ends: `--stop-writers` of a recovery ends it before\n";
        shown.push_str(&styled(FAINT, way));
    }
    if result.processes_unread > 0 {
        let unread = format!("  processes that could not be looked at: {}\n", result.processes_unread);
        shown.push_str(&styled(FAINT, &unread));
    }
    shown
}

/// Those that were ended; nothing where there are none.
pub fn ended(writers: &[WriterLine]) -> String {
    if writers.is_empty() {
        return String::new();
    }
    format!("{}\n{}", styled(WARN, "Ended before:"), cut(writers.iter().map(line)))
}

fn line(writer: &WriterLine) -> String {
    let (style, stands) = match writer.orphan {
        Some(true) => (BAD, "orphan"),
        Some(false) => (GOOD, "at work"),
        None => (WARN, "unclear"),
    };
    let stopped = if writer.stopped { ", stopped" } else { "" };
    let whose = match (&writer.agent_id, &writer.session_id, &writer.client) {
        (Some(agent), ..) => format!("agent {agent}"),
        (None, Some(session), _) => format!("session {session}"),
        (None, None, Some(client)) => client.clone(),
        (None, None, None) => "nobody known".to_owned(),
    };
    let stands = styled(style, &format!("{stands}{stopped}"));
    let mut shown = format!("  {:>7} {stands}, {}, since {}\n", writer.pid, visible(&whose), moment(writer.since));
    shown.push_str(&format!("          {}\n", fitted(&visible(&writer.command), 10)));
    if let Some(first) = writer.open_files.first() {
        let more = writer.open_files.len() - 1;
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let path = styled(PLACE, &fitted(&first.to_string(), 24 + more.len()));
        shown.push_str(&format!("          has open: {path}{more}\n"));
    }
    shown
}
