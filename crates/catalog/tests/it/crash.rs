//! SIGKILL in mid-loop: what was acknowledged is there, and work goes on.
//!
//! The child is this test binary again, told by a variable to commit and print until it is killed.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use wfr_catalog::{Beside, Catalog, IntegrityLevel};
use wfr_model::recovery::RecoveryStatus;

use crate::sample::{add, at, ckpt, make, op, rec, restore};

const VARIABLE: &str = "WFR_TEST_CATALOG_CHILD";

/// The child's part. Without the variable it is a test of nothing, and says so by its name.
#[test]
fn child_that_commits_until_it_is_killed() {
    let Some(path) = std::env::var_os(VARIABLE) else { return };
    let catalog = Catalog::open(Path::new(&path)).unwrap();
    let first = catalog.head().unwrap().map_or(1, |head| head.seq.0 as u64 + 1);
    // Bounded, so that a child whose parent died ends too.
    for number in first..first + 5_000 {
        step(&catalog, number);
        let mut out = std::io::stdout().lock();
        writeln!(out, "acknowledged {number}").unwrap();
        out.flush().unwrap();
    }
}

/// A checkpoint, then a recovery to it, from begin to end.
fn step(catalog: &Catalog, number: u64) {
    add(catalog, number, |new| new.tags = vec!["t".into()]);
    catalog.begin_recovery(&restore(number, ckpt(number)), None, &|_| Beside::default()).unwrap();
    catalog.set_safety(&rec(number), &ckpt(number)).unwrap();
    let end = wfr_catalog::RecoveryEnd { status: RecoveryStatus::Done, report: None, ended_at: at(1) };
    catalog.finish_recovery(&rec(number), &end, &op(1 << 32 | number, "restore"), &|| Ok(Beside::default())).unwrap();
}

fn start(path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["crash::child_that_commits_until_it_is_killed", "--exact", "--nocapture"])
        .env(VARIABLE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Kills a child after so many acknowledgements; returns all that were printed before it died.
fn killed_after(path: &Path, acknowledgements: usize) -> Vec<u64> {
    let mut child = start(path);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let number = |line: String| line.split_once("acknowledged ").and_then(|(_, digits)| digits.parse::<u64>().ok());
    let mut seen = Vec::new();
    while seen.len() < acknowledgements {
        let line = lines.next().expect("the child goes on until it is killed").unwrap();
        seen.extend(number(line));
    }
    child.kill().unwrap();
    // What was printed before the kill counts too.
    seen.extend(lines.map_while(Result::ok).filter_map(number));
    assert!(!child.wait().unwrap().success());
    seen
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    drop(make(dir.path()));
    let path = dir.path().join("catalog.db");
    let mut acknowledged = Vec::new();
    for round in 0..8 {
        acknowledged.extend(killed_after(&path, 1 + round * 5));
        let catalog = Catalog::open(&path).unwrap();
        assert_eq!(catalog.integrity_check(IntegrityLevel::Full).unwrap(), [""; 0]);
        let committed: Vec<_> = catalog.chain().unwrap().into_iter().map(|link| link.checkpoint_id).collect();
        // One in each round may have been on its way.
        assert!(committed.len() <= acknowledged.len() + round + 1, "{} of {}", acknowledged.len(), committed.len());
        assert_eq!(committed, (1..=committed.len() as u64).map(ckpt).collect::<Vec<_>>());
        assert!(catalog.unfinished().unwrap().len() <= round + 1);
        for number in &acknowledged {
            let recovery = catalog.recovery(&rec(*number)).unwrap().expect("it was acknowledged");
            assert_eq!((recovery.status, &recovery.target), (RecoveryStatus::Done, &ckpt(*number)));
        }
    }
}
