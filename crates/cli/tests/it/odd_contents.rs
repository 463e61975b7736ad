//! Rollbacks of contents and names that line merges are bad at: what is separable is separated to the byte, what is not is
//! named and left.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use crate::work::numbered;
use crate::world::World;

fn write(world: &World, path: &[u8], bytes: &[u8]) {
    let place = world.root().join(OsStr::from_bytes(path));
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::write(place, bytes).unwrap();
}

fn read(world: &World, path: &[u8]) -> Vec<u8> {
    fs::read(world.root().join(OsStr::from_bytes(path))).unwrap()
}

/// A edits the third line, B the next to last one; A's work is taken back, and comes again by undo.
fn separated(path: &[u8], lines: &[&[u8]]) {
    let world = World::new();
    let edited = |changed: &[usize]| -> Vec<u8> {
        let line = |(at, line): (usize, &&[u8])| match changed.contains(&at) {
            true => [b"edited ", *line].concat(),
            false => line.to_vec(),
        };
        lines.iter().enumerate().flat_map(line).collect()
    };
    let (of_a, of_b) = (2, lines.len() - 2);
    write(&world, path, &edited(&[]));
    world.checkpoint("base");
    world.work("a", || write(&world, path, &edited(&[of_a])));
    world.work("b", || write(&world, path, &edited(&[of_a, of_b])));
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!(read(&world, path), edited(&[of_b]));
    world.ok(&["undo", "--yes"]);
    assert_eq!(read(&world, path), edited(&[of_a, of_b]));
    world.ok(&["rollback", "wf", "--agent", "b", "--yes"]);
    assert_eq!(read(&world, path), edited(&[of_a]));
}

#[test]
fn line_ends_of_both_kinds_stay_as_they_are() {
    separated(b"mixed.txt", &[b"1\r\n", b"2\n", b"3\r\n", b"4\r\n", b"5\n", b"6\r\n", b"7\n", b"8\r\n", b"9\n"]);
    separated(b"dos.txt", &[b"1\r\n", b"2\r\n", b"3\r\n", b"4\r\n", b"5\r\n", b"6\r\n", b"7\r\n", b"8\r\n"]);
}

#[test]
fn a_file_without_a_last_line_end_gets_none() {
    separated(b"open.txt", &[b"1\n", b"2\n", b"3\n", b"4\n", b"5\n", b"6\n", b"7\n", b"no end"]);
}

#[test]
fn names_and_lines_need_not_be_utf8() {
    separated(b"od\xffd/na\xfeme", &[b"1\n", b"2\n", b"\xff\xfe3\n", b"4\n", b"5\n", b"6\n", b"\xe97\n", b"8\n"]);
}

#[test]
fn binary_files_are_not_merged() {
    let world = World::new();
    let bytes = |changed: &[usize]| -> Vec<u8> {
        (0..4_096).map(|at| if changed.contains(&at) { 255 } else { (at % 7) as u8 }).collect()
    };
    write(&world, b"data.bin", &bytes(&[]));
    world.checkpoint("base");
    world.work("a", || {
        write(&world, b"data.bin", &bytes(&[10]));
        write(&world, b"alone.bin", &bytes(&[11]));
    });
    world.work("b", || write(&world, b"data.bin", &bytes(&[10, 4_000])));
    let plan = world.ok(&["rollback", "wf", "--agent", "a", "--plan"]);
    let conflicts = plan.result("conflicts").as_array().unwrap();
    assert_eq!(conflicts.len(), 1, "{conflicts:?}");
    assert_eq!(conflicts[0]["path"], "data.bin");
    assert!(conflicts[0]["message"].as_str().unwrap().contains("no text"), "{conflicts:?}");
    world.refused(&["rollback", "wf", "--agent", "a", "--yes"], 5, "CONFLICTS");
    assert_eq!(read(&world, b"data.bin"), bytes(&[10, 4_000]));
    world.ok(&["rollback", "wf", "--agent", "a", "--partial", "--yes"]);
    assert_eq!(read(&world, b"data.bin"), bytes(&[10, 4_000]));
    assert!(!world.has("alone.bin"));
}

