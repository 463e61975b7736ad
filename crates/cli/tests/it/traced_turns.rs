//! Traced commands that write the same paths, one after the other: each has its pieces, in their order.
//!
//! Owns the schedules. Refuses to know how the order is found.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::process::{Child, Stdio};

use wfr_testkit::{Prng, Snapshot, What};

use crate::encrypted::encrypted;
use crate::traced::{can_trace, until};
use crate::work::paths;
use crate::world::World;

/// A shell under `wfr exec` that does what it is told, one thing after the other.
struct Hand {
    name: &'static str,
    child: Child,
    outside: tempfile::TempDir,
    done: usize,
}

impl Hand {
    fn new(world: &World, name: &'static str) -> Self {
        let outside = tempfile::tempdir().unwrap();
        let script = format!(
            "n=0; while read -r step; do eval \"$step\" || exit 9; n=$((n+1)); : > {}/$n; done",
            outside.path().display()
        );
        let child = world.exec(name, &script).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut hand = Self { name, child, outside, done: 0 };
        // From now on it is traced.
        hand.does(":");
        hand
    }

    fn does(&mut self, step: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{step}").unwrap();
        self.done += 1;
        let sign = self.outside.path().join(self.done.to_string());
        until(step, || sign.exists());
        // It waits for the next one by now, or will without having done more than say so.
    }

    fn ends(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success(), "{}", self.name);
    }
}

/// Who left what at a path, in order; no text: nothing.
type Chain = Vec<(String, Option<String>)>;

/// A chain in which everybody has what they did in one go as one piece, and nobody has nothing.
fn joined(chain: &Chain, first: Option<String>) -> Chain {
    let mut found: Chain = Vec::new();
    for (name, text) in chain {
        let before = found.last().map_or(&first, |(_, text)| text);
        if text == before {
            continue;
        }
        match found.last_mut() {
            Some((last, left)) if last == name => left.clone_from(text),
            _ => found.push((name.clone(), text.clone())),
        }
    }
    // Somebody may have taken back all that they did.
    if found.len() < chain.len() { joined(&found, first) } else { found }
}

/// The text of each hash, of these.
fn by_hash<'t>(texts: impl Iterator<Item = &'t String>) -> BTreeMap<Vec<u8>, String> {
    let dir = tempfile::tempdir().unwrap();
    let texts: Vec<&String> = texts.collect();
    for (number, text) in texts.iter().enumerate() {
        fs::write(dir.path().join(number.to_string()), text).unwrap();
    }
    let hash = |(path, entry): (&Vec<u8>, &wfr_testkit::Entry)| match &entry.what {
        What::File(_, hash) => {
            let number: usize = std::str::from_utf8(path).unwrap().parse().unwrap();
            Some((hash.to_vec(), texts[number].clone()))
        }
        _ => None,
    };
    Snapshot::of(dir.path()).entries.iter().filter_map(hash).collect()
}

/// What the ledger has at a path.
fn kept(world: &World, path: &str, texts: &BTreeMap<Vec<u8>, String>) -> Chain {
    let catalog = rusqlite::Connection::open(world.vault().join("catalog.db")).unwrap();
    let sql =
        "SELECT coalesce(agent_id, actor), after FROM segments JOIN paths USING (path_id) JOIN changes ON seq = change
               WHERE key = ? ORDER BY point";
    let mut rows = catalog.prepare(sql).unwrap();
    let rows =
        rows.query_map([path.as_bytes()], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?))).unwrap();
    let text = |after: Vec<u8>| {
        let found = texts.iter().find(|(hash, _)| after.windows(hash.len()).any(|window| window == &hash[..]));
        found.map(|(_, text)| text.clone())
    };
    rows.map(|row| row.map(|(name, after)| (name, text(after))).unwrap()).collect()
}

const FILES: [&str; 4] = ["f0", "f1", "f2", "f3"];

fn step(random: &mut Prng, number: usize) -> String {
    let file = random.pick(&FILES);
    match random.below(8) {
        0..4 => format!("echo {number} >> {file}"),
        4 => format!("echo {number} > {file}"),
        5 => format!("rm -f {file}"),
        6 => format!("echo {number} > {file}~; mv {file}~ {file}"),
        _ => format!(
            "cp {file} {file}~ 2> /dev/null || : > {file}~; echo {number} >> {file}~; cat {file}~ > {file}; rm {file}~"
        ),
    }
}

