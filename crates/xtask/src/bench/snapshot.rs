//! The main bench: a real tree, against peers and limits.
//!
//! Owns the rows of the table and their targets. Refuses to change the tree for good: what it edits it puts back.

use std::fs;
use std::path::{Path, PathBuf};

use super::Options;
use super::measure::{self, Cost, median};
use super::peers::{self, Peers};
use super::site::{Site, megabytes, remove, store_megabytes};
use super::table::{Target, print_costs, print_targets};

/// Files that differ where a restore in place is measured.
const DIFFERING: usize = 100;

/// What `wfr` came to.
struct Ours {
    first: Cost,
    unchanged: Cost,
    one_changed: Cost,
    restore_to: Cost,
    in_place: Cost,
    size_mb: f64,
    beside_mb: f64,
    files: usize,
}

/// Runs it.
pub fn run(options: &Options) -> Result<(), String> {
    let tree =
        fs::canonicalize(&options.tree).map_err(|error| format!("--tree {}: {error}", options.tree.display()))?;
    let options = Options { tree, wfr: options.wfr.clone(), work: options.work.clone(), files: vec![], ..*options };
    let flush = measure::flush(&options.work)?;
    let peers = peers::measure(&options)?;
    let ours = measure_ours(&options)?;
    println!(
        "\n{} files; one flush (4 KiB, fdatasync): {:.2} ms; medians of {}",
        ours.files,
        flush * 1e3,
        options.repeat
    );
    let named = [
        ("wfr first", ours.first),
        ("wfr unchanged", ours.unchanged),
        ("wfr one file changed", ours.one_changed),
        ("wfr restore --to", ours.restore_to),
        ("wfr restore, 100 files differ", ours.in_place),
    ];
    let mut costs = peers.costs.clone();
    costs.extend(named.map(|(name, cost)| (name.to_owned(), cost)));
    print_costs(&costs);
    println!(
        "\nStores, MB: wfr {:.0} (and {:.0} of stat cache and room kept for a full disk){}",
        ours.size_mb,
        ours.beside_mb,
        peers.sizes.iter().map(|(n, s)| format!(", {n} {s:.0}")).collect::<String>()
    );
    print_targets(&targets(&ours, &peers, &named));
    Ok(())
}

fn measure_ours(options: &Options) -> Result<Ours, String> {
    let site = Site::new(&options.wfr, &options.tree, &options.work.join("wfr"))?;
    let create = || site.command(&["create-checkpoint", "wf", "--json"]);
    let repeat = options.repeat;
    eprintln!("wfr first");
    let first = median(repeat, || site.init(), create)?;
    let size_mb = store_megabytes(&site.vault())?;
    let beside_mb = megabytes(&site.vault())? - size_mb;
    eprintln!("wfr unchanged");
    let unchanged = median(2 * repeat + 1, || Ok(()), create)?;
    let files = some_files(&options.tree, usize::MAX)?;
    let one_changed = one_changed(options, &site, &files)?;
    let (restore_to, in_place) = restores(options, &site, &files)?;
    site.clear()?;
    Ok(Ours { first, unchanged, one_changed, restore_to, in_place, size_mb, beside_mb, files: files.len() })
}

/// A checkpoint after one file's change; the file is put back.
fn one_changed(options: &Options, site: &Site, files: &[PathBuf]) -> Result<Cost, String> {
    eprintln!("wfr one file changed");
    let victim = &files[files.len() / 2];
    let saved = Saved::of(std::slice::from_ref(victim))?;
    let mut round = 0;
    let change = || {
        round += 1;
        append(victim, round)
    };
    let cost = median(options.repeat, change, || site.command(&["create-checkpoint", "wf", "--json"]));
    saved.put_back()?;
    cost
}

/// A restore beside, and one in place of some changed files.
fn restores(options: &Options, site: &Site, files: &[PathBuf]) -> Result<(Cost, Cost), String> {
    eprintln!("wfr restore");
    site.run(&["create-checkpoint", "wf", r#"{"name":"bench"}"#, "--json"])?;
    let out = options.work.join("out");
    let to = out.to_string_lossy().into_owned();
    let empty = || {
        remove(&out)?;
        fs::create_dir_all(&out).map_err(|error| error.to_string())
    };
    let restore_to =
        median(options.repeat, empty, || site.command(&["restore", "wf", "bench", "--to", &to, "--yes", "--json"]))?;
    remove(&out)?;
    let victims: Vec<PathBuf> =
        files.iter().step_by((files.len() / DIFFERING).max(1)).take(DIFFERING).cloned().collect();
    let saved = Saved::of(&victims)?;
    let mut round = 0;
    let change = || {
        round += 1;
        victims.iter().try_for_each(|victim| append(victim, round))
    };
    let in_place = median(options.repeat, change, || {
        site.command(&["restore", "wf", "bench", "--yes", "--exact-mtime", "--json"])
    });
    saved.put_back()?;
    Ok((restore_to, in_place?))
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
fn targets(ours: &Ours, peers: &Peers, named: &[(&str, Cost)]) -> Vec<Target> {
    let mut rows = Vec::new();
    let mut row = |what, measured: f64, base: Option<f64>, (must, aim): (f64, f64), of: &str, unit| {
        let Some(base) = base else { return };
        let rule = format!("{must} x / {aim} x {of} ({base:.3} {unit})");
        rows.push(Target { what, measured, must: must * base, aim: aim * base, rule, unit });
    };
    let backup = [peers.wall("restic first"), peers.wall("borg first")].into_iter().flatten().reduce(f64::min);
    row("first checkpoint", ours.first.wall, backup, (0.45, 0.25), "the faster of restic and borg", "s");
    row("nothing changed", ours.unchanged.wall, peers.wall("git unchanged"), (1.0, 0.5), "git unchanged", "s");
    let per_file = ours.unchanged.wall * 1e6 / ours.files as f64;
    row("per file, unchanged", per_file, Some(1.0), (1.0, 0.6), "one microsecond", "us");
    row("one file changed", ours.one_changed.wall, Some(ours.unchanged.wall), (1.1, 1.0), "the unchanged one", "s");
    row("store size", ours.size_mb, peers.size("restic"), (1.0, 1.0), "restic's (aim: below rustic's)", "MB");
    row(
        "restore to an empty directory",
        ours.restore_to.wall,
        peers.wall("limit: cp -a, sync -f"),
        (1.1, 0.8),
        "cp -a, sync -f",
        "s",
    );
    row("restore in place, 100 files differ", ours.in_place.wall, Some(0.4), (1.0, 0.375), "0.4 s", "s");
    let peak = named.iter().map(|(_, cost)| cost.peak_mb).fold(0.0, f64::max);
    row("peak memory of all these", peak, Some(250.0), (1.0, 0.48), "250 MB", "MB");
    rows
}
