//! Work that comes back after a rollback of it: by a restore, a checkout, a stash that is popped. It can be taken back again.
//!
//! Owns one test for each way of coming back. Refuses to know how rollbacks merge: see `rollback` and `moving`.

use proptest::prelude::*;
use proptest::test_runner::Config;
use serde_json::json;
use wfr_testkit::Prng;

use crate::work::numbered;
use crate::world::{Ended, World};

const F: &str = "work/f.txt";

fn by_a() -> String {
    numbered(&[(3, "by a")])
}

fn roll_back(world: &World, agent: &str) -> Ended {
    world.ok(&["rollback", "wf", "--agent", agent, "--yes"])
}

fn has(ended: &Ended, code: &str) -> bool {
    ended.result("findings").to_string().contains(code)
}

/// Whether `log` says of an agent's first change that it is taken back.
fn is_cancelled(world: &World, agent: &str) -> bool {
    let log = world.ok(&["log", "wf", "--agent", agent]);
    log.result("changes")[0]["paths"][0]["cancelled"] == true
}

/// Who wrote the line that A brought, as `blame` says it.
fn author(world: &World) -> String {
    let blamed = world.ok(&["blame", F]);
    let blocks = blamed.result("lines").as_array().unwrap().clone();
    let block = blocks.iter().find(|block| block["lines"].to_string().contains("by a")).unwrap();
    format!("{} {}", block["actor"].as_str().unwrap(), block["agent_id"].as_str().unwrap_or_default())
}

/// A's line is there and in checkpoint `with`; it was taken back.
fn taken_back() -> World {
    let world = World::with_lines();
    world.work("a", || world.put(F, &by_a()));
    world.checkpoint("with");
    roll_back(&world, "a");
    assert_eq!(world.text(F), numbered(&[]));
    world
}

/// A's line is there again, beside `others`: it goes with the next rollback, comes back with its undo, and goes again.
fn goes_again(world: &World, others: &[(usize, &str)], told: bool) {
    let with = numbered(&[&[(3, "by a")], others].concat());
    let without = numbered(others);
    assert_eq!(world.text(F), with);
    let plan = world.ok(&["rollback", "wf", "--agent", "a", "--plan"]);
    assert!(!plan.json.to_string().contains("TAKEN_BACK_ALREADY"), "{plan:?}");
    let again = roll_back(world, "a");
    assert_eq!(world.text(F), without, "{again:?}");
    assert_eq!(has(&again, "BROUGHT_AGAIN"), told, "{again:?}");
    assert!(is_cancelled(world, "a"));
    let done = roll_back(world, "a");
    assert!(has(&done, "TAKEN_BACK_ALREADY") && done.result("recovery_id").is_null(), "{done:?}");
    world.ok(&["undo", again.result("recovery_id").as_str().unwrap(), "--yes"]);
    assert_eq!(world.text(F), with);
    assert!(!is_cancelled(world, "a"));
    let third = roll_back(world, "a");
    assert_eq!(world.text(F), without, "{third:?}");
    // Beside an edit of somebody else's, too.
    world.put(F, &numbered(&[others, &[(28, "later")]].concat()));
    world.ok(&["undo", third.result("recovery_id").as_str().unwrap(), "--yes"]);
    let beside = [&[(3, "by a")], others, &[(28, "later")]].concat();
    assert_eq!(world.text(F), numbered(&beside));
    let fourth = roll_back(world, "a");
    assert_eq!(world.text(F), numbered(&[others, &[(28, "later")]].concat()), "{fourth:?}");
}

const RESTORES: [&[&str]; 5] = [
    &["restore", "wf", "with", "--yes", "--whole-tree"],
    &["restore", "wf", "with", "--yes", "--restoration-mode", "partial", "--file", F],
    &["restore", "wf", "with", "--yes", "--restoration-mode", "merge"],
    &["emergency-restore", "wf", "with", "--yes"],
    &["partial-restore", "wf", "with", "--yes", "--file", F],
];

#[test]
fn what_a_restore_brings_back_goes_again() {
    for call in RESTORES {
        let world = taken_back();
        world.ok(call);
        assert!(!is_cancelled(&world, "a"), "{call:?}");
        assert_eq!(author(&world), "agent a", "{call:?}");
        goes_again(&world, &[], false);
    }
}