fn schedule(random: &mut Prng, steps: usize) {
    let world = World::new();
    let text = |file: &str| fs::read_to_string(world.root().join(file)).ok();
    for file in &FILES[..2] {
        world.put(file, "first\n");
    }
    world.checkpoint("base");
    let first: Vec<Option<String>> = FILES.iter().map(|file| text(file)).collect();
    let mut hands = [Hand::new(&world, "a"), Hand::new(&world, "b"), Hand::new(&world, "c")];
    let mut chains: Vec<Chain> = vec![vec![]; FILES.len()];
    let mut log = Vec::new();
    for number in 0..steps {
        if random.one_in(8) {
            // Two looks.
            let token = world.begin("z", &["--paths", "elsewhere"]);
            world.end(&token);
            log.push("a look".to_owned());
        }
        let hand = &mut hands[random.below(3)];
        let step = step(random, number);
        log.push(format!("{}: {step}", hand.name));
        hand.does(&step);
        for (chain, file) in chains.iter_mut().zip(FILES) {
            let now = text(file);
            let before = chain.last().map(|(_, text)| text.clone());
            if before != Some(now.clone()) {
                chain.push((hand.name.to_owned(), now));
            }
        }
    }
    hands.into_iter().for_each(Hand::ends);
    let texts = by_hash(chains.iter().flatten().filter_map(|(_, text)| text.as_ref()));
    for ((chain, file), first) in chains.iter().zip(FILES).zip(first) {
        let (expected, found) = (joined(chain, first.clone()), joined(&kept(&world, file, &texts), first));
        assert_eq!(found, expected, "{file}: {log:#?}");
    }
}

#[test]
fn whoever_writes_in_turn_has_exactly_their_pieces() {
    if !can_trace() {
        return;
    }
    let mut random = Prng::from_environment();
    let rounds = if std::env::var_os("WFR_TRACE_LONG").is_some() { 100 } else { 3 };
    for _ in 0..rounds {
        schedule(&mut random, 40);
    }
}

/// Lines of several hands, far from each other.
fn in_turns(world: &World) {
    world.put("f", &crate::work::numbered(&[]));
    let (mut a, mut b) = (Hand::new(world, "a"), Hand::new(world, "b"));
    a.does("sed -i 's/^line 3$/of a/' f");
    b.does("sed -i 's/^line 15$/of b/' f");
    a.does("sed -i 's/^line 27$/of a, too/' f");
    a.ends();
    b.ends();
    assert!(world.changes().iter().all(|change| change["actor"] != "shared"));
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!(world.text("f"), crate::work::numbered(&[(15, "of b")]));
    world.ok(&["undo", "--yes"]);
    world.ok(&["rollback", "wf", "--agent", "b", "--yes"]);
    assert_eq!(world.text("f"), crate::work::numbered(&[(3, "of a"), (27, "of a, too")]));
    assert_eq!(fs::read_dir(world.vault().join("traces")).unwrap().count(), 0);
}

#[test]
fn one_of_two_is_taken_back_and_what_the_other_did_between_stays() {
    if !can_trace() {
        return;
    }
    in_turns(&World::new());
}

#[test]
fn also_where_the_store_is_encrypted() {
    if !can_trace() {
        return;
    }
    in_turns(&encrypted());
}

#[test]
fn who_has_a_file_open_while_another_one_writes_it_shares_it() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let (mut a, mut b) = (Hand::new(&world, "a"), Hand::new(&world, "b"));
    a.does("exec 5>> f; echo a >&5; echo a > apart");
    b.does("echo b >> f; echo b >> apart");
    a.does("echo a again >&5");
    a.ends();
    b.ends();
    let change = world.change_at("f");
    assert_eq!((&change["actor"], change["candidates"].as_array().unwrap().len()), (&"shared".into(), 2), "{change}");
    assert_eq!(world.change_at("apart")["agent_id"], "b");
    assert_eq!(paths(&world.change_at("f")["paths"]), ["f"]);
}

#[test]
fn edits_by_hand_before_the_first_of_them_are_kept_apart() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let (mut a, mut b) = (Hand::new(&world, "a"), Hand::new(&world, "b"));
    world.put("f", &crate::work::numbered(&[]));
    a.does("sed -i 's/^line 3$/of a/' f");
    b.does("sed -i 's/^line 15$/of b/' f");
    a.ends();
    b.ends();
    for agent in ["a", "b"] {
        world.ok(&["rollback", "wf", "--agent", agent, "--yes"]);
    }
    assert_eq!(world.text("f"), crate::work::numbered(&[]));
}

#[test]
fn nothing_is_taken_for_known_after_a_look_that_could_not_save_anything() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    world.put("f", "first\n");
    let (mut a, mut b) = (Hand::new(&world, "a"), Hand::new(&world, "b"));
    a.does("echo a >> f");
    b.does("echo b >> f");
    world.checkpoint("between");
    a.does("echo a >> f");
    a.ends();
    b.ends();
    let texts = by_hash(["first\na\nb\n".to_owned(), "first\na\nb\na\n".to_owned()].iter());
    let found = kept(&world, "f", &texts);
    assert!(found.iter().all(|(who, _)| ["shared", "a"].contains(&who.as_str())), "{found:?}");
    assert_eq!(found.last().unwrap().1.as_deref(), Some("first\na\nb\na\n"));
}
