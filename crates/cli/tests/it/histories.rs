//! A real history told to the program as changes of several agents, and each of them taken back: beside `git merge-file`.
//!
//! Owns the comparison, file by file. Refuses to look at plans beyond their conflicts: see `previewing`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use wfr_testkit::{GIT_ABSENT, Git, Release, TestTree, releases};

use crate::world::World;

/// Crates whose releases change several directories; the first one's change most of what they touch, the others' little.
const CRATES: [(&str, &str); 4] = [
    ("log", "0.4.1 0.4.6 0.4.11 0.4.16 0.4.18 0.4.20 0.4.22 0.4.25"),
    ("semver", "1.0.9 1.0.10 1.0.11 1.0.12 1.0.13 1.0.14 1.0.15"),
    ("once_cell", "1.7.0 1.7.2 1.8.0 1.9.0 1.10.0 1.11.0"),
    ("bytes", "1.6.1 1.7.0 1.7.1 1.7.2 1.8.0"),
];

/// Files before and after.
type Changed = BTreeMap<PathBuf, [Option<Vec<u8>>; 2]>;

/// What one agent did of a release.
struct Told {
    id: String,
    agent: String,
    paths: Changed,
}

/// Whose a file is: each directory has an agent of its own, so that a release is the work of several.
fn agent(path: &Path) -> String {
    match path.components().count() {
        1 => "root".to_owned(),
        _ => path.components().next().unwrap().as_os_str().to_string_lossy().into_owned(),
    }
}

fn put(world: &World, path: &Path, content: Option<&Vec<u8>>) {
    let place = world.root().join(path);
    match content {
        Some(content) => {
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, content).unwrap();
        }
        None => fs::remove_file(place).unwrap(),
    }
}

/// Tells a release, agent by agent.
fn tell(world: &World, before: &Release, after: &Release, told: &mut Vec<Told>) {
    let mut by_agent: BTreeMap<String, Changed> = BTreeMap::new();
    for path in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        let sides = [before.get(path).cloned(), after.get(path).cloned()];
        if sides[0] != sides[1] {
            by_agent.entry(agent(path)).or_default().insert(path.clone(), sides);
        }
    }
    for (agent, paths) in by_agent {
        let begun = world.ok(&["change", "begin", "--workflow", "wf", "--agent", &agent]);
        let id = begun.result("token").as_str().unwrap().to_owned();
        paths.iter().for_each(|(path, [_, after])| put(world, path, after.as_ref()));
        world.ok(&["change", "end", &id]);
        told.push(Told { id, agent, paths });
    }
}

#[derive(Default, Debug)]
struct Figures {
    changes: usize,
    files: usize,
    equal: usize,
    git_conflicts: usize,
    our_conflicts: usize,
}

/// Takes one change back, compares what became of its files, and undoes it.
fn compare(world: &World, git: &Git, one: &Told, figures: &mut Figures) {
    let full = world.timeless();
    let present: BTreeMap<&PathBuf, Vec<u8>> =
        one.paths.keys().filter_map(|path| Some((path, fs::read(world.root().join(path)).ok()?))).collect();
    let plan = world.ok(&["rollback", "wf", "--change", &one.id, "--plan"]);
    let conflicts: Vec<&str> =
        plan.result("plan")["conflicts"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect();
    let done = world.call(&["rollback", "wf", "--change", &one.id, "--partial", "--yes"]);
    assert_eq!(done.code, 0, "{} of {}: {done:?}", one.id, one.agent);
    figures.changes += 1;
    for (path, sides) in &one.paths {
        let ([Some(before), Some(after)], Some(present)) = (sides, present.get(path)) else { continue };
        figures.files += 1;
        let (merged, is_conflict) = (git.merge(after, present, before), conflicts.contains(&path.to_str().unwrap()));
        figures.git_conflicts += usize::from(merged.is_none());
        figures.our_conflicts += usize::from(is_conflict);
        let Some(merged) = merged else { continue };
        let now = fs::read(world.root().join(path)).unwrap();
        assert!(
            merged == now && !is_conflict,
            "git is clean on {} without {} of {}: {} to {} bytes, now {}, as git {}, before {}; a conflict: {is_conflict}",
            path.display(),
            one.id,
            one.agent,
            before.len(),
            after.len(),
            now.len(),
            merged.len(),
            present.len(),
        );
        figures.equal += 1;
    }
    if !done.result("recovery_id").is_null() {
        world.ok(&["undo", "--yes"]);
    }
    assert_eq!(world.timeless().differences(&full), [""; 0], "there and back: {} of {}", one.id, one.agent);
}

#[test]
fn commits_of_several_are_taken_back_as_with_git() {
    let Some(git) = Git::find() else { return wfr_testkit::skip(GIT_ABSENT) };
    let histories = match releases(&CRATES) {
        Ok(found) => found,
        Err(why) => return wfr_testkit::skip(&format!("the registry does not give the crates: {why}")),
    };
    let mut sums = Figures::default();
    for ((name, _), history) in CRATES.iter().zip(histories) {
        let mut figures = Figures::default();
        let world = World::unprotected(TestTree::new());
        world.ok(&["init"]);
        history[0].iter().for_each(|(path, content)| put(&world, path, Some(content)));
        world.checkpoint("first");
        let mut told = Vec::new();
        history.windows(2).for_each(|pair| tell(&world, &pair[0], &pair[1], &mut told));
        let agents: BTreeSet<&str> = told.iter().map(|one| one.agent.as_str()).collect();
        assert!(agents.len() >= 2 && told.len() >= history.len(), "{name}: {agents:?}");
        told.iter().for_each(|one| compare(&world, &git, one, &mut figures));
        eprintln!("{name}: {figures:?}");
        // Never more than git, of any of them.
        assert!(figures.our_conflicts <= figures.git_conflicts, "{name}: {figures:?}");
        sums.files += figures.files;
        sums.equal += figures.equal;
    }
    assert!(sums.equal > 50, "too few that git can do: {sums:?}");
}
