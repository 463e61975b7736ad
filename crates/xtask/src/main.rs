//! The project's own chores, as `cargo xtask CHORE`: tidy, faults, bench.
//!
//! Owns what is checked and measured about the repository and the built program from outside. Refuses to be
//! part of the product: it calls `wfr` as a user would.

mod bench;
mod build;
mod faults;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask CHORE

  tidy        checks the repository against its own rules";

/// Prints how to call it.
fn usage() {
    eprintln!("{USAGE}\n{}\n{}", faults::USAGE, bench::USAGE);
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["tidy"] => tidy::run(&root()),
        ["bench", words @ ..] => bench::run(&root(), words),
        ["faults", words @ ..] => faults::run(&root(), words),
        _ => {
            usage();
            ExitCode::from(2)
        }
    }
}

/// The repository's root directory.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map_or_else(|| here.to_owned(), Path::to_owned)
}
