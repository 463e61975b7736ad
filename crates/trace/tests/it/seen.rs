//! What a command does is told, before it is done, under the path that is meant; and the command does not notice.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use crate::world::{World, can_trace, until};

fn does(effect: &str, path: &str) -> String {
    format!("Does {{ effect: {effect}, place: Inside({path:?}) }}")
}

fn moves(from: &str, to: &str) -> String {
    format!("Moves {{ from: Inside({from:?}), to: Inside({to:?}) }}")
}

#[test]
fn each_kind_of_change_is_told() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let told =
        world.run("echo hi > a; mkdir d; mv a d/b; ln d/b d/c; ln -s d l; chmod 600 d/b; rm d/c; rm -r d; : > a; rm l");
    let expected = [
        does("Writes", "a"),
        does("Makes", "d"),
        moves("a", "d/b"),
        "Links { from: Inside(\"d/b\"), to: Inside(\"d/c\") }".to_owned(),
        does("Makes", "l"),
        does("Alters", "d/b"),
        does("Removes", "d/c"),
        does("Removes", "d/b"),
        does("Removes", "d"),
        does("Writes", "a"),
        does("Removes", "l"),
        "ended".to_owned(),
    ];
    assert_eq!(told, expected);
    assert_eq!(world.names(), BTreeSet::from(["a".to_owned()]));
}

#[test]
fn reads_are_not_told() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    fs::write(world.tree.path().join("a"), "x").unwrap();
    assert_eq!(world.run("cat a; ls -l . > /dev/null; test -f a; cd /; cat /etc/passwd > /dev/null"), ["ended"]);
}

#[test]
fn a_path_is_what_it_leads_to() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let outside = World::new();
    let place = outside.tree.path().display();
    let script = format!(
        "mkdir -p d/e; ln -s d l; ln -s d/e/f g; ln -s {place} o; ln -s ../.. d/e/up
         echo > l/e/../x; echo > g; echo > o/y; cd d/e; echo > up/z; echo > $OLDPWD/./d//w; exec 5>/dev/null; cd /
         echo > {0}/l/e/up/v; echo > /proc/self/cwd/tmp/wfr-trace-none/n 2>/dev/null; rm {0}/g",
        world.tree.path().display()
    );
    let told = world.run(&script);
    let writes: Vec<&String> = told.iter().filter(|line| line.contains("Writes")).collect();
    let expected = ["d/x", "d/e/f", "z", "d/w", "v"].map(|path| does("Writes", path));
    assert_eq!(writes, expected.iter().collect::<Vec<_>>());
    assert!(told.contains(&does("Removes", "g")), "the link itself");
    assert!(outside.names().contains("y"));
}

#[test]
fn names_of_any_bytes_come_through() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let told = world.run("printf x > \"$(printf 'a\\nb\\377c')\"; mkdir -- -d; echo > ./-d/' '");
    assert!(told[0].contains(r"a\nb\xffc") || told[0].contains("\\\\xff"), "{told:?}");
    assert_eq!(told[1..], [does("Makes", "-d"), does("Writes", "-d/ "), "ended".to_owned()]);
}

#[test]
fn the_command_does_not_notice() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let mut traced = world.traced("cat; echo err >&2; exit 7");
    let mut child = traced.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"through").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &*output.stdout, &*output.stderr), (Some(7), &b"through"[..], &b"err\n"[..]));
    let signalled = world.traced("kill -SEGV $$").command.output().unwrap();
    assert_eq!(signalled.status.code().or(signalled.status.signal()), Some(128 + libc::SIGSEGV));
    let missing = world.traced("exec /no/such/program").command.output().unwrap();
    assert_eq!(missing.status.code(), Some(127));
}

