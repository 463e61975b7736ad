//! A Markdown plan as a workflow: headings are phases, boxes are tasks.
//!
//! Owns what of a plan is understood; every other line that could have meant something is listed. Refuses to judge
//! whether the plan fits a state: it says what it says, see [`Plan::update`].

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{PhaseStatus, TaskStatus, Whole};
use crate::ids::{NAME_BYTES_MAX, TaskId};
use crate::phase::{PhaseId, slug};

/// The longest plan, in bytes.
pub const PLAN_BYTES_MAX: usize = 16 << 20;

/// A plan that was read.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Plan {
    /// Its title.
    pub title: Option<String>,
    /// What stands in its head as `key: value`.
    pub metadata: Map<String, Value>,
    /// Its phases, in their order.
    pub phases: Vec<PlannedPhase>,
    /// Its tasks, in their order.
    pub tasks: Vec<PlannedTask>,
    /// Lines that were not understood, by their numbers, with why.
    pub ignored: Vec<(usize, &'static str)>,
}

/// A phase of a plan.
#[derive(Clone, PartialEq, Debug)]
pub struct PlannedPhase {
    /// Which.
    pub phase_id: PhaseId,
    /// Its name.
    pub name: Option<String>,
    /// How it stands, where its heading says so.
    pub status: Option<PhaseStatus>,
    /// Phases that must end before.
    pub dependencies: Vec<String>,
    /// What else stands below its heading as `key: value`.
    pub metadata: Map<String, Value>,
}

/// A task of a plan.
#[derive(Clone, PartialEq, Debug)]
pub struct PlannedTask {
    /// Its id, made of its phase and its words.
    pub task_id: TaskId,
    /// Of which phase.
    pub phase_id: Option<PhaseId>,
    /// What is to be done.
    pub description: String,
    /// How its box is ticked.
    pub status: TaskStatus,
    /// The task that it is a part of.
    pub parent: Option<TaskId>,
}

/// Reads a plan. Fenced code and comments are passed over.
pub fn read(text: &str) -> Plan {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = Lines::of(text);
    // Where a plan numbers its phases, other headings are none.
    let is_numbered =
        lines.kept.iter().any(|(_, line)| heading(line).is_some_and(|(_, text)| phase_in(text).is_some()));
    let mut reader = Reader { is_numbered, plan: Plan::default(), ids: BTreeMap::new(), at: Place::default() };
    reader.plan.metadata = lines.front;
    for (number, line) in lines.kept {
        reader.line(number, line);
    }
    reader.plan
}

/// A phase's name and how it stands, as its heading says.
type Heading = (Option<String>, Option<PhaseStatus>);

/// The lines that are no code, no comment and no front matter.
struct Lines<'t> {
    kept: Vec<(usize, &'t str)>,
    front: Map<String, Value>,
}

impl<'t> Lines<'t> {
    fn of(text: &'t str) -> Self {
        let mut lines = Self { kept: Vec::new(), front: Map::new() };
        let has_front = text.lines().next() == Some("---") && text.lines().skip(1).any(|line| line.trim_end() == "---");
        let (mut in_front, mut fence, mut in_comment) = (has_front, None::<&str>, false);
        for (index, line) in text.lines().enumerate() {
            let bare = line.trim();
            if in_front {
                in_front = index == 0 || bare != "---";
                lines.front.extend(key_value(bare).filter(|_| in_front && index > 0));
            } else if let Some(open) = fence {
                // A fence ends with as many marks as it began with, or more, and nothing else.
                if bare.starts_with(open) && bare.trim_start_matches(&open[..1]).is_empty() {
                    fence = None;
                }
            } else if in_comment || bare.starts_with("<!--") {
                in_comment = !bare.contains("-->");
            } else if bare.starts_with("```") || bare.starts_with("~~~") {
                let mark = &bare[..1];
                fence = Some(&bare[..bare.len() - bare.trim_start_matches(mark).len()]);
            } else {
                lines.kept.push((index + 1, line));
            }
        }
        lines
    }
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
}

