//! What a command pays for being traced: `wfr exec` beside the same command without it.
//!
//! Owns the three commands: one that does nothing, one that builds, one that writes many small files. Refuses to compare runs of
//! different minutes: with and without alternate.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use super::Options;
use super::measure::{flush, once, wall};
use super::site::{Site, remove};
use super::table::{Target, print_targets};

/// Files that are unpacked, and the directories that they are in.
const FILES: usize = 20_000;
const DIRS: usize = 200;

/// Runs it.
pub fn run(root: &Path, options: &Options) -> Result<(), String> {
    let repeat = options.repeat.max(5);
    println!(
        "one flush (4 KiB, fdatasync): {:.2} ms; medians of {repeat}, of `true` {}",
        flush(&options.work)? * 1e3,
        repeat.max(31)
    );
    let mut rows = vec![nothing(options)?];
    rows.extend(unpacking(options, repeat)?);
    rows.extend(building(root, options, repeat)?);
    print_targets(&rows);
    Ok(())
}

/// What a command takes with and without: medians in seconds of runs in turns, and of its own time with, from its start to its end.
struct Pair {
    plain: f64,
    traced: f64,
    own: f64,
}

/// Runs a command in turns; `before` comes before each and is not measured.
fn pair(
    site: &Site,
    dir: &Path,
    words: &[&str],
    repeat: usize,
    before: impl Fn() -> Result<(), String>,
) -> Result<Pair, String> {
    let (mut plain, mut traced, mut own) = (vec![], vec![], vec![]);
    for _ in 0..repeat {
        before()?;
        plain.push(wall(Command::new(words[0]).args(&words[1..]).current_dir(dir))?.wall);
        before()?;
        let exec = [&["exec", "--workflow", "wf", "--agent", "a", "--"][..], words].concat();
        traced.push(wall(site.command(&exec).env("HOME", home()).current_dir(dir))?.wall);
        own.push(newest(site)?);
    }
    Ok(Pair { plain: middle(plain), traced: middle(traced), own: middle(own) })
}

/// The programs that are run are found as ever.
fn home() -> PathBuf {
    std::env::var_os("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from)
}

/// How long the command of the newest change ran, in seconds; it must have been traced.
fn newest(site: &Site) -> Result<f64, String> {
    let output = site.command(&["log", "--limit", "1", "--json"]).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cannot run wfr: {error}"))?;
    let found: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("wfr log: {error}"))?;
    let change = &found["result"]["changes"][0];
    if change["source"] != "traced" {
        return Err(format!("the command was not traced: {}", change["evidence"]["degraded_because"]));
    }
    Ok(change["evidence"]["duration_ms"].as_f64().unwrap_or(0.0) / 1e3)
}

fn middle(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn site(options: &Options, tree: &Path) -> Result<Site, String> {
    let site = Site::new(&options.wfr, tree, &options.work.join("wfr"))?;
    site.init()?;
    site.run(&["create-checkpoint", "wf", "--json"])?;
    Ok(site)
}

/// `true`, in a small tree.
fn nothing(options: &Options) -> Result<Target, String> {
    let tree = super::small::tree(&options.work)?;
    let site = site(options, &tree)?;
    let found = pair(&site, &tree, &["true"], options.repeat.max(31), || Ok(()))?;
    println!("`true`: {:.1} ms plain, {:.1} ms traced", found.plain * 1e3, found.traced * 1e3);
    site.clear()?;
    Ok(Target {
        what: "`wfr exec true` above `true`",
        measured: (found.traced - found.plain) * 1e3,
        must: 20.0,
        aim: 8.0,
        rule: "fixed".to_owned(),
        unit: "ms",
    })
}

/// Many small files out of an archive.
fn unpacking(options: &Options, repeat: usize) -> Result<Vec<Target>, String> {
    let archive = archive(options)?;
    let tree = options.work.join("unpacked");
    remove(&tree)?;
    fs::create_dir_all(&tree).map_err(|error| error.to_string())?;
    let site = site(options, &tree)?;
    let archive = archive.to_string_lossy().into_owned();
    // What was unpacked is only put aside: for minutes ext4 looks at each inode that was freed before it takes another one.
    let (aside, count) = (options.work.join("unpacked-before"), std::cell::Cell::new(0));
    remove(&aside)?;
    fs::create_dir_all(&aside).map_err(|error| error.to_string())?;
    let again = || {
        count.set(count.get() + 1);
        match fs::rename(tree.join("many"), aside.join(count.get().to_string())) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.to_string()),
            _ => Ok(()),
        }
    };
    let found = pair(&site, &tree, &["tar", "-xf", &archive], repeat, again)?;
    let per_file = |time: f64| (time - found.plain) * 1e6 / FILES as f64;
    println!(
        "unpacking {FILES} files: {:.2} s plain, {:.2} s traced until tar ends, {:.2} s with the looks before and after",
        found.plain, found.own, found.traced
    );
    site.clear()?;
    remove(&tree)?;
    remove(&aside)?;
    Ok(vec![Target {
        what: "unpacking 20,000 files, for each above plain until the command ends",
        measured: per_file(found.own),
        must: 25.0,
        aim: 12.5,
        rule: "fixed / half of it".to_owned(),
        unit: "us",
    }])
}

/// The archive of many small files.
fn archive(options: &Options) -> Result<PathBuf, String> {
    let (from, archive) = (options.work.join("to-pack"), options.work.join("many.tar"));
    if archive.exists() {
        return Ok(archive);
    }
    for number in 0..FILES {
        let dir = from.join(format!("many/d{}", number % DIRS));
        fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
        fs::write(dir.join(format!("f{number}")), format!("file {number}\n").repeat(20))
            .map_err(|error| error.to_string())?;
    }
    once(Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(&from).arg("many"))?;
    remove(&from)?;
    Ok(archive)
}

/// The model crate of this project, in a copy of its sources.
fn building(root: &Path, options: &Options, repeat: usize) -> Result<Vec<Target>, String> {
    let tree = options.work.join("to-build");
    remove(&tree)?;
    fs::create_dir_all(&tree).map_err(|error| error.to_string())?;
    let archive = options.work.join("sources.tar");
    once(Command::new("git").args(["archive", "-o"]).arg(&archive).arg("HEAD").current_dir(root))?;
    once(Command::new("tar").arg("-xf").arg(&archive).current_dir(&tree))?;
    let site = site(options, &tree)?;
    let build = ["cargo", "build", "-q", "--offline", "-p", "wfr-model", "--target-dir", "target"];
    let begun = Instant::now();
    wall(Command::new(build[0]).args(&build[1..]).current_dir(&tree))?;
    println!("what the model crate needs was built in {:.0} s", begun.elapsed().as_secs_f64());
    let clean = || {
        let clean = ["clean", "-q", "--offline", "-p", "wfr-model", "--target-dir", "target"];
        wall(Command::new("cargo").args(clean).current_dir(&tree)).map(drop)
    };
    let found = pair(&site, &tree, &build, repeat, clean)?;
    println!(
        "building the model crate: {:.2} s plain, {:.2} s traced until cargo ends, {:.2} s with the looks before and after",
        found.plain, found.own, found.traced
    );
    site.clear()?;
    remove(&tree)?;
    let row = |what, time: f64| Target {
        what,
        measured: time / found.plain,
        must: 1.10,
        aim: 1.03,
        rule: "fixed, of plain".to_owned(),
        unit: "x",
    };
    Ok(vec![
        row("`cargo build` of the model crate, the whole call", found.traced),
        row("the same until the command ends", found.own),
    ])
}
