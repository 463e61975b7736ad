//! How long the fold takes: prints the seconds for a story of so many tasks, ten events each, all in memory.

use std::time::Instant;

use wfr_model::event::Draft;
use wfr_model::workflow::fold::apply;
use wfr_model::workflow::{Nowhere, State};
use wfr_model::{Event, Timestamp};

fn main() {
    let tasks: usize = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(100_000);
    let events: Vec<Event> = (0..tasks).flat_map(|task| of_task(task, tasks)).collect();
    let mut state = State::new("wf".parse().expect("it is an id"));
    let begun = Instant::now();
    for event in &events {
        let Ok(odd) = apply(&mut state, &mut Nowhere, event);
        std::hint::black_box(odd);
    }
    let took = begun.elapsed().as_secs_f64();
    assert_eq!(state.head.counts.completed, tasks as u64);
    println!("{took:.3} s for {} events of {tasks} tasks", events.len());
}

fn of_task(task: usize, tasks: usize) -> Vec<Event> {
    let (phase, agent, other) = (task * 5 / tasks + 1, task % 40, (task + 1) % 40);
    let about = format!(r#""task_id":"task_{task:06}""#);
    let lines = [
        format!(
            r#"TASK_ASSIGNED:wf:{phase}:{{{about},"agent_id":"agent_{agent}","description":"part {task} of the work"}}"#
        ),
        format!(r#"TASK_STARTED:wf:{phase}:{{{about},"agent_id":"agent_{agent}"}}"#),
        format!(r#"PHASE_PROGRESS:wf:{phase}:{{"progress":40}}"#),
        format!(r#"RESOURCE_THRESHOLD:wf:{phase}:{{"resource_type":"cpu","current_usage":83.5,"threshold":80}}"#),
        format!(
            r#"TASK_FAILED:wf:{phase}:{{{about},"agent_id":"agent_{agent}","failure_reason":"out of memory","retry_count":1}}"#
        ),
        format!(r#"ERROR_ENCOUNTERED:wf:{phase}:{{{about},"error_message":"out of memory"}}"#),
        format!(
            r#"TASK_REASSIGNED:wf:{phase}:{{{about},"old_agent":"agent_{agent}","new_agent":"agent_{other}","reason":"it failed"}}"#
        ),
        format!(r#"TASK_STARTED:wf:{phase}:{{{about},"agent_id":"agent_{other}"}}"#),
        format!(r#"AGENT_PERFORMANCE_ALERT:wf:{phase}:{{"agent_id":"agent_{other}","performance_score":0.7}}"#),
        format!(r#"TASK_COMPLETED:wf:{phase}:{{{about},"agent_id":"agent_{other}","execution_time":12.5}}"#),
    ];
    let id = || "evt_1".parse().expect("it is an id");
    let event = |line: &String| Draft::read(line).expect("it is an event").complete(id, Timestamp(1), "bench");
    lines.iter().map(event).collect()
}
