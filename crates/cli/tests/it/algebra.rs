//! What must hold of rollbacks whatever was done: identities over random trees, actors and edits.
//!
//! Owns the laws. Refuses to choose cases by hand: see `rollback`.

use std::collections::BTreeSet;
use std::fs;

use proptest::prelude::*;
use proptest::test_runner::Config;
use wfr_model::TreePath;
use wfr_testkit::{Prng, Snapshot, TestTree, TreeShape, edit_at_random, grow};

use crate::world::{Ended, World};

const AGENTS: [&str; 3] = ["a", "b", "c"];

/// A file in which everybody edits lines.
const COMMON: &str = "common.txt";

pub struct Story {
    pub world: World,
    pub base: Snapshot,
    pub log: Vec<String>,
}

/// Agents, and now and then the user, in turns.
pub fn tell(seed: u64, turns: usize, with_user: bool) -> Story {
    tell_behind(&[], seed, turns, with_user)
}

/// The same, behind a turn of each of these agents.
fn tell_behind(first: &[&str], seed: u64, turns: usize, with_user: bool) -> Story {
    // Names that were separated are not joined again by taking changes back: what is alone in the ledger is the path.
    let mut prng = Prng::new(seed);
    let mut story = begin(&mut prng, with_user);
    first.iter().for_each(|agent| turn(&mut story, &mut prng, agent));
    go_on(&mut story, &mut prng, (turns, with_user));
    story
}

/// A tree and its checkpoint.
fn begin(prng: &mut Prng, hard_links: bool) -> Story {
    let world = World::unprotected(TestTree::new());
    world.ok(&["init"]);
    grow(&world.tree, prng, TreeShape { entries: 12, hard_links, ..TreeShape::default() });
    let lines: String = (0..60).map(|n| format!("line {n}\n")).collect();
    fs::write(world.root().join(COMMON), lines).unwrap();
    world.checkpoint("base");
    let base = timeless(&world);
    Story { world, base, log: vec![] }
}

fn go_on(story: &mut Story, prng: &mut Prng, (turns, with_user): (usize, bool)) {
    for _ in 0..turns {
        let agent = *prng.pick(&AGENTS);
        if with_user && prng.one_in(4) {
            let Story { world, log, .. } = &mut *story;
            log.push(format!("user: {}", edit(world, prng, "user")));
            continue;
        }
        turn(story, prng, agent);
    }
}

/// One change of an agent.
fn turn(story: &mut Story, prng: &mut Prng, agent: &str) {
    let Story { world, log, .. } = story;
    let call = ["change", "begin", "--workflow", "wf", "--agent", agent];
    let token = world.ok(&call).result("token").as_str().unwrap().to_owned();
    for _ in 0..1 + prng.below(2) {
        log.push(format!("{agent}: {}", edit(world, prng, agent)));
    }
    world.ok(&["change", "end", &token]);
}

fn edit(world: &World, prng: &mut Prng, actor: &str) -> String {
    let place = world.root().join(COMMON);
    match fs::read_to_string(&place) {
        Ok(text) if !prng.one_in(3) && !text.is_empty() => {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            let at = prng.below(lines.len());
            match prng.below(3) {
                0 => lines.insert(at, format!("new by {actor} {}", prng.number())),
                1 if lines.len() > 3 => drop(lines.remove(at)),
                _ => lines[at] = format!("changed by {actor} {}", prng.number()),
            }
            fs::write(&place, lines.join("\n") + "\n").unwrap();
            format!("line {at}")
        }
        _ => edit_at_random(&world.tree, prng),
    }
}

fn timeless(world: &World) -> Snapshot {
    world.snapshot().without_mtimes()
}

fn roll_back(world: &World, agent: &str) -> Ended {
    world.call(&["rollback", "wf", "--agent", agent, "--yes", "--reset-tasks=false"])
}

fn same(what: &str, wanted: &Snapshot, found: &Snapshot, log: &[String]) -> Result<(), TestCaseError> {
    let differences = wanted.differences(found);
    prop_assert!(differences.is_empty(), "{what}: {differences:#?} after {log:#?}");
    Ok(())
}

/// A case that shows nothing of the law: it does not count, and too many of them fail the test.
fn shows_nothing(why: &'static str) -> TestCaseError {
    eprintln!("passed over: {why}");
    TestCaseError::reject(why)
}

/// Whether a recovery changed any path.
fn has_changed(ended: &Ended) -> bool {
    ended.json["result"]["changed"].as_array().is_some_and(|changed| !changed.is_empty())
}

/// What is found of this kind, in words.
fn findings<'a>(ended: &'a Ended, code: &'static str) -> impl Iterator<Item = &'a str> {
    let all = ended.json["result"]["findings"].as_array().into_iter().flatten();
    all.filter(move |one| one["code"] == code).filter_map(|one| one["message"].as_str())
}

