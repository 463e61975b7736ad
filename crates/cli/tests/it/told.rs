//! What plans, results and refusals say beside what is done: whose it is taken for, what helps, and what is not said.

use serde_json::Value;

use crate::work::numbered;
use crate::world::{Ended, World};

fn finding(ended: &Ended, code: &str) -> Value {
    let of_plan = &ended.result("plan")["findings"];
    let findings = if of_plan.is_null() { ended.result("findings") } else { of_plan };
    let found = findings.as_array().unwrap().iter().find(|one| one["code"] == code);
    found.unwrap_or_else(|| panic!("no {code}: {ended:?}")).clone()
}

#[test]
fn who_else_was_announced_is_not_denied() {
    let world = World::with_lines();
    let b = world.begin("b", &["--paths", "work/g.txt"]);
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.end(&b);
    let planned = world.ok(&["rollback", "wf", "--agent", "a", "--plan"]);
    let told = finding(&planned, "OBSERVED_SELECTED")["message"].to_string();
    assert!(told.contains("taken for the work of a by what was announced") && !told.contains("nobody else"), "{told}");
}