#[test]
fn what_a_restore_and_later_work_of_others_made_is_told_apart() {
    for call in RESTORES {
        let world = taken_back();
        world.ok(call);
        world.put(F, &numbered(&[(3, "by a"), (12, "by the user")]));
        world.work("b", || world.put(F, &numbered(&[(3, "by a"), (12, "by the user"), (20, "by b")])));
        goes_again(&world, &[(12, "by the user"), (20, "by b")], false);
        roll_back(&world, "b");
        assert_eq!(world.text(F), numbered(&[(12, "by the user"), (28, "later")]), "{call:?}");
    }
}

#[test]
fn a_merge_beside_work_done_since_brings_back_what_can_go_again() {
    let world = taken_back();
    world.work("b", || world.put(F, &numbered(&[(20, "by b")])));
    world.ok(&["restore", "wf", "with", "--yes", "--restoration-mode", "merge"]);
    assert_eq!(author(&world), "agent a");
    goes_again(&world, &[(20, "by b")], false);
    roll_back(&world, "b");
    assert_eq!(world.text(F), numbered(&[(28, "later")]));
}

#[test]
fn a_restore_that_is_undone_brings_nothing_back_for_good() {
    for call in RESTORES {
        let world = taken_back();
        world.ok(call);
        world.ok(&["undo", "--yes"]);
        assert_eq!(world.text(F), numbered(&[]));
        assert!(is_cancelled(&world, "a"), "{call:?}");
        assert!(has(&roll_back(&world, "a"), "TAKEN_BACK_ALREADY"));
        // Another one's work alone goes.
        world.work("b", || world.put(F, &numbered(&[(20, "by b")])));
        roll_back(&world, "b");
        assert_eq!(world.text(F), numbered(&[]), "{call:?}");
        world.ok(call);
        goes_again(&world, &[], false);
    }
}

#[test]
fn a_restore_takes_back_what_was_taken_back_then() {
    let world = taken_back();
    world.checkpoint("without");
    world.ok(&["undo", "--yes"]);
    world.ok(&["restore", "wf", "without", "--yes", "--whole-tree"]);
    assert_eq!(world.text(F), numbered(&[]));
    assert!(is_cancelled(&world, "a"));
    assert!(has(&roll_back(&world, "a"), "TAKEN_BACK_ALREADY"));
    world.ok(&["restore", "wf", "with", "--yes", "--whole-tree"]);
    goes_again(&world, &[], false);
}

#[test]
fn what_a_checkout_brings_back_goes_again() {
    // Nobody announced it, and nobody has seen it; or a checkpoint has.
    for is_seen in [false, true] {
        let world = taken_back();
        world.put(F, &by_a());
        if is_seen {
            world.checkpoint("seen");
        }
        assert_eq!(world.text(F), by_a());
        goes_again(&world, &[], true);
    }
    let world = taken_back();
    world.put(F, &by_a());
    world.checkpoint("seen");
    assert_eq!(author(&world), "agent a");
    // A rollback of somebody else leaves it.
    world.work("b", || world.put(F, &numbered(&[(3, "by a"), (20, "by b")])));
    roll_back(&world, "b");
    assert_eq!(world.text(F), by_a());
    goes_again(&world, &[], true);
}

#[test]
fn what_a_restore_took_away_and_a_checkout_brings_back_goes() {
    let world = World::with_lines();
    world.work("a", || world.put(F, &by_a()));
    world.ok(&["restore", "wf", "base", "--yes", "--whole-tree"]);
    world.put(F, &by_a());
    goes_again(&world, &[], true);
}

#[test]
fn a_stash_popped_beside_work_done_since_brings_back_what_can_go_again() {
    let world = taken_back();
    world.work("b", || world.put(F, &numbered(&[(20, "by b")])));
    world.put(F, &numbered(&[(3, "by a"), (20, "by b")]));
    goes_again(&world, &[(20, "by b")], true);
    // The rollback before the pop found nothing.
    let world = World::with_lines();
    world.work("a", || world.put(F, &by_a()));
    world.put(F, &numbered(&[]));
    roll_back(&world, "a");
    world.put(F, &by_a());
    goes_again(&world, &[], true);
}

#[test]
fn a_file_that_comes_back_goes_again() {
    let ways: [&dyn Fn(&World); 3] = [
        &|world| world.put("work/new.txt", "made by a\n"),
        &|world| drop(world.ok(&["restore", "wf", "with", "--yes", "--whole-tree"])),
        &|world| drop(world.ok(&["partial-restore", "wf", "with", "--yes", "--file", "work/new.txt"])),
    ];
    for way in ways {
        let world = World::with_lines();
        world.work("a", || world.put("work/new.txt", "made by a\n"));
        world.checkpoint("with");
        roll_back(&world, "a");
        assert!(!world.has("work/new.txt"));
        way(&world);
        let again = roll_back(&world, "a");
        assert!(!world.has("work/new.txt"), "{again:?}");
        world.ok(&["undo", "--yes"]);
        assert_eq!(world.text("work/new.txt"), "made by a\n");
        roll_back(&world, "a");
        assert!(!world.has("work/new.txt"));
    }
}

