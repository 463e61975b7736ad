//! What a commit costs: one flush of the log.

use std::path::Path;
use std::process::Command;

use wfr_catalog::Catalog;

use crate::sample::{add, make};

const VARIABLE: &str = "WFR_TEST_CATALOG_COMMITS";

/// The child's part: so many commits in the catalog at a path, as `N:PATH` says.
#[test]
fn child_that_commits_under_a_trace() {
    let Ok(task) = std::env::var(VARIABLE) else { return };
    let (count, path) = task.split_once(':').unwrap();
    let catalog = Catalog::open(Path::new(path)).unwrap();
    for number in 1..=count.parse().unwrap() {
        add(&catalog, number, |new| new.tags = vec!["a".into(), "b".into()]);
    }
}

/// How many flushes a process makes that opens the catalog, commits `count` times and ends.
fn flushes_of(count: u64) -> usize {
    let dir = tempfile::tempdir().unwrap();
    drop(make(dir.path()));
    let trace = dir.path().join("trace");
    let done = Command::new("strace")
        .args(["-f", "-e", "trace=fsync,fdatasync,sync_file_range,syncfs,sync", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["flushes::child_that_commits_under_a_trace", "--exact"])
        .env(VARIABLE, format!("{count}:{}", dir.path().join("catalog.db").display()))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    std::fs::read_to_string(trace).unwrap().lines().filter(|line| line.contains("sync(")).count()
}

#[test]
fn a_commit_is_one_flush() {
    if !strace_works() {
        return wfr_testkit::skip("strace is not installed, or may not trace");
    }
    assert_eq!(flushes_of(0), 0);
    // The first one of an empty log also syncs the log's new header and the directory.
    assert_eq!(flushes_of(1), 3);
    assert_eq!(flushes_of(9), 3 + 8);
}

fn strace_works() -> bool {
    let tried = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    tried.is_ok_and(|output| output.status.success())
}
