//! Files that agents edit and move, also over one another and into each other's places: what stays without some of them.
//!
//! Owns a model in which a file is itself wherever it is, and the law that the tree is what the model says. Refuses to choose
//! stories by hand: see `moving`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use proptest::prelude::*;
use proptest::test_runner::Config;
use wfr_testkit::{Prng, TestTree};

use crate::world::{Ended, World};

const AGENTS: [&str; 3] = ["a", "b", "c"];
const PLACES: [&str; 5] = ["one.txt", "two.txt", "deep/three.txt", "deep/four.txt", "five.txt"];
const FILES: usize = 3;
const LINES: usize = 30;

/// What an agent did.
#[derive(Clone, Debug)]
struct Deed {
    agent: usize,
    kind: Kind,
    is_gone: bool,
}

#[derive(Clone, Debug)]
enum Kind {
    /// A line of a file.
    Edit { file: usize, line: usize, text: String },
    /// Files that came to places, all at once, and those that gave way to them.
    Move { to: Vec<(usize, usize)>, over: BTreeSet<usize> },
}

/// Files by where they are, with their lines.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Model {
    at: [Option<usize>; FILES],
    lines: Vec<Vec<String>>,
    /// Whether a file would have been edited that was not there.
    is_doubtful: bool,
}

impl Model {
    /// What stays.
    fn of(deeds: &[Deed]) -> Self {
        let lines = |file: usize| (0..LINES).map(|line| format!("file {file} line {line}")).collect();
        let mut model = Self { at: [0, 1, 2].map(Some), lines: (0..FILES).map(lines).collect(), is_doubtful: false };
        deeds.iter().filter(|deed| !deed.is_gone).for_each(|deed| model.go_on(&deed.kind));
        model
    }

    fn go_on(&mut self, kind: &Kind) {
        match kind {
            Kind::Edit { file, .. } if self.at[*file].is_none() => self.is_doubtful = true,
            Kind::Edit { file, line, text } => self.lines[*file][*line].clone_from(text),
            Kind::Move { to, over } => {
                let to: Vec<(usize, usize)> = to.iter().copied().filter(|(file, _)| self.at[*file].is_some()).collect();
                to.iter().for_each(|(file, place)| self.at[*file] = Some(*place));
                for (moved, place) in to {
                    for other in over.iter().filter(|other| **other != moved) {
                        self.at[*other] = self.at[*other].filter(|there| *there != place);
                    }
                }
            }
        }
    }

    /// Whether somebody has to decide: also where two files would be in one place.
    fn is_unclear(&self) -> bool {
        let places: Vec<usize> = self.at.iter().copied().flatten().collect();
        self.is_doubtful || places.iter().collect::<BTreeSet<_>>().len() < places.len()
    }

    fn tree(&self) -> BTreeMap<&'static str, String> {
        let text = |file: usize| Some((PLACES[self.at[file]?], self.lines[file].join("\n") + "\n"));
        (0..FILES).filter_map(text).collect()
    }
}

struct Story {
    world: World,
    deeds: Vec<Deed>,
    /// Recoveries that are not undone, with what each took back.
    recoveries: Vec<(String, Vec<usize>)>,
    /// Places from which agents took files away.
    left: BTreeSet<(usize, usize, usize)>,
    log: Vec<String>,
}

impl Story {
    fn begin() -> Self {
        let world = World::unprotected(TestTree::new());
        world.ok(&["init"]);
        world.put("deep/other.txt", "it keeps the directory\n");
        for (place, text) in Model::of(&[]).tree() {
            world.put(place, &text);
        }
        world.checkpoint("base");
        Self { world, deeds: vec![], recoveries: vec![], left: BTreeSet::new(), log: vec![] }
    }