#[test]
fn what_many_processes_write_at_once_is_all_told() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let told =
        world.run("for p in 1 2 3 4; do (i=0; while [ $i -lt 150 ]; do echo > f$p-$i; i=$((i+1)); done) & done; wait");
    let told: BTreeSet<String> = told.into_iter().filter(|line| line != "ended").collect();
    let expected: BTreeSet<String> = world.names().iter().map(|name| does("Writes", name)).collect();
    assert_eq!(expected.len(), 600);
    assert_eq!(told, expected);
}

#[test]
fn the_end_of_the_command_does_not_wait_for_what_it_left_behind_which_is_told() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    fs::write(world.tree.path().join("stays"), "").unwrap();
    let mut traced =
        world.traced("(while [ -e stays ]; do sleep 0.01; done; echo > late) > /dev/null 2>&1 & echo > first");
    assert!(traced.command.stdout(Stdio::piped()).output().unwrap().status.success());
    assert_eq!(traced.told(), [does("Writes", "first"), "ended".to_owned()]);
    assert_eq!(traced.servants().len(), 2);
    fs::remove_file(world.tree.path().join("stays")).unwrap();
    until("the survivor is told", || traced.told().last() == Some(&does("Writes", "late")));
    until("nobody is left, so nobody serves", || traced.servants().is_empty());
}

#[test]
fn a_pipe_of_the_tree_keeps_nobody_waiting() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let told = world.run("mkfifo p; cat p > out & echo through > p; wait; cat out; test \"$(cat out)\" = through");
    assert!(told.contains(&does("Makes", "p")) && told.contains(&does("Writes", "p")), "{told:?}");
}

#[test]
fn a_command_in_a_traced_one_cannot_be_traced_again_and_that_is_said() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let inner = world.traced("echo > inner");
    let words: Vec<String> = std::iter::once(inner.command.get_program())
        .chain(inner.command.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let output = world.traced(&words.join(" ")).command.output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("Kernel") && said.contains("busy"), "{said}");
    assert!(!world.names().contains("inner"), "it was not run");
}

/// A program of 64 bits that makes a file by the calls of 32 bits: `open("y", O_CREAT | O_WRONLY, 0644)`, `exit(result < 0)`.
fn old_calls() -> Vec<u8> {
    const AT: u32 = 0x0040_0000;
    const HEADERS: u32 = 120;
    let code = |text: u32| {
        let mut code = vec![0xb8, 5, 0, 0, 0, 0xbb]; // eax: open; ebx:
        code.extend(text.to_le_bytes());
        code.extend([0xb9, 0x41, 0, 0, 0, 0xba, 0xa4, 1, 0, 0, 0xcd, 0x80]); // ecx, edx: flags and mode; int 0x80
        code.extend([0x89, 0xc3, 0xc1, 0xeb, 31, 0xb8, 1, 0, 0, 0, 0xcd, 0x80]); // ebx: the sign of eax; eax: exit; int 0x80
        code
    };
    let mut code = code(AT + HEADERS + u32::try_from(code(0).len()).unwrap());
    code.extend(*b"y\0");
    let mut elf = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    elf.extend([u64::from(AT + HEADERS), 64, 0].map(u64::to_le_bytes).concat());
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    let length = u64::from(HEADERS) + code.len() as u64;
    elf.extend([0, u64::from(AT), u64::from(AT), length, length, 0x1000].map(u64::to_le_bytes).concat());
    assert_eq!(elf.len(), HEADERS as usize);
    elf.extend(code);
    elf
}

#[test]
#[cfg(target_arch = "x86_64")]
fn calls_of_32_bits_do_not_pass_by() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let program = World::new();
    let place = program.tree.path().join("old");
    fs::write(&place, old_calls()).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
    let run = world.traced(&format!("{}; echo $? >&2", place.display())).command.output().unwrap();
    if String::from_utf8_lossy(&run.stderr).trim() != "0" {
        wfr_testkit::skip(&format!("calls of 32 bits: {}", String::from_utf8_lossy(&run.stderr)));
        return;
    }
    assert!(world.names().contains("y"));
    assert_eq!(world.run(&place.display().to_string()), [does("Writes", "y"), "ended".to_owned()]);
}