/// Whether it was done, or there was nothing of this agent; a conflict is the only other way.
fn is_done(ended: &Ended, log: &[String]) -> Result<bool, TestCaseError> {
    let is_well = matches!((ended.code, ended.error()), (0, _) | (3, "NOTHING_SELECTED") | (5, "CONFLICTS"));
    prop_assert!(is_well, "{ended:?} after {log:#?}");
    Ok(ended.code != 5)
}

fn everything_back_is_the_checkpoint(seed: u64, turns: usize) -> Result<(), TestCaseError> {
    let Story { world, base, log } = tell(seed, turns, false);
    let full = timeless(&world);
    let ended = world.call(&["rollback", "wf", "--rollback-scope", "full", "--yes"]);
    if !is_done(&ended, &log)? {
        same("refused", &full, &timeless(&world), &log)?;
        return Err(shows_nothing("a conflict"));
    }
    same("everything back", &base, &timeless(&world), &log)?;
    if !has_changed(&ended) {
        return Err(shows_nothing("nothing was left of what was done"));
    }
    world.ok(&["undo", "--yes"]);
    same("and its undo", &full, &timeless(&world), &log)
}

/// All that was done since a checkpoint, by whomever, taken back: it is what a restore of the checkpoint gives.
fn all_since_a_checkpoint_back_is_the_checkpoint(seed: u64, turns: [usize; 2]) -> Result<(), TestCaseError> {
    let mut prng = Prng::new(seed);
    let mut story = begin(&mut prng, false);
    // The ledger begins with the first change.
    let token = story.world.ok(&["change", "begin", "--workflow", "wf", "--agent", "z"]);
    story.world.ok(&["change", "end", token.result("token").as_str().unwrap()]);
    go_on(&mut story, &mut prng, (turns[0], true));
    story.world.checkpoint("then");
    let then = timeless(&story.world);
    story.log.push("checkpoint".to_owned());
    go_on(&mut story, &mut prng, (turns[1], true));
    let Story { world, base, log } = story;
    let full = timeless(&world);
    let rules = r#"{"preservation_rules":{"preserve_external_changes":false}}"#;
    for (name, wanted) in [("then", then), ("base", base)] {
        let ended = world.call(&["rollback", "wf", name, "--rollback-scope", "full", rules, "--yes"]);
        prop_assert!(ended.code == 0, "{ended:?} after {log:#?}");
        same(name, &wanted, &timeless(&world), &log)?;
        if !ended.result("changed").as_array().unwrap().is_empty() {
            world.ok(&["undo", "--yes"]);
            same("and its undo", &full, &timeless(&world), &log)?;
        }
    }
    Ok(())
}

fn order_does_not_matter(seed: u64, turns: usize) -> Result<(), TestCaseError> {
    let mut ends = Vec::new();
    for order in [["a", "b"], ["b", "a"]] {
        let Story { world, log, .. } = tell_behind(&["a", "b"], seed, turns, true);
        let full = timeless(&world);
        let mut all_done = true;
        for (number, agent) in order.into_iter().enumerate() {
            let (before, ended) = (timeless(&world), roll_back(&world, agent));
            let is_done = is_done(&ended, &log)?;
            if !is_done {
                same("refused", &before, &timeless(&world), &log)?;
            }
            // Of a file that was moved and edited in one step it is said that its work stays.
            all_done &= is_done && has_changed(&ended) && findings(&ended, "NOT_FOLLOWED").next().is_none();
            // One that changed no path is passed over by an undo.
            if number == 0 && ended.code == 0 && has_changed(&ended) {
                // There and back is where it began, and there again is there again.
                let without = timeless(&world);
                world.ok(&["undo", "--yes"]);
                same("undone", &full, &timeless(&world), &log)?;
                world.ok(&["undo", "--yes"]);
                same("done again", &without, &timeless(&world), &log)?;
            }
        }
        ends.push((all_done, timeless(&world), log));
    }
    if !ends.iter().all(|(done, _, _)| *done) {
        return Err(shows_nothing("one of the two is not taken back"));
    }
    same("in the other order", &ends[0].1, &ends[1].1, &ends[0].2)
}

