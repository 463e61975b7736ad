//! A flush that failed: the call says so, and nobody takes a second flush's word for what the first one lost.
//!
//! Owns failing one flush after the other, by strace. Refuses to know what is flushed.

use std::path::Path;

use crate::injected::traced;
use crate::world::{World, ended};

/// What a trace says of flushes: the file, whether it was the one that was made to fail, and whether it did well.
fn flushes(trace: &Path) -> Vec<(String, bool, bool)> {
    let text = std::fs::read_to_string(trace).unwrap();
    let flush = |line: &str| {
        // `1234 fdatasync(5</a/b>) = -1 EIO (Input/output error) (INJECTED)`
        let place = line.split_once('<')?.1.split_once(">)")?.0.to_owned();
        Some((place, line.contains("(INJECTED)"), line.trim_end().ends_with("= 0")))
    };
    text.lines().filter_map(flush).collect()
}

/// Makes the first, the second, ... flush of a command fail, until it makes no more; returns how many failed.
fn each_flush_fails_once(prepare: impl Fn() -> World, arguments: &[&str]) -> Option<usize> {
    for number in 1.. {
        let world = prepare();
        let trace = world.data.path().join("trace");
        let inject = format!("inject=fsync,fdatasync,syncfs:error=EIO:when={number}");
        let words = ["-y", "-o", trace.to_str().unwrap(), "-e", "trace=fsync,fdatasync,syncfs", "-e", &inject];
        let ended = ended(traced(&world, &words, arguments)?);
        let flushes = flushes(&trace);
        let Some(at) = flushes.iter().position(|(_, is_injected, _)| *is_injected) else {
            assert_eq!(ended.code, 0, "{ended:?}");
            return Some(number - 1);
        };
        let place = &flushes[at].0;
        let again = flushes[at + 1..].iter().any(|(other, _, is_well)| other == place && *is_well);
        assert!(
            ended.code != 0 || !again,
            "{arguments:?}, {number}: `{place}` was flushed again, and all is said to be well"
        );
        // What stands behind the commit point may be told or tidied up later: only packs must be there whenever all is well.
        let is_durable = place.ends_with(".pack");
        assert!(ended.code != 0 || !is_durable, "{arguments:?}, {number}: `{place}` is not on the disk: {ended:?}");
        world.ok(&["resume"]);
        world.ok(&["create-checkpoint", "wf", "--name", "after"]);
        world.ok(&["validate-checkpoint", "after", "--validation-level", "comprehensive"]);
    }
    None
}

#[test]
fn a_flush_that_failed_is_never_tried_again_with_success() {
    let with_base = || {
        let mut world = World::new();
        world.variables.push(("WFR_NO_UPKEEP", "1".into()));
        world.checkpoint("base");
        world.tree.write("a.txt", b"edited");
        world
    };
    for arguments in
        [&["create-checkpoint", "wf", "--threads", "1"][..], &["restore", "wf", "base", "--yes", "--threads", "1"]]
    {
        match each_flush_fails_once(with_base, arguments) {
            Some(failed) => assert!(failed >= 2, "{arguments:?}: {failed} flushes"),
            None => return wfr_testkit::skip("strace cannot be used here"),
        }
    }
}
