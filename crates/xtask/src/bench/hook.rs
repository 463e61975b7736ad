//! What a hook costs, of which an agent waits for two at every edit.
//!
//! Owns the payloads of an edit tool. Refuses to know what is done about them.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Instant;

use super::Options;
use super::measure::flush;
use super::site::Site;
use super::table::{Target, print_targets};

/// Runs it: a hook before and a hook behind each edit of a file, as whole processes.
pub fn run(options: &Options) -> Result<(), String> {
    let flush_ms = flush(&options.work)? * 1e3;
    let site = Site::new(&options.wfr, &options.tree, &options.work.join("wfr"))?;
    site.init()?;
    say(&site, &payload("SessionStart", "", ""))?;
    let repeat = options.repeat.max(101);
    let (mut before, mut behind) = (Vec::new(), Vec::new());
    let name = options.tree.join("wfr-bench-edit.txt");
    for round in 0..repeat {
        let (file, call) = (name.to_string_lossy().into_owned(), format!("toolu_{round}"));
        before.push(say(&site, &payload("PreToolUse", &file, &call))?);
        fs::write(&name, format!("round {round}\n")).map_err(|error| error.to_string())?;
        behind.push(say(&site, &payload("PostToolUse", &file, &call))?);
    }
    drop(fs::remove_file(&name));
    println!("one flush (4 KiB, fdatasync): {flush_ms:.2} ms; whole processes, {repeat} edits");
    let row = |what, measured: f64, must: f64, aim: f64| {
        let rule = "fixed".to_owned();
        Target { what, measured: measured * 1e3, must, aim, rule, unit: "ms" }
    };
    print_targets(&[
        row("hook before an edit, median", quantile(&mut before, 50), 15.0, 6.0),
        row("hook behind an edit, median", quantile(&mut behind, 50), 15.0, 6.0),
        row("hook before an edit, 99 of 100", quantile(&mut before, 99), 60.0, 60.0),
        row("hook behind an edit, 99 of 100", quantile(&mut behind, 99), 60.0, 60.0),
    ]);
    site.clear()
}

fn payload(event: &str, file: &str, call: &str) -> String {
    serde_json::json!({
        "hook_event_name": event,
        "session_id": "bench",
        "tool_name": "Write",
        "tool_use_id": call,
        "tool_input": {"file_path": file, "content": "text"},
    })
    .to_string()
}

/// Gives a payload to the hook; the seconds until it has ended.
fn say(site: &Site, payload: &str) -> Result<f64, String> {
    let mut command = site.command(&["hook", "claude"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let started = Instant::now();
    let mut child = command.spawn().map_err(|error| format!("cannot run wfr: {error}"))?;
    let written = child.stdin.take().map(|mut input| input.write_all(payload.as_bytes()));
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let took = started.elapsed().as_secs_f64();
    let is_well = output.status.success() && output.stdout.is_empty() && matches!(written, Some(Ok(())));
    if is_well { Ok(took) } else { Err(format!("the hook failed: {output:?}")) }
}

fn quantile(times: &mut [f64], percent: usize) -> f64 {
    times.sort_by(f64::total_cmp);
    times[(times.len() * percent / 100).min(times.len() - 1)]
}
