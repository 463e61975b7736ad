//! A person at a terminal chooses what a rollback takes back: by change, by file, by piece.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::work::numbered;
use crate::world::World;

/// Calls `wfr` on a pseudo-terminal at which somebody types these lines. What it said, and its exit code; `None` where there
/// is no program that makes such a terminal.
fn at_terminal(world: &World, arguments: &[&str], typed: &[&str]) -> Option<(String, i32)> {
    at_terminal_meanwhile(world, arguments, typed, None)
}

/// What is done when the plan is shown, and what is typed then.
type Meanwhile<'m> = (&'m dyn Fn(), &'m [&'m str]);

fn at_terminal_meanwhile(
    world: &World,
    arguments: &[&str],
    typed: &[&str],
    meanwhile: Option<Meanwhile<'_>>,
) -> Option<(String, i32)> {
    let inner = world.command(arguments);
    let quoted = |text: &std::ffi::OsStr| format!("'{}'", text.to_str().unwrap().replace('\'', r"'\''"));
    let words: Vec<String> = std::iter::once(inner.get_program()).chain(inner.get_args()).map(quoted).collect();
    let mut command = Command::new("script");
    command.args(["-qec", &words.join(" "), "/dev/null"]).current_dir(world.root());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let spawned =
        command.env("NO_COLOR", "1").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = spawned else {
        wfr_testkit::skip("`script` of util-linux is not here");
        return None;
    };
    let lines = |typed: &[&str]| typed.iter().map(|line| format!("{line}\n")).collect::<String>();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut said = Vec::new();
    stdin.write_all(if typed.is_empty() { "\n".to_owned() } else { lines(typed) }.as_bytes()).unwrap();
    if let Some((what, then)) = meanwhile {
        let mut byte = [0];
        while !said.ends_with(b"Apply this plan?") && stdout.read(&mut byte).unwrap() > 0 {
            said.extend(byte);
        }
        what();
        stdin.write_all(lines(then).as_bytes()).unwrap();
    }
    drop(stdin);
    stdout.read_to_end(&mut said).unwrap();
    Some((String::from_utf8_lossy(&said).into_owned(), child.wait().unwrap().code().unwrap()))
}

/// `a` has changed two places of a file and made another one, `b` has made one, and the user has edited.
fn worked_on() -> World {
    let world = World::with_lines();
    world.work("a", || {
        world.put("work/f.txt", &numbered(&[(3, "by a"), (5, "by a, near"), (20, "by a, far")]));
        world.put("work/of_a.txt", "a");
    });
    world.work("b", || world.put("work/of_b.txt", "b"));
    world.put("work/f.txt", &numbered(&[(3, "by a"), (5, "by a, near"), (20, "by a, far"), (29, "by me")]));
    world
}

const CALL: [&str; 3] = ["rollback", "wf", "--interactive"];

#[test]
fn a_piece_that_is_left_out_stays_and_the_others_go() {
    let world = worked_on();
    let full = world.timeless();
    // The newest change first: that of `b` stays. Of `a` one file goes, of the other one piece by piece.
    let typed = ["?", "n", "f", "h", "y", "s", "y", "n", "y", "y"];
    let Some((said, code)) = at_terminal(&world, &CALL, &typed) else { return };
    assert_eq!(code, 0, "{said}");
    for part in
        ["1/2", "b, task b", "2/2", "a, task a", "-by a, near", "+line 20", "This will be done to", "Apply this plan?"]
    {
        assert!(said.contains(part), "no `{part}` in {said}");
    }
    assert_eq!(world.text("work/f.txt"), numbered(&[(5, "by a, near"), (29, "by me")]));
    assert!(!world.has("work/of_a.txt") && world.has("work/of_b.txt"));
    let without = world.timeless();
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.timeless().differences(&full), [""; 0]);
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.timeless().differences(&without), [""; 0]);
    // Later plans know: what was chosen stands, and the rest of the work can still go.
    world.put("work/f.txt", &numbered(&[(5, "by a, near"), (12, "more by me"), (29, "by me")]));
    world.ok(&["undo", "--yes"]);
    let merged = [(3, "by a"), (5, "by a, near"), (12, "more by me"), (20, "by a, far"), (29, "by me")];
    assert_eq!(world.text("work/f.txt"), numbered(&merged));
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(12, "more by me"), (29, "by me")]));
}

