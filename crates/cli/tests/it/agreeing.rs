//! `validate-state`, `repair-state`, `doctor` and a restore say the same of what is wrong, and each names what mends it.

use serde_json::json;

use crate::states::{at_work, by_hand, codes, validated};
use crate::world::World;

#[test]
fn damage_of_the_catalog_is_no_damage_of_a_state_and_what_mends_it_is_named() {
    let world = World::new();
    at_work(&world);
    world.ok(&["handle-error", "wf", r#"{"error_message":"x"}"#]);
    by_hand(&world, "PRAGMA foreign_keys = OFF; UPDATE failures SET seq = 999;");
    world.ok(&["validate-state", "wf"]);
    for strategy in ["conservative", "aggressive"] {
        let repaired = world.ok(&["repair-state", "wf", "--repair-strategy", strategy, "--yes"]);
        assert_eq!(repaired.result("validation"), "passed", "{repaired:?}");
        assert!(codes(repaired.result("remaining")).iter().any(|code| code == "CATALOG_DAMAGED catalog"));
        assert!(repaired.json["next_steps"].to_string().contains("doctor --rebuild-catalog"), "{repaired:?}");
    }
    let found = validated(&world);
    assert_eq!((found.code, found.error()), (4, "CATALOG_DAMAGED"), "{found:?}");
    assert!(found.json["recovery_options"].to_string().contains("doctor --rebuild-catalog"), "{found:?}");
    assert!(!found.json["recovery_options"].to_string().contains("repair-state"), "{found:?}");
    world.ok(&["doctor", "--rebuild-catalog"]);
    assert_eq!(validated(&world).code, 0);
}

#[test]
fn a_strategy_that_was_taken_already_is_not_named_again() {
    let world = World::new();
    at_work(&world);
    // Of what cannot be given only a person can say how much was meant.
    let share = r#"{"resource_allocations": {"r1": {"resources": {"cpu_cores": -1}}}}"#;
    world.ok(&["event", &format!("WORKFLOW_STATE_UPDATED:wf:1:{share}")]);
    world.ok(&["event", r#"RESOURCE_ALLOCATED:wf:1:{"allocation_id":"r1","resources":{"cpu_cores":-1}}"#]);
    let refused = world.refused(&["repair-state", "wf", "--yes"], 4, "STATE_INVALID");
    assert!(!refused.json["recovery_options"].to_string().contains("aggressive"), "{refused:?}");
}

#[test]
fn a_row_that_is_gone_is_found_by_doctor() {
    let world = World::new();
    at_work(&world);
    by_hand(&world, "DELETE FROM parts WHERE id = 't2';");
    let sick = world.refused(&["doctor"], 1, "UNHEALTHY");
    let found = sick.json["result"]["findings"].to_string();
    assert!(found.contains("STATE_DIFFERS") && found.contains("repair-state wf"), "{found}");
    world.ok(&["repair-state", "wf", "--yes"]);
    world.ok(&["doctor"]);
}

#[test]
fn a_restore_over_a_state_of_which_a_part_is_missing_says_what_mends_it() {
    let world = World::new();
    at_work(&world);
    world.checkpoint("base");
    world.tree.write("a.txt", b"edited");
    by_hand(&world, "DELETE FROM parts WHERE id = 't1';");
    let restored = world.ok(&["restore", "wf", "base", "--yes"]);
    assert!(restored.result("findings").to_string().contains("STATE_MISCOUNTED"), "{restored:?}");
    world.ok(&["repair-state", "wf", "--yes"]);
    assert_eq!(validated(&world).result("findings"), &json!([]));
    world.tree.write("a.txt", b"edited again");
    let restored = world.ok(&["restore", "wf", "base", "--yes"]);
    assert!(!restored.result("findings").to_string().contains("STATE_MISCOUNTED"), "{restored:?}");
}