#[test]
fn a_text_of_a_hundred_megabytes_is_one_conflict() {
    let world = World::new();
    let text = |top: &str, end: &str| {
        let mut text = format!("{top}\n").into_bytes();
        text.extend(b"a line of a log that is as long as such lines are, more or less\n".repeat(1_600_000));
        text.extend(format!("{end}\n").bytes());
        text
    };
    write(&world, b"huge.log", &text("top", "end"));
    assert!(world.root().join("huge.log").metadata().unwrap().len() > 100_000_000);
    world.checkpoint("base");
    world.work("a", || write(&world, b"huge.log", &text("by a", "end")));
    world.work("b", || write(&world, b"huge.log", &text("by a", "by b")));
    let refused = world.refused(&["rollback", "wf", "--agent", "a", "--yes"], 5, "CONFLICTS");
    assert!(refused.json.to_string().contains("huge.log"));
    // It is given up for its size, before anything of it is read: that it is not even read the tests of replays show.
    let plan = world.ok(&["rollback", "wf", "--agent", "a", "--plan"]);
    let conflicts = plan.result("conflicts").as_array().unwrap();
    assert_eq!((conflicts.len(), &conflicts[0]["path"]), (1, &"huge.log".into()), "{conflicts:?}");
    assert_eq!(conflicts[0]["message"], "the file is too large to be merged (a, b)");
    assert!(read(&world, b"huge.log").starts_with(b"by a\n"), "nothing is done");
    // Who is alone in it is taken back whole, without any merging.
    world.ok(&["rollback", "wf", "--agent", "b", "--yes"]);
    assert!(read(&world, b"huge.log").ends_with(b"end\n"));
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert!(read(&world, b"huge.log").starts_with(b"top\n"));
}

#[test]
fn a_file_that_became_a_directory_is_named_and_kept() {
    let world = World::with_lines();
    world.work("a", || {
        world.put("work/f.txt", &numbered(&[(3, "by a")]));
        world.put("work/made", "a file of a");
    });
    world.work("b", || {
        fs::remove_file(world.root().join("work/made")).unwrap();
        world.put("work/made/by_b", "b");
    });
    let full = world.timeless();
    world.ok(&["rollback", "wf", "--agent", "a", "--partial", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[]));
    assert_eq!(world.text("work/made/by_b"), "b", "nothing of b is lost");
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.timeless().differences(&full), [""; 0]);
    // And the other way: what b made of it goes, and the file is there again.
    world.ok(&["rollback", "wf", "--agent", "b", "--yes"]);
    assert_eq!(world.text("work/made"), "a file of a");
}

#[test]
fn a_plan_that_is_older_than_the_tree_is_refused() {
    let world = World::with_lines();
    world.work("a", || {
        world.put("work/f.txt", &numbered(&[(3, "by a")]));
        world.put("work/g.txt", "a");
    });
    let plan = world.ok(&["rollback", "wf", "--agent", "a", "--plan"]);
    let digest = plan.result("plan")["digest"].as_str().unwrap().to_owned();
    world.put("work/f.txt", &numbered(&[(3, "by a"), (20, "by the user")]));
    world.refused(&["rollback", "wf", "--agent", "a", "--apply", &digest], 5, "STALE_PLAN");
    assert!(world.has("work/g.txt"), "nothing is done");
    let plan = world.ok(&["rollback", "wf", "--agent", "a", "--plan"]);
    world.put("elsewhere", "what the plan does not touch");
    let digest = plan.result("plan")["digest"].as_str().unwrap();
    world.ok(&["rollback", "wf", "--agent", "a", "--apply", digest]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(20, "by the user")]));
}