    fn tree(&self) -> BTreeMap<&'static str, String> {
        PLACES
            .into_iter()
            .filter_map(|place| Some((place, fs::read_to_string(self.world.root().join(place)).ok()?)))
            .collect()
    }

    fn turn(&mut self, prng: &mut Prng) -> Result<(), TestCaseError> {
        let model = Model::of(&self.deeds);
        let agent = prng.below(AGENTS.len());
        let there: Vec<usize> = (0..FILES).filter(|file| model.at[*file].is_some()).collect();
        let file = *prng.pick(&there);
        let mut free: Vec<usize> = (0..PLACES.len()).filter(|place| !model.at.contains(&Some(*place))).collect();
        let first = prng.below(free.len());
        free.rotate_left(first);
        let others: Vec<usize> = there.iter().copied().filter(|other| *other != file).collect();
        let kind = match prng.below(10) {
            0 => return self.take_back(agent).map(drop),
            1 if !self.recoveries.is_empty() => return self.undo(prng.below(self.recoveries.len())).map(drop),
            2 | 3 => Kind::Move { to: vec![(file, free[0])], over: BTreeSet::new() },
            4 if !others.is_empty() => {
                let other = *prng.pick(&others);
                Kind::Move { to: vec![(file, model.at[other].unwrap())], over: BTreeSet::from([other]) }
            }
            5 | 6 if !others.is_empty() => {
                let other = *prng.pick(&others);
                let to = vec![(file, model.at[other].unwrap()), (other, model.at[file].unwrap())];
                Kind::Move { to, over: BTreeSet::new() }
            }
            _ => {
                let line = agent * 10 + prng.below(8);
                Kind::Edit { file, line, text: format!("of {} {}", AGENTS[agent], prng.number()) }
            }
        };
        // Who brings a file back to where it took it away from has done nothing, and that leads back to what was before it.
        let leads_back = |(file, place): &(usize, usize)| self.left.contains(&(agent, *file, *place));
        if let Kind::Move { to, .. } = &kind {
            if to.iter().any(leads_back) {
                return Ok(());
            }
            self.left.extend(to.iter().map(|(file, _)| (agent, *file, model.at[*file].unwrap())));
        }
        self.act(Deed { agent, kind, is_gone: false });
        Ok(())
    }

    /// An agent does something.
    fn act(&mut self, deed: Deed) {
        let model = Model::of(&self.deeds);
        let mut then = model.clone();
        then.go_on(&deed.kind);
        self.log.push(format!("{}: {:?}", AGENTS[deed.agent], deed.kind));
        let root = self.world.root().to_owned();
        self.world.work(AGENTS[deed.agent], || match &deed.kind {
            Kind::Edit { file, .. } => {
                fs::write(root.join(PLACES[model.at[*file].unwrap()]), then.lines[*file].join("\n") + "\n").unwrap();
            }
            Kind::Move { to, .. } => {
                let aside = |file: usize| root.join(format!("aside-{file}"));
                for (file, _) in to {
                    fs::rename(root.join(PLACES[model.at[*file].unwrap()]), aside(*file)).unwrap();
                }
                to.iter().for_each(|(file, place)| fs::rename(aside(*file), root.join(PLACES[*place])).unwrap());
            }
        });
        self.deeds.push(deed);
        assert_eq!(self.tree(), Model::of(&self.deeds).tree(), "the model is what was done: {:#?}", self.log);
    }

    /// Takes back what an agent did; whether that was done.
    fn take_back(&mut self, agent: usize) -> Result<bool, TestCaseError> {
        let mut then = self.deeds.clone();
        // Also what another recovery took back before: its undo alone does not bring that back then.
        let numbers: Vec<usize> = (0..then.len()).filter(|at| then[*at].agent == agent).collect();
        numbers.iter().for_each(|at| then[*at].is_gone = true);
        let done = self.world.call(&["rollback", "wf", "--agent", AGENTS[agent], "--yes", "--reset-tasks=false"]);
        let what = format!("{} taken back", AGENTS[agent]);
        let id = done.result("recovery_id").as_str().map(str::to_owned);
        let is_done = self.check(&what, &done, then)?;
        self.recoveries.extend(id.filter(|_| is_done).map(|id| (id, numbers)));
        Ok(is_done)
    }

    /// Undoes one of the recoveries; whether that was done.
    fn undo(&mut self, number: usize) -> Result<bool, TestCaseError> {
        let (id, numbers) = self.recoveries[number].clone();
        let mut then = self.deeds.clone();
        // What another recovery took back, too, stays so.
        let also = |at: &usize| self.recoveries.iter().any(|(other, all)| *other != id && all.contains(at));
        numbers.iter().filter(|at| !also(at)).for_each(|at| then[*at].is_gone = false);
        let done = self.world.call(&["undo", &id, "--yes"]);
        let is_done = self.check(&format!("recovery {number} undone"), &done, then)?;
        if is_done {
            self.recoveries.remove(number);
        }
        Ok(is_done)
    }

    /// What is where, in short: a file by its number, and its lines that somebody wrote.
    fn told(tree: &BTreeMap<&'static str, String>) -> Vec<String> {
        let own = |text: &str| text.lines().filter(|line| !line.starts_with("file")).collect::<Vec<_>>().join(", ");
        let file = |text: &str| text.lines().find_map(|line| line.strip_prefix("file ")?.chars().next()).unwrap_or('?');
        tree.iter().map(|(place, text)| format!("{place}: file {} {}", file(text), own(text))).collect()
    }

    /// What a recovery left is what the model says, or it was refused and left all as it was.
    fn check(&mut self, what: &str, ended: &Ended, then: Vec<Deed>) -> Result<bool, TestCaseError> {
        let (now, wanted) = (self.tree(), Model::of(&then));
        let is_well = matches!((ended.code, ended.error()), (0, _) | (3, "NOTHING_SELECTED") | (5, "CONFLICTS"));
        prop_assert!(is_well, "{what}: {ended:?} after {:#?}", self.log);
        if ended.code == 5 {
            self.log.push(format!("{what}: refused"));
            prop_assert!(wanted.is_unclear(), "{what}: need not ask ({ended:?}) after {:#?}", self.log);
            prop_assert!(now == Model::of(&self.deeds).tree(), "{what}, refused, after {:#?}", self.log);
            return Ok(false);
        }
        prop_assert!(!wanted.is_unclear(), "{what}: should ask ({ended:?}) after {:#?}", self.log);
        let (found, wanted_tree) = (Self::told(&now), Self::told(&wanted.tree()));
        prop_assert_eq!(found, wanted_tree, "{} ({:?}) after {:#?}", what, ended, self.log);
        prop_assert!(now == wanted.tree(), "{what}: lines differ after {:#?}", self.log);
        self.log.push(what.to_owned());
        self.deeds = then;
        Ok(true)
    }
}

/// What the agents did goes wherever the files are, and comes again.
fn a_file_is_itself_wherever_it_is(seed: u64, turns: usize) -> Result<(), TestCaseError> {
    let mut prng = Prng::new(seed);
    let mut story = Story::begin();
    for _ in 0..turns {
        story.turn(&mut prng)?;
    }
    for order in [[0, 1, 2], [2, 0, 1]] {
        let before = story.recoveries.len();
        for agent in order {
            story.take_back(agent)?;
        }
        while story.recoveries.len() > before {
            if !story.undo(story.recoveries.len() - 1)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// How many are told; `WFR_STORIES` says so for a long run.
fn stories() -> u32 {
    std::env::var("WFR_STORIES").ok().and_then(|count| count.parse().ok()).unwrap_or(8)
}

proptest! {
    #![proptest_config(Config { cases: stories(), max_shrink_iters: 20, failure_persistence: None, ..Config::default() })]

    #[test]
    fn the_tree_is_what_the_model_says(seed: u64, turns in 2..14_usize) {
        a_file_is_itself_wherever_it_is(seed, turns)?;
    }
}
