//! A checkpoint of a small tree: what an agent waits for.
//!
//! Owns the tree of a hundred files. Refuses to hide the disk: the cost of a flush stands beside.

use std::fs;
use std::path::{Path, PathBuf};

use super::Options;
use super::measure::{flush, median_wall};
use super::site::Site;
use super::table::{Target, print_targets};

/// Files of the tree.
pub const FILES: usize = 100;

/// Makes the tree below a directory.
pub fn tree(work: &Path) -> Result<PathBuf, String> {
    let tree = work.join("small-tree");
    for number in 0..FILES {
        let dir = tree.join(format!("d{}", number % 7));
        fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
        let text = format!("file {number}\n").repeat(50 + number);
        fs::write(dir.join(format!("f{number}")), text).map_err(|error| error.to_string())?;
    }
    Ok(tree)
}

/// Runs it.
pub fn run(options: &Options) -> Result<(), String> {
    let tree = tree(&options.work)?;
    let site = Site::new(&options.wfr, &tree, &options.work.join("wfr"))?;
    site.init()?;
    let flush_ms = flush(&options.work)? * 1e3;
    let create = || site.command(&["create-checkpoint", "wf", "--json"]);
    let repeat = options.repeat.max(51);
    let unchanged = median_wall(repeat, || Ok(()), create)?;
    let mut round = 0;
    let edit = || {
        round += 1;
        fs::write(tree.join("d0/f0"), format!("round {round}\n")).map_err(|error| error.to_string())
    };
    let changed = median_wall(repeat, edit, create)?;
    println!("one flush (4 KiB, fdatasync): {flush_ms:.2} ms; medians of {repeat}");
    let row = |what, wall: f64| Target {
        what,
        measured: wall * 1e3,
        must: 8.0 + 5.0 * flush_ms,
        aim: 4.0 + 3.0 * flush_ms,
        rule: "8 ms + 5 flushes / 4 ms + 3 flushes".to_owned(),
        unit: "ms",
    };
    print_targets(&[
        row("checkpoint of 100 files, one changed", changed.wall),
        row("checkpoint of 100 files, none changed", unchanged.wall),
    ]);
    site.clear()
}