#[test]
fn a_file_that_is_left_out_stays_with_all_that_it_has() {
    let world = worked_on();
    let Some((said, code)) = at_terminal(&world, &CALL, &["y", "f", "n", "y", "y"]) else { return };
    assert_eq!(code, 0, "{said}");
    assert!(!world.has("work/of_a.txt") && !world.has("work/of_b.txt"));
    let kept = [(3, "by a"), (5, "by a, near"), (20, "by a, far"), (29, "by me")];
    assert_eq!(world.text("work/f.txt"), numbered(&kept));
    let log = world.ok(&["log", "wf", "--agent", "a"]);
    let cancelled: Vec<bool> =
        log.result("changes")[0]["paths"].as_array().unwrap().iter().map(|path| path["cancelled"] == true).collect();
    assert_eq!(cancelled, [false, true]);
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(29, "by me")]));
    let Some((said, code)) = at_terminal(&world, &CALL, &[]) else { return };
    assert!(code == 3 && said.contains("nothing is left to choose"), "{said}");
}

#[test]
fn nobody_is_asked_without_a_terminal_and_nothing_is_done_without_a_yes() {
    let world = worked_on();
    let full = world.timeless();
    let refused = world.refused(&[&CALL[..], &["--yes"]].concat(), 2, "WRONG_ARGUMENTS");
    assert!(refused.json.to_string().contains("--resolve"), "{refused:?}");
    // All stays; given up; and no yes to the plan.
    for (typed, wanted) in [(&["q"][..], 3), (&["f"], 130), (&["y", "y", "n"], 8)] {
        let Some((said, code)) = at_terminal(&world, &CALL, typed) else { return };
        assert_eq!(code, wanted, "{typed:?}: {said}");
        assert_eq!(world.timeless().differences(&full), [""; 0]);
    }
    assert!(world.ok(&["recoveries"]).result("recoveries").as_array().unwrap().is_empty());
    // The choices go with the call: a digest of their plan is of no use without them.
    let Some((said, code)) = at_terminal(&world, &CALL, &["n", "f", "n", "y"]) else { return };
    let advice = said.split("Apply this plan?").nth(1).unwrap();
    assert!(code == 8 && advice.contains("nothing was changed") && advice.contains("`--interactive`"), "{said}");
    assert!(!advice.contains("--apply") && !advice.contains("`--yes`"), "{said}");
}

#[test]
fn what_changed_since_somebody_chose_is_asked_again_and_said() {
    let world = worked_on();
    let edited = [(3, "by a"), (5, "by a, near"), (20, "by a, far"), (27, "since"), (29, "by me")];
    let edit = || world.put("work/f.txt", &numbered(&edited));
    let typed = ["n", "f", "h", "y", "n", "y"];
    // The pieces again; then a yes to the new plan.
    let then: Meanwhile<'_> = (&edit, &["y", "y", "n", "y"]);
    let Some((said, code)) = at_terminal_meanwhile(&world, &CALL, &typed, Some(then)) else { return };
    assert_eq!(code, 0, "{said}");
    for part in ["Something changed since you chose", "this is the plan now"] {
        assert!(said.contains(part), "no `{part}` in {said}");
    }
    let now = said.split("this is the plan now").nth(1).unwrap();
    assert!(now.contains("-by a\r\n") && now.contains("+line 3\r\n"), "the new plan shows its lines: {said}");
    assert_eq!(world.text("work/f.txt"), numbered(&edited[2..]));
    assert!(!world.has("work/of_a.txt") && world.has("work/of_b.txt"));
    // An edit elsewhere changes nothing that was asked for.
    let other = || world.put("elsewhere.txt", "1");
    let call = ["rollback", "wf", "--agent", "b", "--interactive"];
    let Some((said, code)) = at_terminal_meanwhile(&world, &call, &["y"], Some((&other, &["y"]))) else { return };
    assert!(code == 0 && !said.contains("Something changed"), "{said}");
    assert!(!world.has("work/of_b.txt"));
}

