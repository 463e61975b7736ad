//! What the lines of a plan mean together: which phase a task is of, what is a part of what.
//!
//! Owns what of a plan is understood; every other line that could have meant something is listed. Refuses to know how lines
//! are written: see [`forms`].

use std::collections::BTreeMap;

use super::forms::{self, Heading, Item, Lines, Style};
use super::{Plan, PlannedPhase, PlannedTask};
use crate::ids::{NAME_BYTES_MAX, TaskId};
use crate::phase::{PhaseId, slug, word};
use crate::workflow::TaskStatus;
use serde_json::{Map, Value};

/// What is said of a mark of several meanings.
const UNCLEAR: &str = "`[-]`, `[~]` and `[>]` mean in progress to some tools, and cancelled or put off to others: the task comes in \
                       as with `[ ]`; `[/]` says that it is in progress";

/// Reads a plan. Fenced code and comments are passed over.
pub fn read(text: &str) -> Plan {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = Lines::of(text);
    let style = Style::of(&lines.kept);
    let mut reader = Reader { style, plan: Plan::default(), ids: BTreeMap::new(), at: Place::default(), level: 0 };
    reader.plan.metadata = lines.front;
    for (number, line) in lines.kept {
        reader.line(number, &line);
    }
    reader.go_to(Place::default());
    reader.plan.ignored.sort_by_key(|(number, _)| *number);
    reader.plan
}

/// Where the reader is.
#[derive(Default)]
struct Place {
    /// The phase, by its index, and the level of its heading.
    phase: Option<(usize, usize)>,
    /// Tasks that what follows may be a part of, with their indentation.
    parents: Vec<(usize, TaskId)>,
    /// Whether a heading that is no phase stands between the phase and here.
    is_below: bool,
    /// Whether that heading says that tasks follow.
    is_of_tasks: bool,
    /// Whether the phase has boxes here.
    has_boxes: bool,
    /// Items of the phase without boxes: whether each has a number and may be a task, its line, its words.
    bare: Vec<(bool, usize, String)>,
}