#[test]
fn a_file_that_moved_since_comes_back_and_goes_again() {
    let world = World::with_lines();
    world.work("a", || world.put(F, &by_a()));
    world.work("b", || {
        std::fs::rename(world.root().join(F), world.root().join("work/g.txt")).unwrap();
    });
    world.checkpoint("with");
    roll_back(&world, "a");
    assert_eq!(world.text("work/g.txt"), numbered(&[]));
    world.ok(&["restore", "wf", "with", "--yes", "--whole-tree"]);
    assert_eq!(world.text("work/g.txt"), by_a());
    let again = roll_back(&world, "a");
    assert_eq!(world.text("work/g.txt"), numbered(&[]), "{again:?}");
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.text("work/g.txt"), by_a());
    roll_back(&world, "a");
    assert_eq!(world.text("work/g.txt"), numbered(&[]));
}

#[test]
fn what_an_agent_writes_again_may_be_its_own_and_that_is_said() {
    let world = taken_back();
    world.work("b", || world.put(F, &by_a()));
    let told = roll_back(&world, "a");
    assert_eq!(world.text(F), by_a(), "it may be b's own");
    assert!(has(&told, "MAY_BE_BROUGHT_AGAIN") && !has(&told, "TAKEN_BACK_ALREADY"), "{told:?}");
    // As the finding says.
    world.ok(&["rollback", "wf", "--agent", "a", "--theirs", F, "--yes"]);
    assert_eq!(world.text(F), numbered(&[]));
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.text(F), by_a());
    // It is a's since that was decided, and goes with a's.
    ["b", "a"].iter().for_each(|agent| drop(roll_back(&world, agent)));
    assert_eq!(world.text(F), numbered(&[]));
    // Where it was not, it goes with b's.
    let world = taken_back();
    world.work("b", || world.put(F, &by_a()));
    roll_back(&world, "b");
    assert_eq!(world.text(F), numbered(&[]));
}

#[test]
fn what_anybody_may_do_alike_is_not_taken_for_brought_back() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |world: &World, mode: u32| {
        std::fs::set_permissions(world.root().join(F), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let ways: [&dyn Fn(&World); 4] = [
        &|world| std::fs::remove_file(world.root().join(F)).unwrap(),
        &|world| world.put("work/empty", ""),
        &|world| mode(world, 0o755),
        &|world| std::fs::create_dir(world.root().join("work/dir")).unwrap(),
    ];
    for (number, way) in ways.into_iter().enumerate() {
        let world = World::with_lines();
        mode(&world, 0o644);
        world.checkpoint("begin");
        world.work("a", || way(&world));
        roll_back(&world, "a");
        way(&world);
        let by_user = world.timeless();
        let told = roll_back(&world, "a");
        assert_eq!(world.timeless().differences(&by_user), [""; 0], "{number}: {told:?}");
        assert_eq!(has(&told, "MAY_BE_BROUGHT_AGAIN"), number != 3, "{number}: {told:?}");
        if number != 3 {
            let path = if number == 1 { "work/empty" } else { F };
            let taken = world.ok(&["rollback", "wf", "--agent", "a", "--theirs", path, "--yes"]);
            assert!(!world.timeless().differences(&by_user).is_empty(), "{number}: {taken:?}");
        }
    }
}

#[test]
fn what_came_back_is_known_after_a_rebuild() {
    let world = taken_back();
    world.put(F, &by_a());
    world.checkpoint("seen");
    assert!(has(&roll_back(&world, "a"), "BROUGHT_AGAIN"));
    world.checkpoint("last");
    for file in std::fs::read_dir(world.vault()).unwrap().map(Result::unwrap) {
        if file.file_name().to_string_lossy().starts_with("catalog.db") {
            std::fs::remove_file(file.path()).unwrap();
        }
    }
    world.ok(&["doctor", "--rebuild-catalog"]);
    assert!(has(&roll_back(&world, "a"), "TAKEN_BACK_ALREADY"));
    world.ok(&["restore", "wf", "seen", "--yes", "--whole-tree"]);
    assert_eq!(world.text(F), by_a());
    roll_back(&world, "a");
    world.put(F, &numbered(&[(20, "by me")]));
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.text(F), numbered(&[(3, "by a"), (20, "by me")]));
}

