//! What it costs to say who works, and to ask a long ledger.
//!
//! Owns the edits between, and how a ledger gets long. Refuses to make what is measured by another way than users do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use super::Options;
use super::measure::{flush, median_wall};
use super::site::Site;
use super::table::{Target, print_targets};

/// Files that each of the many changes writes.
const PATHS: usize = 10;
/// Files that the changes write in turns.
const FILES: usize = 2_000;
/// Changes that are made; the others are copies of them.
const MADE: usize = 800;
/// Files of the work that is taken back.
const TARGET: usize = 1_000;

/// Runs it.
pub fn run(options: &Options) -> Result<(), String> {
    println!("one flush (4 KiB, fdatasync): {:.2} ms", flush(&options.work)? * 1e3);
    if !options.tree.as_os_str().is_empty() {
        looks(options)?;
    }
    long(options)
}

/// `change begin` and `change end` around an edit of three files, without a watch and with one.
fn looks(options: &Options) -> Result<(), String> {
    let site = Site::new(&options.wfr, &options.tree, &options.work.join("wfr"))?;
    let edited: Vec<PathBuf> =
        ["Makefile", "README", "MAINTAINERS"].iter().map(|name| options.tree.join(name)).collect();
    let texts = edited.iter().map(|file| fs::read(file).map_err(|error| format!("{}: {error}", file.display())));
    let texts: Vec<Vec<u8>> = texts.collect::<Result<_, _>>()?;
    site.init()?;
    let repeat = options.repeat.max(11);
    let checkpoint = || site.command(&["create-checkpoint", "wf", "--json"]);
    site.run(&["create-checkpoint", "wf", "--json"])?;
    let unchanged = median_wall(repeat, || Ok(()), checkpoint)?.wall;
    let alone = pairs(&site, &edited, repeat)?;
    site.run(&["watch", "start"])?;
    site.run(&["create-checkpoint", "wf", "--json"])?;
    let watched = pairs(&site, &edited, repeat)?;
    let seen = median_wall(repeat, || Ok(()), checkpoint)?.wall;
    site.run(&["watch", "stop"])?;
    for (file, text) in edited.iter().zip(texts) {
        fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    println!(
        "checkpoint, nothing changed: {:.1} ms, with a watch {:.1} ms; medians of {repeat}",
        unchanged * 1e3,
        seen * 1e3
    );
    let row = |what, measured: f64, must: f64, aim: f64, rule: &str| {
        let (measured, must, aim) = (measured * 1e3, must * 1e3, aim * 1e3);
        Target { what, measured, must, aim, rule: rule.to_owned(), unit: "ms" }
    };
    let scanned = "1.2 x an unchanged checkpoint / equal";
    print_targets(&[
        row("change begin, with a watch", watched.0, 0.025, 0.010, "fixed"),
        row("change end after 3 files, with a watch", watched.1, 0.025, 0.010, "fixed"),
        row("change begin, without", alone.0, 1.2 * unchanged, unchanged, scanned),
        row("change end after 3 files, without", alone.1, 1.2 * unchanged, unchanged, scanned),
    ]);
    site.clear()
}

/// The medians of beginning and ending.
fn pairs(site: &Site, edited: &[PathBuf], repeat: usize) -> Result<(f64, f64), String> {
    let (mut begins, mut ends) = (Vec::new(), Vec::new());
    for round in 0..repeat {
        let begin = std::time::Instant::now();
        let token = answer(site, &["change", "begin", "--workflow", "wf", "--agent", "a", "--json"])?;
        begins.push(begin.elapsed().as_secs_f64());
        let token = token["token"].as_str().ok_or("no token")?.to_owned();
        for file in edited {
            append(file, &format!("# {round}\n"))?;
        }
        let end = std::time::Instant::now();
        answer(site, &["change", "end", &token, "--json"])?;
        ends.push(end.elapsed().as_secs_f64());
    }
    Ok((middle(begins), middle(ends)))
}

fn middle(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn append(file: &Path, text: &str) -> Result<(), String> {
    let mut bytes = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    bytes.extend_from_slice(text.as_bytes());
    fs::write(file, bytes).map_err(|error| format!("{}: {error}", file.display()))
}

/// What a call gives.
fn answer(site: &Site, words: &[&str]) -> Result<Value, String> {
    let output =
        site.command(words).stdin(Stdio::null()).output().map_err(|error| format!("cannot run wfr: {error}"))?;
    let mut found: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("wfr {words:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("wfr {words:?}: {found}"));
    }
    Ok(found["result"].take())
}

/// A ledger of many changes by agents that take turns, with the work of one on a thousand files in its middle.
fn long(options: &Options) -> Result<(), String> {
    let tree = options.work.join("ledger-tree");
    let target = |number: usize| tree.join(format!("t{}/f{number}.txt", number % 50));
    for number in 0..FILES {
        write(&tree.join(filler(number)), &text(number, "", ""))?;
    }
    for number in 0..TARGET {
        write(&target(number), &text(number, "", ""))?;
    }
    let site = Site::new(&options.wfr, &tree, &options.work.join("wfr"))?;
    site.init()?;
    site.run(&["create-checkpoint", "wf", "--json"])?;
    site.run(&["watch", "start"])?;
    fill(&site, &tree)?;
    let (before, made) = (overhead(&site)?, MADE * PATHS);
    copy(&site, options.changes / 2)?;
    let token = answer(&site, &["change", "begin", "--workflow", "wf", "--agent", "target", "--json"])?;
    for number in 0..TARGET {
        write(&target(number), &text(number, "the target was here\n", ""))?;
    }
    site.run(&["change", "end", token["token"].as_str().ok_or("no token")?])?;
    let token = answer(&site, &["change", "begin", "--workflow", "wf", "--agent", "later", "--json"])?;
    for number in (0..TARGET).step_by(2) {
        write(&target(number), &text(number, "the target was here\n", "and another one later\n"))?;
    }
    site.run(&["change", "end", token["token"].as_str().ok_or("no token")?])?;
    copy(&site, options.changes / 2)?;
    // What is asked next does not find the ledger just grown.
    site.run(&["change", "record", "--workflow", "wf", "--agent", "last", "--paths", "none"])?;
    let ledger = overhead(&site)?;
    println!(
        "ledger of {} changes of {PATHS} paths; {MADE} of them took {:.0} bytes a path",
        options.changes,
        before / made as f64
    );
    ask(options, &site, &tree, ledger)?;
    site.run(&["watch", "stop"])?;
    site.clear()
}

/// The path of a file that the many changes write.
fn filler(number: usize) -> String {
    format!("d{}/f{number}.txt", number % 50)
}

/// Makes changes as users do, each of ten files, in turns by five agents. After four rounds over all files each is as it was
/// after two.
fn fill(site: &Site, tree: &Path) -> Result<(), String> {
    let agents = ["a", "b", "c", "d", "e"];
    for number in 0..MADE {
        // Contents come again, so that the ledger grows and the store of contents does not.
        let line = if (number * PATHS / FILES).is_multiple_of(2) { "one\n" } else { "two\n" };
        let mut words =
            vec!["change", "record", "--workflow", "wf", "--json", "--agent", agents[number % agents.len()]];
        let mut paths = Vec::with_capacity(PATHS);
        for at in 0..PATHS {
            let at = (number * PATHS + at) % FILES;
            write(&tree.join(filler(at)), &text(at, line, ""))?;
            paths.push(filler(at));
        }
        words.push("--paths");
        words.extend(paths.iter().map(String::as_str));
        site.run(&words)?;
    }
    Ok(())
}

/// Copies those changes behind the newest one until there are so many more: the same rows under the next numbers. To make
/// all of them one by one takes an hour and gives the same rows.
fn copy(site: &Site, changes: usize) -> Result<(), String> {
    let failed = |error: rusqlite::Error| format!("cannot copy changes: {error}");
    let catalog = rusqlite::Connection::open(site.vault().join("catalog.db")).map_err(failed)?;
    let number = |sql: &str| catalog.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(failed);
    let first = "SELECT min(seq) FROM changes WHERE agent_id IN ('a', 'b', 'c', 'd', 'e')";
    let (change, point) =
        (number(first)?, number(&format!("SELECT min(point) FROM segments WHERE change = ({first})"))?);
    catalog.execute_batch("BEGIN").map_err(failed)?;
    for _ in 0..changes / MADE {
        let (by, to) = (number("SELECT max(seq) FROM changes")?, number("SELECT max(seq) FROM points")?);
        let (by, to) = (by + 1 - change, to + 1 - point);
        let sql = format!(
            "INSERT INTO points (seq, at, tree, checkpoint_id)
               SELECT seq + {to}, at + {to}, NULL, NULL FROM points WHERE seq BETWEEN {point} AND {point} + {MADE} - 1;
             INSERT INTO changes (seq, change_id, workflow_id, phase_id, task_id, agent_id, session_id, tool_call_id, actor,
                                  source, confidence, candidates, started_at, ended_at, note, recovery_id, declared, parent)
               SELECT seq + {by}, printf('chg_%032x', seq + {by}), workflow_id, phase_id, task_id, agent_id, session_id,
                      tool_call_id, actor, source, confidence, candidates, started_at + {to}, ended_at + {to}, note, NULL,
                      declared, NULL
               FROM changes WHERE seq BETWEEN {change} AND {change} + {MADE} - 1;
             INSERT INTO segments (path_id, point, change, replayed, before, after)
               SELECT path_id, point + {to}, change + {by}, replayed, before, after
               FROM segments WHERE point BETWEEN {point} AND {point} + {MADE} - 1;"
        );
        catalog.execute_batch(&sql).map_err(failed)?;
    }
    catalog.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)").map_err(failed)
}

/// A text of forty lines with one in its upper and one in its lower half.
fn text(number: usize, upper: &str, lower: &str) -> String {
    let lines =
        |from: usize| (from..from + 20).map(|line| format!("line {line} of file {number}\n")).collect::<String>();
    let (first, second) = (lines(0), lines(20));
    format!("{}{upper}{}{lower}end\n", first, second)
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    let dir = file.parent().ok_or("a file has a directory")?;
    fs::create_dir_all(dir).and_then(|()| fs::write(file, text)).map_err(|error| format!("{}: {error}", file.display()))
}

/// What the catalog takes, in bytes.
fn overhead(site: &Site) -> Result<f64, String> {
    let files =
        ["catalog.db", "catalog.db-wal"].map(|name| fs::metadata(site.vault().join(name)).map_or(0, |meta| meta.len()));
    Ok(files.iter().sum::<u64>() as f64)
}

fn ask(options: &Options, site: &Site, tree: &Path, ledger: f64) -> Result<(), String> {
    let repeat = options.repeat.max(11);
    let wall = |words: &[&str]| median_wall(repeat, || Ok(()), || site.command(words)).map(|cost| cost.wall);
    let rollback = ["rollback", "wf", "--agent", "target", "--json"];
    let log = wall(&["log", "--json"])?;
    let page = wall(&["log"])?;
    let blame = wall(&["blame", "d0/f0.txt", "--json"])?;
    let who = wall(&["who", "t0/f0.txt"])?;
    let plan = wall(&[&rollback[..], &["--plan"]].concat())?;
    let mut applied = Vec::new();
    for _ in 0..3 {
        let begun = std::time::Instant::now();
        let done = answer(site, &[&rollback[..], &["--yes"]].concat())?;
        applied.push(begun.elapsed().as_secs_f64());
        let changed = done["changed"].as_array().map_or(0, Vec::len);
        if changed < TARGET {
            return Err(format!("the rollback changed {changed} files only"));
        }
        let file = fs::read_to_string(tree.join("t0/f0.txt")).map_err(|error| error.to_string())?;
        if file.contains("the target") || !file.contains("and another") {
            return Err("the rollback did not keep what it had to keep".to_owned());
        }
        site.run(&["undo", "--yes", "--json"])?;
    }
    let row = |what, measured: f64, must: f64| Target {
        what,
        measured: measured * 1e3,
        must,
        aim: must / 2.0,
        rule: "fixed / half of it".to_owned(),
        unit: "ms",
    };
    let paths = (options.changes * PATHS + TARGET + TARGET / 2) as f64;
    print_targets(&[
        row("plan of a rollback of 1,000 files", plan, 300.0),
        row("the rollback itself", middle(applied), 1_000.0),
        row("log, as JSON", log, 50.0),
        row("log, a page", page, 50.0),
        row("blame", blame, 50.0),
        row("who", who, 50.0),
        Target {
            what: "ledger on disk for each path changed",
            measured: ledger / paths,
            must: 200.0,
            aim: 100.0,
            rule: "fixed / half of it".to_owned(),
            unit: "bytes",
        },
    ]);
    Ok(())
}
