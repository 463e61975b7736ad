//! A person at a terminal chooses what a rollback takes back: by change, by file, by piece.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::work::numbered;
use crate::world::World;

/// Calls `wfr` on a pseudo-terminal at which somebody types these lines. What it said, and its exit code; `None` where there
/// is no program that makes such a terminal.
fn at_terminal(world: &World, arguments: &[&str], typed: &[&str]) -> Option<(String, i32)> {
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
    let mut lines = typed.join("\n");
    lines.push('\n');
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Some((String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code().unwrap()))
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
