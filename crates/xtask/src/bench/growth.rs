//! How costs grow with the number of files.
//!
//! Owns trees of small files. Refuses to judge: the table shows whether it is linear.

use std::fs;
use std::path::Path;

use super::Options;
use super::measure::{Cost, median};
use super::site::{Site, remove};

/// Files of one directory.
const PER_DIRECTORY: usize = 100;

/// Runs it for each size.
pub fn run(options: &Options) -> Result<(), String> {
    println!("| files | first, s | unchanged, s | us per file | 1 changed, s | 100 changed, s | peak, MB |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    options.files.iter().try_for_each(|files| one_size(options, *files))
}

fn one_size(options: &Options, files: usize) -> Result<(), String> {
    let tree = options.work.join("growth-tree");
    remove(&tree)?;
    make_tree(&tree, files)?;
    let site = Site::new(&options.wfr, &tree, &options.work.join("wfr"))?;
    let create = || site.command(&["create-checkpoint", "wf", "--json"]);
    let first = median(1, || site.init(), create)?;
    let unchanged = median(options.repeat, || Ok(()), create)?;
    let changed = |count: usize| {
        let mut round = 0;
        let edit = || {
            round += 1;
            (0..count.min(files)).try_for_each(|number| write(&tree, number * (files / count.min(files)), round))
        };
        median(options.repeat, edit, create)
    };
    let (one, hundred) = (changed(1)?, changed(100)?);
    let peak = [first, unchanged, one, hundred].iter().map(|cost: &Cost| cost.peak_mb).fold(0.0, f64::max);
    let per_file = unchanged.wall * 1e6 / files as f64;
    println!(
        "| {files} | {:.3} | {:.4} | {per_file:.2} | {:.4} | {:.4} | {peak:.0} |",
        first.wall, unchanged.wall, one.wall, hundred.wall
    );
    site.clear()?;
    remove(&tree)
}

fn make_tree(tree: &Path, files: usize) -> Result<(), String> {
    for dir in 0..files.div_ceil(PER_DIRECTORY) {
        fs::create_dir_all(tree.join(directory(dir))).map_err(|error| error.to_string())?;
    }
    (0..files).try_for_each(|number| write(tree, number, 0))
}

fn directory(number: usize) -> String {
    format!("d{}/e{number}", number / PER_DIRECTORY)
}

/// About 1.5 KB of text that no other file has.
fn write(tree: &Path, number: usize, round: usize) -> Result<(), String> {
    let path = tree.join(directory(number / PER_DIRECTORY)).join(format!("f{number}.txt"));
    let line = format!("file {number} in round {round} has a line of text\n");
    fs::write(path, line.repeat(30 + number % 10)).map_err(|error| error.to_string())
}
