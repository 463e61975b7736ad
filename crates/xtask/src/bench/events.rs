//! Events: taking them in by the file and one by one, folding them, and looking at what they make.
//!
//! Owns the story that is told: tasks that are given, begun, fail, change hands and are done. Refuses to know how it is kept.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Command;

use wfr_testkit::Prng;

use super::Options;
use super::measure::{flush, median_wall, once, wall};
use super::site::Site;
use super::table::{Target, print_targets};

/// Events that each task has.
const EVENTS_OF_A_TASK: usize = 10;

/// Tasks of the workflow that a large one is compared with.
const SMALL: usize = 100;

/// Runs it.
pub fn run(root: &Path, options: &Options) -> Result<(), String> {
    let tasks = (options.events / EVENTS_OF_A_TASK).max(1);
    let file = options.work.join("events.jsonl");
    write_story(&file, tasks).map_err(|error| format!("cannot write the events: {error}"))?;
    let tree = options.work.join("events-tree");
    std::fs::create_dir_all(&tree).map_err(|error| error.to_string())?;
    let site = Site::new(&options.wfr, &tree, &options.work.join("wfr"))?;
    site.init()?;
    let path = file.to_string_lossy().into_owned();
    let cost = once(&mut site.command(&["event", "--file", &path, "--json"]))?;
    let events = tasks * EVENTS_OF_A_TASK;
    println!("{events} events of {tasks} tasks in {:.2} s; peak {:.0} MB", cost.wall, cost.peak_mb);
    let flush_ms = flush(&options.work)? * 1e3;
    println!("one flush (4 KiB, fdatasync): {flush_ms:.2} ms");
    let repeat = options.repeat.max(51);
    let mut number = 0;
    let one = || {
        number += 1;
        let line = format!(r#"TASK_STARTED:wf:1:{{"task_id":"new_{number}","agent_id":"agent_1"}}"#);
        site.command(&["event", &line, "--json"])
    };
    let single = median_wall(repeat, || Ok(()), one)?;
    let status = median_wall(repeat, || Ok(()), || site.command(&["status", "wf", "--json"]))?;
    let small_tree = options.work.join("events-small");
    std::fs::create_dir_all(&small_tree).map_err(|error| error.to_string())?;
    let small = Site::new(&options.wfr, &small_tree, &options.work.join("wfr-small"))?;
    small.init()?;
    let few = options.work.join("few.jsonl");
    write_story(&few, SMALL).map_err(|error| format!("cannot write the events: {error}"))?;
    small.run(&["event", "--file", &few.to_string_lossy()])?;
    let [large_checkpoint, small_checkpoint] = checkpoints([&site, &small], repeat)?;
    println!(
        "checkpoint after one task changed: {large_checkpoint:.2} ms of {tasks} tasks, {small_checkpoint:.2} ms of {SMALL}"
    );
    let fold = fold(root, tasks)?;
    let row = |what, measured, must, aim, unit| Target { what, measured, must, aim, rule: "fixed".to_owned(), unit };
    print_targets(&[
        // Time for each event, so that less is better as everywhere.
        row(
            "ingest, for each event of one file (50 us: 20,000/s; 20 us: 50,000/s)",
            cost.wall * 1e6 / events as f64,
            50.0,
            20.0,
            "us",
        ),
        row("`wfr event`, one", single.wall * 1e3, 12.0, 5.0, "ms"),
        row(
            "fold in memory, for each of these events (1 us: 1,000,000 in 1 s)",
            fold * 1e6 / events as f64,
            1.0,
            1.0,
            "us",
        ),
        row("`wfr status` after all of them", status.wall * 1e3, 50.0, 50.0, "ms"),
        row(
            "checkpoint after one task changed, to the same of 100 tasks",
            large_checkpoint / small_checkpoint,
            1.2,
            1.0,
            "x",
        ),
    ]);
    small.clear()?;
    site.clear()
}

/// Milliseconds of a checkpoint after one task changed, in each place: medians of runs that take turns.
fn checkpoints(sites: [&Site; 2], repeat: usize) -> Result<[f64; 2], String> {
    let mut taken = [Vec::new(), Vec::new()];
    for round in 0..=repeat {
        for (site, taken) in sites.iter().zip(&mut taken) {
            let task = round % SMALL;
            let change = format!(r#"TASK_STARTED:wf:1:{{"task_id":"task_{task:06}","agent_id":"agent_1"}}"#);
            site.run(&["event", &change])?;
            let cost = wall(&mut site.command(&["create-checkpoint", "wf", "--json"]))?;
            // The first one stores all that came before.
            if round > 0 {
                taken.push(cost.wall * 1e3);
            }
        }
    }
    Ok(taken.map(|mut taken| {
        taken.sort_by(f64::total_cmp);
        taken[taken.len() / 2]
    }))
}

/// Seconds that the fold alone takes of a like story: the model's own bench says so.
fn fold(root: &Path, tasks: usize) -> Result<f64, String> {
    let mut command = Command::new("cargo");
    command.args(["bench", "--quiet", "--package", "wfr-model", "--bench", "fold", "--", &tasks.to_string()]);
    let output = command.current_dir(root).output().map_err(|error| format!("cannot run cargo: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let seconds = text.split_whitespace().next().and_then(|number| number.parse().ok());
    seconds.ok_or_else(|| format!("the fold's bench said `{text}` {}", String::from_utf8_lossy(&output.stderr)))
}

/// Writes the story as JSON lines, with ids that come in no order, as senders make them.
fn write_story(path: &Path, tasks: usize) -> std::io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    let mut random = Prng::new(1);
    let mut line = String::new();
    for task in 0..tasks {
        let (phase, agent, other) = (task * 5 / tasks + 1, task % 40, (task + 1) % 40);
        let about = format!(r#""task_id":"task_{task:06}""#);
        for (name, rest) in [
            ("TASK_ASSIGNED", format!(r#"{about},"agent_id":"agent_{agent}","description":"part {task} of the work""#)),
            ("TASK_STARTED", format!(r#"{about},"agent_id":"agent_{agent}""#)),
            ("PHASE_PROGRESS", format!(r#""progress":{}"#, task * 500 / tasks % 100)),
            ("RESOURCE_THRESHOLD", r#""resource_type":"cpu","current_usage":83.5,"threshold":80"#.to_owned()),
            (
                "TASK_FAILED",
                format!(r#"{about},"agent_id":"agent_{agent}","failure_reason":"out of memory","retry_count":1"#),
            ),
            ("ERROR_ENCOUNTERED", format!(r#"{about},"error_message":"out of memory""#)),
            (
                "TASK_REASSIGNED",
                format!(r#"{about},"old_agent":"agent_{agent}","new_agent":"agent_{other}","reason":"it failed""#),
            ),
            ("TASK_STARTED", format!(r#"{about},"agent_id":"agent_{other}""#)),
            ("AGENT_PERFORMANCE_ALERT", format!(r#""agent_id":"agent_{other}","performance_score":0.7"#)),
            ("TASK_COMPLETED", format!(r#"{about},"agent_id":"agent_{other}","execution_time":12.5"#)),
        ] {
            line.clear();
            let id = (u128::from(random.number()) << 64) | u128::from(random.number());
            let _ = writeln!(
                line,
                r#"{{"event_id":"evt_{id:032x}","event_type":"{name}","workflow_id":"wf","phase":{phase},"timestamp":"2025-01-15T11:30:00Z","source_component":"bench","data":{{{rest}}}}}"#
            );
            out.write_all(line.as_bytes())?;
        }
    }
    out.flush()
}
