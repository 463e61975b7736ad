//! A real history told to the program as changes of several agents, and each of them taken back: beside `git merge-file`.
//!
//! Owns the comparison, file by file. Refuses to look at plans beyond their conflicts: see `previewing`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use wfr_testkit::{GIT_ABSENT, Git, Release, TestTree, releases};

use crate::world::World;

/// Of a crate whose releases change several directories.
const CRATES: [(&str, &str); 1] =
    [("log", "0.4.1 0.4.4 0.4.6 0.4.8 0.4.11 0.4.14 0.4.16 0.4.17 0.4.18 0.4.19 0.4.20 0.4.21 0.4.22 0.4.25")];

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
    files: usize,
    equal: usize,
    git_conflicts: usize,
    our_conflicts: usize,
    both_conflict: usize,
    by_return: usize,
    second_opinion: usize,
}

/// Takes one change back, compares what became of its files, and undoes it.
fn compare(world: &World, git: &Git, told: &[Told], at: usize, figures: &mut Figures) {
    let (earlier, one, later) = (&told[..=at], &told[at], &told[at + 1..]);
    let full = world.timeless();
    let present: BTreeMap<&PathBuf, Vec<u8>> =
        one.paths.keys().filter_map(|path| Some((path, fs::read(world.root().join(path)).ok()?))).collect();
    let plan = world.ok(&["rollback", "wf", "--change", &one.id, "--plan"]);
    let conflicts: Vec<&str> =
        plan.result("plan")["conflicts"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect();
    let done = world.call(&["rollback", "wf", "--change", &one.id, "--partial", "--yes"]);
    assert_eq!(done.code, 0, "{} of {}: {done:?}", one.id, one.agent);
    for (path, sides) in &one.paths {
        let ([Some(before), Some(after)], Some(present)) = (sides, present.get(path)) else { continue };
        figures.files += 1;
        let (merged, is_conflict) = (git.merge(after, present, before), conflicts.contains(&path.to_str().unwrap()));
        figures.git_conflicts += usize::from(merged.is_none());
        figures.our_conflicts += usize::from(is_conflict);
        let now = fs::read(world.root().join(path)).unwrap();
        let versions = |told: &[Told], side: usize| -> BTreeSet<Vec<u8>> {
            told.iter().filter_map(|other| other.paths.get(path)?[side].clone()).collect()
        };
        let returns = || !versions(earlier, 0).is_disjoint(&versions(later, 1));
        match merged {
            None if is_conflict => figures.both_conflict += 1,
            None => {}
            Some(merged) if merged == now && !is_conflict => figures.equal += 1,
            Some(_) if is_conflict => figures.second_opinion += 1,
            // Somebody led back to before it: nothing of it is left to be taken out.
            Some(_) if returns() && now == *present => figures.by_return += 1,
            Some(merged) => {
                let lengths = |versions: BTreeSet<Vec<u8>>| versions.iter().map(Vec::len).collect::<Vec<_>>();
                let (path, id, agent) = (path.display(), &one.id, &one.agent);
                panic!(
                    "{path} without {id} of {agent} is clean, and not as git has it: {} to {} bytes, now {}, as git {}, before {}; \
                     earlier {:?}, later {:?}",
                    before.len(),
                    after.len(),
                    now.len(),
                    merged.len(),
                    present.len(),
                    lengths(versions(earlier, 0)),
                    lengths(versions(later, 1)),
                )
            }
        }
    }
    if !done.result("recovery_id").is_null() {
        world.ok(&["undo", "--yes"]);
    }
    assert_eq!(world.timeless().differences(&full), [""; 0], "there and back: {} of {}", one.id, one.agent);
}

#[test]
fn commits_of_several_are_taken_back_as_with_git() {
    let Some(git) = Git::find() else { return wfr_testkit::skip(GIT_ABSENT) };
    let history = match releases(&CRATES) {
        Ok(mut found) => found.remove(0),
        Err(why) => return wfr_testkit::skip(&format!("the registry does not give the crates: {why}")),
    };
    let world = World::unprotected(TestTree::new());
    world.ok(&["init"]);
    history[0].iter().for_each(|(path, content)| put(&world, path, Some(content)));
    world.checkpoint("first");
    let mut told = Vec::new();
    history.windows(2).for_each(|pair| tell(&world, &pair[0], &pair[1], &mut told));
    let agents: BTreeSet<&str> = told.iter().map(|one| one.agent.as_str()).collect();
    assert!(agents.len() >= 3 && told.len() >= 20, "{agents:?}");
    let mut figures = Figures::default();
    for at in 0..told.len() {
        compare(&world, &git, &told, at, &mut figures);
    }
    eprintln!("{} changes, {figures:?}", told.len());
    assert!(figures.equal > 20, "{figures:?}");
    assert!(figures.our_conflicts - figures.second_opinion <= figures.git_conflicts, "{figures:?}");
    assert!(figures.second_opinion * 20 <= figures.files, "{figures:?}");
}