/// What nobody but others touched stays to the byte.
fn others_paths_stay(seed: u64, turns: usize) -> Result<(), TestCaseError> {
    let Story { world, log, .. } = tell_behind(&["a"], seed, turns, true);
    let full = timeless(&world);
    // A look, so that the user's last edits are in it, too.
    let token = world.ok(&["change", "begin", "--workflow", "wf", "--agent", "z"]);
    world.ok(&["change", "end", token.result("token").as_str().unwrap()]);
    let changes = world.ok(&["log", "--limit", "1000"]).result("changes").as_array().unwrap().clone();
    let of_a = changes.iter().filter(|change| change["agent_id"] == "a");
    let paths = of_a.flat_map(|change| change["paths"].as_array().unwrap());
    let bytes = |text: &str| text.parse::<TreePath>().unwrap().as_bytes().to_vec();
    let mut touched: BTreeSet<Vec<u8>> = paths.map(|path| bytes(path["path"].as_str().unwrap())).collect();
    let ended = roll_back(&world, "a");
    if !is_done(&ended, &log)? {
        same("refused", &full, &timeless(&world), &log)?;
        return Err(shows_nothing("a conflict"));
    }
    // What is taken out of a file goes with it to its present name.
    for message in findings(&ended, "MOVED") {
        touched.extend(message.split('`').nth(3).map(bytes));
    }
    // What comes back needs the directories that it was in.
    for path in touched.clone() {
        let places = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        touched.extend(places.map(|(at, _)| path[..at].to_vec()));
    }
    let kept = full.only(|path| !touched.contains(path));
    same("others' paths", &kept, &timeless(&world).only(|path| !touched.contains(path)), &log)?;
    // Beside what went something stayed.
    if !has_changed(&ended) || kept.entries.is_empty() {
        return Err(shows_nothing("nothing of this agent, or nothing else"));
    }
    Ok(())
}

/// A line of the user's behind a rollback: the undo gives both, or is refused and changes nothing.
fn an_undo_loses_nothing(seed: u64, turns: usize) -> Result<(), TestCaseError> {
    const MINE: &str = "a line of mine";
    let Story { world, log, .. } = tell_behind(&["a"], seed, turns, true);
    let read = || fs::read_to_string(world.root().join(COMMON)).ok();
    let Some(full) = read() else { return Err(shows_nothing("the file is gone")) };
    let ended = roll_back(&world, "a");
    let is_taken_back = is_done(&ended, &log)? && has_changed(&ended);
    let Some(without) = read().filter(|_| is_taken_back) else { return Err(shows_nothing("it is not taken back")) };
    let mut lines: Vec<&str> = without.lines().collect();
    lines.insert(Prng::new(seed).below(lines.len() + 1), MINE);
    fs::write(world.root().join(COMMON), lines.join("\n") + "\n").unwrap();
    let before = timeless(&world);
    let undone = world.call(&["undo", "--yes"]);
    let is_undone = is_done(&undone, &log)?;
    if is_undone {
        let found = read().unwrap_or_default();
        let others: String = found.split_inclusive('\n').filter(|line| line.trim_end() != MINE).collect();
        prop_assert_eq!(found.matches(MINE).count(), 1, "{:#?}", &log);
        prop_assert_eq!(others.trim_end(), full.trim_end(), "{:#?}", &log);
        world.ok(&["undo", "--yes"]);
    }
    same("there and back, or refused", &before, &timeless(&world), &log)?;
    if is_undone { Ok(()) } else { Err(shows_nothing("a conflict")) }
}

/// A checkpoint merged into what an earlier one and the user's edits made: all that either has is there, or nothing changes.
fn a_merge_has_both(seed: u64, turns: usize) -> Result<(), TestCaseError> {
    let Story { world, mut log, .. } = tell(seed, turns, true);
    world.checkpoint("then");
    let then = timeless(&world);
    world.ok(&["restore", "wf", "base", "--yes"]);
    let mut prng = Prng::new(seed ^ 1);
    for _ in 0..prng.below(4) {
        log.push(format!("later: {}", edit(&world, &mut prng, "later")));
    }
    let before = timeless(&world);
    let merged = world.call(&["restore", "wf", "then", "--restoration-mode", "merge", "--yes"]);
    if is_done(&merged, &log)? {
        let now = timeless(&world);
        for (path, _) in then.entries.iter().chain(&before.entries) {
            prop_assert!(now.entries.contains_key(path), "{} after {log:#?}", path.escape_ascii());
        }
        if !merged.result("changed").as_array().unwrap().is_empty() {
            world.ok(&["undo", "--yes"]);
        }
    }
    same("there and back, or refused", &before, &timeless(&world), &log)
}

/// The names between which a file wanders.
const PLACES: [&str; 3] = ["one.txt", "two.txt", "deep/three.txt"];

/// Where the file is that wanders: at one of its names alone.
fn place(world: &World, log: &[String]) -> Result<usize, TestCaseError> {
    let there: Vec<usize> = (0..PLACES.len()).filter(|at| world.root().join(PLACES[*at]).exists()).collect();
    prop_assert_eq!(there.len(), 1, "{:?} after {:#?}", there, log);
    Ok(there[0])
}

