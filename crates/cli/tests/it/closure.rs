//! The ledger is closed: the first tree and every change since, replayed, give the tree as it is; and where they do not, that
//! is found.
//!
//! Owns the replay from what `log` says. Refuses to look at how the ledger is kept, but to damage it.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::Config;
use serde_json::{Value, json};
use wfr_model::path::escape;
use wfr_testkit::{Prng, Snapshot, What, edit_at_random};

use crate::algebra::{Story, tell};
use crate::work::numbered;
use crate::world::World;

/// What stands at each path, as the ledger says it.
type Tree = BTreeMap<String, Value>;

/// A snapshot in these words.
fn described(snapshot: &Snapshot) -> Tree {
    let entries = snapshot.entries.iter().filter(|(path, _)| !path.is_empty());
    entries
        .map(|(path, entry)| {
            let mode = format!("{:04o}", entry.mode);
            let summary = match &entry.what {
                What::File(size, hash) => {
                    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
                    json!({"kind": "file", "mode": mode, "size": size, "hash": format!("sha256:{hash}")})
                }
                What::Dir => json!({"kind": "dir", "mode": mode}),
                What::Symlink(target) => json!({"kind": "symlink", "target": escape(target)}),
                _ => json!({"kind": "other"}),
            };
            (escape(path), summary)
        })
        .collect()
}

/// The same of what the ledger says; a link's mode is none of its own.
fn said(summary: &Value) -> Value {
    let mut summary = summary.clone();
    if summary["kind"] == "symlink" {
        summary.as_object_mut().unwrap().remove("mode");
    }
    summary
}

fn replayed(seed: u64, turns: usize) -> Result<(), TestCaseError> {
    let Story { world, base, log } = tell(seed, turns, true);
    if turns.is_multiple_of(2) {
        // A recovery is a change like others.
        world.call(&["rollback", "wf", "--agent", "a", "--partial", "--yes"]);
        edit_at_random(&world.tree, &mut Prng::new(seed));
    }
    // A look, so that the last edits are in it, too; a ledger begins with the first one where nobody had any.
    let last = world.ok(&["change", "begin", "--workflow", "wf", "--agent", "z"]);
    world.end(last.result("token").as_str().unwrap());
    world.checkpoint("end");
    let mut changes = world.ok(&["log", "--limit", "1000"]).result("changes").as_array().unwrap().clone();
    changes.reverse();
    // What was found first was done first, whenever it was announced.
    changes.sort_by_key(|change| change["ended_at"].as_str().map(str::to_owned));
    let mut tree = described(&base);
    for change in &changes {
        for path in change["paths"].as_array().unwrap() {
            let name = path["path"].as_str().unwrap();
            let before = tree.get(name).cloned().unwrap_or_default();
            prop_assert_eq!(&before, &said(&path["before"]), "{} before {} after {:#?}", name, change, &log);
            match &path["after"] {
                Value::Null => drop(tree.remove(name)),
                after => drop(tree.insert(name.to_owned(), said(after))),
            }
        }
    }
    let present = described(&world.snapshot());
    for name in tree.keys().chain(present.keys()) {
        prop_assert_eq!(tree.get(name), present.get(name), "{} after {:#?}", name, &log);
    }
    let validated = world.call(&["validate-state", "wf", "--validation-depth", "comprehensive"]);
    prop_assert!(!validated.json.to_string().contains("LEDGER_GAP"), "{validated:?} after {log:#?}");
    Ok(())
}

proptest! {
    #![proptest_config(Config { cases: 6, max_shrink_iters: 20, failure_persistence: None, ..Config::default() })]

    #[test]
    fn the_first_tree_and_every_change_are_the_present_tree(seed: u64, turns in 1..9_usize) {
        replayed(seed, turns)?;
    }
}

#[test]
fn a_segment_that_is_gone_is_found() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.work("b", || world.put("work/g.txt", "by b"));
    world.checkpoint("end");
    let deep = ["validate-state", "wf", "--validation-depth", "comprehensive"];
    let gaps = |world: &World| {
        let findings = world.call(&deep).json["result"]["findings"].as_array().unwrap().clone();
        let gaps = findings.into_iter().filter(|finding| finding["code"] == "LEDGER_GAP");
        gaps.map(|finding| finding["place"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    world.ok(&["event", "WORKFLOW_STARTED:wf:global:{}"]);
    assert_eq!(gaps(&world), [""; 0]);
    let catalog = rusqlite::Connection::open(world.vault().join("catalog.db")).unwrap();
    let sql = "DELETE FROM segments WHERE path_id = (SELECT path_id FROM paths WHERE key = CAST('work/g.txt' AS BLOB))";
    assert_eq!(catalog.execute(sql, []).unwrap(), 1);
    drop(catalog);
    assert_eq!(gaps(&world), ["ledger/work/g.txt"]);
    world.refused(&deep, 4, "STATE_INVALID");
}