#[test]
fn what_was_overwritten_by_decision_is_taken_back() {
    let decided: [&[&str]; 2] = [&["--theirs", F], &["--conflict-resolution", "checkpoint_priority"]];
    for decided in decided {
        let world = World::with_lines();
        world.work("a", || world.put(F, &by_a()));
        world.work("b", || world.put(F, &numbered(&[(3, "by a and b")])));
        let plain = ["rollback", "wf", "--agent", "a", "--yes"];
        let call = [&plain[..], decided].concat();
        let first = world.ok(&call);
        assert_eq!(world.text(F), numbered(&[]));
        assert!(is_cancelled(&world, "a"), "{decided:?}");
        for again in [&call[..], &plain] {
            let again = world.ok(again);
            assert!(has(&again, "TAKEN_BACK_ALREADY") && again.result("recovery_id").is_null(), "{again:?}");
        }
        assert_eq!(world.ok(&["recoveries"]).result("recoveries").as_array().unwrap().len(), 1);
        world.ok(&["undo", first.result("recovery_id").as_str().unwrap(), "--yes"]);
        assert_eq!(world.text(F), numbered(&[(3, "by a and b")]));
        assert!(!is_cancelled(&world, "a"));
        let again = world.ok(&call);
        assert_eq!((world.text(F), again.result("rolled_back")), (numbered(&[]), &json!(1)));
        // A rollback of the other one finds nothing of theirs.
        roll_back(&world, "b");
        assert_eq!(world.text(F), numbered(&[]));
    }
}

/// Who works in the file, each in lines of their own; the last one is the user.
const ALL: [&str; 4] = ["a", "b", "c", "user"];

/// The lines that are somebody's.
fn own(number: usize) -> std::ops::Range<usize> {
    number * 6..number * 6 + 6
}

/// A file in which everybody works, and what was done.
struct Story {
    world: World,
    saved: Vec<(String, String)>,
    recoveries: Vec<String>,
    log: Vec<String>,
}

impl Story {
    fn begin() -> Self {
        let world = World::with_lines();
        world.work("z", || {});
        let saved = vec![("base".to_owned(), world.text(F))];
        Self { world, saved, recoveries: vec![], log: vec![] }
    }

    fn edit(&mut self, prng: &mut Prng) {
        let number = prng.below(ALL.len());
        let line = own(number).start + prng.below(5);
        let text = self.world.text(F);
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines[line] = format!("of {} {}", ALL[number], prng.number());
        let text = lines.join("\n") + "\n";
        match ALL[number] {
            "user" => self.world.put(F, &text),
            agent => drop(self.world.work(agent, || self.world.put(F, &text))),
        }
        self.log.push(format!("{}: line {line}", ALL[number]));
    }

    fn recover(&mut self, call: &[&str]) -> Result<Ended, TestCaseError> {
        let ended = self.world.call(call);
        let is_well = ended.code == 0 || ["NOTHING_SELECTED", "CONFLICTS", "NOT_UNDOABLE"].contains(&ended.error());
        prop_assert!(is_well, "{call:?}: {ended:?} after {:#?}", self.log);
        let id = ended.json["result"]["recovery_id"].as_str().map(str::to_owned);
        self.log.push(format!("{call:?}: {} {}", ended.error(), id.as_deref().unwrap_or("nothing")));
        self.recoveries.extend(id);
        Ok(ended)
    }

    /// One of all that may happen.
    fn turn(&mut self, prng: &mut Prng) -> Result<(), TestCaseError> {
        let (name, text) = prng.pick(&self.saved).clone();
        match prng.below(12) {
            0 => {
                let name = format!("c{}", self.saved.len());
                self.world.checkpoint(&name);
                self.log.push(format!("checkpoint {name}"));
                self.saved.push((name, self.world.text(F)));
            }
            1 => drop(self.recover(&["restore", "wf", &name, "--yes", "--whole-tree"])?),
            2 => drop(self.recover(&["partial-restore", "wf", &name, "--yes", "--file", F])?),
            3 => drop(self.recover(&["restore", "wf", &name, "--yes", "--restoration-mode", "merge"])?),
            4 => {
                self.log.push(format!("checkout of {name}"));
                self.world.put(F, &text);
            }
            5 | 6 => drop(self.recover(&["rollback", "wf", "--agent", ALL[prng.below(3)], "--yes"])?),
            7 if !self.recoveries.is_empty() => {
                let id = prng.pick(&self.recoveries).clone();
                self.recover(&["undo", &id, "--yes"])?;
            }
            _ => self.edit(prng),
        }
        Ok(())
    }

