//! What people see: colour where it is shown and wanted, progress where somebody watches, and nothing of both elsewhere.
//!
//! Owns which bytes go to a terminal. Refuses to know what they say.

use std::io::Read;
use std::process::{Command, Stdio};

use crate::world::World;

const ESCAPE: &[u8] = b"\x1b[";

fn has_colour(bytes: &[u8]) -> bool {
    bytes.windows(ESCAPE.len()).any(|part| part == ESCAPE)
}

/// A command at a terminal, with words of `sh` behind it; `None` without `script`.
fn terminal(world: &World, arguments: &[&str], behind: &str, variables: &[(&str, &str)]) -> Option<Command> {
    let inner = world.command(arguments);
    let words = std::iter::once(inner.get_program()).chain(inner.get_args());
    let quoted: Vec<String> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let mut command = Command::new("script");
    command.args(["-qec", &format!("{} {behind}", quoted.join(" ")), "/dev/null"]).current_dir(world.root());
    command.env_remove("NO_COLOR").env("TERM", "xterm");
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.envs(variables.iter().copied()).stdin(Stdio::null());
    let is_here = Command::new("script").arg("--version").output().is_ok_and(|output| output.status.success());
    is_here.then_some(command)
}

/// What it says there.
fn at_terminal(world: &World, arguments: &[&str], behind: &str, variables: &[(&str, &str)]) -> Option<Vec<u8>> {
    Some(terminal(world, arguments, behind, variables)?.output().unwrap().stdout)
}

#[test]
fn colour_is_for_terminals_and_for_whoever_asks() {
    let world = World::new();
    world.checkpoint("base");
    world.tree.write("a.txt", b"edited\n");
    let piped = |words: &[&str], variables: &[(&str, &str)]| {
        let mut command = world.command(&[&["diff", "base"], words].concat());
        command.env_remove("NO_COLOR").envs(variables.iter().copied());
        has_colour(&command.output().unwrap().stdout)
    };
    assert!(!piped(&[], &[]), "a pipe gets none");
    assert!(piped(&["--color", "always"], &[]));
    assert!(piped(&["--color", "always"], &[("NO_COLOR", "1")]), "what the call says counts first");
    assert!(!piped(&["--color", "never"], &[]));
    let shown = |words: &[&str], variables: &[(&str, &str)]| {
        at_terminal(&world, &[&["diff", "base"], words].concat(), "", variables).map(|said| {
            assert!(String::from_utf8_lossy(&said).contains("edited"), "{}", String::from_utf8_lossy(&said));
            has_colour(&said)
        })
    };
    let Some(by_itself) = shown(&[], &[]) else {
        return wfr_testkit::skip("`script` of util-linux is not here");
    };
    assert!(by_itself, "a terminal gets colour");
    assert_eq!(shown(&[], &[("NO_COLOR", "1")]), Some(false));
    assert_eq!(shown(&[], &[("NO_COLOR", "")]), Some(true), "an empty one says nothing");
    assert_eq!(shown(&[], &[("TERM", "dumb")]), Some(false));
    assert_eq!(shown(&["--color", "never"], &[]), Some(false));
}

/// Whether a spinner was drawn: one of the signs of Braille that it is made of.
fn has_progress(said: &[u8]) -> bool {
    said.windows(2).any(|part| part[0] == 0xe2 && (0xa0..=0xa3).contains(&part[1]))
}

#[test]
fn progress_is_on_the_error_output_of_a_terminal_alone() {
    let world = World::new();
    world.checkpoint("base");
    // The check goes on until its gate is opened, which is when its progress was seen; or until its time is over.
    let gate = world.data.path().join("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let check = format!("cat {}", gate.display());
    let restore = ["restore", "wf", "base", "--yes", "--functional-check-timeout", "60s", "--functional-check"];
    world.tree.write("a.txt", b"edited\n");
    let Some(mut command) = terminal(&world, &[&restore[..], &[&check]].concat(), "> /dev/null", &[]) else {
        return wfr_testkit::skip("`script` of util-linux is not here");
    };
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdout, mut said, mut byte) = (child.stdout.take().unwrap(), Vec::new(), [0]);
    while !has_progress(&said) && stdout.read(&mut byte).unwrap() > 0 {
        said.extend(byte);
    }
    drop(std::fs::File::options().write(true).open(&gate).unwrap());
    stdout.read_to_end(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{}", String::from_utf8_lossy(&said));
    // Elsewhere a second, which is longer than its patience, brings none.
    for (word, behind) in [("--exact-mtime", "2> /dev/null"), ("--quiet", ""), ("--exact-mtime", "2>&1 | cat")] {
        world.tree.write("a.txt", b"edited\n");
        let call = [&restore[..], &["sleep 1", word]].concat();
        let said = at_terminal(&world, &call, behind, &[]).unwrap();
        assert!(!has_progress(&said), "{word} {behind}: {}", String::from_utf8_lossy(&said));
        assert_eq!(world.tree.read("a.txt"), b"a0\n");
    }
}