#[test]
fn a_conflict_that_came_since_somebody_chose_is_decided_once() {
    let world = worked_on();
    let edited = [(3, "by a and me"), (5, "by a, near"), (20, "by a, far"), (29, "by me")];
    let edit = || world.put("work/f.txt", &numbered(&edited));
    let then: Meanwhile<'_> = (&edit, &["y", "y", "y"]);
    let Some((said, code)) = at_terminal_meanwhile(&world, &CALL, &["a"], Some(then)) else { return };
    assert_eq!(code, 0, "{said}");
    assert_eq!(said.matches("Make the file what it was before?").count(), 1, "{said}");
    assert_eq!(world.text("work/f.txt"), numbered(&[]));
}

#[test]
fn a_file_in_conflict_goes_as_a_whole_and_that_is_said() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a"), (20, "by a, far")])));
    world.put("work/f.txt", &numbered(&[(3, "by a and me"), (20, "by a, far")]));
    let Some((said, code)) = at_terminal(&world, &CALL, &["f", "h", "n", "y"]) else { return };
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("goes as a whole: one of its pieces") && said.contains("--resolve"), "{said}");
    assert!(world.text("work/f.txt").contains("by a and me"));
}

#[test]
fn a_selective_restore_can_be_chosen_from_too() {
    let world = worked_on();
    let call = ["restore", "wf", "base", "--restoration-mode", "selective", "--interactive"];
    let Some((said, code)) = at_terminal(&world, &call, &["n", "y", "y"]) else { return };
    assert_eq!(code, 0, "{said}");
    assert_eq!(world.text("work/f.txt"), numbered(&[(29, "by me")]));
    assert!(!world.has("work/of_a.txt") && world.has("work/of_b.txt"));
}

#[test]
fn leaving_the_only_conflict_leaves_all_and_says_so() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.put("work/f.txt", &numbered(&[(3, "by a and me")]));
    let full = world.timeless();
    let Some((said, code)) = at_terminal(&world, &CALL, &["y", "n"]) else { return };
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("nothing is to be done: all that would go stays, as was decided"), "{said}");
    assert!(!said.contains("Apply this plan?") && !said.contains("already"), "{said}");
    assert_eq!(world.timeless().differences(&full), [""; 0]);
}

#[test]
fn a_plan_that_has_nothing_left_to_do_is_not_asked_for() {
    let world = World::with_lines();
    world.work("a", || world.put("work/of_a.txt", "a"));
    let gone = || std::fs::remove_file(world.root().join("work/of_a.txt")).unwrap();
    let then: Meanwhile<'_> = (&gone, &["y"]);
    let Some((said, code)) = at_terminal_meanwhile(&world, &CALL, &["y"], Some(then)) else { return };
    assert_eq!(code, 0, "{said}");
    assert_eq!(said.matches("Apply this plan?").count(), 1, "{said}");
    assert!(said.contains("nothing is to be done to files or tasks any more"), "{said}");
}

#[test]
fn what_cannot_be_separated_is_decided_there() {
    for (answer, left) in [("y", numbered(&[])), ("n", numbered(&[(3, "by a and me")]))] {
        let world = World::with_lines();
        world.work("a", || {
            world.put("work/f.txt", &numbered(&[(3, "by a")]));
            world.put("work/of_a.txt", "a");
        });
        world.put("work/f.txt", &numbered(&[(3, "by a and me")]));
        let full = world.timeless();
        let Some((said, code)) = at_terminal(&world, &CALL, &["y", "q"]) else { return };
        assert_eq!(code, 5, "{said}");
        assert_eq!(world.timeless().differences(&full), [""; 0]);
        let Some((said, code)) = at_terminal(&world, &CALL, &["y", answer, "y"]) else { return };
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("<<<<<<<") && said.contains("Make the file what it was before?"), "{said}");
        assert_eq!((world.text("work/f.txt"), world.has("work/of_a.txt")), (left, false));
        world.ok(&["undo", "--yes"]);
        assert_eq!(world.timeless().differences(&full), [""; 0]);
    }
}