/// One turn of a file that agents edit, each in lines of its own, and move; now and then a recovery and its undo.
fn wander(world: &World, prng: &mut Prng, log: &mut Vec<String>) -> Result<(), TestCaseError> {
    let (number, at) = (prng.below(AGENTS.len()), place(world, log)?);
    let (agent, here) = (AGENTS[number], world.root().join(PLACES[at]));
    match prng.below(6) {
        0 => {
            let done = roll_back(world, agent);
            prop_assert!(is_done(&done, log)?, "{done:?} after {log:#?}");
            if let Some(id) = done.result("recovery_id").as_str() {
                log.push(format!("{agent} taken back, and that undone"));
                world.ok(&["undo", id, "--yes"]);
            }
        }
        1 | 2 => {
            let to = PLACES[(at + 1 + prng.below(PLACES.len() - 1)) % PLACES.len()];
            log.push(format!("{agent}: {} becomes {to}", PLACES[at]));
            world.work(agent, || fs::rename(&here, world.root().join(to)).unwrap());
        }
        _ => {
            let line = number * 10 + prng.below(8);
            log.push(format!("{agent}: line {line} of {}", PLACES[at]));
            let text = fs::read_to_string(&here).unwrap();
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines[line] = format!("of {agent} {}", prng.number());
            world.work(agent, || fs::write(&here, lines.join("\n") + "\n").unwrap());
        }
    }
    Ok(())
}

/// What an agent did goes wherever the file is, with the moves of its own, and what the others did stays.
fn work_goes_wherever_the_file_is(seed: u64, turns: usize) -> Result<(), TestCaseError> {
    let mut prng = Prng::new(seed);
    let world = World::unprotected(TestTree::new());
    world.ok(&["init"]);
    world.put("deep/other.txt", "it keeps the directory\n");
    world.put(PLACES[0], &(0..30).map(|n| format!("line {n}\n")).collect::<String>());
    world.checkpoint("base");
    let (base, mut log) = (timeless(&world), Vec::new());
    for _ in 0..turns {
        wander(&world, &mut prng, &mut log)?;
    }
    let full = timeless(&world);
    let mut ends = Vec::new();
    for order in [[0, 1, 2], [2, 0, 1]] {
        let mut undone = Vec::new();
        for agent in order.map(|number| AGENTS[number]) {
            let done = roll_back(&world, agent);
            prop_assert!(is_done(&done, &log)?, "{done:?} after {log:#?}");
            undone.extend(done.result("recovery_id").as_str().map(str::to_owned));
            let text = fs::read_to_string(world.root().join(PLACES[place(&world, &log)?])).unwrap();
            prop_assert!(!text.contains(&format!("of {agent} ")), "{agent} stays in {text} after {log:#?}");
        }
        ends.push(timeless(&world));
        for id in undone.iter().rev() {
            world.ok(&["undo", id, "--yes"]);
        }
        same("there and back", &full, &timeless(&world), &log)?;
    }
    same("everything back", &base, &ends[0], &log)?;
    same("in another order", &base, &ends[1], &log)
}

/// For each case that shows a law, so many that show nothing of it are too many: a conflict, or nothing to be taken back.
const IDLE_MAX: u32 = 4;

const CASES: u32 = 6;

proptest! {
    #![proptest_config(Config { cases: CASES, max_global_rejects: CASES * IDLE_MAX, max_shrink_iters: 20, failure_persistence: None, ..Config::default() })]

    #[test]
    fn all_work_back_is_the_checkpoint(seed: u64, turns in 1..8_usize) {
        everything_back_is_the_checkpoint(seed, turns)?;
    }

    #[test]
    fn all_since_a_checkpoint_back_is_what_it_holds(seed: u64, before in 0..4_usize, after in 0..5_usize) {
        all_since_a_checkpoint_back_is_the_checkpoint(seed, [before, after])?;
    }

    #[test]
    fn the_order_of_rollbacks_does_not_matter(seed: u64, turns in 0..5_usize) {
        order_does_not_matter(seed, turns)?;
    }

    #[test]
    fn work_on_other_paths_stays_as_it_is(seed: u64, turns in 0..7_usize) {
        others_paths_stay(seed, turns)?;
    }

    #[test]
    fn an_undo_keeps_what_was_edited_since(seed: u64, turns in 0..7_usize) {
        an_undo_loses_nothing(seed, turns)?;
    }

    #[test]
    fn a_merge_has_what_either_has(seed: u64, turns in 1..8_usize) {
        a_merge_has_both(seed, turns)?;
    }

    #[test]
    fn a_file_that_wanders_is_one_file(seed: u64, turns in 2..8_usize) {
        work_goes_wherever_the_file_is(seed, turns)?;
    }
}
