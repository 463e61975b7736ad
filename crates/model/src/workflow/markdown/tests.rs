//! Plans as people write them.

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
2. [/] build
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
    let ids = |text: &str| -> Vec<String> { read(text).tasks.iter().map(|task| task.task_id.to_string()).collect() };
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
fn phases_in_bold_among_headings_are_named() {
    let plan = read("## Phase 1: A\n- [ ] x\n\n**Phase 2: B**\n- [ ] y\n\n**Note**: Phase 3 is another plan's.\n");
    assert_eq!(plan.phases.len(), 1);
    assert_eq!(plan.ignored.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [4], "{:?}", plan.ignored);
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

#[test]
fn phases_are_read_in_the_forms_that_people_give_them() {
    for (heading, name) in [
        ("## Phase 2 - Name", Some("Name")),
        ("### 2. Name", Some("Name")),
        ("## 2) Name", Some("Name")),
        ("**Phase 2**", None),
        ("**Phase 2: Name**", Some("Name")),
        ("**Phase 2:** Name", Some("Name")),
        ("__Phase 2__: Name", Some("Name")),
        ("## Stage 2: Name", Some("Name")),
        ("## **Phase 2:** Name", Some("Name")),
        ("Phase 2: Name\n=============", Some("Name")),
        ("Phase 2: Name\n---", Some("Name")),
        ("## Phase Two", None),
        ("## Phase two: Name", Some("Name")),
        ("## Phase II - Name", Some("Name")),
    ] {
        for list in ["- [x] a\n* [ ] b\n", "1. [x] a\n2. [ ] b\n"] {
            let plan = read(&format!("# Plan\n\n{heading}\n\n{list}"));
            let phases: Vec<_> = plan.phases.iter().map(|one| (one.phase_id.as_str(), one.name.as_deref())).collect();
            assert_eq!(phases, [("2", name)], "{heading}: {:?}", plan.ignored);
            let tasks: Vec<_> = plan.tasks.iter().map(|task| (task.task_id.as_str(), task.status)).collect();
            assert_eq!(tasks, [("p2_a", TaskStatus::Completed), ("p2_b", TaskStatus::Pending)], "{heading}");
            assert_eq!(plan.ignored, [], "{heading}");
        }
    }
}

#[test]
fn phases_with_letters_and_parts_are_phases_of_their_own() {
    let text = "Port\n====\n\nNames\n---\n## Phase 1A: A\n- [ ] x\n## Phase 1B\nDependencies: Phase 1A, 1\n- [ ] y\n## Phase 1.5 - C\n- [ ] z\n";
    let plan = read(text);
    let phases: Vec<_> = plan.phases.iter().map(|phase| (phase.phase_id.as_str(), phase.name.as_deref())).collect();
    assert_eq!(phases, [("1A", Some("A")), ("1B", None), ("1.5", Some("C"))]);
    assert_eq!(plan.phases[1].dependencies, ["1A", "1"]);
    assert_eq!((plan.title.as_deref(), plan.tasks.len(), plan.ignored.len()), (Some("Port"), 3, 0));
    // A rule below `key: value` or a list makes no heading, and what has no number is named.
    let plan = read("**Date**: 2025-01-15\n---\n## Phase 1: A\n- [ ] x\n---\n## Phase Alpha: B\n- [ ] y\n");
    assert_eq!((plan.phases.len(), plan.metadata.len(), plan.ignored[0].0), (1, 1, 6), "{plan:?}");
}

#[test]
fn steps_are_tasks_where_nothing_has_a_box() {
    let plan = read("## 1. Research\n1. read\n2. note\n### Risks\n1. none\n## 2. Build\n- [ ] write\n1. measure\n");
    let tasks: Vec<_> = plan.tasks.iter().map(|task| task.task_id.as_str()).collect();
    assert_eq!(tasks, ["p1_read", "p1_note", "p2_write"]);
    assert_eq!(plan.ignored.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [8]);
}

#[test]
fn what_could_have_meant_something_is_named() {
    for (line, text) in [
        (3, "## Phase 1: A\n- [ ] x\n- [?] y\n"),
        (3, "## Phase 1: A\n- [ ] x\n## Fase 2: B\n- [ ] y\n"),
        (3, "## Phase 1: A\n- [ ] x\n### Task 1.2: y\n"),
        (3, "## Phase 1: A\n- [ ] x\n| y | [ ] |\n"),
        (2, "## Phase 1: A\n- x\n"),
        (1, "Phase 1: A\n- [ ] x\n"),
        (3, "## 1. A\n- [ ] x\nPhase 2: B\n- [ ] y\n"),
    ] {
        let plan = read(text);
        assert_eq!(plan.ignored.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [line], "{text}");
    }
    // A sentence is no heading.
    assert_eq!(read("## Build\n- [ ] x\n\n**Phase 2** begins when x is done.\nPhase 2 is later\n").ignored, []);
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