    /// Takes an agent's work back: nothing of it stays, and all of the others does; or something is said.
    fn take_back(&mut self, number: usize) -> Result<(), TestCaseError> {
        const SAID: [&str; 3] = ["MAY_BE_BROUGHT_AGAIN", "INCOMPLETE", "KEPT_DELETION"];
        let before = self.world.text(F);
        let ended = self.recover(&["rollback", "wf", "--agent", ALL[number], "--yes"])?;
        if ended.code != 0 || SAID.iter().any(|code| has(&ended, code)) {
            return Ok(());
        }
        let after = self.world.text(F);
        let base = numbered(&[]);
        let wanted: Vec<&str> = before
            .lines()
            .zip(base.lines())
            .enumerate()
            .map(|(at, (now, first))| if own(number).contains(&at) { first } else { now })
            .collect();
        prop_assert_eq!(after.lines().collect::<Vec<_>>(), wanted, "{} after {:#?}", ended.json, self.log);
        if let Some(id) = ended.result("recovery_id").as_str() {
            self.world.ok(&["undo", id, "--yes"]);
            prop_assert_eq!(self.world.text(F), before, "undone after {:#?}", self.log);
            self.recover(&["rollback", "wf", "--agent", ALL[number], "--yes"])?;
            prop_assert_eq!(self.world.text(F), after, "again after {:#?}", self.log);
        }
        Ok(())
    }
}

fn lines_go_however_they_came(seed: u64, turns: usize) -> Result<(), TestCaseError> {
    let (mut prng, mut story) = (Prng::new(seed), Story::begin());
    for _ in 0..turns {
        story.turn(&mut prng)?;
    }
    (0..3).try_for_each(|number| story.take_back(number))
}

#[test]
fn stories_that_went_wrong_once() {
    for (seed, turns) in [(10796348561672532573, 19), (1158544903833400724, 20), (15498497368859332335, 18)] {
        lines_go_however_they_came(seed, turns).unwrap();
    }
}

proptest! {
    #![proptest_config(Config { cases: 6, max_shrink_iters: 20, failure_persistence: None, ..Config::default() })]

    #[test]
    fn a_line_goes_however_it_came(seed: u64, turns in 2..14_usize) {
        lines_go_however_they_came(seed, turns)?;
    }
}

#[test]
fn what_was_put_away_and_brought_again_beside_a_rollback_that_was_undone_goes_alone() {
    let (a, b, c) = ((3, "by a"), (12, "by b"), (22, "by c"));
    let all = [("a", [b, c]), ("b", [a, c]), ("c", [a, b])];
    for (undone, _) in all {
        let world = World::with_lines();
        world.work("a", || world.put(F, &numbered(&[a])));
        world.work("b", || world.put(F, &numbered(&[a, b])));
        // A stash, work beside it, and the pop.
        world.put(F, &numbered(&[]));
        world.work("c", || world.put(F, &numbered(&[c])));
        world.put(F, &numbered(&[a, b, c]));
        roll_back(&world, undone);
        world.ok(&["undo", "--yes"]);
        assert_eq!(world.text(F), numbered(&[a, b, c]));
        for (gone, others) in all {
            let ended = roll_back(&world, gone);
            assert_eq!(world.text(F), numbered(&others), "{undone}, then {gone}: {ended:?}");
            assert!(is_cancelled(&world, gone) && !has(&ended, "INCOMPLETE"));
            world.ok(&["undo", "--yes"]);
            assert_eq!(world.text(F), numbered(&[a, b, c]), "{undone}, then {gone}");
        }
    }
}

#[test]
fn work_of_a_branch_that_was_left_and_merged_again_goes_alone() {
    let (a, b1, b2, c) = ((3, "by a"), (28, "first of b"), (12, "second of b"), (20, "by c"));
    let world = World::with_lines();
    world.work("a", || world.put(F, &numbered(&[a])));
    world.work("b", || world.put(F, &numbered(&[a, b1])));
    world.work("b", || world.put(F, &numbered(&[a, b1, b2])));
    world.put(F, &numbered(&[a, b1]));
    world.work("c", || world.put(F, &numbered(&[a, b1, c])));
    world.put(F, &numbered(&[a, b1, b2, c]));
    let ended = roll_back(&world, "b");
    assert_eq!(world.text(F), numbered(&[a, c]), "{ended:?}");
}
