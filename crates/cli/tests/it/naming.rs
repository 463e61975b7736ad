//! Paths as people and agents write them, and names that say nothing or contradict each other.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use serde_json::json;

use crate::work::{numbered, paths};
use crate::world::{Ended, World};

/// `a` has worked in two files, and `b` on top of it in one.
fn worked_on() -> World {
    let world = World::with_lines();
    world.work("a", || {
        world.put("work/f.txt", &numbered(&[(3, "by a")]));
        world.put("other/of_a.txt", "a");
    });
    world.work("b", || world.put("work/f.txt", &numbered(&[(3, "by a and b")])));
    world
}

const OF_A: [&str; 4] = ["rollback", "wf", "--agent", "a"];

fn plan(world: &World, more: &[&str]) -> Ended {
    world.ok(&[&OF_A[..], &["--plan"], more].concat())
}

#[test]
fn a_path_may_be_written_in_every_way_that_leads_into_the_workspace() {
    let world = worked_on();
    let root = world.root().canonicalize().unwrap();
    let absolute = |path: &str| root.join(path).to_str().unwrap().to_owned();
    let steps = |file: &str| {
        let planned = plan(&world, &["--file", file, "--theirs", "work/f.txt", "--partial"]);
        paths(&planned.result("plan")["steps"]).join(" ")
    };
    for file in ["work", "work/", "./work", "./work/", "work/./f.txt", &absolute("work"), &absolute("other/../work/")] {
        assert_eq!(steps(file), "work/f.txt", "{file}");
    }
    for file in [".", "./", &absolute("")] {
        assert_eq!(
            plan(&world, &["--file", file, "--theirs", "./work/f.txt"]).result("conflicts"),
            &json!([]),
            "{file}"
        );
    }
    let by_hand = world.data.path().join("by_hand");
    fs::write(&by_hand, "by hand\n").unwrap();
    for path in ["./work/f.txt", &absolute("work/f.txt")] {
        let resolve = format!("{path}={}", by_hand.display());
        for decision in [["--ours", path], ["--theirs", path], ["--resolve", &resolve]] {
            assert_eq!(plan(&world, &decision).result("conflicts"), &json!([]), "{decision:?}");
        }
    }
    let in_json = json!({"agent": "a", "file": [absolute("other")], "plan": true}).to_string();
    let planned = world.ok(&["rollback", "wf", &in_json]);
    assert!(paths(&planned.result("plan")["steps"]).contains(&"other/of_a.txt"));
    for outside in
        ["/etc/passwd", &absolute("../elsewhere"), &format!("{}-not", absolute("work").trim_end_matches("/work"))]
    {
        let refused = world.refused(&[&OF_A[..], &["--plan", "--file", outside]].concat(), 2, "INVALID_PARAMETER");
        let text = refused.json.to_string();
        assert!(text.contains("outside the workspace") && text.contains(root.to_str().unwrap()), "{text}");
    }
    // Whoever names the workspace by another way may name what is in it so.
    let way = world.data.path().join("way");
    std::os::unix::fs::symlink(&root, &way).unwrap();
    let (workspace, file) = (way.to_str().unwrap(), way.join("other"));
    let planned = plan(&world, &["--workspace", workspace, "--file", file.to_str().unwrap()]);
    assert!(paths(&planned.result("plan")["steps"]).contains(&"other/of_a.txt"));
    // A link is a path like any other: it is not followed, wherever it leads.
    std::os::unix::fs::symlink("/etc", root.join("leads_out")).unwrap();
    let token = world.begin("c", &["--paths", "."]);
    world.put("work/of_c.txt", "c");
    assert_eq!(paths(&world.end(&token)["paths"]), ["work/of_c.txt"]);
    let recorded = world.ok(&["change", "record", "--agent", "d", "--paths", &absolute("leads_out/passwd")]);
    assert_eq!(recorded.result("paths"), &json!([]));
}