struct Reader {
    style: Style,
    plan: Plan,
    ids: BTreeMap<String, u64>,
    at: Place,
    /// The level of the last heading.
    level: usize,
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) {
        if let Some((level, text)) = forms::heading(line) {
            self.level = level;
            return self.heading(number, level, text);
        }
        if let Some((phase_id, said)) = self.style.phase_of_line(line) {
            return self.phase(number, self.level, phase_id, said);
        }
        if let Some(item) = Item::of(line) {
            return self.item(number, &item);
        }
        if !line.starts_with([' ', '\t']) && !line.trim().is_empty() {
            self.at.parents.clear();
            self.text(number, line);
        }
    }

    /// Leaves a place for another one. Where a phase has no boxes, its numbered items are its tasks.
    fn go_to(&mut self, place: Place) {
        let left = std::mem::replace(&mut self.at, place);
        let Some((index, _)) = left.phase else { return };
        let phase_id = self.plan.phases[index].phase_id.clone();
        let has_steps = left.bare.iter().any(|(is_step, ..)| *is_step);
        for (is_step, number, text) in left.bare {
            match (is_step, left.has_boxes) {
                (true, false) => drop(self.task(Some(&phase_id), &text, TaskStatus::Pending, None)),
                (true, true) => {
                    self.ignore(
                        number,
                        "a step without a box is no task where others have one: write `- [ ]` before it",
                    );
                }
                (false, false) if !has_steps => self.ignore(number, "an item without a box is no task: write `- [ ]`"),
                (false, _) => {}
            }
        }
    }

    fn ignore(&mut self, number: usize, why: &'static str) {
        self.plan.ignored.push((number, why));
    }

    /// A line that is neither heading nor item.
    fn text(&mut self, number: usize, line: &str) {
        if line.starts_with('|') && ["[ ]", "[x]", "[X]"].iter().any(|a_box| line.contains(a_box)) {
            self.ignore(number, "boxes in a table are no tasks: write them as a list");
        } else if !matches!(self.style, Style::Bold(_)) && forms::is_bold_phase(line) {
            self.ignore(
                number,
                "a phase in bold is none where others are headings, so what follows is of the phase above: write `## ` before it",
            );
        } else if !matches!(self.style, Style::Word(_)) && forms::reads_like_a_phase(line) {
            self.ignore(number, "it reads like a phase and is no heading: write `## ` before it");
        } else {
            self.key_value(line);
        }
    }

    fn heading(&mut self, number: usize, level: usize, text: &str) {
        self.at.parents.clear();
        if let Some((phase_id, said)) = self.style.phase(level, text) {
            return self.phase(number, level, phase_id, said);
        }
        if self.plan.title.is_none() && self.plan.phases.is_empty() && level == 1 {
            self.plan.title = Some(text.to_owned());
            return;
        }
        if forms::reads_like_a_task(text) {
            self.ignore(number, "a heading is no task: write `- [ ]` before its words");
        }
        if self.at.phase.is_some_and(|(_, above)| level > above) {
            let words = slug(text);
            self.at.is_of_tasks = ["task", "step", "todo", "action"].iter().any(|word| words.contains(word));
            self.at.is_below = true;
        } else if self.style != Style::Any {
            // What is said of the plan may stand in a section of its own.
            self.go_to(Place { is_below: slug(text) != "metadata", ..Place::default() });
            if text.contains(|letter: char| letter.is_ascii_digit()) || self.style.has_word(text) {
                self.ignore(
                    number,
                    "a heading that reads like a phase and is none, as the others of this plan are written",
                );
            }
        } else {
            let (name, status) = forms::marked(text);
            match PhaseId::named(&word(&name)) {
                Ok(Some(id)) => self.phase(number, level, id, (Some(name), status)),
                _ => self.ignore(number, "a heading without letters names no phase"),
            }
        }
    }

    fn phase(&mut self, number: usize, level: usize, phase_id: PhaseId, said: Heading) {
        let (name, status) = said;
        let index = self.plan.phases.iter().position(|phase| phase.phase_id == phase_id);
        if index.is_some() {
            self.ignore(number, "the phase has a heading above: its tasks are added to that one");
        }
        let index = index.unwrap_or_else(|| {
            let (dependencies, metadata) = (vec![], Map::new());
            self.plan.phases.push(PlannedPhase { phase_id, name, status, dependencies, metadata });
            self.plan.phases.len() - 1
        });
        self.go_to(Place { phase: Some((index, level)), ..Place::default() });
    }

    fn item(&mut self, number: usize, item: &Item<'_>) {
        let Some(status) = item.status else { return self.bare_item(number, item) };
        self.at.has_boxes = true;
        if item.text.is_empty() {
            return self.ignore(number, "a box without words is no task");
        }
        if item.is_unclear {
            self.ignore(number, UNCLEAR);
        }
        self.at.parents.retain(|(indent, _)| *indent < item.indent);
        let phase_id = self.at.phase.map(|(index, _)| self.plan.phases[index].phase_id.clone());
        let parent = self.at.parents.last().map(|(_, id)| id.clone());
        let task_id = self.task(phase_id.as_ref(), item.text, status, parent);
        self.at.parents.push((item.indent, task_id));
    }

    /// An item without a box that is one of ours.
    fn bare_item(&mut self, number: usize, item: &Item<'_>) {
        if item.has_unknown_mark() {
            return self.ignore(number, "the mark in the box is not known: a task has `[ ]`, `[x]`, `[/]` or `[!]`");
        }
        if item.indent > 0 || item.text.is_empty() || self.key_value(item.text) {
            return;
        }
        let is_among_tasks = !self.at.is_below || self.at.is_of_tasks;
        if self.at.phase.is_some() && (is_among_tasks || item.is_numbered) {
            let is_step = item.is_numbered && is_among_tasks;
            self.at.bare.push((is_step, number, item.text.to_owned()));
        }
    }

    fn task(&mut self, phase: Option<&PhaseId>, text: &str, status: TaskStatus, parent: Option<TaskId>) -> TaskId {
        let task_id = self.task_id(phase, text);
        let (phase_id, description) = (phase.cloned(), text.to_owned());
        self.plan.tasks.push(PlannedTask { task_id: task_id.clone(), phase_id, description, status, parent });
        task_id
    }

    /// An id that the same words in the same phase get again: by their number where they have one, else by the words.
    fn task_id(&mut self, phase: Option<&PhaseId>, text: &str) -> TaskId {
        let stem = match (forms::number_of(text), phase) {
            (Some(number), _) => format!("task_{number}"),
            (None, Some(phase)) => format!("p{phase}_{}", words(text)),
            (None, None) => words(text),
        };
        let stem: String = stem.chars().take(NAME_BYTES_MAX / 2).collect();
        let count = self.ids.entry(stem.clone()).or_default();
        *count += 1;
        let id = if *count == 1 { stem } else { format!("{stem}.{count}") };
        id.parse().expect("a slug of letters, digits and underscores, and a number, are an id")
    }

    /// `**Key**: value` in the head, or below a phase's heading.
    fn key_value(&mut self, line: &str) -> bool {
        let Some((key, value)) = forms::key_value(line) else { return false };
        match self.at.phase {
            None if self.plan.phases.is_empty() && !self.at.is_below => drop(self.plan.metadata.insert(key, value)),
            Some((index, _)) if !self.at.is_below => {
                let phase = &mut self.plan.phases[index];
                match (key.as_str(), &value) {
                    ("dependencies" | "depends_on", Value::String(text)) => phase.dependencies = forms::phases_in(text),
                    _ => drop(phase.metadata.insert(key, value)),
                }
            }
            _ => {}
        }
        true
    }
}

/// The words of a task as a name. Where letters are lost in it, what is left would be that of other tasks, too: a digest
/// of the text tells them apart, wherever they stand in the plan.
fn words(text: &str) -> String {
    // The last letter of Latin Extended-B: `é` is lost as well, but leaves enough to tell words by.
    let is_lost = |letter: char| letter > '\u{24f}' && letter.is_alphabetic();
    let left: String = slug(text).chars().take(NAME_BYTES_MAX / 4).collect();
    match (left.is_empty(), text.contains(is_lost)) {
        (false, false) => slug(text),
        (false, true) => format!("{left}_{}", short_digest(text)),
        (true, _) => short_digest(text),
    }
}

/// Twelve hexadecimal digits of the text's FNV-1a hash (64 bits): no secret, only an id that stays the same.
fn short_digest(text: &str) -> String {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    format!("{:012x}", hash >> 16)
}
