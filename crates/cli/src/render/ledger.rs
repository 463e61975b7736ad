//! Views of the ledger: who changed what.
//!
//! Owns their words. Refuses to print.

use std::collections::BTreeSet;

use wfr_engine::results::{
    Blamed, BlamedLines, ChangeDone, ChangeLine, ChangeLog, OthersPaths, PathChange, PathHistory, WatchView,
};
use wfr_model::change::{Actor, Author, Candidate, Effect, Evidence, Source};

use super::changes::patch_lines;
use super::{count, cut, fact, moment, place};
use crate::terminal::{self, BAD, FAINT, GOOD, HEADING, WARN, styled, visible, visible_lines};

/// Characters of an id that tell changes apart, of those that began within one millisecond, too.
const ID_SHOWN: usize = 20;

/// Characters of a change and of whose it is, at most, before the lines of a file.
const NAME_SHOWN: usize = 60;

/// A change that was begun, ended or recorded.
pub fn done(result: &ChangeDone) -> String {
    let mut shown = match &result.token {
        Some(token) => format!("{} {token}\n", styled(GOOD, "Begun:")),
        None => {
            let paths = count(result.paths.len() as u64, "path");
            format!("{} {}: {paths}\n", styled(GOOD, "Recorded"), result.change_id)
        }
    };
    shown.push_str(&cut(result.paths.iter().map(path)));
    let other = |other: &OthersPaths| {
        let name = whose(other.actor, &other.author, &other.candidates);
        format!("  {} of {name} ({})\n", count(other.paths, "path"), other.change_id)
    };
    if !result.others.is_empty() {
        shown.push_str(&format!("{}\n", styled(HEADING, "Found beside:")));
        shown.push_str(&cut(result.others.iter().map(other)));
    }
    if let Some(token) = &result.token {
        shown.push_str(&format!("{} `wfr change end {token}` when it is done\n", styled(HEADING, "Next:")));
    }
    shown
}