#[test]
fn any_name_can_be_resolved_by_hand() {
    let world = World::with_lines();
    let raw = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    let (odd, equals) = (raw(b"x\xff"), raw(b"a=b,c"));
    let write = |text: &str| [&odd, &equals].iter().for_each(|name| fs::write(world.root().join(name), text).unwrap());
    world.work("a", || write("by a\n"));
    world.work("b", || write("by b\n"));
    let place = |name: &[u8]| world.data.path().join(raw(name));
    for name in [&b"by_hand"[..], b"by_hand\xfe", b"by=hand", br"by\hand"] {
        fs::write(place(name), "by hand\n").unwrap();
    }
    let plan = |file: &str, resolve: &[&[u8]]| {
        let mut call: Vec<OsString> = OF_A.iter().chain(&["--plan", "--file", file]).map(OsString::from).collect();
        call.extend([OsString::from("--resolve"), raw(&resolve.concat())]);
        world.call(&call)
    };
    let of = |name: &[u8]| place(name).into_os_string().into_vec();
    let (plain, odd_file, equals_file, escaped) = (of(b"by_hand"), of(b"by_hand\xfe"), of(b"by=hand"), of(br"by\hand"));
    let absolute = [world.root().as_os_str().as_bytes(), b"/a\\x3db,c="].concat();
    for (file, path) in [
        (r"x\xff", &b"x\xff="[..]),
        (r"x\xff", br"x\xff="),
        (r"x\xff", b"./x\xff="),
        ("a=b,c", b"a=b,c="),
        ("a=b,c", br"a\x3db,c="),
        ("a=b,c", br"./a\x3db,c="),
        ("a=b,c", &absolute),
    ] {
        for by_hand in [&plain, &odd_file, &equals_file, &escaped] {
            let planned = plan(file, &[path, by_hand]);
            assert_eq!((planned.code, paths(&planned.result("plan")["steps"])), (0, vec![file]), "{planned:?}");
        }
    }
    // Where several ways to read it fit, or none, it is said, with what helps.
    for (name, code) in [("", "AMBIGUOUS_REFERENCE"), ("-none", "FILE_NOT_FOUND")] {
        fs::write(world.root().join("b,c=twice"), "").unwrap();
        fs::write(world.root().join("twice"), "").unwrap();
        fs::write(world.root().join("a"), "").unwrap();
        let refused = plan("a=b,c", &[format!("a=b,c=twice{name}").as_bytes()]);
        assert_eq!(refused.error(), code, "{refused:?}");
        assert!(refused.json["recovery_options"].to_string().contains(r"\\x3d"), "{refused:?}");
        assert_eq!(plan("a=b,c", &[br"a\x3db,c=twice"]).code, 0);
    }
}

#[test]
fn names_that_contradict_each_other_or_say_nothing_are_refused() {
    let world = worked_on();
    let full = world.timeless();
    let by_hand = world.data.path().join("by_hand");
    fs::write(&by_hand, "by hand\n").unwrap();
    let resolve = |path: &str| format!("{path}={}", by_hand.display());
    let call =
        |more: &[&str]| [&OF_A[..], &["--yes"], more].concat().iter().map(ToString::to_string).collect::<Vec<_>>();
    let (f, g) = ("work/f.txt", resolve("work/f.txt"));
    for both in [["--ours", f, "--theirs", f], ["--ours", f, "--resolve", &g], ["--theirs", f, "--resolve", &g]] {
        world.refused(&call(&both), 2, "WRONG_ARGUMENTS");
    }
    let nofile = resolve("nofile");
    for typo in [["--ours", "nofile"], ["--theirs", "nofile"], ["--resolve", &nofile], ["--ours", "work"]] {
        let refused = world.refused(&call(&typo), 2, "INVALID_PARAMETER");
        let is_told = refused.json["error"]["message"].as_str().unwrap().contains("nothing is to be decided");
        assert!(is_told, "{refused:?}");
        assert_eq!(
            typo[1] == "work",
            refused.json.to_string().contains("name the paths themselves: work/f.txt"),
            "{refused:?}"
        );
    }
    world.refused(&call(&["--file", "nothere"]), 3, "NOTHING_SELECTED");
    world.refused(&["partial-restore", "wf", "base", "--file", "nothere", "--yes"], 3, "PATH_NOT_FOUND");
    let merge = ["restore", "wf", "base", "--restoration-mode", "merge", "--yes"];
    world.refused(&[&merge[..], &["--file", "nothere"]].concat(), 3, "PATH_NOT_FOUND");
    world.refused(&[&merge[..], &["--ours", "nofile"]].concat(), 2, "INVALID_PARAMETER");
    assert_eq!(world.timeless().differences(&full), [""; 0]);
    assert_eq!(world.names().len(), 1, "nothing is saved in vain");
}

#[test]
fn a_recorded_path_at_which_nothing_was_found_is_named() {
    let world = World::with_lines();
    world.put("work/new.txt", "a");
    let call = ["change", "record", "--workflow", "wf", "--agent", "a", "--paths", "work/new.txt", "nope.txt"];
    let recorded = world.ok(&call);
    assert_eq!(paths(recorded.result("paths")), ["work/new.txt"]);
    let steps = recorded.json["next_steps"].to_string();
    assert!(steps.contains("`nope.txt`") && !steps.contains("`work/new.txt`"), "{steps}");
}

#[test]
fn what_belongs_to_others_is_told_with_their_names() {
    let world = World::with_lines();
    let (a, b) = (world.begin("a", &["--paths", "work/a"]), world.begin("b", &["--paths", "work/b", "work/both"]));
    world.put("work/b/x", "b");
    let c = world.begin("c", &["--paths", "work/both"]);
    world.put("work/both", "b or c");
    let shown = world.command(&["change", "end", &a]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let is_named = ["b, task b / c, task c", "c, task c / b, task b"].iter().any(|names| shown.contains(names));
    assert!(is_named && shown.contains("one of"), "{shown}");
    world.put("work/b/y", "b");
    let others = world.end(&c)["others"].clone();
    assert_eq!((others[0]["agent_id"].as_str(), others[0]["paths"].as_u64()), (Some("b"), Some(1)), "{others}");
    world.end(&b);
}