struct Reader {
    is_numbered: bool,
    plan: Plan,
    ids: BTreeMap<String, u64>,
    at: Place,
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) {
        if let Some((level, text)) = heading(line) {
            return self.heading(number, level, text);
        }
        if let Some(item) = Item::of(line) {
            return self.item(number, &item);
        }
        if !line.starts_with([' ', '\t']) && !line.trim().is_empty() {
            self.at.parents.clear();
            self.key_value(line);
        }
    }

    fn heading(&mut self, number: usize, level: usize, text: &str) {
        self.at.parents.clear();
        if let Some((phase_id, name)) = phase_in(text) {
            return self.phase(number, level, phase_id, name);
        }
        if self.plan.title.is_none() && self.plan.phases.is_empty() && level == 1 {
            self.plan.title = Some(text.to_owned());
            return;
        }
        if self.at.phase.is_some_and(|(_, above)| level > above) {
            self.at.is_below = true;
        } else if self.is_numbered {
            // What is said of the plan may stand in a section of its own.
            self.at = Place { is_below: slug(text) != "metadata", ..Place::default() };
        } else {
            let (name, status) = marked(text);
            match PhaseId::named(&slug(&name)) {
                Ok(Some(id)) => self.phase(number, level, id, (Some(name), status)),
                _ => self.plan.ignored.push((number, "a heading without letters names no phase")),
            }
        }
    }

    fn phase(&mut self, number: usize, level: usize, phase_id: PhaseId, said: Heading) {
        let (name, status) = said;
        let index = self.plan.phases.iter().position(|phase| phase.phase_id == phase_id);
        if index.is_some() {
            self.plan.ignored.push((number, "the phase has a heading above: its tasks are added to that one"));
        }
        let index = index.unwrap_or_else(|| {
            let (dependencies, metadata) = (vec![], Map::new());
            self.plan.phases.push(PlannedPhase { phase_id, name, status, dependencies, metadata });
            self.plan.phases.len() - 1
        });
        self.at = Place { phase: Some((index, level)), ..Place::default() };
    }

    fn item(&mut self, number: usize, item: &Item<'_>) {
        let Some(status) = item.status else {
            if item.indent == 0 && !self.key_value(item.text) && item.is_numbered && self.at.phase.is_some() {
                self.plan.ignored.push((number, "a step without a box is no task: write `- [ ]` before it"));
            }
            return;
        };
        if item.text.is_empty() {
            self.plan.ignored.push((number, "a box without words is no task"));
            return;
        }
        self.at.parents.retain(|(indent, _)| *indent < item.indent);
        let phase_id = self.at.phase.map(|(index, _)| self.plan.phases[index].phase_id.clone());
        let task_id = self.task_id(phase_id.as_ref(), item.text);
        let parent = self.at.parents.last().map(|(_, id)| id.clone());
        self.at.parents.push((item.indent, task_id.clone()));
        let description = item.text.to_owned();
        self.plan.tasks.push(PlannedTask { task_id, phase_id, description, status, parent });
    }

    /// An id that the same words in the same phase get again: by their number where they have one, else by the words.
    fn task_id(&mut self, phase: Option<&PhaseId>, text: &str) -> TaskId {
        let stem = match (number_of(text), phase) {
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
        let Some((key, value)) = key_value(line) else { return false };
        match self.at.phase {
            None if self.plan.phases.is_empty() && !self.at.is_below => drop(self.plan.metadata.insert(key, value)),
            Some((index, _)) if !self.at.is_below => {
                let phase = &mut self.plan.phases[index];
                match (key.as_str(), &value) {
                    ("dependencies" | "depends_on", Value::String(text)) => phase.dependencies = phases_in(text),
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

/// Level and text of a heading (`## Text`).
fn heading(line: &str) -> Option<(usize, &str)> {
    let level = line.bytes().take_while(|byte| *byte == b'#').count();
    let text = line.get(level..).filter(|rest| (1..=6).contains(&level) && rest.starts_with([' ', '\t']))?;
    Some((level, text.trim().trim_end_matches('#').trim_end()))
}

/// The phase of a heading such as `Phase 2: Implementation [COMPLETED]`, its name and how it stands.
fn phase_in(text: &str) -> Option<(PhaseId, Heading)> {
    let (text, status) = marked(text);
    let text = text.trim_start_matches(|letter: char| !letter.is_alphanumeric());
    let rest = text.get(5..).filter(|_| text.get(..5).is_some_and(|word| word.eq_ignore_ascii_case("phase")))?;
    let rest = rest.trim_start_matches([' ', '_', '-', '#']);
    let digits = rest.len() - rest.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
    let number: i64 = rest.get(..digits)?.parse().ok()?;
    let after = &rest[digits..];
    // `Phase 2b` and `Phased` are none.
    if after.starts_with(char::is_alphanumeric) {
        return None;
    }
    let name = after.trim_matches(|letter: char| letter.is_whitespace() || ":.-–—*".contains(letter));
    let name = (!name.is_empty()).then(|| name.to_owned());
    Some((PhaseId::numbered(number), (name, status)))
}

/// A heading without the mark at its end that says how it stands.
fn marked(text: &str) -> (String, Option<PhaseStatus>) {
    let bare = text.trim().trim_matches('*').trim();
    let ticked = bare.trim_end_matches(['✅', '✔', '✓', '\u{fe0f}']).trim_end();
    if ticked.len() < bare.len() {
        return (ticked.to_owned(), Some(PhaseStatus::Completed));
    }
    let open = match bare.chars().last() {
        Some(']') => '[',
        Some(')') => '(',
        _ => return (bare.to_owned(), None),
    };
    let Some((before, word)) = bare[..bare.len() - 1].rsplit_once(open) else { return (bare.to_owned(), None) };
    let status = match slug(word).as_str() {
        "completed" | "complete" | "done" | "x" => PhaseStatus::Completed,
        "in_progress" | "active" | "started" | "wip" => PhaseStatus::InProgress,
        "pending" | "not_started" | "todo" => PhaseStatus::Pending,
        "failed" => PhaseStatus::Failed,
        "skipped" => PhaseStatus::Skipped,
        _ => return (bare.to_owned(), None),
    };
    (before.trim_end().to_owned(), Some(status))
}

/// An item of a list.
struct Item<'l> {
    indent: usize,
    is_numbered: bool,
    status: Option<TaskStatus>,
    text: &'l str,
}

impl<'l> Item<'l> {
    fn of(line: &'l str) -> Option<Self> {
        let indent = line.chars().take_while(|c| " \t".contains(*c)).map(|c| if c == '\t' { 4 } else { 1 }).sum();
        let bare = line.trim_start_matches([' ', '\t']);
        let digits = bare.bytes().take_while(u8::is_ascii_digit).count();
        let (is_numbered, rest) = match bare.get(digits..) {
            Some(rest) if digits > 0 => (true, rest.strip_prefix(['.', ')'])?),
            _ => (false, bare.strip_prefix(['-', '*', '+'])?),
        };
        let rest = rest.strip_prefix([' ', '\t'])?.trim();
        let (status, text) = ticked(rest).map_or((None, rest), |(status, text)| (Some(status), text));
        Some(Self { indent, is_numbered, status, text })
    }
}

/// How a box is ticked, and what follows it.
fn ticked(text: &str) -> Option<(TaskStatus, &str)> {
    let inner = text.strip_prefix('[')?;
    let (mark, rest) = inner.split_once(']')?;
    let status = match mark {
        "" | " " => TaskStatus::Pending,
        "x" | "X" | "✓" | "✔" | "✅" => TaskStatus::Completed,
        "-" | "~" | "/" | ">" => TaskStatus::Active,
        "!" => TaskStatus::Failed,
        _ => return None,
    };
    // `[x](link)` is a link.
    (rest.is_empty() || rest.starts_with([' ', '\t'])).then_some((status, rest.trim()))
}

/// The number of `Task 2.1: ...`, `2.1. ...`, `**2.1** ...`.
fn number_of(text: &str) -> Option<String> {
    let bare = text.trim_start_matches(['*', '`', '_']);
    let has_word = bare.get(..5).is_some_and(|word| word.eq_ignore_ascii_case("task "));
    let bare = if has_word { bare[5..].trim_start() } else { bare };
    let length = bare.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let (number, rest) = bare.split_at(length);
    let number = number.trim_end_matches('.');
    let is_number = number.starts_with(|first: char| first.is_ascii_digit()) && !number.contains("..");
    let ends = rest.is_empty() || rest.starts_with([':', ' ', '*', '`', ')', '_', '-']);
    (is_number && ends && (has_word || number.contains('.'))).then(|| number.replace('.', "_"))
}

/// A key in small letters and its value, of `**Key**: value`, `Key: value`, `- **Key:** value`.
fn key_value(line: &str) -> Option<(String, Value)> {
    let (key, value) = line.split_once(':')?;
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || " _-*`".contains(letter);
    let key = slug(key).to_owned();
    let value = value.trim_start_matches("**").trim().trim_matches('"');
    let head = line.split(':').next().unwrap_or_default();
    let fits = !key.is_empty() && key.len() <= 40 && head.chars().all(is_word) && head.split_whitespace().count() <= 4;
    (fits && !value.is_empty()).then(|| (key, Value::from(value)))
}

/// The phases that a text such as `Phase 1, Phase 2` or `[1, 2]` names.
fn phases_in(text: &str) -> Vec<String> {
    let numbers = text.split(|letter: char| !letter.is_ascii_digit()).filter(|digits| !digits.is_empty());
    numbers.filter_map(|digits| digits.parse::<i64>().ok()).map(|number| number.to_string()).collect()
}

impl Plan {
    /// What an update must say to bring a state to what the plan says. An open box says nothing of a task that the state
    /// knows better, a ticked one says that it is done; the same holds for phases.
    pub fn update(&self, present: &Whole) -> Map<String, Value> {
        let mut data = Map::new();
        if present.head.name.is_none() {
            data.extend(self.title.iter().map(|title| ("name".to_owned(), Value::from(title.as_str()))));
        }
        if !self.metadata.is_empty() {
            data.insert("plan".to_owned(), Value::Object(self.metadata.clone()));
        }
        let phases: Vec<Value> = self.phases.iter().map(|phase| self.phase(phase, present)).collect();
        let tasks: Vec<Value> = self.tasks.iter().map(|task| task.update(present)).collect();
        data.extend([("phases".to_owned(), phases.into()), ("tasks".to_owned(), tasks.into())]);
        data
    }

    fn phase(&self, phase: &PlannedPhase, present: &Whole) -> Value {
        let known = present.phases.get(&phase.phase_id).map(|known| known.status);
        let mut fields = Map::from_iter([("phase_id".to_owned(), json!(phase.phase_id))]);
        fields.extend(phase.name.iter().map(|name| ("name".to_owned(), Value::from(name.as_str()))));
        let of_phase = self.tasks.iter().filter(|task| task.phase_id.as_ref() == Some(&phase.phase_id));
        let has_begun = of_phase.into_iter().any(|task| task.status != TaskStatus::Pending);
        let says = phase.status.or(has_begun.then_some(PhaseStatus::InProgress));
        let is_news = |says: &PhaseStatus| match known {
            None | Some(PhaseStatus::Pending) => true,
            Some(known) => phase.status.is_some() && *says != PhaseStatus::Pending && *says != known,
        };
        fields.extend(says.filter(is_news).map(|status| ("status".to_owned(), json!(status))));
        if !phase.dependencies.is_empty() {
            fields.insert("dependencies".to_owned(), phase.dependencies.clone().into());
        }
        if !phase.metadata.is_empty() {
            fields.insert("plan".to_owned(), Value::Object(phase.metadata.clone()));
        }
        Value::Object(fields)
    }
}

impl PlannedTask {
    fn update(&self, present: &Whole) -> Value {
        let is_news = self.status != TaskStatus::Pending || !present.tasks.contains_key(&self.task_id);
        let mut fields = Map::from_iter([
            ("task_id".to_owned(), json!(self.task_id)),
            ("description".to_owned(), json!(self.description)),
        ]);
        fields.extend(self.phase_id.iter().map(|phase| ("phase_id".to_owned(), json!(phase))));
        fields.extend(is_news.then(|| ("status".to_owned(), json!(self.status))));
        fields.extend(self.parent.iter().map(|parent| ("parent_task".to_owned(), json!(parent))));
        Value::Object(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAN: &str = "\
---
plan_id: 42
---
# Port the parser

**Date**: 2025-01-15
- **Status:** in progress

## Overview
Text: with a colon that is too long a sentence to be a key of anything.

### Phase 1: Research [COMPLETED]
**Objective**: know it
- [x] Read the sources
  - [x] The lexer
  - [ ] The grammar
* [X] 1.2 Write notes

```sh
- [ ] not a task
## Phase 9: not a phase
```

### Phase 2 - Implementation
Dependencies: Phase 1
#### Tasks
1. [ ] Task 2.1: build
2. [~] build
3. measure
- [ ] build
- [link](x)
<!-- - [ ] hidden -->

## Notes
- [ ] tell everybody
";

    #[test]
    fn phases_tasks_and_what_belongs_to_them() {
        let plan = read(PLAN);
        assert_eq!(plan.title.as_deref(), Some("Port the parser"));
        assert_eq!(
            Value::Object(plan.metadata.clone()),
            json!({"plan_id": "42", "date": "2025-01-15", "status": "in progress"})
        );
        let phases: Vec<_> = plan.phases.iter().map(|p| (p.phase_id.as_str(), p.name.as_deref(), p.status)).collect();
        let expected = [("1", Some("Research"), Some(PhaseStatus::Completed)), ("2", Some("Implementation"), None)];
        assert_eq!(phases, expected);
        assert_eq!(
            (plan.phases[0].metadata["objective"].clone(), plan.phases[1].dependencies.clone()),
            (json!("know it"), vec!["1".to_owned()])
        );
        let tasks: Vec<_> = plan
            .tasks
            .iter()
            .map(|t| (t.task_id.as_str(), t.status.as_str(), t.parent.as_ref().map(TaskId::as_str)))
            .collect();
        let expected = [
            ("p1_read_the_sources", "completed", None),
            ("p1_the_lexer", "completed", Some("p1_read_the_sources")),
            ("p1_the_grammar", "pending", Some("p1_read_the_sources")),
            ("task_1_2", "completed", None),
            ("task_2_1", "pending", None),
            ("p2_build", "active", None),
            ("p2_build.2", "pending", None),
            ("tell_everybody", "pending", None),
        ];
        assert_eq!(tasks, expected);
        assert_eq!(plan.tasks[7].phase_id, None);
        assert_eq!(plan.ignored.len(), 1, "the step without a box: {:?}", plan.ignored);
    }

    #[test]
    fn tasks_in_other_letters_keep_their_ids_wherever_they_stand() {
        let ids =
            |text: &str| -> Vec<String> { read(text).tasks.iter().map(|task| task.task_id.to_string()).collect() };
        let before = ids("## Phase 1: A\n- [ ] 読む\n- [ ] API を書く\n- [ ] ???\n");
        let after = ids("## Phase 1: A\n- [ ] 試す\n- [ ] API を読む\n- [x] 読む\n- [x] API を書く\n- [ ] ???\n");
        assert_eq!(before, after[2..], "{before:?}");
        assert!(after[1].starts_with("p1_api_") && after[1] != after[3], "{after:?}");
        assert_eq!(before[0].len(), "p1_".len() + 12);
    }

    #[test]
    fn headings_without_numbers_are_phases_where_none_has_one() {
        let plan = read("# Plan\n## Research ✅\n- [x] a\n## Write the docs (in progress)\n- [ ] b\n");
        let phases: Vec<_> = plan.phases.iter().map(|phase| (phase.phase_id.as_str(), phase.status)).collect();
        let expected = [("research", Some(PhaseStatus::Completed)), ("write_the_docs", Some(PhaseStatus::InProgress))];
        assert_eq!(phases, expected);
    }

    #[test]
    fn an_open_box_says_nothing_of_a_task_that_is_known_better() {
        let plan = read("## Phase 1: A\n- [ ] x\n- [x] y\n");
        let fresh = Value::Object(plan.update(&Whole::new("wf".parse().expect("an id"))));
        assert_eq!(
            (&fresh["tasks"][0]["status"], &fresh["phases"][0]["status"]),
            (&json!("pending"), &json!("in_progress"))
        );
        let mut present = Whole::new("wf".parse().expect("an id"));
        for id in ["p1_x", "p1_y"] {
            let id: TaskId = id.parse().expect("an id");
            present.tasks.insert(id.clone(), super::super::Task::new(id));
        }
        let update = Value::Object(plan.update(&present));
        assert_eq!((&update["tasks"][0]["status"], &update["tasks"][1]["status"]), (&Value::Null, &json!("completed")));
    }

    proptest! {
        #[test]
        fn any_text_is_a_plan(text in "([#>*+ \\[\\]xX0-9.`~:a-dé✅\\-\t\n]|Phase |Task ){0,200}") {
            let plan = read(&text);
            let update = plan.update(&Whole::new("wf".parse().unwrap()));
            prop_assert_eq!(update["tasks"].as_array().unwrap().len(), plan.tasks.len());
            let mut ids: Vec<_> = plan.tasks.iter().map(|task| &task.task_id).collect();
            ids.sort();
            ids.dedup();
            prop_assert_eq!(ids.len(), plan.tasks.len(), "every task has an id of its own");
        }
    }
}