/// Who made it.
fn whose(actor: Actor, author: &Author, candidates: &[Candidate]) -> String {
    let name = |author: &Author| {
        let agent = author.agent_id.as_ref().map(ToString::to_string);
        let task = author.task_id.as_ref().map(|task| format!("task {task}"));
        let parts: Vec<String> = agent.into_iter().chain(task).collect();
        if parts.is_empty() { visible(author.name()) } else { visible(&parts.join(", ")) }
    };
    let plain: BTreeSet<String> =
        candidates.iter().map(|one| &one.author).chain((actor == Actor::Agent).then_some(author)).map(name).collect();
    let is_plain = plain.len() == candidates.len() + usize::from(actor == Actor::Agent);
    // Agents of several sessions may be called the same.
    let told = |author: &Author| match &author.workflow_id {
        Some(workflow) if !is_plain => format!("{} of {}", name(author), visible(workflow.as_str())),
        _ => name(author),
    };
    let mut names: Vec<String> = Vec::new();
    for name in candidates.iter().map(|one| told(&one.author)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    match actor {
        Actor::Agent if names.is_empty() => name(author),
        // Another change of the same agent's makes no difference here.
        Actor::Agent if names == [told(author)] => name(author),
        Actor::Agent => format!("{} (or {})", told(author), names.join(", ")),
        Actor::User => "you".to_owned(),
        Actor::Recovery => "a recovery".to_owned(),
        Actor::Shared => format!("one of {}", names.join(" / ")),
        Actor::Unknown => "somebody unknown".to_owned(),
    }
}

/// The same in few words, where there are several: without what they worked at.
fn brief(actor: Actor, author: &Author, candidates: &[Candidate]) -> String {
    let names: BTreeSet<String> = candidates.iter().map(|one| visible(one.author.name())).collect();
    let names: Vec<String> = names.into_iter().collect();
    match actor {
        // Of several changes of one agent the tasks tell them apart.
        Actor::Shared if names.len() > 1 => format!("one of {}", names.join(", ")),
        Actor::Agent if !names.is_empty() => format!("{} (or {})", whose(actor, author, &[]), names.join(", ")),
        _ => whose(actor, author, candidates),
    }
}

fn path(one: &PathChange) -> String {
    let (style, sign) = match one.effect {
        Effect::Added => (GOOD, "+"),
        Effect::Removed => (BAD, "-"),
        Effect::Changed => (WARN, "~"),
        Effect::Metadata => (FAINT, "m"),
    };
    let back = if one.cancelled { styled(FAINT, "  taken back") } else { String::new() };
    let mut shown = format!("  {} {}{back}\n", styled(style, sign), visible(&one.path.to_string()));
    if let Some(patch) = &one.patch {
        let body = if terminal::width().is_some() { visible_lines } else { str::to_owned };
        shown.push_str(&patch_lines(patch, body));
    }
    shown
}

fn line(line: &ChangeLine) -> String {
    let change = &line.change;
    let id: String = change.change_id.as_str().chars().take(ID_SHOWN).collect();
    let when = match change.ended_at {
        Some(at) => moment(at),
        None => format!("{}, {}", moment(change.started_at), styled(WARN, "open")),
    };
    let name = styled(HEADING, &whose(change.actor, &change.author, &change.candidates));
    let workflow = change.author.workflow_id.as_ref().map(|id| format!(" in {id}")).unwrap_or_default();
    let source = match change.source {
        Source::Traced if change.actor != Actor::Recovery => ", traced",
        Source::Declared => ", declared",
        _ => "",
    };
    let note = change.note.as_ref().map(|note| format!("  {}", visible(note))).unwrap_or_default();
    let mut shown = format!("{}  {when}  {name}{workflow}{}{note}\n", place(&id), styled(FAINT, source));
    if let Some(known) = change.evidence.as_ref().and_then(known) {
        shown.push_str(&format!("  {}\n", styled(FAINT, &visible(&known))));
    }
    if !line.overlaps.is_empty() {
        let others: Vec<String> = line.overlaps.iter().map(|id| id.as_str().chars().take(ID_SHOWN).collect()).collect();
        shown.push_str(&format!("  {}\n", styled(FAINT, &format!("at the same time as {}", others.join(", ")))));
    }
    shown.push_str(&cut(line.paths.iter().map(path)));
    shown
}

/// What a command that was run as a change left to be said; `None` where it ended well and all of it was seen.
fn known(evidence: &Evidence) -> Option<String> {
    let code = evidence.exit_code.filter(|code| *code != 0).map(|code| format!("ended with {code}"));
    let signal = evidence.signal.map(|signal| format!("ended by signal {signal}"));
    let memory = (evidence.out_of_memory == Some(true)).then(|| "memory ran out".to_owned());
    let degraded = evidence.degraded_since.map(|since| {
        let why = evidence.degraded_because.as_deref().unwrap_or("nobody knows why");
        format!("degraded since {}: {why}", moment(since))
    });
    let said: Vec<String> = [code, signal, memory, degraded].into_iter().flatten().collect();
    (!said.is_empty()).then(|| said.join("; "))
}

/// Changes, newest first.
pub fn log(result: &ChangeLog) -> String {
    if result.changes.is_empty() {
        return "No change is recorded.\n".to_owned();
    }
    let lanes = lanes(&result.changes);
    let lines = result.changes.iter().zip(lanes);
    lines.map(|(change, (first, others))| beside(&line(change), &first, &others)).collect()
}

/// Puts a prefix before the first line of a text, and another one before all others.
fn beside(text: &str, first: &str, others: &str) -> String {
    let lines = text.split_inclusive('\n').enumerate();
    lines.map(|(at, line)| format!("{}{line}", if at == 0 { first } else { others })).collect()
}

/// Which changes were open at the same time: a column for each as long as it was, a star where it stands. Nothing where no two
/// were. Before the first line of each change, and before its others.
fn lanes(changes: &[ChangeLine]) -> Vec<(String, String)> {
    let begun = |at: usize| changes[at].change.started_at;
    let lasts = |at: usize| changes[at].change.ended_at != Some(begun(at));
    // The list is in the order of their beginnings, so an older one was open when a newer one began, or ended before.
    let was_open = |older: usize, newer: usize| {
        lasts(older) && changes[older].change.ended_at.is_none_or(|end| end > begun(newer))
    };
    let mut columns: Vec<Option<usize>> = Vec::new();
    let mut lanes = Vec::with_capacity(changes.len());
    for at in 0..changes.len() {
        let mut take = |change: usize| {
            if columns.contains(&Some(change)) {
                return;
            }
            match columns.iter_mut().find(|column| column.is_none()) {
                Some(free) => *free = Some(change),
                None => columns.push(Some(change)),
            }
        };
        take(at);
        (at + 1..changes.len()).filter(|older| lasts(at) && was_open(*older, at)).for_each(&mut take);
        let sign = |own: char| -> Vec<char> {
            let one = |column: &Option<usize>| match column {
                Some(change) if *change == at => own,
                Some(_) => '|',
                None => ' ',
            };
            columns.iter().map(one).collect()
        };
        lanes.push([sign('*'), sign(' ')]);
        columns.iter_mut().filter(|column| **column == Some(at)).for_each(|column| *column = None);
    }
    let width = lanes.iter().map(|[first, _]| first.len()).max().unwrap_or(0);
    let text = |signs: Vec<char>| {
        let mut text: String = signs.into_iter().flat_map(|sign| [sign, ' ']).collect();
        text.extend(std::iter::repeat_n(' ', 2 * width - text.chars().count()));
        text
    };
    let shown =
        |[first, others]: [Vec<char>; 2]| if width < 2 { Default::default() } else { (text(first), text(others)) };
    lanes.into_iter().map(shown).collect()
}

/// Who changed a path.
pub fn who(result: &PathHistory) -> String {
    let path = if result.path.is_root() { ".".to_owned() } else { result.path.to_string() };
    let mut shown = fact("Path", &place(&path));
    shown.extend(result.changes.iter().map(line));
    shown
}

/// Who wrote which line.
pub fn blame(result: &Blamed) -> String {
    let name = |block: &BlamedLines| match (block.actor, &block.change_id) {
        (Some(actor), Some(id)) => {
            let id: String = id.as_str().chars().take(ID_SHOWN).collect();
            format!("{id} {}", brief(actor, &block.author, &block.candidates))
        }
        _ if !block.recorded => "not recorded yet".to_owned(),
        _ => "before".to_owned(),
    };
    let names: Vec<String> = result.lines.iter().map(name).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).min(NAME_SHOWN);
    let mut shown = String::new();
    for (block, name) in result.lines.iter().zip(&names) {
        for (number, text) in (block.first_line..).zip(&block.lines) {
            let name: String = name.chars().take(width).collect();
            let text = visible_lines(text.strip_suffix('\n').unwrap_or(text));
            shown.push_str(&format!("{} {number:>5} {text}\n", styled(FAINT, &format!("{name:<width$}"))));
        }
    }
    shown
}

