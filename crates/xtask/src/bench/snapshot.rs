//! The main bench: a real tree, against peers and limits.
//!
//! Owns the rows of the table and their targets. Refuses to change the tree for good: what it edits it puts back.

use std::fs;
use std::path::{Path, PathBuf};

use super::measure::{self, Cost, Runs};
use super::peers::{self, Peer};
use super::site::{Site, megabytes, remove, store_megabytes};
use super::table::{Target, print_costs, print_targets};
use super::{Options, bare, small};

/// Files that differ where a restore in place is measured.
const DIFFERING: usize = 100;

/// How often the short runs are measured in each round.
const SHORT: usize = 3;

/// The run that shows what a command costs beside the files that it looks at.
const SMALL: &str = "wfr unchanged, 100 files";

/// Sizes of stores after the first snapshot, in megabytes.
struct Sizes {
    wfr: f64,
    /// The stat cache and the room kept for a full disk.
    beside: f64,
    peers: Vec<(&'static str, f64)>,
}

/// Runs it: in each round everything once, with what is compared side by side.
pub fn run(options: &Options) -> Result<(), String> {
    let tree =
        fs::canonicalize(&options.tree).map_err(|error| format!("--tree {}: {error}", options.tree.display()))?;
    let options = Options { tree, wfr: options.wfr.clone(), work: options.work.clone(), files: vec![], ..*options };
    let flush = measure::flush(&options.work)?;
    let files = some_files(&options.tree, usize::MAX)?;
    let installed = peers::installed();
    let mut runs = Runs::default();
    let (mut sizes, mut looks) = (None, Vec::new());
    for round in 1..=options.repeat {
        eprintln!("round {round} of {}", options.repeat);
        peers::limits(&mut runs, &options)?;
        let site = Site::new(&options.wfr, &options.tree, &options.work.join("wfr"))?;
        sizes = Some(firsts(&mut runs, &options, &site, &installed)?);
        unchanged(&mut runs, &options, &site, &installed, &files)?;
        unchanged_small(&mut runs, &options)?;
        looks.push(bare::look(&options.tree, SHORT)?);
        in_place(&mut runs, &options, &site, &files)?;
        restore_to(&mut runs, &options, &site)?;
        site.clear()?;
        remove(&options.work.join("peers"))?;
    }
    let sizes = sizes.ok_or("nothing was measured")?;
    let (count, flush) = (files.len(), flush * 1e3);
    println!("\n{count} files; one flush (4 KiB, fdatasync): {flush:.2} ms; medians of {} rounds", options.repeat);
    let costs = runs.medians();
    print_costs(&costs);
    println!(
        "\nStores, MB: wfr {:.0} (and {:.0} of stat cache and room kept for a full disk){}",
        sizes.wfr,
        sizes.beside,
        sizes.peers.iter().map(|(n, s)| format!(", {n} {s:.0}")).collect::<String>()
    );
    looks.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (look, threads) = looks[looks.len() / 2];
    println!(
        "\nLimit: the bare `statx` of every file, names known, {threads} threads: {look:.3} s, {:.2} us a file",
        look * 1e6 / files.len() as f64
    );
    print_targets(&targets(&runs, &costs, &sizes, files.len()));
    Ok(())
}

fn create(site: &Site) -> std::process::Command {
    site.command(&["create-checkpoint", "wf", "--json"])
}

/// The first snapshot of each, into an empty store, with the tree in memory.
fn firsts(runs: &mut Runs, options: &Options, site: &Site, installed: &[Peer]) -> Result<Sizes, String> {
    site.init()?;
    peers::settle(options)?;
    runs.measure("wfr first", &mut create(site))?;
    let mut sizes = Vec::new();
    for peer in installed {
        peer.init(options)?;
        peers::settle(options)?;
        runs.measure(&format!("{} first", peer.name), &mut peer.snapshot(options))?;
        sizes.push((peer.name, peer.megabytes(options)?));
    }
    let wfr = store_megabytes(&site.vault())?;
    Ok(Sizes { wfr, beside: megabytes(&site.vault())? - wfr, peers: sizes })
}

/// Snapshots where nothing changed, and where one file did; the file is put back.
fn unchanged(
    runs: &mut Runs,
    options: &Options,
    site: &Site,
    installed: &[Peer],
    files: &[PathBuf],
) -> Result<(), String> {
    for peer in installed {
        runs.measure(&format!("{} unchanged", peer.name), &mut peer.snapshot(options))?;
    }
    let victim = &files[files.len() / 2];
    let saved = Saved::of(std::slice::from_ref(victim))?;
    let measured = (0..SHORT).try_for_each(|round| {
        if let Some(git) = installed.iter().find(|peer| peer.name == "git") {
            runs.measure("git unchanged", &mut git.snapshot(options))?;
        }
        runs.measure("wfr unchanged", &mut create(site))?;
        append(victim, round)?;
        runs.measure("wfr one file changed", &mut create(site))
    });
    saved.put_back()?;
    measured
}

/// The same of a small tree, for what a command costs beside the files.
fn unchanged_small(runs: &mut Runs, options: &Options) -> Result<(), String> {
    let site = Site::new(&options.wfr, &small::tree(&options.work)?, &options.work.join("wfr-small"))?;
    site.init()?;
    site.run(&["create-checkpoint", "wf", "--json"])?;
    (0..SHORT).try_for_each(|_| runs.measure(SMALL, &mut create(&site)))?;
    site.clear()
}

/// Restores in place of some changed files.
fn in_place(runs: &mut Runs, options: &Options, site: &Site, files: &[PathBuf]) -> Result<(), String> {
    site.run(&["create-checkpoint", "wf", r#"{"name":"bench"}"#, "--json"])?;
    let victims: Vec<PathBuf> =
        files.iter().step_by((files.len() / DIFFERING).max(1)).take(DIFFERING).cloned().collect();
    let saved = Saved::of(&victims)?;
    // The restore syncs its file system: what others have yet to write there would be counted as its own.
    peers::settle(options)?;
    let measured = (0..SHORT).try_for_each(|round| {
        victims.iter().try_for_each(|victim| append(victim, round))?;
        let mut restore = site.command(&["restore", "wf", "bench", "--yes", "--exact-mtime", "--json"]);
        runs.measure("wfr restore, 100 files differ", &mut restore)
    });
    saved.put_back()?;
    measured
}

/// A copy of the tree, and a restore beside.
fn restore_to(runs: &mut Runs, options: &Options, site: &Site) -> Result<(), String> {
    peers::settle(options)?;
    peers::copy(runs, options)?;
    let out = options.work.join("out");
    fs::create_dir_all(&out).map_err(|error| error.to_string())?;
    let to = out.to_string_lossy().into_owned();
    peers::settle(options)?;
    runs.measure("wfr restore --to", &mut site.command(&["restore", "wf", "bench", "--to", &to, "--yes", "--json"]))?;
    remove(&out)
}

fn append(path: &Path, round: usize) -> Result<(), String> {
    let text = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mark = format!("/* change {round} */\n");
    fs::write(path, [text, mark.into_bytes()].concat()).map_err(|error| format!("{}: {error}", path.display()))
}

/// Files' bytes and times from before a bench.
struct Saved(Vec<(PathBuf, Vec<u8>, std::time::SystemTime)>);

impl Saved {
    fn of(paths: &[PathBuf]) -> Result<Self, String> {
        let save = |path: &PathBuf| {
            let modified = path.metadata()?.modified()?;
            Ok((path.clone(), fs::read(path)?, modified))
        };
        paths.iter().map(save).collect::<Result<_, std::io::Error>>().map(Self).map_err(|error| error.to_string())
    }

    fn put_back(&self) -> Result<(), String> {
        for (path, bytes, modified) in &self.0 {
            let write = || {
                fs::write(path, bytes)
                    .and_then(|()| fs::File::options().write(true).open(path)?.set_modified(*modified))
            };
            write().map_err(|error| format!("cannot put {} back: {error}", path.display()))?;
        }
        Ok(())
    }
}

/// Regular files of the tree, in order, at most `most`.
fn some_files(tree: &Path, most: usize) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    let mut pending = vec![tree.to_owned()];
    while let Some(dir) = pending.pop() {
        for child in fs::read_dir(&dir).map_err(|error| error.to_string())?.flatten() {
            match child.file_type() {
                Ok(kind) if kind.is_dir() && child.file_name() != ".claude" => pending.push(child.path()),
                Ok(kind) if kind.is_file() => files.push(child.path()),
                _ => {}
            }
        }
    }
    files.sort();
    files.truncate(most);
    if files.is_empty() { Err("the tree has no files".to_owned()) } else { Ok(files) }
}

/// The rows of the issue's table that this bench can fill.
fn targets(runs: &Runs, costs: &[(String, Cost)], sizes: &Sizes, files: usize) -> Vec<Target> {
    let mut rows = Vec::new();
    let mut row = |what, measured: Option<f64>, base: Option<f64>, (must, aim): (f64, f64), of: &str, unit| {
        let (Some(measured), Some(base)) = (measured, base) else { return };
        let rule = format!("{must} x / {aim} x {of} ({base:.3} {unit})");
        rows.push(Target { what, measured, must: must * base, aim: aim * base, rule, unit });
    };
    let wall = |name| runs.wall(name);
    let backup = [wall("restic first"), wall("borg first")].into_iter().flatten().reduce(f64::min);
    let unchanged = wall("wfr unchanged");
    row("first checkpoint", wall("wfr first"), backup, (0.45, 0.25), "the faster of restic and borg", "s");
    row("nothing changed", unchanged, wall("git unchanged"), (1.0, 0.5), "git unchanged", "s");
    let per_file = |wall: f64, files: usize| wall * 1e6 / files as f64;
    let beside = unchanged.zip(wall(SMALL)).map(|(all, small)| per_file(all - small, files - small::FILES));
    row("per file more, unchanged", beside, Some(1.0), (1.0, 0.6), "one microsecond", "us");
    let whole = unchanged.map(|wall| per_file(wall, files));
    row("whole command by files, unchanged", whole, Some(1.0), (1.0, 0.6), "one microsecond", "us");
    row("one file changed", wall("wfr one file changed"), unchanged, (1.1, 1.0), "the unchanged one", "s");
    let restic = sizes.peers.iter().find(|(name, _)| *name == "restic").map(|(_, size)| *size);
    row("store size", Some(sizes.wfr), restic, (1.0, 1.0), "restic's (aim: below rustic's)", "MB");
    let copy = wall(peers::COPY);
    row("restore to an empty directory", wall("wfr restore --to"), copy, (1.1, 0.8), "cp -a, sync -f", "s");
    let in_place = wall("wfr restore, 100 files differ");
    row("restore in place, 100 files differ", in_place, Some(0.4), (1.0, 0.375), "0.4 s", "s");
    let ours = costs.iter().filter(|(name, _)| name.starts_with("wfr "));
    let peak = ours.map(|(_, cost)| cost.peak_mb).reduce(f64::max);
    row("peak memory of all these", peak, Some(250.0), (1.0, 0.48), "250 MB", "MB");
    rows
}