fn directories(number: u64) -> String {
    if number == 1 { "1 directory".to_owned() } else { format!("{} directories", indicatif::HumanCount(number)) }
}

/// The watch of a workspace.
pub fn watch(watch: &WatchView) -> String {
    if !watch.running {
        return match watch.started_at {
            Some(at) => format!("Nobody watches any more; one did since {}.\n", moment(at)),
            None => "Nobody watches: each look scans the tree. `wfr watch start` starts a watch.\n".to_owned(),
        };
    }
    let process = watch.process.map_or_else(String::new, |process| format!(" by process {process}"));
    let since = watch.started_at.map_or_else(String::new, |at| format!(" since {}", moment(at)));
    let mut shown = format!("{} {}{process}{since}\n", styled(GOOD, "Watching:"), directories(watch.directories));
    if !watch.unwatched.is_empty() {
        let why = if watch.limited {
            "the limit fs.inotify.max_user_watches is reached"
        } else {
            "other machines or programs may change them unseen, or they cannot be opened"
        };
        shown.push_str(&format!("{} each look goes through these, since {why}:\n", styled(WARN, "Not watched:")));
        shown.push_str(&cut(watch.unwatched.iter().map(|path| format!("  {}\n", place(&format!("{path}/"))))));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use wfr_model::Timestamp;
    use wfr_model::change::Change;

    fn change(began: i64, ended: Option<i64>) -> ChangeLine {
        let change = Change {
            change_id: "chg_1".parse().unwrap(),
            author: Author::default(),
            actor: Actor::Agent,
            source: Source::Observed,
            confidence: 1.0,
            candidates: vec![],
            started_at: Timestamp(began),
            ended_at: ended.map(Timestamp),
            note: None,
            recovery_id: None,
            evidence: None,
        };
        ChangeLine { change, requested_by: None, paths: vec![], paths_total: 0, overlaps: vec![] }
    }

    fn drawn(changes: &[ChangeLine]) -> Vec<String> {
        lanes(changes).into_iter().map(|(first, _)| first.trim_end().to_owned()).collect()
    }

    #[test]
    fn what_was_open_at_the_same_time_stands_side_by_side() {
        assert_eq!(drawn(&[change(5, Some(6)), change(1, Some(4))]), ["", ""], "one after the other needs no columns");
        // The oldest was open while both others were; what took no time is beside nobody.
        let all = [change(9, None), change(7, Some(7)), change(5, Some(6)), change(3, Some(12)), change(1, Some(2))];
        assert_eq!(drawn(&all), ["* |", "* |", "* |", "  *", "*"]);
    }
}
